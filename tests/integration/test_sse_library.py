"""The stream gate against streams that sse-starlette makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_release.config.cases import HttpCase, Request
from pytest_release.config.environment import Environment
from pytest_release.evidence import Evidence
from pytest_release.targets.events import Event, EventParser
from pytest_release.targets.http import HttpTarget
from pytest_release.targets.stamps import Stamp

TYPES = ("opened", "verse", "closed")
POEM = HttpCase(
    id="stream/poem",
    gate="stream",
    name="poem",
    request=Request("GET", "/poem"),
    file=Path(__file__),
    line=1,
    expect={
        "headers": {"cache-control": "no-store"},
        "events": {
            "terminal": ["closed"],
            "forbid": ["error", "message", "ping"],
            "types": TYPES,
            "order": TYPES,
            "min": 4,
            "max": 4,
            "schema": {"opened": {"properties": {"title": {"const": "静夜思"}}}},
        },
        "text": {"from": "opened", "path": "title", "matches": "^静夜思$"},
    },
)
TOLD = [
    ("opened", '{"title": "静夜思"}'),
    ("verse", "床前明月光\n疑是地上霜"),
    ("verse", '{"type": "verse", "lines": [3, 4]}'),
    ("closed", ""),
]


@pytest.fixture(scope="module")
def base_url(serve: Callable[[str], str]) -> str:
    """Where sse-starlette streams."""
    return serve("events")


@pytest.mark.parametrize("line_end", ["\n", "\r", "\r\n"], ids=["lf", "cr", "crlf"])
def test_a_stream_of_the_library_passes(
    base_url: str, measure: Callable[..., Evidence], line_end: str
) -> None:
    """Multi-line data, both ways to name a type, comments and pings, in each of the line ends."""
    asked = replace(POEM, request=replace(POEM.request, params={"line_end": line_end}))

    evidence = measure(asked, base_url)

    assert evidence.findings == ()
    assert [(mark.kind, mark.text) for mark in evidence.timeline] == TOLD


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"contains": "春晓"}, "the collected text does not contain '春晓'"),
        ({"contains": ["静夜思", "春晓"]}, "the collected text does not contain '春晓'"),
        ({"matches": "^春晓$"}, "the collected text does not match '^春晓$'"),
        ({"min_length": 4}, "the collected text has 3 characters, at least 4 expected"),
    ],
)
def test_a_stream_that_says_something_else(
    base_url: str, measure: Callable[..., Evidence], wanted: dict[str, object], said: str
) -> None:
    """Events that come in time and order may still tell the wrong thing."""
    text = {"from": "opened", "path": "title", **wanted}

    (finding,) = measure(replace(POEM, expect={**POEM.expect, "text": text}), base_url).findings

    assert (finding.code, finding.message, finding.received) == ("stream.text", said, "静夜思")


def test_ids_retry_and_pings_are_understood(
    base_url: str, environment_at: Callable[..., Environment]
) -> None:
    """An id outlives its event, the reconnection time is kept, and pings are comments."""
    parser, events = EventParser(), list[Event]()

    def take(chunk: bytes, at: Stamp) -> None:
        events.extend(parser.feed(chunk, at))

    HttpTarget(environment_at(base_url)).send(POEM.request, on_chunk=take)

    assert [event.id for event in events] == ["1", "2", "2", "4"]
    assert parser.retry_ms == 3000
    assert parser.comments > 2, "two are not pings"
    assert not parser.unfinished


def test_a_stream_whose_generator_fails_is_cut_off(
    base_url: str, measure: Callable[..., Evidence]
) -> None:
    """The library drops the connection: the gate says so, and that the end never came."""
    asked = replace(POEM, request=replace(POEM.request, path="/broken"))

    said = {finding.code: finding.message for finding in measure(asked, base_url).failures}

    assert "was cut off: peer closed connection" in said["stream.broken"]
    assert "2 events, the last one 'verse'" in said["stream.no-terminal-event"]
