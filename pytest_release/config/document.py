"""YAML text -> a plain JSON value that still knows the file and line of every key.

- YAML 1.2's core schema: ``12:00`` and ``2025-02-05`` are strings, ``on`` and ``yes`` too, ``0x10``
  is 16, ``1e3`` is 1000.0; ``.inf``, which JSON cannot hold, is a string. Besides, ``<<`` merges.
- A key may stand once; an alias may not multiply a document beyond `MAX_NODES`, nor nest it deeper
  than `MAX_DEPTH`.
- ``extends:`` names another file, relative to the one it stands in; mappings merge deeply, anything
  else is replaced; a cycle is refused.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from pytest_release.errors import ConfigError, Problem

MAX_NODES = 100_000
MAX_DEPTH = 64
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

    def place(self, key: Key) -> Place:
        """Where `key` stands, or the nearest parent that has a line."""
        while key and key not in self.places:
            key = key[:-1]
        return self.places.get(key, Place(self.file, 1))

    def problem(self, key: Key, message: str) -> Problem:
        """A problem at `key`, or at the nearest parent that has a line."""
        place = self.place(key)
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
    document = _parse(file)
    if "extends" not in document.value:
        return document
    base_name = document.value.pop("extends")
    if not isinstance(base_name, str):
        problem = document.problem(("extends",), "expected the path of a file, relative to this")
        raise ConfigError(problem)
    base_file = file.parent / base_name
    if not is_file(base_file):
        raise ConfigError(document.problem(("extends",), f"there is no file {base_file}"))
    chain = (*chain, file.resolve())
    if base_file.resolve() in chain:
        names = " -> ".join(path.name for path in (*chain, base_file))
        raise ConfigError(document.problem(("extends",), f"files extend each other: {names}"))
    return _merge(_load(base_file, chain), document)


def is_file(path: Path) -> bool:
    """Whether a file stands there; False, too, for what cannot be the path of one."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises for a name that is too long


def _parse(file: Path) -> Document:
    reader = _Reader(file)
    try:
        node = _compose(file, _read(file))
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(Problem(file, 1, "", "expected a mapping of keys to values"))
        return Document(file, reader.build(node, ()), reader.places)
    except RecursionError:
        raise ConfigError(Problem(file, None, "", "is nested too deeply")) from None


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
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(Problem(file, line, "", f"is not YAML: {reason}")) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        reason = f"the character U+{error.character:04X} must be written as an escape"
        raise ConfigError(Problem(file, line, "", f"is not YAML: {reason}")) from None
    except (ValueError, OverflowError):  # PyYAML's own, for "\UFFFFFFFF"
        reason = "an escape names a character that does not exist"
        raise ConfigError(Problem(file, None, "", f"is not YAML: {reason}")) from None
    return node


class _CoreLoader(yaml.SafeLoader):
    """PyYAML with the scalars of YAML 1.2's core schema instead of 1.1's."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML keeps its resolvers in the class


def _whole(text: str) -> int:
    return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _unicode(text: str) -> str:
    text.encode()  # refuses half of a surrogate pair
    return text


_TAG = "tag:yaml.org,2002:"
_SCALARS: dict[str, tuple[str, Sequence[str], Callable[[str], Any]]] = {
    "bool": ("true|True|TRUE|false|False|FALSE", "tTfF", lambda text: text.lower() == "true"),
    "int": ("[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789", _whole),
    "float": (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+0123456789.", _finite),
    "null": ("~|null|Null|NULL|", ("~", "n", "N", ""), lambda _: None),
    "str": ("(?s:.*)", "", _unicode),
}
for _kind, (_form, _first, _) in _SCALARS.items():
    _CoreLoader.add_implicit_resolver(_TAG + _kind, re.compile(f"^(?:{_form})$"), list(_first))


class _Reader:
    """Turns nodes into values and remembers where each stood."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.places: dict[Key, Place] = {}
        self._nodes = 0

    def build(self, node: yaml.Node, key: Key) -> Any:  # noqa: ANN401 - any JSON value
        """The value of a node; its line is noted unless the key's line already was."""
        self._count(node, key)
        self.places.setdefault(key, Place(self.file, node.start_mark.line + 1))
        kind = node.tag.removeprefix(_TAG)
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [self.build(child, (*key, index)) for index, child in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and kind in _SCALARS:
            return self._scalar(node, kind, key)
        raise self._error(node, key, f"the tag {node.tag} is not allowed here")

    def _count(self, node: yaml.Node, key: Key) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise self._error(node, key, f"the document has more than {MAX_NODES} values")
        if len(key) > MAX_DEPTH:
            raise self._error(node, key[:1], f"the document is nested deeper than {MAX_DEPTH}")

    def _scalar(self, node: yaml.ScalarNode, kind: str, key: Key) -> Any:  # noqa: ANN401 - JSON
        form, _, convert = _SCALARS[kind]
        if not re.fullmatch(form, node.value):
            raise self._error(node, key, f"the tag {node.tag} does not fit {node.value!r}")
        try:
            return convert(node.value)
        except ValueError:
            raise self._error(node, key, "the value is out of range") from None

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for name, (name_node, value_node) in self._pairs(node, key).items():
            self.places[(*key, name)] = Place(self.file, name_node.start_mark.line + 1)
            built[name] = self.build(value_node, (*key, name))
        return built

    def _pairs(
        self, node: yaml.MappingNode, key: Key
    ) -> dict[str, tuple[yaml.ScalarNode, yaml.Node]]:
        """Names with their nodes: the mapping's own over those that it merges with ``<<``."""
        own: dict[str, tuple[yaml.ScalarNode, yaml.Node]] = {}
        for name_node, value_node in node.value:
            if not isinstance(name_node, yaml.ScalarNode):
                raise self._error(name_node, key, "a key must be a plain word")
            name = self._scalar(name_node, "str", key)
            if name in own:
                message = f"the key stands twice, first in line {own[name][0].start_mark.line + 1}"
                raise self._error(name_node, (*key, name), message)
            own[name] = name_node, value_node
        if "<<" not in own:
            return own
        _, merge = own.pop("<<")
        self._count(merge, key)
        if not isinstance(merge, yaml.MappingNode):
            raise self._error(merge, key, "'<<' expects one mapping")
        return self._pairs(merge, key) | own

    def _error(self, node: yaml.Node, key: Key, message: str) -> ConfigError:
        return ConfigError(Problem(self.file, node.start_mark.line + 1, dotted(key), message))


def _merge(base: Document, top: Document) -> Document:
    """`top` over `base`: mappings key by key, everything else replaced with its places."""
    replaced: set[Key] = set()

    def over(low: Any, high: Any, key: Key) -> Any:  # noqa: ANN401 - any JSON value
        if not isinstance(low, dict) or not isinstance(high, dict):
            replaced.add(key)
            return high
        both = {name: over(low[name], high[name], (*key, name)) for name in low.keys() & high}
        return low | high | both

    value = over(base.value, top.value, ())
    kept = {
        key: place
        for key, place in base.places.items()
        if not any(key[:length] in replaced for length in range(1, len(key) + 1))
    }
    return Document(top.file, value, kept | dict(top.places))
