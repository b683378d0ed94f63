"""Tests of `pytest_release.targets.turns`: one at a time, but nobody waits for the slow."""

from __future__ import annotations

import threading
import time

import pytest

from pytest_release.targets import turns
from pytest_release.targets.turns import Turns

PATIENCE = 5.0


def test_one_block_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten threads never meet in the block, and all of them come to their turn."""
    monkeypatch.setattr(turns, "HOLD_S", PATIENCE)
    shared, inside, most, done = Turns(), 0, 0, 0

    def work() -> None:
        nonlocal inside, most, done
        with shared.turn():
            inside += 1
            most = max(most, inside)
            time.sleep(0.001)
            inside -= 1
        done += 1

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert (most, done) == (1, 10)


def test_a_turn_that_lasts_too_long_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow one goes on undisturbed, and its end takes the turn from nobody."""
    monkeypatch.setattr(turns, "HOLD_S", 0.01)
    shared = Turns()

    with shared.turn():
        with shared.turn():
            holder = shared._holder
        assert shared._holder is None
        with shared.turn():
            assert shared._holder not in (None, holder)
            monkeypatch.setattr(turns, "HOLD_S", PATIENCE)
    assert shared._holder is None


def test_a_failure_passes_the_turn_on() -> None:
    """Whatever happens in the block."""
    shared = Turns()

    with pytest.raises(RuntimeError, match="refused"), shared.turn():
        raise RuntimeError("refused")
    with shared.turn():
        assert shared._holder is not None
