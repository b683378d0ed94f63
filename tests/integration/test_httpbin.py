"""The basic gate against httpbin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_release.config.casebook import load_casebook
from pytest_release.config.cases import HttpCase, Request
from pytest_release.config.environment import Auth, Environment, GatePolicy
from pytest_release.evidence import Evidence
from pytest_release.gates._conductor import Conductor
from pytest_release.redaction import Secret
from pytest_release.targets.http import HttpTarget

CASEBOOK = load_casebook(Path(__file__).with_name("fixtures"), "httpbin", {})
BEARER = Auth("bearer", token=Secret("a-token-of-the-environment"))
OVERLAPPING = {"basic": GatePolicy(concurrency=4)}


@pytest.fixture(scope="module")
def base_url(serve: Callable[[str], str]) -> str:
    """Where httpbin serves."""
    return serve("httpbin")


@pytest.fixture(scope="module")
def conductor(base_url: str, environment_at: Callable[..., Environment]) -> Conductor:
    """Runs the casebook's cases, several at once."""
    environment = environment_at(base_url, auth=BEARER, gates=OVERLAPPING)
    conductor = Conductor(environment, HttpTarget(environment))
    conductor.plan(CASEBOOK.cases)
    return conductor


@pytest.mark.parametrize("case", CASEBOOK.cases, ids=lambda case: case.id)
def test_what_is_right_passes(conductor: Conductor, case: HttpCase) -> None:
    """Nothing is found, not even something to warn of."""
    evidence = conductor.evidence(case)

    assert evidence.findings == (), evidence.explain()


# path, what is expected, the request's other fields, then the code and what the message must say
WRONG: dict[str, tuple[str, dict[str, Any], dict[str, Any], str, str]] = {
    "status": ("/status/503", {}, {}, "status", "status 503 instead of 200"),
    "unauthorised": ("/bearer", {}, {}, "status", "status 401 instead of 200"),
    "method": ("/post", {}, {}, "status", "status 405 instead of 200"),
    "content type": (
        "/xml",
        {"content_type": "application/json"},
        {},
        "content-type",
        "the content type is 'application/xml' instead of application/json",
    ),
    "html": ("/html", {"keys": ["data"]}, {}, "not-json", "the body is not JSON: Expecting value"),
    "no body": ("/status/200", {"keys": ["data"]}, {}, "not-json", "the body is empty"),
    "no header": ("/get", {"headers": {"ETag": "."}}, {}, "header", "the header ETag is missing"),
    "a header": ("/get", {"headers": {"Server": None}}, {}, "header", "Server must be absent"),
    "a value": (
        "/json",
        {"json": {"slideshow.slides[0].type": "none"}},
        {},
        "value",
        'slideshow.slides[0].type is "all" (a text of 3 characters) instead of "none"',
    ),
    "no key": (
        "/json",
        {"keys": ["slideshow.slides[7].title"]},
        {},
        "missing-key",
        "there is no '7' at slideshow.slides, which is a list of 2",
    ),
    "a word that is no flag": (
        "/response-headers",
        {"success": True},
        {"params": {"success": "true"}},
        "success",
        "'success' is \"true\" instead of true",
    ),
    "a flag elsewhere": (
        "/anything",
        {"success": True},
        {"method": "POST", "json": {"success": True}},
        "success",
        "'success' is no such key instead of true",
    ),
    "a schema": (
        "/json",
        {"json_schema": {"properties": {"slideshow": {"required": ["price"]}}}},
        {},
        "schema",
        "breaks its schema at $.slideshow: 'price' is a required property",
    ),
    "a text": ("/robots.txt", {"text": "Allow: /"}, {}, "text", "does not contain 'Allow: /'"),
    "too small": ("/bytes/9", {"min_bytes": 10}, {}, "size", "has 9 bytes, expected at least 10"),
    "too large": ("/bytes/99", {}, {"max_bytes": 50}, "broken", "has more than 50 bytes"),
    "brotli": ("/brotli", {}, {}, "broken", "its content encoding 'br' was not asked for"),
    "slow": ("/delay/0.3", {"latency_ms": 100}, {}, "latency", "latency_ms is above the limit: 3"),
    "too slow": (
        "/delay/9",
        {},
        {"timeout_s": 0.3},
        "no-answer",
        "timed out after 0.3 s while waiting for the answer",
    ),
    "a pause": (
        "/drip",
        {},
        {"params": {"numbytes": 2, "duration": 4}, "stall_s": 0.3},
        "broken",
        "stalled for 0.3 s while reading the answer's body",
    ),
    "redirects": (
        "/redirect/7",
        {},
        {"follow_redirects": True},
        "no-answer",
        "/relative-redirect/1: redirected more than 5 times",
    ),
}


@pytest.mark.parametrize(
    ("path", "expect", "request_", "code", "message"), WRONG.values(), ids=list(WRONG)
)
def test_what_is_wrong_is_found(
    base_url: str,
    measure: Callable[..., Evidence],
    path: str,
    expect: dict[str, Any],
    request_: dict[str, Any],
    code: str,
    message: str,
) -> None:
    """The finding has the code for it, and the message says what was there instead."""
    evidence = measure(case(path, expect, **request_), base_url)

    assert f"basic.{code}" in [finding.code for finding in evidence.failures]
    assert message in evidence.explain()


def case(path: str, expect: dict[str, Any], retries: int = 0, **request: Any) -> HttpCase:  # noqa: ANN401
    """A case of the basic gate."""
    asked = Request(**{"method": "GET", "path": path, "timeout_s": 5.0, **request})
    place = Path(__file__), 1
    return HttpCase("basic/a", "basic", "a", *place, expect, request=asked, retries=retries)


def test_retries_come_to_an_end(base_url: str, measure: Callable[..., Evidence]) -> None:
    """Every attempt is there with its reason; what never passed has not passed on a retry."""
    evidence = measure(case("/status/503", {}, retries=3), base_url)

    assert [attempt.number for attempt in evidence.attempts] == [1, 2, 3, 4]
    assert {attempt.failure for attempt in evidence.attempts} == {"status 503 instead of 200"}
    assert [finding.code for finding in evidence.findings] == ["basic.status"]


def test_a_pass_on_a_retry_is_a_warning(base_url: str, measure: Callable[..., Evidence]) -> None:
    """httpbin throws a coin for the status; a pass names what failed before it, and only then."""
    evidence = measure(case("/status/200,503", {}, retries=40), base_url)
    *failed, passed = evidence.attempts

    assert (evidence.failures, passed.failure) == ((), "")
    assert [finding.code for finding in evidence.warnings] == ["basic.retried"] * bool(failed)
    assert all("status 503" in attempt.failure for attempt in failed)


def test_a_source_that_fails_fails_its_dependents(
    base_url: str, environment_at: Callable[..., Environment]
) -> None:
    """The dependent case is not sent, and names the case that should have captured the value."""
    source = HttpCase(
        "basic/source",
        "basic",
        "source",
        Path(__file__),
        1,
        request=Request("GET", "/status/500"),
        capture={"receipt": "uuid"},
    )
    dependent = HttpCase(
        "basic/dependent",
        "basic",
        "dependent",
        Path(__file__),
        2,
        request=Request("GET", "/anything/{{receipt}}"),
        needs=frozenset({"receipt"}),
    )
    environment = environment_at(base_url)
    conductor = Conductor(environment, HttpTarget(environment))
    conductor.plan([source, dependent])

    evidence = conductor.evidence(dependent)

    assert evidence.exchange is None
    assert evidence.failures[0].code == "basic.missing-value"
    assert "the case basic/source did not capture it" in evidence.failures[0].message
