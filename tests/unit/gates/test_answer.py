"""Paths into JSON answers, and when two JSON values are the same."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from pytest_release.gates._answer import MissingPathError, check_schema, cut, kind, lookup, same

ANSWER = {"data": {"items": [{"name": "a"}, {"name": None}], "0": "zero"}, "on": True}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("on", True),
        ("data.items[1].name", None),
        ("data.items.0.name", "a"),
        ("data.0", "zero"),
    ],
)
def test_a_path_leads_to_its_value(path: str, value: object) -> None:
    """Keys by dots, list items by number in brackets or behind a dot; null is a value."""
    assert lookup(ANSWER, path) == value


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("off", "there is no 'off' at the top, which is an object with 'data', 'on'"),
        ("data.items[2]", "there is no '2' at data.items, which is a list of 2"),
        ("data.items.x", "there is no 'x' at data.items, which is a list of 2"),
        ("on.x", "there is no 'x' at on, which is a boolean"),
        ("data.items[1].name.x", "there is no 'x' at data.items.1.name, which is null"),
        ("data.0.x", "there is no 'x' at data.0, which is a text of 4 characters"),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_ends(path: str, message: str) -> None:
    """The message names the first step that is missing and what is there instead."""
    with pytest.raises(MissingPathError, match=f"^{re.escape(message)}$"):
        lookup(ANSWER, path)


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        ("1", 1, False),
        (None, False, False),
        ([1, [True]], [1, [True]], True),
        ([1, [True]], [1, [1]], False),
        ({"a": {"b": 1}}, {"a": {"b": 1}}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": True}, {"a": 1}, False),
    ],
)
def test_json_values_are_the_same_only_with_their_types(
    left: object, right: object, equal: bool
) -> None:
    """A server that answers 1 where true is expected has not answered true."""
    assert same(left, right) is equal


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (False, "a boolean"),
        (1.5, "a number"),
        ("abc", "a text of 3 characters"),
        ([], "a list of 0"),
        ({}, "an object with no keys"),
    ],
)
def test_kinds_in_words(value: object, words: str) -> None:
    """What a message calls a JSON value."""
    assert kind(value) == words


def test_a_long_text_is_cut_and_says_how_long_it_was() -> None:
    """A finding does not repeat a megabyte."""
    assert cut("x" * 301) == "x" * 300 + "... (301 characters)"
    assert cut("x" * 300) == "x" * 300


@pytest.mark.parametrize(
    ("schema", "value", "messages"),
    [
        ({"type": "object"}, {}, []),
        (
            {"properties": {"a": {"type": "integer"}}},
            {"a": "x"},
            ["it breaks its schema at $.a: 'x' is not of type 'integer'"],
        ),
        (False, 1, ["it breaks its schema: False schema does not allow 1"]),
        (
            {"$ref": "https://elsewhere.example/x"},
            1,
            ["the case's schema refers to 'https://elsewhere.example/x', which is not in it"],
        ),
    ],
)
def test_deviations_from_a_schema(
    schema: Mapping[str, object] | bool, value: object, messages: list[str]
) -> None:
    """Each deviation says where; a reference to elsewhere is a finding and no request."""
    assert [finding.message for finding in check_schema("c", schema, value, "it")] == messages


def test_at_most_five_deviations() -> None:
    """A thousand wrong items are five findings."""
    schema = {"items": {"type": "integer"}}

    assert len(list(check_schema("c", schema, ["x"] * 1000, "it"))) == 5
