"""The containers of a compose project: up, healthy, not restarting, and of the release's images.

- Every container counts: one that is up says nothing of its neighbour.
- A service that must be there and is not is found, as much as one that nobody named.
- What was restarted between two looks is not up, whatever its state says: its start, its count of
  restarts or its very id has changed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_release.config.validation import suggestion
from pytest_release.errors import TargetError
from pytest_release.evidence import Attachment, Finding
from pytest_release.gates._patience import clocked
from pytest_release.sampling import Sample
from pytest_release.targets.engine import ANSWER_S, Container, Engine, whole
from pytest_release.targets.registry import REFERENCE, resolve_image


@dataclass(frozen=True)
class Expected:
    """What a service must be.

    Attributes:
        replicas: Containers at least.
        completes: It does its work and ends with exit code 0, as a migration does.
        health_check: It must have one.
    """

    replicas: int = 1
    completes: bool = False
    health_check: bool = False


@dataclass
class Containers:
    """Looks at a project's containers, each time with the look before in mind.

    Attributes:
        engine: That runs them.
        project: Of compose.
        expected: By service; empty for whichever there are.
        seen: By the last look that had an answer, by name.
        took: Of each look, in ms.
    """

    engine: Engine
    project: str
    expected: Mapping[str, Expected]
    seen: dict[str, Container] = field(default_factory=dict)
    took: list[Sample] = field(default_factory=list)
    _at: float = 0.0

    def look(self, left_s: float) -> list[Finding]:
        """What is wrong at this moment; told how many seconds there are left."""
        began = time.monotonic()
        found = self.engine.containers(self.project, min(left_s, ANSWER_S))
        self.took.append(clocked((time.monotonic() - began) * 1000))
        before, self.seen = self.seen, {container.name: container for container in found}
        apart_s, self._at = began - self._at, began
        if not found:
            message = f"{self.engine} has no container of the project {self.project!r}"
            return [Finding("smoke.no-containers", message, expected=self.project)]
        return [
            *self._missing(found),
            *(f for container in found for f in self._wrong(container)),
            *(f for each in found if each.name in before
              for f in _restarted(before[each.name], each, apart_s)),
        ]  # fmt: skip

    def _missing(self, found: Sequence[Container]) -> Iterator[Finding]:
        there = [container.service for container in found]
        for service, expected in self.expected.items():
            count = there.count(service)
            if not count:
                message = f"no container of the service {service}; there are: {_listed(there)}"
                yield Finding("smoke.missing-service", message, expected=service)
            elif count < expected.replicas:
                message = f"the service {service} has {count} of {expected.replicas} containers"
                wanted = str(expected.replicas)
                yield Finding(
                    "smoke.missing-replica", message, expected=wanted, received=str(count)
                )
        if self.expected:
            for container in found:
                if container.service not in self.expected:
                    near = suggestion(container.service, list(self.expected))
                    message = f"{container} belongs to no service that the case names{near}"
                    yield Finding("smoke.unknown-service", message, expected=_listed(self.expected))

    def _wrong(self, container: Container) -> Iterator[Finding]:
        expected = self.expected.get(container.service, Expected())
        if expected.completes:
            yield from _unfinished(container)
            return
        if container.state == "restarting":
            message = f"{container} is restarting, for the {container.restarts}. time: "
            message += f"it ended with exit code {container.exit_code}{_trouble(container)}"
            yield Finding("smoke.restarting", message, expected="running")
            return
        if container.state != "running":
            message = f"{container} is {container.state}, with exit code {container.exit_code}"
            message += _trouble(container)
            yield Finding(
                "smoke.not-running", message, expected="running", received=container.state
            )
            return
        yield from _unhealthy(container, expected)

    @property
    def figures(self) -> Mapping[str, Sequence[Sample | float]]:
        """How many there are, and how often the one that was restarted most was."""
        most = max((container.restarts for container in self.seen.values()), default=0)
        return {
            "containers": [float(len(self.seen))],
            "restarts": [float(most)],
            "engine_ms": self.took,
        }

    def attached(self) -> Attachment:
        """The containers, a line each."""
        lines = [
            f"{each.service}  {each.name}  {each.state}  "
            f"{each.health.status or 'health unknown' if each.health else 'no health check'}  "
            f"{each.restarts} restarts  since {each.started_at}  {each.image}"
            for each in self.seen.values()
        ]
        return Attachment("containers", "\n".join(lines))


def _unfinished(container: Container) -> Iterator[Finding]:
    if container.state != "exited":
        message = f"{container} is {container.state} and has not completed"
        received = container.state
    elif container.exit_code != 0:
        message = f"{container} did not complete: exit code {container.exit_code}"
        message += _trouble(container)
        received = str(container.exit_code)
    else:
        return
    yield Finding("smoke.not-completed", message, expected="exited with 0", received=received)


def _unhealthy(container: Container, expected: Expected) -> Iterator[Finding]:
    health = container.health
    if health is None:
        if expected.health_check:
            message = f"{container} has no health check, and the case asks for one"
            yield Finding("smoke.no-health-check", message)
        return
    if health.status == "healthy":
        return
    message = f"{container} is running and {health.status or 'its health is unknown'}"
    if health.failing:
        message += f": {health.failing} checks failed in a row"
    if health.said:
        message += f", the last said {health.said!r}"
    yield Finding("smoke.unhealthy", message, expected="healthy", received=health.status)


def _restarted(before: Container, now: Container, apart_s: float) -> Iterator[Finding]:
    if before.id != now.id:
        what = f"was replaced: {before.id[:12]}, then {now.id[:12]}"
    elif before.started_at != now.started_at or now.restarts > before.restarts:
        what = f"was started again: {before.restarts} restarts and {before.started_at}, "
        what += f"then {now.restarts} and {now.started_at}"
    else:
        return
    message = f"{now} {what}, within {apart_s:.1f} s"
    yield Finding("smoke.restarted", message, expected=before.started_at, received=now.started_at)


def _trouble(container: Container) -> str:
    return f", {container.trouble}" if container.trouble else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names))) or "none"


def compare_images(
    engine: Engine, containers: Sequence[Container], images: Sequence[str], apart: Sequence[str]
) -> Iterator[Finding]:
    """What runs and is not what the release names.

    Args:
        engine: Knows what registries call an image.
        containers: Of the project, running or not.
        images: References that the release names; a tag is what the registry says that it is.
        apart: Services whose images no release names.

    Raises:
        TargetError: The engine or a registry does not answer, or a reference is none.
    """
    attested = _attested(images)
    run: set[str] = set()
    known = {image: engine.digests(image) for image in {each.image_id for each in containers}}
    for container in containers:
        if container.service in apart:
            continue
        digests = known[container.image_id]
        named = sorted(attested.keys() & digests.keys())
        right = {name for name in named if digests[name] & attested[name]}
        run |= right
        if not digests:
            message = f"{container} runs an image that no registry knows: {container.image}"
            message += " was built where it runs, or loaded from a file"
            yield Finding("smoke.no-digest", message)
        elif not named:
            message = f"{container} runs {_shown(digests)}, which the release does not name"
            yield Finding("smoke.unattested-image", message, expected=_listed(attested))
        elif not right:
            yield _other_image(container, named[0], digests[named[0]], attested[named[0]])
    for name in sorted(attested.keys() - run):
        if not any(name in digests for digests in known.values()):
            message = f"the release names {name}, and no container of the project runs it"
            yield Finding("smoke.image-not-run", message, expected=name)


def _attested(images: Sequence[str]) -> dict[str, frozenset[str]]:
    """The digests that the release names, by repository."""
    found: dict[str, frozenset[str]] = {}
    for reference in images:
        digest, match = resolve_image(reference), REFERENCE.fullmatch(reference)
        if match is None:
            raise TargetError(f"{reference!a} is no image's reference")
        name = whole(f"{match['host']}/{match['name']}")
        found[name] = found.get(name, frozenset()) | {digest}
    return found


def _other_image(
    container: Container, name: str, running: frozenset[str], attested: frozenset[str]
) -> Finding:
    runs, names = sorted(running), sorted(attested)
    known = " and sha256:".join(runs)  # podman keeps the digest from before compression, too
    message = f"{container} runs {name}@sha256:{known}, the release names sha256:{names[0]}"
    return Finding("smoke.other-image", message, expected=names[0], received=runs[0])


def _shown(digests: Mapping[str, frozenset[str]]) -> str:
    return ", ".join(f"{name}@sha256:{min(found)[:12]}" for name, found in sorted(digests.items()))


def expected_services(given: Mapping[str, Mapping[str, Any]]) -> dict[str, Expected]:
    """The services of a case's options."""
    return {name: Expected(**options) for name, options in given.items()}
