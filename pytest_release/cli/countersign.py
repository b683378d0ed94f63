"""``pytest-release countersign``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pytest_release.cli._command import Commands


def add(commands: Commands) -> None:
    """Register the command."""
    command = commands.add_parser(
        "countersign", help="put a second signature on a bundle or a waiver"
    )
    command.add_argument("path", type=Path, help="the bundle's folder, or the waiver's file")
    command.add_argument("--sign-with", required=True, metavar="URI", help="your private key")
    command.add_argument("--fixtures", type=Path, default=Path("fixtures"))
    command.set_defaults(run=_countersign)


def _countersign(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from pytest_release.attestation.countersign import countersign_path
    from pytest_release.attestation.keyring import load_keyring
    from pytest_release.attestation.keys import fingerprint, load_signing_key

    signer = load_signing_key(options.sign_with, os.environ).signer
    keys = list(load_keyring(options.fixtures).valid.values())
    said = countersign_path(options.path, keys, signer, datetime.now(UTC))
    print(said)
    print(f"signed by    {fingerprint(signer.public_key)}, too")
    return 0
