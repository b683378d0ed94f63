"""Tests of `pytest_release.targets.tls` and `hello`, with good and with hostile servers."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from pytest_release.errors import TargetError
from pytest_release.targets.hello import VERSIONS, Reply, client_hello, offer
from pytest_release.targets.tls import (
    MOST,
    Place,
    TlsRefusedError,
    looking,
    offering,
    shake,
    trusting,
)

PATIENCE = 5.0
SOON = 0.2  # seconds that a server which says nothing gets
ALERT_70 = bytes.fromhex("15030100020246")
WARNING = bytes.fromhex("15030100020170")
Talk = Callable[[socket.socket], None]
Serve = Callable[[Talk], Place]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that does this with each connection, and then closes it."""
    listeners: list[socket.socket] = []

    def start(talk: Talk) -> Place:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=_accept, args=(listener, talk), daemon=True).start()
        return Place("localhost", listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.close()


def _accept(listener: socket.socket, talk: Talk) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.settimeout(PATIENCE)
                talk(connection)


def says(*portions: bytes) -> Talk:
    """Reads the first portion, then sends these."""

    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        for portion in portions:
            connection.sendall(portion)

    return talk


def waits(connection: socket.socket) -> None:
    """Says nothing until the other side gives up."""
    while connection.recv(4096):
        pass


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Signs the server's certificate."""
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    """Its own certificate."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return str(tmp_path / "ca.pem")


def tls(authority: trustme.CA, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Talk:
    """A server that speaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_2, newest
    authority.issue_cert("localhost").configure_cert(context)

    def talk(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1)

    return talk


@pytest.mark.parametrize(
    "url", ["http://x.example", "https://", "https://x:99999", "x.example", "https://[::1"]
)
def test_a_place_is_an_https_address(url: str) -> None:
    """Nothing else has TLS to look at; the message says which address it was."""
    with pytest.raises(TargetError, match="is no https address: there is no TLS to look at"):
        Place.of(url)


def test_a_place_has_host_and_port() -> None:
    """443 where the address does not say; an IPv6 address has brackets."""
    assert Place.of("https://x.example/y") == Place("x.example", 443)
    assert str(Place.of("https://[::1]:8443")) == "[::1]:8443"
    assert Place("::1", 1).is_address
    assert not Place("x.example", 1).is_address


def test_a_handshake_shows_version_and_certificates(
    serve: Serve, authority: trustme.CA, ca_file: str
) -> None:
    """As sent, and as the path to the root."""
    handshake = shake(serve(tls(authority)), trusting(ca_file), PATIENCE)

    assert handshake.version == "TLSv1.3"
    assert (len(handshake.shown), len(handshake.path)) == (1, 2)
    assert handshake.path[1].strip() == Path(ca_file).read_text().strip()
    assert handshake.ms > 0


def test_a_stranger_is_refused_with_openssl_s_code(serve: Serve, authority: trustme.CA) -> None:
    """Looking is possible all the same."""
    place = serve(tls(authority))

    with pytest.raises(TlsRefusedError, match="unable to get local issuer certificate") as caught:
        shake(place, trusting(None), PATIENCE)
    assert caught.value.verify_code == 20
    assert shake(place, looking(), PATIENCE).shown


def test_one_version_alone(serve: Serve, authority: trustme.CA) -> None:
    """The one that the server lacks is refused, by the alert that it sends."""
    place = serve(tls(authority, ssl.TLSVersion.TLSv1_2))

    assert shake(place, offering("TLSv1.2"), PATIENCE).version == "TLSv1.2"
    with pytest.raises(TlsRefusedError, match="alert protocol version"):
        shake(place, offering("TLSv1.3"), PATIENCE)


def test_a_ca_file_that_is_not_there(tmp_path: Path) -> None:
    """The message names it; so with one that holds no certificate."""
    with pytest.raises(TargetError, match=r"the CA file .*no\.pem cannot be used: No such file"):
        trusting(str(tmp_path / "no.pem"))
    (tmp_path / "no.pem").write_text("no certificate")
    with pytest.raises(TargetError, match=r"the CA file .*no\.pem cannot be used"):
        trusting(str(tmp_path / "no.pem"))


def test_who_cannot_be_reached() -> None:
    """Nobody listens, or the name is none."""
    with pytest.raises(TargetError, match=r"127\.0\.0\.1:9 cannot be reached: Connection refused"):
        shake(Place("127.0.0.1", 9), looking(), PATIENCE)
    with pytest.raises(TargetError, match="cannot be reached"):
        offer(Place("a" * 70 + ".example", 443), "TLSv1", PATIENCE)


def drips(connection: socket.socket) -> None:
    """One byte of a handshake after the other, without end."""
    connection.recv(4096)
    connection.sendall(b"\x16\x03\x03\x40\x00")
    while True:
        connection.sendall(b"\x02")
        time.sleep(0.01)


def floods(connection: socket.socket) -> None:
    """Handshake messages that no client asks for, without end."""
    connection.recv(4096)
    record = b"\x16\x03\x03\x40\x00" + b"\x00" * 0x4000
    while True:
        connection.sendall(record)


@pytest.mark.parametrize("talk", [waits, drips])
def test_a_handshake_has_one_deadline(serve: Serve, talk: Talk) -> None:
    """However slowly bytes trickle in."""
    began = time.monotonic()

    with pytest.raises(TargetError, match=r"localhost:\d+: no TLS handshake within 0\.2 s"):
        shake(serve(talk), looking(), SOON)
    assert time.monotonic() - began < PATIENCE


@pytest.mark.parametrize("talk", [floods, says(b"HTTP/1.1 400 Bad\r\n\r\n"), says()])
def test_what_is_no_handshake_is_refused(serve: Serve, talk: Talk) -> None:
    """A flood, another protocol, or nothing."""
    with pytest.raises(TlsRefusedError, match=r"\S"):
        shake(serve(talk), looking(), PATIENCE)


def test_a_handshake_is_read_up_to_a_limit(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL has limits of its own, so ours is made smaller here."""
    monkeypatch.setattr("pytest_release.targets.tls.MOST", 100)

    with pytest.raises(TlsRefusedError, match="its handshake has more than 100 bytes"):
        shake(serve(says(b"\x16\x03\x03\x40\x00" + b"\x02" * 200)), looking(), PATIENCE)
    assert MOST == 512 * 1024


def server_hello(minor: int) -> bytes:
    """The beginning of one."""
    return bytes((22, 3, minor)) + b"\x00\x40\x02\x00\x00\x3c" + bytes((3, minor)) + b"\x00" * 60


@pytest.mark.parametrize(
    ("portions", "reply"),
    [
        ((server_hello(1),), Reply(True, "ServerHello of that version")),
        (
            (server_hello(3),),
            Reply(None, "ServerHello of TLSv1.2, which was not offered"),
        ),
        ((ALERT_70,), Reply(False, "alert protocol_version")),
        ((WARNING, ALERT_70[:3], ALERT_70[3:]), Reply(False, "alert protocol_version")),
        ((WARNING * 4,), Reply(None, "4 warnings and no answer")),
        ((), Reply(False, "the server closed the connection")),
        ((b"\x16\x03",), Reply(None, "what came is no TLS: \\x16\\x03")),
        ((b"HTTP/1.1 400",), Reply(None, "what came is no TLS: HTTP/")),
        ((b"\x16\x03\x01\x00\x02\x0b\x00",), Reply(None, "what came is no TLS: \\x0b\\x00")),
    ],
)
def test_what_a_server_makes_of_an_offer(
    serve: Serve, portions: tuple[bytes, ...], reply: Reply
) -> None:
    """Only what was seen to be a refusal is one."""
    assert offer(serve(says(*portions)), "TLSv1", PATIENCE) == reply


def test_silence_is_no_refusal(serve: Serve) -> None:
    """It could not be seen."""
    assert offer(serve(waits), "TLSv1", SOON) == Reply(None, "no answer within 0.2 s")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_local_openssl_understands_the_offer(
    serve: Serve, authority: trustme.CA, version: str
) -> None:
    """It takes the one that it knows, and answers the old ones with an alert."""
    reply = offer(serve(tls(authority)), version, PATIENCE)

    assert reply.accepted is (version == "TLSv1.2")
    assert reply.how.startswith("alert ") or reply.accepted


def test_an_offer_names_the_host_but_no_address() -> None:
    """SSL 3.0 has no extensions at all."""
    assert b"x.example" in client_hello((3, 1), "x.example")
    assert b"\x00\x0a\x00\x0a" in client_hello((3, 2), "")
    assert client_hello((3, 0), "x.example").endswith(b"\x00\xff\x01\x00")
