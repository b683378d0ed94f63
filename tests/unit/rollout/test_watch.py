"""The watch, against a server whose answers the test gives."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pytest_release.config.plans import load_plan
from pytest_release.errors import ConfigError
from pytest_release.rollout.desk import Wish, dry_run
from pytest_release.rollout.state import ROLLED_BACK, STOPPED, SUCCESS
from pytest_release.rollout.status import standing
from pytest_release.targets import _httpx  # noqa: F401 - so that no first look waits for it
from tests.unit.rollout.conftest import Yard, step

ENVIRONMENT = """
name: {name}
role: staging
system: shop
base_url: "{base_url}"
services: {{prometheus: {{url: "{base_url}"}}}}
gates:
  basic: {{required: true}}
"""
Answer = Callable[[], tuple[int, Any]]


def vector(*values: float) -> tuple[int, Any]:
    """As Prometheus answers a query."""
    found = [
        {"metric": {"n": str(n)}, "value": [1.0, str(value)]} for n, value in enumerate(values)
    ]
    data = {"resultType": "vector", "result": found}
    return 200, {"status": "success", "data": data}


def late() -> tuple[int, Any]:
    """A value, when nobody waits for it any more."""
    time.sleep(1.5)
    return vector(1)


@dataclass
class Server:
    """What it answers, by expression of a query or by path."""

    says: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, url: str) -> tuple[int, Any]:
        """To one request."""
        parts = urlsplit(url)
        key = parse_qs(parts.query).get("query", [parts.path])[0]
        self.asked.append(key)
        return self.says[key]()


@pytest.fixture
def server() -> Server:
    """Answers well."""
    return Server({"errors": lambda: vector(1), "/health": lambda: (200, {"status": "ok"})})


@pytest.fixture
def watched(yard: Yard, server: Server) -> Iterator[Yard]:
    """Both environments are at the server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, told = server.answer(self.path)
            data = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
            """Say nothing."""

    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.daemon_threads = True
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yard.base_url = f"http://127.0.0.1:{web.server_port}"
    for name in ("here", "there"):
        yard.environment(name, ENVIRONMENT)
    yield yard
    web.shutdown()
    thread.join()
    web.server_close()


ERRORS: dict[str, Any] = {"query": "errors", "above": 5, "unit": "%"}
HEALTH: dict[str, Any] = {"http": {"path": "/health"}, "failures": 3}


def watch(for_s: float = 0.2, **triggers: Any) -> dict[str, Any]:  # noqa: ANN401
    """A step that watches, many times faster than anybody would."""
    options = {"for_s": for_s, "every_s": 0.02, "patience_s": 10, "triggers": triggers}
    return {"name": "watch", "type": "gate", "with": {"watch": options}}


def test_all_is_well(watched: Yard, server: Server) -> None:
    """For the whole time, and once more after it; the outcome says what was seen."""
    watched.plan(watch(errors=ERRORS, health=HEALTH))
    began = time.monotonic()

    result = watched.run()

    assert time.monotonic() - began > 0.2
    assert result.status == SUCCESS
    why = watched.look.state.tasks["watch"].outcome.why
    assert why.startswith("errors 1 % (")
    assert "; health as expected (" in why
    assert server.asked.count("errors") > 5


def test_the_first_trigger_that_fires(watched: Yard, server: Server) -> None:
    """Ends the watch at once, and goes back by itself; the history knows which it was."""
    watched.plan(step("deploy"), watch(for_s=60, errors={**ERRORS, "for_s": 0.05}, health=HEALTH),
                 {"name": "good", "type": "record"}, step("after"), on_failure="rollback",
                 rollback=[step("deploy"), step("look", "gate")])  # fmt: skip
    watched.plan(step("deploy"), {"name": "good", "type": "record"}, name="first")
    watched.run("1.0", plan="first")
    server.says["errors"] = lambda: vector(2, 12.5)

    result = watched.run("2.0")

    assert result.status == ROLLED_BACK
    assert watched.log == ["deploy 1.0", "deploy 2.0", "deploy 1.0", "look 1.0"]
    assert 'watch: errors fired: 12.5 % {n="1"} is above 5 %, since 20' in result.why
    assert "it fires after 0.05 s)" in result.why
    record = next(r for r in watched.records if r.details.get("task") == "watch")
    assert record.status == "failed"
    assert record.notes.startswith("watch: errors fired: 12.5 %")
    facts = record.details["facts"]
    assert (facts["trigger"], facts["value"], facts["limit"]) == ("errors", "12.5 %", "above 5 %")
    assert 'errors: 12.5 % {n="1"} is above 5 %' in record.details["output"]["tail"]
    assert watched.told[-1] == ("here", "rollback", "1.0", "success")


def test_one_that_is_well_again_does_not_fire(watched: Yard, server: Server) -> None:
    """Two failed checks, and three that are needed; both changes are told."""
    answers = iter([500, 500])
    server.says["/health"] = lambda: (next(answers, 200), {})
    watched.plan(watch(health=HEALTH))

    assert watched.run().status == SUCCESS
    outcome = watched.look.state.tasks["watch"].outcome
    assert "2 of them bad" in outcome.why
    assert "health: well again after" in outcome.output.text


def test_three_failed_checks(watched: Yard, server: Server) -> None:
    """Fire, with what the third answered."""
    server.says["/health"] = lambda: (503, {})
    watched.plan(watch(for_s=60, health=HEALTH))

    result = watched.run()

    assert result.status == STOPPED
    assert "watch: health fired: GET http" in result.why
    assert "expected 200, got 503, since 20" in result.why
    assert result.why.endswith("(3 in a row; 3 are too many)")
    assert server.asked[:3] == ["/health"] * 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (vector, "'errors': 0 series where at least 1 are expected"),
        (lambda: vector(float("nan")), "'errors': the value {n=\"0\"} is not a number"),
        (lambda: (400, {"status": "error", "errorType": "bad_data", "error": "x"}),
         "'errors' is refused (400): bad_data: x"),
        (lambda: (200, "hello"), "expected {\"status\": \"success\", ...} of Prometheus' API"),
        (late, "no answer, since"),
    ],
    ids=["absent", "no number", "refused", "another page", "hangs"],
)  # fmt: skip
def test_what_cannot_be_seen_is_not_well(
    watched: Yard, server: Server, answer: Answer, said: str
) -> None:
    """After the patience it fires, though all other triggers are well."""
    server.says["errors"] = answer
    watched.plan(watch(for_s=60, errors={**ERRORS, "patience_s": 0.3}, health=HEALTH))
    began = time.monotonic()

    result = watched.run()

    assert result.status == STOPPED
    assert "watch: errors fired: nothing to be seen, " in result.why
    assert said in result.why
    assert result.why.endswith("patience ends after 0.3 s)")
    assert time.monotonic() - began < 5  # and not the whole watch


def test_nobody_answers(yard: Yard) -> None:
    """A Prometheus that is not there is no reassurance."""
    yard.environment("here", ENVIRONMENT)
    yard.plan(watch(for_s=60, errors={**ERRORS, "patience_s": 0.5}))

    result = yard.run()

    assert "watch: errors fired: nothing to be seen, " in result.why
    assert "refused" in result.why.lower()


def test_a_value_at_the_end_that_is_bad_is_waited_for(watched: Yard, server: Server) -> None:
    """The time is over while it is bad, though not yet for long enough: it is not called well."""
    began = time.monotonic()
    server.says["errors"] = lambda: vector(9 if time.monotonic() - began > 0.1 else 1)
    watched.plan(watch(for_s=0.2, errors={**ERRORS, "for_s": 0.4}))

    result = watched.run()

    assert result.status == STOPPED
    assert "errors fired: 9 %" in result.why


def test_a_step_that_is_too_short(watched: Yard, server: Server) -> None:
    """Its time is over while nothing was decided: that is not well."""
    began = time.monotonic()
    server.says["errors"] = lambda: vector(9 if time.monotonic() - began > 0.05 else 1)
    watched.plan({**watch(for_s=0.2, errors={**ERRORS, "for_s": 30}), "timeout_s": 0.4})

    result = watched.run()

    assert result.why.startswith("watch: its time was over before all was well: errors 9 % {n=")


def test_a_watch_must_fit_into_its_step(watched: Yard) -> None:
    """A plan in which it does not is refused before anything is deployed."""
    watched.plan({**watch(for_s=60, errors=ERRORS), "timeout_s": 60})

    with pytest.raises(ConfigError, match="timeout_s must be longer than for_s"):
        watched.run()


def test_an_environment_without_prometheus(yard: Yard) -> None:
    """Cannot be watched, and says what is missing."""
    yard.plan(watch(errors=ERRORS))

    assert "services.prometheus.url: expected http://host:9090" in yard.run().why


def test_what_is_forbidden_is_not_asked(watched: Yard, server: Server) -> None:
    """A path that a gate's policy forbids ends the watch at once: no patience makes it allowed."""
    policy = "  hot_reload: {{forbid: [/check]}}\n"
    watched.environment("here", ENVIRONMENT + policy)
    watched.plan(watch(for_s=60, check={**HEALTH, "http": {"path": "/hot-reload/check"}}))

    assert watched.run().why == (
        "watch: check cannot be watched: /hot-reload/check is forbidden in here: nothing was sent"
    )
    assert server.asked == []


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        ({"query": "errors"}, "a mapping with either query and a limit"),
        ({"query": "errors", "above": 1, "failures": 3}, "a mapping with either query"),
        ({"http": {"path": "/x"}}, "a mapping with either query"),
        ({**HEALTH, "for_s": 3}, "a mapping with either query"),
        ({"http": {"path": "/x", "method": "POST"}, "failures": 1}, "POST"),
        ({**ERRORS, "abov": 1}, "abov"),
    ],
)
def test_a_trigger_that_is_none(watched: Yard, trigger: dict[str, Any], said: str) -> None:
    """Is refused when the plan is read."""
    watched.plan(watch(errors=trigger))

    with pytest.raises(ConfigError, match=said):
        load_plan(watched.folder / "fixtures", "shop", {})


def test_a_dry_run_says_what_is_watched(watched: Yard) -> None:
    """In a line."""
    watched.plan(watch(errors=ERRORS, health=HEALTH))

    told = list(dry_run(watched.desk(), Wish("shop", "2.0")))

    assert told[-1] == "  would do watch (gate in here): watch for 0.2 s: errors, health"


def test_a_driver_that_dies_while_it_watches(watched: Yard) -> None:
    """Watches anew from the beginning, and changes nothing twice."""
    watched.plan(step("deploy"), watch(errors=ERRORS))

    def at(boundary: str) -> None:
        if boundary == "ended watch/1, before":
            raise KeyboardInterrupt("here")

    with pytest.raises(KeyboardInterrupt, match="here"):
        watched.run(at=at)
    result = watched.resume()

    assert (result.status, standing(watched.look)) == (SUCCESS, "success")
    assert watched.log == ["deploy 2.0"]
