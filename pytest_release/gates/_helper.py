"""Measures cases in a process of its own: ``python -m pytest_release.gates._helper``.

For a deployment that lives in pytest's process: whoever measures it from there waits for the
interpreter that the deployment is using. The two talk pickle over pipes that nobody else has.
"""

from __future__ import annotations

import atexit
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from importlib import import_module
from itertools import count
from typing import IO, Any

from pytest_release.config.cases import HttpCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.errors import TargetError
from pytest_release.evidence import Evidence
from pytest_release.targets.http import HttpTarget

Result = tuple[Evidence, Mapping[str, Any]]
Asked = tuple[int, HttpCase, GatePolicy, Mapping[str, Any]]


def measure(
    case: HttpCase, policy: GatePolicy, target: HttpTarget, values: Mapping[str, Any]
) -> Result:
    """Have the case's gate measure it, in this process."""
    gate = import_module(f"pytest_release.gates.{case.gate}")
    result: Result = gate.measure(case, policy, target, values)
    return result


class Helper:
    """A process that measures, as many cases at once as are asked for.

    Args:
        environment: Of all cases.
    """

    def __init__(self, environment: Environment) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._numbers = count()
        self._waiting: dict[int, Future[Result]] = {}
        self._lock = threading.Lock()
        self._say(environment)
        threading.Thread(target=self._listen, name="release-helper", daemon=True).start()
        atexit.register(self.close)

    def measure(self, case: HttpCase, policy: GatePolicy, values: Mapping[str, Any]) -> Result:
        """Have one case measured there.

        Raises:
            TargetError: The process ended.
        """
        number, result = next(self._numbers), Future[Result]()
        self._waiting[number] = result
        try:
            self._say((number, case, policy, dict(values)))
        except (OSError, ValueError):  # it has ended, or was ended
            self._give_up()
        return result.result()

    def _say(self, message: object) -> None:
        assert self._process.stdin is not None
        with self._lock:
            pickle.dump(message, self._process.stdin)
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            while True:
                number, result = pickle.load(self._process.stdout)  # noqa: S301 - our own child
                future = self._waiting.pop(number)
                if isinstance(result, BaseException):
                    future.set_exception(result)
                else:
                    future.set_result(result)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            self._give_up()

    def _give_up(self) -> None:
        for number in list(self._waiting):
            if future := self._waiting.pop(number, None):
                future.set_exception(TargetError("the process that measures has ended"))

    def close(self) -> None:
        """End the process."""
        atexit.unregister(self.close)
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def main() -> None:
    """Take the environment, then cases, until there is nobody who asks."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what somebody prints is no answer
    lock = threading.Lock()
    target = HttpTarget(pickle.load(sys.stdin.buffer))  # noqa: S301 - our own parent
    while True:
        try:
            asked: Asked = pickle.load(sys.stdin.buffer)  # noqa: S301
        except EOFError:
            return
        threading.Thread(target=_answer, args=(asked, target, answers, lock), daemon=True).start()


def _answer(asked: Asked, target: HttpTarget, answers: IO[bytes], lock: threading.Lock) -> None:
    number, case, policy, values = asked
    result: Result | BaseException
    try:
        result = measure(case, policy, target, values)
    except Exception as error:  # noqa: BLE001 - whoever waits must hear of it
        result = error
    with lock:
        pickle.dump((number, result), answers)
        answers.flush()


if __name__ == "__main__":
    main()
