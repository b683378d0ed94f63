"""The value that a setting really has, where compose, env file and the application's file say it.

Which of them wins is the application's way: the case says it as ``precedence``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_release.errors import TargetError
from pytest_release.evidence import Finding
from pytest_release.gates._preflight_stack import Stack, found, is_secret, named, shown
from pytest_release.targets.app_config import Configuration
from pytest_release.targets.settings import read_settings

ENVIRONMENT, ENV_FILE, CONFIG = "environment", "env_file", "config"
PRECEDENCE = (ENVIRONMENT, ENV_FILE, CONFIG)


@dataclass(frozen=True)
class Source:
    """One place that says a setting.

    Attributes:
        kind: One of `PRECEDENCE`.
        place: File and key, for people.
        value: None where it says nothing.
    """

    kind: str
    place: str
    value: str | None = field(repr=False)


def effective(stack: Stack) -> Iterator[Finding]:
    """Every required setting has a value, and all who say it say the same."""
    settings: Mapping[str, Mapping[str, Any]] = stack.option("settings", {})
    stack.count("settings", len(settings))
    others = frozenset(stack.option("secrets", []))
    for name, wanted in settings.items():
        sources = list(_sources(stack, name, wanted))
        order = wanted.get("precedence") or stack.option("precedence", list(PRECEDENCE))
        said = [source for source in sources if source.value is not None]
        winner = _winner(said, order)
        of = f"{name} of {wanted['service']}" if "service" in wanted else name
        if winner is None:
            yield _missing(stack, of, name, wanted, said, order)
            continue
        values = [source.value or "" for source in said]
        hidden = wanted.get("secret", any(is_secret(name, value, others) for value in values))
        if len(set(values)) > 1:
            yield _conflict(of, said, winner, hidden=hidden)
        elif not winner.value:
            yield found("empty-setting", f"{of} is empty in {winner.place}, which wins", "a value")


def _winner(said: list[Source], order: list[str]) -> Source | None:
    for kind in order:
        for source in said:
            if source.kind == kind:
                return source
    return None


def _conflict(of: str, said: list[Source], winner: Source, *, hidden: bool) -> Finding:
    """All sources with what they say, and the one that the application takes."""
    told = "; ".join(f"{one.place} says {shown(one.value or '', secret=hidden)}" for one in said)
    message = f"{of} is not the same everywhere: {told}; {winner.place} wins"
    received = shown(winner.value or "", secret=hidden)
    return found("conflict", message, "one value", received)


def _missing(
    stack: Stack,
    of: str,
    name: str,
    wanted: Mapping[str, Any],
    said: list[Source],
    order: list[str],
) -> Finding:
    """Nobody whom the application listens to says it; who does, or did, is named."""
    places = [source.place for source in _sources(stack, name, wanted) if source.kind in order]
    message = f"{of} has no value: not in {', '.join(places)}"
    if said:
        unread = ", ".join(source.place for source in said)
        message += f"; {unread} says it, and the application does not read that"
    if before := _before(stack, name, wanted):
        message += f"; the last release has it in {before}"
    return found("missing-setting", message, "a value")


def _sources(stack: Stack, name: str, wanted: Mapping[str, Any]) -> Iterator[Source]:
    if config := wanted.get("config"):
        value = Configuration(stack.directory / config["file"]).value(config["key"])
        if value in stack.option("unset", []):
            value = None
        yield Source(CONFIG, f"{config['file']} {config['key']}", value)
    if service := wanted.get("service"):
        yield _of_container(stack, service, wanted.get("environment", name))
    yield _of_env_file(stack, wanted.get("env_file", name))


def _of_env_file(stack: Stack, key: str) -> Source:
    """Its last line of that name; what compose makes of it where it expands a variable."""
    lines = {setting.name: setting for setting in stack.settings}
    if key not in lines:
        return Source(ENV_FILE, f"{stack.env_name} {key}", None)
    line = lines[key]
    expanded = "$" in line.raw and not line.raw.startswith("'")
    value = stack.compose.filling.get(key) if expanded else line.value
    return Source(ENV_FILE, f"{stack.env_name}:{line.line} {key}", value)


def _of_container(stack: Stack, service: str, key: str) -> Source:
    """What a container starts with, and whether compose's file or an env file of it says so."""
    if service not in stack.rendered.services:
        there = named(list(stack.rendered.services))
        raise TargetError(f"{stack.compose.file} has no service {service}, only {there}")
    value = stack.rendered.environment(service).get(key)
    written = key in stack.compose.written.get(service, {})
    where = "environment" if written or value is None else "env_file"
    return Source(ENVIRONMENT, f"{stack.compose.file} {service}.{where}.{key}", value)


def _before(stack: Stack, name: str, wanted: Mapping[str, Any]) -> str:
    """Where the last release has a value; empty where it has none, or cannot be read."""
    try:
        release = stack.last_release
        if release is None:
            return ""
        config = wanted.get("config")
        if config and Configuration(release / config["file"]).value(config["key"]):
            return f"{release.name}/{config['file']}"
        file = stack.env_before(release)
        has = read_settings(file).get(wanted.get("env_file", name))
    except TargetError:
        return ""
    return f"{release.name}/{file.name}" if has else ""
