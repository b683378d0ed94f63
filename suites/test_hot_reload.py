"""The hot_reload gate's suite."""

import pytest

from pytest_release.config.cases import Case
from pytest_release.runner import Recorder


@pytest.mark.hot_reload
def test_hot_reload(case: Case, evidence: Recorder) -> None:
    """A hot reload, or what it must leave behind, is as its case says."""
    measured = evidence.gather(case)
    if measured.failures:
        pytest.fail(measured.explain(), pytrace=False)
