"""Rows that differ, as sentences: cut, on one line, without what a system's file calls secret."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from pytest_release.gates._differences import SHOWN, Differences
from pytest_release.hostile import one_line
from pytest_release.redaction import MASK
from pytest_release.targets.fingerprints import Selection
from pytest_release.targets.pg_rows import Texts
from pytest_release.targets.postgres import Column

TEXT = 60  # characters of a value
KEY = 100  # characters of a key's value


def described(found: Differences, chosen: Selection) -> str:
    """How many rows differ, and the first of them."""
    count = len(found)
    least = "" if found.all else "at least "
    verb = "row differs" if count == 1 and found.all else "rows differ"
    first = "; ".join(islice(_rows(found, chosen), SHOWN))
    more = f"; and {count - SHOWN} more" if count > SHOWN else ""
    return f"{least}{count} {verb}: {first}{more}"


def _rows(found: Differences, chosen: Selection) -> Iterator[str]:
    for ours, theirs, columns in found.changed:
        yield f"{_key(chosen, ours)}: {_values(chosen, ours, theirs, columns)}"
    for ours, reason in found.refused:
        told = "" if chosen.table.masked else f": {one_line(reason)}"
        yield f"{_key(chosen, ours)}: a text of it is no value of its column's type{told}"
    for ours in found.missing:
        yield f"{_key(chosen, ours)}: missing"
    for theirs in found.extra:
        yield f"{_key(chosen, theirs, chosen.key)}: extra"


def _key(chosen: Selection, texts: Texts, columns: Sequence[Column] | None = None) -> str:
    places = {column.name: at for at, column in enumerate(columns or chosen.asked)}
    shown = ((name, texts[places[name]]) for name in chosen.table.key)
    return ", ".join(
        f"{name} {MASK if name in chosen.table.masked else _plain(text)}" for name, text in shown
    )


def _plain(text: str | None) -> str:
    if text is None:
        return "null"
    return one_line(text if len(text) <= KEY else f"{text[:KEY]}…")


def _values(chosen: Selection, ours: Texts, theirs: Texts, columns: Sequence[int]) -> str:
    shown = []
    for at in columns:
        name = chosen.columns[at].name
        if name in chosen.table.masked:
            one = other = MASK
        elif theirs:
            one, other = _pair(ours[at], theirs[at])
        else:  # it went in the meantime
            one, other = _pair(ours[at], None)
        shown.append(f"{name} {other} instead of {one}")
    return ", ".join(shown)


def _pair(ours: str | None, theirs: str | None) -> tuple[str, str]:
    """Two texts, cut around the place where they begin to differ."""
    if ours is None or theirs is None:
        return _cut(ours), _cut(theirs)
    pairs = zip(ours, theirs, strict=False)
    start = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(theirs)))
    start = 0 if start < TEXT // 2 else start - TEXT // 4
    return _cut(ours, start), _cut(theirs, start)


def _cut(text: str | None, start: int = 0) -> str:
    if text is None:
        return "null"
    before = "…" if start else ""
    after = "…" if len(text) > start + TEXT else ""
    return one_line(f"{before}'{text[start : start + TEXT]}{after}'")
