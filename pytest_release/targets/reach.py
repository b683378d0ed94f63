"""Whether a service of an environment can be reached at all: a TCP connection, or a folder.

This is what ``env check --connect`` tries; what a service then answers is its gate's business.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytest_release.errors import TargetError
from pytest_release.redaction import Secret, reveal

PORTS = {
    "postgres": 5432,
    "postgresql": 5432,
    "redis": 6379,
    "rediss": 6379,
    "mongodb": 27017,
    "http": 80,
    "https": 443,
    "tcp": 2375,
}
FOLDERS = ("directory", "repository", "releases", "output", "backup", "packages")
TIMEOUT_S = 3.0


def reach(service: str, options: Mapping[str, Any]) -> str:
    """Connect to a service, or look at its folders, and say in a few words what was there.

    Raises:
        TargetError: It cannot be reached, or its options name no place to reach.
    """
    if engine := options.get("docker_host"):
        return _engine(service, reveal(engine))
    address = options.get("url", options.get("dsn"))
    if address is not None:
        return _connect(service, address)
    folders = [Path(reveal(options[name])) for name in FOLDERS if name in options]
    if not folders:
        raise TargetError(f"{service}: its options name neither a url, a dsn nor a folder")
    for folder in folders:
        if not folder.is_dir():
            raise TargetError(f"{service}: there is no folder {folder}")
    return ", ".join(f"{folder} is there" for folder in folders)


def _engine(service: str, address: str) -> str:
    """A container engine listens on a unix socket, mostly."""
    if not address.startswith("unix://"):
        return _connect(service, address)
    path = address.removeprefix("unix://")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(TIMEOUT_S)
        try:
            client.connect(path)
        except OSError as error:
            reason = error.strerror or str(error)
            raise TargetError(f"{service}: {path} cannot be reached: {reason}") from None
    return f"{path} accepts connections"


def _connect(service: str, address: str | Secret) -> str:
    host, port = _host_and_port(service, reveal(address))
    began = time.monotonic()
    try:
        socket.create_connection((host, port), timeout=TIMEOUT_S).close()
    except (OSError, UnicodeError) as error:  # a label of the name is empty or too long
        reason = getattr(error, "strerror", None) or str(error)
        raise TargetError(f"{service}: {host}:{port} cannot be reached: {reason}") from None
    return f"{host}:{port} accepts connections ({(time.monotonic() - began) * 1000:.1f} ms)"


def _host_and_port(service: str, address: str) -> tuple[str, int]:
    if "://" not in address:  # a libpq keyword string: host=db port=5432
        words = dict(word.split("=", 1) for word in address.split() if "=" in word)
        address = f"{service}://{words.get('host', '')}:{words.get('port', '')}"
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or PORTS.get(parts.scheme)
    except ValueError:
        host = port = None
    if not host or not port:
        raise TargetError(f"{service}: its address names no host and port")
    return host, port
