"""What the sandbox can do that its OpenAPI document does not say."""

from __future__ import annotations

from dataclasses import replace

from pytest_release.sandbox.answers import Answer, Piece, json_answer
from pytest_release.sandbox.changes import (
    all_of,
    body,
    header,
    late,
    members,
    refusal,
    status,
    without,
)
from pytest_release.sandbox.endpoint import Endpoint, Setting
from pytest_release.sandbox.fault import Fault
from pytest_release.sandbox.openapi import HIDDEN
from pytest_release.sandbox.requests import Refused, Request, accept
from pytest_release.sandbox.room import Room

SLOW = 1.2  # seconds to the head of a slow answer
BACK_DOOR = "/debug/settings"
OPEN = "contract.back-door"


def _settings(request: Request, setting: Setting) -> Answer:
    if OPEN not in setting.faults:
        raise Refused(404, f"there is no {request.path}")
    return json_answer({"debug": True})


def _cut(answer: Answer) -> Answer:
    """The first half of the body, and a proper end."""
    return replace(answer, pieces=(Piece(answer.body[: len(answer.body) // 2]),))


_ANSWERS = (
    Fault(
        "contract.wrong-type",
        "contract.schema",
        "data is a text, not an object",
        members(data="none"),
        group="basic",
    ),
    Fault("contract.missing-field", "contract.schema", "no data", without("data"), group="basic"),
    Fault(
        "contract.extra-property",
        "contract.schema",
        "a property that the schema does not allow",
        members(debug={"sql": "SELECT 1"}),
        group="basic",
    ),
    Fault(
        "contract.null",
        "contract.schema",
        "data is null where it may not be",
        members(data=None),
        group="basic",
    ),
    Fault(
        "contract.wrong-format",
        "contract.schema",
        "a timestamp that is no date and time",
        members(timestamp="yesterday"),
        group="health",
    ),
    Fault(
        "contract.undocumented-status",
        "contract.undocumented-status",
        "202 with the right body",
        status(202),
        group="basic",
    ),
    Fault(
        "contract.wrong-content-type",
        "contract.content-type",
        "JSON that is called HTML",
        header("content-type", "text/html"),
        group="basic",
    ),
    Fault(
        "contract.not-json",
        "contract.not-json",
        "a body that ends in its middle",
        _cut,
        group="basic",
    ),
    Fault(
        "contract.missing-header",
        "contract.header",
        "no X-Total-Count",
        header("x-total-count", None),
        group="basic",
    ),
    Fault(
        "contract.slow",
        "contract.slow",
        f"every answer takes {SLOW} s",
        late(SLOW),
        group="basic",
    ),
    Fault(
        "contract.never-succeeds",
        "contract.not-shown",
        "answers everything with a documented 400",
        refusal(400, "not today"),
        group="basic",
    ),
    Fault(
        "contract.crash-on-odd-input",
        "contract.server-error",
        "500 where the request is wrong",
        refusal(500, "KeyError: 'solar_date'"),
        group="basic",
        refusals=True,
    ),
    Fault(
        "contract.accepts-invalid",
        "contract.accepted-invalid",
        "200 where the request is wrong",
        all_of(status(200), members(success=True, data={"endpoint": "?"}), without("message")),
        group="basic",
        refusals=True,
    ),
)
_DOCUMENT = (
    Fault(
        "contract.broken-document",
        "contract.no-document",
        "the document ends in its middle",
        _cut,
        group="document",
    ),
    Fault(
        "contract.page-instead",
        "contract.no-document",
        "a page instead of the document",
        body(b"<!doctype html><title>Sign in</title>"),
        group="document",
    ),
    Fault(
        "contract.retired-endpoint",
        "contract.gone",
        "documents an endpoint that is gone",
    ),
    Fault(
        "contract.undocumented-endpoint",
        "contract.undocumented",
        "does not document the home page",
    ),
    Fault("contract.other-version", "contract.version", "documents the version 0.9.9"),
    Fault(
        "contract.dangling-reference",
        "contract.reference",
        "a reference that leads nowhere",
    ),
    Fault(
        "contract.remote-reference",
        "contract.reference",
        "a reference to another server",
    ),
    Fault("contract.invalid-document", "contract.invalid", "an operation without responses"),
)

ROOM = Room(
    endpoints=(Endpoint("GET", BACK_DOOR, HIDDEN, accept, _settings),),
    faults=(
        *_ANSWERS,
        *_DOCUMENT,
        Fault(OPEN, "contract.undocumented", f"{BACK_DOOR} answers, of which nobody knows"),
    ),
)
