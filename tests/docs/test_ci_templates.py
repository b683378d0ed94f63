"""The CI templates are read by every linter there is, and each linter is seen to notice a fault."""

from __future__ import annotations

import re
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.ci_templates import FOLDER, GITHUB, GITLAB, Block, blocks, read

PROGRAMS = Path(sysconfig.get_path("scripts"))
LINTERS = {
    "actionlint": (
        GITHUB,
        ["actionlint", "-no-color", "-shellcheck", str(PROGRAMS / "shellcheck")],
    ),
    "zizmor": (GITHUB, ["zizmor", "--offline", "--no-progress", "--persona", "pedantic"]),
    "github's schema": (
        GITHUB,
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"],
    ),
    "gitlab's schema": (GITLAB, ["check-jsonschema", "--builtin-schema", "vendor.gitlab-ci"]),
}
FAULTS = [
    ("actionlint", "needs: gate", "needs: gaet", 'needs job "gaet" which does not exist'),
    ("actionlint", "github.event.repository", "githob.event.repository", "undefined variable"),
    ("actionlint", '--env "$ENV"', "--env $ENV", "SC2086"),
    ("zizmor", '--env "$ENV"', "--env ${{ inputs.environment }}", "template-injection"),
    ("zizmor", "persist-credentials: false", "fetch-depth: 1", "artipacked"),
    ("zizmor", "permissions: {}", "permissions: write-all", "excessive-permissions"),
    ("zizmor", "08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0", "v5", "unpinned-uses"),
    ("github's schema", "runs-on:", "runs_on:", "'runs_on' does not match|is not valid"),
    ("gitlab's schema", "when: always", "when: perhaps", "'perhaps' is not one of"),
    ("gitlab's schema", "stage: gate", "stage: 5", "5 is not"),
]
SCRIPTS = [(file, block) for file in (GITHUB, GITLAB) for block in blocks(file)]
HOST = re.compile(r"(?:https?:)?//|\b[a-z0-9-]+\.(?:com|org|io|dev|net)\b")


def lint(linter: str, folder: Path, change: Callable[[str], str]) -> tuple[int, str]:
    """What a linter says of a template, changed, where the product would look for it."""
    template, command = LINTERS[linter]
    file = folder / ".github" / "workflows" / template.name
    file.parent.mkdir(parents=True)
    file.write_text(change(template.read_text()))
    return ran([str(PROGRAMS / command[0]), *command[1:], str(file)])


def ran(command: list[str], text: str | None = None) -> tuple[int, str]:
    """Exit status and output of a program."""
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


def shellcheck(script: str) -> tuple[int, str]:
    """What shellcheck says of a block as the products run it."""
    return ran([str(PROGRAMS / "shellcheck"), "--shell=bash", "--norc", "-"], script)


@pytest.mark.parametrize("linter", LINTERS)
def test_a_template_has_no_fault(linter: str, tmp_path: Path) -> None:
    """As it ships."""
    status, output = lint(linter, tmp_path, lambda text: text)

    assert status == 0, output


@pytest.mark.parametrize(("linter", "old", "new", "found"), FAULTS)
def test_a_linter_finds_a_fault(
    linter: str, old: str, new: str, found: str, tmp_path: Path
) -> None:
    """It looks at the file, and at the part that the template's safety hangs on."""
    assert old in LINTERS[linter][0].read_text()
    status, output = lint(linter, tmp_path, lambda text: text.replace(old, new))

    assert status != 0
    assert re.search(found, output), output


@pytest.mark.parametrize(("file", "block"), SCRIPTS, ids=str)
def test_a_shell_block_has_no_fault(file: Path, block: Block) -> None:
    """shellcheck finds nothing; it stops at the first failure; no value is written into it."""
    assert shellcheck(block.script) == (0, "")
    assert block.script.startswith("set -euo pipefail\n")
    assert "${{" not in block.script


@pytest.mark.parametrize(("file", "block"), SCRIPTS, ids=str)
def test_shellcheck_finds_a_fault(file: Path, block: Block) -> None:
    """In every block: a variable that the shell would split."""
    status, output = shellcheck(f"{block.script}\nls $ENV\n")

    assert status != 0
    assert "SC2086" in output


def test_permissions_are_the_least() -> None:
    """None but those of a job, and of those only reading, save for the branch of the history."""
    content = read(GITHUB)

    assert content["permissions"] == {}
    assert content["jobs"]["gate"]["permissions"] == {"contents": "read"}
    assert content["jobs"]["promote"]["permissions"] == {"contents": "write"}


def test_fixtures_come_from_the_default_branch() -> None:
    """Of both jobs, in both products."""
    checkouts = [
        step["with"]["ref"]
        for job in read(GITHUB)["jobs"].values()
        for step in job["steps"]
        if "fixtures" in step.get("with", {}).get("sparse-checkout", "")
    ]
    (rule,) = read(GITLAB)["workflow"]["rules"]

    assert checkouts == ["${{ github.event.repository.default_branch }}"] * 2
    assert rule["if"].startswith("$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH && $CI_COMMIT_REF_PROT")


def test_promotion_needs_the_gate_and_is_alone() -> None:
    """In both products, and under the protection of the environment production."""
    github, gitlab = read(GITHUB)["jobs"]["promote"], read(GITLAB)["promote"]

    assert (github["needs"], gitlab["needs"]) == ("gate", ["gate"])
    assert (github["environment"], gitlab["environment"]["name"]) == ("production", "production")
    group = "promotion-to-production"
    assert (github["concurrency"]["group"], gitlab["resource_group"]) == (group, group)
    assert github["concurrency"]["cancel-in-progress"] is False


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.yml")), ids=lambda file: file.name)
def test_a_template_names_no_host(file: Path) -> None:
    """Where packages and images come from is the runner's setting."""
    assert HOST.findall(file.read_text()) == []
