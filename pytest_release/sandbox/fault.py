"""One fault switch of the sandbox's answers and parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pytest_release.sandbox.answers import Answer
from pytest_release.sandbox.changes import Change
from pytest_release.sandbox.endpoint import Endpoint


def always(_number: int) -> bool:
    """Every request is spoilt."""
    return True


def unchanged(answer: Answer) -> Answer:
    """For a fault that an endpoint commits itself, or a part: see ``Setting.faults``."""
    return answer


@dataclass(frozen=True)
class Fault:
    """One switch.

    Attributes:
        name: ``<gate>.<kebab>``, or ``release.<kebab>`` for what no single case can see.
        finding: Code of the finding that must be reported, or the threshold that must be broken;
            empty where only the run as a whole can tell.
        description: What the sandbox does.
        change: From the good answer to the bad one; `unchanged` where an endpoint looks at
            ``Setting.faults``, or a part at the faults it is started with.
        when: Whether the n-th request to a path, counted from 1, is spoilt.
        group: Of the endpoints it applies to; empty for the gate's own.
        path: How their path ends; empty for any.
        refusals: It spoils what is refused, instead of what is answered.
    """

    name: str
    finding: str
    description: str
    change: Change = field(default=unchanged, repr=False)
    when: Callable[[int], bool] = field(default=always, repr=False)
    group: str = ""
    path: str = ""
    refusals: bool = False

    @property
    def gate(self) -> str:
        """The gate that must catch it; for the release as a whole the quickest one."""
        prefix = self.name.partition(".")[0]
        return "basic" if prefix == "release" else prefix

    def spoils(self, endpoint: Endpoint) -> bool:
        """Whether it applies to an endpoint."""
        return endpoint.group == (self.group or self.gate) and endpoint.path.endswith(self.path)


def faults_of(
    gate: str, rows: Iterable[tuple[str, str, str]], group: str = ""
) -> tuple[Fault, ...]:
    """Switches that an endpoint or a part looks at itself.

    Args:
        gate: That must catch them.
        rows: Name and finding without the gate, and the description.
        group: As `Fault` has it.
    """
    return tuple(
        Fault(f"{gate}.{name}", f"{gate}.{finding}", description, group=group)
        for name, finding, description in rows
    )
