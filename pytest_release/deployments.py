"""The deployments of a run: each UUID's package and rows, read or asked for once, then shared.

What several cases need of a deployment is found out by the first that asks, in one pass or one
question, and the others wait for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pytest_release.config.environment import Environment
from pytest_release.config.system import System
from pytest_release.errors import PackageError, TargetError
from pytest_release.packages.contents import Package
from pytest_release.subjects import Subjects
from pytest_release.targets.http import HttpTarget
from pytest_release.targets.postgres import Database

T = TypeVar("T")


class Deployments:
    """What the data gates look at.

    Args:
        environment: Its services say where the stores are.
        system: What its stores and packages hold.
        subjects: The UUIDs and packages of the run.
        http: The deployment's API.
    """

    def __init__(
        self,
        environment: Environment,
        system: System,
        subjects: Subjects,
        http: HttpTarget,
    ) -> None:
        self.environment = environment
        self.system = system
        self.uuids = subjects.uuids
        self.http = http
        self._packages = subjects.packages
        self._known: dict[tuple[Any, ...], Future[Any]] = {}
        self._lock = threading.Lock()

    def once(self, key: tuple[Any, ...], make: Callable[[], T]) -> T:
        """What `make` gives, made by whoever asks first; an exception is given to all who ask."""
        with self._lock:
            known: Future[T] | None = self._known.get(key)
            mine = known is None
            if known is None:
                known = self._known[key] = Future()
        if mine:
            try:
                known.set_result(make())
            except BaseException as error:  # noqa: BLE001 - whoever waits must hear of it
                known.set_exception(error)
        return known.result()

    def has_package(self, uuid: str) -> bool:
        """Whether an archive of that UUID was given."""
        return uuid in self._packages

    def package_path(self, uuid: str) -> Path:
        """The archive of a UUID.

        Raises:
            PackageError: None was given.
        """
        if uuid not in self._packages:
            raise PackageError(
                f"there is no package of {uuid} to compare with: give --package FILE, or name the "
                "folder of packages as services.files.packages in the environment"
            )
        return self._packages[uuid].path

    def package(self, uuid: str) -> Package:
        """What one pass over the archive of a UUID found out.

        Raises:
            PackageError: None was given, it cannot be opened, or it is not what the run began with.
        """
        return self.once(("package", uuid), lambda: self._read(uuid))

    def _read(self, uuid: str) -> Package:
        package = _read_package(self.package_path(uuid), self.system)
        if package.sha256 != (expected := self._packages[uuid].sha256):
            raise PackageError(
                f"{package.path} changed during the run: its SHA-256 was {expected} and is now "
                f"{package.sha256}"
            )
        return package

    @property
    def database(self) -> Database:
        """The PostgreSQL of the environment, read-only.

        Raises:
            TargetError: The environment names none, or it cannot be reached.
        """
        return self.once(("database",), self._connect)

    def _connect(self) -> Database:
        options = self.environment.services.get("postgres")
        if not options:
            raise TargetError(
                f"{self.environment.source} names no database: add services.postgres.dsn"
            )
        return Database.connect(options)

    def close(self) -> None:
        """Leave the database."""
        known = self._known.get(("database",))
        if known is not None and known.done() and known.exception() is None:
            known.result().close()


def _read_package(path: Path, system: System) -> Package:
    try:
        from pytest_release.packages.reading import read_package  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise PackageError(
            f"packages need {error.name}, which is not installed: "
            "pip install 'pytest-release[packages]'"
        ) from None
    return read_package(path, system)


@dataclass(frozen=True)
class Deployment:
    """One UUID as it stands in the environment's stores; the ``deployment`` fixture."""

    uuid: str
    deployments: Deployments

    @property
    def package(self) -> Package:
        """What its package holds."""
        return self.deployments.package(self.uuid)

    @property
    def rows(self) -> Mapping[str, int | None]:
        """Rows in the database by logical table; None for a table that is missing."""
        system, database = self.deployments.system, self.deployments.database
        return database.counts(system, [self.uuid])[self.uuid]
