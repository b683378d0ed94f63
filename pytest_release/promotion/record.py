"""The signed record of a promotion: what was decided, by which policy, on which evidence.

A statement with the predicate promotion v0.1 (``schemas/promotion.schema.json``) in one envelope.
Its subjects are those that were promoted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from pytest_release.atomic import canonical_json
from pytest_release.attestation.predicates import PROMOTION
from pytest_release.attestation.statement import statement
from pytest_release.config.policy import Policy
from pytest_release.promotion.conditions import Candidate, Condition, Decision
from pytest_release.promotion.dossier import Attested
from pytest_release.promotion.waivers import Accepted


def promotion_statement(
    policy: Policy,
    candidate: Candidate,
    counted: Sequence[Attested],
    decision: Decision,
    now: datetime,
    nonce: str,
) -> dict[str, Any]:
    """The statement that is signed; the decision was granted."""
    predicate = {
        "environment": candidate.environment,
        "release": candidate.release,
        "policy": {"version": policy.version, "sha256": policy.digest},
        "conditions": [_condition(condition) for condition in decision.conditions],
        "evidence": [_evidence(attested) for attested in counted],
        "waivers": [_waiver(accepted) for accepted in decision.waivers],
        "decided": now.isoformat(),
        "nonce": nonce,
    }
    return statement(list(_subjects(candidate, counted)), PROMOTION, predicate)


def _subjects(candidate: Candidate, counted: Sequence[Attested]) -> Iterator[dict[str, Any]]:
    """The commit, packages and images; the name of the release where it has nothing else."""
    name = f"release {candidate.release}"
    commit = candidate.commit or next((a.commit for a in counted if a.commit), None)
    if commit:
        yield {"name": name, "digest": {"gitCommit": commit}}
    digests = {**candidate.packages, **candidate.images}
    if not commit and not digests:
        named = {"environment": candidate.environment, "release": candidate.release}
        yield {"name": name, "digest": {"sha256": sha256(canonical_json(named)).hexdigest()}}
    for subject, digest in sorted(digests.items()):
        yield {"name": subject, "digest": {"sha256": digest}}


def _condition(condition: Condition) -> Mapping[str, str]:
    return {"name": condition.name, "state": condition.state, "why": condition.why}


def _evidence(attested: Attested) -> Mapping[str, Any]:
    return {
        "sha256": attested.sha256,
        "environment": attested.environment,
        "finished": attested.finished.isoformat(),
        "nonce": attested.nonce,
        "signers": list(attested.signers),
    }


def _waiver(accepted: Accepted) -> Mapping[str, Any]:
    waiver = accepted.waiver
    return {
        "gate": waiver.gate,
        "reason": waiver.reason,
        "by": waiver.by,
        "until": waiver.until.isoformat(),
        "nonce": waiver.nonce,
        "signers": list(accepted.signers),
    }
