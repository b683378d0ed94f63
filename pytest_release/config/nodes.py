"""Groups of nodes in a plan: who is in them, and what a schema cannot say of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_release.config.document import Key
from pytest_release.config.plan import Node
from pytest_release.config.validation import suggestion
from pytest_release.config.variables import Resolved
from pytest_release.errors import Problem

NODE = "node"
ONE_DECISION = frozenset({"promote", "record"})  # types that speak of a whole environment


def nodes_of(group: Mapping[str, Mapping[str, Any]]) -> tuple[Node, ...]:
    """The nodes of a group, in order."""
    return tuple(
        Node(
            name=name,
            ssh=given.get("ssh"),
            ssh_config=given.get("ssh_config"),
            base_url=given["base_url"].rstrip("/") if "base_url" in given else None,
            values={
                key: str(value).lower() if isinstance(value, bool) else str(value)
                for key, value in given.get("values", {}).items()
            },
        )
        for name, given in group.items()
    )


def count(given: int | str, nodes: int) -> int:
    """So many of them; a share is rounded down."""
    return given if isinstance(given, int) else nodes * int(given.rstrip("% ")) // 100


def names_of(plan: Mapping[str, Any], step: Mapping[str, Any]) -> list[str]:
    """What a step may say of its node: that which every node of the group has."""
    nodes = nodes_of(plan.get("nodes", {}).get(step.get("nodes"), {}))
    first = nodes[0].names if nodes else {}
    return [name for name in first if all(name in node.names for node in nodes)]


def node_problems(resolved: Resolved) -> Iterator[Problem]:
    """What is wrong with groups, and with steps that name one."""
    value = resolved.document.value
    yield from _group_problems(resolved, value.get("nodes", {}))
    for part in ("steps", "rollback"):
        for index, step in enumerate(value.get(part, ())):
            yield from _step_problems(resolved, (part, index), step)


def _group_problems(resolved: Resolved, groups: Mapping[str, Any]) -> Iterator[Problem]:
    seen: dict[str, tuple[str, Any]] = {}
    for group, nodes in groups.items():
        for name, node in nodes.items():
            first, known = seen.setdefault(name, (group, node))
            if known != node:
                message = f"the node {name!r} is another one in {first!r}: a name is one machine"
                yield resolved.document.problem(("nodes", group, name), message)
            for taken in sorted({"ssh", "base_url"} & set(node.get("values", {}))):
                key: Key = ("nodes", group, name, "values", taken)
                yield resolved.document.problem(key, f"{taken!r} has its own meaning")


def _step_problems(resolved: Resolved, key: Key, step: Mapping[str, Any]) -> Iterator[Problem]:
    problem, groups = resolved.document.problem, resolved.document.value.get("nodes", {})
    named = step.get("nodes")
    if named is None:
        for word in ("batch", "max_unavailable"):
            if word in step:
                yield problem((*key, word), f"{word!r} is of steps with 'nodes'")
        return
    if named not in groups:
        there_are = ", ".join(groups) or "none"
        message = f"there is no group of nodes {named!r}{suggestion(named, groups)}"
        yield problem((*key, "nodes"), f"{message}; groups: {there_are}")
    if step["type"] in ONE_DECISION:
        message = f"a {step['type']} is of the whole environment, and not of a node"
        yield problem((*key, "nodes"), message)
    if step["name"] == NODE:
        yield problem((*key, "name"), f"{NODE!r} has its own meaning: choose another name")
