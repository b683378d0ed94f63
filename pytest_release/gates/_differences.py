"""Which rows of a table differ between its package and the database, and in what.

1. Both sides sort their rows into buckets by the digest of their key, and sum up each bucket.
2. Of the buckets that differ a few at a time are read in full, on both sides, and compared by key.
3. Texts that differ and are one value (``0.10`` and ``0.1``) are told apart from others by the
   database's own types, and do not count.

So the rows that differ are found without sending the others; it ends with the first few.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

from pytest_release.config.system import System
from pytest_release.errors import TargetError
from pytest_release.hostile import one_line
from pytest_release.packages.copy_text import read_fields, row_digest
from pytest_release.packages.rows import copy_rows
from pytest_release.redaction import MASK
from pytest_release.targets.fingerprints import BUCKET, Fingerprint, Fingerprints, Selection

SHOWN = 5  # rows that a finding names
FIRST, FURTHER = 8, 512  # buckets that are read at a time
MOST_ROWS = 50_000  # rows of one side that are held at a time
SHOWN_TEXT = 60  # characters of a value

Fields = dict[str, str | None]


@dataclass(frozen=True)
class Difference:
    """One row.

    Attributes:
        key: As people read it: ``face_id b1-f00001``.
        what: ``missing``, ``extra`` or ``changed``.
        columns: Of a changed row, with the package's and the deployed text, masked where secret.
    """

    key: str
    what: str
    columns: tuple[tuple[str, str, str], ...] = ()

    def __str__(self) -> str:
        if self.what != "changed":
            return f"{self.key}: {self.what}"
        shown = ", ".join(
            f"{name} {theirs} instead of {ours}" for name, ours, theirs in self.columns
        )
        return f"{self.key}: {shown}"


class PackageRows:
    """The rows of one table in a package, as they are compared.

    Args:
        path: Of the archive.
        sha256: Of its bytes when it was verified.
        system: Whose package it is.
        chosen: The table, its columns, and the keys that are left out.
    """

    def __init__(self, path: Path, sha256: str, system: System, chosen: Selection) -> None:
        self._path = path
        self._sha256 = sha256
        self._system = system
        self.chosen = chosen

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Each row's key and its line, of the compared columns only."""
        table, columns = self.chosen.table, self.chosen.columns
        without = {key.encode() for key in self.chosen.without}
        for _, copy, blocks in copy_rows(
            self._path, self._system, [table.name], sha256=self._sha256
        ):
            key = [copy.columns.index(name) for name in table.key]
            kept = [copy.columns.index(name) for name in columns]
            whole = kept == list(range(len(copy.columns)))
            for block in blocks:
                for line in block.splitlines():
                    fields = line.split(b"\t")
                    name = b"\t".join([fields[i] for i in key])
                    if name not in without:
                        shown = line if whole else b"\t".join([fields[i] for i in kept])
                        yield name, shown

    def fingerprint(self) -> Fingerprint:
        """All rows together."""
        rows = digest = 0
        for _, line in self.rows():
            rows += 1
            digest += row_digest(line)
        return Fingerprint(rows, digest)

    def buckets(self) -> dict[str, Fingerprint]:
        """Each bucket of keys that has rows."""
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for key, line in self.rows():
            entry = sums[bucket(key)]
            entry[0] += 1
            entry[1] += row_digest(line)
        return {name: Fingerprint(*entry) for name, entry in sums.items()}

    def lines(self, buckets: Iterable[str]) -> Iterator[bytes]:
        """The rows of some buckets."""
        wanted = set(buckets)
        return (line for key, line in self.rows() if bucket(key) in wanted)


def bucket(key: bytes) -> str:
    """The bucket of a key, given as COPY spells it."""
    return sha256(key).hexdigest()[:BUCKET]


def differences(ours: PackageRows, theirs: Fingerprints) -> list[Difference]:
    """The first few rows that differ; empty when all are the same but for their spelling.

    Args:
        ours: The package's.
        theirs: The database's.

    Raises:
        PackageError: The package cannot be read again.
        TargetError: The database refuses.
    """
    expected, deployed = ours.buckets(), theirs.buckets(ours.chosen)
    unequal = sorted(
        name for name in expected.keys() | deployed if expected.get(name) != deployed.get(name)
    )
    found: list[Difference] = []
    for names in _portions(unequal):
        found += _compared(ours, theirs, names)
        if len(found) >= SHOWN:
            break
    return found[:SHOWN]


def _portions(names: Sequence[str]) -> Iterator[Sequence[str]]:
    yield names[:FIRST]
    for start in range(FIRST, len(names), FURTHER):
        yield names[start : start + FURTHER]


def _compared(
    ours: PackageRows, theirs: Fingerprints, names: Sequence[str]
) -> Iterator[Difference]:
    if not names:
        return
    chosen = ours.chosen
    expected = _by_key(chosen, ours.lines(names))
    deployed = _by_key(chosen, theirs.lines(chosen, names))
    for key in sorted(expected.keys() - deployed.keys(), key=str):
        yield Difference(_shown_key(chosen, key), "missing")
    for key in sorted(deployed.keys() - expected.keys(), key=str):
        yield Difference(_shown_key(chosen, key), "extra")
    unequal = [key for key in expected if key in deployed and expected[key] != deployed[key]]
    for key in _really(unequal, expected, deployed, chosen, theirs):
        yield Difference(
            _shown_key(chosen, key),
            "changed",
            tuple(_columns(chosen, expected[key], deployed[key])),
        )


Key = tuple[str | None, ...]


def _by_key(chosen: Selection, lines: Iterator[bytes]) -> dict[Key, Fields]:
    """Rows by their key; a key that stands twice gets a number, so that both are there."""
    rows: dict[Key, Fields] = {}
    for line in islice(lines, MOST_ROWS):
        texts = [None if f is None else f.decode(errors="replace") for f in read_fields(line)]
        fields = dict(zip(chosen.columns, texts, strict=True))
        key: Key = tuple(fields[name] for name in chosen.table.key)
        while key in rows:
            key = (*key, "again")
        rows[key] = fields
    return rows


def _really(
    keys: Sequence[Key],
    expected: dict[Key, Fields],
    deployed: dict[Key, Fields],
    chosen: Selection,
    theirs: Fingerprints,
) -> list[Key]:
    """Those of the keys whose rows are not the same values in another spelling."""
    types = theirs.types(chosen.table)
    really: list[Key] = []
    for key in keys:
        pairs = [
            (types.get(name, "text"), expected[key][name], deployed[key][name])
            for name in chosen.columns
            if expected[key][name] != deployed[key][name]
        ]
        try:
            same = all(theirs.same(pairs))
        except TargetError:  # the package's text is no value of the column's type
            same = False
        if not same:
            really.append(key)
        if len(really) >= SHOWN:
            break
    return really


def _columns(
    chosen: Selection, expected: Fields, deployed: Fields
) -> Iterator[tuple[str, str, str]]:
    for name in chosen.columns:
        ours, theirs = expected[name], deployed[name]
        if ours != theirs:
            secret = name in chosen.table.masked
            shown = (MASK, MASK) if secret else _shown(ours, theirs)
            yield name, shown[0], shown[1]


def _shown(ours: str | None, theirs: str | None) -> tuple[str, str]:
    """Two texts, cut around the place where they begin to differ."""
    if ours is None or theirs is None:
        return _cut(ours), _cut(theirs)
    pairs = zip(ours, theirs, strict=False)
    start = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(theirs)))
    start = 0 if start < SHOWN_TEXT // 2 else start - SHOWN_TEXT // 4
    before = "…" if start else ""
    return before + _cut(ours[start:]), before + _cut(theirs[start:])


def _cut(text: str | None) -> str:
    if text is None:
        return "null"
    short = text if len(text) <= SHOWN_TEXT else f"{text[:SHOWN_TEXT]}…"
    return one_line(f"'{short}'")


def _shown_key(chosen: Selection, key: Key) -> str:
    pairs = zip(chosen.table.key, key, strict=False)
    shown = ((name, MASK if name in chosen.table.masked else one_line(str(v))) for name, v in pairs)
    return " ".join(f"{name} {value}" for name, value in shown)
