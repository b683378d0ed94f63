r"""PostgreSQL's text format of COPY, and the digest of a row that both sides can compute.

Format: https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS. A row is one
line, for a line feed within a value is always escaped; columns are separated by tabs; ``\N`` is
null; ``\.`` alone ends the data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256

NULL = b"\\N"
END = b"\\."
_LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_ESCAPE = re.compile(rb"\\(?:([bfnrtv\\])|([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|(.?))", re.DOTALL)
_PLAIN = re.compile(rb"(?:[^\\]++|\\[bfnrtv\\])*+")
_TO_ESCAPE = re.compile(rb"[\b\t\n\v\f\r\\]")
_ESCAPED = {
    b"\\": b"\\\\",
    **{character: b"\\" + letter for letter, character in _LETTERS.items()},
}


def row_digest(line: bytes) -> int:
    """The digest of a row: the first 8 bytes of the SHA-256 of its line, as a signed integer.

    Args:
        line: The row as COPY writes it, the columns that are not compared left out with their
            tabs, without its line feed.
    """
    return int.from_bytes(sha256(line).digest()[:8], "big", signed=True)


def read_fields(line: bytes) -> list[bytes | None]:
    r"""The values of a row, in UTF-8; None for null.

    Args:
        line: Without its line feed.

    Raises:
        ValueError: An escape is none of ``\b \f \n \r \t \v \\``, octal or hexadecimal.
    """
    fields = line.split(b"\t")
    if b"\\" not in line:
        return list(fields)
    return [None if field == NULL else _unescaped(field) for field in fields]


def write_fields(fields: Iterable[bytes | None]) -> bytes:
    """The line that COPY writes for these values, without its line feed."""
    return b"\t".join(
        NULL if field is None else _TO_ESCAPE.sub(_escaped, field) for field in fields
    )


def canonical(line: bytes) -> bytes:
    r"""The line as COPY would write it, which has no numeric escapes.

    Raises:
        ValueError: An escape is wrong, or stands for a NUL or for bytes that are not UTF-8.
    """
    if all(field == NULL or _PLAIN.fullmatch(field) for field in line.split(b"\t")):
        return line
    fields = read_fields(line)
    for field in fields:
        if field is not None:
            if b"\0" in field:
                raise ValueError("an escape stands for a NUL")
            field.decode()
    return write_fields(fields)


def _unescaped(field: bytes) -> bytes:
    return _ESCAPE.sub(_character, field) if b"\\" in field else field


def _character(match: re.Match[bytes]) -> bytes:
    letter, octal, hexadecimal, other = match.groups()
    if letter:
        return _LETTERS.get(letter, letter)
    if octal:
        return bytes([int(octal, 8) & 0xFF])
    if hexadecimal:
        return bytes([int(hexadecimal, 16)])
    raise ValueError(f"\\{other.decode(errors='backslashreplace')} is no escape of COPY")


def _escaped(match: re.Match[bytes]) -> bytes:
    return _ESCAPED[match[0]]
