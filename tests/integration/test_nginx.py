"""Both gates through nginx, as it stands in front of real deployments."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from pytest_release.config.cases import HttpCase
from pytest_release.evidence import Evidence, ExchangeRecord
from pytest_release.sandbox.server import HOST, Sandbox

pytestmark = pytest.mark.needs("nginx", "setpriv")

STREAM = "stream/general-review"
STREAM_SECONDS = 0.25
PAUSING = "stream.gap@/annual-report/stream"
GZIP = "gzip on; gzip_types text/event-stream; gzip_min_length 0;"
TLS = "ssl_certificate {0}.pem; ssl_certificate_key {0}.pem;"

# what each server of nginx does that the others do not
SERVERS = {
    "buffers": "proxy_buffering on;",
    "passes on": "proxy_buffering off;",
    "buffers gzip": f"proxy_buffering on; {GZIP}",
    "passes on gzip": f"proxy_buffering off; {GZIP}",
    "is impatient": "proxy_buffering off; proxy_read_timeout 500ms;",
    "is astray": "set $upstream $deaf;",
    "tls buffers": f"proxy_buffering on; {TLS.format('good')}",
    "tls passes on": f"proxy_buffering off; {TLS.format('good')}",
    "tls expired": TLS.format("expired"),
    "tls elsewhere": TLS.format("elsewhere"),
}
SERVER = """
    server {{
        listen {address}{options};
        set $upstream {upstream}; set $deaf {deaf};
        {settings}
        location / {{ proxy_pass http://$upstream; }}
    }}
"""
CONFIGURATION = """
daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit;
events {{ }}
http {{
    access_log off;
    proxy_http_version 1.0; # from an upstream that speaks 1.1, nginx passes each chunk on
    client_body_temp_path tmp; proxy_temp_path tmp;
    fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
    {servers}
}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nginx's folder: ``ca.pem``, and certificates of it that are good, expired, for elsewhere."""
    folder, authority = tmp_path_factory.mktemp("nginx"), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    yesterday = datetime.now(UTC) - timedelta(days=1)
    for name, leaf in {
        "good": authority.issue_cert(HOST),
        "expired": authority.issue_cert(HOST, not_before=yesterday, not_after=yesterday),
        "elsewhere": authority.issue_cert("elsewhere.example"),
    }.items():
        leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}.pem"))
    return folder


@pytest.fixture(scope="module")
def nginx(folder: Path) -> Iterator[Mapping[str, str]]:
    """nginx in front of a sandbox; gives the base URL of each of `SERVERS`.

    It takes over sockets that listen already, as it does from its predecessor in an upgrade.
    """
    with ExitStack() as stack:
        sandbox = stack.enter_context(Sandbox(1, [PAUSING], STREAM_SECONDS))
        upstream = sandbox.base_url.removeprefix("http://")
        deaf = stack.enter_context(socket.socket())
        deaf.bind((HOST, 0))  # and never listens
        listeners = {name: stack.enter_context(socket.create_server((HOST, 0))) for name in SERVERS}
        servers = "".join(
            server(name, address(listener), upstream, address(deaf))
            for name, listener in listeners.items()
        )
        (folder / "nginx.conf").write_text(CONFIGURATION.format(servers=servers))
        stack.enter_context(running(folder, [each.fileno() for each in listeners.values()]))
        yield {
            name: f"http{'s' * name.startswith('tls')}://{address(listener)}"
            for name, listener in listeners.items()
        }


def server(name: str, own: str, upstream: str, deaf: str) -> str:
    """One server of the configuration."""
    options = " ssl http2" if name.startswith("tls") else ""
    return SERVER.format(
        address=own, options=options, upstream=upstream, deaf=deaf, settings=SERVERS[name]
    )


def address(bound: socket.socket) -> str:
    """Host and port of a socket."""
    host, port = bound.getsockname()
    return f"{host}:{port}"


def running(folder: Path, listeners: list[int]) -> ExitStack:
    """nginx with inherited sockets, until the block is left or this process dies."""
    stack = ExitStack()
    process = stack.enter_context(
        subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", "nginx", "-p", str(folder), "-c", "nginx.conf"],
            env={**os.environ, "NGINX": "".join(f"{number};" for number in listeners)},
            pass_fds=listeners,
        )
    )
    stack.callback(process.terminate)
    return stack


@pytest.fixture
def through(
    nginx: Mapping[str, str],
    folder: Path,
    patient_hifate: Mapping[str, HttpCase],
    measure: Callable[..., Evidence],
) -> Callable[..., Evidence]:
    """``through(server, case, **request)``: the evidence of a case of hifate behind nginx."""

    def measured(server: str, case: str = STREAM, **request: Any) -> Evidence:  # noqa: ANN401
        asked = replace(
            patient_hifate[case], request=replace(patient_hifate[case].request, **request)
        )
        return measure(asked, nginx[server], verify_tls=str(folder / "ca.pem"))

    return measured


def exchange_of(evidence: Evidence) -> tuple[ExchangeRecord, dict[str, str]]:
    """The last exchange and its answer's headers."""
    assert evidence.exchange is not None
    return evidence.exchange, dict(evidence.exchange.response_headers)


def codes(evidence: Evidence) -> list[str]:
    """What was found."""
    return [finding.code for finding in evidence.findings]


@pytest.mark.parametrize("server", ["buffers", "buffers gzip", "tls buffers"])
def test_a_proxy_that_buffers_is_found(through: Callable[..., Evidence], server: str) -> None:
    """Nothing else is wrong with what comes through, plain, compressed, or over HTTP/2."""
    evidence = through(server, accept_encoding="gzip", http2=True)

    assert codes(evidence) == ["stream.buffered"]
    assert "9 events arrived within" in evidence.failures[0].message
    assert "something on the way buffers the stream" in evidence.failures[0].message


@pytest.mark.parametrize("asked", ["identity", "gzip"])
def test_a_proxy_that_passes_on_is_not(through: Callable[..., Evidence], asked: str) -> None:
    """Without buffering each event arrives on its own, also where nginx compresses if asked to."""
    for server in ("passes on", "passes on gzip"):
        evidence = through(server, accept_encoding=asked)
        compressed = "gzip" if (server, asked) == ("passes on gzip", "gzip") else None

        assert codes(evidence) == []
        assert exchange_of(evidence)[1].get("content-encoding") == compressed
        assert exchange_of(evidence)[1]["server"].startswith("nginx")


@pytest.mark.parametrize("case", [STREAM, "stream/face-analysis", "basic/bazi-interface"])
@pytest.mark.parametrize(("http2", "version"), [(True, "HTTP/2"), (False, "HTTP/1.1")])
def test_tls_and_http2(
    through: Callable[..., Evidence], case: str, http2: bool, version: str
) -> None:
    """Streams, uploads and plain answers pass; the version is the one that was agreed upon."""
    evidence = through("tls passes on", case, http2=http2)
    exchange, _ = exchange_of(evidence)

    assert codes(evidence) == []
    assert exchange.http_version == version
    assert exchange.tls_ms is not None


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        ("tls expired", "certificate has expired"),
        ("tls elsewhere", f"certificate is not valid for '{HOST}'"),
    ],
)
def test_a_certificate_that_is_wrong(
    through: Callable[..., Evidence], server: str, reason: str
) -> None:
    """The message says which address, that it is TLS, and what is wrong with the certificate."""
    evidence = through(server)

    assert codes(evidence) == ["stream.no-answer"]
    assert "POST https://" in evidence.failures[0].message
    assert "TLS was refused: certificate verify failed" in evidence.failures[0].message
    assert reason in evidence.failures[0].message


def test_a_certificate_of_an_unknown_authority(
    nginx: Mapping[str, str],
    patient_hifate: Mapping[str, HttpCase],
    measure: Callable[..., Evidence],
) -> None:
    """It is refused without ``verify_tls``; ``verify_tls: false`` is for those who ask for it."""
    refused = measure(patient_hifate[STREAM], nginx["tls passes on"])
    trusted = measure(patient_hifate[STREAM], nginx["tls passes on"], verify_tls=False)

    assert codes(refused) == ["stream.no-answer"]
    assert "unable to get local issuer certificate" in refused.failures[0].message
    assert codes(trusted) == []


def test_tls_with_a_server_that_has_none(
    nginx: Mapping[str, str],
    patient_hifate: Mapping[str, HttpCase],
    measure: Callable[..., Evidence],
) -> None:
    """``https`` where only HTTP is spoken is a refusal of TLS, not a broken answer."""
    address = nginx["passes on"].replace("http:", "https:")

    evidence = measure(patient_hifate[STREAM], address)

    assert codes(evidence) == ["stream.no-answer"]
    assert "TLS was refused" in evidence.failures[0].message


def test_a_proxy_that_gives_up(through: Callable[..., Evidence]) -> None:
    """A read time-out shorter than a pause between two events cuts the stream off."""
    evidence = through("is impatient", "stream/annual-report")
    said = {finding.code: finding.message for finding in evidence.failures}

    assert "was cut off" in said["stream.broken"]
    assert "ended without its terminal event" in said["stream.no-terminal-event"]


def test_a_proxy_whose_upstream_is_down(through: Callable[..., Evidence]) -> None:
    """nginx answers in its stead, and the gate takes that for what it is."""
    evidence = through("is astray")

    assert codes(evidence) == ["stream.status", "stream.content-type"]
    assert evidence.failures[0].message == "status 502 instead of 200"
    assert "Bad Gateway" in evidence.failures[0].received
