"""Tests of ``pytest-release rollout``: what it prints, and with which status it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_release.cli import main
from tests.unit.rollout.conftest import Yard, step

FALSE = {"command": {"argv": ["false"]}}


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    """An empty one; commands run in its folder."""
    monkeypatch.chdir(tmp_path)
    return Yard(tmp_path)


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Status, and what it printed."""
    status = main(["rollout", *arguments])
    return status, *capsys.readouterr()


def test_a_plan_is_drawn(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    """Its steps, what comes after what, and how each acts."""
    yard.plan(
        step("look", "preflight"),
        step("left", needs=["look"]), step("right", needs=["look"], retries={"times": 2}),
        step("last", "gate", needs=["left", "right"], undo=[{"command": {"argv": ["rm", "a b"]}}]),
        {"name": "lone", "type": "notify", "needs": [], "with": FALSE, "when": {"changed": ["a"]}},
        rollback=[step("left")], modes={"part": {"skip": ["look"]}}, description="All of it.",
    )  # fmt: skip

    status, out, err = command(capsys, "plan", "shop")

    assert (status, err) == (0, "")
    assert out.startswith(
        "plan shop of shop: 5 steps, 1 back\n"
        "All of it.\n"
        "\n"
        "● look (preflight, here)    ● lone (notify, here)\n"
        "├────────────────────────┐\n"
        "● left (deploy, here)    ● right (deploy, here)\n"
        "├────────────────────────┘\n"
        "● last (gate, here)\n"
        "\n"
        "steps:\n"
        "  1. look  preflight in here\n"
        "     command: tee -a log\n"
    )
    assert "     after left, right\n     600 s at most, on failure: stop\n" in out
    assert "     undo command: rm 'a b'\n" in out
    assert "     600 s at most, 2 more attempts, on failure: stop\n" in out
    assert "     only if a changed\n" in out
    assert out.endswith("modes: part\n")


def test_from_a_run_to_its_report(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    """Run, look, verify; the bundle is signed by the key that was named."""
    yard.plan(step("one"), values={"port": 80})
    main(["keygen", "ci.pem"])
    capsys.readouterr()

    status, out, _ = command(capsys, "run", "shop", "--release", "2.0", "--by", "Li",
                             "--sign-with", "ci.pem", "--set", "port=81")  # fmt: skip
    _, told, _ = command(capsys, "status")
    _, machine, _ = command(capsys, "status", "--json")
    bundle = json.loads(machine)["bundle"]
    verified = main(["verify", bundle, "--key", "ci.pem.pub"])

    assert status == 0, out
    assert f"report     {bundle}" in out
    assert told.splitlines()[1] == "  plan shop, release 2.0, by Li"
    assert json.loads(machine)["standing"] == "success"
    assert verified == 0
    assert "rollout      " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("run", "shop", "--release", "2.0", "--json"), 1, '"status": "failed"'),
        (("run", "back", "--release", "2.0"), 3, "ROLLBACK-FAILED"),
        (
            ("run", "shop", "--release", "2.0", "--dry-run"),
            0,
            "would do bad (deploy in here): false",
        ),
        (("status",), 0, "no rollout in rollouts"),
        (("status", "--json"), 0, ""),
        (("rollback", "back", "--env", "here", "--list"), 0, ""),
    ],
)
def test_statuses(
    yard: Yard,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    status: int,
    said: str,
) -> None:
    """0 when it came to what was wanted, 1 when not, 3 when the old release is not well."""
    bad = {"name": "bad", "type": "deploy", "with": FALSE}
    yard.plan(bad)
    yard.plan(bad, {"name": "gate", "type": "gate", "with": FALSE}, name="back",
              on_failure="rollback", rollback=[bad])  # fmt: skip

    found, out, err = command(capsys, *arguments)

    assert (found, err) == (status, "")
    assert said in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "shop", "--release", "2", "--set", "port"), "--set takes NAME=VALUE, got 'port'"),
        (("status", "nope"), "there is no rollout 'nope' in rollouts"),
        (("resume",), "no rollout is unfinished"),
        (("abort", "x"), "no unfinished rollout is 'x'; unfinished: none"),
        (("rollback", "shop", "--env", "here", "--to", "1"), "has no rollback for 'here'"),
    ],
)
def test_refusals(
    yard: Yard, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    """One line on standard error, status 1."""
    yard.plan(step("one"))

    status, _, err = command(capsys, *arguments)

    assert status == 1
    assert said in err


def test_an_interrupted_driver_says_how_to_go_on(
    yard: Yard, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGTERM ends it with what it runs; status tells; abort and resume work."""
    code = (
        "import os,time; open('up', 'w').close(); time.sleep(30 if not os.path.exists('go') else 0)"
    )
    wait = {"command": {"argv": ["python3", "-S", "-c", code]}}
    yard.plan({"name": "wait", "type": "deploy", "with": wait, "idempotent": True}, step("last"))
    argv = [sys.executable, "-m", "pytest_release.cli", "rollout", "run", "shop", "--release", "2"]
    run = "import sys; from pytest_release.cli import main; sys.exit(main(sys.argv[1:]))"
    argv[1:3] = ["-c", run]

    with subprocess.Popen(argv, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while not Path("up").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        _, running, _ = command(capsys, "status")
        busy, _, refusal = command(capsys, "run", "shop", "--release", "3")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=20)

    _, told, _ = command(capsys, "status")
    Path("go").touch()
    resumed, _, _ = command(capsys, "resume")
    assert process.returncode == 130
    assert b"interrupted; go on with: pytest-release rollout resume, or abort" in said
    assert "RUNNING" in running
    assert f"driven by rollout {yard.look.folder.name} by " in running
    assert busy == 1
    assert "here is being driven by rollout" in refusal
    assert "INTERRUPTED" in told
    assert resumed == 0
    assert yard.log == ["last 2"]
    assert os.getpid() != process.pid
