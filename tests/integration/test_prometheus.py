"""The monitoring gate against Debian's Prometheus and Alertmanager, with short intervals.

One of each serves all tests: a fault is written into the configuration, which is loaded anew, and
the check is made until it finds the fault. What is scraped are the sandbox's pages.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_release.config.casebook import load_casebook
from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.errors import TargetError
from pytest_release.evidence import Evidence
from pytest_release.gates._check import check
from pytest_release.gates._scene import Scene
from pytest_release.sandbox.rooms._monitoring_pages import PAGES
from pytest_release.sandbox.rooms._monitoring_rules import rule_groups
from pytest_release.sandbox.rooms.monitoring import Watchers
from pytest_release.targets._httpx import httpx
from pytest_release.targets.http import HttpTarget
from pytest_release.targets.prometheus import Prometheus

pytestmark = pytest.mark.needs("prometheus", "prometheus-alertmanager", "setpriv")

ROOT = Path(__file__).parents[2]
PATIENCE = 40.0  # seconds for what must happen
PAUSE = 0.1  # between two looks
LISTENING = re.compile(r'Listening on" address=(127\.0\.0\.1:\d+)')
ALERTMANAGER = {
    "route": {"receiver": "nobody", "group_wait": "1s", "group_interval": "1s"},
    "receivers": [{"name": "nobody"}],
}
SERVED = {"backups", "dump", "restored", "grafana"}  # checks that ask no Prometheus
BOOK = load_casebook(ROOT / "fixtures", "demo", {})
CASES = {
    case.id: case
    for case in BOOK.cases
    if isinstance(case, CheckCase) and case.gate == "monitoring" and case.check not in SERVED
}
RECIPES = {
    file.stem: yaml.safe_load(file.read_bytes())
    for file in (ROOT / "tests" / "faults" / "monitoring").glob("*.yaml")
}
PAGE_FAULTS = ["missing-series", "not-a-number", "out-of-band", "stale-series", "target-down"]
RULE_FAULTS = [
    "blind-rule",
    "firing-alert",
    "missing-rule",
    "no-watchdog",
    "pending-watchdog",
    "rule-error",
]


class Real:
    """The two programs, and what they were told last.

    Args:
        folder: For their files.
        running: Ends them.
    """

    def __init__(self, folder: Path, running: ExitStack) -> None:
        self._folder = folder
        self._running = running
        self.watchers = running.enter_context(watching(frozenset()))
        (folder / "alertmanager.yml").write_text(json.dumps(ALERTMANAGER))
        self.alertmanager = self._start(
            "prometheus-alertmanager",
            f"--config.file={folder}/alertmanager.yml",
            f"--storage.path={folder}/alertmanager",
            "--cluster.listen-address=",
        )
        self._write(self.watchers, (), frozenset())
        self.prometheus = self._start(
            "prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            "--web.enable-lifecycle",
            "--rules.alert.resend-delay=1s",  # it drops what fires before it has found Alertmanager
        )

    def _start(self, *command: str) -> str:
        """Start a program on a free port; gives its address."""
        dying = ["setpriv", "--pdeathsig", "KILL", *command, "--web.listen-address=127.0.0.1:0"]
        process = self._running.enter_context(
            subprocess.Popen(dying, stderr=subprocess.PIPE, text=True)
        )
        assert process.stderr is not None
        reader = threading.Thread(target=deque, args=(process.stderr, 0))  # so that it never blocks
        with ExitStack() as failing:
            failing.callback(process.terminate)
            listening = next(filter(None, map(LISTENING.search, process.stderr)))
            reader.start()
            failing.pop_all()
        self._running.callback(reader.join)
        self._running.callback(process.terminate)
        return f"http://{listening[1]}"

    def _write(self, watchers: Watchers, without: Sequence[str], faults: frozenset[str]) -> None:
        (self._folder / "rules.yml").write_text(json.dumps({"groups": rule_groups(faults)}))
        pages = watchers.address("pages")
        jobs = [_job(job, pages, f"/{job}") for job in PAGES if job not in without]
        jobs.append({**_job("pushgateway", self.watchers.address("pushgateway"), "/metrics"),
                     "honor_labels": True})  # fmt: skip
        told: dict[str, Any] = {
            "global": {"scrape_interval": "250ms", "scrape_timeout": "250ms",
                       "evaluation_interval": "250ms"},
            "rule_files": [str(self._folder / "rules.yml")],
            "scrape_configs": jobs,
        }  # fmt: skip
        if hasattr(self, "prometheus"):
            jobs.append(_job("prometheus", self.prometheus, "/metrics"))
        if "alertmanager" not in without:
            targets = [{"targets": [self.alertmanager.removeprefix("http://")]}]
            told["alerting"] = {"alertmanagers": [{"static_configs": targets}]}
        (self._folder / "prometheus.yml").write_text(json.dumps(told))

    def tell(
        self,
        watchers: Watchers | None = None,
        without: Sequence[str] = (),
        faults: frozenset[str] = frozenset(),
    ) -> None:
        """Have it load another configuration."""
        self._write(watchers or self.watchers, without, faults)
        httpx.post(f"{self.prometheus}/-/reload", trust_env=False).raise_for_status()

    def spoil(self) -> None:
        """Have it try to load what is none."""
        (self._folder / "prometheus.yml").write_text("scrape_configs: 1\n")
        assert httpx.post(f"{self.prometheus}/-/reload", trust_env=False).status_code == 500

    @property
    def environment(self) -> Environment:
        """As an environment file would say it."""
        pushgateway = self.watchers.address("pushgateway")
        services = {
            "prometheus": {"url": self.prometheus, "pushgateway": pushgateway},
            "alertmanager": {"url": self.alertmanager},
        }
        return Environment(
            name="here",
            role="development",
            system="none",
            base_url="http://127.0.0.1:9",
            digest="",
            gates={},
            source=Path("here.yaml"),
            services=services,
        )

    def evidence(self, case: CheckCase) -> Evidence:
        """One check."""
        environment = self.environment
        return check(case, GatePolicy(), Scene(environment, HttpTarget(environment)))

    def until(self, case: CheckCase, holds: Callable[[Evidence], bool]) -> Evidence:
        """Make a check until its evidence is as wanted, or the time is over."""
        ends = time.monotonic() + PATIENCE
        case = replace(case, expect={**case.expect, "patience_s": 0})
        while True:
            evidence = self.evidence(case)
            if holds(evidence) or time.monotonic() > ends:
                return evidence
            time.sleep(PAUSE)


def _job(name: str, url: str, path: str) -> dict[str, Any]:
    targets = [url.removeprefix("http://")]
    return {"job_name": name, "metrics_path": path, "static_configs": [{"targets": targets}]}


@contextmanager
def watching(faults: frozenset[str]) -> Iterator[Watchers]:
    """The sandbox's pages, with faults."""
    watchers = Watchers(faults)
    try:
        yield watchers
    finally:
        watchers.stop()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """Both programs, until the module's tests are done or this process dies."""
    with ExitStack() as running:
        yield Real(tmp_path_factory.mktemp("prometheus"), running)


def recipe(fault: str) -> tuple[CheckCase, Mapping[str, Any]]:
    """The case that meets a fault, and what is to be found."""
    told = RECIPES[fault]
    case = CASES[told["case"]]
    return replace(case, expect={**case.expect, **told.get("expect", {})}), told


def found(fault: str, real: Real) -> None:
    """The finding appears, as it does with the stand-in."""
    case, told = recipe(fault)
    evidence = real.until(case, lambda seen: any(f.code == told["finding"] for f in seen.findings))
    assert told["finding"] in {f.code for f in evidence.findings}, evidence.explain()


def test_the_shipped_cases_hold(real: Real) -> None:
    """For the real ones as for the stand-ins."""
    real.tell()
    evidence = [real.until(case, lambda seen: not seen.findings) for case in CASES.values()]

    assert [each.explain() for each in evidence if each.findings] == []
    assert len(evidence) == 12


@pytest.mark.parametrize("fault", RULE_FAULTS)
def test_a_fault_of_a_rule(real: Real, fault: str) -> None:
    """Is found there, too."""
    real.tell(faults=frozenset({f"monitoring.{fault}"}))
    found(fault, real)


@pytest.mark.parametrize("fault", PAGE_FAULTS)
def test_a_fault_of_what_is_scraped(real: Real, fault: str) -> None:
    """Is found there, too."""
    with watching(frozenset({f"monitoring.{fault}"})) as watchers:
        real.tell(watchers)
        found(fault, real)


def test_a_job_that_is_not_scraped(real: Real) -> None:
    """Is missing."""
    real.tell(without=["node"])
    found("missing-job", real)


def test_alerts_that_go_nowhere(real: Real) -> None:
    """Are said to."""
    real.tell(without=["alertmanager"])
    found("no-alertmanager", real)


def test_a_configuration_that_cannot_be_loaded(real: Real) -> None:
    """Leaves Prometheus with the one before."""
    real.spoil()
    found("config-not-loaded", real)


def test_an_alert_that_is_not_provoked(real: Real) -> None:
    """Does not fire."""
    real.tell(faults=frozenset({"monitoring.deaf-canary"}))
    found("deaf-canary", real)


def test_a_silence(real: Real) -> None:
    """Keeps the watchdog from everybody."""
    real.tell()
    case, _ = recipe("silenced")
    assert not real.until(case, lambda seen: not seen.findings).findings
    silence = {
        "matchers": [{"name": "alertname", "value": "Watchdog", "isRegex": False}],
        "startsAt": "2020-01-01T00:00:00Z",
        "endsAt": "2100-01-01T00:00:00Z",
        "createdBy": "a test",
        "comment": "forgotten",
    }
    url = f"{real.alertmanager}/api/v2/silence"
    made = httpx.post(f"{url}s", json=silence, trust_env=False).raise_for_status().json()
    try:
        found("silenced", real)
    finally:
        httpx.delete(f"{url}/{made['silenceID']}", trust_env=False).raise_for_status()


EXPRESSIONS = [
    "active_users",
    'active_users{job="football", instance=~"127.*"}',
    'active_users{job!="football"}',
    "active_users * 2 + 1",
    "active_users > bool 36",
    "active_users > 37",
    "-active_users % 5",
    "1 - active_users / 0",
    "node_filesystem_size_bytes / node_memory_MemTotal_bytes * 0",
    "node_memory_MemTotal_bytes / on (job) node_filesystem_size_bytes * 0",
    "node_memory_MemTotal_bytes / ignoring (mountpoint) node_filesystem_size_bytes * 0",
    "count by (mode) (node_cpu_seconds_total) * 0",
    "sum without (instance, cpu, mode) (node_cpu_seconds_total) * 0",
    "max(active_users) - min(active_users) + avg(active_users)",
    'count by (__name__) ({__name__=~"active_users|node_load1|nothing"})',
    "absent(active_users)",
    'absent(nothing{a="b", c=~"d"})',
    "max_over_time(active_users[5s])",
    "vector(1) + 1",
    "2 * (3 - 1)",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_the_stand_in_says_the_same(real: Real, expression: str) -> None:
    """As Prometheus of whatever does not change from scrape to scrape."""
    answers = [_until_there(one, expression) for one in _both(real)]

    assert answers[0] == answers[1]


def test_the_stand_in_has_the_same_rates(real: Real) -> None:
    """Within what the times of the scrapes make of them: 60 requests in a second."""
    expression = 'sum(rate(http_requests_total{code="200"}[3s]))'
    for one in _both(real):
        ends = time.monotonic() + PATIENCE
        while not (rates := one.query(expression)) or not 40 < rates[0].value < 80:
            assert time.monotonic() < ends, rates
            time.sleep(PAUSE)


@pytest.mark.parametrize(
    "expression",
    [
        "up{",
        "up +",
        "nothing(up)",
        "rate(up)",
        "1 > 2",
        "up[5m] + 1",
        "up + on (job) up[5m]",
        "{a}",
    ],
)
def test_the_stand_in_refuses_the_same(real: Real, expression: str) -> None:
    """By the same kind of error."""
    for one in _both(real):
        with pytest.raises(TargetError, match=r"is refused \(400\): bad_data: "):
            one.query(expression)


def _both(real: Real) -> list[Prometheus]:
    given = ({"url": real.prometheus}, {"url": real.watchers.address("prometheus")})
    return [Prometheus(options, real.environment) for options in given]


def _until_there(one: Prometheus, expression: str) -> set[tuple[frozenset[Any], float]]:
    """The answer, once the application's page was scraped by it."""
    ends = time.monotonic() + PATIENCE
    while not (one.query("active_users") and one.query("node_load1")) and time.monotonic() < ends:
        time.sleep(PAUSE)
    return {(frozenset(each.labels.items()), each.value) for each in one.query(expression)}
