"""What ``docs/promotion.md`` shows is run as it stands there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from pytest_release.config.validation import schema
from tests.docs.script import followed

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "promotion.md").read_text()
DEMO = """
name: demo
role: development
system: hifate
release: {health: /api/v1/health, version: version, commit: build_git_hash}
sandbox: {workers: 1}
gates:
  basic: {required: true, thresholds: {p95_ms: 500}}
"""


def test_the_example_promotes(tmp_path: Path) -> None:
    """From a new key to a line in the history."""
    shutil.copytree(ROOT / "fixtures", tmp_path / "fixtures")
    (tmp_path / "fixtures" / "environments" / "demo.yaml").write_text(DEMO)
    done = followed(PAGE, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nGRANTED  promotions/" in done.stdout
    assert done.stdout.rstrip().endswith("| hifate | live | promote | 1.0.0 | success |")


def test_every_key_of_a_policy_is_explained() -> None:
    """Each key that its schema knows stands in the page."""
    policy = schema("policy")
    keys = [*policy["properties"], *policy["$defs"]["requirement"]["properties"]]
    keys += policy["$defs"]["waivers"]["properties"]

    assert [key for key in keys if key != "$schema" and not re.search(rf"\b{key}\b", PAGE)] == []
