"""A Prometheus that answers what it should, and what it should not."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from pytest_release.errors import TargetError
from pytest_release.redaction import Redactor, Secret
from pytest_release.targets import service
from pytest_release.targets.prometheus import Alert, Prometheus, Rule, ScrapeTarget, Series
from tests.unit.targets.conftest import Serve, environment_at
from tests.unit.targets.scripted import HEAD, Server, plain

Ask = Callable[[Prometheus], Any]
AT = "2026-11-28T18:00:00.123456789Z"
UNIX = 1_795_888_800.123456
NEVER = "0001-01-01T00:00:00Z"


def says(serve: Serve, data: Any, *, status: int = 200) -> Server:  # noqa: ANN401 - any JSON
    """A server with this in its data."""
    return serve(plain(json.dumps({"status": "success", "data": data}).encode(), status=status))


def asked(server: Server) -> Prometheus:
    """What asks it."""
    return Prometheus({"url": server.url}, environment_at("http://application"))


def vector(*values: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """An instant vector."""
    result = [{"metric": {"__name__": "up", "n": str(n)}, "value": v} for n, v in enumerate(values)]
    return {"resultType": "vector", "result": result}


def test_an_instant_query(serve: Serve) -> None:
    """Gives labels, time and value, NaN and infinity among them; the expression is encoded."""
    server = says(serve, vector([1.5, "NaN"], [2, "+Inf"], [3, "-1e3"]))

    found = asked(server).query('up{job="a&b"}', at=7)

    assert [one.labels["n"] for one in found] == ["0", "1", "2"]
    assert math.isnan(found[0].value)
    assert [one.points for one in found[1:]] == [((2.0, math.inf),), ((3.0, -1000.0),)]
    assert b"GET /api/v1/query?query=up%7Bjob%3D%22a%26b%22%7D&time=7.000 " in server.requests[0]


def test_a_range_query(serve: Serve) -> None:
    """Gives each series' points."""
    matrix = [{"metric": {"a": "b"}, "values": [[1, "2"], [2, "3"]]}]
    server = says(serve, {"resultType": "matrix", "result": matrix})

    assert asked(server).range("x", 1, 2, 0.5) == (Series({"a": "b"}, ((1, 2), (2, 3))),)
    assert b"query_range?query=x&start=1.000&end=2.000&step=0.5 " in server.requests[0]


@pytest.mark.parametrize(("start", "end", "step"), [(0, 1, 0), (2, 1, 1), (0, 11_001, 1)])
def test_a_range_that_no_server_gives(serve: Serve, start: float, end: float, step: float) -> None:
    """Is not asked for."""
    with pytest.raises(TargetError, match="expected a step above 0 and at most 11000 points"):
        asked(serve()).range("x", start, end, step)


def test_the_servers_clock(serve: Serve) -> None:
    """Is asked by PromQL; a scalar is one series without labels."""
    server = says(serve, {"resultType": "scalar", "result": [UNIX, str(UNIX)]})

    assert asked(server).now() == UNIX


def test_a_figure_that_is_several(serve: Serve) -> None:
    """Is none."""
    message = re.escape("'up' has 2 series: expected exactly one")
    with pytest.raises(TargetError, match=message):
        asked(says(serve, vector([1, "1"], [1, "1"]))).scalar("up")


def test_targets(serve: Serve) -> None:
    """Have job, health, error and the time of the last scrape."""
    told = {
        "labels": {"job": "node", "instance": "a:9100"},
        "scrapeUrl": "http://a:9100/metrics",
        "lastError": "connection refused",
        "lastScrape": AT,
        "health": "down",
    }
    expected = ScrapeTarget(
        "node", "a:9100", "http://a:9100/metrics", "down", "connection refused", UNIX
    )

    assert asked(says(serve, {"activeTargets": [told]})).targets() == (expected,)


def test_rules(serve: Serve) -> None:
    """Have their group's name and interval; one that was never evaluated says 0."""
    told = {"name": "Down", "query": "up == 0", "health": "err", "lastEvaluation": NEVER}
    alerting = {**told, "type": "alerting", "lastError": "x", "state": "firing", "labels": None}
    recording = {**told, "type": "recording", "labels": {"a": "b"}}
    group = {"name": "g", "interval": 15, "rules": [alerting, recording]}

    assert asked(says(serve, {"groups": [group]})).rules() == (
        Rule("Down", "g", "alerting", "up == 0", "err", "x", 0.0, 15.0, "firing"),
        Rule("Down", "g", "recording", "up == 0", "err", "", 0.0, 15.0, "", {"a": "b"}),
    )


def test_alerts(serve: Serve) -> None:
    """Have name, state and labels."""
    labels = {"alertname": "Down", "severity": "critical"}
    told = {"labels": labels, "annotations": {"s": "t"}, "state": "firing", "activeAt": AT}

    assert asked(says(serve, {"alerts": [told, {"labels": {}, "state": "pending"}]})).alerts() == (
        Alert("Down", "firing", labels, {"s": "t"}, UNIX),
        Alert("", "pending", {}, {}, 0.0),
    )


def test_alertmanagers_and_configuration(serve: Serve) -> None:
    """Are asked for by themselves."""
    url = "http://a:9093/api/v2/alerts"
    assert asked(says(serve, {"activeAlertmanagers": [{"url": url}]})).alertmanagers() == (url,)
    assert not asked(says(serve, {"reloadConfigSuccess": False})).configured()


@pytest.mark.parametrize(
    ("status", "body", "well"),
    [
        (200, b"Prometheus Server is Healthy.\n", True),
        (200, b"Prometheus is Healthy.\n", True),
        (200, b"<html>Healthy food, log in</html>", False),
        (200, b"", False),
        (302, b"Healthy", False),
        (503, b"Service Unavailable", False),
    ],
)
def test_health(serve: Serve, status: int, body: bytes, well: bool) -> None:
    """Is what Prometheus says of itself, not any page that answers 200."""
    health = asked(serve(plain(body, status=status))).healthy()

    assert (health.well, health.said[:3]) == (well, str(status))


def test_ready(serve: Serve) -> None:
    """Is another question."""
    server = serve(plain(b"Prometheus Server is Ready.\n"))

    assert asked(server).ready().well
    assert b"GET /-/ready " in server.requests[0]


QUERY: Ask = lambda p: p.query("up")  # noqa: E731 - a table of questions
TARGETS: Ask = lambda p: p.targets()  # noqa: E731 - a table of questions
RULES: Ask = lambda p: p.rules()  # noqa: E731 - a table of questions
DEEP = b'{"status": "success", "data": ' + b"[" * 200_000


@pytest.mark.parametrize(
    ("status", "body", "ask", "message"),
    [
        (200, b"<html>log in", QUERY, "/api/v1/query 'up' answers 200 '<html>log in': expected {"),
        (404, b"404 page not found\n", RULES, "/api/v1/rules answers 404 '404 page not found'"),
        (200, b"[]", TARGETS, "/api/v1/targets answers 200 '[]': expected"),
        (200, DEEP, TARGETS, "/api/v1/targets answers 200 "),
        (200, b"\xff\xfe", TARGETS, "/api/v1/targets answers 200 "),
    ],
)
def test_another_answer(serve: Serve, status: int, body: bytes, ask: Ask, message: str) -> None:
    """Is an error that names address, request and what was expected."""
    server = serve(plain(body, status=status))

    with pytest.raises(TargetError, match=re.escape(f"{server.url}{message}")):
        ask(asked(server))


@pytest.mark.parametrize(
    ("data", "ask"),
    [
        ({"activeTargets": [1]}, TARGETS),
        ({"activeTargets": 1}, TARGETS),
        ({}, RULES),
        ({"groups": [{"name": "g", "rules": [{}]}]}, RULES),
        (vector([1, 2]), QUERY),
        (vector(["x", "1"]), QUERY),
        (vector([math.nan, "1"]), QUERY),
        (vector([1]), QUERY),
        (vector([1, "one"]), QUERY),
        ({"resultType": "matrix", "result": [{"metric": {}, "values": 1}]}, QUERY),
        ([], QUERY),
    ],
)
def test_another_form(serve: Serve, data: Any, ask: Ask) -> None:  # noqa: ANN401 - any JSON
    """Is no answer, and never an empty list."""
    with pytest.raises(TargetError, match="answers in another form than expected"):
        ask(asked(says(serve, data)))


def test_a_refused_question(serve: Serve) -> None:
    """Is told with the server's reason."""
    told = {"status": "error", "errorType": "bad_data", "error": "parse error: up{"}
    server = serve(plain(json.dumps(told).encode(), status=400))

    message = re.escape("/api/v1/query 'up' is refused (400): bad_data: parse error: up{")
    with pytest.raises(TargetError, match=message):
        asked(server).query("up")


def test_an_endless_answer(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is given up."""
    monkeypatch.setattr(service, "LARGEST", 10)
    with pytest.raises(TargetError, match="/api/v1/alerts breaks off: its body has more than 10"):
        asked(says(serve, {"alerts": []})).alerts()


def test_half_an_answer(serve: Serve) -> None:
    """Is none."""
    with pytest.raises(TargetError, match="/api/v1/alerts breaks off: "):
        asked(serve(HEAD + b"Content-Length: 100\r\n\r\n{}")).alerts()


def test_nobody() -> None:
    """Is named by address."""
    nobody = Prometheus({"url": "http://127.0.0.1:9"}, environment_at(None))
    with pytest.raises(TargetError, match=re.escape("http://127.0.0.1:9/-/healthy")):
        nobody.healthy()


@pytest.mark.parametrize("options", [{}, {"url": ""}, {"url": Secret("")}, {"url": "file:///x"}])
def test_no_address(options: dict[str, Any]) -> None:
    """Is a sentence that names file and key."""
    message = "here.yaml: services.prometheus.url: expected http://host:9090"
    with pytest.raises(TargetError, match=message):
        Prometheus(options, environment_at(None))


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, None),
        ({"token": Secret("t0ken")}, b"Authorization: Bearer t0ken"),
        ({"username": "u", "password": Secret("p")}, b"Authorization: Basic dTpw"),
    ],
)
def test_authorisation(serve: Serve, options: dict[str, Any], sent: bytes | None) -> None:
    """Is the service's own; the application's is not sent, and none is shown."""
    from pytest_release.config.environment import Auth

    server = serve(plain(b"Prometheus Server is Ready."))
    own = Auth("bearer", token=Secret("of the application"))
    environment = environment_at(None, auth=own, redactor=Redactor(frozenset({"t0ken"})))
    Prometheus({"url": server.url, **options}, environment).ready()

    found = re.search(rb"authorization: [^\r]+", server.requests[0], re.IGNORECASE)
    assert (found and found[0].lower()) == (sent and sent.lower())
