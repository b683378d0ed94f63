"""What ``pytest-release package build`` and ``install`` do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from pytest_release.config.casebook import load_casebook
from pytest_release.config.environments import load_environment
from pytest_release.delivery.build import build_package
from pytest_release.delivery.install import Place, install_package
from pytest_release.errors import ConfigError, PackageError, Problem, UsageError
from pytest_release.hostile import one_line
from pytest_release.packages.verify import progress_bar

EPOCH = "SOURCE_DATE_EPOCH"


def build(uuid: str, output: Path, fixtures: Path, name: str, variables: Mapping[str, str]) -> int:
    """Make a package, and print its name.

    Raises:
        PackageError: Something that belongs to it is missing.
    """
    place = _place(fixtures, name, variables)
    if not place.system.pattern.fullmatch(uuid):
        raise UsageError(
            f"{uuid!r} is no UUID of {place.system.name}: expected {place.system.pattern.pattern}"
        )
    if not output.is_dir():
        raise UsageError(f"-o {output}: there is no such folder")
    with place.connect() as database:
        path = build_package(
            uuid, database, place.system, place.output / uuid, output, _epoch(variables)
        )
    print(path)
    return 0


def install(file: Path, fixtures: Path, name: str, variables: Mapping[str, str]) -> int:
    """Install a package, and print its steps.

    Raises:
        PackageError: It must not, or could not, be installed.
    """
    place = _place(fixtures, name, variables)
    redact = place.environment.redactor

    def say(line: str) -> None:
        print(redact(one_line(line)), flush=True)

    install_package(file, place, say, progress_bar(file))
    return 0


def _place(fixtures: Path, name: str, variables: Mapping[str, str]) -> Place:
    environment = load_environment(fixtures, name, variables)
    casebook = load_casebook(fixtures, environment.system, variables)
    if casebook.system is None:
        file = fixtures / "systems" / f"{environment.system}.yaml"
        raise ConfigError(Problem(file, None, "", "there is no such file, and packages need it"))
    looks = [case for case in casebook.looks if case.gate in environment.gates]
    return Place(environment, casebook.system, looks)


def _epoch(variables: Mapping[str, str]) -> int:
    given = variables.get(EPOCH)
    if given is None:
        return int(time.time())
    if not given.isascii() or not given.isdigit():
        raise PackageError(f"{EPOCH} is {given!r}, expected whole seconds since 1970")
    return int(given)
