"""Tests of ``pytest-release key``: what it prints and leaves, and with which status it ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pytest_release.attestation.keyring import load_keyring
from pytest_release.attestation.keys import fingerprint, load_public_key
from pytest_release.cli import main

Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ran:
    """Runs one command in a folder with the pairs ``ci.pem`` and ``lab.pem``."""
    monkeypatch.chdir(tmp_path)
    for name in ("ci", "lab"):
        main(["keygen", f"{name}.pem"])
    capsys.readouterr()

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        return status, *capsys.readouterr()

    return run


def print_of(name: str) -> str:
    """The fingerprint of a pair in the folder."""
    return fingerprint(load_public_key(Path(f"{name}.pem.pub")))


def test_without_keys_the_list_says_how_to_add_one(run: Ran) -> None:
    """It is no failure."""
    assert run("key", "list") == (
        0, "no keys in fixtures/keys; add one: pytest-release key add NAME FILE\n", ""
    )  # fmt: skip


def test_add_says_where_the_key_is_and_its_fingerprint(run: Ran) -> None:
    """To be compared with the one that ``keygen`` printed."""
    status, out, err = run("key", "add", "ci", "ci.pem.pub")

    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "trusted      fixtures/keys/ci.pub",
        f"fingerprint  {print_of('ci')}",
    ]
    assert Path("fixtures/keys/ci.pub").read_bytes() == Path("ci.pem.pub").read_bytes()


def test_the_list_has_a_line_a_key(run: Ran) -> None:
    """Name, fingerprint, and whether it counts; a revoked one with when and why."""
    run("key", "add", "acceptance", "lab.pem.pub")
    run("key", "add", "ci", "ci.pem.pub")
    status, out, err = run("key", "revoke", "ci", "--reason", "the laptop was stolen")
    today = f"{datetime.now(UTC):%Y-%m-%d}"

    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "revoked      ci, fixtures/keys/ci.revoked.yaml",
        f"fingerprint  {print_of('ci')}",
    ]
    status, out, err = run("key", "list")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        f"acceptance  {print_of('lab')}  valid",
        f"ci          {print_of('ci')}  revoked {today}: the laptop was stolen",
    ]


def test_another_folder_can_be_named(run: Ran, tmp_path: Path) -> None:
    """For each of the three."""
    other = ("--fixtures", "other")
    run("key", "add", "ci", "ci.pem.pub", *other)
    run("key", "revoke", "ci", "--reason", "rotated", *other)

    assert list(load_keyring(tmp_path / "other").revocations) == [print_of("ci")]
    assert "rotated" in run("key", "list", *other)[1]
    assert run("key", "list")[1].startswith("no keys in fixtures/keys")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "Ci", "ci.pem.pub"), "a key's name is of lower-case letters, digits, '.', '_', "),
        (("add", "ci", "ci.pem"), "ci.pem is a private key; give the public one (ci.pem.pub)"),
        (("add", "ci", "x.pub"), "the public key x.pub cannot be read: No such file or directory"),
        (("add", "known", "ci.pem.pub"), "there is a key 'known'; a key is never replaced: choose"),
        (("add", "again", "lab.pem.pub"), "this key is trusted already, as 'known'"),
        (("revoke", "knwon", "--reason", "x"), "there is no key 'knwon', did you mean 'known'?; "),
        (
            ("revoke", "known", "--reason", ""),
            "fixtures/keys/known.revoked.yaml:1: reason: expected 1 or more characters",
        ),
        (
            ("revoke", "known", "--reason", "a\nb"),
            "a reason is one line of printable text, got 'a\\nb'",
        ),
    ],
)
def test_a_refusal_is_one_line_and_status_1(
    run: Ran, arguments: tuple[str, ...], message: str
) -> None:
    """And the keyring is as it was."""
    run("key", "add", "known", "lab.pem.pub")

    status, out, err = run("key", *arguments)

    assert (status, out) == (1, "")
    assert err.startswith(f"pytest-release: {message}")
    assert err.count("\n") == 1
    assert [path.name for path in Path("fixtures/keys").iterdir()] == ["known.pub"]


def test_a_revocation_needs_a_reason(run: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    """As argparse has it: status 2."""
    with pytest.raises(SystemExit, match=r"^2$"):
        run("key", "revoke", "ci")

    assert "the following arguments are required: --reason" in capsys.readouterr().err
