"""Decides on a promotion, and records what was decided.

The order of things; each step is numbered where it is done:

1. Read the policy and the keyring.
2. Lock the history, and prove that it is whole: what served before is known from it alone.
3. Read the evidence, the waivers and what is to be promoted; evaluate every condition.
4. A dry run ends here. A refusal is a line in the history.
5. Read the evidence again: it has not changed since it was believed.
6. Sign the record and put it down beside its name; write the history's line, which carries its
   digest; give the record its name. Whoever is killed on the way leaves no record without a line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from securesystemslib.signer import Signer

from pytest_release.atomic import fsync_folder, sha256_of, write_bytes
from pytest_release.attestation.envelope import sign
from pytest_release.attestation.keyring import Keyring, load_keyring
from pytest_release.attestation.keys import fingerprint
from pytest_release.attestation.verify import ATTESTATION
from pytest_release.config.policies import load_policy
from pytest_release.config.policy import Policy
from pytest_release.errors import PromotionError, UsageError
from pytest_release.history import SUCCESS, Book, Entry, History, Record
from pytest_release.promotion.conditions import Candidate, Decided, Decision, decide
from pytest_release.promotion.dossier import Attested, Dossier, compile_dossier
from pytest_release.promotion.record import promotion_statement
from pytest_release.promotion.waivers import accepted_waivers

ACTION = "promote"
REFUSED = "refused"
LONGEST = 200  # characters of a version


@dataclass(frozen=True)
class Request:
    """What a command asks for.

    Attributes:
        fixtures: The folder with ``policies/``, ``keys/`` and ``waivers/``.
        packages: Files of the packages that are promoted.
        images: References; without any, those that the evidence speaks of.
        bundles: The evidence; without any, the bundles in `reports` that are of the release.
        history: Its file.
        records: The folder of signed records.
    """

    fixtures: Path
    environment: str
    release: str
    commit: str | None
    packages: Sequence[Path]
    images: Sequence[str]
    bundles: Sequence[Path]
    reports: Path
    history: Path
    records: Path


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        notes: What was not believed and did not have to be, a sentence each.
        record: The signed record; None when there is none.
    """

    policy: Policy
    decision: Decision
    notes: tuple[str, ...]
    record: Path | None = None


def promote(
    request: Request,
    signer: Signer | None,
    resolve: Callable[[str], str],
    now: datetime,
    nonce: str,
) -> Outcome:
    """Steps 1 to 6 of the module's docstring.

    Args:
        request: What is asked for.
        signer: Of the record; None for a dry run.
        resolve: Says which digest an image's reference has now.
        now: Aware; read once by the caller.
        nonce: Of the record.

    Raises:
        ReleaseError: A file that decides cannot be believed, or the record cannot be written.
    """
    policy = load_policy(request.fixtures, request.environment)  # 1
    keyring = load_keyring(request.fixtures)
    _check_request(request, signer, keyring)
    with History(request.history).locked() as book:  # 2
        records = _promotions(book, request.environment)
        inquiry = _Inquiry(request, policy, keyring, records, now)
        dossier = inquiry.dossier()  # 3
        candidate = inquiry.candidate(dossier, resolve)
        waivers, doubts = accepted_waivers(
            request.fixtures, policy, keyring, request.release, now
        )
        decision = decide(policy, candidate, dossier, waivers, inquiry.last, now)
        notes = (*_notes(dossier), *doubts)
        if signer is None:  # 4
            return Outcome(policy, decision, notes)
        entry = _Line(request, policy, dossier.counted, decision)
        if not decision.granted:
            book.append(entry.refused(), now)
            return Outcome(policy, decision, notes)
        if inquiry.dossier() != dossier:  # 5
            raise PromotionError("the evidence changed while it was read; nothing was promoted")
        statement = promotion_statement(policy, candidate, dossier.counted, decision, now, nonce)
        line = sign(statement, signer)  # 6
        path = request.records / f"{now:%Y%m%dT%H%M%SZ}_{policy.name}_{nonce[:8]}.intoto.jsonl"
        with _beside(path, line) as finish:
            book.append(entry.granted(line), now)
            finish()
    return Outcome(policy, decision, notes, path)
