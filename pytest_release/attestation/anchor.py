"""Anchors of the history: signed statements of how many records there were, and the last's hash.

The chain of the history shows neither that its end was cut off nor that all of it was written anew.
An anchor does, since the record that it names must still be there. They stand in
``<history>.anchors``, a DSSE envelope a line, which only grows, as the history does. What must be
proven of each:

1. It was signed by a trusted key (`envelope.open_envelope`).
2. It is an in-toto statement with our predicate, as ``schemas/history.schema.json`` says, about the
   hash that it names.
3. The record of that number is there, and has that hash.
4. It does not say less than the one before.
5. It names the lines before it that were not written to their end, and no others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from securesystemslib.signer import Key, Signer

from pytest_release.attestation.envelope import sign
from pytest_release.attestation.predicates import HISTORY, open_statement
from pytest_release.attestation.statement import statement
from pytest_release.errors import HistoryError, VerificationError
from pytest_release.history import Chain, History, anchors_of
from pytest_release.history.lines import (
    READ,
    WRITE,
    LineError,
    Torn,
    append_bytes,
    named,
    open_file,
    read_lines,
    read_tail,
)

SUBJECT = "history"


@dataclass(frozen=True)
class Anchor:
    """What trusted keys said about a history.

    Attributes:
        records: How many there were.
        head: Hash of the last of them.
        time: When it was signed, ISO 8601 in UTC.
        torn: Lines before it, in the file of the anchors, that were not written to their end.
        keys: Those that signed, by id.
    """

    records: int
    head: str
    time: str
    torn: tuple[Torn, ...]
    keys: Mapping[str, Key]


def add_anchor(path: Path, signer: Signer, now: datetime) -> Anchor:
    """Sign the history as it is, and append that to its anchors.

    Args:
        path: The history's.
        signer: Its public key must become known to those who verify.
        now: Aware.

    Raises:
        HistoryError: The history does not verify or holds nothing, or the anchors cannot be
            written.
        VerificationError: It cannot be signed.
    """
    anchors = anchors_of(path)
    with History(path).reading(alone=True) as chain:
        if not chain.records:
            raise HistoryError(f"{path} holds no record: there is nothing to sign")
        try:
            descriptor = open_file(anchors, WRITE)
            try:
                tail = read_tail(descriptor, _whole)
                said = anchor_statement(chain, tail.torn, now)
                line = sign(said, signer)
                append_bytes(descriptor, line if tail.ended else b"\n" + line, path.parent)
            finally:
                os.close(descriptor)
        except LineError as error:
            raise HistoryError(f"{anchors}, at its end: {error}") from None
        except OSError as error:
            raise HistoryError(f"{anchors} cannot be written: {error.strerror}") from None
    key = signer.public_key
    return _anchor(said["predicate"], {key.keyid: key})


def anchor_statement(chain: Chain, torn: tuple[Torn, ...], now: datetime) -> dict[str, Any]:
    """The in-toto statement about a history.

    Args:
        chain: Of at least one record.
        torn: The lines at the end of the anchors that were not written to their end.
        now: Aware.
    """
    predicate = {
        "records": chain.count,
        "head": chain.head,
        "time": now.astimezone(UTC).isoformat(),
        "torn": named(torn),
    }
    return statement([{"name": SUBJECT, "digest": {"sha256": chain.head}}], HISTORY, predicate)


def check_anchors(
    path: Path, keys: Sequence[Key], chain: Chain | None = None
) -> tuple[Anchor, ...]:
    """Prove steps 1 to 5 of the module's docstring for every anchor; there is at least one.

    Args:
        path: The history's.
        keys: Trusted public keys; each anchor was signed by one of them.
        chain: The history, by who has its lock; without it, it is read and verified here.

    Raises:
        VerificationError: The first line that does not hold, and why.
    """
    try:
        if chain is not None:
            return _check(anchors_of(path), keys, chain)
        with History(path).reading() as read:
            return _check(anchors_of(path), keys, read)
    except HistoryError as error:
        raise VerificationError(str(error)) from None


def _check(anchors: Path, keys: Sequence[Key], chain: Chain) -> tuple[Anchor, ...]:
    found: list[Anchor] = []
    torn: list[Torn] = []
    lines = _lines(anchors)
    for number, (line, _) in enumerate(lines, 1):
        try:
            _whole(line)
        except LineError:
            torn.append(Torn.of(line))
            continue
        try:
            anchor = _open(line, keys)  # 1, 2
            _check_place(anchor, chain, found, torn)  # 3, 4, 5
        except VerificationError as error:
            raise VerificationError(f"{anchors}, line {number}: {error}") from None
        found.append(anchor)
        torn.clear()
    if torn or (lines and not lines[-1][1]):
        message = "torn: it was not written to its end; sign again to repair it"
        raise VerificationError(f"{anchors}, line {len(lines)}: {message}")
    if not found:
        raise VerificationError(f"{anchors} holds no anchor: nothing was signed")
    return tuple(found)


def _lines(anchors: Path) -> list[tuple[bytes, bool]]:
    try:
        with os.fdopen(open_file(anchors, READ), "rb") as stream:
            return list(read_lines(stream))
    except (OSError, LineError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"of a line, {error}"
        raise VerificationError(f"{anchors} cannot be read: {reason}") from None


def _whole(line: bytes) -> bytes:
    """The line, which is JSON; a part of an envelope is none."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        raise LineError("it is not JSON", torn=True) from None
    return line


def _open(line: bytes, keys: Sequence[Key]) -> Anchor:
    opened = open_statement(line, keys, HISTORY)
    anchor = _anchor(opened.statement["predicate"], opened.keys)
    if opened.statement["subject"][0]["digest"]["sha256"] != anchor.head:
        raise VerificationError("its subject is not the hash that it names")
    return anchor


def _anchor(predicate: Mapping[str, Any], keys: Mapping[str, Key]) -> Anchor:
    torn = tuple(Torn(line["sha256"], line["length"]) for line in predicate["torn"])
    return Anchor(predicate["records"], predicate["head"], predicate["time"], torn, keys)


def _check_place(
    anchor: Anchor, chain: Chain, before: Sequence[Anchor], torn: Sequence[Torn]
) -> None:
    signed = f"it was signed at {anchor.time} of {anchor.records} records"
    if anchor.records > chain.count:
        message = f"removed: {signed}, and the history has {chain.count}"
        raise VerificationError(message)
    if chain.records[anchor.records - 1].hash != anchor.head:
        message = f"changed: {signed}, and record {anchor.records} is not the one it was then"
        raise VerificationError(message)
    if before and anchor.records < before[-1].records:
        message = f"reordered: {signed}, the one before it of {before[-1].records}"
        raise VerificationError(message)
    if anchor.torn != tuple(torn):
        raise VerificationError("it does not name the lines before it that are no anchors")
