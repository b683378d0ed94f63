"""The proof: a canary written on the development side is there, and nowhere on the other.

The steps, in this order for each store:

1. what is declared, or turns out, to be the other side's place too is not written to;
2. its removal is arranged;
3. it is written: directly, or through the development application;
4. it is found on its own side, or the rest would prove nothing;
5. the other side is searched for it, in full.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

from pytest_release.config.cases import CheckCase, Request
from pytest_release.errors import TargetError
from pytest_release.evidence import Finding
from pytest_release.gates._isolation_places import places
from pytest_release.gates._isolation_sides import STORES, WRITABLE, Pair
from pytest_release.gates._isolation_stores import MARK, Canary, Store, several
from pytest_release.gates._scene import Scene

SEEN_WITHIN_S = 5.0  # that an application may take to write
PAUSE_S = 0.05
EXAMPLES = 10


def canary(case: CheckCase, pair: Pair, scene: Scene) -> Iterator[Finding]:
    """Written by the stores' own clients: the places are two, whatever they are called."""
    if refusal := _refused(pair):
        yield refusal
        return
    written = _new(case)
    for service in _services(case):
        if unsafe := list(_unsafe(pair, service)):
            yield from unsafe
            continue
        own = pair.ours.writable(service)
        what = f"the canary {written.text} in {service} of {pair.ours.name}"
        scene.afterwards(what, partial(_remove, own, written))
        own.put(written)
        if not _inside(own, written):
            yield _not_seen(pair, service, written, "it was written, and is not there")
        yield from _search(pair, service, written)


def application(case: CheckCase, pair: Pair, scene: Scene) -> Iterator[Finding]:
    """Written by the development application: it uses the places that are declared as its own."""
    if refusal := _refused(pair):
        yield refusal
        return
    unsafe = [finding for service in _services(case) for finding in _unsafe(pair, service)]
    if unsafe:
        yield from unsafe
        return
    written = _new(case)
    scene.afterwards(
        f"the canary {written.text}, written by {pair.ours.name}",
        partial(_taken_back, case, pair, scene, written),
    )
    exchange = scene.http.send(_request(case.options["write"]), _values(written))
    if not 200 <= exchange.status < 300:
        message = f"{exchange.sent.method} {exchange.sent.url} answers {exchange.status}"
        yield Finding("isolation.write-refused", message, expected="2xx")
        return
    for service in _services(case):
        if not _appears(case, pair.ours.store(service), written):
            words = f"the application of {pair.ours.name} did not write it there"
            yield _not_seen(pair, service, written, words)
        yield from _search(pair, service, written)


def _refused(pair: Pair) -> Finding | None:
    if pair.ours.role == WRITABLE:
        return None
    message = (
        f"{pair.ours.name} has the role {pair.ours.role}, and a canary is only written in a "
        f"{WRITABLE} environment: run this gate with --env of the {WRITABLE} side"
    )
    return Finding("isolation.refused", message, expected=WRITABLE, received=pair.ours.role)


def _services(case: CheckCase) -> Sequence[str]:
    services: Sequence[str] = case.expect.get("services", tuple(STORES))
    return services


def _new(case: CheckCase) -> Canary:
    return Canary(
        MARK + secrets.token_hex(8),
        str(uuid4()),
        case.options.get("rows", ()),
        case.options.get("collection", "cache"),
    )


def _unsafe(pair: Pair, service: str) -> Iterator[Finding]:
    """Why nothing is written to a service: what would be written to is the other's, too."""
    declared = [f.message for f in places(pair, service)]
    if not declared and pair.ours.store(service).same(pair.theirs.store(service)):
        declared = [
            f"{service} of {pair.ours.name} is that of {pair.theirs.name}, reached by another name"
        ]
    for reason in declared:
        yield Finding("isolation.not-written", f"no canary is written to {service}: {reason}")


def _inside(store: Store, written: Canary) -> bool:
    return any(hit.inside for hit in store.find(written.words))


def _appears(case: CheckCase, store: Store, written: Canary) -> bool:
    deadline = time.monotonic() + case.options.get("within_s", SEEN_WITHIN_S)
    while not _inside(store, written):
        if time.monotonic() > deadline:
            return False
        time.sleep(PAUSE_S)
    return True


def _not_seen(pair: Pair, service: str, written: Canary, why: str) -> Finding:
    message = f"{service} of {pair.ours.name} does not hold the canary {written.text}: {why}"
    return Finding("isolation.canary-not-seen", message, expected="the canary")


def _search(pair: Pair, service: str, written: Canary) -> Iterator[Finding]:
    """Canaries on the other side: this one, and any that a run before left there."""
    own, theirs = pair.ours.store(service), pair.theirs.store(service)
    hits = list(theirs.find((MARK, written.uuid), own))
    for inside, code, what in (
        (True, "isolation.canary-in-production", f"{pair.theirs.name} holds it"),
        (False, "isolation.canary-elsewhere", "it stands where neither side keeps anything"),
    ):
        found = list(dict.fromkeys(hit.where for hit in hits if hit.inside is inside))
        if found:
            shown = "; ".join(found[:EXAMPLES])
            number = several(len(found), "other place")
            message = (
                f"a canary written to {service} of {pair.ours.name} is found in "
                f"{number}, {what}: {shown}; nothing is removed there, do it by hand"
            )
            yield Finding(code, message, expected="nowhere", received=several(len(found), "place"))


def _remove(store: Store, written: Canary) -> None:
    store.remove(written)
    if left := [hit.where for hit in store.find(written.words) if hit.inside]:
        raise TargetError(f"it is still in {', '.join(left[:EXAMPLES])}")


def _taken_back(case: CheckCase, pair: Pair, scene: Scene, written: Canary) -> None:
    exchange = scene.http.send(_request(case.options["remove"]), _values(written))
    left = [
        hit.where
        for service in _services(case)
        for hit in pair.ours.store(service).find(written.words)
        if hit.inside
    ]
    if left:
        said = f"{exchange.sent.method} {exchange.sent.url} answers {exchange.status}"
        raise TargetError(f"{said}, and it is still in {', '.join(left[:EXAMPLES])}")


def _request(given: Mapping[str, Any]) -> Request:
    return Request(**given)


def _values(written: Canary) -> Mapping[str, str]:
    return {"canary": written.text, "uuid": written.uuid}
