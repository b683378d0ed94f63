"""Tests of `pytest_release.bundle`: whole or not there, and what was there stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.signer import CryptoSigner, Signature

from pytest_release.attestation.keys import SigningKey, ephemeral, fingerprint
from pytest_release.attestation.verify import VerifiedBundle, verify_bundle
from pytest_release.bundle import RENDERED, Bundle, read_run
from pytest_release.config.environment import GatePolicy
from pytest_release.errors import BundleError, VerificationError
from pytest_release.release import Context, Release
from pytest_release.verdict import judge_gate, judge_run

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
RUN = judge_run(
    [judge_gate("basic", GatePolicy(), [], {})],
    Context(
        run="0123abcd",
        environment="staging",
        role="staging",
        system="shop",
        base_url="https://shop.example",
        policy_digest="a" * 64,
        case_digests={},
        release=Release(),
        started=NOW,
        finished=NOW,
        tools={"pytest-release": "0.1.0"},
    ),
)

Make = Callable[..., Bundle]


@pytest.fixture
def key() -> SigningKey:
    """A key made for one test."""
    return ephemeral()


@pytest.fixture
def make(tmp_path: Path, key: SigningKey) -> Make:
    """A bundle in the making, its page already in it."""

    def make(nonce: str = "0123abcd", key: SigningKey = key) -> Bundle:
        bundle = Bundle.create(tmp_path / "reports", "staging", key, NOW, nonce * 4)
        (bundle.staging / "report.html").write_text("<p>ok</p>")
        return bundle

    return make


def test_a_sealed_bundle_verifies_and_is_the_latest(
    tmp_path: Path, make: Make, key: SigningKey
) -> None:
    """The folder has the run's name; nothing of its making is left beside it."""
    sealed = make().seal(RUN)

    assert sealed.folder == tmp_path / "reports" / "20261123T100000Z_staging_0123abcd"
    assert sorted(path.name for path in sealed.folder.parent.iterdir()) == [
        sealed.folder.name,
        "latest",
    ]
    assert {path.name for path in sealed.folder.iterdir()} == {
        *RENDERED,
        "report.html",
        "ephemeral.pub",
        "attestation.intoto.jsonl",
    }
    latest = tmp_path / "reports" / "latest"
    verified = verify_bundle(latest, [key.signer.public_key], now=NOW)
    assert verified.predicate["ephemeralKey"] is True
    assert (sealed.ephemeral, sealed.fingerprint) == (True, fingerprint(key.signer.public_key))


def test_a_key_of_ones_own_is_not_called_ephemeral(make: Make, key: SigningKey) -> None:
    """No public key is put into the bundle that could be mistaken for a trusted one."""
    sealed = make(key=replace(key, ephemeral_pem=None)).seal(RUN)

    verified = verify_bundle(sealed.folder, [key.signer.public_key], now=NOW)
    assert verified.predicate["ephemeralKey"] is False
    assert sealed.ephemeral is False
    assert not (sealed.folder / "ephemeral.pub").exists()


def test_latest_moves_on_to_the_newer_run(tmp_path: Path, make: Make) -> None:
    """The older bundle stays."""
    first, second = make("0123abcd").seal(RUN), make("4567cdef").seal(RUN)

    assert (tmp_path / "reports" / "latest").resolve() == second.folder
    assert first.folder.is_dir()


def test_the_folder_is_readable_for_those_who_get_the_report(make: Make) -> None:
    """A web server or a colleague can open it."""
    assert make().seal(RUN).folder.stat().st_mode & 0o777 == 0o755


def test_a_folder_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    """Before the first case, with what to do."""
    (tmp_path / "reports").write_text("a file in the way")

    message = (
        f"^reports cannot be written to {tmp_path}/reports: File exists; "
        "choose another folder with --report-dir$"
    )
    with pytest.raises(BundleError, match=message):
        Bundle.create(tmp_path / "reports", "staging", ephemeral(), NOW, "0" * 32)


def test_a_run_that_was_there_is_never_overwritten(tmp_path: Path, make: Make) -> None:
    """The folder's name is taken: one message, the old report untouched, no half of the new."""
    taken = tmp_path / "reports" / "20261123T100000Z_staging_0123abcd"
    taken.mkdir(parents=True)
    (taken / "report.html").write_text("the older one")
    bundle = make()

    with pytest.raises(BundleError, match=f"^the report {taken} was not written: "):
        bundle.seal(RUN)
    bundle.discard()
    assert [path.name for path in taken.parent.iterdir()] == [taken.name]
    assert (taken / "report.html").read_text() == "the older one"


class Pulled(CryptoSigner):
    """A token that was pulled out after the run began."""

    def sign(self, payload: bytes) -> Signature:
        """Fail as a driver does that `pytest_release.attestation.keys` watches."""
        raise VerificationError("the signer hsm:2 cannot be used: TokenNotPresent")


def test_a_key_that_no_longer_signs(tmp_path: Path, make: Make) -> None:
    """No bundle without its signature, and no traceback."""
    bundle = make(key=SigningKey(Pulled(Ed25519PrivateKey.generate())))

    with pytest.raises(BundleError, match=r"was not written: the signer hsm:2 .*TokenNotPresent$"):
        bundle.seal(RUN)
    bundle.discard()
    assert list((tmp_path / "reports").iterdir()) == []


def test_what_is_discarded_leaves_nothing(tmp_path: Path, make: Make) -> None:
    """Twice is no error: it is called however the run ended."""
    bundle = make()
    bundle.discard()
    bundle.discard()

    assert list((tmp_path / "reports").iterdir()) == []


@pytest.fixture
def opened(make: Make, key: SigningKey) -> tuple[Path, VerifiedBundle]:
    """A sealed bundle and what verifying it proved."""
    folder = make().seal(RUN).folder
    return folder, verify_bundle(folder, [key.signer.public_key], now=NOW)


def test_the_run_is_read_back(opened: tuple[Path, VerifiedBundle]) -> None:
    """It is the verdict that the bundle was sealed with."""
    assert read_run(*opened) == RUN


def test_evidence_is_digested_as_it_is_read(opened: tuple[Path, VerifiedBundle]) -> None:
    """A file that was changed after the verification is not believed."""
    folder, verified = opened
    (folder / "evidence.json").write_text("{}")

    with pytest.raises(VerificationError, match=r"^evidence.json is not the file that was signed$"):
        read_run(folder, verified)


def test_evidence_that_is_gone_is_named(opened: tuple[Path, VerifiedBundle]) -> None:
    """After the verification, too."""
    folder, verified = opened
    (folder / "evidence.json").unlink()

    with pytest.raises(VerificationError, match=r"^evidence.json cannot be read: No such file"):
        read_run(folder, verified)


def signed_as(verified: VerifiedBundle, content: bytes, **changes: object) -> VerifiedBundle:
    """As if a key had signed that evidence, and those members of the predicate."""
    entry = {"sha256": sha256(content).hexdigest(), "size": len(content)}
    files = {**verified.predicate["files"], "evidence.json": entry}
    return replace(verified, predicate={**verified.predicate, "files": files, **changes})


def test_what_is_no_evidence_is_refused_though_signed(
    opened: tuple[Path, VerifiedBundle],
) -> None:
    """A signature says who wrote it, not that it makes sense."""
    folder, verified = opened
    (folder / "evidence.json").write_text("{}")

    with pytest.raises(VerificationError, match=r"^evidence.json: this is not JSON of the format"):
        read_run(folder, signed_as(verified, b"{}"))


@pytest.mark.parametrize("changes", [{"verdict": "PASSED"}, {"run": "ffffffff"}, {"gates": {}}])
def test_evidence_and_attestation_tell_the_same(
    changes: dict[str, object], opened: tuple[Path, VerifiedBundle]
) -> None:
    """A summary cannot say PASSED where the attestation does not, nor the other way round."""
    folder, verified = opened
    content = (folder / "evidence.json").read_bytes()

    message = r"^evidence.json and attestation.intoto.jsonl do not tell the same of the run$"
    with pytest.raises(VerificationError, match=message):
        read_run(folder, signed_as(verified, content, **changes))
