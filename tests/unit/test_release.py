"""Tests of `pytest_release.release`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, cast

import pytest

from pytest_release.config.environment import ReleaseSource
from pytest_release.errors import TargetError
from pytest_release.release import Identity, Release, read_identity

if TYPE_CHECKING:
    from pytest_release.config.cases import Request
    from pytest_release.targets.http import HttpTarget

SOURCE = ReleaseSource("/health", "version", "build.commit")
URL = "http://here/health"
ONE, TWO = Identity("1.0", "d34bcae"), Identity("1.1", "d34bcae")


@dataclass
class Deployment:
    """Answers a request as `HttpTarget` would, without a network."""

    body: bytes
    status: int = 200
    broken: str | None = None
    url: str = URL
    asked: Request | None = None

    def send(self, request: Request) -> Deployment:
        """Note the request; the answer is this object itself."""
        self.asked = request
        return self

    def identity(self, source: ReleaseSource = SOURCE) -> Identity:
        """What `read_identity` makes of the answer."""
        return read_identity(source, cast("HttpTarget", self))


def answer(version: object = "1.0", commit: object = "d34bcae") -> bytes:
    """A health answer."""
    return json.dumps({"version": version, "build": {"commit": commit}}).encode()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (SOURCE, Identity("1.0", "d34bcae")),
        (ReleaseSource("/health", version="version"), Identity("1.0", None)),
        (ReleaseSource("/health", commit="build.commit"), Identity(None, "d34bcae")),
        (ReleaseSource("/health"), Identity()),
    ],
)
def test_a_deployment_names_its_build(source: ReleaseSource, expected: Identity) -> None:
    """Under the keys that the environment names, and no others."""
    deployment = Deployment(answer())

    assert deployment.identity(source) == expected
    assert deployment.asked is not None
    assert (deployment.asked.method, deployment.asked.path) == ("GET", "/health")
    assert deployment.asked.max_bytes <= 1024 * 1024


@pytest.mark.parametrize(
    ("deployment", "reason"),
    [
        (Deployment(answer(), status=503), "name the deployed build and answers status 503"),
        (Deployment(answer(), status=301), "name the deployed build and answers status 301"),
        (
            Deployment(answer(), broken="was cut off"),
            "name the deployed build and answers was cut off",
        ),
        (Deployment(b""), "name the deployed build as JSON"),
        (Deployment(b"<html>"), "name the deployed build as JSON"),
        (Deployment(b"\xff"), "name the deployed build as JSON"),
        (Deployment(b"[" * 100_000), "name the deployed build as JSON"),
        (Deployment(b"9" * 10_000), "name the deployed build as JSON"),
        (Deployment(b"[]"), "name the build under 'version' as a short text"),
        (Deployment(b"{}"), "name the build under 'version' as a short text"),
        (Deployment(answer(version=1.0)), "name the build under 'version' as a short text"),
        (Deployment(answer(version=None)), "name the build under 'version' as a short text"),
        (Deployment(answer(version="")), "name the build under 'version' as a short text"),
        (Deployment(answer(version="x" * 201)), "name the build under 'version' as a short text"),
        (Deployment(answer(version="1\x1b[2J")), "name the build under 'version' as a short text"),
        (Deployment(answer(version="\ud800")), "name the build under 'version' as a short text"),
        (Deployment(answer(commit={})), "name the build under 'build.commit' as a short text"),
        (Deployment(b'{"version": "1", "build": "x"}'), "name the build under 'build.commit' as a"),
    ],
)  # fmt: skip
def test_a_deployment_that_does_not_name_its_build(deployment: Deployment, reason: str) -> None:
    """Whatever it answers instead is a TargetError with its address."""
    with pytest.raises(TargetError, match=f"^{URL} should {reason}"):
        deployment.identity()


@pytest.mark.parametrize(
    ("identity", "text"),
    [
        (Identity("1.0", "d34bcae"), "1.0, commit d34bcae"),
        (Identity("1.0"), "1.0"),
        (Identity(commit="d34bcae"), "commit d34bcae"),
        (Identity(), "a build without a name"),
    ],
)
def test_an_identity_reads_well(identity: Identity, text: str) -> None:
    """Version and commit, as far as there are any."""
    assert str(identity) == text


@pytest.mark.parametrize(
    ("release", "mismatches"),
    [
        (Release(), ()),
        (Release(None, TWO), ()),
        (Release("1.0", ONE), ()),
        (Release("1.0", TWO), ("release 1.0 was asked for, the deployment is 1.1",)),
        (Release("1", Identity("1.0")), ("release 1 was asked for, the deployment is 1.0",)),
        (Release("1.0"), ("release 1.0 was asked for, the deployment names no version",)),
        (
            Release("1.0", Identity(None, "d34bcae")),
            ("release 1.0 was asked for, the deployment names no version",),
        ),
    ],
)  # fmt: skip
def test_the_release_must_be_the_one_asked_for(
    release: Release, mismatches: tuple[str, ...]
) -> None:
    """To the letter; a deployment that says nothing is not believed to be it."""
    assert release.mismatches == mismatches


@pytest.mark.parametrize(
    ("release", "changes"),
    [
        (Release(), ()),
        (Release(None, None, ONE), ()),
        (Release(None, ONE, Identity("1.0", "d34bcae")), ()),
        (
            Release(None, ONE, TWO),
            ("the build changed during the run: 1.0, commit d34bcae, then 1.1, commit d34bcae",),
        ),
        (
            Release(None, ONE, Identity("1.0", "0000000")),
            ("the build changed during the run: 1.0, commit d34bcae, then 1.0, commit 0000000",),
        ),
        (
            Release(None, ONE, None),
            ("the build was 1.0, commit d34bcae before the run and could not be read after it",),
        ),
    ],
)
def test_a_build_that_changes_during_the_run_is_told(
    release: Release, changes: tuple[str, ...]
) -> None:
    """So is one that can no longer be asked."""
    assert release.changes == changes


FULL_COMMIT = "d34bcae0" * 5
SAID = b'{"commit":"unknown","version":"1.0"}'
NOTHING = b'{"commit":null,"version":null}'


@pytest.mark.parametrize(
    ("release", "name", "digest"),
    [
        (Release(None, ONE), "release 1.0", {"gitCommit": "d34bcae"}),
        (Release("9", Identity(None, FULL_COMMIT)), "release 9", {"gitCommit": FULL_COMMIT}),
        (
            Release(None, Identity("1.0", "unknown")),
            "release 1.0",
            {"sha256": sha256(SAID).hexdigest()},
        ),
        (Release(), "release without a version", {"sha256": sha256(NOTHING).hexdigest()}),
    ],
)
def test_an_attestation_has_a_subject(
    release: Release, name: str, digest: Mapping[str, str]
) -> None:
    """The git commit where there is one, else the digest of what the deployment says of itself."""
    assert release.subjects() == ({"name": name, "digest": digest},)


def test_packages_are_subjects_too() -> None:
    """Each by its file's name and the digest of its bytes, behind the build."""
    release = Release(None, ONE, packages={"b.tar": "0b", "a.tar": "0a"})

    assert release.subjects()[1:] == (
        {"name": "a.tar", "digest": {"sha256": "0a"}},
        {"name": "b.tar", "digest": {"sha256": "0b"}},
    )
