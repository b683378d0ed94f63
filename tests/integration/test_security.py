"""The security gate at nginx, one that is set up with care and one that is not, and at the demo."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import Auth, Environment, GatePolicy
from pytest_release.errors import SandboxError
from pytest_release.evidence import Evidence
from pytest_release.gates._check import check
from pytest_release.gates._scene import Scene
from pytest_release.redaction import Secret
from pytest_release.sandbox.rooms.security import Edge
from pytest_release.targets.http import HttpTarget
from tests.integration.conftest import environment_at
from tests.integration.test_nginx import running

HOST = "127.0.0.1"
HERE = Path("here.yaml")
ORIGIN = "https://shop.example"
PASSWORD = "correct-horse"  # of the user gate

# what both have in common; the names in braces are filled in for each
SERVER = """
    limit_req_zone {limited_by} zone={name}:1m rate=1r/s;
    server {{
        listen {tls} ssl default_server; # whoever names no host gets the wrong certificate
        ssl_certificate elsewhere.pem; ssl_certificate_key elsewhere.pem;
        {protocols}
    }}
    server {{
        listen {tls} ssl; server_name localhost;
        ssl_certificate {certificate}.pem; ssl_certificate_key {certificate}.pem;
        {protocols}
        {settings}
        location = / {{ return 200 "shop"; }}
        location = /limited {{ limit_req zone={name} burst=5 nodelay; try_files /page =404; }}
        location = /private {{ {private} try_files /page =404; }}
    }}
    server {{ listen {plain}; {redirect} }}
"""
CAREFUL = {
    "name": "careful",
    "certificate": "good",
    "limited_by": "$binary_remote_addr",
    "protocols": "ssl_protocols TLSv1.2 TLSv1.3;",
    "private": 'auth_basic "shop"; auth_basic_user_file users;',
    "redirect": "return 308 https://localhost$request_uri;",
    "settings": """
        server_tokens off;
        limit_req_status 429;
        error_page 429 = @slower;
        location @slower { internal; add_header Retry-After 1 always; return 429; }
        add_header Strict-Transport-Security "max-age=31536000" always;
        add_header X-Content-Type-Options nosniff always;
        add_header Content-Security-Policy "default-src 'self'; frame-ancestors 'self'" always;
        add_header Referrer-Policy no-referrer always;
        add_header Access-Control-Allow-Origin $allowed_origin always;
        add_header Vary Origin always;
        add_header Set-Cookie "session=1; Path=/; Secure; HttpOnly; SameSite=Lax" always;
        if ($request_method = OPTIONS) { return 204; }
    """,
}
CARELESS = {
    "name": "careless",
    "certificate": "expired",
    "limited_by": '"x$http_x_forwarded_for"',
    "protocols": "ssl_protocols TLSv1 TLSv1.1 TLSv1.2; ssl_ciphers ALL:@SECLEVEL=0;",
    "private": "",
    "redirect": "return 200 shop;",
    "settings": """
        limit_req_status 429;
        add_header Strict-Transport-Security max-age=0;
        add_header Access-Control-Allow-Origin $http_origin always;
        add_header Access-Control-Allow-Credentials true always;
        add_header Set-Cookie "session=1; Path=/; Domain=localhost.example";
        location = /.git/HEAD { return 200 "ref: refs/heads/main"; }
        location = /broken { return 500 "<pre>Traceback (most recent call last):</pre>"; }
    """,
}
CONFIGURATION = """
user root; daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit;
events {{ }}
http {{
    access_log off; root pages;
    client_body_temp_path tmp; proxy_temp_path tmp;
    fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
    map $http_origin $allowed_origin {{ {origin} {origin}; }}
    {servers}
}}
"""
CHECKS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "certificate": ({}, {}),
    "protocols": ({}, {}),
    "redirect": ({}, {"permanent": True}),
    "headers": (
        {},
        {
            "hsts": {},
            "nosniff": True,
            "framing": True,
            "csp": {"forbid": ["unsafe-inline"]},
            "referrer_policy": True,
            "versions": False,
        },
    ),
    "auth": ({"request": {"path": "/private"}}, {}),
    "rate-limit": (
        {"request": {"path": "/limited"}},
        {"within": 60, "at_least": 5, "recovers_within_s": 2},
    ),
    "cors": ({}, {"allowed": [ORIGIN]}),
    "errors": ({"paths": ["/broken"], "json_path": "/"}, {"no_server_errors": True}),
    "exposed": ({"paths": ["/docs", "/.env", "/.git/HEAD"]}, {}),
    "cookies": ({}, {"cookies": {"session": None}}),
}

Found = Mapping[str, Evidence]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nginx's folder: certificates of ``ca.pem`` with an intermediate, a user, a page."""
    folder, root = tmp_path_factory.mktemp("nginx"), trustme.CA()
    authority = root.create_child_ca()
    root.cert_pem.write_to_path(str(folder / "ca.pem"))
    then, yesterday = (datetime.now(UTC) - timedelta(days=days) for days in (30, 1))
    for name, leaf in {
        "good": authority.issue_cert("localhost"),
        "expired": authority.issue_cert("localhost", not_before=then, not_after=yesterday),
        "elsewhere": authority.issue_cert("elsewhere.example"),
    }.items():
        leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}.pem"))
    (folder / "users").write_text(f"gate:{{PLAIN}}{PASSWORD}\n")
    (folder / "pages").mkdir()
    (folder / "pages" / "page").write_text("shop")
    return folder


@pytest.fixture(scope="module")
def nginx(folder: Path) -> Iterator[Mapping[str, Environment]]:
    """Both servers, as the environments that a user would write."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(4)]
        ports = [listener.getsockname()[1] for listener in listeners]
        servers = "".join(
            SERVER.format(tls=f"{HOST}:{tls}", plain=f"{HOST}:{plain}", **settings)
            for settings, tls, plain in zip(
                (CAREFUL, CARELESS), ports[::2], ports[1::2], strict=True
            )
        )
        configuration = CONFIGURATION.format(servers=servers, origin=ORIGIN)
        (folder / "nginx.conf").write_text(configuration)
        stack.enter_context(running(folder, [listener.fileno() for listener in listeners]))
        yield {
            name: environment_at(
                f"https://localhost:{tls}",
                verify_tls=str(folder / "ca.pem"),
                auth=Auth("basic", username="gate", password=Secret(PASSWORD)),
                services={"edge": {"plain_url": f"http://localhost:{plain}"}},
            )
            for name, tls, plain in zip(
                ("careful", "careless"), ports[::2], ports[1::2], strict=True
            )
        }


def checked(environment: Environment, name: str, **changes: Any) -> Evidence:  # noqa: ANN401
    """What one of `CHECKS` finds there."""
    options, expect = CHECKS[name]
    case = CheckCase("security/a", "security", "a", HERE, 1, expect, check=name, options=options)
    scene = Scene(environment, HttpTarget(environment))
    return check(replace(case, **changes), GatePolicy(), scene)


@pytest.mark.needs("nginx", "setpriv")
@pytest.mark.parametrize("name", CHECKS)
def test_a_careful_nginx_passes(nginx: Mapping[str, Environment], name: str) -> None:
    """Each check holds on a server that nobody here wrote."""
    evidence = checked(nginx["careful"], name)

    assert [(found.code, found.message) for found in evidence.findings] == []


@pytest.mark.needs("nginx", "setpriv")
@pytest.mark.parametrize(
    ("name", "messages"),
    [
        (
            "protocols",
            [
                "takes TLSv1 (ServerHello of that version)",
                "takes TLSv1.1 (ServerHello of that version)",
                "refuses TLSv1.3: tlsv1 alert protocol version",
            ],
        ),
        ("redirect", ["/ answers 200 with 4 bytes over plain HTTP"]),
        (
            "headers",
            [
                "Strict-Transport-Security holds 0 s",
                "X-Content-Type-Options is missing",
                "there is no frame-ancestors",
                "there is no Content-Security-Policy",
                "Referrer-Policy is missing",
                "server tells a version: nginx/",
            ],
        ),
        ("auth", ["/private answers 200 to no credentials", "answers 200 to another password"]),
        (
            "rate-limit",
            ["429 without Retry-After", "a forged X-Forwarded-For evades the limit (200)"],
        ),
        (
            "cors",
            ["foreign origin https://foreign.example read, with credentials", "no Vary: Origin"],
        ),
        ("errors", ["more: its body tells a version: nginx/", "its body has a Python traceback"]),
        ("exposed", ["/.git/HEAD answers 200: 20 bytes"]),
        (
            "cookies",
            ["has no Secure", "has no HttpOnly", "SameSite=missing", "all of localhost.example"],
        ),
    ],
)
def test_a_careless_nginx_does_not(
    nginx: Mapping[str, Environment], name: str, messages: list[str]
) -> None:
    """Each of its faults is said; the expired certificate is the certificate's business."""
    environment = replace(nginx["careless"], verify_tls=False)
    found = "\n".join(each.message for each in checked(environment, name).findings)

    assert [message for message in messages if message not in found] == []


@pytest.mark.needs("nginx", "setpriv")
def test_an_expired_certificate_of_nginx(nginx: Mapping[str, Environment]) -> None:
    """Its date is the one thing that is wrong: the chain is good, and the name is."""
    found = checked(nginx["careless"], "certificate").findings

    assert [finding.code for finding in found] == ["security.expired"]
    assert "expired 1.0 days ago" in found[0].message


@pytest.mark.needs("nginx", "setpriv")
def test_whoever_names_no_host_sees_another_certificate(nginx: Mapping[str, Environment]) -> None:
    """So the gate names it: by the address, nginx shows the one that is not for it."""
    environment = nginx["careful"]
    there = replace(environment, base_url=str(environment.base_url).replace("localhost", HOST))
    found = checked(there, "certificate").findings

    assert [finding.code for finding in found] == ["security.host-name"]
    assert f"not for {HOST}, but for elsewhere.example" in found[0].message


def test_the_edge_leaves_nothing_behind() -> None:
    """Its keys are deleted with its process."""
    edge = Edge(frozenset())
    file = Path(edge.services["edge"]["ca_file"])

    assert file.with_name("edge.pem").stat().st_mode & 0o77 == 0
    edge.stop()
    assert not file.parent.exists()


def test_an_edge_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the last words of its process."""
    monkeypatch.setattr("pytest_release.sandbox.rooms.security.MODULE", "pytest_release.no_such")

    with pytest.raises(SandboxError, match=r"(?s)the sandbox's edge did not start: .*no_such"):
        Edge(frozenset())
