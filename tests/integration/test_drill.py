"""The command ``pytest-release drill``, over a demo of two small gates and over the real one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_release.cli import main
from pytest_release.drill import field, runs
from pytest_release.drill.engine import Engine, State
from pytest_release.drill.field import clean
from pytest_release.drill.recipe import FOLDER, Recipe
from pytest_release.errors import SandboxError, UsageError

ROOT = Path(__file__).parents[2]
ENVIRONMENT = """
name: demo
role: development
system: tiny
sandbox: {workers: 1}
release: {health: /api/v1/health, version: version, commit: build_git_hash}
gates: {basic: {required: true}, stream: {required: true}}
"""
BASIC = """
gate: basic
cases:
  - name: reading
    method: POST
    path: /api/v1/bazi/interface
    json: {solar_date: "1990-01-15", solar_time: "12:00", gender: male}
    expect: {status: 200, success: true, json_schema: {properties: {data: {type: object}}}}
"""
STREAM = """
gate: stream
cases:
  - name: review
    method: POST
    path: /api/v1/general-review/stream
    json: {solar_date: "1990-01-15", solar_time: "12:00", gender: male}
    expect: {events: {terminal: [complete]}}
"""


@pytest.fixture
def fixtures(tmp_path: Path) -> Path:
    """A demo of two cases."""
    folder = tmp_path / "fixtures"
    files = {
        "environments/demo": ENVIRONMENT,
        "cases/tiny/basic": BASIC,
        "cases/tiny/stream": STREAM,
    }
    for name, text in files.items():
        file = folder / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("recipe", "state", "said", "others"),
    [
        (
            Recipe("basic.wrong-type", "basic.schema", "is not of type 'object'", "basic/reading"),
            State.CAUGHT,
            "the answer breaks its schema",
            {},
        ),
        (
            Recipe("basic.wrong-type", "basic.schema", "is not of type 'list'", "basic/reading"),
            State.OTHER,
            "basic is FAILED: basic.schema: the answer breaks its schema",
            {},
        ),
        (
            Recipe("basic.wrong-value", "basic.value", "degraded", "basic/reading"),
            State.MISSED,
            "basic is PASSED",
            {},
        ),
        (
            Recipe("contract.wrong-type", "contract.schema", "data", "stream/review"),
            State.ELSEWHERE,
            "stream is PASSED",
            {"basic": "basic.schema: the answer breaks its schema"},
        ),
        (
            Recipe("stream.no-events", "stream.no-events", "event", "stream/nothing"),
            State.BROKEN,
            "names the case stream/nothing, which demo has not",
            {},
        ),
    ],
    ids=lambda value: value if isinstance(value, State) else None,
)
def test_what_becomes_of_a_fault(
    fixtures: Path, recipe: Recipe, state: State, said: str, others: dict[str, str]
) -> None:
    """A miss is shown to the other gates, and who sees it is named."""
    result = Engine(fixtures).meet(recipe)

    assert (result.fault, result.state) == (recipe.fault, state)
    assert said in result.message
    assert result.others.keys() == others.keys()
    assert all(result.others[gate].startswith(text) for gate, text in others.items())


def test_a_drill_needs_a_sandbox(fixtures: Path) -> None:
    """Faults are never looked for in a deployment."""
    file = fixtures / "environments" / "demo.yaml"
    text = file.read_text().replace("sandbox: {workers: 1}", "base_url: https://shop.example")
    file.write_text(text)

    with pytest.raises(UsageError, match="a drill needs a sandbox, and demo is a deployment"):
        Engine(fixtures)


@pytest.fixture
def told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> tuple[int, str, Path]:
    """A drill of two faults at once and one of time: exit status, what it printed, reports."""
    monkeypatch.chdir(ROOT)
    faults = ("delivery.no-response", "delivery.open-item", "basic.empty-body")
    asked = [part for name in faults for part in ("--fault", name)]
    status = main(["drill", *asked, "--jobs", "2", "--report-dir", str(tmp_path)])
    return status, capsys.readouterr().out, tmp_path


def test_the_command_tells_and_signs(
    told: tuple[int, str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A line a fault, the counts, and a report that verify reads until someone touches it."""
    status, said, reports = told
    folder = reports / "latest-drill"
    verify = ["verify", str(folder), "--key", str(folder / "ephemeral.pub")]

    assert status == 0
    assert said.count("caught  ") == 3
    assert "delivery        2 of 2\n" in said
    assert "PASSED  3 caught of 3; not everything was drilled" in said
    assert main(verify) == 0
    assert "drill        faults of demo: a part of what there is" in capsys.readouterr().out
    page = folder / "drill.html"
    page.write_text(page.read_text().replace("3 caught", "4 caught"))
    assert main(verify) == 1
    assert "drill.html was changed" in capsys.readouterr().err


def test_a_miss_ends_with_1(
    fixtures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The small demo has no case of the health; with --json the matrix is all there is to read."""
    monkeypatch.chdir(tmp_path)
    asked = ["--fixtures", str(fixtures), "--recipes", str(ROOT / FOLDER)]
    status = main(["drill", *asked, "--fault", "basic.wrong-value", "--json"])
    printed = capsys.readouterr()
    told = json.loads(printed.out)

    assert status == 1
    assert told["verdict"] == "FAILED"
    assert told["results"][0]["state"] == "not shown"
    assert "names the case basic/health" in told["results"][0]["message"]
    assert "FAILED  1 not shown of 1" in printed.err
    assert (Path(told["report"]) / "drill.html").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--jobs", "0"], "--jobs must be at least 1, got 0"),
        (["--clean", "0"], "--clean must be at least 1, got 0"),
        (["--clean", "2", "--gate", "basic"], "leave --gate and --fault out"),
        (["--gate", "basics"], "there is no gate 'basics' to drill"),
    ],
)
def test_what_cannot_be_drilled(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One sentence says what to mend, and nothing has started."""
    monkeypatch.chdir(ROOT)

    assert main(["drill", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_runs_without_a_fault(fixtures: Path) -> None:
    """Each is a whole run, and green only when it passed."""
    heard: list[str] = []
    (good,) = clean(fixtures, 1, lambda result: heard.append(result.fault))
    case = fixtures / "cases" / "tiny" / "basic.yaml"
    case.write_text(case.read_text().replace("status: 200", "status: 201"))
    (bad,) = clean(fixtures, 1, lambda result: heard.append(result.message))

    assert (good.state, bad.state) == (State.GREEN, State.RED)
    assert heard == ["run 1 of 1", bad.message]
    assert "FAILED; basic is FAILED" in bad.message


def test_a_run_that_leaves_no_report(fixtures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last words are told, and it is never taken for green."""
    with pytest.raises(SandboxError, match=r"(?s)left no report; its last words: .*nowhere"):
        runs.whole_run(fixtures, ["--env", "nowhere"])
    monkeypatch.setattr(runs, "LIMIT", 0.01)
    with pytest.raises(SandboxError, match=r"--env demo did not end within 0\.01 s"):
        runs.whole_run(fixtures, ["--env", "demo"])

    (result,) = field.clean(fixtures, 1, lambda _: None)
    assert result.state is State.RED
