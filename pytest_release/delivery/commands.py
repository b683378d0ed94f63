"""What ``pytest-release package`` does: verify, build, install."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pytest_release.config.casebook import load_casebook
from pytest_release.config.environments import load_environment
from pytest_release.config.system import System
from pytest_release.config.systems import load_system
from pytest_release.delivery.build import build_package
from pytest_release.delivery.install import Place, install_package
from pytest_release.errors import ConfigError, PackageError, Problem, UsageError
from pytest_release.hostile import one_line
from pytest_release.packages.contents import Package
from pytest_release.packages.reading import Progress, read_package

EPOCH = "SOURCE_DATE_EPOCH"
BAR = 30  # characters


def verify(
    files: Sequence[Path], fixtures: Path, system: str | None, variables: Mapping[str, str]
) -> int:
    """Read packages, and print what is in them and what is wrong.

    Returns:
        0 when all are good, 1 otherwise.

    Raises:
        PackageError: A file cannot be read.
        UsageError: It is not clear whose packages they are.
    """
    described = _system(fixtures, system, variables)
    good = True
    for file in files:
        package = read_package(file, described, progress=_bar(file))
        for line in describe(package):
            print(line)
        good = good and package.complete and not package.flaws
    return 0 if good else 1


def describe(package: Package) -> Iterable[str]:
    """What is in a package, then what is wrong with it, a line each."""
    speed = package.size / max(package.seconds, 1e-9) / 1e6
    yield f"{package.path}: {package.size:,} bytes, {package.seconds:.2f} s ({speed:.0f} MB/s)"
    yield f"  sha256   {package.sha256}"
    yield f"  version  {one_line(f'{package.version} ({package.build})')}"
    yield f"  members  {len(package.members)}"
    for name, table in package.tables.items():
        sizes = "".join(
            f"  {column}: {'/'.join(map(str, seen))} dimensions"
            for column, seen in table.dimensions.items()
        )
        yield f"  {table.rows:>9,}  {name}{sizes}"
    for name, count in package.items.items():
        yield f"  {count:>9,}  items of {name}"
    for name, vectors in package.vector_tables.items():
        yield f"  {vectors.rows:>9,}  {name}: {vectors.dimensions} dimensions"
    for flaw in package.flaws:
        yield f"  {flaw.aspect}.{flaw.code}: {one_line(flaw.message)}"
    yield "  good" if package.complete and not package.flaws else "  NOT GOOD"


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

    install_package(file, place, say, _bar(file))
    return 0


def _place(fixtures: Path, name: str, variables: Mapping[str, str]) -> Place:
    environment = load_environment(fixtures, name, variables)
    casebook = load_casebook(fixtures, environment.system, variables)
    if casebook.system is None:
        file = fixtures / "systems" / f"{environment.system}.yaml"
        raise ConfigError(Problem(file, None, "", "there is no such file, and packages need it"))
    looks = [case for case in casebook.looks if case.gate in environment.gates]
    return Place(environment, casebook.system, looks)


def _system(fixtures: Path, name: str | None, variables: Mapping[str, str]) -> System:
    """The named one, or the only layout of packages that there is."""
    folder = fixtures / "systems"
    names = sorted(file.stem for file in folder.glob("*.yaml"))
    if name is not None and name not in names:
        raise UsageError(f"--system {name!r}: systems in {folder}: {', '.join(names) or 'none'}")
    loaded = [load_system(fixtures, one, variables) for one in ([name] if name else names)]
    packed = [system for system in loaded if system and system.package]
    if not packed:
        raise UsageError(f"no system in {folder} describes a package: add the key package to one")
    first = packed[0]
    for other in packed[1:]:
        if (other.package, other.tables) != (first.package, first.tables):
            listed = ", ".join(system.name for system in packed)
            raise UsageError(f"whose package is it? Say --system, one of: {listed}")
    return first


def _epoch(variables: Mapping[str, str]) -> int:
    given = variables.get(EPOCH)
    if given is None:
        return int(time.time())
    if not given.isascii() or not given.isdigit():
        raise PackageError(f"{EPOCH} is {given!r}, expected whole seconds since 1970")
    return int(given)


def _bar(file: Path) -> Progress | None:
    """A line that fills up, where there is a terminal to show it."""
    if not sys.stderr.isatty():
        return None
    shown = -1

    def progress(done: int, total: int) -> None:
        nonlocal shown
        share = BAR * done // max(total, 1)
        if share != shown:
            shown = share
            bar = "#" * share + "." * (BAR - share)
            end = "\r\x1b[K" if done >= total else ""
            print(f"\r{file.name} [{bar}]{end}", end="", file=sys.stderr, flush=True)

    return progress
