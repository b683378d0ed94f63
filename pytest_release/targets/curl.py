"""The curl command that sends what a case sends, to be copied from a report."""

from __future__ import annotations

import shlex
from base64 import b64encode
from collections.abc import Iterable

from pytest_release.config.cases import Request
from pytest_release.config.environment import Environment

FROM_PIPE = ["--data-binary", "@-"]


def quotable(content: bytes) -> bool:
    """Whether a body can stand in a command that people copy: text without control characters."""
    try:
        return all(
            character.isprintable() or character in "\r\n\t" for character in content.decode()
        )
    except UnicodeDecodeError:
        return False


def piped(content: bytes, command: str) -> str:
    """A command that reads its body `FROM_PIPE`, with the bytes in front."""
    return f"echo {b64encode(content).decode()} | base64 -d | {command}"


def data(body: str, most: int) -> list[str]:
    """The words for a body; one of more than `most` characters must come from a file."""
    if not body:
        return []
    if len(body) > most:
        return ["--data-binary", f"@a-file-with-the-body-of-{len(body)}-characters"]
    return ["--data-raw", body]


def parts(fields: Iterable[str], files: Iterable[str]) -> list[str]:
    """The words for a multipart body: ``name=value`` as it is, ``name=@path`` from a file."""
    words = [word for field in fields for word in ("--form-string", field)]
    return words + [word for file in files for word in ("-F", file)]


def command(
    request: Request,
    environment: Environment,
    url: str,
    headers: Iterable[tuple[str, str]],
    body: list[str],
) -> str:
    """The command, quoted for a shell.

    Args:
        request: Says how it is sent.
        environment: Says whose certificates are believed.
        url: Without user and password.
        headers: Those to name; secrets masked.
        body: From `data` or `parts`.
    """
    words = ["curl", "-sS", "-N", "-i", "--max-time", f"{request.timeout_s:g}"]
    words += _method(request.method, bool(body)) + _connection(request, environment, url)
    for name, value in headers:
        of_parts = request.multipart is not None and value.startswith("multipart/")
        if name.lower() != "host" and not of_parts:
            words += ["-H", f"{name}: {value}"]
    return shlex.join([*words, *body, url])


def _method(method: str, has_body: bool) -> list[str]:
    if method == "HEAD":
        return ["--head"]
    return [] if method == ("POST" if has_body else "GET") else ["-X", method]


def _connection(request: Request, environment: Environment, url: str) -> list[str]:
    words = ["--compressed"] if request.accept_encoding != "identity" else []
    words += ["-L", "--max-redirs", "5"] if request.follow_redirects else []
    if url.startswith("https:"):
        words += ["--http2" if request.http2 else "--http1.1"]
        verify = environment.verify_tls
        words += ["--cacert", verify] if isinstance(verify, str) else [] if verify else ["-k"]
    return words
