"""Tests of ``pytest-release verify`` and ``countersign`` on waivers and records of promotions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_release.attestation.envelope import sign
from pytest_release.attestation.keys import fingerprint, load_public_key, load_signing_key
from pytest_release.cli import main
from tests.unit.attestation.conftest import GATE
from tests.unit.attestation.test_predicates import PROMOTED
from tests.unit.attestation.test_single import WAIVER

Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ran:
    """Runs one command where the pair ``ci.pem`` is trusted as ``ci``, ``lab.pem`` not at all."""
    monkeypatch.chdir(tmp_path)
    for name in ("ci", "lab"):
        main(["keygen", f"{name}.pem"])
    main(["key", "add", "ci", "ci.pem.pub"])
    capsys.readouterr()

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        return status, *capsys.readouterr()

    return run


def write(statement: Mapping[str, Any]) -> str:
    """A file with the statement, signed by ``ci.pem``."""
    Path("signed.json").write_bytes(sign(statement, load_signing_key("ci.pem", {}).signer))
    return "signed.json"


def print_of(name: str) -> str:
    """The fingerprint of a pair in the folder."""
    return fingerprint(load_public_key(Path(f"{name}.pem.pub")))


@pytest.mark.parametrize(
    ("statement", "first"),
    [
        (WAIVER, "waiver       everything of 1.4.2 is waived in production until 2026-11-23 "),
        (PROMOTED, "promotion    1.4.2 to production"),
    ],
)
def test_verify_says_what_was_signed_and_by_whom(
    run: Ran, statement: Mapping[str, Any], first: str
) -> None:
    """A waiver's sentence; a promotion with its policy and conditions."""
    status, out, err = run("verify", write(statement), "--key", "ci.pem.pub")

    assert (status, err) == (0, "")
    assert out.startswith(first)
    assert out.splitlines()[-1] == f"signed by    {print_of('ci')}"


@pytest.mark.parametrize(
    ("statement", "arguments", "message"),
    [
        (WAIVER, ("--key", "lab.pem.pub"), "signed.json: none of the given keys signed this; it"),
        (
            PROMOTED,
            ("--key", "lab.pem.pub", "--key", "ci.pem.pub", "--threshold", "2"),
            "signed.json: fewer than 2 given keys signed this; it says it was signed by",
        ),
        (
            WAIVER,
            ("--key", "ci.pem.pub", "--threshold", "0"),
            "signed.json: a threshold of 0 cannot be met by 1 keys",
        ),
        (
            WAIVER,
            ("--key", "ci.pem.pub", "--key", "ci.pem.pub", "--threshold", "2"),
            "signed.json: the same key was given twice",
        ),
        (GATE, ("--key", "ci.pem.pub"), "signed.json: the predicate type is not "),
        (WAIVER, ("--key", "ci.pem"), "ci.pem is a private key; give the public one"),
    ],
)
def test_verify_refuses_in_one_line(
    run: Ran, statement: Mapping[str, Any], arguments: tuple[str, ...], message: str
) -> None:
    """On standard error, with status 1."""
    status, out, err = run("verify", write(statement), *arguments)

    assert (status, out) == (1, "")
    assert err.startswith(f"pytest-release: {message}")
    assert err.count("\n") == 1


def test_verify_of_nothing(run: Ran) -> None:
    """A path that is not there is looked at as a bundle."""
    status, out, err = run("verify", "absent", "--key", "ci.pem.pub")

    assert (status, out) == (1, "")
    assert err.startswith("pytest-release: absent/attestation.intoto.jsonl cannot be read: No such")


def test_countersign_shows_what_was_signed(run: Ran) -> None:
    """Then both signatures verify."""
    file = write(WAIVER)

    status, out, err = run("countersign", file, "--sign-with", "lab.pem")

    assert (status, err) == (0, "")
    assert out.splitlines()[0].startswith("everything of 1.4.2 is waived in production until")
    assert out.splitlines()[1:] == [f"signed by    {print_of('lab')}, too"]
    both = ("--key", "ci.pem.pub", "--key", "lab.pem.pub", "--threshold", "2")
    assert run("verify", file, *both)[0] == 0


def test_countersign_believes_only_the_keyring(run: Ran) -> None:
    """Of a signer whose key was revoked since, or never added, nothing is countersigned."""
    file = write(WAIVER)
    before = Path(file).read_bytes()
    run("key", "add", "lab", "lab.pem.pub")
    run("key", "revoke", "ci", "--reason", "stolen")

    status, out, err = run("countersign", file, "--sign-with", "lab.pem")
    assert (status, out) == (1, "")
    assert err.startswith("pytest-release: none of the given keys signed this; it says it was ")

    status, out, err = run("countersign", file, "--sign-with", "lab.pem", "--fixtures", "empty")
    assert (status, out) == (1, "")
    assert err == "pytest-release: no trusted key was given: nothing can be verified\n"
    assert Path(file).read_bytes() == before


def test_countersign_refuses_a_second_time(run: Ran) -> None:
    """One key is one signature."""
    status, out, err = run("countersign", write(WAIVER), "--sign-with", "ci.pem")

    assert (status, out) == (1, "")
    assert err == f"pytest-release: {print_of('ci')} has signed this already\n"
