"""OpenAPI documents: what is read, what is refused, and what is wrong with one by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_release.errors import PackageError
from pytest_release.gates._contract_document import (
    MAX_BYTES,
    Document,
    NoDocumentError,
    flaws,
    parse,
    read,
)

OK = {"200": {"description": "ok"}}


def document(paths: object, **more: object) -> Document:
    """A document that is right but for what is given."""
    info = {"title": "shop", "version": "1.0.0"}
    return Document({"openapi": "3.1.0", "info": info, "paths": paths, **more}, "/openapi.json")


def said(of: Document) -> str:
    """All flaws in one text."""
    return "\n".join(f"{finding.code}: {finding.message}" for finding in flaws(of))


def test_a_right_document_has_no_flaws() -> None:
    """Parameters of the path may be referred to, and stand at the path or at the operation."""
    parameter = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    right = document(
        {
            "/orders/{id}": {
                "parameters": [{"$ref": "#/components/parameters/Id"}],
                "get": {"responses": OK},
            },
            "/orders/{id}/items": {"get": {"parameters": [parameter], "responses": OK}},
        },
        components={"parameters": {"Id": parameter}},
    )

    assert flaws(right) == []
    assert [o.label for o in right.operations] == ["GET /orders/{id}", "GET /orders/{id}/items"]
    assert right.version == "1.0.0"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b" " * (MAX_BYTES + 1), f"it has more than {MAX_BYTES} bytes"),
        (b'{"a": "\xff"}', "it is not UTF-8: byte 0xff"),
        (b'{"openapi": ', "it is not JSON: Expecting value"),
        (b'{"a": NaN}', "it is not JSON: NaN is no JSON"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b"[1]", "it is list, not an object"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "values, or is nested deeper than 100"),
        (b'{"a": [' + b"1," * 500_000 + b"1]}", "it has more than 500000 values"),
    ],
    ids=["large", "utf-8", "cut", "nan", "brackets", "list", "deep", "many"],
)
def test_what_is_no_document(data: bytes, message: str) -> None:
    """Whatever a server sends is refused with a reason, within bounds."""
    with pytest.raises(NoDocumentError, match=message):
        parse(data, "/openapi.json")


def test_a_file_may_be_yaml(tmp_path: Path) -> None:
    """Beside a case a document may be YAML; aliases that multiply are counted."""
    file = tmp_path / "api.yaml"
    file.write_text("openapi: 3.1.0\ninfo: {title: a, version: '2'}\npaths: {}\n")
    assert read(file).version == "2"

    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    file.write_text("\n".join(lines))
    with pytest.raises(NoDocumentError, match="more than 500000 values"):
        read(file)

    file.write_text("a: [")
    with pytest.raises(NoDocumentError, match="it is not YAML: while parsing a flow"):
        read(file)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The message names it."""
    with pytest.raises(PackageError, match=r"none\.json: cannot be read: No such file"):
        read(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"openapi": "4.0.0"}, 'openapi is "4.0.0", expected 2.0 or 3.0.x to 3.2.x'),
        ({"info": {"title": "a"}}, "info.version is missing, expected a text"),
        ({"info": {"title": "a", "version": 2}}, "info.version is 2, expected a text"),
        ({"paths": []}, "paths is [], expected an object"),
        ({"paths": {"a": {}}}, "the path 'a' does not begin with a slash"),
        ({"paths": {"/a": []}}, "/a is [], expected an object"),
        (
            {"paths": {f"/{n}": {"get": {}} for n in range(5001)}},
            "it documents more than 5000 operations",
        ),
        ({"paths": {"/a": {"get": {}}}}, "GET /a: no responses"),
        (
            {"paths": {"/a": {"get": {"responses": {"2000": {}}}}}},
            "GET /a: the status '2000' is none",
        ),
        ({"paths": {"/a": {"get": {"responses": {"200": 1}}}}}, "GET /a: the response 200 is 1"),
        ({"paths": {"/{a}": {"get": {"responses": OK}}}}, "GET /{a}: {a} is no parameter"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_flaw_of_the_form(value: dict[str, Any], message: str) -> None:
    """Each says where it is, what is there, and what was expected."""
    right = dict(document({}).value)

    assert f"contract.invalid: /openapi.json is no valid OpenAPI document: {message}" in said(
        Document(right | value, "/openapi.json")
    )


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ({"in": "path"}, "a parameter has no name or no place ('in')"),
        ({"name": "b", "in": "path", "required": True}, "'b' is not in the path"),
        ({"name": "a", "in": "path"}, "the path parameter 'a' is not required"),
        ("a", "a parameter has no name or no place ('in')"),
    ],
)
def test_a_flaw_of_a_parameter(parameter: object, message: str) -> None:
    """Path and parameters must agree, both ways."""
    of = document({"/{a}": {"get": {"parameters": [parameter], "responses": OK}}})

    assert message in said(of)


def test_many_flaws_are_counted() -> None:
    """Ten are listed, the others counted: a hostile document makes no endless message."""
    message = said(document({f"p{n}": {} for n in range(30)}))

    assert message.endswith("the path 'p9' does not begin with a slash; and 20 more")


def test_references_that_lead_nowhere_or_outside() -> None:
    """Nothing outside is fetched; both are findings with their place."""
    of = document(
        {"/a": {"get": {"responses": {"200": {"$ref": "#/components/responses/Gone"}}}}},
        components={"schemas": {"A": {"$ref": "http://198.51.100.7/a"}, "B/c": {}}},
        again=[{"$ref": "#/components/schemas/B~1c"}, {"$ref": "other.json#/a"}],
    )

    nowhere, outside = said(of).splitlines()
    assert nowhere == (
        "contract.reference: /openapi.json refers to what is not in it: "
        "#/components/responses/Gone at /paths//a/get/responses/200"
    )
    assert outside == (
        "contract.reference: /openapi.json refers to what lies outside, and nothing is fetched: "
        "other.json#/a at /again/1; http://198.51.100.7/a at /components/schemas/A"
    )


def test_what_is_documented_twice() -> None:
    """Paths that differ only in a parameter's name, and names of operations."""
    of = document(
        {
            "/{a}": {"get": {"responses": OK, "operationId": "one"}},
            "/{b}": {"get": {"responses": OK, "operationId": "one"}},
        }
    )

    assert "/openapi.json documents twice: GET /{}, one" in said(of)


@pytest.mark.parametrize(
    ("more", "base_path", "path"),
    [
        ({"servers": [{"url": "https://shop.example/api/v1/"}]}, "", "/api/v1/a"),
        ({"servers": [{"url": "/api/v1"}]}, "/api/v1", "/a"),
        ({"servers": [{"url": "https://{host}/api"}]}, "", "/a"),
        ({"basePath": "/v2"}, "", "/v2/a"),
        ({"servers": []}, "", "/a"),
        ({}, "/shop", "/a"),
    ],
)
def test_where_operations_stand(more: dict[str, Any], base_path: str, path: str) -> None:
    """Under the path of the first server, unless the environment's address ends with it."""
    value = document({"/a": {"get": {"responses": OK}}}, **more).value

    assert Document(value, "x", base_path).operations[0].path == path


def test_an_operation_knows_that_it_streams() -> None:
    """Its answers are then read for a moment only."""
    events = {"200": {"description": "", "content": {"text/event-stream": {}}}}
    of = document({"/a": {"get": {"responses": events}, "post": {"responses": OK}}})

    assert [operation.streams for operation in of.operations] == [True, False]


def test_a_document_is_read_with_its_byte_order_mark() -> None:
    """Some servers send one."""
    assert parse("\ufeff{}".encode(), "x").value == json.loads("{}")
