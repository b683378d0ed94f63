"""Grafana and Alertmanager as they answer, and as they should not; PostgreSQL's programs."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_release.errors import TargetError
from pytest_release.targets.alertmanager import Alertmanager, Delivered
from pytest_release.targets.grafana import Grafana, Item
from pytest_release.targets.pg_programs import Programs
from pytest_release.targets.postgres import elsewhere
from tests.unit.targets.conftest import Serve, environment_at
from tests.unit.targets.scripted import Server, plain

Make = Callable[..., Grafana | Alertmanager]


def grafana(server: Server) -> Grafana:
    """What asks a Grafana."""
    return Grafana({"url": server.url, "token": "t"}, environment_at(None))


def alertmanager(server: Server) -> Alertmanager:
    """What asks an Alertmanager."""
    return Alertmanager({"url": server.url}, environment_at(None))


def told(serve: Serve, value: Any, status: int = 200) -> Server:  # noqa: ANN401 - any JSON
    """A server that answers with this JSON."""
    return serve(plain(json.dumps(value).encode(), status=status))


@pytest.mark.parametrize(
    ("status", "value", "well", "said"),
    [
        (200, {"database": "ok"}, True, "200 database 'ok'"),
        (503, {"database": "failing"}, False, "503 database 'failing'"),
        (200, {"database": "failing"}, False, "200 database 'failing'"),
        (200, {}, False, "200 '{}'"),
        (200, [], False, "200 '[]'"),
    ],
)
def test_grafanas_database(
    serve: Serve, status: int, value: dict[str, str], well: bool, said: str
) -> None:
    """Is ok only where Grafana says so."""
    health = grafana(told(serve, value, status)).database()

    assert (health.well, health.said) == (well, said)


def test_grafanas_items(serve: Serve) -> None:
    """Have a name and a uid."""
    assert grafana(told(serve, [{"title": "Node", "uid": "n"}])).dashboards() == (
        Item("Node", "n"),
    )
    assert grafana(told(serve, [{"name": "Prom", "uid": "p"}])).sources() == (Item("Prom", "p"),)


@pytest.mark.parametrize(
    ("status", "body", "well"),
    [
        (200, b'{"status": "OK", "message": "fine"}', True),
        (400, b'{"status": "ERROR", "message": "no"}', False),
        (200, b"<html>", False),
        (200, b"[]", False),
    ],
)
def test_a_data_sources_health(serve: Serve, status: int, body: bytes, well: bool) -> None:
    """Is what it says; its uid cannot leave its place."""
    server = serve(plain(body, status=status))

    assert grafana(server).source_health("../x").well is well
    assert b"GET /api/datasources/uid/..%2Fx/health " in server.requests[0]


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (401, b"{}", "/api/search answers 401 '{}': expected 200 and JSON: it wants another login"),
        (200, b"<html>", "/api/search answers 200 '<html>': expected 200 and JSON"),
        (200, b"[" * 100_000, "/api/search answers 200 "),
        (200, b"[1]", "/api/search answers in another form than expected"),
    ],
)
def test_another_answer(serve: Serve, status: int, body: bytes, message: str) -> None:
    """Is no list of dashboards."""
    server = serve(plain(body, status=status))
    with pytest.raises(TargetError, match=re.escape(f"{server.url}{message}")):
        grafana(server).dashboards()


def test_alertmanager(serve: Serve) -> None:
    """Is well when it says OK, and tells what it has and what keeps it."""
    status = {"state": "suppressed", "silencedBy": ["s"], "inhibitedBy": []}
    alert = {"labels": {"alertname": "Down"}, "status": status}

    assert alertmanager(serve(plain(b"OK\n"))).healthy().well
    assert not alertmanager(serve(plain(b"<p>ok"))).ready().well
    assert alertmanager(told(serve, [alert])).alerts() == (
        Delivered("Down", "suppressed", {"alertname": "Down"}, ("s",)),
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Grafana, "here.yaml: services.grafana.url: expected http://host:3000"),
        (Alertmanager, "here.yaml: services.alertmanager.url: expected http://host:9093"),
    ],
)
def test_no_address(make: Make, message: str) -> None:
    """Is a sentence that names file and key."""
    with pytest.raises(TargetError, match=message):
        make({}, environment_at(None))


def program(folder: Path, script: str) -> Programs:
    """A psql that is this script."""
    file = folder / "psql"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return Programs(folder)


def test_a_program(tmp_path: Path) -> None:
    """Is told the address by its environment, never by its arguments; its complaint is masked."""
    script = 'cat; echo "$PGHOST $PGDATABASE $* $SECRET"; echo "bad $PGPASSWORD" >&2; exit 3'
    address = {"host": "db", "dbname": "d", "password": "hunter2"}
    os.environ["SECRET"] = "of ours"
    try:
        said = program(tmp_path, script).run(
            "psql", ["-X"], address=address, stdin=[b"a", b"b\n"], timeout_s=20
        )
    finally:
        del os.environ["SECRET"]

    assert (said.status, said.text, said.complaint) == (3, "ab\ndb d -X \n", "bad ***")


def test_a_program_that_does_not_listen(tmp_path: Path) -> None:
    """Is judged by how it ended."""
    endless = (b"x" * 100_000 for _ in range(1000))

    assert program(tmp_path, "exit 2").run("psql", [], stdin=endless, timeout_s=20).status == 2


def test_a_program_that_takes_too_long(tmp_path: Path) -> None:
    """Is killed with its children."""
    with pytest.raises(TargetError, match=r"psql was killed: it took longer than 0.2 s"):
        program(tmp_path, "sleep 60 & sleep 60").run("psql", [], timeout_s=0.2)


def test_what_cannot_be_told_any_more(tmp_path: Path) -> None:
    """Ends the program, too."""

    def broken() -> Iterator[bytes]:
        yield b"a"
        raise TargetError("it broke")

    with pytest.raises(TargetError, match="it broke"):
        program(tmp_path, "sleep 60").run("psql", [], stdin=broken(), timeout_s=60)


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    """Is named with what to do."""
    with pytest.raises(TargetError, match=f"psql is not in {tmp_path}: install PostgreSQL's"):
        Programs(tmp_path).path("psql")


def test_a_keyword_that_no_variable_tells(tmp_path: Path) -> None:
    """Is refused, not ignored."""
    with pytest.raises(TargetError, match=r"services.scratch.dsn: sslsni cannot be told"):
        program(tmp_path, "true").run("psql", [], address={"sslsni": "0"}, timeout_s=5)


def test_another_database() -> None:
    """Is a part of the address."""
    assert "dbname=x" in elsewhere("postgresql://u:p@h:1/d", "x")
