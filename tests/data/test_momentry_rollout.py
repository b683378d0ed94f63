"""momentry's plan as it ships: packages on dev, gates, a decision, production.

Dev and production are two databases of a real PostgreSQL; the service beside each names its version
and counts the rows that are there.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest
import yaml
from psycopg import sql

from pytest_release.attestation.keys import generate
from pytest_release.rollout.report import seal
from pytest_release.rollout.state import STOPPED, SUCCESS, Result
from pytest_release.sandbox.material import COLUMNS
from pytest_release.sandbox.stores import UUIDS, Stores
from tests.unit.rollout.conftest import Yard

ROOT = Path(__file__).parents[2]
TABLES = ROOT / "pytest_release" / "sandbox" / "momentry.sql"
COPIED = ("environments/_momentry.yaml", "environments/momentry-dev.yaml",
          "environments/momentry-production.yaml", "policies/momentry-production.yaml",
          "plans/momentry.yaml", "systems", "cases/momentry")  # fmt: skip
CASES = ("package", "basic", "row_count", "tkg", "identity")
REFUSE = """
    CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN RAISE EXCEPTION 'no room'; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON public.tkg_edges
        FOR EACH ROW EXECUTE FUNCTION public.refuse();
"""


@dataclass
class Side:
    """Dev or production."""

    dsn: str
    schema: str
    output: Path
    names: dict[str, str] = field(
        default_factory=lambda: {"version": "1.0.0", "build_git_hash": "d34bcae"}
    )

    def counts(self, uuid: str = "") -> dict[str, int]:
        """Rows by table, of one file or of all."""
        with psycopg.connect(self.dsn) as connection:
            found = {}
            for table in COLUMNS:
                where = sql.SQL(" WHERE file_uuid = {}").format(uuid) if uuid else sql.SQL("")
                statement = sql.SQL("SELECT count(*) FROM {}").format(
                    sql.Identifier(self.schema, table)
                )
                row = connection.execute(statement + where).fetchone()
                found[table] = int(row[0]) if row else 0
        return found

    @property
    def untouched(self) -> bool:
        """No row and no file."""
        return not any(self.counts().values()) and not list(self.output.iterdir())


@contextmanager
def serving(side: Side) -> Iterator[str]:
    """The service of a side; gives its address."""

    class Service(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/health":
                told: dict[str, object] = {"status": "ok", **side.names}
            else:
                told = {"data": side.counts(self.path.split("/")[4])}
            data = json.dumps(told).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass
class Sides:
    """Both, and where they are driven from."""

    yard: Yard
    dev: Side
    production: Side

    def run(self, *only: str) -> Result:
        """Carry the plan out, or only some steps of it."""
        file = self.yard.folder / "fixtures" / "plans" / "momentry.yaml"
        if only:
            plan = yaml.safe_load(file.read_text())
            plan["steps"] = [step for step in plan["steps"] if step["name"] in only]
            file.write_text(yaml.safe_dump(plan))
        return self.yard.run(
            "1.0.0", plan="momentry", variables=os.environ, sign_with="ci.pem", seal=seal,
            values={"packages": str(self.yard.folder / "srv" / "packages")},
        )  # fmt: skip


@pytest.fixture
def sides(
    tmp_path: Path,
    stores: Stores,
    fresh_database: Callable[[str], str],
    drop_database: Callable[[str], None],
    momentry_template: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Sides]:
    """Two empty databases, and one package of release 1.0.0."""
    monkeypatch.chdir(tmp_path)
    databases = [fresh_database(momentry_template), fresh_database("template1")]
    with psycopg.connect(databases[1], autocommit=True) as connection:
        connection.execute(TABLES.read_text().replace("{schema}", "public"))
    outputs = [tmp_path / "srv" / "output_dev", tmp_path / "srv" / "output"]
    packages = tmp_path / "srv" / "packages" / "1.0.0"
    for folder in (*outputs, packages):
        folder.mkdir(parents=True)
    shutil.copy(stores.packages[UUIDS[0]], packages)
    dev, production = (
        Side(*each) for each in zip(databases, ("dev", "public"), outputs, strict=True)
    )
    furnish(tmp_path)
    with ExitStack() as running:
        for address in databases:
            running.callback(drop_database, address)
        for name, side in (("_DEV", dev), ("", production)):
            monkeypatch.setenv(f"MOMENTRY{name}_URL", running.enter_context(serving(side)))
            monkeypatch.setenv(f"MOMENTRY{name}_DSN", side.dsn)
        yield Sides(Yard(tmp_path), dev, production)


def furnish(folder: Path) -> None:
    """The shipped fixtures, with another place for the files; and a key that is trusted."""
    for name in COPIED:
        source, target = ROOT / "fixtures" / name, folder / "fixtures" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            target.write_text(source.read_text().replace("/srv/momentry", f"{folder}/srv"))
    for file in (folder / "fixtures" / "cases" / "momentry").iterdir():
        if file.stem not in CASES:
            file.unlink()
    basic = folder / "fixtures" / "environments" / "_momentry.yaml"  # other tests run beside
    basic.write_text(basic.read_text().replace("p95_ms: 500", "p95_ms: 5000"))
    generate(folder / "ci.pem")
    (folder / "fixtures" / "keys").mkdir()
    shutil.copy(folder / "ci.pem.pub", folder / "fixtures" / "keys" / "ci.pub")


def test_dev_then_production(sides: Sides) -> None:
    """The same rows and files on both sides, each judged; the decision is of these packages."""
    result = sides.run()

    assert result.status == SUCCESS, result.why
    assert sides.production.counts() == sides.dev.counts()
    assert sides.production.counts()["face_detections"] == 600
    assert list((sides.production.output / UUIDS[0]).glob("*.mp4"))
    tasks = sides.yard.look.state.tasks
    every = "package PASSED, basic PASSED, row_count PASSED, tkg PASSED, identity PASSED"
    assert tasks["dev-gates"].outcome.why == tasks["production-gates"].outcome.why == every
    assert tasks["promote"].outcome.why.startswith("granted by ")
    assert sides.yard.told[-2:] == [
        ("momentry-dev", "rollout", "1.0.0", "success"),
        ("momentry-production", "rollout", "1.0.0", "success"),
    ]
    refused_with_another(sides, tasks["dev-gates"].outcome.facts["bundle"])


def refused_with_another(sides: Sides, bundle: str) -> None:
    """A package that came into the folder after dev was judged goes nowhere."""
    folder = sides.yard.folder
    packages = folder / "srv" / "packages" / "1.0.0"
    (package,) = packages.iterdir()
    shutil.copy(package, packages / "another_v1.tar.gz")
    file = folder / "fixtures" / "plans" / "momentry.yaml"
    text = file.read_text().replace("{promote: {", f"{{promote: {{bundles: [{bundle}], ")
    file.write_text(text)

    result = sides.run("promote", "production-version", "production-install")

    assert result.status == STOPPED
    assert result.why.startswith("promote: refused: ")
    assert "another_v1.tar.gz" in result.why
    assert sides.production.counts()["videos"] == 1


def test_another_version_in_production(sides: Sides) -> None:
    """Stops before production is touched: nothing that changes it comes before that question."""
    sides.production.names["version"] = "0.9.9"
    plan = yaml.safe_load((ROOT / "fixtures" / "plans" / "momentry.yaml").read_text())
    there = [s["name"] for s in plan["steps"] if s["environment"] == "momentry-production"]

    result = sides.run(*there[1:])

    assert there[:3] == ["promote", "production-version", "production-install"]
    assert result.status == STOPPED
    assert result.why.startswith("production-version: ")
    assert "0.9.9" in result.why
    assert sides.production.untouched
    assert list(sides.yard.look.state.tasks) == ["production-version"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ({"version": "0.9.9"}, "momentry-production runs 0.9.9"),
        ({"build_git_hash": "0123456"}, "was made by 1.0.0 (d34bcae), momentry-production runs"),
        ({"build_git_hash": "unknown"}, "momentry-production runs 1.0.0, commit unknown"),
    ],
)
def test_the_installation_compares_by_itself(
    sides: Sides, names: dict[str, str], said: str
) -> None:
    """Though nobody asked before: version and build, and nothing is touched."""
    sides.production.names.update(names)

    result = sides.run("production-install")

    assert result.status == STOPPED
    assert said in result.why, result.why
    assert sides.production.untouched


def test_an_installation_that_fails(sides: Sides) -> None:
    """In its last table: no row and no file of it is left, and the history says what it was."""
    with psycopg.connect(sides.production.dsn, autocommit=True) as connection:
        connection.execute(REFUSE)

    result = sides.run("production-version", "production-install", "production-gates")

    assert result.status == STOPPED
    assert "production-install: package 1 of 1, " in result.why
    assert "importing tkg_edges" in result.why
    assert "no room" in result.why
    assert sides.production.untouched
    assert "production-gates" not in sides.yard.look.state.tasks
    assert sides.yard.told[-1] == ("momentry-production", "rollout", "1.0.0", "failed")
