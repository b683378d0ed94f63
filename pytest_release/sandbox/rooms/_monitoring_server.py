"""Serves what the sandbox is monitored by, in one process, each on a port of its own.

``python -m pytest_release.sandbox.rooms._monitoring_server OPTIONS``, by `sandbox.child`.

Prometheus, Alertmanager, Pushgateway and Grafana are stand-ins that speak the real ones' HTTP
interfaces, as far as they are asked here.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pytest_release.sandbox.child import leave_with_parent
from pytest_release.sandbox.rooms._monitoring_pages import PAGES
from pytest_release.sandbox.rooms._monitoring_rules import DASHBOARDS, JOBS, rule_groups
from pytest_release.sandbox.rooms._prometheus import EAGER, Prometheus

HOST = "127.0.0.1"
LOGIN = "<!doctype html><title>Healthy food</title><p>Server is Ready. Log in, please."
FADES_S = 3.0  # that an alert is kept which is not told again; a real one keeps it 5 minutes
SILENCE = "6f0e5f0a-1b2c-4d3e-8f90-a1b2c3d4e5f6"

Said = tuple[int, Any]
Says = Callable[[str, str, Mapping[str, str], bytes], Said]


def main(options: str) -> None:
    """Serve until the parent is gone.

    Args:
        options: JSON object: listeners (descriptors by service), token (Grafana's), faults.
    """
    asked = json.loads(options)
    leave_with_parent()
    Services(asked["listeners"], asked["token"], frozenset(asked["faults"])).serve()


class Services:
    """All of them.

    Args:
        listeners: Descriptors by service.
        token: That Grafana wants.
        faults: Names of those that are on.
    """

    def __init__(self, listeners: Mapping[str, int], token: str, faults: frozenset[str]) -> None:
        self._sockets = {name: socket.socket(fileno=number) for name, number in listeners.items()}
        urls = {n: f"http://{HOST}:{s.getsockname()[1]}" for n, s in self._sockets.items()}
        self._faults = faults
        self._token = token
        self._pushed: dict[str, str] = {}
        self._alerts: dict[str, dict[str, Any]] = {}
        targets = {job: f"{urls['pages']}/{job}" for job in PAGES}
        targets |= {job: f"{urls[job]}/metrics" for job in ("prometheus", "pushgateway")}
        if "monitoring.missing-job" in faults:
            del targets["node"]
        alertmanager = "" if "monitoring.no-alertmanager" in faults else urls["alertmanager"]
        ordered = {job: targets[job] for job in JOBS if job in targets}
        self._prometheus = Prometheus(ordered, rule_groups(faults), alertmanager, faults)

    def serve(self) -> None:
        """Until the process ends."""
        says: Mapping[str, Says] = {
            "pages": self._page,
            "prometheus": self._say_prometheus,
            "alertmanager": self._say_alertmanager,
            "pushgateway": self._say_pushgateway,
            "grafana": self._say_grafana,
        }
        for name, listener in self._sockets.items():
            server = ThreadingHTTPServer((HOST, 0), _handler(says[name]), bind_and_activate=False)
            server.socket.close()
            server.socket = listener
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
        self._prometheus.watch()

    def _page(self, _method: str, path: str, _asked: Mapping[str, str], _body: bytes) -> Said:
        job = path.strip("/")
        if "monitoring.target-down" in self._faults and job == "football":
            return 500, "no metrics today\n"
        return (200, PAGES[job](self._faults)) if job in PAGES else (404, "no such page\n")

    def _say_prometheus(self, _: str, path: str, asked: Mapping[str, str], _body: bytes) -> Said:
        if path.startswith("/api/v1/"):
            return self._prometheus.answer(path.removeprefix("/api/v1/"), asked)
        if path == "/metrics":
            return 200, f"prometheus_tsdb_head_series {len(self._prometheus.samples.series)}\n"
        if "monitoring.login-page" in self._faults:
            return 200, LOGIN
        if path == "/-/healthy":
            well = "monitoring.unhealthy" not in self._faults
            return (200, "Prometheus Server is Healthy.\n") if well else (500, "out of disk\n")
        ready = self._prometheus.rounds >= EAGER and "monitoring.not-ready" not in self._faults
        return (200, "Prometheus Server is Ready.\n") if ready else (503, "Service Unavailable\n")

    def _say_alertmanager(
        self, method: str, path: str, _asked: Mapping[str, str], body: bytes
    ) -> Said:
        if path in ("/-/healthy", "/-/ready"):
            well = "monitoring.alertmanager-unhealthy" not in self._faults
            return (200, "OK\n") if well else (503, "not now\n")
        if path != "/api/v2/alerts":
            return 404, "404 page not found\n"
        if method == "POST":
            for alert in json.loads(body):
                key = json.dumps(alert["labels"], sort_keys=True)
                self._alerts[key] = {**alert, "heard": time.monotonic()}
            return 200, ""
        silences = [SILENCE] if "monitoring.silenced" in self._faults else []
        state = "suppressed" if silences else "active"
        status = {"state": state, "inhibitedBy": [], "silencedBy": silences}
        recent = [a for a in [*self._alerts.values()] if time.monotonic() - a["heard"] < FADES_S]
        return 200, [{"labels": a["labels"], "status": status} for a in recent]

    def _say_pushgateway(
        self, method: str, path: str, _asked: Mapping[str, str], body: bytes
    ) -> Said:
        if method == "GET":
            return 200, "".join(self._pushed.values())
        if method == "DELETE":
            if "monitoring.keeps-canary" in self._faults:
                return 500, "read-only file system\n"
            if "monitoring.stuck-canary" not in self._faults:
                self._pushed.pop(path, None)
            return 202, ""
        self._pushed[path] = body.decode()
        return 200, ""

    def _say_grafana(self, _method: str, path: str, asked: Mapping[str, str], _body: bytes) -> Said:
        if path == "/api/health":
            broken = "monitoring.grafana-database" in self._faults
            about = {"commit": "9e399e0", "version": "11.4.0"}
            return 503 if broken else 200, {**about, "database": "failing" if broken else "ok"}
        if asked.get("authorization") != f"Bearer {self._token}":
            return 401, {"message": "Unauthorized"}
        if path == "/api/search":
            gone = "monitoring.missing-dashboard" in self._faults
            names = [n for n in DASHBOARDS if not (gone and n == "Football predictions")]
            return 200, [{"title": n, "uid": n.lower().replace(" ", "-"), "type": "dash-db"}
                         for n in names]  # fmt: skip
        if path == "/api/datasources":
            gone = "monitoring.missing-datasource" in self._faults
            names = ["Loki"] if gone else ["Prometheus", "Loki"]
            return 200, [{"name": n, "uid": n.lower(), "type": n.lower()} for n in names]
        if path.startswith("/api/datasources/uid/") and path.endswith("/health"):
            if "monitoring.datasource-down" in self._faults:
                return 400, {"status": "ERROR", "message": "dial tcp: connection refused"}
            return 200, {"status": "OK", "message": "Successfully queried the API."}
        return 404, {"message": "Not found"}


def _handler(says: Says) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """Hands a request on, and answers with text or JSON."""

        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            asked = {**dict(parse_qsl(parts.query)),
                     "authorization": self.headers.get("Authorization", "")}  # fmt: skip
            status, value = says(self.command, parts.path, asked, self.rfile.read(length))
            text = value if isinstance(value, str) else json.dumps(value)
            content = text.encode()
            kind = "text/plain" if isinstance(value, str) else "application/json"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = _do  # noqa: N815 - http.server's names

        def log_message(self, *_arguments: object) -> None:
            """Nothing is logged."""

    return Handler


if __name__ == "__main__":
    main(sys.argv[1])
