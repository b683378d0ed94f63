"""A document against its JSON Schema; every deviation becomes a problem with file, line and key."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any, cast

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend
from referencing import Registry, Resource

from pytest_release.config.document import Key
from pytest_release.config.variables import Resolved
from pytest_release.errors import ConfigError, Problem
from pytest_release.redaction import MASK, Redactor

LONGEST = 60  # characters of a wrong value that a message shows

KINDS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "a mapping",
    "string": "a string",
}
BOUNDS = {
    "minimum": "a number of at least {}",
    "exclusiveMinimum": "a number above {}",
    "maximum": "a number of at most {}",
    "exclusiveMaximum": "a number below {}",
    "minItems": "{} or more items",
    "minLength": "{} or more characters",
    "maxLength": "{} or fewer characters",
    "minProperties": "{} or more keys",
}


def _pattern(_: Validator, pattern: str, value: object, _schema: object) -> Iterator[Any]:
    """As JSON Schema has it: ``$`` is the end, and not what stands before a last line feed."""
    ended = f"{pattern[:-1]}\\Z" if pattern.endswith("$") else pattern
    if isinstance(value, str) and not re.search(ended, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


# JSON Schema takes 2.0 for an integer; what counts something here is written as one.
_Strict: type[Validator] = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    validators={"pattern": _pattern},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


@cache
def validator(name: str) -> Validator:
    """Of ``pytest_release/schemas/<name>.schema.json``; it refers to files beside it."""
    return _Strict(
        schema(name), registry=_registry(), format_checker=Draft202012Validator.FORMAT_CHECKER
    )


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
    errors = map(_sharpest, validator(name).iter_errors(resolved.document.value))
    problems = dict.fromkeys(problem for error in errors for problem in _problems(resolved, error))
    if problems:
        raise ConfigError(*problems)


def _sharpest(error: ValidationError) -> ValidationError:
    """Of an ``anyOf`` that failed, the deviation deepest in the document, if one lies in it."""
    deepest = max(error.context, key=lambda inner: len(inner.path), default=error)
    return _sharpest(deepest) if error.context and deepest.path else error


def _problems(resolved: Resolved, error: ValidationError) -> Iterator[Problem]:
    key: Key = tuple(error.absolute_path)
    problem = resolved.document.problem
    if error.validator == "additionalProperties":
        known = list(_stated(error, "properties") or {})
        for name in cast("dict[str, Any]", error.instance):
            if name not in known:
                yield problem((*key, name), _unknown(name, known))
    elif error.validator == "required":
        missing = error.message.split("'")[1]
        yield problem(key, f"the key {missing!r} is missing")
    elif "propertyNames" in error.schema_path:
        name = str(error.instance)
        yield problem((*key, name), f"expected {_expected(error)} as the key, got {name!r}")
    else:
        secret = key in resolved.secret_keys
        shown = MASK if secret else _shown(error.instance, Redactor(resolved.secrets))
        yield problem(key, f"expected {_expected(error)}, got {shown}")


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
            return " or ".join(KINDS[kind] for kind in kinds)
        case "enum":
            return f"one of {', '.join(map(str, limit))}"
        case "format":
            return "a regular expression"
        case "uniqueItems":
            return "no item twice"
        case "anyOf" if not _stated(error, "description"):
            return " or ".join(_expected(branch) for branch in error.context)
        case str(bound) if bound in BOUNDS:
            return BOUNDS[bound].format(limit)
        case other:
            return str(_stated(error, "description") or f"a value allowed by {other} {limit}")


def _shown(value: Any, redact: Redactor) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict | list):
        kind = "a mapping" if isinstance(value, dict) else "a list"
        return f"{kind} of {len(value)}"
    text = redact(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
