"""Every plan that is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_release.cli import main
from pytest_release.config.plans import plan_names

FIXTURES = Path(__file__).parents[3] / "fixtures"


@pytest.mark.parametrize("name", plan_names(FIXTURES))
def test_it_loads_and_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With a picture; no variable is needed for that."""
    assert main(["rollout", "plan", name, "--fixtures", str(FIXTURES)]) == 0

    assert capsys.readouterr().out.startswith(f"plan {name} of ")
