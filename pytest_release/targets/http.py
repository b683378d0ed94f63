"""HTTP as a gate needs it: one request, everything timed, everything bounded.

- Each exchange has a connection of its own; name, TCP and TLS are done before the clock starts.
- What goes wrong before the answer's head is a `TargetError`; what goes wrong after it leaves an
  exchange that is `broken` and keeps everything received so far.
- The deadline holds for the whole exchange, however slowly bytes trickle in.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from pytest_release.config.cases import Request
from pytest_release.config.environment import Environment
from pytest_release.errors import ConfigError, Problem, TargetError
from pytest_release.sampling import Sample
from pytest_release.targets._httpx import httpx
from pytest_release.targets.busy import Heartbeat
from pytest_release.targets.calibration import process_clock
from pytest_release.targets.content import ContentError, Decoder
from pytest_release.targets.failures import FAILURES, reason
from pytest_release.targets.outgoing import Sent, build, describe, private_headers
from pytest_release.targets.redirects import Trail
from pytest_release.targets.stamps import Stamp
from pytest_release.targets.transport import TimedTransport
from pytest_release.targets.turns import Turns
from pytest_release.targets.wire import Wire

SHOWN_HEADERS = 100
SHOWN_HEADER = 8_000  # characters of a header's value that are kept
SHOWN_BODY = 4_000  # bytes of body that are kept where a callback takes it

OnChunk = Callable[[bytes, Stamp], float | None]


@dataclass(frozen=True)
class Exchange:
    """One request and what came back.

    Attributes:
        sent: The request as reports show it.
        status: Of the final answer.
        http_version: ``HTTP/1.1`` or ``HTTP/2``.
        headers: At most `SHOWN_HEADERS`, values cut.
        body: Decoded; of one that was handed to a callback, the first `SHOWN_BODY` bytes.
        accept_encoding: What the request asked for.
        content_bytes: Bytes of decoded body, kept or handed over.
        wire_bytes: Bytes of the connection, head included.
        dns_ms: Resolving the name; like the next two, before the clock starts.
        connect_ms: The TCP connection, unsuccessful addresses included.
        tls_ms: The TLS handshake; None without TLS.
        ttfb: The first byte of the final answer's status line. An interim answer (103) in front of
            it does not count, though it does for curl; with HTTP/2 it is the whole head.
        first_body: The first byte of the body, decodable or not; None when there was none.
        total: The end of the answer, or the moment the exchange was given up.
        broken: What went wrong after the head, in one sentence; None when nothing did.
        lingered: The time that the callback gave the rest of the answer ran out.
        sample: What a stamp that the callback was given means, in ms like the figures above.
    """

    sent: Sent
    status: int
    http_version: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    accept_encoding: str
    content_bytes: int
    wire_bytes: int
    dns_ms: float | None
    connect_ms: float | None
    tls_ms: float | None
    ttfb: Sample
    first_body: Sample | None
    total: Sample
    broken: str | None = None
    lingered: bool = False
    sample: Callable[[Stamp], Sample] = field(repr=False, compare=False, kw_only=True)

    @property
    def url(self) -> str:
        """Where the request went, without user and password."""
        return self.sent.url


class HttpTarget:
    """The deployment of an environment, spoken to over HTTP.

    Args:
        environment: Its address, authorisation and TLS settings.

    Raises:
        ConfigError: ``verify_tls`` names a file that is not there or holds no certificate.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._tls = tls_context(environment)
        self._heartbeat = Heartbeat()
        self._turns = Turns()

    @cached_property
    def _tls_http2(self) -> ssl.SSLContext:
        """A context of its own: httpcore sets on it which protocols are offered."""
        return tls_context(self._environment)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing outlives an exchange; the block only marks where the target is used."""

    def describe(self, request: Request, values: Mapping[str, Any]) -> Sent:
        """What a report shows of a request that had no answer."""
        try:
            built = build(request, self._environment, values)
        except TargetError:
            return Sent(request.method, self._environment.redactor(request.path), (), "", "")
        return describe(request, built, self._environment, values)

    def send(
        self,
        request: Request,
        values: Mapping[str, Any] | None = None,
        on_chunk: OnChunk | None = None,
    ) -> Exchange:
        """Send a request and read the answer to its end.

        Where redirects are followed, all figures are those of the last request.

        Args:
            request: As the case declares it.
            values: For ``{{name}}``.
            on_chunk: Takes decoded content and its stamp as it arrives, instead of it being kept;
                returns how many seconds more the answer may take, or None for no change.

        Raises:
            TargetError: There was no answer.
        """
        environment, values = self._environment, values or {}
        built = build(request, environment, values)
        sent = describe(request, built, environment, values)
        tls = self._tls_http2 if request.http2 else self._tls
        trail = Trail(built, private_headers(environment), environment.redactor)
        clock = process_clock()  # before the deadline: the first question may take a second
        with self._heartbeat, ExitStack() as starting:
            starting.enter_context(self._turns.turn())
            deadline_ns = time.monotonic_ns() + int(request.timeout_s * 1e9)
            while True:
                wire = Wire(clock, self._heartbeat, deadline_ns, on_sent=starting.close)
                with TimedTransport(
                    tls, clock, http2=request.http2, heartbeat=self._heartbeat
                ) as transport:
                    answer = _Answer(request, trail, wire, environment)
                    with answer.head(transport):
                        if not (request.follow_redirects and answer.redirects()):
                            return answer.exchange(sent, answer.read(on_chunk))


class _BrokenError(Exception):
    """The answer broke off behind its head; the text says how."""


class _Answer:
    """What comes back to one request on one connection."""

    def __init__(
        self, request: Request, trail: Trail, wire: Wire, environment: Environment
    ) -> None:
        self._request = request
        self._trail = trail
        self._wire = wire
        self._redact = environment.redactor
        self._body = bytearray()
        self._size = 0
        self._first_body: Stamp | None = None
        self._lingering = self._lingered = self._stopped = False

    @contextmanager
    def head(self, transport: TimedTransport) -> Iterator[None]:
        """Send the request, wait for the final answer's head; close the answer behind the block.

        Raises:
            TargetError: None came.
        """
        outgoing = self._trail.request
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), self._request.stall_s)
        outgoing.extensions = {"timeout": timeouts, "wire": self._wire}
        try:
            self._answer = transport.handle_request(outgoing)
        except FAILURES as error:
            raise TargetError(f"{self._trail}: {self._reason(error)}") from None
        with closing(self._answer):
            yield

    def redirects(self) -> bool:
        """Whether there is a next request on the trail."""
        return self._trail.follow(self._answer.status_code, self._header("location"))

    def read(self, on_chunk: OnChunk | None) -> str | None:
        """Read the body; returns what broke it, in one sentence."""
        try:
            decoder = Decoder(self._header("content-encoding") or "")
            for chunk in self._chunks():
                at = self._wire.last_read
                assert at is not None
                self._first_body = self._first_body or at
                for piece in decoder.feed(chunk):
                    self._take(piece, at, on_chunk)
                    if self._stopped:
                        return None
                    if self._size > self._request.max_bytes:
                        return f"its body has more than {self._request.max_bytes} bytes"
            decoder.finish()
        except (_BrokenError, ContentError) as error:
            self._lingered = self._lingering and self._wire.expired
            return None if self._lingered else str(error)
        return None

    def _chunks(self) -> Iterator[bytes]:
        try:
            assert isinstance(self._answer.stream, httpx.SyncByteStream)
            yield from self._answer.stream
        except FAILURES as error:
            raise _BrokenError(self._reason(error)) from None

    def _reason(self, error: Exception) -> str:
        return self._redact(reason(error, self._wire, self._request))

    def _take(self, piece: bytes, at: Stamp, on_chunk: OnChunk | None) -> None:
        self._size += len(piece)
        if on_chunk is None:
            self._body += piece
            return
        self._body += piece[: max(SHOWN_BODY - len(self._body), 0)]
        seconds = on_chunk(piece, at)
        if seconds is not None and not self._lingering:
            self._lingering = True
            self._stopped = seconds == 0
            ends_ns = time.monotonic_ns() + int(seconds * 1e9)
            self._wire.deadline_ns = min(self._wire.deadline_ns or ends_ns, ends_ns)

    def _header(self, name: str) -> str | None:
        """The first of that name; httpx would join several."""
        raw = name.encode()
        found = (value for key, value in self._answer.headers.raw if key.lower() == raw)
        return next((value.decode("latin-1") for value in found), None)

    def exchange(self, sent: Sent, broken: str | None) -> Exchange:
        """All that is known, after the body has been read."""
        wire = self._wire
        given_up = broken or self._lingered or self._stopped
        assert wire.last_read is not None
        return Exchange(
            sent=sent,
            status=self._answer.status_code,
            http_version=self._answer.http_version,
            headers=tuple(
                (name.decode("latin-1").lower()[:200], value.decode("latin-1")[:SHOWN_HEADER])
                for name, value in self._answer.headers.raw[:SHOWN_HEADERS]
            ),
            body=bytes(self._body),
            accept_encoding=self._request.accept_encoding,
            content_bytes=self._size,
            wire_bytes=wire.bytes_in,
            dns_ms=wire.dns_ms,
            connect_ms=wire.connect_ms,
            tls_ms=wire.tls_ms,
            ttfb=wire.ttfb,
            first_body=None if self._first_body is None else wire.sample(self._first_body),
            total=wire.now() if given_up else wire.sample(wire.last_read),
            broken=broken,
            lingered=self._lingered,
            sample=wire.sample,
        )


def tls_context(environment: Environment) -> ssl.SSLContext:
    """The TLS settings of an environment; made once, since it takes 20 ms.

    Raises:
        ConfigError: ``verify_tls`` names a file that is not there or holds no certificate.
    """
    verify = environment.verify_tls
    try:
        context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    except OSError as error:
        message = f"the CA file {verify} cannot be used: {error.strerror or error}"
        raise ConfigError(Problem(environment.source, None, "verify_tls", message)) from None
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def connect(environment: Environment) -> httpx.Client:
    """A client for a user's own tests: base URL, authorisation, TLS, and no proxy variables.

    Each response carries its times: ``response.extensions["wire"].ttfb`` is a `Sample`.

    Raises:
        ConfigError: As `tls_context`.
        TargetError: The environment has no address, or one that cannot be used.
    """
    probe = build(Request("GET", "/"), environment, {})
    authorised = {n: v for n, v in probe.headers.items() if n not in ("host", "accept-encoding")}
    return httpx.Client(
        base_url=httpx.URL(environment.base_url or "").copy_with(userinfo=b""),
        headers=authorised,
        transport=TimedTransport(tls_context(environment), process_clock()),
        trust_env=False,
    )
