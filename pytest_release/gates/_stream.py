"""A stream as it arrived, and everything that can be wrong with it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pytest_release.config.cases import HttpCase
from pytest_release.evidence import Finding
from pytest_release.gates._answer import MissingPathError, check_head, check_schema, cut, lookup
from pytest_release.sampling import Sample
from pytest_release.targets.events import Event
from pytest_release.targets.http import Exchange

BURST_MS = 10.0  # events that arrive within this were sent, or let through, at once
WAIT_MS = 100.0  # a stream shorter than this has no time to be spread over
FEWEST = 3  # events below which "all at once" says nothing


@dataclass(frozen=True)
class Arrival:
    """One event and what it is called."""

    event: Event
    kind: str

    def json(self) -> Any:  # noqa: ANN401 - any JSON value
        """The event's data as JSON.

        Raises:
            ValueError: It is not JSON.
        """
        try:
            return json.loads(self.event.data)
        except RecursionError:
            raise ValueError("nested too deeply") from None


@dataclass(frozen=True)
class Stream:
    """One stream, read to its end or to where it was given up.

    Attributes:
        unfinished: It ended inside an event.
        invalid_utf8: Events whose bytes are not UTF-8.
        open_after: Seconds it stayed open after its terminal event before it was given up.
        given_up: Why reading stopped before the stream's end; empty when it did not.
    """

    exchange: Exchange
    arrivals: tuple[Arrival, ...]
    unfinished: bool = False
    invalid_utf8: int = 0
    open_after: float | None = None
    given_up: str = ""

    def at(self, arrival: Arrival) -> Sample:
        """When the bytes that completed an event arrived (ms)."""
        return self.exchange.sample(arrival.event.at)


def name_of(event: Event) -> str:
    """What an event is called: its ``event:`` field, else ``type`` in its JSON data."""
    if event.type != "message":
        return event.type
    try:
        data = json.loads(event.data)
    except (ValueError, RecursionError):
        return "message"
    kind = data.get("type") if isinstance(data, dict) else None
    return kind if isinstance(kind, str) else "message"


class Contract:
    """What a case expects of a stream's events.

    Args:
        case: Of the stream gate.
    """

    def __init__(self, case: HttpCase) -> None:
        self.case = case
        self.events: Mapping[str, Any] = case.expect.get("events", {})
        self.terminal = frozenset(self.events.get("terminal", ()))
        self.forbidden = frozenset(self.events.get("forbid", ()))

    def tolerates(self, arrival: Arrival) -> bool:
        """A forbidden event that the case calls acceptable; it ends the stream."""
        return any(
            rule["type"] == arrival.kind and rule["text"] in _readable(arrival.event.data)
            for rule in self.events.get("tolerate", ())
        )

    def ends(self, arrival: Arrival) -> bool:
        """Nothing may come after this event."""
        return arrival.kind in self.terminal or self.tolerates(arrival)

    def findings(self, stream: Stream) -> Iterator[Finding]:
        """Everything that is wrong with the stream, the outermost first."""
        expected_type = None if stream.exchange.status != 200 else "text/event-stream"
        head = list(check_head(self.case, stream.exchange, expected_type))
        yield from head
        if any(finding.code == "stream.status" for finding in head):
            return
        for check in (
            _check_transport,
            self._check_terminal,
            self._check_forbidden,
            self._check_types,
            self._check_order,
            self._check_count,
            self._check_data,
            self._check_spread,
            self._check_text,
        ):
            yield from check(stream)

    def _check_terminal(self, stream: Stream) -> Iterator[Finding]:
        if not self.terminal or not stream.arrivals:
            return
        wanted = ", ".join(sorted(self.terminal))
        end = next((i for i, a in enumerate(stream.arrivals) if self.ends(a)), None)
        if end is None:
            last = stream.arrivals[-1]
            message = (
                f"the stream ended without its terminal event: {len(stream.arrivals)} events, "
                f"the last one {last.kind!r} at {stream.at(last).value:.0f} ms"
            )
            yield Finding("stream.no-terminal-event", message, expected=wanted, received=last.kind)
            return
        after = stream.arrivals[end + 1 :]
        if after:
            kinds = ", ".join(f"{count} {name!r}" for name, count in _count(after).items())
            message = f"the stream goes on after its terminal event: {kinds}"
            yield Finding("stream.after-terminal", message, received=cut(after[0].event.data))
        if stream.open_after is not None:
            message = (
                f"the stream was not closed {stream.open_after:.1f} s after its terminal event"
            )
            yield Finding("stream.not-closed", message, expected="the end of the answer")

    def _check_forbidden(self, stream: Stream) -> Iterator[Finding]:
        for arrival in stream.arrivals:
            if arrival.kind in self.forbidden and not self.tolerates(arrival):
                message = (
                    f"a forbidden event {arrival.kind!r} came at {stream.at(arrival).value:.0f} ms"
                )
                received = cut(_readable(arrival.event.data))
                yield Finding("stream.forbidden-event", message, received=received)

    def _check_types(self, stream: Stream) -> Iterator[Finding]:
        known = self.events.get("types")
        if known is None:
            return
        allowed = {*known, *self.terminal, *self.forbidden}
        for name, count in _count(stream.arrivals).items():
            if name not in allowed:
                message = f"{count} events of the unknown type {cut(name)!r}"
                yield Finding("stream.unknown-type", message, expected=", ".join(sorted(allowed)))

    def _check_order(self, stream: Stream) -> Iterator[Finding]:
        order: Sequence[str] = self.events.get("order", ())
        if any(self.tolerates(arrival) for arrival in stream.arrivals):
            return
        seen = list(_count(stream.arrivals))
        for name in order:
            if name not in seen:
                yield Finding("stream.missing-type", f"no event of type {name!r} came")
        for earlier, later in pairwise(name for name in order if name in seen):
            if seen.index(earlier) > seen.index(later):
                message = f"{later!r} came before {earlier!r}"
                yield Finding(
                    "stream.order", message, expected=" ".join(order), received=" ".join(seen)
                )

    def _check_count(self, stream: Stream) -> Iterator[Finding]:
        count = len(stream.arrivals)
        least, most = self.events.get("min", 1), self.events.get("max", count)
        if any(self.tolerates(arrival) for arrival in stream.arrivals):
            least = 1
        if count < least:
            message = f"{count} events came, at least {least} are expected"
            yield Finding(
                "stream.too-few-events", message, expected=str(least), received=str(count)
            )
        if count > most:
            message = f"{count} events came, at most {most} are expected"
            yield Finding("stream.too-many-events", message, expected=str(most))

    def _check_data(self, stream: Stream) -> Iterator[Finding]:
        largest = self.events.get("max_event_bytes")
        schemas: Mapping[str, Any] = self.events.get("schema", {})
        for number, arrival in enumerate(stream.arrivals, 1):
            size = len(arrival.event.data.encode(errors="replace"))
            if largest is not None and size > largest:
                message = f"event {number} ({arrival.kind}) has {size} bytes"
                yield Finding("stream.large-event", message, expected=f"at most {largest}")
            if arrival.kind in schemas:
                yield from _check_schema(number, arrival, schemas[arrival.kind])
            elif _looks_like_broken_json(arrival):
                message = f"event {number} ({arrival.kind}) starts as JSON and is none"
                yield Finding("stream.bad-json", message, received=cut(arrival.event.data))

    def _check_spread(self, stream: Stream) -> Iterator[Finding]:
        """A proxy that buffers lets nothing through and then everything."""
        if len(stream.arrivals) < FEWEST or not self.events.get("incremental", True):
            return
        first, last = stream.at(stream.arrivals[0]), stream.at(stream.arrivals[-1])
        spread = last.value - first.value
        if first.value >= WAIT_MS and spread <= max(BURST_MS, 0.05 * first.value):
            message = (
                f"{len(stream.arrivals)} events arrived within {spread:.1f} ms after "
                f"{first.value:.0f} ms of nothing: something on the way buffers the stream"
            )
            yield Finding("stream.buffered", message, expected="events as they are produced")

    def _check_text(self, stream: Stream) -> Iterator[Finding]:
        wanted = self.case.expect.get("text")
        if wanted is None:
            return
        text = "".join(_texts(stream.arrivals, wanted["from"], wanted.get("path", "content")))
        contains = wanted.get("contains", [])
        for part in [contains] if isinstance(contains, str) else contains:
            if part not in text:
                message = f"the collected text does not contain {part!r}"
                yield Finding("stream.text", message, expected=part, received=cut(text))
        pattern, least = wanted.get("matches"), wanted.get("min_length", 0)
        if pattern is not None and not re.search(pattern, text):
            message = f"the collected text does not match {pattern!r}"
            yield Finding("stream.text", message, expected=pattern, received=cut(text))
        if len(text) < least:
            message = f"the collected text has {len(text)} characters, at least {least} expected"
            yield Finding("stream.text", message, expected=str(least), received=cut(text))


def _check_transport(stream: Stream) -> Iterator[Finding]:
    """Whether the stream came whole, in the encoding that was asked for."""
    encoding = dict(stream.exchange.headers).get("content-encoding")
    if encoding not in (None, "identity", stream.exchange.accept_encoding):
        message = f"the stream is encoded as {encoding}, which was not asked for"
        yield Finding("stream.encoding", message, expected=stream.exchange.accept_encoding)
    if stream.given_up:
        yield Finding("stream.given-up", stream.given_up)
    if stream.exchange.broken:
        yield Finding("stream.broken", stream.exchange.broken)
    if stream.unfinished:
        yield Finding("stream.cut-in-event", "the stream ended in the middle of an event")
    if stream.invalid_utf8:
        yield Finding("stream.invalid-utf8", f"{stream.invalid_utf8} events are not UTF-8")
    if not stream.arrivals:
        yield Finding("stream.no-events", "the stream brought no event")


def _check_schema(number: int, arrival: Arrival, schema: Any) -> Iterator[Finding]:  # noqa: ANN401 - JSON
    what = f"event {number} ({arrival.kind})"
    try:
        value = arrival.json()
    except ValueError as error:
        message = f"{what} is not JSON: {error}"
        yield Finding("stream.bad-json", message, received=cut(arrival.event.data))
        return
    yield from check_schema("stream.schema", schema, value, what)


def _looks_like_broken_json(arrival: Arrival) -> bool:
    if not arrival.event.data.startswith(("{", "[")):
        return False
    try:
        arrival.json()
    except ValueError:
        return True
    return False


def _texts(arrivals: Sequence[Arrival], kind: str, path: str) -> Iterator[str]:
    for arrival in arrivals:
        if arrival.kind != kind:
            continue
        try:
            value = lookup(arrival.json(), path)
        except (ValueError, MissingPathError):
            continue
        yield value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _readable(data: str) -> str:
    """An event's data with JSON's escapes resolved, so that a text is found either way."""
    try:
        return json.dumps(json.loads(data), ensure_ascii=False)
    except (ValueError, RecursionError):
        return data


def _count(arrivals: Sequence[Arrival]) -> Counter[str]:
    return Counter(arrival.kind for arrival in arrivals)
