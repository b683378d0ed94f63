"""``pytest-release keygen``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pytest_release.cli._command import Commands

PASSWORD = "PYTEST_RELEASE_KEY_PASSWORD"  # noqa: S105 - the variable's name


def add(commands: Commands) -> None:
    """Register the command."""
    command = commands.add_parser("keygen", help="make a key pair that signs attestations")
    command.add_argument("path", type=Path, help="file of the private key; PATH.pub is the public")
    command.add_argument(
        "--encrypt",
        action="store_true",
        help=f"encrypt the private key (password: ${PASSWORD}, or asked for)",
    )
    command.set_defaults(run=_keygen)


def _keygen(options: argparse.Namespace) -> int:
    from pytest_release.attestation.keys import fingerprint, generate

    key = generate(options.path, password=_password() if options.encrypt else None)
    print(f"private key  {options.path} (keep it secret)")
    print(f"public key   {options.path}.pub")
    print(f"fingerprint  {fingerprint(key)}")
    return 0


def _password() -> str:
    from getpass import getpass

    return os.environ.get(PASSWORD) or getpass("password of the new key: ")
