"""``pytest-release promote``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_release.cli._command import Commands

if TYPE_CHECKING:
    from pytest_release.promotion.promote import Outcome

HISTORY = Path("history.jsonl")


def add(commands: Commands) -> None:
    """Register the command."""
    command = commands.add_parser(
        "promote", help="decide whether a release may go to an environment, and record it"
    )
    add_argument = command.add_argument
    add_argument("--to", required=True, metavar="ENV", dest="environment")
    add_argument("--release", required=True, metavar="VERSION")
    add_argument("--commit", metavar="SHA", help="the git commit that is promoted")
    add_argument(
        "--package",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a package that is promoted (repeatable)",
    )
    add_argument(
        "--image",
        action="append",
        default=[],
        metavar="REF",
        help="an image that is promoted (repeatable; default: those that were judged)",
    )
    add_argument(
        "--bundle",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a report bundle that shows it (repeatable; default: those of the release in "
        "--report-dir)",
    )
    add_argument("--report-dir", type=Path, default=Path("reports"), metavar="DIR")
    add_argument("--history", type=Path, default=HISTORY, metavar="FILE")
    add_argument("--record-dir", type=Path, default=Path("promotions"), metavar="DIR")
    add_argument("--fixtures", type=Path, default=Path("fixtures"))
    signing = command.add_mutually_exclusive_group(required=True)
    signing.add_argument("--sign-with", metavar="URI", help="private key that signs the record")
    signing.add_argument("--dry-run", action="store_true", help="decide, and record nothing")
    command.set_defaults(run=_promote)


def _promote(options: argparse.Namespace) -> int:
    import secrets
    from datetime import UTC, datetime

    from pytest_release.attestation.keys import load_signing_key
    from pytest_release.promotion.promote import Request, promote

    signer = load_signing_key(options.sign_with, os.environ).signer if options.sign_with else None
    request = Request(
        fixtures=options.fixtures,
        environment=options.environment,
        release=options.release,
        commit=options.commit,
        packages=options.package,
        images=options.image,
        bundles=options.bundle,
        reports=options.report_dir,
        history=options.history,
        records=options.record_dir,
    )
    outcome = promote(request, signer, _resolve, datetime.now(UTC), secrets.token_hex(16))
    _print(request.environment, request.release, outcome)
    return 0 if outcome.decision.granted else 1


def _resolve(image: str) -> str:
    from pytest_release.targets.registry import resolve_image

    return resolve_image(image)


def _print(environment: str, release: str, outcome: Outcome) -> None:
    """Every condition, what was not believed, and the answer."""
    from pytest_release.hostile import one_line

    print(f"promotion of {one_line(release)} to {environment}")
    width = max(len(condition.name) for condition in outcome.decision.conditions)
    for condition in outcome.decision.conditions:
        print(one_line(f"  {condition.state:<7}  {condition.name:<{width}}  {condition.why}"))
    for note in outcome.notes:
        print(one_line(f"  not counted: {note}"))
    unmet = len(outcome.decision.unmet)
    if unmet:
        print(f"REFUSED  {unmet} of {len(outcome.decision.conditions)} conditions are not met")
    elif outcome.record is None:
        print("GRANTED  in a dry run: nothing was recorded")
    else:
        print(f"GRANTED  {outcome.record}")
