"""Speaks the hot-reload API of each node, and refuses before it speaks what a policy forbids.

- An answer counts when it has been read: status 200 and a JSON object. That somebody took the
  connection means nothing.
- ``/hot-reload/check`` reaches one worker only, and leaves a deployment with two versions of the
  code: production never hears it.
- In production a reload, and the requests sent during it, need the policy's explicit leave.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote, urlsplit

from pytest_release.config.cases import Request
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.errors import TargetError
from pytest_release.evidence import Finding
from pytest_release.gates._answer import cut, kind
from pytest_release.gates._scene import Scene
from pytest_release.redaction import reveal
from pytest_release.targets.http import Exchange, HttpTarget

PREFIX = "/api/v1/hot-reload"
MAX_BYTES = 1024 * 1024  # of an answer
ONE_WORKER = "/hot-reload/check"
RELOAD_ALL = "/reload-all"


class ForbiddenError(Exception):
    """The environment's policy forbids what a case asks for; the text says what and why."""


@dataclass(frozen=True)
class Node:
    """One address at which the system runs.

    Attributes:
        name: As the environment's policy calls it; its own name for its own address.
        target: Where requests go.
    """

    name: str
    target: HttpTarget


def nodes_of(scene: Scene, policy: GatePolicy) -> tuple[Node, ...]:
    """The environment's own address, and the others that its policy names."""
    environment = scene.environment
    others = policy.options.get("nodes", {})
    return (
        Node(environment.name, scene.http),
        *(
            Node(name, HttpTarget(replace(environment, base_url=_address(options))))
            for name, options in others.items()
        ),
    )


def apart(nodes: Sequence[Node], environment: Environment, policy: GatePolicy) -> tuple[Node, ...]:
    """The same nodes with targets of their own, which wait for nobody else's turn to send."""
    others = policy.options.get("nodes", {})
    addresses = [environment.base_url, *(_address(options) for options in others.values())]
    return tuple(
        Node(node.name, HttpTarget(replace(environment, base_url=address)))
        for node, address in zip(nodes, addresses, strict=True)
    )


def _address(options: Mapping[str, Any]) -> str:
    return reveal(options["base_url"]).rstrip("/")


def refuse_forbidden(
    environment: Environment, policy: GatePolicy, paths: Iterable[str], rate_per_s: float = 0.0
) -> None:
    """Raise before the first request of a check where any of them must not be sent.

    Args:
        environment: Its role decides.
        policy: Its ``forbid``, ``allow_reload`` and ``max_rate_per_s`` do.
        paths: Of every request that the check is going to send.
        rate_per_s: Of the steady requests beside them.

    Raises:
        ForbiddenError: One is forbidden; nothing has been sent.
    """
    production = environment.role == "production"
    forbidden = [*policy.options.get("forbid", ()), *([ONE_WORKER] if production else [])]
    place = f"the {environment.role} environment {environment.name}"
    for path in paths:
        plain = plain_path(path)
        for suffix in forbidden:
            if plain.endswith(plain_path(suffix)):
                raise ForbiddenError(f"{path} is forbidden in {place}: nothing was sent")
        if production and plain.endswith(RELOAD_ALL) and not policy.options.get("allow_reload"):
            raise ForbiddenError(
                f"a reload of {place} needs gates.hot_reload.allow_reload: true; nothing was sent"
            )
    allowed = policy.options.get("max_rate_per_s", 0.0 if production else None)
    if allowed is not None and rate_per_s > allowed:
        raise ForbiddenError(
            f"{place} allows {allowed:g} steady requests a second (gates.hot_reload."
            f"max_rate_per_s), and the case sends {rate_per_s:g}; nothing was sent"
        )


def plain_path(path: str) -> str:
    """A path as a server may understand it, whichever way it is written."""
    path = urlsplit(path).path
    while (decoded := unquote(path)) != path:
        path = decoded
    segments = (segment.partition(";")[0].strip() for segment in re.split(r"[/\\]+", path))
    return posixpath.normpath("/" + "/".join(segments).lstrip("/")).lower()


@dataclass(frozen=True)
class Reply:
    """What came back to one question.

    Attributes:
        value: The JSON object; None where there was none.
        findings: What is wrong with the answer, each naming the question.
        exchange: The answer; None when there was none.
    """

    value: Mapping[str, Any] | None
    findings: tuple[Finding, ...]
    exchange: Exchange | None = None


class Api:
    """The hot-reload API under its prefix, with what every question has in common.

    Args:
        prefix: Path in front of ``/reload-all`` and the others.
        timeout_s: Seconds for one answer.
    """

    def __init__(self, prefix: str = PREFIX, timeout_s: float = 30.0) -> None:
        self.prefix = prefix
        self._timeout_s = timeout_s

    def ask(
        self,
        node: Node,
        method: str,
        name: str,
        check: Callable[[Mapping[str, Any]], Iterator[Finding]] = lambda _: iter(()),
    ) -> Reply:
        """One question to a node; `check` looks at the answer."""
        return asked(
            node,
            Request(
                method,
                f"{self.prefix}/{name}",
                timeout_s=self._timeout_s,
                stall_s=self._timeout_s,
                max_bytes=MAX_BYTES,
            ),
            check,
        )


def asked(
    node: Node, request: Request, check: Callable[[Mapping[str, Any]], Iterator[Finding]]
) -> Reply:
    """Send a request to a node; no answer, or none that is a JSON object, is a finding."""
    where = f"{request.method} {request.path} of {node.name}"
    try:
        exchange = node.target.send(request)
    except TargetError as error:
        return Reply(None, (Finding("hot_reload.no-answer", f"{node.name}: {error}"),))
    problem, value = _read(exchange)
    if problem is not None:
        return Reply(None, (replace(problem, message=f"{where}: {problem.message}"),), exchange)
    found = (replace(f, message=f"{where}: {f.message}") for f in check(value))
    return Reply(value, tuple(found), exchange)


def _read(exchange: Exchange) -> tuple[Finding | None, Mapping[str, Any]]:
    text = cut(exchange.body[:4096].decode(errors="replace"))
    if exchange.broken:
        return Finding("hot_reload.broken", exchange.broken, received=text), {}
    if exchange.status != 200:
        message = f"status {exchange.status} instead of 200"
        return Finding("hot_reload.status", message, expected="200", received=text), {}
    if not exchange.body.strip():
        return Finding("hot_reload.empty-answer", "the answer is empty"), {}
    try:
        value = json.loads(exchange.body.decode("utf-8"))
    except (ValueError, RecursionError):
        return Finding("hot_reload.not-json", "the answer is not JSON", received=text), {}
    if not isinstance(value, dict):
        message = f"the answer is {kind(value)}, an object was expected"
        return Finding("hot_reload.not-json", message, received=text), {}
    return None, value
