"""The newest dump is restored into a database of its own, whose tables have their rows.

- The database is made for it on the server ``services.scratch``, and dropped afterwards.
- In production that server may be neither the environment's own nor one that holds databases.
- Of a script psql obeys nothing but SQL.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

from pytest_release.errors import PackageError
from pytest_release.evidence import Finding
from pytest_release.gates._monitoring_dumps import (
    content,
    is_archive,
    newest_dump,
    programs_of,
    qualified,
)
from pytest_release.gates._monitoring_watch import Watch, cut, some
from pytest_release.redaction import reveal
from pytest_release.targets.pg_programs import Said
from pytest_release.targets.postgres import (
    Database,
    MissingRelationError,
    address_of,
    elsewhere,
)

RESTORING_S = 1800.0
SCRATCH = "release_scratch_"
STARTED = "SELECT pg_postmaster_start_time()::text, inet_server_port()"
OTHERS = "SELECT datname FROM pg_database WHERE NOT datistemplate AND datname <> 'postgres'"
RESTRICT = re.compile(rb"\\restrict ([A-Za-z0-9]+)\r?\n")
ARCHIVE = ("--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges")
SCRIPT = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null",
          "--single-transaction", "--file=-")  # fmt: skip


def restored(watch: Watch) -> Iterator[Finding]:
    """It can be restored, and its tables have at least as many rows as the case says."""
    file, _ = newest_dump(watch)
    options = {"dsn": reveal(watch.options("scratch").get("dsn", ""))}
    address_of(options["dsn"], "services.scratch.dsn")
    name = f"{SCRATCH}{uuid4().hex[:12]}"
    with closing(Database.connect(options, read_only=False)) as server:
        if refusal := _refusal(watch, server):
            yield watch.found("restore-refused", refusal)
            return
        what = f"the database {name} of {server.place}"
        watch.scene.afterwards(what, lambda: _drop(options, name))
        _create(server, name)
    began = time.monotonic()
    said = _restore(watch, file, {**address_of(options["dsn"]), "dbname": name})
    if said:
        yield watch.found("restore-failed", f"{file} cannot be restored: {said}")
        return
    watch.figures["restore_s"] = [time.monotonic() - began]
    yield from _rows(watch, file, elsewhere(options["dsn"], name))


def _refusal(watch: Watch, server: Database) -> str:
    """Why nothing may be restored there; empty when it may."""
    environment = watch.scene.environment
    if environment.role != "production":
        return ""
    own = watch.options("postgres")
    if own:
        with closing(Database.connect(own)) as production:
            if production.query(STARTED) == server.query(STARTED):
                return (
                    f"services.scratch, {server.place}, is the server of production itself, "
                    f"{production.place}: nothing is restored there"
                )
    others = [name for (name,) in server.query(OTHERS) if not name.startswith(SCRATCH)]
    if others:
        return (
            f"services.scratch, {server.place}, holds databases: {some(sorted(others))}; "
            f"{environment.name} restores only on a server that holds none"
        )
    return ""


def _create(server: Database, name: str) -> None:
    from psycopg import sql  # noqa: PLC0415 - an extra

    with server.errors():
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'")
        server.connection.execute(statement.format(sql.Identifier(name)))


def _drop(options: Mapping[str, Any], name: str) -> None:
    from psycopg import sql  # noqa: PLC0415 - an extra

    with closing(Database.connect(options, read_only=False)) as server, server.errors():
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        server.connection.execute(statement.format(sql.Identifier(name)))


def _restore(watch: Watch, file: Path, address: Mapping[str, Any]) -> str:
    """Restore, all or nothing; gives what is wrong."""
    programs, limit = programs_of(watch), watch.case.options.get("timeout_s", RESTORING_S)
    to = f"--dbname={address['dbname']}"
    if is_archive(file):
        arguments = [*ARCHIVE, to, str(file)]
        said = programs.run("pg_restore", arguments, address=address, timeout_s=limit)
        return _complaint(said)
    try:
        script = _restricted(file)
        said = programs.run("psql", [*SCRIPT, to], address=address, stdin=script, timeout_s=limit)
    except PackageError as error:
        return str(error)
    return _complaint(said)


def _complaint(said: Said) -> str:
    return cut(said.complaint or f"status {said.status}") if said.status else ""


def _restricted(file: Path) -> Iterator[bytes]:
    r"""A script for psql, which obeys none of its own commands in it.

    With ``\restrict`` and a key that the file cannot know, psql itself refuses ``\!`` and
    ``\connect`` (CVE-2025-8714). The script's own pair with its own key is left out.
    """
    yield b"\\restrict %s\n" % uuid4().hex.encode()
    left_out: tuple[bytes, ...] = ()
    begins = True
    for block in content(file):
        for line in block.splitlines(keepends=True):
            if begins and not left_out and (key := RESTRICT.fullmatch(line)):
                left_out = (line, b"\\unrestrict %s\n" % key[1])
            if not (begins and line in left_out):
                yield line
            begins = line.endswith(b"\n")


def _rows(watch: Watch, file: Path, dsn: str) -> Iterator[Finding]:
    from psycopg import sql  # noqa: PLC0415 - an extra

    total = 0
    with closing(Database.connect({"dsn": dsn})) as database:
        for table, least in watch.case.expect.get("rows", {}).items():
            statement = sql.SQL("SELECT count(*) FROM {}")
            try:
                relation = sql.Identifier(*qualified(table))
                count = int(database.query(statement.format(relation))[0][0])
            except MissingRelationError:
                message = f"{file} restores no table {table}"
                yield watch.found("dump-lacks-table", message, table)
                continue
            total += count
            if count < least:
                message = f"{file} restores {count} rows of {table}, {least} were expected"
                yield watch.found("too-few-rows", message, f"at least {least}", str(count))
    watch.figures["restored_rows"] = [float(total)]
