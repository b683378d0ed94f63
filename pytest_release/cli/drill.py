"""``pytest-release drill``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_release.cli._command import Commands

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from pytest_release.bundle import Sealed
    from pytest_release.drill.engine import Result
    from pytest_release.drill.matrix import Matrix

    Say = Callable[[Result], None]

RECIPES = Path("tests/faults")


def add(commands: Commands) -> None:
    """Register the command."""
    command = commands.add_parser(
        "drill", help="show every fault of the sandbox to the gate that must catch it"
    )
    command.add_argument("--gate", action="append", default=[], help="only its faults (repeatable)")
    command.add_argument("--fault", action="append", default=[], help="only this (repeatable)")
    command.add_argument(
        "--clean", type=int, metavar="N", help="run the demo without a fault, N times, instead"
    )
    command.add_argument(
        "--jobs", type=int, help="faults at once, but for those of time (default: one a core)"
    )
    command.add_argument("--report-dir", type=Path, default=Path("reports"), metavar="DIR")
    command.add_argument("--sign-with", metavar="URI", help="default: a key made for this drill")
    command.add_argument("--json", action="store_true", help="print the matrix as JSON at the end")
    command.add_argument("--fixtures", type=Path, default=Path("fixtures"))
    command.add_argument(
        "--recipes", type=Path, default=RECIPES, help="folder of the recipes (default: %(default)s)"
    )
    command.set_defaults(run=_drill)


def _drill(options: argparse.Namespace) -> int:
    import secrets

    from pytest_release.attestation.keys import ephemeral, load_signing_key
    from pytest_release.drill.matrix import line_of
    from pytest_release.drill.report import seal
    from pytest_release.errors import UsageError

    for name, number in (("--jobs", options.jobs), ("--clean", options.clean)):
        if number is not None and number < 1:
            raise UsageError(f"{name} must be at least 1, got {number}")
    if options.clean and (options.gate or options.fault):
        raise UsageError("--clean runs the whole demo: leave --gate and --fault out")
    key = load_signing_key(options.sign_with, os.environ) if options.sign_with else ephemeral()
    nonce = secrets.token_hex(16)
    live = sys.stderr if options.json else sys.stdout

    def say(result: Result) -> None:
        print(line_of(result), file=live, flush=True)

    matrix = _made(options, nonce[:8], say)
    sealed = seal(matrix, options.report_dir, key, nonce)
    if options.json:
        print(json.dumps({**matrix.to_json(), "report": str(sealed.folder)}, indent=2))
    _conclude(matrix, sealed, live)
    return 0 if matrix.verdict == "PASSED" else 1


def _made(options: argparse.Namespace, run: str, say: Say) -> Matrix:
    from datetime import UTC, datetime

    from pytest_release.config.environments import load_environment
    from pytest_release.drill.engine import DEMO
    from pytest_release.drill.field import clean, drill
    from pytest_release.drill.matrix import Matrix, digest_of, tools
    from pytest_release.drill.recipe import read_recipes

    started = datetime.now(UTC)
    policy = load_environment(options.fixtures, DEMO, {}).digest
    if options.clean:
        results = clean(options.fixtures, options.clean, say)
    else:
        recipes = read_recipes(options.recipes, options.gate, options.fault)
        jobs = options.jobs or len(os.sched_getaffinity(0))
        results = drill(options.fixtures, recipes, jobs, say)
    return Matrix(
        kind="clean" if options.clean else "faults",
        environment=DEMO,
        results=results,
        whole=not (options.gate or options.fault),
        recipes=digest_of(options.recipes, "*.yaml"),
        policy=policy,
        started=started,
        finished=datetime.now(UTC),
        tools=tools(),
        run=run,
    )


def _conclude(matrix: Matrix, sealed: Sealed, live: TextIO) -> None:
    """What is wrong once more, then the matrix in figures, the report and the key."""
    from pytest_release.drill.matrix import line_of

    print(file=live)
    for gate, results in matrix.gates.items():
        good = sum(result.state.good for result in results)
        print(f"{gate:<15} {good} of {len(results)}", file=live)
    for result in matrix.results:
        if not result.state.good:
            print(line_of(result), file=live)
    print(f"\n{matrix.summary()}", file=live)
    print(f"report     {sealed.folder / 'drill.html'}", file=live)
    print(f"signed by  {sealed.fingerprint}", file=live)
    if sealed.ephemeral:
        print(
            "           an ephemeral key, made for this drill: the signature proves nothing",
            file=live,
        )
