"""Waivers and records of promotions: one statement in one envelope, in a file of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from securesystemslib.signer import Key

from pytest_release.attestation.envelope import LARGEST, VerifiedStatement
from pytest_release.attestation.keys import fingerprint
from pytest_release.attestation.predicates import PROMOTION, WAIVER, open_statement
from pytest_release.attestation.verify import subject_line
from pytest_release.attestation.waiver import read_waiver
from pytest_release.errors import VerificationError
from pytest_release.hostile import one_line


def verify_file(path: Path, keys: Sequence[Key], threshold: int = 1) -> VerifiedStatement:
    """Verify a waiver, or the record of a promotion.

    Args:
        path: Its file.
        keys: Trusted public keys.
        threshold: How many of them must have signed.

    Raises:
        VerificationError: It cannot be read, or does not verify.
    """
    try:
        with path.open("rb") as stream:
            line = stream.read(LARGEST)
    except OSError as error:
        raise VerificationError(f"{path} cannot be read: {error.strerror}") from None
    try:
        opened = open_statement(line, keys, WAIVER, PROMOTION, threshold=threshold)
        if opened.statement["predicateType"] == WAIVER:
            read_waiver(opened.statement)
    except VerificationError as error:
        raise VerificationError(f"{path}: {error}") from None
    return opened


def describe_file(verified: VerifiedStatement) -> str:
    """What it says, and who signed it: for the terminal."""
    statement = verified.statement
    predicate = statement["predicate"]
    if statement["predicateType"] == WAIVER:
        lines = [f"waiver       {read_waiver(statement)}"]
    else:
        lines = list(_promotion(statement["subject"], predicate))
    lines += [f"signed by    {fingerprint(key)}" for key in verified.keys.values()]
    return "\n".join(map(one_line, lines))


def _promotion(
    subjects: Sequence[Mapping[str, Any]], predicate: Mapping[str, Any]
) -> Iterator[str]:
    policy = predicate["policy"]
    yield f"promotion    {predicate['release']} to {predicate['environment']}"
    yield f"decided      {predicate['decided']}"
    yield f"policy       version {policy['version']}, sha256:{policy['sha256']}"
    yield from (f"subject      {subject_line(subject)}" for subject in subjects)
    for condition in predicate["conditions"]:
        yield f"{condition['state']:<11}  {condition['name']}: {condition['why']}"
