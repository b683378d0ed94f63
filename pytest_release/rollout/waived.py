"""The waiver that a part of a plan needs, as one that skips the sentinel does."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pytest_release.attestation.keyring import load_keyring
from pytest_release.config.plan import Mode
from pytest_release.config.policies import load_policy
from pytest_release.config.policy import ALL_GATES
from pytest_release.errors import RolloutError
from pytest_release.promotion.waivers import accepted_waivers


def waiver_of(fixtures: Path, mode: Mode, release: str, now: datetime) -> str | None:
    """The waiver that a mode needs, in words.

    Raises:
        RolloutError: None counts.
    """
    if mode.waiver is None:
        return None
    environment, gate = mode.waiver
    policy = load_policy(fixtures, environment)
    keyring = load_keyring(fixtures)
    accepted, doubts = accepted_waivers(fixtures, policy, keyring, release, now)
    for one in accepted:
        if one.waiver.gate in (gate, ALL_GATES):
            return f"{one.waiver} (signed by {', '.join(one.signers)})"
    why = "".join(f"; {doubt}" for doubt in doubts)
    raise RolloutError(
        f"this mode needs a waiver of {gate} for {release} in {environment}, and none counts{why}"
    )
