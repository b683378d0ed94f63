"""The basic gate's suite."""

import pytest

from pytest_release.config.cases import Case
from pytest_release.runner import Recorder


@pytest.mark.basic
def test_basic(case: Case, evidence: Recorder) -> None:
    """An HTTP endpoint answers as its case says."""
    measured = evidence.gather(case)
    if measured.failures:
        pytest.fail(measured.explain(), pytrace=False)
