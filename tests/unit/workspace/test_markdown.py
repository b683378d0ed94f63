"""Tests of `pytest_release.workspace.markdown`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.workspace.markdown import Item, Row, Table, plain, read, same

TEXT = """\
# A  title

**Date**: 2026-01-30
**From:** M4
- **To**\uff1a `M5`

## Bug /  建議

1. one `x`
   more of it
2. two
   1. within

### 3. three

said

## 修正

| # | **狀態** | Commit |
|---|---|---|
| 1 | a \\| b | `d34bcae` |
| 2 |

```
| # | no table |
|---|---|
```
"""


def test_title_and_fields_stand_above_the_first_section() -> None:
    """Each with its line; colons within or without the emphasis, full-width ones too."""
    document = read(TEXT)

    assert document.title == "A title"
    assert document.fields == {
        "Date": (3, "2026-01-30"),
        "From": (4, "M4"),
        "To": (5, "M5"),
    }


def test_items_are_numbered_and_in_no_other_list() -> None:
    """Or headings that begin with a number."""
    section = read(TEXT).section("Bug / 建議")

    assert section is not None
    assert section.items == (Item("1", "one `x`", 9), Item("2", "two", 11), Item("3", "three", 14))
    assert section.lines == ("within", "said")


def test_a_table_has_columns_and_rows_with_lines() -> None:
    """An escaped bar is none; a row that is too short is filled up; code is no table."""
    section = read(TEXT).section("修正")

    assert section is not None
    assert section.tables == (
        Table(
            20,
            ("#", "狀態", "Commit"),
            (Row(22, ("1", "a | b", "`d34bcae`")), Row(23, ("2", "", ""))),
        ),
    )
    assert "| # | no table |" in section.lines


def test_of_two_fields_the_first_counts_and_later_ones_are_text() -> None:
    """A section's bold words are no fields."""
    document = read("**Date**: 1\n\n**Date**: 2\n\n## A\n\n**To**: M5\n")

    assert document.fields == {"Date": (1, "1")}


def test_what_is_quoted_or_in_code_or_in_html_is_no_part_of_a_form() -> None:
    """A comment that nobody sees answers nothing."""
    document = read(
        "```\n**Date**: 1\n```\n\n<!--\n**From**: M4\n\n## A\n-->\n\n> ## B\n>\n> b\n\n- ## C\n\n"
        "## D\n\n<!--\n| a |\n|---|\n-->\n"
    )

    assert document.fields == {}
    assert [(section.title, section.empty) for section in document.sections] == [("D", True)]


def test_headings_of_one_title_are_one_section() -> None:
    """Nothing is hidden under the second."""
    section = read("## A\n\n1. a\n\n## B\n\n## A\n\n2. b\n\n| c |\n|---|\n| d |\n").section("A")

    assert section is not None
    assert [item.number for item in section.items] == ["1", "2"]
    assert len(section.tables) == 1


def test_an_empty_section_is_empty() -> None:
    """The heading alone does not answer anything."""
    assert [section.empty for section in read("## A\n\n## B\n\nb\n").sections] == [True, False]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("**已修正**", "已修正"),
        (" __a__ ", "a"),
        ("`a_b*`", "a_b*"),
        ("**`a`**", "a"),
        ("a\\|b &amp; c", "a|b & c"),
        ("\\*\\*a\\*\\*", "**a**"),
        ("", ""),
    ],
)
def test_plain(written: str, meant: str) -> None:
    """Emphasis around the whole and escapes go; what was escaped stays as it was meant."""
    assert plain(written) == meant


def test_titles_are_compared_in_one_spelling() -> None:
    """Spaces and the composition of letters do not matter."""
    assert same("Fix  建議 ") == same("Fix 建議")
    assert same("e\u0301") == same("\u00e9")


@given(st.text(max_size=300))
def test_any_text_is_a_document(text: str) -> None:
    """Nothing is raised, whatever stands there."""
    document = read(text)

    assert all(section.line >= 1 for section in document.sections)


@given(st.lists(st.sampled_from([*"|#-*>`\\ \n1.[]()~=<&:", "建議"]), max_size=120).map("".join))
def test_any_markdown_is_a_document(text: str) -> None:
    """Neither where it is all syntax."""
    read(f"## A\n{text}")
