"""``fixtures/policies/*.yaml`` -> `Policy`, and the names of the trusted keys.

A policy holds no variables: what decides must be what was reviewed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pytest_release.atomic import canonical_json
from pytest_release.config.document import Document, Key, load_document
from pytest_release.config.policy import (
    WEEK,
    Freeze,
    Moment,
    Policy,
    Requirement,
    Signers,
    Soak,
    WaiverPolicy,
)
from pytest_release.config.validation import suggestion, validate
from pytest_release.config.variables import Resolved
from pytest_release.errors import ConfigError, Problem, UsageError

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
RECURRING = re.compile(r"(?:(?P<day>[a-z]+) )?(?P<hour>\d\d):(?P<minute>\d\d)")


def key_names(fixtures: Path) -> list[str]:
    """Names of the public keys in ``keys/``, sorted."""
    return sorted(file.stem for file in (fixtures / "keys").glob("*.pub"))


def policy_names(fixtures: Path) -> list[str]:
    """Names of the environments that a policy guards, sorted; a leading underscore marks a base."""
    files = (fixtures / "policies").glob("*.yaml")
    return sorted(file.stem for file in files if not file.stem.startswith("_"))


def load_policy(fixtures: Path, name: str) -> Policy:
    """Read and check the policy that guards an environment.

    Args:
        fixtures: The folder with ``policies/`` and ``keys/``.
        name: Of the environment.

    Raises:
        UsageError: No policy guards it; lists those there are.
        ConfigError: The file, or one it extends, is wrong, or names a key that is not there.
    """
    known = policy_names(fixtures)
    if name not in known:
        folder = fixtures / "policies"
        there_are = ", ".join(known) or "none (no *.yaml there)"
        raise UsageError(
            f"no policy guards {name!a}{suggestion(name, known)}; policies in {folder}: {there_are}"
        )
    document = load_document(fixtures / "policies" / f"{name}.yaml")
    validate(Resolved(document, frozenset(), frozenset()), "policy")
    if problems := list(_problems(document, name, key_names(fixtures))):
        raise ConfigError(*problems)
    return _build(document)


def _problems(document: Document, name: str, keys: list[str]) -> Iterator[Problem]:
    """What a schema cannot say."""
    value, problem = document.value, document.problem
    if value["name"] != name:
        message = f"expected {name!r}, the file's own name, got {value['name']!r}"
        yield problem(("name",), message)
    for key, signers in _signers_of(value):
        for index, named in enumerate(signers["keys"]):
            if named not in keys:
                there_are = ", ".join(keys) or "none"
                message = f"there is no key {named!r}{suggestion(named, keys)}; keys: {there_are}; "
                message += f"add it with: pytest-release key add {named} FILE.pub"
                yield problem((*key, "keys", index), message)
        if signers.get("threshold", 1) > len(signers["keys"]):
            message = f"{signers['threshold']} of {len(signers['keys'])} keys can never have signed"
            yield problem((*key, "threshold"), message)
    for index, freeze in enumerate(value.get("freeze", ())):
        yield from _freeze_problems(document, ("freeze", index), freeze)


def _signers_of(value: Mapping[str, Any]) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """Every place that names keys."""
    yield ("signers",), value["signers"]
    for gate, requirement in value["gates"].items():
        if "signers" in requirement:
            yield ("gates", gate, "signers"), requirement["signers"]
    for part in ("waivers", "break_glass"):
        if part in value:
            yield (part, "signers"), value[part]["signers"]


def _freeze_problems(document: Document, key: Key, freeze: Mapping[str, Any]) -> Iterator[Problem]:
    try:
        ZoneInfo(freeze["zone"])
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = f"there is no time zone {freeze['zone']!r}; expected one like Europe/Berlin"
        yield document.problem((*key, "zone"), message)
    moments = {}
    for end in ("from", "until"):
        try:
            moments[end] = _moment(freeze[end])
        except ValueError:
            message = f"expected an existing date and time, got {freeze[end]!r}"
            yield document.problem((*key, end), message)
    if len(moments) < 2:
        return
    first, last = moments["from"], moments["until"]
    if first.period != last.period:
        yield document.problem(
            (*key, "until"), f"is not of the same kind as from, {freeze['from']!r}"
        )
    elif first == last or (first.date and last.date and first.date > last.date):
        yield document.problem((*key, "until"), f"is not after from, {freeze['from']!r}")


def _moment(text: str) -> Moment:
    """Read ``2026-12-20T18:00``, ``friday 18:00`` or ``18:00``.

    Raises:
        ValueError: There is no such moment.
    """
    match = RECURRING.fullmatch(text)
    if match is None:
        return Moment(datetime.fromisoformat(text))
    time = datetime.strptime(f"{match['hour']}:{match['minute']}", "%H:%M")  # noqa: DTZ007 - local
    offset = timedelta(hours=time.hour, minutes=time.minute)
    if match["day"] is None:
        return Moment(None, offset, timedelta(days=1))
    return Moment(None, timedelta(days=DAYS.index(match["day"])) + offset, WEEK)


def _build(document: Document) -> Policy:
    value = document.value
    signers = _signers(value["signers"])
    max_age = value["max_age_h"]
    soak = value.get("soak")
    return Policy(
        name=value["name"],
        version=value["version"],
        signers=signers,
        gates=tuple(
            _requirement(gate, given, signers, max_age) for gate, given in value["gates"].items()
        ),
        subjects=tuple(value.get("subjects", ())),
        soak=Soak(soak["environment"], timedelta(minutes=soak["minutes"])) if soak else None,
        freezes=tuple(_freeze(given) for given in value.get("freeze", ())),
        waivers=_waivers(value.get("waivers")),
        break_glass=_waivers(value.get("break_glass")),
        source=document.file,
        digest=hashlib.sha256(canonical_json(value)).hexdigest(),
    )


def _signers(given: Mapping[str, Any]) -> Signers:
    return Signers(tuple(given["keys"]), given.get("threshold", 1))


def _requirement(
    gate: str, given: Mapping[str, Any], signers: Signers, max_age: float
) -> Requirement:
    return Requirement(
        gate=gate,
        environment=given.get("environment"),
        role=given.get("role"),
        signers=_signers(given["signers"]) if "signers" in given else signers,
        max_age=timedelta(hours=given.get("max_age_h", max_age)),
        min_cases=given.get("min_cases", 1),
        warned=given.get("warned", False),
        thresholds=dict(given.get("thresholds", {})),
    )


def _freeze(given: Mapping[str, Any]) -> Freeze:
    first, last = _moment(given["from"]), _moment(given["until"])
    return Freeze(given["name"], first, last, ZoneInfo(given["zone"]))


def _waivers(given: Mapping[str, Any] | None) -> WaiverPolicy | None:
    if given is None:
        return None
    longest = timedelta(hours=given["max_h"])
    return WaiverPolicy(_signers(given["signers"]), longest, frozenset(given.get("forbidden", ())))
