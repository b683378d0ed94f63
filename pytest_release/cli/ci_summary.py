"""``pytest-release ci-summary``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_release.cli._command import Commands
from pytest_release.cli._verified import add_bundle, verified

if TYPE_CHECKING:
    from pytest_release.reporting.markdown import Proof
    from pytest_release.verdict import RunVerdict

SUMMARY = "GITHUB_STEP_SUMMARY"


def add(commands: Commands) -> None:
    """Register the command."""
    command = commands.add_parser(
        "ci-summary", help="show a verified bundle in CI: the job's summary and its annotations"
    )
    add_bundle(command)
    command.add_argument(
        "--format",
        choices=("github", "gitlab"),
        default="gitlab" if os.environ.get("GITLAB_CI") else "github",
        help="whose annotations to print; GitLab has none (default: where it runs)",
    )
    command.add_argument(
        "--code-quality", type=Path, metavar="FILE", help="also write GitLab's code quality report"
    )
    command.add_argument("--fixtures", default="fixtures", help="for the paths in that report")
    command.set_defaults(run=_ci_summary)


def _ci_summary(options: argparse.Namespace) -> int:
    """The exit status is 0 whatever the verdict: that one is pytest's to fail for."""
    from pytest_release.reporting.ci import code_quality, commands, notes

    run, proof = _verified(options.bundle, options.key)
    _write_summary(run, proof)
    if options.format == "github":
        for line in commands(notes(run)):
            print(line)
    if options.code_quality:
        _write(options.code_quality, code_quality(run, options.fixtures), "w")
    return 0


def _verified(bundle: Path, given: list[Path] | None) -> tuple[RunVerdict, Proof]:
    from pytest_release.reporting.markdown import Proof

    proven = verified(bundle, given)
    return proven.run, Proof(proven.signers, proven.trusted, os.path.relpath(proven.folder))


def _write_summary(run: RunVerdict, proof: Proof) -> None:
    """To GitHub's file, after what is in it; without one, or where it is full, to stdout."""
    from pytest_release.reporting.ci import SUMMARY_LIMIT
    from pytest_release.reporting.markdown import LEAST_ROOM, render

    path = Path(os.environ.get(SUMMARY) or os.devnull)
    taken = path.stat().st_size if path.is_file() else 0
    room = SUMMARY_LIMIT - taken - 1
    if os.environ.get(SUMMARY) and room >= LEAST_ROOM:
        _write(path, "\n" * bool(taken) + render(run, proof, room), "a")
        return
    text = render(run, proof, SUMMARY_LIMIT)
    print(_without_commands(text) if os.environ.get("GITHUB_ACTIONS") else text)


def _without_commands(text: str) -> str:
    """Text whose lines GitHub does not take for commands, whatever a server put into them."""
    from secrets import token_hex

    token = token_hex(16)
    return f"::stop-commands::{token}\n{text}::{token}::"


def _write(path: Path, text: str, mode: str) -> None:
    from pytest_release.errors import BundleError

    try:
        with path.open(mode, encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise BundleError(f"{path} cannot be written: {error.strerror}") from None
