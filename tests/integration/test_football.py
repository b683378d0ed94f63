"""football's go-live as its plan ships, with an application that runs, and its way back.

Only the plan's times are shorter here. Prometheus is Debian's where a trigger needs all of PromQL,
and otherwise the sandbox's stand-in.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import sysconfig
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_release.rollout.report import seal
from pytest_release.rollout.state import ROLLED_BACK, STOPPED, SUCCESS, Result, State
from tests.unit.rollout.conftest import Yard

ROOT = Path(__file__).parents[2]
PARTS = Path(__file__).with_name("football")
HOST = "127.0.0.1"
PATIENCE = 40.0
LISTENING = re.compile(r'Listening on" address=(127\.0\.0\.1:\d+)')
NODE = {"idle": 0.9, "memory": 0.5, "disk": 0.5}  # free shares of a machine that is well
NEEDS_ALL = ("errors", "p95")  # triggers whose queries the stand-in does not know
COMMITS = {"1.0.0": "1a2b3c4", "2.0.0": "d34bcae"}
SHORT = {"for_s": 0.3, "every_s": 0.1}


def free_port() -> int:
    """One that nobody listens on."""
    with closing(socket.socket()) as found:
        found.bind((HOST, 0))
        return int(found.getsockname()[1])


@dataclass
class Node:
    """A machine's page for Prometheus; the test says how busy it is."""

    free: dict[str, float] = field(default_factory=lambda: dict(NODE))
    idle: float = 0.0
    busy: float = 0.0
    at: float = field(default_factory=time.monotonic)

    def page(self) -> bytes:
        """What there is now."""
        passed, self.at = time.monotonic() - self.at, time.monotonic()
        self.idle += passed * self.free["idle"]
        self.busy += passed * (1 - self.free["idle"])
        lines = (
            f'node_cpu_seconds_total{{mode="idle"}} {self.idle}',
            f'node_cpu_seconds_total{{mode="user"}} {self.busy}',
            "node_memory_MemTotal_bytes 100",
            f"node_memory_MemAvailable_bytes {100 * self.free['memory']}",
            'node_filesystem_size_bytes{mountpoint="/"} 100',
            f'node_filesystem_avail_bytes{{mountpoint="/"}} {100 * self.free["disk"]}',
        )
        return "".join(f"{line}\n" for line in lines).encode()


@contextmanager
def serving(node: Node) -> Iterator[str]:
    """Its page, at an address."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = node.page()
            self.send_response(200)
            self.send_header("content-type", "text/plain")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Page)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"{HOST}:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@contextmanager
def visiting(port: int) -> Iterator[None]:
    """People who ask for predictions, two at a time, some 40 times in a second."""
    stop = threading.Event()

    def visit() -> None:
        while not stop.wait(0.05):
            connection = HTTPConnection(HOST, port, timeout=5)
            with suppress(OSError, HTTPException), closing(connection):
                connection.request("GET", "/api/v1/predictions/1")
                connection.getresponse().read()

    visitors = [threading.Thread(target=visit) for _ in range(2)]
    for visitor in visitors:
        visitor.start()
    yield
    stop.set()
    for visitor in visitors:
        visitor.join()


@dataclass
class Ground:
    """What all tests of this module share.

    Attributes:
        port: Of the application.
        node: The machine.
        page: Address of its metrics.
    """

    port: int
    node: Node
    page: str


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """A port, a machine, and visitors."""
    node, port = Node(), free_port()
    with serving(node) as page, visiting(port):
        yield Ground(port, node, page)


@contextmanager
def stand_in(ground: Ground) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The sandbox's, in a process of its own."""
    application = f"http://{HOST}:{ground.port}/metrics"
    targets = {"football": application, "node": f"http://{ground.page}/"}
    with socket.create_server((HOST, 0)) as listener:
        address = f"http://{HOST}:{listener.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, str(PARTS / "prometheus.py"), str(listener.fileno()),
             json.dumps(targets)],
            stdin=subprocess.PIPE, pass_fds=(listener.fileno(),),
        )  # fmt: skip
    with process:
        yield address, process


@pytest.fixture(scope="module")
def simple(ground: Ground) -> Iterator[str]:
    """Address of the stand-in."""
    with stand_in(ground) as (address, _):
        yield address


@pytest.fixture(scope="module")
def real(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of Debian's Prometheus."""
    folder = tmp_path_factory.mktemp("prometheus")
    jobs = [
        {"job_name": name, "metrics_path": path, "static_configs": [{"targets": [target]}]}
        for name, path, target in (
            ("football", "/metrics", f"{HOST}:{ground.port}"),
            ("node", "/", ground.page),
        )
    ]
    often = {"scrape_interval": "250ms", "scrape_timeout": "250ms"}
    told = {"global": often, "scrape_configs": jobs}
    (folder / "prometheus.yml").write_text(json.dumps(told))
    command = [
        *("setpriv", "--pdeathsig", "KILL", "prometheus", "--web.listen-address=127.0.0.1:0"),
        *(f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"),
    ]
    with ExitStack() as ending:
        process = ending.enter_context(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        ending.callback(process.terminate)
        assert process.stderr is not None
        listening = next(filter(None, map(LISTENING.search, process.stderr)))
        reader = threading.Thread(target=deque, args=(process.stderr, 0))  # it never blocks
        reader.start()
        ending.callback(reader.join)
        ending.callback(process.terminate)
        yield f"http://{listening[1]}"


@dataclass
class Club:
    """football, as it is deployed: 1.0.0 runs and is good."""

    yard: Yard
    ground: Ground

    def plan(self, *, gates: bool = False, **changes: Mapping[str, Any]) -> dict[str, Any]:
        """The shipped plan with short times; without gates they are requests, which are faster."""
        text = (ROOT / "fixtures" / "plans" / "football.yaml").read_text().replace("[1m]", "[1s]")
        plan: dict[str, Any] = yaml.safe_load(text)
        for step in (*plan["steps"], *plan["rollback"]):
            match step["name"]:
                case "health":
                    step["with"]["http"]["every_s"] = 0.05
                case "gates":
                    step["with"] = ({"gate": {"gates": ["basic"]}} if gates
                                    else {"http": {"path": "/api/v1/predictions/1"}})  # fmt: skip
                case "watch":
                    self._shorten(step["with"]["watch"], changes, gates=gates)
                case "go-live" if not gates:
                    step["with"] = {"command": {"argv": ["touch", "{{folder}}/go-live.md"]}}
        return plan

    def _shorten(
        self, watch: dict[str, Any], changes: Mapping[str, Mapping[str, Any]], *, gates: bool
    ) -> None:
        watch.update(for_s=1.5, every_s=0.1, patience_s=8)
        for name, trigger in watch["triggers"].items():
            trigger.update(SHORT)
            if "http" in trigger:
                del trigger["for_s"]
                trigger["every_s"] = 0.25
            trigger.update(changes.get(name, {}))
        if not gates:
            for name in NEEDS_ALL:
                del watch["triggers"][name]

    def go_live(self, prometheus: str, plan: Mapping[str, Any], fault: Fault | None) -> Result:
        """Release 2.0.0; the fault comes once the watch has begun."""
        self.yard.variables.update(os.environ, FOOTBALL_PROMETHEUS_URL=prometheus)
        os.environ.update(FOOTBALL_PROMETHEUS_URL=prometheus)  # for the pytest of gates
        (self.yard.folder / "fixtures/plans/football.yaml").write_text(yaml.safe_dump(plan))

        def at(boundary: str) -> None:
            if boundary == "begun watch/1, after" and fault is not None:
                fault.come(self)

        folder = self.yard.folder
        values = {"builds": str(folder / "builds"), "root": str(folder / "srv"),
                  "alembic": str(folder / "alembic"), "control": str(folder / "control"),
                  "who": "li"}  # fmt: skip
        return self.yard.run(
            "2.0.0", plan="football", commit=COMMITS["2.0.0"], values=values, at=at,
            pause=time.sleep, seal=seal,
        )  # fmt: skip

    @property
    def state(self) -> State:
        """Of the only rollout."""
        return self.yard.look.state

    @property
    def running(self) -> str:
        """The release that answers."""
        with closing(HTTPConnection(HOST, self.ground.port, timeout=5)) as connection:
            connection.request("GET", "/health/")
            answer = connection.getresponse()
            version = json.loads(answer.read())["version"]
        return f"{version} {answer.status}"

    @property
    def schema(self) -> list[str]:
        """Migrations that were done."""
        with closing(sqlite3.connect(self.yard.folder / "football.db")) as connection:
            rows = connection.execute("SELECT version_num FROM alembic_version ORDER BY 1")
            return [row[0] for row in rows]


@dataclass(frozen=True)
class Fault:
    """What goes wrong after the release went live.

    Attributes:
        application: Of release 2.0.0.
        machine: Shares that are free.
    """

    application: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, float] = field(default_factory=dict)

    def come(self, club: Club) -> None:
        """Now."""
        (club.yard.folder / "faults.json").write_text(json.dumps({"2.0.0": self.application}))
        club.ground.node.free.update(self.machine)


def build(folder: Path, version: str, schema: int) -> None:
    """A release as its builders leave it."""
    (folder / "bin").mkdir(parents=True)
    (folder / "migrations").mkdir()
    shutil.copy(PARTS / "app.py", folder)
    (folder / "VERSION").write_text(version)
    (folder / "COMMIT").write_text(COMMITS[version])
    script(folder / "bin" / "validate", "test", "-s", "VERSION", at=folder)
    for number in range(1, schema + 1):
        text = f"CREATE TABLE part_{number} (id INTEGER);"
        (folder / "migrations" / f"{number:04}.sql").write_text(text)


def script(file: Path, *words: object, at: Path | None = None) -> None:
    """A program that is called by a name."""
    line = " ".join(f"'{word}'" for word in words)
    file.write_text(f'#!/bin/sh\n{f"cd {at}" if at else ""}\nexec {line} "$@"\n')
    file.chmod(0o755)


@pytest.fixture
def club(tmp_path: Path, ground: Ground, monkeypatch: pytest.MonkeyPatch) -> Iterator[Club]:
    """Release 1.0.0 runs, and the history calls it good; 2.0.0 is built."""
    monkeypatch.chdir(tmp_path)
    yard, folder, port = Yard(tmp_path), tmp_path, str(ground.port)
    monkeypatch.setenv("FOOTBALL_URL", f"http://{HOST}:{port}")
    monkeypatch.setenv("FOOTBALL_PROMETHEUS_URL", "")  # so that it is put back
    monkeypatch.setenv("PATH", f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}")
    fixtures = folder / "fixtures"
    (fixtures / "cases" / "football").mkdir(parents=True)
    (fixtures / "plans").mkdir()
    for name in ("_football", "football-production"):
        shutil.copy(ROOT / "fixtures" / "environments" / f"{name}.yaml", fixtures / "environments")
    cases = (ROOT / "fixtures" / "cases" / "football" / "basic.yaml").read_text()
    patient = re.sub(r"latency_ms: \d+", "latency_ms: 5000", cases)  # other tests run beside
    (fixtures / "cases" / "football" / "basic.yaml").write_text(patient)
    python = (sys.executable, "-S", "-E")
    script(folder / "control", *python, PARTS / "control.py", folder / "srv", port, folder)
    script(folder / "alembic", *python, PARTS / "alembic.py", folder / "football.db")
    build(folder / "builds" / "1.0.0", "1.0.0", schema=1)
    build(folder / "builds" / "2.0.0", "2.0.0", schema=2)
    ground.node.free.update(NODE)
    first_release(yard)
    yield Club(yard, ground)
    subprocess.run([folder / "control", "stop"], check=True)


def first_release(yard: Yard) -> None:
    """1.0.0 goes live by a shorter plan."""
    folder = yard.folder
    root = {"root": str(folder / "srv")}
    source = str(folder / "builds" / "1.0.0")
    alembic = [str(folder / "alembic"), "upgrade", "head"]
    steps: list[dict[str, Any]] = [
        {"folder": {"do": "copy", "source": source, **root}},
        {"command": {"argv": alembic, "directory": source}},
        {"folder": {"do": "switch", **root}},
        {"command": {"argv": [str(folder / "control"), "restart"]}},
    ]
    plan = {"name": "first", "system": "football", "environment": "football-production",
            "steps": [{"name": f"s{n}", "type": "deploy", "with": w} for n, w in enumerate(steps)]
            + [{"name": "good", "type": "record"}]}  # fmt: skip
    (folder / "fixtures" / "plans" / "first.yaml").write_text(yaml.safe_dump(plan))
    result = yard.run("1.0.0", plan="first", commit=COMMITS["1.0.0"], variables=dict(os.environ))
    assert result.status == SUCCESS, result.why
    shutil.rmtree(folder / "rollouts")


def went_back(club: Club, result: Result, trigger: str) -> str:
    """The old release answers, and the history says why; gives the reason."""
    assert result.status == ROLLED_BACK, result.why
    assert club.running == "1.0.0 200"
    assert result.why.startswith(f"watch: {trigger} fired: ")
    assert result.why.endswith("football-production is back at 1.0.0, and well")
    fired = next(r for r in club.yard.records if r.details.get("task") == "watch")
    assert (fired.status, fired.details["facts"]["trigger"]) == ("failed", trigger)
    last = club.yard.records[-1]
    assert (last.action, last.version, last.status) == ("rollback", "1.0.0", "success")
    assert trigger in last.notes
    assert "good" not in club.state.tasks
    assert club.schema == ["0001", "0002"]  # a database goes back by no rollback
    return result.why


MACHINE_FAULTS = {
    "cpu": (Fault(machine={"idle": 0.02}), r"cpu fired: 9\d\.\d+ % is above 90 %, since 20"),
    "memory": (Fault(machine={"memory": 0.05}), r"memory fired: 95 % (\{.*\} )?is above 90 %"),
    "disk": (Fault(machine={"disk": 0.02}), r"disk fired: 98 % (\{.*\} )?is above 90 %"),
    "accuracy": (Fault({"accuracy": 0.25}), r"accuracy fired: 0\.25 \{.*\} is below 0\.5"),
    "health": (Fault({"health": True}), r"/health/: expected 200, got 503, since .*3 in a row"),
}


@pytest.mark.parametrize("trigger", MACHINE_FAULTS)
def test_a_trigger_fires(club: Club, simple: str, trigger: str) -> None:
    """The release before answers again, and everybody can read why."""
    fault, said = MACHINE_FAULTS[trigger]

    result = club.go_live(simple, club.plan(), fault)

    assert re.search(said, went_back(club, result, trigger))


def test_a_metric_above_its_band(club: Club, simple: str) -> None:
    """Too good is abnormal, too."""
    result = club.go_live(simple, club.plan(), Fault({"accuracy": 1.75}))

    assert " is above 1, since " in went_back(club, result, "accuracy")


def test_prometheus_dies_while_it_is_watched(club: Club) -> None:
    """Nobody knows how the release does: it goes back, once the patience is over."""
    plan = club.plan(disk={"patience_s": 1.0})
    with stand_in(club.ground) as (address, process):

        class Death(Fault):
            def come(self, club: Club) -> None:
                process.kill()
                process.wait()

        result = club.go_live(address, plan, Death())

    why = went_back(club, result, "disk")
    assert "nothing to be seen, " in why
    assert "refused" in why.lower()


def test_a_migration_that_fails(club: Club, simple: str) -> None:
    """Leaves the database as it was; nothing was switched, and 1.0.0 answers as before."""
    file = club.yard.folder / "builds" / "2.0.0" / "migrations" / "0002.sql"
    file.write_text("CREATE TABLE part_2 (id INTEGER); CREATE TABLE part_1 (id INTEGER);")

    result = club.go_live(simple, club.plan(), None)

    assert result.status == ROLLED_BACK
    assert "migrate: exit status 1: sqlite3.OperationalError: table part_1" in result.why
    assert club.running == "1.0.0 200"
    assert club.schema == ["0001"]


def test_what_is_not_valid_changes_nothing(club: Club, simple: str) -> None:
    """The release's own check refuses it before anything else was done."""
    (club.yard.folder / "builds" / "2.0.0" / "VERSION").write_text("")

    result = club.go_live(simple, club.plan(), None)

    assert result.why.startswith("validate: exit status 1")
    assert (result.status, club.running, club.schema) == (STOPPED, "1.0.0 200", ["0001"])


@pytest.mark.needs("prometheus", "setpriv")
def test_all_is_well(club: Club, real: str) -> None:
    """Judged by its gates and by all triggers; the record of the go-live is written."""
    result = club.go_live(real, club.plan(gates=True), None)

    assert result.status == SUCCESS, result.why
    assert club.running == "2.0.0 200"
    assert club.state.tasks["gates"].outcome.why == "basic PASSED"
    watched = club.state.tasks["watch"].outcome.why
    for name in ("health", "errors", "p95", "cpu", "memory", "disk", "accuracy"):
        assert re.search(rf"\b{name} [^;]+ looks", watched), watched
    (record,) = (club.yard.folder / "rollouts").glob("*/go-live.md")
    told = record.read_text()
    assert told.startswith("# Release record v2.0.0")
    assert "li" in told
    assert "migrated with alembic upgrade head" in told
    assert club.yard.told[-1] == ("football-production", "rollout", "2.0.0", "success")


@pytest.mark.needs("prometheus", "setpriv")
@pytest.mark.parametrize(
    ("trigger", "fault", "above", "said"),
    [
        ("errors", Fault({"errors": True}), 5, r"errors fired: \d+(\.\d+)? % is above 5 %"),
        ("p95", Fault({"slow_s": 0.3}), 0.2, r"p95 fired: 0\.\d+ s is above 0\.2 s"),
    ],
)
def test_a_trigger_fires_on_what_people_meet(
    club: Club, real: str, trigger: str, fault: Fault, above: float, said: str
) -> None:
    """Their errors, their waiting; the gates run on the release before, and are in the history."""
    plan = club.plan(gates=True, **{trigger: {"above": above}})
    for step in (*plan["steps"], *(plan["rollback"] if trigger == "p95" else ())):
        if step["name"] == "gates":
            step["with"] = {"http": {"path": "/api/v1/predictions/1"}}

    result = club.go_live(real, plan, fault)

    assert re.search(said, went_back(club, result, trigger))
    back = club.state.tasks["back/gates"].outcome
    if trigger == "errors":
        assert back.why == "basic PASSED"
        assert Path(back.facts["bundle"]).is_dir()
