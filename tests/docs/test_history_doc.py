"""The page on the history says how to prove a chain without us: that does what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytest_release.history import Entry, History, verify

PAGE = (Path(__file__).parents[2] / "docs" / "history.md").read_text()
SCRIPT = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
NOW = datetime(2026, 1, 30, 10, 15, tzinfo=UTC)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Three records and a repair."""
    path = tmp_path / "history.jsonl"
    entry = Entry(stack="shop", env="prod", action="promote", version="grün", status="success")
    History(path).append(entry, NOW)
    with path.open("ab") as stream:
        stream.write(b'{"act')
    History(path).append(entry, NOW)
    History(path).append(entry, NOW)
    return path


def prove(path: Path) -> subprocess.CompletedProcess[str]:
    """What the page's script says."""
    arguments = [sys.executable, "-I", "-c", SCRIPT, str(path)]
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


def test_the_script_proves_a_chain(history: Path) -> None:
    """It comes to the same number and head."""
    chain = verify(history)

    assert prove(history).stdout == f"{chain.count} {chain.head}\n"
    assert chain.count == 4


@pytest.mark.parametrize("line", range(5))
def test_the_script_finds_what_was_changed(history: Path, line: int) -> None:
    """In whatever line."""
    lines = history.read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(b"act", b"atc", 1)
    history.write_bytes(b"".join(lines))

    assert prove(history).returncode == 1


def test_the_page_names_every_way(history: Path) -> None:
    """In which a history can be broken, as the messages do."""
    source = Path(sys.modules["pytest_release.history"].__file__ or "").parent
    code = (source / "chain.py").read_text() + (source / "book.py").read_text()
    ways = {"changed", "removed", "inserted", "reordered", "not JSON", "torn"}

    assert [way for way in ways if f'"{way}"' not in code] == []
    assert [way for way in ways if f"| {way} |" not in PAGE] == []
    assert history.exists()
