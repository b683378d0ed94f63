"""Where redirects lead: the next request as RFC 9110 (15.4) has it, and an end to every chain."""

from __future__ import annotations

from collections.abc import Callable

from pytest_release.errors import TargetError
from pytest_release.targets._httpx import httpx
from pytest_release.targets.outgoing import without_user

MOST_REDIRECTS = 5
SHOWN = 300  # characters of an address that a message quotes
_STATUSES = (301, 302, 303, 307, 308)
_OF_A_BODY = {b"content-length", b"content-type", b"transfer-encoding"}


class Trail:
    """The requests of one exchange: as it was asked for, then where that was redirected to.

    Prints as the first request's method and all addresses.

    Args:
        first: The request that was asked for.
        private: Names of headers that only its own server may see, in lower case.
        redact: Removes secrets.
    """

    def __init__(
        self, first: httpx.Request, private: frozenset[str], redact: Callable[[str], str]
    ) -> None:
        self._requests = [first]
        self._private = private
        self._redact = redact

    def __str__(self) -> str:
        addresses = " -> ".join(
            self._redact(without_user(request.url))[:SHOWN] for request in self._requests
        )
        return f"{self._requests[0].method} {addresses}"

    @property
    def request(self) -> httpx.Request:
        """The one to send."""
        return self._requests[-1]

    def follow(self, status: int, location: str | None) -> bool:
        """Go where an answer says; False if it is no redirect.

        Raises:
            TargetError: It leads nowhere, in a loop, or too far.
        """
        if status not in _STATUSES or not location:
            return False
        step = self._step(status, location)
        looped = any(r.url == step.url and r.method == step.method for r in self._requests)
        self._requests.append(step)
        if looped:
            raise TargetError(f"{self}: redirected in a loop")
        if len(self._requests) > MOST_REDIRECTS + 1:
            raise TargetError(f"{self}: redirected more than {MOST_REDIRECTS} times")
        return True

    def _step(self, status: int, location: str) -> httpx.Request:
        last = self.request
        try:
            url = last.url.join(location)
        except (httpx.InvalidURL, ValueError):
            url = httpx.URL()
        if url.scheme not in ("http", "https") or not url.host:
            shown = self._redact(repr(location[:SHOWN]))
            raise TargetError(f"{self}: redirected to {shown}, which is no HTTP address")
        dropped = {b"host"}
        if (url.scheme, url.host, url.port) != (last.url.scheme, last.url.host, last.url.port):
            dropped |= {name.encode() for name in self._private}
        method, content = last.method, last.read()
        if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
            method, content = "GET", b""
            dropped |= _OF_A_BODY
        headers = [(name, value) for name, value in last.headers.raw if name.lower() not in dropped]
        return httpx.Request(method, url, headers=headers, content=content or None)
