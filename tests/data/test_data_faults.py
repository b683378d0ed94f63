"""Every fault of data is found by the gate that must find it, and named.

``tests/faults/<gate>/<fault>.yaml`` says which case of momentry meets the fault, which finding that
makes, and what its message must contain. The stores are furnished once; each fault damages a copy.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
import yaml
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pytest_release.atomic import sha256_of
from pytest_release.config.casebook import load_casebook
from pytest_release.config.cases import DataCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.deployments import Deployments
from pytest_release.evidence import Evidence
from pytest_release.gates._look import look
from pytest_release.sandbox.data_faults import DATA_FAULTS, damage
from pytest_release.sandbox.faults import FAULTS
from pytest_release.sandbox.server import Sandbox
from pytest_release.sandbox.stores import DEPLOYED, UUIDS, Stores
from pytest_release.subjects import Archive, Subjects
from pytest_release.targets.http import HttpTarget

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "faults"
GATES = ("identity", "package", "row_count", "tkg")
HERE = Path("here.yaml")


@dataclass(frozen=True)
class Recipe:
    """One file: a fault, the case that meets it, and what must be said."""

    fault: str
    case: str
    finding: str
    message: str
    uuid: str = UUIDS[0]


FILES = sorted(file for gate in GATES for file in (FOLDER / gate).glob("*.yaml"))
RECIPES = [Recipe(**yaml.safe_load(file.read_bytes())) for file in FILES]


class Copy(Stores):
    """Stores like others, to be damaged: the database copied, the files too."""

    def __init__(self, whole: Stores, name: str, folder: Path) -> None:
        self.system = whole.system
        self.folder = folder
        self.dsn = make_conninfo(whole.dsn, dbname=name)
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(make_conninfo(whole.dsn, dbname="postgres"), autocommit=True) as admin:
            admin.execute(statement.format(sql.Identifier(name), sql.Identifier(DEPLOYED)))
        for part in ("output", "packages"):  # what is not changed keeps its place
            shutil.copytree(whole.folder / part, folder / part, copy_function=shutil.copyfile)
        self.packages = {
            uuid: folder / "packages" / file.name for uuid, file in whole.packages.items()
        }


@pytest.fixture(scope="session")
def cases() -> Mapping[str, DataCase]:
    """The shipped looks at momentry's data, by id."""
    return {case.id: case for case in load_casebook(ROOT / "fixtures", "momentry", {}).looks}


@pytest.fixture(scope="session")
def healthy() -> Iterator[str]:
    """Address of a sandbox without faults."""
    with Sandbox(1) as sandbox:
        yield sandbox.base_url


@pytest.fixture
def damaged(stores: Stores, tmp_path: Path) -> Callable[[list[str]], Stores]:
    """Makes a copy of the stores with some faults."""

    def copied(faults: list[str]) -> Stores:
        name = f"copy_{'_'.join(faults)}"[:60].replace(".", "_")
        copy = Copy(stores, name, tmp_path)
        damage(copy, faults)
        return copy

    return copied


def measured(stores: Stores, base_url: str, cases: list[DataCase]) -> list[Evidence]:
    """The evidence of some cases."""
    environment = Environment(
        "here", "staging", "momentry", base_url, HERE, "", {}, services=stores.services
    )
    packages = {u: Archive(file, sha256_of(file)) for u, file in stores.packages.items()}
    with HttpTarget(environment) as target:
        subjects = Subjects(UUIDS, packages)
        deployments = Deployments(environment, stores.system, subjects, target)
        try:
            return [look(case, GatePolicy(), deployments) for case in cases]
        finally:
            deployments.close()


def found_and_named(evidence: Evidence, recipe: Recipe) -> bool:
    """Whether the finding has the code that the fault promises, and says what it should."""
    known = DATA_FAULTS[recipe.fault] if recipe.fault in DATA_FAULTS else FAULTS[recipe.fault]
    said = [f.message for f in evidence.failures if f.code == recipe.finding]
    return recipe.finding == known.finding and any(recipe.message in text for text in said)


@pytest.mark.parametrize(
    "recipe", [r for r in RECIPES if r.fault in DATA_FAULTS], ids=lambda recipe: recipe.fault
)
def test_a_fault_is_found_and_named(
    damaged: Callable[[list[str]], Stores],
    healthy: str,
    cases: Mapping[str, DataCase],
    recipe: Recipe,
) -> None:
    """Its message names table, key and value, or member and place."""
    case = cases[recipe.case]
    quiet = replace(case, expect={k: v for k, v in case.expect.items() if k != "api"})
    (evidence,) = measured(damaged([recipe.fault]), healthy, [quiet.of(recipe.uuid)])

    assert found_and_named(evidence, recipe), evidence.explain()


@pytest.mark.parametrize(
    "recipe", [r for r in RECIPES if r.fault in FAULTS], ids=lambda recipe: recipe.fault
)
def test_a_fault_of_the_api_is_found_and_named(
    stores: Stores, cases: Mapping[str, DataCase], recipe: Recipe
) -> None:
    """The API is one of the ways of counting."""
    sandbox = Sandbox(1, [recipe.fault])
    sandbox._options["dsn"] = stores.dsn
    with sandbox:
        case = cases[recipe.case].of(recipe.uuid)
        (evidence,) = measured(stores, sandbox.base_url, [case])

    assert found_and_named(evidence, recipe), evidence.explain()


def test_every_fault_has_its_file() -> None:
    """Named for it, in the folder of its gate."""
    files = [".".join(file.relative_to(FOLDER).with_suffix("").parts) for file in FILES]
    answers = {name for name, fault in FAULTS.items() if fault.gate in GATES}

    assert files == [recipe.fault for recipe in RECIPES]
    assert set(files) == set(DATA_FAULTS) | answers


@pytest.mark.parametrize("uuid", UUIDS)
def test_without_a_fault_nothing_is_found(
    stores: Stores, cases: Mapping[str, DataCase], uuid: str
) -> None:
    """The cases that meet the faults are not to blame, for either file."""
    sandbox = Sandbox(1)
    sandbox._options["dsn"] = stores.dsn
    with sandbox:
        seen = measured(stores, sandbox.base_url, [case.of(uuid) for case in cases.values()])

    assert [finding for evidence in seen for finding in evidence.findings] == []
