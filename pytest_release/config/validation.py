"""A document against its JSON Schema; every deviation becomes a problem with file, line and key."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any, cast

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import relevance
from referencing import Registry, Resource

from pytest_release.config.document import Key
from pytest_release.config.variables import Resolved
from pytest_release.errors import ConfigError, Problem
from pytest_release.redaction import MASK

LONGEST = 60  # characters of a wrong value that a message shows


@cache
def validator(name: str) -> Draft202012Validator:
    """Of ``pytest_release/schemas/<name>.schema.json``; it refers to files beside it."""
    return Draft202012Validator(schema(name), registry=_registry())


@cache
def schema(name: str) -> Any:  # noqa: ANN401 - a JSON Schema
    """The published schema of that name.

    Raises:
        FileNotFoundError: There is no such schema.
    """
    file = resources.files("pytest_release") / "schemas" / f"{name}.schema.json"
    return json.loads(file.read_text(encoding="utf-8"))


@cache
def _registry() -> Registry[Any]:
    folder = resources.files("pytest_release") / "schemas"
    names = [file.name for file in folder.iterdir() if file.name.endswith(".schema.json")]
    contents = [(name, schema(name.removesuffix(".schema.json"))) for name in names]
    return Registry().with_resources(
        [(name, Resource.from_contents(content)) for name, content in contents]
    )


def validate(resolved: Resolved, name: str) -> None:
    """Check a document against the schema `name`.

    Raises:
        ConfigError: With one problem for each deviation, in file order.
    """
    errors = [_sharpest(error) for error in validator(name).iter_errors(resolved.document.value)]
    problems = [problem for error in errors for problem in _problems(resolved, error)]
    if problems:
        raise ConfigError(*sorted(problems, key=lambda problem: problem.line or 0))


def _sharpest(error: ValidationError) -> ValidationError:
    """Of an ``anyOf`` that failed, the deviation deepest in the document."""
    while error.context:
        error = max(error.context, key=lambda inner: (len(inner.path), relevance(inner)))
    return error


def _problems(resolved: Resolved, error: ValidationError) -> Iterable[Problem]:
    key: Key = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        known = list(_stated(error, "properties") or {})
        for name in cast("dict[str, Any]", error.instance):
            if name not in known:
                yield resolved.document.problem((*key, name), _unknown(name, known))
    elif error.validator == "required":
        missing = error.message.split("'")[1]
        yield resolved.document.problem(key, f"the key {missing!r} is missing")
    else:
        shown = _shown(error.instance, secret=key in resolved.secret_keys)
        yield resolved.document.problem(key, f"expected {_expected(error)}, got {shown}")


def _unknown(name: str, known: list[str]) -> str:
    return f"unknown key {name!r}{suggestion(name, known)}; known: {', '.join(known)}"


def suggestion(name: str, known: Iterable[str]) -> str:
    """``, did you mean 'x'?`` for the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def _stated(error: ValidationError, keyword: str) -> Any:  # noqa: ANN401 - any JSON value
    """What the failed schema says under `keyword`; None where it says nothing."""
    return error.schema.get(keyword) if isinstance(error.schema, Mapping) else None


def _expected(error: ValidationError) -> str:
    limit: Any = error.validator_value
    match error.validator:
        case "type":
            kinds = [limit] if isinstance(limit, str) else limit
            return " or ".join("a mapping" if kind == "object" else f"a {kind}" for kind in kinds)
        case "enum":
            return f"one of {', '.join(map(str, limit))}"
        case "const":
            return repr(limit)
        case "minimum" | "exclusiveMinimum":
            return f"a number {'of at least' if error.validator == 'minimum' else 'above'} {limit}"
        case "maximum" | "exclusiveMaximum":
            return f"a number {'of at most' if error.validator == 'maximum' else 'below'} {limit}"
        case "minItems" | "minLength" | "minProperties":
            return f"at least {limit}"
        case "pattern":
            return str(_stated(error, "description") or f"text matching {limit}")
        case _:
            return str(_stated(error, "description") or f"a value allowed by {error.validator!r}")


def _shown(value: Any, *, secret: bool) -> str:  # noqa: ANN401 - any JSON value
    if secret:
        return MASK
    if isinstance(value, dict | list):
        kind = "a mapping" if isinstance(value, dict) else "a list"
        return f"{kind} of {len(value)}"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
