"""The monitoring gate's suite."""

import pytest

from pytest_release.config.cases import Case
from pytest_release.runner import Recorder


@pytest.mark.monitoring
def test_monitoring(case: Case, evidence: Recorder) -> None:
    """What watches the deployment works, and what it could be restored from does, too."""
    measured = evidence.gather(case)
    if measured.failures:
        pytest.fail(measured.explain(), pytrace=False)
