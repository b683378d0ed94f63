"""Which other origins a browser lets read answers (Fetch, 3.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

from pytest_release.gates._security_site import Site, shown, values
from pytest_release.targets.http import Exchange

FOREIGN = "https://foreign.example"
ALLOW_ORIGIN = "access-control-allow-origin"
ALLOW_CREDENTIALS = "access-control-allow-credentials"


def cors(site: Site) -> None:
    """Allowed origins are let read, and preflights of theirs; no other is, however it is spelt."""
    allowed = list(site.expect.get("allowed") or site.origins)
    for origin in _foreign(site, allowed):
        for what, answer in _asked(site, origin):
            _judge_foreign(site, origin, what, answer)
    for origin in allowed:
        (_, plain), (_, preflight) = _asked(site, origin)
        _judge_allowed(site, origin, plain)
        _judge_preflight(site, origin, preflight)


def _foreign(site: Site, allowed: list[str]) -> Iterator[str]:
    """Origins of others; some of them fool comparisons by prefix, suffix or pattern."""
    yield FOREIGN
    yield "null"  # of a sandboxed frame: anybody can have it
    yield from site.expect.get("foreign", ())
    for origin in allowed[:1]:
        parts = urlsplit(origin)
        yield f"{origin}.foreign.example"
        yield f"{parts.scheme}://foreign{parts.hostname}"
        if parts.scheme == "https":
            yield f"http://{parts.netloc}"


def _asked(site: Site, origin: str) -> Iterator[tuple[str, Exchange]]:
    request = site.request()
    headers = {**request.headers, "Origin": origin}
    auth = site.auth if site.options.get("authorised") else None
    plain = replace(request, headers=headers)
    answer = site.ask(f"{request.method} for {origin}", plain, auth)
    site.answers(f"{request.path}, asked for {origin},", answer)
    yield "answer", answer
    method = (site.expect.get("methods") or [request.method])[0]
    asking = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization",
    }
    preflight = site.request(method="OPTIONS", headers=asking, json=None, form=None)
    yield "preflight", site.ask(f"the preflight for {origin}", preflight)


def _judge_foreign(site: Site, origin: str, what: str, answer: Exchange) -> None:
    path = site.request().path
    let = ", ".join(values(answer, ALLOW_ORIGIN))
    private = values(answer, ALLOW_CREDENTIALS) == ["true"]
    if let == "*" and private:
        message = f"{path}: the {what} allows * and credentials: true"
        site.find("security.cors-wildcard", message)
    elif let == "*" and not site.expect.get("public"):
        message = f"{path}: the {what} lets every origin read: Access-Control-Allow-Origin is *"
        site.find("security.cors-wildcard", message)
    elif let and let == origin:
        words = ", with credentials" if private else ""
        message = f"{path}: the {what} lets the foreign origin {origin} read{words}"
        site.find("security.cors-foreign", message, "another origin, or none", shown(let))


def _judge_allowed(site: Site, origin: str, answer: Exchange) -> None:
    path, let = site.request().path, ", ".join(values(answer, ALLOW_ORIGIN))
    if let != origin and not (let == "*" and site.expect.get("public")):
        message = f"{path}: {origin} is not let read: Access-Control-Allow-Origin is "
        site.find(
            "security.cors-allowed", f"{message}{shown(let) or 'missing'}", origin, shown(let)
        )
        return
    if site.expect.get("credentials") and values(answer, ALLOW_CREDENTIALS) != ["true"]:
        message = f"{path}: {origin} is not let read with credentials"
        site.find("security.cors-allowed", message)
    vary = {word.strip().lower() for value in values(answer, "vary") for word in value.split(",")}
    if let == origin and not {"origin", "*"} & vary:
        message = f"{path}: no Vary: Origin, so a cache gives one origin's answer to another"
        site.find("security.cors-vary", message)


def _judge_preflight(site: Site, origin: str, answer: Exchange) -> None:
    what = f"{site.request().path}: the preflight for {origin}"
    if not 200 <= answer.status < 300:
        site.find("security.cors-preflight", f"{what} answers {answer.status}")
        return
    let = ", ".join(values(answer, ALLOW_ORIGIN))
    if let not in (origin, "*"):
        site.find("security.cors-preflight", f"{what} allows {shown(let) or 'nobody'}")
    listed = ", ".join(values(answer, "access-control-allow-methods"))
    methods = {method.strip().upper() for method in listed.split(",")}
    names = ", ".join(values(answer, "access-control-allow-headers")).lower()
    if site.options.get("authorised") and "authorization" not in names:  # * does not mean it
        message = f"{what} does not allow Authorization: {shown(names) or 'missing'}"
        site.find("security.cors-preflight", message)
    for method in site.expect.get("methods", ()):
        if method not in methods | {"GET", "HEAD", "POST"} and "*" not in methods:
            site.find("security.cors-preflight", f"{what} does not allow {method}: {shown(listed)}")
