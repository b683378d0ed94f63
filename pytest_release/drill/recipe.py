"""Recipes: a file a fault, which says what meets it and what must be said.

``<folder>/<room>/<fault>.yaml``, the room being the gate, or ``release`` for what only a run as a
whole can see.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import yaml

from pytest_release.config.cases import Case, CheckCase, DataCase, HttpCase
from pytest_release.errors import ConfigError, Problem, UsageError
from pytest_release.sandbox.data_faults import DATA_FAULTS, DataFault
from pytest_release.sandbox.fault import Fault
from pytest_release.sandbox.faults import FAULTS

FOLDER = "tests/faults"


def known() -> Mapping[str, Fault | DataFault]:
    """Every fault that there is, by name."""
    return {**FAULTS, **DATA_FAULTS}


@dataclass(frozen=True)
class Recipe:
    """One fault, the case that meets it, and what must be said.

    Attributes:
        fault: Name of the switch.
        finding: Code of the finding, or the threshold that must be broken; it is what the switch
            promises. Empty for what only the run as a whole can see.
        message: Must be part of the finding's message, or of the reason.
        case: Id of the case; empty where the whole run is made.
        uuid: Of the deployment that a look at data is made for; empty for the first.
        request: Laid over the case's own request.
        options: Laid over the case's own options.
        expect: Laid over what the case expects.
        verdict: What the gate must come to.
        run: Arguments of the whole run that is made instead of measuring one case.
    """

    fault: str
    finding: str
    message: str
    case: str = ""
    uuid: str = ""
    request: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    expect: Mapping[str, Any] = field(default_factory=dict)
    verdict: str = "FAILED"
    run: Sequence[str] = ()

    @property
    def gate(self) -> str:
        """The gate that must catch the fault."""
        return known()[self.fault].gate

    def prepare(self, case: Case, first: str = "") -> Case:
        """The case as this fault is to be met.

        Args:
            case: As it is declared.
            first: The first UUID that is deployed; empty where there is none.
        """
        expect = {**case.expect, **self.expect}
        if isinstance(case, HttpCase):
            return replace(case, request=replace(case.request, **self.request), expect=expect)
        if isinstance(case, CheckCase):
            return replace(case, options={**case.options, **self.options}, expect=expect)
        assert isinstance(case, DataCase)
        return replace(case, expect=expect).of(self.uuid or first)


def read_recipes(
    folder: Path, gates: Collection[str] = (), faults: Collection[str] = ()
) -> tuple[Recipe, ...]:
    """The recipes of some gates and some faults, or all of them; in the order of their names.

    Raises:
        ConfigError: A file is not as a recipe is, or a fault has none.
        UsageError: There is no such gate or fault.
    """
    switches = known()
    recipes = [_read(file, switches) for file in folder.glob("*/*.yaml")]
    recipes.sort(key=lambda recipe: recipe.fault)
    there = {recipe.fault for recipe in recipes}
    if lost := sorted(switches.keys() - there):
        raise ConfigError(Problem(folder, None, "", f"there is no recipe for {', '.join(lost)}"))
    for word, asked, names in (
        ("gate", gates, {recipe.gate for recipe in recipes}),
        ("fault", faults, there),
    ):
        if unknown := sorted(set(asked) - names):
            raise UsageError(
                f"there is no {word} {unknown[0]!r} to drill; "
                "`pytest-release sandbox faults` lists gates and faults"
            )
    return tuple(
        recipe
        for recipe in recipes
        if (not gates or recipe.gate in gates) and (not faults or recipe.fault in faults)
    )


def _read(file: Path, switches: Mapping[str, Fault | DataFault]) -> Recipe:
    try:
        recipe = Recipe(**yaml.safe_load(file.read_bytes()))
    except (yaml.YAMLError, TypeError) as error:
        keys = ", ".join(each.name for each in fields(Recipe))
        message = f"this is no recipe: {error}; its keys are {keys}"
        raise ConfigError(Problem(file, None, "", message)) from None
    name = f"{file.parent.name}.{file.stem}"
    if recipe.fault != name:
        message = f"must be {name}, as the file is called, got {recipe.fault}"
        raise ConfigError(Problem(file, None, "fault", message))
    if name not in switches:
        raise ConfigError(Problem(file, None, "fault", f"the sandbox has no fault {name}"))
    if recipe.finding != (promised := switches[name].finding):
        message = f"must be {promised!r}, as the fault promises, got {recipe.finding!r}"
        raise ConfigError(Problem(file, None, "finding", message))
    if not recipe.message:
        raise ConfigError(Problem(file, None, "message", "must say something"))
    if bool(recipe.case) is bool(recipe.run):
        raise ConfigError(Problem(file, None, "case", "a recipe has either a case or a run"))
    return recipe
