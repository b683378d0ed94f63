"""Waivers that are in force are named wherever a run is reported."""

from __future__ import annotations

import json
from dataclasses import replace

from pytest_release.attestation.statement import release_gate
from pytest_release.reporting import evidence_json, html, markdown, terminal
from pytest_release.verdict import RunVerdict
from tests.unit.reporting.conftest import EVIL, Runs

WAIVER = "stream of 1.4.2 is waived in production until 2026-11-25 13:00 UTC by Li Wei: ticket 812"


def waived(runs: Runs, text: str = WAIVER) -> RunVerdict:
    """A run that passed, while a waiver was in force."""
    run = runs["passed"]
    return replace(run, context=replace(run.context, waivers=(text,)))


def test_a_waiver_is_named_for_people(runs: Runs) -> None:
    """On the terminal, on the page and in the Markdown."""
    run = waived(runs)

    assert f"  waiver: {WAIVER}" in [line.text for line in terminal.lines(run, 200)]
    assert f"<li>waiver: {WAIVER}</li></ul></section>" in html.summary(run)
    assert "- waiver: stream of 1.4.2 is waived in production until 2026" in markdown.render(run)


def test_a_waiver_is_named_for_machines(runs: Runs) -> None:
    """In the evidence, and in the attestation that is signed."""
    run = waived(runs)
    predicate = release_gate(run, {}, "0" * 16, ephemeral=False)["predicate"]

    assert json.loads(evidence_json.render(run))["context"]["waivers"] == [WAIVER]
    assert predicate["waivers"] == [WAIVER]


def test_a_hostile_waiver_is_a_text(runs: Runs) -> None:
    """Its author may be anybody with a key."""
    run = waived(runs, EVIL)
    page, ticket = html.summary(run), markdown.render(run)
    shown = "".join(line.text for line in terminal.lines(run, 200))

    assert "<script>" not in page
    assert "<script>" not in ticket
    assert [c for c in ("\x1b", "\u202e") if c in page + ticket + shown] == []
