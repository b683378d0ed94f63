"""Tests of `pytest_release.sandbox.endpoints`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from tempfile import TemporaryFile

import pytest

from pytest_release.sandbox.answers import Answer
from pytest_release.sandbox.endpoint import V1, Setting
from pytest_release.sandbox.endpoints import ENDPOINTS, find
from pytest_release.sandbox.requests import Refused, Request
from pytest_release.sandbox.rooms import parts, rooms
from pytest_release.sandbox.state import SharedState


@pytest.fixture
def setting() -> Iterator[Setting]:
    """A setting with a state of its own."""
    with TemporaryFile() as file:
        yield Setting(SharedState(file.fileno()))


def say(setting: Setting, method: str, path: str, body: object = None) -> Answer:
    """The answer to a request that is known to be good."""
    request = Request(method, path, {"category": "wealth"}, "", json.dumps(body).encode())
    return find(method, path).say(request, setting)


def test_the_table_holds_the_endpoints_of_the_real_system() -> None:
    """6 basic calculations and the home page, 12 stream paths (one is called in two ways)."""
    own = {endpoint for room in rooms() for endpoint in room.endpoints}
    assert Counter(endpoint.group for endpoint in ENDPOINTS if endpoint not in own) == {
        "basic": 7,
        "stream": 12,
        "health": 1,
        "momentry": 1,
        "football": 2,
        "counts": 1,
        "document": 1,
        "endpoints": 1,
        "": 2,
    }
    assert len({(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}) == len(ENDPOINTS)


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/nowhere", 404, "there is no /nowhere"),
        ("GET", f"{V1}/bazi/interface", 405, "bazi/interface takes POST, not GET"),
    ],
)
def test_other_requests_are_refused(method: str, path: str, status: int, message: str) -> None:
    """An unknown path and a wrong method are told apart."""
    with pytest.raises(Refused, match=message) as refused:
        find(method, path)

    assert refused.value.status == status


def test_basic_answers_are_json_objects_with_success(setting: Setting) -> None:
    """Every endpoint of the basic gate says success: true and carries data."""
    for endpoint in ENDPOINTS:
        if endpoint.group == "basic":
            value = json.loads(say(setting, endpoint.method, endpoint.path, {}).body)

            assert value["success"] is True
            assert "data" in value


def test_health_names_the_build(setting: Setting) -> None:
    """The release that is judged can be read from health."""
    value = json.loads(say(setting, "GET", f"{V1}/health").body)

    assert (value["status"], value["version"], len(value["build_git_hash"])) == ("ok", "1.0.0", 40)


def test_a_stream_starts_at_once_and_lasts_as_long_as_set(setting: Setting) -> None:
    """The first event does not wait; all waits together are the setting's seconds."""
    answer = say(setting, "POST", f"{V1}/career-wealth/stream")

    assert answer.pieces[0].wait == 0
    assert sum(piece.wait for piece in answer.pieces) == pytest.approx(setting.stream_seconds)


def test_no_two_parts_have_one_name() -> None:
    """The second would be started in the place of the first, which nobody would stop."""
    names = [part.name for part in parts()]

    assert sorted(set(names)) == sorted(names)
