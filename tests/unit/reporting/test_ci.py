"""What CI products are told: the worst first, no more than they show, no word of it a command."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from pytest_release.errors import EvidenceError
from pytest_release.hostile import one_line, visible
from pytest_release.release import Release
from pytest_release.reporting import ci, evidence_json, markdown
from pytest_release.reporting.markdown import Proof
from pytest_release.verdict import CaseVerdict, RunVerdict, Verdict

Runs = dict[str, RunVerdict]

PROOF = Proof(("SHA256:abc",), trusted=True, place="reports/20261123T100000Z_staging_0123abcd")
COMMAND = re.compile(r"::(?:error|warning) title=[^:,\r\n]*::[^\r\n]*")
INJECTION = "x\r\n::error::y\n##[add-mask]z::stop-commands::a,file=/etc/passwd%0A::b"


def unescaped(text: str) -> str:
    """What GitHub's runner makes of a command's message."""
    return text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")


def with_case(run: RunVerdict, **changes: object) -> RunVerdict:
    """The run with its first case changed."""
    first = run.gates[0]
    case = replace(first.cases[0], evidence=None, **changes)  # type: ignore[arg-type]
    return replace(run, gates=(replace(first, cases=(case, *first.cases[1:])), *run.gates[1:]))


def with_cases(run: RunVerdict, verdict: Verdict, count: int) -> RunVerdict:
    """The run with that many cases of that verdict in its first gate."""
    cases = tuple(CaseVerdict(f"basic/{n}", "basic", f"n{n}", verdict, "why") for n in range(count))
    return replace(run, gates=(replace(run.gates[0], cases=cases), *run.gates[1:]))


def test_a_good_run_has_nothing_to_annotate(runs: Runs) -> None:
    """An optional gate that nobody asked for and that did not run is no warning."""
    assert ci.notes(runs["passed"]) == []


def test_a_failed_gate_and_its_cases_are_errors(runs: Runs) -> None:
    """The gate with its reasons, then the case with what was expected and how to reproduce."""
    lines = list(ci.commands(ci.notes(runs["failed"])))

    assert lines[0] == "::error title=gate basic%3A FAILED::1 failed: basic/two"
    assert lines[1].startswith("::error title=basic%3A two::two (basic/two)%0A  basic.status:")
    assert "%0A    expected: 200%0A    received: oops%0A  reproduce: curl" in lines[1]
    assert len(lines) == 2


def test_a_pass_on_a_retry_is_a_warning(runs: Runs) -> None:
    """It does not block, and it is not silent."""
    lines = list(ci.commands(ci.notes(runs["warned"])))

    assert [line.partition("::")[2].partition(" ")[0] for line in lines] == ["warning"] * 2
    assert lines[1] == "::warning title=basic%3A one::passed only on attempt 2 of 2"


def test_what_did_not_run_is_an_error_of_its_gate(runs: Runs) -> None:
    """Missing cases are one annotation together, not one each."""
    why = "none of its 1 cases ran: they were declared but never collected"

    assert list(ci.commands(ci.notes(runs["nothing"]))) == [
        "::error title=gate basic%3A NOT RUN::" + why
    ]


def test_what_an_optional_gate_comes_to_only_warns(runs: Runs) -> None:
    """As it only warns the run."""
    first = replace(runs["failed"].gates[0], required=False, asked=False)
    found = ci.notes(replace(runs["failed"], gates=(first,)))

    assert {note.level for note in found} == {ci.WARNING}


def test_a_required_gate_that_nobody_asked_for_warns(runs: Runs) -> None:
    """``-m stream``: the exit status is 0, the run INCOMPLETE."""
    gate = replace(runs["nothing"].gates[0], asked=False)
    (note,) = ci.notes(replace(runs["nothing"], gates=(gate,)))

    assert (note.level, note.title) == (ci.WARNING, "gate basic: NOT RUN")


def test_another_release_is_the_first_error(runs: Runs) -> None:
    """Nothing that was measured speaks of the release that was asked for."""
    run = runs["failed"]
    release = Release("1.5.0", run.context.release.before, run.context.release.before)
    found = ci.notes(replace(run, context=replace(run.context, release=release)))

    message = "release 1.5.0 was asked for, the deployment is 1.4.2"
    assert (found[0].level, found[0].title, found[0].message) == (
        ci.ERROR,
        "another release",
        message,
    )


@pytest.mark.parametrize(
    ("verdict", "level"), [(Verdict.FAILED, "error"), (Verdict.WARNED, "warning")]
)
def test_no_more_than_github_shows(verdict: Verdict, level: str, runs: Runs) -> None:
    """Ten of a level; the last says how many are left."""
    run = with_cases(runs["passed"], verdict, 10)
    more = with_cases(runs["passed"], verdict, 25)

    assert len(list(ci.commands(ci.notes(run)))) == 10
    lines = list(ci.commands(ci.notes(more)))
    assert len(lines) == 10
    expected = f"::{level} title=16 more::16 more: GitHub shows no more than 10; the report has"
    assert lines[-1].startswith(expected)


def test_the_worst_come_first(runs: Runs) -> None:
    """FAILED before INCOMPLETE before WARNED, whatever the order they ran in."""
    cases = tuple(
        CaseVerdict(f"basic/{verdict}", "basic", verdict, verdict, "why")
        for verdict in (Verdict.WARNED, Verdict.INCOMPLETE, Verdict.FAILED)
    )
    run = replace(runs["passed"], gates=(replace(runs["passed"].gates[0], cases=cases),))

    assert [note.verdict for note in ci.notes(run)] == ["FAILED", "INCOMPLETE", "WARNED"]


@pytest.mark.parametrize("text", [INJECTION, "100%0A", "a\u2028b\x85c\x1b[31m\ud800", "\x0b::x::"])
@pytest.mark.parametrize("field", ["name", "reason", "case"])
def test_no_text_is_a_command(text: str, field: str, runs: Runs) -> None:
    """A command is one line that begins with ours; GitHub reads back what was meant."""
    run = with_case(runs["failed"], verdict=Verdict.FAILED, reason="why")
    lines = list(ci.commands(ci.notes(with_case(run, **{field: text}))))

    assert [line for line in lines if not COMMAND.fullmatch(line)] == []
    assert len(lines) == 3
    if field == "reason":
        assert unescaped(lines[1].split("::", 2)[2]) == visible(text)


def test_a_hostile_run_stays_within_its_lines(runs: Runs) -> None:
    """Every text of the run is hostile at once."""
    lines = list(ci.commands(ci.notes(runs["hostile"])))

    assert [line for line in lines if not COMMAND.fullmatch(line)] == []
    assert all(line.isprintable() for line in lines)


def test_long_texts_are_cut(runs: Runs) -> None:
    """An annotation is a hint; the report has the rest."""
    run = with_case(runs["failed"], verdict=Verdict.FAILED, name="n" * 9999, reason="r" * 9999)
    line = list(ci.commands(ci.notes(run)))[1]

    assert len(line) < ci.LONGEST_TITLE + ci.LONGEST_MESSAGE + 50
    assert line.endswith("r…")


@pytest.mark.parametrize("name", ["passed", "warned", "failed", "cut short", "nothing", "hostile"])
def test_code_quality_is_what_gitlab_documents(name: str, runs: Runs) -> None:
    """An array of issues with exactly the documented members, each fingerprint once."""
    issues = json.loads(ci.code_quality(runs[name], "fixtures"))

    assert len(issues) == len(ci.notes(runs[name]))
    for issue in issues:
        members = {"description", "check_name", "fingerprint", "severity", "location"}
        assert set(issue) == members
        assert issue["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert issue["location"] == {
            "path": "fixtures/cases/shop/basic.yaml",
            "lines": {"begin": 1},
        }
        assert issue["description"].isprintable()
    assert len({issue["fingerprint"] for issue in issues}) == len(issues)


def test_severity_says_whether_it_blocks(runs: Runs) -> None:
    """FAILED is a blocker, what is missing critical, a warning minor."""
    severities = {
        name: json.loads(ci.code_quality(runs[name], "fixtures"))[0]["severity"]
        for name in ("failed", "cut short", "nothing", "warned")
    }

    assert severities == {
        "failed": "blocker",
        "cut short": "critical",
        "nothing": "critical",
        "warned": "minor",
    }


def test_a_fingerprint_is_of_the_case_and_not_of_the_run(runs: Runs) -> None:
    """GitLab then knows a failure again, even when its words have changed."""
    before = with_case(runs["failed"], verdict=Verdict.FAILED, reason="status 500")
    after = with_case(runs["failed"], verdict=Verdict.FAILED, reason="status 502")

    assert fingerprints(before) == fingerprints(after)


def fingerprints(run: RunVerdict) -> list[str]:
    """Of every issue of a run."""
    return [issue["fingerprint"] for issue in json.loads(ci.code_quality(run, "fixtures"))]


def test_a_gate_without_a_file_of_cases_stands_in_the_environments(runs: Runs) -> None:
    """Which is where its policy is."""
    context = replace(runs["failed"].context, case_digests={})
    issues = json.loads(ci.code_quality(replace(runs["failed"], context=context), "f"))

    assert {issue["location"]["path"] for issue in issues} == {"f/environments/staging.yaml"}


def test_a_summary_says_who_signed_and_where_it_is(runs: Runs) -> None:
    """The rest is the report's Markdown."""
    text = markdown.render(runs["failed"], PROOF)

    assert "- report: reports/20261123T100000Z\\_staging\\_0123abcd, every file as signed\n" in text
    assert "- signed by: SHA256:abc\n" in text
    assert "proves nothing" not in text
    assert "- subject: release 1.4.2, gitCommit d34bcae\n" in text


def test_a_summary_of_an_untrusted_key_says_so(runs: Runs) -> None:
    """A reader must not take it for a proof."""
    text = markdown.render(runs["passed"], replace(PROOF, trusted=False))

    assert "the signature proves nothing about who ran it" in text


def test_the_table_has_limits_intervals_and_reasons(runs: Runs) -> None:
    """One row a gate, the worst first."""
    rows = [line for line in markdown.render(runs["failed"]).splitlines() if line[:1] == "|"]
    measured = r"ttfb\_ms 5 ms \[2.25, 6.5\] ≤ 100"

    assert rows == [
        "| gate | verdict | cases | measured, limit | why |",
        "| --- | --- | --- | --- | --- |",
        f"| basic | FAILED | 1 passed, 1 failed | {measured} | 1 failed: basic/two |",
        "| stream (optional) | NOT RUN | no cases |  | the gate has no cases |",
    ]


def test_markdown_says_what_was_asked_for_passed(runs: Runs) -> None:
    """As the terminal and the page do."""
    run = replace(runs["passed"], verdict=Verdict.INCOMPLETE, accepted=True)

    assert "- what was asked for passed: basic\n" in markdown.render(run)


def test_a_failure_without_evidence_is_shown_too(runs: Runs) -> None:
    """A test of a user's own may record none."""
    run = with_case(runs["failed"], verdict=Verdict.FAILED, reason="assert 1 == 2")

    assert "### one\n\n```\nassert 1 == 2\n```" in markdown.render(run)


@pytest.mark.parametrize("room", [700, 2000, 50_000])
def test_a_summary_keeps_within_its_room(room: int, runs: Runs) -> None:
    """The verdict and the worst are in it; it says how much is left out."""
    text = markdown.render(with_cases(runs["failed"], Verdict.FAILED, 5000), PROOF, room)

    assert len(text.encode()) <= room
    assert text.startswith("# FAILED: staging\n")
    assert re.search(r"\n\*\*\d+ more parts are only in the report\.\*\*\n$", text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://evil.example", r"https\://evil.example"),
        ("WWW.evil.example", r"WWW\.evil.example"),
        ("![x](y)", r"\!\[x\]\(y\)"),
        ("<img src=x onerror=alert(1)>", r"\<img src=x onerror=alert\(1\)\>"),
        ("a|b\n| c |", r"a\|b\\n\| c \|"),
        ("12:30 v1.2.3", "12:30 v1.2.3"),
    ],
)
def test_no_text_of_a_server_is_markdown(text: str, shown: str, runs: Runs) -> None:
    """No link, image, tag or cell of a table comes from a name."""
    run = with_case(runs["failed"], verdict=Verdict.FAILED, name=text, reason="why")

    assert f"### {shown}\n" in markdown.render(run)


@pytest.mark.parametrize("name", ["passed", "warned", "failed", "cut short", "nothing", "hostile"])
def test_evidence_is_read_back_as_it_was(name: str, runs: Runs) -> None:
    """What every summary is made of is the verdict that the reports were made of."""
    assert evidence_json.parse(evidence_json.render(runs[name]).encode()) == runs[name]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("", "", "^this is not JSON of the format pytest-release/evidence/v1$"),
        ('"accepted": true', '"accepted": "true"', "a type is wrong"),
        ("evidence/v1", "evidence/v2", "not JSON of the format"),
        ('"gates": [', '"gates": 5, "more": [', "^this is not the evidence of a run: "),
        ('"context": {', '"context": null, "more": {', "^this is not the evidence of a run: "),
        ('"accepted"', '"accepts"', "extra fields found .accepts."),
        ('"PASSED"', '"GOOD"', "invalid value for type, expected Verdict"),
        ("2026-11-23T10", "yesterday", "the evidence of a run: "),
    ],
)
def test_what_is_no_evidence_is_refused(old: str, new: str, message: str, runs: Runs) -> None:
    """In one sentence."""
    content = evidence_json.render(runs["passed"]).replace(old, new) if old else "[1"

    with pytest.raises(EvidenceError, match=message):
        evidence_json.parse(content.encode())


@pytest.mark.parametrize("content", [b"[1]", b"5", b"\xff", b"[" * 100_000, b"{}"])
def test_what_is_no_json_object_is_refused(content: bytes) -> None:
    """Whatever the bytes."""
    with pytest.raises(EvidenceError, match=r"^this is not JSON of the format pytest-release/e"):
        evidence_json.parse(content)


def test_one_line_is_one_line() -> None:
    """Whatever GitHub's runner ends a line at."""
    assert one_line(INJECTION).splitlines() == [one_line(INJECTION)]
