"""The two sides of a comparison, and their stores, opened when they are first asked for.

Every store is opened for reading; only `Side.writable` opens one for writing, and only of a
development environment.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from pytest_release.config.environment import Auth, Environment
from pytest_release.config.environments import load_environment
from pytest_release.errors import TargetError
from pytest_release.gates._isolation_pg import PostgresStore
from pytest_release.gates._isolation_stores import (
    FolderStore,
    MongoStore,
    QdrantStore,
    RedisStore,
    Store,
)
from pytest_release.redaction import Secret, reveal

STORES: Mapping[str, Callable[..., Store]] = {
    "postgres": PostgresStore.open,
    "redis": RedisStore.open,
    "mongodb": MongoStore.open,
    "qdrant": QdrantStore.open,
    "files": FolderStore.open,
}
WRITABLE = "development"


class Side:
    """One environment of a comparison.

    Args:
        environment: Its services say where its stores are.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.name = environment.name
        self.role = environment.role
        self._open: dict[tuple[str, bool], Store] = {}

    def describe(self) -> str:
        """For the report: name, role, and the digest of its file."""
        return f"{self.name} ({self.role}), policy {self.environment.digest[:12] or 'of the run'}"

    def declared(self, place: str) -> str:
        """What the environment says of ``service.key``; empty when it does not."""
        service, _, key = place.partition(".")
        value = self.environment.services.get(service, {}).get(key, "")
        if isinstance(value, bool):
            return str(value).lower()
        return reveal(value) if isinstance(value, str | Secret) else str(value)

    @property
    def api_key(self) -> str:
        """The key of the application's interface; empty when none is named."""
        auth = self.environment.auth
        return self.declared("application.api_key") or (reveal(auth.token or "") if auth else "")

    def has(self, service: str) -> bool:
        """Whether the environment names such a service."""
        return bool(self.environment.services.get(service))

    def store(self, service: str) -> Store:
        """One of its stores, for reading.

        Raises:
            TargetError: The environment names none, or it cannot be reached.
        """
        return self._opened(service, read_only=True)

    def writable(self, service: str) -> Store:
        """One of its stores, for writing.

        Raises:
            TargetError: The environment is not a development one, or the store is out of reach.
        """
        if self.role != WRITABLE:
            raise TargetError(f"{self.name} has the role {self.role}: nothing is written there")
        return self._opened(service, read_only=False)

    def _opened(self, service: str, *, read_only: bool) -> Store:
        known = self._open.get((service, read_only))
        if known is not None:
            return known
        options = self.environment.services.get(service)
        if not options:
            raise TargetError(f"{self.environment.source} names no services.{service}")
        opened = STORES[service](options, read_only=read_only)
        self._open[service, read_only] = opened
        return opened

    def close(self) -> None:
        """Leave every store."""
        while self._open:
            self._open.popitem()[1].close()


@dataclass(frozen=True)
class Pair:
    """What is compared: the environment of the run, and one that it is isolated from."""

    ours: Side
    theirs: Side

    @property
    def both(self) -> tuple[tuple[Side, Side], ...]:
        """Each side with the other."""
        return (self.ours, self.theirs), (self.theirs, self.ours)

    def close(self) -> None:
        """Leave every store of both."""
        with ExitStack() as leaving:
            leaving.callback(self.ours.close)
            leaving.callback(self.theirs.close)


def pairs(environment: Environment) -> list[Pair]:
    """The environment with each that it is isolated from.

    Raises:
        TargetError: It names none.
        ConfigError: The file of another one is wrong.
    """
    if not environment.isolated_from:
        raise TargetError(
            f"{environment.source} names no environment to compare with: add isolated_from"
        )
    known = environment.services.get("neighbours", {})
    ours = _neighbour(environment, environment.name, known)
    return [
        Pair(Side(ours), Side(_other(environment, name, known)))
        for name in environment.isolated_from
    ]


def _other(environment: Environment, name: str, known: Mapping[str, Any]) -> Environment:
    if name in known:
        return _neighbour(environment, name, known)
    return load_environment(environment.source.parent.parent, name, os.environ)


def _neighbour(environment: Environment, name: str, known: Mapping[str, Any]) -> Environment:
    """An environment that whoever started this one told of, instead of a file."""
    told = known.get(name)
    if told is None:
        return environment
    auth = environment.auth if name == environment.name else None
    if token := told.get("token"):
        auth = Auth("bearer", token=Secret(reveal(token)))
    return replace(
        environment,
        name=name,
        role=told["role"],
        base_url=told.get("base_url", environment.base_url),
        services=told["services"],
        auth=auth,
        digest="" if name != environment.name else environment.digest,
    )
