"""Tests of `pytest_release.attestation.keyring`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from securesystemslib.signer import Key

from pytest_release.attestation.keyring import Revocation, add_key, load_keyring, revoke_key
from pytest_release.attestation.keys import ephemeral, fingerprint, generate
from pytest_release.errors import ConfigError, UsageError, VerificationError

NOW = datetime(2026, 11, 28, 10, 30, 59, 999999, tzinfo=UTC)


def key_file(folder: Path, name: str = "new") -> tuple[Key, Path]:
    """A key, and a file somewhere that holds its public half."""
    made = ephemeral()
    assert made.ephemeral_pem is not None
    file = folder / f"{name}.pem.pub"
    file.write_bytes(made.ephemeral_pem)
    return made.signer.public_key, file


def trust(fixtures: Path, name: str) -> Key:
    """A new key, trusted under a name."""
    key, file = key_file(fixtures, name)
    assert add_key(fixtures, name, file) == key
    return key


def test_without_a_folder_nobody_is_trusted(tmp_path: Path) -> None:
    """An empty keyring, and no error: a policy says which keys it misses."""
    keyring = load_keyring(tmp_path)

    assert (keyring.keys, keyring.revocations, keyring.valid) == ({}, {}, {})


def test_an_added_key_is_the_file_under_its_name(tmp_path: Path) -> None:
    """Byte for byte, so that a review shows what was given."""
    key, file = key_file(tmp_path)

    add_key(tmp_path, "ci-2026.a_b", file)

    assert (tmp_path / "keys" / "ci-2026.a_b.pub").read_bytes() == file.read_bytes()
    assert load_keyring(tmp_path).valid == {"ci-2026.a_b": key}


def test_rotation_is_two_valid_keys_and_then_one(tmp_path: Path) -> None:
    """The old key counts until it is revoked, and from then on not at all."""
    old, new = trust(tmp_path, "ci-1"), trust(tmp_path, "ci-2")
    assert load_keyring(tmp_path).valid == {"ci-1": old, "ci-2": new}

    revoked = revoke_key(tmp_path, "ci-1", "rotated", NOW)

    keyring = load_keyring(tmp_path)
    assert revoked == Revocation("ci-1", fingerprint(old), "2026-11-28T10:30:59Z", "rotated")
    assert keyring.revocations == {fingerprint(old): revoked}
    assert keyring.keys == {"ci-1": old, "ci-2": new}
    assert keyring.valid == {"ci-2": new}


def test_names_are_those_of_valid_keys(tmp_path: Path) -> None:
    """Sorted, a revoked key and a stranger's left out."""
    keys = {name: trust(tmp_path, name) for name in ("b", "a", "gone")}
    revoke_key(tmp_path, "gone", "left", NOW)
    ids = [key.keyid for key in keys.values()]

    keyring = load_keyring(tmp_path)

    assert keyring.names_of([*ids, "0" * 64]) == ("a", "b")
    assert keyring.names_of(ids[:1]) == ("b",)
    assert keyring.names_of([]) == ()


def test_a_key_that_does_not_count_is_described(tmp_path: Path) -> None:
    """By its name, when and why it was revoked; or as what nobody knows."""
    key = trust(tmp_path, "ci")
    revoke_key(tmp_path, "ci", "the laptop was stolen", NOW)

    keyring = load_keyring(tmp_path)

    assert keyring.describe(key.keyid) == (
        "ci, which was revoked on 2026-11-28 (the laptop was stolen)"
    )
    assert keyring.describe("0" * 64) == f"SHA256:{'0' * 64}, which is not in the keyring"


def test_a_revoked_key_counts_for_nothing_under_any_name(tmp_path: Path) -> None:
    """Copied by hand to another file, with its first one gone, it is still revoked."""
    key = trust(tmp_path, "ci")
    revoke_key(tmp_path, "ci", "stolen", NOW)
    folder = tmp_path / "keys"
    (folder / "ci.pub").rename(folder / "trusted.pub")

    keyring = load_keyring(tmp_path)

    assert keyring.keys == {"trusted": key}
    assert keyring.valid == {}
    assert keyring.names_of([key.keyid]) == ()


def test_one_key_has_one_name(tmp_path: Path) -> None:
    """Two files that hold the same key could pass for two signers."""
    trust(tmp_path, "ci")
    folder = tmp_path / "keys"
    pem = (folder / "ci.pub").read_text()
    (folder / "other.pub").write_text(f"\n# looks different\n{pem}")
    expected = f"{folder}: ci.pub and other.pub hold the same key; remove one of them"

    with pytest.raises(VerificationError, match=f"^{re.escape(expected)}$"):
        load_keyring(tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            'fingerprint: "SHA256:{0}\\n"',
            "2: fingerprint: expected SHA256: and 64 hex digits, as key list prints it, got",
        ),
        ("fingerprint: SHA256:{0}0", "2: fingerprint: expected SHA256: and 64 hex digits"),
        ('fingerprint: "{0}"', "2: fingerprint: expected SHA256: and 64 hex digits"),
        ("fingerprnt: SHA256:{0}", "1: the key 'fingerprint' is missing"),
        (
            "fingerprint: SHA256:{0}\nname: ci",
            "5: name: the key stands twice, first in line 1",
        ),
    ],
)
def test_a_revocation_that_would_revoke_nothing_is_an_error(
    tmp_path: Path, text: str, problem: str
) -> None:
    """A slip of the pen does not leave a stolen key trusted."""
    (tmp_path / "keys").mkdir()
    file = tmp_path / "keys" / "ci.revoked.yaml"
    lines = [text.format("a" * 64), "at: 2026-11-28T10:00:00Z", "reason: stolen"]
    if "\nname" in text:
        lines = [lines[0].partition("\n")[0], *lines[1:], "name: ci"]
    file.write_text("\n".join(["name: ci", *lines]))

    with pytest.raises(ConfigError, match=f"{re.escape(f'{file}:{problem}')}"):
        load_keyring(tmp_path)


@pytest.mark.parametrize("name", ["", "CI", "-ci", ".ci", "../ci", "c/i", "ci\n", "сi", "c i"])  # noqa: RUF001
def test_a_name_is_a_file_name_that_cannot_be_mistaken(tmp_path: Path, name: str) -> None:
    """No path, nothing that looks like something else."""
    _, file = key_file(tmp_path)
    expected = f"a key's name is of lower-case letters, digits, '.', '_', '-'; got {name!r}"

    with pytest.raises(UsageError, match=f"^{re.escape(expected)}$"):
        add_key(tmp_path, name, file)
    assert not (tmp_path / "keys").exists()


def test_a_key_is_never_replaced(tmp_path: Path) -> None:
    """A name stays that of one key, also once it is revoked and its file is gone."""
    key = trust(tmp_path, "ci")
    _, file = key_file(tmp_path)
    with pytest.raises(UsageError, match=r"^there is a key 'ci'; a key is never replaced: choose"):
        add_key(tmp_path, "ci", file)

    revoke_key(tmp_path, "ci", "stolen", NOW)
    (tmp_path / "keys" / "ci.pub").unlink()
    with pytest.raises(UsageError, match=r"^there was a key 'ci'; a key is never replaced: choose"):
        add_key(tmp_path, "ci", file)
    assert list(load_keyring(tmp_path).revocations) == [fingerprint(key)]


def test_the_same_key_is_not_added_twice(tmp_path: Path) -> None:
    """Nor once more after it was revoked, under whatever name."""
    key, file = key_file(tmp_path)
    add_key(tmp_path, "ci", file)
    with pytest.raises(UsageError, match=r"^this key is trusted already, as 'ci'$"):
        add_key(tmp_path, "other", file)

    revoke_key(tmp_path, "ci", "stolen", NOW)
    (tmp_path / "keys" / "ci.pub").unlink()
    with pytest.raises(UsageError, match=r"^this key was revoked, as 'ci': stolen$"):
        add_key(tmp_path, "other", file)
    assert load_keyring(tmp_path).describe(key.keyid).startswith("ci, which was revoked")


def test_a_private_key_is_not_added(tmp_path: Path) -> None:
    """It must not travel; nothing of it is written."""
    generate(tmp_path / "ci.pem")

    with pytest.raises(VerificationError, match=r"ci.pem is a private key; give the public one"):
        add_key(tmp_path, "ci", tmp_path / "ci.pem")
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [("hello", "no.pub is no public key in PEM"), (None, r"no.pub cannot be read: No such file")],
)
def test_what_is_no_key_is_not_added(tmp_path: Path, content: str | None, reason: str) -> None:
    """Nor is what is not there; and a keyring that holds such a file is refused whole."""
    file = tmp_path / "no.pub"
    if content is not None:
        file.write_text(content)

    with pytest.raises(VerificationError, match=reason):
        add_key(tmp_path, "ci", file)
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "no.pub").write_text("hello")
    with pytest.raises(VerificationError, match=r"keys/no.pub is no public key in PEM"):
        load_keyring(tmp_path)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """Here a file stands in its place."""
    _, file = key_file(tmp_path)
    (tmp_path / "keys").touch()

    with pytest.raises(VerificationError, match=r"keys/ci.pub cannot be written: File exists"):
        add_key(tmp_path, "ci", file)


def test_only_a_trusted_key_is_revoked_and_once(tmp_path: Path) -> None:
    """A misspelt name lists those there are."""
    with pytest.raises(UsageError, match=r"^there is no key 'ci'; keys: none$"):
        revoke_key(tmp_path, "ci", "stolen", NOW)
    for name in ("ci", "lab"):
        trust(tmp_path, name)
    expected = re.escape("there is no key 'cii', did you mean 'ci'?; keys: ci, lab")
    with pytest.raises(UsageError, match=f"^{expected}$"):
        revoke_key(tmp_path, "cii", "stolen", NOW)
    revoke_key(tmp_path, "ci", "stolen", NOW)

    with pytest.raises(UsageError, match=r"^the key 'ci' is revoked already$"):
        revoke_key(tmp_path, "ci", "stolen again", NOW)


def test_a_revocation_is_never_overwritten(tmp_path: Path) -> None:
    """Of a key whose file was replaced by hand, the one before stays revoked."""
    first = trust(tmp_path, "ci")
    revoke_key(tmp_path, "ci", "stolen", NOW)
    _, file = key_file(tmp_path)
    (tmp_path / "keys" / "ci.pub").write_bytes(file.read_bytes())
    expected = f"{tmp_path}/keys/ci.revoked.yaml revokes another key, which had this name; rename"

    with pytest.raises(UsageError, match=f"^{re.escape(expected)} that file first$"):
        revoke_key(tmp_path, "ci", "stolen too", NOW)
    assert list(load_keyring(tmp_path).revocations) == [fingerprint(first)]


@pytest.mark.parametrize(
    ("reason", "error", "message"),
    [
        ("", ConfigError, "reason: expected 1 or more characters"),
        ("x" * 501, ConfigError, "reason: expected 500 or fewer characters"),
        ("a\nb", UsageError, r"a reason is one line of printable text, got 'a\\nb'"),
        ("\x1b[2J", UsageError, r"a reason is one line of printable text, got '\\x1b"),
        ("\udcff", UsageError, r"a reason is one line of printable text, got '\\udcff'"),
    ],
)
def test_a_reason_is_a_line_of_text(
    tmp_path: Path, reason: str, error: type[Exception], message: str
) -> None:
    """Otherwise nothing is written, and the key stays as it was."""
    trust(tmp_path, "ci")

    with pytest.raises(error, match=message):
        revoke_key(tmp_path, "ci", reason, NOW)
    assert list(load_keyring(tmp_path).valid) == ["ci"]


@given(reason=st.text(min_size=1, max_size=500).filter(str.isprintable))
@example("1e3")
@example("0o17")
@example("yes")
@example("12:30")
@example("#4711: 'stolen' \"twice\" \\n")
@example(" ~ ")
def test_every_reason_is_read_as_it_was_given(reason: str) -> None:
    """A ticket's number is not taken for a number: a keyring that cannot be read stops everyone."""
    with TemporaryDirectory() as folder:
        trust(Path(folder), "ci")

        revoked = revoke_key(Path(folder), "ci", reason, NOW)

        assert list(load_keyring(Path(folder)).revocations.values()) == [revoked]
        assert revoked.reason == reason
