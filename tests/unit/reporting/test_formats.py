"""Each format says what the verdict says, is valid, and is not broken by what a server sent."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from jsonschema import Draft7Validator

from pytest_release.config.validation import validator
from pytest_release.hostile import one_line, visible
from pytest_release.reporting import ctrf, evidence_json, html, junit, markdown, terminal
from pytest_release.verdict import RunVerdict, Verdict

CTRF = json.loads(Path(__file__).with_name("ctrf-schema-0.0.json").read_text())
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2028\ud800]")
NAMES = ["passed", "waived", "warned", "failed", "cut short", "nothing", "hostile"]

Runs = dict[str, RunVerdict]


@pytest.mark.parametrize("name", NAMES)
def test_ctrf_is_valid_and_counts_right(name: str, runs: Runs) -> None:
    """The document validates against CTRF's own schema; its counts add up."""
    document = json.loads(ctrf.render(runs[name]))

    Draft7Validator(CTRF).validate(document)
    summary = document["results"]["summary"]
    statuses = ("passed", "failed", "skipped", "pending", "other")
    assert summary["tests"] == sum(summary[status] for status in statuses)
    assert document["results"]["extra"]["verdict"] == runs[name].verdict


@pytest.mark.parametrize(
    ("name", "status", "flaky"),
    [("passed", "passed", False), ("warned", "passed", True), ("nothing", "other", None)],
)
def test_ctrf_never_calls_a_missing_case_skipped(
    name: str, status: str, flaky: bool | None, runs: Runs
) -> None:
    """Readers take skipped for harmless; a case that passed on a retry is flaky."""
    test = json.loads(ctrf.render(runs[name]))["results"]["tests"][0]

    assert (test["status"], test.get("flaky")) == (status, flaky)


@pytest.mark.parametrize("name", NAMES)
def test_evidence_is_valid(name: str, runs: Runs) -> None:
    """evidence.json validates against its published schema, and says the verdict."""
    document = json.loads(evidence_json.render(runs[name]))

    validator("evidence").validate(document)
    assert document["verdict"] == runs[name].verdict


@pytest.mark.parametrize("name", NAMES)
def test_junit_counts_what_it_holds(name: str, runs: Runs) -> None:
    """The attributes of a suite agree with the elements in it; what is missing is an error."""
    root = ET.fromstring(junit.render(runs[name]))

    for suite in root:
        assert int(suite.attrib["tests"]) == len(suite.findall("testcase"))
        assert int(suite.attrib["failures"]) == len(suite.findall("testcase/failure"))
        assert int(suite.attrib["errors"]) == len(suite.findall("testcase/error"))


@pytest.mark.parametrize(
    ("name", "failures", "errors"),
    [("passed", 0, 0), ("warned", 0, 0), ("failed", 2, 0), ("cut short", 0, 2), ("nothing", 0, 2)],
)
def test_junit_is_red_unless_the_gate_is_good(
    name: str, failures: int, errors: int, runs: Runs
) -> None:
    """The gate itself is a case, so that a gate without a failing case can still fail."""
    suite = ET.fromstring(junit.render(runs[name]))[0]

    assert (int(suite.attrib["failures"]), int(suite.attrib["errors"])) == (failures, errors)


@pytest.mark.parametrize("name", NAMES)
def test_markdown_begins_with_the_verdict(name: str, runs: Runs) -> None:
    """The first line is all that many readers see."""
    text = markdown.render(runs[name])

    assert text.startswith(f"# {runs[name].verdict.replace('_', ' ')}: staging\n")


def test_markdown_shows_how_to_reproduce(runs: Runs) -> None:
    """A failure comes with what was expected, what was received, and the command."""
    text = markdown.render(runs["failed"])

    assert "### two" in text
    assert "expected: 200\n    received: oops\n  reproduce: curl https://shop.example/one" in text


def test_markdown_cannot_be_broken_out_of(runs: Runs) -> None:
    """A fence is longer than any in the text, a table's cell has no bar, no markup is live."""
    text = markdown.render(runs["hostile"])

    assert "\n````\n" in text
    outside = re.sub(r"(?s)^````\n.*?^````$", "", text, flags=re.MULTILINE)
    assert "<script>" not in outside.replace("\\<script\\>", "")


@pytest.mark.parametrize(
    "render", [ctrf.render, evidence_json.render, junit.render, markdown.render, html.summary]
)
def test_nothing_that_steers_a_terminal_gets_through(render: object, runs: Runs) -> None:
    """Control characters, bidi overrides and surrogates are escapes in every file."""
    assert callable(render)
    assert STEERING.search(render(runs["hostile"])) is None


def test_terminal_lines_fit_and_steer_nothing(runs: Runs) -> None:
    """However narrow the terminal, the reasons are wrapped and harmless."""
    lines = [line.text for line in terminal.lines(runs["hostile"], 60)]

    assert all(STEERING.search(line) is None for line in lines)
    assert max(map(len, lines)) <= 90


def test_the_terminal_ends_with_the_verdict_and_why(runs: Runs) -> None:
    """The table has a line for each gate; the verdict stands behind it with its reasons."""
    lines = [line.text for line in terminal.lines(runs["failed"], 100)]

    pytest.LineMatcher(lines).fnmatch_lines(
        [
            "gate*verdict*cases*slowest*measured",
            "basic*FAILED*1 passed, 1 failed*250 ms*ttfb_ms 5 ms [[]2.25, 6.5] ≤ 100",
            "  basic: 1 failed: basic/two",
            "stream*NOT RUN*no cases",
            "FAILED  staging: 1.4.2, commit d34bcae",
        ]
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_page_says_the_verdict_first(name: str, runs: Runs) -> None:
    """The banner has the verdict and every reason, escaped."""
    page = html.summary(runs[name])

    assert f"<h1>{runs[name].verdict.replace('_', ' ')}</h1>" in page
    assert "<script>" not in page


def test_a_row_expands_to_everything_that_is_known(runs: Runs) -> None:
    """Findings, figures with clock and interval, chart, timeline, request, command, attempts."""
    evidence = runs["failed"].gates[0].cases[1].evidence
    assert evidence is not None

    details = html.case_details(evidence)

    for part in (
        "<code>basic.status</code> status 500",
        "ttfb_ms 5 ms [2.25, 6.5] · 2 samples, 1 exact, 1 merged · kernel · client was busy 4.7 ms",
        'aria-label="ttfb_ms: 2 samples against the limit"',
        'aria-label="2 events over time"',
        "<pre>curl https://shop.example/one</pre>",
        "<li>attempt 2: status 500</li>",
    ):
        assert part in details


def test_a_hostile_case_is_dead_text(runs: Runs) -> None:
    """No tag and no attribute of the page comes from a remote text."""
    case = runs["hostile"].gates[0].cases[0]
    assert case.evidence is not None

    cells = html.row_cells(case.evidence, case.case, "failed", 0.1)
    details = html.case_details(case.evidence)

    for text in (*cells, details):
        assert "<script" not in text
        assert STEERING.search(text) is None


def test_a_locked_page_runs_its_own_script_only() -> None:
    """The policy names the digest of each script, and the one inline handler is gone."""
    page = (
        '<html><head></head><body onclick="location.reload()"><script>go()</script></body></html>'
    )

    locked = html.locked(page.replace("<body onclick", "<body><p onclick"))

    assert "script-src 'sha256-" in locked
    assert "default-src 'none'" in locked
    assert "onclick" not in locked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("事业财富 ✓ é", "事业财富 ✓ é"),
        ("a\nb\tc", "a\nb\tc"),
        ("\x1b[31m\x9b\x00\x7f", r"\x1b[31m\x9b\x00\x7f"),
        ("\u202egnp.exe\u2028", r"\u202egnp.exe\u2028"),
        ("\ud800", r"\ud800"),
        ("\U000e0001", r"\U000e0001"),
        ("👩\u200d💻", "👩\u200d💻"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    """Ordinary text in any script stays; what steers is written as its escape."""
    assert visible(text) == shown


def test_one_line() -> None:
    """In a cell or a line, line feeds and tabs are escapes too."""
    assert one_line("a\nb\tc") == r"a\nb\tc"


def test_one_gate_that_passed_is_said_to_have_passed(runs: Runs) -> None:
    """``-m basic``: the run is INCOMPLETE, and a reader learns that what was asked for is good."""
    run = replace(runs["passed"], verdict=Verdict.INCOMPLETE, accepted=True)

    assert "what was asked for passed (basic)" in html.summary(run)
    assert "  what was asked for passed: basic" in [line.text for line in terminal.lines(run, 80)]
