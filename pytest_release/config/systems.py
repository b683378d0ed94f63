"""``fixtures/systems/*.yaml`` -> `System`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from pytest_release.config.document import Document, Key, load_document
from pytest_release.config.system import (
    Graph,
    Identities,
    Merges,
    PackageLayout,
    Reference,
    Sidecar,
    Status,
    System,
    Table,
    VectorTable,
)
from pytest_release.config.validation import suggestion, validate
from pytest_release.config.variables import resolve
from pytest_release.errors import ConfigError, Problem

SCHEMAS = frozenset({"schema", "item_schema"})  # keys of a sidecar that name a file


def load_system(fixtures: Path, name: str, variables: Mapping[str, str]) -> System | None:
    """Read and check the description of a system; None when it has none, as many need none.

    Args:
        fixtures: The folder with ``systems/``.
        name: Of the system.
        variables: Values of ``${VAR}``.

    Raises:
        ConfigError: The file, one it extends or a schema that it names is wrong.
    """
    file = fixtures / "systems" / f"{name}.yaml"
    if not file.is_file():
        return None
    resolved = resolve(load_document(file), variables)
    validate(resolved, "system")
    document = resolved.document
    if problems := list(_problems(document, name)):
        raise ConfigError(*problems)
    return _build(document)


def _problems(document: Document, name: str) -> Iterator[Problem]:
    """What a schema cannot say: that names meet what they name."""
    value = document.value
    if value["name"] != name:
        message = f"expected {name!r}, the file's own name, got {value['name']!r}"
        yield document.problem(("name",), message)
    for key, table in _named_tables(value):
        if table not in value["tables"]:
            known = ", ".join(value["tables"])
            message = f"no table {table!r}{suggestion(table, value['tables'])}; tables: {known}"
            yield document.problem(key, message)
    try:
        re.compile(value.get("pattern", ""))
    except re.error as error:
        yield document.problem(("pattern",), f"is no regular expression: {error}")


def _named_tables(value: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """Every place that names a table, with the name."""
    package, graph = value.get("package", {}), value.get("graph", {})
    for part in ("sidecars", "vector_tables"):
        for name, entry in package.get(part, {}).items():
            if "table" in entry:
                yield ("package", part, name, "table"), entry["table"]
    for name, entry in graph.get("references", {}).items():
        yield ("graph", "references", name, "table"), entry["table"]
    for part, keys in (
        ("graph", ("nodes", "edges", "videos")),
        ("identities", ("table", "bindings", "faces")),
        ("status", ("table",)),
    ):
        for key in keys:
            if key in value.get(part, {}):
                yield (part, key), value[part][key]


def _build(document: Document) -> System:
    value = document.value
    layout = _layout(document) if "package" in value else None
    pattern = {"pattern": re.compile(value["pattern"])} if "pattern" in value else {}
    return System(
        name=value["name"],
        tables={name: _table(name, entry) for name, entry in value["tables"].items()},
        source=document.file,
        files=frozenset(_files(document)),
        schema=value.get("schema", "public"),
        foreign_schemas=tuple(value.get("foreign_schemas", ())),
        package=layout,
        graph=_graph(value["graph"]) if "graph" in value else None,
        identities=_identities(value["identities"]) if "identities" in value else None,
        status=Status(**value["status"]) if "status" in value else None,
        **pattern,
    )


def _table(name: str, entry: Mapping[str, Any]) -> Table:
    return Table(
        name=name,
        table=entry["table"],
        file=entry["file"],
        key=tuple(entry["key"]),
        uuid=entry.get("uuid", "file_uuid"),
        vectors=entry.get("vectors", {}),
        masked=frozenset(entry.get("masked", ())),
        rewritten=frozenset(entry.get("rewritten", ())),
    )


def _layout(document: Document) -> PackageLayout:
    entry = document.value["package"]
    lists = ("executables", "extensions", "videos", "others")
    return PackageLayout(
        info=entry["info"],
        version=entry["version"],
        build=entry["build"],
        sqlite=entry.get("sqlite"),
        sidecars=tuple(_sidecar(document, name) for name in entry.get("sidecars", {})),
        vector_tables=tuple(
            VectorTable(name=name, **vectors)
            for name, vectors in entry.get("vector_tables", {}).items()
        ),
        **{name: tuple(entry.get(name, ())) for name in lists},
    )


def _sidecar(document: Document, name: str) -> Sidecar:
    key = ("package", "sidecars", name)
    entry = document.value["package"]["sidecars"][name]
    schemas = {
        part: _schema(document, (*key, part), entry[part]) for part in SCHEMAS & entry.keys()
    }
    return Sidecar(name=name, **{**entry, **schemas})


def _files(document: Document) -> Iterator[Path]:
    yield from (place.file for place in document.places.values())
    sidecars = document.value.get("package", {}).get("sidecars", {})
    for name, entry in sidecars.items():
        for part in SCHEMAS & entry.keys():
            yield _beside(document, ("package", "sidecars", name, part), entry[part])


def _beside(document: Document, key: Key, path: str) -> Path:
    """A path as it is meant: relative to the file that names it."""
    return document.place(key).file.parent / path


def _schema(document: Document, key: Key, path: str) -> Mapping[str, Any]:
    """The JSON Schema in a file that a system file names."""
    file = _beside(document, key, path)
    try:
        schema = json.loads(file.read_text(encoding="utf-8"))
        Draft202012Validator.check_schema(schema)
    except OSError as error:
        message = f"the file {file} cannot be read: {error.strerror}"
        raise ConfigError(document.problem(key, message)) from None
    except (ValueError, RecursionError):
        raise ConfigError(document.problem(key, f"the file {file} is not JSON")) from None
    except SchemaError as error:
        message = f"the file {file} is no JSON Schema: {error.message}"
        raise ConfigError(document.problem(key, message)) from None
    if not isinstance(schema, dict):
        raise ConfigError(document.problem(key, f"the file {file} is no JSON Schema of an object"))
    return schema


def _graph(entry: Mapping[str, Any]) -> Graph:
    references = {name: Reference(**r) for name, r in entry.get("references", {}).items()}
    return Graph(**{**entry, "references": references})


def _identities(entry: Mapping[str, Any]) -> Identities:
    merges = {"merges": Merges(**entry["merges"])} if "merges" in entry else {}
    return Identities(**{**entry, **merges})
