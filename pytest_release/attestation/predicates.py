"""The kinds of statements there are, each with the schema that its every member must meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from securesystemslib.signer import Key

from pytest_release.attestation.envelope import VerifiedStatement, open_envelope
from pytest_release.attestation.statement import RELEASE_GATE, STATEMENT, TEST_RESULT
from pytest_release.config.validation import validator
from pytest_release.errors import VerificationError

WAIVER = "https://pytest-release.dev/attestation/waiver/v0.1"
PROMOTION = "https://pytest-release.dev/attestation/promotion/v0.1"
HISTORY = "https://pytest-release.dev/attestation/history/v0.1"
ROLLOUT = "https://pytest-release.dev/attestation/rollout/v0.1"
DRILL = "https://pytest-release.dev/attestation/drill/v0.1"
SCHEMAS = {
    RELEASE_GATE: "release-gate",
    WAIVER: "waiver",
    PROMOTION: "promotion",
    HISTORY: "history",
    ROLLOUT: "rollout",
    DRILL: "drill",
}


def open_statement(
    line: bytes, keys: Sequence[Key], *types: str, threshold: int = 1
) -> VerifiedStatement:
    """Verify an envelope, and that it holds a statement of one of these types.

    Raises:
        VerificationError: Too few of the keys signed it, or it is another statement.
    """
    opened = open_envelope(line, keys, threshold)
    check_statement(opened.statement, *types)
    return opened


def check_statement(statement: Mapping[str, Any], *types: str) -> Mapping[str, Any]:
    """The predicate of a statement, once it is as its type's schema says.

    Args:
        statement: Its signature was verified.
        types: The predicate types that are expected.

    Raises:
        VerificationError: It is not of one of these types, or not as they are.
    """
    if statement.get("_type") != STATEMENT:
        raise VerificationError("this is no in-toto statement v1")
    kind = statement.get("predicateType")
    if kind not in types:
        raise VerificationError(f"the predicate type is not {' or '.join(types)}")
    predicate = statement.get("predicate")
    if not isinstance(predicate, dict):
        raise VerificationError("the statement has no predicate")
    if kind != TEST_RESULT:  # in-toto's own, which others may extend
        name = SCHEMAS[kind]
        error = next(validator(name).iter_errors(statement), None)
        if error is not None:
            message = f"{error.json_path} is not as {name} v0.1 says ({error.validator})"
            raise VerificationError(message)
    return predicate
