"""Tests of `pytest_release.targets.network`: stamps lie between what a server did and saw.

Server and client share CLOCK_MONOTONIC, so that the order of moments can be asserted and no
duration has to be; the kernel's stamps come from another clock and are given `SANDWICH_NS`.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from pytest_release.targets import stamps
from pytest_release.targets._httpx import httpcore
from pytest_release.targets.busy import Heartbeat
from pytest_release.targets.clock import Clock
from pytest_release.targets.network import HELD_BACK, TimedBackend
from pytest_release.targets.stamps import SANDWICH_NS, Stamp
from pytest_release.targets.wire import Wire

PATIENCE = 5.0
KINDS = pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "read()"])
LAYERS = pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])


class Peer:
    """One end of a connection for the test, the other for the client; both blocking."""

    def __init__(self, stream: httpcore.NetworkStream, server: socket.socket, wire: Wire) -> None:
        self.stream = stream
        self.server = server
        self.wire = wire

    def read(self, size: int = 65536) -> tuple[bytes, Stamp]:
        """What the client reads next."""
        data = self.stream.read(size, PATIENCE)
        assert self.wire.last_read is not None
        return data, self.wire.last_read

    def send(self, data: bytes) -> tuple[int, int]:
        """Send as one segment; returns the moments before and behind that."""
        before = time.monotonic_ns()
        self.server.sendall(data)
        return before, time.monotonic_ns()

    def arrived(self, total: int) -> None:
        """Wait until the client's kernel has so many bytes since the beginning."""
        connected = self.stream.get_extra_info("socket")
        ends = time.monotonic() + PATIENCE
        while stamps.counters(connected)[0] < total and time.monotonic() < ends:
            pass


Dial = Callable[..., Peer]


@pytest.fixture
def dial(certified: Callable[..., ssl.SSLContext], trusted: str) -> Iterator[Dial]:
    """Connects a client's stream with a plain socket, or a TLS one."""
    opened = ExitStack()

    def dial(*, kernel: bool = True, tls: bool = False, tickets: int = 0) -> Peer:
        backend = TimedBackend(kernel=kernel)
        wire = Wire(Clock(kernel, 0.3), Heartbeat(), time.monotonic_ns() + 10**10)
        backend.serve(wire)
        accepted: list[socket.socket] = []
        listener = socket.create_server(("127.0.0.1", 0))

        def accept() -> None:
            connected, _ = listener.accept()
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls:
                settings = certified()
                settings.num_tickets = tickets
                connected = settings.wrap_socket(connected, server_side=True)
            accepted.append(connected)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        stream = backend.connect_tcp("127.0.0.1", listener.getsockname()[1], PATIENCE)
        if tls:
            context = ssl.create_default_context(cafile=trusted)
            stream = stream.start_tls(context, "127.0.0.1", PATIENCE)
        thread.join(PATIENCE)
        for one in (listener, stream, accepted[0]):
            opened.callback(one.close)
        return Peer(stream, accepted[0], wire)

    with opened:
        yield dial


@KINDS
@LAYERS
def test_bytes_arrive_between_their_sending_and_their_being_seen(
    dial: Dial, *, kernel: bool, tls: bool
) -> None:
    """A reader that waits gets each segment with a stamp of its own."""
    peer = dial(kernel=kernel, tls=tls)
    sent: list[int] = []

    def serve() -> None:
        for part in (b"one", b"two"):
            peer.server.recv(1)
            sent.append(time.monotonic_ns())
            peer.server.sendall(part)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    for number, part in enumerate((b"one", b"two")):
        peer.stream.write(b"?", PATIENCE)
        data, stamp = peer.read()

        assert data == part
        assert sent[number] - SANDWICH_NS <= stamp.at_ns <= stamp.seen_ns <= time.monotonic_ns()
        assert stamp.kernel is kernel
        assert stamp.exact is kernel
    thread.join(PATIENCE)


@LAYERS
def test_a_segment_that_lay_there_keeps_its_stamp(dial: Dial, *, tls: bool) -> None:
    """However late it is read: the kernel stamped it, and it is known to be one."""
    peer = dial(tls=tls)
    peer.wire.started_ns = 1
    connected = peer.stream.get_extra_info("socket")
    before = stamps.counters(connected)[0]
    began, _ = peer.send(b"one")
    peer.arrived(before + 1)
    came = time.monotonic_ns()
    peer.wire.sent_ns = came

    data, stamp = peer.read()

    assert data == b"one"
    assert began - SANDWICH_NS <= stamp.at_ns <= came + SANDWICH_NS
    assert (stamp.waited, stamp.exact) == (False, True)


def test_session_tickets_are_not_the_answer(dial: Dial) -> None:
    """TLS 1.3 sends them before it, in records that bring no plaintext."""
    peer = dial(tls=True, tickets=2)
    before = time.monotonic_ns()
    thread = threading.Thread(target=lambda: peer.server.recv(1) and peer.send(b"one"))
    thread.start()
    peer.stream.write(b"?", PATIENCE)

    data, stamp = peer.read()
    thread.join(PATIENCE)

    assert data == b"one"
    assert before < peer.wire.started_ns <= stamp.at_ns


def test_segments_that_are_read_together_are_merged(dial: Dial) -> None:
    """They have the last one's stamp; the first came no earlier than what was read before."""
    peer = dial()
    _, before = peer.send(b"0")
    _, earlier = peer.read()
    peer.send(b"one")
    second, _ = peer.send(b"two")
    peer.arrived(7)

    data, stamp = peer.read()

    assert (data, stamp.segments, stamp.exact, stamp.waited) == (b"onetwo", 2, False, False)
    assert stamp.at_ns >= second - SANDWICH_NS
    assert stamp.floor_ns == earlier.at_ns <= before + SANDWICH_NS


def test_what_did_not_fit_may_be_older_than_the_read_before(dial: Dial) -> None:
    """A read that was filled to the brim says nothing of the bytes behind it."""
    peer = dial()
    peer.send(b"0")
    _, first = peer.read()
    peer.send(b"12345678")
    peer.arrived(9)

    assert peer.read(4)[0] == b"1234"
    data, stamp = peer.read(65536)
    assert (data, stamp.waited) == (b"5678", False)
    assert peer.wire.sample(stamp).low == 0 or stamp.exact
    assert stamp.floor_ns in (first.at_ns, stamp.at_ns)


def test_a_read_that_ends_inside_a_segment_is_of_both(dial: Dial) -> None:
    """Its stamp is that of the segment it ended in; what is left has the same."""
    peer = dial()
    peer.send(b"1234")
    peer.send(b"5678")
    peer.arrived(8)

    (first, merged), (rest, stamp) = peer.read(6), peer.read()

    assert (first, merged.segments, merged.exact) == (b"123456", 2, False)
    assert (rest, stamp.segments) == (b"78", 1)
    assert 0 <= stamp.at_ns - merged.at_ns <= 2 * SANDWICH_NS


def test_bytes_without_a_stamp_are_counted_all_the_same(
    dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel begins to stamp some time after it was asked to."""
    peer = dial()
    receive = stamps.receive
    monkeypatch.setattr(stamps, "receive", lambda *call: (receive(*call)[0], None))
    peer.send(b"one")
    assert peer.read()[1].kernel is False
    monkeypatch.setattr(stamps, "receive", receive)
    peer.send(b"two")
    peer.send(b"three")
    peer.arrived(11)

    data, stamp = peer.read()
    assert (data, stamp.segments, stamp.exact) == (b"twothree", 2, False)


def test_a_segment_that_comes_behind_a_read_is_not_counted_to_it(
    dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel counts it before anybody asks; the bytes tell."""
    peer = dial()
    counters = stamps.counters

    def late(connected: socket.socket) -> tuple[int, int]:
        monkeypatch.setattr(stamps, "counters", counters)
        peer.send(b"second")
        peer.arrived(11)
        return counters(connected)

    peer.send(b"first")
    monkeypatch.setattr(stamps, "counters", late)

    assert [(data, stamp.segments) for data, stamp in (peer.read(), peer.read())] == [
        (b"first", 1),
        (b"second", 1),
    ]


def test_a_farewell_is_no_segment(dial: Dial) -> None:
    """The last bytes and the end of the stream: one segment, then none."""
    peer = dial()
    peer.send(b"last")
    peer.server.close()
    peer.arrived(5)

    data, stamp = peer.read()
    assert (data, stamp.segments, stamp.exact) == (b"last", 1, True)
    data, stamp = peer.read()
    assert (data, stamp.kernel) == (b"", False)


def test_a_kernel_that_does_not_count_makes_no_stamp_exact(
    dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Linux 4.6."""
    monkeypatch.setattr(stamps, "counters", lambda _: (0, 0))
    peer = dial()
    peer.send(b"one")

    _, stamp = peer.read()
    assert (stamp.kernel, stamp.segments, stamp.exact) == (True, 0, False)


def test_stamps_never_run_backwards(dial: Dial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the conversion between the clocks may be off by a little, either way."""
    peer = dial()
    peer.send(b"one")
    _, first = peer.read()
    monkeypatch.setattr(stamps, "to_monotonic", lambda _: first.at_ns - 10)
    peer.send(b"two")

    assert peer.read()[1].at_ns == first.at_ns


@LAYERS
def test_a_request_leaves_in_one_piece_and_the_kernel_says_when(dial: Dial, *, tls: bool) -> None:
    """Head and body are held back until somebody reads."""
    peer = dial(tls=tls)
    before = time.monotonic_ns()
    peer.stream.write(b"head", PATIENCE)
    peer.stream.write(b"body", PATIENCE)
    assert peer.wire.started_ns == 0
    peer.send(b"!")
    peer.read()

    assert peer.server.recv(100) == b"headbody"
    assert peer.wire.left_ns is not None
    assert before <= peer.wire.started_ns
    assert peer.wire.started_ns - SANDWICH_NS <= peer.wire.left_ns
    assert peer.wire.left_ns <= peer.wire.sent_ns + SANDWICH_NS


def test_much_is_not_held_back(dial: Dial) -> None:
    """A large body goes out while it is being made."""
    peer = dial()
    peer.stream.write(b"x" * (HELD_BACK + 1), PATIENCE)

    assert 0 < peer.wire.started_ns <= peer.wire.sent_ns
    assert len(peer.server.recv(HELD_BACK + 1, socket.MSG_WAITALL)) == HELD_BACK + 1


@KINDS
def test_a_peer_that_takes_nothing_is_a_time_out(dial: Dial, *, kernel: bool) -> None:
    """When both kernels' buffers are full."""
    peer = dial(kernel=kernel)

    with pytest.raises(httpcore.WriteTimeout, match="timed out"):
        peer.stream.write(b"x" * 100_000_000, 0.05)


@KINDS
@LAYERS
def test_silence_is_a_time_out(dial: Dial, *, kernel: bool, tls: bool) -> None:
    """The read's own, before the deadline."""
    peer = dial(kernel=kernel, tls=tls)

    with pytest.raises(httpcore.ReadTimeout, match="timed out"):
        peer.stream.read(1, 0.02)


def test_a_kernel_that_wakes_a_reader_early_is_asked_again(
    dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A virtual machine's ticks lag: whoever took that for the time-out would name a wrong one."""
    limit = stamps.limit_waiting
    monkeypatch.setattr(
        stamps, "limit_waiting", lambda at, option, seconds: limit(at, option, seconds / 4)
    )
    peer = dial()
    ends = time.monotonic() + 0.05

    with pytest.raises(httpcore.ReadTimeout, match="timed out"):
        peer.stream.read(1, 0.05)
    assert time.monotonic() >= ends


@KINDS
def test_a_deadline_that_passed_is_a_time_out_even_if_bytes_came(
    dial: Dial, *, kernel: bool
) -> None:
    """A byte now and then does not keep an exchange alive."""
    peer = dial(kernel=kernel)
    peer.send(b"one")
    peer.wire.deadline_ns = time.monotonic_ns()

    with pytest.raises(httpcore.ReadTimeout, match="the deadline has passed"):
        peer.read()


@KINDS
def test_a_reset_is_a_read_error(dial: Dial, *, kernel: bool) -> None:
    """With what the system said."""
    peer = dial(kernel=kernel)
    peer.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    peer.server.close()

    with pytest.raises(httpcore.ReadError, match="Connection reset by peer"):
        peer.read()


def test_a_tls_peer_that_leaves_without_a_farewell_ends_the_stream(dial: Dial) -> None:
    """Many do; HTTP's own framing tells whether something is missing."""
    peer = dial(tls=True)
    peer.send(b"one")
    peer.read()
    socket.socket(fileno=peer.server.detach()).close()

    assert peer.read()[0] == b""


def test_records_that_are_none_are_a_read_error(dial: Dial) -> None:
    """Somebody on the way, or a broken server."""
    peer = dial(tls=True)
    raw = socket.socket(fileno=peer.server.detach())
    with closing(raw):
        raw.sendall(b"this is no record of TLS")
        with pytest.raises(httpcore.ReadError, match=r"(?i)wrong version number"):
            peer.read()


def test_what_httpcore_asks_of_a_connection(dial: Dial) -> None:
    """Its addresses, whether an idle one was closed, and what ALPN chose."""
    plain, tls = dial(), dial(tls=True)

    assert plain.stream.get_extra_info("server_addr") == plain.server.getsockname()
    assert plain.stream.get_extra_info("client_addr") == plain.server.getpeername()
    assert plain.stream.get_extra_info("ssl_object") is None
    assert plain.stream.get_extra_info("is_readable") is False
    plain.stream.write(b"x", PATIENCE)
    plain.server.close()
    plain.arrived(1)
    assert plain.stream.get_extra_info("is_readable") is True
    assert tls.stream.get_extra_info("ssl_object").selected_alpn_protocol() is None
    assert tls.stream.get_extra_info("socket") is not None


Resolve = Callable[[list[str]], None]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Decides to which addresses any name resolves."""

    def resolve(addresses: list[str]) -> None:
        found: Any = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 0)) for a in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    return resolve


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were tried; all but two lead to 127.0.0.1."""
    addresses: list[str] = []

    def elsewhere(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        addresses.append(address[0])
        if address[0] == "127.0.0.2":
            raise ConnectionRefusedError(111, "Connection refused")
        if address[0] == "127.0.0.3":
            raise TimeoutError
        connected = socket.socket()
        connected.connect(("127.0.0.1", address[1]))
        return connected

    monkeypatch.setattr(socket, "create_connection", elsewhere)
    return addresses


def connect(port: int) -> Wire:
    """The wire of a connection to a name at a port, closed again."""
    wire = Wire(Clock(kernel=True, uncertainty_ms=0), Heartbeat(), time.monotonic_ns() + 5 * 10**9)
    backend = TimedBackend(kernel=True)
    backend.serve(wire)
    backend.connect_tcp("name.example", port, timeout=5).close()
    return wire


def test_addresses_are_tried_in_turn(resolve: Resolve, tried: list[str]) -> None:
    """One that refuses and one that is silent do not keep the client from the third."""
    resolve(["127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.4"])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = connect(listener.getsockname()[1])

    assert tried == ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
    assert wire.dns_ms is not None
    assert wire.connect_ms is not None


def test_the_last_failure_is_the_one_reported(resolve: Resolve, tried: list[str]) -> None:
    """When no address can be reached."""
    resolve(["127.0.0.3", "127.0.0.2"])

    with pytest.raises(httpcore.ConnectError, match="Connection refused"):
        connect(1)
    assert len(tried) == 2


def test_a_name_without_addresses(resolve: Resolve, tried: list[str]) -> None:
    """A resolver that finds nothing without an error is no crash."""
    resolve([])

    with pytest.raises(httpcore.ConnectError, match="the name has no address"):
        connect(1)
    assert tried == []
