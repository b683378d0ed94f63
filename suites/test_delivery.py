"""The delivery gate's suite."""

import pytest

from pytest_release.config.cases import Case
from pytest_release.runner import Recorder


@pytest.mark.delivery
def test_delivery(case: Case, evidence: Recorder) -> None:
    """What teams hand over is complete."""
    measured = evidence.gather(case)
    if measured.failures:
        pytest.fail(measured.explain(), pytrace=False)
