"""What a run starts: only what the gates that are asked for need."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_release import start
from pytest_release.config.casebook import load_casebook
from pytest_release.config.environments import load_environment
from pytest_release.sandbox import rooms
from pytest_release.sandbox.room import Part, Running
from pytest_release.sandbox.stores import Stores

FIXTURES = Path(__file__).parents[2] / "fixtures"
BOOK = load_casebook(FIXTURES, "demo", {})
DEMO = load_environment(FIXTURES, "demo", {})


def config(expression: str = "", **options: Any) -> pytest.Config:  # noqa: ANN401 - as given
    """As much of pytest's as is asked."""
    known = {"markexpr": expression, **options}
    return cast("pytest.Config", SimpleNamespace(getoption=lambda name, *_: known.get(name)))


@pytest.mark.parametrize(
    ("expression", "stores"),
    [
        ("", True),
        ("basic or stream", False),
        ("payment", False),
        ("payment or tkg", True),
        ("not payment", True),
    ],
)
def test_the_stores_are_started_for_gates_that_look_at_them(expression: str, stores: bool) -> None:
    """Requests and checks of the environment do without."""
    asked = start._asked(config(expression), DEMO)

    assert start._looks_at_data(config(expression), asked, BOOK) is stores


def test_what_the_command_names_is_looked_at() -> None:
    """A package or a UUID, whatever gates are asked for."""
    asked = start._asked(config("payment"), DEMO)

    assert start._looks_at_data(config("payment", release_uuids=["a"]), asked, BOOK)


def test_a_check_may_need_the_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its part of the sandbox says so."""

    def begin(_faults: frozenset[str], _stores: Stores | None) -> Running:
        raise AssertionError

    part = Part("scan", frozenset({"payment"}), begin, stores=True)
    monkeypatch.setattr(rooms, "parts", lambda: (part,))

    assert start._looks_at_data(config("payment"), frozenset({"payment"}), BOOK)
