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

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from securesystemslib.signer import Signer

from pytest_release.atomic import fsync_folder, sha256_of, write_bytes
from pytest_release.attestation.anchor import check_anchors
from pytest_release.attestation.envelope import sign
from pytest_release.attestation.keyring import Keyring, load_keyring
from pytest_release.attestation.keys import fingerprint
from pytest_release.attestation.verify import ATTESTATION
from pytest_release.config.policies import load_policy
from pytest_release.config.policy import Policy
from pytest_release.errors import PromotionError, UsageError
from pytest_release.history import SUCCESS, Book, Chain, Entry, History, Record, anchors_of, select
from pytest_release.promotion.conditions import Candidate, Decided, Decision, decide
from pytest_release.promotion.dossier import Attested, Dossier, compile_dossier
from pytest_release.promotion.record import promotion_statement
from pytest_release.promotion.waivers import SUFFIX, accepted_waivers
from pytest_release.release import COMMIT

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
    with _history(request.history, dry=signer is None) as (book, chain):  # 2
        records = _promotions(chain, request, keyring)
        inquiry = _Inquiry(request, policy, keyring, records, now)
        dossier = inquiry.dossier()  # 3
        candidate = inquiry.candidate(dossier, resolve)
        waivers, doubts = accepted_waivers(request.fixtures, policy, keyring, request.release, now)
        decision = decide(policy, candidate, dossier, waivers, inquiry.last, now)
        outcome = Outcome(policy, decision, (*_notes(dossier), *doubts))
        if book is None or signer is None:  # 4
            return outcome
        if not decision.granted:
            book.append(_entry(policy, candidate, dossier.counted, decision), now)
            return outcome
        if inquiry.dossier() != dossier:  # 5
            raise PromotionError("the evidence changed while it was read: nothing was promoted")
        statement = promotion_statement(policy, candidate, dossier.counted, decision, now, nonce)
        line = sign(statement, signer)  # 6
        path = request.records / f"{now:%Y%m%dT%H%M%SZ}_{policy.name}_{nonce[:8]}{SUFFIX}"
        with _put_down(path, line):
            book.append(_entry(policy, candidate, dossier.counted, decision, line), now)
    return replace(outcome, record=path)


@contextmanager
def _history(path: Path, *, dry: bool) -> Iterator[tuple[Book | None, Chain]]:
    """The history under its lock, to be written; for a dry run only read, if there is one."""
    if not dry:
        with History(path).locked() as book:
            yield book, book.chain()
    elif path.exists():
        with History(path).reading() as chain:
            yield None, chain
    else:
        yield None, Chain(())


def _check_request(request: Request, signer: Signer | None, keyring: Keyring) -> None:
    if not 0 < len(request.release) <= LONGEST or not request.release.isprintable():
        raise UsageError(f"--release is a version of at most {LONGEST} printable characters")
    if request.commit is not None and not COMMIT.fullmatch(request.commit):
        raise UsageError(f"--commit is 7 to 64 hex digits, got {request.commit!a}")
    if signer is not None and not keyring.names_of([signer.public_key.keyid]):
        raise UsageError(
            f"the record would be signed by {fingerprint(signer.public_key)}, which nobody trusts: "
            f"add its public key with pytest-release key add, or sign with another"
        )


def _promotions(chain: Chain, request: Request, keyring: Keyring) -> tuple[Record, ...]:
    """The successful promotions to the environment, by a history that is as it was signed."""
    if anchors_of(request.history).exists():
        check_anchors(request.history, list(keyring.valid.values()), chain)
    there = select(chain.records, env=request.environment, status=SUCCESS)
    return tuple(record for record in there if record.action == ACTION)


@dataclass(frozen=True)
class _Inquiry:
    """What is read for a decision."""

    request: Request
    policy: Policy
    keyring: Keyring
    records: Sequence[Record]
    now: datetime

    @property
    def last(self) -> Decided | None:
        """The policy that decided last."""
        if not self.records:
            return None
        return Decided(**self.records[-1].details["policy"])

    def dossier(self) -> Dossier:
        """The evidence, and what each run of it has served."""
        served = {
            nonce: f"the promotion of {record.version} at {record.time}"
            for record in self.records
            for nonce in record.details["nonces"]
        }
        found = () if self.request.bundles else _bundles(self.request.reports)
        return compile_dossier(
            self.request.bundles,
            found,
            self.keyring,
            self.policy.trusted,
            self.request.release,
            served,
            self.now,
        )

    def candidate(self, dossier: Dossier, resolve: Callable[[str], str]) -> Candidate:
        """What is to be promoted, its packages read and its images looked up now."""
        attested = {image for counted in dossier.counted for image in counted.images}
        return Candidate(
            environment=self.request.environment,
            release=self.request.release,
            commit=self.request.commit,
            packages={path.name: _digest(path) for path in self.request.packages},
            images={image: resolve(image) for image in self.request.images or sorted(attested)},
        )


def _bundles(reports: Path) -> tuple[Path, ...]:
    """The bundles in a folder of reports, each once."""
    if not reports.is_dir():
        return ()
    folders = (path for path in reports.iterdir() if path.is_dir() and not path.is_symlink())
    return tuple(sorted(path for path in folders if (path / ATTESTATION).exists()))


def _digest(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise PromotionError(f"the package {path} cannot be read: {error.strerror}") from None


def _notes(dossier: Dossier) -> tuple[str, ...]:
    return tuple(f"{r.folder.name}: {r.reason}" for r in dossier.refused if not r.given)


def _entry(
    policy: Policy,
    candidate: Candidate,
    counted: Sequence[Attested],
    decision: Decision,
    line: bytes | None = None,
) -> Entry:
    """The history's line: of a refusal what was not met, of a promotion what it rests on."""
    waived = [str(accepted.waiver) for accepted in decision.waivers]
    unmet = [condition.name for condition in decision.unmet]
    details: dict[str, Any] = {
        "policy": {"version": policy.version, "sha256": policy.digest},
        "unmet": {condition.name: condition.why for condition in decision.unmet},
        "waivers": waived,
    }
    if line is not None:
        details["nonces"] = [attested.nonce for attested in counted]
        details["record"] = sha256(line).hexdigest()
    return Entry(
        stack=counted[0].system if counted else "-",
        env=candidate.environment,
        action=ACTION,
        version=candidate.release,
        status=REFUSED if line is None else SUCCESS,
        notes="; ".join((*(f"not met: {name}" for name in unmet), *waived)),
        details=details,
    )


@contextmanager
def _put_down(path: Path, data: bytes) -> Iterator[None]:
    """A file that gets its name only when the body is through; what is in the way is left."""
    beside = path.with_name(f".{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(beside, data)
    except OSError as error:
        raise PromotionError(f"the record {path} cannot be written: {error.strerror}") from None
    try:
        yield
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    beside.replace(path)
    fsync_folder(path.parent)
