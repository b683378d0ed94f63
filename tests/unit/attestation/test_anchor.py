"""Tests of `pytest_release.attestation.anchor`: what a chain cannot show, a signature does."""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.signer import Key, Signer

from pytest_release.attestation.anchor import add_anchor, anchor_statement, check_anchors
from pytest_release.attestation.envelope import sign
from pytest_release.attestation.keys import ephemeral
from pytest_release.config.validation import validator
from pytest_release.errors import HistoryError, VerificationError
from pytest_release.history import History, anchors_of, verify
from pytest_release.history.lines import LARGEST
from tests.unit.history.conftest import NOW, entry, spy


@dataclass(frozen=True)
class Anchored:
    """Four records, signed after the second and the third."""

    path: Path
    signer: Signer

    @property
    def anchors(self) -> Path:
        """The file of both anchors."""
        return anchors_of(self.path)

    @property
    def keys(self) -> list[Key]:
        """The key that signed."""
        return [self.signer.public_key]


def write(path: Path, *versions: str) -> None:
    """A record for each."""
    for version in versions:
        History(path).append(entry(version), NOW)


@pytest.fixture
def anchored(tmp_path: Path) -> Anchored:
    """A history that verifies."""
    made = Anchored(tmp_path / "history.jsonl", ephemeral().signer)
    write(made.path, "1", "2")
    add_anchor(made.path, made.signer, NOW)
    write(made.path, "3")
    add_anchor(made.path, made.signer, NOW)
    write(made.path, "4")
    return made


def test_an_anchor_says_how_many_and_which(anchored: Anchored) -> None:
    """In an in-toto statement, as its published schema says."""
    chain = verify(anchored.path)
    two, three = check_anchors(anchored.path, anchored.keys)
    statement = anchor_statement(chain, (), NOW)

    assert (two.records, two.head) == (2, chain.records[1].hash)
    assert (three.records, three.head) == (3, chain.records[2].hash)
    assert three.time == NOW.isoformat()
    assert list(three.keys.values()) == anchored.keys
    assert [error.message for error in validator("history").iter_errors(statement)] == []
    assert statement["subject"] == [{"name": "history", "digest": {"sha256": chain.head}}]
    assert statement["predicateType"] == "https://pytest-release.dev/attestation/history/v0.1"


def test_anchors_are_checked_within_a_lock(anchored: Anchored) -> None:
    """A promotion has the history already."""
    with History(anchored.path).locked() as book:
        assert len(check_anchors(anchored.path, anchored.keys, book.chain())) == 2


def test_an_end_that_was_cut_off_is_found(anchored: Anchored) -> None:
    """At whatever byte, as far as it was signed; a cut within a record is no chain."""
    content = anchored.path.read_bytes()
    signed = sum(map(len, content.splitlines(keepends=True)[:3]))
    ends = [len(b"".join(content.splitlines(keepends=True)[:count])) for count in range(4)]
    for size in {*ends[:3], *range(0, signed, 13), signed - 1}:
        anchored.path.write_bytes(content[:size])
        how = "(removed: it was signed at .* of [23] records, and the history has |torn: )"
        with pytest.raises(VerificationError, match=how):
            check_anchors(anchored.path, anchored.keys)

    anchored.path.write_bytes(content[:signed])
    assert len(check_anchors(anchored.path, anchored.keys)) == 2


def test_a_cut_that_was_repaired_is_found(anchored: Anchored) -> None:
    """The next writer makes a chain of it; the record that was signed is another one then."""
    lines = anchored.path.read_bytes().splitlines(keepends=True)
    anchored.path.write_bytes(b"".join(lines[:2]) + lines[2][:40])
    write(anchored.path, "5", "6")

    assert verify(anchored.path).count == 5
    message = r"line 2: changed: it was signed at .* of 3 records, and record 3 is not the one it "
    with pytest.raises(VerificationError, match=message):
        check_anchors(anchored.path, anchored.keys)


def test_another_history_in_its_place_is_found(anchored: Anchored) -> None:
    """However whole its chain is."""
    anchors = anchored.anchors.read_bytes()
    anchored.path.unlink()
    anchored.anchors.unlink()
    write(anchored.path, "1", "2", "5", "4")
    anchored.anchors.write_bytes(anchors)

    message = r"line 2: changed: it was signed at .* of 3 records, and record 3 is not the one it "
    with pytest.raises(VerificationError, match=message):
        check_anchors(anchored.path, anchored.keys)


def test_a_history_that_is_gone_is_found(anchored: Anchored) -> None:
    """It is one kind of error, whatever is wrong."""
    anchored.path.unlink()

    with pytest.raises(VerificationError, match=r"history.jsonl cannot be read: No such file or"):
        check_anchors(anchored.path, anchored.keys)


def test_a_broken_chain_is_no_history(anchored: Anchored) -> None:
    """The anchors are not looked at."""
    anchored.path.write_bytes(anchored.path.read_bytes().replace(b'"3"', b'"9"'))

    with pytest.raises(VerificationError, match=r"history.jsonl, line 3: changed: its hash is not"):
        check_anchors(anchored.path, anchored.keys)


def test_no_anchor_is_a_failure(anchored: Anchored) -> None:
    """An empty file, or none."""
    anchored.anchors.write_bytes(b"")
    with pytest.raises(VerificationError, match=r"anchors holds no anchor: nothing was signed$"):
        check_anchors(anchored.path, anchored.keys)

    anchored.anchors.unlink()
    with pytest.raises(VerificationError, match=r"history.jsonl.anchors cannot be read: No such"):
        check_anchors(anchored.path, anchored.keys)


def test_an_unknown_key_is_refused(anchored: Anchored) -> None:
    """So is no key at all; of two keys, either may have signed."""
    other = ephemeral().signer
    with pytest.raises(VerificationError, match=r"anchors, line 1: none of the given keys signed"):
        check_anchors(anchored.path, [other.public_key])
    with pytest.raises(VerificationError, match=r"anchors, line 1: no trusted key was given"):
        check_anchors(anchored.path, [])

    add_anchor(anchored.path, other, NOW)
    assert len(check_anchors(anchored.path, [*anchored.keys, other.public_key])) == 3
    with pytest.raises(VerificationError, match=r"anchors, line 3: none of the given keys signed"):
        check_anchors(anchored.path, anchored.keys)


def test_any_changed_byte_of_an_anchor_is_found(anchored: Anchored) -> None:
    """Every seventh position, so that it is fast."""
    content = anchored.anchors.read_bytes()
    chain = verify(anchored.path)
    for position in {*range(0, len(content), 7), len(content) - 1}:
        changed = bytearray(content)
        changed[position] ^= 1
        anchored.anchors.write_bytes(changed)
        with pytest.raises(VerificationError, match=r"history.jsonl.anchors, line [12]: "):
            check_anchors(anchored.path, anchored.keys, chain)


def test_anchors_stand_in_their_order(anchored: Anchored) -> None:
    """A later one does not say less."""
    lines = anchored.anchors.read_bytes().splitlines(keepends=True)
    anchored.anchors.write_bytes(b"".join(reversed(lines)))

    message = r"line 2: reordered: it was signed at .* of 2 records, the one before it of 3$"
    with pytest.raises(VerificationError, match=message):
        check_anchors(anchored.path, anchored.keys)


def test_every_cut_of_an_anchor_is_repaired(
    anchored: Anchored, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who signs was killed: nothing is removed, and the next anchor names what is left."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
    first, second = anchored.anchors.read_bytes().splitlines(keepends=True)
    for cut in {1, 2, *range(3, len(second) - 1, 29), len(second) - 2, len(second) - 1}:
        left = first + second[:cut]
        anchored.anchors.write_bytes(left)
        with pytest.raises(VerificationError, match=r"line 2: torn: it was not written to its end"):
            check_anchors(anchored.path, anchored.keys)
        added = add_anchor(anchored.path, anchored.signer, NOW)

        whole = cut == len(second) - 1
        assert [line.length for line in added.torn] == ([] if whole else [cut])
        assert anchored.anchors.read_bytes().startswith(left + b"\n")
        assert len(check_anchors(anchored.path, anchored.keys)) == 2 + whole


def test_what_no_anchor_names_is_no_anchor(anchored: Anchored) -> None:
    """A line in between."""
    first, second = anchored.anchors.read_bytes().splitlines(keepends=True)
    anchored.anchors.write_bytes(first + b"{\n" + second)

    message = r"line 3: it does not name the lines before it that are no anchors$"
    with pytest.raises(VerificationError, match=message):
        check_anchors(anchored.path, anchored.keys)


Edit = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda s: s.update(more=1), r"\$ is not as history v0.1 says \(additionalProperties\)"),
        (lambda s: s.update(_type="x"), "this is no in-toto statement v1"),
        (lambda s: s.update(predicateType="x"), "the predicate type is not https://pytest-release"),
        (lambda s: s.update(subject=[]), r"\$.subject is not as history v0.1 says \(minItems\)"),
        (lambda s: s["predicate"].update(records=0), r"\$.predicate.records is not as .*minimum"),
        (lambda s: s["predicate"].update(records=True), r"\$.predicate.records is not as .*type"),
        (lambda s: s["predicate"].update(time="now"), r"\$.predicate.time is not as .*pattern"),
        (lambda s: s["predicate"].update(head="0" * 64), "its subject is not the hash that it "),
        (lambda s: s["predicate"].update(records=3), "changed: it was signed at"),
        (lambda s: s["predicate"].update(records=5), "removed: it was signed at"),
    ],
)
def test_a_signed_statement_must_be_an_anchor(anchored: Anchored, edit: Edit, message: str) -> None:
    """Of this history, whatever else the key signs."""
    statement = deepcopy(anchor_statement(verify(anchored.path), (), NOW))
    edit(statement)
    anchored.anchors.write_bytes(sign(statement, anchored.signer))

    with pytest.raises(VerificationError, match=f"anchors, line 1: {message}"):
        check_anchors(anchored.path, anchored.keys)


def test_nothing_is_signed_that_does_not_verify(anchored: Anchored) -> None:
    """Neither a broken chain, nor a torn end, nor an empty history."""
    before = anchored.anchors.read_bytes()
    content = anchored.path.read_bytes()
    for wrong, message in (
        (content.replace(b'"3"', b'"9"'), "line 3: changed"),
        (content[:-1], "line 4: torn"),
        (b"", "holds no record: there is nothing to sign$"),
    ):
        anchored.path.write_bytes(wrong)
        with pytest.raises(HistoryError, match=message):
            add_anchor(anchored.path, anchored.signer, NOW)

    anchored.path.unlink()
    with pytest.raises(HistoryError, match=r"history.jsonl cannot be read: No such file"):
        add_anchor(anchored.path, anchored.signer, NOW)
    assert anchored.anchors.read_bytes() == before


def test_anchors_that_cannot_be_written(anchored: Anchored) -> None:
    """One sentence says why."""
    anchored.anchors.unlink()
    anchored.anchors.mkdir()
    with pytest.raises(HistoryError, match=r"anchors cannot be written: Is a directory$"):
        add_anchor(anchored.path, anchored.signer, NOW)
    anchored.anchors.rmdir()
    anchored.anchors.write_bytes(b"x" * LARGEST)
    with pytest.raises(HistoryError, match=r"anchors, at its end: it has more than 1048576 bytes$"):
        add_anchor(anchored.path, anchored.signer, NOW)
    with pytest.raises(VerificationError, match=r"line 1: torn: it was not written to its end"):
        check_anchors(anchored.path, anchored.keys)
    anchored.anchors.write_bytes(b"x" * (LARGEST + 1))
    with pytest.raises(VerificationError, match=r"anchors cannot be read: of a line, it has more"):
        check_anchors(anchored.path, anchored.keys)


def test_an_anchor_is_durable(anchored: Anchored, monkeypatch: pytest.MonkeyPatch) -> None:
    """One write, then fsync."""
    calls = spy(monkeypatch, "write", "fsync")
    add_anchor(anchored.path, anchored.signer, NOW)

    assert [name for name, _ in calls] == ["write", "fsync"]
