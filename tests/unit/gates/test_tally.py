"""What the gates of data share: findings that name a few of many, figures with limits."""

from __future__ import annotations

from pathlib import Path

from pytest_release.config.cases import DataCase
from pytest_release.config.environment import GatePolicy
from pytest_release.gates._tally import Figures, gathered, listing, some

CASE = DataCase("tkg/a", "tkg", "a", Path("a.yaml"), 1, expect={"components": 5}, check="size")


def test_a_few_of_many_are_named() -> None:
    """The first ten, how many more there are, and the whole number."""
    (finding,) = some("tkg.x", lambda key: f"edge {key}", [(n, 13) for n in range(10)], "edges")

    assert finding.message.startswith("edge 0; edge 1; ")
    assert finding.message.endswith("edge 9; and 3 more")
    assert (finding.expected, finding.received) == ("no such edges", "13 edges")


def test_nothing_wrong_is_no_finding() -> None:
    """No rows, nothing said."""
    assert list(some("tkg.x", str, [], "edges")) == []


def test_a_hostile_value_stays_on_its_line() -> None:
    """A key with control characters cannot write another line of the report."""
    finding = listing("tkg.x", ["edge 1\n\x1b[2JPASSED"], "edges")

    assert finding.message == "edge 1\\n\\x1b[2JPASSED"


def test_a_figure_above_its_limit_is_a_finding() -> None:
    """The case's limit is stronger than the policy's; a figure without a limit only informs."""
    figures = Figures()
    figures.add("components", 6, "parts of\ntkg_nodes")
    figures.add("nodes", 40)

    evidence = gathered(CASE, GatePolicy(thresholds={"components": 50}), (), figures)

    (finding,) = evidence.findings
    assert finding.code == "tkg.components"
    assert finding.message == "components is 6, above the limit 5: parts of\\ntkg_nodes"
    assert [measured.name for measured in evidence.measurements] == ["components", "nodes"]
