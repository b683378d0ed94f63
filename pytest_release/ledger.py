"""Each case's life: declared, collected, selected, started, reported, or lost on the way. Pure.

A gate passes only if every case that exists came to its end; this is the accounting that proves
it. The ledger never infers success from absent failures: a case without an outcome is missing,
whatever became of the process that ran it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """How a case ended."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    XFAILED = "xfailed"
    XPASSED = "xpassed"


@dataclass
class Entry:
    """One case's life.

    Attributes:
        case: Its id: that of a declared case, or the node id of a Python test.
        gate: The marker it counts for.
        collected: pytest found a test for it.
        selected: It was not deselected.
        started: Its test began.
        called: Its test's body passed; only with its teardown has the case come to its end.
        reruns: How often a plugin ran the test again after a failure.
        outcome: How it ended; None while it has not.
        detail: Why, for an outcome other than passed.
        duration_s: Wall time of its test, set-up and teardown included.
    """

    case: str
    gate: str
    collected: bool = False
    selected: bool = False
    started: bool = False
    called: bool = False
    reruns: int = 0
    outcome: Outcome | None = None
    detail: str = ""
    duration_s: float = 0.0

    @property
    def fate(self) -> str:
        """What became of a case that did not come to its end."""
        if self.started:
            return "started and never reported"
        if not self.collected:
            return "was declared but never collected"
        return "never started" if self.selected else "was deselected"


class Ledger:
    """The accounts of one run."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}

    def declare(self, case: str, gate: str) -> Entry:
        """Note that a case exists; noting it again changes nothing."""
        return self._entries.setdefault((gate, case), Entry(case, gate))

    def collect(self, case: str, gate: str, *, selected: bool) -> None:
        """Note that pytest found it, and whether it is going to run."""
        entry = self.declare(case, gate)
        entry.collected = True
        entry.selected = entry.selected or selected

    def start(self, case: str, gate: str) -> None:
        """Note that its test began."""
        self.declare(case, gate).started = True

    def phase(
        self, case: str, gate: str, when: str, outcome: Outcome | None, detail: str, seconds: float
    ) -> None:
        """Take the report of one phase of its test.

        Args:
            case: Its id.
            gate: The gate it counts for.
            when: ``setup``, ``call`` or ``teardown``.
            outcome: How the phase ended; None when the test is going to be run again.
            detail: Why, for an outcome other than passed.
            seconds: How long the phase took.
        """
        entry = self.declare(case, gate)
        entry.started = True
        entry.duration_s += seconds
        if outcome is None:
            entry.reruns += 1
            entry.called = False
        elif outcome is not Outcome.PASSED:
            self.report(case, gate, outcome, detail)
        elif when == "call":
            entry.called = True
        elif when == "teardown" and entry.called:
            self.report(case, gate, outcome)

    def report(self, case: str, gate: str, outcome: Outcome, detail: str = "") -> None:
        """Note how it ended; the worst stays: a failure, then whatever is not passed."""
        entry = self.declare(case, gate)
        entry.started = True
        fails = outcome is Outcome.FAILED and entry.outcome is not Outcome.FAILED
        if fails or entry.outcome in (None, Outcome.PASSED):
            entry.outcome, entry.detail = outcome, detail

    def entries(self, gate: str | None = None) -> Iterator[Entry]:
        """All entries, or those of one gate, in the order they became known."""
        return (e for e in self._entries.values() if gate is None or e.gate == gate)
