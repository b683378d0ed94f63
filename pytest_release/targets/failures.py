"""What the exceptions of the HTTP library mean, in words: the one place that knows them."""

from __future__ import annotations

import ssl

from pytest_release.config.cases import Request
from pytest_release.targets._httpx import H2Error, httpx
from pytest_release.targets.wire import Phase, Wire

SHOWN = 300  # characters of a foreign message, which may quote what the server sent

FAILURES = (
    httpx.TimeoutException,
    httpx.NetworkError,
    httpx.ProtocolError,
    httpx.UnsupportedProtocol,
    H2Error,
    ValueError,  # a status of HTTP/2 that is no number
    OSError,
)


def reason(error: Exception, wire: Wire, request: Request) -> str:
    """Why an exchange failed, as the end of a sentence that names the request.

    Args:
        error: One of `FAILURES`.
        wire: How far the exchange came.
        request: Its bounds are named.
    """
    text = str(error)[:SHOWN]
    origin = _origin(error)
    match error:
        case httpx.TimeoutException() if wire.expired:
            return f"timed out after {request.timeout_s:g} s while {wire.phase}"
        case httpx.TimeoutException():
            return f"stalled for {request.stall_s:g} s while {wire.phase}"
        case httpx.ConnectError() if wire.phase is Phase.TLS:
            return f"TLS was refused: {_tls_reason(origin, text)}"
        case httpx.ConnectError():
            return f"cannot be reached: {_system_reason(origin, text)}"
        case httpx.NetworkError() | OSError():
            return f"was cut off while {wire.phase}: {_system_reason(origin, text)}"
        case httpx.RemoteProtocolError() | H2Error() | ValueError():
            return _protocol_reason(text, wire)
        case _ if wire.phase is Phase.WAITING:  # httpcore's word for what h2 cannot read
            return _protocol_reason(text, wire)
        case _:
            return f"cannot be sent: {text}"


def _origin(error: BaseException) -> object:
    """What the system or TLS said; httpcore wraps it and forgets the cause."""
    wrapped = error.__cause__ or error
    return wrapped.args[0] if wrapped.args else None


def _tls_reason(origin: object, text: str) -> str:
    match origin:
        case ssl.SSLCertVerificationError():
            return f"certificate verify failed: {origin.verify_message}"
        case ssl.SSLError() if origin.reason:
            return origin.reason.replace("_", " ").lower()
        case _:
            return _system_reason(origin, text)


def _system_reason(origin: object, text: str) -> str:
    return origin.strerror if isinstance(origin, OSError) and origin.strerror else text


def _protocol_reason(text: str, wire: Wire) -> str:
    if "Receive buffer too long" in text:
        return "sends a head, or a line between chunks, of more than 100 KB"
    if "without sending a response" in text:
        when = "in its answer's head" if wire.bytes_in else "without an answer"
        return f"closed the connection {when}"
    if any(sign in text for sign in _CUT_OFF):
        return f"was cut off: {text}"
    return f"does not speak HTTP as it should: {text}"


_CUT_OFF = ("peer closed connection", "Server disconnected", "StreamReset", "ConnectionTerminated")
