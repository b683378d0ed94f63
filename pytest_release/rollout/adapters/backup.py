"""Backs a stack up: its compose files, its env file and its database; see `rollout.backups`.

Facts: ``path`` and ``name`` of the backup.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pytest_release.config.environment import Environment
from pytest_release.errors import RolloutError
from pytest_release.redaction import reveal
from pytest_release.rollout.backups import (
    DUMP,
    KEPT,
    LIST,
    Backup,
    backups,
    make_backup,
    tables_listed,
)
from pytest_release.rollout.pg_tools import place_of, run_tool
from pytest_release.rollout.stage import Order, Outcome, Stage
from pytest_release.targets.compose import NAMES


def describe(options: Mapping[str, Any]) -> str:
    """Where to."""
    database = "" if options.get("database", "") is False else " with the database"
    return f"back up to {options['root']}/<UTC time>{database}"


def repeatable(options: Mapping[str, Any]) -> bool:
    """Two backups do no harm."""
    return True


def act(order: Order, stage: Stage) -> Outcome:
    """Make it; whatever is missing in it is a failure."""
    environment = stage.environment(order.environment)
    release = reveal(order.options.get("release", stage.release))
    note = {"environment": order.environment, "release": release, "order": _key(order, stage)}
    made = make_backup(
        _root(order),
        note,
        _files(order, environment),
        _dump(order, stage, environment),
        stage.now(),
        order.options.get("keep", KEPT),
    )
    return _told("made", made)


def check(order: Order, stage: Stage) -> Outcome | None:
    """The folder says whether it was made: it has its name only when it is whole."""
    key = _key(order, stage)
    made = next((b for b in backups(_root(order)) if b.order == key), None)
    return None if made is None else _told("had been made", made)


def _key(order: Order, stage: Stage) -> str:
    return f"{stage.rollout}/{order.step}"


def _told(what: str, made: Backup) -> Outcome:
    dump = "no database" if made.tables is None else f"{made.tables} tables dumped and read again"
    why = f"{made.path} was {what}: {', '.join(made.files)}; {dump}"
    if what != "made":
        why = f"{made.path} {what}"
    return Outcome(done=True, why=why, facts={"path": str(made.path), "name": made.path.name})


def _root(order: Order) -> Path:
    return Path(reveal(order.options["root"])).absolute()


def _files(order: Order, environment: Environment) -> list[Path]:
    """Those that the step names, or the stack's compose files and its env file."""
    if "files" in order.options:
        return [Path(reveal(file)).absolute() for file in order.options["files"]]
    given = environment.services.get("compose")
    if given is None:
        return []
    folder = Path(reveal(order.options.get("directory", given["directory"])))
    named = [reveal(name) for name in given.get("files", ())]
    files = named or [name for name in NAMES if (folder / name).is_file()][:1]
    if not files:
        raise RolloutError(f"{folder} has no compose file: a backup without it would not be one")
    return [folder / name for name in (*files, reveal(given.get("env_file", ".env")))]


def _dump(order: Order, stage: Stage, environment: Environment) -> Callable[[Path], int] | None:
    """What writes the dump; None where the step wants none.

    Raises:
        RolloutError: The environment has no such database.
    """
    service = order.options.get("database", "postgres")
    if service is False:
        return None
    options = environment.services.get(service, {})
    if "dsn" not in options:
        raise RolloutError(
            f"{environment.name} has no services.{service}.dsn: name the database's service, or "
            "say 'database: false'"
        )

    def dump(folder: Path) -> int:
        place = place_of(options)
        file, listed = folder / DUMP, folder / LIST
        run_tool(stage, order, place, "pg_dump", ("--format=custom", f"--file={file}"))
        run_tool(stage, order, place, "pg_restore", ("--list", f"--file={listed}", str(file)))
        run_tool(stage, order, place, "pg_restore", ("--file=/dev/null", str(file)))
        tables = tables_listed(listed)
        if tables < place.tables:
            raise RolloutError(
                f"the dump of {place.shown} holds {tables} of its {place.tables} tables"
            )
        return tables

    return dump
