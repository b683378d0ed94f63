"""``fixtures/cases/<system>/*.yaml`` -> cases, each behind those whose values it needs.

- What the cases of a gate are about stands in its schema, as ``x-about``: ``requests``, each a
  request; ``deployments``, each a look at data, made once for each UUID of a run, which needs
  ``fixtures/systems/<system>.yaml``; ``environment``, each a check made once.
- A gate has cases here when ``schemas/cases.<gate>.schema.json`` exists.
- A case is laid over its file's ``defaults``: ``headers``, ``params`` and ``expect`` merge key by
  key, and so do the mappings in ``expect`` (``events``, ``headers``, ``json``, ``text``). Anything
  else is replaced; a body replaces a body of whatever kind.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from graphlib import CycleError, TopologicalSorter
from hashlib import sha256
from heapq import heappop, heappush
from importlib import resources
from pathlib import Path
from typing import Any

from pytest_release.atomic import sha256_of
from pytest_release.config.cases import (
    Case,
    CheckCase,
    DataCase,
    HttpCase,
    Multipart,
    Request,
)
from pytest_release.config.document import Key, is_file, load_document
from pytest_release.config.system import System
from pytest_release.config.systems import load_system
from pytest_release.config.validation import schema, suggestion, validate
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
        system: What its packages and stores hold; None when no file says it.
        digests: SHA-256 of each file that was read or is going to be sent, by its path relative
            to the fixtures folder.
        secrets: Values to remove from any text.
    """

    cases: tuple[Case, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    system: System | None = None

    def of(self, gate: str) -> tuple[Case, ...]:
        """The cases of one gate, in running order."""
        return tuple(case for case in self.cases if case.gate == gate)

    @property
    def requests(self) -> tuple[HttpCase, ...]:
        """The cases that send a request."""
        return tuple(case for case in self.cases if isinstance(case, HttpCase))

    @property
    def looks(self) -> tuple[DataCase, ...]:
        """The cases that look at data."""
        return tuple(case for case in self.cases if isinstance(case, DataCase))

    def for_uuids(self, uuids: Sequence[str]) -> Casebook:
        """The same with each look at data made for each of the UUIDs; for none as declared."""
        cases = [
            bound
            for case in self.cases
            for bound in (map(case.of, uuids) if uuids and isinstance(case, DataCase) else (case,))
        ]
        return replace(self, cases=tuple(cases))


def about(gate: str) -> str:
    """What the cases of a gate are about: ``requests``, ``deployments`` or ``environment``."""
    return str(schema(f"cases.{gate}")["x-about"])


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
    described = load_system(fixtures, system, variables)
    files: set[Path] = set(described.files) if described else set()
    secrets: frozenset[str] = frozenset()
    for file in sorted((fixtures / "cases" / system).glob("*.yaml")):
        if file.name.startswith("_"):
            continue
        resolved = _load(file, variables)
        cases.extend(_cases(resolved, described))
        files.update(place.file for place in resolved.document.places.values())
        secrets |= resolved.secrets
    files.update(sent for case in cases for sent in _sent_files(case))
    digests = {os.path.relpath(file, fixtures): _digest(file) for file in files}
    _refuse_twins(cases)
    requests = [case for case in cases if isinstance(case, HttpCase)]
    others = [case for case in cases if not isinstance(case, HttpCase)]
    ordered = (*_by_need(requests), *others)
    return Casebook(ordered, dict(sorted(digests.items())), secrets, described)


def _digest(file: Path) -> str:
    try:
        return sha256_of(file)
    except OSError as error:
        raise ConfigError(Problem(file, None, "", f"cannot be read: {error.strerror}")) from None


def _load(file: Path, variables: Mapping[str, str]) -> Resolved:
    document = load_document(file)
    known = declarative_gates()
    gate = document.value.get("gate")
    if gate not in known:
        got = "nothing" if gate is None else f"{gate!r}{suggestion(str(gate), known)}"
        message = f"expected one of {', '.join(known)}, got {got}"
        raise ConfigError(document.problem(("gate",), message))
    resolved = resolve(document, variables)
    validate(resolved, f"cases.{gate}")
    return resolved


def _cases(resolved: Resolved, system: System | None) -> Iterator[Case]:
    plain, sealed = resolved.document.value, resolved.sealed(())
    for index in range(len(plain["cases"])):
        case = _case(resolved, index, _over(plain, index), _over(sealed, index))
        if isinstance(case, DataCase):
            _refuse_unknown(case, system)
        yield case


def _refuse_unknown(case: DataCase, system: System | None) -> None:
    """A look at data names what the system's file describes."""
    if system is None:
        message = f"the gate {case.gate} needs the system described in fixtures/systems/*.yaml"
        raise ConfigError(Problem(case.file, case.line, "", message))
    if case.table and case.table not in system.tables:
        near = suggestion(case.table, system.tables)
        message = f"{system.source} has no table {case.table!r}{near}"
        raise ConfigError(Problem(case.file, case.line, "table", message))


def _case(
    resolved: Resolved, index: int, plain: Mapping[str, Any], sealed: Mapping[str, Any]
) -> Case:
    gate = resolved.document.value["gate"]
    place = resolved.document.place(("cases", index))
    stated = {
        "id": f"{gate}/{slug(plain['name'])}",
        "gate": gate,
        "name": plain["name"],
        "file": place.file,
        "line": place.line,
        "expect": plain["expect"],
        "advisory": plain.get("advisory", False),
    }
    match about(gate):
        case "deployments":
            return DataCase(check=plain.get("check", ""), table=plain.get("table", ""), **stated)
        case "environment":
            return CheckCase(check=plain["check"], options=sealed.get("options", {}), **stated)
    given = {name: part for name, part in sealed.items() if name in _REQUEST_KEYS}
    return HttpCase(
        request=_request(resolved, index, given),
        capture=plain.get("capture", {}),
        needs=frozenset(_placeholders(given)),
        retries=plain.get("retries", 0),
        **stated,
    )


def _over(file: Mapping[str, Any], index: int) -> dict[str, Any]:
    """A case laid over the defaults of its file, see the top of this module."""
    defaults, own = file.get("defaults", {}), file["cases"][index]
    if BODIES & own.keys():
        defaults = {name: part for name, part in defaults.items() if name not in BODIES}
    expect = _key_by_key(defaults.get("expect", {}), own.get("expect", {}), whole={"json_schema"})
    return _key_by_key(defaults, own, whole=BODIES) | {"expect": expect}


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


def _request(resolved: Resolved, index: int, given: Mapping[str, Any]) -> Request:
    bodies = [name for name in BODIES if given.get(name) is not None]
    request = {"method": "POST" if bodies else "GET", **given}
    if "multipart" in bodies:
        request["multipart"] = _multipart(resolved, index, given["multipart"])
    return Request(**request)


def _multipart(resolved: Resolved, index: int, value: Mapping[str, Any]) -> Multipart:
    document = resolved.document
    key: Key = ("cases", index, "multipart")
    key = key if key in document.places else ("defaults", "multipart")
    files: dict[str, Path] = {}
    for name, path in value.get("files", {}).items():
        files[name] = document.place((*key, "files", name)).file.parent.absolute() / path
        if not is_file(files[name]):
            message = f"there is no file {files[name]}"
            raise ConfigError(document.problem((*key, "files", name), message))
    return Multipart(value.get("fields", {}), files)


def _sent_files(case: Case) -> Collection[Path]:
    multipart = case.request.multipart if isinstance(case, HttpCase) else None
    return multipart.files.values() if multipart else ()


def slug(name: str) -> str:
    """A name in the safe alphabet of ids: ``a`` to ``z``, digits and ``-``.

    A name with letters that the alphabet lacks keeps its own id by a piece of its digest.
    """
    decomposed = unicodedata.normalize("NFKD", name)
    letters = "".join(letter for letter in decomposed if not unicodedata.combining(letter)).lower()
    words = re.sub("[^a-z0-9]+", "-", letters).strip("-")
    if words and not any(letter.isalnum() and not letter.isascii() for letter in letters):
        return words
    return f"{words or 'case'}-{sha256(name.encode(errors='replace')).hexdigest()[:8]}"


def _placeholders(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON value
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for child in value:
            yield from _placeholders(child)
    elif isinstance(value, str | Secret):
        yield from PLACEHOLDER.findall(reveal(value))


def _refuse_twins(cases: Sequence[Case]) -> None:
    first: dict[str, Case] = {}
    for case in cases:
        twin = first.setdefault(case.id, case)
        if twin is not case:
            message = (
                f"the name {case.name!r} gives the id {case.id!r}, "
                f"which is taken by {twin.file.name}:{twin.line}; rename one"
            )
            raise ConfigError(Problem(case.file, case.line, "name", message))


def _by_need(cases: Sequence[HttpCase]) -> Iterator[HttpCase]:
    """Order of the files, but each case behind the sources of what it needs."""
    position = {case.id: index for index, case in enumerate(cases)}
    sorter = TopologicalSorter(dict(_sources(cases)))
    try:
        sorter.prepare()
    except CycleError as error:
        circle = error.args[1]
        case = cases[position[circle[0]]]
        message = f"cases need each other's values: {' -> '.join(circle)}"
        raise ConfigError(Problem(case.file, case.line, "", message)) from None
    ready: list[int] = []
    while sorter.is_active():
        for case_id in sorter.get_ready():
            heappush(ready, position[case_id])
        case = cases[heappop(ready)]
        sorter.done(case.id)
        yield case


def _sources(cases: Sequence[HttpCase]) -> Iterator[tuple[str, list[str]]]:
    """Each case's id with those of the cases of its gate that capture what it needs."""
    captured: dict[str, dict[str, HttpCase]] = defaultdict(dict)
    for case in cases:
        for name in case.capture:
            twin = captured[case.gate].setdefault(name, case)
            if twin is not case:
                message = f"{name!r} is captured by {twin.id!r} already; give it another name"
                raise ConfigError(Problem(case.file, case.line, "capture", message))
    for case in cases:
        known = captured[case.gate]
        for name in sorted(case.needs - known.keys()):
            message = (
                f"{{{{{name}}}}} is captured by no case of the gate {case.gate}"
                f"{suggestion(name, known)}; captured values: {', '.join(sorted(known)) or 'none'}"
            )
            raise ConfigError(Problem(case.file, case.line, "", message))
        yield case.id, [known[name].id for name in sorted(case.needs)]
