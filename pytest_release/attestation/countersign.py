"""A second signature, of another key, on what was verified first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from securesystemslib.signer import Key, Signer

from pytest_release.atomic import write_bytes
from pytest_release.attestation.envelope import LARGEST, countersign
from pytest_release.attestation.predicates import WAIVER, open_statement
from pytest_release.attestation.verify import ATTESTATION, verify_bundle
from pytest_release.errors import VerificationError


def countersign_path(path: Path, keys: Sequence[Key], signer: Signer, now: datetime) -> Path:
    """Add a signature to a bundle's two statements, or to a waiver.

    Args:
        path: The bundle's folder, or the waiver's file.
        keys: Of those who may have signed before.
        signer: Of the new signature.
        now: Aware.

    Returns:
        The file that was written.

    Raises:
        VerificationError: It does not verify, was signed by this key before, or cannot be written.
    """
    if path.is_dir():
        verify_bundle(path, keys, now=now)
        file = path / ATTESTATION
    else:
        file = path
    try:
        if file.stat().st_size > 2 * LARGEST:
            raise VerificationError(f"{file} is too large to be an attestation")
        lines = file.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise VerificationError(f"{file} cannot be read: {error.strerror}") from None
    if file is path:
        for line in lines[:1]:
            open_statement(line, keys, WAIVER)
    signed = b"".join(countersign(line, keys, signer) for line in lines)
    try:
        write_bytes(file, signed)
    except OSError as error:
        raise VerificationError(f"{file} cannot be written: {error.strerror}") from None
    return file
