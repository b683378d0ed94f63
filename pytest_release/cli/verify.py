"""``pytest-release verify``."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_release.cli._command import Commands


def add(commands: Commands) -> None:
    """Register the command."""
    command = commands.add_parser(
        "verify",
        help="check a run's, drill's or rollout's bundle, a waiver or a promotion's record",
    )
    command.add_argument(
        "path", type=Path, metavar="PATH", help="the bundle's folder (reports/latest), or the file"
    )
    command.add_argument(
        "--key",
        type=Path,
        action="append",
        required=True,
        help="public key that must have signed (repeatable)",
    )
    command.add_argument(
        "--threshold", type=int, default=1, help="how many of the keys must have (default: 1)"
    )
    command.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from pytest_release.attestation.keys import load_public_key
    from pytest_release.attestation.predicates import DRILL
    from pytest_release.attestation.rollouts import (
        ROLLOUT_ATTESTATION,
        describe_rollout,
        verify_rollout,
    )
    from pytest_release.attestation.single import describe_file, verify_file
    from pytest_release.attestation.statement import RELEASE_GATE
    from pytest_release.attestation.verify import describe, verify_bundle

    keys = [load_public_key(path) for path in options.key]
    if (options.path / ROLLOUT_ATTESTATION).exists():
        print(describe_rollout(verify_rollout(options.path, keys, options.threshold)))
        return 0
    if options.path.is_file():
        print(describe_file(verify_file(options.path, keys, options.threshold)))
        return 0
    kinds = (RELEASE_GATE, DRILL)
    verified = verify_bundle(
        options.path, keys, now=datetime.now(UTC), threshold=options.threshold, kinds=kinds
    )
    print(describe(verified))
    return 0
