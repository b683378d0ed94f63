"""Where a check of security asks: guarded by role, bounded, all that is found in one place.

Nothing that a server said comes into a finding but through `shown`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, NoReturn
from urllib.parse import urlsplit, urlunsplit

from pytest_release.config.cases import CheckCase, Request
from pytest_release.config.environment import Auth, GatePolicy
from pytest_release.errors import TargetError
from pytest_release.evidence import Finding, Severity
from pytest_release.gates._scene import Scene
from pytest_release.gates._security_leaks import masked
from pytest_release.hostile import one_line
from pytest_release.redaction import Secret, reveal
from pytest_release.sampling import Sample
from pytest_release.targets.http import SHOWN_HEADER, SHOWN_HEADERS, Exchange, HttpTarget

PATIENCE_S = 10.0  # for an answer; a case's `timeout_s` overrides it
MOST_BODY = 4 * 1024 * 1024  # bytes of an answer
SHOWN = 160  # characters of a server's words in a finding
HARMLESS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110, 9.2.1: safe


class StopError(Exception):
    """The check cannot go on; why is a finding already."""


class Site:
    """One check's way to ask.

    Args:
        case: Its options name the request.
        policy: What it does not allow is not done in production.
        scene: Its environment's ``services.edge`` says where TLS ends, if that is not ``base_url``.

    Attributes:
        findings: So far.
        samples: Figures so far, by name.
    """

    def __init__(self, case: CheckCase, policy: GatePolicy, scene: Scene) -> None:
        self.case = case
        self.options: Mapping[str, Any] = case.options
        self.expect: Mapping[str, Any] = case.expect
        self.findings: list[Finding] = []
        self.samples: dict[str, list[Sample | float]] = {"latency_ms": []}
        self.environment = scene.environment
        self._policy = policy
        self._targets: dict[Auth | None, HttpTarget] = {}
        self._edge = scene.environment.services.get("edge", {})

    @property
    def timeout_s(self) -> float:
        """For one answer, or one handshake."""
        return float(self.options.get("timeout_s", PATIENCE_S))

    @cached_property
    def url(self) -> str:
        """Where TLS ends, without user and password.

        Raises:
            TargetError: The environment names no address.
        """
        address = self._edge.get("url") or self.environment.base_url
        if not address:
            raise TargetError(f"the environment {self.environment.name} has no base_url")
        return _without_user(reveal(address))

    @property
    def host(self) -> str:
        """Of that address."""
        return urlsplit(self.url).hostname or ""

    @cached_property
    def plain_url(self) -> str:
        """The same place without TLS."""
        given = self._edge.get("plain_url")
        return _without_user(reveal(given)) if given else f"http://{_bracketed(self.host)}"

    @property
    def ca_file(self) -> str | None:
        """The roots that are trusted; None for this machine's."""
        given = self._edge.get("ca_file") or self.environment.verify_tls
        return reveal(given) if isinstance(given, str | Secret) else None

    @property
    def auth(self) -> Auth | None:
        """What is accepted as the environment says; None where it does not say."""
        if reveal(token := self._edge.get("token", "")):
            return Auth("bearer", token)
        return self.environment.auth

    @property
    def expired_token(self) -> str | Secret:
        """One that was right; empty where the environment gives none."""
        given: str | Secret = self._edge.get("expired_token", "")
        return given

    @property
    def origins(self) -> list[str]:
        """Whose pages may read answers, where the case does not say."""
        return list(map(reveal, self._edge.get("origins", ())))

    def allows(self, permission: str) -> bool:
        """Whether the policy permits it, or the role needs no permission."""
        return self.environment.role != "production" or self._policy.options.get(permission) is True

    def limit(self, permission: str) -> int | None:
        """A number of the policy; None for no limit."""
        value = self._policy.options.get(permission)
        return None if value is None else int(value)

    def request(self, **changes: Any) -> Request:  # noqa: ANN401 - fields of a request
        """The case's request, with some of its fields changed."""
        asked = dict(self.options.get("request", {}))
        fields = {
            name: asked[name] for name in ("headers", "params", "json", "form") if name in asked
        }
        limits: dict[str, Any] = {
            "timeout_s": self.timeout_s,
            "stall_s": self.timeout_s,
            "max_bytes": MOST_BODY,
        }
        made = Request(asked.get("method", "GET"), asked.get("path", "/"), **fields, **limits)
        return replace(made, **changes)

    def ask(self, what: str, request: Request, auth: Auth | None = None) -> Exchange:
        """Send a request, authorised only if told so; follow nothing.

        Raises:
            StopError: It must not be sent.
            TargetError: There was no answer.
        """
        self._guard(what, request)
        answer = self._target(auth).send(request)
        self.samples["latency_ms"].append(answer.total)
        if answer.broken:
            self.find("security.broken", f"{what}: {one_line(answer.broken)}")
        longest = max((len(value) for _, value in answer.headers), default=0)
        if len(answer.headers) >= SHOWN_HEADERS or longest >= SHOWN_HEADER:
            message = f"{what}: {len(answer.headers)} headers, one of {longest} characters or more"
            self.find("security.not-shown", f"{message}: not all of them were looked at")
        return answer

    def ask_plain(self, request: Request) -> Exchange:
        """Send a request where there is no TLS, without any authorisation."""
        target = HttpTarget(replace(self.environment, base_url=self.plain_url, auth=None))
        answer = target.send(request)
        self.samples["latency_ms"].append(answer.total)
        return answer

    def _guard(self, what: str, request: Request) -> None:
        if request.method not in HARMLESS and not self.allows("allow_writes"):
            message = (
                f"{what}: {request.method} {request.path} was not sent to "
                f"{self.environment.name}: its policy does not say allow_writes: true"
            )
            self.stop("security.forbidden", message)

    def _target(self, auth: Auth | None) -> HttpTarget:
        if auth not in self._targets:
            trusted = self.ca_file or self.environment.verify_tls
            there = replace(self.environment, base_url=self.url, verify_tls=trusted, auth=auth)
            self._targets[auth] = HttpTarget(there)
        return self._targets[auth]

    def answers(self, what: str, answer: Exchange) -> bool:
        """Whether it is the page that is meant, and not a refusal or the way to another."""
        if well := 200 <= answer.status < 300:
            return well
        message = f"{what} answers {answer.status}: what it says is not of the page that is meant"
        self.find("security.status", message, "2xx", str(answer.status))
        return False

    def find(
        self,
        code: str,
        message: str,
        expected: str = "",
        received: str = "",
        severity: Severity = Severity.FAILURE,
    ) -> None:
        """Note something wrong."""
        redact = self.environment.redactor
        parts = (redact(part) for part in (expected, received))
        self.findings.append(Finding(code, redact(message), severity, *parts))

    def stop(self, code: str, message: str) -> NoReturn:
        """Note something wrong that ends the check.

        Raises:
            StopError: Always.
        """
        self.find(code, message)
        raise StopError


def _without_user(address: str) -> str:
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def shown(text: str) -> str:
    """What a server said: visible, on one line, without secrets, cut."""
    text = masked(one_line(text[: 4 * SHOWN]))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def values(answer: Exchange, name: str) -> list[str]:
    """A header's values, one for each time it was sent."""
    return [value.strip() for key, value in answer.headers if key == name]


def text_of(answer: Exchange) -> str:
    """The body, whatever it is."""
    return answer.body.decode(errors="replace")
