"""One endpoint of the sandbox, and what its answers may depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pytest_release.sandbox.answers import Answer
from pytest_release.sandbox.requests import Request
from pytest_release.sandbox.state import SharedState

V1 = "/api/v1"
V2 = "/api/v2"


@dataclass(frozen=True)
class Setting:
    """What every answer may depend on besides the request.

    Attributes:
        state: Shared by all workers.
        stream_seconds: From a stream's first event to its last.
        dsn: Of the database with the deployed files; None when there is none.
        faults: Names of the faults that are on, for endpoints that misbehave by themselves.
        parts: What each running part of the sandbox tells the endpoints, by the part's name.
    """

    state: SharedState
    stream_seconds: float = 0.3
    dsn: str | None = None
    faults: frozenset[str] = frozenset()
    parts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Endpoint:
    """One row of the table.

    Attributes:
        method: Upper case.
        path: The whole path; ``{uuid}`` in it stands for any.
        group: Faults of this group apply here: ``basic``, ``stream``, ``health``; or none.
        check: Raises `Refused` for a request that gets no answer.
        say: The answer to a request that passed the check.
        waits: `say` waits for something, so it gets a thread; the others are answered meanwhile.
    """

    method: str
    path: str
    group: str
    check: Callable[[Request], None]
    say: Callable[[Request, Setting], Answer]
    waits: bool = False
