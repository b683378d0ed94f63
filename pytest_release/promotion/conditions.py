"""Whether a release may go to an environment: pure rules over what was verified before.

- Every condition is met, waived or not met, and says why; all of them are listed, always.
- A gate is decided by the newest run that counts, whatever an older one came to.
- A waiver stands for the gate that it names. Breaking the glass stands for every gate, the soak, a
  freeze and missing evidence; nothing stands for evidence that was refused, for other subjects, or
  for an older policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pytest_release.config.policy import ALL_GATES, Policy, Requirement, Signers
from pytest_release.promotion.dossier import Attested, Dossier
from pytest_release.promotion.waivers import Accepted
from pytest_release.release import same_build
from pytest_release.sampling import at_least

NEVER_RAN = "NOT_RUN"
PASSED, WARNED = "PASSED", "WARNED"
GLASS = frozenset({"evidence", "soak", "freeze"})  # what breaking it stands for, beside gates
STRICT = "production"  # the role in which a build without a commit is none


class State(StrEnum):
    """What became of a condition."""

    MET = "met"
    WAIVED = "waived"
    UNMET = "not met"


@dataclass(frozen=True)
class Condition:
    """One thing that a promotion depends on.

    Attributes:
        name: ``gate stream``, ``soak``, ...
        why: What was found, in one sentence.
        waiver: What stands for it, where it is waived.
    """

    name: str
    state: State
    why: str
    waiver: Accepted | None = None


@dataclass(frozen=True)
class Candidate:
    """What is to be promoted, as the command names it.

    Attributes:
        commit: In full.
        packages: SHA-256 of each package by its file's name.
        images: SHA-256 of each image's manifest by its reference, as the registry says now.
    """

    environment: str
    release: str
    commit: str | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Decided:
    """The policy of the newest promotion to the environment that the history knows."""

    version: int
    sha256: str


@dataclass(frozen=True)
class Decision:
    """The answer.

    Attributes:
        conditions: All of them.
    """

    conditions: tuple[Condition, ...]

    @property
    def unmet(self) -> tuple[Condition, ...]:
        """What stands in the way."""
        return tuple(c for c in self.conditions if c.state is State.UNMET)

    @property
    def granted(self) -> bool:
        """The release may go."""
        return bool(self.conditions) and not self.unmet

    @property
    def waivers(self) -> tuple[Accepted, ...]:
        """Those that stand for something, each once."""
        used = {c.waiver.waiver.nonce: c.waiver for c in self.conditions if c.waiver}
        return tuple(used.values())


def decide(
    policy: Policy,
    candidate: Candidate,
    dossier: Dossier,
    waivers: Sequence[Accepted],
    last: Decided | None,
    now: datetime,
) -> Decision:
    """Evaluate every condition of a policy.

    Args:
        policy: Of the environment.
        candidate: What is to be promoted.
        dossier: The evidence.
        waivers: Those that count.
        last: None when the history knows no promotion to the environment.
        now: Aware; read once by the caller.
    """
    counted = dossier.counted
    conditions = [
        _policy(policy, last),
        *_evidence(dossier),
        *_subjects(policy, candidate, counted),
        *(_gate(requirement, counted, now) for requirement in policy.gates),
        *_soak(policy, candidate, counted, now),
        *_freezes(policy, now),
    ]
    return Decision(tuple(_waived(condition, policy, waivers) for condition in conditions))


def _condition(name: str, problem: str, good: str) -> Condition:
    """Met, and `good`, where there is no problem."""
    return Condition(name, State.UNMET if problem else State.MET, problem or good)


def _policy(policy: Policy, last: Decided | None) -> Condition:
    problem = ""
    if last is not None and policy.version < last.version:
        problem = f"version {policy.version} is older than {last.version}, which decided before"
    elif last is not None and policy.version == last.version and policy.digest != last.sha256:
        problem = f"it was changed and is still version {policy.version}; give it the next number"
    return _condition("policy", problem, f"version {policy.version} of {policy.source.name}")


def _evidence(dossier: Dossier) -> Iterator[Condition]:
    for refused in dossier.refused:
        if refused.given:
            yield Condition(f"evidence {refused.folder.name}", State.UNMET, refused.reason)
    names = ", ".join(map(str, dossier.counted))
    problem = "" if names else "there is no attestation of this release that counts"
    yield _condition("evidence", problem, names)


def _subjects(
    policy: Policy, candidate: Candidate, counted: Sequence[Attested]
) -> Iterator[Condition]:
    """What was judged is what is promoted, and all evidence speaks of the same."""
    yield _condition(
        "commit",
        "; ".join(_commit_problems(policy, candidate, counted)),
        candidate.commit or ", ".join(sorted(_commits(counted))) or "not asked for",
    )
    for kind, named, attested in (
        ("packages", candidate.packages, [(a, a.packages) for a in counted]),
        ("images", candidate.images, [(a, a.images) for a in counted]),
    ):
        asked = kind in policy.subjects
        problems = "; ".join(_digest_problems(kind, asked, named, attested))
        if problems or named:
            yield _condition(kind, problems, ", ".join(named))


def _commits(counted: Sequence[Attested]) -> set[str]:
    return {attested.commit for attested in counted if attested.commit}


def _commit_problems(
    policy: Policy, candidate: Candidate, counted: Sequence[Attested]
) -> Iterator[str]:
    asked = "commit" in policy.subjects
    if asked and candidate.commit is None:
        yield "the policy asks for the commit: name it with --commit"
    for attested in counted:
        commit = attested.commit
        if commit is None:
            if asked or candidate.commit:
                yield f"{attested.folder.name} names no commit"
        elif candidate.commit and not same_build(commit, candidate.commit, STRICT):
            yield f"{attested.folder.name} is of commit {commit}, and not of {candidate.commit}"
    named = [a for a in counted if a.commit]
    for other in named[1:]:
        if not same_build(other.commit, named[0].commit, STRICT):
            here, there = other.folder.name, named[0].folder.name
            yield f"{here} is of commit {other.commit}, {there} of {named[0].commit}"


def _digest_problems(
    kind: str,
    asked: bool,
    named: Mapping[str, str],
    attested: Iterable[tuple[Attested, Mapping[str, str]]],
) -> Iterator[str]:
    """Each named package or image was judged, and none of its name with another digest was."""
    one, option = kind.removesuffix("s"), f"--{kind.removesuffix('s')}"
    if asked and not named:
        yield f"the policy asks for {kind}: name them with {option}"
    known = dict(named)
    seen: set[str] = set()
    for bundle, digests in attested:
        for name, digest in digests.items():
            expected = known.setdefault(name, digest)
            seen.add(name)
            if digest != expected:
                yield (
                    f"{name} is sha256:{expected}, and {bundle.folder.name} is of sha256:{digest}"
                )
            elif kind == "images" and named and name not in named:  # or its tag is not looked at
                yield f"{bundle.folder.name} is of the {one} {name} too; name it with {option}"
    yield from (f"nothing attests the {one} {name}" for name in named if name not in seen)


def _gate(requirement: Requirement, counted: Sequence[Attested], now: datetime) -> Condition:
    name = f"gate {requirement.gate}"
    there = [a for a in counted if _ran(a, requirement.gate)]
    here = [a for a in there if requirement.environment in (None, a.environment)]
    here = [a for a in here if requirement.role in (None, a.role)]
    if not here:
        others = f", but in {', '.join(sorted({a.environment for a in there}))}" if there else ""
        problem = f"nothing attests it in {requirement.place}{others}"
        return Condition(name, State.UNMET, problem)
    signed = [a for a in here if _signed(a, requirement.signers)]
    if not signed:
        by = ", ".join(sorted({signer for a in here for signer in a.signers}))
        problem = f"it was signed by {by}, it needs {requirement.signers}"
        return Condition(name, State.UNMET, problem)
    newest = max(signed, key=lambda a: a.finished)
    gate = newest.gates[requirement.gate]
    problem = "; ".join(_gate_problems(requirement, newest, gate, now))
    signers = ", ".join(newest.signers)
    good = f"{gate['verdict']} in {newest.environment}, {_cases(gate)} cases, signed by {signers}"
    return _condition(name, problem, good)


def _signed(attested: Attested, needed: Signers) -> bool:
    return len(set(attested.signers) & set(needed.keys)) >= needed.threshold


def _ran(attested: Attested, gate: str) -> bool:
    return gate in attested.gates and attested.gates[gate]["verdict"] != NEVER_RAN


def _cases(gate: Mapping[str, Any]) -> int:
    """Cases that ran."""
    return sum(count for verdict, count in gate["cases"].items() if verdict != NEVER_RAN)


def _gate_problems(
    requirement: Requirement, attested: Attested, gate: Mapping[str, Any], now: datetime
) -> Iterator[str]:
    good = (PASSED, WARNED) if requirement.warned else (PASSED,)
    if gate["verdict"] not in good:
        reason = f" ({gate['reasons'][0]})" if gate["reasons"] else ""
        yield f"it is {gate['verdict']} in {attested.environment}{reason}"
    age = now - attested.finished
    if age > requirement.max_age:
        yield f"its evidence is {_span(age)} old, at most {_span(requirement.max_age)} may be"
    if _cases(gate) < requirement.min_cases:
        yield f"{_cases(gate)} cases ran, the policy asks for {requirement.min_cases}"
    for name, limit in requirement.thresholds.items():
        held = gate["thresholds"].get(name)
        if held is None:
            yield f"it was not held to {name} {'>=' if at_least(name) else '<='} {limit:g}"
        elif held["limit"] < limit if at_least(name) else held["limit"] > limit:
            sign = ">=" if at_least(name) else "<="
            yield f"it was held to {name} {sign} {held['limit']:g}, the policy asks for {limit:g}"


def _soak(
    policy: Policy, candidate: Candidate, counted: Sequence[Attested], now: datetime
) -> Iterator[Condition]:
    """From the first attestation of the release there."""
    soak = policy.soak
    if soak is None:
        return
    there = [
        a.started
        for a in counted
        if a.environment == soak.environment and _signed(a, policy.signers)
    ]
    if not there:
        problem = f"no attestation that counts shows {candidate.release} in {soak.environment}"
        yield Condition("soak", State.UNMET, problem)
        return
    time = now - min(there)
    shown = f"{_span(time)} in {soak.environment}"
    problem = "" if time >= soak.time else f"{shown}, {_span(soak.time)} are asked for"
    yield _condition("soak", problem, shown)


def _freezes(policy: Policy, now: datetime) -> Iterator[Condition]:
    if policy.freezes:
        names = [f"{f.name} ({f.zone})" for f in policy.freezes if f.covers(now)]
        problem = f"it is {', '.join(names)}" if names else ""
        yield _condition("freeze", problem, "none now")


def _waived(condition: Condition, policy: Policy, waivers: Sequence[Accepted]) -> Condition:
    if condition.state is not State.UNMET:
        return condition
    gate = condition.name.removeprefix("gate ") if condition.name.startswith("gate ") else ""
    for accepted in waivers:
        named = accepted.waiver.gate
        glass = policy.break_glass if named == ALL_GATES else None
        broken = glass is not None and (
            gate not in glass.forbidden if gate else condition.name in GLASS
        )
        if broken or (gate and named == gate):
            why = f"{condition.why}; {accepted.waiver}"
            return replace(condition, state=State.WAIVED, why=why, waiver=accepted)
    return condition


def _span(time: timedelta) -> str:
    """A time for people, in minutes or hours."""
    minutes = time.total_seconds() / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"
