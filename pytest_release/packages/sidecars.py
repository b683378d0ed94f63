"""JSON files beside the dump: checked item by item against their schemas, never loaded whole."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from pytest_release.config.system import Sidecar
from pytest_release.packages.contents import Aspect, Flaw
from pytest_release.packages.flaws import ContentError, FlawList, shown
from pytest_release.packages.json_stream import JsonError, JsonStream, TooLargeError
from pytest_release.packages.schemas import checker, list_checker


def read_sidecar(
    sidecar: Sidecar,
    member: str,
    blocks: Iterator[bytes],
    flaws: FlawList,
    limit: int,
) -> tuple[int, dict[str, Any]]:
    """Check a sidecar.

    Args:
        sidecar: What is expected.
        member: Its name.
        blocks: Its content.
        flaws: Takes what its schemas find.
        limit: Characters of one item, and of what stands beside the list.

    Returns:
        The number of its items, and the document without them.

    Raises:
        ContentError: It is no such JSON document.
    """
    check = list_checker(sidecar.item_schema)
    path = sidecar.items.split(".") if sidecar.items else []
    stream = JsonStream(blocks, limit)
    count = 0
    try:
        for items in stream.items(path):
            for place, problem in check(items):
                message = f"{member}: {sidecar.items}[{count + place}]: {shown(problem)}"
                flaws.add(_flaw("schema", message, member, problem))
            count += len(items)
    except JsonError as error:
        code = "too-large" if isinstance(error, TooLargeError) else "not-json"
        raise ContentError(_flaw(code, f"{member} {shown(error)}", member)) from None
    if path and not stream.found:
        message = f"{member} has no list {sidecar.items!r}"
        flaws.add(_flaw("no-items", message, member))
    if (wrong := checker(sidecar.schema)(stream.head)) is not None:
        flaws.add(_flaw("schema", f"{member}: {shown(wrong)}", member, wrong))
    return count, stream.head


def check_owner(
    head: dict[str, Any], member: str, keys: Collection[str], uuid: str, aspect: Aspect
) -> Iterator[Flaw]:
    """The flaws of a document that says, under one of these keys, that it is of another UUID."""
    for key in keys:
        if key in head and head[key] != uuid:
            message = f"{member}: {key} is {shown(head[key])!r}, expected {uuid!r}"
            yield Flaw(aspect, "foreign-uuid", message, member, uuid, shown(head[key]))


def _flaw(code: str, message: str, member: str, received: str = "") -> Flaw:
    return Flaw(Aspect.SIDECARS, code, message, member, received=shown(received))
