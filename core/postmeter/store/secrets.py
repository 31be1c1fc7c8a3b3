"""What must not be readable in a copied database: the data folder's key, sealed private keys, hashed passwords."""

from __future__ import annotations

import hashlib
import os
import secrets as random
import string
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from postmeter.errors import PostmeterError, UnreachableError

BASE62 = string.digits + string.ascii_letters
KEY_SIZE = 32  # octets
NONCE_SIZE = 12  # octets; random: one key seals a few thousand private keys, far below 2^32

_hasher = PasswordHasher()


class Secrets:
    """Everything that is derived from ``data/secret.key``."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._token_key = self.derive("token hash")
        self._seal = AESGCM(self.derive("seal"))

    @classmethod
    def open(cls, data: Path) -> Secrets:
        """Read ``secret.key`` of the data folder, or make folder and key; PostmeterError when that cannot be."""
        path = data / "secret.key"
        try:
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                _create(path)
            key = path.read_bytes()
        except OSError as error:
            raise UnreachableError(
                f"the data folder {data} cannot be used: {error.strerror}; set server.data to a writable folder"
            ) from None
        if len(key) != KEY_SIZE:
            raise PostmeterError(f"{path} is damaged ({len(key)} octets, not {KEY_SIZE}); restore it from a backup")
        return cls(key)

    def hash_token(self, token: str) -> bytes:
        """The keyed hash under which a generated secret is stored; compare with ``hmac.compare_digest``."""
        return hashlib.blake2b(token.encode(), key=self._token_key, digest_size=32).digest()

    def seal(self, plain: bytes) -> bytes:
        """AES-256-GCM: the nonce, then the ciphertext with its tag."""
        nonce = os.urandom(NONCE_SIZE)
        return nonce + self._seal.encrypt(nonce, plain, None)

    def unseal(self, sealed: bytes) -> bytes:
        """What ``seal`` was given; PostmeterError when it was sealed with another key or changed since."""
        try:
            return self._seal.decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], None)
        except (InvalidTag, ValueError):
            raise PostmeterError("secret.key is not the one this database was written with; restore both") from None

    def derive(self, purpose: str) -> bytes:
        """32 octets for one purpose (HKDF, RFC 5869), the same at every start."""
        return HKDF(SHA256(), KEY_SIZE, salt=None, info=f"postmeter {purpose}".encode()).derive(self._key)


def _create(path: Path) -> None:
    """Write a new key so that it is there whole or not at all; whoever comes second keeps the first one's."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix="secret.")  # mode 0600
    try:
        with open(descriptor, "wb") as file:
            file.write(os.urandom(KEY_SIZE))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            return
    finally:
        os.unlink(name)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def new_token(length: int = 40) -> str:
    """A generated secret in base62; 40 characters hold 238 bits."""
    return "".join(random.choice(BASE62) for _ in range(length))


@dataclass(frozen=True)
class NewPassword:
    """A person's password before it is stored. Make it outside of a transaction: hashing takes 0.15 s."""

    plain: str = field(repr=False)
    hashed: str = field(repr=False)

    @classmethod
    def generate(cls) -> NewPassword:
        """An initial password, to be shown once."""
        return cls.of(new_token(20))

    @classmethod
    def of(cls, plain: str) -> NewPassword:
        """The password somebody chose."""
        return cls(plain, hash_password(plain))


def hash_password(password: str) -> str:
    """The argon2id hash of a person's password (takes 0.15 s)."""
    return _hasher.hash(password)


def verify_password(hashed: str, password: str) -> bool:
    """Whether this is the password of that hash (takes 0.15 s)."""
    try:
        return _hasher.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


def hash_is_old(hashed: str) -> bool:
    """Whether a hash was made with other parameters than new ones are."""
    return _hasher.check_needs_rehash(hashed)
