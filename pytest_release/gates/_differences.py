"""Which rows of a table differ between its package and the database, and in what.

1. Both sides sort their rows into buckets by the digest of their key, and sum up each bucket.
2. Of the buckets that differ, the package's rows are looked up in the database, as values of its
   types: a row is there, is there with other values, or is missing. Another spelling of a value
   (``0.10``, another offset of a time) is no difference.
3. What the database has more of such a bucket, by its keys, is extra.

So the rows that differ are found without sending the others. It ends with the first `ENOUGH`, and
never holds more than `HELD` keys, whatever the size of the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_release.gates._row_source import PackageRows, Row
from pytest_release.packages.copy_text import row_digest
from pytest_release.targets.fingerprints import Fingerprint, buckets
from pytest_release.targets.pg_rows import Match, Texts, keys, match, texts
from pytest_release.targets.postgres import Database

ENOUGH = 100  # rows that differ, after which nothing more is looked for
SHOWN = 10  # of them that are shown
HELD = 200_000  # keys of one side that are held at a time
TOGETHER = 500  # rows that are looked up at a time
TOGETHER_BYTES = 1024 * 1024


@dataclass
class Differences:
    """The rows that differ, as far as they were looked for.

    Attributes:
        changed: The package's rows that the database has with other values, and their columns.
        refused: The package's rows with a text that no column of the database takes, and why.
        missing: The package's rows that the database has not.
        extra: Keys of the database's rows that the package has not.
        respelled: Rows that are the same, and that the package spells in another way.
        all: There are no others.
    """

    changed: list[tuple[Texts, Texts, tuple[int, ...]]] = field(default_factory=list)
    refused: list[tuple[Texts, str]] = field(default_factory=list)
    missing: list[Texts] = field(default_factory=list)
    extra: list[Texts] = field(default_factory=list)
    respelled: int = 0
    all: bool = True

    def __len__(self) -> int:
        return len(self.changed) + len(self.refused) + len(self.missing) + len(self.extra)


def differences(ours: PackageRows, database: Database, uuid: str) -> Differences:
    """Find the rows that differ; none when they only differ in spelling.

    Args:
        ours: The package's.
        database: Where the others are.
        uuid: Of the file.

    Raises:
        PackageError: The package cannot be read again.
        TargetError: The database refuses.
    """
    deployed = buckets(database, ours.chosen, uuid)
    expected = ours.buckets()
    unequal = [
        name
        for name in sorted(expected.keys() | deployed.keys())
        if expected.get(name) != deployed.get(name)
    ]
    found = Differences()
    for names in _portions(unequal, expected, deployed):
        _Portion(ours, database, uuid, found).compare(names, deployed)
        if len(found) >= ENOUGH:
            found.all = False
            break
    return found


def _portions(
    names: Sequence[int],
    expected: Mapping[int, Fingerprint],
    deployed: Mapping[int, Fingerprint],
) -> Iterator[frozenset[int]]:
    """Buckets that are looked into together."""
    nothing = Fingerprint(0, 0)
    portion: set[int] = set()
    size = 0
    for name in names:
        rows = max(expected.get(name, nothing).rows, deployed.get(name, nothing).rows)
        if portion and size + rows > HELD:
            yield frozenset(portion)
            portion, size = set(), 0
        portion.add(name)
        size += rows
    if portion:
        yield frozenset(portion)


class _Portion:
    """Some buckets; what is found in them goes to `found`."""

    def __init__(
        self, ours: PackageRows, database: Database, uuid: str, found: Differences
    ) -> None:
        self._ours, self._database, self._uuid, self._found = ours, database, uuid, found
        self._chosen = ours.chosen
        self._keys: Counter[int] = Counter()
        self._again: dict[int, Texts] = {}  # rows whose key the package has once more

    def compare(self, names: frozenset[int], deployed: Mapping[int, Fingerprint]) -> None:
        """Look into these buckets, until enough is found."""
        for rows in self._batches(names):
            self._look_up(rows)
            if len(self._found) >= ENOUGH:
                return
        there = sum(deployed[name].rows for name in names if name in deployed)
        if there != self._keys.total() or len(self._keys) != there:
            self._find_extra(names)

    def _batches(self, names: frozenset[int]) -> Iterator[list[Row]]:
        batch: list[Row] = []
        size = 0
        for row in self._ours:
            if row.bucket in names:
                batch.append(row)
                size += len(row.line)
                if len(batch) >= TOGETHER or size >= TOGETHER_BYTES:
                    yield batch
                    batch, size = [], 0
        if batch:
            yield batch

    def _look_up(self, rows: Sequence[Row]) -> None:
        asked = [self._ours.texts(row) for row in rows]
        matches: dict[int, Match] = {}
        for found in match(self._database, self._chosen, self._uuid, asked):
            earlier = matches.get(found.place)
            if earlier is None or earlier.columns:  # of a key that is there twice, the equal one
                matches[found.place] = found
        changed = [found for found in matches.values() if found.columns]
        for found in matches.values():
            self._keep(found, rows[found.place], asked[found.place])
        if changed := changed[:ENOUGH]:
            self._keep_changed(changed, asked)

    def _keep(self, found: Match, row: Row, asked: Texts) -> None:
        """Keep a row that is not there; one that is, counts for the extra ones."""
        if not found.refused and not found.found:
            self._found.missing.append(asked)
            return
        key = row.key if found.key is None else found.key
        self._keys[key] += 1
        if self._keys[key] > 1 and len(self._again) < ENOUGH:
            self._again[key] = asked
        if found.refused:
            self._found.refused.append((asked, found.refused))
        elif not found.columns and found.row != row_digest(row.line):
            self._found.respelled += 1

    def _keep_changed(self, changed: Sequence[Match], asked: Sequence[Texts]) -> None:
        shown = changed[: max(0, SHOWN - len(self._found.changed))]
        theirs = texts(self._database, self._chosen, self._uuid, [asked[m.place] for m in shown])
        for at, found in enumerate(changed):
            deployed = theirs.get(at, ()) if at < len(shown) else ()
            self._found.changed.append((asked[found.place], deployed, found.columns))

    def _find_extra(self, names: frozenset[int]) -> None:
        for key, values in keys(self._database, self._chosen, self._uuid, names):
            if self._keys[key] > 0:
                self._keys[key] -= 1
            else:
                self._found.extra.append(values)
                if len(self._found) >= ENOUGH:
                    return
        self._found.missing += [asked for key, asked in self._again.items() if self._keys[key] > 0]
