"""Tests of `pytest_release.workspace.forms`: what of a document is not in form, and where."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from pytest_release.workspace.forms import (
    Flaw,
    commits,
    read_record,
    read_report,
    read_response,
    read_test_report,
)
from pytest_release.workspace.naming import Name, read_name

ROOT = Path(__file__).parents[3]
TODAY = date(2026, 2, 1)
TEAMS = ("M4", "M5")
REPORT = """\
# Faces

**Date**: 2026-01-12
**From**: M4
**To**: M5

## Bug / 建議

1. one
2. two

## Fix 建議

this
"""
RESPONSE = """\
# Answer

**Ref**: 2026-01-12_faces.md

## 修正

| # | 項目 | 狀態 | Commit |
| --- | --- | --- | --- |
| 1 | one | **已修正** | [d34bcae](https://forge.example/x/commit/d34bcae5b1), `81fa220c` |
| 2 | two | 不修正 | — |

## 檔案變更

| 檔案 | 說明 |
| --- | --- |
| a.rs | one |
"""


def name(text: str) -> Name:
    """A name that fits."""
    found = read_name(text)
    assert found is not None
    return found


def report_flaws(text: str) -> tuple[Flaw, ...]:
    """What of a report is not in form."""
    return read_report(name("2026-01-12_faces.md"), text, TEAMS, TODAY).flaws


def response_flaws(text: str) -> tuple[Flaw, ...]:
    """What of a response is not in form."""
    return read_response(name("2026-01-13_faces_response.md"), text, TODAY).flaws


def said(flaws: tuple[Flaw, ...]) -> list[tuple[str, int, str]]:
    """Code, line and message of each."""
    return [(flaw.code, flaw.line, flaw.message) for flaw in flaws]


def test_a_report_in_form() -> None:
    """Has no flaw, and items."""
    report = read_report(name("2026-01-12_faces.md"), REPORT, TEAMS, TODAY)

    assert report.flaws == ()
    assert [(item.number, item.text) for item in report.items] == [("1", "one"), ("2", "two")]


@pytest.mark.parametrize(
    ("old", "new", "flaw"),
    [
        ("# Faces\n", "", ("no-title", 0, "has no title")),
        ("**Date**: 2026-01-12\n", "", ("missing-field", 0, "has no **Date**")),
        ("**From**: M4\n", "", ("missing-field", 0, "has no **From**")),
        ("**To**: M5", "**To**:", ("missing-field", 5, "has no **To**")),
        ("**To**: M5", "**To**: M9", ("unknown-team", 5, "says **To**: M9, which is no team")),
        ("**To**: M5", "**To**: M4", ("unknown-team", 5, "is from M4 to itself")),
        ("## Fix 建議", "## Fixes", ("missing-heading", 0, "has no heading ## Fix 建議")),
        ("this\n", "", ("empty-section", 12, "has nothing under ## Fix 建議")),
        ("2. two", "2. two\n\n### 1. a",
         ("item-twice", 12, "item 1 stands twice, first in line 9")),
    ],
)  # fmt: skip
def test_a_flaw_of_a_report(old: str, new: str, flaw: tuple[str, int, str]) -> None:
    """Is named with its line."""
    assert flaw in said(report_flaws(REPORT.replace(old, new)))


def test_a_day_to_come() -> None:
    """A report cannot have been written on it."""
    found = read_report(name("2026-02-02_faces.md"), REPORT, TEAMS, TODAY).flaws

    assert said(found) == [
        ("future-date", 0, "is of 2026-02-02, which is to come"),
        ("other-date", 3, "says **Date**: 2026-01-12, its name says 2026-02-02"),
    ]


def test_a_response_in_form() -> None:
    """Emphasis, code and links around states and commits are taken away."""
    response = read_response(name("2026-01-13_faces_response.md"), RESPONSE, TODAY)

    assert response.flaws == ()
    assert response.ref == "2026-01-12_faces.md"
    assert [(a.number, a.state, a.commits) for a in response.answers] == [
        ("1", "已修正", ("d34bcae", "81fa220c")),
        ("2", "不修正", ()),
    ]


@pytest.mark.parametrize(
    ("old", "new", "flaw"),
    [
        ("**Ref**: 2026-01-12_faces.md", "",
         ("missing-field", 0, "does not say which report it answers: **Ref** is missing")),
        ("## 檔案變更", "## 檔案", ("missing-heading", 0, "has no heading ## 檔案變更")),
        ("| --- | --- | --- | --- |\n", "",
         ("missing-table", 5, "there is no table under ## 修正")),
        ("| # | 項目 | 狀態 |", "| # | 狀態 | 項目 |",
         ("missing-column", 7, "the table under ## 修正 has other columns")),
        ("| 檔案 | 說明 |\n| --- | --- |", "| 檔案 |\n| --- |",
         ("missing-column", 14, "the table under ## 檔案變更 has no column 說明")),
        ("| a.rs | one |\n", "", ("empty-section", 14, "the table under ## 檔案變更 has no row")),
        ("| — |", "| main |", ("bad-commit", 10, "item 2: the commit 'main' is no commit's id")),
        ("| two |", "|  |", ("bad-cell", 10, "the row 2 has an empty cell")),
        ("| 2 |", "| 1 |", ("item-twice", 10, "item 1 stands twice, first in line 9")),
    ],
)  # fmt: skip
def test_a_flaw_of_a_response(old: str, new: str, flaw: tuple[str, int, str]) -> None:
    """Is named with its line."""
    assert flaw in said(response_flaws(RESPONSE.replace(old, new)))


def test_a_second_table_is_read_too() -> None:
    """Under the same heading, or another of its title."""
    head = "| # | 項目 | 狀態 | Commit |\n| --- | --- | --- | --- |\n"
    more = f"{head}| 3 | three | 處理中 | — |\n\n## 修正\n\n{head}| 4 | four | 處理中 | — |\n\n"
    text = RESPONSE.replace("## 檔案變更", f"{more}## 檔案變更")
    response = read_response(name("2026-01-13_faces_response.md"), text, TODAY)

    assert (response.flaws, [a.number for a in response.answers]) == ((), ["1", "2", "3", "4"])


@pytest.mark.parametrize(
    ("cell", "ids", "rest"),
    [
        ("d34bcae", ("d34bcae",), ""),
        ("`d34bcae`, 81fa220c; d34bcae", ("d34bcae", "81fa220c"), ""),
        ("[fix](https://forge.example/commit/d34bcae)", (), "fix"),
        ("無", (), ""),
        ("N/A", (), ""),
        ("d34bca", (), "d34bca"),
        ("HEAD~1", (), "HEAD~1"),
        ("d34bcae --output=x", ("d34bcae",), "--output=x"),
        ("D34BCAE", (), "D34BCAE"),
        ("``", (), "``"),
    ],
)
def test_commits_of_a_cell(cell: str, ids: tuple[str, ...], rest: str) -> None:
    """Only ids in hex are commits; whatever else stands there is said."""
    assert commits(cell) == (ids, rest)


def test_a_test_report_that_says_nothing() -> None:
    """Every field and the table are missed."""
    found = read_test_report(name("2026-01-12_x_test_report.md"), "# X\n", TODAY).flaws

    assert said(found) == [
        ("missing-field", 0, "has no **Date**"),
        ("missing-heading", 0, "has no heading ## 測試結果"),
        ("missing-field", 0, "has no **Release**"),
        ("missing-field", 0, "has no **Git**"),
        ("missing-field", 0, "has no **Bundle**"),
        ("missing-field", 0, "has no **Verdict**"),
    ]


def test_a_test_report_with_words_that_are_none() -> None:
    """A digest and a verdict are what they are, or flaws."""
    text = (
        "# X\n\n**Date**: 2026-01-12\n**Release**: v1\n**Git**: x\n**Bundle**: abc\n"
        "**Verdict**: NOT RUN\n\n## 測試結果\n\n| Gate | 結果 | 案例 | 說明 |\n"
        "| --- | --- | --- | --- |\n| basic | OK | 3 | |\n| tkg | NOT RUN | 3 | |\n"
    )
    report = read_test_report(name("2026-01-12_x_test_report.md"), text, TODAY)

    assert said(report.flaws) == [
        ("bad-field", 6, "**Bundle** is no SHA-256 of an attestation"),
        ("bad-cell", 13, "the result of basic is 'OK', which is no verdict"),
    ]
    assert (report.verdict, dict(report.results)) == ("NOT_RUN", {"basic": "OK", "tkg": "NOT_RUN"})


def test_a_record_that_says_little() -> None:
    """Its status and results are of known words."""
    text = (
        "# X\n\n**Status**: fine\n\n## Checks\n\n| Check | Result | Why |\n| --- | --- | --- |\n"
        "| function | good | |\n"
    )
    found = said(read_record(name("2026-01-12_x_record.md"), text, TODAY).flaws)

    assert ("bad-field", 3, "has the status 'fine'") in found
    assert ("bad-cell", 9, "the result of function is 'good', which is no verdict") in found
    assert ("missing-field", 0, "has no **Who**") in found
    assert ("missing-heading", 0, "has no heading ## Follow-up") in found


def test_every_flaw_is_explained() -> None:
    """Each code stands in the gate's page."""
    page = (ROOT / "docs" / "gates" / "delivery.md").read_text()
    folders = ("workspace", "gates")
    sources = [f for folder in folders for f in (ROOT / "pytest_release" / folder).glob("*.py")]
    codes = {
        code for file in sources for code in re.findall(r'Flaw\(\s*"([a-z-]+)"', file.read_text())
    }

    assert len(codes) > 30
    assert sorted(code for code in codes if f"`delivery.{code}`" not in page) == []
