"""``pytest-release waive``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pytest_release.cli._command import Commands


def add(commands: Commands) -> None:
    """Register the command."""
    command = commands.add_parser("waive", help="sign that a gate may be passed over, for a time")
    add_argument = command.add_argument
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--gate", metavar="NAME")
    what.add_argument(
        "--break-glass", action="store_true", help="all gates, the soak and a freeze at once"
    )
    add_argument("--env", required=True, metavar="NAME", help="where the release may go with it")
    add_argument("--release", required=True, metavar="VERSION")
    add_argument("--reason", required=True)
    add_argument("--until", required=True, metavar="WHEN", help="a date, a time, or for example 4h")
    add_argument("--by", metavar="PERSON", help="who takes the responsibility (default: the user)")
    add_argument("--sign-with", required=True, metavar="URI", help="private key of that person")
    add_argument("--fixtures", type=Path, default=Path("fixtures"))
    command.set_defaults(run=_waive)


def _waive(options: argparse.Namespace) -> int:
    import secrets
    from datetime import UTC, datetime
    from getpass import getuser

    from pytest_release.attestation.keys import load_signing_key
    from pytest_release.attestation.waiver import Waiver
    from pytest_release.config.policy import ALL_GATES
    from pytest_release.hostile import one_line
    from pytest_release.moments import moment
    from pytest_release.promotion.waivers import issue_waiver

    now = datetime.now(UTC).replace(microsecond=0)
    waiver = Waiver(
        environment=options.env,
        release=options.release,
        gate=ALL_GATES if options.break_glass else options.gate,
        reason=options.reason,
        by=options.by or getuser(),
        issued=now,
        until=moment("--until", options.until, now, ahead=True),
        nonce=secrets.token_hex(16),
    )
    signer = load_signing_key(options.sign_with, os.environ).signer
    file, missing = issue_waiver(options.fixtures, waiver, signer, now)
    print(one_line(str(waiver)))
    print(f"waiver  {file}")
    if missing:
        print(f"it does not count yet: {one_line(missing)}")
        print(f"next    pytest-release countersign {file} --sign-with KEY")
    return 0
