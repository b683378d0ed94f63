"""The tkg gate's suite."""

import pytest

from pytest_release.config.cases import Case
from pytest_release.runner import Recorder


@pytest.mark.tkg
def test_tkg(case: Case, evidence: Recorder) -> None:
    """The temporal knowledge graph of a file is sound."""
    measured = evidence.gather(case)
    if measured.failures:
        pytest.fail(measured.explain(), pytrace=False)
