"""A stand-in for Prometheus: it scrapes, evaluates rules, and speaks the HTTP API.

No package carries the real one. What it tells comes from pages that it really fetched, and its
alerts from rules that it really evaluated; `_promql` says how much of the language it knows.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from pytest_release.sandbox.rooms._promql import Value, evaluate, ranges
from pytest_release.sandbox.rooms._promql_parser import PromError, seconds
from pytest_release.sandbox.rooms._promql_samples import NAME, Samples

INTERVAL_S = 0.25
FIRST_S = 0.02  # between the first scrapes, so that there are rates
EAGER = 3  # scrapes after which it says that it is ready
TIMEOUT_S = 2.0
NEVER = "0001-01-01T00:00:00Z"
LINE = re.compile(
    r"(?P<name>[A-Za-z_:][\w:]*)(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)(?:\s+(?P<at>\d+))?"
)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
STEPS = 11_000


@dataclass
class Scraped:
    """One target, and how its last scrape went."""

    job: str
    url: str
    health: str = "unknown"
    error: str = ""
    at: float = 0.0
    seen: set[frozenset[tuple[str, str]]] = field(default_factory=set)

    @property
    def labels(self) -> dict[str, str]:
        """What every sample of it carries."""
        return {"job": self.job, "instance": urlsplit(self.url).netloc}


class Prometheus:
    """Scrapes, remembers, evaluates.

    Args:
        targets: Addresses of pages by job.
        groups: Of rules, as a rule file has them.
        alertmanager: Where alerts go; empty for nowhere.
        faults: Names of those that are on.
    """

    def __init__(
        self,
        targets: Mapping[str, str],
        groups: Sequence[Mapping[str, Any]],
        alertmanager: str,
        faults: frozenset[str],
    ) -> None:
        self.samples = Samples()
        self.targets = [Scraped(job, url) for job, url in targets.items()]
        self._alertmanager = alertmanager
        self._faults = faults
        self._active: dict[tuple[str, frozenset[tuple[str, str]]], dict[str, Any]] = {}
        self._firing: list[dict[str, Any]] = []
        self.rounds = 0
        self._groups = [
            {"name": g["name"], "rules": [{**rule, "error": "", "at": 0.0} for rule in g["rules"]]}
            for g in groups
        ]

    def watch(self) -> None:
        """Scrape and evaluate for ever."""
        while True:
            for target in self.targets:
                self._scrape(target)
            self._evaluate(time.time())
            self.rounds += 1
            time.sleep(FIRST_S if self.rounds < EAGER else INTERVAL_S)

    def _scrape(self, target: Scraped) -> None:
        at = time.time()
        try:
            found = dict(_read(fetch(target.url), at, target.labels))
            target.health, target.error = "up", ""
        except (OSError, HTTPException, ValueError) as error:
            found = {}
            target.health, target.error = "down", str(error)
        target.at = at
        for key, (when, value) in found.items():
            self.samples.add(dict(key), when, value)
        for key in target.seen - found.keys():
            self.samples.add(dict(key), at, None)
        target.seen = set(found)
        duration = time.time() - at
        self.samples.add({NAME: "up", **target.labels}, at, float(target.health == "up"))
        self.samples.add({NAME: "scrape_duration_seconds", **target.labels}, at, duration)

    def _evaluate(self, at: float) -> None:
        firing = []
        for group in self._groups:
            for rule in group["rules"]:
                if rule.get("alert") == "ApplicationDown" and FROZEN in self._faults:
                    continue
                rule["at"], rule["error"] = at, ""
                try:
                    vector = _each(evaluate(rule["expr"], self.samples, at))
                except PromError as error:
                    rule["error"] = str(error)
                    continue
                if "alert" in rule:
                    firing += self._alerts(rule, vector, at)
                    continue
                for labels, value in vector:
                    self.samples.add({**labels, NAME: rule["record"]}, at, value)
        self._firing = firing
        self._notify()

    def _alerts(
        self, rule: Mapping[str, Any], vector: Sequence[Any], at: float
    ) -> list[dict[str, Any]]:
        now = []
        for labels, value in vector:
            kept = {n: v for n, v in labels.items() if n != NAME}
            own = {**kept, **rule.get("labels", {}), "alertname": rule["alert"]}
            key = (rule["alert"], frozenset(own.items()))
            since = self._active.setdefault(key, {"since": at})["since"]
            state = "firing" if at - since >= seconds(rule.get("for", "0s")) else "pending"
            now.append({"labels": own, "annotations": rule.get("annotations", {}), "state": state,
                        "activeAt": _time(since), "value": str(value)})  # fmt: skip
        kept_keys = {(a["labels"]["alertname"], frozenset(a["labels"].items())) for a in now}
        for key in [k for k in self._active if k[0] == rule["alert"] and k not in kept_keys]:
            del self._active[key]
        return now

    def _notify(self) -> None:
        if not self._alertmanager or UNDELIVERED in self._faults:
            return
        told = [{"labels": a["labels"], "annotations": a["annotations"], "startsAt": a["activeAt"]}
                for a in self._firing if a["state"] == "firing"]  # fmt: skip
        try:
            fetch(f"{self._alertmanager}/api/v2/alerts", json.dumps(told).encode())
        except (OSError, HTTPException):
            return  # as the real one, it tries again with the next round

    def answer(self, path: str, asked: Mapping[str, str]) -> tuple[int, Any]:
        """Status and the JSON of an answer of the API."""
        does: Mapping[str, Callable[[Mapping[str, str]], Any]] = {
            "query": self._query,
            "query_range": self._range,
            "targets": lambda _: {"activeTargets": [*self._told_targets()], "droppedTargets": []},
            "rules": lambda _: {"groups": [*self._told_groups()]},
            "alerts": lambda _: {"alerts": self._firing},
            "alertmanagers": lambda _: self._told_alertmanagers(),
            "status/runtimeinfo": lambda _: {"reloadConfigSuccess": UNLOADED not in self._faults},
        }
        if path not in does:
            return 404, "404 page not found\n"
        try:
            return 200, {"status": "success", "data": does[path](asked)}
        except (PromError, KeyError, ValueError) as error:
            reason = f"invalid parameter {str(error) or 'query'}"
            return 400, {"status": "error", "errorType": "bad_data", "error": reason}

    def _query(self, asked: Mapping[str, str]) -> dict[str, Any]:
        at = float(asked.get("time", time.time()))
        found = ranges(asked["query"], self.samples, at)
        if found is not None:
            matrix = [{"metric": labels, "values": [[t, _number(v)] for t, v in points]}
                      for labels, points in found]  # fmt: skip
            return {"resultType": "matrix", "result": matrix}
        value = evaluate(asked["query"], self.samples, at)
        if isinstance(value, float):
            return {"resultType": "scalar", "result": [at, _number(value)]}
        vector = [{"metric": labels, "value": [at, _number(v)]} for labels, v in value]
        return {"resultType": "vector", "result": vector}

    def _range(self, asked: Mapping[str, str]) -> dict[str, Any]:
        start, end, step = (float(asked[name]) for name in ("start", "end", "step"))
        if step <= 0 or (end - start) / step > STEPS:
            raise PromError("step: exceeded maximum resolution of 11,000 points per timeseries")
        series: dict[frozenset[tuple[str, str]], list[Any]] = {}
        for number in range(int((end - start) / step) + 1):
            at = start + number * step
            value = evaluate(asked["query"], self.samples, at)
            for labels, v in _each(value):
                series.setdefault(frozenset(labels.items()), []).append([at, _number(v)])
        result = [{"metric": dict(key), "values": values} for key, values in series.items()]
        return {"resultType": "matrix", "result": result}

    def _told_targets(self) -> Iterator[dict[str, Any]]:
        for target in self.targets:
            late = 900 if LATE in self._faults and target.job == "node" else 0
            yield {
                "discoveredLabels": {},
                "labels": target.labels,
                "scrapePool": target.job,
                "scrapeUrl": target.url,
                "lastError": target.error,
                "lastScrape": _time(target.at - late),
                "health": target.health,
            }

    def _told_groups(self) -> Iterator[dict[str, Any]]:
        for group in self._groups:
            rules = []
            for rule in group["rules"]:
                name = rule.get("alert") or rule["record"]
                states = {a["state"] for a in self._firing if a["labels"]["alertname"] == name}
                told = {
                    "name": name,
                    "query": rule["expr"],
                    "health": "err" if rule["error"] else "ok" if rule["at"] else "unknown",
                    "lastError": rule["error"],
                    "lastEvaluation": _time(rule["at"]),
                    "labels": rule.get("labels", {}),
                    "type": "alerting" if "alert" in rule else "recording",
                }
                if "alert" in rule:
                    told["state"] = max(states, default="inactive", key=STATES.index)
                rules.append(told)
            yield {
                "name": group["name"],
                "file": "rules.yml",
                "interval": INTERVAL_S,
                "rules": rules,
            }

    def _told_alertmanagers(self) -> dict[str, Any]:
        urls = [f"{self._alertmanager}/api/v2/alerts"] if self._alertmanager else []
        return {"activeAlertmanagers": [{"url": u} for u in urls], "droppedAlertmanagers": []}


STATES = ("inactive", "pending", "firing")
FROZEN, LATE = "monitoring.frozen-rule", "monitoring.late-scrape"
UNDELIVERED, UNLOADED = "monitoring.undelivered", "monitoring.config-not-loaded"


def fetch(url: str, body: bytes | None = None) -> str:
    """The page at an address, or what a POST of JSON is answered.

    Raises:
        OSError: Nobody answers.
        ValueError: The answer is not 200.
    """
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        connection.request("GET" if body is None else "POST", parts.path or "/", body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    if answer.status != 200:
        raise ValueError(f"server returned HTTP status {answer.status} {answer.reason}")
    return text


def _read(
    text: str, now: float, extra: Mapping[str, str]
) -> Iterator[tuple[frozenset[tuple[str, str]], tuple[float, float]]]:
    """The samples of a page in Prometheus' text format 0.0.4."""
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"expected a sample, got {line[:40]!r}")
        labels = dict(LABEL.findall(match["labels"] or ""))
        own = {NAME: match["name"], **extra, **labels}
        at = int(match["at"]) / 1000 if match["at"] else now
        yield frozenset(own.items()), (at, float(match["value"]))


def _each(value: Value) -> Sequence[tuple[dict[str, str], float]]:
    return [({}, value)] if isinstance(value, float) else value


def _number(value: float) -> str:
    text = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}
    return text.get(repr(float(value)), repr(float(value)))


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat() if at else NEVER
