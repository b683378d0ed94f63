"""Which rows of a table differ between its package and the database, and in what.

1. Of a large table, both sides sort their rows into buckets by the digest of their key and sum up
   each; only buckets that differ are looked into, as many at a time as hold `HELD` rows.
2. The database gives the digests of its rows, by the digests of their keys. Whatever row of the
   package has the same is the same.
3. The package's other rows are looked up in the database, as values of its types: a row is there
   with other values, or is missing. Another spelling of a value (``0.10``, another offset of a
   time) is no difference.
4. What the database has, and was not met in the package, is extra.

So the rows that differ are found without sending the others, and it ends with the first `ENOUGH`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice

from pytest_release.gates._row_source import PackageRows, Row
from pytest_release.packages.copy_text import row_digest
from pytest_release.targets.fingerprints import BUCKETS, Fingerprint, buckets
from pytest_release.targets.pg_rows import Match, Texts, digests, keys, match, texts
from pytest_release.targets.postgres import Database

ENOUGH = 100  # rows that differ, after which nothing more is looked for
SHOWN = 10  # of them that are shown
HELD = 200_000  # rows whose digests are held at a time
TOGETHER = 500  # rows that are looked up at a time
TOGETHER_BYTES = 1024 * 1024
NOTHING = Fingerprint(0, 0)

Digests = tuple[int, int]  # of a row's key and of the row


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


def differences(ours: PackageRows, rows: int, database: Database, uuid: str) -> Differences:
    """Find the rows that differ; none when they only differ in spelling.

    Args:
        ours: The package's.
        rows: How many there are, on the side that has more.
        database: Where the others are.
        uuid: Of the file.

    Raises:
        PackageError: The package cannot be read again.
        TargetError: The database refuses.
    """
    search = _Search(ours, database, uuid)
    portions: Iterable[frozenset[int] | None]
    portions = [None] if rows <= HELD else _portions(ours, database, uuid)
    for names in portions:
        search.look_into(names)
        if len(search.found) >= ENOUGH:
            search.found.all = False
            return search.found
    search.name_extra()
    return search.found


def _portions(ours: PackageRows, database: Database, uuid: str) -> Iterator[frozenset[int]]:
    """Buckets that differ, as many as are looked into together."""
    deployed, expected = buckets(database, ours.chosen, uuid), ours.buckets()
    portion: set[int] = set()
    size = 0
    for name in sorted(expected.keys() | deployed.keys()):
        one, other = expected.get(name, NOTHING), deployed.get(name, NOTHING)
        if one == other:
            continue
        if portion and size + max(one.rows, other.rows) > HELD:
            yield frozenset(portion)
            portion, size = set(), 0
        portion.add(name)
        size += max(one.rows, other.rows)
    if portion:
        yield frozenset(portion)


class _Search:
    """What was found so far.

    Attributes:
        found: The rows that differ.
    """

    def __init__(self, ours: PackageRows, database: Database, uuid: str) -> None:
        self.found = Differences()
        self._ours, self._database, self._uuid = ours, database, uuid
        self._chosen = ours.chosen
        self._names: frozenset[int] | None = None
        self._deployed: Counter[Digests] = Counter()  # rows that were not met yet
        self._elsewhere: Counter[Digests] = Counter()  # rows that were met before they were seen
        self._refused: Counter[int] = Counter()  # keys of rows that were refused

    def look_into(self, names: frozenset[int] | None) -> None:
        """Look into some buckets, or into all; until enough is found."""
        self._names = names
        self._deployed = +self._deployed  # what was met is forgotten
        self._deployed.update(digests(self._database, self._chosen, self._uuid, names))
        self._elsewhere = Counter({d: n for d, n in self._elsewhere.items() if not self._met(d)})
        for rows in self._batches(names):
            self._look_up(rows)
            if len(self.found) >= ENOUGH:
                return

    def _batches(self, names: frozenset[int] | None) -> Iterator[list[Row]]:
        """The package's rows that the database does not have just so."""
        batch: list[Row] = []
        size = 0
        for row in self._ours:
            if names is not None and row.bucket not in names:
                continue
            if self._met((row.key, row_digest(row.line))):
                continue
            batch.append(row)
            size += len(row.line)
            if len(batch) >= TOGETHER or size >= TOGETHER_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _met(self, row: Digests) -> bool:
        """Whether the database has such a row that no other row of the package is."""
        if self._deployed[row] < 1:
            return False
        self._deployed[row] -= 1
        return True

    def _look_up(self, rows: Sequence[Row]) -> None:
        asked = [self._ours.texts(row) for row in rows]
        changed: list[Match] = []
        matches = match(self._database, self._chosen, self._uuid, asked)
        for place, found in groupby(matches, key=lambda found: found.place):
            best = min(found, key=self._unlike)
            if best.refused:
                self._refused[rows[place].key] += 1
                self.found.refused.append((asked[place], best.refused))
            elif not self._there(best):
                self.found.missing.append(asked[place])
            elif best.columns:
                changed.append(best)
            else:
                self.found.respelled += 1
        self._keep(changed, asked)

    def _unlike(self, found: Match) -> tuple[bool, int]:
        """How little a row of that key, of which there may be several, is the one looked for."""
        taken = self._deployed[found.key or 0, found.row or 0] < 1
        return taken, len(found.columns)

    def _there(self, found: Match) -> bool:
        """Whether the row that was found is there for this one alone."""
        if found.key is None or found.row is None:
            return False
        if self._met((found.key, found.row)):
            return True
        if self._names is None or found.key & (BUCKETS - 1) in self._names:
            return False
        self._elsewhere[found.key, found.row] += 1  # another spelling of a key, another bucket
        return True

    def _keep(self, changed: Sequence[Match], asked: Sequence[Texts]) -> None:
        shown = changed[: max(0, SHOWN - len(self.found.changed))]
        rows = [asked[found.place] for found in shown]
        theirs = texts(self._database, self._chosen, self._uuid, rows) if rows else {}
        for at, found in enumerate(changed):
            row = asked[found.place]
            self.found.changed.append((row, theirs.get(at, ()), found.columns))

    def name_extra(self) -> None:
        """Find out the keys of rows that were not met, when all buckets were looked into."""
        extra = Counter(sorted(key for key, _ in (+self._deployed).elements()))
        extra -= self._refused
        if extra.total() > ENOUGH:
            self.found.all = False
            extra = Counter(dict(islice(extra.items(), ENOUGH)))
        if not extra:
            return
        names = {key & (BUCKETS - 1) for key in extra}
        for key, values in keys(self._database, self._chosen, self._uuid, names):
            if extra[key] > 0:
                extra[key] -= 1
                self.found.extra.append(values)
        self.found.extra.sort(key=str)
