"""What the sandbox says, as a value: a head, timed pieces of body, and how it ends.

- Every answer is an `Answer`, a JSON object as much as a stream; a fault is a function from one
  answer to another.
- `pieces` is finite; what never ends is `forever`.
- `raw` pieces are the whole HTTP answer, head included: what no HTTP library would send.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

JSON = MappingProxyType({"content-type": "application/json"})
EVENT_STREAM = MappingProxyType(
    {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
)


@dataclass(frozen=True)
class Piece:
    """Bytes sent at once.

    Attributes:
        data: Of the body, or of the whole answer when it is raw.
        wait: Seconds after the piece before it, or after the head.
    """

    data: bytes
    wait: float = 0.0


class Ending(StrEnum):
    """What happens after the last piece."""

    CLOSE = "close"  # the body ends as HTTP says
    HOLD = "hold"  # nothing more, and the connection stays open until the client leaves
    ABORT = "abort"  # the connection drops without the body's end


@dataclass(frozen=True)
class Answer:
    """One HTTP answer.

    Attributes:
        pieces: The body, in order.
        headers: By lower-case name.
        status: Of the status line.
        wait: Seconds before the head.
        forever: Sent again and again after the pieces, when not empty.
        ending: What happens after the last piece.
        raw: `pieces` are the whole answer as it goes over the wire; the rest only describes it.
    """

    pieces: tuple[Piece, ...]
    headers: Mapping[str, str]
    status: int = 200
    wait: float = 0.0
    forever: bytes = b""
    ending: Ending = Ending.CLOSE
    raw: bool = False

    @property
    def body(self) -> bytes:
        """All pieces together."""
        return b"".join(piece.data for piece in self.pieces)

    @property
    def length(self) -> int | None:
        """The Content-Length; None for a body that is sent in chunks."""
        chunked = len(self.pieces) > 1 or self.forever or self.ending is not Ending.CLOSE
        return None if chunked else len(self.body)


def json_answer(value: Any, status: int = 200) -> Answer:  # noqa: ANN401 - any JSON value
    """A JSON body, sent in one piece."""
    return Answer((Piece(json.dumps(value, ensure_ascii=False).encode()),), JSON, status)


def event(kind: str, content: Any, *, named: bool) -> bytes:  # noqa: ANN401 - any JSON value
    """One server-sent event; its type stands in the `event:` line if `named`, else in the JSON."""
    value = {"content": content} if named else {"type": kind, "content": content}
    data = f"data: {json.dumps(value, ensure_ascii=False)}\n\n"
    return (f"event: {kind}\n{data}" if named else data).encode()


def stream_answer(events: Iterable[bytes], seconds: float) -> Answer:
    """A stream whose first event goes out at once and the last after `seconds`, evenly between."""
    first, *rest = (Piece(data) for data in events)
    wait = seconds / max(len(rest), 1)
    return Answer((first, *(replace(piece, wait=wait) for piece in rest)), EVENT_STREAM)
