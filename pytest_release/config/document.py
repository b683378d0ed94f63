"""YAML text -> a plain JSON value that still knows the file and line of every key.

- YAML 1.2's core schema: ``12:00`` and ``2025-02-05`` are strings, ``on`` and ``yes`` too.
- A key may stand once; an alias may not multiply a document beyond `MAX_NODES`.
- ``extends:`` names another file, relative to the one it stands in; mappings merge deeply, anything
  else is replaced; a cycle is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pytest_release.errors import ConfigError, Problem

MAX_NODES = 100_000
MAX_BYTES = 4 * 1024 * 1024

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Place:
    """A line of a file, counted from 1."""

    file: Path
    line: int


@dataclass(frozen=True)
class Document:
    """A file, its bases merged in, variables still unresolved.

    Attributes:
        file: The file that was asked for.
        value: Plain JSON value.
        places: Where each key or list item stands; the empty key is the document itself.
    """

    file: Path
    value: Any
    places: Mapping[Key, Place]

    def problem(self, key: Key, message: str) -> Problem:
        """A problem at `key`, or at the nearest parent that has a line."""
        nearest = key
        while nearest and nearest not in self.places:
            nearest = nearest[:-1]
        place = self.places.get(nearest, Place(self.file, 1))
        return Problem(place.file, place.line, dotted(key), message)


def dotted(key: Key) -> str:
    """``("cases", 2, "expect")`` as people write it: ``cases[2].expect``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


def load_document(file: Path) -> Document:
    """Read a YAML file and what it extends.

    Raises:
        ConfigError: The file is missing, too large, not UTF-8, not YAML, not a mapping, repeats a
            key, or extends itself.
    """
    return _load(file, ())


def _load(file: Path, chain: tuple[Path, ...]) -> Document:
    resolved = file.resolve()
    if resolved in chain:
        names = " -> ".join(path.name for path in (*chain, resolved))
        raise ConfigError(Problem(chain[-1], None, "extends", f"files extend each other: {names}"))
    document = _parse(file)
    base_name = document.value.pop("extends", None)
    if base_name is None:
        return document
    if not isinstance(base_name, str):
        problem = document.problem(("extends",), "expected the path of a file, relative to this")
        raise ConfigError(problem)
    base_file = file.parent / base_name
    if not base_file.is_file():
        raise ConfigError(document.problem(("extends",), f"there is no file {base_file}"))
    base = _load(base_file, (*chain, resolved))
    return _merge(base, document)


def _parse(file: Path) -> Document:
    node = _compose(file, _read(file))
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(Problem(file, 1, "", "expected a mapping of keys to values"))
    reader = _Reader(file)
    value = reader.build(node, ())
    return Document(file, value, reader.places)


def _read(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ConfigError(Problem(file, None, "", f"the file is larger than {MAX_BYTES} bytes"))
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(Problem(file, None, "", f"cannot be read: {error.strerror}")) from None
    except UnicodeDecodeError as error:
        message = f"is not UTF-8: byte {error.object[error.start]:#04x} at offset {error.start}"
        raise ConfigError(Problem(file, None, "", message)) from None


def _compose(file: Path, text: str) -> yaml.Node | None:
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=_CoreLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        raise ConfigError(Problem(file, line, "", f"is not YAML: {error.problem}")) from None
    except yaml.YAMLError as error:
        raise ConfigError(Problem(file, None, "", f"is not YAML: {error}")) from None
    return node


class _CoreLoader(yaml.SafeLoader):
    """PyYAML with the scalars of YAML 1.2's core schema instead of 1.1's."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML keeps its resolvers in the class


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+0123456789."),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    _CoreLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )

_SCALARS: dict[str, Callable[[str], Any]] = {
    "tag:yaml.org,2002:null": lambda _: None,
    "tag:yaml.org,2002:bool": lambda text: text.lower() == "true",
    "tag:yaml.org,2002:int": int,
    "tag:yaml.org,2002:float": float,
    "tag:yaml.org,2002:str": str,
}


class _Reader:
    """Turns nodes into values and remembers where each stood."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.places: dict[Key, Place] = {}
        self._nodes = 0

    def build(self, node: yaml.Node, key: Key) -> Any:  # noqa: ANN401 - any JSON value
        """The value of a node; its line is noted unless the key's line already was."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._error(node, key, f"the document has more than {MAX_NODES} values")
        self.places.setdefault(key, Place(self.file, node.start_mark.line + 1))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child, (*key, index)) for index, child in enumerate(node.value)]
        convert = _SCALARS.get(node.tag)
        if convert is None:
            raise self._error(node, key, f"the tag {node.tag} is not allowed here")
        return convert(node.value)

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        built: dict[str, Any] = {}
        own: dict[str, int] = {}
        for name_node, value_node, merged in self._items(node, key):
            name = str(name_node.value)
            if merged and name in own:
                continue
            if name in own:
                message = f"the key stands twice, first in line {own[name]}"
                raise self._error(name_node, (*key, name), message)
            if not merged:
                own[name] = name_node.start_mark.line + 1
            self.places[(*key, name)] = Place(self.file, name_node.start_mark.line + 1)
            built[name] = self.build(value_node, (*key, name))
        return built

    def _items(
        self, node: yaml.MappingNode, key: Key
    ) -> Iterator[tuple[yaml.ScalarNode, yaml.Node, bool]]:
        """Own pairs first, then those merged with ``<<``, which own ones override."""
        merges = []
        for name, value in node.value:
            if not isinstance(name, yaml.ScalarNode):
                raise self._error(name, key, "a key must be a plain word")
            if name.tag == "tag:yaml.org,2002:merge":
                merges.append(value)
            else:
                yield name, value, False
        for merge in merges:
            if not isinstance(merge, yaml.MappingNode):
                raise self._error(merge, key, "'<<' expects one mapping")
            for name, value, _ in self._items(merge, key):
                yield name, value, True

    def _error(self, node: yaml.Node, key: Key, message: str) -> ConfigError:
        return ConfigError(Problem(self.file, node.start_mark.line + 1, dotted(key), message))


def _merge(base: Document, top: Document) -> Document:
    """`top` over `base`: mappings key by key, everything else replaced with its places."""
    places = dict(base.places)

    def over(low: Any, high: Any, key: Key) -> Any:  # noqa: ANN401 - any JSON value
        if isinstance(low, dict) and isinstance(high, dict):
            merged = dict(low)
            for name, value in high.items():
                merged[name] = over(low[name], value, (*key, name)) if name in low else value
            return merged
        for stale in [place for place in places if place[: len(key)] == key]:
            del places[stale]
        return high

    value = over(base.value, top.value, ())
    return Document(top.file, value, places | dict(top.places))
