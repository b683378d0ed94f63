"""DESIGN's table of verdicts, each row with real pytest runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.plugin.conftest import Evidence, gate_of

Run = Callable[..., tuple[pytest.RunResult, Evidence]]

TWO = """
import pytest
pytestmark = pytest.mark.quick
def test_one(): pass
def test_two(): {body}
"""

ROWS: dict[str, tuple[str, tuple[str, ...], str, str]] = {
    "pass": (TWO.format(body="pass"), (), "PASSED", ""),
    "fail": (TWO.format(body="assert 1 == 2"), (), "FAILED", "1 failed: *test_two"),
    "error in set-up": (
        TWO.format(body="pass").replace("test_two()", "test_two(absent)"),
        (),
        "INCOMPLETE",
        "*ended as error: *fixture 'absent' not found*",
    ),
    "error in teardown": (
        TWO.format(body="pass")
        + "@pytest.fixture(autouse=True)\ndef late():\n    yield\n    raise OSError('gone')\n",
        (),
        "INCOMPLETE",
        "*ended as error: OSError: gone*",
    ),
    "skip": (TWO.format(body="pytest.skip('no')"), (), "INCOMPLETE", "*skipped: *no*"),
    "xfail": (
        TWO.format(body="pytest.xfail('known')"),
        (),
        "INCOMPLETE",
        "*ended as xfailed*",
    ),
    "xpass": (
        TWO.format(body="pass").replace("def test_two", "@pytest.mark.xfail\ndef test_two"),
        (),
        "INCOMPLETE",
        "*ended as xpassed*",
    ),
    "-k": (TWO.format(body="pass"), ("-k", "one"), "INCOMPLETE", "*was deselected*"),
    "--deselect": (
        TWO.format(body="pass"),
        ("--deselect", "test_row.py::test_two"),
        "INCOMPLETE",
        "*was deselected*",
    ),
    "-x": (
        TWO.format(body="pass").replace("def test_one", "def test_zero(): assert 0\ndef test_one"),
        ("-x",),
        "FAILED",
        "*never started*",
    ),
    "--lf": (TWO.format(body="pass"), ("--lf",), "INCOMPLETE", "*--last-failed runs only a part*"),
    "too few cases": (
        "import pytest\n@pytest.mark.quick\ndef test_one(): pass\n",
        (),
        "INCOMPLETE",
        "1 cases ran, the policy asks for 2",
    ),
    "empty gate": ("def test_other(): pass\n", (), "NOT_RUN", "the gate has no cases"),
    "all deselected": (
        TWO.format(body="pass"),
        ("-k", "three"),
        "NOT_RUN",
        "none of its * cases ran: they were deselected",
    ),
    "Ctrl-C": (TWO.format(body="raise KeyboardInterrupt"), (), "INCOMPLETE", "*interrupted*"),
    "a finding without a failed test": (
        TWO.format(body="evidence.finding('quick.odd', 'it is odd')").replace(
            "test_two()", "test_two(evidence)"
        ),
        (),
        "FAILED",
        "1 failed: *test_two",
    ),
    "a warning": (
        TWO.format(body="evidence.finding('quick.odd', 'it is odd', 'warning')").replace(
            "test_two()", "test_two(evidence)"
        ),
        (),
        "WARNED",
        "1 warned: *test_two",
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_each_row_of_the_table(row: str, project: pytest.Pytester, run: Run) -> None:
    """A gate's verdict is what the table says, with its reason, and so is the exit status."""
    source, arguments, verdict, reason = ROWS[row]
    project.makepyfile(test_row=source)

    result, evidence = run(*arguments)

    gate = gate_of(evidence, "quick")
    assert gate["verdict"] == verdict
    assert (result.ret == 0) == (verdict in ("PASSED", "WARNED"))
    if reason:
        pytest.LineMatcher(gate["reasons"]).fnmatch_lines([reason])


def test_a_collection_error_spoils_every_gate(project: pytest.Pytester, run: Run) -> None:
    """A file that cannot be imported may have held any case."""
    project.makepyfile(test_row=TWO.format(body="pass"), test_broken="import absent_module")

    result, evidence = run("--continue-on-collection-errors")

    gate = gate_of(evidence, "quick")
    assert gate["verdict"] == "INCOMPLETE"
    assert "test_broken.py could not be collected" in gate["reasons"]
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_one_gate_passes_and_the_run_is_incomplete(project: pytest.Pytester, run: Run) -> None:
    """``-m`` asks for one gate: exit status 0 for it, and the run says what did not run."""
    slow = "import pytest\n@pytest.mark.slow\ndef test_other(): pass\n"
    project.makepyfile(test_row=TWO.format(body="pass"), test_slow=slow)

    result, evidence = run("-m", "slow")

    assert result.ret == 0
    assert gate_of(evidence, "quick")["verdict"] == "NOT_RUN"
    assert evidence["verdict"] == "INCOMPLETE"


def test_a_threshold_that_was_never_measured_is_incomplete(
    project: pytest.Pytester, run: Run
) -> None:
    """A misspelt threshold cannot pass by being ignored."""
    environment = project.path / "fixtures" / "environments" / "here.yaml"
    text = environment.read_text().replace("min_cases: 2}", "thresholds: {queue_ms: 5}}")
    environment.write_text(text)
    project.makepyfile(test_row=TWO.format(body="pass"))

    _, evidence = run()

    gate = gate_of(evidence, "quick")
    assert gate["verdict"] == "INCOMPLETE"
    assert gate["reasons"] == ["the threshold queue_ms was never measured"]


def test_a_test_measures_for_its_own_threshold(project: pytest.Pytester, run: Run) -> None:
    """A user's own test becomes a gate with a threshold of its own, and breaks it."""
    environment = project.path / "fixtures" / "environments" / "here.yaml"
    text = environment.read_text().replace("min_cases: 2}", "thresholds: {queue_ms: 5}}")
    environment.write_text(text)
    body = "evidence.measure('queue_ms', [7, 8])"
    source = TWO.format(body=body).replace("test_two()", "test_two(evidence)")
    project.makepyfile(test_row=source)

    result, evidence = run()

    gate = gate_of(evidence, "quick")
    assert gate["verdict"] == "FAILED"
    assert result.ret == pytest.ExitCode.TESTS_FAILED
