"""Tests of `pytest_release.sandbox.commands`."""

from __future__ import annotations

from io import StringIO

from pytest_release.sandbox.commands import list_faults
from pytest_release.sandbox.data_faults import DATA_FAULTS
from pytest_release.sandbox.faults import FAULTS


def test_every_fault_is_listed_with_its_gate_and_what_it_does() -> None:
    """One line a fault, in columns, below a heading."""
    out = StringIO()
    list_faults(out)
    everything = [(f.name, f.gate, f.description) for f in FAULTS.values()]
    everything += [(f.name, f.gate, f.description) for f in DATA_FAULTS.values()]
    heading, *lines = out.getvalue().splitlines()

    assert heading.split() == ["fault", "gate", "what", "the", "sandbox", "does"]
    assert [line.split()[:2] for line in lines] == [[name, gate] for name, gate, _ in everything]
    assert all(line.endswith(words) for line, (_, _, words) in zip(lines, everything, strict=True))
