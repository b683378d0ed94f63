"""Decides by the environment's policy whether the release may go there; see docs/promotion.md."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from pytest_release.attestation.keys import load_signing_key
from pytest_release.errors import RolloutError
from pytest_release.history import SUCCESS, verify
from pytest_release.promotion.promote import ACTION, Request, promote
from pytest_release.redaction import reveal
from pytest_release.rollout.stage import Order, Outcome, Stage
from pytest_release.targets.registry import resolve_image


def describe(options: Mapping[str, Any]) -> str:
    """Where it may go."""
    return f"may it go to {options['to']}?" if "to" in options else "may it go there?"


def repeatable(options: Mapping[str, Any]) -> bool:
    """What was refused may be asked again; what was granted, `check` finds."""
    return True


def act(order: Order, stage: Stage) -> Outcome:
    """Ask; every condition that is not met is named."""
    if stage.sign_with is None:
        raise RolloutError("a promotion is signed: start the rollout with --sign-with")
    signer = load_signing_key(stage.sign_with, stage.variables).signer
    nonce = sha256(order.key.encode()).hexdigest()[:32]
    outcome = promote(_request(order, stage), signer, resolve_image, stage.now(), nonce)
    if not outcome.decision.granted:
        unmet = "; ".join(f"{c.name}: {c.why}" for c in outcome.decision.unmet)
        return Outcome(done=False, why=f"refused: {unmet}")
    waived = "".join(f"; {accepted.waiver}" for accepted in outcome.decision.waivers)
    facts = {"record": str(outcome.record)} if outcome.record else {}
    why = f"granted by {len(outcome.decision.conditions)} conditions{waived}"
    return Outcome(done=True, why=why, facts=facts)


def _request(order: Order, stage: Stage) -> Request:
    options, paths = order.options, stage.paths
    given = [Path(reveal(name)) for name in options.get("bundles", ())]
    return Request(
        fixtures=paths.fixtures,
        environment=_to(order),
        release=stage.release,
        commit=stage.commit,
        packages=[
            file for name in options.get("packages", ()) for file in _archives(Path(reveal(name)))
        ],
        images=[reveal(name) for name in options.get("images", ())],
        bundles=given or stage.bundles,
        reports=paths.reports,
        history=paths.history,
        records=paths.records,
    )


def _archives(path: Path) -> list[Path]:
    """A package, or all packages of a folder."""
    return sorted(path.glob("*.tar.gz")) if path.is_dir() else [path]


def _to(order: Order) -> str:
    return reveal(order.options.get("to", order.environment))


def check(order: Order, stage: Stage) -> Outcome | None:
    """The history knows whether it was granted on the evidence of this rollout."""
    if not stage.paths.history.exists():
        return None
    evidence = {folder.name.rpartition("_")[2] for folder in stage.bundles}
    for record in verify(stage.paths.history).records:
        here = (record.action, record.env, record.version, record.status)
        if here == (ACTION, _to(order), stage.release, SUCCESS):
            served = {nonce[:8] for nonce in record.details["nonces"]}
            if evidence and evidence <= served:
                return Outcome(done=True, why=f"record {record.sequence} says that it was granted")
    return Outcome(done=False, why="the history has no such promotion")
