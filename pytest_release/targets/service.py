"""An HTTP service beside the deployment: its own address and authorisation, bounded answers.

It speaks over `HttpTarget`, with the environment's TLS settings and redactor. The environment's own
authorisation is not sent there, and what is no answer is a `TargetError` with address and request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pytest_release.config.cases import Request
from pytest_release.config.environment import Auth, Environment
from pytest_release.errors import TargetError
from pytest_release.redaction import Secret, reveal
from pytest_release.targets.http import Exchange, HttpTarget

TIMEOUT_S = 10.0  # for an answer
LARGEST = 8 * 1024 * 1024  # bytes of an answer
SHOWN = 300  # characters of what a service said

T = TypeVar("T")


@dataclass(frozen=True)
class Health:
    """What a probe said.

    Attributes:
        well: It is the answer of a server that is well; a login page is not.
        said: Status and first line, for people.
    """

    well: bool
    said: str


class Service:
    """One service.

    Args:
        options: ``services.<name>`` of an environment: ``url``, perhaps ``username`` and
            ``password``, or ``token``.
        environment: Lends its TLS settings and its redactor.
        name: Of the service in the environment.
        expected: What its address looks like.
        key: Of the address among the options.

    Attributes:
        place: Its address, for messages.

    Raises:
        TargetError: The environment does not give its address.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        environment: Environment,
        name: str,
        expected: str,
        key: str = "url",
    ) -> None:
        url = reveal(options.get(key, "")).rstrip("/")
        if not url.startswith(("http://", "https://")):
            raise TargetError(f"{environment.source}: services.{name}.{key}: expected {expected}")
        auth = None
        if token := options.get("token"):
            auth = Auth("bearer", token=Secret(reveal(token)))
        elif username := options.get("username"):
            password = Secret(reveal(options.get("password", "")))
            auth = Auth("basic", username=username, password=password)
        self._http = HttpTarget(replace(environment, base_url=url, auth=auth))
        self.place = self._http.describe(Request("GET", "/"), {}).url.rstrip("/")

    def ask(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        method: str = "GET",
        body: bytes | None = None,
    ) -> Exchange:
        """One request; the whole answer, whatever its status.

        Raises:
            TargetError: There is none, or it broke off.
        """
        request = Request(
            method,
            path,
            params=params or {},
            raw=body,
            timeout_s=TIMEOUT_S,
            stall_s=TIMEOUT_S,
            max_bytes=LARGEST,
        )
        answer = self._http.send(request)
        if answer.broken:
            raise TargetError(f"{self.place}{path} breaks off: {answer.broken}")
        return answer

    def probe(self, path: str, word: str) -> Health:
        """Whether a probe is answered 200 with a word in its text, and not by any page."""
        answer = self.ask(path)
        text = answer.body[:SHOWN].decode(errors="replace").strip()
        well = answer.status == 200 and word in text.lower() and not text.startswith("<")
        return Health(well, said(answer))

    def json(self, path: str, params: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401
        """The JSON of an answer 200.

        Raises:
            TargetError: It is another answer.
        """
        answer = self.ask(path, params)
        try:
            if answer.status == 200:
                return json.loads(answer.body)
        except (ValueError, RecursionError):
            pass
        hint = ": it wants another login" if answer.status in (401, 403) else ""
        raise TargetError(f"{self.place}{path} answers {said(answer)}: expected 200 and JSON{hint}")

    def read(self, path: str, data: Any, make: Callable[[Any], T]) -> T:  # noqa: ANN401 - JSON
        """What an answer's JSON means.

        Raises:
            TargetError: It has another form.
        """
        try:
            return make(data)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError):
            raise TargetError(f"{self.place}{path} answers in another form than expected") from None


def said(answer: Exchange) -> str:
    """Status and first line of an answer, for people."""
    text = answer.body[:SHOWN].decode(errors="replace").strip()
    return f"{answer.status} {text.partition(chr(10))[0]!r}"
