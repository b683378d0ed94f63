"""The two scripts of ``docs/verify-with-other-tools.md`` are run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pytest_release.attestation.keys import SigningKey, ephemeral, load_public_key
from pytest_release.attestation.verify import ATTESTATION, verify_bundle
from pytest_release.bundle import Bundle
from pytest_release.config.environment import GatePolicy
from pytest_release.errors import VerificationError
from pytest_release.release import Context, Identity, Release
from pytest_release.verdict import judge_gate, judge_run

PAGE = (Path(__file__).parents[2] / "docs" / "verify-with-other-tools.md").read_text()
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
SHELLS = {"python": sys.executable, "sh": "/bin/sh"}

Change = Callable[[Path], object]


def sealed(
    folder: Path, key: SigningKey, nonce: str = "0123456789abcdef", policy: str = "a" * 64
) -> Path:
    """A bundle of a run in which nothing ran."""
    identity = Identity("1.4.2", "d34bcae")
    context = Context(
        run=nonce[:8],
        environment="staging",
        role="staging",
        system="shop",
        base_url="https://shop.example",
        policy_digest=policy,
        case_digests={"cases/shop/basic.yaml": "b" * 64},
        release=Release(None, identity, identity),
        started=NOW - timedelta(seconds=7),
        finished=NOW,
        tools={"pytest-release": "0.1.0"},
    )
    bundle = Bundle.create(folder, "staging", key, NOW, nonce)
    gate = judge_gate("basic", GatePolicy(required=True), [], {})
    return bundle.seal(judge_run([gate], context)).folder


def run(language: str, folder: Path, bundle: Path) -> subprocess.CompletedProcess[str]:
    """Run the page's script in that language on a bundle."""
    (source,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    script = folder / "script"
    script.write_text(source)
    command = [SHELLS[language], str(script), str(bundle), str(folder / "key.pub")]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle under ``tmp_path / "reports"``, whose public key is ``tmp_path / "key.pub"``."""
    key = ephemeral()
    assert key.ephemeral_pem is not None
    (tmp_path / "key.pub").write_bytes(key.ephemeral_pem)
    sealed(tmp_path / "reports", key, "fedcba9876543210", "c" * 64)
    return sealed(tmp_path / "reports", key)


def other(bundle: Path) -> Path:
    """The attestation of the other run, signed by the same key."""
    (file,) = bundle.parent.glob(f"2*fedcba98/{ATTESTATION}")
    return file


def mix_runs(bundle: Path) -> None:
    """Pair the first line of the other run with the second line of this one."""
    first = other(bundle).read_bytes().splitlines(keepends=True)[0]
    second = (bundle / ATTESTATION).read_bytes().splitlines(keepends=True)[1]
    (bundle / ATTESTATION).write_bytes(first + second)


CHANGES: dict[str, tuple[str, Change]] = {
    "a changed file": (
        "junit.xml was changed",
        lambda bundle: (bundle / "junit.xml").write_text("<testsuites/>"),
    ),
    "a file more": (
        "extra is in the bundle and was not signed",
        lambda bundle: (bundle / "extra").write_text("x"),
    ),
    "a file less": (
        "junit.xml was signed and is missing",
        lambda bundle: (bundle / "junit.xml").unlink(),
    ),
    "lines of two runs": ("not of one run", mix_runs),
    "the attestation of another run": (
        "evidence.json was changed|test_report.md was changed|ctrf.json was changed",
        lambda bundle: (bundle / ATTESTATION).write_bytes(other(bundle).read_bytes()),
    ),
    "a wrong key": (
        "none of the given keys",
        lambda bundle: (bundle.parents[1] / "key.pub").write_bytes(
            ephemeral().ephemeral_pem or b""
        ),
    ),
}


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("language", SHELLS)
def test_what_was_signed_verifies(language: str, tmp_path: Path, bundle: Path) -> None:
    """Each script accepts a bundle as it was sealed and prints its verdict, as do we."""
    done = run(language, tmp_path, bundle)
    ours = verify_bundle(bundle, [load_public_key(tmp_path / "key.pub")], now=NOW)

    assert (done.returncode, done.stderr) == (0, "")
    assert ours.predicate["verdict"] in done.stdout


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("language", SHELLS)
def test_what_was_changed_does_not(
    language: str, change: str, tmp_path: Path, bundle: Path
) -> None:
    """Each script refuses what was changed after it was signed, as do we."""
    reason, spoil = CHANGES[change]
    spoil(bundle)
    keys = [load_public_key(tmp_path / "key.pub")]

    assert run(language, tmp_path, bundle).returncode != 0
    with pytest.raises(VerificationError, match=reason):
        verify_bundle(bundle, keys, now=NOW)
