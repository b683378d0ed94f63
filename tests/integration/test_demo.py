"""``--env demo`` from the outside: real workers, real pytest runs, every way a run can end."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20.0
SERVICE = """
name: demo
role: development
system: hifate
release: {health: /api/v1/health, version: version, commit: build_git_hash}
sandbox: {workers: 2}
gates:
  basic: {required: true, min_cases: 6, thresholds: {p95_ms: 500, error_rate: 0.01}}
  stream:
    required: true
    min_cases: 13
    concurrency: 13
    thresholds: {ttfb_ms: 100, gap_ms: 1000}
    samples: {min: 3, max: 20, confidence: 0.95}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder whose demo is the service alone; tests/data has the stores."""
    fixtures = tmp_path / "fixtures"
    shutil.copytree(ROOT / "fixtures", fixtures)
    (fixtures / "environments" / "demo.yaml").write_text(SERVICE)
    return tmp_path


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """pytest on its way."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--env", "demo"]
    return subprocess.Popen(
        [*command, *arguments], cwd=folder, stdout=subprocess.PIPE, text=True, bufsize=1
    )


def run(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit status and evidence.json of a whole run."""
    process = start(folder, *arguments)
    process.communicate(timeout=60)
    text = (folder / "reports" / "latest" / "evidence.json").read_text()
    evidence: dict[str, Any] = json.loads(text)
    return process.returncode, evidence


def verdicts(evidence: dict[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Gate -> its cases with what they came to."""
    return {
        gate["gate"]: [(case["case"], case["verdict"]) for case in gate["cases"]]
        for gate in evidence["gates"]
    }


def measured(evidence: dict[str, Any]) -> dict[str, list[str]]:
    """Case -> the names of its figures."""
    return {
        case["case"]: [found["name"] for found in case["evidence"]["measurements"]]
        for gate in evidence["gates"]
        for case in gate["cases"]
    }


def workers_of(folder: Path) -> list[int]:
    """Ids of the sandbox's processes whose working folder is this run's: nursery and workers."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
            here = command and (entry / "cwd").readlink() == folder
        except OSError:
            continue
        if here and b"pytest_release.sandbox." in command:
            found.append(int(entry.name))
    return found


def gone(folder: Path) -> bool:
    """Whether no worker is left, waiting for a while."""
    deadline = time.monotonic() + PATIENCE_S
    while workers_of(folder):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_a_good_release_passes(folder: Path) -> None:
    """6 basic and 13 stream cases at least, all gates PASSED, exit status 0, nothing left over."""
    status, evidence = run(folder, "--release", "1.0.0")

    cases = verdicts(evidence)
    assert (status, evidence["verdict"]) == (0, "PASSED")
    assert len(cases["basic"]) >= 6
    assert len(cases["stream"]) == 13
    assert gone(folder)
    assert [path.name for path in (folder / "reports").iterdir() if "unfinished" in path.name] == []


def test_xdist_changes_nothing(folder: Path) -> None:
    """Two processes give the same verdicts and the same evidence as one."""
    _, alone = run(folder)
    status, shared = run(folder, "-n", "2")

    assert status == 0
    assert verdicts(shared) == verdicts(alone)
    assert measured(shared) == measured(alone)


def test_one_gate_says_so_of_the_others(folder: Path) -> None:
    """``-m stream``: exit status 0, PASSED of that gate, NOT_RUN of the other."""
    status, evidence = run(folder, "-m", "stream")

    assert status == 0
    assert [gate["verdict"] for gate in evidence["gates"]] == ["NOT_RUN", "PASSED"]
    assert evidence["verdict"] == "INCOMPLETE"


def test_another_release_fails_before_the_first_case(folder: Path) -> None:
    """The deployment is not what was asked for: nothing runs, the run is FAILED."""
    status, evidence = run(folder, "--fault", "release.wrong-version", "--release", "1.0.0")

    assert (status, evidence["verdict"]) == (1, "FAILED")
    assert evidence["reasons"][0] == "release 1.0.0 was asked for, the deployment is 0.9.9"
    assert {gate["verdict"] for gate in evidence["gates"]} == {"NOT_RUN"}


def test_a_build_that_changes_is_incomplete(folder: Path) -> None:
    """What was measured of two builds proves nothing of either."""
    status, evidence = run(folder, "--fault", "release.build-changes")

    assert status == 1
    assert {gate["verdict"] for gate in evidence["gates"]} == {"INCOMPLETE"}
    assert evidence["gates"][0]["reasons"][0].startswith("the build changed during the run: 1.0.0")


def test_a_pass_on_a_retry_warns(folder: Path) -> None:
    """A flaky endpoint is WARNED, names its attempts, and does not block."""
    status, evidence = run(folder, "--fault", "basic.flaky@/bazi/interface", "-m", "basic")

    case = next(c for c in evidence["gates"][0]["cases"] if c["case"] == "basic/bazi-interface")
    assert (status, case["verdict"]) == (0, "WARNED")
    assert len(case["evidence"]["attempts"]) == 2
    assert case["reason"].startswith("passed only on attempt 2 of 2: attempt 1: status 503")


def test_declared_cases_share_one_worker(folder: Path) -> None:
    """Two processes on two cores would measure each other."""
    process = start(folder, "-n", "2", "-v")
    output, _ = process.communicate(timeout=60)
    workers = re.findall(r"^\[(gw\d)\].* PASSED .*test_(?:basic|stream)\[", output, re.MULTILINE)

    assert process.returncode == 0, output
    assert len(workers) == 21
    assert len(set(workers)) == 1


@pytest.mark.parametrize("last_word", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_controller(folder: Path, last_word: signal.Signals) -> None:
    """However pytest is ended, the sandbox ends with it."""
    process = start(folder, "-v", "--fault", "basic.slow")
    assert process.stdout is not None
    for line in process.stdout:
        if re.search(r"test_basic\[.*PASSED", line):
            break
    assert len(workers_of(folder)) == 3

    process.send_signal(last_word)
    process.communicate(timeout=PATIENCE_S)

    assert gone(folder)


INTERRUPTED = """
import signal

def pytest_runtest_call(item):
    if "rizhu-liujiazi" in item.nodeid:
        signal.raise_signal(signal.SIGINT)
"""


def test_an_interrupted_run_is_incomplete(folder: Path) -> None:
    """Ctrl-C, while a case runs, leaves a signed report that says what did not run."""
    (folder / "interrupted.py").write_text(INTERRUPTED)
    process = start(folder, "-p", "interrupted")
    process.communicate(timeout=PATIENCE_S)

    evidence = json.loads((folder / "reports" / "latest" / "evidence.json").read_text())
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert [gate["verdict"] for gate in evidence["gates"]] == ["INCOMPLETE", "NOT_RUN"]
    assert "the run was interrupted" in evidence["gates"][0]["reasons"]


def test_a_secret_is_nowhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that the server echoes is masked in every file of the bundle and on the terminal."""
    shutil.rmtree(folder / "fixtures")
    environments = folder / "fixtures" / "environments"
    environments.mkdir(parents=True)
    cases = folder / "fixtures" / "cases" / "echo"
    cases.mkdir(parents=True)
    (environments / "demo.yaml").write_text(
        "name: demo\nrole: development\nsystem: echo\nsandbox: {}\n"
        "auth: {scheme: bearer, token: '${ECHO_TOKEN}'}\ngates:\n  basic: {required: true}\n"
    )
    (cases / "basic.yaml").write_text(
        "gate: basic\ncases:\n  - name: echo\n    path: /api/v1/bazi/interface\n"
        "    json: {solar_date: '${ECHO_TOKEN}', solar_time: '12:00', gender: male}\n"
        "    expect: {status: 200, success: true}\n"
    )
    monkeypatch.setenv("ECHO_TOKEN", "sesame-0451-sesame")

    process = start(folder)
    output, _ = process.communicate(timeout=60)

    bundle = (folder / "reports" / "latest").resolve()
    assert process.returncode == 1
    assert "basic.status: status 400 instead of 200" in output
    texts = [output, *(path.read_text() for path in bundle.iterdir())]
    assert [text for text in texts if "sesame" in text] == []


OWN = """
import pytest

@pytest.mark.search
def test_health(http, environment, evidence):
    answer = http.get("/api/v1/health")
    evidence.measure("answer_ms", answer.extensions["wire"].ttfb)
    evidence.attach("who answered", f"{environment.name} {answer.json()['status']}")
    assert answer.request.headers["authorization"] == "Bearer sesame-0451-sesame"
"""


def test_a_test_of_ones_own_is_a_gate(folder: Path) -> None:
    """Its marker is named in the environment; it has the client, a threshold, and a verdict."""
    shutil.rmtree(folder / "fixtures")
    environments = folder / "fixtures" / "environments"
    environments.mkdir(parents=True)
    (environments / "demo.yaml").write_text(
        "name: demo\nrole: development\nsystem: own\nsandbox: {workers: 1}\n"
        "auth: {scheme: bearer, token: sesame-0451-sesame}\n"
        "gates:\n  search: {required: true, thresholds: {answer_ms: 2000}}\n"
    )
    (folder / "pytest.ini").write_text("[pytest]\nrelease_testpaths = .\n")
    (folder / "test_search.py").write_text(OWN)

    status, evidence = run(folder)

    gate = evidence["gates"][0]
    assert (status, gate["gate"], gate["verdict"]) == (0, "search", "PASSED")
    assert gate["thresholds"][0]["decision"] == "kept"
    (sample,) = gate["cases"][0]["evidence"]["measurements"][0]["samples"]
    assert (sample["clock"], sample["low"] < sample["high"]) == ("kernel receive stamp", True)
    attached = gate["cases"][0]["evidence"]["attachments"]
    assert attached == [{"name": "who answered", "text": "demo ok"}]


REFUSING = """
from pytest_release.targets import stamps

stamps.SO_TIMESTAMPNS = 9999  # an option that no kernel knows: it refuses
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_without_the_kernels_stamps_the_run_is_less_exact_and_says_so(
    folder: Path, workers: tuple[str, ...]
) -> None:
    """One line names the clock, its uncertainty and the reason; every sample carries it."""
    (folder / "refusing.py").write_text(REFUSING)
    process = start(folder, "-p", "refusing", *workers)
    output, _ = process.communicate(timeout=60)
    evidence = json.loads((folder / "reports" / "latest" / "evidence.json").read_text())

    assert process.returncode == 0
    lines = re.findall(
        r"timed by read\(\) return, up to [0-9.]+ ms late: SO_TIMESTAMPNS was refused \(Protocol",
        " ".join(output.split()),
    )
    assert 1 <= len(lines) <= 2, "a process a line"
    samples = [
        sample
        for gate in evidence["gates"]
        for case in gate["cases"]
        for measurement in case["evidence"]["measurements"]
        if measurement["name"].endswith("_ms")
        for sample in measurement["samples"]
    ]
    assert {sample["exact"] for sample in samples} == {False}
    assert {sample["clock"].partition(",")[0] for sample in samples} == {"read() return"}


def test_a_fixture_without_an_environment_says_what_to_do(folder: Path) -> None:
    """Outside ``--env`` a test that needs a deployment fails with one sentence."""
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = search: own\n")
    (folder / "test_search.py").write_text(OWN)

    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "test_search.py"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    assert result.returncode == pytest.ExitCode.TESTS_FAILED
    assert "a release gate needs --env NAME; environments in" in result.stdout
    assert "demo, football-production, football-staging, hifate-node1" in result.stdout
