"""The identity gate's suite."""

import pytest

from pytest_release.config.cases import Case
from pytest_release.runner import Recorder


@pytest.mark.identity
def test_identity(case: Case, evidence: Recorder) -> None:
    """The people of a file are counted, bound and told apart rightly."""
    measured = evidence.gather(case)
    if measured.failures:
        pytest.fail(measured.explain(), pytrace=False)
