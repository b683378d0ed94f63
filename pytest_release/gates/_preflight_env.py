"""The env file: complete against its template and the last release, and without placeholders."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pytest_release.config.validation import suggestion
from pytest_release.errors import TargetError
from pytest_release.evidence import Finding
from pytest_release.gates._preflight_stack import Stack, found, is_secret
from pytest_release.targets.app_config import Configuration
from pytest_release.targets.settings import Setting, read_lines

# What no real value looks like, whatever its key.
PLACEHOLDERS: Mapping[str, re.Pattern[str]] = {
    "asterisks": re.compile(r"\*{3,}"),
    "REDACTED": re.compile(r"redacted", re.IGNORECASE),
    "changeme": re.compile(r"(?<![a-z])change[-_ ]?(?:me|it|this)(?![a-z])", re.IGNORECASE),
    "an angle-bracketed hint": re.compile(r"^<[^<>]*>$"),
    "your_...": re.compile(r"^(?:your|enter|insert|put|replace)[-_ ]", re.IGNORECASE),
    "a word for what is to come": re.compile(
        r"^(?:to-?do|fix-?me|tbd|placeholder|dummy|none yet|x{3,}|\.{3,})$", re.IGNORECASE
    ),
    "a variable that nothing fills in": re.compile(r"^\$\{\w+\}$|^\{\{.*\}\}$"),
}
# What no secret may be.
WEAK = re.compile(r"^(?:password|passwd|secret|admin|root|test|example|default|1234\d*)$", re.I)


def env_file(stack: Stack) -> Iterator[Finding]:
    """Every key of the template and of the last release is there, once."""
    name, lines = stack.env_name, stack.settings
    keys = {setting.name: setting for setting in lines}
    stack.count("keys", len(keys))
    for setting in lines:
        if keys[setting.name] is not setting:
            again = keys[setting.name].line
            message = f"{name}:{setting.line} sets {setting.name}, and line {again} sets it again"
            yield found("duplicate-key", f"{message}: the last one counts", "one line")
    template = stack.template
    wanted = {setting.name for setting in read_lines(template)}
    optional = set(stack.option("optional", []))
    for key in sorted(wanted - keys.keys() - optional):
        near = suggestion(key, keys.keys() - wanted)
        message = f"{name} lacks {key}, which {template.name} has{near}"
        yield found("missing-key", message, f"{key}=...")
    yield from _lost(stack, keys)


def _lost(stack: Stack, keys: Mapping[str, Setting]) -> Iterator[Finding]:
    """What the last release has and this one has not: a key, or its value."""
    release = stack.last_release
    if release is None:
        return
    before = stack.env_before(release)
    let_go = {*stack.option("optional", []), *stack.option("retired", [])}
    for setting in read_lines(before):
        now = keys.get(setting.name)
        has = f"which the last release has ({release.name}/{before.name}:{setting.line})"
        if setting.name in let_go:
            continue
        if now is None:
            message = f"{stack.env_name} lost {setting.name}, {has}"
            yield found("lost-key", message, f"{setting.name}=..., or retired: [{setting.name}]")
        elif setting.value and not now.value:
            message = f"{stack.env_name}:{now.line}: {setting.name} lost its value, {has}"
            yield found("lost-value", message, "a value")


def placeholders(stack: Stack) -> Iterator[Finding]:
    """No value is one that somebody was to replace; none is told."""
    others = frozenset(stack.option("secrets", []))
    may_be_empty = frozenset(stack.option("may_be_empty", []))
    yield from _files(stack, others, may_be_empty)
    mine = {(setting.name, setting.value) for setting in stack.settings}
    for service in stack.rendered.services:
        for key, value in stack.rendered.environment(service).items():
            if value is None or (key, value) in mine:
                continue
            where = f"{stack.compose.file}: {key} of the service {service}"
            secret = is_secret(key, value, others) and key not in may_be_empty
            yield from _judged(where, value, secret=secret)


def _files(stack: Stack, others: frozenset[str], may_be_empty: frozenset[str]) -> Iterator[Finding]:
    hints = _hints(stack)
    values = 0
    for setting in stack.settings:
        values += 1
        secret = is_secret(setting.name, setting.value, others)
        where = f"{stack.env_name}:{setting.line}: {setting.name}"
        judged = list(
            _judged(where, setting.value, secret=secret and setting.name not in may_be_empty)
        )
        yield from judged
        if secret and not judged and setting.value and setting.value == hints.get(setting.name):
            message = f"{where} is what the template says, which everybody can read"
            yield found("template-secret", message, "a secret of its own")
    for file in stack.option("files", []):
        for key, value in Configuration(stack.directory / file).values():
            values += 1
            where = f"{file}: {key}"
            secret = is_secret(key, value, others) and key not in may_be_empty
            yield from _judged(where, value, secret=secret)
    stack.count("values", values)


def _hints(stack: Stack) -> dict[str, str]:
    try:
        return {setting.name: setting.value for setting in read_lines(stack.template)}
    except TargetError:  # whether there must be one is the env check's business
        return {}


def _judged(where: str, value: str, *, secret: bool) -> Iterator[Finding]:
    for kind, pattern in PLACEHOLDERS.items():
        if pattern.search(value):
            message = f"{where} is a placeholder: {kind}, {len(value)} characters"
            yield found("placeholder", message, "a real value")
            return
    if secret and not value.strip():
        yield found("empty-secret", f"{where} is empty", "a secret")
    elif secret and WEAK.search(value):
        message = f"{where} is a word that everybody tries first, {len(value)} characters"
        yield found("weak-secret", message, "a secret of its own")
