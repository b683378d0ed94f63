"""A Prometheus by its HTTP API: health, queries, targets, rules, alerts, its Alertmanagers.

Everything that came from the server is plain text for whoever shows it; times are Unix seconds of
the server's clock, 0 for never. https://prometheus.io/docs/prometheus/2.42/querying/api/
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from pytest_release.config.environment import Environment
from pytest_release.errors import TargetError
from pytest_release.targets.service import SHOWN, Health, Service, said

MOST_POINTS = 11_000  # of a series that Prometheus gives in one answer
RELOADED = "reloadConfigSuccess"

T = TypeVar("T")


@dataclass(frozen=True)
class Series:
    """One series of an answer.

    Attributes:
        labels: ``__name__`` among them, where the expression kept it.
        points: Time and value, oldest first; of an instant query one.
    """

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]

    @property
    def value(self) -> float:
        """The last value; may be NaN or infinite."""
        return self.points[-1][1]


@dataclass(frozen=True)
class ScrapeTarget:
    """A target that is scraped.

    Attributes:
        health: ``up``, ``down`` or ``unknown``.
        last_error: Of the last scrape; empty when there was none.
    """

    job: str
    instance: str
    url: str
    health: str
    last_error: str
    last_scrape: float


@dataclass(frozen=True)
class Rule:
    """A recording or alerting rule.

    Attributes:
        kind: ``alerting`` or ``recording``.
        health: Of its last evaluation: ``ok``, ``err`` or ``unknown``.
        interval: Seconds between evaluations of its group.
        state: Of an alerting rule: ``inactive``, ``pending`` or ``firing``.
    """

    name: str
    group: str
    kind: str
    query: str
    health: str
    last_error: str
    last_evaluation: float
    interval: float
    state: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Alert:
    """An alert that is active.

    Attributes:
        state: ``pending`` or ``firing``.
    """

    name: str
    state: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    active_at: float


class Prometheus:
    """One server.

    Args:
        options: ``services.prometheus`` of an environment: ``url``, perhaps ``username`` and
            ``password``, or ``token``.
        environment: Lends its TLS settings and its redactor.

    Raises:
        TargetError: The environment names none.
    """

    def __init__(self, options: Mapping[str, Any], environment: Environment) -> None:
        self._service = Service(options, environment, "prometheus", "http://host:9090")
        self.place = self._service.place

    def healthy(self) -> Health:
        """Whether it lives: ``/-/healthy``."""
        return self._service.probe("/-/healthy", "healthy")

    def ready(self) -> Health:
        """Whether it serves: ``/-/ready``; it does not while it replays its log."""
        return self._service.probe("/-/ready", "ready")

    def query(self, expression: str, at: float | None = None) -> tuple[Series, ...]:
        """An instant query; a scalar is a series without labels.

        Args:
            expression: PromQL.
            at: Unix seconds; without, the server's now.
        """
        when = {} if at is None else {"time": f"{at:.3f}"}
        return self._series("/api/v1/query", {"query": expression, **when})

    def range(self, expression: str, start: float, end: float, step: float) -> tuple[Series, ...]:
        """A range query.

        Args:
            expression: PromQL; an instant vector or a scalar.
            start: Unix seconds.
            end: Unix seconds, included.
            step: Seconds between points.

        Raises:
            TargetError: It would be more points than a server gives, or there is no answer.
        """
        if not (step > 0 and start <= end) or (end - start) / step > MOST_POINTS:
            raise TargetError(
                f"{self.place}: {expression!r} from {start:.0f} to {end:.0f} in steps of {step:g} "
                f"s: expected a step above 0 and at most {MOST_POINTS} points"
            )
        params = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        return self._series("/api/v1/query_range", {"query": expression, **params})

    def scalar(self, expression: str) -> float:
        """The value of an expression that must have exactly one.

        Raises:
            TargetError: It has none, or several, or there is no answer.
        """
        found = self.query(expression)
        if len(found) != 1:
            raise TargetError(
                f"{self.place}: {expression!r} has {len(found)} series: expected exactly one"
            )
        return found[0].value

    def now(self) -> float:
        """The server's clock, in Unix seconds."""
        return self.scalar("time()")

    def targets(self) -> tuple[ScrapeTarget, ...]:
        """All that are scraped; those that were dropped are not among them."""
        return self._each("/api/v1/targets", "activeTargets", _target, {"state": "active"})

    def rules(self) -> tuple[Rule, ...]:
        """All that are loaded, in the order of their groups."""
        groups = self._each("/api/v1/rules", "groups", lambda group: tuple(_rules(group)))
        return tuple(rule for group in groups for rule in group)

    def alerts(self) -> tuple[Alert, ...]:
        """All that are pending or firing."""
        return self._each("/api/v1/alerts", "alerts", _alert)

    def alertmanagers(self) -> tuple[str, ...]:
        """Addresses that alerts are sent to."""
        return self._each("/api/v1/alertmanagers", "activeAlertmanagers", lambda a: str(a["url"]))

    def configured(self) -> bool:
        """Whether the last reload of its configuration succeeded."""
        data = self._data("/api/v1/status/runtimeinfo")
        return self._service.read("/api/v1/status/runtimeinfo", data, lambda d: bool(d[RELOADED]))

    def _series(self, path: str, params: Mapping[str, str]) -> tuple[Series, ...]:
        return self._service.read(path, self._data(path, params), lambda data: tuple(_series(data)))

    def _each(
        self, path: str, key: str, make: Callable[[Any], T], params: Mapping[str, str] | None = None
    ) -> tuple[T, ...]:
        data = self._data(path, params or {})
        return self._service.read(path, data, lambda data: tuple(make(each) for each in data[key]))

    def _data(self, path: str, params: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401
        answer = self._service.ask(path, params)
        shown = f"{self.place}{path}"
        if params and "query" in params:
            shown = f"{shown} {params['query']!r}"
        try:
            told = json.loads(answer.body)
            if told["status"] == "success":
                return told["data"]
            reason = f"{told.get('errorType', 'error')}: {told.get('error', '')}"[:SHOWN]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            expected = 'expected {"status": "success", ...} of Prometheus\' API'
            raise TargetError(f"{shown} answers {said(answer)}: {expected}") from None
        raise TargetError(f"{shown} is refused ({answer.status}): {reason}")


def _series(data: Mapping[str, Any]) -> Iterator[Series]:
    if data["resultType"] == "scalar":
        yield Series({}, (_point(data["result"]),))
        return
    for each in data["result"]:
        raw = each["values"] if data["resultType"] == "matrix" else [each["value"]]
        points = tuple(map(_point, raw))
        yield Series(_texts(each["metric"]), points)


def _point(pair: Any) -> tuple[float, float]:  # noqa: ANN401 - any JSON
    at, value = pair
    if not isinstance(value, str) or not math.isfinite(at):
        raise ValueError
    return float(at), float(value)


def _texts(labels: Mapping[str, Any] | None) -> dict[str, str]:
    return {str(name): str(value) for name, value in (labels or {}).items()}


def _time(text: str) -> float:
    """RFC 3339 with nanoseconds; the year 1 is Go's never."""
    at = datetime.fromisoformat(text)
    return 0.0 if at.year < 1970 else at.timestamp()


def _target(told: Mapping[str, Any]) -> ScrapeTarget:
    labels = _texts(told["labels"])
    return ScrapeTarget(
        job=labels.get("job", ""),
        instance=labels.get("instance", ""),
        url=str(told["scrapeUrl"]),
        health=str(told["health"]),
        last_error=str(told["lastError"])[:SHOWN],
        last_scrape=_time(told["lastScrape"]),
    )


def _rules(group: Mapping[str, Any]) -> Iterator[Rule]:
    for told in group["rules"]:
        yield Rule(
            name=str(told["name"]),
            group=str(group["name"]),
            kind=str(told["type"]),
            query=str(told["query"]),
            health=str(told["health"]),
            last_error=str(told.get("lastError", ""))[:SHOWN],
            last_evaluation=_time(told["lastEvaluation"]),
            interval=float(group["interval"]),
            state=str(told.get("state", "")),
            labels=_texts(told.get("labels")),
        )


def _alert(told: Mapping[str, Any]) -> Alert:
    labels = _texts(told["labels"])
    return Alert(
        name=labels.get("alertname", ""),
        state=str(told["state"]),
        labels=labels,
        annotations=_texts(told.get("annotations")),
        active_at=_time(told["activeAt"]) if told.get("activeAt") else 0.0,
    )
