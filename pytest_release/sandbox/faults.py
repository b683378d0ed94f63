"""The fault switches: what the sandbox can do wrong, and which gate must catch it.

A fault spoils every endpoint of its group, or only those whose path ends as asked:
``stream.stall@/career-wealth/stream``. Several faults apply in the order they are given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from types import MappingProxyType

from pytest_release.errors import SandboxError
from pytest_release.sandbox.answers import Ending
from pytest_release.sandbox.changes import (
    BLOCK,
    HOSTILE,
    all_of,
    body,
    commented,
    continued,
    cut,
    endless,
    first_half,
    grown,
    gzip_bomb,
    gzipped,
    header,
    held_back,
    interrupted,
    late,
    lengthened,
    members,
    multiplied,
    paused,
    pieces,
    raw,
    refusal,
    respelled,
    retyped,
    status,
    swapped,
    trickled,
    without,
)
from pytest_release.sandbox.data_faults import DATA_FAULTS
from pytest_release.sandbox.endpoints import ENDPOINTS
from pytest_release.sandbox.fault import Fault
from pytest_release.sandbox.rooms import rooms

SLOW = 0.8  # seconds to the head of a slow answer
LATE = 0.25  # seconds to the first byte, or the first event, of a late stream
GAP = 1.5  # seconds of silence within a stream
OTHER_BUILD = "0" * 40


def _odd(number: int) -> bool:
    return number % 2 == 1


def _not_first(number: int) -> bool:
    return number > 1


_HTML = b"<!doctype html><title>Welcome</title><h1>It works</h1>"
_OK_JSON = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"

_BASIC = (
    Fault("basic.server-error", "basic.status", "answers 500", refusal(500, "internal error")),
    Fault("basic.wrong-status", "basic.status", "answers 202 with the right body", status(202)),
    Fault(
        "basic.success-false",
        "basic.success",
        "answers 200 with success: false",
        members(success=False, message="calculation failed"),
    ),
    Fault("basic.missing-key", "basic.missing-key", "leaves out data", without("data")),
    Fault(
        "basic.wrong-value",
        "basic.value",
        "health answers 200 with the status degraded",
        members(status="degraded"),
        group="health",
    ),
    Fault(
        "basic.wrong-type",
        "basic.schema",
        "data is a string, not an object",
        members(data="none"),
    ),
    Fault("basic.not-json", "basic.not-json", "an HTML page that is called JSON", body(_HTML)),
    Fault(
        "basic.wrong-content-type",
        "basic.content-type",
        "JSON that is called HTML",
        header("content-type", "text/html"),
    ),
    Fault(
        "basic.missing-header",
        "basic.content-type",
        "no Content-Type header",
        header("content-type", None),
    ),
    Fault("basic.empty-body", "basic.not-json", "200 with an empty body", body(b"")),
    Fault("basic.slow", "p95_ms", f"every answer takes {SLOW} s", late(SLOW)),
    Fault(
        "basic.flaky",
        "basic.retried",
        "the 1st, 3rd, 5th, ... request to each path is answered 503",
        refusal(503, "try again"),
        when=_odd,
    ),
    Fault(
        "basic.redirect-loop",
        "basic.status",
        "redirects to the same address for ever",
        all_of(status(307), header("location", "?")),  # an empty query: the same address
    ),
    Fault(
        "basic.huge-header",
        "basic.no-answer",
        "100 MB of header",
        raw(_OK_JSON, *(b"x-filler: " + b"a" * BLOCK + b"\r\n",) * 1600),
    ),
    Fault(
        "basic.endless-body",
        "basic.broken",
        "a body that never ends",
        body(b'{"success": true, "data": "', forever=b"a" * BLOCK),
    ),
    Fault("basic.gzip-bomb", "basic.broken", "gzip that grows a thousandfold", gzip_bomb),
    Fault(
        "basic.invalid-gzip",
        "basic.broken",
        "says gzip and sends plain JSON",
        header("content-encoding", "gzip"),
    ),
    Fault(
        "basic.invalid-utf8",
        "basic.not-json",
        "JSON with bytes that are not UTF-8",
        body(b'{"success": true, "data": {"name": "\xff\xfe"}}'),
    ),
    Fault(
        "basic.invalid-chunking",
        "basic.broken",
        "a chunk whose size is no number",
        raw(_OK_JSON + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
    ),
    Fault("basic.hang-up", "basic.no-answer", "closes the connection without an answer", raw()),
    Fault("basic.trickle", "basic.no-answer", "one byte a second, head included", trickled),
    Fault(
        "basic.hostile-body",
        "basic.success",
        "success: false and a message of HTML, script, ANSI and control characters",
        all_of(members(success=False, message=HOSTILE), header("x-note", "<img src=x onerror=1>")),
    ),
)

_STREAM = (
    Fault(
        "stream.no-terminal-event",
        "stream.no-terminal-event",
        "ends properly before its terminal event",
        pieces(lambda told: told[:-1]),
    ),
    Fault(
        "stream.stall",
        "stream.broken",
        "falls silent half-way and stays open",
        pieces(first_half, Ending.HOLD),
    ),
    Fault("stream.cut-in-event", "stream.cut-in-event", "ends within its last event", pieces(cut)),
    Fault(
        "stream.cut-connection",
        "stream.broken",
        "the connection drops half-way, without the body's end",
        pieces(first_half, Ending.ABORT),
    ),
    Fault("stream.no-events", "stream.no-events", "200 and not one event", body(b"")),
    Fault("stream.buffered", "stream.buffered", "all events at once at the end", pieces(held_back)),
    Fault(
        "stream.after-terminal",
        "stream.after-terminal",
        "goes on after the terminal event",
        pieces(continued),
    ),
    Fault(
        "stream.never-closes",
        "stream.not-closed",
        "stays open after the terminal event",
        pieces(tuple, Ending.HOLD),
    ),
    Fault(
        "stream.error-event",
        "stream.forbidden-event",
        "an error event half-way, then on as if nothing were",
        pieces(interrupted("error", "模型暂不可用")),
    ),
    Fault(
        "stream.hostile-event",
        "stream.forbidden-event",
        "an error event of HTML, script, ANSI and control characters",
        pieces(interrupted("error", HOSTILE)),
    ),
    Fault("stream.late-first-byte", "stream.ttfb", f"the head comes after {LATE} s", late(LATE)),
    Fault(
        "stream.late-first-event",
        "stream.first-event",
        f"head and a comment at once, the first event after {LATE} s",
        pieces(commented(LATE)),
    ),
    Fault("stream.gap", "stream.gap", f"{GAP} s of silence half-way", pieces(paused(GAP))),
    Fault(
        "stream.wrong-order", "stream.order", "the first two events change places", pieces(swapped)
    ),
    Fault(
        "stream.too-few-events",
        "stream.too-few-events",
        "only the first event and the terminal one",
        pieces(lambda told: (told[0], told[-1])),
    ),
    Fault(
        "stream.too-many-events", "stream.too-many-events", "2000 events more", pieces(multiplied)
    ),
    Fault("stream.bad-json", "stream.bad-json", "broken JSON", pieces(respelled(b'{"content": '))),
    Fault(
        "stream.wrong-schema",
        "stream.schema",
        "an event's content is a number",
        pieces(retyped(42)),
    ),
    Fault(
        "stream.unknown-type",
        "stream.unknown-type",
        "an event of an unknown type",
        pieces(interrupted("mystery", "?")),
    ),
    Fault(
        "stream.wrong-content-type",
        "stream.content-type",
        "events that are called JSON",
        header("content-type", "application/json"),
    ),
    Fault(
        "stream.status-503",
        "stream.status",
        "answers 503, updating",
        refusal(503, "updating"),
    ),
    Fault(
        "stream.invalid-utf8",
        "stream.invalid-utf8",
        "an event with bytes that are not UTF-8",
        pieces(respelled(b'{"type": "progress", "content": "\xff\xfe"}')),
    ),
    Fault(
        "stream.long-line",
        "stream.given-up",
        "one line of 16 MiB before the terminal event",
        pieces(lengthened),
    ),
    Fault("stream.endless", "stream.given-up", "events for ever", endless),
    Fault(
        "stream.gzip-without-asking",
        "stream.encoding",
        "gzip though identity was asked for",
        gzipped,
    ),
)

_RELEASE = (
    Fault(
        "release.build-changes",
        "",
        "health names another build from the second time on",
        members(build_git_hash=OTHER_BUILD),
        when=_not_first,
        group="health",
    ),
    Fault(
        "release.wrong-version",
        "",
        "health names the version 0.9.9",
        members(version="0.9.9"),
        group="health",
    ),
)

_ROW_COUNT = (
    Fault(
        "row_count.api-differs",
        "row_count.rows",
        "the API counts a face more than there are",
        grown("face_detections"),
        group="counts",
    ),
    Fault(
        "row_count.api-refuses",
        "row_count.api",
        "the API answers 500 instead of counts",
        refusal(500, "internal error"),
        group="counts",
    ),
)

FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        fault.name: fault
        for faults in (_BASIC, _STREAM, _ROW_COUNT, _RELEASE, *(room.faults for room in rooms()))
        for fault in faults
    }
)


def switches(asked: Iterable[str]) -> tuple[Fault, ...]:
    """The faults of answers among these, each narrowed to the path after its ``@`` if it has one.

    Raises:
        SandboxError: There is no such fault, or it spoils no endpoint with that path.
    """
    return tuple(_switch(one) for one in asked if one not in DATA_FAULTS)


def _switch(asked: str) -> Fault:
    name, _, path = asked.partition("@")
    if name not in FAULTS:
        raise SandboxError(
            f"there is no fault {name!r}{_near(name, [*FAULTS, *DATA_FAULTS])}; "
            f"`pytest-release sandbox faults` lists them all"
        )
    fault = FAULTS[name]
    paths = [endpoint.path for endpoint in ENDPOINTS if fault.spoils(endpoint)]
    if path and not any(there.endswith(path) for there in paths):
        raise SandboxError(
            f"the fault {name!r} has no endpoint {path!r}{_near(path, paths)}; "
            f"it can spoil {', '.join(paths)}"
        )
    return replace(fault, path=path)


def _near(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""
