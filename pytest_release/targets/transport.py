"""An httpx transport that knows when things happened: the one way in which this package sends.

`TimedTransport` works in any `httpx.Client`; each response then carries its times as
``response.extensions["wire"]``, a `Wire`.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack

from pytest_release.targets._httpx import httpcore, httpx
from pytest_release.targets.busy import Heartbeat
from pytest_release.targets.clock import Clock
from pytest_release.targets.network import TimedBackend
from pytest_release.targets.wire import Wire

FAILURES = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.UnsupportedProtocol,
)


class TimedTransport(httpx.BaseTransport):
    """HTTP/1.1, and HTTP/2 where asked for, over connections that are kept and used again.

    A request may bring a wire of its own, with a deadline, as ``extensions["wire"]``.

    Args:
        tls: For https.
        clock: Of this process.
        http2: Offer HTTP/2 in the TLS handshake.
        heartbeat: Shared with other transports of the process; one of its own without.
    """

    def __init__(
        self,
        tls: ssl.SSLContext,
        clock: Clock,
        *,
        http2: bool = False,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self._clock = clock
        self._heartbeat = heartbeat or Heartbeat()
        self._backend = TimedBackend(kernel=self._clock.kernel)
        self._pool = httpcore.ConnectionPool(
            ssl_context=tls, http2=http2, network_backend=self._backend
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; returns with the head of the final answer.

        Raises:
            httpx.TransportError: There was none.
        """
        wire = request.extensions.get("wire") or Wire(self._clock, self._heartbeat)
        with ExitStack() as open_until_read:
            open_until_read.enter_context(self._heartbeat)
            self._backend.serve(wire)
            try:
                answer = self._pool.handle_request(_for_httpcore(request))
            except FAILURES as error:
                raise _as_httpx(error, request) from error
            version = answer.extensions["http_version"].decode("latin-1")
            wire.answered(version)
            body = _Body(answer, self._backend, wire, request, open_until_read.pop_all())
        extensions = {**answer.extensions, "wire": wire}
        return httpx.Response(
            answer.status, headers=answer.headers, stream=body, extensions=extensions
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()


def _for_httpcore(request: httpx.Request) -> httpcore.Request:
    url = httpcore.URL(
        scheme=request.url.raw_scheme,
        host=request.url.raw_host,
        port=request.url.port,
        target=request.url.raw_path,
    )
    return httpcore.Request(
        request.method,
        url,
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


class _Body(httpx.SyncByteStream):
    """The rest of an answer; ends the heartbeat when it is closed."""

    def __init__(
        self,
        answer: httpcore.Response,
        backend: TimedBackend,
        wire: Wire,
        request: httpx.Request,
        held: ExitStack,
    ) -> None:
        self._answer = answer
        self._backend = backend
        self._wire = wire
        self._request = request
        self._held = held

    def __iter__(self) -> Iterator[bytes]:
        parts = self._answer.iter_stream()
        while True:
            self._backend.serve(self._wire)
            try:
                part = next(parts, None)
            except FAILURES as error:
                raise _as_httpx(error, self._request) from error
            if part is None:
                return
            yield part

    def close(self) -> None:
        with self._held:
            self._backend.serve(self._wire)
            self._answer.close()


def _as_httpx(error: Exception, request: httpx.Request) -> Exception:
    """httpx's exception of the same name, as httpx's own transport raises it."""
    known: type[httpx.TransportError] = getattr(httpx, type(error).__name__)
    return known(str(error), request=request)
