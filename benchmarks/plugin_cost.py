"""What the plugin costs: 2,000 trivial tests under bare pytest, and with every part switched on.

Three commands in turn, over the same files: bare pytest without the plugin; pytest with the plugin
installed and no ``--env``; pytest with ``--env``, report bundle and signature included. The ratios
are those of whole processes, start-up included.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = 2_000
FILES = 20
ROUNDS = 9

ENVIRONMENT = """\
name: here
role: development
system: none
base_url: http://127.0.0.1:9
gates:
  quick: {required: true, min_cases: 2000}
"""

COMMANDS = {
    "bare pytest": ["-p", "no:release", "-p", "no:html", "-p", "no:metadata"],
    "plugin, no --env": ["-p", "no:html", "-p", "no:metadata"],
    "pytest-html alone": ["-p", "no:release", "--html=page.html", "--self-contained-html"],
    "plugin, --env": ["--env", "here"],
}


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder)
        seconds: dict[str, list[float]] = {label: [] for label in COMMANDS}
        for _ in range(ROUNDS + 1):
            for label, options in COMMANDS.items():
                seconds[label].append(_run(folder, options))
    _print({label: values[1:] for label, values in seconds.items()})  # the first round warms up


def _write(folder: Path) -> None:
    environments = folder / "fixtures" / "environments"
    environments.mkdir(parents=True)
    (environments / "here.yaml").write_text(ENVIRONMENT)
    ini = "[pytest]\nrelease_testpaths = tests\ntestpaths = tests\nmarkers = quick: trivial\n"
    (folder / "pytest.ini").write_text(ini)
    (folder / "tests").mkdir()
    for number in range(FILES):
        tests = "".join(f"def test_{i}(): pass\n" for i in range(TESTS // FILES))
        source = f"import pytest\npytestmark = pytest.mark.quick\n{tests}"
        (folder / "tests" / f"test_{number}.py").write_text(source)


def _run(folder: Path, options: list[str]) -> float:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _print(seconds: dict[str, list[float]]) -> None:
    base = seconds["bare pytest"]
    print(f"{TESTS} trivial tests, {ROUNDS} rounds in turn\n")
    print(f"{'':20} {'median s':>9} {'ratio to bare pytest: median [min, max]':>42}")
    for label, values in seconds.items():
        ratios = [value / bare for value, bare in zip(values, base, strict=True)]
        shown = f"{statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"
        print(f"{label:20} {statistics.median(values):9.2f} {shown:>42}")


if __name__ == "__main__":
    main()
