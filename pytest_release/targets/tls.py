"""TLS as a gate looks at it: handshakes, what the server shows in them, and versions it takes.

- A handshake has one deadline from the first byte to the last, and an end to what it reads.
- Old versions are offered by a ClientHello written here: the local OpenSSL may not know them.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from pytest_release.errors import TargetError

MOST = 512 * 1024  # bytes of a handshake; OpenSSL takes 100 KiB of certificates
PORTION = 16 * 1024
NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which the ssl module has no name for


class TlsRefusedError(TargetError):
    """The handshake ended without a connection.

    Args:
        message: What was said.
        verify_code: OpenSSL's, where it is the certificate that was refused; else 0.
    """

    def __init__(self, message: str, verify_code: int = 0) -> None:
        super().__init__(message)
        self.verify_code = verify_code


@dataclass(frozen=True)
class Place:
    """Where a server listens."""

    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Place:
        """The place that an https address names.

        Raises:
            TargetError: It names none.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or 443
        except ValueError:
            host = port = None
        if not host or not port or parts.scheme != "https":
            raise TargetError(f"{url} is no https address: there is no TLS to look at")
        return cls(host, port)

    @property
    def is_address(self) -> bool:
        """Whether its host is an IP address."""
        try:
            ip_address(self.host)
        except ValueError:
            return False
        return True

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True)
class Handshake:
    """A handshake that succeeded.

    Attributes:
        version: ``TLSv1.3``.
        shown: The server's certificates in PEM as it sent them, its own first.
        path: From its own to a trusted root, in PEM; only of a verifying handshake.
        ms: From the first byte sent to the last read.
    """

    version: str
    shown: tuple[str, ...]
    path: tuple[str, ...]
    ms: float


def looking() -> ssl.SSLContext:
    """A context for a handshake with whomever, however weak its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    return context


def offering(version: str) -> ssl.SSLContext:
    """The same for one version alone, ``TLSv1.2`` or ``TLSv1.3``."""
    context = looking()
    named = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}[version]
    context.minimum_version = context.maximum_version = named
    return context


def trusting(ca_file: str | None) -> ssl.SSLContext:
    """A context that asks for a path to a trusted root, and for nothing else.

    Dates, names and the strength of keys are looked at apart, so that each has its own finding.

    Args:
        ca_file: The roots; None for those that this machine trusts.

    Raises:
        TargetError: The file is not there or holds no certificate.
    """
    context = looking()
    try:
        if ca_file is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(cafile=ca_file)
    except OSError as error:
        reason = error.strerror or str(error)
        raise TargetError(f"the CA file {ca_file} cannot be used: {reason}") from None
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= NO_CHECK_TIME
    return context


def shake(place: Place, context: ssl.SSLContext, limit_s: float) -> Handshake:
    """One handshake on a connection of its own.

    Raises:
        TlsRefusedError: It came to none.
        TargetError: The server cannot be reached, or does not answer in time.
    """
    ends = time.monotonic() + limit_s
    with connected(place, ends) as connection:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname=place.host)
        began = time.monotonic()
        try:
            _exchange(tls, incoming, outgoing, connection, ends)
        except ssl.SSLCertVerificationError as error:
            raise TlsRefusedError(error.verify_message, error.verify_code) from None
        except ssl.SSLError as error:
            raise TlsRefusedError(_words(error)) from None
        except TimeoutError:
            raise TargetError(f"{place}: no TLS handshake within {limit_s:g} s") from None
        except OSError as error:
            raise TlsRefusedError((error.strerror or str(error)).lower()) from None
        ms = (time.monotonic() - began) * 1000
        return Handshake(
            tls.version() or "", _chain(tls, "unverified"), _chain(tls, "verified"), ms
        )


@contextmanager
def connected(place: Place, ends: float) -> Iterator[socket.socket]:
    """A TCP connection until the block is left.

    Args:
        place: Where to.
        ends: The deadline, by `time.monotonic`.

    Raises:
        TargetError: It cannot be reached.
    """
    try:
        connection = socket.create_connection((place.host, place.port), seconds_left(ends))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TargetError(f"{place} cannot be reached: {reason}") from None
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


def seconds_left(ends: float) -> float:
    """Seconds until a deadline.

    Raises:
        TimeoutError: There are none.
    """
    if (left := ends - time.monotonic()) <= 0:
        raise TimeoutError("the deadline has passed")
    return left


def _exchange(
    tls: ssl.SSLObject,
    incoming: ssl.MemoryBIO,
    outgoing: ssl.MemoryBIO,
    connection: socket.socket,
    ends: float,
) -> None:
    received = 0
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        else:
            return
        finally:  # an alert that says why, where it failed
            if records := outgoing.read():
                connection.settimeout(seconds_left(ends))
                connection.sendall(records)
        portion = _received(connection, ends)
        received += len(portion)
        if received > MOST:
            raise ConnectionError(f"its handshake has more than {MOST} bytes")
        if portion:
            incoming.write(portion)
        else:
            incoming.write_eof()


def _received(connection: socket.socket, ends: float, most: int = PORTION) -> bytes:
    connection.settimeout(seconds_left(ends))
    return connection.recv(most)


def _words(error: ssl.SSLError) -> str:
    """OpenSSL's reason, without the name of its source file."""
    if isinstance(error, ssl.SSLEOFError):
        return "the server closed the connection"
    return (error.reason or str(error)).replace("_", " ").lower()


def _chain(tls: ssl.SSLObject, which: str) -> tuple[str, ...]:
    """Public from Python 3.13 on; before, the same method of the object below."""
    method = f"get_{which}_chain"
    if hasattr(tls, method):
        shown: list[bytes] = getattr(tls, method)()
        return tuple(ssl.DER_cert_to_PEM_cert(each) for each in shown)
    below: Any = tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001 - see above
    return tuple(each.public_bytes() for each in getattr(below, method)() or ())
