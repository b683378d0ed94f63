"""Pulls, starts and ends a stack through the real ``docker compose``; images by digest only.

- The stack is that of the environment's ``services.compose``, perhaps from another ``directory``.
- compose gets none of the driver's variables: what its files leave open, the stack's env file
  fills, and nothing else can win over it.
- What runs afterwards is asked of the engine and compared with what the files ask for, digest by
  digest; compose's own exit status is believed only when it tells of a failure.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_release.errors import RolloutError, TargetError
from pytest_release.redaction import Redactor, reveal
from pytest_release.rollout.process import Command, Ran
from pytest_release.rollout.stage import Order, Outcome, Stage
from pytest_release.targets.compose import Compose, find_program
from pytest_release.targets.engine import Container, Engine, whole

SOCKET = "/var/run/docker.sock"
SETTLE_S = 10.0  # in which what was started shows
ASK_S = 0.2
PASSED_ON = ("PATH", "HOME", "DOCKER_CONFIG", "TMPDIR")  # what finds the program and its logins
WORDS = {
    "pull": ("pull", "--quiet"),
    "up": ("up", "--detach", "--pull", "never", "--no-build", "--remove-orphans",
           "--quiet-pull", "--yes"),
    "down": ("down", "--remove-orphans"),
}  # fmt: skip
SAYS = {
    "check": "every image is named by its digest",
    "pull": "pull every image by its digest",
    "up": "start what was pulled, and compare what runs",
    "down": "end the stack; its volumes stay",
    "running": "what runs is what was asked for",
}


def describe(options: Mapping[str, Any]) -> str:
    """What is done, and where when that is not where the environment says."""
    where = f" in {options['directory']}" if "directory" in options else ""
    return f"{SAYS[options['do']]}{where}"


def repeatable(options: Mapping[str, Any]) -> bool:
    """compose is told how it is to be, and does what is left of that."""
    return True


def act(order: Order, stage: Stage) -> Outcome:
    """Do it, and compare."""
    what = order.options["do"]
    stack = _stack(order, stage)
    asked = _asked(stack) if what != "down" else {}
    match what:
        case "check":
            return Outcome(done=True, why=_listed(asked), facts=_facts(asked))
        case "running":
            return _compared(order, stage, stack, asked, _settle_s(order, 0.0))
    ran = stage.run(order, _command(stack, order, stage, WORDS[what]))
    hidden = Redactor(frozenset(stack.filling.values()))
    ran = replace(ran, output=ran.output.masked(hidden))
    if problem := _problem(ran, what):
        return Outcome(done=False, why=problem, exit_status=ran.status, output=ran.output)
    if what == "pull":
        why = f"pulled {_listed(asked)}"
        return Outcome(True, why, ran.status, ran.output, _facts(asked))
    seen = _compared(order, stage, stack, asked, _settle_s(order, SETTLE_S))
    return replace(seen, exit_status=ran.status, output=ran.output)


def check(order: Order, stage: Stage) -> Outcome | None:
    """The engine can tell what runs; for the rest, doing it again does no harm."""
    if order.options["do"] not in ("up", "running"):
        return None
    stack = _stack(order, stage)
    return _compared(order, stage, stack, _asked(stack), 0.0)


def _stack(order: Order, stage: Stage) -> Compose:
    environment = stage.environment(order.environment)
    given = environment.services.get("compose", {})
    directory = order.options.get("directory", given.get("directory"))
    if directory is None:
        raise RolloutError(f"{environment.name} has no stack: add services.compose.directory")
    if not given.get("project"):
        raise RolloutError(
            f"{environment.name} names no project: add services.compose.project, since release "
            "folders have names of their own"
        )
    return Compose(
        Path(reveal(directory)).absolute(),
        reveal(given["project"]),
        tuple(reveal(name) for name in given.get("files", ())),
        reveal(given.get("env_file", "")),
        tuple(reveal(word) for word in given.get("command", ())),
    )


def _asked(stack: Compose) -> dict[str, str]:
    """By service the image that it is to run.

    Raises:
        RolloutError: One is not named by its digest, or would be built.
    """
    asked = {}
    for name, service in stack.rendered.services.items():
        if service.get("profiles") or service.get("scale") == 0:
            continue
        if "build" in service:
            raise RolloutError(f"service {name} would be built: give it an image by its digest")
        image = str(service.get("image") or "no image")
        digest = image.partition("@sha256:")[2]
        if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise RolloutError(
                f"service {name} runs {image}: expected repository@sha256:..., since a tag can be "
                "moved"
            )
        asked[name] = image
    if not asked:
        raise RolloutError(f"{stack.directory / stack.file} starts no service")
    return asked


def _command(stack: Compose, order: Order, stage: Stage, words: tuple[str, ...]) -> Command:
    which = [part for file in stack.files for part in ("-f", file)]
    which += ["--env-file", stack.env_file] if stack.env_file else []
    argv = (*(stack.command or find_program()), "--ansi", "never", *which,
            "--project-name", stack.project, *words)  # fmt: skip
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    env = {**passed, "DOCKER_HOST": _host(order, stage), "LC_ALL": "C"}
    return Command(argv, stack.directory, env, alone=True)


def _host(order: Order, stage: Stage) -> str:
    services = stage.environment(order.environment).services
    if "engine" in services:
        return reveal(services["engine"]["docker_host"])
    return f"unix://{reveal(services['compose'].get('socket', SOCKET))}"


def _problem(ran: Ran, what: str) -> str:
    if ran.status is None:
        return f"compose {what}: its time was over after {ran.seconds:.1f} s; it was ended"
    if ran.status:
        said = ran.output.last_line or "it does not say why"
        return f"compose {what}: exit status {ran.status}: {said}"
    return ""


def _settle_s(order: Order, default: float) -> float:
    return float(min(order.options.get("within_s", default), order.seconds))


def _compared(
    order: Order, stage: Stage, stack: Compose, asked: Mapping[str, str], within_s: float
) -> Outcome:
    """Ask the engine until everything is as it was asked for, or the time is over."""
    engine = Engine.connect({"docker_host": _host(order, stage)})
    until = time.monotonic() + within_s
    jobs = frozenset(order.options.get("jobs", ()))
    try:
        while True:
            problems = list(_differences(engine, stack.project, asked, jobs))
            if not problems:
                why = f"{len(asked)} services run the images asked for" if asked else "nothing runs"
                return Outcome(done=True, why=why, facts=_facts(asked))
            if time.monotonic() >= until:
                return Outcome(done=False, why="; ".join(problems))
            stage.pause(ASK_S)
    finally:
        engine.close()


def _differences(
    engine: Engine, project: str, asked: Mapping[str, str], jobs: frozenset[str]
) -> Iterator[str]:
    containers = engine.containers(project)
    for container in containers:
        if container.service not in asked:
            yield f"{container} belongs to the project, and nobody asked for it"
    for service, image in asked.items():
        own = [container for container in containers if container.service == service]
        if not own:
            yield f"service {service} has no container"
        for container in own:
            yield from _state(container, service in jobs)
            yield from _image(engine, container, image)


def _state(container: Container, job: bool) -> Iterator[str]:
    """Running; a job may have ended well instead."""
    if container.state == "running" or (
        job and container.state == "exited" and container.exit_code == 0
    ):
        return
    trouble = f": {container.trouble}" if container.trouble else ""
    yield f"{container} is {container.state}, exit code {container.exit_code}{trouble}"


def _image(engine: Engine, container: Container, image: str) -> Iterator[str]:
    named, _, digest = image.partition("@sha256:")
    repository = named.rpartition(":")[0] if ":" in named.rpartition("/")[2] else named
    try:
        found = engine.digests(container.image_id).get(whole(repository), frozenset())
    except TargetError as error:
        yield f"{container}: {error}"
        return
    if digest not in found:
        runs = ", ".join(f"sha256:{each[:12]}" for each in sorted(found)) or "another image"
        yield f"{container} runs {runs} of {repository}, asked was sha256:{digest[:12]}"


def _listed(asked: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {image}" for name, image in asked.items())


def _facts(asked: Mapping[str, str]) -> dict[str, str]:
    """``images`` has all of them, ``image.SERVICE`` each."""
    each = {f"image.{name}": image for name, image in asked.items()}
    return {"images": " ".join(dict.fromkeys(asked.values())), **each} if asked else {}
