"""The contract gate's suite."""

import pytest

from pytest_release.config.cases import Case
from pytest_release.runner import Recorder


@pytest.mark.contract
def test_contract(case: Case, evidence: Recorder) -> None:
    """The API answers as its OpenAPI document says."""
    measured = evidence.gather(case)
    if measured.failures:
        pytest.fail(measured.explain(), pytrace=False)
