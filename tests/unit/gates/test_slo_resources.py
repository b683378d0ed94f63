"""Resources by Prometheus' interface: means over a window, and what was not recorded."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.errors import ConfigError
from pytest_release.evidence import Evidence
from pytest_release.gates import slo
from pytest_release.gates._scene import Scene
from pytest_release.sampling import Decision
from pytest_release.targets.http import HttpTarget

NOW = 1_800_000_000.0
SERIES: dict[str, list[tuple[dict[str, str], list[str]]]] = {
    "steady": [({}, ["0.5"] * 11)],
    "two": [({"cpu": "0"}, ["0.2"] * 11), ({"cpu": "1"}, ["0.95"] * 11)],
    "restless": [({}, ["0.1", "0.9"] * 5)],
    "gone": [],
    "rare": [({"cpu": "0"}, ["0.5", "NaN", "0.5"])],
    "nothing": [({}, ["NaN"] * 11)],
}


class _Answers(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        asked = {n: v[0] for n, v in parse_qs(urlsplit(self.path).query).items()}
        if "start" in asked:
            start, step = float(asked["start"]), float(asked["step"])
            assert (float(asked["end"]), step) == (NOW, 6.0)
            result = [
                {
                    "metric": labels,
                    "values": [[start + n * step, v] for n, v in enumerate(values)],
                }
                for labels, values in SERIES[asked["query"]]
            ]
            data: dict[str, object] = {"resultType": "matrix", "result": result}
        else:
            data = {"resultType": "scalar", "result": [NOW, str(NOW)]}
        body = json.dumps({"status": "success", "data": data}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def environment() -> Iterator[Environment]:
    """One with a server that speaks as Prometheus does."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        url, here = f"http://127.0.0.1:{server.server_port}", Path("here.yaml")
        services = {"prometheus": {"url": url}}
        yield Environment("here", "staging", "shop", url, here, "", {}, services=services)
        server.shutdown()


def look(environment: Environment, **options: object) -> Evidence:
    """A check of one resource that may be at 0.8."""
    case = CheckCase(
        "slo/r", "slo", "r", Path("slo.yaml"), 7, {"cpu": 0.8}, check="resources", options=options
    )
    return slo.measure(case, GatePolicy(), Scene(environment, HttpTarget(environment)))


def test_a_resource_within_its_limit(environment: Environment) -> None:
    """Its mean over the window, by the server's clock."""
    evidence = look(environment, window_s=60, step_s=6, resources={"cpu": "steady"})

    (cpu,) = evidence.measurements
    assert evidence.findings == ()
    assert (cpu.estimate.value, cpu.decision, cpu.count) == (0.5, Decision.KEPT, 11)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (
            "two",
            "slo.cpu: cpu is above the limit: 0.95 [0.95, 0.95] in 11 ",
        ),
        (
            "restless",
            "slo.cpu: cpu could not be shown to be at most 0.8: 0.5 [0.1984, 0.8016] in 10",
        ),
        ("gone", "slo.not-recorded: cpu: Prometheus has no series for gone"),
        ("rare", "slo.not-recorded: cpu: 2 of 10 points were recorded of cpu=0"),
        ("nothing", "slo.not-recorded: cpu: 0 of 10 points were recorded of it"),
    ],
)
def test_a_resource_that_is_not(environment: Environment, query: str, said: str) -> None:
    """Of several series the worst counts; what was not recorded was not shown."""
    evidence = look(environment, window_s=60, step_s=6, resources={"cpu": query})

    (finding,) = evidence.failures
    assert f"{finding.code}: {finding.message}".startswith(said)


def test_a_check_of_resources_needs_a_window(environment: Environment) -> None:
    """It says which options are missing."""
    with pytest.raises(ConfigError, match="the check resources needs window_s, resources"):
        look(environment)
