"""The shell blocks of the CI templates, run with bash as the products run them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_release.attestation.keys import generate
from tests.docs.ci_templates import GITHUB, GITLAB, blocks

ROOT = Path(__file__).parents[2]
PROGRAMS = sysconfig.get_path("scripts")
SERVICE = """
name: demo
role: development
system: hifate
release: {{health: /api/v1/health, version: version, commit: build_git_hash}}
sandbox: {{workers: 1, faults: [{faults}]}}
gates:
  basic: {{required: true}}
"""
STAND_IN = """\
#!/bin/sh
printf '%s\\n' "$@" >argv
env >environment
while [ "$1" != --history ]; do shift; done
stat -c '%a' "$6" >mode
echo '{"action": "promote"}' >>"$2"
exit "$STATUS"
"""


@dataclass(frozen=True)
class Job:
    """What a job left: the exit status of each block that ran, and what it printed."""

    statuses: Mapping[str, int]
    output: Mapping[str, str]

    @property
    def failed(self) -> bool:
        """As the product colours it."""
        return any(self.statuses.values())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository of fixtures whose ``keys/gate.pub`` belongs to ``gate.pem`` beside it."""
    repository = tmp_path / "repository"
    shutil.copytree(ROOT / "fixtures", repository / "fixtures")
    (repository / "fixtures" / "keys").mkdir(exist_ok=True)
    generate(tmp_path / "gate.pem")
    shutil.move(tmp_path / "gate.pem.pub", repository / "fixtures" / "keys" / "gate.pub")
    (tmp_path / "temporary").mkdir()
    (tmp_path / "programs").mkdir()
    return repository


def run_job(file: Path, job: str, folder: Path, secrets: Mapping[str, str], **extra: str) -> Job:
    """Run a job's blocks but the installation; after a failure only those that always run."""
    temporary = folder.parent / "temporary"
    path = f"{folder.parent / 'programs'}:{PROGRAMS}:{os.environ['PATH']}"
    keep = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    common = {
        **keep,
        "PATH": path,
        "RUNNER_TEMP": str(temporary),
        "TMPDIR": str(temporary),
        "ENV": "demo",
        "VERSION": "1.0.0",
        "SHA": "d34bcae",
        **extra,
    }
    statuses: dict[str, int] = {}
    output: dict[str, str] = {}
    for block in blocks(file):
        if block.job != job or "pip install" in block.script:
            continue
        if any(statuses.values()) and not block.always:
            continue
        own = {name: secrets.get(name, "") for name in block.variables}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", block.script],
            cwd=folder,
            env={**common, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        statuses[block.name] = done.returncode
        output[block.name] = done.stdout
    return Job(statuses, output)


def set_faults(folder: Path, *faults: str) -> None:
    """Let the demo be one gate of the service alone, with these faults."""
    text = SERVICE.format(faults=", ".join(faults))
    (folder / "fixtures" / "environments" / "demo.yaml").write_text(text)


def left(folder: Path) -> list[Path]:
    """Keys that outlived their step."""
    return [
        file
        for file in (folder.parent / "temporary").rglob("*")
        if file.is_file() and b"PRIVATE KEY" in file.read_bytes()
    ]


def test_githubs_gate_job_passes_a_good_release(folder: Path) -> None:
    """Signed with the secret key, shown in the summary as signed by a key that is trusted."""
    set_faults(folder)
    summary = folder.parent / "summary.md"
    secrets = {"GATE_KEY": (folder.parent / "gate.pem").read_text()}
    (folder.parent / "gate.pem").unlink()
    job = run_job(GITHUB, "gate", folder, secrets, GITHUB_STEP_SUMMARY=str(summary))

    assert not job.failed, job.output
    text = summary.read_text()
    assert text.startswith("# PASSED: demo\n")
    assert "| basic | PASSED | " in text
    assert "proves nothing" not in text
    assert left(folder) == []


def test_githubs_gate_job_fails_and_shows_a_bad_release(folder: Path) -> None:
    """The job is red by pytest's own status, its summary and annotations are there."""
    set_faults(folder, "basic.wrong-status")
    summary = folder.parent / "summary.md"
    secrets = {"GATE_KEY": (folder.parent / "gate.pem").read_text()}
    (folder.parent / "gate.pem").unlink()
    job = run_job(GITHUB, "gate", folder, secrets, GITHUB_STEP_SUMMARY=str(summary))

    gates, shown = job.output.values()
    assert list(job.statuses.values()) == [1, 0], job.output
    assert summary.read_text().startswith("# FAILED: demo\n")
    assert shown.startswith("::error title=gate basic%3A FAILED::")
    first, *_, last = (line for line in gates.splitlines() if line.startswith("::"))
    token = first.removeprefix("::stop-commands::")
    assert (len(token), last) == (32, f"::{token}::")
    assert left(folder) == []


def test_gitlabs_gate_job_shows_a_bad_release(folder: Path) -> None:
    """The key's file may be readable for others, as GitLab's are; the bundle is kept."""
    set_faults(folder, "basic.wrong-status")
    (folder.parent / "gate.pem").chmod(0o644)
    job = run_job(GITLAB, "gate", folder, {}, GATE_KEY=str(folder.parent / "gate.pem"))

    issues = json.loads((folder / "gl-code-quality-report.json").read_text())
    assert job.statuses == {"script": 1, "after_script": 0}, job.output
    assert (folder / "summary.md").read_text().startswith("# FAILED: demo\n")
    assert issues[0]["location"]["path"] == "fixtures/cases/hifate/basic.yaml"
    assert (folder / issues[0]["location"]["path"]).is_file()
    assert (folder / "bundle" / "junit.xml").is_file()
    assert left(folder) == []


@pytest.fixture
def history(folder: Path) -> Path:
    """A checkout of the branch of the history, in ``history``, with a stand-in for ``promote``."""
    program = folder.parent / "programs" / "pytest-release"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    origin = folder.parent / "origin.git"
    git("init", "--quiet", "--bare", "--initial-branch=release-history", str(origin))
    git("clone", "--quiet", str(origin), str(folder / "history"))
    (folder / "history" / "history.jsonl").write_text('{"action": "begin"}\n')
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    git("-C", str(folder / "history"), "add", "history.jsonl")
    git("-C", str(folder / "history"), *identity, "commit", "--quiet", "--message=begin")
    git("-C", str(folder / "history"), "push", "--quiet", "origin", "HEAD:release-history")
    return origin


def git(*arguments: str) -> str:
    """Run git."""
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


def check_promotion(folder: Path, secret: str, history: str) -> None:
    """What was called with which key, and that nobody else could see the key."""
    arguments = (folder / "argv").read_text()
    assert arguments.split()[:-1] == [
        *("promote", "--to", "production", "--release", "1.0.0", "--commit", "d34bcae"),
        *("--bundle", "bundle", "--history", f"{history}/history.jsonl"),
        *("--record-dir", f"{history}/promotions", "--sign-with"),
    ]
    assert (folder / "mode").read_text() == "600\n"
    assert secret not in arguments + (folder / "environment").read_text()
    assert left(folder) == []


@pytest.mark.parametrize("status", [0, 1], ids=["promoted", "refused"])
@pytest.mark.needs("git")
def test_githubs_promotion_job_keeps_the_history(status: int, folder: Path, history: Path) -> None:
    """Also of a refusal, which fails the job."""
    pem = (folder.parent / "gate.pem").read_text()
    (folder.parent / "gate.pem").unlink()
    job = run_job(GITHUB, "promote", folder, {"PROMOTION_KEY": pem}, STATUS=str(status))

    assert list(job.statuses.values()) == [status, 0], job.output
    check_promotion(folder, pem.splitlines()[1], "history")
    kept = git("-C", str(history), "show", "release-history:history.jsonl")
    assert kept == '{"action": "begin"}\n{"action": "promote"}\n'


@pytest.mark.parametrize("status", [0, 1], ids=["promoted", "refused"])
@pytest.mark.needs("git")
@pytest.mark.usefixtures("history")
def test_gitlabs_promotion_job_keeps_the_history(status: int, folder: Path) -> None:
    """In the runner's folder."""
    key = folder.parent / "gate.pem"
    places = {"PROMOTION_KEY": str(key), "HISTORY": str(folder / "history")}
    job = run_job(GITLAB, "promote", folder, {}, STATUS=str(status), **places)

    assert list(job.statuses.values()) == [status], job.output
    check_promotion(folder, key.read_text().splitlines()[1], places["HISTORY"])
    kept = (folder / "history" / "history.jsonl").read_text()
    assert kept == '{"action": "begin"}\n{"action": "promote"}\n'
