"""The matrix: every fault that was drilled, and what became of it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pytest_release.atomic import canonical_json, sha256_of
from pytest_release.drill.engine import Result, State
from pytest_release.hostile import one_line
from pytest_release.targets._httpx import httpx
from pytest_release.verdict import Verdict

PACKAGE = Path(__file__).parents[1]
SOURCES = ("*.py", "*.json", "*.sql")


@dataclass(frozen=True)
class Matrix:
    """What a drill came to.

    Attributes:
        kind: ``faults``, or ``clean`` for runs without any.
        environment: That asks for the sandbox.
        results: In the order of their names.
        whole: Nothing was left out of what there is to drill.
        recipes: SHA-256 of all recipes.
        policy: SHA-256 of the environment's policy.
        started: Aware.
        finished: Aware.
        tools: Versions of what measures, by name.
        run: Short id of the drill.
    """

    kind: str
    environment: str
    results: tuple[Result, ...]
    whole: bool
    recipes: str
    policy: str
    started: datetime
    finished: datetime
    tools: Mapping[str, str]
    run: str

    @property
    def verdict(self) -> Verdict:
        """PASSED only when there were results, and every one is as it must be."""
        good = bool(self.results) and all(result.state.good for result in self.results)
        return Verdict.PASSED if good else Verdict.FAILED

    @property
    def counts(self) -> dict[str, int]:
        """How many results of each state."""
        states = [result.state for result in self.results]
        return {str(state): states.count(state) for state in State if state in states}

    @property
    def gates(self) -> dict[str, list[Result]]:
        """The results of each gate."""
        found: dict[str, list[Result]] = {}
        for result in self.results:
            found.setdefault(result.gate, []).append(result)
        return found

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {
            "kind": self.kind,
            "verdict": str(self.verdict),
            "environment": self.environment,
            "whole": self.whole,
            "counts": self.counts,
            "started": self.started.isoformat(),
            "finished": self.finished.isoformat(),
            "tools": dict(self.tools),
            "recipes": {"sha256": self.recipes},
            "policy": {"sha256": self.policy},
            "run": self.run,
            "results": [_plain(result) for result in self.results],
        }

    def summary(self) -> str:
        """One line: the verdict, and how many of what."""
        counted = ", ".join(f"{count} {state}" for state, count in self.counts.items())
        part = "" if self.whole else "; not everything was drilled"
        return f"{self.verdict}  {counted or 'nothing was drilled'} of {len(self.results)}{part}"


def _plain(result: Result) -> dict[str, Any]:
    return {
        "fault": result.fault,
        "gate": result.gate,
        "state": str(result.state),
        "message": one_line(result.message),
        "seconds": round(result.seconds, 3),
        "others": {gate: one_line(said) for gate, said in result.others.items()},
    }


def line_of(result: Result, width: int = 34) -> str:
    """One result for the terminal; a message is shown whole only when something is wrong."""
    said = one_line(result.message)
    if result.state.good and len(said) > 100:
        said = f"{said[:99]}…"
    others = "".join(f"; {gate}: {one_line(text)}" for gate, text in result.others.items())
    return f"{result.state:<15} {result.fault:<{width}} {result.seconds:5.1f} s  {said}{others}"


def tools() -> dict[str, str]:
    """Versions of what measures, by name."""
    names = ("pytest-release", "pytest", httpx.__name__, "securesystemslib")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def digest_of_code() -> str:
    """SHA-256 of the gates, the sandbox and all else of this package, as it is installed."""
    return digest_of(PACKAGE, *SOURCES)


def digest_of(folder: Path, *patterns: str) -> str:
    """SHA-256 of the files below a folder: of their names and contents."""
    files = sorted({file for pattern in patterns for file in folder.rglob(pattern)})
    content = {file.relative_to(folder).as_posix(): sha256_of(file) for file in files}
    return sha256(canonical_json(content)).hexdigest()
