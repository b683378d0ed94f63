"""What one gate adds to the sandbox: endpoints, faults, and parts that run beside the workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from pytest_release.sandbox.endpoint import Endpoint
from pytest_release.sandbox.fault import Fault

if TYPE_CHECKING:
    from pytest_release.sandbox.stores import Stores


class Running(Protocol):
    """A part that has started."""

    @property
    def services(self) -> Mapping[str, Mapping[str, Any]]:
        """As an environment names them; plain strings."""

    @property
    def secrets(self) -> frozenset[str]:
        """Values in `services` that no report may show."""

    @property
    def told(self) -> Mapping[str, Any]:
        """What the endpoints find under the part's name in ``Setting.parts``; JSON."""

    def stop(self) -> None:
        """Leave nothing behind."""


@dataclass(frozen=True)
class Part:
    """A service that runs beside the workers, started before them when a gate needs it.

    Attributes:
        name: Of the part.
        gates: The gates that need it; it is started when one of them is going to run.
        start: Starts it, given the names of all faults that are on and the stores; raises
            `SandboxError`. Optional dependencies are imported in there.
        stores: It needs the deployed files, and is started behind them.
    """

    name: str
    gates: frozenset[str]
    start: Callable[[frozenset[str], Stores | None], Running] = field(repr=False)
    stores: bool = False


@dataclass(frozen=True)
class Room:
    """What a module of `pytest_release.sandbox.rooms` offers as ``ROOM``."""

    endpoints: tuple[Endpoint, ...] = ()
    faults: tuple[Fault, ...] = ()
    parts: tuple[Part, ...] = ()
