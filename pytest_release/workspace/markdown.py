"""Markdown -> title, fields and sections with their tables and numbered items, each with its line.

Blocks are read by markdown-it-py, as GitHub's Markdown defines them; of what stands within a line
only escapes, entities and emphasis around the whole are taken away, since nothing here is rendered.
What is quoted, in code or in HTML, comments among it, is no part of a form.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from markdown_it import MarkdownIt
from markdown_it.common.utils import unescapeAll
from markdown_it.token import Token

_BLOCKS = ("heading", "table", "fence", "code", "list", "hr", "html_block")
_COLON = r"[:\uff1a]"  # the full-width one, too
_FIELD = re.compile(
    rf"\*\*(?P<name>[^*:\uff1a]{{1,40}}?)\s*(?:\*\*\s*{_COLON}|{_COLON}\s*\*\*)(?P<value>.*)"
)
_WRAPPED = re.compile(r"(\*\*|__|\*|_)(?P<text>[^*_\\]+)\1")
_CODE = re.compile(r"`(?P<text>[^`]+)`")


@dataclass(frozen=True)
class Row:
    """One row of a table: its line, counted from 1, and its cells as they are written."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table: its columns' names, and its rows; each has as many cells as there are columns."""

    line: int
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Item:
    """A numbered item, or a heading that begins with a number."""

    number: str
    text: str
    line: int


@dataclass(frozen=True)
class Section:
    """What stands under one heading of the second level.

    Attributes:
        items: Those of numbered lists that are in no other list, and numbered subheadings.
        lines: Everything else that stands there, item by item or line by line.
    """

    title: str
    line: int
    tables: tuple[Table, ...] = ()
    items: tuple[Item, ...] = ()
    lines: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing stands under the heading."""
        return not (self.tables or self.items or self.lines)


@dataclass(frozen=True)
class Document:
    """One Markdown file.

    Attributes:
        title: Its first heading of the first level; empty when there is none.
        fields: ``**Name**: value`` lines above the first section: line and value.
        sections: In order.
    """

    title: str
    fields: Mapping[str, tuple[int, str]]
    sections: tuple[Section, ...]

    def section(self, title: str) -> Section | None:
        """Everything under headings of that title, however it is spaced."""
        found = [section for section in self.sections if section.title == same(title)]
        if not found:
            return None
        return Section(
            found[0].title,
            found[0].line,
            tuple(table for section in found for table in section.tables),
            tuple(item for section in found for item in section.items),
            tuple(line for section in found for line in section.lines),
        )


def read(text: str) -> Document:
    """The document of a text; any text is one."""
    builder = _Builder()
    for token in _PARSER.parse(text):
        builder.take(token)
    return builder.document()


def _parser() -> MarkdownIt:
    parser = MarkdownIt("zero", {"html": True}).enable(list(_BLOCKS))
    return parser.disable("inline")  # a line's own marks are none of our business


_PARSER = _parser()


def plain(written: str) -> str:
    """A cell or a value as it is meant: no emphasis around it, no escapes."""
    text = written.strip()
    while match := _WRAPPED.fullmatch(text):
        text = match["text"].strip()
    code = _CODE.fullmatch(text)
    return code["text"].strip() if code else unescapeAll(text)


def same(title: str) -> str:
    """A title in the one spelling in which titles are compared."""
    return " ".join(unicodedata.normalize("NFC", plain(title)).split())


@dataclass
class _Builder:
    """Takes tokens in their order."""

    title: str = ""
    fields: dict[str, tuple[int, str]] = field(default_factory=dict)
    _sections: list[_Open] = field(default_factory=list)
    _heading: str = ""
    _cells: list[str] | None = None
    _line: int = 0
    _lists: list[str] = field(default_factory=list)
    _item: tuple[str, int] | None = None

    def take(self, token: Token) -> None:
        """One token: an opening, a closing, or what stands between."""
        if token.map:
            self._line = token.map[0] + 1
        match token.type:
            case "heading_open" | "heading_close":
                within = token.tag if token.level == 0 else "h6"  # in a list it begins no section
                self._heading = within if token.nesting > 0 else ""
            case "tr_open":
                self._cells = []
            case "tr_close":
                self._row(self._cells or [])
                self._cells = None
            case "table_open" if self._sections:
                self._sections[-1].tables.append((self._line, []))
            case "inline":
                self._content(token.content)
            case "fence" | "code_block" if self._sections:
                self._sections[-1].lines += token.content.splitlines()
            case _:
                self._listed(token)

    def _listed(self, token: Token) -> None:
        """Where in lists it is; an item of a numbered list that is in no other may be one."""
        match token.type:
            case "ordered_list_open" | "bullet_list_open":
                self._lists.append(token.type)
            case "ordered_list_close" | "bullet_list_close":
                self._lists.pop()
            case "list_item_open":
                numbered = self._lists == ["ordered_list_open"]
                self._item = (token.info, self._line) if numbered else None

    def _content(self, content: str) -> None:
        if self._cells is not None:
            self._cells.append(content.strip())
        elif self._heading == "h1" and not self.title:
            self.title = same(content)
        elif self._heading == "h2":
            self._sections.append(_Open(same(content), self._line))
        elif not self._sections:
            self.fields |= dict(_fields(content, self._line, self.fields))
        elif item := self._numbered(content):
            self._sections[-1].items.append(item)
        else:
            self._sections[-1].lines += [line.strip() for line in content.splitlines()]

    def _numbered(self, content: str) -> Item | None:
        if self._item is not None:
            number, line = self._item
            self._item = None
            return Item(number, plain(content.partition("\n")[0]), line)
        heading = re.match(r"#?([0-9]{1,4})[.、):]?\s+(.*)", content) if self._heading else None
        return Item(heading[1], plain(heading[2]), self._line) if heading else None

    def _row(self, cells: Sequence[str]) -> None:
        if self._sections and self._sections[-1].tables:
            self._sections[-1].tables[-1][1].append(Row(self._line, tuple(cells)))

    def document(self) -> Document:
        """What was taken."""
        return Document(self.title, self.fields, tuple(s.closed() for s in self._sections))


@dataclass
class _Open:
    """A section in the making; the first row of each table is its header."""

    title: str
    line: int
    tables: list[tuple[int, list[Row]]] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def closed(self) -> Section:
        tables = tuple(
            Table(line, tuple(same(cell) for cell in rows[0].cells), tuple(rows[1:]))
            for line, rows in self.tables
            if rows
        )
        return Section(self.title, self.line, tables, tuple(self.items), tuple(self.lines))


def _fields(
    content: str, line: int, known: Mapping[str, object]
) -> Iterator[tuple[str, tuple[int, str]]]:
    """The fields of a paragraph; of two with one name the first counts."""
    found: set[str] = set(known)
    for offset, text in enumerate(content.split("\n")):
        match = _FIELD.fullmatch(text.strip().rstrip("\\").strip())
        if match and (name := plain(match["name"])) not in found:
            found.add(name)
            yield name, (line + offset, plain(match["value"]))
