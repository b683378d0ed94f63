"""The preflight gate's suite."""

import pytest

from pytest_release.config.cases import Case
from pytest_release.runner import Recorder


@pytest.mark.preflight
def test_preflight(case: Case, evidence: Recorder) -> None:
    """A release can begin."""
    measured = evidence.gather(case)
    if measured.failures:
        pytest.fail(measured.explain(), pytrace=False)
