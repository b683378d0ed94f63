"""The clock of this process, and where it is not the kernel's, how late it is.

That is measured once, against an endpoint in a process of its own whose answer takes a known time:
long enough for the client to fall asleep, since who is awake sees bytes sooner. The largest of
twenty errors, about the 95th percentile, is reported as an uncertainty; it is never subtracted.
"""

from __future__ import annotations

import ssl
import subprocess
import sys
from functools import cache
from threading import Lock

from pytest_release.errors import TargetError
from pytest_release.targets._httpx import httpx
from pytest_release.targets.clock import MERGED_MS, Clock, refusal
from pytest_release.targets.transport import TimedTransport
from pytest_release.targets.wire import Wire

REQUESTS = 20
_lock = Lock()


def process_clock() -> Clock:
    """The clock of this process; found out at the first question, which may take a second."""
    with _lock:
        return _found()


@cache
def _found() -> Clock:
    why = refusal()
    if why is None:
        return Clock(kernel=True, uncertainty_ms=MERGED_MS)
    return Clock(kernel=False, uncertainty_ms=lateness_ms(), why=why)


def lateness_ms() -> float:
    """How much later than it was sent an answer is seen, at most, without the kernel's stamps.

    Raises:
        TargetError: The endpoint did not answer.
    """
    command = [sys.executable, "-m", "pytest_release.targets.null_endpoint", str(REQUESTS + 1)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as endpoint:  # noqa: S603 - our own module
        try:
            assert endpoint.stdout is not None
            url = endpoint.stdout.readline().strip()
            if not url:
                raise TargetError("the clock cannot be calibrated: its endpoint did not start")
            return _lateness_ms(url)
        except httpx.TransportError as error:
            raise TargetError(f"the clock cannot be calibrated: {error}") from None
        finally:
            endpoint.kill()


def _lateness_ms(url: str) -> float:
    clock = Clock(kernel=False, uncertainty_ms=0.0)
    errors = []
    with httpx.Client(transport=TimedTransport(ssl.create_default_context(), clock)) as client:
        for _ in range(REQUESTS + 1):
            answer = client.get(url, headers={"connection": "close"})
            wire: Wire = answer.extensions["wire"]
            errors.append(abs(wire.ttfb.value - float(answer.text)))
    return max(errors[1:])  # the first one warms up
