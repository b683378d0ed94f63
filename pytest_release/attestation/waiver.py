"""Waivers: a person's signed word that a gate may be passed over, for one release and a time.

A statement with the predicate waiver v0.1 (``schemas/waiver.schema.json``) in one envelope. Its
subject is the release as it is named, in the environment that it may go to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from securesystemslib.signer import Key

from pytest_release.atomic import canonical_json
from pytest_release.attestation.envelope import VerifiedStatement
from pytest_release.attestation.predicates import WAIVER, open_statement
from pytest_release.attestation.statement import statement
from pytest_release.config.policy import ALL_GATES
from pytest_release.errors import VerificationError
from pytest_release.hostile import one_line


@dataclass(frozen=True)
class Waiver:
    """What is waived, why, by whom, until when.

    Attributes:
        gate: Its name, or ``all`` to break the glass.
        by: The person, as they call themselves; the signature says which key.
        issued: Aware, UTC.
        until: Aware, UTC.
        nonce: Makes the waiver one of a kind.
    """

    environment: str
    release: str
    gate: str
    reason: str
    by: str
    issued: datetime
    until: datetime
    nonce: str

    def __str__(self) -> str:
        what = "everything" if self.gate == ALL_GATES else self.gate
        return one_line(
            f"{what} of {self.release} is waived in {self.environment} until "
            f"{self.until:%Y-%m-%d %H:%M} UTC by {self.by}: {self.reason}"
        )


def waiver_statement(waiver: Waiver) -> dict[str, Any]:
    """The statement that is signed."""
    place = {"environment": waiver.environment, "release": waiver.release}
    digest = {"sha256": sha256(canonical_json(place)).hexdigest()}
    subject = {"name": f"release {waiver.release} in {waiver.environment}", "digest": digest}
    predicate = {
        **vars(waiver),
        "issued": waiver.issued.isoformat(),
        "until": waiver.until.isoformat(),
    }
    return statement([subject], WAIVER, predicate)


def open_waiver(line: bytes, keys: Sequence[Key]) -> tuple[Waiver, VerifiedStatement]:
    """Verify one waiver's envelope, then read it.

    Raises:
        VerificationError: None of the keys signed it, or it is no waiver.
    """
    opened = open_statement(line, keys, WAIVER)
    return read_waiver(opened.statement), opened


def read_waiver(statement: Mapping[str, Any]) -> Waiver:
    """The waiver that a statement, which met its schema, is.

    Raises:
        VerificationError: Its times are none, or its subject is another's.
    """
    predicate = statement["predicate"]
    try:
        times = {n: datetime.fromisoformat(predicate[n]) for n in ("issued", "until")}
    except ValueError:
        raise VerificationError("it does not say from when until when it is meant") from None
    waiver = Waiver(**{**predicate, **times})
    if waiver_statement(waiver) != statement:
        raise VerificationError("its subject is not what its predicate speaks of")
    return waiver
