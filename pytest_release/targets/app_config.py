"""One value out of an application's own configuration file, whatever its form.

INI (``.ini``, ``.conf``, ``.cfg``), YAML, JSON, TOML, and ``NAME=value`` for any other name.
Nothing in a file is expanded or executed.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from configparser import Error as IniError
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import yaml

from pytest_release.errors import TargetError
from pytest_release.targets.settings import read_settings

LARGEST = 1024 * 1024  # bytes
MOST = 10_000  # values of a file that are looked at


class Configuration:
    """A file, read.

    Raises:
        TargetError: It cannot be read, is too large, or is not in the form that its name says.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        form = _FORMS.get(file.suffix.lower())
        self._document = form(file) if form else read_settings(file)

    def value(self, key: str) -> str | None:
        """The value at a dotted key, as text; None where there is none.

        A key that holds dots itself is found, too.
        """
        return _value(self._document, key)

    def values(self) -> Iterator[tuple[str, str]]:
        """Every value by its dotted key, up to `MOST`; what an alias repeats counts again."""
        waiting: list[Iterator[tuple[str, Any]]] = [iter([("", self._document)])]
        for _ in range(MOST):
            while waiting and (here := next(waiting[-1], None)) is None:
                waiting.pop()
            if not waiting or here is None:
                return
            key, found = here
            if isinstance(found, Mapping | list):
                waiting.append(_children(key, found))
            else:
                yield key, _text(found)


def _children(key: str, found: Mapping[Any, Any] | list[Any]) -> Iterator[tuple[str, Any]]:
    pairs = found.items() if isinstance(found, Mapping) else enumerate(found)
    return ((f"{key}.{name}" if key else str(name), value) for name, value in pairs)


def _value(document: object, key: str) -> str | None:
    if not isinstance(document, Mapping):
        return None
    if key in document:
        found = document[key]
        return None if found is None or isinstance(found, Mapping | list) else _text(found)
    parts = key.split(".")
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        if name in document:
            return _value(document[name], ".".join(parts[length:]))
    return None


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise TargetError(f"{file} cannot be read: {error.strerror}") from None
    if len(data) > LARGEST:
        raise TargetError(f"{file} is larger than {LARGEST} bytes")
    return data.decode(errors="replace")


def _ini(file: Path) -> Mapping[str, Any]:
    parser = RawConfigParser(strict=False, allow_no_value=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # names as written
    parser.read_string(_read(file))
    return {name: dict(parser.items(name)) for name in parser.sections()} | {
        "DEFAULT": dict(parser.defaults())
    }


def _yaml(file: Path) -> object:
    return yaml.safe_load(_read(file))


def _json(file: Path) -> object:
    return json.loads(_read(file))


def _toml(file: Path) -> object:
    return tomllib.loads(_read(file))


def _in_form(name: str, parse: Callable[[Path], object]) -> Callable[[Path], object]:
    def read(file: Path) -> object:
        try:
            return parse(file)
        # their texts repeat what stands in the file, which may be a secret
        except (IniError, yaml.YAMLError, ValueError, RecursionError) as error:
            where = getattr(error, "lineno", None)
            mark = getattr(error, "problem_mark", None)
            line = where if isinstance(where, int) else mark.line + 1 if mark else None
            place = f"{file}:{line}" if line else str(file)
            raise TargetError(f"{place} is no {name}") from None

    return read


_FORMS: Mapping[str, Callable[[Path], object]] = {
    **dict.fromkeys((".ini", ".conf", ".cfg"), _in_form("INI file", _ini)),
    **dict.fromkeys((".yaml", ".yml"), _in_form("YAML", _yaml)),
    ".json": _in_form("JSON", _json),
    ".toml": _in_form("TOML", _toml),
}
