"""JSON Schemas for a lot of small values: checked by columns, or compiled, where that is exact.

A list of alike objects is first looked at column by column, by functions written in C: the types of
all values of a key, the smallest and the largest. Only a list that is not surely right is looked at
item by item.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import fastjsonschema
from jsonschema import Draft202012Validator

# The keywords that mean the same in the drafts that fastjsonschema compiles and in 2020-12. With
# any other, jsonschema decides, which takes fifty times as long.
COMPILED = {
    *("$schema", "$id", "$comment", "title", "description", "type", "enum", "const"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "pattern", "items", "minItems", "maxItems", "uniqueItems"),
    *("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
    *("allOf", "anyOf", "oneOf", "not"),
}
Problem = str | None
BY_COLUMNS = {"type", "required", "properties"}
IN_COLUMNS = {"type", "minimum", "maximum", "minLength"}
SILENT = {"$schema", "$id", "$comment", "title", "description"}
TYPES: dict[str, set[type]] = {
    "number": {int, float},
    "integer": {int},
    "string": {str},
    "boolean": {bool},
}


def checker(schema: Mapping[str, Any] | None) -> Callable[[Any], Problem]:
    """A function that says what is wrong with a value, or None.

    Args:
        schema: JSON Schema, draft 2020-12; None for any value.
    """
    if schema is None:
        return lambda _: None
    if set(_keywords(schema)) <= COMPILED:
        return _compiled(schema)
    validator = Draft202012Validator(schema)

    def check(value: Any) -> Problem:  # noqa: ANN401 - JSON
        error = next(validator.iter_errors(value), None)
        return None if error is None else f"{error.json_path.removeprefix('$.')}: {error.message}"

    return check


def list_checker(
    schema: Mapping[str, Any] | None,
) -> Callable[[list[Any]], Iterator[tuple[int, str]]]:
    """A function that yields place and problem of each item that is wrong.

    Args:
        schema: Of an item; None for any.
    """
    check, surely_right = checker(schema), _by_columns(schema)

    def check_list(items: list[Any]) -> Iterator[tuple[int, str]]:
        if surely_right(items):
            return
        for place, item in enumerate(items):
            if (problem := check(item)) is not None:
                yield place, problem

    return check_list


def _by_columns(schema: Mapping[str, Any] | None) -> Callable[[list[Any]], bool]:
    """A function that says whether all items of a list are surely right."""
    if schema is None:
        return lambda _: True
    columns = schema.get("properties", {})
    known = set(schema) <= BY_COLUMNS | SILENT and schema.get("type") == "object"
    if not known or not all(map(_is_simple, columns.values())):
        return lambda _: False
    required = frozenset(schema.get("required", ()))
    names = required | columns.keys()

    def surely_right(items: list[Any]) -> bool:
        if {*map(type, items)} != {dict}:
            return False
        return all(
            _column_is_right(columns.get(name, {}), items, name, required=name in required)
            for name in names
        )

    return surely_right


def _is_simple(column: Any) -> bool:  # noqa: ANN401 - JSON
    if not isinstance(column, Mapping) or not set(column) <= IN_COLUMNS | SILENT:
        return False
    kind = column.get("type")
    return isinstance(kind, str) and kind in TYPES


def _column_is_right(
    column: Mapping[str, Any], items: list[Any], name: str, *, required: bool
) -> bool:
    try:
        values = [item[name] for item in items]
    except KeyError:
        values = [item[name] for item in items if name in item]
        if required:
            return False
    if not column or not values:
        return True
    if not TYPES[column["type"]].issuperset(map(type, values)):
        return False
    if column["type"] == "string":
        return "minLength" not in column or min(map(len, values)) >= column["minLength"]
    least, most = column.get("minimum"), column.get("maximum")
    return (least is None or min(values) >= least) and (most is None or max(values) <= most)


def _compiled(schema: Mapping[str, Any]) -> Callable[[Any], Problem]:
    # Without $schema: it knows no draft after 7, and says so.
    plain = {key: value for key, value in schema.items() if key != "$schema"}
    validate = fastjsonschema.compile(plain, use_default=False)

    def check(value: Any) -> Problem:  # noqa: ANN401 - JSON
        try:
            validate(value)
        except fastjsonschema.JsonSchemaValueException as error:
            return str(error.message).removeprefix("data.").removeprefix("data ")
        except (OverflowError, RecursionError) as error:
            return f"cannot be checked: {error}"
        return None

    return check


def _keywords(schema: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    """The keywords of a schema and of those within; a strange shape is a strange keyword."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping):
        yield "?"
        return
    for keyword, value in schema.items():
        yield keyword
        if keyword == "properties":
            within = list(value.values())
        elif keyword in ("items", "additionalProperties", "not"):
            within = [value]
        elif keyword in ("allOf", "anyOf", "oneOf"):
            within = list(value)
        else:
            continue
        for part in within:
            yield from _keywords(part)
