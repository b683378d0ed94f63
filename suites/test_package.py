"""The package gate's suite."""

import pytest

from pytest_release.config.cases import Case
from pytest_release.runner import Recorder


@pytest.mark.package
def test_package(case: Case, evidence: Recorder) -> None:
    """One aspect of a release package is as its system says."""
    measured = evidence.gather(case)
    if measured.failures:
        pytest.fail(measured.explain(), pytrace=False)
