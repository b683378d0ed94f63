"""The row_count gate: what each way of counting gives, and when a package is no measure."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pytest_release.config.system import Identities, Merges, VectorTable
from pytest_release.deployments import Deployments
from pytest_release.packages.contents import Aspect, Flaw, VectorTableContents
from pytest_release.packages.vector_file import VectorFile
from pytest_release.targets.fingerprints import Fingerprint
from tests.data.row_count.conftest import COLUMNS, Shop, lines_of, measured, said, shown

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


def test_a_package_that_changes_meanwhile(shop: Shop) -> None:
    """What was verified is no longer what is compared."""
    shop.execute("UPDATE sales.orders SET freight = 0 WHERE order_id = 10001")
    deployments = shop.deployments()
    deployments.package("ALFKI")
    shop.pack("ALFKI", {**lines_of("ALFKI"), "orders": lines_of("ALFKI", 3)["orders"]})

    ((code, message),) = said(measured(deployments, "orders"))

    assert code == "row_count.no-answer"
    assert "has changed since it was verified" in message


def test_rows_that_change_meanwhile(shop: Shop) -> None:
    """A difference that is gone when it is looked for is not passed over."""
    deployments = shop.deployments()
    deployments.once(("fingerprints", "orders"), lambda: {"ALFKI": Fingerprint(12, 0)})

    ((code, message),) = said(measured(deployments, "orders"))

    assert code == "row_count.content"
    assert message.startswith("orders has another fingerprint than the package, and no single row")


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

    assert len(found) == bool(message)
    assert all(message in text for _, text in found)


def test_an_api_that_refuses(shop: Shop, answering: Callable[[bytes, int], str]) -> None:
    """Its status is told."""
    deployments = shop.deployments(answering(b'{"data": {"orders": 12}}', 503))
    found = said(measured(deployments, "orders", api=API))

    assert found == [
        ("row_count.api", "GET /counts/ALFKI does not count orders: status 503"),
    ]


def test_an_api_that_does_not_answer(shop: Shop) -> None:
    """The other ways are counted all the same; one request serves all tables."""
    deployments = shop.deployments()
    first = measured(deployments, "orders", api=API)
    deployments.http.send = None  # type: ignore[assignment, method-assign]
    second = measured(deployments, "customers", api={**API, "value": "data.customers"})

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
