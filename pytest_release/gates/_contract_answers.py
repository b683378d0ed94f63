"""Sends the engine's examples to the deployment and gathers what is wrong with the answers.

One finding for each endpoint and rule: how often, and the shortest request that shows it.
"""

from __future__ import annotations

import json
import time
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from pytest_release.config.casebook import PLACEHOLDER
from pytest_release.config.cases import Request
from pytest_release.errors import TargetError
from pytest_release.evidence import Attachment, Finding
from pytest_release.gates._answer import cut
from pytest_release.gates._contract_document import PARAMETER, Operation
from pytest_release.gates._contract_engine import Engine, EngineError, Line, OutOfTimeError
from pytest_release.sampling import Sample
from pytest_release.targets.http import Exchange, HttpTarget

MAX_BYTES = 2 * 1024 * 1024  # of an answer's body
MAX_KEPT = 128 * 1024 * 1024  # bytes of answers that wait for being judged, or about
STREAM_S = 0.5  # of an event stream that are read: the stream gate looks at the rest
MAX_ATTACHED = 200
LONGEST = 600  # characters of a command that stand in a message; the attachment has them all
CODES = {
    "ServerError": "contract.server-error",
    "ContentTypeServerError": "contract.server-error",
    "UndefinedStatusCode": "contract.undocumented-status",
    "UndefinedContentType": "contract.content-type",
    "MalformedMediaType": "contract.content-type",
    "MissingContentType": "contract.content-type",
    "MalformedJson": "contract.not-json",
    "ContentDeserializationError": "contract.not-json",
    "JsonSchemaError": "contract.schema",
    "DiscriminatorMismatch": "contract.schema",
    "MissingHeaders": "contract.header",
    "AcceptedNegativeData": "contract.accepted-invalid",
    "RejectedPositiveData": "contract.refused-valid",
}
_OF_THE_REQUEST = frozenset({"contract.server-error", "contract.accepted-invalid"})
NO_SUCH = frozenset({404, 405})


@dataclass(frozen=True)
class Sending:
    """How examples are sent.

    Attributes:
        http: The deployment.
        operations: By their label.
        deadline: When to stop, on the clock of `time.monotonic`.
        timeout_s: For each request.
        at_once: Requests under way.
        answer_ms: Longest that an answer may take; None for no limit.
        kept: Bytes of all answers.
    """

    http: HttpTarget
    operations: Mapping[str, Operation]
    deadline: float
    timeout_s: float = 10.0
    at_once: int = 8
    answer_ms: float | None = None
    kept: Counter[str] = field(default_factory=Counter)

    def keep(self, exchange: Exchange) -> Exchange:
        """Count its bytes; when there are too many, no more is asked."""
        self.kept["bytes"] += len(exchange.body)
        return exchange


@dataclass
class Wrong:
    """What one rule found at one endpoint."""

    code: str
    message: str
    expected: str
    received: str
    count: int
    size: int
    curl: str


@dataclass
class Gathered:
    """What the examples showed.

    Attributes:
        latencies: Of whole answers; of an event stream to its first byte.
        sent: Requests by the label of their operation and by mode.
        succeeded: Labels of operations that answered a valid example with success.
        others: Findings that are not about one answer.
    """

    wrong: dict[tuple[str, str], Wrong] = field(default_factory=dict)
    latencies: list[Sample] = field(default_factory=list)
    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    succeeded: set[str] = field(default_factory=set)
    others: list[Finding] = field(default_factory=list)

    def add(self, label: str, found: Wrong) -> None:
        """Count it, and keep the shortest request."""
        known = self.wrong.setdefault((label, found.code), found)
        if known is not found:
            found.count += known.count
            if found.size < known.size:
                self.wrong[label, found.code] = found
            else:
                known.count = found.count

    def findings(self, seed: int) -> list[Finding]:
        """One for each endpoint and rule, then the others."""
        return [
            *(self._finding(label, wrong, seed) for (label, _), wrong in self.wrong.items()),
            *self.others,
        ]

    def _finding(self, label: str, wrong: Wrong, seed: int) -> Finding:
        total = self.sent[label, "valid"] + self.sent[label, "invalid"]
        curl = wrong.curl if len(wrong.curl) <= LONGEST else "in the attachment"
        message = (
            f"{label}: {wrong.message}; {wrong.count} of {total} requests with seed {seed}, "
            f"the shortest: {curl}"
        )
        return Finding(wrong.code, message, expected=wrong.expected, received=wrong.received)

    def attachments(self) -> tuple[Attachment, ...]:
        """How to repeat each failure."""
        shown = islice(self.wrong.items(), MAX_ATTACHED)
        return tuple(Attachment(f"{wrong.code} {label}", wrong.curl) for (label, _), wrong in shown)


def gather(engine: Engine, sending: Sending) -> Gathered:
    """Send every example as soon as it is made, and have the answers judged."""
    gathered = Gathered()
    under_way: list[tuple[Line, Future[Exchange | str | None]]] = []
    with ThreadPoolExecutor(sending.at_once) as pool:
        try:
            for line in engine.examples():
                if "example" not in line:
                    gathered.others.append(_problem(line))
                elif not any(map(PLACEHOLDER.search, line["headers"].values())):  # ours, not theirs
                    under_way.append((line, pool.submit(_send, line, sending)))
            _judge(engine, sending, under_way, gathered)
            gathered.others += _never_sent(sending, gathered)
        except OutOfTimeError:
            gathered.others.append(_out_of_time(under_way, gathered))
        except EngineError as error:
            gathered.others.append(Finding("contract.engine", f"no examples any more: {error}"))
        finally:
            pool.shutdown(cancel_futures=True)
    gathered.others += _not_shown(gathered)
    return gathered


def _never_sent(sending: Sending, gathered: Gathered) -> list[Finding]:
    """Endpoints without any example, of which nobody said why."""
    told = " ".join(finding.message for finding in gathered.others)
    sent = {label for label, _ in gathered.sent}
    return [
        Finding("contract.no-examples", f"{cut(label)}: the engine made no example of it")
        for label in sending.operations
        if label not in sent and label not in told
    ]


def _problem(line: Line) -> Finding:
    if "invalid" in line:
        message = f"the document is no valid OpenAPI document: {line['invalid']}"
        return Finding("contract.invalid", message)
    return Finding("contract.no-examples", f"{cut(line['operation'])}: {line['problem']}")


def _out_of_time(under_way: list[tuple[Line, Any]], gathered: Gathered) -> Finding:
    looked = sum(gathered.sent.values())
    message = (
        f"the time is over: {looked} of {len(under_way)} examples and perhaps more were judged"
    )
    return Finding("contract.out-of-time", message)


def _send(example: Line, sending: Sending) -> Exchange | str | None:
    """The answer, why there was none, or None where time is over."""
    left = sending.deadline - time.monotonic()
    if left <= 0:
        return None
    if sending.kept["bytes"] > MAX_KEPT:
        return f"not asked, since the answers so far have over {MAX_KEPT} bytes"
    request = _request(example, min(sending.timeout_s, left))
    try:
        if not sending.operations[example["operation"]].streams:
            return sending.keep(sending.http.send(request))
        return sending.keep(_look(request, sending.http))
    except TargetError as error:
        return str(error)


def _request(example: Line, timeout_s: float) -> Request:
    return Request(
        example["method"],
        example["path"],
        headers=example["headers"],
        raw=b64decode(example["body"]),
        timeout_s=timeout_s,
        stall_s=timeout_s,
        max_bytes=MAX_BYTES,
    )


def _look(request: Request, http: HttpTarget) -> Exchange:
    """An answer that may be a stream without end: what came in its first moment."""
    body = bytearray()

    def take(data: bytes, _at: object) -> float:
        body.extend(data)
        return STREAM_S

    return replace(http.send(request, on_chunk=take), body=bytes(body))


def _judge(
    engine: Engine,
    sending: Sending,
    under_way: Iterable[tuple[Line, Future[Exchange | str | None]]],
    gathered: Gathered,
) -> None:
    for example, future in under_way:
        exchange = future.result()
        if exchange is None:
            raise OutOfTimeError("the time is over")
        gathered.sent[example["operation"], example["mode"]] += 1
        _Judged(example, exchange, sending, gathered).by(engine)


class _Judged:
    """One example and its answer."""

    def __init__(
        self, example: Line, exchange: Exchange | str, sending: Sending, gathered: Gathered
    ) -> None:
        self._example = example
        self._exchange = exchange
        self._sending = sending
        self._gathered = gathered

    def by(self, engine: Engine) -> None:
        """Have it judged."""
        exchange, label = self._exchange, self._example["operation"]
        if isinstance(exchange, str):
            self._add("contract.no-answer", f"no answer: {exchange}", "an answer", "")
            return
        streams = self._sending.operations[label].streams
        took = exchange.ttfb if streams else exchange.total
        self._gathered.latencies.append(took)
        limit = self._sending.answer_ms
        if limit is not None and took.value > limit:
            took_ms = f"{took.value:.0f} ms"
            self._add("contract.slow", f"took {took_ms}", f"at most {limit:g} ms", took_ms)
        if exchange.broken:
            self._add("contract.broken", exchange.broken, "a whole answer", "")
            return
        failures = engine.judge(self._answer(exchange))
        if self._example["mode"] == "valid" and 200 <= exchange.status < 300:
            self._gathered.succeeded.add(label)
        for failure in failures:
            self._failure(failure, exchange)

    def _answer(self, exchange: Exchange) -> Line:
        return {
            "example": self._example["example"],
            "status": exchange.status,
            "headers": exchange.headers,
            "body": b64encode(exchange.body).decode(),
            "seconds": exchange.total.value / 1000,
            "cut": exchange.lingered,
        }

    def _failure(self, failure: Line, exchange: Exchange) -> None:
        kind = failure["kind"]
        if kind == "UndefinedStatusCode" and exchange.status >= 500:
            return  # a server error, which is said already
        code = CODES.get(kind, "contract.other")
        message, expected, received = _SAID.get(kind, _as_it_says)(failure, exchange)
        operation = self._sending.operations[self._example["operation"]]
        if code == "contract.undocumented-status" and _gone(operation, exchange.status):
            code = "contract.gone"
            message = f"is documented and answers {exchange.status}"
        self._add(code, message, expected, received)

    def _add(self, code: str, message: str, expected: str, received: str) -> None:
        exchange = self._exchange
        if isinstance(exchange, Exchange):
            curl = exchange.sent.curl
        else:
            request = _request(self._example, self._sending.timeout_s)
            curl = self._sending.http.describe(request, {}).curl
        if code in _OF_THE_REQUEST and self._example["flaw"]:
            expected = f"{expected}, since the request is wrong: {cut(self._example['flaw'])}"
        size = len(self._example["path"]) + len(self._example["body"])
        label = self._example["operation"]
        self._gathered.add(label, Wrong(code, message, expected, received, 1, size, curl))


def _gone(operation: Operation, status: int) -> bool:
    """Whether that undocumented status says that the endpoint is not there."""
    return status in NO_SUCH - ({404} if PARAMETER.search(operation.path) else set())


Said = tuple[str, str, str]


def _shown(exchange: Exchange) -> str:
    return cut(f"{exchange.status} {exchange.body.decode(errors='replace')}")


def _type(exchange: Exchange) -> str:
    return next((value for name, value in exchange.headers if name == "content-type"), "none")


def _as_it_says(failure: Line, exchange: Exchange) -> Said:
    return cut(failure["said"]), "an answer as documented", _shown(exchange)


def _schema(failure: Line, exchange: Exchange) -> Said:
    if failure["header"]:
        return (
            f"a header breaks its schema: {failure['said']}",
            "as documented",
            failure["received"],
        )
    message = f"the answer {exchange.status} breaks its schema at {failure['where']}: "
    return message + failure["said"], "an answer as documented", failure["received"]


_SAID: Mapping[str, Callable[[Line, Exchange], Said]] = {
    "ServerError": lambda _, exchange: (
        f"fails with {exchange.status}",
        "no server error",
        _shown(exchange),
    ),
    "UndefinedStatusCode": lambda failure, exchange: (
        f"answers {exchange.status}, which is not documented",
        failure["expected"],
        _shown(exchange),
    ),
    "UndefinedContentType": lambda failure, exchange: (
        f"the content type is {cut(_type(exchange))!r}, which is not documented",
        failure["expected"],
        cut(_type(exchange)),
    ),
    "MissingContentType": lambda failure, exchange: (
        "the answer has no content type",
        failure["expected"],
        _shown(exchange),
    ),
    "MissingHeaders": lambda failure, exchange: (
        f"the answer {exchange.status} has no header {failure['expected']}",
        failure["expected"],
        ", ".join(name for name, _ in exchange.headers),
    ),
    "MalformedJson": lambda failure, exchange: (
        f"the body is not JSON: {cut(failure['said'])}",
        "JSON",
        _shown(exchange),
    ),
    "AcceptedNegativeData": lambda failure, exchange: (
        f"accepts a wrong request with {exchange.status}",
        failure["expected"],
        _shown(exchange),
    ),
    "RejectedPositiveData": lambda _, exchange: (
        f"refuses a right request with {exchange.status}",
        "2xx",
        _shown(exchange),
    ),
    "JsonSchemaError": _schema,
}


def _not_shown(gathered: Gathered) -> list[Finding]:
    """Endpoints whose success nobody saw: what they answer then could not be compared."""
    tried = [label for label, mode in gathered.sent if mode == "valid"]
    return [
        Finding(
            "contract.not-shown",
            f"{label}: none of {gathered.sent[label, 'valid']} right requests was answered with "
            "success, so that its answer could not be compared with the document",
            expected="2xx",
        )
        for label in tried
        if label not in gathered.succeeded and (label, "contract.gone") not in gathered.wrong
    ]


def summary(gathered: Gathered, seed: int, version: str, left_out: Iterable[str]) -> Attachment:
    """How the examples were made, so that they can be made again."""
    counts = {
        label: {mode: gathered.sent[label, mode] for mode in ("valid", "invalid")}
        for label in dict.fromkeys(label for label, _ in gathered.sent)
    }
    told = {"engine": f"schemathesis {version}", "seed": seed, "requests": counts}
    text = json.dumps({**told, "not called": sorted(left_out)}, indent=2, ensure_ascii=False)
    return Attachment("contract examples", text)
