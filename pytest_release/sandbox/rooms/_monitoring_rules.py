"""What the sandbox monitors itself by: rules in Prometheus' own form, jobs, dashboards.

The integration tests give the same rules to Debian's Prometheus.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

JOBS = ("football", "node", "promtail", "prometheus", "pushgateway")
CANARY = "release_canary"
CRITICAL = {"severity": "critical"}
WARNING = {"severity": "warning"}
DASHBOARDS = ("Football overview", "Football predictions", "Node", "PostgreSQL")

GROUPS: tuple[Mapping[str, Any], ...] = (
    {
        "name": "football",
        "rules": [
            {"alert": "ApplicationDown", "expr": 'up{job="football"} == 0', "labels": CRITICAL},
            {
                "alert": "HighErrorRate",
                "expr": 'sum(rate(http_requests_total{code="500"}[5m]))'
                " / sum(rate(http_requests_total[5m])) > 0.05",
                "labels": CRITICAL,
            },
            {
                "alert": "SlowResponses",
                "expr": "rate(http_request_duration_seconds_sum[5m])"
                " / rate(http_request_duration_seconds_count[5m]) > 2",
                "labels": WARNING,
            },
            {
                "alert": "DataSyncStale",
                "expr": "time() - data_sync_last_success_timestamp_seconds > 3600",
                "labels": CRITICAL,
            },
            {
                "alert": "BackupTooOld",
                "expr": "time() - backup_last_success_timestamp_seconds > 90000",
                "labels": CRITICAL,
            },
        ],
    },
    {
        "name": "meta",
        "rules": [
            {"alert": "Watchdog", "expr": "vector(1)", "labels": {"severity": "none"}},
            {"alert": "ReleaseCanary", "expr": f"{CANARY} > 0", "labels": {"severity": "none"}},
            {"record": "job:up:min", "expr": "min by (job) (up)"},
        ],
    },
)

Edit = Callable[[dict[str, dict[str, Any]]], None]


def _expression(name: str, expression: str) -> Edit:
    def edit(rules: dict[str, dict[str, Any]]) -> None:
        rules[name]["expr"] = expression

    return edit


def _without(name: str) -> Edit:
    def edit(rules: dict[str, dict[str, Any]]) -> None:
        rules[name].clear()

    return edit


def _patient(rules: dict[str, dict[str, Any]]) -> None:
    rules["Watchdog"]["for"] = "1h"


EDITS: Mapping[str, Edit] = {
    "monitoring.missing-rule": _without("BackupTooOld"),
    "monitoring.rule-error": _expression("SlowResponses", "up + on(nothing) up > 2"),
    "monitoring.blind-rule": _expression(
        "DataSyncStale", "time() - data_sync_last_sucess_timestamp_seconds > 3600"
    ),
    "monitoring.firing-alert": _expression("DataSyncStale", 'up{job="football"} == 1'),
    "monitoring.no-watchdog": _without("Watchdog"),
    "monitoring.pending-watchdog": _patient,
    "monitoring.deaf-canary": _expression("ReleaseCanary", f"{CANARY} > 10"),
}


def rule_groups(faults: Iterator[str] | frozenset[str] = frozenset()) -> list[dict[str, Any]]:
    """The groups of a rule file, with what these faults make of them."""
    groups = deepcopy([dict(group) for group in GROUPS])
    rules = {rule.get("alert", rule.get("record")): rule for g in groups for rule in g["rules"]}
    for fault in faults:
        if fault in EDITS:
            EDITS[fault](rules)
    return [{**group, "rules": [rule for rule in group["rules"] if rule]} for group in groups]
