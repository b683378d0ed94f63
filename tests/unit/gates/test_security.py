"""The security gate against answers made up here; the sandbox's edge is in tests/integration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography import x509

from pytest_release.config.cases import CheckCase, Request
from pytest_release.config.environment import Auth, Environment, GatePolicy
from pytest_release.errors import TargetError
from pytest_release.evidence import Evidence, Severity
from pytest_release.gates import _security_access, _security_site
from pytest_release.gates._check import check
from pytest_release.gates._scene import Scene
from pytest_release.gates._security_leaks import masked, secrets_in, traces, version
from pytest_release.gates._security_site import SHOWN, Site, StopError, shown
from pytest_release.gates._security_tls import _covers, _strong
from pytest_release.redaction import Redactor, Secret, reveal
from pytest_release.sampling import Sample
from pytest_release.targets.http import HttpTarget

HERE = Path("here.yaml")
TOKEN = "the-right-token"
NO_TOKEN = (
    "that the right token is accepted could not be shown: here has neither auth nor "
    "services.edge.token"
)
NOBODY = cast("HttpTarget", None)  # the gate asks at the edge, not there
BEARER = Auth("bearer", Secret(TOKEN))
# a self-signed certificate with SHA-1 and a key on a curve of 192 bits, made by openssl
OLD = b"""-----BEGIN CERTIFICATE-----
MIIBUDCCAQigAwIBAgIUdhUuzz6c7dsSnXV2/wKtpEVdt+gwCQYHKoZIzj0EATAO
MQwwCgYDVQQDDANvbGQwIBcNMjYxMTI4MTgxMTM4WhgPMjEyNjExMDQxODExMzha
MA4xDDAKBgNVBAMMA29sZDBJMBMGByqGSM49AgEGCCqGSM49AwEBAzIABMeMxUiz
MMxgDXXDzUisfC1+/Zq0/pAyHAw9NJg/YIIPlcLEBWCwT6sgcOVOHE78JaNTMFEw
HQYDVR0OBBYEFPECUrgB6/GPGZZU9fVzlrcxxUDMMB8GA1UdIwQYMBaAFPECUrgB
6/GPGZZU9fVzlrcxxUDMMA8GA1UdEwEB/wQFMAMBAf8wCQYHKoZIzj0EAQM3ADA0
Ahgs78XfiGTNR8xVQS+bUlfRQMSGZRJwT40CGFWLtCfhgbW4wa19Y3ONrOxoV/zw
m8jskA==
-----END CERTIFICATE-----
"""

Said = tuple[int, Mapping[str, Any], bytes]
Say = Callable[[Request, Auth | None], Said]
Checked = Callable[..., Evidence]


class Wire:
    """Answers instead of a network, and keeps what was asked."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.asked: list[tuple[Request, Auth | None]] = []

    def target(self, environment: Environment) -> Any:  # noqa: ANN401 - as much as is used
        """What stands for an `HttpTarget`."""
        return SimpleNamespace(send=lambda request: self.send(request, environment.auth))

    def send(self, request: Request, auth: Auth | None) -> Any:  # noqa: ANN401 - see above
        """What `say` says; a header with several values is a list."""
        self.asked.append((request, auth))
        status, headers, body = self.say(request, auth)
        each = [
            (name.lower(), text)
            for name, value in headers.items()
            for text in (value if isinstance(value, list) else [value])
        ]
        return SimpleNamespace(
            status=status,
            headers=tuple(each),
            body=body,
            content_bytes=len(body),
            broken=None,
            total=Sample(1.0, 1.0, 1.0, "made up"),
        )


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Says 200 to everything, until a test says otherwise."""
    made = Wire(lambda _request, _auth: (200, {}, b""))
    monkeypatch.setattr(_security_site, "HttpTarget", made.target)
    return made


def environment(role: str = "staging", **fields: Any) -> Environment:  # noqa: ANN401 - its fields
    """One at https://shop.example."""
    return Environment("here", role, "shop", "https://shop.example", HERE, "", {}, **fields)


def checked(
    name: str,
    there: Environment | None = None,
    policy: Mapping[str, Any] | None = None,
    expect: Mapping[str, Any] | None = None,
    **options: Any,  # noqa: ANN401 - of the case
) -> Evidence:
    """What a check makes of these answers."""
    case = CheckCase(
        "security/a", "security", "a", HERE, 1, expect or {}, check=name, options=options
    )
    there = there or environment()
    scene = Scene(there, NOBODY)
    return check(case, GatePolicy(options=policy or {}), scene)


def said(evidence: Evidence) -> list[tuple[str, str]]:
    """Code without the gate, and message."""
    return [(found.code.partition(".")[2], found.message) for found in evidence.findings]


def site(there: Environment | None = None, **expect: Any) -> Site:  # noqa: ANN401 - of the case
    """Where a part of a check notes its findings."""
    there = there or environment()
    case = CheckCase("security/a", "security", "a", HERE, 1, expect, check="certificate")
    return Site(case, GatePolicy(), Scene(there, NOBODY))


HEADERS = {
    "hsts": {"min_age_s": 100},
    "nosniff": True,
    "framing": True,
    "csp": {"forbid": ["unsafe-inline", "*"]},
    "referrer_policy": True,
    "versions": False,
}
GOOD: dict[str, Any] = {
    "Strict-Transport-Security": 'MAX-AGE="100" ; includeSubDomains',
    "X-Content-Type-Options": "NoSniff",
    "Content-Security-Policy": "default-src 'self'; script-src 'unsafe-inline' 'nonce-abc'",
    "X-Frame-Options": "sameorigin",
    "Referrer-Policy": "unknown-word, same-origin",
    "Server": "edge",
}


def test_good_headers_are_read_as_browsers_read_them(wire: Wire) -> None:
    """Any case, quoted values, nonces that switch unsafe-inline off, the last known referrer."""
    wire.say = lambda _request, _auth: (200, GOOD, b"")

    assert said(checked("headers", expect=HEADERS)) == []


@pytest.mark.parametrize(
    ("changed", "code", "message"),
    [
        (
            {"Strict-Transport-Security": ["max-age=5", "max-age=100"]},
            "hsts",
            "/: Strict-Transport-Security holds 5 s, at least 100 are needed",
        ),
        (
            {"Strict-Transport-Security": "max-age=-100"},
            "hsts",
            "/: Strict-Transport-Security has no max-age: max-age=-100",
        ),
        (
            {"X-Content-Type-Options": "sniff"},
            "nosniff",
            "/: X-Content-Type-Options is sniff, not nosniff",
        ),
        (
            {"X-Frame-Options": "ALLOW-FROM https://x.example"},
            "framing",
            "there is no frame-ancestors, and X-Frame-Options is ALLOW-FROM https://x.example",
        ),
        (
            {"Content-Security-Policy": "default-src 'self'; frame-ancestors https: *"},
            "framing",
            "frame-ancestors is https: *",
        ),
        (
            {"Content-Security-Policy": "script-src 'self'; style-src 'self' 'unsafe-inline'"},
            "csp",
            "/: Content-Security-Policy permits unsafe-inline for style-src",
        ),
        (
            {"Content-Security-Policy": "style-src 'self'"},
            "csp",
            "/: Content-Security-Policy permits unsafe-inline for script-src",
        ),
        (
            {"Content-Security-Policy": "default-src *"},
            "csp",
            "/: Content-Security-Policy permits * for script-src",
        ),
        ({"Content-Security-Policy": " ; ,"}, "csp", "/: there is no Content-Security-Policy"),
        (
            {"Referrer-Policy": "same-origin, unsafe-url"},
            "referrer",
            "Referrer-Policy is same-origin, unsafe-url, expected one of no-referrer",
        ),
        ({"Server": "edge (v 2.4)"}, "version", "/: server tells a version: edge (v 2.4)"),
        ({"Via": "1.1 nginx/1.22.1"}, "version", "/: via tells a version: 1.1 nginx/1.22.1"),
    ],
)
def test_a_header_that_does_not_protect(
    wire: Wire, changed: Mapping[str, Any], code: str, message: str
) -> None:
    """What is found says what was sent."""
    wire.say = lambda _request, _auth: (200, {**GOOD, **changed}, b"")
    found = said(checked("headers", expect=HEADERS))

    assert {each for each, _ in found} == {code}
    assert any(message in text for _, text in found)


def test_two_policies_are_both_enforced(wire: Wire) -> None:
    """What one of them forbids is forbidden."""
    policies = ["default-src * 'unsafe-inline'", "script-src 'self'; style-src 'self'"]
    wire.say = lambda _request, _auth: (200, GOOD | {"Content-Security-Policy": policies}, b"")

    assert said(checked("headers", expect=HEADERS)) == []


def test_the_headers_of_another_page_are_none(wire: Wire) -> None:
    """A redirect to a login, or an error, is not the page that is meant."""
    wire.say = lambda _request, _auth: (302, GOOD, b"")

    assert said(checked("headers", expect=HEADERS)) == [
        ("status", "/ answers 302: what it says is not of the page that is meant")
    ]


def test_required_directives_and_subdomains(wire: Wire) -> None:
    """Both are asked for by name."""
    wire.say = lambda _request, _auth: (200, GOOD, b"")
    expect = {"hsts": {"min_age_s": 0, "preload": True}, "csp": {"require": ["object-src"]}}

    assert said(checked("headers", expect=expect)) == [
        (
            "hsts",
            '/: Strict-Transport-Security has no preload: MAX-AGE="100" ; includeSubDomains',
        ),
        ("csp", "/: Content-Security-Policy has no object-src"),
    ]


@pytest.mark.parametrize(
    "headers", [{"X-Long": "x" * 8000}, {f"X-{number}": "" for number in range(100)}]
)
def test_headers_that_were_not_read_whole_do_not_pass(
    wire: Wire, headers: Mapping[str, str]
) -> None:
    """What was cut off may be what matters."""
    wire.say = lambda _request, _auth: (200, {**GOOD, **headers}, b"")

    assert [code for code, _ in said(checked("headers", expect=HEADERS))] == ["not-shown"]


def lets(*right: Auth | None) -> Say:
    """Lets these in, and anybody whose header says the right token; refuses everybody else."""

    def say(request: Request, auth: Auth | None) -> Said:
        known = auth in right and not request.headers
        return (200, {}, b"content") if known else (401, {}, b"no")

    return say


HEADER = Auth("header", Secret(TOKEN), header="X-API-Key")
BASIC = Auth("basic", username="gate", password=Secret("correct-horse"))


@pytest.mark.parametrize("right", [BEARER, HEADER, BASIC])
def test_each_scheme_has_its_wrong_credentials(wire: Wire, right: Auth) -> None:
    """None of them is the right one; none is sent beside it, and none is told."""
    wire.say = lets(right)
    evidence = checked("auth", environment(auth=right))
    first, *others = wire.asked
    sent = [reveal(value) for request, _ in others for value in request.headers.values()]

    assert evidence.failures == ()
    assert first[1] == right
    assert len(others) >= 4
    assert {auth for _, auth in others} == {None}
    assert len(set(sent)) == len(sent) == len(others) - 1
    assert TOKEN not in sent
    assert f"Bearer {TOKEN}" not in sent


def test_without_the_right_token_nothing_is_shown(wire: Wire) -> None:
    """A service that refuses everybody would pass."""
    evidence = checked("auth")

    assert wire.asked == []
    assert said(evidence) == [
        ("not-shown", NO_TOKEN),
    ]


def test_a_redirect_to_a_login_is_no_refusal_by_itself(wire: Wire) -> None:
    """The case says where it is one; neither is it an answer to the right token."""
    wire.say = lambda _request, _auth: (302, {"Location": "/login"}, b"")
    codes = {code for code, _ in said(checked("auth", environment(auth=BEARER)))}

    assert codes == {"token-refused", "refusal", "not-checked"}
    wire.say = lambda request, auth: (200 if auth and not request.headers else 302, {}, b"")
    expect = {"refused": [302, 401]}
    assert checked("auth", environment(auth=BEARER), expect=expect).failures == ()


def test_without_an_expired_token_that_is_a_warning(wire: Wire) -> None:
    """It says how to name one; an empty variable is none."""
    wire.say = lets(BEARER)
    edge = {"edge": {"token": Secret(""), "expired_token": Secret("")}}
    evidence = checked("auth", environment(auth=BEARER, services=edge))

    assert [found.severity for found in evidence.findings] == [Severity.WARNING]
    assert "name one as services.edge.expired_token" in evidence.findings[0].message


@pytest.mark.parametrize("name", ["cookies", "errors", "cors", "auth"])
def test_production_is_sent_nothing_that_could_change_it(wire: Wire, name: str) -> None:
    """Without permission; what was asked before it only reads."""
    there = environment("production", auth=BEARER)
    options: dict[str, Any] = {"request": {"method": "POST", "path": "/login"}, "json_path": "/api"}
    found = said(checked(name, there, expect={"cookies": {"s": None}}, **options))

    forbidden = dict(found)["forbidden"]
    assert "was not sent to here: its policy does not say allow_writes: true" in forbidden
    assert {request.method for request, _ in wire.asked} <= {"GET", "TRACE"}


def test_production_with_permission_is_sent_it(wire: Wire) -> None:
    """The policy says so."""
    checked("errors", environment("production"), {"allow_writes": True}, json_path="/api")

    assert wire.asked[-1][0].method == "POST"


@pytest.mark.parametrize(
    ("role", "policy", "message"),
    [
        ("production", {}, "its policy does not say allow_rate_limit: true"),
        ("production", {"allow_rate_limit": True}, "its policy has no max_requests"),
        (
            "production",
            {"allow_rate_limit": True, "max_requests": 12},
            "13 requests are more than the 12 of max_requests",
        ),
        ("staging", {"max_requests": 12}, "13 requests are more than the 12 of max_requests"),
    ],
)
def test_a_limit_is_tried_with_permission_and_a_cap(
    wire: Wire, role: str, policy: Mapping[str, Any], message: str
) -> None:
    """Nothing is sent otherwise."""
    evidence = checked("rate-limit", environment(role), policy, {"within": 10})

    assert wire.asked == []
    assert said(evidence) == [("forbidden", f"no limit was tried in here: {message}")]


def test_a_limit_that_ends_before_it_could_be_evaded(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A warning, and no accusation; never more than three requests behind the refusal."""
    statuses = iter([200, 429, 200, 200, 200])
    wire.say = lambda _request, _auth: (next(statuses), {"Retry-After": "0"}, b"")
    monkeypatch.setattr(_security_access, "GRACE_S", 0)
    policy = {"allow_rate_limit": True, "max_requests": 5}
    evidence = checked("rate-limit", environment("production"), policy, {"within": 2})

    assert len(wire.asked) == 5
    assert evidence.failures == ()
    assert said(evidence)[0][0] == "not-checked"


@pytest.mark.parametrize(
    ("stated", "code", "message"),
    [
        ("3600", "retry-after", "Retry-After states 3600 s, at most 0.1 are allowed"),
        ("soon", "retry-after", "429 with Retry-After: 'soon': nobody knows how long to wait"),
    ],
)
def test_what_a_limit_states(wire: Wire, stated: str, code: str, message: str) -> None:
    """Too long is not waited for."""
    wire.say = lambda _request, _auth: (429, {"Retry-After": stated}, b"")
    found = said(checked("rate-limit", expect={"within": 3, "recovers_within_s": 0.1}))

    assert ("rate-limit", "request 1 to / is refused already, 1 should pass") in found
    assert any(each == code and message in text for each, text in found)


def test_retry_after_may_be_a_date() -> None:
    """In the past it is now."""
    seconds = _security_access._seconds
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)

    assert seconds("7") == 7
    assert 27 < (seconds(soon) or 0) <= 30
    assert seconds("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert [seconds(text) for text in ("", "-1", "1.5", "9" * 400)] == [None] * 4


@pytest.mark.parametrize(
    ("cookie", "wrong"),
    [
        ("s=secretvalue; Secure; HttpOnly; SameSite=lax", None),
        ("s=secretvalue; secure; HTTPONLY; samesite=Strict; Domain=.shop.example", None),
        ("s=secretvalue; HttpOnly; SameSite=Lax", "has no Secure"),
        ("s=secretvalue; Secure; SameSite=Lax", "has no HttpOnly"),
        ("s=secretvalue; Secure; HttpOnly", "has SameSite=missing, expected Lax or Strict"),
        ("s=secretvalue; Secure; HttpOnly; SameSite=None", "has SameSite=None"),
        (
            "s=secretvalue; Secure; HttpOnly; SameSite=Lax; Domain=example",
            "is sent to all of example, not to shop.example alone",
        ),
        ("__Host-s=secretvalue; Secure; HttpOnly; SameSite=Lax", "is called __Host-"),
        ("__Secure-s=secretvalue; HttpOnly; SameSite=Lax", "is called __Secure-, and is not"),
    ],
)
def test_the_flags_of_cookies(wire: Wire, cookie: str, wrong: str | None) -> None:
    """In any case; the value is never told."""
    wire.say = lambda _request, _auth: (200, {"Set-Cookie": cookie}, b"")
    name = cookie.partition("=")[0]
    evidence = checked("cookies", expect={"cookies": {name: None}})

    assert "secretvalue" not in repr(evidence)
    if wrong is None:
        assert said(evidence) == []
    else:
        assert any(f"the cookie {name} {wrong}" in text for _, text in said(evidence))


def test_a_cookie_has_what_is_expected_of_it_alone(wire: Wire) -> None:
    """A script reads one, another is for embedding; one that is removed needs no flags."""
    sent = [
        "csrf=1; Secure; SameSite=Lax",
        "embed=1; Secure; HttpOnly; SameSite=None",
        "old=; Max-Age=0",
        "older=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
    ]
    wire.say = lambda _request, _auth: (303, {"Set-Cookie": sent}, b"")
    cookies: dict[str, Any] = {"csrf": {"readable": True}, "embed": {"same_site": ["None"]}}

    assert said(checked("cookies", expect={"cookies": cookies})) == []
    assert said(checked("cookies", expect={"cookies": {**cookies, "old": None}})) == [
        ("cookie-missing", "GET / sets no cookie old; those it sets: csrf, embed")
    ]


def test_a_login_that_fails_sets_nothing(wire: Wire) -> None:
    """Whatever cookie it sends along."""
    wire.say = lambda _request, _auth: (
        401,
        {"Set-Cookie": "s=1; Secure; HttpOnly; SameSite=Lax"},
        b"",
    )

    assert said(checked("cookies", expect={"cookies": {"s": None}})) == [
        ("cookie-missing", "GET / answers 401: was anything set?")
    ]


@pytest.mark.parametrize(
    ("status", "headers", "found"),
    [
        (404, {}, ""),
        (403, {}, ""),
        (301, {"Location": "https://login.example/docs/"}, ""),
        (302, {"Location": "/login"}, ""),
        (302, {"Location": "https://[bad"}, ""),
        (301, {"Location": "/docs/"}, "/docs answers 200: 4 bytes, text/html"),
        (200, {"Content-Type": "text/html"}, "/docs answers 200: 4 bytes, text/html"),
        (500, {}, "/docs answers 500: 4 bytes, no type"),
        (502, {}, "/docs answers 502: 4 bytes, no type"),
    ],
)
def test_what_is_exposed(wire: Wire, status: int, headers: Mapping[str, str], found: str) -> None:
    """A redirect within the path is followed once; an error is no absence."""

    def say(request: Request, _auth: Auth | None) -> Said:
        if request.path == "/docs/":
            return 200, {"Content-Type": "text/html"}, b"page"
        return (status, headers, b"page") if request.path == "/docs" else (404, {}, b"")

    wire.say = say
    assert [text for _, text in said(checked("exposed", paths=["/docs"]))] == [found] * bool(found)


def test_one_page_for_whatever_is_not_there(wire: Wire) -> None:
    """It may name the path; what differs from it is there."""
    pages = {"/.env": b"SECRET=1"}
    wire.say = lambda request, _: (200, {}, pages.get(request.path, request.path.encode()))

    assert [text for _, text in said(checked("exposed", paths=["/docs", "/.env"]))] == [
        "/.env answers unlike other paths that are not there: 8 bytes, no type"
    ]


def test_a_public_resource_may_be_read_by_all_but_not_with_credentials(wire: Wire) -> None:
    """``public``; where the answer is none it says nothing of origins."""
    headers = {"Access-Control-Allow-Origin": "*"}
    wire.say = lambda _request, _auth: (200, headers, b"")

    assert said(checked("cors", expect={"public": True})) == []
    assert {code for code, _ in said(checked("cors"))} == {"cors-wildcard"}
    headers["Access-Control-Allow-Credentials"] = "true"
    assert {code for code, _ in said(checked("cors", expect={"public": True}))} == {"cors-wildcard"}
    wire.say = lambda _request, _auth: (404, {}, b"")
    assert {code for code, _ in said(checked("cors"))} == {"status"}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({}, ""),
        ({"Access-Control-Allow-Methods": "GET"}, "does not allow DELETE: GET"),
        ({"Access-Control-Allow-Methods": "*"}, ""),
        ({"Access-Control-Allow-Headers": "*"}, "does not allow Authorization: *"),
        ({"Access-Control-Allow-Headers": ""}, "does not allow Authorization: missing"),
    ],
)
def test_a_preflight_allows_what_the_case_needs(
    wire: Wire, changed: Mapping[str, str], message: str
) -> None:
    """Methods by name, and the header that carries the token."""
    allowed = {
        "Access-Control-Allow-Origin": "https://shop.example",
        "Access-Control-Allow-Methods": "DELETE",
        "Access-Control-Allow-Headers": "X-Other, Authorization",
        "Vary": "Accept, origin",
    }

    def say(request: Request, _auth: Auth | None) -> Said:
        own = request.headers["Origin"] == "https://shop.example"
        return 200, {**allowed, **changed} if own else {}, b""

    wire.say = say
    expect = {"allowed": ["https://shop.example"], "methods": ["GET", "DELETE"]}
    found = said(checked("cors", expect=expect, authorised=True))
    start = "/: the preflight for https://shop.example "

    assert found == [("cors-preflight", f"{start}{message}")] * bool(message)


def test_plain_http_may_be_closed(wire: Wire) -> None:
    """Where the case says that this will do."""

    def refuse(_request: Request, _auth: Auth | None) -> Said:
        raise TargetError("GET http://shop.example/: connection refused")

    wire.say = refuse
    assert said(checked("redirect", expect={"closed": True})) == []
    assert said(checked("redirect")) == [
        (
            "no-answer",
            "http://shop.example does not redirect: GET http://shop.example/: connection refused",
        )
    ]


@pytest.mark.parametrize(
    ("location", "well"),
    [
        ("https://shop.example/x", True),
        ("https://www.shop.example/", True),
        ("https://shop.example.evil.example/", False),
        ("/login", False),
        ("https://[bad", False),
        ("", False),
    ],
)
def test_where_plain_http_leads(wire: Wire, location: str, well: bool) -> None:
    """To the same host, or to one that the case names; a temporary redirect may not do."""
    wire.say = lambda _request, _auth: (302, {"Location": location}, b"")
    hosts = ["www.shop.example"]

    assert (said(checked("redirect", hosts=hosts)) == []) is well
    found = said(checked("redirect", expect={"permanent": True}, hosts=hosts))
    assert ("redirect", "http://shop.example/: 302 is no permanent redirect") in found


def test_an_error_page_with_a_secret_of_the_environment(wire: Wire) -> None:
    """Whatever its form, it is known; no finding tells it."""
    wire.say = lambda _request, _auth: (404, {"X-Debug": "no user shop-4711-key"}, b"")
    there = environment(redactor=Redactor(frozenset({"shop-4711-key"})))
    evidence = checked("errors", there)

    assert said(evidence)[0] == (
        "secret",
        (
            "a path that is not there (status 404), and 6 more: "
            "a header has a secret of the environment here"
        ),
    )
    assert "4711" not in repr(evidence)


def test_what_was_found_before_an_answer_failed_stays(wire: Wire) -> None:
    """Beside what ended the check."""

    def say(request: Request, _auth: Auth | None) -> Said:
        if request.path == "/b":
            raise TargetError("GET https://shop.example/b: no answer")
        return 200, {}, b""

    wire.say = say
    found = said(checked("headers", expect={"nosniff": True}, paths=["/a", "/b", "/c"]))
    assert [code for code, _ in found] == ["nosniff", "no-answer"]


@pytest.mark.parametrize(
    ("name", "host", "covers"),
    [
        ("shop.example", "SHOP.example", True),
        ("*.shop.example", "www.shop.example", True),
        ("*.shop.example", "shop.example", False),
        ("*.shop.example", "a.b.shop.example", False),
        ("*.example", "shop.example", False),
        ("w*.shop.example", "www.shop.example", False),
        ("*.0.0.1", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("::1", "0:0:0:0:0:0:0:1", True),
        ("xn--strae-oqa.example", "straße.example", False),
        ("strasse.example", "straße.example", True),  # IDNA 2003, as the resolver's
        ("x.example", "a" * 80 + ".example", False),
    ],
)
def test_which_name_covers_which_host(name: str, host: str, covers: bool) -> None:
    """RFC 9525, 6.3; a wildcard right below a top-level domain is none."""
    assert _covers(name, host) is covers


def test_an_old_certificate_is_weak_in_two_ways() -> None:
    """Its key and its signature."""
    there = site()
    _strong(there, x509.load_pem_x509_certificate(OLD))

    assert [found.message for found in there.findings] == [
        "the certificate of old has a key on a curve of 192 bits, at least 256 are needed",
        "the certificate of old is signed with SHA1, which can be forged",
    ]


def test_an_environment_without_an_address() -> None:
    """The message names it."""
    there = Environment("here", "staging", "shop", None, HERE, "", {})

    with pytest.raises(TargetError, match="the environment here has no base_url"):
        _ = site(there).url


def test_what_ends_a_check_is_a_finding() -> None:
    """It is noted, then raised."""
    there = site()

    with pytest.raises(StopError, match=r"^$"):
        there.stop("security.not-shown", "enough")
    assert [found.message for found in there.findings] == ["enough"]


def test_addresses_lose_their_user() -> None:
    """Whether they come from the environment or from its edge; brackets stay."""
    edge = {"url": "https://u:p@[::1]:8443/x", "ca_file": "ca.pem"}
    there = site(environment(services={"edge": edge}))

    assert (there.url, there.host, there.ca_file) == ("https://[::1]:8443/x", "::1", "ca.pem")
    assert there.plain_url == "http://[::1]"


LEAKS = {
    "a Python traceback": 'File "/srv/x.py", line 7',
    "a Java stack trace": "at com.shop.Cart.add(Cart.java:42)",
    "a JavaScript stack trace": "at Object.<anonymous> (/srv/app/x.js:1:2)",
    "a .NET stack trace": r"at Shop.Cart.Add(Int32 n) in C:\shop\Cart.cs:line 42",
    "a Go stack trace": "goroutine 1 [running]:",
    "a Ruby stack trace": "app/cart.rb:7:in `add'",
    "a Rust panic": "thread 'main' panicked at src/main.rs:2:5",
    "a PHP error": "<b>Fatal error</b>:  Uncaught Error in /srv/x.php on line 3",
    "a debugger's page": "You're seeing this error because you have <code>DEBUG = True</code>",
    "an error of the database": "psycopg.errors.UndefinedTable",
}
SECRETS = {
    "a private key": "-----BEGIN RSA PRIVATE KEY-----",
    "a key of AWS": "AKIA" + "A" * 16,
    "a token of GitHub": "ghp_" + "a" * 36,
    "a token of GitLab": "glpat-" + "a" * 20,
    "a key of Google": "AIza" + "a" * 35,
    "a token of Slack": "xoxb-" + "1" * 12,
    "a key of Stripe": "sk_live_" + "a" * 20,
    "a key of OpenAI or Anthropic": "sk-ant-" + "a" * 40,
    "a token of npm or PyPI": "npm_" + "a" * 36,
    "a JSON Web Token": "eyJ" + "a" * 20 + ".eyJ" + "a" * 20 + "." + "a" * 20,
    "an address with a password": "postgres://shop:hunter22@db.example/shop",
    "a password": '"db_password": "hunter2222"',
}


@pytest.mark.parametrize(("what", "text"), LEAKS.items())
def test_stack_traces_are_known(what: str, text: str) -> None:
    """One of each kind."""
    assert what in dict(traces(f"<pre>{text}</pre>"))


@pytest.mark.parametrize(("what", "text"), SECRETS.items())
def test_secrets_are_known_and_never_shown(what: str, text: str) -> None:
    """Four characters at most; what is shown of a server's words has none."""
    hints = dict(secrets_in(f"<pre> {text} </pre>"))

    assert what in hints
    assert text not in "".join(hints.values())
    assert text not in shown(f"<pre> {text} </pre>")


def test_an_ordinary_page_leaks_nothing() -> None:
    """Words that are near to it."""
    page = (
        "Forgot your password? Meet us at the shop (Berlin) at 10:30. File a complaint, line 3. "
        'Python and nginx are nice. {"detail": "Not Found"} https://shop.example:443/a@b '
        "Warning: the road is closed. Version 2.4 of our terms."
    )

    assert (list(traces(page)), version(page), list(secrets_in(page))) == ([], "", [])
    assert masked(page) == page
    assert version("<hr>Apache/2.4.57 (Debian)") == "Apache/2.4.57"


def test_what_is_shown_is_short_and_harmless() -> None:
    """Control characters are visible."""
    assert shown("a\x1b[31m\n\u202e") == "a\\x1b[31m\\n\\u202e"
    assert len(shown("x" * 10_000)) == SHOWN + 3
