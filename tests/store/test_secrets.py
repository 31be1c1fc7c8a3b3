"""The data folder's key, sealed private keys, tokens and passwords."""

from __future__ import annotations

import multiprocessing
import string
from pathlib import Path

import pytest

from postmeter.errors import PostmeterError, UnreachableError
from postmeter.store.secrets import NewPassword, Secrets, hash_password, new_token, verify_password


def test_the_key_is_made_once_and_only_for_us(tmp_path: Path) -> None:
    data = tmp_path / "a" / "data"
    first, second = Secrets.open(data), Secrets.open(data)
    key = data / "secret.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert data.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in data.iterdir()] == ["secret.key"]
    assert first.derive("x") == second.derive("x")


def test_two_folders_have_two_keys(tmp_path: Path) -> None:
    assert Secrets.open(tmp_path / "a").derive("x") != Secrets.open(tmp_path / "b").derive("x")


def test_processes_that_start_at_once_agree_on_the_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        derived = pool.map(derive_in, [tmp_path / "data"] * 2)
        pool.close()
        pool.join()
    assert len(set(derived)) == 1


def derive_in(data: Path) -> bytes:
    return Secrets.open(data).derive("x")


def test_a_folder_that_cannot_be_made_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnreachableError, match=r"data folder .*file/data cannot be used.*server.data"):
        Secrets.open(tmp_path / "file" / "data")


def test_a_damaged_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_bytes(b"short")
    with pytest.raises(PostmeterError, match="damaged"):
        Secrets.open(tmp_path)


def test_what_is_sealed_can_be_unsealed_and_never_looks_the_same() -> None:
    secrets = Secrets(bytes(32))
    assert secrets.unseal(secrets.seal(b"private")) == b"private"
    assert secrets.seal(b"private") != secrets.seal(b"private")
    assert b"private" not in secrets.seal(b"private")


@pytest.mark.parametrize(
    "sealed",
    [b"", b"x" * 5, Secrets(bytes(32)).seal(b"p")[:-1], Secrets(b"1" * 32).seal(b"p")],
    ids=["empty", "short", "cut", "other-key"],
)
def test_what_was_changed_or_sealed_with_another_key_is_refused(sealed: bytes) -> None:
    with pytest.raises(PostmeterError, match="restore both"):
        Secrets(bytes(32)).unseal(sealed)


def test_the_hash_of_a_token_depends_on_token_and_key() -> None:
    one, other = Secrets(bytes(32)), Secrets(b"1" * 32)
    assert one.hash_token("token") == one.hash_token("token")
    assert len({one.hash_token("token"), one.hash_token("tokem"), other.hash_token("token")}) == 3


def test_each_purpose_has_its_own_key() -> None:
    secrets = Secrets(bytes(32))
    assert len({secrets.derive("panel"), secrets.derive("verp"), bytes(32)}) == 3
    assert len(secrets.derive("panel")) == 32


def test_tokens_are_long_and_of_letters_and_digits() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) >= 32 and set(token) <= set(string.ascii_letters + string.digits) for token in tokens)


def test_a_password_is_verified_by_its_argon2id_hash() -> None:
    hashed = hash_password("correct horse")
    assert hashed.startswith("$argon2id$")
    assert verify_password(hashed, "correct horse")
    assert not verify_password(hashed, "correct horsf")
    assert not verify_password("not a hash", "correct horse")


def test_passwords_and_keys_do_not_show_in_logs() -> None:
    password = NewPassword("plain", "hashed")
    assert "plain" not in repr(password)
    assert "hashed" not in repr(password)
