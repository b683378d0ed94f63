"""The security gate's suite."""

import pytest

from pytest_release.config.cases import Case
from pytest_release.runner import Recorder


@pytest.mark.security
def test_security(case: Case, evidence: Recorder) -> None:
    """The deployment is closed to whom it should be."""
    measured = evidence.gather(case)
    if measured.failures:
        pytest.fail(measured.explain(), pytrace=False)
