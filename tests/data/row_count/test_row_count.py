"""The row_count gate: every way of counting, and every row's content."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pytest_release.evidence import Severity
from pytest_release.gates import _differences
from tests.data.row_count.conftest import COLUMNS, Shop, lines_of, said, shown


def test_what_is_the_same_passes(shop: Shop) -> None:
    """And the report says how it was counted and compared."""
    evidence = shop.measure("orders")

    assert evidence.findings == ()
    assert shown(evidence) == [
        "orders of ALFKI",
        "package 12 dump/orders.sql of ALFKI_v20260101.tar.gz",
        "postgres 12 sales.orders",
        "content the same in 5 columns (without shipped_at)",
    ]


DAMAGES = yaml.safe_load((Path(__file__).parent / "damages.yaml").read_bytes())


@pytest.mark.parametrize("held", [_differences.HELD, 3])
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_is_found_and_named(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, name: str, held: int
) -> None:
    """Table, key and value; no more than there is, also where a table is looked into in parts."""
    monkeypatch.setattr(_differences, "HELD", held)
    damage = DAMAGES[name]
    shop.execute(damage["sql"])

    found = said(shop.measure(damage["table"]))

    expected = [(finding["code"], finding["message"]) for finding in damage["findings"]]
    assert [code for code, _ in found] == [code for code, _ in expected]
    for (code, message), (_, part) in zip(found, expected, strict=True):
        holds = f"{damage['table']} holds other rows than the package: "
        assert message.startswith(holds + part if "content" in code else part)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sales.orders SET shipped_at = now()",
        "ALTER TABLE sales.orders ADD COLUMN note text DEFAULT 'new'",
        "INSERT INTO sales.orders (order_id, customer_id) VALUES (7, 'BLONP')",
        "CREATE SCHEMA staging; CREATE TABLE staging.orders (customer_id char(5))",
        "CREATE SCHEMA staging; CREATE TABLE staging.orders (other text)",
        "ALTER TABLE sales.orders ALTER freight TYPE numeric(12, 2), ALTER order_id TYPE bigint",
        "CLUSTER sales.orders USING orders_pkey",
    ],
)
def test_what_is_no_damage_is_not_found(shop: Shop, statement: str) -> None:
    """Rewritten columns, further columns, other customers' rows, another order."""
    shop.execute(*statement.split("; "))

    assert said(shop.measure("orders")) == []


def test_one_byte_in_20_000_rows(empty_shop: Shop) -> None:
    """It is found, and shown where it is."""
    lines = lines_of("ALFKI", 20_000)
    lines["orders"][12_345] = lines["orders"][12_345].replace("Obere", "x" * 500 + "Obere")
    empty_shop.pack("ALFKI", lines)
    empty_shop.deploy(lines)
    empty_shop.execute(
        "UPDATE sales.orders SET ship_address = replace(ship_address, 'Obere', 'Obara')"
        " WHERE order_id = 22345"
    )

    (finding,) = empty_shop.measure("orders").findings

    assert finding.message == (
        "orders holds other rows than the package: 1 row differs: order_id 22345: ship_address "
        f"…'{'x' * 13}Obara Str. 22345\\nBerlin' instead of …'{'x' * 13}Obere Str. 22345\\nBerlin'"
    )


def test_other_rows_altogether(shop: Shop) -> None:
    """The search ends when enough is found, and says that there are more."""
    shop.pack("ALFKI", lines_of("ALFKI", 3_000))
    shop.execute("DELETE FROM sales.orders")
    shop.deploy({"orders": lines_of("ALFKI", 3_000, 50_000)["orders"]})

    (finding,) = shop.measure("orders").findings

    assert re.search(
        r": at least \d{3} rows differ: (order_id \d{5}: missing; ){10}and \d+ more$",
        finding.message,
    )


def test_many_extra_rows(shop: Shop) -> None:
    """The first few keys are named, in order."""
    shop.execute(
        "INSERT INTO sales.orders (order_id, customer_id) SELECT g, 'ALFKI'"
        " FROM generate_series(1, 500) g"
    )
    message = dict(said(shop.measure("orders")))["row_count.content"]

    assert re.search(
        r": at least 100 rows differ: (order_id \d+: extra; ){10}and 90 more$", message
    )


def test_a_changed_column_altogether(shop: Shop) -> None:
    """Ten are shown."""
    shop.pack("ALFKI", lines_of("ALFKI", 3_000))
    shop.deploy({"orders": lines_of("ALFKI", 2_988, 10_012)["orders"]})
    shop.execute("UPDATE sales.orders SET freight = freight * 2")

    (finding,) = shop.measure("orders").findings

    assert finding.message.count(" instead of ") == 10
    assert "at least 500 rows differ: " in finding.message
    assert finding.message.endswith("; and 490 more")


RESPELLED = {
    "freight": (3, "14.2500"),
    "date": (2, "20260109"),
    "number": (0, "+10004"),
    "octal escapes": (4, "\\117bere Str. \\061\\0600\\x304\\nBerlin"),
}


@pytest.mark.parametrize("name", RESPELLED)
def test_another_spelling_is_a_note(shop: Shop, name: str) -> None:
    """As values nothing differs; COPY's own escapes are no spelling at all."""
    place, text = RESPELLED[name]
    lines = lines_of("ALFKI")
    fields = lines["orders"][4].split("\t")
    fields[place] = text
    lines["orders"][4] = "\t".join(fields)
    shop.pack("ALFKI", lines)

    evidence = shop.measure("orders")

    assert evidence.failures == ()
    if name != "octal escapes":
        (finding,) = evidence.findings
        assert finding.severity is Severity.NOTE
        assert finding.code == "row_count.respelled"
        assert finding.message.startswith("the package spells 1 rows of orders otherwise")
        assert shown(evidence)[-1].endswith("1 rows spelled otherwise")


def test_all_keys_spelled_otherwise(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is in another bucket than the database's, and found all the same."""
    monkeypatch.setattr(_differences, "HELD", 5)
    lines = lines_of("ALFKI")
    lines["orders"] = [f"+{row}" for row in lines["orders"]]
    shop.pack("ALFKI", lines)
    same = shop.measure("orders")
    shop.execute("UPDATE sales.orders SET order_id = 7 WHERE order_id = 10005")

    ((_, message),) = said(shop.measure("orders"))

    assert [finding.code for finding in same.findings] == ["row_count.respelled"]
    assert same.findings[0].message.startswith("the package spells 12 rows of orders otherwise")
    assert message.endswith("2 rows differ: order_id +10005: missing; order_id 7: extra")


def test_all_rows_spelled_otherwise(shop: Shop) -> None:
    """A package from another server's settings is looked at to its end."""
    lines = lines_of("ALFKI", 3_000)
    shop.execute("DELETE FROM sales.orders")
    shop.deploy({"orders": lines["orders"]})
    lines["orders"] = [re.sub(r"2026-01-(\d\d)", r"\1 Jan 2026", row) for row in lines["orders"]]
    shop.pack("ALFKI", lines)

    (finding,) = shop.measure("orders").findings

    assert finding.message.startswith("the package spells 3000 rows of orders otherwise")


def test_a_difference_among_spellings(shop: Shop) -> None:
    """Only it is shown."""
    lines = lines_of("ALFKI")
    lines["orders"] = [row.replace(".25\t", ".250\t") for row in lines["orders"]]
    shop.pack("ALFKI", lines)
    shop.execute("UPDATE sales.orders SET freight = 1 WHERE order_id = 10007")

    (finding,) = shop.measure("orders").findings

    assert finding.message.endswith(
        "1 row differs: order_id 10007: freight '1' instead of '17.250'"
    )


def test_a_key_twice_in_the_package(shop: Shop) -> None:
    """Though both of its rows are deployed somewhere."""
    lines = lines_of("ALFKI")
    lines["order_details"].append(lines["order_details"][0])
    shop.pack("ALFKI", lines)

    codes = dict(said(shop.measure("order_details")))

    assert codes["row_count.rows"].endswith("the package has 16: 1 missing")
    assert codes["row_count.content"].endswith("order_id 10000, product_id 1: missing")


@pytest.mark.parametrize(
    ("masked", "told"),
    [(set(), ': invalid input syntax for type integer: "Obere Str. 10'), ({"x"}, "")],
)
def test_a_text_that_is_no_value(shop: Shop, masked: set[str], told: str) -> None:
    """Why the database refuses it is told, unless the table has secrets."""
    shop.execute("ALTER TABLE sales.orders ALTER ship_address TYPE integer USING 1")
    orders = replace(shop.system.tables["orders"], masked=frozenset(masked))
    shop.system = replace(shop.system, tables={**shop.system.tables, "orders": orders})
    message = dict(said(shop.measure("orders")))["row_count.content"]

    reason = "order_id 10000: a text of it is no value of its column's type"
    assert f"12 rows differ: {reason}{told}" in message
    assert ("Obere" in message) is bool(told)
    assert "postgres" not in message


def test_columns_in_another_order(shop: Shop) -> None:
    """The package's order counts, on both sides."""
    names = "ship_address, order_id, customer_id"
    lines = lines_of("ALFKI")
    places = [4, 0, 1]
    lines["orders"] = ["\t".join(row.split("\t")[at] for at in places) for row in lines["orders"]]
    shop.pack("ALFKI", lines, {**COLUMNS, "orders": names})
    same = shop.measure("orders")
    shop.execute("UPDATE sales.orders SET ship_address = 'x' WHERE order_id = 10001")

    assert said(same) == []
    assert "order_id 10001: ship_address 'x' instead of" in said(shop.measure("orders"))[0][1]


def test_content_can_be_left_out(shop: Shop) -> None:
    """Then numbers alone count."""
    shop.execute("UPDATE sales.orders SET freight = 0")
    evidence = shop.measure("orders", content=False)

    assert said(evidence) == []
    assert shown(evidence)[-1] == "content not compared"


def test_hostile_values_are_harmless(shop: Shop) -> None:
    """Escapes for terminals are shown as such, on one line."""
    shop.execute("UPDATE sales.orders SET ship_address = E'\\x1b[2J\\n<b>' WHERE order_id = 10001")
    ((_, message),) = said(shop.measure("orders"))

    assert "ship_address '\\x1b[2J\\n<b>' instead of" in message
