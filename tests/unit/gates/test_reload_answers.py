"""What the answers of a hot reload must say; each sentence that a person may have to act on."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pytest_release.evidence import Finding
from pytest_release.gates._reload_answers import (
    CHECKS,
    ORDER,
    check_called,
    check_history,
    check_registered,
    check_reloaded,
    check_verified,
    check_versions,
    running_versions,
)

RELOADED = {"success": True, "reloaded_modules": list(ORDER), "failed_modules": None}
VERIFIED = {"success": True, "checks": {name: {"ok": True, "detail": ""} for name in CHECKS}}
NAMES = [f"/e{number}" for number in range(21)]
REGISTERED = {"success": True, "old_count": 21, "new_count": 21, "endpoints": NAMES}
SOURCE = {"current": "b", "cached": "b", "changed": False}
VERSIONS = {"success": True, "versions": {"source": SOURCE}}
HISTORY = {"success": True, "history": [{"failed_count": 0}]}


def only(findings: Any, code: str) -> Finding:  # noqa: ANN401 - an iterator of them
    """The one finding, which has that code."""
    (finding,) = findings
    assert isinstance(finding, Finding)
    assert finding.code == f"hot_reload.{code}"
    return finding


def test_good_answers_have_nothing_wrong() -> None:
    """What follows fails for one reason each."""
    assert [
        *check_reloaded(RELOADED, ORDER),
        *check_reloaded(RELOADED | {"failed_modules": []}, ORDER),
        *check_verified(VERIFIED, CHECKS),
        *check_registered(REGISTERED, 20, ["/e1"]),
        *check_versions(VERSIONS, ["source"]),
        *check_history(HISTORY, 1),
        *check_called({"success": True}, "POST /e1"),
    ] == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"success": False}, "'success' is false at the top, true was expected"),
        ({"success": "true"}, "'success' is \"true\" at the top"),
        ({"success": 1}, "'success' is 1 at the top"),
        ({"data": {"success": True}}, "there is no 'success' at the top"),
    ],
)
def test_success_counts_at_the_top_and_as_true(value: dict[str, Any], said: str) -> None:
    """A pattern that looks for the words anywhere would take each of these."""
    findings = list(check_reloaded(value | {"reloaded_modules": list(ORDER)}, ORDER))

    assert said in only(findings, "refused").message


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"failed_modules": ["source"]}, "failed-modules", 'failed_modules names ["source"]'),
        ({"reloaded_modules": None}, "malformed", "reloaded_modules is null, a list of names"),
        ({"reloaded_modules": [1]}, "malformed", "reloaded_modules is a list of 1"),
        ({"reloaded_modules": list(ORDER[:-1])}, "module-missing", "cache was not reloaded"),
        (
            {"reloaded_modules": [*ORDER, "cache"]},
            "module-missing",
            "cache was reloaded 2 times",
        ),
        (
            {"reloaded_modules": ["config", "rules", "content", "singleton", "source", *ORDER[5:]]},
            "order",
            "singleton was reloaded before source, and must come after",
        ),
    ],
)
def test_a_reload_that_is_not_whole(changes: dict[str, Any], code: str, said: str) -> None:
    """``success: true`` stands in each of these answers."""
    assert said in only(check_reloaded(RELOADED | changes, ORDER), code).message


def test_nothing_reloaded_is_seven_modules_missing() -> None:
    """An empty list is no good answer."""
    findings = list(check_reloaded(RELOADED | {"reloaded_modules": []}, ORDER))

    assert [finding.code for finding in findings] == ["hot_reload.module-missing"] * 7


@pytest.mark.parametrize(
    ("checks", "code", "said"),
    [
        ({}, "malformed", "checks is an object with no keys, an object with the result of each"),
        (None, "malformed", "checks is null"),
        (
            VERIFIED["checks"] | {"redis": {"ok": False, "detail": "timeout"}},  # type: ignore[operator]
            "check",
            'the check redis is not ok: "timeout"',
        ),
        (VERIFIED["checks"] | {"redis": {"ok": "yes"}}, "check", "redis is not ok: null"),  # type: ignore[operator]
        (VERIFIED["checks"] | {"redis": True}, "check", "the check redis is not ok: true"),  # type: ignore[operator]
    ],
)
def test_a_check_that_is_not_ok_inside_success(checks: Any, code: str, said: str) -> None:  # noqa: ANN401
    """Whatever stands above it."""
    assert said in only(check_verified({"success": True, "checks": checks}, CHECKS), code).message


def test_a_check_that_was_left_out() -> None:
    """It is named; the others being fine does not help."""
    checks = {name: {"ok": True} for name in CHECKS[1:]}
    finding = only(check_verified({"success": True, "checks": checks}, CHECKS), "check-missing")

    assert finding.message == "payment_clients was not checked"


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"endpoints": [], "new_count": 0}, {"endpoints", "endpoint-lost", "endpoint-missing"}),
        ({"endpoints": []}, {"endpoint-count", "endpoints", "endpoint-missing"}),
        ({"endpoints": NAMES[:-1] + NAMES[:1]}, {"endpoint-count"}),
        ({"old_count": 24}, {"endpoint-lost"}),
        ({"new_count": True}, {"malformed"}),
        ({"endpoints": None}, {"malformed"}),
        ({"success": False}, {"refused"}),
    ],
)
def test_endpoints_that_are_not_registered(changes: dict[str, Any], codes: set[str]) -> None:
    """Counts and names must agree, and be enough."""
    findings = check_registered(REGISTERED | changes, 20, ["/e1"])

    assert {f.code.removeprefix("hot_reload.") for f in findings} == codes


def test_how_many_endpoints_were_lost() -> None:
    """The sentence has both numbers."""
    finding = only(check_registered(REGISTERED | {"old_count": 24}, 20, []), "endpoint-lost")

    assert finding.message == "3 of 24 endpoints were lost by the reload"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"error": "UNSUPPORTED endpoint: /e1"}, "unsupported"),
        ({"success": True, "data": {"message": "Unsupported endpoint"}}, "unsupported"),
        ({}, "empty-answer"),
        ({"success": False, "message": "boom"}, "call-failed"),
    ],
)
def test_an_endpoint_that_does_not_know_itself(value: dict[str, Any], code: str) -> None:
    """In whatever spelling and depth it says so; and an empty answer is none."""
    assert only(check_called(value, "POST /e1"), code).message.startswith("POST /e1")


@pytest.mark.parametrize(
    ("version", "code", "said"),
    [
        (
            SOURCE | {"current": "c"},
            "old-code",
            'source runs "b" in worker "7", and "c" is on disk',
        ),
        (SOURCE | {"changed": True}, "old-code", 'source runs "b" in worker "7", and "b" is on'),
        ("b", "malformed", "the version of source is a text of 1 characters, current and cached"),
        ({}, "malformed", "the version of source is an object with no keys"),
    ],
)
def test_a_worker_that_runs_other_code_than_is_on_disk(
    version: Any,  # noqa: ANN401 - any JSON value
    code: str,
    said: str,
) -> None:
    """The message has both versions, and the worker where the answer names it."""
    value = {"success": True, "worker_id": "7", "versions": {"source": version}}

    assert said in only(check_versions(value, ["source"]), code).message


def test_versions_that_are_missing() -> None:
    """None at all, and one that the case asks for."""
    empty = only(check_versions({"success": True, "versions": []}, []), "malformed")
    missing = only(check_versions(VERSIONS, ["source", "rules"]), "version-missing")

    assert empty.message == ("versions is a list of 0, an object with those of each was expected")
    assert missing.message == "there is no version of rules"


def test_what_runs_can_be_compared_between_nodes() -> None:
    """What is malformed runs nothing."""
    assert running_versions(VERSIONS) == {"source": '"b"'}
    assert running_versions({"versions": {"source": 1}}) == {}
    assert running_versions({"versions": 1}) == {}


@pytest.mark.parametrize(
    ("history", "code", "said"),
    [
        (None, "malformed", "history is null, a list of reloads was expected"),
        ([1], "malformed", "history is a list of 1"),
        ([], "history", "the history has 0 reloads, at least 1 were expected"),
        ([{"failed_count": 2}], "history", "a reload is recorded with failed_count 2"),
        ([{}], "history", "a reload is recorded with failed_count null"),
    ],
)
def test_a_history_that_does_not_record_a_good_reload(
    history: Any,  # noqa: ANN401 - any JSON value
    code: str,
    said: str,
) -> None:
    """Only what is written there counts."""
    finding = only(check_history({"success": True, "history": history}, 1), code)

    assert re.search(re.escape(said), finding.message)


def test_only_the_latest_reloads_of_a_history_count() -> None:
    """One that failed long ago has been mended."""
    history = [{"failed_count": 3}, {"failed_count": 0}]

    assert list(check_history({"success": True, "history": history}, 1)) == []


def test_what_a_server_says_is_shown_in_part() -> None:
    """However long it is."""
    checks = {f"check {n}": {"ok": False, "detail": "x" * 100_000} for n in range(1000)}
    findings = list(check_verified({"success": True, "checks": checks}, []))

    assert len(findings) == 10
    assert sum(len(f.message) + len(f.received) for f in findings) < 10_000
