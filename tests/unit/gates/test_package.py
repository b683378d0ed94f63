"""The package gate: each aspect's flaws become its findings; what was not read is not good."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_release.config.cases import DataCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.config.system import PackageLayout, System, Table
from pytest_release.deployments import Deployments
from pytest_release.evidence import Evidence
from pytest_release.gates import package as gate
from pytest_release.packages.contents import (
    Aspect,
    Flaw,
    Member,
    Package,
    TableContents,
    VectorTableContents,
)
from pytest_release.subjects import Archive, Subjects
from pytest_release.targets.http import HttpTarget
from tests.unit.targets.scripted import plain

HERE = Path("here.yaml")
FILE = Path("ABC_v20260101.tar.gz")
SYSTEM = System(
    name="shop",
    tables={"orders": Table("orders", "orders", "sql/orders.sql", ("order_id",))},
    source=HERE,
    files=frozenset(),
    pattern=re.compile("[A-Z]{3}"),
    package=PackageLayout(info="info.json", version="v", build="b"),
)
GOOD = Package(
    path=FILE,
    size=1234567,
    sha256="0f" * 32,
    uuid="ABC",
    complete=True,
    members={"info.json": Member("info.json", 12, 0o644, "ab" * 32)},
    tables={"orders": TableContents(70691, ("order_id", "e"), dimensions={"e": {512: 70691}})},
    items={"face": 70691},
    vector_tables={"vec_faces": VectorTableContents(70691, 512)},
    version="1.0.0",
    build="d34bcae",
)


def measure(
    package: Package,
    check: str,
    url: str = "http://127.0.0.1:1",
    role: str = "staging",
    **expect: Any,  # noqa: ANN401 - of the case
) -> Evidence:
    """What the gate makes of one aspect of a package."""
    environment = Environment("here", role, "shop", url, HERE, "", {})
    subjects = Subjects(("ABC",), {"ABC": Archive(FILE, package.sha256)})
    deployments = Deployments(environment, SYSTEM, subjects, HttpTarget(environment))
    deployments.once(("package", "ABC"), lambda: package)
    case = DataCase("package/a", "package", "a", HERE, 1, expect=expect, check=check).of("ABC")
    return gate.measure(case, GatePolicy(), deployments)


@pytest.mark.parametrize(
    ("aspect", "shown"),
    [
        ("archive", f"{FILE}: 1,234,567 bytes, sha256 {'0f' * 32}"),
        ("layout", "           12  abababababab  644  info.json"),
        ("version", "version 1.0.0, build d34bcae"),
        ("tables", "   70,691  orders"),
        ("vectors", "   70,691  orders.e: 512 dimensions"),
        ("sidecars", "   70,691  face"),
        ("sqlite", "   70,691  vec_faces: 512 dimensions"),
    ],
)
def test_what_was_seen_is_shown(aspect: str, shown: str) -> None:
    """A good package has no finding, and the report says what it holds."""
    evidence = measure(GOOD, aspect)

    assert evidence.findings == ()
    assert [attached.text for attached in evidence.attachments] == [shown]


@pytest.mark.parametrize("aspect", Aspect)
def test_a_flaw_is_a_finding_of_its_aspect_alone(aspect: Aspect) -> None:
    """With the flaw's own sentence, and what was expected."""
    flaw = Flaw(aspect, "crooked", "info.json is crooked", "info.json", "straight", "crooked")
    flawed = replace(GOOD, flaws=(flaw,))

    found = measure(flawed, aspect).failures
    others = [other for other in Aspect if other is not aspect]

    assert [(f.code, f.message) for f in found] == [("package.crooked", "info.json is crooked")]
    assert (found[0].expected, found[0].received) == ("straight", "crooked")
    assert [measure(flawed, other).findings for other in others] == [()] * len(others)


@pytest.mark.parametrize("aspect", Aspect)
def test_what_was_not_read_is_not_good(aspect: Aspect) -> None:
    """Every aspect fails when the archive could not be read to its end."""
    flaw = Flaw(Aspect.ARCHIVE, "truncated", "the gzip stream ends early")
    found = measure(replace(GOOD, complete=False, flaws=(flaw,)), aspect).failures

    assert len(found) == 1
    unread = f"{FILE} was not read to its end, so nothing is known: "
    expected = "" if aspect is Aspect.ARCHIVE else unread
    assert found[0].message == f"{expected}the gzip stream ends early"


@pytest.mark.parametrize(
    ("role", "build", "codes"),
    [
        ("staging", "d34bcae", []),
        ("staging", "d34bcae0123456789", []),
        ("staging", "d34bca", ["package.build-differs"]),
        ("staging", "unknown", ["package.build-differs"]),
        ("production", "0123456", ["package.build-differs"]),
        ("development", "unknown", []),
        ("development", "0123456", ["package.build-differs"]),
    ],
)
def test_the_build_that_runs_made_the_package(
    serve: Callable[..., Any], role: str, build: str, codes: list[str]
) -> None:
    """A shortened commit is the same; only development accepts an unknown build."""
    url = serve(plain(json.dumps({"version": "1.0.0", "build": build}).encode())).url
    source = {"health": "/health", "version": "version", "commit": "build"}

    evidence = measure(GOOD, "version", url, role, deployed=source)

    assert [finding.code for finding in evidence.failures] == codes


def test_another_version_names_both(serve: Callable[..., Any]) -> None:
    """And says what to do."""
    url = serve(plain(b'{"version": "1.1.0"}')).url
    source = {"health": "/health", "version": "version"}

    found = measure(GOOD, "version", url, deployed=source).failures

    assert [(f.code, f.expected, f.received) for f in found] == [
        ("package.version-differs", "1.1.0", "1.0.0")
    ]
    assert found[0].message.startswith(
        "the package was made by version 1.0.0, the deployment runs 1.1.0; get the package that"
    )
