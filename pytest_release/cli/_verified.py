"""A bundle, verified first, for commands that show or retell it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_release.verdict import RunVerdict


@dataclass(frozen=True)
class Proven:
    """What a verified bundle tells.

    Attributes:
        folder: The bundle, without links on the way.
        sha256: Of its attestation.
        signers: Fingerprints of the keys that signed it.
        trusted: They were given, and are not of the run itself.
    """

    folder: Path
    run: RunVerdict
    sha256: str
    signers: tuple[str, ...]
    trusted: bool


def add_bundle(command: argparse.ArgumentParser) -> None:
    """Register the bundle and the keys that may have signed it."""
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


def verified(bundle: Path, given: list[Path] | None) -> Proven:
    """What a bundle tells.

    Raises:
        VerificationError: It does not verify, or there is no key to verify it with.
    """
    from datetime import UTC, datetime

    from pytest_release.attestation.keys import fingerprint, load_public_key
    from pytest_release.attestation.verify import verify_bundle
    from pytest_release.bundle import EPHEMERAL_KEY, read_run
    from pytest_release.errors import VerificationError
    from pytest_release.hostile import one_line

    folder = bundle.resolve()  # once: the link may be pointed elsewhere meanwhile
    own = folder / EPHEMERAL_KEY
    if not given and not own.is_file():
        message = f"{bundle} holds no key that it could be verified with: give one with --key"
        raise VerificationError(message)
    try:
        keys = [load_public_key(path) for path in given or [own]]
        proven = verify_bundle(folder, keys, now=datetime.now(UTC))
        run = read_run(folder, proven)
    except VerificationError as error:  # a file's name in it may hold a command for the CI product
        raise VerificationError(one_line(str(error))) from None
    signers = tuple(fingerprint(key) for key in proven.keys.values())
    trusted = bool(given) and not proven.predicate["ephemeralKey"]
    return Proven(folder, run, proven.sha256, signers, trusted)
