"""``fixtures/cases/<system>/*.yaml`` -> cases, each behind those whose values it needs.

- A gate has cases here when ``schemas/cases.<gate>.schema.json`` exists; adding a gate adds a schema.
- What a case says is laid over the file's ``defaults``: ``headers``, ``params``, ``expect``, and in it
  ``headers``, ``json``, ``events`` and ``text``, key by key; anything else is replaced. A body
  replaces a body of whatever kind.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from graphlib import CycleError, TopologicalSorter
from hashlib import sha256
from heapq import heappop, heappush
from importlib import resources
from pathlib import Path
from typing import Any

from pytest_release.atomic import sha256_of
from pytest_release.config.cases import Case, Multipart, Request
from pytest_release.config.document import Key, is_file, load_document
from pytest_release.config.validation import suggestion, validate
from pytest_release.config.variables import Resolved, resolve
from pytest_release.errors import ConfigError, Problem
from pytest_release.redaction import Secret, reveal

PLACEHOLDER = re.compile(r"\{\{\s*([a-z_][a-z0-9_]*)\s*\}\}")
BODIES = frozenset({"json", "form", "multipart"})
_REQUEST_KEYS = frozenset(part.name for part in fields(Request))


@dataclass(frozen=True)
class Casebook:
    """All cases of a system.

    Attributes:
        cases: In running order.
        digests: SHA-256 of each file that was read or is sent, by its path relative to the fixtures
            folder.
        secrets: Values to remove from any text.
    """

    cases: tuple[Case, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()

    def of(self, gate: str) -> tuple[Case, ...]:
        """The cases of one gate, in running order."""
        return tuple(case for case in self.cases if case.gate == gate)


def declarative_gates() -> list[str]:
    """Gates whose cases are YAML: those that publish a schema for them."""
    folder = resources.files("pytest_release") / "schemas"
    names = (re.fullmatch(r"cases\.([a-z_0-9]+)\.schema\.json", f.name) for f in folder.iterdir())
    return sorted(match[1] for match in names if match)


def load_casebook(fixtures: Path, system: str, variables: Mapping[str, str]) -> Casebook:
    """Read and check every case file of a system; a system without a folder has no cases.

    Raises:
        ConfigError: A file is wrong, two cases have one name, or needed values come from nowhere.
    """
    cases: list[Case] = []
    files: set[Path] = set()
    secrets: frozenset[str] = frozenset()
    for file in sorted((fixtures / "cases" / system).glob("*.yaml")):
        if file.name.startswith("_"):
            continue
        resolved = _load(file, variables)
        cases.extend(_cases(resolved))
        files.update(place.file for place in resolved.document.places.values())
        secrets |= resolved.secrets
    files.update(
        sent for case in cases if (body := case.request.multipart) for sent in body.files.values()
    )
    digests = {os.path.relpath(file, fixtures): sha256_of(file) for file in sorted(files)}
    _refuse_twins(cases)
    return Casebook(tuple(_by_need(cases)), digests, secrets)


def _load(file: Path, variables: Mapping[str, str]) -> Resolved:
    document = load_document(file)
    known = declarative_gates()
    gate = document.value.get("gate")
    if gate not in known:
        message = f"expected one of {', '.join(known)}, got {gate!r}{suggestion(str(gate), known)}"
        raise ConfigError(document.problem(("gate",), message))
    resolved = resolve(document, variables)
    validate(resolved, f"cases.{gate}")
    return resolved


def _cases(resolved: Resolved) -> Iterator[Case]:
    plain = resolved.document.value
    for index, own in enumerate(plain["cases"]):
        yield _case(resolved, ("cases", index), _over(plain.get("defaults", {}), own))


def _over(defaults: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A case laid over the defaults, see the top of this module."""
    if BODIES & own.keys():
        defaults = {name: part for name, part in defaults.items() if name not in BODIES}
    value = _key_by_key(defaults, own, whole=BODIES)
    expect = _key_by_key(defaults.get("expect", {}), own.get("expect", {}), whole={"json_schema"})
    return value | {"expect": expect}


def _key_by_key(
    low: Mapping[str, Any], high: Mapping[str, Any], whole: Collection[str]
) -> dict[str, Any]:
    """`high` over `low`: mappings merge their keys, but for those in `whole`."""
    merged = {
        name: {**low[name], **part}
        for name, part in high.items()
        if name not in whole and isinstance(part, dict) and isinstance(low.get(name), dict)
    }
    return {**low, **high, **merged}


def _placeholders(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    if isinstance(value, Mapping):
        for name, child in value.items():
            if name not in {"expect", "capture"}:
                yield from _placeholders(child)
    elif isinstance(value, list):
        for child in value:
            yield from _placeholders(child)
    elif isinstance(value, str | Secret):
        yield from PLACEHOLDER.findall(reveal(value))


def _refuse_twins(cases: list[Case]) -> None:
    first: dict[str, Case] = {}
    for case in cases:
        twin = first.setdefault(case.id, case)
        if twin is not case:
            message = (
                f"the name {case.name!r} gives the id {case.id!r}, "
                f"which is taken by {twin.file.name}:{twin.line}; rename one"
            )
            raise ConfigError(Problem(case.file, case.line, "name", message))


def _by_need(cases: list[Case]) -> Iterator[Case]:
    """Order of the files, but each case behind the sources of what it needs."""
    sources = {name: case for case in cases for name in case.capture}
    known = {case.id: case for case in cases}
    graph: TopologicalSorter[str] = TopologicalSorter()
    for case in cases:
        graph.add(case.id, *(_source(case, name, sources).id for name in sorted(case.needs)))
    try:
        return iter([known[case_id] for case_id in graph.static_order()])
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        case = known[error.args[1][0]]
        message = f"cases need each other's values: {circle}"
        raise ConfigError(Problem(case.file, case.line, "capture", message)) from None


def _source(case: Case, name: str, sources: Mapping[str, Case]) -> Case:
    source = sources.get(name)
    if source is None or source.gate != case.gate:
        there_are = ", ".join(sorted(sources)) or "none"
        message = (
            f"{{{{{name}}}}} is captured by no case of the gate {case.gate}"
            f"{suggestion(name, sources)}; captured values: {there_are}"
        )
        raise ConfigError(Problem(case.file, case.line, "", message))
    return source
