"""The payment gate in the demo: what is left of its orders, and what production allows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_release.config.casebook import load_casebook
from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import Environment
from pytest_release.config.environments import load_environment
from pytest_release.gates._conductor import Conductor
from pytest_release.gates._payment_till import Till
from pytest_release.redaction import reveal
from pytest_release.sandbox.home import at_home
from pytest_release.sandbox.rooms import _stripe
from pytest_release.sandbox.server import Sandbox
from pytest_release.targets.http import HttpTarget

FIXTURES = Path(__file__).parents[2] / "fixtures"
CASES = {c.id: c for c in load_casebook(FIXTURES, "demo", {}).of("payment")}
PATIENCE = 20.0  # seconds for what must happen
ORDER = CASES["payment/an-order-with-stripe"]


@pytest.fixture(scope="module")
def demo() -> Iterator[Environment]:
    """The demo with its payment providers."""
    with Sandbox(2, gates=["payment"]) as sandbox:
        environment = load_environment(FIXTURES, "demo", {})
        yield at_home(environment, sandbox.base_url, sandbox.services, sandbox.secrets)


def conducting(environment: Environment) -> Conductor:
    """Measures there."""
    return Conductor(environment, HttpTarget(environment))


def sessions(environment: Environment) -> list[dict[str, Any]]:
    """All that Stripe knows."""
    status, answer = _stripe.call(environment.services["stripe"], "/v1/checkout/sessions")
    assert status == 200
    found: list[dict[str, Any]] = answer["data"]
    return found


def test_production_with_test_keys_passes_and_leaves_nothing(demo: Environment) -> None:
    """Every check, as the strictest role; behind them no session is open, and no key is told."""
    production = replace(demo, role="production")
    conductor = conducting(production)
    evidence = [conductor.evidence(case) for case in CASES.values()]
    states = {session["status"] for session in sessions(demo)}

    assert [each.explain() for each in evidence if each.findings] == []
    assert states == {"expired"}
    assert not any(secret in repr(evidence) for secret in _secrets(demo))


def _secrets(environment: Environment) -> Iterator[str]:
    services: Mapping[str, Mapping[str, Any]] = environment.services
    yield reveal(services["stripe"]["secret_key"])
    yield reveal(services["stripe"]["webhook_secret"])
    yield reveal(services["payermax"]["private_key"])[60:120]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interrupted_check_leaves_nothing(
    demo: Environment, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    """Ctrl-C and a bug right behind the order: its session is expired all the same."""
    before = len(sessions(demo))

    def interrupted(*_: object, **__: str) -> None:
        assert "open" in {session["status"] for session in sessions(demo)}
        raise error("in the middle")

    monkeypatch.setattr(Till, "verify", interrupted)
    with pytest.raises(error, match="in the middle"):
        conducting(demo).evidence(ORDER)

    after = sessions(demo)
    assert len(after) == before + 1
    assert {session["status"] for session in after} == {"expired"}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"amount": "5.01"}, "5.01 USD is above max_amounts: 5.00"),
        ({"currency": "EUR"}, "max_amounts of the gate's policy has no EUR"),
    ],
)
def test_what_the_policy_forbids_is_not_ordered(
    demo: Environment, options: dict[str, str], reason: str
) -> None:
    """Nothing has reached Stripe."""
    before = len(sessions(demo))
    assert isinstance(ORDER, CheckCase)
    evidence = conducting(demo).evidence(replace(ORDER, options={**ORDER.options, **options}))

    assert reason in evidence.explain()
    assert len(sessions(demo)) == before


CONTROLLER = """
import threading
from pytest_release.sandbox.server import Sandbox
with Sandbox(1, gates=["payment"]) as sandbox:
    print(sandbox._running["payment"]._child.pid, *sandbox.pids, flush=True)
    threading.Event().wait()
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_providers_do_not_survive_their_controller(how: signal.Signals, tmp_path: Path) -> None:
    """However the controlling process ends, they end, and leave no file behind."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    run = [sys.executable, "-c", CONTROLLER]
    with subprocess.Popen(
        run, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as controller:
        assert controller.stdout is not None
        pids = [int(pid) for pid in controller.stdout.readline().split()]
        controller.send_signal(how)
    deadline = time.monotonic() + PATIENCE
    while any(_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)

    assert len(pids) == 2
    assert [pid for pid in pids if _alive(pid)] == []
    assert list(tmp_path.iterdir()) == []


def _alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
