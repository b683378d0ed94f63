"""The isolation gate's suite."""

import pytest

from pytest_release.config.cases import Case
from pytest_release.runner import Recorder


@pytest.mark.isolation
def test_isolation(case: Case, evidence: Recorder) -> None:
    """Two environments share nothing."""
    measured = evidence.gather(case)
    if measured.failures:
        pytest.fail(measured.explain(), pytrace=False)
