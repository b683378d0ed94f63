"""A case: one declarative check, of an answer, of a deployment's data, or of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_release.redaction import Secret


@dataclass(frozen=True)
class Multipart:
    """A ``multipart/form-data`` body.

    Attributes:
        fields: Plain form fields by name.
        files: Files by field name; paths are absolute.
    """

    fields: Mapping[str, str | Secret] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """One HTTP request as a case declares it; at most one of the bodies is set.

    Attributes:
        method: Upper case.
        path: Relative to the environment's base URL, with a leading slash.
        params: Query parameters.
        headers: Sent as they are.
        json: Body sent as JSON; None for no body (a JSON null cannot be sent).
        form: Body sent as ``application/x-www-form-urlencoded``.
        multipart: Body sent as ``multipart/form-data``.
        raw: Body sent as it is, for gates that sign it; no case file says it.
        timeout_s: Seconds for the whole exchange, from connecting to the last byte.
        stall_s: Seconds without a byte after which the exchange is given up.
        max_bytes: Most bytes of body accepted, counted after decompression.
        follow_redirects: Whether redirects are followed (at most 5) or are the answer.
        accept_encoding: ``identity``, or ``gzip`` for a case that asks for it.
        http2: Offer HTTP/2 during the TLS handshake.
    """

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str | Secret] = field(default_factory=dict)
    json: Any = None
    form: Mapping[str, Any] | None = None
    multipart: Multipart | None = None
    raw: bytes | None = None
    timeout_s: float = 10.0
    stall_s: float = 10.0
    max_bytes: int = 16 * 1024 * 1024
    follow_redirects: bool = False
    accept_encoding: str = "identity"
    http2: bool = False


@dataclass(frozen=True)
class Case:
    """One declarative check.

    Attributes:
        id: ``<gate>/<slug>``, unique in its run; letters, digits, ``-`` and ``/`` only.
        gate: The marker it belongs to.
        name: As written, for people.
        file: Where it was read.
        line: Line of the case in that file, counted from 1.
        expect: What is expected; its keys are the gate's business.
        advisory: Its failure warns and does not block.
    """

    id: str
    gate: str
    name: str
    file: Path
    line: int
    expect: Mapping[str, Any] = field(default_factory=dict, repr=False)  # its secrets are plain
    advisory: bool = False


@dataclass(frozen=True, kw_only=True)
class HttpCase(Case):
    """A request and what is expected of the answer.

    Attributes:
        request: What is sent.
        capture: Values taken from the answer for later cases: name -> dotted path.
        needs: Names used as ``{{name}}`` in the request: captured by other cases.
        retries: Further attempts after a failed one; a pass on a retry is a warning.
    """

    request: Request
    capture: Mapping[str, str] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()
    retries: int = 0


@dataclass(frozen=True, kw_only=True)
class DataCase(Case):
    """A look at one deployment's data, or at its package; declared once, made for each UUID.

    Attributes:
        check: What is looked at, of the checks that the gate knows; empty where `table` says it.
        table: Logical name of the table that is looked at; empty where `check` says it.
        uuid: Of the file whose deployment it is; empty as declared.
    """

    check: str = ""
    table: str = ""
    uuid: str = ""

    def of(self, uuid: str) -> DataCase:
        """The same for one deployment."""
        return replace(self, uuid=uuid, id=f"{self.id}/{uuid}", name=f"{self.name} of {uuid}")


@dataclass(frozen=True, kw_only=True)
class CheckCase(Case):
    """A check of the environment as a whole, made once a run; it may send many requests.

    Attributes:
        check: Which one, of the checks that the gate knows.
        options: What the check needs to know; the values of variables are `Secret`.
    """

    check: str
    options: Mapping[str, Any] = field(default_factory=dict)
