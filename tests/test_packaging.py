"""The wheel has all that the packages have: templates, translations and static files as well as modules."""

from __future__ import annotations

from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parent.parent
PACKAGES = sorted(
    path.parent for folder in ("core", "web", "plugins") for path in (ROOT / folder).glob("*/__init__.py")
)


@pytest.fixture(scope="module")
def shipped() -> set[str]:
    """The wheel's files, by the paths that they are installed under."""
    return {file.distribution_path for file in WheelBuilder(str(ROOT)).recurse_included_files()}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_everything_in_a_package_is_shipped(package: Path, shipped: set[str]) -> None:
    files = {str(path.relative_to(package.parent)) for path in package.rglob("*") if path.is_file()}
    assert {file for file in files if "__pycache__" not in file} <= shipped


def test_pages_have_their_templates_and_translations(shipped: set[str]) -> None:
    assert {
        "postmeter_web/templates/base.html",
        "postmeter_web/static/postmeter.css",
        "postmeter_web/translations/de/common.po",
        "postmeter_billing/templates/billing_invoices.html",
        "postmeter_billing/translations/de/billing.po",
    } <= shipped
