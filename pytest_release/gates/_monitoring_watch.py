"""What one check of the monitoring gate works with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import GatePolicy
from pytest_release.errors import ConfigError, Problem
from pytest_release.evidence import Finding, Severity
from pytest_release.gates._scene import Scene
from pytest_release.targets.alertmanager import Alertmanager
from pytest_release.targets.grafana import Grafana
from pytest_release.targets.prometheus import Prometheus

SHOWN = 200  # characters of a text of others in a message
NAMED = 10  # things that a finding names
# PromQL's words that stand by themselves; what is followed by a parenthesis is no metric anyway
WORDS = frozenset({"and", "or", "unless", "bool", "offset", "inf", "nan"})
NAME = re.compile(r"[A-Za-z_:][\w:]*")
UNREAD = re.compile(
    r"""\"(?:[^"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`  # texts
    |\{[^{}]*\}|\[[^\[\]]*\]  # labels and ranges
    |\b(?:by|without|on|ignoring|group_left|group_right)\b(?:\s*\([^()]*\))?  # lists of labels
    |\b\d[\w.]*  # numbers and durations
    |\#[^\n]*""",
    re.VERBOSE,
)
ABSENT = re.compile(r"\babsent(?:_over_time)?\s*\([^()]*\)")


@dataclass
class Watch:
    """One check: its case, and the services that it asks.

    Attributes:
        figures: What was counted or timed, by its name with unit.
    """

    case: CheckCase
    policy: GatePolicy
    scene: Scene
    figures: dict[str, list[float]] = field(default_factory=dict)

    def options(self, service: str) -> Mapping[str, Any]:
        """What the environment says of a service."""
        return self.scene.environment.services.get(service, {})

    def option(self, name: str) -> Any:  # noqa: ANN401 - of a case file
        """What the case says; it may be said by the file's defaults.

        Raises:
            ConfigError: Neither says it.
        """
        case = self.case
        if name not in case.options:
            message = f"the check {case.check} cannot do without it"
            raise ConfigError(Problem(case.file, case.line, f"options.{name}", message))
        return case.options[name]

    @cached_property
    def prometheus(self) -> Prometheus:
        """The environment's."""
        return Prometheus(self.options("prometheus"), self.scene.environment)

    @cached_property
    def alertmanager(self) -> Alertmanager:
        """The environment's."""
        return Alertmanager(self.options("alertmanager"), self.scene.environment)

    @cached_property
    def grafana(self) -> Grafana:
        """The environment's."""
        return Grafana(self.options("grafana"), self.scene.environment)

    def found(
        self,
        code: str,
        message: str,
        expected: str = "",
        received: str = "",
        severity: Severity = Severity.FAILURE,
    ) -> Finding:
        """A finding of this gate, without the environment's secrets."""
        redact = self.scene.environment.redactor
        return Finding(
            f"{self.case.gate}.{code}", redact(message), severity, expected, redact(received)
        )


def cut(text: str) -> str:
    """The beginning of a text that others wrote."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def some(names: Iterable[str]) -> str:
    """Some of many names."""
    every = [cut(name) for name in names]
    more = f" and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return f"{', '.join(every[:NAMED])}{more}" if every else "none"


def labelled(labels: Mapping[str, str]) -> str:
    """Labels as PromQL writes them."""
    inside = ", ".join(f'{n}="{v}"' for n, v in sorted(labels.items()) if n != "__name__")
    return cut(f"{labels.get('__name__', '')}{{{inside}}}")


def metrics_in(expression: str) -> set[str]:
    """The metrics that an expression looks at, but for those that it hopes to be absent.

    A metric that is named by a label (``{__name__="x"}``) is not told.
    """
    bare = UNREAD.sub(" ", expression)
    bare = ABSENT.sub(" ", bare)
    found = set()
    for match in NAME.finditer(bare):
        called = bare[match.end() :].lstrip().startswith("(")
        if not called and match[0].lower() not in WORDS:
            found.add(match[0])
    return found
