"""What watches the deployment works, and what it could be restored from does, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import GatePolicy
from pytest_release.errors import TargetError
from pytest_release.evidence import Evidence, Finding
from pytest_release.gates._check import concluded
from pytest_release.gates._monitoring_alerts import alertmanager, alerts, provoked
from pytest_release.gates._monitoring_backups import backups
from pytest_release.gates._monitoring_dumps import dump
from pytest_release.gates._monitoring_grafana import grafana
from pytest_release.gates._monitoring_prometheus import (
    prometheus,
    rules,
    series,
    targets,
    values,
)
from pytest_release.gates._monitoring_restore import restored
from pytest_release.gates._monitoring_watch import Watch
from pytest_release.gates._scene import Scene

MOST = 50  # findings of one check that are told; the others are counted
PAUSE_S = 0.25  # between two looks of one that is patient


def measure(case: CheckCase, policy: GatePolicy, scene: Scene) -> Evidence:
    """Make one check; with ``patience_s`` again, until nothing is found or that time is over.

    Raises:
        TargetError: The environment does not name the service, or that does not answer.
    """
    ends = time.monotonic() + case.expect.get("patience_s", 0)
    while True:
        watch = Watch(case, policy, scene)
        late = time.monotonic() >= ends
        try:
            told = CHECKS[case.check](watch)
            findings = list(islice(told, MOST))
            more = sum(1 for _ in told)
        except TargetError:
            if late:
                raise
        else:
            if late or not findings:
                break
        time.sleep(PAUSE_S)
    if more:
        findings.append(Finding("monitoring.more", f"{more} findings more are not told"))
    return concluded(case, policy, findings, watch.figures)


CHECKS: Mapping[str, Callable[[Watch], Iterator[Finding]]] = {
    "prometheus": prometheus,
    "targets": targets,
    "series": series,
    "values": values,
    "rules": rules,
    "alerts": alerts,
    "alertmanager": alertmanager,
    "provoked": provoked,
    "grafana": grafana,
    "backups": backups,
    "dump": dump,
    "restored": restored,
}
