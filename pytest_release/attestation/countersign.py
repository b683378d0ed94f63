"""A second signature, of another key, on what was verified first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from securesystemslib.signer import Key, Signer

from pytest_release.atomic import write_bytes
from pytest_release.attestation.envelope import LARGEST, countersign
from pytest_release.attestation.verify import ATTESTATION, describe, verify_bundle
from pytest_release.attestation.waiver import open_waiver
from pytest_release.errors import VerificationError


def countersign_path(path: Path, keys: Sequence[Key], signer: Signer, now: datetime) -> str:
    """Add a signature to a bundle's two statements, or to a waiver.

    Args:
        path: The bundle's folder, or the waiver's file.
        keys: Of those who may have signed before.
        signer: Of the new signature.
        now: Aware.

    Returns:
        What was signed, for people.

    Raises:
        VerificationError: It does not verify, was signed by this key before, or cannot be written.
    """
    if path.is_dir():
        verified = verify_bundle(path, keys, now=now)
        said = describe(verified)
        file = path / ATTESTATION
        content = _read(file)
        if sha256(content).hexdigest() != verified.sha256:
            raise VerificationError(f"{file} was changed while it was verified")
        lines = content.splitlines(keepends=True)
    else:
        file = path
        lines = [_read(file)]
        said = str(open_waiver(lines[0], keys)[0])
    signed = b"".join(countersign(line, keys, signer) for line in lines)
    try:
        write_bytes(file, signed)
    except OSError as error:
        raise VerificationError(f"{file} cannot be written: {error.strerror}") from None
    return said


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(2 * LARGEST)  # more is refused by who opens it
    except OSError as error:
        raise VerificationError(f"{file} cannot be read: {error.strerror}") from None
