"""Brings a database back from a backup: never by itself, and only with a confirmation of its own.

``confirm`` must be the environment's name: a plan takes it from ``--set``, so that a person said
it. The backup must be of this environment, and as it was written. All of it comes back in one
transaction, or nothing does; what the backup does not know stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_release.errors import RolloutError
from pytest_release.redaction import reveal
from pytest_release.rollout.backups import DUMP, Backup, backup_named
from pytest_release.rollout.pg_tools import SERVICE, place_of, run_tool
from pytest_release.rollout.stage import Order, Outcome, Stage


def describe(options: Mapping[str, Any]) -> str:
    """From where."""
    return f"restore the database from {options['root']}/{options['backup']}, once confirmed"


def repeatable(options: Mapping[str, Any]) -> bool:
    """What came in between would be lost a second time."""
    return False


def act(order: Order, stage: Stage) -> Outcome:
    """Prove the backup, then restore it in one transaction."""
    options = order.options
    _refuse_unconfirmed(order)
    backup = backup_named(Path(reveal(options["root"])), reveal(options["backup"]))
    _refuse_another(backup, order)
    backup.read_again()
    service = options.get("database", "postgres")
    database = stage.environment(order.environment).services.get(service, {})
    if "dsn" not in database:
        raise RolloutError(f"{order.environment} has no services.{service}.dsn to restore into")
    place = place_of(database)
    all_or_nothing = ("--clean", "--if-exists", "--single-transaction", "--exit-on-error")
    arguments = (*all_or_nothing, f"--dbname=service={SERVICE}", str(backup.path / DUMP))
    ran = run_tool(stage, order, place, "pg_restore", arguments)
    why = f"{place.shown} is as in {backup.path}, made before {backup.release}"
    return Outcome(True, why, ran.status, ran.output, {"path": str(backup.path)})


def check(order: Order, stage: Stage) -> Outcome | None:
    """Nobody can tell: the transaction may have ended before or after."""
    return None


def _refuse_unconfirmed(order: Order) -> None:
    confirmed = reveal(order.options["confirm"])
    if confirmed != order.environment:
        raise RolloutError(
            f"restoring into {order.environment} replaces its data: it needs the confirmation "
            f"{order.environment!r}, got {confirmed!r}"
        )


def _refuse_another(backup: Backup, order: Order) -> None:
    if backup.environment != order.environment:
        raise RolloutError(
            f"{backup.path} is a backup of {backup.environment}, not of {order.environment}"
        )
    if DUMP not in backup.files:
        raise RolloutError(f"{backup.path} has no database in it")
