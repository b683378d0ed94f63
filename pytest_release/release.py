"""What is judged: the release as the deployment itself names it, before and after the run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from pytest_release.atomic import canonical_json
from pytest_release.config.cases import Request
from pytest_release.config.environment import ReleaseSource
from pytest_release.errors import TargetError
from pytest_release.targets.http import HttpTarget
from pytest_release.targets.registry import resolve_image

COMMIT = re.compile(r"[0-9a-f]{7,64}")
SHORTEST = 7  # hex digits of a commit that tell it from others
UNKNOWN = "unknown"  # what a build without a commit calls itself
LONGEST = 200  # characters of a version or commit that are believed


@dataclass(frozen=True)
class Identity:
    """How a deployment names its build.

    Attributes:
        version: As its health answer says.
        commit: The git commit, as its health answer says: mostly hex, perhaps shortened.
        images: SHA-256 of the manifest of each container image by its reference, as the registry
            says.
    """

    version: str | None = None
    commit: str | None = None
    images: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        images = (f"{name}@sha256:{digest}" for name, digest in self.images.items())
        parts = (self.version, f"commit {self.commit}" if self.commit else None, *images)
        return ", ".join(part for part in parts if part) or "a build without a name"


@dataclass(frozen=True)
class Release:
    """The release under judgement.

    Attributes:
        asked: The version given with ``--release``; None when none was.
        before: What the deployment said before the first case; None when it could not be asked.
        after: What it said after the last; None when it could not be asked.
        packages: SHA-256 of each package under judgement by its file's name.
    """

    asked: str | None = None
    before: Identity | None = None
    after: Identity | None = None
    packages: Mapping[str, str] = field(default_factory=dict)

    @property
    def mismatches(self) -> tuple[str, ...]:
        """In what the deployment is not what was asked for."""
        if self.asked is None:
            return ()
        if self.before is None or self.before.version is None:
            return (f"release {self.asked} was asked for, the deployment names no version",)
        if self.before.version != self.asked:
            named = self.before.version
            return (f"release {self.asked} was asked for, the deployment is {named}",)
        return ()

    @property
    def changes(self) -> tuple[str, ...]:
        """How the deployment changed while it was measured."""
        if self.before is None or self.before == self.after:
            return ()
        if self.after is None:
            return (f"the build was {self.before} before the run and could not be read after it",)
        return (f"the build changed during the run: {self.before}, then {self.after}",)

    def subjects(self) -> tuple[Mapping[str, Any], ...]:
        """What an attestation speaks of, as in-toto resource descriptors.

        The git commit where the deployment names one; otherwise the SHA-256 of the canonical JSON
        of what it says of itself. Then each package, and each image, by its SHA-256.
        """
        images = self.before.images if self.before else {}
        others = (*sorted(self.packages.items()), *sorted(images.items()))
        return (self._build(), *({"name": n, "digest": {"sha256": d}} for n, d in others))

    def _build(self) -> Mapping[str, Any]:
        named = self.before or Identity()
        name = f"release {named.version or self.asked or 'without a version'}"
        if named.commit and COMMIT.fullmatch(named.commit):
            return {"name": name, "digest": {"gitCommit": named.commit}}
        said = {"version": named.version, "commit": named.commit}
        return {"name": name, "digest": {"sha256": sha256(canonical_json(said)).hexdigest()}}


@dataclass(frozen=True)
class Context:
    """Where, when and with what a run judged a release.

    Attributes:
        run: Short id of the run, 8 hex digits.
        policy_digest: SHA-256 of the environment's policy.
        case_digests: SHA-256 of each case file by its path in the fixtures folder.
        started: Aware, UTC.
        finished: Aware, UTC.
        tools: Versions of what measured, by name.
        waivers: For this environment, in force at the time; a sentence each.
    """

    run: str
    environment: str
    role: str
    system: str
    base_url: str
    policy_digest: str
    case_digests: Mapping[str, str]
    release: Release
    started: datetime
    finished: datetime
    tools: Mapping[str, str]
    waivers: tuple[str, ...] = ()


def same_build(packaged: str | None, running: str | None, role: str) -> bool:
    """Whether a package was made by the build that runs.

    Args:
        packaged: Commit that the package names.
        running: Commit that the deployment names; either may be shortened.
        role: Of the environment; in development a build may be unknown.
    """
    if not packaged or not running:
        return False
    if role == "development" and UNKNOWN in (packaged, running):
        return True
    shorter, longer = sorted((packaged, running), key=len)
    return len(shorter) >= SHORTEST and longer.startswith(shorter)


def read_identity(source: ReleaseSource, target: HttpTarget) -> Identity:
    """Ask the deployment what it is.

    Raises:
        TargetError: It does not answer, not with 200, or not with what `source` says is there.
    """
    exchange = target.send(Request(method="GET", path=source.health, max_bytes=1024 * 1024))
    if exchange.status != 200 or exchange.broken:
        reason = exchange.broken or f"status {exchange.status}"
        raise TargetError(f"{exchange.url} should name the deployed build and answers {reason}")
    try:
        answer = json.loads(exchange.body)
    except (ValueError, RecursionError):
        raise TargetError(f"{exchange.url} should name the deployed build as JSON") from None
    return Identity(
        _text(answer, source.version, exchange.url),
        _text(answer, source.commit, exchange.url),
        {image: resolve_image(image) for image in source.images},
    )


def _text(answer: Any, path: str | None, url: str) -> str | None:  # noqa: ANN401 - any JSON value
    if path is None:
        return None
    value = answer
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST or not value.isprintable():
        raise TargetError(f"{url} should name the build under {path!r} as a short text")
    return value
