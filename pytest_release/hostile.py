r"""Texts that a remote server sent, made harmless and visible.

What could steer a terminal, reorder a line or break a document is written as its escape:
``\x1b``, ``\u202e``. Ordinary text, in any script, stays as it is.
"""

from __future__ import annotations

import html
import re
import unicodedata

STEERING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
MARKDOWN = re.compile(r"([\\`*_{}\[\]<>()#+!|~&-]|:(?=//)|(?<=\bwww)\.)", re.IGNORECASE)
KEPT = frozenset("\n\t\u200d\ufe0f")  # line feed, tab, and what joins emoji


def visible(text: str) -> str:
    """`text` with control, format, surrogate and unassigned characters as escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c in KEPT or unicodedata.category(c) not in STEERING else _escape(c) for c in text
    )


def one_line(text: str) -> str:
    """`visible`, with line feeds and tabs as escapes too."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def markup(text: str) -> str:
    """`visible`, as text within HTML or XML, attributes included."""
    return html.escape(visible(text), quote=True)


def markdown(text: str) -> str:
    """`one_line`, as text within Markdown, cells of tables included."""
    return MARKDOWN.sub(r"\\\1", one_line(text))
