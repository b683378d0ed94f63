"""A record of the history, and the one line that it is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from pytest_release.atomic import canonical_json
from pytest_release.errors import HistoryError
from pytest_release.history.lines import LARGEST, LineError, Torn

REPAIR = "repair"  # the action of a record that names torn lines
SUCCESS = "success"
ROLLOUT, ROLLBACK, DEPLOY = "rollout", "rollback", "deploy"
NOTHING = "0" * 64  # the hash before the first record
WORDS = ("stack", "env", "action", "version", "status", "notes")
MEMBERS = {"sequence", "time", *WORDS, "details", "previous", "hash"}
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is to be recorded.

    Attributes:
        status: `SUCCESS`, or a word for what else became of it.
        details: A JSON object; of a promotion its nonces, policy and digests.
    """

    stack: str
    env: str
    action: str
    version: str
    status: str
    notes: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Record(Entry):
    """An entry in its place.

    Attributes:
        sequence: From 1.
        time: ISO 8601 in UTC.
        previous: Hash of the record before; `NOTHING` of the first.
        hash: SHA-256 of the canonical JSON of the record without it.
    """

    sequence: int
    time: str
    previous: str
    hash: str

    @property
    def when(self) -> datetime:
        """The time, aware."""
        return datetime.fromisoformat(self.time)

    @property
    def torn(self) -> tuple[Torn, ...]:
        """The torn lines that a repair names; of another record none."""
        if self.action != REPAIR:
            return ()
        return tuple(Torn(line["sha256"], line["length"]) for line in self.details["torn"])

    @property
    def line(self) -> bytes:
        """As it stands in the file, with its line feed."""
        return canonical_json({**self.unhashed(), "hash": self.hash}) + b"\n"

    def unhashed(self) -> dict[str, Any]:
        """The members that `hash` is of."""
        return {name: getattr(self, name) for name in MEMBERS - {"hash"}}


def make_record(last: Record | None, entry: Entry, now: datetime) -> Record:
    """The record of `entry` that follows `last`.

    Args:
        last: None when there is none.
        entry: Its details are read back from JSON, so that what is returned is what is written.
        now: Aware.

    Raises:
        HistoryError: It cannot be written as a line of JSON of at most `LARGEST` bytes.
        ValueError: `now` is not aware.
    """
    if now.tzinfo is None:
        raise ValueError("the time of a record needs its time zone")
    members = {name: getattr(entry, name) for name in WORDS} | {
        "sequence": last.sequence + 1 if last else 1,
        "time": now.astimezone(UTC).isoformat(),
        "details": entry.details,
        "previous": last.hash if last else NOTHING,
    }
    try:
        members = json.loads(canonical_json(members))
        line = canonical_json({**members, "hash": _hash(members)})
        record = read_record(line)
    except (TypeError, ValueError, RecursionError) as error:
        raise HistoryError(f"the entry cannot be written as JSON: {error}") from None
    if len(line) >= LARGEST:
        message = f"the entry has {len(line)} bytes, a line of the history has at most {LARGEST}"
        raise HistoryError(message)
    return record


def read_record(line: bytes) -> Record:
    """The record that a line, without its line feed, is.

    Raises:
        LineError: It is none.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise LineError("it is not JSON", torn=True) from None
    try:
        canonical = canonical_json(value)
    except (ValueError, RecursionError):
        canonical = b""
    if canonical != line:
        raise LineError("it is not the canonical JSON of a record")
    if not isinstance(value, dict) or not _is_record(value):
        raise LineError("its members are not those of a record")
    stated = value.pop("hash")
    if _hash(value) != stated:
        raise LineError("its hash is not that of its content")
    return Record(**value, hash=stated)


def _hash(members: Mapping[str, Any]) -> str:
    return sha256(canonical_json(members)).hexdigest()


def _is_record(value: Mapping[str, Any]) -> bool:
    return (
        value.keys() == MEMBERS
        and all(isinstance(value[name], str) for name in (*WORDS, "time"))
        and _is_count(value["sequence"])
        and _is_digest(value["previous"])
        and _is_digest(value["hash"])
        and _is_time(value["time"])
        and isinstance(value["details"], dict)
        and (value["action"] != REPAIR or _names_torn_lines(value["details"]))
    )


def _is_count(value: Any) -> bool:  # noqa: ANN401 - as it was read
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_digest(value: Any) -> bool:  # noqa: ANN401 - as it was read
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _is_time(text: str) -> bool:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return False
    return time.utcoffset() == timedelta(0) and time.isoformat() == text


def _names_torn_lines(details: Mapping[str, Any]) -> bool:
    lines = details.get("torn")
    return (
        details.keys() == {"torn"}
        and isinstance(lines, list)
        and bool(lines)
        and all(
            isinstance(line, dict)
            and line.keys() == {"sha256", "length"}
            and _is_digest(line["sha256"])
            and _is_count(line["length"])
            for line in lines
        )
    )
