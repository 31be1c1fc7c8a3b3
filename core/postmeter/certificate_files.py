"""Where the server's certificates and their keys are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization

from postmeter.config import Settings

_BEGIN_KEY = re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a certificate is: its chain and its key, and the settings that name them."""

    certificate: Path
    key: Path
    setting: str = "smtp.certificate"
    key_setting: str = "smtp.private_key"

    @classmethod
    def first(cls, settings: Settings) -> Source:
        """The one of all who ask for no other: as configured, or in the data folder, where it is made if need be."""
        smtp = settings.smtp
        if smtp.certificate:
            return cls(Path(smtp.certificate), Path(smtp.private_key or smtp.certificate))
        return cls(settings.data / "certificate.pem", settings.data / "certificate.key")

    @classmethod
    def of(cls, place: str) -> Source:
        """What ``smtp.certificates`` names: a file that holds both, or a folder as certbot makes it."""
        path, setting = Path(place), "smtp.certificates"
        if path.is_dir():
            return cls(path / "fullchain.pem", path / "privkey.pem", setting, setting)
        return cls(path, path, setting, setting)


def private_key(pem: bytes) -> Any:
    """The first private key in ``pem``, which may hold certificates too; ValueError, or TypeError for a sealed one."""
    begin = _BEGIN_KEY.search(pem)
    return serialization.load_pem_private_key(pem[begin.start() :] if begin else pem, None)
