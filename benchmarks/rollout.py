"""What the driver of rollouts costs, beside a plain shell script of the same steps.

::

    python -m benchmarks.rollout [--steps 100] [--rounds 3]

- overhead: a plan of so many no-op steps (``true``), journaled and recorded; seconds a step beyond
  those of the script. The limit is 30 ms.
- recovery: from the end of a failing gate to the old release being live and its gate passed; the
  limit is 1.2 times the script's, whose steps take some 0.5 s here as real ones do.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from pytest_release.rollout.desk import Desk, Wish, run
from pytest_release.rollout.report import seal

ENVIRONMENT = (
    "name: here\nrole: staging\nsystem: shop\nbase_url: http://127.0.0.1:9\ngates: {basic: {}}\n"
)
BACK = "sleep 0.5; cp good live; sleep 0.5; ! grep -q bad live"


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        _write()
        overheads = [_overhead(asked.steps) for _ in range(asked.rounds)]
        ratios = [_recovery() for _ in range(asked.rounds)]
    print(f"overhead a step: {statistics.median(overheads) * 1000:.1f} ms (limit 30)")
    print(f"recovery: {statistics.median(ratios):.2f} times the script's (limit 1.2)")


def _write() -> None:
    for folder in ("environments", "plans"):
        Path("fixtures", folder).mkdir(parents=True)
    Path("fixtures/environments/here.yaml").write_text(ENVIRONMENT)
    for name in ("good", "bad"):
        Path(name).write_text(name)


def _plan(name: str, steps: list[dict[str, Any]], **more: object) -> None:
    plan = {"name": name, "system": "shop", "environment": "here", "steps": steps, **more}
    text = yaml.dump(plan, sort_keys=False, Dumper=_Plain)
    Path(f"fixtures/plans/{name}.yaml").write_text(text)


class _Plain(yaml.SafeDumper):
    """Without aliases."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's form
        return True


def _command(name: str, kind: str, *argv: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "with": {"command": {"argv": list(argv)}}}


def _driven(plan: str, release: str) -> float:
    desk = Desk(
        fixtures=Path("fixtures"),
        root=Path("rollouts"),
        reports=Path("reports"),
        history=Path("history.jsonl"),
        records=Path("promotions"),
        who="benchmark",
        seal=seal,
    )
    began = time.perf_counter()
    run(desk, Wish(plan, release))
    return time.perf_counter() - began


def _script(line: str) -> float:
    began = time.perf_counter()
    subprocess.run(["sh", "-c", line], check=False)
    return time.perf_counter() - began


def _overhead(steps: int) -> float:
    """Seconds a step beyond the script's."""
    _plan("noop", [_command(f"s{n}", "preflight", "true") for n in range(steps)])
    return (_driven("noop", "1") - _script("; ".join(["/bin/true"] * steps))) / steps


def _recovery() -> float:
    """Times the script's seconds."""
    live, wait = ("cp", "{{release}}", "live"), ("sleep", "0.5")
    gate = _command("gate", "gate", "grep", "-v", "bad", "live")
    record = {"name": "good", "type": "record"}
    back = [_command("w1", "preflight", *wait), _command("put", "deploy", *live),
            _command("w2", "preflight", *wait), gate]  # fmt: skip
    steps = [_command("put", "deploy", *live), gate, record]
    _plan("shop", steps, on_failure="rollback", rollback=back)
    _driven("shop", "good")
    forward = _driven("shop", "good")
    return (_driven("shop", "bad") - forward) / _script(BACK)


if __name__ == "__main__":
    main()
