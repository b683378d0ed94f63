"""HTTP as a gate needs it: one request, everything timed, everything bounded.

- Each exchange has a connection of its own; name, TCP and TLS are done before the clock starts.
- What goes wrong before the answer's head is a `TargetError`; what goes wrong after it leaves an
  exchange that is `broken` and keeps everything received so far.
- The deadline holds for the whole exchange, however slowly bytes trickle in.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from pytest_release.config.cases import Request
from pytest_release.config.environment import Environment
from pytest_release.errors import ConfigError, Problem, TargetError
from pytest_release.sampling import Sample
from pytest_release.targets._httpx import httpcore, httpx
from pytest_release.targets.busy import Heartbeat
from pytest_release.targets.content import ContentError, Decoder
from pytest_release.targets.outgoing import Sent, build, describe, without_user
from pytest_release.targets.wire import TimedBackend, Wire

MOST_REDIRECTS = 5
SHOWN_HEADERS = 100
SHOWN_HEADER = 2_000  # characters of a header's value that are kept

OnChunk = Callable[[bytes, Sample], float | None]


@dataclass(frozen=True)
class Exchange:
    """One request and what came back.

    Attributes:
        sent: The request as reports show it.
        status: Of the final answer.
        http_version: ``HTTP/1.1`` or ``HTTP/2``.
        headers: At most `SHOWN_HEADERS`, values cut.
        body: Decoded; empty when the chunks were handed to a callback.
        accept_encoding: What the request asked for.
        wire_bytes: Bytes of the connection, head included.
        ttfb: The first byte of the answer, of whatever it is part; an interim answer (103) counts,
            as it does for curl.
        first_body: The first byte of the body; None when there was none.
        total: The last byte, or the moment the exchange was given up.
        broken: What went wrong after the head, in one sentence; None when nothing did.
        lingered: The time that the callback gave the rest of the answer ran out.
    """

    sent: Sent
    status: int
    http_version: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    accept_encoding: str
    wire_bytes: int
    dns_ms: float | None
    connect_ms: float | None
    tls_ms: float | None
    ttfb: Sample
    first_body: Sample | None
    total: Sample
    broken: str | None = None
    lingered: bool = False

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing outlives an exchange; the block only marks where the target is used."""

    def describe(self, request: Request, values: Mapping[str, Any]) -> Sent:
        """What a report shows of a request that had no answer."""
        return describe(request, build(request, self._environment, values), self._environment)

    def send(
        self,
        request: Request,
        values: Mapping[str, Any] | None = None,
        on_chunk: OnChunk | None = None,
    ) -> Exchange:
        """Send a request and read the answer to its end.

        Args:
            request: As the case declares it.
            values: For ``{{name}}``.
            on_chunk: Takes decoded content and its stamp as it arrives, instead of it being kept;
                returns how many seconds more the answer may take, or None for no change.

        Raises:
            TargetError: There was no answer.
        """
        built = build(request, self._environment, values or {})
        sent = describe(request, built, self._environment)
        deadline = time.monotonic_ns() + int(request.timeout_s * 1e9)
        with self._heartbeat:
            for _ in range(MOST_REDIRECTS + 1):
                wire = Wire(self._heartbeat, deadline)
                once = _Once(self._environment, request, sent, wire, self._tls)
                exchange, location = once.run(built, on_chunk)
                if location is None:
                    return exchange
                built = _follow(built, location)
        shown = f"{sent.method} {sent.url}"
        raise TargetError(f"{shown} redirects more than {MOST_REDIRECTS} times, last to {location}")


class _Once:
    """One request on one connection."""

    def __init__(
        self,
        environment: Environment,
        request: Request,
        sent: Sent,
        wire: Wire,
        tls: ssl.SSLContext,
    ) -> None:
        self._environment = environment
        self._request = request
        self._sent = sent
        self._wire = wire
        self._tls = tls
        self._body = bytearray()
        self._size = 0
        self._first_body: int | None = None
        self._lingering = False
        self._stopped = False

    def run(self, built: httpx.Request, on_chunk: OnChunk | None) -> tuple[Exchange, str | None]:
        """The exchange, and where it redirects to if that is to be followed."""
        with httpcore.ConnectionPool(
            ssl_context=self._tls,
            http2=self._request.http2,
            network_backend=TimedBackend(self._wire),
        ) as pool:
            answer = self._head(pool, built)
            headers = _headers(answer.headers)
            location = dict(headers).get("location")
            if self._request.follow_redirects and answer.status in (301, 302, 303, 307, 308):
                return self._exchange(answer, headers, None), location
            broken = self._read(answer, dict(headers).get("content-encoding", ""), on_chunk)
            return self._exchange(answer, headers, broken), None

    def _head(self, pool: httpcore.ConnectionPool, built: httpx.Request) -> httpcore.Response:
        url = built.url
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), self._request.stall_s)
        try:
            return pool.handle_request(
                httpcore.Request(
                    built.method,
                    httpcore.URL(
                        scheme=url.raw_scheme,
                        host=url.raw_host,
                        port=url.port,
                        target=url.raw_path,
                    ),
                    headers=built.headers.raw,
                    content=built.read(),
                    extensions={"timeout": timeouts},
                )
            )
        except _FAILURES as error:
            reason = self._reason(error)
            raise TargetError(f"{self._sent.method} {self._sent.url}: {reason}") from None

    def _read(
        self, answer: httpcore.Response, encoding: str, on_chunk: OnChunk | None
    ) -> str | None:
        """Read the body; returns what broke it, in one sentence."""
        take = on_chunk or self._keep
        try:
            decoder = Decoder(encoding)
            for chunk in answer.iter_stream():
                at = self._wire.last_read_ns
                self._first_body = self._first_body or at
                for piece in decoder.feed(chunk):
                    self._take(piece, self._wire.sample(at), take)
                    if self._stopped:
                        return None
                    if self._size > self._request.max_bytes:
                        return f"its body has more than {self._request.max_bytes} bytes"
            decoder.finish()
        except ContentError as error:
            return str(error)
        except _FAILURES as error:
            return None if self._lingering and self._wire.expired else self._reason(error)
        return None

    def _take(self, piece: bytes, at: Sample, take: OnChunk) -> None:
        self._size += len(piece)
        seconds = take(piece, at)
        if seconds is not None and not self._lingering:
            self._lingering = True
            self._stopped = seconds == 0
            ends = time.monotonic_ns() + int(seconds * 1e9)
            self._wire.deadline_ns = min(self._wire.deadline_ns, ends)

    def _keep(self, piece: bytes, _: Sample) -> None:
        self._body += piece

    def _exchange(
        self,
        answer: httpcore.Response,
        headers: tuple[tuple[str, str], ...],
        broken: str | None,
    ) -> Exchange:
        wire = self._wire
        ended = time.monotonic_ns() if broken or self._lingering else wire.last_read_ns
        version = answer.extensions.get("http_version", b"HTTP/1.1").decode()
        first_body = None if self._first_body is None else wire.sample(self._first_body)
        return Exchange(
            sent=self._sent,
            status=answer.status,
            http_version=version,
            headers=headers,
            body=bytes(self._body),
            accept_encoding=self._request.accept_encoding,
            wire_bytes=wire.bytes_in,
            dns_ms=wire.dns_ms,
            connect_ms=wire.connect_ms,
            tls_ms=wire.tls_ms,
            ttfb=wire.sample(wire.first_read_ns),
            first_body=first_body,
            total=wire.sample(ended),
            broken=broken,
            lingered=self._lingering and wire.expired and not self._stopped,
        )

    def _reason(self, error: Exception) -> str:
        """What a foreign exception means, in words: the one place that knows them."""
        request, wire = self._request, self._wire
        text = self._environment.redactor(str(error))
        match error:
            case httpcore.TimeoutException() if wire.expired:
                phase = "connecting" if not wire.started_ns else "its answer was complete"
                return f"timed out after {request.timeout_s:g} s before {phase}"
            case httpcore.ConnectTimeout():
                return f"no connection within {request.stall_s:g} s"
            case httpcore.TimeoutException():
                return f"stalled: no byte for {request.stall_s:g} s"
            case httpcore.ConnectError() if "SSL" in text or "certificate" in text:
                return f"TLS was refused: {_tls_reason(text)}"
            case httpcore.ConnectError():
                return f"cannot be reached: {text}"
            case httpcore.RemoteProtocolError():
                return _protocol_reason(text)
            case _:
                return f"the connection broke: {text or type(error).__name__}"


_FAILURES = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
    OSError,
)


def _tls_reason(text: str) -> str:
    """OpenSSL's sentence without its brackets and source line."""
    return text.partition("] ")[2].partition(" (_ssl.c")[0] or text


def _protocol_reason(text: str) -> str:
    if "Receive buffer too long" in text or "max_incomplete_event_size" in text:
        return "its head has more than 100 KB"
    if "without sending a response" in text:
        return "closed the connection without an answer"
    if "peer closed connection" in text or "incomplete" in text:
        return f"was cut off: {text}"
    return f"does not speak HTTP as it should: {text}"


def _headers(raw: list[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name.decode("latin-1").lower()[:200], value.decode("latin-1")[:SHOWN_HEADER])
        for name, value in raw[:SHOWN_HEADERS]
    )


def _follow(built: httpx.Request, location: str | None) -> httpx.Request:
    if not location:
        raise TargetError(f"{without_user(str(built.url))} redirects without saying where to")
    url = built.url.join(location)
    headers = {name: built.headers[name] for name in ("accept", "user-agent", "accept-encoding")}
    if (url.scheme, url.host, url.port) == (built.url.scheme, built.url.host, built.url.port):
        headers |= {n: v for n, v in built.headers.items() if n == "authorization"}
    return httpx.Request("GET", url, headers=headers)


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
    """A client for a user's own tests: base URL, authorisation, TLS, and no proxy variables."""
    probe = build(Request("GET", "/"), environment, {})
    authorised = {n: v for n, v in probe.headers.items() if n not in ("host", "accept-encoding")}
    return httpx.Client(
        base_url=environment.base_url or "",
        headers=authorised,
        verify=tls_context(environment),
        trust_env=False,
    )
