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
_IDENTIFIER = r'(?:[^\W\d][\w$]*|"(?:[^"\0]|"")+")'
_COPY = re.compile(
    rf"COPY\s+(?:(?P<schema>{_IDENTIFIER})\s*\.\s*)?(?P<table>{_IDENTIFIER})\s*"
    rf"(?:\((?P<columns>\s*{_IDENTIFIER}\s*(?:,\s*{_IDENTIFIER}\s*)*)\)\s*)?FROM\s+stdin\s*;\s*",
    re.IGNORECASE,
)
_ONE = re.compile(_IDENTIFIER)
_HARMLESS = re.compile(
    r"\s*(?:--.*"
    r"|(?:SET\s+[\w.]+\s*(?:=|\bTO\b)[^;]*"
    r"|SELECT\s+pg_catalog\.set_config\([^;]*\)"
    r"|BEGIN|COMMIT|START\s+TRANSACTION)\s*;\s*(?:--.*)?"
    r"|\\(?:un)?restrict\s+\w+\s*)?",
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
        lines = next(self.lines(), None)
        if lines is None:
            raise StopIteration
        lines.append(b"")
        return b"\n".join(lines)

    def lines(self) -> Iterator[list[bytes]]:
        """The same as lists of lines, without their LF."""
        while not self._ended:
            lines, self._ended = self._dump.lines(self._copy)
            self._dump.line += len(lines) + self._ended
            if lines:
                yield lines


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
    """What is left of the file, and the number of the line it starts with."""

    def __init__(self, blocks: Iterator[bytes], member: str, limit: int) -> None:
        self._blocks, self._member, self._limit = blocks, member, limit
        self._rest = b""
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
        while (end := self._rest.find(b"\n")) < 0:
            if len(self._rest) > STATEMENT:
                self._refuse("line-too-long", f"is longer than {STATEMENT} bytes")
            if block := next(self._blocks, b""):
                self._rest += block
                continue
            if not self._rest:
                return None
            end = len(self._rest)
            break
        line, self._rest = self._rest[:end], self._rest[end + 1 :]
        self.line += 1
        try:
            text = line.decode()
        except UnicodeDecodeError:
            self._refuse("not-utf8", f"is not UTF-8: {shown(line)}", line, back=1)
        if "\0" in text:
            self._refuse("nul", "holds a NUL", line, back=1)
        return text

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

    def lines(self, copy: CopyBlock) -> tuple[list[bytes], bool]:
        r"""The next lines of data, up to ``\.``, and whether that was there."""
        rest = self._rest
        if b"\n" in rest:
            lines, escaped = rest.split(b"\n"), b"\\" in rest
        elif block := next(self._blocks, b""):
            lines, escaped = block.split(b"\n"), b"\\" in block or b"\\" in rest
            lines[0] = rest + lines[0]
        elif rest == END:  # the file's last line has no line feed
            self._rest = b""
            return [], True
        else:
            message = f"ends within the data of {shown(copy.table)!r}, without its \\."
            self._refuse("truncated-dump", message, rest)
        self._rest = lines.pop()
        if escaped and END in lines:  # a search for one byte first: it is much faster
            at = lines.index(END)
            self._rest = b"\n".join([*lines[at + 1 :], self._rest])
            return lines[:at], True
        if len(self._rest) > self._limit:
            message = f"is longer than {self._limit} bytes"
            self._refuse("line-too-long", message, back=-len(lines))
        return lines, False

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
