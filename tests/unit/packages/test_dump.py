"""Tests of `pytest_release.packages.dump`: COPY blocks, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.packages.dump import CopyBlock, read_dump
from pytest_release.packages.flaws import ContentError

DUMP = rb"""--
-- PostgreSQL database dump
--
\restrict 1qdkeOSQ5yTZ4Ahf8P0IvcTQR
SET statement_timeout = 0;
set client_encoding to 'UTF8';
SELECT pg_catalog.set_config('search_path', '', false);
BEGIN;

COPY dev.chunk (chunk_id, "order", "quo""ted", file_uuid) FROM stdin;
1	2	3	4
5	6	7	\N
\.

copy "Weird; Schema" . "Tab le" FROM STDIN ;
\.
COPY plain (a) FROM stdin;
x\\.
\\.
\.
COMMIT; -- done
\unrestrict 1qdkeOSQ5yTZ4Ahf8P0IvcTQR
"""
BLOCKS = [
    (
        CopyBlock("dev", "chunk", ("chunk_id", "order", 'quo"ted', "file_uuid"), 10),
        b"1\t2\t3\t4\n5\t6\t7\t\\N\n",
    ),
    (CopyBlock("Weird; Schema", "Tab le", (), 15), b""),
    (CopyBlock("", "plain", ("a",), 17), b"x\\\\.\n\\\\.\n"),
]


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """The data in pieces of that size."""
    return (data[at : at + size] for at in range(0, len(data), size))


def copies(data: bytes, size: int = 1 << 20, limit: int = 1000) -> list[tuple[CopyBlock, bytes]]:
    """The blocks of a dump with their rows."""
    return [
        (copy, b"".join(rows)) for copy, rows in read_dump(pieces(data, size), "sql/x.sql", limit)
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 10, 1000])
def test_blocks_are_found_however_the_data_comes(size: int) -> None:
    """With quoted names, with and without a list of columns, and with escaped end marks."""
    assert copies(DUMP, size) == BLOCKS


@given(st.integers(1, len(DUMP)), st.integers(0, 3))
def test_rows_may_be_skipped(size: int, skipped: int) -> None:
    """Or counted by the caller; the numbers of the lines are right then, too."""
    found = []
    for number, (copy, rows) in enumerate(read_dump(pieces(DUMP, size), "x")):
        taken = b""
        with contextlib.suppress(StopIteration):
            while number >= skipped:
                piece = rows.piece()
                rows.passed(piece.count(b"\n"))
                taken += piece
        found.append((copy, taken))

    expected = [
        (copy, b"" if number < skipped else rows) for number, (copy, rows) in enumerate(BLOCKS)
    ]
    assert found == expected


def test_pieces_are_whole_lines() -> None:
    """Each ends with a line feed, whatever the pieces of the file are."""
    for _, rows in read_dump(pieces(DUMP, 5), "x"):
        for block in rows:
            assert block.endswith(b"\n")


@pytest.mark.parametrize("end", [b"\\.", b"\\.\n", b"\\.\n\n"])
def test_the_last_line_needs_no_line_feed(end: bytes) -> None:
    """Neither that of the data, nor that of the file."""
    assert copies(b"COPY x (a) FROM stdin;\n1\n" + end)[0][1] == b"1\n"
    assert copies(b"COPY x (a) FROM stdin;\n1\n" + end, size=1)[0][1] == b"1\n"
    assert copies(b"COMMIT;") == []


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"INSERT INTO chunk VALUES (1);", "INSERT, expected COPY ... FROM stdin: 'INSERT INTO"),
        (b"DROP TABLE chunk;", "DROP, expected COPY"),
        (b"SET x = 1; DROP TABLE chunk;", "SET, expected COPY"),
        (b"SELECT pg_catalog.setval('x', 1);", "SELECT, expected COPY"),
        (b"COPY x (a) FROM '/etc/passwd';", "COPY, expected COPY"),
        (b"COPY x (a) FROM stdin WITH (FORMAT csv);", "COPY, expected COPY"),
        (b"COPY x (a) FROM PROGRAM 'id';", "COPY, expected COPY"),
        (b"COPY x (a,) FROM stdin;", "COPY, expected COPY"),
        (rb"\! rm -rf /", r"\!, expected COPY"),
        (b"1\t2", "1, expected COPY"),
    ],
)
def test_other_statements_are_refused(line: bytes, shown: str) -> None:
    """With file and line, for nothing of a dump is ever executed."""
    with pytest.raises(ContentError) as caught:  # noqa: PT011 - the text is compared below
        copies(b"\nCOPY x (a) FROM stdin;\n1\n\\.\n" + line + b"\n")
    assert str(caught.value).startswith("sql/x.sql:5: the line has ")
    assert shown in str(caught.value)
    assert caught.value.flaw.code == "statement"


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (
            b"COPY x (a) FROM stdin;\n1\n2\n",
            "truncated-dump",
            r"sql/x\.sql:4: the line ends within the data of 'x', without its \\\.",
        ),
        (b"COPY x (a) FROM stdin;\n1\n2", "truncated-dump", r"x\.sql:3: the line ends within"),
        (
            b"COPY x (a, a) FROM stdin;\n\\.\n",
            "duplicate-column",
            r"sql/x\.sql:1: the line names a column twice",
        ),
        (b"\n\xff\n", "not-utf8", r"sql/x\.sql:2: the line is not UTF-8"),
        (b"\n--\0\n", "nul", r"sql/x\.sql:2: the line holds a NUL"),
        (b"-" * 70_000, "line-too-long", r"sql/x\.sql:1: the line is longer than 65536 bytes"),
        (
            b"COPY x (a) FROM stdin;\n1\n" + b"x" * 5000,
            "line-too-long",
            r"sql/x\.sql:3: the line is longer than 1000 bytes",
        ),
    ],
)
@pytest.mark.parametrize("size", [100, 1 << 20])
def test_a_broken_dump_is_refused(data: bytes, code: str, message: str, size: int) -> None:
    """With the number of the line."""
    with pytest.raises(ContentError, match=message) as caught:
        copies(data, size)
    assert caught.value.flaw.code == code


def test_lines_beside_the_data_are_counted() -> None:
    """A gigabyte of empty lines is not read to its end, nor is one of empty COPY blocks."""
    message = r"sql/x\.sql:100001: the line is one of more than 100000 beside the data"
    with pytest.raises(ContentError, match=message):
        copies(b"\n" * 200_000)
    with pytest.raises(ContentError, match=r"is one of more than 100000 beside the data"):
        copies(b"COPY x (a) FROM stdin;\n\\.\n" * 200_000)


@pytest.mark.parametrize(
    "line",
    [
        b"SET a = %b",
        b"SELECT pg_catalog.set_config(%b",
        b"%bx",
        b"COPY x %b y",
        b"COPY x (a%b",
        b"COPY %bx",
    ],
)
@pytest.mark.parametrize("filling", [b" ", b"a", b")", b'""', b",", b"a,"])
def test_a_long_line_is_refused_at_once(line: bytes, filling: bytes) -> None:
    """In a time that grows with its length, and not with the square of that."""
    data = line % (filling * (60_000 // len(filling)))
    with pytest.raises(ContentError, match=r"sql/x\.sql:1: the line has "):
        copies(data)


def test_a_line_without_end_is_not_kept() -> None:
    """A gigabyte of it is read to the limit, and no further."""
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        yield b"COPY x (a) FROM stdin;\n"
        while True:
            taken += 1000
            yield b"x" * 1000

    with pytest.raises(ContentError, match=r"x:2: the line is longer than 5000 bytes"):
        [list(rows) for _, rows in read_dump(endless(), "x", 5000)]
    assert taken < 10_000


@given(st.binary(max_size=300))
def test_any_bytes_are_a_dump_or_are_refused(data: bytes) -> None:
    """With the one error of content."""
    for start in (b"", b"COPY x (a) FROM stdin;\n"):
        with contextlib.suppress(ContentError):
            copies(start + data, 7)
