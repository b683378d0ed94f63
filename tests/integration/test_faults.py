"""Every fault of the sandbox is found by the gate that must find it, and named.

``tests/faults/<gate>/<fault>.yaml`` says which case of hifate meets the fault, which finding that
makes, and what its message must contain; ``request`` and ``expect``, laid over the case's own,
shorten waiting or set a limit.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_release.config.cases import HttpCase
from pytest_release.evidence import Evidence
from pytest_release.sandbox.faults import FAULTS
from pytest_release.sandbox.server import HOST, Sandbox
from pytest_release.verdict import judge_threshold

FOLDER = Path(__file__).parents[1] / "faults"
STREAM_SECONDS = 0.15
THRESHOLDS = {"p95_ms": 500.0}  # of the gate as a whole, in milliseconds
NO_FAILURE = {
    "basic.flaky": "a pass on a retry warns",
    "basic.slow": "the case has no limit: the gate's threshold is broken",
}
LEFT_OUT = {
    "release.build-changes": "no case sees it: the run compares the build before and after",
    "release.wrong-version": "no case sees it: the run compares the version with what was asked",
}


@dataclass(frozen=True)
class Recipe:
    """One file: a fault, the case that meets it, and what must be said."""

    fault: str
    case: str
    finding: str
    message: str
    request: Mapping[str, Any] = field(default_factory=dict)
    expect: Mapping[str, Any] = field(default_factory=dict)

    def prepare(self, case: HttpCase) -> HttpCase:
        """The case as this fault is to be met."""
        request = replace(case.request, **self.request)
        return replace(case, request=request, expect={**case.expect, **self.expect})


FILES = sorted(file for gate in ("basic", "stream") for file in (FOLDER / gate).glob("*.yaml"))
RECIPES = [Recipe(**yaml.safe_load(file.read_bytes())) for file in FILES]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.fault)
def test_a_fault_is_found_and_named(
    hifate: Mapping[str, HttpCase], measure: Callable[..., Evidence], recipe: Recipe
) -> None:
    """The finding has the code that the fault promises, and its message says something specific."""
    with Sandbox(1, [recipe.fault], STREAM_SECONDS) as sandbox:
        evidence = measure(recipe.prepare(hifate[recipe.case]), sandbox.base_url)

    assert recipe.finding == FAULTS[recipe.fault].finding
    assert recipe.message in said(evidence, recipe.finding), evidence.explain()
    assert bool(evidence.failures) is (recipe.fault not in NO_FAILURE)


def said(evidence: Evidence, code: str) -> str:
    """The message of a finding, or why a threshold of the gate is not kept."""
    if code in THRESHOLDS:
        return judge_threshold(code, THRESHOLDS[code], [evidence]).reason
    return next((finding.message for finding in evidence.findings if finding.code == code), "")


def test_every_fault_has_its_file() -> None:
    """Named for it, in the folder of its gate; what is left out has a reason."""
    files = [".".join(file.relative_to(FOLDER).with_suffix("").parts) for file in FILES]

    assert files == [recipe.fault for recipe in RECIPES]
    assert {*files, *LEFT_OUT} == {n for n, f in FAULTS.items() if f.gate in ("basic", "stream")}


def test_without_a_fault_nothing_is_found(
    patient_hifate: Mapping[str, HttpCase], measure: Callable[..., Evidence]
) -> None:
    """The cases that meet the faults are not to blame."""
    with Sandbox(1, stream_seconds=STREAM_SECONDS) as sandbox:
        for name in {recipe.case for recipe in RECIPES}:
            assert measure(patient_hifate[name], sandbox.base_url).findings == ()


def test_a_redirect_loop_that_is_followed(
    hifate: Mapping[str, HttpCase], measure: Callable[..., Evidence]
) -> None:
    """A case that follows redirects ends, too, and says where they lead."""
    case = hifate["basic/bazi-interface"]
    following = replace(case, request=replace(case.request, follow_redirects=True))
    with Sandbox(1, ["basic.redirect-loop"]) as sandbox:
        message = said(measure(following, sandbox.base_url), "basic.no-answer")

    assert "redirected in a loop" in message
    assert message.count("/api/v1/bazi/interface") > 1


@pytest.mark.parametrize("name", ["basic/health", "stream/annual-report"])
def test_a_server_that_is_down(
    hifate: Mapping[str, HttpCase], measure: Callable[..., Evidence], name: str
) -> None:
    """The message says which address does not answer, and why."""
    with socket.socket() as deaf:
        deaf.bind((HOST, 0))  # and never listens
        address = f"http://{HOST}:{deaf.getsockname()[1]}"
        evidence = measure(hifate[name], address)

    assert evidence.exchange is not None
    assert said(evidence, f"{evidence.gate}.no-answer") == (
        f"{evidence.exchange.method} {address}{hifate[name].request.path}"
        ": cannot be reached: Connection refused"
    )
