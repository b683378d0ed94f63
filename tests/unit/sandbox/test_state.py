"""Tests of `pytest_release.sandbox.state`."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from multiprocessing import get_context
from tempfile import TemporaryFile

import pytest

from pytest_release.sandbox.state import SharedState


def count_often(descriptor: int) -> list[int]:
    """Count one key a hundred times, in whichever process."""
    return [SharedState(descriptor).count("key") for _ in range(100)]


def test_no_count_is_lost_between_processes() -> None:
    """Two processes that share the open file never see the same number."""
    with TemporaryFile() as file:
        with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
            counts = list(pool.map(count_often, [file.fileno()] * 2))

        assert sorted(chain(*counts)) == list(range(1, 201))


def test_keys_are_counted_apart() -> None:
    """One path's requests do not count for another."""
    with TemporaryFile() as file:
        state = SharedState(file.fileno())

        assert [state.count(key) for key in "abaa"] == [1, 1, 2, 3]


def test_a_failed_edit_changes_nothing() -> None:
    """An exception in the block leaves the object as it was, and unlocked."""
    with TemporaryFile() as file:
        state = SharedState(file.fileno())
        with pytest.raises(ZeroDivisionError, match="by zero"), state.edit() as value:
            value["a"] = 1 / 0

        with state.edit() as value:
            assert value == {}
