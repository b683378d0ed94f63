"""``pytest-release key``: the keys that policies may name."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_release.cli._command import Commands


def add(commands: Commands) -> None:
    """Register the commands."""
    key = commands.add_parser("key", help="the keys that promotion policies may name")
    actions = key.add_subparsers(required=True, metavar="ACTION")
    keys = actions.add_parser("list", help="names, fingerprints, and which were revoked")
    trust = actions.add_parser("add", help="trust a public key under a name")
    trust.add_argument("name")
    trust.add_argument(
        "file", type=Path, metavar="FILE", help="the public key, for example ci.pem.pub"
    )
    revoke = actions.add_parser("revoke", help="stop trusting a key, whatever it signed and when")
    revoke.add_argument("name")
    revoke.add_argument("--reason", required=True)
    for command, run in ((keys, _list), (trust, _add), (revoke, _revoke)):
        command.add_argument("--fixtures", type=Path, default=Path("fixtures"))
        command.set_defaults(run=run)


def _list(options: argparse.Namespace) -> int:
    from pytest_release.attestation.keyring import load_keyring
    from pytest_release.attestation.keys import fingerprint
    from pytest_release.hostile import one_line

    keyring = load_keyring(options.fixtures)
    width = max(map(len, keyring.keys), default=0)
    for name, key in keyring.keys.items():
        revoked = keyring.revocations.get(fingerprint(key))
        state = f"revoked {revoked.at[:10]}: {revoked.reason}" if revoked else "valid"
        print(f"{name:<{width}}  {fingerprint(key)}  {one_line(state)}")
    if not keyring.keys:
        print(f"no keys in {options.fixtures / 'keys'}; add one: pytest-release key add NAME FILE")
    return 0


def _add(options: argparse.Namespace) -> int:
    from pytest_release.attestation.keyring import add_key
    from pytest_release.attestation.keys import fingerprint

    key = add_key(options.fixtures, options.name, options.file)
    print(f"trusted      {options.fixtures / 'keys' / options.name}.pub")
    print(f"fingerprint  {fingerprint(key)}")
    return 0


def _revoke(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from pytest_release.attestation.keyring import REVOKED, revoke_key

    revocation = revoke_key(options.fixtures, options.name, options.reason, datetime.now(UTC))
    print(f"revoked      {options.name}, {options.fixtures / 'keys' / options.name}{REVOKED}")
    print(f"fingerprint  {revocation.fingerprint}")
    return 0
