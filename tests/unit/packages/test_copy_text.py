"""Tests of `pytest_release.packages.copy_text`: PostgreSQL's text format, both ways."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.packages.copy_text import canonical, read_fields, row_digest, write_fields

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
FIELDS = st.lists(st.one_of(st.none(), TEXTS.map(str.encode)), min_size=1)


@given(FIELDS)
def test_what_is_written_is_read(fields: list[bytes | None]) -> None:
    """Any values, in one line without line feeds."""
    line = write_fields(fields)

    assert b"\n" not in line
    assert read_fields(line) == fields
    assert canonical(line) == line


@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (rb"a", [b"a"]),
        (b"", [b""]),
        (b"a\t\tb", [b"a", b"", b"b"]),
        (b"\\N\ta", [None, b"a"]),
        (rb"\b\f\n\r\t\v\\", [b"\b\f\n\r\t\v\\"]),
        (rb"\101\x41\x4a\12x", [b"AAJ\nx"]),
        (rb"\\N", [rb"\N"]),
        (rb"C:\\new", [rb"C:\new"]),
    ],
)
def test_values_are_unescaped(line: bytes, fields: list[bytes | None]) -> None:
    r"""Each escape of the format; ``\\N`` is text, ``\N`` is null."""
    assert read_fields(line) == fields


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (rb"a\q", r"\\q is no escape of COPY"),
        (rb"a\N", r"\\N is no escape of COPY"),
        (b"a\\", r"\\ is no escape of COPY"),
        (b"a\\\tb", r"\\ is no escape of COPY"),
        (rb"\.", r"\\\. is no escape of COPY"),
        (rb"\xg", r"\\x is no escape of COPY"),
    ],
)
def test_other_escapes_are_refused(line: bytes, message: str) -> None:
    """PostgreSQL would drop the backslash, and the row would not be what was meant."""
    with pytest.raises(ValueError, match=message):
        read_fields(line)


def test_numeric_escapes_are_rewritten() -> None:
    """The line is then what PostgreSQL writes for the same values."""
    assert canonical(rb"\x41\11\\" + b"\t" + rb"\N") == rb"A\t\\" + b"\t" + rb"\N"


@pytest.mark.parametrize(
    ("line", "message"),
    [(rb"\000", "an escape stands for a NUL"), (rb"\xff", "invalid start byte")],
)
def test_numeric_escapes_stand_for_text(line: bytes, message: str) -> None:
    """Not for a NUL, nor for what is not UTF-8."""
    with pytest.raises(ValueError, match=message):
        canonical(line)


def test_the_digest_is_of_eight_bytes() -> None:
    """Of SHA-256, signed, as PostgreSQL's bit strings become a bigint."""
    expected = int(hashlib.sha256(b"a\tb").hexdigest()[:16], 16)

    assert row_digest(b"a\tb") % (1 << 64) == expected
    assert -(1 << 63) <= row_digest(b"a\tb") < 1 << 63
