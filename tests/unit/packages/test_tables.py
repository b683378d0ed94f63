"""Tests of `pytest_release.packages.tables`: rows counted, compared, and summed up."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.packages.contents import Aspect, Flaw, TableContents
from pytest_release.packages.copy_text import row_digest
from pytest_release.packages.dump import read_dump
from pytest_release.packages.flaws import FlawList
from pytest_release.packages.tables import TableReader
from tests.unit.packages.forge import (
    OTHER,
    UUID,
    dump,
    only_flaw,
    read_with,
    rows,
    system,
    vector,
)


def read(table: str, *dumps: bytes) -> tuple[TableContents, tuple[Flaw, ...]]:
    """What a reader finds in dumps of one table, and its flaws."""
    flaws = FlawList()
    reader = TableReader(system().tables[table], UUID, flaws)
    for copy, lines in read_dump(iter(dumps), "x"):
        reader.read(copy, lines)
    return reader.contents(), flaws.all()


def digest(*lines: str) -> int:
    """The fingerprint of these rows."""
    return sum(row_digest(line.encode()) for line in lines)


def test_good_rows_are_counted_and_summed_up() -> None:
    """Over several COPY blocks."""
    good = rows("face_detections")
    contents, flaws = read(
        "face_detections", dump("face_detections", good[:1]), dump("face_detections", good[1:])
    )

    assert flaws == ()
    assert contents == TableContents(
        rows=4,
        columns=("face_id", "file_uuid", "timestamp", "embedding"),
        uuids={UUID: 4},
        dimensions={"embedding": {512: 4}},
        nulls={"embedding": 0},
        fingerprint=digest(*good),
    )


@given(st.lists(st.sampled_from(range(10))), st.integers(1, 4000))
def test_a_block_says_what_its_rows_say(which: list[int], size: int) -> None:
    """Whether rows are read one by one, or, where all of them are usual, as a block."""
    good = f"\t{UUID}\t1.5\t{vector(512)}"
    kinds = [
        *(f"f0{good}", f"f1{good}", f"f2{good}", f"f3{good}", f"f4{good}"),
        f"f5\t{UUID}\t\\N\t{vector(512)}",
        f"f\u00e9\t{UUID}\t1\t{vector(512, 'NaN')}",
        f"f7\t{OTHER}\t1\t{vector(512)}",
        f"f8\t{UUID}\t1\t{vector(513)}",
        f"f9\t{UUID}\t1\t7{vector(512)}",
    ]
    lines = [kinds[number] for number in which]
    whole = read("face_detections", dump("face_detections", lines))
    data = dump("face_detections", lines)
    pieces = (data[at : at + size] for at in range(0, len(data), size))

    assert whole[0].rows == len(lines)
    assert whole[0].fingerprint == digest(*lines)
    assert [flaw.message.split(":")[1] for flaw in whole[1] if flaw.code != "foreign-uuid"] == [
        str(place + 4) for place, number in enumerate(which) if number in (6, 8, 9)
    ]
    assert whole[0].uuids.get(OTHER, 0) == which.count(7)
    assert read("face_detections", *pieces) == whole


def test_the_fingerprint_does_not_depend_on_the_order() -> None:
    """But on each byte of each row, and on rows that are there twice."""
    good = rows("tkg_nodes")
    found = {
        read("tkg_nodes", dump("tkg_nodes", lines))[0].fingerprint
        for lines in (good, good[::-1], [*good, good[0]], [good[0] + "x", *good[1:]])
    }

    assert len(found) == 3
    assert digest(*good) in found


def test_rewritten_columns_are_left_out() -> None:
    """With their tabs: first, last, and in between."""
    contents, flaws = read("videos", dump("videos"))
    assert contents.fingerprint == digest(f"{UUID}\tmovie.mp4")
    contents, flaws = read("identity_bindings", dump("identity_bindings", [f"b\t{UUID}\ti\tf"]))

    assert contents.fingerprint == digest(f"b\t{UUID}\tf")
    assert flaws == ()


def test_other_ways_to_write_a_value_are_the_same() -> None:
    """The fingerprint is that of the line that PostgreSQL writes."""
    contents, flaws = read("chunk", dump("chunk", [f"c\t{UUID}\t\\x41\\tb", f"d\t{UUID}\t\\\\N"]))

    assert contents.fingerprint == digest(f"c\t{UUID}\tA\\tb", f"d\t{UUID}\t\\\\N")
    assert flaws == ()


def test_rows_without_a_vector_are_counted() -> None:
    """They have no dimensions."""
    lines = [f"f0\t{UUID}\t1\t\\N", f"f1\t{UUID}\t1\t{vector(512)}", f"f2\t{UUID}\t1\t\\N"]
    contents, flaws = read("face_detections", dump("face_detections", lines))

    assert contents.dimensions == {"embedding": {512: 1}}
    assert contents.nulls == {"embedding": 2}
    assert flaws == ()


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (
            f"c9\t{UUID}",
            "columns",
            "sql/dev_chunk.sql:6: the row has 2 columns, expected 3",
        ),
        (
            f"c9\t{UUID}\ta\tb",
            "columns",
            "sql/dev_chunk.sql:6: the row has 4 columns, expected 3",
        ),
        (
            f"c9\t{OTHER}\ta",
            "foreign-uuid",
            f"sql/dev_chunk.sql:6: chunk_id c9 belongs to file_uuid '{OTHER}'",
        ),
        (f"c9\t{UUID}\ta\0", "nul", "sql/dev_chunk.sql:6: the row holds a NUL"),
        (
            f"c9\t{UUID}\ta\r",
            "carriage-return",
            "sql/dev_chunk.sql:6: the row holds a carriage return as it is",
        ),
        (
            f"c9\t{UUID}\ta\\q",
            "bad-escape",
            "sql/dev_chunk.sql:6: the row is no text of COPY: \\q is no escape of COPY",
        ),
        (
            f"c9\t{UUID}\ta\\000",
            "bad-escape",
            "sql/dev_chunk.sql:6: the row is no text of COPY: an escape stands for a NUL",
        ),
    ],
)
def test_a_wrong_row_is_found(line: str, code: str, message: str) -> None:
    """Among good ones, with its line and key, and it counts as a row."""
    lines = [*rows("chunk")[:2], line, *rows("chunk")[2:]]
    contents, (flaw,) = read("chunk", dump("chunk", lines))

    assert flaw.code == code
    assert flaw.message.startswith(message)
    assert flaw.aspect is Aspect.TABLES
    assert flaw.member == "sql/dev_chunk.sql"
    assert contents.rows == 4


def test_a_row_that_is_not_utf8_is_found() -> None:
    """With the byte."""
    data = dump("chunk").replace(b"some", b"s\xffme", 1)
    _, (flaw,) = read("chunk", data)

    assert flaw.message == "sql/dev_chunk.sql:4: the row is not UTF-8: byte 0xff"
    assert flaw.code == "not-utf8"


@pytest.mark.parametrize(
    ("value", "code", "problem"),
    [
        (vector(511), "vector-dimensions", "has 511 dimensions, expected 512"),
        (vector(512, "NaN"), "not-finite", "holds NaN at place 1, expected a finite number"),
        ("", "not-a-vector", "is no vector: ''"),
    ],
)
def test_a_wrong_vector_is_found(value: str, code: str, problem: str) -> None:
    """With the key of its row."""
    lines = [*rows("face_detections"), f"f9\t{UUID}\t0\t{value}"]
    _, (flaw,) = read("face_detections", dump("face_detections", lines))

    assert flaw.message == f"sql/dev_face_detections.sql:8: embedding of face_id f9 {problem}"
    assert (flaw.aspect, flaw.code) == (Aspect.VECTORS, code)
    assert flaw.expected == "512 finite numbers"


def test_rows_of_another_file_are_counted() -> None:
    """The first of them is named."""
    lines = [*rows("chunk"), *(f"x{i}\t{OTHER}\ta" for i in range(7))]
    contents, (flaw,) = read("chunk", dump("chunk", lines))

    assert flaw.message == (
        f"sql/dev_chunk.sql:7: chunk_id x0 belongs to file_uuid '{OTHER}', as do 6 more rows"
    )
    assert contents.uuids == {UUID: 3, OTHER: 7}


def test_many_uuids_are_not_told_apart() -> None:
    """A hundred, and then the rest."""
    lines = [f"c{i}\t{i:032x}\ta" for i in range(250)]
    contents, flaws = read("chunk", dump("chunk", lines))

    assert sum(contents.uuids.values()) == 250
    assert contents.uuids["..."] == 150
    assert len(flaws) == 100


@pytest.mark.parametrize(
    ("columns", "missing", "listed"),
    [
        ("file_uuid, content", "chunk_id", "file_uuid, content"),
        ("chunk_id, content", "file_uuid", "chunk_id, content"),
    ],
)
def test_columns_that_must_be_listed(columns: str, missing: str, listed: str) -> None:
    """The key and the UUID; the rows still count."""
    contents, (flaw,) = read("chunk", dump("chunk", ["a\tb"], columns))

    assert flaw.message == (
        f"sql/dev_chunk.sql:3: COPY does not list the column {missing} of chunk"
    )
    assert flaw.received == listed
    assert contents.rows == 1


def test_a_vector_must_be_listed() -> None:
    """A table without its vectors is no table of vectors."""
    data = dump("chunk_vectors", [f"c\t{UUID}"], "chunk_id, file_uuid")
    _, (flaw,) = read("chunk_vectors", data)

    assert "COPY does not list the column embedding of chunk_vectors" in flaw.message


def test_a_copy_without_columns_is_found() -> None:
    """Nothing says then what its rows are."""
    _, (flaw,) = read("chunk", b"COPY dev.chunk FROM stdin;\na\tb\n\\.\n")

    assert flaw.received == "none"
    assert flaw.code == "missing-column"


def test_all_blocks_have_the_same_columns() -> None:
    """In the same order."""
    second = dump("chunk", columns="file_uuid, chunk_id, content")
    contents, (flaw,) = read("chunk", dump("chunk"), second)

    assert flaw.code == "other-columns"
    assert flaw.message == (
        "sql/dev_chunk.sql:10: COPY lists other columns than the COPY before: "
        "file_uuid, chunk_id, content"
    )
    assert contents.rows == 6


def test_a_copy_into_another_table_is_found(tmp_path: Path) -> None:
    """Its rows are none of the table's."""
    data = dump("chunk") + b"COPY dev.users (name) FROM stdin;\nroot\n\\.\n"
    package = read_with(tmp_path, {"sql/dev_chunk.sql": data})
    flaw = only_flaw(package)

    assert flaw.message == "sql/dev_chunk.sql:8: COPY fills 'users', expected 'chunk'"
    assert flaw.code == "other-table"
    assert package.tables["chunk"].rows == 3


def test_a_table_without_rows_is_found(tmp_path: Path) -> None:
    """An empty COPY block, and none at all."""
    for data in (dump("tkg_edges", []), b"-- nothing\n"):
        flaw = only_flaw(read_with(tmp_path, {"sql/dev_tkg_edges.sql": data}))

        assert flaw.message == "sql/dev_tkg_edges.sql holds no row of tkg_edges"
        assert flaw.code == "no-rows"


def test_a_broken_dump_does_not_keep_the_rest_from_being_read(tmp_path: Path) -> None:
    """It is compared with nothing, and the package is complete."""
    data = dump("face_detections") + b"INSERT INTO x VALUES (1);\n"
    package = read_with(tmp_path, {"sql/dev_face_detections.sql": data})

    assert only_flaw(package).code == "statement"
    assert package.complete
    assert package.tables["tkg_edges"].rows == 2
