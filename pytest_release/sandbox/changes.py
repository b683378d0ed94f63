"""Ways to spoil an answer: functions from a good `Answer` to a bad one, all pure.

Those that take an `Answer` are changes; those that take arguments make one. In a stream one piece
is one event, and the edits of a stream's pieces become changes through `pieces`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from pytest_release.sandbox.answers import Answer, Ending, Piece, event

Change = Callable[[Answer], Answer]
Pieces = tuple[Piece, ...]

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"'>]]>{{7*7}}"
    "\x1b[31;5mred\x1b]0;title\x07\x00\x08\x7f\x9b31m\u202egnp.exe\u2028"
)
GZIP = 31  # zlib's window bits for the gzip format
BLOCK = 64 * 1024  # bytes
AFTERMATH = 0.1  # seconds from a stream's end to what should not follow


def all_of(*changes: Change) -> Change:
    """One change after the other."""

    def change(answer: Answer) -> Answer:
        for each in changes:
            answer = each(answer)
        return answer

    return change


def status(code: int) -> Change:
    """Another status, the body as it was."""
    return lambda answer: replace(answer, status=code)


def header(name: str, value: str | None) -> Change:
    """One header set, or removed."""

    def change(answer: Answer) -> Answer:
        headers = {key: old for key, old in answer.headers.items() if key != name}
        return replace(answer, headers=headers if value is None else headers | {name: value})

    return change


def late(seconds: float) -> Change:
    """The head comes later."""
    return lambda answer: replace(answer, wait=seconds)


def body(data: bytes, *, forever: bytes = b"") -> Change:
    """Another body, in one piece."""
    return lambda answer: replace(answer, pieces=(Piece(data),), forever=forever)


def members(**values: Any) -> Change:  # noqa: ANN401 - any JSON value
    """Members of the JSON object set."""
    return lambda answer: body(_json(json.loads(answer.body) | values))(answer)


def grown(name: str) -> Change:
    """A number in the answer's ``data`` is one more than it should be."""

    def change(answer: Answer) -> Answer:
        data = json.loads(answer.body)["data"]
        return members(data=data | {name: data[name] + 1})(answer)

    return change


def without(name: str) -> Change:
    """A member of the JSON object left out."""

    def change(answer: Answer) -> Answer:
        value = json.loads(answer.body)
        return body(_json({key: member for key, member in value.items() if key != name}))(answer)

    return change


def refusal(code: int, message: str) -> Change:
    """A status and a JSON object with ``success: false`` instead of the answer."""
    value = {"success": False, "message": message}
    return all_of(status(code), header("content-type", "application/json"), body(_json(value)))


def raw(*data: bytes) -> Change:
    """These bytes, then the end of the connection, instead of an HTTP answer."""
    return lambda answer: replace(answer, raw=True, pieces=tuple(map(Piece, data)))


def trickled(answer: Answer) -> Answer:
    """The whole answer, head included, one byte a second."""
    head = f"HTTP/1.1 {answer.status} OK\r\ncontent-length: {len(answer.body)}\r\n\r\n".encode()
    drops = (Piece(bytes([byte]), wait=1.0) for byte in head + answer.body)
    return replace(answer, raw=True, pieces=tuple(drops))


def gzip_bomb(answer: Answer) -> Answer:
    """Gzip that is small on the wire and grows a thousandfold, for ever."""
    packer = zlib.compressobj(wbits=GZIP)
    # a full flush forgets the past, so that the second block can be repeated
    first, again = (
        packer.compress(bytes(16 * BLOCK)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2)
    )
    return all_of(header("content-encoding", "gzip"), body(first, forever=again))(answer)


def gzipped(answer: Answer) -> Answer:
    """Gzip, flushed after each piece."""
    packer = zlib.compressobj(wbits=GZIP)
    packed = [
        replace(piece, data=packer.compress(piece.data) + packer.flush(zlib.Z_SYNC_FLUSH))
        for piece in answer.pieces
    ]
    encoded = header("content-encoding", "gzip")(answer)
    return replace(encoded, pieces=(*packed, Piece(packer.flush())))


def pieces(edit: Callable[[Pieces], Iterable[Piece]], ending: Ending = Ending.CLOSE) -> Change:
    """The pieces edited, and another way to end."""
    return lambda answer: replace(answer, pieces=tuple(edit(answer.pieces)), ending=ending)


def endless(answer: Answer) -> Answer:
    """Events for ever, and never the terminal one."""
    return replace(answer, pieces=answer.pieces[:-1], forever=_middle(answer.pieces).data)


def first_half(told: Pieces) -> Pieces:
    """Nothing from the middle on."""
    return told[: len(told) // 2]


def cut(told: Pieces) -> Pieces:
    """The last event ends in its middle."""
    last = told[-1]
    return *told[:-1], replace(last, data=last.data[: len(last.data) // 2])


def held_back(told: Pieces) -> Pieces:
    """All at once, when the last would have come."""
    return (Piece(b"".join(p.data for p in told), wait=sum(p.wait for p in told)),)


def continued(told: Pieces) -> Pieces:
    """An event after the terminal one."""
    return *told, replace(_middle(told), wait=AFTERMATH)


def swapped(told: Pieces) -> Pieces:
    """The first two events in the other order."""
    first, second, *rest = told
    return replace(first, data=second.data), replace(second, data=first.data), *rest


def multiplied(told: Pieces) -> Pieces:
    """The middle event two thousand times."""
    return *told[:-1], *(replace(_middle(told), wait=0.0),) * 2000, told[-1]


def paused(seconds: float) -> Callable[[Pieces], Pieces]:
    """A pause before the middle event."""
    return lambda told: _with_middle(told, wait=seconds)


def commented(seconds: float) -> Callable[[Pieces], Pieces]:
    """A comment at once, the first event later."""
    return lambda told: (Piece(b": keepalive\n\n"), replace(told[0], wait=seconds), *told[1:])


def respelled(data: bytes) -> Callable[[Pieces], Pieces]:
    """The middle event's data replaced by these bytes."""
    return lambda told: _with_middle(
        told, data=_middle(told).data.partition(b"data: ")[0] + b"data: " + data + b"\n\n"
    )


def retyped(content: Any) -> Callable[[Pieces], Pieces]:  # noqa: ANN401 - any JSON value
    """The middle event's content replaced by a JSON value."""

    def edit(told: Pieces) -> Pieces:
        value = json.loads(_middle(told).data.partition(b"data: ")[2])
        return respelled(_json(value | {"content": content}))(told)

    return edit


def interrupted(kind: str, content: str) -> Callable[[Pieces], Pieces]:
    """A further event before the middle one."""

    def edit(told: Pieces) -> Pieces:
        half = len(told) // 2
        data = event(kind, content, named=told[0].data.startswith(b"event:"))
        return *told[:half], replace(told[half], data=data), *told[half:]

    return edit


def lengthened(told: Pieces) -> Pieces:
    """16 MiB of comment without a line end before the terminal event."""
    return *told[:-1], Piece(b":"), *(Piece(b"x" * BLOCK),) * 256, Piece(b"\n\n"), told[-1]


def _middle(told: Pieces) -> Piece:
    return told[len(told) // 2]


def _with_middle(told: Pieces, **changes: Any) -> Pieces:  # noqa: ANN401 - fields of Piece
    half = len(told) // 2
    return *told[:half], replace(told[half], **changes), *told[half + 1 :]


def _json(value: Any) -> bytes:  # noqa: ANN401 - any JSON value
    return json.dumps(value, ensure_ascii=False).encode()
