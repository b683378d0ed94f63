"""``fixtures/environments/*.yaml`` -> `Environment`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from pytest_release.atomic import canonical_json
from pytest_release.config.document import load_document
from pytest_release.config.environment import (
    Auth,
    Environment,
    GatePolicy,
    LeasePlace,
    ReleaseSource,
    SamplePolicy,
    SandboxPolicy,
)
from pytest_release.config.validation import suggestion, validate
from pytest_release.config.variables import Resolved, resolve
from pytest_release.errors import ConfigError, Problem, UsageError
from pytest_release.redaction import Redactor, Secret, basic_credentials, reveal

_EVERY_GATE = frozenset(part.name for part in fields(GatePolicy))


def environment_names(fixtures: Path) -> list[str]:
    """Names of the environments there are, sorted; a leading underscore marks a base."""
    files = (fixtures / "environments").glob("*.yaml")
    return sorted(file.stem for file in files if not file.stem.startswith("_"))


def load_environment(fixtures: Path, name: str, variables: Mapping[str, str]) -> Environment:
    """Read and check one environment.

    Args:
        fixtures: The folder with ``environments/`` and ``cases/``.
        name: As given to ``--env``.
        variables: Values of ``${VAR}``; at the top, the process's environment.

    Raises:
        UsageError: There is no such environment; lists those there are.
        ConfigError: The file, or one it extends, is wrong.
    """
    known = environment_names(fixtures)
    if name not in known:
        folder = fixtures / "environments"
        there_are = ", ".join(known) if known else "none (no *.yaml there)"
        raise UsageError(
            f"unknown environment {name!r}{suggestion(name, known)}; "
            f"environments in {folder}: {there_are}"
        )
    document = load_document(fixtures / "environments" / f"{name}.yaml")
    digest = hashlib.sha256(canonical_json(document.value)).hexdigest()
    resolved = resolve(document, variables)
    validate(resolved, "environment")
    if problems := list(_problems(resolved, name)):
        raise ConfigError(*problems)
    return _build(resolved, digest)


def _problems(resolved: Resolved, name: str) -> Iterator[Problem]:
    """What a schema cannot say."""
    value, problem = resolved.document.value, resolved.document.problem
    if value["name"] != name:
        message = f"expected {name!r}, the file's own name, got {value['name']!r}"
        yield problem(("name",), message)
    if ("base_url" in value) == ("sandbox" in value):
        yield problem((), "either base_url or sandbox is needed, and not both")
    for gate, policy in value["gates"].items():
        samples = policy.get("samples", {})
        least = samples.get("min", 1)
        if samples.get("max", least) < least:
            key = ("gates", gate, "samples", "max")
            yield problem(key, f"must not be below min ({least})")


def _build(resolved: Resolved, digest: str) -> Environment:
    value = resolved.document.value
    base_url = value.get("base_url")
    source = value.get("release")
    sandbox = value.get("sandbox")
    auth = _auth(resolved.sealed(("auth",))) if "auth" in value else None
    return Environment(
        name=value["name"],
        role=value["role"],
        system=value["system"],
        base_url=base_url.rstrip("/") if base_url else None,
        source=resolved.document.file,
        digest=digest,
        gates={name: _gate(resolved.sealed(("gates", name))) for name in value["gates"]},
        auth=auth,
        release=_release(source) if source else None,
        services=resolved.sealed(("services",)) if "services" in value else {},
        isolated_from=tuple(value.get("isolated_from", ())),
        lock=LeasePlace(**value["lock"]) if "lock" in value else None,
        uuids=_uuids(value.get("uuids", [])),
        sandbox=_sandbox(sandbox) if sandbox is not None else None,
        verify_tls=_verify_tls(resolved),
        redactor=Redactor(resolved.secrets | _secrets(auth)),
    )


def _auth(given: Mapping[str, Any]) -> Auth:
    """Token and password are secrets even where the file spells them out."""
    sealed = {name: Secret(reveal(given[name])) for name in ("token", "password") if name in given}
    return Auth(**{**given, **sealed})


def _secrets(auth: Auth | None) -> frozenset[str]:
    """What a request is authorised with, in the forms that a server may echo."""
    if auth is None:
        return frozenset()
    token, user, password = (reveal(v or "") for v in (auth.token, auth.username, auth.password))
    basic = basic_credentials(user, password) if password else ""
    return frozenset([token, password, basic]) - {""}


def _verify_tls(resolved: Resolved) -> bool | str:
    """As it stands there; the path of a CA file is relative to the file that names it."""
    verify: bool | str = resolved.document.value.get("verify_tls", True)
    if isinstance(verify, bool):
        return verify
    return str(resolved.document.place(("verify_tls",)).file.parent / verify)


def _gate(policy: Mapping[str, Any]) -> GatePolicy:
    samples = dict(policy.get("samples", {}))
    samples.setdefault("max", samples.get("min", 1))
    return GatePolicy(
        required=policy.get("required", False),
        min_cases=policy.get("min_cases", 1),
        thresholds=dict(policy.get("thresholds", {})),
        samples=SamplePolicy(**samples),
        concurrency=policy.get("concurrency", 1),
        options={name: value for name, value in policy.items() if name not in _EVERY_GATE},
    )


def _uuids(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _release(value: Mapping[str, Any]) -> ReleaseSource:
    return ReleaseSource(**{**value, "images": tuple(value.get("images", ()))})


def _sandbox(value: Mapping[str, Any]) -> SandboxPolicy:
    return SandboxPolicy(value.get("workers", 2), tuple(value.get("faults", ())))
