"""The stream gate's suite."""

import pytest

from pytest_release.config.cases import Case
from pytest_release.runner import Recorder


@pytest.mark.stream
def test_stream(case: Case, evidence: Recorder) -> None:
    """A stream keeps its contract from the first byte to its end."""
    measured = evidence.gather(case)
    if measured.failures:
        pytest.fail(measured.explain(), pytrace=False)
