"""Every fault of the sandbox is found by the gate that must find it, and named: the drill's engine.

``tests/faults/<gate>/<fault>.yaml`` says which case of demo meets the fault, which finding that
makes, and what its message must contain; see docs/drill.md.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_release.config.cases import HttpCase
from pytest_release.drill.engine import Engine, State
from pytest_release.drill.recipe import FOLDER, Recipe, known, read_recipes
from pytest_release.evidence import Evidence
from pytest_release.gates import catalogue
from pytest_release.sandbox.database import shared
from pytest_release.sandbox.server import HOST, Sandbox

ROOT = Path(__file__).parents[2]
RECIPES = read_recipes(ROOT / FOLDER)
FEW = {"release": 2}  # faults, where there are fewer than ten


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """What meets faults; one PostgreSQL server serves all of them."""
    with shared():
        yield Engine(ROOT / "fixtures")


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.fault)
def test_a_fault_is_found_and_named(engine: Engine, recipe: Recipe) -> None:
    """The gate comes to its verdict by the finding that the fault promises, which says enough."""
    result = engine.meet(recipe)

    assert result.state is State.CAUGHT, result


@pytest.mark.parametrize("room", sorted({name.partition(".")[0] for name in known()}))
def test_every_fault_has_its_file(room: str) -> None:
    """Named for it, in the folder of its gate; there are at least ten."""
    faults = {name for name in known() if name.startswith(f"{room}.")}

    assert faults == {r.fault for r in RECIPES if r.fault.startswith(f"{room}.")}
    assert len(faults) >= FEW.get(room, 10)


@pytest.mark.parametrize("gate", catalogue())
def test_without_a_fault_nothing_is_found(engine: Engine, gate: str) -> None:
    """The cases that meet the faults are not to blame."""
    evidence = engine.clean(gate, {r.case for r in RECIPES if r.gate == gate})

    assert [each.explain() for each in evidence if each.findings] == []
    assert evidence


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


def said(evidence: Evidence, code: str) -> str:
    """The message of a finding."""
    return next((finding.message for finding in evidence.findings if finding.code == code), "")
