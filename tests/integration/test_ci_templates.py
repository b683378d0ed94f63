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
POLICY = """
name: production
version: 1
signers: {keys: [gate]}
max_age_h: 24
gates:
  basic: {environment: demo, min_cases: 6}
subjects: [commit]
"""
COMMIT = "d34bcae5b1f0c4a2976e8d31c05b7fa9e6421d80"


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


def git(*arguments: str) -> str:
    """Run git."""
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def history(folder: Path) -> Path:
    """The origin of a branch of the history, with a checkout of it in ``history``."""
    origin = folder.parent / "origin.git"
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    checkout = ("-C", str(folder / "history"))
    git("init", "--quiet", "--bare", "--initial-branch=release-history", str(origin))
    git("clone", "--quiet", str(origin), str(folder / "history"))
    git(*checkout, *identity, "commit", "--quiet", "--allow-empty", "--message=begin")
    git(*checkout, "push", "--quiet", "origin", "HEAD:release-history")
    return origin


@pytest.fixture
def judged(folder: Path) -> dict[str, str]:
    """The bundle of a good release in ``bundle``, a policy, and the secret of who promotes."""
    set_faults(folder)
    (folder / "fixtures" / "policies" / "production.yaml").write_text(POLICY)
    secrets = {"GATE_KEY": (folder.parent / "gate.pem").read_text()}
    job = run_job(GITHUB, "gate", folder, secrets, GITHUB_STEP_SUMMARY=os.devnull)
    assert not job.failed, job.output
    (folder / "reports" / "latest").resolve().rename(folder / "bundle")
    generate(folder.parent / "promotion.pem")
    public = folder / "fixtures" / "keys" / "promotion.pub"
    shutil.move(folder.parent / "promotion.pem.pub", public)
    return {"PROMOTION_KEY": (folder.parent / "promotion.pem").read_text()}


@pytest.mark.needs("git")
def test_githubs_promotion_job_promotes_once_and_keeps_the_history(
    folder: Path, history: Path, judged: dict[str, str]
) -> None:
    """The same bundle a second time is refused, which fails the job; both are pushed."""
    (folder.parent / "promotion.pem").unlink()
    first = run_job(GITHUB, "promote", folder, judged, SHA=COMMIT)
    again = run_job(GITHUB, "promote", folder, judged, SHA=COMMIT)

    assert list(first.statuses.values()) == [0, 0], first.output
    assert list(again.statuses.values()) == [1, 0], again.output
    assert "its run has served the promotion of 1.0.0" in next(iter(again.output.values()))
    kept = git("-C", str(history), "show", "release-history:history.jsonl").splitlines()
    assert [json.loads(line)["status"] for line in kept] == ["success", "refused"]
    names = git("-C", str(history), "ls-tree", "--name-only", "release-history", "promotions/")
    assert len(names.splitlines()) == 1
    assert left(folder) == []


@pytest.mark.needs("git")
def test_gitlabs_promotion_job_promotes_once_and_keeps_the_history(
    folder: Path, judged: dict[str, str]
) -> None:
    """In the runner's folder; the key's file may be readable for others, as GitLab's are."""
    assert judged
    (folder / "kept").mkdir()
    (folder.parent / "promotion.pem").chmod(0o644)
    places = {
        "PROMOTION_KEY": str(folder.parent / "promotion.pem"),
        "HISTORY": str(folder / "kept"),
        "SHA": COMMIT,
    }
    first = run_job(GITLAB, "promote", folder, {}, **places)
    again = run_job(GITLAB, "promote", folder, {}, **places)

    assert list(first.statuses.values()) == [0], first.output
    assert list(again.statuses.values()) == [1], again.output
    kept = (folder / "kept" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in kept] == ["success", "refused"]
    assert left(folder) == []
