"""What two environments declare, compared: no place, address, key or folder is named by both.

Nothing is asked here; two names of one server are found by `Store.same`, when it is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from urllib.parse import urlsplit

from pytest_release.config.cases import CheckCase
from pytest_release.evidence import Finding
from pytest_release.gates._isolation_sides import Pair, Side
from pytest_release.gates._scene import Scene
from pytest_release.targets import postgres

# Where a store is, and which part of it is the environment's own.
PLACES = {
    "postgres": ("dsn", "schema"),
    "redis": ("url", "prefix"),
    "mongodb": ("url", "database"),
    "qdrant": ("url", "collection"),
}
FOLDERS = ("output", "backup")
LOCAL = {"localhost": "127.0.0.1", "::1": "127.0.0.1", "0.0.0.0": "127.0.0.1"}  # noqa: S104 - compared
PORTS = {
    "http": 80,
    "https": 443,
    "redis": 6379,
    "rediss": 6379,
    "mongodb": 27017,
}


def configuration(case: CheckCase, pair: Pair, scene: Scene) -> Iterator[Finding]:  # noqa: ARG001
    """Everything that both environments' files say, against one another."""
    for service in case.expect.get("services", (*PLACES, "files")):
        yield from places(pair, service)
    yield from _addresses(pair)
    yield from _keys(pair)
    for side in (pair.ours, pair.theirs):
        yield from _roles(case, side)


def places(pair: Pair, service: str) -> Iterator[Finding]:
    """One service: declared by both, and not as the same place."""
    names = [f"{service}.{key}" for key in PLACES.get(service, FOLDERS)]
    undeclared = [
        Finding(
            "isolation.undeclared",
            f"{side.name} names no services.{name}, so nothing shows that it is its own",
            expected=f"services.{name}",
        )
        for side in (pair.ours, pair.theirs)
        for name in names
        if not side.declared(name)
    ]
    yield from undeclared
    if undeclared:
        return
    yield from _folders(pair) if service == "files" else _store(pair, service)


def _store(pair: Pair, service: str) -> Iterator[Finding]:
    address, own = (f"{service}.{key}" for key in PLACES[service])
    ours, theirs = pair.ours.declared(own), pair.theirs.declared(own)
    asked = postgres.server_of if service == "postgres" else server_of
    servers = [_local(asked(side.declared(address))) for side in (pair.ours, pair.theirs)]
    if servers[0] != servers[1]:
        return
    where = f"of {service} {servers[0]}"
    if ours == theirs:
        message = f"{_both(pair)} have the same {own} {ours!r} {where}"
        yield Finding("isolation.same-place", message, expected=f"another {own}", received=ours)
    elif own == "redis.prefix" and (ours.startswith(theirs) or theirs.startswith(ours)):
        short, long = sorted((ours, theirs), key=len)
        message = (
            f"the prefix {short!r} {where} also matches the keys of {long!r}: whoever scans for "
            f"{short + '*'!r} finds both; end it with a separator"
        )
        yield Finding("isolation.overlap", message, expected="no common prefix", received=short)


def _folders(pair: Pair) -> Iterator[Finding]:
    for name in FOLDERS:
        ours = _path(pair.ours, name)
        for other in FOLDERS:
            theirs = _path(pair.theirs, other)
            if ours == theirs:
                message = f"{_both(pair)} share the folder {ours} (files.{name}, files.{other})"
                yield Finding("isolation.same-place", message, received=str(ours))
            elif ours.is_relative_to(theirs) or theirs.is_relative_to(ours):
                inner, outer = sorted((ours, theirs), key=lambda path: -len(path.parts))
                message = f"the folder {inner} of one stands within {outer} of the other"
                yield Finding("isolation.overlap", message, received=str(inner))


def _path(side: Side, name: str) -> PurePath:
    return PurePath(side.declared(f"files.{name}"))


def _addresses(pair: Pair) -> Iterator[Finding]:
    ours, theirs = (server_of(side.environment.base_url or "") for side in (pair.ours, pair.theirs))
    if ours and ours == theirs:
        message = f"{_both(pair)} have the same address {ours}"
        yield Finding("isolation.same-place", message, expected="another port", received=ours)


def _keys(pair: Pair) -> Iterator[Finding]:
    if pair.ours.api_key and pair.ours.api_key == pair.theirs.api_key:
        message = f"{_both(pair)} have the same API key: whoever knows one has both"
        yield Finding("isolation.same-key", message, expected="another key")


def _roles(case: CheckCase, side: Side) -> Iterator[Finding]:
    for name, wanted in case.expect.get("roles", {}).get(side.role, {}).items():
        declared = side.declared(f"application.{name}")
        expected = str(wanted).lower() if isinstance(wanted, bool) else str(wanted)
        if not declared:
            message = f"{side.name} names no services.application.{name}, expected {expected!r}"
            yield Finding("isolation.undeclared", message, expected=expected)
        elif declared != expected:
            message = (
                f"{side.name} ({side.role}) has application.{name} {declared!r}, "
                f"expected {expected!r}"
            )
            yield Finding("isolation.role", message, expected=expected, received=declared)


def server_of(address: str) -> str:
    """Host, port and database of an address, spelled in one way, without user and password."""
    parts = urlsplit(address)
    if parts.scheme == "unix":
        return f"{parts.path}?{parts.query}"
    try:
        port = parts.port or PORTS.get(parts.scheme.partition("+")[0], 0)
    except ValueError:
        port = 0
    host = parts.hostname or ""
    path = parts.path.strip("/") if parts.scheme not in ("http", "https", "mongodb") else ""
    if parts.scheme.startswith("redis"):
        path = path or "0"
    return _local(f"{host}:{port}" + (f"/{path}" if path else ""))


def _local(server: str) -> str:
    """The same with one name for this machine."""
    host, colon, rest = server.rpartition(":")
    return f"{LOCAL.get(host, host)}{colon}{rest}"


def _both(pair: Pair) -> str:
    return f"{pair.ours.name} and {pair.theirs.name}"
