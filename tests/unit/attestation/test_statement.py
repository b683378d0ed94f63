"""Tests of `pytest_release.attestation.statement`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pytest_release.atomic import canonical_json
from pytest_release.attestation.statement import release_gate
from pytest_release.attestation.statement import test_result as in_toto
from pytest_release.config.environment import GatePolicy
from pytest_release.config.validation import validator
from pytest_release.errors import EvidenceError
from pytest_release.release import Context, Identity, Release
from pytest_release.verdict import RunVerdict, Verdict, judge_gate, judge_run

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
FILES = {"junit.xml": {"sha256": "c" * 64, "size": 3}}


@pytest.fixture
def run() -> RunVerdict:
    """A run in which nothing ran."""
    identity = Identity("1.4.2", "d34bcae")
    release = Release(None, identity, identity)
    context = Context(
        "01234567", "staging", "staging", "shop", "", "a" * 64, {"b.yaml": "b" * 64}, release,
        NOW, NOW, {"python": "3"},
    )  # fmt: skip
    return judge_run([judge_gate("basic", GatePolicy(required=True), [], {})], context)


@pytest.mark.parametrize("verdict", Verdict)
def test_in_toto_knows_three_results(run: RunVerdict, verdict: Verdict) -> None:
    """What in-toto has no word for has not passed."""
    result = in_toto(replace(run, verdict=verdict))["predicate"]["result"]

    assert result == (verdict if verdict in ("PASSED", "WARNED", "FAILED") else "FAILED")


def test_the_configuration_is_named_by_digests(run: RunVerdict) -> None:
    """The environment's policy and each file of cases are resource descriptors."""
    assert in_toto(run)["predicate"]["configuration"] == [
        {"name": "environment staging", "digest": {"sha256": "a" * 64}},
        {"name": "b.yaml", "digest": {"sha256": "b" * 64}},
    ]


def test_the_second_is_as_its_schema_says(run: RunVerdict) -> None:
    """Whatever a run ends in, the published schema describes it."""
    statement = release_gate(run, FILES, "0123456789abcdef", ephemeral=True)

    assert [error.message for error in validator("release-gate").iter_errors(statement)] == []
    assert statement["predicate"]["ephemeralKey"] is True


def test_any_reason_can_be_signed(run: RunVerdict) -> None:
    """What a remote said may hold what has no UTF-8; it is written as its escape."""
    hostile = replace(run, reasons=("\ud800\x1b",))
    statement = release_gate(hostile, FILES, "0123456789abcdef", ephemeral=False)

    assert statement["predicate"]["reasons"] == ["\\ud800\\x1b"]
    assert canonical_json(statement)


def test_a_statement_about_nothing(run: RunVerdict, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a subject nothing is stated."""
    monkeypatch.setattr(Release, "subjects", lambda _: ())

    with pytest.raises(EvidenceError, match="a statement about nothing cannot be made"):
        in_toto(run)
