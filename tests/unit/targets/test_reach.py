"""Tests of `pytest_release.targets.reach`: what can be said of a service without speaking to it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_release.errors import TargetError
from pytest_release.redaction import Secret
from pytest_release.targets import reach as module
from pytest_release.targets.reach import reach


@pytest.fixture
def port() -> Iterator[int]:
    """Somebody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("service", "address"),
    [
        ("redis", "redis://:secret@127.0.0.1:{}/0"),
        ("postgres", "postgresql://u:p@127.0.0.1:{}/db"),
        ("postgres", "host=127.0.0.1 port={} dbname=db password=x"),
        ("grafana", "http://127.0.0.1:{}"),
    ],
)
def test_a_service_that_listens(service: str, address: str, port: int) -> None:
    """Its host and port, never its password."""
    key = "dsn" if service == "postgres" else "url"

    said = reach(service, {key: Secret(address.format(port))})

    assert re.fullmatch(rf"127\.0\.0\.1:{port} accepts connections \(\d+\.\d ms\)", said)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("redis://a.example", ("a.example", 6379)),
        ("postgresql://a.example/db", ("a.example", 5432)),
        ("mongodb://a.example", ("a.example", 27017)),
        ("https://a.example/x", ("a.example", 443)),
        ("host=a.example dbname=x", ("a.example", 5432)),
    ],
)
def test_a_port_that_goes_without_saying(
    monkeypatch: pytest.MonkeyPatch, address: str, place: tuple[str, int]
) -> None:
    """Each scheme's own."""
    asked = []

    class Accepted:
        def close(self) -> None:
            """Nothing was opened."""

    def connect(address: tuple[str, int], timeout: float) -> Accepted:
        asked.append(address)
        assert timeout == module.TIMEOUT_S
        return Accepted()

    monkeypatch.setattr(socket, "create_connection", connect)
    reach("postgres", {"url": address})

    assert asked == [place]


def test_a_service_that_does_not_listen(port: int) -> None:
    """The name of the service, the place, and what the system says."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]

    message = f"redis: 127.0.0.1:{closed} cannot be reached: Connection refused"
    with pytest.raises(TargetError, match=f"^{re.escape(message)}$"):
        reach("redis", {"url": f"redis://127.0.0.1:{closed}"})


@pytest.mark.parametrize(
    "address",
    [
        "redis://",
        "redis://a.example:port",
        "a.example",
        "host= port=1",
        "ftp://a.example",
        "redis://[::1",
    ],
)
def test_an_address_that_names_no_place(address: str) -> None:
    """It is not quoted: it may hold a password."""
    with pytest.raises(TargetError, match=r"^redis: its address names no host and port$"):
        reach("redis", {"url": address})


@pytest.mark.parametrize("host", ["a..example", "a" * 64])
def test_a_name_that_cannot_be_one(host: str) -> None:
    """No label may be empty or longer than 63 characters."""
    with pytest.raises(TargetError, match=f"redis: {re.escape(host)}:6379 cannot be reached: "):
        reach("redis", {"url": f"redis://{host}"})


def test_folders(tmp_path: Path) -> None:
    """All of them must be there."""
    options: dict[str, Any] = {"output": str(tmp_path), "backup": Secret(str(tmp_path / "b"))}

    with pytest.raises(TargetError, match=f"^files: there is no folder {tmp_path}/b$"):
        reach("files", options)
    (tmp_path / "b").mkdir()
    assert reach("files", options) == f"{tmp_path} is there, {tmp_path}/b is there"


def test_options_that_name_nothing() -> None:
    """There is nothing to reach."""
    with pytest.raises(
        TargetError, match=r"^x: its options name neither a url, a dsn nor a folder$"
    ):
        reach("x", {"prefix": "momentry:"})
