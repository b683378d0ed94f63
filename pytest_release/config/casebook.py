"""``fixtures/cases/<system>/*.yaml`` -> cases, each behind those whose values it needs.

A gate has cases here when ``schemas/cases.<gate>.schema.json`` exists; adding a gate adds a schema.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from graphlib import CycleError, TopologicalSorter
from importlib import resources
from pathlib import Path
from typing import Any

from pytest_release.config.cases import Case, Multipart, Request
from pytest_release.config.document import Key, load_document
from pytest_release.config.validation import suggestion, validate
from pytest_release.config.variables import Resolved, resolve
from pytest_release.errors import ConfigError, Problem
from pytest_release.redaction import Secret, reveal

PLACEHOLDER = re.compile(r"\{\{\s*([a-z_][a-z0-9_]*)\s*\}\}")
_REQUEST_KEYS = frozenset(field.name for field in fields(Request))


@dataclass(frozen=True)
class Casebook:
    """All cases of a system.

    Attributes:
        cases: In running order.
        digests: SHA-256 of each file by its path relative to the fixtures folder.
        secrets: Values to remove from any text.
    """

    cases: tuple[Case, ...] = ()
    digests: Mapping[str, str] = ()  # type: ignore[assignment]
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
    digests: dict[str, str] = {}
    secrets: frozenset[str] = frozenset()
    for file in sorted((fixtures / "cases" / system).glob("*.yaml")):
        if file.name.startswith("_"):
            continue
        resolved = _load(file, variables)
        cases.extend(_cases(resolved))
        digests[file.relative_to(fixtures).as_posix()] = hashlib.sha256(
            file.read_bytes()
        ).hexdigest()
        secrets |= resolved.secrets
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
    defaults = resolved.sealed(("defaults",)) if "defaults" in resolved.document.value else {}
    for index in range(len(resolved.document.value["cases"])):
        key: Key = ("cases", index)
        yield _case(resolved, key, {**defaults, **resolved.sealed(key)}, defaults)


def _case(
    resolved: Resolved, key: Key, value: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Case:
    place = resolved.document.problem(key, "")
    return Case(
        id=f"{resolved.document.value['gate']}/{slug(value['name'])}",
        gate=resolved.document.value["gate"],
        name=value["name"],
        request=_request(resolved, key, value),
        file=place.file,
        line=place.line or 1,
        expect={**defaults.get("expect", {}), **value.get("expect", {})},
        capture=value.get("capture", {}),
        needs=frozenset(_placeholders(value)),
        retries=value.get("retries", 0),
        advisory=value.get("advisory", False),
    )


def _request(resolved: Resolved, key: Key, value: Mapping[str, Any]) -> Request:
    given = {name: part for name, part in value.items() if name in _REQUEST_KEYS}
    multipart = given.pop("multipart", None)
    if multipart:
        given["multipart"] = _multipart(resolved, key, multipart)
    given.setdefault("method", "GET" if not {"json", "form", "multipart"} & set(given) else "POST")
    return Request(**given)


def _multipart(resolved: Resolved, key: Key, value: Mapping[str, Any]) -> Multipart:
    files: dict[str, Path] = {}
    for name, path in value.get("files", {}).items():
        problem = resolved.document.problem((*key, "multipart", "files", name), "")
        file = problem.file.parent / reveal(path)
        if not file.is_file():
            message = f"there is no file {file}"
            raise ConfigError(Problem(problem.file, problem.line, problem.key, message))
        files[name] = file.resolve()
    return Multipart(dict(value.get("fields", {})), files)


def slug(name: str) -> str:
    """A name in the safe alphabet of ids: letters, digits and ``-``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "case"


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
