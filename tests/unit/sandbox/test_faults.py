"""Tests of `pytest_release.sandbox.faults`; tests/integration shows each one over a socket."""

from __future__ import annotations

import json
import re
from tempfile import TemporaryFile

import pytest

from pytest_release.errors import SandboxError
from pytest_release.gates import catalogue
from pytest_release.sandbox.answers import Answer, json_answer
from pytest_release.sandbox.app import App
from pytest_release.sandbox.endpoint import V1, Setting
from pytest_release.sandbox.endpoints import ANALYSES, find
from pytest_release.sandbox.fault import Fault, unchanged
from pytest_release.sandbox.faults import FAULTS, switches
from pytest_release.sandbox.requests import Request
from pytest_release.sandbox.state import SharedState

BIRTH = {"solar_date": "1990-01-15", "solar_time": "12:00", "gender": "male"}


def good(group: str) -> Answer:
    """An unspoilt answer of an endpoint in the group."""
    if group == "stream":
        request = Request("POST", V1 + ANALYSES[0], {})
        with TemporaryFile() as file:
            return find("POST", request.path).say(request, Setting(SharedState(file.fileno())))
    if group == "payment":
        providers = [{"id": "stripe", "ok": True, "currencies": ["USD"]}, {"id": "payermax"}]
        return json_answer({"success": True, "providers": providers})
    return json_answer({"success": True, "data": {"face_detections": 600}})


def test_the_registry_is_complete_and_uniform() -> None:
    """Names are <gate>.<kebab>, unique, described, and each is for a gate that must find it."""
    assert len(FAULTS) >= 28
    for name, fault in FAULTS.items():
        assert name == fault.name
        assert re.fullmatch(r"[a-z_]+\.[a-z0-9]+(-[a-z0-9]+)*", name)
        assert fault.gate in catalogue()
        assert re.fullmatch(rf"{fault.gate}\.[a-z0-9-]+|[a-z0-9]+_ms|", fault.finding)
        assert fault.description


CHANGES = [fault for fault in FAULTS.values() if fault.change is not unchanged]


@pytest.mark.parametrize("fault", CHANGES, ids=lambda fault: fault.name)
def test_a_change_makes_another_answer_every_time(fault: Fault) -> None:
    """A fault spoils, and does not depend on having been applied before."""
    answer = good(fault.gate)

    assert fault.change(answer) != answer
    assert fault.change(answer) == fault.change(answer)


def test_no_name_is_no_fault() -> None:
    """Without names the sandbox behaves."""
    assert switches([]) == ()


def test_a_path_narrows_a_fault() -> None:
    """`name@/path` spoils the one stream and leaves the others."""
    (fault,) = switches(["stream.stall@/career-wealth/stream"])

    assert fault.spoils(find("POST", f"{V1}/career-wealth/stream"))
    assert not fault.spoils(find("POST", f"{V1}/general-review/stream"))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("stream.stal", r"no fault 'stream\.stal', did you mean 'stream\.stall'\?.*sandbox faults"),
        ("zzz", r"there is no fault 'zzz'; `pytest-release sandbox faults` lists them all"),
        (
            "stream.stall@/bazi/interface",
            r"'stream\.stall' has no endpoint '/bazi/interface'.*it can spoil /api/v1/daily",
        ),
        ("release.wrong-version@/helth", r"did you mean '/api/v1/health'\?"),
    ],
)
def test_an_unknown_fault_or_path_is_refused(asked: str, message: str) -> None:
    """The message has a near match and says where to find what there is."""
    with pytest.raises(SandboxError, match=message):
        switches([asked])


def test_faults_apply_in_order_and_only_when_due() -> None:
    """A flaky 503 hides the changed success flag on the first request, not on the second."""
    request = Request("POST", f"{V1}/bazi/interface", {}, "", json.dumps(BIRTH).encode())
    with TemporaryFile() as file:
        faults = switches(["basic.success-false", "basic.flaky"])
        app = App(Setting(SharedState(file.fileno())), faults)
        answers = [app.answer(request) for _ in range(3)]

    assert [answer.status for answer in answers] == [503, 200, 503]
    assert json.loads(answers[1].body)["message"] == "calculation failed"
