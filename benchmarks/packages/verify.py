"""Verifying a package of the real size, beside ``sha256sum`` and beside the way of the shell.

In one run, alternating, the medians of some rounds, everything in the page cache:

- ``sha256sum`` of the archive alone, which says nothing about its content; limit 1.6 times that;
- the way of the shell: sha256sum, ``tar tzf``, ``tar xzf``, then ``grep -c`` and sha256sum of each
  file; limit a sixth of that;
- `read_package` in a process of its own, start-up included, and its peak memory; limit 128 MB.

    .venv/bin/python -m benchmarks.packages.verify [--rounds N] [PACKAGE]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.packages.generate import generate
from pytest_release.config.systems import load_system
from pytest_release.packages.reading import read_package

ROOT = Path(__file__).resolve().parents[2]
SHA256SUM, SHELL, READ = "sha256sum", "the way of the shell", "read_package"
SHELL_WAY = """
set -e
sha256sum "$1"
tar tzf "$1"
tar xzf "$1" -C "$2"
find "$2" -type f -exec grep -c '' {} +
find "$2" -type f -exec sha256sum {} +
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", nargs="?", type=Path, help="instead of a generated one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--once", action="store_true", help="read it, and print the peak memory")
    options = parser.parse_args()
    if options.once:
        _read_once(options.package)
        return
    with tempfile.TemporaryDirectory() as name:
        package = options.package or generate(Path(name))
        _compare(package, Path(name), options.rounds)


def _read_once(path: Path) -> None:
    system = load_system(ROOT / "fixtures", "momentry", {})
    assert system is not None
    began = time.perf_counter()
    package = read_package(path, system)
    seconds = time.perf_counter() - began
    assert package.complete, package.flaws
    assert not package.flaws, package.flaws
    content = sum(member.size for member in package.members.values())
    # Not getrusage, which counts the process that this one was forked from, too.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(seconds, content, int(status.partition("VmHWM:")[2].split()[0]) * 1024)


def _compare(package: Path, folder: Path, rounds: int) -> None:
    seconds: dict[str, list[float]] = {SHA256SUM: [], READ: [], SHELL: []}
    inside: list[float] = []
    memory: list[int] = []
    content = 0

    def read() -> None:
        nonlocal content
        command = [sys.executable, "-m", "benchmarks.packages.verify", "--once", str(package)]
        answer = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
        took, size, peak = answer.stdout.split()
        inside.append(float(took))
        memory.append(int(peak))
        content = int(size)

    ways: dict[str, Callable[[], object]] = {
        SHA256SUM: lambda: _run("sha256sum", str(package)),
        READ: read,
        SHELL: lambda: _shell(package, folder),
    }
    _run("sha256sum", str(package))
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"{platform.machine()}, {rounds} rounds, medians; ", end="")
    print(f"{package.stat().st_size / 1e6:.0f} MB, {content / 1e6:.0f} MB of content\n")
    for name, value in medians.items():
        print(f"{name:22} {value:6.2f} s  {value / medians[SHA256SUM]:5.2f} x sha256sum")
    print(f"\nread_package without start-up {statistics.median(inside):.2f} s")
    print(f"of sha256sum   {medians[READ] / medians[SHA256SUM]:5.2f} x  (limit 1.6)")
    print(f"of the shell   {medians[SHELL] / medians[READ]:5.2f} x faster  (limit 6)")
    print(f"peak memory    {max(memory) / 1e6:5.0f} MB  (limit 128)")


def _shell(package: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as target:
        _run("bash", "-c", SHELL_WAY, "shell-way", str(package), target)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
