"""Who is let in, and how often: authentication, and the limit of requests."""

from __future__ import annotations

import json
import re
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from pytest_release.config.cases import Request
from pytest_release.config.environment import Auth
from pytest_release.evidence import Severity
from pytest_release.gates._security_site import Site, values
from pytest_release.redaction import Secret, basic_credentials, reveal
from pytest_release.targets.http import Exchange

REFUSALS = (401, 403)
LIMITED = 429
GRACE_S = 0.05  # between two clocks


def auth(site: Site) -> None:
    """The right credentials are accepted, and no others; first the right ones."""
    right = site.auth
    if right is None:
        message = (
            f"that the right token is accepted could not be shown: {site.environment.name} has "
            f"neither auth nor services.edge.token"
        )
        site.stop("security.not-shown", message)
    request = site.request()
    answer = site.ask("the right credentials", request, right)
    accepted = site.expect.get("accepted", [200])
    if answer.status not in accepted:
        message = f"{request.path} answers {answer.status} to the right credentials"
        expected = ", ".join(map(str, accepted))
        site.find("security.token-refused", message, expected, str(answer.status))
    for wrong in _wrong(site, right):
        headers = {**request.headers, **({wrong.header: wrong.value} if wrong.value else {})}
        refused = site.ask(wrong.what, replace(request, headers=headers))
        _refused(site, wrong, refused, answer)
    _expired_is_known(site, right)


@dataclass(frozen=True)
class Wrong:
    """Credentials that must be refused; no value is none at all."""

    what: str
    header: str
    value: Secret | None


def _refused(site: Site, wrong: Wrong, answer: Exchange, right: Exchange) -> None:
    path, statuses = site.request().path, site.expect.get("refused", list(REFUSALS))
    said = f"{path} answers {answer.status} to {wrong.what}"
    if answer.status not in statuses:
        code = "security.unprotected" if wrong.value is None else "security.token-accepted"
        expected = " or ".join(map(str, statuses))
        if not 200 <= answer.status < 300:
            code = "security.refusal"
        site.find(code, f"{said}, expected {expected}", expected, str(answer.status))
    elif right.status != answer.status and answer.body and answer.body == right.body:
        site.find("security.refused-content", f"{said}, with all of its content nevertheless")


def _wrong(site: Site, right: Auth) -> Iterator[Wrong]:
    header = right.header or "Authorization" if right.scheme == "header" else "Authorization"
    yield Wrong("no credentials", header, None)
    if right.scheme == "basic":
        user, password = reveal(right.username or ""), reveal(right.password or "")
        for what, pair in {
            "another password": (user, secrets.token_hex(8)),
            "no password": (user, ""),
            "another user": (f"no-{secrets.token_hex(4)}", password),
        }.items():
            yield Wrong(what, header, Secret(f"Basic {basic_credentials(*pair)}"))
        return
    prefix = "Bearer " if right.scheme == "bearer" else ""
    token = reveal(right.token or "")
    for what, other in _tokens(token):
        yield Wrong(what, header, Secret(f"{prefix}{other}"))
    if expired := reveal(site.expired_token):
        yield Wrong("an expired token", header, Secret(f"{prefix}{expired}"))
    if right.scheme == "bearer":
        yield Wrong("no token behind Bearer", header, Secret("Bearer"))
        basic = basic_credentials("admin", secrets.token_hex(8))
        yield Wrong("another scheme, Basic", header, Secret(f"Basic {basic}"))


def _tokens(token: str) -> Iterator[tuple[str, str]]:
    """Tokens that are not the right one, some of them nearly."""
    yield "an invented token", secrets.token_urlsafe(24)
    yield "half of the right token", token[: len(token) // 2]
    parts = token.split(".")
    if len(parts) != 3 or not token.startswith("eyJ"):
        yield "the right token with its last character changed", token[:-1] + _other(token[-1:])
        return
    head, content, signature = parts
    # the first character: of the last one some bits mean nothing
    forged = f"{head}.{content}.{_other(signature[:1])}{signature[1:]}"
    yield "the right token with another signature", forged
    unsigned = urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode()
    yield "the right token unsigned, with alg none", f"{unsigned.rstrip('=')}.{content}."


def _other(character: str) -> str:
    return "B" if character == "A" else "A"


def _expired_is_known(site: Site, right: Auth) -> None:
    if right.scheme != "basic" and not reveal(site.expired_token):
        message = "an expired token was not tried: name one as services.edge.expired_token"
        site.find("security.not-checked", message, severity=Severity.WARNING)


def rate_limit(site: Site) -> None:
    """Within so many requests one is refused, and behind the time it states none."""
    most, request = int(site.expect["within"]), site.request()
    _permitted(site, most)
    auth = site.auth if site.options.get("authorised") else None
    for number in range(1, most + 1):
        answer = site.ask(f"request {number}", request, auth)
        if answer.status == LIMITED:
            break
        if not 200 <= answer.status < 300:
            message = f"request {number} of {most} to {request.path} answers {answer.status}"
            site.stop("security.rate-limit", f"{message}, neither an answer nor {LIMITED}")
    else:
        site.stop("security.rate-limit", f"none of {most} requests to {request.path} was refused")
    site.samples["requests_until_refused"] = [number]
    if number <= (least := int(site.expect.get("at_least", 1))):
        message = f"request {number} to {request.path} is refused already, {least} should pass"
        site.find("security.rate-limit", message)
    began = time.monotonic()
    wait = _retry_after(site, answer)
    _evaded(site, request, auth)
    if wait is not None:
        _recovered(site, request, auth, began, wait)


def _permitted(site: Site, most: int) -> None:
    """In production with permission; anywhere within the policy's ``max_requests``."""
    name, cap, all_of_them = site.environment.name, site.limit("max_requests"), most + 3
    if not site.allows("allow_rate_limit"):
        message = f"no limit was tried in {name}: its policy does not say allow_rate_limit: true"
        site.stop("security.forbidden", message)
    if cap is None and site.environment.role == "production":
        site.stop(
            "security.forbidden", f"no limit was tried in {name}: its policy has no max_requests"
        )
    if cap is not None and all_of_them > cap:
        message = f"{all_of_them} requests are more than the {cap} of max_requests"
        site.stop("security.forbidden", f"no limit was tried in {name}: {message}")


def _retry_after(site: Site, answer: Exchange) -> float | None:
    """Seconds to wait; as long as the case allows where it is not said; None for too long."""
    most = float(site.expect.get("recovers_within_s", 60))
    stated = (values(answer, "retry-after") or [""])[0]
    seconds = _seconds(stated)
    if seconds is None:
        how = f"with Retry-After: {stated[:40]!r}" if stated else "without Retry-After"
        site.find("security.retry-after", f"{LIMITED} {how}: nobody knows how long to wait")
        return most
    if seconds > most:
        message = f"Retry-After states {seconds:g} s, at most {most:g} are allowed"
        site.find("security.retry-after", message, f"<= {most:g}", f"{seconds:g}")
        return None
    return seconds


def _seconds(stated: str) -> float | None:
    """RFC 9110, 10.2.3: seconds, or a date."""
    if re.fullmatch(r"[0-9]{1,9}", stated):
        return float(stated)
    try:
        moment = parsedate_to_datetime(stated[:100])
    except (ValueError, TypeError, OverflowError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0)


def _evaded(site: Site, request: Request, auth: Auth | None) -> None:
    """What anybody can write into a header makes nobody another client."""
    address = f"203.0.113.{secrets.randbelow(254) + 1}"  # of TEST-NET-3 (RFC 5737)
    names = ("X-Forwarded-For", "X-Real-IP", "Forwarded")
    invented = dict.fromkeys(names[:2], address) | {"Forwarded": f"for={address}"}
    headers = {**request.headers, **invented}
    evading = site.ask("a forged X-Forwarded-For", replace(request, headers=headers), auth)
    if evading.status == LIMITED:
        return
    if site.ask("the request again", request, auth).status == LIMITED:
        message = f"{request.path}: a forged X-Forwarded-For evades the limit ({evading.status})"
        site.find("security.rate-limit-evaded", message, str(LIMITED), str(evading.status))
        return
    message = "the limit ended before a forged X-Forwarded-For could be tried"
    site.find("security.not-checked", message, severity=Severity.WARNING)


def _recovered(site: Site, request: Request, auth: Auth | None, began: float, wait: float) -> None:
    time.sleep(max(began + wait + GRACE_S - time.monotonic(), 0))  # the time that the server states
    answer = site.ask("the request behind that time", request, auth)
    waited = time.monotonic() - began
    if not 200 <= answer.status < 300:
        message = f"{request.path} answers {answer.status} {waited:.1f} s after it began to refuse"
        site.find("security.rate-limit-stuck", f"{message}; {wait:g} s were to be waited")
    site.samples["recovery_s"] = [waited]
