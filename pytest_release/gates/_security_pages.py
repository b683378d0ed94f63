"""What is shown where something went wrong, and what should not be there at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from urllib.parse import urljoin, urlsplit

from pytest_release.config.cases import Request
from pytest_release.errors import TargetError
from pytest_release.gates._security_leaks import secrets_in, traces, version
from pytest_release.gates._security_site import Site, StopError, shown, text_of, values
from pytest_release.targets.http import Exchange

MALFORMED = b'{"match_id": 1, "teams": ["'
MOST_ERROR = 256 * 1024  # bytes of the page of an error, all of which are searched
LONG_ENOUGH = 8  # characters of a known secret: a shorter one may be an ordinary word
ABSENT = frozenset({400, 401, 403, 404, 405, 410, 421, 451, 501})


@dataclass(frozen=True)
class Odd:
    """A request that is answered by an error page."""

    what: str
    request: Request


def errors(site: Site) -> None:
    """No error page tells how the server is made, or a secret; what several tell is said once."""
    told: dict[tuple[str, str], list[str]] = {}
    for odd in _oddities(site):
        try:
            auth = None if odd.request.method == "TRACE" else site.auth  # RFC 9110, 9.3.8
            answer = site.ask(odd.what, odd.request, auth)
        except TargetError as error:  # a connection that is closed shows nothing
            site.find("security.no-answer", f"{odd.what}: {shown(str(error))}")
            continue
        except StopError:
            break
        for found in (*_leaks(site, answer), *_wrong(site, odd, answer)):
            told.setdefault(found, []).append(f"{odd.what} (status {answer.status})")
    for (code, message), pages in told.items():
        others = f", and {len(pages) - 1} more" if len(pages) > 1 else ""
        site.find(code, f"{pages[0]}{others}: {message}")


def _oddities(site: Site) -> Iterator[Odd]:
    request = site.request()
    request = replace(request, max_bytes=MOST_ERROR)
    get = replace(request, method="GET", json=None, form=None)
    yield Odd("a path that is not there", replace(get, path=f"/no-{secrets.token_hex(6)}"))
    yield Odd("a method that is not allowed", replace(get, method="TRACE"))
    yield Odd("a path with a NUL", replace(get, path=f"{request.path.rstrip('/')}/%00"))
    yield Odd("a path that is no UTF-8", replace(get, path=f"{request.path.rstrip('/')}/%ff%fe"))
    yield Odd("a path of 4000 characters", replace(get, path="/" + "a" * 3999))
    yield Odd("quotes in a query", replace(get, params={"id": "'\"<x>", "page[]": "-1"}))
    unknown = {**request.headers, "Accept": "application/x-odd", "Cookie": "session=%00"}
    yield Odd("an odd Accept and Cookie", replace(get, headers=unknown))
    for path in site.options.get("paths", ()):
        yield Odd(f"GET {path}", replace(get, path=path))
    if path := site.options.get("json_path"):
        typed = {**request.headers, "Content-Type": "application/json"}
        post = replace(get, method="POST", path=path, headers=typed, raw=MALFORMED)
        yield Odd("malformed JSON", post)


def _leaks(site: Site, answer: Exchange) -> Iterator[tuple[str, str]]:
    """Code and message of each, in the body and in the headers."""
    known = [secret for secret in site.environment.redactor.values if len(secret) >= LONG_ENOUGH]
    heads = "\n".join(f"{name}: {value}" for name, value in answer.headers)
    for where, text in (("its body", text_of(answer)), ("a header", heads)):
        for what, words in traces(text):
            yield "security.stack-trace", f"{where} has {what}: {shown(words)!r}"
        if found := version(text):
            yield "security.version", f"{where} tells a version: {shown(found)}"
        for what, hint in secrets_in(text):
            yield "security.secret", f"{where} has {what} ({shown(hint)})"
        if any(secret in text for secret in known):
            message = f"{where} has a secret of the environment {site.environment.name}"
            yield "security.secret", message


def _wrong(site: Site, odd: Odd, answer: Exchange) -> Iterator[tuple[str, str]]:
    if odd.request.method == "TRACE" and 200 <= answer.status < 300:
        yield "security.trace", "TRACE echoes what it is sent, headers included"
    if answer.status >= 500 and site.expect.get("no_server_errors"):
        yield "security.server-error", "what is wrong with the request is no 4xx"


def exposed(site: Site) -> None:
    """Nothing answers where nothing should be: no documentation, debugger, file or figure."""
    get = replace(site.request(), method="GET", json=None, form=None)
    nowhere = f"/no-{secrets.token_hex(6)}"
    usual = site.ask("a path that is not there", replace(get, path=nowhere))
    for path in site.options["paths"]:
        answer = _followed(site, replace(get, path=path))
        if answer is None or answer.status in ABSENT:
            continue
        if 200 <= answer.status < 300 and usual.status == answer.status:
            if _same(answer, path, usual, nowhere):
                continue
            what = f"{path} answers unlike other paths that are not there"
        else:
            what = f"{path} answers {answer.status}"
        kind = shown((values(answer, "content-type") or ["no type"])[0])
        message = f"{what}: {answer.content_bytes} bytes, {kind}"
        site.find("security.exposed", message, "404", str(answer.status))


def _followed(site: Site, request: Request) -> Exchange | None:
    """The answer; one redirect within the path is followed, any other leads away: None."""
    answer = site.ask(f"GET {request.path}", request)
    if not 300 <= answer.status < 400:
        return answer
    try:
        there = urlsplit(
            urljoin(f"{site.url}{request.path}", (values(answer, "location") or [""])[0])
        )
        within = there.hostname == site.host and there.path.startswith(request.path)
    except ValueError:
        return None
    if not within:
        return None
    answer = site.ask(f"GET {there.path}", replace(request, path=there.path))
    return None if 300 <= answer.status < 400 else answer


def _same(answer: Exchange, path: str, usual: Exchange, nowhere: str) -> bool:
    """Whether both are the one page that this server has for whatever is not there."""
    return text_of(answer).replace(path, "") == text_of(usual).replace(nowhere, "")
