"""The smoke gate's suite."""

import pytest

from pytest_release.config.cases import Case
from pytest_release.runner import Recorder


@pytest.mark.smoke
def test_smoke(case: Case, evidence: Recorder) -> None:
    """What was deployed is up and stays so."""
    measured = evidence.gather(case)
    if measured.failures:
        pytest.fail(measured.explain(), pytrace=False)
