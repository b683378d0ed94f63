r"""The COPY blocks of an SQL file, as ``pg_dump --data-only`` writes it.

Between them may stand what changes no row: comments, empty lines, SET, SELECT
pg_catalog.set_config, BEGIN, COMMIT, and psql's \restrict and \unrestrict. Nothing of the file is
ever executed, so that any other statement would be lost, and is refused.

Example::

    for copy, rows in read_dump(entry.blocks(), entry.member):
        for block in rows:  # whole lines
            ...
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from pytest_release.packages.contents import Aspect, Flaw
from pytest_release.packages.copy_text import END
from pytest_release.packages.flaws import ContentError, shown
from pytest_release.packages.limits import DEFAULT

STATEMENT = 64 * 1024  # bytes of a line outside of the data
STATEMENTS = 100_000  # lines outside of the data
_IDENTIFIER = r'(?:[^\W\d][\w$]*+|"(?:[^"\0]|"")++")'
# Quantifiers are possessive, so that no line takes longer than its length to be refused.
_COPY = re.compile(
    rf"COPY\s++(?:(?P<schema>{_IDENTIFIER})\s*+\.\s*+)?+(?P<table>{_IDENTIFIER})\s*+"
    rf"(?:\((?P<columns>\s*+{_IDENTIFIER}\s*+(?:,\s*+{_IDENTIFIER}\s*+)*+)\)\s*+)?+"
    r"FROM\s++stdin\s*+;\s*+",
    re.IGNORECASE,
)
_ONE = re.compile(_IDENTIFIER)
_HARMLESS = re.compile(
    r"\s*+(?:--.*+"
    r"|(?:SET\s++[\w.]++\s*+(?:=|TO\b)[^;]*+"
    r"|SELECT\s++pg_catalog\.set_config\([^;()]*+\)\s*+"
    r"|BEGIN\s*+|COMMIT\s*+|START\s++TRANSACTION\s*+);\s*+(?:--.*+)?+"
    r"|\\(?:un)?+restrict\s++\w++\s*+)?+",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class CopyBlock:
    """One ``COPY ... FROM stdin``.

    Attributes:
        schema: As written; empty when it is not.
        table: Name.
        columns: Names; empty when there is no list of them.
        line: Of the statement in its file, counted from 1.
    """

    schema: str
    table: str
    columns: tuple[str, ...]
    line: int


class Rows(Iterator[bytes]):
    """The rows of a COPY statement: raw lines, many in one piece of bytes, each with its LF."""

    def __init__(self, dump: _Dump, copy: CopyBlock) -> None:
        self._dump, self._copy = dump, copy
        self._ended = False

    def __next__(self) -> bytes:
        piece = self.piece()
        self.passed(piece.count(b"\n"))
        return piece

    def passed(self, count: int) -> None:
        """Say how many rows a piece had, which took long to count."""
        self._dump.line += count

    def piece(self) -> bytes:
        """The next piece, whose rows are to be counted by the caller; see `passed`.

        Raises:
            StopIteration: There is none.
        """
        while not self._ended:
            piece, self._ended = self._dump.piece(self._copy)
            self._dump.line += self._ended
            if piece:
                return piece
        raise StopIteration


def read_dump(
    blocks: Iterator[bytes], member: str, limit: int = DEFAULT.line
) -> Iterator[tuple[CopyBlock, Rows]]:
    r"""The COPY blocks of a file, each with its rows.

    Rows that were not read are skipped when the next block is asked for.

    Args:
        blocks: Content of the file.
        member: Its name, for messages.
        limit: Bytes of a line.

    Raises:
        ContentError: There is another statement, a line is too long, or the data has no ``\.``.
    """
    return _Dump(blocks, member, limit).copies()


class _Dump:
    """The data at hand, the place in it, and the number of the line there."""

    def __init__(self, blocks: Iterator[bytes], member: str, limit: int) -> None:
        self._blocks, self._member, self._limit = blocks, member, limit
        self._data, self._at = b"", 0
        self._statements = 0
        self.line = 1

    def copies(self) -> Iterator[tuple[CopyBlock, Rows]]:
        while (line := self._statement()) is not None:
            if copy := self._copy(line):
                rows = Rows(self, copy)
                yield copy, rows
                for _ in rows:
                    pass

    def _statement(self) -> str | None:
        """The next line outside of the data; None at the end."""
        while (end := self._data.find(b"\n", self._at)) < 0:
            if len(self._data) - self._at > STATEMENT:
                self._refuse("line-too-long", f"is longer than {STATEMENT} bytes")
            block = next(self._blocks, b"")
            self._data, self._at = self._data[self._at :] + block, 0
            if not block:
                end = len(self._data)
                break
        line, self._at = self._data[self._at : end], end + 1
        if not line and end == len(self._data):
            return None
        self._count(line)
        try:
            text = line.decode()
        except UnicodeDecodeError:
            self._refuse("not-utf8", f"is not UTF-8: {shown(line)}", line, back=1)
        if "\0" in text:
            self._refuse("nul", "holds a NUL", line, back=1)
        return text

    def _count(self, line: bytes) -> None:
        self.line += 1
        self._statements += 1
        if self._statements > STATEMENTS:
            message = f"is one of more than {STATEMENTS} beside the data"
            self._refuse("too-many-statements", message, back=1)
        if len(line) > STATEMENT:
            self._refuse("line-too-long", f"is longer than {STATEMENT} bytes", back=1)

    def _copy(self, line: str) -> CopyBlock | None:
        """The statement; None when it is one that changes no row."""
        if _HARMLESS.fullmatch(line):
            return None
        match = _COPY.fullmatch(line)
        if match is None:
            words = line.split(None, 1)
            what = shown(words[0].upper()) if words else ""
            message = f"has {what}, expected COPY ... FROM stdin: {shown(line)!r}"
            self._refuse("statement", message, line.encode(), back=1)
        columns = tuple(map(_name, _ONE.findall(match["columns"] or "")))
        if len(set(columns)) < len(columns):
            self._refuse("duplicate-column", "names a column twice", line.encode(), back=1)
        schema = _name(match["schema"]) if match["schema"] else ""
        return CopyBlock(schema, _name(match["table"]), columns, self.line - 1)

    def piece(self, copy: CopyBlock) -> tuple[bytes, bool]:
        r"""The next whole lines of data, up to ``\.``, and whether that was there."""
        data, at = self._data, self._at
        end = data.rfind(b"\n", at) + 1
        if end == 0:
            return self._line_in_two(copy)
        if (mark := self._end_mark()) >= 0:
            self._at = mark + len(END) + 1
            return data[at:mark], True
        self._at = end
        return data[at:end], False

    def _line_in_two(self, copy: CopyBlock) -> tuple[bytes, bool]:
        """The line that begins in the data at hand and ends in the next block."""
        start = self._data[self._at :]
        block = next(self._blocks, b"")
        cut = block.find(b"\n") + 1
        if len(start) + (cut or len(block)) > self._limit:
            self._refuse("line-too-long", f"is longer than {self._limit} bytes")
        if not block and start != END:  # which needs no line feed as the last line of the file
            message = f"ends within the data of {shown(copy.table)!r}, without its \\."
            self._refuse("truncated-dump", message, start)
        if not cut:
            self._data, self._at = start + block, 0
            if not block:
                self._data = b""
            return b"", not block
        self._data, self._at = block, cut
        line = start + block[:cut]
        return (b"", True) if line == END + b"\n" else (line, False)

    def _end_mark(self) -> int:
        r"""Where the next line ``\.`` starts; -1 when there is none with its line feed."""
        data, at = self._data, self._at
        if data.find(b"\\", at) < 0:  # a search for one byte is much faster
            return -1
        if data.startswith(END + b"\n", at):
            return at
        mark = data.find(b"\n" + END + b"\n", at)
        return mark + 1 if mark >= 0 else -1

    def _refuse(self, code: str, message: str, received: bytes = b"", *, back: int = 0) -> NoReturn:
        number = self.line - back
        flaw = Flaw(
            Aspect.TABLES,
            code,
            f"{self._member}:{number}: the line {message}",
            self._member,
            received=shown(received),
        )
        raise ContentError(flaw)


def _name(identifier: str) -> str:
    if identifier.startswith('"'):
        return identifier[1:-1].replace('""', '"')
    return identifier.lower()
