"""What the sandbox is watched by, what it is backed up by, and everything that can be wrong there.

Prometheus, Alertmanager, Pushgateway and Grafana are stand-ins in one process, see
`_monitoring_server`; PostgreSQL and its programs are real, see `_backups`.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from pytest_release.errors import SandboxError
from pytest_release.sandbox.child import Child
from pytest_release.sandbox.fault import faults_of
from pytest_release.sandbox.room import Part, Room, Running
from pytest_release.sandbox.rooms._prometheus import fetch

if TYPE_CHECKING:
    from pytest_release.sandbox.stores import Stores

NAME = "monitoring"
SERVER = "pytest_release.sandbox.rooms._monitoring_server"
HOST = "127.0.0.1"
SERVICES = ("pages", "prometheus", "alertmanager", "pushgateway", "grafana")
START_LIMIT = 15.0  # seconds until the server must serve


class Watchers:
    """Prometheus and what stands around it, until `stop`.

    Args:
        faults: Names of those that are on.

    Raises:
        SandboxError: It does not start.
    """

    def __init__(self, faults: frozenset[str]) -> None:
        self._token = f"glsa_{secrets.token_hex(16)}"
        with ExitStack() as ours:  # the child inherits its own copies
            listeners = {
                name: ours.enter_context(socket.create_server((HOST, 0), backlog=128))
                for name in SERVICES
            }
            numbers = {name: one.fileno() for name, one in listeners.items()}
            self._urls = {n: f"http://{HOST}:{s.getsockname()[1]}" for n, s in listeners.items()}
            options = {"listeners": numbers, "token": self._token, "faults": sorted(faults)}
            self._child = Child(SERVER, options, tuple(numbers.values()))
        try:
            if "monitoring.not-ready" not in faults:
                self._await()
        except BaseException:
            self.stop()
            raise

    def _await(self) -> None:
        deadline = time.monotonic() + START_LIMIT
        while True:
            try:
                fetch(f"{self._urls['prometheus']}/-/ready")
            except (OSError, HTTPException, ValueError):
                if self._child.exit_status is not None or time.monotonic() > deadline:
                    words = self._child.last_words() or "none"
                    raise SandboxError(
                        f"the sandbox's Prometheus did not start; its last words: {words}"
                    ) from None
                time.sleep(0.02)
            else:
                return

    def address(self, service: str) -> str:
        """Base URL of one of `SERVICES`."""
        return self._urls[service]

    @property
    def services(self) -> Mapping[str, Mapping[str, Any]]:
        """As an environment names them."""
        pushgateway = self._urls["pushgateway"]
        return {
            "prometheus": {"url": self._urls["prometheus"], "pushgateway": pushgateway},
            "alertmanager": {"url": self._urls["alertmanager"]},
            "grafana": {"url": self._urls["grafana"], "token": self._token},
        }

    @property
    def secrets(self) -> frozenset[str]:
        """Grafana's token."""
        return frozenset({self._token})

    @property
    def told(self) -> Mapping[str, Any]:
        """Nothing that an endpoint needs."""
        return {}

    def stop(self) -> None:
        """End the process."""
        self._child.let_go()
        self._child.join()


def _watchers(faults: frozenset[str], _stores: Stores | None) -> Running:
    return Watchers(faults)


def _backups(faults: frozenset[str], _stores: Stores | None) -> Running:
    from pytest_release.sandbox.rooms._backups import Backups  # noqa: PLC0415 - an extra

    return Backups(faults)


_FAULTS = (
    ("unhealthy", "unhealthy", "Prometheus says that it is not healthy"),
    ("login-page", "unhealthy", "a login page answers 200 in place of Prometheus"),
    ("not-ready", "not-ready", "Prometheus is replaying its log and does not serve"),
    ("config-not-loaded", "config-not-loaded", "Prometheus runs with an older configuration"),
    ("target-down", "target-down", "the application's page of metrics answers 500"),
    ("missing-job", "missing-job", "the node's exporter is not scraped"),
    ("late-scrape", "old-scrape", "a target that is up was scraped 15 minutes ago"),
    ("missing-series", "missing-series", "the application does not count predictions"),
    ("stale-series", "stale-series", "the application tells an old count of predictions"),
    ("out-of-band", "out-of-band", "the accuracy of predictions is 0.31"),
    ("not-a-number", "out-of-band", "the accuracy of predictions is no number"),
    ("missing-rule", "missing-rule", "the rule for old backups is not loaded"),
    ("rule-error", "rule-error", "a rule cannot be evaluated"),
    ("frozen-rule", "rule-not-evaluated", "a rule is loaded and never evaluated"),
    ("blind-rule", "blind-rule", "a rule looks at a metric that nobody has, by a slip of the pen"),
    ("firing-alert", "alert-firing", "a critical alert fires"),
    ("no-watchdog", "alert-silent", "the alert that always fires is not there"),
    ("pending-watchdog", "alert-silent", "the alert that always fires is pending for an hour"),
    ("no-alertmanager", "no-alertmanager", "Prometheus sends its alerts to nobody"),
    ("alertmanager-unhealthy", "alertmanager-unhealthy", "Alertmanager answers 503"),
    ("undelivered", "alert-not-delivered", "alerts do not reach Alertmanager"),
    ("silenced", "alert-silenced", "somebody silenced the alert that always fires"),
    ("deaf-canary", "provoked-silent", "an alert that is provoked does not fire"),
    ("stuck-canary", "provoked-stuck", "an alert that was provoked does not end"),
    ("keeps-canary", "left-behind", "what provoked an alert cannot be taken back"),
    ("grafana-database", "grafana-unhealthy", "Grafana's database fails"),
    ("missing-dashboard", "missing-dashboard", "a dashboard is gone"),
    ("missing-datasource", "missing-datasource", "Grafana has no data source Prometheus"),
    ("datasource-down", "datasource-unhealthy", "Grafana cannot reach its data source"),
    ("no-backup", "no-backup", "the stack's folder holds no backup"),
    ("old-backup", "backup-too-old", "the newest backup is three days old"),
    ("future-backup", "backup-in-future", "a backup is named for next month"),
    ("incomplete-backup", "backup-incomplete", "the newest backup has no .env"),
    ("empty-dump", "backup-empty", "the newest dump is an empty file"),
    ("small-dump", "backup-too-small", "the newest dump is far smaller than those before"),
    ("few-backups", "too-few-backups", "7 backups are kept"),
    ("stray-folder", "backup-name", "a folder among the backups has another name"),
    ("linked-dump", "backup-incomplete", "the newest dump is a link to another file"),
    ("placeholder", "backup-placeholder", "the saved .env has a placeholder for the password"),
    ("no-dump", "dump-unreadable", "the dump is the complaint of pg_dump"),
    ("cut-dump", "dump-unreadable", "a dump breaks off; its table of contents is whole"),
    ("copied-dump", "dump-of-another-time", "today's folder holds a dump of last year"),
    ("lost-table", "dump-lacks-table", "the dump leaves a table out"),
    ("cut-gzip", "dump-unreadable", "a compressed dump breaks off"),
    ("hidden-failure", "dump-incomplete", "pg_dump died, and gzip packed what there was"),
    ("lost-rows", "too-few-rows", "the dump has 12 orders of 240"),
    ("broken-reference", "restore-failed", "a dump's rows refer to one that is not there"),
    ("unsafe-dump", "restore-failed", "a dump has a command for psql's shell"),
)

ROOM = Room(
    faults=faults_of(NAME, _FAULTS),
    parts=(
        Part("prometheus", frozenset({NAME, "slo"}), _watchers),
        Part("backups", frozenset({NAME}), _backups),
    ),
)
