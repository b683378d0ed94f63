"""No alert fires that must not, those fire that must, and what fires reaches somebody."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from uuid import uuid4

from pytest_release.config.validation import suggestion
from pytest_release.errors import TargetError
from pytest_release.evidence import Finding, Severity
from pytest_release.gates._monitoring_watch import Watch, cut, labelled, some
from pytest_release.targets.service import Service, said

SEVERITIES = ("critical", "warning")  # that must not fire
PAUSE_S = 0.1  # between two looks
PATIENCE_S = 60.0  # for an alert that is provoked, without a limit of the case


def alerts(watch: Watch) -> Iterator[Finding]:
    """None of the severities fires but for those allowed; each that must fire does."""
    expect, server = watch.case.expect, watch.prometheus
    active = server.alerts()
    firing = [alert for alert in active if alert.state == "firing"]
    watch.figures["firing"] = [float(len(firing))]
    allowed = {*expect.get("allow", []), *expect.get("firing", [])}
    severities = expect.get("severities", SEVERITIES)
    for alert in firing:
        severity = alert.labels.get("severity", "")
        if severity in severities and alert.name not in allowed:
            about = alert.annotations.get("summary", "") or alert.annotations.get("description", "")
            since = f"for {_minutes(server.now() - alert.active_at)}" if alert.active_at else ""
            message = f"{severity}: {labelled(alert.labels)} fires {since}: {cut(about)}"
            yield watch.found("alert-firing", message.rstrip(": "), "none", alert.name)
    for name in expect.get("firing", []):
        if all(alert.name != name for alert in firing):
            states = sorted({alert.state for alert in active if alert.name == name})
            known = {rule.name for rule in server.rules()}
            loaded = "" if name in known else f", its rule is not loaded{suggestion(name, known)}"
            message = f"{name} must fire always and is {some(states or ['inactive'])}{loaded}"
            yield watch.found("alert-silent", message, "firing", some(states or ["inactive"]))


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def alertmanager(watch: Watch) -> Iterator[Finding]:
    """Prometheus has one, it serves, and the alerts that must fire are there and not silenced."""
    known = watch.prometheus.alertmanagers()
    if not known:
        message = f"{watch.prometheus.place} has no Alertmanager: its alerts reach nobody"
        yield watch.found("no-alertmanager", message, "an Alertmanager", "none")
    server = watch.alertmanager
    for health, path in ((server.healthy(), "healthy"), (server.ready(), "ready")):
        if not health.well:
            message = f"{server.place}/-/{path} answers {health.said}"
            yield watch.found("alertmanager-unhealthy", message, "200 OK", health.said)
    there = server.alerts()
    watch.figures["delivered"] = [float(len(there))]
    for name in watch.case.expect.get("firing", []):
        own = [alert for alert in there if alert.name == name]
        if not own:
            others = some(sorted({alert.name for alert in there}))
            message = f"{name} did not reach {server.place}; what did: {others}"
            yield watch.found("alert-not-delivered", message, name, others)
        elif all(alert.state == "suppressed" for alert in own):
            why = some(silence for alert in own for silence in alert.silences)
            message = f"{name} is kept from everybody at {server.place}; silences: {why}"
            yield watch.found("alert-silenced", message, "active", "suppressed")


def provoked(watch: Watch) -> Iterator[Finding]:
    """An alert fires when a metric is pushed, arrives, and ends when the metric is gone.

    In production only where the policy says ``provoke: true``; else that is a warning.
    """
    environment = watch.scene.environment
    if environment.role == "production" and not watch.policy.options.get("provoke", False):
        message = (
            f"{watch.case.options['alert']} was not provoked: in production only with "
            f"gates.{watch.case.gate}.provoke: true in {environment.source}"
        )
        yield watch.found("not-provoked", message, severity=Severity.WARNING)
        return
    canary = _Canary(watch)
    yield from canary.findings()


class _Canary:
    """One metric that is pushed, and the alert that it provokes."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._alert: str = watch.option("alert")
        self._metric: str = watch.option("metric")
        self._limit: float = watch.case.expect.get("within_s", PATIENCE_S)
        given, environment = watch.options("prometheus"), watch.scene.environment
        expected = "the address of a Pushgateway, http://host:9091"
        self._gateway = Service(given, environment, "prometheus", expected, "pushgateway")
        self._group = f"/metrics/job/pytest_release/instance/{uuid4().hex[:12]}"

    def findings(self) -> Iterator[Finding]:
        """Push, wait until it fires and arrives; take it back, wait until it has ended."""
        watch = self._watch
        if self._fires():
            message = f"{self._alert} fires already, before it was provoked"
            yield watch.found("provoked-stuck", message, "inactive", "firing")
            return
        watch.scene.afterwards(f"the metric {self._metric} in {self._gateway.place}", self._remove)
        self._push()
        fired = self._waited(self._fires)
        if fired is None:
            yield self._silent()
        else:
            watch.figures["fires_after_s"] = [fired]
            yield from self._arrived()
        try:
            self._remove()
        except TargetError:
            return  # afterwards it is tried again, and what stays is told
        ended = self._waited(lambda: not self._fires())
        if ended is None:
            message = f"{self._alert} fires {self._limit:g} s after its cause is gone"
            yield watch.found("provoked-stuck", message, "inactive", "firing")
        elif fired is not None:
            watch.figures["ends_after_s"] = [ended]

    def _silent(self) -> Finding:
        rules = [rule for rule in self._watch.prometheus.rules() if rule.name == self._alert]
        why = f"its rule is {cut(rules[0].query)}" if rules else "its rule is not loaded"
        message = f"{self._alert} does not fire within {self._limit:g} s of {self._metric} 1: {why}"
        return self._watch.found("provoked-silent", message, "firing", "silent")

    def _arrived(self) -> Iterator[Finding]:
        watch = self._watch
        if not watch.options("alertmanager"):
            return
        there = self._waited(
            lambda: any(a.name == self._alert for a in watch.alertmanager.alerts())
        )
        if there is None:
            place = watch.alertmanager.place
            message = f"{self._alert} fires and does not reach {place} within {self._limit:g} s"
            yield watch.found("alert-not-delivered", message, self._alert, "nothing")

    def _fires(self) -> bool:
        every = self._watch.prometheus.alerts()
        return any(alert.name == self._alert and alert.state == "firing" for alert in every)

    def _waited(self, holds: Callable[[], bool]) -> float | None:
        """Seconds until something held; None when it did not in time."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() - began > self._limit:
                return None
            time.sleep(PAUSE_S)
        return time.monotonic() - began

    def _push(self) -> None:
        body = f"# TYPE {self._metric} gauge\n{self._metric} 1\n".encode()
        answer = self._gateway.ask(self._group, method="PUT", body=body)
        if answer.status not in (200, 202):
            raise TargetError(f"{self._gateway.place}{self._group} answers {said(answer)}")

    def _remove(self) -> None:
        answer = self._gateway.ask(self._group, method="DELETE")
        if answer.status != 202:
            raise TargetError(f"{self._gateway.place} keeps {self._group}: {said(answer)}")
