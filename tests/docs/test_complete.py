"""The documentation is complete: whatever a user can name has a place in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_release import errors
from pytest_release.config.validation import schema
from pytest_release.gates import catalogue

ROOT = Path(__file__).parents[2]
DOCS = {file: file.read_text() for file in (*ROOT.glob("docs/**/*.md"), ROOT / "README.md")}


@pytest.mark.parametrize("gate", catalogue())
def test_every_expectation_is_explained(gate: str) -> None:
    """Each key of a gate's ``expect`` stands in the gate's page."""
    page = (ROOT / "docs" / "gates" / f"{gate}.md").read_text()
    keys = schema(f"cases.{gate}")["$defs"]["expect"]["properties"]

    assert [key for key in keys if not re.search(rf"`(?:events\.)?{key}\b", page)] == []


@pytest.mark.parametrize("gate", catalogue())
def test_every_finding_is_explained(gate: str) -> None:
    """Each finding's code that the gate's source names stands in the gate's page."""
    page = (ROOT / "docs" / "gates" / f"{gate}.md").read_text()
    sources = (ROOT / "pytest_release" / "gates").glob("*.py")
    codes = {
        code for file in sources for code in re.findall(rf'"({gate}\.[a-z-]+)"', file.read_text())
    }

    assert sorted(code for code in codes if f"`{code}`" not in page) == []


def test_every_error_is_in_the_reference() -> None:
    """Each class of the error tree stands in the reference."""
    reference = (ROOT / "docs" / "reference.md").read_text()
    names = [name for name in vars(errors) if name.endswith("Error")]

    assert [name for name in names if f"`{name}`" not in reference] == []


def test_every_option_is_in_the_reference(pytestconfig: pytest.Config) -> None:
    """Each option and ini setting of the plugin stands in the reference."""
    reference = (ROOT / "docs" / "reference.md").read_text()
    source = (ROOT / "pytest_release" / "plugin.py").read_text()
    options = re.findall(r'"(--[a-z-]+)"', source)
    settings = re.findall(r'"(release_(?:fixtures|testpaths))"', source)

    assert [name for name in (*options, *settings) if f"`{name}" not in reference] == []


@pytest.mark.parametrize("file", DOCS, ids=lambda file: file.name)
def test_links_lead_somewhere(file: Path) -> None:
    """A relative link names a file that exists."""
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", DOCS[file])

    assert [link for link in links if not (file.parent / link).exists()] == []
