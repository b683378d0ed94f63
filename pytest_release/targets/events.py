"""Server-sent events from bytes, exactly as the WHATWG HTML standard says (section 9.2.6).

- Lines end in LF, CR or CRLF; a CR ends its line at once, whatever byte comes next.
- An event is complete with the blank line behind it, and has the stamp of the bytes that brought
  that line's end. What is unfinished at the end of the stream is no event, and is said to be so.
- Bytes are split into lines before they are decoded, so that no character is ever cut.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from pytest_release.errors import TargetError
from pytest_release.targets.stamps import Stamp

MAX_LINE = 1024 * 1024  # bytes
MAX_EVENT = 8 * 1024 * 1024  # bytes of data lines
LINE_END = re.compile(rb"\r\n?|\n")
RETRY = re.compile(rb"[0-9]{1,15}")  # ms: up to 30,000 years
BOM = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One dispatched event.

    Attributes:
        type: The ``event`` field, ``message`` without one.
        data: The ``data`` lines, joined by LF.
        id: The last event id, which outlives the event that set it.
        at: When the bytes that completed it arrived.
    """

    type: str
    data: str
    id: str
    at: Stamp


class EventParser:
    """Takes a stream's decoded content in pieces of any size, and gives its events.

    Attributes:
        comments: Lines that start with a colon, seen so far.
        invalid_utf8: Events with bytes that are not UTF-8; dispatched with U+FFFD in their place.
        retry_ms: The last reconnection time that the server asked for.

    Args:
        max_line: Most bytes of a line.
        max_event: Most bytes of an event's data.
    """

    def __init__(self, max_line: int = MAX_LINE, max_event: int = MAX_EVENT) -> None:
        self.comments = 0
        self.invalid_utf8 = 0
        self.retry_ms: int | None = None
        self._max_line = max_line
        self._max_event = max_event
        self._line = bytearray()
        self._skip_lf = False
        self._first_line = True
        self._type = ""
        self._id = ""
        self._data: list[bytes] = []
        self._size = 0
        self._invalid = False

    @property
    def unfinished(self) -> bool:
        """The stream, if it ended here, would end in the middle of an event."""
        line = self._line.removeprefix(BOM) if self._first_line else self._line
        return bool(self._data or self._type or (line and not line.startswith(b":")))

    def feed(self, chunk: bytes, at: Stamp) -> list[Event]:
        """Take bytes that arrived at a moment; returns the events they completed.

        Raises:
            TargetError: A line or an event is larger than its bound; the stream is lost.
        """
        if not chunk:
            return []
        if self._skip_lf:
            chunk = chunk.removeprefix(b"\n")
        events = []
        start = 0
        for end in LINE_END.finditer(chunk):
            event = self._end_line(chunk[start : end.start()], at)
            start = end.end()
            if event is not None:
                events.append(event)
        if start < len(chunk):
            self._line += self._bounded(chunk[start:])
        self._skip_lf = chunk.endswith(b"\r")
        return events

    def _bounded(self, part: bytes) -> bytes:
        """A part of the line, if there is room for it."""
        if len(self._line) + len(part) > self._max_line:
            raise TargetError(f"a line of the stream has more than {self._max_line} bytes")
        return part

    def _end_line(self, part: bytes, at: Stamp) -> Event | None:
        line = self._bounded(part)
        if self._line:
            line = bytes(self._line) + line
            self._line.clear()
        if self._first_line:
            line = line.removeprefix(BOM)
            self._first_line = False
        if not line:
            return self._dispatch(at)
        if line.startswith(b":"):
            self.comments += 1
            return None
        name, _, value = line.partition(b":")
        self._field(name, value.removeprefix(b" "))
        return None

    def _field(self, name: bytes, value: bytes) -> None:
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
            if self._size > self._max_event:
                raise TargetError(f"an event of the stream has more than {self._max_event} bytes")
        elif name == b"event":
            self._type = self._text(value)
        elif name == b"id" and b"\0" not in value:
            self._id = self._text(value)  # once: however many events share it
        elif name == b"retry" and RETRY.fullmatch(value):
            self.retry_ms = int(value)

    def _dispatch(self, at: Stamp) -> Event | None:
        kind, lines = self._type, self._data
        self._type, self._data, self._size = "", [], 0
        if not lines:
            return None
        event = Event(kind or "message", self._text(b"\n".join(lines)), self._id, at)
        self.invalid_utf8 += self._invalid
        self._invalid = False
        return event

    def _text(self, raw: bytes) -> str:
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            self._invalid = True
            return raw.decode("utf-8", errors="replace")
