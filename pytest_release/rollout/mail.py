"""Sends one mail by SMTP, bounded in time and in what the server may say."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Protocol

from pytest_release.errors import RolloutError
from pytest_release.hostile import one_line

LARGEST = 64 * 1024  # bytes that a server may say in all
SHOWN = 200  # characters of it that an error repeats
LONGEST_SUBJECT = 200  # characters


@dataclass(frozen=True)
class Post:
    """The server that takes mails.

    Attributes:
        security: ``tls`` from the first byte, ``starttls`` (refused where the server has none), or
            ``none``.
        username: Empty for no login; there is none without encryption.
        ca_file: For a server with a certificate of its own.
    """

    host: str
    port: int
    security: str = "starttls"
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str | None = None


@dataclass(frozen=True)
class Letter:
    """A mail."""

    sender: str
    to: tuple[str, ...]
    subject: str
    text: str
    at: datetime


def send(letter: Letter, post: Post, seconds: float) -> None:
    """Hand it over.

    Raises:
        RolloutError: It was not taken within that time, not by every recipient's server, or there
            would be a password on an open line; says what the server said.
    """
    if post.username and post.security == "none":
        raise RolloutError("a password does not travel over an open line: use starttls or tls")
    where = f"{post.host}:{post.port}"
    late = threading.Event()
    try:
        with _connected(post, seconds, late) as server:
            if post.username:
                server.login(post.username, post.password)
            refused = server.send_message(_message(letter), letter.sender, letter.to)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        why = f"nothing came of it within {seconds:g} s" if late.is_set() else _said(error)
        raise RolloutError(f"{where}: {why}") from None
    if refused:
        raise RolloutError(f"{where} refuses {', '.join(map(one_line, refused))}")


def _message(letter: Letter) -> EmailMessage:
    message = EmailMessage()
    message["From"] = letter.sender
    message["To"] = ", ".join(letter.to)
    message["Subject"] = one_line(letter.subject)[:LONGEST_SUBJECT]
    message["Date"] = format_datetime(letter.at)
    message["Message-ID"] = make_msgid(domain=letter.sender.rpartition("@")[2] or None)
    message.set_content(letter.text)
    return message


@contextmanager
def _connected(post: Post, seconds: float, late: threading.Event) -> Iterator[smtplib.SMTP]:
    """A session that is cut when its time is over, however slowly the server drips."""
    context = ssl.create_default_context(cafile=post.ca_file)
    server: smtplib.SMTP
    if post.security == "tls":
        server = _SecureSession(timeout=seconds, context=context)
    else:
        server = _Session(timeout=seconds)

    def cut() -> None:
        late.set()
        sock = server.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        server._host = post.host  # type: ignore[attr-defined] # noqa: SLF001 - see SMTP.starttls
        server.connect(post.host, post.port)
        if post.security == "starttls":
            server.starttls(context=context)
        yield server
        with suppress(OSError, smtplib.SMTPException):  # the mail was taken
            server.quit()
    finally:
        timer.cancel()
        server.close()


class _Reader(Protocol):
    def readline(self, size: int = -1) -> bytes: ...
    def close(self) -> None: ...


class _Bounded:
    """What a server says, up to `LARGEST` bytes."""

    def __init__(self, file: _Reader) -> None:
        self._file = file
        self._left = LARGEST

    def readline(self, size: int = -1) -> bytes:
        line = self._file.readline(size)
        self._left -= len(line)
        if self._left < 0:
            raise OSError(f"the server says more than {LARGEST} bytes")
        return line

    def close(self) -> None:
        self._file.close()


class _Session(smtplib.SMTP):
    """An SMTP session in which every answer is bounded."""

    def getreply(self) -> tuple[int, bytes]:
        """The server's next answer."""
        if self.file is None and self.sock is not None:
            self.file = _Bounded(self.sock.makefile("rb"))
        return super().getreply()


class _SecureSession(_Session, smtplib.SMTP_SSL):
    """The same over TLS from the first byte."""


def _said(error: Exception) -> str:
    """The system's or the server's words, harmless and short."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"refuses {', '.join(map(one_line, error.recipients))}"
    if isinstance(error, smtplib.SMTPResponseException):
        said = error.smtp_error
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        return one_line(f"answers {error.smtp_code}: {text}")[:SHOWN]
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return one_line(words)[:SHOWN]
