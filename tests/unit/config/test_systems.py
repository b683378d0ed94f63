"""System files: what they say, and one clear problem for each thing that is wrong in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_release.config.system import Reference, System, Table
from pytest_release.config.systems import load_system
from pytest_release.errors import ConfigError

FIXTURES = Path(__file__).parents[3] / "fixtures"
TINY = """\
name: shop
tables:
  orders: {table: orders, file: sql/orders.sql, key: [order_id], uuid: customer}
"""


def load(tmp_path: Path, text: str, **schemas: object) -> System | None:
    """The system ``shop`` of a fixtures folder with this text."""
    folder = tmp_path / "systems"
    folder.mkdir(exist_ok=True)
    (folder / "shop.yaml").write_text(text)
    for name, schema in schemas.items():
        (folder / f"{name}.json").write_text(json.dumps(schema))
    return load_system(tmp_path, "shop", {})


def test_momentry_is_described() -> None:
    """The shipped file: tables in the order of import, the graph, people, what a package holds."""
    momentry = load_system(FIXTURES, "momentry", {})

    assert momentry is not None
    assert list(momentry.tables)[:4] == ["videos", "chunk", "chunk_vectors", "face_detections"]
    assert momentry.tables["face_detections"].vectors == {"embedding": 512}
    assert momentry.graph is not None
    assert momentry.graph.references["face"] == Reference("face_detections", "face_id")
    assert momentry.identities is not None
    assert momentry.identities.merges is not None
    assert momentry.package is not None
    assert [sidecar.name for sidecar in momentry.package.sidecars] == [
        "face",
        "yolo",
        "asr",
        "asrx",
        "cut",
    ]
    assert momentry.package.sidecars[0].item_schema is not None


def test_a_system_that_extends_another_names_all_files() -> None:
    """The schemas beside the extended file are found, and belong to what is digested."""
    demo = load_system(FIXTURES, "demo", {})

    assert demo is not None
    assert {"demo.yaml", "momentry.yaml", "face.schema.json"} <= {f.name for f in demo.files}


def test_a_system_without_a_file_keeps_nothing(tmp_path: Path) -> None:
    """Many systems need no description."""
    assert load_system(tmp_path, "shop", {}) is None


def test_a_small_system(tmp_path: Path) -> None:
    """Tables alone are enough; everything else has a default."""
    shop = load(tmp_path, TINY)

    assert shop is not None
    orders = Table("orders", "orders", "sql/orders.sql", ("order_id",), uuid="customer")
    assert shop.tables == {"orders": orders}
    assert (shop.schema, shop.package, shop.graph) == ("public", None, None)
    assert shop.pattern.fullmatch("0b9c1f6e-58a3-4d6e-9a57-3f2d6c0f9a11")


PACKAGE = (
    TINY + "package: {info: info.json, version: v, build: b, sidecars: {a: {file: a.json, %s}}}"
)
GRAPH = "nodes: %s, edges: orders, node: n, node_type: t, source: s, target: g, edge_type: e"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TINY.replace("shop", "ship"), r"shop\.yaml:1: name: expected 'shop', .* got 'ship'"),
        (TINY + "pattern: '['", r"shop\.yaml:4: pattern: is no regular expression: unterminated"),
        (
            TINY + "status: {table: order, column: state, value: done}",
            r"shop\.yaml:4: status\.table: no table 'order', did you mean 'orders'\?; tables: ord",
        ),
        (
            TINY + f"graph: {{{GRAPH % 'dots'}}}",
            r"shop\.yaml:4: graph\.nodes: no table 'dots'; tables: orders",
        ),
        (
            TINY + f"graph: {{{GRAPH % 'orders'}, references: {{a: {{table: b, column: c}}}}}}",
            r"graph\.references\.a\.table: no table 'b'",
        ),
        (PACKAGE % "table: nothing", r"package\.sidecars\.a\.table: no table 'nothing'"),
        (PACKAGE % "schema: gone.json", r"sidecars\.a\.schema: the file .*gone\.json cannot be"),
        (PACKAGE % "schema: shop.yaml", r"sidecars\.a\.schema: the file .*shop\.yaml is not JSON"),
        (PACKAGE % "item_schema: bad.json", r"bad\.json is no JSON Schema: 5 is not valid"),
        (PACKAGE % "schema: yes.json", r"yes\.json is no JSON Schema of an object"),
        (TINY.replace("key:", "keys:"), r"unknown key 'keys', did you mean 'key'\?"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, message: str) -> None:
    """File, line, key, and what was expected."""
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text, bad={"type": 5}, yes=True)
