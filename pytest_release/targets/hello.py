"""An offer of one old version of TLS, and what the server makes of it.

The ClientHello is written by hand (RFC 5246, 7.4.1.2; RFC 6101 for SSL 3.0), with every cipher
suite that such clients had: an offer that the local OpenSSL might not be able to make. The server's
first word decides; no key is ever agreed upon.
"""

from __future__ import annotations

import secrets
import socket
import struct
import time
from dataclasses import dataclass

from pytest_release.hostile import one_line
from pytest_release.targets.tls import Place, connected, seconds_left

VERSIONS = {"SSLv3": (3, 0), "TLSv1": (3, 1), "TLSv1.1": (3, 2), "TLSv1.2": (3, 3)}
NAMES = {version: name for name, version in VERSIONS.items()}
ALERTS = {
    10: "unexpected_message",
    40: "handshake_failure",
    47: "illegal_parameter",
    50: "decode_error",
    70: "protocol_version",
    71: "insufficient_security",
    80: "internal_error",
    86: "inappropriate_fallback",
    112: "unrecognized_name",
}
# ECDHE, DHE and RSA, with AES in CBC and GCM mode, 3DES and RC4; the last says that
# renegotiation is safe (RFC 5746)
SUITES = bytes.fromhex(
    "c02bc02fc02cc030cca9cca8c009c013c00ac014c023c027c008c012c007c011"
    "009e009f00330039006700160015009c009d002f0035003c003d000a0005000400ff"
)
GROUPS = bytes.fromhex("001d001700180019")  # x25519, secp256r1, secp384r1, secp521r1
SIGNATURES = bytes.fromhex("040308040401050308050501080606010203020102020806")
ALERT, HANDSHAKE, FATAL, SERVER_HELLO = 21, 22, 2, 2
RECORDS = 4  # warnings may come before the answer
LONGEST = 16 * 1024 + 2048  # bytes of a record


@dataclass(frozen=True)
class Reply:
    """What a server made of an offer.

    Attributes:
        accepted: None where that could not be seen.
        how: In a few words.
    """

    accepted: bool | None
    how: str


def offer(place: Place, version: str, limit_s: float) -> Reply:
    """Offer one version alone.

    Args:
        place: Where.
        version: Of `VERSIONS`.
        limit_s: For everything.

    Raises:
        TargetError: The server cannot be reached.
    """
    ends = time.monotonic() + limit_s
    name = "" if place.is_address else place.host
    with connected(place, ends) as connection:
        try:
            connection.settimeout(seconds_left(ends))
            connection.sendall(client_hello(VERSIONS[version], name))
            return _reply(connection, VERSIONS[version], ends)
        except TimeoutError:
            return Reply(None, f"no answer within {limit_s:g} s")
        except OSError as error:
            return Reply(False, (error.strerror or str(error)).lower())


def client_hello(version: tuple[int, int], name: str) -> bytes:
    """The bytes of an offer, in one record.

    Args:
        version: As it goes over the wire.
        name: Of the server; empty for an address, which is not named (RFC 6066, 3).
    """
    extensions = b""
    if version != VERSIONS["SSLv3"]:
        if name:
            host = name.encode("idna")
            extensions += _extension(0, _sized(b"\x00" + _sized(host)))
        extensions += _extension(10, _sized(GROUPS)) + _extension(11, b"\x01\x00")
        if version >= VERSIONS["TLSv1.2"]:
            extensions += _extension(13, _sized(SIGNATURES))
    body = bytes(version) + secrets.token_bytes(32) + b"\x00" + _sized(SUITES) + b"\x01\x00"
    body += _sized(extensions) if extensions else b""
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return bytes((HANDSHAKE, 3, min(version[1], 1))) + _sized(message)


def _sized(content: bytes) -> bytes:
    return struct.pack("!H", len(content)) + content


def _extension(number: int, content: bytes) -> bytes:
    return struct.pack("!H", number) + _sized(content)


def _reply(connection: socket.socket, version: tuple[int, int], ends: float) -> Reply:
    for _ in range(RECORDS):
        head = _exactly(connection, 5, ends)
        if len(head) < 5:
            return Reply(False, "the server closed the connection") if not head else _foreign(head)
        kind, length = head[0], int.from_bytes(head[3:], "big")
        if head[1] != 3 or kind not in (ALERT, HANDSHAKE) or not 2 <= length <= LONGEST:
            return _foreign(head)
        content = _exactly(connection, min(length, 6), ends)
        if kind == HANDSHAKE:
            return _hello(content, version)
        if len(content) == 2 and content[0] == FATAL:
            return Reply(False, f"alert {ALERTS.get(content[1], content[1])}")
    return Reply(None, f"{RECORDS} warnings and no answer")


def _hello(content: bytes, version: tuple[int, int]) -> Reply:
    if len(content) < 6 or content[0] != SERVER_HELLO:
        return _foreign(content)
    chosen = (content[4], content[5])
    if chosen == version:
        return Reply(True, "ServerHello of that version")
    return Reply(None, f"ServerHello of {NAMES.get(chosen, chosen)}, which was not offered")


def _foreign(content: bytes) -> Reply:
    return Reply(None, f"what came is no TLS: {one_line(content.decode('latin-1'))}")


def _exactly(connection: socket.socket, size: int, ends: float) -> bytes:
    """So many bytes, or fewer where the connection ends."""
    content = b""
    while len(content) < size:
        connection.settimeout(seconds_left(ends))
        if not (portion := connection.recv(size - len(content))):
            break
        content += portion
    return content
