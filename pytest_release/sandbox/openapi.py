"""The sandbox's OpenAPI document, made from its table of endpoints, and the parts it is made of."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from pytest_release.sandbox.build import COMMIT, VERSION
from pytest_release.sandbox.endpoint import Endpoint
from pytest_release.sandbox.requests import BIRTH, DATE

Part = Mapping[str, Any]

HIDDEN = "hidden"  # group of endpoints that nobody documents or lists
UNDOCUMENTED = frozenset({HIDDEN, "document", "endpoints"})  # the last two are about the others
UNDESCRIBED = "undescribed"  # tag of endpoints of which only the path is known
JSON = "application/json"
ANY: Part = {"type": "object"}
TEXT: Part = {"type": "string"}
SUCCESS: Part = {"const": True}
NOW: Part = {"type": "string", "format": "date-time"}
UUID: Part = {
    "name": "uuid",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}


def _object(properties: Part, *optional: str) -> Part:
    """An object with these members and no others."""
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


def _answer(schema: Part, media: str = JSON, headers: Mapping[str, Part] | None = None) -> Part:
    named = {n: {"required": True, "schema": of} for n, of in (headers or {}).items()}
    content = {media: {"schema": schema}}
    return {"description": "as asked", "content": content, **({"headers": named} if named else {})}


def _body(schema: Part, media: str = JSON, **more: Any) -> Part:  # noqa: ANN401 - any JSON value
    return {"required": True, "content": {media: {"schema": schema, **more}}}


REFUSAL = "#/components/responses/Refusal"
COMPONENTS: Part = {
    "responses": {
        "Refusal": {
            "description": "the request is wrong",
            "content": {JSON: {"schema": _object({"success": {"const": False}, "message": TEXT})}},
        }
    },
    "schemas": {
        "Birth": {
            "type": "object",
            "required": list(BIRTH),
            "properties": {
                **{n: {"type": "string", "pattern": f"^({p})$"} for n, p in BIRTH.items()},
                "date": {"type": "string", "pattern": f"^({DATE})$"},
            },
        }
    },
}
_BIRTH: Part = {"$ref": "#/components/schemas/Birth"}
_IMAGE: Part = {
    "type": "object",
    "required": ["image"],
    "properties": {"image": {"type": "string", "format": "binary"}, "analysis_types": TEXT},
}
_EVENTS = _answer(TEXT, "text/event-stream")


def _operation(answer: Part, *, refuses: bool = True, **more: Any) -> Part:  # noqa: ANN401
    refusal = {"400": {"$ref": REFUSAL}} if refuses else {}
    return {**more, "responses": {"200": answer, **refusal}}


ALIVE = _operation(_answer(_object({"status": {"const": "ok"}, "timestamp": NOW})), refuses=False)
HEALTH = _operation(
    _answer(
        _object(
            {
                "status": {"const": "ok"},
                "timestamp": NOW,
                "version": TEXT,
                "build_git_hash": {"type": "string", "pattern": f"^[0-9a-f]{{{len(COMMIT)}}}$"},
            }
        )
    ),
    refuses=False,
)
READING = _operation(
    _answer(
        _object(
            {
                "success": SUCCESS,
                "data": {
                    "type": "object",
                    "required": ["endpoint"],
                    "properties": {"endpoint": TEXT},
                },
            }
        )
    ),
    requestBody=_body(_BIRTH),
)
CONTENTS = _operation(
    _answer(
        _object(
            {
                "success": SUCCESS,
                "data": {
                    "type": "array",
                    "items": _object({"id": {"type": "integer"}, "title": TEXT}),
                },
            }
        ),
        headers={"X-Total-Count": {"type": "integer", "minimum": 0}},
    ),
    refuses=False,
)
ANALYSIS = _operation(_EVENTS, requestBody=_body(_BIRTH))
CONVERSATION = _operation(
    _EVENTS,
    parameters=[{"name": name, "in": "query", "schema": TEXT} for name in ("category", "question")],
)
IMAGE = _operation(
    _EVENTS,
    requestBody=_body(
        _IMAGE, "multipart/form-data", encoding={"image": {"contentType": "image/png, image/jpeg"}}
    ),
)
COUNTS = _operation(
    _answer(
        _object(
            {
                "success": SUCCESS,
                "data": {"type": "object", "additionalProperties": {"type": "integer"}},
            }
        )
    ),
    refuses=False,
    parameters=[UUID],
)


def document(endpoints: Iterable[Endpoint], faults: Collection[str] = ()) -> bytes:
    """The document of these endpoints, with those of its faults that are on."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        if endpoint.group not in UNDOCUMENTED:
            there = paths.setdefault(endpoint.path, {})
            there[endpoint.method.lower()] = dict(endpoint.operation or _undescribed(endpoint))
    value = {
        "openapi": "3.1.0",
        "info": {"title": "The sandbox of pytest-release", "version": VERSION},
        "paths": paths,
        "components": json.loads(json.dumps(COMPONENTS)),
    }
    for name in sorted(FAULTS.keys() & set(faults)):
        FAULTS[name](value)
    return json.dumps(value, ensure_ascii=False).encode()


def listed(endpoints: Iterable[Endpoint]) -> list[str]:
    """The deployment's own list: ``GET /health``."""
    return [f"{each.method} {each.path}" for each in endpoints if each.group != HIDDEN]


def _undescribed(endpoint: Endpoint) -> Part:
    operation: dict[str, Any] = {
        "tags": [UNDESCRIBED],
        "parameters": [UUID] if "{uuid}" in endpoint.path else [],
        "responses": {"default": _answer(ANY)},
    }
    return operation if endpoint.method == "GET" else operation | {"requestBody": _body(ANY)}


def _retired(value: dict[str, Any]) -> None:
    value["paths"]["/api/v1/bazi/retired"] = {"post": READING}


def _forgotten(value: dict[str, Any]) -> None:
    del value["paths"]["/api/v1/homepage/contents"]


def _other_version(value: dict[str, Any]) -> None:
    value["info"]["version"] = "0.9.9"


def _dangling(value: dict[str, Any]) -> None:
    value["components"]["schemas"]["Sign"] = value["components"]["schemas"].pop("Birth")


def _remote(value: dict[str, Any]) -> None:
    value["components"]["schemas"]["Birth"] = {"$ref": "http://198.51.100.7/birth.json"}


def _invalid(value: dict[str, Any]) -> None:
    value["paths"]["/api/v1/health"]["get"] = {"summary": "no responses"}


FAULTS: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "contract.retired-endpoint": _retired,
    "contract.undocumented-endpoint": _forgotten,
    "contract.other-version": _other_version,
    "contract.dangling-reference": _dangling,
    "contract.remote-reference": _remote,
    "contract.invalid-document": _invalid,
}
