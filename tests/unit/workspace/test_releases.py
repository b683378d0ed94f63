"""Tests of `pytest_release.workspace.releases`."""

from __future__ import annotations

from datetime import date

import pytest

from pytest_release.workspace.releases import (
    build_versions,
    cargo_version,
    order,
    read_release_info,
    read_release_text,
)

TODAY = date(2026, 2, 1)
INFO = """\
# Release v1.0.0 — 2026-01-20

## Changes

- one

## Files

| File | SHA-256 |
| --- | --- |
| **a.tar.gz** | x |

## Verification

- Deploy test: PASSED
- **API test**: 18/18
- Chunks: 2407
- Faces: 70691
- Identities: 417
- TKG nodes/edges: 6457/21028
"""


def test_a_release_info_in_form() -> None:
    """Version, day, files, and what was verified."""
    info = read_release_info(INFO, TODAY)

    assert info.flaws == ()
    assert (info.version, info.day, info.files) == ("1.0.0", "2026-01-20", ("a.tar.gz",))
    assert info.verification["API test"] == "18/18"


def test_a_verification_may_be_a_table() -> None:
    """Of two columns."""
    head, _, lines = INFO.partition("## Verification\n\n")
    rows = "\n".join(f"| {line[2:].replace(': ', ' | ')} |" for line in lines.splitlines())
    text = f"{head}## Verification\n\n| What | Came to |\n| --- | --- |\n{rows}\n"

    assert read_release_info(text, TODAY).flaws == ()


@pytest.mark.parametrize(
    ("old", "new", "code", "message"),
    [
        ("# Release v1.0.0 —", "# Release 1.0 —", "bad-title",
         "is titled 'Release 1.0 — 2026-01-20'"),
        ("2026-01-20", "2026-03-01", "future-date",
         "is of '2026-03-01', which is no day until 2026-02-01"),
        ("2026-01-20", "soon", "future-date", "is of 'soon', which is no day until 2026-02-01"),
        ("## Files", "## Other", "missing-heading", "has no heading ## Files"),
        ("- one\n", "", "empty-section", "has nothing under ## Changes"),
        ("Deploy test: PASSED", "Deploy test: green", "deploy-test", "says Deploy test: green"),
        ("18/18", "17/18", "api-test", "says API test: 17/18"),
        ("18/18", "0/0", "api-test", "says API test: 0/0"),
        ("18/18", "all", "api-test", "says API test: all"),
        ("Chunks: 2407", "Chunks: many", "not-verified", "says Chunks: many"),
        ("- Faces: 70691\n", "", "not-verified", "does not say what Faces came to"),
        ("6457/21028", "6457/0", "graph", "says TKG nodes/edges: 6457/0"),
        ("6457/21028", "6457", "graph", "says TKG nodes/edges: 6457"),
    ],
)  # fmt: skip
def test_a_flaw_of_a_release_info(old: str, new: str, code: str, message: str) -> None:
    """Is named with what was read."""
    flaws = read_release_info(INFO.replace(old, new), TODAY).flaws

    assert (code, message) in [(flaw.code, flaw.message) for flaw in flaws]


def test_the_text_beside_it() -> None:
    """Of two lines with one key the first counts; a missing key is a flaw."""
    said, flaws = read_release_text("Release: v1.0.0\nRelease: v2\nGit:\nDate: 2026-01-20\n")

    assert said["Release"] == "v1.0.0"
    assert [flaw.message for flaw in flaws] == ["has no Git", "has no Package"]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('[package]\nversion = "1.2.3"\n', "1.2.3"),
        ('[workspace.package]\nversion = "1.2.3"\n', "1.2.3"),
        ('[package]\nversion.workspace = true\n[workspace.package]\nversion = "2.0.0"', "2.0.0"),
        ("[package]\nversion = 1\n", None),
        ("package = 1\nworkspace = 2\n", None),
        ("[package\n", None),
        ('a = "' + "[" * 10, None),
        ("a = " + "[" * 20_000, None),
    ],
)  # fmt: skip
def test_the_version_of_cargo(text: str, version: str | None) -> None:
    """Of the package, or of the workspace that it takes it from; none of what is no TOML."""
    assert cargo_version(text) == version


@pytest.mark.parametrize(
    ("text", "versions"),
    [
        ('println!("cargo:rustc-env=BUILD_VERSION=1.2.3");', ["1.2.3"]),
        ('const BUILD_VERSION: &str = "1.2.3-rc.1";', ["1.2.3-rc.1"]),
        ('println!("cargo:rustc-env=BUILD_VERSION={}", env!("CARGO_PKG_VERSION"));', ["9.9.9"]),
        ('// BUILD_VERSION = "1.0.0"\nconst BUILD_VERSION: &str = "1.2.3";', ["1.2.3"]),
        ('BUILD_VERSION = "1.2.3"\nBUILD_VERSION = "1.2.4"\n', ["1.2.3", "1.2.4"]),
        ('OTHER = "1.2.3"', []),
    ],
)
def test_the_versions_of_a_build_script(text: str, versions: list[str]) -> None:
    """Every one that BUILD_VERSION is given; Cargo's where it is taken from there."""
    assert build_versions(text, "9.9.9") == versions


def test_versions_are_ordered_as_semver_says() -> None:
    """A pre-release before its release, numbers as numbers; build metadata does not count."""
    ascending = ["0.9.10", "1.0.0-alpha", "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0", "1.0.1", "10.0.0"]
    orders = [order(version) for version in ascending]

    assert orders == sorted(orders, key=lambda o: o or ())
    assert order("1.0.0+a") == order("1.0.0+b")
    assert order("1.0") is None
