"""The row_count gate: every way of counting, and every row's content."""

from __future__ import annotations

import gzip
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pytest_release.config.system import Identities, Merges, VectorTable
from pytest_release.deployments import Deployments
from pytest_release.evidence import Evidence, Severity
from pytest_release.packages.contents import Aspect, Flaw, VectorTableContents
from pytest_release.packages.vector_file import VectorFile
from pytest_release.targets.fingerprints import Fingerprint
from tests.data.row_count.conftest import COLUMNS, Shop, lines_of, measured


def said(evidence: Evidence) -> list[tuple[str, str]]:
    """Code and message of every finding."""
    return [(finding.code, finding.message) for finding in evidence.findings]


def shown(evidence: Evidence) -> list[str]:
    """The attached table, its spaces folded."""
    (attachment,) = evidence.attachments
    return [re.sub(r" +", " ", line) for line in attachment.text.splitlines()]


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


DAMAGES = {
    "a row lost": (
        "orders",
        "DELETE FROM sales.orders WHERE order_id = 10003",
        ("row_count.rows", "orders has 11 rows of ALFKI, the package has 12: 1 missing"),
        ("row_count.content", "1 row differs: order_id 10003: missing"),
    ),
    "a row more": (
        "orders",
        "INSERT INTO sales.orders (order_id, customer_id) VALUES (7, 'ALFKI')",
        ("row_count.rows", "orders has 13 rows of ALFKI, the package has 12: 1 too many"),
        ("row_count.content", "1 row differs: order_id 7: extra"),
    ),
    "a row doubled": (
        "order_details",
        (
            "INSERT INTO sales.order_details SELECT * FROM sales.order_details"
            " WHERE order_id = 10002 AND product_id = 3"
        ),
        ("row_count.rows", "order_details has 16 rows of ALFKI, the package has 15: 1 too many"),
        ("row_count.content", "1 row differs: order_id 10002, product_id 3: extra"),
    ),
    "another key": (
        "order_details",
        "UPDATE sales.order_details SET product_id = 9 WHERE order_id = 10002 AND product_id = 3",
        (
            "row_count.content",
            (
                "2 rows differ: order_id 10002, product_id 3: missing; "
                "order_id 10002, product_id 9: extra"
            ),
        ),
    ),
    "one row in the place of another": (
        "order_details",
        (
            "UPDATE sales.order_details SET product_id = 1, quantity = 1, discount = 0.15"
            " WHERE order_id = 10002 AND product_id = 2"
        ),
        (
            "row_count.content",
            (
                "2 rows differ: order_id 10002, product_id 2: missing; "
                "order_id 10002, product_id 1: extra"
            ),
        ),
    ),
    "values changed": (
        "orders",
        "UPDATE sales.orders SET freight = freight + 1, ship_address = NULL WHERE order_id = 10004",
        (
            "row_count.content",
            (
                "1 row differs: order_id 10004: freight '15.25' instead of '14.25', "
                "ship_address null instead of 'Obere Str. 10004\\nBerlin'"
            ),
        ),
    ),
    "a null filled": (
        "order_details",
        "UPDATE sales.order_details SET discount = NULL WHERE order_id = 10000 AND product_id = 1",
        (
            "row_count.content",
            "1 row differs: order_id 10000, product_id 1: discount null instead of '0.15'",
        ),
    ),
    "a secret changed": (
        "customers",
        "UPDATE sales.customers SET phone = 'hush'",
        ("row_count.content", "1 row differs: customer_id ALFKI: phone *** instead of ***"),
    ),
    "no row at all": (
        "customers",
        "DELETE FROM sales.customers",
        ("row_count.rows", "customers has 0 rows of ALFKI, the package has 1: 1 missing"),
        ("row_count.empty", "customers has 0 rows of ALFKI, expected at least 1"),
        ("row_count.content", "1 row differs: customer_id ALFKI: missing"),
    ),
    "no table": (
        "orders",
        "DROP TABLE sales.orders",
        ("row_count.missing-table", "there is no table sales.orders in the database"),
    ),
    "no column": (
        "orders",
        "ALTER TABLE sales.orders DROP COLUMN freight, DROP COLUMN shipped_at",
        ("row_count.columns", "orders has no column 'freight', 'shipped_at'"),
    ),
    "no column with the UUID": (
        "orders",
        "ALTER TABLE sales.orders RENAME COLUMN customer_id TO client",
        ("row_count.columns", "orders has no column 'customer_id'"),
    ),
    "another type that takes no such value": (
        "orders",
        "ALTER TABLE sales.orders ALTER ship_address TYPE integer USING 1",
        (
            "row_count.content",
            (
                "12 rows differ: order_id 10000: a text of it is no value of its column's type: "
                "postgres "
            ),
        ),
    ),
    "rows elsewhere": (
        "orders",
        "CREATE SCHEMA staging; CREATE TABLE staging.orders AS SELECT * FROM sales.orders LIMIT 3",
        (
            "row_count.foreign-schema",
            "staging.orders has 3 rows of ALFKI, which belongs to the schema sales alone",
        ),
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damage_is_found_and_named(shop: Shop, name: str) -> None:
    """Table, key and value; and no more is found than there is."""
    table, statement, *expected = DAMAGES[name]
    shop.execute(statement)

    found = said(shop.measure(table))

    assert [code for code, _ in found] == [code for code, _ in expected]
    for (code, message), (_, part) in zip(found, expected, strict=True):
        begin = f"{table} holds other rows than the package: " if "content" in code else ""
        assert message.startswith(begin + part)


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


def test_a_changed_column_altogether(shop: Shop) -> None:
    """Ten are shown."""
    shop.pack("ALFKI", lines_of("ALFKI", 3_000))
    shop.deploy({"orders": lines_of("ALFKI", 2_988, 10_012)["orders"]})
    shop.execute("UPDATE sales.orders SET freight = freight * 2")

    (finding,) = shop.measure("orders").findings

    assert finding.message.count(" instead of ") == 10
    assert "at least 100 rows differ: " in finding.message.replace("500", "100")


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


BOUNDS = [
    ({"min": 13}, "row_count.bounds", "orders has 12 rows of ALFKI, expected at least 13"),
    ({"max": 11}, "row_count.bounds", "orders has 12 rows of ALFKI, expected at most 11"),
]


@pytest.mark.parametrize(("expect", "code", "message"), BOUNDS)
def test_a_bound(shop: Shop, expect: dict[str, Any], code: str, message: str) -> None:
    """Of what is deployed."""
    assert said(shop.measure("orders", **expect)) == [(code, message)]


def test_an_empty_table_may_be_allowed(shop: Shop) -> None:
    """Only where the case says so, and the package has no row of it either."""
    shop.pack("ALFKI", {**lines_of("ALFKI"), "orders": []})
    shop.execute("DELETE FROM sales.orders")

    assert said(shop.measure("orders", min=0)) == []
    assert [code for code, _ in said(shop.measure("orders"))] == ["row_count.empty"]


def test_without_a_package_nothing_passes(shop: Shop) -> None:
    """Unless the case names other ways."""
    shop.packages.clear()

    ((code, message),) = said(shop.measure("orders"))

    assert code == "row_count.no-package"
    assert message.startswith("there is no package of ALFKI to compare orders with: give --package")
    assert said(shop.measure("orders", ways=["postgres"])) == []
    assert [c for c, _ in said(shop.measure("orders", ways=["postgres"], min=20))] == [
        "row_count.bounds"
    ]


def test_the_package_alone(shop: Shop) -> None:
    """The database is not even asked."""
    shop.dsn = "postgresql://127.0.0.1:1/nowhere"

    assert said(shop.measure("orders", ways=["package"])) == []
    ((code, message),) = said(shop.measure("orders"))
    assert (code, "cannot be reached" in message) == ("row_count.no-answer", True)


def corrupt(data: bytes) -> bytes:
    """The archive without its end."""
    return data[: len(data) // 2]


def wide(data: bytes) -> bytes:
    """One row has a column more."""
    return gzip.compress(gzip.decompress(data).replace(b"\t14.25\t", b"\t1\t.25\t", 1))


def foreign(data: bytes) -> bytes:
    """One row is of another customer."""
    return gzip.compress(gzip.decompress(data).replace(b"10004\tALFKI", b"10004\tBLONP", 1))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (corrupt, ""),
        (wide, "dump/orders.sql:6: the row has 7 columns, expected 6"),
        (foreign, "order_id 10004 belongs to customer_id 'BLONP'"),
    ],
)
def test_a_flawed_package_never_passes(
    shop: Shop, damage: Callable[[bytes], bytes], reason: str
) -> None:
    """Its numbers are worth nothing, whether they agree or not."""
    path = shop.packages["ALFKI"]
    path.write_bytes(damage(path.read_bytes()))

    ((code, message),) = said(shop.measure("orders"))

    assert code == "row_count.package"
    assert message.startswith("the package's count of orders is worth nothing: ")
    assert reason in message


FLAWS = [
    (Flaw(Aspect.TABLES, "columns", "3 more of columns are not listed"), True),
    (Flaw(Aspect.ARCHIVE, "garbage", "something after the end"), True),
    (Flaw(Aspect.MANIFEST, "rows-differ", "the manifest says 3", "dump/orders.sql"), True),
    (Flaw(Aspect.TABLES, "columns", "another table's", "dump/customers.sql"), False),
    (Flaw(Aspect.LAYOUT, "unexpected", "a stranger", "stranger.txt"), False),
    (Flaw(Aspect.VECTORS, "not-finite", "a NaN", "dump/orders.sql"), False),
]


@pytest.mark.parametrize(("flaw", "spoils"), FLAWS)
def test_which_flaws_spoil_a_count(shop: Shop, flaw: Flaw, spoils: bool) -> None:
    """Those that may be about the table's rows."""
    deployments = shop.deployments()
    good = deployments.package("ALFKI")
    other = shop.deployments()
    other.once(("package", "ALFKI"), lambda: replace(good, flaws=(flaw,)))

    assert bool(said(measured(other, "orders"))) is spoils
    other.close()


def test_a_package_that_changes_meanwhile(shop: Shop) -> None:
    """What was verified is no longer what is compared."""
    shop.execute("UPDATE sales.orders SET freight = 0 WHERE order_id = 10001")
    deployments = shop.deployments()
    deployments.package("ALFKI")
    shop.pack("ALFKI", {**lines_of("ALFKI"), "orders": lines_of("ALFKI", 3)["orders"]})

    ((code, message),) = said(measured(deployments, "orders"))

    assert code == "row_count.no-answer"
    assert "has changed since it was verified" in message
    deployments.close()


def test_rows_that_change_meanwhile(shop: Shop) -> None:
    """A difference that is gone when it is looked for is not passed over."""
    deployments = shop.deployments()
    deployments.once(("fingerprints", "orders"), lambda: {"ALFKI": Fingerprint(12, 0)})

    ((code, message),) = said(measured(deployments, "orders"))

    assert code == "row_count.content"
    assert message.startswith("orders has another fingerprint than the package, and no single row")
    deployments.close()


def test_all_uuids_share_the_questions(empty_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts are one, fingerprints one a table, however many customers there are."""
    customers = ["ALFKI", "BLONP", "CACTU", "DRACD", "EASTC"]
    for number, customer in enumerate(customers):
        lines = lines_of(customer, 12, 10_000 + 100 * number)
        empty_shop.pack(customer, lines)
        empty_shop.deploy(lines)
    deployments = empty_shop.deployments()
    database = deployments.database
    asked: list[str] = []
    query = database.query

    def spy(statement: Any, *rest: Any) -> Any:  # noqa: ANN401
        asked.append(statement if isinstance(statement, str) else statement.as_string(None))
        return query(statement, *rest)

    monkeypatch.setattr(database, "query", spy)

    found = [measured(deployments, t, c).findings for t in COLUMNS for c in customers]

    assert found == [()] * 15
    assert sum("UNION ALL" in text for text in asked) <= 2  # ours, and the foreign schemas'
    assert sum("sha256" in text for text in asked) == 3
    deployments.close()


def with_vectors(shop: Shop, vectors: int | str, rows_in_package: int = 12) -> Deployments:
    """A run in which the deployed SQLite file has so many rows, one for each order's address."""
    orders = replace(shop.system.tables["orders"], vectors={"ship_address": 3})
    table = VectorTable("vec_orders", "embedding", 3, "orders")
    assert shop.system.package is not None
    layout = replace(shop.system.package, sqlite="{uuid}.sqlite", vector_tables=(table,))
    tables = {**shop.system.tables, "orders": orders}
    shop.services = {"files": {"output": str(shop.folder)}}
    system = replace(shop.system, tables=tables, package=layout)
    package = shop.deployments().package("ALFKI")
    contents = replace(package.tables["orders"], nulls={"ship_address": 12 - rows_in_package})
    package = replace(package, tables={**package.tables, "orders": contents})
    found = VectorFile(
        {"vec_orders": VectorTableContents(vectors, 3)} if isinstance(vectors, int) else {}
    )
    if isinstance(vectors, str):
        found = VectorFile(flaws=(Flaw(Aspect.SQLITE, "broken-sqlite", vectors),))
    deployments = replace(shop, system=system).deployments()
    deployments.once(("package", "ALFKI"), lambda: package)
    deployments.once(("sqlite", "ALFKI"), lambda: found)
    return deployments


def test_the_deployed_vectors_are_counted(shop: Shop) -> None:
    """Beside the others; a row without a vector has none."""
    whole = measured(with_vectors(shop, 12), "orders")

    assert said(whole) == []
    assert shown(whole)[3] == "sqlite 12 vec_orders of ALFKI.sqlite"
    assert said(measured(with_vectors(shop, 11, rows_in_package=11), "orders")) == []


def test_vectors_that_are_missing(shop: Shop) -> None:
    """The finding says by which way they were counted."""
    evidence = measured(with_vectors(shop, 11), "orders")

    assert said(evidence) == [
        ("row_count.rows", "orders by sqlite has 11 rows of ALFKI, the package has 12: 1 missing")
    ]
    assert shown(evidence)[3] == "sqlite 11 -1 vec_orders of ALFKI.sqlite"


def test_vectors_against_the_database(shop: Shop) -> None:
    """Where no package says how many there should be, its rows with a vector do."""
    shop.execute("UPDATE sales.orders SET ship_address = NULL WHERE order_id < 10003")
    ways = ["postgres", "sqlite"]

    assert said(measured(with_vectors(shop, 9), "orders", ways=ways)) == []
    assert said(measured(with_vectors(shop, 12), "orders", ways=ways)) == [
        ("row_count.rows", "orders by sqlite has 12 rows of ALFKI, PostgreSQL has 9: 3 too many")
    ]


def test_a_file_that_gives_no_count(shop: Shop) -> None:
    """Its reason is told."""
    assert said(measured(with_vectors(shop, "it is\nbroken"), "orders")) == [
        ("row_count.sqlite", "ALFKI.sqlite does not count orders: it is\\nbroken")
    ]


def test_a_file_that_is_not_there(shop: Shop) -> None:
    """Is a finding of its own."""
    deployments = with_vectors(shop, 12)
    del deployments._known["sqlite", "ALFKI"]

    ((code, message),) = said(measured(deployments, "orders"))

    assert code == "row_count.sqlite"
    assert f"there is no file {shop.folder}/ALFKI/ALFKI.sqlite" in message


def test_a_way_that_was_asked_for_and_is_none(shop: Shop) -> None:
    """Is no way to pass."""
    ways = ["postgres", "sqlite", "api"]

    assert said(shop.measure("orders", ways=ways)) == [
        (
            "row_count.sqlite",
            "orders cannot be counted in SQLite: a vec0 table for it is not named",
        ),
        ("row_count.api", "orders cannot be counted by the API: the case names no api"),
    ]
    deployments = with_vectors(shop, 12)
    deployments.environment = replace(
        deployments.environment, services={"postgres": {"dsn": shop.dsn}}
    )
    assert said(measured(deployments, "orders", ways=["sqlite"]))[0][1] == (
        "orders cannot be counted in SQLite: services.files.output is not named"
    )


API = {"path": "/counts/{uuid}", "value": "data.orders"}
ANSWERS = [
    (b'{"data": {"orders": 12}}', ""),
    (
        b'{"data": {"orders": 11}}',
        "orders by api has 11 rows of ALFKI, the package has 12: 1 missing",
    ),
    (b'{"data": {}}', "data.orders is missing: there is no 'orders' at data"),
    (b'{"data": {"orders": "12"}}', 'data.orders is "12", expected a whole number'),
    (b'{"data": {"orders": true}}', "data.orders is true, expected a whole number"),
    (b'{"data": {"orders": -1}}', "data.orders is -1, expected a whole number"),
    (b"<html>", "GET /counts/ALFKI does not count orders: the answer is not JSON"),
    (b"[" * 100_000, "GET /counts/ALFKI does not count orders: the answer is not JSON"),
]


@pytest.fixture
def answering() -> Iterator[Callable[[bytes, int], str]]:
    """``answering(body, status)``: the address of a server that says just that."""
    with ExitStack() as running:

        def start(body: bytes, status: int = 200) -> str:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

                def log_message(self, *_: object) -> None:
                    pass

            server = running.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            running.callback(server.shutdown)
            return f"http://127.0.0.1:{server.server_port}"

        yield start


@pytest.mark.parametrize(("body", "message"), ANSWERS)
def test_the_api_counts_too(
    shop: Shop, answering: Callable[[bytes], str], body: bytes, message: str
) -> None:
    """With a whole number, or it is a finding."""
    deployments = shop.deployments(answering(body))
    found = said(measured(deployments, "orders", api=API))
    deployments.close()

    assert len(found) == bool(message)
    assert all(message in text for _, text in found)


def test_an_api_that_refuses(shop: Shop, answering: Callable[[bytes, int], str]) -> None:
    """Its status is told."""
    deployments = shop.deployments(answering(b'{"data": {"orders": 12}}', 503))
    found = said(measured(deployments, "orders", api=API))
    deployments.close()

    assert found == [
        ("row_count.api", "GET /counts/ALFKI does not count orders: status 503"),
    ]


def test_an_api_that_does_not_answer(shop: Shop) -> None:
    """The other ways are counted all the same; one request serves all tables."""
    deployments = shop.deployments()
    first = measured(deployments, "orders", api=API)
    deployments.http.send = None  # type: ignore[assignment, method-assign]
    second = measured(deployments, "customers", api={**API, "value": "data.customers"})
    deployments.close()

    ((code, message),) = said(first)
    assert code == "row_count.api"
    assert message.startswith("GET /counts/ALFKI does not count orders: GET http://127.0.0.1:9/")
    assert [code for code, _ in said(second)] == ["row_count.api"]
    assert shown(first)[3] == "api ? data.orders of GET /counts/ALFKI"


def with_merges(shop: Shop) -> Shop:
    """Orders may become part of others, as identities do."""
    shop.execute("CREATE TABLE sales.merges (customer_id char(5), merged integer, kept integer)")
    merges = Merges("merges", "customer_id", "merged", "kept", "freight")
    names = ("orders", "order_id", "", "", "", "order_details", "order_id", "", "", "", "")
    return replace(shop, system=replace(shop.system, identities=Identities(*names, merges)))


def test_merged_rows_are_not_missed(shop: Shop) -> None:
    """They are recorded, so that their absence is explained."""
    merging = with_merges(shop)
    merging.execute(
        "DELETE FROM sales.orders WHERE order_id IN (10002, 10009)",
        "INSERT INTO sales.merges VALUES ('ALFKI', 10002, 7), ('ALFKI', 10009, 8)",
        "INSERT INTO sales.merges VALUES ('ALFKI', 99999, 7), ('BLONP', 10003, 7)",
    )
    evidence = merging.measure("orders")

    assert said(evidence) == []
    assert shown(evidence)[1:4] == [
        "package 12 dump/orders.sql of ALFKI_v20260101.tar.gz",
        "merged 2 into identities of other files",
        "postgres 10 sales.orders",
    ]
    assert said(merging.measure("order_details")) == []


def test_a_merged_row_that_is_there_all_the_same(shop: Shop) -> None:
    """Is one too many; and a change elsewhere is found as ever."""
    merging = with_merges(shop)
    merging.execute(
        "INSERT INTO sales.merges VALUES ('ALFKI', 10002, 7)",
        "UPDATE sales.orders SET freight = 1 WHERE order_id = 10003",
    )

    assert said(merging.measure("orders")) == [
        (
            "row_count.rows",
            "orders has 12 rows of ALFKI, the package has 12 less 1 merged: 1 too many",
        ),
        (
            "row_count.content",
            (
                "orders holds other rows than the package: 2 rows differ: "
                "order_id 10003: freight '1' instead of '13.25'; order_id 10002: extra"
            ),
        ),
    ]


def test_without_the_table_of_merges(shop: Shop) -> None:
    """Nobody knows what is missing rightly."""
    merging = with_merges(shop)
    merging.execute("DROP TABLE sales.merges")

    ((code, message),) = said(merging.measure("orders"))

    assert code == "row_count.no-answer"
    assert message.startswith("which identities were merged is not known: postgres ")
