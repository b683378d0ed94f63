"""The pages that the sandbox's Prometheus scrapes.

The node's figures are this machine's, from /proc; the application's are invented.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

PROC = Path("/proc")
MODES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
TICKS = 100  # in a second, USER_HZ
MEMORY = ("MemTotal", "MemFree", "MemAvailable")
STARTED = time.time()


def node(faults: frozenset[str]) -> str:
    """As a node exporter names them."""
    figures = dict(_node())
    if "slo.memory" in faults:
        figures["node_memory_MemAvailable_bytes"] = 0.04 * figures["node_memory_MemTotal_bytes"]
    if "slo.disk" in faults:
        size = figures['node_filesystem_size_bytes{mountpoint="/"}']
        figures['node_filesystem_avail_bytes{mountpoint="/"}'] = 0.03 * size
    if "slo.cpu" in faults:  # a hundred seconds a second: seen in a window that is hardly filled
        busy = {name: 100 * time.time() for name in figures if 'mode="system"' in name}
        figures |= busy | {name: 0.0 for name in figures if 'mode="idle"' in name}
    return "".join(f"{name} {value}\n" for name, value in figures.items())


def _node() -> Iterator[tuple[str, float]]:
    for line in (PROC / "stat").read_text().splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name != "cpu":
            for mode, tick in zip(MODES, ticks, strict=False):
                labels = f'{{cpu="{name[3:]}",mode="{mode}"}}'
                yield f"node_cpu_seconds_total{labels}", int(tick) / TICKS
    for line in (PROC / "meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in MEMORY:
            yield f"node_memory_{name}_bytes", float(rest.split()[0]) * 1024
    there = os.statvfs("/")
    for what, blocks in (("size", there.f_blocks), ("avail", there.f_bavail)):
        labels = '{mountpoint="/"}'
        yield f"node_filesystem_{what}_bytes{labels}", float(blocks * there.f_frsize)
    yield "node_load1", os.getloadavg()[0]


def football(faults: frozenset[str]) -> str:
    """A stand-in: as an application counts its requests and predictions."""
    now = time.time()
    count = 1000 + round((now - STARTED) * 60)
    accuracy = "0.31" if "monitoring.out-of-band" in faults else "0.64"
    if "monitoring.not-a-number" in faults:
        accuracy = "NaN"
    at = f" {round((now - 200) * 1000)}" if "monitoring.stale-series" in faults else ""
    lines = {
        'http_requests_total{code="200",method="GET"}': f"{count}",
        'http_requests_total{code="500",method="GET"}': f"{count // 1000}",
        "http_request_duration_seconds_sum": f"{count * 0.042:.3f}",
        "http_request_duration_seconds_count": f"{count}",
        "predictions_total": f"{count // 4}{at}",
        "prediction_accuracy_ratio": accuracy,
        "active_users": "37",
        "data_sync_last_success_timestamp_seconds": f"{now - 60:.0f}",
        "backup_last_success_timestamp_seconds": f"{now - 3600:.0f}",
    }
    if "monitoring.missing-series" in faults:
        del lines["predictions_total"]
    return "".join(f"{name} {value}\n" for name, value in lines.items())


def promtail(_faults: frozenset[str]) -> str:
    """A stand-in: as a shipper of logs counts lines."""
    return f"promtail_sent_entries_total {500 + round((time.time() - STARTED) * 20)}\n"


PAGES: Mapping[str, Callable[[frozenset[str]], str]] = {
    "node": node,
    "football": football,
    "promtail": promtail,
}
