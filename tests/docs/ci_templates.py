"""The shell blocks of ``docs/ci``: what of the templates can be run without a CI product."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "docs" / "ci"
GITHUB = FOLDER / "github-actions.yml"
GITLAB = FOLDER / "gitlab-ci.yml"


@dataclass(frozen=True)
class Block:
    """One shell script of a job.

    Attributes:
        always: It runs although one before it failed.
        variables: Those that only this block gets, as written in the template.
    """

    job: str
    name: str
    script: str
    always: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.job}: {self.name}"


def read(file: Path) -> dict[Any, Any]:
    """A template as its product reads it."""
    content: dict[Any, Any] = yaml.safe_load(file.read_text())
    return content


def blocks(file: Path) -> Iterator[Block]:
    """Every shell block of a template, in order."""
    if "jobs" not in (content := read(file)):
        yield from _gitlab(content)
        return
    for job, settings in content["jobs"].items():
        for step in settings["steps"]:
            if "run" in step:
                always = step.get("if") == "always()"
                yield Block(job, step["name"], step["run"], always, step.get("env", {}))


def _gitlab(content: Mapping[str, Any]) -> Iterator[Block]:
    for job, settings in content.items():
        for name in ("before_script", "script", "after_script"):
            for script in settings.get(name, ()) if isinstance(settings, dict) else ():
                yield Block(job, name, script, name == "after_script")
