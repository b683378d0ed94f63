"""The sandbox as a client sees it: over plain sockets, through its whole life."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import zlib
from collections import ChainMap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_release.sandbox.endpoint import V1, V2
from pytest_release.sandbox.endpoints import ANALYSES, BASIC, ENDPOINTS, SMART
from pytest_release.sandbox.faults import FAULTS, GAP, LATE, SLOW
from pytest_release.sandbox.rooms import rooms
from pytest_release.sandbox.server import HOST, Sandbox

STREAM_SECONDS = 0.1
PATIENCE = 20.0  # seconds for what must happen
ENOUGH = 1024 * 1024  # bytes of what never ends
BIRTH = json.dumps({"solar_date": "1990-01-15", "solar_time": "12:00", "gender": "male"}).encode()
FORM = (
    b'--frontier\r\nContent-Disposition: form-data; name="image"; filename="pixel.png"\r\n'
    b"Content-Type: image/png\r\n\r\n\x89PNG\r\n\x1a\n\r\n--frontier--\r\n"
)


@dataclass(frozen=True)
class Seen:
    """One exchange: every byte of the answer, whether the server closed, and when bytes came.

    Attributes:
        arrivals: Seconds since the request was sent, a figure a read.
    """

    wire: bytes
    closed: bool
    arrivals: tuple[float, ...]

    @property
    def head(self) -> str:
        """Status line and headers, in lower case."""
        return self.wire.partition(b"\r\n\r\n")[0].decode("latin-1").lower()

    @property
    def body(self) -> bytes:
        """The body, without the sizes of its chunks."""
        body = self.wire.partition(b"\r\n\r\n")[2]
        if "transfer-encoding: chunked" in self.head:
            return re.sub(rb"(?:\A|\r\n)[0-9a-f]+\r\n(?:\r\n\Z)?", b"", body)
        return body

    @property
    def whole(self) -> bool:
        """Whether the body came to its proper end."""
        return self.wire.endswith(b"\r\n0\r\n\r\n") or "content-length" in self.head

    @property
    def events(self) -> list[bytes]:
        """Blocks of a stream; the last is empty when no event was cut."""
        return self.body.split(b"\n\n")

    @property
    def types(self) -> list[str]:
        """The type of each event, from the JSON."""
        return re.findall(r'"type": "(\w+)"', self.body.decode(errors="replace"))


def ask(base_url: str, path: str, patience: float = PATIENCE) -> Seen:
    """Call an endpoint as its table row wants it; read until it closes, or enough is read."""
    with connected(base_url, path, patience) as connection:
        start = time.monotonic()
        wire, arrivals, closed = bytearray(), [], False
        while not closed and len(wire) < ENOUGH and time.monotonic() < start + patience:
            try:
                data = connection.recv(65536)
            except TimeoutError:
                break
            except ConnectionResetError:
                data = b""
            arrivals.append(time.monotonic() - start)
            wire += data
            closed = not data
    return Seen(bytes(wire), closed, tuple(arrivals))


def connected(base_url: str, path: str, patience: float = PATIENCE) -> socket.socket:
    """A connection over which a request has gone out."""
    method = next(e.method for e in ENDPOINTS if e.path == path.partition("?")[0])
    kind, body = ("application/json", BIRTH) if method == "POST" else ("", b"")
    if path.startswith(V2):
        kind, body = "multipart/form-data; boundary=frontier", FORM
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\n"
    host, port = base_url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=patience)
    connection.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
    return connection


@pytest.fixture(scope="module")
def good() -> Iterator[Sandbox]:
    """A sandbox without faults."""
    with Sandbox(stream_seconds=STREAM_SECONDS) as sandbox:
        yield sandbox


@pytest.mark.parametrize("path", [V1 + path for path in BASIC] + [f"{V1}/homepage/contents"])
def test_basic_endpoints_succeed(good: Sandbox, path: str) -> None:
    """Status 200, JSON, success: true."""
    seen = ask(good.base_url, path)

    assert seen.head.startswith("http/1.1 200 ok\r\n")
    assert "\r\ncontent-type: application/json\r\n" in seen.head
    assert json.loads(seen.body)["success"] is True


@pytest.mark.parametrize(
    "path", [V1 + path for path in ANALYSES] + [f"{V2}/desk-fengshui/analyze/stream"]
)
def test_analyses_stream_from_request_id_to_complete(good: Sandbox, path: str) -> None:
    """The type is in the JSON; the quick part comes before the text; then the stream closes."""
    seen = ask(good.base_url, path)

    assert "\r\ncontent-type: text/event-stream" in seen.head
    assert seen.types == ["request_id", "data", *["progress"] * 6, "complete"]
    assert seen.events[-1] == b""
    assert (seen.whole, seen.closed) == (True, True)


@pytest.mark.parametrize("query", ["category=wealth", "question=when"])
def test_smart_analysis_names_its_types_in_the_event_line(good: Sandbox, query: str) -> None:
    """Status, stream, done, end, each in its `event:` line."""
    seen = ask(good.base_url, f"{SMART}?{query}")

    assert re.findall(rb"^event: (\w+)$", seen.body, re.MULTILINE) == [
        b"status",
        *[b"stream"] * 6,
        b"done",
        b"end",
    ]


def test_an_image_without_a_face_is_an_error_event(good: Sandbox) -> None:
    """The face analysis says so and ends."""
    seen = ask(good.base_url, f"{V2}/face/analyze/stream")

    assert seen.types == ["request_id", "error"]
    assert "未检测到人脸" in seen.body.decode()


def test_a_stream_takes_its_time(good: Sandbox) -> None:
    """The last event comes when the time that was asked for is over."""
    seen = ask(good.base_url, f"{V1}/career-wealth/stream")

    assert seen.arrivals[-1] >= STREAM_SECONDS


def test_every_worker_serves(good: Sandbox) -> None:
    """New connections reach all workers, and each names itself."""
    wanted = {str(pid) for pid in good.pids}
    seen: set[str] = set()
    deadline = time.monotonic() + PATIENCE
    while seen != wanted and time.monotonic() < deadline:
        seen |= set(re.findall(r"x-worker: (\d+)", ask(good.base_url, f"{V1}/health").head))

    assert seen == wanted
    assert len(wanted) == 2


# what each fault looks like from outside
SIGNS: dict[str, Callable[[Seen], bool]] = {
    "basic.server-error": lambda s: s.head.startswith("http/1.1 500"),
    "basic.wrong-status": lambda s: s.head.startswith("http/1.1 202"),
    "basic.success-false": lambda s: json.loads(s.body)["success"] is False,
    "basic.missing-key": lambda s: "data" not in json.loads(s.body),
    "basic.wrong-value": lambda s: json.loads(s.body)["status"] == "degraded",
    "basic.wrong-type": lambda s: isinstance(json.loads(s.body)["data"], str),
    "basic.not-json": lambda s: s.body.startswith(b"<!doctype html>"),
    "basic.wrong-content-type": lambda s: "content-type: text/html" in s.head,
    "basic.missing-header": lambda s: "content-type" not in s.head,
    "basic.empty-body": lambda s: s.body == b"" and "content-length: 0" in s.head,
    "basic.slow": lambda s: s.arrivals[0] >= SLOW,
    "basic.redirect-loop": lambda s: "\r\nlocation: ?" in s.head,
    "basic.huge-header": lambda s: len(s.wire) >= ENOUGH and b"\r\n\r\n" not in s.wire,
    "basic.endless-body": lambda s: len(s.wire) >= ENOUGH and not s.closed,
    "basic.gzip-bomb": lambda s: inflated(s.body) > 16 * len(s.wire) and not s.closed,
    "basic.invalid-gzip": lambda s: "content-encoding: gzip" in s.head and s.body.startswith(b"{"),
    "basic.invalid-utf8": lambda s: b"\xff" in s.body and s.body.startswith(b"{"),
    "basic.invalid-chunking": lambda s: b"\r\n\r\nzz\r\n" in s.wire and s.closed,
    "basic.hang-up": lambda s: s.wire == b"" and s.closed,
    "basic.trickle": lambda s: 0 < len(s.wire) <= s.arrivals[-1],
    "basic.hostile-body": lambda s: (
        "<script>" in json.loads(s.body)["message"] and b"\\u001b" in s.body
    ),
    "stream.no-terminal-event": lambda s: s.types[-1] == "progress" and s.whole,
    "stream.stall": lambda s: s.types == ["request_id", "data"] + ["progress"] * 2,
    "stream.cut-in-event": lambda s: s.events[-1].startswith(b"data: ") and s.whole,
    "stream.cut-connection": lambda s: s.closed and not s.whole,
    "stream.no-events": lambda s: s.body == b"" and s.whole,
    "stream.buffered": lambda s: len(s.types) == 9 and len(s.arrivals) <= 4,
    "stream.after-terminal": lambda s: s.types[-2:] == ["complete", "progress"],
    "stream.never-closes": lambda s: s.types[-1] == "complete" and not s.closed,
    "stream.error-event": lambda s: {"error", "complete"} <= set(s.types),
    "stream.hostile-event": lambda s: (
        "error" in s.types and b"<script>" in s.body and b"\\u001b" in s.body
    ),
    "stream.late-first-byte": lambda s: s.arrivals[0] >= LATE,
    "stream.late-first-event": lambda s: (
        s.events[0] == b": keepalive" and s.arrivals[-1] >= LATE + STREAM_SECONDS
    ),
    "stream.gap": lambda s: s.arrivals[-1] >= GAP,
    "stream.wrong-order": lambda s: s.types[:2] == ["data", "request_id"],
    "stream.too-few-events": lambda s: s.types == ["request_id", "complete"],
    "stream.too-many-events": lambda s: len(s.types) == 2009,
    "stream.bad-json": lambda s: s.events[4] == b'data: {"content": ',
    "stream.wrong-schema": lambda s: b'"content": 42}' in s.events[4],
    "stream.unknown-type": lambda s: "mystery" in s.types,
    "stream.wrong-content-type": lambda s: "content-type: application/json" in s.head,
    "stream.status-503": lambda s: s.head.startswith("http/1.1 503"),
    "stream.invalid-utf8": lambda s: b"\xff" in s.events[4],
    "stream.long-line": lambda s: len(s.body) >= ENOUGH and b"\n" not in s.body[-ENOUGH // 2 :],
    "stream.endless": lambda s: len(s.wire) >= ENOUGH and "complete" not in s.types,
    "stream.gzip-without-asking": lambda s: (
        "content-encoding: gzip" in s.head and inflated(s.body) > len(s.body)
    ),
    "release.wrong-version": lambda s: json.loads(s.body)["version"] == "0.9.9",
}

# seconds to listen to what would keep the client waiting for ever
BRIEFLY = dict.fromkeys(("basic.trickle", "stream.stall", "stream.never-closes"), 1.5)


def inflated(packed: bytes) -> int:
    """How many bytes a gzip body, complete or not, decompresses to."""
    return len(zlib.decompressobj(31).decompress(packed, 32 * ENOUGH))


@pytest.fixture(scope="module")
def spoilt() -> dict[str, Seen]:
    """Every fault of `SIGNS` seen once: each on an endpoint of its own, on as few sandboxes."""
    free = {
        "basic": [V1 + path for path in BASIC],
        "stream": [V1 + path for path in ANALYSES],
        "health": [f"{V1}/health"],
    }
    batches: list[dict[str, str]] = []
    for name in SIGNS:
        fault = FAULTS[name]
        paths = free[fault.group or fault.gate]
        place = next((b for b in batches if set(paths) - set(b.values())), None)
        if place is None:
            batches.append(place := {})
        place[name] = next(path for path in paths if path not in place.values())
    with ThreadPoolExecutor(2) as pool:
        return dict(ChainMap(*pool.map(observe, batches)))


def observe(batch: dict[str, str]) -> dict[str, Seen]:
    """Start a sandbox with these faults (name -> path) and call all of them at once."""
    faults = [f"{name}@{path}" for name, path in batch.items()]
    with (
        Sandbox(faults=faults, stream_seconds=STREAM_SECONDS) as sandbox,
        ThreadPoolExecutor(len(batch)) as pool,
    ):
        calls = {
            name: pool.submit(ask, sandbox.base_url, path, BRIEFLY.get(name, PATIENCE))
            for name, path in batch.items()
        }
        return {name: call.result() for name, call in calls.items()}


@pytest.mark.parametrize("name", SIGNS)
def test_a_fault_shows(spoilt: dict[str, Seen], name: str) -> None:
    """A client sees over the socket what the fault's description says."""
    assert SIGNS[name](spoilt[name]), spoilt[name]


@pytest.mark.parametrize(
    ("name", "path", "sign", "expected"),
    [
        ("basic.flaky", BASIC[0], r"^http/1.1 (\d+)", ["503", "200", "503", "200"]),
        (
            "release.build-changes",
            "/health",
            '"build_git_hash": "(d3|00)',
            ["d3", "00", "00", "00"],
        ),
    ],
)
def test_a_fault_that_counts_does_so_across_workers(
    name: str, path: str, sign: str, expected: list[str]
) -> None:
    """Whichever worker answers, the n-th request is the n-th."""
    with Sandbox(faults=[name]) as sandbox:
        answers = [ask(sandbox.base_url, V1 + path).wire.decode().lower() for _ in expected]

    assert [re.findall(sign, answer)[0] for answer in answers] == expected


def test_every_fault_is_shown_here() -> None:
    """Nobody adds a fault without a test that a client can see it; counts need a database.

    The faults of rooms are shown by the gates that catch them: test_faults.py.
    """
    rooms_own = {fault.name for room in rooms() for fault in room.faults}
    answers = {n for n, f in FAULTS.items() if f.group != "counts" and n not in rooms_own}
    assert set(SIGNS) | {"basic.flaky", "release.build-changes"} == answers


def gone(pids: list[int]) -> bool:
    """Whether all processes have ended, by a deadline; one that nobody waited for has ended too."""
    deadline = time.monotonic() + PATIENCE
    while any(alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_end_of_the_block_is_the_end_of_the_sandbox() -> None:
    """After an exception, in the middle of a stream, there is no worker and no listener left."""
    seen: list[int] = []

    def interrupted() -> None:
        with Sandbox(faults=["stream.endless"]) as sandbox:
            seen.extend([int(sandbox.base_url.rpartition(":")[2]), *sandbox.pids])
            with connected(sandbox.base_url, f"{V1}/career-wealth/stream") as stream:
                stream.recv(1)
                raise RuntimeError("a case failed")

    with pytest.raises(RuntimeError, match="a case failed"):
        interrupted()
    port, *pids = seen

    assert gone(pids)
    with pytest.raises(ConnectionRefusedError, match="refused"):
        socket.create_connection((HOST, port))


CONTROLLER = """
import threading
from pytest_release.sandbox.server import Sandbox
with Sandbox() as sandbox:
    print(*sandbox.pids, flush=True)
    threading.Event().wait()
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_workers_do_not_survive_their_controller(how: signal.Signals, tmp_path: Path) -> None:
    """However the controlling process ends, its workers end, and leave no file behind."""
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", CONTROLLER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as controller:
        assert controller.stdout is not None
        pids = [int(pid) for pid in controller.stdout.readline().split()]
        controller.send_signal(how)

    assert len(pids) == 2
    assert gone(pids)
    assert list(tmp_path.iterdir()) == []


def test_up_prints_what_to_try_until_interrupted() -> None:
    """The address comes first, then commands that work; Ctrl-C is no error."""
    code = "from pytest_release.sandbox.commands import up; up(faults=['basic.slow'])"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as controller:
        assert controller.stdout is not None
        base_url = controller.stdout.readline().strip()
        health = ask(base_url, f"{V1}/health")
        controller.send_signal(signal.SIGINT)
        rest = controller.stdout.read()

    assert controller.returncode == 0
    assert health.head.startswith("http/1.1 200")
    assert rest.startswith("faults: basic.slow\n")
    assert f"curl {base_url}/api/v1/health\n" in rest
    assert rest.endswith("sandbox stopped\n")


def test_a_worker_that_dies_ends_up(tmp_path: Path) -> None:
    """`up` does not go on with half a sandbox; it names the worker."""
    code = """
import os, signal
from pytest_release.errors import SandboxError
from pytest_release.sandbox.server import Sandbox
with Sandbox() as sandbox:
    os.kill(sandbox.pids[1], signal.SIGKILL)
    try:
        sandbox.watch()
    except SandboxError as error:
        print(error)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = [sys.executable, "-c", code]
    said = subprocess.run(run, capture_output=True, text=True, env=environment, check=True).stdout

    assert re.fullmatch(r"worker \d+ of the sandbox ended with status -9; .*none\n", said)
