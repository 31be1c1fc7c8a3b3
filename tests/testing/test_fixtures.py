"""What an author reads who has made a mistake, and the recipients' side; the fixtures at work: test_plugin_new.py."""

from __future__ import annotations

import smtplib
import subprocess
import sys
from pathlib import Path

import pytest

from postmeter.testing import Recipients

NAMED = """
@pytest.fixture(scope="session")
def plugin_name():
    return "absent"
"""


def tried(folder: Path, conftest: str, test: str) -> str:
    """What pytest says of a test in a project of its own."""
    (folder / "conftest.py").write_text(f'import pytest\n\npytest_plugins = ["postmeter.testing"]\n{conftest}')
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    (folder / "test_it.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout
    return done.stdout


def test_without_a_name_the_author_is_told_what_is_missing(tmp_path: Path) -> None:
    said = tried(tmp_path, "", "def test_it(bench): ...")
    assert "conftest.py needs a fixture plugin_name (scope session) with the plugin's name" in said


@pytest.mark.parametrize("fixture", ["bench", "relay"])
def test_a_plugin_that_is_not_installed_is_told(tmp_path: Path, fixture: str) -> None:
    said = tried(tmp_path, NAMED, f"def test_it({fixture}): ...")
    assert "there is no entry point 'absent' in the group postmeter: pip install -e ." in said


def test_the_recipients_keep_what_they_take_and_refuse_some(tmp_path: Path) -> None:
    side = Recipients(tmp_path)
    try:
        with smtplib.SMTP("127.0.0.1", side.port, timeout=20) as client:
            refused = client.sendmail(
                "shop@shop.example",
                ["anna@kunde.example", "unknown@kunde.example"],
                "Subject: Grüße\r\n\r\n.dot\r\n".encode(),
            )
            assert set(refused) == {"unknown@kunde.example"}
            client.sendmail("shop@shop.example", ["joe@kunde.example"], b"Subject: two\r\n\r\n")
        mail = side.wait("anna@kunde.example")
        assert mail.content == "Subject: Grüße\r\n\r\n.dot\r\n".encode()
        assert (mail.reverse_path, mail.recipients, mail.tls) == ("shop@shop.example", ("anna@kunde.example",), False)
        assert [one.message["Subject"] for one in side.received][1:] == ["two"]
        assert side.to("unknown@kunde.example") == []
        with pytest.raises(AssertionError, match="a mail to nobody"):
            side.wait("nobody@kunde.example", 0.01)
    finally:
        side.close()
