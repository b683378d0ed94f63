"""placeholder"""

from __future__ import annotations

from pytest_release.rollout.driver import Driver


def seal(driver: Driver) -> str | None:
    return None
