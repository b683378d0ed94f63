"""What the deployed applications are told and let in: their settings files, and their API keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from pytest_release.config.cases import CheckCase, Request
from pytest_release.config.environment import Auth
from pytest_release.evidence import Finding
from pytest_release.gates._isolation_sides import Pair, Side
from pytest_release.gates._scene import Scene
from pytest_release.hostile import one_line
from pytest_release.redaction import MASK, Secret
from pytest_release.targets.http import HttpTarget
from pytest_release.targets.settings import read_settings

PRIVATE = re.compile(r"key$|token|secret|pass|dsn|url|credential", re.IGNORECASE)
REFUSALS = (401, 403)


def settings(case: CheckCase, pair: Pair, scene: Scene) -> Iterator[Finding]:  # noqa: ARG001
    """What an application is told is what its environment declares, and not what the other is."""
    told: dict[str, Mapping[str, str]] = {}
    for side, _ in pair.both:
        if file := side.declared("application.settings"):
            told[side.name] = read_settings(Path(file))
        else:
            message = f"{side.name} names no services.application.settings"
            yield Finding("isolation.undeclared", message, expected="the path of its settings file")
    for side, other in pair.both:
        if side.name in told:
            yield from _as_declared(case, side, other, told[side.name])
    if len(told) == 2:
        yield from _different(case, pair, told)


def _as_declared(
    case: CheckCase, side: Side, other: Side, told: Mapping[str, str]
) -> Iterator[Finding]:
    file = side.declared("application.settings")
    for name, place in case.expect.get("settings", {}).items():
        declared = _declared(side, place)
        if name not in told:
            message = f"{file} has no {name}, so its default counts, whatever that is"
            yield Finding("isolation.setting-missing", message, expected=_shown(name, declared))
        elif told[name] != declared:
            of_other = told[name] == _declared(other, place)
            whose = f", which is what {other.name} declares" if of_other else ""
            message = (
                f"{file}: {name} is {_shown(name, told[name])}{whose}; {side.name} declares "
                f"{_shown(name, declared)} as {place}"
            )
            yield Finding("isolation.setting-differs", message, expected=_shown(name, declared))


def _declared(side: Side, place: str) -> str:
    if place == "base_url.port":
        return str(urlsplit(side.environment.base_url or "").port or "")
    return side.declared(place)


def _different(
    case: CheckCase, pair: Pair, told: Mapping[str, Mapping[str, str]]
) -> Iterator[Finding]:
    ours, theirs = told[pair.ours.name], told[pair.theirs.name]
    for name in case.expect.get("differ", ()):
        if name in ours and ours[name] == theirs.get(name):
            message = (
                f"{name} is {_shown(name, ours[name])} in the settings of both {pair.ours.name} "
                f"and {pair.theirs.name}"
            )
            yield Finding("isolation.setting-same", message, expected="another value")
        for side, values in ((pair.ours, ours), (pair.theirs, theirs)):
            if name not in values:
                file = side.declared("application.settings")
                message = f"{file} has no {name}, so its default counts, whatever that is"
                yield Finding("isolation.setting-missing", message, expected=name)


def _shown(name: str, value: str) -> str:
    return MASK if PRIVATE.search(name) else repr(one_line(value[:200]))


def api_key(case: CheckCase, pair: Pair, scene: Scene) -> Iterator[Finding]:  # noqa: ARG001
    """The other side's application knows its own key, and refuses ours; GET only."""
    for side in (pair.ours, pair.theirs):
        if not side.api_key:
            message = f"{side.name} names no key: neither auth nor services.application.api_key"
            yield Finding("isolation.undeclared", message, expected="an API key")
    if not (pair.ours.api_key and pair.theirs.api_key):
        return
    path = case.options["path"]
    where = f"GET {pair.theirs.name}{path}"
    own = _status(pair.theirs, path, pair.theirs.api_key)
    if own != 200:
        message = f"{where} answers {own} to its own key, so that a refusal would show nothing"
        yield Finding("isolation.key-refused", message, expected="200", received=str(own))
        return
    for whose, key in ((f"the key of {pair.ours.name}", pair.ours.api_key), ("no key", "")):
        status = _status(pair.theirs, path, key)
        if status not in REFUSALS:
            message = f"{where} answers {status} to {whose}, expected 401 or 403"
            received = str(status)
            yield Finding("isolation.key-accepted", message, expected="401", received=received)


def _status(side: Side, path: str, key: str) -> int:
    given = side.environment.auth
    auth = replace(given, token=Secret(key)) if given else Auth("bearer", token=Secret(key))
    environment = replace(side.environment, auth=auth if key else None)
    with HttpTarget(environment) as target:
        return target.send(Request("GET", path)).status
