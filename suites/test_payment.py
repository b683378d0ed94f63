"""The payment gate's suite."""

import pytest

from pytest_release.config.cases import Case
from pytest_release.runner import Recorder


@pytest.mark.payment
def test_payment(case: Case, evidence: Recorder) -> None:
    """One aspect of payments is as it should be, with test money."""
    measured = evidence.gather(case)
    if measured.failures:
        pytest.fail(measured.explain(), pytrace=False)
