"""Two nodes of hifate: sandboxes that serve what is checked out in their working trees of git."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from pytest_release.attestation.keys import generate
from pytest_release.history import Entry, History, Record, verify
from pytest_release.rollout.desk import looks
from pytest_release.rollout.state import State
from pytest_release.sandbox.rooms._reloading import ENDPOINTS, TREE_FILE
from pytest_release.sandbox.server import Sandbox

FIXTURES = Path(__file__).parents[2] / "fixtures"
GIT = shutil.which("git") or "git"
ASKED = 10  # fresh connections; of two workers one is missed with 0.5 ** 9
BIRTH = {"solar_date": "1990-01-15", "solar_time": "12:00", "gender": "male"}
CODE = '''"""hifate {version}."""

from pathlib import Path

VERSION = BUILD = {version!r}
ENDPOINTS = {endpoints!r}
CALLS = [0]


class PaymentClient:
    build = BUILD


def health():
    CALLS[0] += 1
    ill = Path(__file__).with_name("down").exists() or {ill}
    return {{"status": "degraded" if ill else "ok"}}


def reading(birth):
    return {{"read_by": VERSION{more}}}
'''
RELEASES = {  # what differs from `CODE`
    "1.0.0": {},
    "2.0.0": {},
    "3.0.0": {"more": "} this is no Python {"},
    "3.1.0": {"ill": "CALLS[0] % 2 == 0"},
    "3.2.0": {"more": ", **birth['no such key']"},
}
ENVIRONMENT = """
name: {name}
role: {role}
system: hifate
base_url: "{url}"
release: {{health: /api/v1/health, version: version, commit: build_git_hash}}
services: {{stripe: {{url: "http://127.0.0.1:9", secret_key: sk_test_0123456789abcdef}}}}
gates:
  basic: {{required: true, min_cases: {least}}}
  payment: {{required: true, mode: test, max_amounts: {{USD: "5.00"}}}}
  stream: {{required: false}}
  hot_reload: {{workers: 2, allow_reload: true}}
"""
POLICY = """
name: hifate-node1
version: 1
signers: {keys: [ci]}
max_age_h: 1
gates:
  basic: {environment: hifate-node2, min_cases: 6}
  payment: {environment: hifate-node2}
subjects: [commit]
break_glass: {signers: {keys: [ci, boss], threshold: 2}, max_h: 4}
"""
PAYMENT = """
gate: payment
cases:
  - name: both providers are enabled
    check: providers
    options: {currencies: {stripe: [USD]}}
"""
STREAM = """
gate: stream
cases: [{name: not there, method: POST, path: /api/v1/no/stream}]
"""


def git(folder: Path, *words: str) -> str:
    """What git says."""
    argv = [GIT, "-C", str(folder), "-c", "user.name=li", "-c", "user.email=li@desk", *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def publish(folder: Path) -> dict[str, str]:
    """``origin.git`` with every release in its branch main, and ``work``, a clone of it.

    Returns:
        The commit of each release.
    """
    git(folder, "init", "-q", "--bare", "-b", "main", "origin.git")
    git(folder, "clone", "-q", "origin.git", "work")
    work = folder / "work"
    git(work, "checkout", "-q", "-b", "main")
    (work / ".gitignore").write_text("down\n")
    commits = {}
    for version, differs in RELEASES.items():
        parts = {"ill": "False", "more": "", **differs}
        text = CODE.format(version=version, endpoints=list(ENDPOINTS), **parts)
        (work / TREE_FILE).write_text(text)
        git(work, "add", ".")
        git(work, "commit", "-q", "-m", f"release {version}")
        commits[version] = git(work, "rev-parse", "HEAD")
    git(work, "push", "-q", "-u", "origin", "main")
    return commits


@dataclass
class Node:
    """One of the two.

    Attributes:
        tree: Its working tree.
        url: Where it answers.
    """

    name: str
    tree: Path
    url: str = ""

    @contextmanager
    def serving(self, faults: Sequence[str] = (), workers: int = 2) -> Iterator[Node]:
        """The same tree, served at a port of its own."""
        with Sandbox(workers, faults, tree=self.tree) as sandbox:
            yield Node(self.name, self.tree, sandbox.base_url)

    def ask(self, *asked: tuple[str, str, object]) -> list[Any]:
        """An answer to each, over one new connection: by whichever worker takes it."""
        host = self.url.removeprefix("http://")
        answers = []
        with closing(HTTPConnection(host, timeout=10)) as connection:
            for method, path, body in asked:
                headers = {"content-type": "application/json"}
                connection.request(method, f"/api/v1{path}", json.dumps(body), headers)
                response = connection.getresponse()
                data = response.read()
                is_json = response.getheader("content-type") == "application/json"
                answers.append(json.loads(data) if is_json else {"error": response.status})
        return answers

    @property
    def runs(self) -> set[tuple[str, str, str]]:
        """Version and commit of health, and who reads: of every worker."""
        found = set()
        for _ in range(ASKED):
            health, reading = self.ask(("GET", "/health", None), ("POST", "/bazi/interface", BIRTH))
            by = reading.get("data", {}).get("read_by", reading.get("error"))
            found.add((health["version"], health["build_git_hash"], by))
        return found

    @property
    def reloads(self) -> int:
        """How often it was told to."""
        (history,) = self.ask(("GET", "/hot-reload/history", None))
        return int(history["count"])

    @property
    def state(self) -> tuple[object, ...]:
        """Commit and code on disk, what every worker answers, and how often it was reloaded."""
        text = (self.tree / TREE_FILE).read_text()
        return (git(self.tree, "rev-parse", "HEAD"), text, self.runs, self.reloads)

    def put(self, commit: str, version: str) -> None:
        """Have a release run there, by hand."""
        (self.tree / "down").unlink(missing_ok=True)
        git(self.tree, "checkout", "-q", "-f", "--detach", commit)
        deadline = time.monotonic() + 10
        while self.runs != {(version, commit, version)}:
            assert time.monotonic() < deadline
            self.ask(("POST", "/hot-reload/reload-all", None))
            time.sleep(0.12)


@dataclass
class Fleet:
    """Both nodes, and a desk from which they are rolled out to.

    Attributes:
        commits: Of each release.
        folder: Of the desk.
    """

    nodes: dict[str, Node]
    work: Path
    commits: dict[str, str]
    folder: Path = field(default_factory=Path)

    @property
    def one(self) -> Node:
        """Production."""
        return self.nodes["hifate-node1"]

    @property
    def two(self) -> Node:
        """The sentinel."""
        return self.nodes["hifate-node2"]

    def furnish(self) -> None:
        """The shipped plan and cases; environments, policy and keys of this place."""
        fixtures = self.folder / "fixtures"
        for name in ("plans", "environments", "policies", "keys", "cases/hifate"):
            (fixtures / name).mkdir(parents=True)
        plan = (FIXTURES / "plans/hifate.yaml").read_text()
        plan = plan.replace("timeout_s: 120", "timeout_s: 5")
        plan = plan.replace("verify_within_s: 20", "verify_within_s: 1")
        (fixtures / "plans/hifate.yaml").write_text(plan)
        cases = fixtures / "cases/hifate"
        shutil.copy(FIXTURES / "cases/hifate/basic.yaml", cases)
        (cases / "payment.yaml").write_text(PAYMENT)
        (cases / "stream.yaml").write_text(STREAM)
        (fixtures / "policies/hifate-node1.yaml").write_text(POLICY)
        for name in ("ci", "boss"):
            generate(self.folder / f"{name}.pem")
            shutil.copy(self.folder / f"{name}.pem.pub", fixtures / f"keys/{name}.pub")
        for name in self.nodes:
            self.environment(name)

    def environment(self, name: str, least: int = 6, url: str = "") -> None:
        """Write it."""
        role = "production" if name == "hifate-node1" else "sentinel"
        text = ENVIRONMENT.format(
            name=name, role=role, url=url or self.nodes[name].url, least=least
        )
        (self.folder / f"fixtures/environments/{name}.yaml").write_text(text)

    @property
    def values(self) -> dict[str, str]:
        """For ``--set``: both nodes are on this machine, and nobody waits."""
        trees = {f"{name[-5:]}_tree": str(node.tree) for name, node in self.nodes.items()}
        here = {"repository": str(self.work), "node1_ssh": "", "node2_ssh": ""}
        return {**here, **trees, "reload_pause_s": "0.15", "health_every_s": "0.02"}

    def arguments(self, version: str, *more: str) -> list[str]:
        """Of ``pytest-release`` for a rollout of a release."""
        sets = [f"--set={name}={value}" for name, value in self.values.items()]
        named = ["--release", version, "--commit", self.commits[version]]
        return ["rollout", "run", "hifate", *named, *sets, "--sign-with", "ci.pem", *more]

    def was_good(self, name: str, version: str) -> None:
        """The history says so."""
        details = {"rollout": "before", "step": "good", "commit": self.commits[version]}
        entry = Entry(stack="hifate", env=name, action="deploy", version=version, status="success",
                      details=details)  # fmt: skip
        History(self.folder / "history.jsonl").append(entry, datetime.now(UTC))

    @property
    def rollout(self) -> State:
        """The newest."""
        return looks(self.folder / "rollouts")[-1].state

    @property
    def records(self) -> list[Record]:
        """The history, proven."""
        return list(verify(self.folder / "history.jsonl").records)

    @property
    def told(self) -> list[tuple[str, str, str]]:
        """Of each record but those of steps environment, action and status."""
        return [(r.env, r.action, r.status) for r in self.records if "step" not in r.action]
