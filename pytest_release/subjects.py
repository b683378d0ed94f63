"""Which deployments a run is about: the UUIDs, and the package of each that has one.

- ``--package`` names archives or folders of them; without ``--uuid`` the run is about theirs.
- ``--uuid`` names UUIDs, ``all`` stands for whatever is deployed; without either option the
  environment's ``uuids`` say it.
- A UUID without a package of its own gets the newest in ``services.files.packages``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from pytest_release.atomic import sha256_of
from pytest_release.config.environment import Environment
from pytest_release.config.system import System
from pytest_release.errors import TargetError, UsageError
from pytest_release.packages.naming import SUFFIXES, parse_name
from pytest_release.redaction import reveal
from pytest_release.targets.postgres import Database

ALL = "all"


@dataclass(frozen=True)
class Archive:
    """A package's file as the run found it: its path, and the SHA-256 of its bytes."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class Subjects:
    """What a run judges beside the release itself.

    Attributes:
        uuids: Sorted.
        packages: By UUID.
    """

    uuids: tuple[str, ...] = ()
    packages: Mapping[str, Archive] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As simple values, for another process."""
        packages = {uuid: [str(a.path), a.sha256] for uuid, a in self.packages.items()}
        return {"uuids": list(self.uuids), "packages": packages}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        packages = {uuid: Archive(Path(p), sha) for uuid, (p, sha) in value["packages"].items()}
        return cls(tuple(value["uuids"]), packages)


@dataclass(frozen=True)
class Wanted:
    """What the command asked for.

    Attributes:
        uuids: As given with ``--uuid``; ``all`` may be among them.
        packages: As given with ``--package``, by UUID.
    """

    uuids: tuple[str, ...] = ()
    packages: Mapping[str, Path] = field(default_factory=dict)


def wanted(
    environment: Environment, system: System, uuids: Sequence[str], packages: Sequence[Path]
) -> Wanted:
    """Read the two options.

    Raises:
        UsageError: Something is no UUID of the system or no package, or two packages are of one
            UUID.
    """
    for uuid in uuids:
        if uuid != ALL and not system.pattern.fullmatch(uuid):
            expected = f"all, or what matches {system.pattern.pattern}"
            raise UsageError(f"--uuid {uuid!r} is no UUID of {system.name}: expected {expected}")
    named: dict[str, Path] = {}
    for path in packages:
        for uuid, file in _archives(path, system):
            if uuid in named:
                raise UsageError(f"--package: {named[uuid]} and {file} are both of {uuid}")
            named[uuid] = file
    return Wanted(tuple(uuids) or (() if named else environment.uuids), named)


def _archives(path: Path, system: System) -> Iterator[tuple[str, Path]]:
    if path.is_dir():
        newest = _newest(path, system)
        if not newest:
            raise UsageError(f"--package {path}: the folder holds no package of {system.name}")
        yield from newest.items()
        return
    name = parse_name(path.name, system.pattern)
    if name is None:
        expected = "{uuid}_v{timestamp} and one of " + ", ".join(SUFFIXES)
        raise UsageError(f"--package {path} is not named like a package: expected {expected}")
    if not path.is_file():
        raise UsageError(f"--package {path}: there is no such file")
    yield name.uuid, path


def _newest(folder: Path, system: System) -> dict[str, Path]:
    """Of each UUID the archive with the latest timestamp."""
    found = [(n, file) for file in folder.iterdir() if (n := parse_name(file.name, system.pattern))]
    found.sort(key=lambda pair: (pair[0].timestamp, pair[1].name))
    return {name.uuid: file for name, file in found}


def find_subjects(environment: Environment, system: System, wanted: Wanted) -> Subjects:
    """Ask the deployment what ``all`` is, and find the packages.

    Raises:
        TargetError: The database cannot be asked, or a package cannot be read.
    """
    uuids = {*wanted.uuids, *wanted.packages} - {ALL}
    if ALL in wanted.uuids:
        uuids |= set(_deployed(environment, system))
    given = environment.services.get("files", {}).get("packages")
    folder = Path(reveal(given)) if given else None
    there = _newest(folder, system) if folder and folder.is_dir() else {}
    packages = {uuid: file for uuid, file in {**there, **wanted.packages}.items() if uuid in uuids}
    return Subjects(tuple(sorted(uuids)), {u: _digested(file) for u, file in packages.items()})


def _deployed(environment: Environment, system: System) -> Sequence[str]:
    options = environment.services.get("postgres")
    if not options:
        raise TargetError(
            f"--uuid all: {environment.source} names no database to ask: add services.postgres.dsn"
        )
    with Database.connect(options) as database:
        return database.uuids(system)


def _digested(file: Path) -> Archive:
    try:
        return Archive(file, sha256_of(file))
    except OSError as error:
        raise TargetError(f"the package {file} cannot be read: {error.strerror}") from None
