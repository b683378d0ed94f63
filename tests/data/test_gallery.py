"""The gates of graphs and people know no table of any product: a museum uses them by one file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pytest_release.atomic import sha256_of
from pytest_release.config.cases import DataCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.config.systems import load_system
from pytest_release.deployments import Deployments
from pytest_release.evidence import Evidence
from pytest_release.gates._look import look
from pytest_release.subjects import Archive, Subjects
from pytest_release.targets.http import HttpTarget
from tests.data.row_count.conftest import write_package

GALLERY = Path(__file__).parent / "gallery"
COLUMNS = {
    "people": "person_no, museum, title, origin, wikidata",
    "portraits": "portrait_no, museum, features",
    "sittings": "person_no, portrait_no, museum",
    "rooms": "room_no, museum, kind",
    "doors": "from_room, to_room, museum, material",
}
LINES = {
    "people": [
        "1\tprado\tMargarita Teresa\tsitter\t204862",
        "2\tprado\tMaria Barbola\tsitter\t4883013",
        "3\tprado\tPERSON_1\tunknown\t\\N",
    ],
    "portraits": [
        "11\tprado\t[1,0,0,0]",
        "12\tprado\t[0,1,0,0]",
        "13\tprado\t[0,0,0.6,0.8]",
        "14\tprado\t[0.96,0.28,0,0]",
    ],
    "sittings": ["1\t11\tprado", "1\t14\tprado", "2\t12\tprado", "3\t13\tprado"],
    "rooms": ["1\tprado\thall", "2\tprado\troom", "3\tprado\troom", "4\tprado\troom"],
    "doors": ["1\t2\tprado\toak", "1\t3\tprado\toak", "3\t4\tprado\tglass"],
}
PEOPLE = {
    "sources": {"sitter": {"min": 1}, "unknown": {"max": 1}},
    "numbered": ["sitter"],
    "patterns": {"unknown": "PERSON_[0-9]+"},
    "null_share": 0.1,
}
GRAPH = {
    "node_types": ["hall", "room"],
    "edge_types": ["oak", "glass"],
    "pairs": [["hall", "oak", "room"], ["room", "glass", "room"]],
    "isolated_nodes_share": 0.1,
    "components": 1,
}
SOUND = [
    *(("tkg", check) for check in ("size", "ends", "types", "duplicates", "connectivity")),
    *(
        ("identity", check)
        for check in ("counts", "sources", "tmdb", "bindings", "orphans", "embeddings")
    ),
    ("identity", "separation"),
    ("identity", "names"),
]
DAMAGES = [
    (
        ("tkg", "size", "DELETE FROM doors WHERE to_room = 4"),
        ("tkg.count", "doors has 2 rows of prado, the package 3"),
    ),
    (
        ("tkg", "ends", "UPDATE doors SET to_room = 9 WHERE to_room = 4"),
        ("tkg.edge-to-nowhere", "doors 3/9: to_room 9 is no node of rooms"),
    ),
    (
        ("tkg", "types", "UPDATE rooms SET kind = 'cellar' WHERE room_no = 4"),
        ("tkg.node-type", "rooms 4: kind 'cellar' is not allowed (1 rows)"),
    ),
    (
        ("tkg", "duplicates", "INSERT INTO doors VALUES (1, 2, 'prado', 'oak')"),
        ("tkg.duplicate-edge", "doors 1/2: 1 oak 2 stands 2 times"),
    ),
    (
        ("tkg", "connectivity", "DELETE FROM doors WHERE to_room = 4"),
        ("tkg.isolated-nodes-share", "isolated_nodes_share is 0.25, above the limit 0.1"),
    ),
    (
        ("identity", "counts", "DELETE FROM people WHERE person_no = 2"),
        ("identity.unexplained", "people 2: in the package, neither deployed nor merged"),
    ),
    (
        ("identity", "counts", "UPDATE sittings SET person_no = 2 WHERE portrait_no = 14"),
        ("identity.binding-differs", "sittings 1/14: none, expected 1 to 14"),
    ),
    (
        ("identity", "sources", "UPDATE people SET origin = 'x' WHERE person_no = 3"),
        ("identity.source", "people 3: origin 'x' is unknown (1 rows)"),
    ),
    (
        ("identity", "tmdb", "UPDATE people SET wikidata = 204862 WHERE person_no = 2"),
        ("identity.tmdb-twice", "people: wikidata 204862 stands 2 times: 1, 2"),
    ),
    (
        ("identity", "tmdb", "UPDATE people SET wikidata = NULL WHERE person_no = 2"),
        ("identity.tmdb-id", "people 2: wikidata is null, expected a positive number"),
    ),
    (
        ("identity", "bindings", "DELETE FROM portraits WHERE portrait_no = 13"),
        ("identity.missing-face", "sittings 3/13: face 13 is not in portraits"),
    ),
    (
        ("identity", "orphans", "DELETE FROM sittings WHERE person_no = 2"),
        ("identity.unbound", "people 2: no face is bound to Maria Barbola"),
    ),
    (
        (
            "identity",
            "embeddings",
            "UPDATE portraits SET features = '[1,0,0]' WHERE portrait_no = 12",
        ),
        ("identity.embedding", "portraits 12: features has 3 dimensions and length 1, expected 4"),
    ),
    (
        (
            "identity",
            "separation",
            "UPDATE portraits SET features = '[1,0,0,0]' WHERE portrait_no = 12",
        ),
        ("identity.too-similar", "people 1 and 2: their faces are alike (0.990"),
    ),
    (
        ("identity", "names", "UPDATE people SET title = 'Nobody' WHERE person_no = 3"),
        ("identity.name", "people 3: title 'Nobody' does not match PERSON_[0-9]+"),
    ),
]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the museum that is deployed."""
    return write_package(tmp_path_factory.mktemp("packages"), "prado", LINES, COLUMNS)


@pytest.fixture
def museum(database_url: str, package: Path) -> Iterator[Callable[..., Evidence]]:
    """``museum(gate, check, damage)``: what a gate says of it."""
    system = load_system(GALLERY, "gallery", {})
    assert system is not None
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute((GALLERY / "tables.sql").read_text())
        connection.execute("SET search_path = museum, public")
        for name, rows in LINES.items():
            with connection.cursor().copy(f"COPY {name} ({COLUMNS[name]}) FROM STDIN") as copy:
                copy.write("".join(f"{row}\n" for row in rows))
    services = {"postgres": {"dsn": database_url}}
    environment = Environment(
        "here", "staging", "gallery", None, Path("here.yaml"), "", {}, services=services
    )
    subjects = Subjects(("prado",), {"prado": Archive(package, sha256_of(package))})
    deployments = Deployments(environment, system, subjects, HttpTarget(environment))

    def measure(gate: str, check: str, damage: str = "") -> Evidence:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("SET search_path = museum, public")
            connection.execute(damage)
        expect: dict[str, Any] = PEOPLE if gate == "identity" else GRAPH
        case = DataCase(f"{gate}/a", gate, "a", Path("a.yaml"), 1, expect=expect, check=check)
        return look(case.of("prado"), GatePolicy(), deployments)

    yield measure
    deployments.close()


def test_a_sound_museum_passes(museum: Callable[..., Evidence]) -> None:
    """No aspect of it is found wanting."""
    found = {(gate, check): museum(gate, check).findings for gate, check in SOUND}

    assert {key: value for key, value in found.items() if value} == {}


@pytest.mark.parametrize(("what", "found"), DAMAGES, ids=[found[0] for _, found in DAMAGES])
def test_a_damage_is_named(
    museum: Callable[..., Evidence], what: tuple[str, str, str], found: tuple[str, str]
) -> None:
    """In the words of its own tables, keys and columns."""
    evidence = museum(*what)

    said = [finding.message for finding in evidence.findings if finding.code == found[0]]
    assert [message[: len(found[1])] for message in said] == [found[1]]


def test_a_column_that_the_system_does_not_have(museum: Callable[..., Evidence]) -> None:
    """A check of it is no success: the file that would name it is named."""
    (finding,) = museum("tkg", "references").findings

    assert (finding.code, finding.message) == (
        "tkg.no-references",
        f"{GALLERY / 'systems' / 'gallery.yaml'} names no column graph.reference",
    )
