"""Tests of `pytest_release.errors`."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from pytest_release import errors
from pytest_release.errors import ConfigError, Problem, ReleaseError


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem(Path("a.yaml"), 3, "gates.basic", "why"), "a.yaml:3: gates.basic: why"),
        (Problem(Path("a.yaml"), 3, "", "why"), "a.yaml:3: why"),
        (Problem(Path("a.yaml"), None, "name", "why"), "a.yaml: name: why"),
        (Problem(Path("a.yaml"), None, "", "why"), "a.yaml: why"),
    ],
)
def test_a_problem_reads_like_a_compiler_message(problem: Problem, text: str) -> None:
    """File, line and key as far as they are known, then what is wrong."""
    assert str(problem) == text


def test_problems_come_in_file_order() -> None:
    """Whatever order they were found in; of one line, in the order they were found."""
    a, b = Path("a.yaml"), Path("b.yaml")
    found = [
        Problem(b, 1, "x", "1"),
        Problem(a, 10, "x", "2"),
        Problem(a, 9, "y", "3"),
        Problem(a, 9, "x", "4"),
        Problem(a, None, "", "5"),
    ]

    error = ConfigError(*found)

    assert [problem.message for problem in error.problems] == ["5", "3", "4", "2", "1"]
    assert str(error).splitlines() == [str(problem) for problem in error.problems]


def test_problems_survive_a_pickle() -> None:
    """An error may cross processes."""
    error = ConfigError(Problem(Path("a.yaml"), 3, "key", "why"))

    copy = pickle.loads(pickle.dumps(error))

    assert copy.problems == error.problems
    assert str(copy) == "a.yaml:3: key: why"


def test_the_tree_is_drawn_completely() -> None:
    """Every class of the module is one of ReleaseError's, and stands in its docstring."""
    classes = [c for c in vars(errors).values() if isinstance(c, type) and c is not Problem]
    own = [c for c in classes if c.__module__ == errors.__name__]

    assert all(issubclass(c, ReleaseError) for c in own)
    assert all(f" {c.__name__} " in f"{errors.__doc__} ".replace("\n", " ") for c in own)
