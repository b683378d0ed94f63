"""An environment: the named place where a release runs, and the policy of its gates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_release.redaction import Redactor, Secret

ROLES = ("development", "staging", "sentinel", "production")


@dataclass(frozen=True)
class Auth:
    """How requests are authorised.

    Attributes:
        scheme: ``bearer``, ``basic`` or ``header``.
        token: The bearer token, or the header's value.
        username: For ``basic``.
        password: For ``basic``.
        header: The header's name, for ``header``.
    """

    scheme: str
    token: str | Secret | None = None
    username: str | Secret | None = None
    password: str | Secret | None = None
    header: str | None = None


@dataclass(frozen=True)
class ReleaseSource:
    """Where the deployed build names itself: a health endpoint and two keys of its JSON answer.

    Attributes:
        health: Path of the endpoint, relative to the base URL.
        version: Dotted path of the version in the answer; None when the answer has none.
        commit: Dotted path of the git commit; None when the answer has none.
        images: References of the release's container images, with their registry.
    """

    health: str
    version: str | None = None
    commit: str | None = None
    images: tuple[str, ...] = ()


@dataclass(frozen=True)
class SamplePolicy:
    """How many samples a timed figure gets.

    Attributes:
        min: Samples always drawn, at least 1.
        max: Samples after which an undecided figure "could not be shown".
        confidence: Of the interval of the mean, between 0 and 1.
    """

    min: int = 1
    max: int = 1
    confidence: float = 0.95


@dataclass(frozen=True)
class GatePolicy:
    """What an environment asks of one gate.

    Attributes:
        required: The run cannot pass without this gate.
        min_cases: Fewer cases than this make the gate INCOMPLETE.
        thresholds: Limits by name: ``p95_ms``, ``error_rate``, ``ttfb_ms``, ...; ms or a share.
        samples: How many samples a timed figure gets.
        concurrency: Cases of the gate that may be under way at once in one process.
        options: What only this gate knows, by the keys of ``schemas/gate.<gate>.schema.json``;
            the values of variables are `Secret`.
    """

    required: bool = False
    min_cases: int = 1
    thresholds: Mapping[str, float] = field(default_factory=dict)
    samples: SamplePolicy = field(default_factory=SamplePolicy)
    concurrency: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SandboxPolicy:
    """The embedded reference deployment, started for a run of this environment.

    Attributes:
        workers: Worker processes of the application.
        faults: Names of the fault switches that are on.
    """

    workers: int = 2
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class LeasePlace:
    """Where those who drive an environment from several machines take its lease.

    Attributes:
        ssh: The host, as ssh's configuration knows it.
        directory: On that host.
        ssh_config: Another configuration for ssh.
        lease_s: Seconds after which a lease that nobody renews is stale.
    """

    ssh: str
    directory: str
    ssh_config: str | None = None
    lease_s: float = 60.0


@dataclass(frozen=True)
class Environment:
    """One environment file, resolved: inheritance, variables and secrets done.

    Attributes:
        name: As given to ``--env``.
        role: One of `ROLES`.
        system: The folder of cases under ``fixtures/cases``.
        base_url: Without a trailing slash; None until the sandbox has started.
        auth: How requests are authorised, if they are.
        release: Where the deployed build names itself, if it does.
        services: Options of each service by its name.
        isolated_from: Names of environments that must share nothing with this one.
        lock: Where rollouts take its lease; None: from one machine only.
        gates: Policy of each gate by its marker, in file order.
        uuids: Of the deployments to judge when the command names none; ``all`` for those there are.
        sandbox: Set when the run starts its own deployment.
        verify_tls: False or a CA file for servers with a certificate of their own.
        source: The file it was read from.
        digest: SHA-256 of the canonical policy: what the attestation calls the policy digest.
        redactor: Removes this environment's secrets from any text.
    """

    name: str
    role: str
    system: str
    base_url: str | None = field(repr=False)  # it may carry a password
    source: Path
    digest: str
    gates: Mapping[str, GatePolicy]
    auth: Auth | None = None
    release: ReleaseSource | None = None
    services: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    isolated_from: tuple[str, ...] = ()
    lock: LeasePlace | None = None
    uuids: tuple[str, ...] = ()
    sandbox: SandboxPolicy | None = None
    verify_tls: bool | str = True
    redactor: Redactor = field(default_factory=Redactor, compare=False)
