"""Which records are asked for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from pytest_release.history.record import DEPLOY, ROLLBACK, ROLLOUT, SUCCESS, Record
from pytest_release.moments import moment


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


def is_good(record: Record) -> bool:
    """Whether a record says that its release was good where it ran.

    A deployment, a rollback and a rollout that changed something do; that a release may go
    somewhere (a promotion) does not say that it did, and a repair is about the history.
    """
    if record.status != SUCCESS:
        return False
    if record.action == ROLLOUT:
        return bool(record.details.get("changed"))
    return record.action in (DEPLOY, ROLLBACK)


def last_good(records: Iterable[Record]) -> tuple[Record, ...]:
    """The newest record of each stack and environment that calls its release good, in their order.

    The newest is the last written, whatever its writer's clock said.
    """
    newest = {(record.stack, record.env): record for record in records if is_good(record)}
    return tuple(sorted(newest.values(), key=lambda record: record.sequence))


def since(text: str, now: datetime) -> datetime:
    """The moment that ``--since`` means; see `moment`."""
    return moment("--since", text, now)
