"""From a run of the demo to a promotion, as a user types it; a waiver is named in later runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sysconfig.get_path("scripts")) / "pytest-release"
COMMIT = "d34bcae5b1f0c4a2976e8d31c05b7fa9e6421d80"
DEMO = """
name: demo
role: development
system: hifate
release: {health: /api/v1/health, version: version, commit: build_git_hash}
sandbox: {workers: 1}
gates:
  basic: {required: true, min_cases: 6, thresholds: {p95_ms: 2000}}
  stream: {required: true, concurrency: 13}
"""
POLICY = """
name: demo
version: 1
signers: {keys: [ci]}
max_age_h: 1
gates:
  basic: {environment: demo, min_cases: 6, thresholds: {p95_ms: 2000}}
  stream: {environment: demo, min_cases: 13}
subjects: [commit]
waivers: {signers: {keys: [ci]}, max_h: 8}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder with a key that is trusted and a policy that names it."""
    shutil.copytree(ROOT / "fixtures", tmp_path / "fixtures")
    (tmp_path / "fixtures" / "environments" / "demo.yaml").write_text(DEMO)
    (tmp_path / "fixtures" / "policies" / "demo.yaml").write_text(POLICY)
    assert run(tmp_path, PROGRAM, "keygen", "ci.pem")[0] == 0
    assert run(tmp_path, PROGRAM, "key", "add", "ci", "ci.pem.pub")[0] == 0
    return tmp_path


def run(folder: Path, *command: str | Path) -> tuple[int, str]:
    """Exit status and standard output."""
    done = subprocess.run(
        list(map(str, command)), cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout


def gates(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run the demo's gates, signed."""
    pytest_command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--env", "demo")
    return run(folder, *pytest_command, "--sign-with", "ci.pem", *arguments)


def promote(folder: Path) -> tuple[int, str]:
    """Ask for the promotion of what the demo deploys."""
    command = ("promote", "--to", "demo", "--release", "1.0.0", "--commit", COMMIT)
    return run(folder, PROGRAM, *command, "--sign-with", "ci.pem")


def test_what_passed_is_promoted_once(folder: Path) -> None:
    """The same run does not serve twice; the history tells both."""
    passed, _ = gates(folder)
    granted, first = promote(folder)
    refused, second = promote(folder)
    _, history = run(folder, PROGRAM, "history")
    _, checked = run(folder, PROGRAM, "history", "verify")

    assert (passed, granted, refused) == (0, 0, 1), first + second
    assert re.search(r"gate basic +PASSED in demo, 8 cases, signed by ci", first)
    assert "its run has served the promotion of 1.0.0" in second
    assert [line.removesuffix(" |").split(" | ")[1:6] for line in history.splitlines()] == [
        ["hifate", "demo", "promote", "1.0.0", "success"],
        ["-", "demo", "promote", "1.0.0", "refused"],
    ]
    assert checked.startswith("records  2, one chain")


def test_a_failed_gate_is_waived_and_later_runs_say_so(folder: Path) -> None:
    """On the terminal, on the page, in the Markdown, the evidence and the attestation."""
    failed, _ = gates(folder, "--fault", "stream.no-terminal-event@/bazi/xishen-jishen/stream")
    refused, said = promote(folder)
    waive = ("waive", "--gate", "stream", "--env", "demo", "--release", "1.0.0", "--until", "4h")
    waived, _ = run(
        folder, PROGRAM, *waive, "--reason", "ticket 812", "--by", "Li Wei", "--sign-with", "ci.pem"
    )
    granted, _ = promote(folder)
    _, terminal = gates(folder, "-m", "basic")

    bundle = folder / "reports" / "latest"
    assert (failed, refused, waived, granted) == (1, 1, 0, 0), said
    assert "not met  gate stream  it is FAILED in demo (1 failed: stream/" in said
    sentence = "stream of 1.0.0 is waived in demo until"
    texts = (" ".join(terminal.split()), (bundle / "report.html").read_text())
    assert [sentence in text for text in texts] == [True, True]
    assert sentence in (bundle / "test_report.md").read_text()
    (waiver,) = json.loads((bundle / "evidence.json").read_text())["context"]["waivers"]
    assert waiver.endswith("by Li Wei: ticket 812 (signed by ci)")
