"""A rollout's plan: the steps, what each means and how it acts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_release.redaction import Redactor

CHANGING = frozenset({"deploy", "reload"})  # types after which an environment is another
STOP, CONTINUE, ROLLBACK = "stop", "continue", "rollback"


@dataclass(frozen=True)
class Action:
    """How something is done.

    Attributes:
        adapter: Name of the module in ``rollout/adapters`` that does it.
        options: As its schema says, with ``{{name}}`` unfilled; the values of variables are
            `Secret`.
        line: Where it stands in the plan, counted from 1.
    """

    adapter: str
    options: Mapping[str, Any] = field(default_factory=dict)
    line: int = 1


@dataclass(frozen=True)
class Retries:
    """Attempts after a failed one.

    Attributes:
        times: So many at most.
        wait_s: Seconds before the first of them.
        factor: Each wait is so many times the one before.
        most_s: No wait is longer.
    """

    times: int = 0
    wait_s: float = 1.0
    factor: float = 2.0
    most_s: float = 60.0

    def pause(self, attempt: int) -> float:
        """Seconds between the attempt of this number, from 1, and the next."""
        return float(min(self.most_s, self.wait_s * self.factor ** (attempt - 1)))


@dataclass(frozen=True)
class When:
    """A step is done only if some of these paths changed between two commits.

    Attributes:
        changed: Paths, or git's patterns.
        repository: On this machine.
        since: The one commit, with ``{{name}}`` unfilled.
        until: The other.
    """

    changed: tuple[str, ...]
    repository: Path
    since: str = "{{previous_commit}}"
    until: str = "{{commit}}"


@dataclass(frozen=True)
class Node:
    """One of a group of machines.

    Attributes:
        ssh: The host, as ssh's configuration knows it; None for this machine.
        ssh_config: Another configuration for ssh.
        base_url: Where it answers itself; None: where its environment does.
        values: For ``{{node.name}}``.
    """

    name: str
    ssh: str | None = None
    ssh_config: str | None = None
    base_url: str | None = field(default=None, repr=False)  # it may carry a password
    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def names(self) -> dict[str, str]:
        """What ``{{node}}`` and ``{{node.x}}`` mean."""
        own = {"ssh": self.ssh, "base_url": self.base_url}
        told = {**self.values, **{name: text for name, text in own.items() if text is not None}}
        return {"node": self.name, **{f"node.{name}": text for name, text in told.items()}}


@dataclass(frozen=True)
class Step:
    """One step of a plan.

    Attributes:
        type: What it means.
        environment: Where.
        action: How.
        needs: Names of the steps that end before it begins.
        timeout_s: Seconds for one attempt.
        on_failure: `STOP`, `CONTINUE` or `ROLLBACK`.
        idempotent: It may be done again when nobody knows whether it was done; None: as its
            adapter says.
        verify: What shows that it was done.
        verify_within_s: Seconds in which that must show.
        undo: What takes it back.
        line: Where it stands in the plan, counted from 1.
        group: Name of the nodes on which it is done; None for a step of the environment.
        nodes: Those of the group, in order.
        batch: So many at a time.
        max_unavailable: When more are down, no further one is begun.
        node: Set in the part of a step that is of one node.
        ended: As what the rollout must have ended for it to be done; empty: as anything. Of steps
            that are done afterwards.
    """

    name: str
    type: str
    environment: str
    action: Action
    needs: tuple[str, ...] = ()
    timeout_s: float = 600.0
    retries: Retries = field(default_factory=Retries)
    when: When | None = None
    on_failure: str = STOP
    idempotent: bool | None = None
    verify: tuple[Action, ...] = ()
    verify_within_s: float = 0.0
    undo: tuple[Action, ...] = ()
    line: int = 1
    group: str | None = None
    nodes: tuple[Node, ...] = ()
    batch: int = 1
    max_unavailable: int = 0
    node: Node | None = None
    ended: tuple[str, ...] = ()

    @property
    def actions(self) -> Iterator[Action]:
        """All that it may do."""
        yield from (self.action, *self.verify, *self.undo)


@dataclass(frozen=True)
class Mode:
    """A part of a plan.

    Attributes:
        only: Names of the steps that are done; None for all.
        skip: Names of steps that are not.
        waiver: Environment and gate of the waiver that it needs.
    """

    only: frozenset[str] | None = None
    skip: frozenset[str] = frozenset()
    waiver: tuple[str, str] | None = None

    def has(self, step: str) -> bool:
        """Whether the step is done in it."""
        return step not in self.skip and (self.only is None or step in self.only)


@dataclass(frozen=True)
class Plan:
    """One plan file, resolved.

    Attributes:
        system: The stack in the history.
        steps: In an order in which each comes after what it needs.
        rollback: What brings the last good release of an environment back.
        afterwards: Who is told how it ended.
        values: For ``{{name}}``.
        digest: SHA-256 of the canonical plan, before its variables.
        redactor: Removes the plan's secrets from any text.
    """

    name: str
    system: str
    source: Path
    digest: str
    steps: tuple[Step, ...]
    rollback: tuple[Step, ...] = ()
    afterwards: tuple[Step, ...] = ()
    values: Mapping[str, str] = field(default_factory=dict)
    modes: Mapping[str, Mode] = field(default_factory=dict)
    description: str = ""
    redactor: Redactor = field(default_factory=Redactor, compare=False)

    @property
    def environments(self) -> tuple[str, ...]:
        """Where something is done, in order, each once."""
        steps = (*self.steps, *self.rollback, *self.afterwards)
        return tuple(dict.fromkeys(step.environment for step in steps))
