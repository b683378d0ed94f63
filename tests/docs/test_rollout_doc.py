"""What ``docs/rollout.md`` shows is run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from pytest_release.config.validation import schema
from pytest_release.rollout.adapters import names
from tests.docs.script import followed

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "rollout.md").read_text()


def test_the_example_rolls_out_and_back(tmp_path: Path) -> None:
    """From an empty folder to a history with a rollback in it."""
    done = followed(PAGE, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "● deploy (deploy, here)\n│\n● health (gate, here)\n" in done.stdout
    assert "; here is back at 2.0, and well" in done.stdout
    assert "\nstatus 1\n" in done.stdout
    assert "files        3, all as signed" in done.stdout
    assert re.search(r"\| shop \| here \| rollback \| 2\.0 \| success \| health: exit", done.stdout)
    assert (tmp_path / "live").read_text() == "1.0"


def test_every_key_of_a_plan_is_explained() -> None:
    """Each key that its schema knows, each adapter and each of its options stands in the page."""
    plan = schema("plan")
    keys = [*plan["properties"]]
    for part in ("step", "mode", "retries", "when"):
        keys += plan["$defs"][part]["properties"]
    for name in names():
        keys += [name, *schema(f"adapter.{name}")["properties"]]
    keys += plan["$defs"]["step"]["properties"]["type"]["enum"]

    assert [key for key in keys if key != "$schema" and not re.search(rf"\b{key}\b", PAGE)] == []
