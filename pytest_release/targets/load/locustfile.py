"""Locust's side of a load in an open model: a locustfile, and the process that runs it.

It is never imported: gevent changes how a whole process waits. `targets.load` starts it, as
``python locustfile.py``, and speaks with it in lines of JSON: the order comes in, shots go out, and
the end of its standard input ends it. On other machines it is an ordinary locustfile that needs
nothing but Locust: ``locust -f locustfile.py --worker --master-host HOST --master-port PORT``.

- A request is started when it is due, however slow the answers before it are; its time counts from
  then on. A request for which there is no place waits in line, and that time counts, too.
- What is still in line when the schedule ends was never started, and is reported as such.
- How late this process itself was is told apart: that is its own doing, and no server's.
- Nothing is sent twice. geventhttpclient would send a request again, as often as its pool is large,
  when the server hangs up; no redirect is followed; no cookie is kept.
- An answer that is too long, too late, cut off, or not the expected one has no right answer's time.
"""

# ruff: noqa: E402 - gevent comes before whatever it changes

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

import errno
import json
import os
import random
import ssl
import subprocess
import sys
import time
from base64 import b64decode
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import gevent
import gevent.os
from gevent.event import Event
from gevent.socket import gaierror
from geventhttpclient.client import HTTPClient
from geventhttpclient.response import HTTPConnectionClosed, HTTPParseError
from locust import User, events, task
from locust.env import Environment
from locust.runners import LocalRunner, MasterRunner, WorkerRunner

FLUSH_S = 0.1  # how often shots are reported
BLOCK = 64 * 1024
WORKERS_S = 30.0  # until all workers on this machine have come
LOST_S = 3.0  # without a word from a worker that has not left

Order = dict[str, Any]
Shot = tuple[float, float, float, int, str]  # due, late, took (all in s), request, what was wrong

_NAMES = {
    errno.ECONNREFUSED: "the connection was refused",
    errno.ECONNRESET: "the connection was reset",
    errno.ETIMEDOUT: "the connection timed out",
}


def arrivals(order: Mapping[str, Any]) -> Iterator[tuple[float, int]]:
    """When this share's requests are due, in s from the start, and which ones they are.

    At a constant rate the shares interleave; shares of a Poisson process are Poisson processes.
    """
    share, shares, rate = order["share"], order["shares"], order["rate_per_s"]
    chance = random.Random(f"{order['seed']}/{share}")  # noqa: S311 - a schedule is no secret
    weights = [request["weight"] for request in order["requests"]]
    numbers = range(len(weights))
    due, number = share / rate, 0
    if order["arrivals"] == "poisson":
        due = chance.expovariate(rate / shares)
    while due < order["seconds"]:
        yield due, chance.choices(numbers, weights)[0]
        number += 1
        if order["arrivals"] == "poisson":
            due += chance.expovariate(rate / shares)
        else:
            due = (share + number * shares) / rate


class OpenModel(User):
    """One in each process: keeps the schedule of this process's share."""

    host = "-"

    @task
    def keep_schedule(self) -> None:
        """The whole schedule, once."""
        ORDERED.wait()
        Schedule(self.environment, ORDERS.pop()).run()
        gevent.sleep(1e6)


class Schedule:
    """One process's share of the load.

    Args:
        environment: Locust's; its request event hears of every shot, its runner's messages carry
            them.
        order: What is to be sent.
    """

    def __init__(self, environment: Environment, order: Order) -> None:
        self._environment = environment
        self._heard: Any = environment.events.request
        self._order = order
        self._requests = order["requests"]
        self._client = _client(order)
        self._shots: list[Shot] = []
        self._waiting: deque[tuple[float, float, int]] = deque()
        self._under_way: set[gevent.Greenlet] = set()
        self._began = 0.0

    def run(self) -> None:
        """Start each request when it is due, and wait for the last answer."""
        planned = list(arrivals(self._order))
        self._tell(planned=len(planned))
        flushing = gevent.spawn(self._flush)
        self._began = time.perf_counter()
        for due, request in planned:
            self._sleep_until(due)
            if len(self._under_way) < self._order["under_way"]:
                self._start(due, 0.0, request, due)
            else:
                self._waiting.append((due, self._now() - due, request))
        self._sleep_until(self._order["seconds"])
        while self._waiting:
            due, late, request = self._waiting.popleft()
            self._shots.append((due, late, self._now() - due, request, "was never started"))
        gevent.joinall(list(self._under_way))
        flushing.kill()
        self._tell(shots=self._taken(), cpu_s=time.process_time(), done=True)

    def _now(self) -> float:
        return time.perf_counter() - self._began

    def _sleep_until(self, due: float) -> None:
        while (wait := due - self._now()) > 0:
            gevent.sleep(wait)

    def _start(self, due: float, late: float, request: int, ready: float) -> None:
        """Start one for which there is a place since `ready`."""
        shot = gevent.spawn(self._shoot, due, late, request, ready)
        self._under_way.add(shot)
        shot.rawlink(self._ended)

    def _ended(self, shot: gevent.Greenlet) -> None:
        self._under_way.discard(shot)
        if self._waiting:
            self._start(*self._waiting.popleft(), self._now())

    def _shoot(self, due: float, late: float, number: int, ready: float) -> None:
        late += max(self._now() - ready, 0.0)
        request = self._requests[number]
        wrong, size = _ask(self._client, request)
        took = self._now() - due
        self._shots.append((due, late, took, number, wrong))
        self._heard.fire(
            request_type=request["method"],
            name=request["name"],
            response_time=took * 1000,
            response_length=size,
            exception=wrong or None,
            context={},
        )

    def _taken(self) -> list[Shot]:
        taken, self._shots = self._shots, []
        return taken

    def _flush(self) -> None:
        while True:
            gevent.sleep(FLUSH_S)
            self._tell(shots=self._taken(), cpu_s=time.process_time(), at_s=self._now())

    def _tell(self, **data: Any) -> None:  # noqa: ANN401 - any JSON value
        runner = self._environment.runner
        assert runner is not None
        runner.send_message("told", {"share": self._order["share"], **data})


def _client(order: Mapping[str, Any]) -> HTTPClient:
    """One for all requests, with as many connections as requests may be under way."""
    verify = order["verify"]

    def context() -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
        if verify is False:
            made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
        return made

    longest = max(request["timeout_s"] for request in order["requests"])
    client = HTTPClient.from_url(
        order["host"],
        concurrency=order["under_way"],
        connection_timeout=longest,
        network_timeout=longest,
        ssl_context_factory=context,
        insecure=verify is False,
    )
    client._connection_pool.size = -1  # noqa: SLF001 - it retries so often and once more: never
    return client


def _ask(client: HTTPClient, request: Mapping[str, Any]) -> tuple[str, int]:
    """What is wrong with the answer, in a few words and none of the server's; and its size."""
    size = 0
    try:
        with gevent.Timeout(request["timeout_s"]):
            answer = client.request(
                request["method"],
                request["target"],
                b64decode(request["body"]),
                request["headers"],
            )
            try:
                body, wrong = _read(answer, request)
                size = len(body)
            finally:
                answer.release()
    except gevent.Timeout:
        return f"no whole answer within {request['timeout_s']:g} s", size
    except Exception as error:  # noqa: BLE001 - a request that is lost must not look like none
        return _reason(error), size
    if not wrong and answer.status_code not in request["status"]:
        wrong = f"status {answer.status_code}"
    missing = (text for text in request["text"] if text.encode() not in body)
    absent = next(missing, None)
    return wrong or ("" if absent is None else f"no {absent!r} in the answer"), size


def _read(answer: Any, request: Mapping[str, Any]) -> tuple[bytes, str]:  # noqa: ANN401 - a response
    body, most = bytearray(), request["max_bytes"]
    while block := answer.read(BLOCK):
        body += block
        if len(body) > most:
            return bytes(body), f"more than {most} bytes of answer"
    declared = answer.get("content-length")
    whole = declared is None or request["method"] == "HEAD" or int(declared) == len(body)
    if not answer.message_complete or not whole:
        return bytes(body), "the answer was cut off"
    return bytes(body), ""


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPConnectionClosed):
        return "the server hung up without an answer"
    if isinstance(error, HTTPParseError):
        return "the answer is no HTTP, or was cut off"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "the certificate is not trusted"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or 'without a reason'})"
    if isinstance(error, gaierror):
        return "the name could not be resolved"
    if isinstance(error, TimeoutError):
        return "the connection timed out"
    number = getattr(error, "errno", None)
    return _NAMES.get(number or 0) or f"{type(error).__name__}{f' {number}' if number else ''}"


ORDERED = Event()
ORDERS: list[Order] = []


def _ordered(environment: Environment, msg: Any, **_: Any) -> None:  # noqa: ANN401, ARG001
    ORDERS.append(msg.data)
    ORDERED.set()


def _listen(environment: Environment, **_: Any) -> None:  # noqa: ANN401
    """A worker, here or on another machine, takes its order from the master."""
    if isinstance(environment.runner, WorkerRunner):
        environment.runner.register_message("order", _ordered)
        environment.runner.send_message("listening")  # one that came before would be lost


_begun: Any = events.init
_begun.add_listener(_listen)


def _say(**line: Any) -> None:  # noqa: ANN401 - any JSON value
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Conversation:
    """With the process that started this one: shots go out until every share is done.

    Args:
        shares: How many there are.
    """

    def __init__(self, shares: int) -> None:
        self._missing = set(range(shares))
        self.over = Event()

    def hear(self, environment: Environment, msg: Any, **_: Any) -> None:  # noqa: ANN401, ARG002
        """A worker, or this process itself, tells of its shots."""
        _say(**msg.data)
        if msg.data.get("done"):
            self._missing.discard(msg.data["share"])
        if not self._missing:
            self.over.set()

    def wait(self) -> None:
        """Until all is done, or whoever started this has gone or has heard enough."""
        gevent.spawn(self._until_input_ends)
        self.over.wait()

    def _until_input_ends(self) -> None:
        while gevent.os.tp_read(0, BLOCK):
            pass
        self.over.set()


def _alone(environment: Environment, order: Order) -> None:
    runner = environment.create_local_runner()
    assert isinstance(runner, LocalRunner)
    conversation = Conversation(1)
    runner.register_message("told", conversation.hear)
    ORDERS.append({**order, "share": 0, "shares": 1})
    ORDERED.set()
    runner.start(1, spawn_rate=1)
    conversation.wait()


def _with_workers(environment: Environment, order: Order) -> None:
    """Locust's master, and workers here and elsewhere."""
    shares = order["processes"] + order["remote"]
    runner = environment.create_master_runner(order["bind"], order["port"])
    conversation = Conversation(shares)
    runner.register_message("told", conversation.hear)
    listening: list[str] = []

    def hear(environment: Environment, msg: Any, **_: Any) -> None:  # noqa: ANN401, ARG001
        listening.append(msg.node_id)

    runner.register_message("listening", hear)
    here = [_worker(order) for _ in range(order["processes"])]
    try:
        if chosen := _gathered(listening, shares, order["wait_s"]):
            _start(runner, order, chosen)
            gevent.spawn(_watch, runner, here, conversation)
            conversation.wait()
    finally:
        runner.quit()
        for worker in here:
            worker.kill()


def _worker(order: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    address = ["--master-host", "127.0.0.1", "--master-port", str(order["port"])]
    command = [sys.executable, "-m", "locust", "-f", __file__, "--worker", *address]
    return subprocess.Popen(  # noqa: S603 - this interpreter, this file
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )


def _gathered(listening: list[str], shares: int, wait_s: float) -> list[str]:
    """As many workers as there are shares, of those that listen; none if they do not come."""
    deadline = time.monotonic() + wait_s
    while len(listening) < shares:
        if time.monotonic() > deadline:
            _say(failed=f"{len(listening)} of {shares} workers came in {wait_s:g} s")
            return []
        gevent.sleep(0.02)
    return listening[:shares]


def _start(runner: MasterRunner, order: Order, chosen: list[str]) -> None:
    for share, worker in enumerate(chosen):
        runner.send_message("order", {**order, "share": share, "shares": len(chosen)}, worker)
    runner.start(len(chosen), spawn_rate=len(chosen))


def _watch(
    runner: MasterRunner, here: list[subprocess.Popen[bytes]], conversation: Conversation
) -> None:
    """A worker that is gone will not be done."""
    while True:
        gevent.sleep(FLUSH_S)
        gone = sum(worker.poll() is not None for worker in here) or len(runner.clients.missing)
        if gone:
            _say(failed=f"{gone} of the load's workers was lost")
            conversation.over.set()
            return


def main() -> None:
    """Take one order, and run it."""
    with open(0, "rb", buffering=0, closefd=False) as source:
        order = json.loads(source.readline())
    environment = Environment(user_classes=[OpenModel], events=events, host=order["host"])
    (_alone if order["processes"] + order["remote"] == 0 else _with_workers)(environment, order)
    sys.stdout.flush()
    os._exit(0)  # a thread still reads standard input


if __name__ == "__main__":
    main()
