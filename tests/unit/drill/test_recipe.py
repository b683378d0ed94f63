"""Tests of `pytest_release.drill.recipe`: what is no recipe is refused by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_release.drill.recipe import FOLDER, Recipe, known, read_recipes
from pytest_release.errors import ConfigError, UsageError

RECIPES = Path(__file__).parents[3] / FOLDER
GOOD = "fault: basic.slow\ncase: basic/health\nfinding: p95_ms\nmessage: above\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """All recipes, to be spoilt."""
    return shutil.copytree(RECIPES, tmp_path / "faults")


def test_every_fault_has_one() -> None:
    """All of them, in the order of their names, each with what it must come to."""
    recipes = read_recipes(RECIPES)

    assert {recipe.fault for recipe in recipes} == set(known())
    assert [recipe.fault for recipe in recipes] == sorted(recipe.fault for recipe in recipes)
    assert {recipe.verdict for recipe in recipes} == {"FAILED", "WARNED", "INCOMPLETE"}


def test_some_are_asked_for() -> None:
    """By gate, by fault, or by both; what only a run sees belongs to the quickest gate."""
    of_basic = {recipe.fault.partition(".")[0] for recipe in read_recipes(RECIPES, ["basic"])}
    (one,) = read_recipes(RECIPES, ["basic"], ["basic.slow"])

    assert of_basic == {"basic", "release"}
    assert one.fault == "basic.slow"


@pytest.mark.parametrize(
    ("gates", "faults", "message"),
    [
        (["basics"], [], "there is no gate 'basics' to drill; .*sandbox faults"),
        ([], ["basic.slo"], r"there is no fault 'basic\.slo' to drill"),
    ],
)
def test_what_there_is_not_is_refused(gates: list[str], faults: list[str], message: str) -> None:
    """A drill of nothing would pass."""
    with pytest.raises(UsageError, match=message):
        read_recipes(RECIPES, gates, faults)


def test_a_fault_without_a_recipe_is_an_error(folder: Path) -> None:
    """Nobody loses one unseen."""
    (folder / "basic" / "slow.yaml").unlink()

    with pytest.raises(ConfigError, match=r"faults: there is no recipe for basic\.slow$"):
        read_recipes(folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text + "colour: red\n", r"slow\.yaml: this is no recipe: .*colour.*keys are"),
        (lambda _: "[", r"slow\.yaml: this is no recipe: "),
        (
            lambda text: text.replace("basic.slow", "basic.slower"),
            r"slow\.yaml: fault: must be basic\.slow, as the file is called, got basic\.slower",
        ),
        (
            lambda text: text.replace("p95_ms", "p99_ms"),
            r"finding: must be 'p95_ms', as the fault promises, got 'p99_ms'",
        ),
        (lambda text: text.replace("above", '""'), "message: must say something"),
        (lambda text: text + "run: [-m, basic]\n", "case: a recipe has either a case or a run"),
    ],
)
def test_a_file_that_is_no_recipe(folder: Path, spoil: Callable[[str], str], message: str) -> None:
    """The message names file, key and what is wrong."""
    (folder / "basic" / "slow.yaml").write_text(spoil(GOOD))

    with pytest.raises(ConfigError, match=message):
        read_recipes(folder)


def test_a_recipe_for_no_fault(folder: Path) -> None:
    """A switch that was renamed leaves its recipe behind."""
    (folder / "basic" / "old.yaml").write_text(GOOD.replace("basic.slow", "basic.old"))

    with pytest.raises(ConfigError, match=r"fault: the sandbox has no fault basic\.old$"):
        read_recipes(folder)


def test_a_recipe_knows_its_gate() -> None:
    """Of faults of answers and of data alike."""
    gates = {Recipe(name, "", "").gate for name in ("tkg.no-edges", "release.wrong-version")}

    assert gates == {"tkg", "basic"}
