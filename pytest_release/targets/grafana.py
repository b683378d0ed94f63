"""A Grafana by its HTTP API: its database, dashboards and data sources.

https://grafana.com/docs/grafana/latest/developers/http_api/
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pytest_release.config.environment import Environment
from pytest_release.targets.service import SHOWN, Health, Service, said

MOST_DASHBOARDS = 5_000  # that it gives in one answer


@dataclass(frozen=True)
class Item:
    """A dashboard or a data source."""

    name: str
    uid: str


class Grafana:
    """One server.

    Args:
        options: ``services.grafana`` of an environment.
        environment: Lends its TLS settings and its redactor.

    Raises:
        TargetError: The environment names none.
    """

    def __init__(self, options: Mapping[str, Any], environment: Environment) -> None:
        self._service = Service(options, environment, "grafana", "http://host:3000")
        self.place = self._service.place

    def database(self) -> Health:
        """Whether ``/api/health`` says that its database is ok; it answers without a login."""
        answer = self._service.ask("/api/health")
        try:
            state = json.loads(answer.body)["database"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return Health(False, said(answer))
        return Health(answer.status == 200 and state == "ok", f"{answer.status} database {state!r}")

    def dashboards(self) -> tuple[Item, ...]:
        """Those that the login may see."""
        params = {"type": "dash-db", "limit": str(MOST_DASHBOARDS)}
        data = self._service.json("/api/search", params)
        return self._service.read("/api/search", data, lambda d: tuple(_items(d, "title")))

    def sources(self) -> tuple[Item, ...]:
        """Data sources; needs a login that may read them."""
        data = self._service.json("/api/datasources")
        return self._service.read("/api/datasources", data, lambda d: tuple(_items(d, "name")))

    def source_health(self, uid: str) -> Health:
        """Whether a data source says that it works."""
        answer = self._service.ask(f"/api/datasources/uid/{quote(uid, safe='')}/health")
        try:
            told = json.loads(answer.body)
            state, message = str(told.get("status", "")), str(told.get("message", ""))[:SHOWN]
        except (ValueError, AttributeError, RecursionError):
            return Health(False, said(answer))
        well = answer.status == 200 and state == "OK"
        return Health(well, f"{answer.status} {state!r}: {message}")


def _items(data: Any, name: str) -> Iterator[Item]:  # noqa: ANN401 - any JSON
    for each in data:
        yield Item(str(each[name]), str(each["uid"]))
