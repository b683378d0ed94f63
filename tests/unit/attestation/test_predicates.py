"""Tests of `pytest_release.attestation.predicates`: of the statements that were signed by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import pytest

from pytest_release.attestation.envelope import sign
from pytest_release.attestation.keys import ephemeral
from pytest_release.attestation.predicates import (
    DRILL,
    HISTORY,
    PROMOTION,
    ROLLOUT,
    SCHEMAS,
    WAIVER,
    check_statement,
    open_statement,
)
from pytest_release.attestation.statement import RELEASE_GATE, STATEMENT, TEST_RESULT
from pytest_release.config.validation import schema, validator
from pytest_release.errors import VerificationError
from tests.unit.attestation.conftest import GATE, RESULT, SUBJECT

SIGNER = ephemeral().signer
TIME = "2026-11-23T10:00:00+00:00"
WAIVED: Mapping[str, Any] = {
    "_type": STATEMENT,
    "subject": SUBJECT,
    "predicateType": WAIVER,
    "predicate": {
        "environment": "production",
        "release": "1.4.2",
        "gate": "smoke",
        "reason": "the lab burns",
        "by": "Zoë",
        "issued": TIME,
        "until": "2026-11-23T12:00:00+00:00",
        "nonce": "0" * 32,
    },
}
PROMOTED: Mapping[str, Any] = {
    "_type": STATEMENT,
    "subject": SUBJECT,
    "predicateType": PROMOTION,
    "predicate": {
        "environment": "production",
        "release": "1.4.2",
        "policy": {"version": 3, "sha256": "a" * 64},
        "conditions": [{"name": "gate basic", "state": "met", "why": "PASSED in staging"}],
        "evidence": [
            {
                "sha256": "b" * 64,
                "environment": "staging",
                "finished": TIME,
                "nonce": "1" * 32,
                "signers": ["ci"],
            }
        ],
        "waivers": [],
        "decided": TIME,
        "nonce": "2" * 32,
    },
}

Edit = Callable[[dict[str, Any]], object]


def edited(statement: Mapping[str, Any], edit: Edit) -> dict[str, Any]:
    """A copy, changed."""
    copy = deepcopy(dict(statement))
    edit(copy)
    return copy


@pytest.mark.parametrize(
    ("statement", "kind"), [(WAIVED, WAIVER), (PROMOTED, PROMOTION), (RESULT, TEST_RESULT)]
)
def test_a_statement_of_the_expected_type_opens(statement: Mapping[str, Any], kind: str) -> None:
    """Alone or as one of several types; its predicate is what was signed."""
    line = sign(statement, SIGNER)

    opened = open_statement(line, [SIGNER.public_key], HISTORY, kind)

    assert opened.statement == statement
    assert check_statement(opened.statement, kind) == statement["predicate"]


def test_every_type_has_its_schema() -> None:
    """Each published schema says which type it is of."""
    assert {
        kind: schema(name)["properties"]["predicateType"]["const"] for kind, name in SCHEMAS.items()
    } == {kind: kind for kind in (RELEASE_GATE, WAIVER, PROMOTION, HISTORY, ROLLOUT, DRILL)}


def test_the_signature_is_looked_at_first() -> None:
    """Of a statement that nobody known signed, nothing is said but that; nor of too few."""
    line = sign({"_type": "nonsense"}, SIGNER)
    stranger = ephemeral().signer.public_key

    with pytest.raises(VerificationError, match=r"^none of the given keys signed this"):
        open_statement(line, [stranger], WAIVER)
    with pytest.raises(VerificationError, match=r"^fewer than 2 given keys signed this"):
        open_statement(line, [stranger, SIGNER.public_key], WAIVER, threshold=2)


REFUSED: dict[str, tuple[str, Mapping[str, Any]]] = {
    "no statement": ("this is no in-toto statement v1", {}),
    "an older statement": (
        "this is no in-toto statement v1",
        edited(WAIVED, lambda s: s.update(_type="https://in-toto.io/Statement/v0.1")),
    ),
    "another type": (f"the predicate type is not {WAIVER} or {PROMOTION}", GATE),
    "no type": (
        f"the predicate type is not {WAIVER} or {PROMOTION}",
        edited(WAIVED, lambda s: s.pop("predicateType")),
    ),
    "no predicate": (
        "the statement has no predicate",
        edited(WAIVED, lambda s: s.pop("predicate")),
    ),
    "a list": (
        "the statement has no predicate",
        edited(WAIVED, lambda s: s.update(predicate=[])),
    ),
    "a promotion called a waiver": (
        "$.predicate is not as waiver v0.1 says (required)",
        edited(PROMOTED, lambda s: s.update(predicateType=WAIVER)),
    ),
    "without a subject": (
        "$.subject is not as waiver v0.1 says (minItems)",
        edited(WAIVED, lambda s: s.update(subject=[])),
    ),
    "something beside": (
        "$ is not as waiver v0.1 says (additionalProperties)",
        edited(WAIVED, lambda s: s.update(x=1)),
    ),
    "a name that only looks right": (
        "$.predicate.environment is not as waiver v0.1 says (pattern)",
        edited(WAIVED, lambda s: s["predicate"].update(environment="рroduction")),  # noqa: RUF001
    ),
    "a name with a line feed": (
        "$.predicate.environment is not as waiver v0.1 says (pattern)",
        edited(WAIVED, lambda s: s["predicate"].update(environment="production\n")),
    ),
    "no reason": (
        "$.predicate.reason is not as waiver v0.1 says (minLength)",
        edited(WAIVED, lambda s: s["predicate"].update(reason="")),
    ),
    "a local time": (
        "$.predicate.until is not as waiver v0.1 says (pattern)",
        edited(WAIVED, lambda s: s["predicate"].update(until="2026-11-23T12:00:00+02:00")),
    ),
    "a short nonce": (
        "$.predicate.nonce is not as promotion v0.1 says (minLength)",
        edited(PROMOTED, lambda s: s["predicate"].update(nonce="0")),
    ),
    "a condition that was not met": (
        "$.predicate.conditions[0].state is not as promotion v0.1 says (enum)",
        edited(PROMOTED, lambda s: s["predicate"]["conditions"][0].update(state="not met")),
    ),
    "nothing decided": (
        "$.predicate.conditions is not as promotion v0.1 says (minItems)",
        edited(PROMOTED, lambda s: s["predicate"].update(conditions=[])),
    ),
    "a version that is no number": (
        "$.predicate.policy.version is not as promotion v0.1 says (type)",
        edited(PROMOTED, lambda s: s["predicate"]["policy"].update(version=3.0)),
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_another_statement_is_refused(what: str) -> None:
    """The message says which part is not as the type's schema has it."""
    reason, statement = REFUSED[what]

    with pytest.raises(VerificationError, match=f"^{re.escape(reason)}$"):
        open_statement(sign(statement, SIGNER), [SIGNER.public_key], WAIVER, PROMOTION)


@pytest.mark.parametrize("statement", [WAIVED, PROMOTED, GATE])
def test_every_member_of_a_predicate_is_needed(statement: Mapping[str, Any]) -> None:
    """Whichever is left out, the statement is refused."""
    kind = statement["predicateType"]
    for name in statement["predicate"]:
        less = edited(statement, lambda s, name=name: s["predicate"].pop(name))  # type: ignore[misc]
        with pytest.raises(VerificationError, match=r"\$.predicate is not as .* says \(required\)"):
            check_statement(less, kind)


def test_the_release_gate_holds_images_and_waivers() -> None:
    """By digest, and a sentence each; anything else in their places is refused."""
    files = {"junit.xml": {"sha256": "c" * 64, "size": 3}}
    bound = {"files": files, "testResult": {"sha256": "d" * 64}}
    whole = edited(GATE, lambda s: s["predicate"].update(bound))
    said = {"images": {"registry.example/shop:1": "e" * 64}}
    with_image = edited(whole, lambda s: s["predicate"]["release"].update(said))
    with_waiver = edited(whole, lambda s: s["predicate"].update(waivers=["all is waived"]))
    bad_image = edited(whole, lambda s: s["predicate"]["release"].update(images={"a": "latest"}))
    bad_waiver = edited(whole, lambda s: s["predicate"].update(waivers=[{}]))

    check = validator("release-gate")
    assert [check.is_valid(s) for s in (whole, with_image, with_waiver)] == [True, True, True]
    assert [check.is_valid(s) for s in (bad_image, bad_waiver)] == [False, False]
