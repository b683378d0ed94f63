"""The slo gate's suite."""

import pytest

from pytest_release.config.cases import Case
from pytest_release.runner import Recorder


@pytest.mark.slo
def test_slo(case: Case, evidence: Recorder) -> None:
    """Service levels hold under load, or the resources that it takes are within their limits."""
    measured = evidence.gather(case)
    if measured.failures:
        pytest.fail(measured.explain(), pytrace=False)
