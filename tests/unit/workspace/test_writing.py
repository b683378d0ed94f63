"""What is written is what is read, whatever people and servers put into it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.errors import BundleError
from pytest_release.workspace import forms, releases, writing
from pytest_release.workspace.forms import Answer, States
from pytest_release.workspace.markdown import plain
from pytest_release.workspace.naming import Name, read_name
from pytest_release.workspace.writing import GoLive, Run, clean, publish

DAY = date(2026, 1, 20)
HOSTILE = [
    "a | b",
    "a \\| b \\",
    "|",
    "`x`",
    "**x**",
    "_x_",
    "a\r\n\n## 修正\n\n| # | b |",
    "<script>alert(1)</script>",
    "<!-- ",
    "&amp; &#124; \\&",
    "[a](javascript:b)",
    "\x1b[31m\x00\u202e",
    "1. a",
    "12) a",
    "# a",
    "- a",
    "> a",
    "~~~",
    "```",
    "---",
    "***",
    "    a",
    "\u3000 a \u3000",
    "**Ref**: other.md",
    "👩‍👩‍👧",
    "x" * 2_000,
    "\\" * 700,
]
SYNTAX = [*"|\\`*_#-<>&[]()!~+ \n1.:", "建", "\u00a0"]
TEXTS = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(SYNTAX), max_size=40).map("".join),
    st.sampled_from(HOSTILE),
)
FULL = TEXTS.map(lambda text: f"x{text}")  # never empty
HEXES = st.text("0123456789abcdef", min_size=7, max_size=64)
VERIFICATION = dict.fromkeys(releases.LINES, "1/1") | {"Deploy test": "PASSED"}
VERIFICATION |= dict.fromkeys(releases.COUNTS, "7")


def name(text: str) -> Name:
    """A name that fits."""
    found = read_name(text)
    assert found is not None
    return found


def run(results: list[tuple[str, str, str, str]], text: str) -> Run:
    """A run with texts in it."""
    return Run("1.0.0", "d34bcae", text, "PASSED", "a" * 64, text, results)


REF = name("2026-01-12_faces_of_2.md")
ANSWERS = st.builds(
    Answer,
    number=st.integers(1, 10_000).map(str),
    text=FULL,
    state=st.sampled_from(States().all),
    commits=st.lists(HEXES, max_size=3, unique=True).map(tuple),
    line=st.just(0),
)


@given(
    st.lists(ANSWERS, min_size=1, max_size=4, unique_by=lambda answer: answer.number),
    st.dictionaries(FULL, TEXTS, max_size=3),
)
def test_a_response_reads_back(answers: list[Answer], changed: dict[str, str]) -> None:
    """Every item, its state and its commits, and every file."""
    text = writing.response(REF, answers, changed)
    response = forms.read_response(name("2026-01-12_faces_of_2_response.md"), text, DAY)

    assert response.flaws == ()
    assert response.ref == str(REF)
    assert [(a.number, a.text, a.state, a.commits) for a in response.answers] == [
        (a.number, clean(a.text), a.state, a.commits) for a in answers
    ]
    section = response.document.section(forms.CHANGED)
    assert section is not None
    assert [tuple(map(plain, row.cells)) for row in section.tables[0].rows] == [
        (clean(file), clean(why)) for file, why in changed.items()
    ] or not changed


@given(st.lists(st.tuples(FULL, st.sampled_from(forms.VERDICTS), TEXTS, TEXTS), min_size=1), TEXTS)
def test_a_test_report_reads_back(results: list[tuple[str, str, str, str]], text: str) -> None:
    """Every gate with its verdict, and the fields; whatever the others say."""
    topic = "faces"
    verification = {"Deploy test": clean(text)}
    told = writing.test_report(topic, DAY, ("M5", "M4"), run(results, f"x{text}"), verification)
    report = forms.read_test_report(name(f"{DAY}_{topic}_test_report.md"), told, DAY)

    assert report.flaws == ()
    assert (report.verdict, report.release) == ("PASSED", "v1.0.0")
    assert dict(report.results) == {clean(gate): verdict for gate, verdict, *_ in results}


@given(
    st.lists(TEXTS, max_size=4), st.dictionaries(FULL, st.just("b" * 64), min_size=1, max_size=3)
)
def test_a_release_info_reads_back(changes: list[str], files: dict[str, str]) -> None:
    """Files by name; a change is one line, and makes no section of its own."""
    text = writing.release_info("1.0.0", DAY, changes, files, VERIFICATION)
    info = releases.read_release_info(text, DAY)

    assert info.flaws == ()
    assert (info.version, info.day) == ("1.0.0", str(DAY))
    assert info.files == tuple(map(clean, files))
    assert dict(info.verification) == VERIFICATION


@given(
    st.builds(
        GoLive,
        who=FULL,
        team=FULL,
        status=st.sampled_from(forms.STATUSES),
        texts=st.dictionaries(
            st.sampled_from([t for t in forms.RECORD_SECTIONS if t != forms.CHECKS]),
            st.lists(TEXTS, max_size=3),
        ),
    ),
    st.lists(st.tuples(TEXTS, st.sampled_from(forms.VERDICTS), TEXTS), min_size=1, max_size=3),
)
def test_a_record_reads_back(said: GoLive, checks: list[tuple[str, str, str]]) -> None:
    """In form, with the status that was given and no heading that was not."""
    text = writing.record(datetime(2026, 1, 20, tzinfo=UTC), run([], "x"), said, checks)
    record = forms.read_record(name(f"{DAY}_v1.0.0_record.md"), text, DAY)

    assert record.flaws == ()
    assert record.status == said.status
    assert [s.title for s in record.document.sections] == list(forms.RECORD_SECTIONS)
    assert [(len(section.items), len(section.lines)) for section in record.document.sections] == [
        (0, 0) if t == forms.CHECKS else (0, lines(said.texts.get(t, ())))
        for t in forms.RECORD_SECTIONS
    ]


def lines(texts: Sequence[str]) -> int:
    """How many lines a section has: one a text that is not empty, or one that says none."""
    return sum(bool(clean(text)) for text in texts) or 1


def test_release_text_reads_back() -> None:
    """A line each, and a commit cannot begin another."""
    text = writing.release_text("1.0.0", DAY, "d34bcae\nGit: 0", ["a.tar.gz", "b.tar.gz"])

    assert releases.read_release_text(text) == (
        {
            "Release": "v1.0.0",
            "Date": "2026-01-20",
            "Git": "d34bcae\\nGit: 0",
            "Package": "a.tar.gz b.tar.gz",
        },
        (),
    )


def test_long_lists_are_cut_and_counted() -> None:
    """So that the reader takes them."""
    answers = [Answer(str(n), "x" * 900, "重複", (), 0) for n in range(1, 801)]
    text = writing.response(REF, answers, {f"f{n}": "y" for n in range(501)})
    info = writing.release_info("1.0.0", DAY, ["x"] * 502, {"a": "b"}, VERIFICATION)

    assert "| … | 300 more |  |  |\n" in text
    assert "| … | 1 more |\n" in text
    assert "\n- 2 more\n" in info
    assert max(map(len, text.splitlines())) < 600


def test_a_document_is_published_whole_and_once(tmp_path: Path) -> None:
    """The same again is no error; what a person wrote is never replaced."""
    file = tmp_path / "releases" / "a.md"
    publish(file, "# a\n")
    publish(file, "# a\n")
    with pytest.raises(BundleError, match=r"a\.md is there already and may be a person's work"):
        publish(file, "# b\n")

    assert file.read_text() == "# a\n"
    assert [path.name for path in file.parent.iterdir()] == ["a.md"]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Not even one that leads nowhere yet."""
    (tmp_path / "a.md").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="is there already"):
        publish(tmp_path / "a.md", "# a\n")

    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Is said."""
    (tmp_path / "a").write_text("")
    with pytest.raises(BundleError, match=r"a/b/c\.md cannot be written: Not a directory"):
        publish(tmp_path / "a" / "b" / "c.md", "")
