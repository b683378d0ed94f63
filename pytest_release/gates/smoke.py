"""What was deployed is up and stays so: containers, images, domain, database, services behind.

- Well means so many times in a row, in tries that are counted and within a deadline; the wait, and
  whether it was well in between, is part of the evidence.
- It only looks. Nothing is started, stopped, restarted or written, whatever is found.
- What cannot be asked is not well: a try that failed, and a finding when none succeeded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import GatePolicy
from pytest_release.errors import TargetError
from pytest_release.evidence import Attachment, Evidence, Finding
from pytest_release.gates._check import concluded
from pytest_release.gates._patience import Look, Patience, watch
from pytest_release.gates._scene import Scene
from pytest_release.gates._smoke_answers import answers_of
from pytest_release.gates._smoke_containers import Containers, Expected, compare_images
from pytest_release.gates._smoke_database import Readiness
from pytest_release.redaction import reveal
from pytest_release.sampling import Sample
from pytest_release.targets.engine import Engine

Figures = Mapping[str, Sequence[Sample | float]]


@dataclass
class Watched:
    """What one check looks at.

    Attributes:
        look: Gives what is wrong at this moment.
        figures: What the looks measured, asked for behind the last.
        attached: What the last look saw.
        window_s: Seconds that the good looks must span, where the check needs a window.
    """

    look: Look
    figures: Callable[[], Figures] = dict
    attached: Callable[[], Sequence[Attachment]] = field(default=tuple)
    window_s: float = 0.0


def measure(case: CheckCase, policy: GatePolicy, scene: Scene) -> Evidence:
    """Make one check until all is well so many times in a row, or patience has run out.

    Args:
        case: Of this gate; its options come before the policy's.
        policy: Patience, and what flapping means.
        scene: Whose deployment it is.

    Raises:
        TargetError: The environment does not say where to look, or the engine is none.
        ConfigError: So many successes do not fit into the tries or the time.
    """
    with ExitStack() as leaving:
        watched = CHECKS[case.check](case, policy, scene, leaving)
        patience = Patience.of(case, policy.options, case.options)
        patience = replace(patience, window_s=watched.window_s)
        vigil = watch(_answering(watched.look), patience, lambda line: scene.say(case.id, line))
    findings = vigil.findings("smoke", str(policy.options.get("flapping", "fail")))
    evidence = concluded(case, policy, findings, {**vigil.figures, **watched.figures()})
    return replace(evidence, attachments=(vigil.attached(), *watched.attached()))


def _answering(look: Look) -> Look:
    """What does not answer is not well, and may be in a moment."""

    def looked(left_s: float) -> Sequence[Finding]:
        try:
            return look(left_s)
        except TargetError as error:
            return [Finding("smoke.no-answer", str(error))]

    return looked


def _containers(case: CheckCase, policy: GatePolicy, scene: Scene, leaving: ExitStack) -> Watched:
    options = {**policy.options, **case.options}
    services: Mapping[str, Mapping[str, Any]] = case.options.get("services", {})
    expected = {name: Expected(**(given or {})) for name, given in services.items()}
    containers = Containers(_engine(scene, leaving), _project(case, scene), expected)
    return Watched(
        containers.look,
        lambda: containers.figures,
        lambda: (containers.attached(),),
        float(options.get("window_s", Patience.window_s)),
    )


def _images(case: CheckCase, _policy: GatePolicy, scene: Scene, leaving: ExitStack) -> Watched:
    release = scene.environment.release
    images = case.options.get("images") or (release.images if release else ())
    if not images:
        source = scene.environment.source
        raise TargetError(f"{source} names no images to compare with: add release.images")
    containers = Containers(_engine(scene, leaving), _project(case, scene), {})
    apart = case.options.get("apart", ())

    def look(left_s: float) -> list[Finding]:
        running = containers.look(left_s)
        if not containers.seen:
            return running
        there = tuple(containers.seen.values())
        return list(compare_images(containers.engine, there, images, apart))

    def figures() -> Figures:
        return {"images": [float(len(images))], "engine_ms": containers.took}

    return Watched(look, figures, lambda: (containers.attached(),))


def _answers(case: CheckCase, _policy: GatePolicy, scene: Scene, _leaving: ExitStack) -> Watched:
    answers = answers_of(case, scene)
    return Watched(answers.look, lambda: answers.figures)


def _database(case: CheckCase, _policy: GatePolicy, scene: Scene, _leaving: ExitStack) -> Watched:
    service = str(case.options.get("service", "postgres"))
    given = scene.environment.services.get(service, {})
    if not given.get("dsn"):
        source = scene.environment.source
        raise TargetError(f"{source} names no database to ask: add services.{service}.dsn")
    tables, standby = case.options.get("tables", 1), case.options.get("standby", False)
    readiness = Readiness(given, tables, standby)
    return Watched(readiness.look, lambda: readiness.figures)


def _engine(scene: Scene, leaving: ExitStack) -> Engine:
    given = scene.environment.services.get("engine")
    if not given:
        source = scene.environment.source
        raise TargetError(f"{source} names no engine: add services.engine.docker_host")
    return leaving.enter_context(Engine.connect(given))


def _project(case: CheckCase, scene: Scene) -> str:
    compose = scene.environment.services.get("compose", {})
    given = case.options.get("project", compose.get("project"))
    if not given:
        source = scene.environment.source
        raise TargetError(f"{source} names no project: add services.compose.project")
    return reveal(given)


CHECKS: Mapping[str, Callable[[CheckCase, GatePolicy, Scene, ExitStack], Watched]] = {
    "containers": _containers,
    "images": _images,
    "domain": _answers,
    "service": _answers,
    "database": _database,
}
