"""What answers tell a browser to do, and what they should not tell anybody; plain HTTP, too."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from pytest_release.errors import TargetError
from pytest_release.gates._security_leaks import version
from pytest_release.gates._security_site import Site, shown, values
from pytest_release.targets.http import Exchange

YEAR_HALF_S = 15_552_000
CAREFUL = (
    "no-referrer",
    "same-origin",
    "strict-origin",
    "strict-origin-when-cross-origin",
)
PERMANENT = frozenset({301, 308})
REDIRECTS = frozenset({301, 302, 307, 308})


def headers(site: Site) -> None:
    """Each answer has the headers that the case asks for, and none that it forbids."""
    paths = site.options.get("paths") or [site.request().path]
    for path in paths:
        answer = site.ask(f"GET {path}", site.request(path=path), site.auth)
        site.answers(path, answer)
        for name, judge in _JUDGES.items():
            if name in site.expect:
                judge(site, path, answer, site.expect[name])


def _hsts(site: Site, path: str, answer: Exchange, wanted: Mapping[str, Any]) -> None:
    """RFC 6797: the first header counts (8.1); names in any case, a value may be quoted."""
    sent = values(answer, "strict-transport-security")
    if not sent:
        site.find("security.hsts", f"{path}: there is no Strict-Transport-Security")
        return
    given = {
        name.strip().lower(): value.strip().strip('"')
        for name, _, value in (part.partition("=") for part in sent[0].split(";"))
    }
    age, least = given.get("max-age", ""), int(wanted.get("min_age_s", YEAR_HALF_S))
    seconds = int(age) if re.fullmatch(r"[0-9]{1,12}", age) else -1
    if seconds < least:
        message = (
            f"{path}: Strict-Transport-Security holds {seconds} s, at least {least} are needed"
        )
        if seconds < 0:
            message = f"{path}: Strict-Transport-Security has no max-age: {shown(sent[0])}"
        site.find("security.hsts", message, f">= {least}", shown(sent[0]))
    for key, word in (("include_subdomains", "includesubdomains"), ("preload", "preload")):
        if wanted.get(key) and word not in given:
            message = f"{path}: Strict-Transport-Security has no {word}: {shown(sent[0])}"
            site.find("security.hsts", message)


def _nosniff(site: Site, path: str, answer: Exchange, wanted: bool) -> None:
    sent = ", ".join(values(answer, "x-content-type-options"))
    if wanted and sent.partition(",")[0].strip().lower() != "nosniff":
        found = shown(sent) or "missing"
        site.find("security.nosniff", f"{path}: X-Content-Type-Options is {found}, not nosniff")


def _policies(answer: Exchange) -> list[dict[str, list[str]]]:
    """Every policy of Content-Security-Policy; the first directive of a name counts (CSP3, 2.2)."""
    policies = []
    for policy in ",".join(values(answer, "content-security-policy")).split(","):
        directives: dict[str, list[str]] = {}
        for words in filter(None, (part.split() for part in policy.split(";"))):
            directives.setdefault(words[0].lower(), [word.lower() for word in words[1:]])
        if directives:
            policies.append(directives)
    return policies


def _framing(site: Site, path: str, answer: Exchange, wanted: bool) -> None:
    """frame-ancestors decides where there is one; X-Frame-Options does where there is none."""
    ancestors = [p["frame-ancestors"] for p in _policies(answer) if "frame-ancestors" in p]
    option = ", ".join(values(answer, "x-frame-options"))
    if ancestors:
        safe = any(not {"*", "http:", "https:"} & set(sources) for sources in ancestors)
        how = f"frame-ancestors is {shown(' '.join(ancestors[0]))}"
    else:
        safe = option.upper() in ("DENY", "SAMEORIGIN")
        how = f"there is no frame-ancestors, and X-Frame-Options is {shown(option) or 'missing'}"
    if wanted and not safe:
        site.find("security.framing", f"{path}: any page may put it into a frame: {how}")


def _csp(site: Site, path: str, answer: Exchange, wanted: Mapping[str, Any]) -> None:
    policies = _policies(answer)
    if not policies:
        only = values(answer, "content-security-policy-report-only")
        words = ", only one that reports" if only else ""
        site.find("security.csp", f"{path}: there is no Content-Security-Policy{words}")
        return
    for directive in wanted.get("directives", ("script-src", "style-src")):
        for word in wanted.get("forbid", ()):
            if all(_permits(policy, directive, word) for policy in policies):
                message = f"{path}: Content-Security-Policy permits {word} for {directive}"
                sent = shown(", ".join(values(answer, "content-security-policy")))
                site.find("security.csp", message, received=sent)
    for directive in wanted.get("require", ()):
        if not any(directive in policy for policy in policies):
            site.find("security.csp", f"{path}: Content-Security-Policy has no {directive}")


def _permits(policy: Mapping[str, list[str]], directive: str, word: str) -> bool:
    """CSP3, 6.7.3.2: unsafe-inline means nothing beside a nonce, a hash or strict-dynamic."""
    sources = policy.get(directive, policy.get("default-src"))
    if sources is None:
        return True
    if word == "unsafe-inline" and any(
        source.startswith(("'nonce-", "'sha256-", "'sha384-", "'sha512-", "'strict-dynamic'"))
        for source in sources
    ):
        return False
    return word in (source.strip("'") for source in sources)


def _referrer(site: Site, path: str, answer: Exchange, wanted: bool | list[str]) -> None:
    """The last word that a browser knows counts (Referrer Policy, 8.1)."""
    sent = ", ".join(values(answer, "referrer-policy"))
    last = sent.rpartition(",")[2].strip().lower()
    careful = wanted if isinstance(wanted, list) else CAREFUL
    if wanted and last not in careful:
        message = f"{path}: Referrer-Policy is {shown(sent) or 'missing'}, expected one of "
        site.find("security.referrer", message + ", ".join(careful))


def _forbidden(site: Site, path: str, answer: Exchange, wanted: list[str]) -> None:
    for name in wanted:
        for value in values(answer, name.lower()):
            site.find("security.forbidden-header", f"{path}: {name} is there: {shown(value)}")


def _versions(site: Site, path: str, answer: Exchange, wanted: bool) -> None:
    """Server may name the software, not which one of its versions."""
    if wanted:
        return
    for name in ("server", "via", "x-powered-by", "x-aspnet-version", "x-generator"):
        for value in values(answer, name):
            if re.search(r"\d+\.\d+", value) if name != "via" else version(value):
                site.find("security.version", f"{path}: {name} tells a version: {shown(value)}")


_JUDGES: Mapping[str, Callable[[Site, str, Exchange, Any], None]] = {
    "hsts": _hsts,
    "nosniff": _nosniff,
    "framing": _framing,
    "csp": _csp,
    "referrer_policy": _referrer,
    "forbid_headers": _forbidden,
    "versions": _versions,
}


def redirect(site: Site) -> None:
    """Plain HTTP leads to HTTPS on the same host, and gives nothing else."""
    request = site.request()
    try:
        answer = site.ask_plain(request)
    except TargetError as error:
        if not site.expect.get("closed"):
            site.find("security.no-answer", f"{site.plain_url} does not redirect: {error}")
        return
    what = f"{site.plain_url}{request.path}"
    if answer.status not in REDIRECTS:
        message = (
            f"{what} answers {answer.status} with {answer.content_bytes} bytes over plain HTTP"
        )
        site.find("security.plain-http", message, "a redirect to https", str(answer.status))
        return
    if site.expect.get("permanent") and answer.status not in PERMANENT:
        site.find("security.redirect", f"{what}: {answer.status} is no permanent redirect")
    _leads(site, what, (values(answer, "location") or [""])[0])


def _leads(site: Site, what: str, location: str) -> None:
    try:
        there = urlsplit(urljoin(what, location))
        scheme, host = there.scheme, there.hostname
    except ValueError:
        scheme, host = "", None
    hosts = {site.host, *site.options.get("hosts", ())}
    if scheme != "https" or host not in hosts:
        message = f"{what} redirects to {shown(location)!r} instead of https://{site.host}"
        site.find("security.redirect", message, f"https://{site.host}", shown(location))
