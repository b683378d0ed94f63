"""Which records are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pytest_release.errors import UsageError
from pytest_release.history.record import REPAIR, SUCCESS, Record

UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION = re.compile(rf"([0-9]{{1,9}})([{''.join(UNITS)}])", re.ASCII)


def select(
    records: Iterable[Record],
    *,
    stack: str | None = None,
    env: str | None = None,
    status: str | None = None,
    since: datetime | None = None,
) -> tuple[Record, ...]:
    """The records that agree with all that is given, in their order.

    Args:
        records: Of one history.
        stack: Exactly.
        env: Exactly.
        status: Exactly.
        since: Aware; records of that moment or later.
    """
    return tuple(
        record
        for record in records
        if stack in (None, record.stack)
        and env in (None, record.env)
        and status in (None, record.status)
        and (since is None or record.when >= since)
    )


def last_good(records: Iterable[Record]) -> tuple[Record, ...]:
    """The newest successful record of each stack and environment, in their order.

    A repair is about the history and never counts. The newest is the last written, whatever its
    writer's clock said.
    """
    newest = {
        (record.stack, record.env): record
        for record in records
        if record.status == SUCCESS and record.action != REPAIR
    }
    return tuple(sorted(newest.values(), key=lambda record: record.sequence))


def since(text: str, now: datetime) -> datetime:
    """The moment that ``--since`` means.

    Args:
        text: A date or time in ISO 8601 (UTC where it has no offset), or how long ago: ``90s``,
            ``30m``, ``12h``, ``7d``, ``2w``.
        now: Aware.

    Raises:
        UsageError: It is neither.
    """
    try:
        if ago := _DURATION.fullmatch(text):
            return now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        example = "2026-01-30, 2026-01-30T10:15:00 or 7d"
        raise UsageError(
            f"--since takes a date, a time or a duration ({example}): {text!r}"
        ) from None
