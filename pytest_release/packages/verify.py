"""What ``pytest-release package verify`` does: read packages, and say what is in them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pytest_release.config.system import System
from pytest_release.config.systems import load_system
from pytest_release.errors import UsageError
from pytest_release.hostile import one_line
from pytest_release.packages.contents import Package
from pytest_release.packages.reading import Progress, read_package

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
        package = read_package(file, described, progress=progress_bar(file))
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


def progress_bar(file: Path) -> Progress | None:
    """A line that fills up, where there is a terminal to show it."""
    if not sys.stderr.isatty():
        return None
    name, shown = one_line(file.name), -1

    def progress(done: int, total: int) -> None:
        nonlocal shown
        share = BAR * done // max(total, 1)
        if share != shown:
            shown = share
            bar = "#" * share + "." * (BAR - share)
            end = "\r\x1b[K" if done >= total else ""
            print(f"\r{name} [{bar}]{end}", end="", file=sys.stderr, flush=True)

    return progress
