"""``pytest-release ci-summary``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_release.cli._command import Commands

if TYPE_CHECKING:
    from pytest_release.reporting.markdown import Proof
    from pytest_release.verdict import RunVerdict

SUMMARY = "GITHUB_STEP_SUMMARY"


def add(commands: Commands) -> None:
    """Register the command."""
    command = commands.add_parser(
        "ci-summary", help="show a verified bundle in CI: the job's summary and its annotations"
    )
    command.add_argument(
        "bundle", type=Path, nargs="?", default=Path("reports/latest"), help="default: %(default)s"
    )
    command.add_argument(
        "--key",
        type=Path,
        action="append",
        help="public key, one of which must have signed (repeatable); without, the bundle's own "
        "ephemeral key, which proves nothing about who ran it",
    )
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
    from datetime import UTC, datetime

    from pytest_release.attestation.keys import fingerprint, load_public_key
    from pytest_release.attestation.verify import verify_bundle
    from pytest_release.bundle import EPHEMERAL_KEY, read_run
    from pytest_release.errors import VerificationError
    from pytest_release.hostile import one_line
    from pytest_release.reporting.markdown import Proof

    folder = bundle.resolve()  # once: the link may be pointed elsewhere meanwhile
    own = folder / EPHEMERAL_KEY
    if not given and not own.is_file():
        message = f"{bundle} holds no key that it could be verified with: give one with --key"
        raise VerificationError(message)
    try:
        keys = [load_public_key(path) for path in given or [own]]
        verified = verify_bundle(folder, keys, now=datetime.now(UTC))
        run = read_run(folder, verified)
    except VerificationError as error:  # a file's name in it may hold a command for the CI product
        raise VerificationError(one_line(str(error))) from None
    signers = tuple(fingerprint(key) for key in verified.keys.values())
    trusted = bool(given) and not verified.predicate["ephemeralKey"]
    return run, Proof(signers, trusted, os.path.relpath(folder))


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
