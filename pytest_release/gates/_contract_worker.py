"""Makes requests from an OpenAPI document and judges the answers, in a process of its own.

The document and the answers are hostile: whatever they make the engine do, they do to this
process, whose memory is limited and whose time its parent ends. It imports nothing of
pytest-release and sends nothing: JSON lines come on the standard input (`Order`, then one answer
after the other) and go to the standard output (one line for each example, ``done``, then the
failures of each answer).
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any

HOST = "http://deployment.invalid"  # stands for the deployment; cut off again
NOT_OURS = frozenset({"user-agent", "accept-encoding", "connection", "host", "content-length"})
ID = "x-schemathesis-testcaseid"  # random, so that no two runs would send the same
BOUNDARY = "boundary-of-the-example"  # instead of a random one
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
SHOWN = 300  # characters of a value or message
MODES = ("valid", "invalid")
NOTHING_WRONG = frozenset({"Unsatisfiable", "SkipTest", "Skipped"})  # whatever is sent is valid

Line = dict[str, Any]
Say = Callable[[Line], None]


class _TooLongError(BaseException):
    """The alarm rang; hypothesis would take an Exception for a failing example, and repeat it."""


def main() -> None:
    """Serve one order."""
    say = _speaker(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)  # what somebody prints is no line of ours
    order = json.loads(sys.stdin.readline())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (order["memory"], order["memory"]))
    signal.signal(signal.SIGALRM, _ring)
    import schemathesis  # noqa: PLC0415 - behind the limit

    examples = _Examples(schemathesis, order)
    say({"engine": schemathesis.__version__})
    for line in examples.make():
        say(line)
    say({"done": True})
    for text in sys.stdin:
        answer = json.loads(text)
        say({"failures": examples.judge(answer)})


def _speaker(stream: IO[str]) -> Say:
    def say(line: Line) -> None:
        stream.write(json.dumps(line) + "\n")
        stream.flush()

    return say


def _ring(*_: object) -> None:
    raise _TooLongError


class _Examples:
    """The examples of one document, and what is wrong with their answers."""

    def __init__(self, schemathesis: Any, order: Mapping[str, Any]) -> None:  # noqa: ANN401 - a module
        self._engine = schemathesis
        self._order = order
        self._made: list[tuple[Any, Any]] = []
        names = CHECKS + (("positive_data_acceptance",) if order["accepts_valid"] else ())
        self._checks = [getattr(schemathesis.checks, name) for name in names]

    def make(self) -> Iterator[Line]:
        """A line for each example, and for each operation that cannot have any."""
        config = self._engine.Config.from_dict({"generation": {"with-security-parameters": False}})
        try:
            schema = self._engine.openapi.from_dict(self._order["document"], config=config)
            schema.validate()
        except MemoryError:  # says nothing of the document's form
            raise
        except Exception as error:  # noqa: BLE001 - the document may do anything to the engine
            yield {"invalid": _said(error)}
            return
        for result in schema.get_all_operations():
            if hasattr(result, "ok"):
                yield from self._of_operation(result.ok())
            else:
                flaw = result.err()
                label = f"{(flaw.method or '').upper()} {flaw.path or ''}".strip()
                yield {"operation": label, "problem": _said(flaw)}

    def _of_operation(self, operation: Any) -> Iterator[Line]:  # noqa: ANN401
        if operation.label not in self._order["operations"]:
            return
        for mode in MODES:
            if self._order[mode]:
                yield from self._of_mode(operation, mode)

    def _of_mode(self, operation: Any, mode: str) -> Iterator[Line]:  # noqa: ANN401
        """Deterministic: nothing but the seed, the document and the engine's version decides."""
        try:
            signal.alarm(self._order["seconds"])
            cases = self._draw(operation, mode)
        except _TooLongError:
            yield _none(operation, mode, f"that took over {self._order['seconds']} s")
            return
        except Exception as error:  # noqa: BLE001 - the document may do anything to the engine
            if mode == "invalid" and type(error).__name__ in NOTHING_WRONG:
                return
            yield _none(operation, mode, _said(error))
            return
        finally:
            signal.alarm(0)
        for case in cases:
            yield from self._example(case, mode)

    def _draw(self, operation: Any, mode: str) -> list[Any]:  # noqa: ANN401
        from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: PLC0415

        drawn: list[Any] = []
        modes = self._engine.GenerationMode
        strategy = operation.as_strategy(
            generation_mode=modes.POSITIVE if mode == "valid" else modes.NEGATIVE,
            **self._fixed(operation),
        )

        @seed(self._order["seed"])
        @settings(
            max_examples=self._order[mode],
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def draw(case: Any) -> None:  # noqa: ANN401
            drawn.append(case)

        draw()
        return drawn

    def _fixed(self, operation: Any) -> dict[str, dict[str, Any]]:  # noqa: ANN401
        """The parameters whose values the case gives, as the engine takes them."""
        fixed: dict[str, dict[str, Any]] = {}
        places = {
            "path": "path_parameters",
            "query": "query",
            "header": "headers",
            "cookie": "cookies",
        }
        for parameter in operation.iter_parameters():
            where = places.get(str(getattr(parameter.location, "value", parameter.location)))
            if where and parameter.name in self._order["parameters"]:
                value = self._order["parameters"][parameter.name]
                fixed.setdefault(where, {})[parameter.name] = value
        return fixed

    def _example(self, case: Any, mode: str) -> Iterator[Line]:  # noqa: ANN401
        from requests import Request  # noqa: PLC0415

        prefix = self._order["prefix"]
        try:
            prepared: Any = Request(**case.as_transport_kwargs(base_url=HOST + prefix)).prepare()
        except Exception:  # noqa: BLE001 - what no client can send is no request
            return
        body = prepared.body or b""
        content = body.encode() if isinstance(body, str) else bytes(body)
        headers = {n: v for n, v in prepared.headers.items() if n.lower() not in {*NOT_OURS, ID}}
        if len(content) > self._order["max_bytes"]:
            return
        boundary = headers.get("Content-Type", "").partition("boundary=")[2]
        if boundary:
            headers["Content-Type"] = headers["Content-Type"].replace(boundary, BOUNDARY)
            content = content.replace(boundary.encode(), BOUNDARY.encode())
        self._made.append((case, prepared))
        yield {
            "example": len(self._made) - 1,
            "operation": case.operation.label,
            "mode": mode,
            "method": prepared.method,
            "path": str(prepared.url).removeprefix(HOST),
            "headers": {name: _text(value) for name, value in headers.items()},
            "body": b64encode(content).decode(),
            "flaw": _flaw(case) if mode == "invalid" else "",
        }

    def judge(self, answer: Mapping[str, Any]) -> list[Line]:
        """What is wrong with the answer to an example."""
        case, prepared = self._made[answer["example"]]
        headers: dict[str, list[str]] = {}
        for name, value in answer["headers"]:
            headers.setdefault(name, []).append(value)
        response = self._engine.Response(
            answer["status"],
            headers,
            b64decode(answer["body"]),
            prepared,
            answer["seconds"],
            verify=True,
            stream_cut_short=answer["cut"],
        )
        try:
            case.validate_response(response, checks=self._checks_of(case, headers))
        except BaseExceptionGroup as group:
            return [_described(failure) for failure in group.exceptions]
        except AssertionError as failure:
            return [_described(failure)]
        except Exception as error:  # noqa: BLE001 - the answer may do anything to the engine
            return [{"kind": "EngineError", "said": _said(error)}]
        return []

    def _checks_of(self, case: Any, headers: Mapping[str, list[str]]) -> list[Any]:  # noqa: ANN401
        """All; but an event stream has a schema only where it says that it is one of events."""
        media = headers.get("content-type", [""])[0].partition(";")[0].strip()
        whole = media != "text/event-stream" or "itemSchema" in json.dumps(
            case.operation.definition.raw, default=str
        )
        return [c for c in self._checks if whole or c.__name__ != "response_schema_conformance"]


def _none(operation: Any, mode: str, why: str) -> Line:  # noqa: ANN401
    return {"operation": operation.label, "problem": f"no {mode} example can be made: {why}"}


def _described(failure: Any) -> Line:  # noqa: ANN401 - a failure of the engine
    kind = type(failure).__name__
    line: Line = {"kind": kind, "said": _said(failure)}
    if kind == "JsonSchemaError":
        where = "".join(
            f"[{part}]" if isinstance(part, int) else f".{part}" for part in failure.instance_path
        )
        line |= {
            "where": f"${where}"[:SHOWN],
            "said": str(failure.validation_message)[:SHOWN],
            "received": _json(failure.instance),
            "header": "header" in failure.title,
        }
    elif kind == "UndefinedStatusCode":
        line["expected"] = ", ".join(map(str, failure.defined_status_codes))
    elif kind in ("UndefinedContentType", "MalformedMediaType"):
        defined = getattr(failure, "defined_content_types", None) or [failure.defined]
        line["expected"] = ", ".join(map(str, defined))
    elif kind == "MissingContentType":
        line["expected"] = ", ".join(map(str, failure.media_types))
    elif kind == "MissingHeaders":
        line["expected"] = ", ".join(map(str, failure.missing_headers))
    elif kind == "AcceptedNegativeData":
        line["expected"] = "4xx"
    return line


def _flaw(case: Any) -> str:  # noqa: ANN401
    """What is wrong with an invalid example, as the engine tells."""
    phase = case.meta.phase.data if case.meta else None
    said = getattr(phase, "description", None) or ""
    return str(said)[:SHOWN]


def _json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return json.dumps(value, ensure_ascii=False, default=str)[:SHOWN]


def _said(error: BaseException) -> str:
    lines = [line.strip() for line in str(getattr(error, "message", None) or error).splitlines()]
    return " ".join(filter(None, lines))[:SHOWN] or type(error).__name__


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


if __name__ == "__main__":
    main()
