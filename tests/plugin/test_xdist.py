"""The same verdict and one bundle, however many processes run the tests."""

from __future__ import annotations

import pytest

from tests.plugin.conftest import Evidence, gate_of
from tests.plugin.test_verdicts import TWO, Run


@pytest.mark.parametrize("workers", ["0", "2", "auto"])
def test_workers_change_nothing(workers: str, project: pytest.Pytester, run: Run) -> None:
    """``-n 0``, ``-n 2`` and ``-n auto`` give the same verdicts and one bundle."""
    source = TWO.format(body="evidence.measure('queue_ms', [1, 2])")
    project.makepyfile(test_row=source.replace("test_two()", "test_two(evidence)"))

    result, evidence = run("-n", workers)

    assert result.ret == 0
    gate = gate_of(evidence, "quick")
    assert gate["verdict"] == "PASSED"
    assert _measured(evidence) == [("test_row.py::test_two", "queue_ms", 1.5)]
    bundles = [path for path in (project.path / "reports").iterdir() if path.name != "latest"]
    assert len(bundles) == 1


def _measured(evidence: Evidence) -> list[tuple[str, str, float]]:
    return [
        (case["case"], measurement["name"], measurement["estimate"]["value"])
        for gate in evidence["gates"]
        for case in gate["cases"]
        for measurement in (case["evidence"] or {"measurements": []})["measurements"]
    ]


def test_a_crashed_worker_is_incomplete(project: pytest.Pytester, run: Run) -> None:
    """A worker that dies takes its case along; the gate names it and cannot pass."""
    project.makepyfile(test_row=TWO.format(body="__import__('os')._exit(3)"))

    result, evidence = run("-n", "2", "--max-worker-restart=0")

    gate = gate_of(evidence, "quick")
    assert gate["verdict"] == "INCOMPLETE"
    pytest.LineMatcher(gate["reasons"]).fnmatch_lines(["the worker gw* crashed"])
    assert result.ret != 0


def test_tests_that_a_crash_prevented_are_named(project: pytest.Pytester, run: Run) -> None:
    """With no worker left, the tests that never ran are named."""
    many = "".join(f"def test_more_{number}(): pass\n" for number in range(4))
    source = TWO.format(body="pass").replace("pass\n", "__import__('os')._exit(3)\n", 1)
    project.makepyfile(test_row=source + many)

    _, evidence = run("-n", "1", "--max-worker-restart=0")

    gate = gate_of(evidence, "quick")
    assert gate["verdict"] in ("INCOMPLETE", "NOT_RUN")
    pytest.LineMatcher(gate["reasons"]).fnmatch_lines(["* did not come to their end: *test_more_*"])
