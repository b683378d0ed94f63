"""The row_count gate's suite."""

import pytest

from pytest_release.config.cases import Case
from pytest_release.runner import Recorder


@pytest.mark.row_count
def test_row_count(case: Case, evidence: Recorder) -> None:
    """A table holds what the package holds, row by row."""
    measured = evidence.gather(case)
    if measured.failures:
        pytest.fail(measured.explain(), pytrace=False)
