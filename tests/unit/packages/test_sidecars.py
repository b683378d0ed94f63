"""Tests of `pytest_release.packages.sidecars`, `json_stream` and `schemas`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.packages.contents import Aspect
from pytest_release.packages.json_stream import JsonError, JsonStream, TooLargeError
from pytest_release.packages.schemas import checker, list_checker
from tests.unit.packages.forge import CHUNKS, OTHER, UUID, only_flaw, read_with, sidecar

FACE = {"face_id": "f", "frame": 1, "timestamp": 0, "x": 1, "y": 1, "width": 1, "height": 1}
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def parse(data: bytes, path: str = "items", size: int = 1000, limit: int = 5000) -> Any:  # noqa: ANN401
    """The items and the rest of a document."""
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    stream = JsonStream(pieces, limit)
    items = [item for some in stream.items(path.split(".") if path else []) for item in some]
    return items, stream.head


@given(st.lists(JSON), JSON, st.integers(1, 200), st.sampled_from([None, 1]), st.booleans())
def test_a_document_is_read_in_pieces(
    items: list[Any], value: object, size: int, indent: int | None, ascii_only: bool
) -> None:
    """Its items, and what stands beside them, are what ``json`` reads."""
    document = {"before": value, "items": items, "after": [value]}
    data = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode(errors="replace")
    expected = json.loads(data)

    assert parse(data, size=size, limit=100_000) == (
        expected.pop("items"),
        {"before": expected["before"], "after": expected["after"]},
    )


@given(st.lists(st.fixed_dictionaries({"a": st.integers(), "b": st.text()}), min_size=3))
def test_many_items_are_read_at_once(items: list[dict[str, Any]]) -> None:
    """Also when their texts look like the ends of items."""
    items = [*items, {"a": 1, "b": "}, {"}, {"a": {"c": [1, {}]}, "b": 'x": {'}] * 3
    for separators in ((",", ":"), (", ", ": "), (",\n", ":")):
        data = json.dumps({"items": items}, separators=separators).encode()

        assert parse(data)[0] == items


def test_the_list_may_be_deeper() -> None:
    """A dotted path; what stands beside it stays."""
    data = b'{"a": {"x": 1, "b": {"items": [1, 2], "y": 2}}, "items": [3]}'

    assert parse(data, "a.b.items") == ([1, 2], {"a": {"x": 1, "b": {"y": 2}}, "items": [3]})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is no JSON object"),
        (b"[1]", "is no JSON object"),
        (b'{"items": [1, 2', "has neither a comma nor ']' where one must be"),
        (b'{"items": [1, 2]', "has neither a comma nor '}' where one must be"),
        (b'{"items": [1 2]}', "has neither a comma nor ']' where one must be"),
        (b'{"items": [1, 2,]}', "has a comma too many"),
        (b'{"items": [{"a": 1},{"a": 2},]}', "has a comma too many"),
        (b'{"a": 1,}', "has a comma too many"),
        (b'{"a" 1}', "has no value of the key 'a'"),
        (b'{"a": }', "is broken at character 6: expecting value"),
        (b'{"a": [1', "is broken at character 8: expecting ',' delimiter"),
        (b'{"a":', "ends too early"),
        (b"{a: 1}", "has no key where one must be"),
        (b'{"items": []} x', "goes on behind its end"),
        (b'{"a": NaN}', "holds NaN, which JSON does not have"),
        (b'{"items": [-Infinity]}', "holds -Infinity, which JSON does not have"),
        (b'{"items": [{"a":1},{"a":1},{"a":NaN}]}', "holds NaN, which JSON does not have"),
        (b'{"a": 1, "a": 2}', "has the key 'a' twice in one object"),
        (b'{"items": [], "items": []}', "has the key 'items' twice in one object"),
        (b'{"items": [{"a": 1, "a": 2}]}', "has the key 'a' twice in one object"),
        (b'{"items": [{"a":1},{"a":1},{"a":1,"a":2}]}', "has the key 'a' twice in one object"),
        (b'{"items": [{"a" :1},{"a" :1},{"a" :1,"a":2}]}', "has the key 'a' twice"),
        (b'{"a": "\xff"}', "is not UTF-8: byte 0xff"),
        (b'{"a": ' + b"9" * 4400 + b"}", "holds a number of more digits than a number has"),
        (b'{"a": ' + b"[" * 4000 + b"}", "is nested too deeply"),
        (b'{"items": [' + b'{"a":' * 4000 + b"}", "is nested too deeply"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_what_is_no_such_document_is_refused(data: bytes, message: str, size: int) -> None:
    """With what is wrong and where, however the data comes."""
    with pytest.raises(JsonError) as caught:  # noqa: PT011 - the text is compared below
        parse(data, size=size)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (b'{"items": ["', "has a value of more than 5000 characters"),
        (b'{"items": [0.', "has a value of more than 5000 characters"),
        (b'{"', "has a value of more than 5000 characters"),
    ],
)
def test_a_value_without_end_is_not_kept(start: bytes, message: str) -> None:
    """It is read up to the limit, and a block more."""
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        yield start
        while True:
            taken += 1000
            yield b"1" * 1000

    with pytest.raises(TooLargeError, match=message):
        list(JsonStream(endless(), 5000).items(["items"]))
    assert taken < 15_000


def test_what_stands_beside_the_list_is_bounded() -> None:
    """All of it together."""
    data = json.dumps({f"k{i}": "x" * 100 for i in range(100)}).encode()

    with pytest.raises(TooLargeError, match="more than 5000 characters beside its list"):
        parse(data)


@given(st.binary(max_size=60), st.integers(1, 30))
def test_any_bytes_are_a_document_or_are_refused(data: bytes, size: int) -> None:
    """With the one error."""
    for whole in (data, b'{"items": [' + data, b'{"items": [{"a":1},{"a":1},' + data + b"]}"):
        with contextlib.suppress(JsonError):
            parse(whole, size=size)


SCHEMA = {
    "type": "object",
    "required": ["a", "other"],
    "properties": {
        "a": {"type": "integer", "minimum": 0, "maximum": 9},
        "b": {"type": "string", "minLength": 1},
        "c": {"type": "number"},
        "d": {"type": "boolean"},
    },
}
VALUES = st.one_of(
    st.none(), st.integers(-2, 11), st.booleans(), st.sampled_from(["", "x", 1.0, 2.5])
)
ITEMS = st.lists(st.one_of(st.dictionaries(st.sampled_from("abcd"), VALUES), st.integers()))


@given(ITEMS, st.booleans())
def test_columns_say_what_items_say(items: list[Any], added: bool) -> None:
    """A list is right exactly when each of its items is, one after the other."""
    if added:
        items = [{**item, "other": None} for item in items if isinstance(item, dict)]
    check = checker(SCHEMA)
    expected = [(i, problem) for i, item in enumerate(items) if (problem := check(item))]

    assert list(list_checker(SCHEMA)(items)) == expected


@pytest.mark.parametrize(
    ("schema", "value", "problem"),
    [
        ({"type": "integer"}, "x", "must be integer"),
        ({"properties": {"a": {"type": "integer"}}}, {"a": True}, "a must be integer"),
        ({"required": ["a"]}, {}, "must contain ['a'] properties"),
        ({"prefixItems": [{"type": "string"}]}, [1], "1 is not of type 'string'"),
        (
            {"properties": {"a": {"dependentRequired": {"b": ["c"]}}}},
            {"a": {"b": 1}},
            "a: 'c' is a",
        ),
        ({"items": {"oneOf": [{"type": "string"}, {"format": "email"}]}}, ["x"], "is valid under"),
        ({"multipleOf": 0.1}, 1e308 * 10, "cannot be checked"),
    ],
)
def test_a_value_is_checked_against_its_schema(
    schema: dict[str, Any], value: object, problem: str
) -> None:
    """By fastjsonschema, or by jsonschema where only that knows the keywords."""
    found = checker(schema)(value)
    assert found is not None
    assert problem in found


def test_without_a_schema_everything_is_right() -> None:
    """And what is right has no problem."""
    assert checker(None)(object()) is None
    assert checker({"type": "object"})({}) is None
    assert checker({"unevaluatedProperties": False})({}) is None
    assert list(list_checker(None)([1])) == []
    assert list(list_checker({"enum": [1]})([1])) == []


def faces(*extra: dict[str, Any]) -> bytes:
    """The sidecar of faces with other items at the end."""
    document = json.loads(sidecar("face"))
    document["faces"][4 - len(extra) :] = extra
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (
            faces({**FACE, "confidence": 1.5}),
            "schema",
            f"{UUID}.face.json: faces[3]: confidence must be smaller than or equal to 1",
        ),
        (
            faces({**FACE, "confidence": 1, "frame": "x"}),
            "schema",
            f"{UUID}.face.json: faces[3]: frame must be integer",
        ),
        (faces(FACE), "schema", f"{UUID}.face.json: faces[3]: must contain"),
        (
            faces().replace(b'"fps": 25', b'"fps": -1'),
            "schema",
            f"{UUID}.face.json: fps must be bigger than or equal to 0",
        ),
        (
            faces().replace(UUID.encode(), OTHER.encode()),
            "foreign-uuid",
            f"{UUID}.face.json: file_uuid is '{OTHER}', expected '{UUID}'",
        ),
        (faces()[:-1], "not-json", f"{UUID}.face.json has neither a comma nor '}}'"),
        (faces() + b"}", "not-json", f"{UUID}.face.json goes on behind its end"),
        (
            faces().replace(b"25", b'"' + b"x" * (1 << 20) + b'"'),
            "too-large",
            f"{UUID}.face.json has more than 1048576 characters beside its list",
        ),
    ],
)
def test_a_wrong_sidecar_is_found(data: bytes, code: str, message: str, tmp_path: Path) -> None:
    """With the item's place in its list."""
    package = read_with(tmp_path, {f"{UUID}.face.json": data})
    flaw = only_flaw(package)

    assert flaw.code == code
    assert flaw.message.startswith(message)
    assert flaw.aspect is Aspect.SIDECARS
    assert package.complete


def test_a_sidecar_without_its_list_is_found(tmp_path: Path) -> None:
    """Its count is none, which is no agreement either."""
    data = json.dumps({"file_uuid": UUID, "FACES": []}).encode()
    package = read_with(tmp_path, {f"{UUID}.face.json": data})

    assert [flaw.message for flaw in package.flaws] == [
        f"{UUID}.face.json has no list 'faces'",
        f"{UUID}.face.json has 0 faces, but face_detections has 4 rows",
    ]


def test_a_sidecar_disagrees_with_its_table(tmp_path: Path) -> None:
    """It has an item for each row."""
    document = json.loads(sidecar("asrx"))
    document["segments"].pop()
    package = read_with(tmp_path, {f"{UUID}.asrx.json": json.dumps(document).encode()})
    flaw = only_flaw(package)

    assert flaw.message == f"{UUID}.asrx.json has 2 segments, but chunk has {CHUNKS} rows"
    assert flaw.code == "count-differs"
    assert package.items["asrx"] == 2
