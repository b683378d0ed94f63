"""Servers that play scripts, the environments they make, and certificates."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import trustme

from pytest_release.config.cases import Request
from pytest_release.config.environment import Environment
from pytest_release.targets.http import Exchange, HttpTarget
from pytest_release.targets.network import PlainStream
from pytest_release.targets.stamps import Stamp
from pytest_release.targets.wire import Wire
from tests.unit.targets.scripted import Connection, Flow, Server, Talk

Serve = Callable[..., Server]
Send = Callable[..., Exchange]


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Flow:
    """Knows what the client under test has read."""
    flow, read, close = Flow(), Wire.read, PlainStream.close

    def spy_read(wire: Wire, data: bytes, stamp: Stamp) -> None:
        read(wire, data, stamp)
        flow.read(len(data))

    def spy_close(stream: PlainStream) -> None:
        close(stream)
        flow.closed()

    monkeypatch.setattr(Wire, "read", spy_read)
    monkeypatch.setattr(PlainStream, "close", spy_close)
    return flow


@pytest.fixture
def serve(flow: Flow) -> Iterator[Serve]:
    """Starts a server that answers with bytes, a read each, and steps, or does all the talking."""
    with ExitStack() as running:

        def start(
            *answer: bytes | Talk, talk: Talk | None = None, tls: ssl.SSLContext | None = None
        ) -> Server:
            def play(connection: Connection) -> None:
                server.requests.append(connection.receive())
                for step in answer:
                    if isinstance(step, bytes):
                        connection.send(step)
                    else:
                        step(connection)

            server = running.enter_context(closing(Server(talk or play, flow, tls)))
            return server

        yield start


def environment_at(base_url: str | None, **settings: Any) -> Environment:  # noqa: ANN401 - its fields
    """An environment that is nothing but an address, and what else is given."""
    fields = {"role": "development", "system": "none", "digest": "", "gates": {}, **settings}
    return Environment(name="here", base_url=base_url, source=Path("here.yaml"), **fields)


@pytest.fixture
def send(trusted: str) -> Send:
    """Sends a GET, or what else is asked for, to a server; settings are the environment's."""

    def send(
        server: Server,
        path: str = "/",
        *,
        on_chunk: Any = None,  # noqa: ANN401 - as HttpTarget.send has it
        settings: dict[str, Any] | None = None,
        **changes: Any,  # noqa: ANN401 - fields of a request
    ) -> Exchange:
        request = Request(**{"method": "GET", "path": path, **changes})
        target = HttpTarget(
            environment_at(server.url, **{"verify_tls": trusted, **(settings or {})})
        )
        return target.send(request, on_chunk=on_chunk)

    return send


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority that nobody trusts."""
    return trustme.CA()


@pytest.fixture(scope="session")
def trusted(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The authority's certificate as a file, for ``verify_tls``."""
    file = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(file)
    return str(file)


@pytest.fixture
def certified(authority: trustme.CA) -> Callable[..., ssl.SSLContext]:
    """A server's TLS settings with a certificate for these names."""

    def certified(*names: str, **settings: Any) -> ssl.SSLContext:  # noqa: ANN401 - as issue_cert
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*(names or ("127.0.0.1",)), **settings).configure_cert(context)
        return context

    return certified
