"""Stacks that compose is not asked to start."""

from __future__ import annotations

import pytest

from pytest_release.rollout.state import STOPPED
from tests.unit.rollout.conftest import ENVIRONMENT, Yard


@pytest.mark.parametrize(
    ("services", "said"),
    [
        ("{{directory: stack}}", "here names no project: add services.compose.project, since "),
        ("{{directory: stack, project: shop}}",
         "service web would be built: give it an image by its digest"),
    ],
)  # fmt: skip
def test_a_stack_that_cannot_be_rolled_out(yard: Yard, services: str, said: str) -> None:
    """Without a project two releases would be two stacks; what is built is nobody's release."""
    yard.environment("here", f"{ENVIRONMENT}services:\n  compose: {services}\n")
    (yard.folder / "stack").mkdir()
    (yard.folder / "stack" / "compose.yaml").write_text("services: {web: {build: .}}\n")
    yard.plan({"name": "look", "type": "preflight", "with": {"compose": {"do": "check"}}})

    result = yard.run()

    assert result.status == STOPPED
    assert said in result.why
