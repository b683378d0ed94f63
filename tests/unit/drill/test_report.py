"""Tests of the matrix, its pages and its signature."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pytest_release.attestation.keys import SigningKey, ephemeral
from pytest_release.attestation.predicates import DRILL
from pytest_release.attestation.statement import RELEASE_GATE
from pytest_release.attestation.verify import ATTESTATION, describe, verify_bundle
from pytest_release.drill import pages
from pytest_release.drill.engine import Result, State
from pytest_release.drill.matrix import Matrix, digest_of, line_of
from pytest_release.drill.report import seal
from pytest_release.errors import BundleError, VerificationError

NOW = datetime(2026, 11, 28, 18, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script>\x1b[2J|"
CAUGHT = Result("basic.slow", "basic", State.CAUGHT, "p95_ms is 818, above the limit 500", 0.91)
WRONG = Result(
    "tkg.no-edges", "tkg", State.ELSEWHERE, HOSTILE, 1.2, {"row_count": f"row_count.rows {HOSTILE}"}
)


def matrix(*results: Result, kind: str = "faults") -> Matrix:
    """A matrix of these results."""
    return Matrix(
        kind=kind,
        environment="demo",
        results=results,
        whole=True,
        recipes="a" * 64,
        policy="b" * 64,
        started=NOW - timedelta(seconds=90),
        finished=NOW,
        tools={"pytest-release": "0.1.0"},
        run="01234567",
    )


@pytest.mark.parametrize("state", State)
def test_only_what_was_caught_or_green_passes(state: State) -> None:
    """One result of another kind, or none at all, is a failure."""
    good = state in ("caught", "green")

    assert (matrix(CAUGHT, replace(CAUGHT, state=state)).verdict == "PASSED") is good
    assert matrix().verdict == "FAILED"


def test_the_page_needs_nothing_else_and_runs_nothing() -> None:
    """Every text in it is escaped; no script, no address that is loaded."""
    page = pages.html(matrix(CAUGHT, WRONG))

    assert "<script" not in page
    assert "\x1b" not in page
    assert "&lt;script&gt;" in page
    assert not {"src=", "href=", "@import"} & set(page.split())
    assert "basic: 1 of 1" in page
    assert "tkg: 0 of 1" in page


def test_markdown_keeps_its_table() -> None:
    """A pipe or a tag in a message is text."""
    rows = [line for line in pages.text(matrix(CAUGHT, WRONG)).splitlines() if line[:2] == "| "]

    assert len(rows) == 4
    assert "<script>" not in rows[-1].replace("\\<", "")
    assert r"\|" in rows[-1]


def test_json_has_everything() -> None:
    """What was found, by whom else, and how long it took."""
    told = json.loads(pages.data(matrix(CAUGHT, WRONG)))

    assert told["verdict"] == "FAILED"
    assert told["counts"] == {"caught": 1, "wrong gate": 1}
    assert told["results"][1]["others"]["row_count"].startswith("row_count.rows <script>")


def test_a_line_says_who_else_saw_it() -> None:
    """A good result's long message is cut, what is wrong is told whole."""
    long = replace(CAUGHT, message="x" * 300)

    assert len(line_of(long)) < 170
    assert line_of(WRONG).startswith("wrong gate      tkg.no-edges")
    assert "; row_count: row_count.rows <script>" in line_of(WRONG)
    assert "\x1b" not in line_of(WRONG)


def test_the_digest_of_files_is_of_their_names_too(tmp_path: Path) -> None:
    """The same content by another name is another set of recipes."""
    (tmp_path / "a.yaml").write_text("x")
    first = digest_of(tmp_path, "*.yaml")
    (tmp_path / "a.yaml").rename(tmp_path / "b.yaml")

    assert digest_of(tmp_path, "*.yaml") != first


@pytest.fixture
def key() -> SigningKey:
    """A key made for one test."""
    return ephemeral()


@pytest.fixture
def sealed(tmp_path: Path, key: SigningKey) -> Path:
    """The folder of a signed matrix."""
    return seal(matrix(CAUGHT, WRONG), tmp_path / "reports", key, "0" * 32).folder


def test_a_drill_verifies_as_what_it_is(sealed: Path, key: SigningKey) -> None:
    """Who asks for it reads what was drilled; a run's `latest` does not lead there."""
    keys = [key.signer.public_key]
    proven = verify_bundle(sealed, keys, now=NOW, kinds=(RELEASE_GATE, DRILL))

    assert proven.kind == DRILL
    assert proven.predicate["faults"]["tkg.no-edges"] == {"state": "wrong gate", "gate": "tkg"}
    assert "drill        faults of demo: all there is" in describe(proven)
    assert "results      1 caught, 1 wrong gate" in describe(proven)
    assert (sealed.parent / "latest-drill").resolve() == sealed
    assert not (sealed.parent / "latest").exists()


def test_a_drill_is_no_evidence_of_a_release(sealed: Path, key: SigningKey) -> None:
    """Whoever does not ask for drills, as promotion does, is not shown one as a run."""
    with pytest.raises(VerificationError, match="line 2: the predicate type is not http"):
        verify_bundle(sealed, [key.signer.public_key], now=NOW)


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (
            lambda f: (f / "drill.json").write_text(
                (f / "drill.json").read_text().replace("wrong gate", "caught    ")
            ),
            r"drill\.json was changed",
        ),
        (lambda f: (f / "drill.html").unlink(), r"drill\.html was signed and is missing"),
        (lambda f: (f / "x.html").write_text("x"), r"x\.html is in the bundle and was not signed"),
        (
            lambda f: (f / ATTESTATION).write_bytes(
                (f / ATTESTATION).read_bytes().split(b"\n")[0] + b"\n"
            ),
            "has 1 lines, an attestation has two",
        ),
    ],
)
def test_tampering_is_found(
    sealed: Path, key: SigningKey, tamper: Callable[[Path], object], message: str
) -> None:
    """Every file is as it was signed, and no other is there."""
    tamper(sealed)

    with pytest.raises(VerificationError, match=message):
        verify_bundle(sealed, [key.signer.public_key], now=NOW, kinds=(DRILL,))


def test_two_drills_cannot_be_mixed(tmp_path: Path, key: SigningKey, sealed: Path) -> None:
    """The first line of one with the second of another is found."""
    other = seal(matrix(CAUGHT), tmp_path / "others", key, "1" * 32).folder
    mixed = shutil.copytree(other, tmp_path / "mixed")
    first = (sealed / ATTESTATION).read_bytes().splitlines(keepends=True)[0]
    second = (other / ATTESTATION).read_bytes().splitlines(keepends=True)[1]
    (mixed / ATTESTATION).write_bytes(first + second)

    with pytest.raises(VerificationError, match="the two statements are not of one run"):
        verify_bundle(mixed, [key.signer.public_key], now=NOW, kinds=(DRILL,))


def test_a_report_that_cannot_be_written(tmp_path: Path, key: SigningKey) -> None:
    """The message says where; nothing is left."""
    (tmp_path / "reports").write_text("a file")

    with pytest.raises(BundleError, match=r"reports cannot be written to .*--report-dir"):
        seal(matrix(CAUGHT), tmp_path / "reports", key, "0" * 32)
