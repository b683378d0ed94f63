"""What stands where it does not belong: rows, keys, documents, points and files of the other side.

A file that both sides know was deployed to both, and may be anywhere; a file that only one side
knows must have left nothing on the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from pytest_release.config.cases import CheckCase
from pytest_release.evidence import Finding
from pytest_release.gates._isolation_pg import PostgresStore
from pytest_release.gates._isolation_sides import STORES, Pair, Side
from pytest_release.gates._isolation_stores import FILES, RedisStore, several, shown
from pytest_release.gates._scene import Scene
from pytest_release.hostile import one_line
from pytest_release.targets.folders import listing, place, walk

EXAMPLES = 10
FIELD = "file_uuid"
CODES = {
    "postgres": "isolation.foreign-rows",
    "redis": "isolation.foreign-keys",
    "mongodb": "isolation.foreign-documents",
    "qdrant": "isolation.foreign-points",
    "files": "isolation.foreign-files",
}


def strangers(case: CheckCase, pair: Pair, scene: Scene) -> Iterator[Finding]:  # noqa: ARG001
    """Of the files that only one side knows, the other holds nothing."""
    field = case.options.get("field", FIELD)
    known = {side.name: _known(case, side, field) for side, _ in pair.both}
    for side, other in pair.both:
        alone = sorted(known[other.name] - known[side.name])
        if not known[side.name]:
            message = f"{side.name} knows no file, so that nothing of the other could be told apart"
            yield Finding("isolation.knows-nothing", message, expected="at least 1 file")
        if not alone:
            continue
        for service in case.expect.get("services", tuple(STORES)):
            store = side.store(service)
            for found in store.foreign(alone, field):
                message = (
                    f"{found.where} holds {several(found.count, store.holds)} of files that only "
                    f"{other.name} knows, {one_line(found.example)} for one"
                )
                received = several(found.count, store.holds)
                yield Finding(CODES[service], message, expected="none", received=received)


def _known(case: CheckCase, side: Side, field: str) -> frozenset[str]:
    store = side.store("postgres")
    assert isinstance(store, PostgresStore)
    return store.files(case.options.get("registry", "videos"), field)


def keys(case: CheckCase, pair: Pair, scene: Scene) -> Iterator[Finding]:  # noqa: ARG001
    """Every key of Redis has the prefix of a side, or another one that is named."""
    ours, theirs = pair.ours.store("redis"), pair.theirs.store("redis")
    assert isinstance(ours, RedisStore)
    assert isinstance(theirs, RedisStore)
    others = [prefix.encode() for prefix in case.expect.get("other_prefixes", ())]
    shared = ours.server == theirs.server
    known = {True: (ours.prefix, theirs.prefix, *others)}
    for store, side in ((ours, pair.ours), (theirs, pair.theirs)):
        allowed = known[True] if shared else (store.prefix, *others)
        strange = dict.fromkeys(key for key in store.redis.scan() if not key.startswith(allowed))
        if strange:
            number = several(len(strange), "key")
            message = (
                f"redis {store.redis.place} of {side.name} has {number} with no known "
                f"prefix: {_some(map(shown, strange))}"
            )
            wanted = ", ".join(prefix.decode(errors="replace") for prefix in allowed)
            received = several(len(strange), "key")
            yield Finding(
                "isolation.key-without-prefix", message, expected=wanted, received=received
            )
        if shared:
            return


def folders(case: CheckCase, pair: Pair, scene: Scene) -> Iterator[Finding]:  # noqa: ARG001
    """Each side has its folders, no two are one, nothing stands beside them or leads across."""
    missing = list(_missing(pair))
    yield from missing
    if missing:
        return
    for ours in _of(pair.ours):
        for theirs in _of(pair.theirs):
            if place(ours) == place(theirs):
                message = f"{ours} of {pair.ours.name} is {theirs} of {pair.theirs.name}"
                yield Finding("isolation.same-place", message, expected="two folders")
    for side, other in pair.both:
        yield from _links(side, other)
    yield from _beside(case, pair)


def _of(side: Side) -> list[Path]:
    return [Path(given) for name in FILES if (given := side.declared(f"files.{name}"))]


def _missing(pair: Pair) -> Iterator[Finding]:
    for side, _ in pair.both:
        for name in FILES:
            given = side.declared(f"files.{name}")
            if not given:
                message = f"{side.name} names no services.files.{name}"
                yield Finding("isolation.undeclared", message, expected=f"services.files.{name}")
            elif not Path(given).is_dir():
                message = f"{given}, files.{name} of {side.name}, is no folder"
                yield Finding("isolation.no-folder", message, expected="a folder")


def _links(side: Side, other: Side) -> Iterator[Finding]:
    """Symbolic links by which one side's folder leads into the other's."""
    theirs = [folder.resolve() for folder in _of(other)]
    across = [
        f"{entry.path} leads to {entry.target}"
        for folder in _of(side)
        for entry in walk(folder)
        if entry.target and any(entry.target.is_relative_to(there) for there in theirs)
    ]
    if across:
        message = f"{several(len(across), 'link')} of {side.name} to {other.name}: {_some(across)}"
        received = several(len(across), "link")
        yield Finding("isolation.link-across", message, expected="none", received=received)


def _beside(case: CheckCase, pair: Pair) -> Iterator[Finding]:
    """Names in the folders that hold both sides' folders, which are of neither."""
    declared = [*_of(pair.ours), *_of(pair.theirs)]
    packages = [side.declared("files.packages") for side, _ in pair.both]
    known = [*declared, *(Path(given) for given in packages if given)]
    allowed = case.expect.get("beside", ())
    for parent in sorted({folder.parent for folder in declared}):
        strange = [
            str(entry.path)
            for entry in listing(parent)
            if not any(folder.is_relative_to(entry.path) for folder in known)
            and not any(fnmatch(entry.path.name, pattern) for pattern in allowed)
        ]
        if strange:
            message = (
                f"{several(len(strange), 'name')} in {parent} of neither side: {_some(strange)}"
            )
            received = several(len(strange), "name")
            wanted = ", ".join(allowed)
            yield Finding("isolation.file-outside", message, expected=wanted, received=received)


def _some(texts: Iterable[str]) -> str:
    every = list(texts)
    more = f"; and {len(every) - EXAMPLES} more" if len(every) > EXAMPLES else ""
    return "; ".join(map(one_line, every[:EXAMPLES])) + more
