"""Where a check of the environment takes place, and what it must leave as it found it."""

from __future__ import annotations

import atexit
from collections.abc import Callable

from pytest_release.config.environment import Environment
from pytest_release.deployments import Deployments
from pytest_release.targets.http import HttpTarget


class Scene:
    """One check's surroundings.

    What a check makes in the environment, it undoes through `afterwards`: that happens whether the
    check ends, fails or is interrupted, and at the latest when the process ends. Only a process
    that is killed leaves something behind.

    Attributes:
        environment: Its role and services.
        http: Where requests go; threads may share it.
        deployments: The deployed files; None when the environment's system has none.
        say: Takes a case's id and a line for whoever waits at the terminal: what a check that
            takes long is waiting for. It is no evidence, and may be lost.
    """

    def __init__(
        self,
        environment: Environment,
        http: HttpTarget,
        deployments: Deployments | None = None,
        say: Callable[[str, str], None] = lambda _case, _line: None,
    ) -> None:
        self.environment = environment
        self.http = http
        self.deployments = deployments
        self.say = say
        self._undo: list[tuple[str, Callable[[], object]]] = []

    def afterwards(self, what: str, undo: Callable[[], object]) -> None:
        """Have something undone behind the check, the last first.

        Args:
            what: Names it for the finding, should it stay: ``order order_17``.
            undo: Undoes it; raises what it likes when it cannot.
        """
        if not self._undo:
            atexit.register(self.leave)
        self._undo.append((what, undo))

    def leave(self) -> list[str]:
        """Undo everything; returns a sentence for each thing that stayed.

        An interruption in the middle of it is passed on behind the last.
        """
        atexit.unregister(self.leave)
        stayed = []
        interruption: BaseException | None = None
        while self._undo:
            what, undo = self._undo.pop()
            try:
                undo()
            except Exception as error:  # noqa: BLE001 - the others must be undone all the same
                stayed.append(f"{what} was left behind: {str(error) or type(error).__name__}")
            except BaseException as error:  # noqa: BLE001 - a second Ctrl-C, too
                interruption = error
        if interruption is not None:
            raise interruption
        return stayed
