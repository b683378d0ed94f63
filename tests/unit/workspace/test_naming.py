"""Tests of `pytest_release.workspace.naming`."""

from __future__ import annotations

from datetime import date

import pytest

from pytest_release.workspace.naming import Kind, Name, read_name, read_version


@pytest.mark.parametrize(
    ("text", "topic", "kind"),
    [
        ("2026-01-12_faces.md", "faces", Kind.REPORT),
        ("2026-01-12_faces_response.md", "faces", Kind.RESPONSE),
        ("2026-01-12_v1.0.0_test_report.md", "v1.0.0", Kind.TEST_REPORT),
        ("2026-01-12_v1.0.0_record.md", "v1.0.0", Kind.RECORD),
        ("2026-01-12_人臉_分群.md", "人臉_分群", Kind.REPORT),
        ("2026-01-12_response.md", "response", Kind.REPORT),
    ],
)
def test_a_name_says_day_topic_and_kind(text: str, topic: str, kind: Kind) -> None:
    """And is written as it was read."""
    name = read_name(text)

    assert name == Name(date(2026, 1, 12), topic, kind)
    assert str(name) == text


@pytest.mark.parametrize(
    "text",
    [
        "faces.md",
        "2026-1-12_faces.md",
        "2026-02-30_faces.md",
        "20260112_faces.md",
        "2026-01-12_.md",
        "2026-01-12_faces.txt",
        "2026-01-12_faces.md\n",
        "2026-01-12_../faces.md",
        "2026-01-12_a b.md",
        f"2026-01-12_{'x' * 121}.md",
    ],
)
def test_other_names_do_not_fit(text: str) -> None:
    """Nor does a day that no calendar has."""
    assert read_name(text) is None


def test_versions() -> None:
    """With a v, three numbers, perhaps a pre-release."""
    texts = ("v1.2.3", "v1.2.3-rc.1", "1.2.3", "v1.2", "v1.2.3/..")

    assert [read_version(text) for text in texts] == ["1.2.3", "1.2.3-rc.1", None, None, None]
