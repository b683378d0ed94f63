"""The 19 cases of hifate against streams that take 2 s each: how much of the waiting overlaps.

In one run, against one sandbox: pytest with the environment's ``concurrency``, the same with
``concurrency: 1``, and a script with five threads that reads each stream once with httpx, the way
such checks are written by hand. One sample a stream everywhere, so that all read the same bytes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from pytest_release.config.casebook import load_casebook
from pytest_release.config.cases import Request
from pytest_release.sandbox.server import Sandbox

ROOT = Path(__file__).resolve().parents[1]
STREAM_SECONDS = 2.0
ROUNDS = 3

ENVIRONMENT = """\
name: bench
role: development
system: hifate
base_url: ${{BENCH_URL}}
gates:
  basic: {{required: true}}
  stream: {{required: true, concurrency: {concurrency}, thresholds: {{ttfb_ms: 100}}}}
"""


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name, Sandbox(stream_seconds=STREAM_SECONDS) as sandbox:
        folder = Path(name)
        _write(folder)
        runs: dict[str, Callable[[], float]] = {
            "pytest, concurrency 13": lambda: _pytest(folder, sandbox.base_url, "wide"),
            "script, 5 threads": lambda: _script(sandbox.base_url),
            "pytest, one at a time": lambda: _pytest(folder, sandbox.base_url, "serial"),
        }
        seconds = {label: min(run() for _ in range(ROUNDS)) for label, run in runs.items()}
        base = [_pytest(folder, sandbox.base_url, "wide", "-m", "basic") for _ in range(ROUNDS)]
        startup = min(base)
        slowest = _slowest(folder)
    goal = 1.3 * slowest + startup
    print(f"19 cases, streams of {STREAM_SECONDS:g} s; the fastest of {ROUNDS} runs each\n")
    for label, value in seconds.items():
        print(f"{label:24} {value:6.2f} s  {value / slowest:5.2f} x the slowest case")
    print(f"\nslowest case {slowest:.2f} s; start-up, basic gate and bundle {startup:.2f} s")
    print(f"goal: 1.3 x {slowest:.2f} + {startup:.2f} = {goal:.2f} s")


def _write(folder: Path) -> None:
    cases = folder / "fixtures" / "cases"
    cases.mkdir(parents=True)
    (cases / "hifate").mkdir()
    for name in ("basic.yaml", "stream.yaml", "pixel.png"):
        source = ROOT / "fixtures" / "cases" / "hifate" / name
        (cases / "hifate" / name).write_bytes(source.read_bytes())
    environments = folder / "fixtures" / "environments"
    environments.mkdir()
    for name, concurrency in (("wide", 13), ("serial", 1)):
        text = ENVIRONMENT.format(concurrency=concurrency).replace("bench", name, 1)
        (environments / f"{name}.yaml").write_text(text)


def _pytest(folder: Path, base_url: str, name: str, *options: str) -> float:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--env", name]
    began = time.perf_counter()
    subprocess.run(
        [*command, *options],
        cwd=folder,
        env={**os.environ, "BENCH_URL": base_url},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - began


def _slowest(folder: Path) -> float:
    evidence = json.loads((folder / "reports" / "latest" / "evidence.json").read_text())
    return max(STREAM_SECONDS, *_durations(evidence))


def _durations(evidence: dict[str, list[dict[str, list[dict[str, float]]]]]) -> list[float]:
    return [case["duration_s"] for gate in evidence["gates"] for case in gate["cases"]]


def _script(base_url: str) -> float:
    """What a hand-written check does: five threads, a client a case, lines until the end."""
    casebook = load_casebook(ROOT / "fixtures", "hifate", {})
    requests = [case.request for case in casebook.requests if case.file.name != "service.yaml"]
    began = time.perf_counter()
    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda request: _read(base_url, request), requests))
    return time.perf_counter() - began


def _read(base_url: str, request: Request) -> int:
    files = None
    if request.multipart:
        files = {name: path.read_bytes() for name, path in request.multipart.files.items()}
    with (
        httpx.Client(base_url=base_url, timeout=30) as client,
        client.stream(
            request.method, request.path, params=request.params, json=request.json, files=files
        ) as answer,
    ):
        return sum(1 for line in answer.iter_lines() if line.startswith("data:"))


if __name__ == "__main__":
    main()
