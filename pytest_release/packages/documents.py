"""Small JSON members: the info, which names version and build, and the manifest."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pytest_release.packages.contents import Aspect, Flaw, Member, TableContents
from pytest_release.packages.flaws import ContentError, shown
from pytest_release.packages.json_stream import JsonError, JsonStream

LONGEST = 100  # characters of a version


def read_document(
    member: str, blocks: Iterator[bytes], limit: int, aspect: Aspect
) -> dict[str, Any]:
    """The object that a member holds.

    Raises:
        ContentError: It is no JSON object, or a large one.
    """
    stream = JsonStream(blocks, limit)
    try:
        for _ in stream.items(()):
            pass
    except JsonError as error:
        message = f"{member} {shown(error)}"
        raise ContentError(Flaw(aspect, "not-json", message, member)) from None
    return stream.head


def read_name(info: Mapping[str, Any], member: str, key: str) -> str | Flaw:
    """A version or a build: a short text without spaces around it."""
    value = info.get(key)
    if key not in info:
        return Flaw(Aspect.VERSION, "no-version", f"{member} has no {key!r}", member, expected=key)
    short = value if isinstance(value, str) and len(value) <= LONGEST else ""
    if short.strip() and short.isprintable() and short == short.strip():
        return short
    message = f"{member}: {key} is {shown(value)!r}, expected a short text"
    return Flaw(Aspect.VERSION, "bad-version", message, member, "a short text", shown(value))


def check_manifest(
    manifest: Mapping[str, Any],
    name: str,
    members: Mapping[str, Member],
    tables: Mapping[str, TableContents],
    unread: Collection[str] = (),
) -> Iterator[Flaw]:
    """Where the manifest and the package disagree.

    Args:
        manifest: ``members`` by name, ``tables`` by logical name.
        name: Of the manifest's own member, which it does not list.
        members: Of the package.
        tables: Of the package.
        unread: Tables that were not read to their end, about which nothing can be said.
    """
    listed, rows = manifest.get("members"), manifest.get("tables")
    if not isinstance(listed, Mapping) or not isinstance(rows, Mapping):
        message = f"{name} has no objects 'members' and 'tables'"
        yield Flaw(Aspect.MANIFEST, "bad-manifest", message, name)
        return
    found = {
        member.name: {"sha256": member.sha256, "size": member.size}
        for member in members.values()
        if member.name != name
    }
    yield from _differences(name, "member", listed, found)
    counted = {
        table: {"rows": contents.rows, "fingerprint": str(contents.fingerprint)}
        for table, contents in tables.items()
        if table not in unread
    }
    rows = {table: entry for table, entry in rows.items() if table not in unread}
    yield from _differences(name, "table", rows, counted)


def _differences(
    manifest: str, kind: str, listed: Mapping[str, Any], found: Mapping[str, Mapping[str, Any]]
) -> Iterator[Flaw]:
    for name in sorted(found.keys() - listed.keys()):
        message = f"{manifest} does not list the {kind} {shown(name)!r}, which the package has"
        yield Flaw(Aspect.MANIFEST, "not-listed", message, shown(name))
    for name in sorted(listed):
        if name not in found:
            message = (
                f"{manifest} lists the {kind} {shown(name)!r}, which the package does not have"
            )
            yield Flaw(Aspect.MANIFEST, "listed-but-missing", message, shown(name))
            continue
        entry = listed[name] if isinstance(listed[name], Mapping) else {}
        for key, value in found[name].items():
            if entry.get(key) != value or type(entry.get(key)) is not type(value):
                expected = shown(entry.get(key))
                message = (
                    f"{kind} {shown(name)!r}: {key} is {value}, but {manifest} says {expected}"
                )
                yield Flaw(
                    Aspect.MANIFEST, f"{key}-differs", message, shown(name), expected, str(value)
                )
