"""What a case waits for is told while it waits, in lines that a log can be read by."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.plugin.conftest import gate_of
from tests.plugin.test_verdicts import Run

ENVIRONMENT = """\
name: here
role: development
system: shop
base_url: {url}
gates:
  smoke: {{required: true, concurrency: {at_once}, interval_s: 0.05, tries: 6}}
"""
CASES = """\
gate: smoke
cases:
  - {name: shop is healthy, check: service, options: {path: /health}}
  - {name: shop is live, check: service, options: {path: /live}}
"""


class Starting(HTTPServer):
    """Answers 503 to the first two requests for /health."""

    asked = 0


class Answer(BaseHTTPRequestHandler):
    """One request."""

    server: Starting

    def do_GET(self) -> None:
        """Well from the third on."""
        self.server.asked += self.path == "/health"
        self.send_response(503 if self.path == "/health" and self.server.asked <= 2 else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as its base has it
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    """Of a service that is starting."""
    with Starting(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("arguments", "at_once"),
    [((), 1), ((), 2), (("-v",), 1), (("-s",), 1), (("-n", "2"), 2), (("-n", "2", "-v"), 1)],
    ids=["alone", "at once", "verbose", "uncaptured", "xdist", "xdist verbose"],
)
def test_each_try_is_a_line_of_its_own(
    arguments: tuple[str, ...], at_once: int, project: pytest.Pytester, run: Run, url: str
) -> None:
    """Whoever captures, whatever runs at once, in whichever process; and the case passes."""
    fixtures = project.path / "fixtures"
    (fixtures / "environments" / "here.yaml").write_text(
        ENVIRONMENT.format(url=url, at_once=at_once)
    )
    (fixtures / "cases" / "shop").mkdir(parents=True)
    (fixtures / "cases" / "shop" / "smoke.yaml").write_text(CASES)

    result, evidence = run(*arguments)

    told = [line for line in result.outlines if "smoke/shop-is-healthy: try" in line]
    form = r"smoke/shop-is-healthy: try \d of 6 at \d\.\d s: (.*); next in 0\.\d s"
    states = [match[1] for line in told if (match := re.fullmatch(form, line))]
    assert len(states) == len(told)
    wrong = f"{url}/health: status 503 instead of 200"
    assert states == [wrong, wrong, "well, 1 of 3", "well, 2 of 3"]
    gate = gate_of(evidence, "smoke")
    assert (result.ret, gate["verdict"]) == (0, "PASSED")
    (late,) = [f for case in gate["cases"] for f in case["evidence"]["findings"]]
    assert (late["code"], late["severity"]) == ("smoke.late", "note")
