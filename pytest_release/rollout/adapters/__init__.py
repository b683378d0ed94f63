"""How steps act: a module an adapter, found by listing this folder; see `rollout.stage`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Protocol, cast

from pytest_release.rollout.stage import Order, Outcome, Stage


class Adapter(Protocol):
    """What a module of this folder has."""

    def describe(self, options: Mapping[str, Any]) -> str:
        """One line, for pictures and dry runs; nothing in the options is filled in yet."""

    def repeatable(self, options: Mapping[str, Any]) -> bool:
        """Whether it may be done again when nobody knows whether it was done."""

    def act(self, order: Order, stage: Stage) -> Outcome:
        """Do it; a `ReleaseError` or `OSError` is a failure, too."""

    def check(self, order: Order, stage: Stage) -> Outcome | None:
        """Whether it was done, after a crash; None when that cannot be told."""


@cache
def names() -> tuple[str, ...]:
    """Of all adapters, sorted; a leading underscore marks a part of one."""
    files = Path(__file__).parent.glob("[!_]*.py")
    return tuple(sorted(file.stem for file in files))


@cache
def adapter(name: str) -> Adapter:
    """The adapter of that name; a plan that was checked names no other."""
    return cast("Adapter", importlib.import_module(f"{__name__}.{name}"))
