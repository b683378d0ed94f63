"""The sandbox's edge: football's API and a login behind TLS, and a redirect before it.

``python -m pytest_release.sandbox.rooms._security_edge OPTIONS``, by `sandbox.child`. The faults
that are on are real: it is the certificate that is wrong, the version that is taken, the page that
is sent.
"""

from __future__ import annotations

import json
import socket
import ssl
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pytest_release.sandbox.child import leave_with_parent
from pytest_release.sandbox.rooms._security_tokens import good

LIMITED = "/api/v1/predictions/2"  # a path of its own: other checks do not use up what it allows
FREE, BLOCKED_S = 10, 1.0  # requests that pass, and how long none does behind them
ORIGIN = "https://football.example"
USER, PASSWORD = "demo", "demo-password"
HEADERS = {
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "strict-origin-when-cross-origin",
}
COOKIE = {"Secure": "", "HttpOnly": "", "SameSite": "Lax", "Path": "/"}
TRACEBACK = (
    "Traceback (most recent call last):\n"
    '  File "/srv/football/app/api.py", line 42, in predict\n'
    "    asked = json.loads(body)\n"
)
ENDLESS = 1024 * 1024  # bytes: more than anybody reads of the page of an error
VERSIONS = {"security.tls-1-0": ssl.TLSVersion.TLSv1, "security.tls-1-1": ssl.TLSVersion.TLSv1_1}


@dataclass(frozen=True)
class Said:
    """An answer: status, body and headers of its own."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def said(status: int, value: Any, **headers: str) -> Said:  # noqa: ANN401 - any JSON value
    """An answer in JSON; underscores in a header's name are hyphens."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Said(status, json.dumps(value).encode(), {"Content-Type": "application/json", **named})


def page(status: int, text: str, **headers: str) -> Said:
    """An answer in HTML."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = f"<!doctype html><title>football</title><p>{text}</p>".encode()
    return Said(status, body, {"Content-Type": "text/html; charset=utf-8", **named})


class Limit:
    """So many requests pass, then none for a while."""

    def __init__(self, faults: frozenset[str]) -> None:
        self._faults = faults
        self._lock = threading.Lock()
        self._clients: dict[str, tuple[int, float]] = {}

    def refuses(self, client: str) -> Said | None:
        """The refusal of a client's request; None where it passes."""
        with self._lock:
            count, until = self._clients.get(client, (0, 0.0))
            now = time.monotonic()
            if until and now >= until and "security.limit-forever" not in self._faults:
                count, until = 0, 0.0
            if count >= FREE and not until:
                until = now + BLOCKED_S
            self._clients[client] = count + 1, until
        if not until or "security.no-limit" in self._faults:
            return None
        if "security.limit-503" in self._faults:
            return said(503, {"detail": "busy"})
        silent = "security.limit-silent" in self._faults
        return said(429, {"detail": "slower"}, **({} if silent else {"Retry_After": "1"}))


class Application:
    """What is asked and what is said; some faults are its own."""

    def __init__(self, key: str, faults: frozenset[str]) -> None:
        self._key = key
        self.faults = faults
        self._limit = Limit(faults)

    def on(self, fault: str) -> bool:
        """Whether a fault is on."""
        return f"security.{fault}" in self.faults

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Said:
        """What is said to a request."""
        match method, path:
            case "TRACE", _:
                return said(200, dict(headers)) if self.on("trace") else said(405, None)
            case "OPTIONS", _ if "origin" in headers:
                return said(405 if self.on("no-preflight") else 204, None)
            case "GET", "/health/":
                return said(200, {"status": "healthy"})
            case "GET" | "POST", "/web/login":
                return self._login(method, parse_qs(body.decode("latin-1")))
            case "GET", "/api/v1/predictions/1" | "/api/v1/predictions/2":
                limited = path == LIMITED and self._limit.refuses(self._client(headers))
                return limited or self._protected(headers)
            case "POST", "/api/v1/predictions":
                return self._predicted(body)
        return self._exposed(path) or self._lost(path)

    def _client(self, headers: Mapping[str, str]) -> str:
        return headers.get("x-forwarded-for", "") if self.on("limit-evaded") else ""

    def _protected(self, headers: Mapping[str, str]) -> Said:
        content = {"match_id": 1, "prediction": "home", "confidence": 0.61}
        given = headers.get("authorization", "")
        scheme, _, token = given.partition(" ")
        known = scheme.lower() == "bearer" and good(self._key, token.strip(), self.faults)
        if self.on("open") or (self.on("any-scheme") and given) or known:
            return said(200, content) if not self.on("refuses-all") else said(401, None)
        if self.on("failing-login") and given:
            return said(500, {"detail": "failed"})
        shown = content if self.on("refused-content") else {"detail": "Not authenticated"}
        return said(401, shown, WWW_Authenticate="Bearer")

    def _login(self, method: str, form: Mapping[str, list[str]]) -> Said:
        if method == "GET":
            return page(200, "Log in", **self._cookie())
        if form.get("username") != [USER] or form.get("password") != [PASSWORD]:
            return page(401, "Wrong name or password")
        return page(303, "Welcome", Location="/web", **self._cookie())

    def _cookie(self) -> dict[str, str]:
        if self.on("no-cookie"):
            return {}
        flags = dict(COOKIE)
        for fault, flag in {"cookie-plain": "Secure", "cookie-readable": "HttpOnly"}.items():
            if self.on(fault):
                del flags[flag]
        if self.on("cookie-sites"):
            flags["SameSite"] = "None"
        if self.on("cookie-domain"):
            flags["Domain"] = ".example"
        words = (f"{name}={value}" if value else name for name, value in flags.items())
        return {"Set_Cookie": "; ".join(("session_id=c2Vzc2lvbg", *words))}

    def _predicted(self, body: bytes) -> Said:
        try:
            json.loads(body)
        except ValueError as error:
            if self.on("traceback"):
                return page(500, f"{TRACEBACK}{type(error).__name__}: {error}")
            return said(400, {"detail": "The body is no JSON"})
        return said(201, {"match_id": 1})

    def _exposed(self, path: str) -> Said | None:
        if path == "/docs" and self.on("docs"):
            return page(200, "Swagger UI")
        if path == "/.env" and self.on("env-file"):
            return Said(200, b"SECRET_KEY=2b7e151628aed2a6", {"Content-Type": "text/plain"})
        if self.on("git"):
            if path == "/.git/HEAD":
                return Said(200, b"ref: refs/heads/main\n", {"Content-Type": "text/plain"})
            return page(200, f"the start page, also for {path}")
        return None

    def _lost(self, path: str) -> Said:
        if self.on("error-version"):
            return page(404, "Not Found<hr>nginx/1.22.1")
        if self.on("error-secret"):
            return page(404, "no row in postgres://football:correct-horse@db.example/football")
        if self.on("error-500") and "\x00" in path:
            return page(500, "Internal Server Error")
        return said(404, {"detail": "Not Found"})

    def headers(self, asked: Mapping[str, str], path: str) -> Iterator[tuple[str, str]]:
        """Those of every answer, and those of CORS."""
        given = dict(HEADERS)
        changes = {
            "no-hsts": ("Strict-Transport-Security", None),
            "short-hsts": ("Strict-Transport-Security", "max-age=300"),
            "sniffing": ("X-Content-Type-Options", None),
            "framing": ("Content-Security-Policy", "default-src 'self'"),
            "no-csp": ("Content-Security-Policy", None),
            "unsafe-inline": (
                "Content-Security-Policy",
                "default-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
            ),
            "referrer": ("Referrer-Policy", "unsafe-url"),
            "powered-by": ("X-Powered-By", "Express"),
        }
        for fault, (name, value) in changes.items():
            if self.on(fault):
                given.pop(name, None)
                given.update({name: value} if value else {})
        if self.on("no-csp"):
            given["X-Frame-Options"] = "DENY"
            given["Content-Security-Policy-Report-Only"] = HEADERS["Content-Security-Policy"]
        yield from given.items()
        if path.startswith("/api/") and (origin := asked.get("origin")):
            yield from self._cors(origin)

    def _cors(self, origin: str) -> Iterator[tuple[str, str]]:
        if not self.on("cors-cached"):
            yield "Vary", "Origin"
        let = origin == ORIGIN and not self.on("cors-nobody")
        let = let or self.on("cors-reflected") or (self.on("cors-null") and origin == "null")
        let = let or (self.on("cors-suffix") and origin.startswith(ORIGIN))
        if let or self.on("cors-star"):
            yield "Access-Control-Allow-Origin", "*" if self.on("cors-star") else origin
            yield "Access-Control-Allow-Credentials", "true"
            yield "Access-Control-Allow-Methods", "GET, POST, DELETE"
            yield "Access-Control-Allow-Headers", "authorization"


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one piece
    server: Server

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", "0")))
        application = self.server.application
        if self.server.secure is None and not application.on("plain-http"):
            self._send(Said(308, b"", {"Location": self._there()}), [])
            return
        answer = application.answer(self.command, path, headers, body)
        self._send(answer, list(application.headers(headers, path)))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_TRACE = _answer  # noqa: N815

    def _there(self) -> str:
        application = self.server.application
        if application.on("redirect-elsewhere"):
            return "https://parking.example/"
        scheme = "http" if application.on("redirect-plain") else "https"
        return f"{scheme}://127.0.0.1:{self.server.tls_port}{self.path}"

    def _send(self, answer: Said, headers: list[tuple[str, str]]) -> None:
        endless = self.path.startswith("/no-") and self.server.application.on("endless-error")
        bare = self.command == "HEAD" or answer.status == HTTPStatus.NO_CONTENT
        self.send_response(answer.status)
        for name, value in (*answer.headers.items(), *headers):
            self.send_header(name, value)
        self.send_header("Content-Length", str(ENDLESS if endless else len(answer.body)))
        self.end_headers()
        self.wfile.write(b"x" * ENDLESS if endless else b"" if bare else answer.body)

    def version_string(self) -> str:
        """Of the Server header."""
        return "edge/2.4.1" if self.server.application.on("server-version") else "edge"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401
        """Nobody reads it."""


class Server(ThreadingHTTPServer):
    """Both listeners; handshakes are made in the connection's thread."""

    daemon_threads = True

    def __init__(
        self,
        listener: socket.socket,
        application: Application,
        tls_port: int,
        secure: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(listener.getsockname(), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.application = application
        self.tls_port = tls_port
        self.secure = secure

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """The handshake, then the request; who breaks off is nobody's concern."""
        try:
            request.settimeout(30)
            if self.secure:
                request = self.secure.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
        except OSError:
            pass
        finally:
            if self.secure:
                request.close()


def context(folder: str, faults: frozenset[str]) -> ssl.SSLContext:
    """TLS 1.2 and 1.3, unless a fault says otherwise."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if faults & {*VERSIONS, "security.certificate-weak"}:
        made.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that is the fault
        for fault, oldest in VERSIONS.items():
            if fault in faults:
                made.minimum_version = oldest
    if "security.no-tls-1-3" in faults:
        made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.load_cert_chain(f"{folder}/edge.pem")
    return made


def main(options: str) -> None:
    """Serve until the parent is gone.

    Args:
        options: JSON object: tls, plain (descriptors of listeners), folder, key, faults.
    """
    asked = json.loads(options)
    leave_with_parent()
    application = Application(asked["key"], frozenset(asked["faults"]))
    tls, plain = (socket.socket(fileno=asked[name]) for name in ("tls", "plain"))
    port = tls.getsockname()[1]
    secure = Server(tls, application, port, context(asked["folder"], application.faults))
    threading.Thread(target=secure.serve_forever, daemon=True).start()
    Server(plain, application, port).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
