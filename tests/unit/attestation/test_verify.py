"""Tests of `pytest_release.attestation.verify`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_release.attestation.keys import ephemeral, fingerprint
from pytest_release.attestation.verify import describe, verify_bundle
from pytest_release.errors import VerificationError
from tests.unit.attestation.conftest import NOW, Edit, Signed


def test_what_was_signed_verifies(signed: Signed) -> None:
    """The description says what was judged, where, when, by whom, with which verdict."""
    text = describe(signed.verify())

    for part in (
        "PASSED",
        "staging",
        "release 1.4.2 (gitCommit:d34bcae)",
        "2026-11-23T10:00:00",
        "3, all as signed",
        fingerprint(signed.key),
    ):
        assert part in text
    assert "WARNING" not in text


def test_an_ephemeral_key_proves_nothing(signed: Signed) -> None:
    """The description says so aloud."""
    signed.seal(lambda _, second: second["predicate"].update(ephemeralKey=True))

    assert "the signature proves nothing" in describe(signed.verify())


def test_a_version_cannot_steer_the_terminal(signed: Signed) -> None:
    """What the deployment says of itself is shown with its control characters as escapes."""
    signed.seal(lambda _, second: second["predicate"]["release"].update(version="\x1b[2J\n1"))

    assert "release      \\x1b[2J\\n1\n" in describe(signed.verify())


def test_no_byte_of_the_attestation_can_change(signed: Signed) -> None:
    """Whichever byte of the two lines has one bit flipped, it is refused."""
    content = signed.attestation.read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        signed.attestation.write_bytes(changed)
        with pytest.raises(VerificationError, match=r"line|lines"):
            signed.verify()


@pytest.mark.parametrize("name", ["report.html", "evidence.json"])
def test_no_byte_of_a_file_can_change(signed: Signed, name: str) -> None:
    """Whichever byte of a file has one bit flipped, the file is named."""
    content = (signed.folder / name).read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        (signed.folder / name).write_bytes(changed)
        with pytest.raises(VerificationError, match=f"{name} was changed: its sha256 is"):
            signed.verify()


def lines(bundle: Signed) -> list[bytes]:
    """The two lines with their line feeds."""
    return bundle.attestation.read_bytes().splitlines(keepends=True)


def rewrite(*order: int) -> Callable[[Signed], object]:
    """The lines of the attestation in another order."""
    return lambda bundle: bundle.attestation.write_bytes(
        b"".join(lines(bundle)[number] for number in order)
    )


def instead(make: Callable[[Path], object]) -> Callable[[Signed], object]:
    """Something else under the attestation's name."""

    def spoil(bundle: Signed) -> None:
        bundle.attestation.unlink()
        make(bundle.attestation)

    return spoil


SPOILED: dict[str, tuple[str, Callable[[Signed], object]]] = {
    "a file more": ("extra is in the bundle", lambda b: (b.folder / "extra").touch()),
    "a file less": ("empty was signed and is missing", lambda b: (b.folder / "empty").unlink()),
    "renamed": ("missing|not signed", lambda b: (b.folder / "empty").rename(b.folder / "e")),
    "truncated": ("report.html was changed", lambda b: os.truncate(b.folder / "report.html", 3)),
    "a folder": ("sub is not a plain file", lambda b: (b.folder / "sub").mkdir()),
    "a link": ("ln is not a plain file", lambda b: (b.folder / "ln").symlink_to("empty")),
    "no attestation": ("cannot be read: No such file", lambda b: b.attestation.unlink()),
    "a pipe": ("no plain file", instead(os.mkfifo)),
    "a linked attestation": ("no plain file", instead(lambda p: p.symlink_to("empty"))),
    "too large": (
        "too large to be an attestation",
        lambda b: os.truncate(b.attestation, 2**28),
    ),
    "nothing in it": ("has 0 lines", lambda b: b.attestation.write_bytes(b"")),
    "line 1 only": ("has 1 lines", rewrite(0)),
    "a third line": ("has 3 lines", rewrite(0, 1, 1)),
    "swapped": ("line 1: the predicate type is not .*test-result", rewrite(1, 0)),
    "line 1 twice": ("line 2: the predicate type is not .*release-gate", rewrite(0, 0)),
    "another signer": (
        "line 1: none of the given keys signed this; it says",
        lambda b: Signed(b.folder, ephemeral().signer).seal(),
    ),
}


@pytest.mark.parametrize("how", SPOILED)
def test_what_was_spoiled_is_refused(signed: Signed, how: str) -> None:
    """Whatever was done to the folder after it was signed is refused, with the reason."""
    reason, spoil = SPOILED[how]
    spoil(signed)

    with pytest.raises(VerificationError, match=reason):
        signed.verify()


def put(number: int, **members: Any) -> Edit:  # noqa: ANN401 - any JSON value
    """Replace members of a statement's predicate."""
    return lambda *both: both[number]["predicate"].update(members)


SAID: dict[str, tuple[str, Edit]] = {
    "no statement": ("line 1: this is no in-toto statement v1", lambda a, _: a.pop("_type")),
    "no predicate": ("line 1: the statement has no predicate", lambda a, _: a.pop("predicate")),
    "no subject": (r"line 2: \$.subject is not as", lambda _, b: b.update(subject=[])),
    "other subjects": ("not speak of the same subjects", lambda a, _: a.update(subject=[])),
    "other results": ("do not agree on the result", put(0, result="WARNED")),
    "incomplete is no pass": ("do not agree on the result", put(1, verdict="INCOMPLETE")),
    "no files": (r"line 2: \$.predicate.files is not as .* \(minProperties\)", put(1, files={})),
    "a file without a digest": (r"\$.predicate.files.a is not as", put(1, files={"a": 1})),
    "no date": (r"\$.predicate.started is not as", put(1, started="yesterday")),
    "an impossible date": ("does not say when", put(1, started="2026-13-01T00:00:00Z")),
    "backwards": ("before it began", put(1, started="2026-11-23T10:00:01Z")),
    "in the future": ("in the future", put(1, finished="2026-11-23T10:05:01Z")),
}


@pytest.mark.parametrize("what", SAID)
def test_a_signature_does_not_excuse_nonsense(signed: Signed, what: str) -> None:
    """Statements by a trusted key that contradict each other or the format are refused."""
    reason, edit = SAID[what]
    signed.seal(edit)

    with pytest.raises(VerificationError, match=reason):
        signed.verify()


def test_lines_of_two_runs_do_not_pair(signed: Signed) -> None:
    """The second line vouches for one first line only."""
    signed.seal(bind=False)

    with pytest.raises(VerificationError, match="the two statements are not of one run"):
        signed.verify()


def test_an_unsigned_line_is_refused(signed: Signed) -> None:
    """Neither line is believed without its signature."""
    unsigned = lines(signed)[1].split(b'"signatures":')[0] + b'"signatures":[]}\n'
    signed.attestation.write_bytes(lines(signed)[0] + unsigned)

    with pytest.raises(VerificationError, match="line 2: the envelope is not signed"):
        signed.verify()


def test_a_file_that_cannot_be_read(signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is named; no other error comes out."""

    def unreadable(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pytest_release.attestation.verify.sha256_of", unreadable)

    with pytest.raises(VerificationError, match="empty cannot be read: Permission denied"):
        signed.verify()


def test_a_threshold_needs_as_many_signatures(signed: Signed) -> None:
    """Two trusted keys and a threshold of two are not met by one signature."""
    keys = [signed.key, ephemeral().signer.public_key]

    with pytest.raises(VerificationError, match="fewer than 2 given keys signed this"):
        verify_bundle(signed.folder, keys, now=NOW, threshold=2)
