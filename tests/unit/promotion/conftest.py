"""A desk at which promotions are decided; its keys, bundles and waivers really sign."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from securesystemslib.signer import Signer

from pytest_release.atomic import canonical_json
from pytest_release.attestation.envelope import countersign, sign
from pytest_release.attestation.keys import SigningKey, ephemeral
from pytest_release.attestation.verify import ATTESTATION, digest_files
from pytest_release.attestation.waiver import Waiver, waiver_statement
from pytest_release.history import History
from pytest_release.promotion.conditions import Condition
from pytest_release.promotion.promote import Outcome, Request, promote
from tests.unit.attestation.conftest import GATE, RESULT

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)  # a Wednesday
RELEASE = "1.4.2"
COMMIT = "d34bcae5b1f0c4a2976e8d31c05b7fa9e6421d80"
POLICY: Mapping[str, Any] = {
    "name": "production",
    "version": 3,
    "signers": {"keys": ["ci", "lead"]},
    "max_age_h": 24,
    "gates": {
        "basic": {"environment": "staging", "min_cases": 6, "thresholds": {"p95_ms": 500}},
        "stream": {"role": "staging", "warned": True},
    },
    "subjects": ["commit"],
    "waivers": {"signers": {"keys": ["lead"]}, "max_h": 72, "forbidden": ["basic"]},
    "break_glass": {"signers": {"keys": ["lead", "cto"], "threshold": 2}, "max_h": 4},
}
LIMIT = {
    "limit": 500,
    "measured": {"value": 9.5, "low": 9, "high": 10},
    "samples": 40,
    "decision": "kept",
}

Edit = Callable[[dict[str, Any]], object]


def gate(verdict: str = "PASSED", cases: int = 6, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A gate, as the release-gate predicate says it."""
    return {
        "verdict": verdict,
        "required": True,
        "asked": True,
        "reasons": [] if verdict == "PASSED" else ["because"],
        "cases": {verdict: cases} if cases else {},
        "thresholds": {},
        **more,
    }


def put(**members: Any) -> Edit:  # noqa: ANN401 - any JSON value
    """Replace members of a statement's predicate."""
    return lambda statement: statement["predicate"].update(members)


@dataclass
class Desk:
    """Where one release is decided on."""

    folder: Path
    now: datetime = NOW
    images: dict[str, str] = field(default_factory=dict)
    keys: dict[str, SigningKey] = field(default_factory=dict)

    @property
    def fixtures(self) -> Path:
        """The folder of what people write."""
        return self.folder / "fixtures"

    @property
    def history(self) -> Path:
        """The history's file."""
        return self.folder / "history.jsonl"

    def signer(self, name: str) -> Signer:
        """Of a key by its name, made when it is first asked for."""
        return self.keys.setdefault(name, ephemeral()).signer

    def trust(self, *names: str) -> None:
        """Put public keys into the keyring."""
        (self.fixtures / "keys").mkdir(parents=True, exist_ok=True)
        for name in names:
            self.signer(name)
            pem = self.keys[name].ephemeral_pem
            assert pem is not None
            (self.fixtures / "keys" / f"{name}.pub").write_bytes(pem)

    def policy(self, edit: Edit = lambda _: None) -> None:
        """Write the policy, after `edit` changed it."""
        value = deepcopy(dict(POLICY))
        edit(value)
        folder = self.fixtures / "policies"
        folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(value, sort_keys=False)
        (folder / f"{value['name']}.yaml").write_text(text)

    def bundle(
        self,
        name: str = "staging-1",
        edit: Edit = lambda _: None,
        signers: Sequence[str] = ("ci",),
        ago: timedelta = timedelta(hours=1),
    ) -> Path:
        """A bundle of a run that ended some time `ago`, in which both gates passed."""
        folder = self.folder / "reports" / name
        folder.mkdir(parents=True)
        (folder / "report.html").write_text("<p>ok</p>")
        (folder / "evidence.json").write_text("{}")
        self.seal(folder, edit, signers, ago)
        return folder

    def seal(
        self,
        folder: Path,
        edit: Edit = lambda _: None,
        signers: Sequence[str] = ("ci",),
        ago: timedelta = timedelta(hours=1),
    ) -> None:
        """Sign what stands in the folder."""
        first, second = deepcopy(dict(RESULT)), deepcopy(dict(GATE))
        predicate = second["predicate"]
        predicate["gates"] = {"basic": gate(thresholds={"p95_ms": LIMIT}), "stream": gate()}
        predicate["release"]["commit"] = COMMIT
        predicate["finished"] = (self.now - ago).isoformat()
        predicate["started"] = (self.now - ago - timedelta(minutes=5)).isoformat()
        predicate["files"] = digest_files(folder)
        predicate["nonce"] = sha256(folder.name.encode()).hexdigest()[:32]
        edit(second)
        first["subject"] = second["subject"]
        verdict = predicate["verdict"]
        first["predicate"]["result"] = verdict if verdict in ("PASSED", "WARNED") else "FAILED"
        predicate["testResult"] = {"sha256": sha256(canonical_json(first)).hexdigest()}
        lines = b"".join(self.signed(statement, signers) for statement in (first, second))
        (folder / ATTESTATION).write_bytes(lines)

    def signed(self, statement: Mapping[str, Any], signers: Sequence[str]) -> bytes:
        """An envelope with the signatures of all of them."""
        line = sign(statement, self.signer(signers[0]))
        known = [self.signer(name).public_key for name in signers]
        for name in signers[1:]:
            line = countersign(line, known, self.signer(name))
        return line

    def waiver(self, signers: Sequence[str] = ("lead",), **changes: Any) -> Path:  # noqa: ANN401
        """A waiver of the stream gate for two hours, signed an hour ago."""
        waiver = Waiver(
            environment="production",
            release=RELEASE,
            gate="stream",
            reason="ticket 812",
            by="Li Wei",
            issued=self.now - timedelta(hours=1),
            until=self.now + timedelta(hours=1),
            nonce="fedcba9876543210",
        )
        waiver = replace(waiver, **changes)
        folder = self.fixtures / "waivers" / "production"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{waiver.gate}-{len(list(folder.iterdir()))}.intoto.jsonl"
        file.write_bytes(self.signed(waiver_statement(waiver), signers))
        return file

    def promote(
        self,
        *bundles: Path,
        sign_with: str | None = "ci",
        nonce: str = "0" * 32,
        **changes: Any,  # noqa: ANN401 - members of the request
    ) -> Outcome:
        """Ask for the promotion of the release to production."""
        request = Request(
            fixtures=self.fixtures,
            environment="production",
            release=RELEASE,
            commit=COMMIT,
            packages=(),
            images=(),
            bundles=bundles,
            reports=self.folder / "reports",
            history=self.history,
            records=self.folder / "promotions",
        )
        signer = self.signer(sign_with) if sign_with else None
        return promote(
            replace(request, **changes), signer, self.images.__getitem__, self.now, nonce
        )

    def refused(self, *bundles: Path, **changes: Any) -> str:  # noqa: ANN401
        """What was not met, ``name: why`` a line; that nothing was promoted is proven first."""
        outcome = self.promote(*bundles, **changes)
        assert not outcome.decision.granted
        assert outcome.record is None
        assert not list((self.folder / "promotions").glob("*"))
        assert History(self.history).path.read_text().count('"status":"success"') == 0
        return "\n".join(f"{c.name}: {c.why}" for c in outcome.decision.unmet)


def condition(outcome: Outcome, name: str) -> Condition:
    """One condition by its name."""
    (found,) = (c for c in outcome.decision.conditions if c.name == name)
    return found


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Keys of ci, lead and cto are trusted; the policy stands."""
    made = Desk(tmp_path)
    made.trust("ci", "lead", "cto")
    made.policy()
    return made
