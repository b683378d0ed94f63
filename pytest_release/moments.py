"""Moments as people write them on a command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from pytest_release.errors import UsageError

UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
DURATION = re.compile(rf"([0-9]{{1,9}})([{''.join(UNITS)}])", re.ASCII)


def moment(option: str, text: str, now: datetime, *, ahead: bool = False) -> datetime:
    """The moment that an option means, in UTC.

    Args:
        option: Its name, for the message.
        text: A date or time in ISO 8601 (UTC where it has no offset), or how long from now:
            ``90s``, ``30m``, ``12h``, ``7d``, ``2w``.
        now: Aware.
        ahead: A duration leads into the future, and not into the past.

    Raises:
        UsageError: It is neither.
    """
    try:
        if match := DURATION.fullmatch(text):
            away = timedelta(**{UNITS[match[2]]: int(match[1])})
            return (now + away if ahead else now - away).astimezone(UTC)
        given = datetime.fromisoformat(text)
        return (given if given.tzinfo else given.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        example = "2026-01-30, 2026-01-30T10:15:00 or 7d"
        raise UsageError(
            f"{option} takes a date, a time or a duration ({example}): {text!r}"
        ) from None
