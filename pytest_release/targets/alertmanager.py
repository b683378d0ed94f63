"""An Alertmanager by its HTTP API, version 2: its health, and the alerts that reached it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pytest_release.config.environment import Environment
from pytest_release.targets.service import Health, Service


@dataclass(frozen=True)
class Delivered:
    """An alert that has arrived.

    Attributes:
        state: ``active``, ``suppressed`` or ``unprocessed``.
        silences: Ids of the silences that keep it from anybody.
    """

    name: str
    state: str
    labels: Mapping[str, str]
    silences: tuple[str, ...] = ()


class Alertmanager:
    """One server.

    Args:
        options: ``services.alertmanager`` of an environment.
        environment: Lends its TLS settings and its redactor.

    Raises:
        TargetError: The environment names none.
    """

    def __init__(self, options: Mapping[str, Any], environment: Environment) -> None:
        self._service = Service(options, environment, "alertmanager", "http://host:9093")
        self.place = self._service.place

    def healthy(self) -> Health:
        """Whether it lives."""
        return self._service.probe("/-/healthy", "ok")

    def ready(self) -> Health:
        """Whether it serves."""
        return self._service.probe("/-/ready", "ok")

    def alerts(self) -> tuple[Delivered, ...]:
        """Those that it has and that have not ended, the silenced among them."""
        data = self._service.json("/api/v2/alerts")
        return self._service.read("/api/v2/alerts", data, lambda told: tuple(_delivered(told)))


def _delivered(told: Any) -> Iterator[Delivered]:  # noqa: ANN401 - any JSON
    for each in told:
        labels = {str(name): str(value) for name, value in each["labels"].items()}
        status = each["status"]
        silences = tuple(str(one) for one in status["silencedBy"])
        yield Delivered(labels.get("alertname", ""), str(status["state"]), labels, silences)
