"""Tests of telling people: a real SMTP server, a real HTTP server, and servers that misbehave."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from pytest_release.errors import ConfigError, RolloutError
from pytest_release.rollout.desk import Wish, dry_run
from pytest_release.rollout.state import STOPPED, SUCCESS
from tests.unit.rollout.conftest import Yard, refuse_records, step, wrote

HOOK = "/services/T0000/B0000/Xyzzy1234"
Tell = Callable[..., tuple[str, str]]


class Postbox:
    """Takes mails, but not for everybody."""

    def __init__(self) -> None:
        self.mails: list[Envelope] = []

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Refuses nobody@..."""
        if address.startswith("nobody"):
            return "550 no such person\x1b[31m"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Keeps it."""
        self.mails.append(envelope)
        return "250 taken"


def login(server: SMTP, session: Session, envelope: Envelope, way: str, data: Any) -> AuthResult:  # noqa: ANN401
    """One user and one password."""
    good = (data.login, data.password) == (b"ci", b"correct horse")
    return AuthResult(success=good, handled=False)


@contextmanager
def posting(**options: Any) -> Iterator[tuple[Postbox, int]]:  # noqa: ANN401 - of aiosmtpd
    """A mail server; gives its postbox and its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    box = Postbox()
    controller = Controller(box, hostname="127.0.0.1", port=port, **options)
    controller.start()
    yield box, port
    controller.stop()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """What a server needs to be localhost, and the file that makes clients believe it."""
    made = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    file = tmp_path_factory.mktemp("ca") / "ca.pem"
    made.cert_pem.write_to_path(file)
    return context, file


@pytest.fixture
def tell(yard: Yard) -> Tell:
    """Notifies in a rollout: its status, and what became of the step."""

    def tell(**options: object) -> tuple[str, str]:
        yard.plan({"name": "tell", "type": "notify", "with": {"notify": options}})
        result = yard.run()
        return result.status, yard.looks[-1].state.tasks["tell"].outcome.why

    return tell


def mail(port: int, **more: object) -> dict[str, object]:
    """Options of a mail to two people."""
    return {"host": "localhost", "port": port, "security": "none", "from": "ci@seisei.example",
            "to": ["li@seisei.example", "wang@seisei.example"], **more}  # fmt: skip


def test_a_mail_without_encryption(tell: Tell) -> None:
    """Everybody gets it, with its subject; a line end in the subject starts no header."""
    with posting() as (box, port):
        status, why = tell(mail=mail(port, subject="back\r\nBcc: x@y"), text="回滚 of {{release}}")

    assert (status, why) == (SUCCESS, "told by mail")
    (envelope,) = box.mails
    assert isinstance(envelope.content, bytes)
    made = message_from_bytes(envelope.content, policy=policy.default)
    assert envelope.rcpt_tos == ["li@seisei.example", "wang@seisei.example"]
    assert "Bcc" not in made
    assert "back" in made["Subject"]
    body = made.get_body()
    assert body is not None
    assert body.get_content().strip() == "回滚 of 2.0"


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_with_a_login(
    tell: Tell, authority: tuple[ssl.SSLContext, Path], security: str
) -> None:
    """Over TLS from the first byte or after STARTTLS, with a certificate that is verified."""
    context, ca = authority
    secure = {"ssl_context": context} if security == "tls" else {
        "tls_context": context, "require_starttls": True}  # fmt: skip
    secret = {"username": "ci", "password": "correct horse", "security": security}
    options: dict[str, Any] = {**secure, "authenticator": login}
    if security == "tls":
        options |= {"auth_require_tls": False}
    with posting(**options) as (box, port):
        good = tell(mail=mail(port, ca_file=str(ca), **secret))
        stranger = tell(mail=mail(port, **secret))
        wrong = tell(mail=mail(port, ca_file=str(ca), **{**secret, "password": "wrong horse"}))

    assert good == (SUCCESS, "told by mail")
    assert len(box.mails) == 1
    assert "certificate verify failed" in stranger[1]
    assert "answers 535" in wrong[1]
    assert "wrong horse" not in wrong[1]


def test_mails_that_are_not_taken(tell: Tell) -> None:
    """A recipient who is none, nobody there, no STARTTLS, an open line: said, and no failure."""
    with posting() as (_, port):
        some = tell(mail=mail(port, to=["nobody@x", "li@x"]))
        none = tell(mail=mail(port, to=["nobody@x"]))
        plain = tell(mail=mail(port, security="starttls"))
        open_line = tell(mail=mail(port, username="ci", password="horse"))
    gone = tell(mail=mail(port))

    assert [status for status, _ in (some, none, plain, open_line, gone)] == [SUCCESS] * 5
    assert some[1].endswith(f"mail: localhost:{port} refuses nobody@x")
    assert none[1].endswith(f"mail: localhost:{port}: refuses nobody@x")
    assert "STARTTLS extension not supported" in plain[1]
    assert open_line[1].endswith("does not travel over an open line: use starttls or tls")
    assert gone[1].endswith(f"mail: localhost:{port}: Connection refused")


@contextmanager
def speaking(speak: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that speaks its mind to one client; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                try:
                    speak(connection)
                except OSError:
                    return  # the client has gone

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def drip(connection: socket.socket) -> None:
    """A byte now and then: never an answer, never silence."""
    connection.settimeout(0.02)
    for _ in range(500):
        connection.sendall(b"2")
        try:
            if connection.recv(100) == b"":
                return
        except TimeoutError:
            continue


def babble(connection: socket.socket) -> None:
    """An answer without end."""
    while True:
        connection.sendall(b"220-and on\r\n" * 100)


@pytest.mark.parametrize("way", ["mail", "webhook"])
def test_a_server_that_drips_is_cut_off(tell: Tell, way: str) -> None:
    """Its time is the step's, however often it says a byte."""
    with speaking(drip) as port:
        options: dict[str, Any] = (
            mail(port) if way == "mail" else {"url": f"http://localhost:{port}/"}
        )
        began = time.monotonic()
        status, why = tell(timeout_s=0.3, **{way: options})

    assert status == SUCCESS
    assert why.startswith(f"nobody was told; {way}: ")
    assert time.monotonic() - began < 3
    if way == "mail":
        assert why.endswith("nothing came of it within 0.3 s")


def test_a_mail_server_that_babbles(tell: Tell) -> None:
    """What it says is bounded."""
    with speaking(babble) as port:
        assert tell(mail=mail(port))[1].endswith("the server says more than 65536 bytes")


class Hook(BaseHTTPRequestHandler):
    """Answers as `status` says; keeps what it was sent."""

    status = 200
    asked: ClassVar[list[Any]]

    def do_POST(self) -> None:
        """Take it."""
        body = self.rfile.read(int(self.headers["content-length"]))
        type(self).asked.append((self.path, self.headers["content-type"], json.loads(body)))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(f"invalid_token {self.path}".encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


@pytest.fixture
def hook() -> Iterator[tuple[type[Hook], str]]:
    """A web server; gives its handler and the address of the hook."""

    class Own(Hook):
        asked: ClassVar[list[Any]] = []

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Own, f"http://127.0.0.1:{server.server_port}{HOOK}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook(tell: Tell, hook: tuple[type[Hook], str]) -> None:
    """Gets JSON as Slack takes it, its control characters escaped."""
    handler, url = hook

    assert tell(webhook={"url": url}, text="{{release}} <!channel> & on") == (
        SUCCESS, "told by webhook",
    )  # fmt: skip

    assert handler.asked == [
        (HOOK, "application/json", {"text": "2.0 &lt;!channel&gt; &amp; on"}),
    ]


def test_without_a_text(tell: Tell, hook: tuple[type[Hook], str]) -> None:
    """The rollout and the step are told."""
    handler, url = hook

    tell(webhook={"url": url})

    text = handler.asked[0][2]["text"]
    assert text.startswith("shop 2.0 in here: rollout ")
    assert text.endswith(", tell")


@pytest.mark.parametrize("status", [404, 500, 302])
def test_a_webhook_that_refuses(yard: Yard, hook: tuple[type[Hook], str], status: int) -> None:
    """The rollout goes on; that nobody was told is in the history, and no address is anywhere."""
    handler, url = hook
    handler.status = status
    yard.variables["HOOK"] = url
    tell = {"name": "tell", "type": "notify",
            "with": {"notify": {"webhook": {"url": "${HOOK}"}}}}  # fmt: skip
    yard.plan(tell, step("after"))

    assert yard.run().status == SUCCESS

    assert yard.log == ["after 2.0"]
    (record,) = [record for record in yard.records if record.action == "notify"]
    assert record.status == "failed"
    assert f"nobody was told; webhook: answers {status}: invalid_token ***" in record.notes
    everything = b"".join(p.read_bytes() for p in yard.folder.rglob("*.jsonl"))
    assert HOOK.encode() not in everything


def test_a_notification_may_be_required(yard: Yard) -> None:
    """With `on_failure: stop`, it stops; what is said of a webhook lacks its path."""
    url = f"http://127.0.0.1:9{HOOK}"
    tell = {"name": "tell", "type": "notify", "on_failure": "stop",
            "with": {"notify": {"webhook": {"url": url}}}}  # fmt: skip
    yard.plan(tell)

    result = yard.run()

    assert result.status == STOPPED
    assert "nobody was told; webhook: " in result.why
    assert HOOK not in result.why


ENDS = {
    "always": {},
    "well": {"ended": ["success"]},
    "not-well": {"ended": ["failed", "rolled-back", "rollback-failed"]},
}


def afterwards(url: str) -> list[dict[str, Any]]:
    """Tells `url` at every end, at good ones and at bad ones."""
    text = "{{release}} in {{environment}}: {{result}}, {{why}}"
    return [
        {
            "name": name,
            "with": {"notify": {"webhook": {"url": url}, "text": f"{name}: {text}"}},
            **ended,
        }
        for name, ended in ENDS.items()
    ]


def test_people_are_told_of_a_good_end(yard: Yard, hook: tuple[type[Hook], str]) -> None:
    """By those who tell of every end and of good ones."""
    handler, url = hook
    yard.plan(step("deploy"), afterwards=afterwards(url))

    assert yard.run().status == SUCCESS

    texts = [body["text"] for *_, body in handler.asked]
    assert texts == [f"{name}: 2.0 in here: success, 1 steps done" for name in ("always", "well")]
    assert [r.notes for r in yard.records if r.action == "notify"] == [
        "after/always: told by webhook", "after/well: told by webhook",
    ]  # fmt: skip


def test_people_are_told_of_a_bad_end(yard: Yard, hook: tuple[type[Hook], str]) -> None:
    """Though a step failed, and though the first who tells is not heard."""
    handler, url = hook
    deaf, *others = afterwards(url)
    deaf["with"]["notify"]["webhook"] = {"url": "http://127.0.0.1:9/"}
    failing = {"name": "deploy", "type": "deploy", "with": {"command": {"argv": ["false"]}}}
    yard.plan(failing, afterwards=[{**deaf, "retries": {"times": 1}}, *others])

    result = yard.run()

    assert (result.status, result.why) == (STOPPED, "deploy: exit status 1")
    assert [body["text"] for *_, body in handler.asked] == [
        "not-well: 2.0 in here: failed, deploy: exit status 1"
    ]
    told = yard.look.state.tasks
    assert (told["after/always"].status, told["after/always"].attempt) == ("failed", 2)
    assert "after/well" not in told


def test_people_are_told_when_the_history_cannot_be_written(
    yard: Yard, hook: tuple[type[Hook], str]
) -> None:
    """That is what they must know of first."""
    handler, url = hook
    yard.plan(step("deploy"), afterwards=afterwards(url))
    with pytest.MonkeyPatch.context() as patch:

        def at(boundary: str) -> None:
            if boundary == "decided, after":
                refuse_records(patch)

        with pytest.raises(RolloutError, match=r"Read-only file system: nothing goes on"):
            yard.run(at=at)

    assert len(handler.asked) == 2
    assert yard.resume().status == SUCCESS
    assert len(handler.asked) == 2


def test_a_step_knows_no_end(yard: Yard) -> None:
    """Before the end there is no result; the message says what is known."""
    yard.plan({**step("deploy"), "with": wrote("{{result}}")})

    with pytest.raises(ConfigError, match=r"unknown name \{\{result\}\}.*; known: release, commit"):
        yard.run()


def test_a_dry_run_says_who_would_be_told(yard: Yard) -> None:
    """And of which ends; nobody is."""
    yard.plan(step("deploy"), afterwards=afterwards("http://127.0.0.1:9/"))

    *_, good, bad = dry_run(yard.desk(), Wish("shop", "2.0"))

    assert good == (
        "  would do at the end well (notify in here, if it ended as success): "
        "tell people by webhook"
    )
    assert "(notify in here, if it ended as failed or rolled-back or rollback-failed): " in bad
