"""Tests of `pytest_release.targets.events`: the standard's corner cases, however they arrive."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytest_release.errors import TargetError
from pytest_release.targets.events import Event, EventParser
from pytest_release.targets.stamps import Stamp

Seen = tuple[str, str, str]  # type, data, id


@dataclass(frozen=True)
class Script:
    """A stream and what it means.

    Attributes:
        parts: Each event's bytes up to the one that completes it; behind the events' parts there
            may be one that completes nothing.
        events: What each part dispatches.
        unfinished: The stream ends in the middle of an event.
    """

    parts: tuple[bytes, ...]
    events: tuple[Seen, ...]
    unfinished: bool = False
    comments: int = 0
    retry_ms: int | None = None
    invalid_utf8: int = 0

    @property
    def stream(self) -> bytes:
        """All bytes."""
        return b"".join(self.parts)

    @property
    def completed(self) -> list[int]:
        """Behind which byte each event is complete."""
        return [*accumulate(map(len, self.parts))][: len(self.events)]


def message(data: str, last_id: str = "") -> Seen:
    """An event without a type of its own."""
    return ("message", data, last_id)


BOM = b"\xef\xbb\xbf"
SCRIPTS = {
    "line feed": Script((b"data: a\n\n", b"data: b\n\n"), (message("a"), message("b"))),
    "carriage return": Script((b"data: a\r\r", b"data: b\r\r"), (message("a"), message("b"))),
    "both, complete at the CR": Script(
        (b"data: a\r\n\r", b"\ndata: b\r\n\r", b"\n"), (message("a"), message("b"))
    ),
    "line ends mixed": Script(
        (b"data: a\r\ndata: b\rdata: c\n\r", b"\n\n\r\n"), (message("a\nb\nc"),)
    ),
    "CR of a line, LF of the blank one": Script((b"data: a\r\n\n",), (message("a"),)),
    "byte order mark": Script((BOM + b"data: a\n\n",), (message("a"),)),
    "byte order mark before a comment": Script(
        (BOM + b": hi\ndata: a\n\n",), (message("a"),), comments=1
    ),
    "byte order mark before a blank line": Script((BOM + b"\ndata: a\n\n",), (message("a"),)),
    "second byte order mark is part of a name": Script((BOM + BOM + b"data: a\n\n",), ()),
    "byte order mark later is data": Script((b"data: " + BOM + b"a\n\n",), (message("\ufeffa"),)),
    "nothing but a byte order mark": Script((BOM,), ()),
    "comments": Script(
        (b": keep-alive\n\n:\n:x\ndata: a\n: in between\ndata: b\n\n",),
        (message("a\nb"),),
        comments=4,
    ),
    "only comments": Script((b": a\n\n: b\n\n",), (), comments=2),
    "unfinished comment": Script((b"data: a\n\n", b": b"), (message("a"),)),
    "several data lines": Script(
        (b"data: a\ndata: b\ndata\ndata: c\n\n",), (message("a\nb\n\nc"),)
    ),
    "data without a colon": Script((b"data\n\n", b"data\ndata\n\n"), (message(""), message("\n"))),
    "data without a value": Script((b"data:\n\n",), (message(""),)),
    "one space is dropped": Script((b"data:  a \n\n",), (message(" a "),)),
    "no space": Script((b"data:a\n\n",), (message("a"),)),
    "a tab is not a space": Script((b"data:\ta\n\n",), (message("\ta"),)),
    "colons in the value": Script((b"data: a: b:c\n\n",), (message("a: b:c"),)),
    "type": Script((b"event: add\ndata: a\n\n", b"data: b\n\n"), (("add", "a", ""), message("b"))),
    "last type counts": Script((b"event: a\nevent: b\ndata: x\n\n",), (("b", "x", ""),)),
    "empty type": Script((b"event: a\nevent\ndata: x\n\n",), (message("x"),)),
    "type behind the data": Script((b"data: x\nevent: a\n\n",), (("a", "x", ""),)),
    "type without data": Script((b"event: a\n\ndata: x\n\n",), (message("x"),)),
    "id outlives its event": Script(
        (b"id: 1\ndata: a\n\n", b"data: b\n\n"), (message("a", "1"), message("b", "1"))
    ),
    "id without data": Script((b"id: 1\n\ndata: a\n\n",), (message("a", "1"),)),
    "id without a value resets": Script(
        (b"id: 1\ndata: a\n\n", b"id\ndata: b\n\n"), (message("a", "1"), message("b"))
    ),
    "id with NUL": Script((b"id: 1\nid: 2\x003\ndata: a\n\n",), (message("a", "1"),)),
    "NUL in data": Script((b"data: a\x00b\n\n",), (message("a\0b"),)),
    "retry": Script((b"retry: 2500\n\ndata: a\n\n",), (message("a"),), retry_ms=2500),
    "retry with leading zeros": Script((b"retry: 007\n\n",), (), retry_ms=7),
    "retry with more than digits": Script((b"retry: 10 s\nretry: -1\nretry:\n\n",), ()),
    "retry in other digits": Script(("retry: \u0663\n\n".encode(),), ()),
    "retry beyond all bounds": Script((b"retry: " + b"9" * 5000 + b"\n\n",), ()),
    "unknown fields": Script(
        (b"foo: 1\nDATA: b\n data: c\ndata : d\ndata: a\n\n",), (message("a"),)
    ),
    "blank lines": Script((b"\n\n\r\n\r\rdata: a\n\n", b"\n\n"), (message("a"),)),
    "unfinished event": Script((b"data: a\n\n", b"data: b\n"), (message("a"),), unfinished=True),
    "unfinished line": Script((b"data: a\n\n", b"data: b"), (message("a"),), unfinished=True),
    "unfinished name": Script((b"data: a\n\n", b"da"), (message("a"),), unfinished=True),
    "unfinished after its type": Script((b"event: a\n",), (), unfinished=True),
    "nothing": Script((b"",), ()),
    "characters of all lengths": Script(
        ("data: ß水𝄞\nevent: 類\nid: é\n\n".encode(),), (("類", "ß水𝄞", "é"),)
    ),
    "line ends of other standards": Script(
        ("data: a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\n\n".encode(),),
        (message("a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg"),),
    ),
    "invalid UTF-8": Script(
        (b"data: a\xffb\xe6\xb0\n\n", b"data: c\n\n"),
        (message("a\ufffdb\ufffd"), message("c")),
        invalid_utf8=1,
    ),
    "invalid type and data count once": Script(
        (b"event: \xff\ndata: \xfe\n\n",), (("\ufffd", "\ufffd", ""),), invalid_utf8=1
    ),
    "invalid id counts once": Script(
        (b"id: \xff\ndata: a\n\n", b"data: b\n\n"),
        (message("a", "\ufffd"), message("b", "\ufffd")),
        invalid_utf8=1,
    ),
    "surrogates are invalid": Script(
        (b"data: \xed\xa0\x80\n\n",), (message("\ufffd\ufffd\ufffd"),), invalid_utf8=1
    ),
    "JSON": Script(
        (b'data: {"type": "progress",\ndata: "content": "x"}\n\n',),
        (message('{"type": "progress",\n"content": "x"}'),),
    ),
}


def at(number: int) -> Stamp:
    """The stamp of a chunk."""
    return Stamp(number, number, number)


def parse(parser: EventParser, chunks: Iterable[bytes]) -> list[Event]:
    """Everything a parser finds in chunks whose stamps are their numbers."""
    return [event for n, chunk in enumerate(chunks) for event in parser.feed(chunk, at(n))]


def seen(events: Iterable[Event]) -> tuple[Seen, ...]:
    """What events say, without their stamps."""
    return tuple((event.type, event.data, event.id) for event in events)


def ways(stream: bytes) -> Iterator[list[bytes]]:
    """A stream whole, byte by byte, and in two pieces in every way; empty chunks among them."""
    yield [stream]
    yield [stream[n : n + 1] for n in range(len(stream))]
    for cut in range(min(len(stream), 200) + 1):
        yield [stream[:cut], stream[cut:]]
        yield [stream[:cut], b"", stream[cut:]]


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_means_the_same_however_it_is_split(script: Script) -> None:
    """Events, counts and the unfinished end are those of the standard at every split."""
    for chunks in ways(script.stream):
        parser = EventParser()

        assert seen(parse(parser, chunks)) == script.events
        assert parser.unfinished == script.unfinished
        assert parser.comments == script.comments
        assert parser.retry_ms == script.retry_ms
        assert parser.invalid_utf8 == script.invalid_utf8


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_an_event_has_the_stamp_of_the_chunk_that_completed_it(script: Script) -> None:
    """Never that of a later chunk, whatever line end the stream uses."""
    for chunks in ways(script.stream):
        arrived = [*accumulate(map(len, chunks))]
        expected = [next(n for n, end in enumerate(arrived) if end >= c) for c in script.completed]

        assert [event.at for event in parse(EventParser(), chunks)] == [at(n) for n in expected]


def by_the_standard(stream: bytes) -> tuple[Seen, ...]:
    """HTML 9.2.6, word by word: decode all, split into lines, interpret each."""
    text = stream.decode("utf-8", errors="replace").removeprefix("\ufeff")
    events, data, kind, last_id = [], "", "", ""
    for line in re.split("\r\n|\n|\r", text)[:-1]:
        name, colon, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append((kind or "message", data.removesuffix("\n"), last_id))
            data = kind = ""
        elif not name and colon:
            pass
        elif name == "event":
            kind = value
        elif name == "data":
            data += value + "\n"
        elif name == "id" and "\0" not in value:
            last_id = value
    return tuple(events)


WORDS = [b"data", b"event", b"id", b"retry", b":", b" ", b"a", b"\0", BOM, b"data: x\n"]
ENDS = [b"\n", b"\r", b"\r\n", b"\n\n", "\u2028".encode()]
TOKENS = st.sampled_from([*WORDS, *ENDS, "水".encode(), b"\xe6", b"\xff"])


@settings(max_examples=250)
@given(st.lists(TOKENS, max_size=40).map(b"".join), st.lists(st.integers(0, 80), max_size=6))
@example(b"data: a\r\n\r\n", [8, 8, 9])
def test_any_stream_means_what_the_standard_says(stream: bytes, cuts: list[int]) -> None:
    """A random stream, split at random, against an implementation of the standard's own words."""
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(places)]

    assert seen(parse(EventParser(), chunks)) == by_the_standard(stream)


def test_a_long_line_in_single_bytes_is_read_in_linear_time() -> None:
    """A hundred thousand bytes, one by one: seconds if every byte copied what came before it."""
    line = b"data: " + b"x" * 100_000 + b"\n\n"

    (event,) = parse(EventParser(), (line[n : n + 1] for n in range(len(line))))

    assert len(event.data) == 100_000
    assert event.at == at(len(line) - 1)


def test_events_share_the_last_id() -> None:
    """An id of a megabyte costs a megabyte, not one for each event that has it."""
    parser = EventParser()

    first, second = parse(parser, [b"id: " + b"x" * 100_000 + b"\ndata\n\ndata\n\n"])

    assert first.id is second.id


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_a_line_has_a_bound(chunk: int) -> None:
    """A line longer than allowed, a comment too, ends the stream with a message that says so."""
    line = b":" + b"x" * 100

    with pytest.raises(TargetError, match="a line of the stream has more than 100 bytes"):
        parse(EventParser(max_line=100), (line[n : n + chunk] for n in range(0, len(line), chunk)))


def test_an_event_has_a_bound() -> None:
    """Many short lines of data count together, and line by line even when empty."""
    with pytest.raises(TargetError, match="an event of the stream has more than 50 bytes"):
        parse(EventParser(max_event=50), [b"data: 123456789\n"] * 6)
    with pytest.raises(TargetError, match="an event of the stream has more than 50 bytes"):
        parse(EventParser(max_event=50), [b"data\n" * 51])


def test_the_bounds_are_of_one_line_and_one_event() -> None:
    """What was dispatched counts no longer."""
    parser = EventParser(max_line=20, max_event=20)

    assert len(parse(parser, [b"data: 0123456789\n\n"] * 10)) == 10
