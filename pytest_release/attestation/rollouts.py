"""Verifies the bundle of a rollout: one statement in one envelope, over all other files of it.

What must be proven, in this order:

1. Enough trusted keys signed it.
2. It is a statement with the predicate rollout v0.1, as its schema says.
3. Every file that it names is there with its size and digest, and no other.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

from securesystemslib.signer import Key

from pytest_release.attestation.envelope import LARGEST, VerifiedStatement
from pytest_release.attestation.keys import fingerprint
from pytest_release.attestation.predicates import ROLLOUT, open_statement
from pytest_release.attestation.verify import check_files
from pytest_release.errors import VerificationError
from pytest_release.hostile import one_line

ROLLOUT_ATTESTATION = "rollout.intoto.jsonl"


def verify_rollout(folder: Path, keys: Sequence[Key], threshold: int = 1) -> VerifiedStatement:
    """Prove steps 1 to 3 of the module's docstring.

    Args:
        folder: The bundle.
        keys: Trusted public keys.
        threshold: How many of them must have signed.

    Raises:
        VerificationError: The first step that does not hold, and why.
    """
    path = folder / ROLLOUT_ATTESTATION
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
            raise VerificationError(f"{path} is no plain file, or too large to be an attestation")
        line = path.read_bytes()
    except OSError as error:
        raise VerificationError(f"{path} cannot be read: {error.strerror}") from None
    try:
        opened = open_statement(line, keys, ROLLOUT, threshold=threshold)
    except VerificationError as error:
        raise VerificationError(f"{ROLLOUT_ATTESTATION}: {error}") from None
    check_files(folder, opened.statement["predicate"]["files"], ROLLOUT_ATTESTATION)
    return opened


def describe_rollout(verified: VerifiedStatement) -> str:
    """What was done, by whom, and how it ended: for the terminal."""
    told = verified.statement["predicate"]
    lines = [
        f"rollout      {told['rollout']}: {told['status']}",
        f"why          {told['why']}",
        f"release      {told['release']}",
        f"plan         {told['plan']['name']}, sha256:{told['plan']['sha256']}",
        f"environments {', '.join(told['environments'])}",
        f"by           {told['who']}",
        f"finished     {told['finished']}",
        *(f"{step['status']:<11}  {step['task']}: {step['why']}" for step in told["steps"]),
        *(f"went back    {name} to {version or '-'}" for name, version in told["back"].items()),
        f"files        {len(told['files'])}, all as signed",
        *(f"signed by    {fingerprint(key)}" for key in verified.keys.values()),
    ]
    if told["ephemeralKey"]:
        lines.append(
            "WARNING      the key was made for this rollout and thrown away: "
            "the signature proves nothing about who drove it"
        )
    return "\n".join(map(one_line, lines))
