"""The scripts of ``docs/verify-with-other-tools.md`` are run as they stand there."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from securesystemslib.dsse import Envelope

from pytest_release.attestation.envelope import PAYLOAD_TYPE, sign
from pytest_release.attestation.keys import SigningKey, ephemeral, load_public_key
from pytest_release.attestation.verify import ATTESTATION, verify_bundle
from pytest_release.bundle import Bundle
from pytest_release.config.environment import GatePolicy
from pytest_release.errors import VerificationError
from pytest_release.ledger import Entry, Outcome
from pytest_release.release import Context, Identity, Release
from pytest_release.verdict import judge_gate, judge_run

PAGE = (Path(__file__).parents[2] / "docs" / "verify-with-other-tools.md").read_text()
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
INTERPRETERS = {"python": sys.executable, "sh": "/bin/sh", "js": "node"}
WHOLE = [  # those that look at everything that was signed
    pytest.param("Python and securesystemslib", "python", id="securesystemslib"),
    pytest.param("openssl and coreutils", "sh", id="openssl", marks=pytest.mark.needs("openssl")),
    pytest.param(
        "Node.js and sigstore's verifier",
        "js",
        id="sigstore",
        marks=pytest.mark.needs("node", "npm"),
    ),
]
POLICY = "in-toto's types and a policy in Rego"

Change = Callable[[Path], object]


def sealed(
    folder: Path,
    key: SigningKey,
    nonce: str = "0123456789abcdef",
    *,
    policy: str = "a" * 64,
    outcome: Outcome | None = None,
) -> Path:
    """A bundle of a run of one case, or of none."""
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
    entries = [ended(outcome)] if outcome else []
    gate = judge_gate("basic", GatePolicy(required=True), entries, {})
    return bundle.seal(judge_run([gate], context)).folder


def ended(outcome: Outcome) -> Entry:
    """A case that came to its end."""
    return Entry(
        "basic/health",
        "basic",
        collected=True,
        selected=True,
        started=True,
        called=True,
        outcome=outcome,
    )


def block(chapter: str, language: str) -> str:
    """What stands in that language in a chapter of the page."""
    text = PAGE.split(f"\n## With {chapter}\n")[1].split("\n## ")[0]
    (source,) = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return str(source)


def run(
    chapter: str, language: str, folder: Path, bundle: Path, *words: str
) -> subprocess.CompletedProcess[str]:
    """Run a chapter's script on a bundle."""
    script = folder / "script"
    script.write_text(block(chapter, language))
    command = [INTERPRETERS[language], str(script), str(bundle), str(folder / "key.pub"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Node.js packages that the page says to install."""
    folder = tmp_path_factory.mktemp("npm")
    (words,) = re.findall(r"`npm (install .*?)`", PAGE)
    command = ["npm", *words.split(), "--prefix", str(folder), "--no-audit", "--no-fund"]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return folder / "node_modules"


@pytest.fixture
def modules(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """These packages, where a script in JavaScript finds them."""
    if request.node.callspec.params["language"] == "js":
        (tmp_path / "node_modules").symlink_to(request.getfixturevalue("installed"))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle under ``tmp_path / "reports"``, whose public key is ``tmp_path / "key.pub"``."""
    key = ephemeral()
    assert key.ephemeral_pem is not None
    (tmp_path / "key.pub").write_bytes(key.ephemeral_pem)
    sealed(tmp_path / "reports", key, "fedcba9876543210", policy="c" * 64)
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


@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(("chapter", "language"), WHOLE)
def test_what_was_signed_verifies(
    chapter: str, language: str, tmp_path: Path, bundle: Path
) -> None:
    """Each script accepts a bundle as it was sealed and prints its verdict, as do we."""
    done = run(chapter, language, tmp_path, bundle)
    ours = verify_bundle(bundle, [load_public_key(tmp_path / "key.pub")], now=NOW)

    assert (done.returncode, done.stderr) == (0, "")
    assert ours.predicate["verdict"] in done.stdout


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.usefixtures("modules")
@pytest.mark.parametrize(("chapter", "language"), WHOLE)
def test_what_was_changed_does_not(
    chapter: str, language: str, change: str, tmp_path: Path, bundle: Path
) -> None:
    """Each script refuses what was changed after it was signed, as do we."""
    reason, spoil = CHANGES[change]
    spoil(bundle)
    keys = [load_public_key(tmp_path / "key.pub")]

    assert run(chapter, language, tmp_path, bundle).returncode != 0
    with pytest.raises(VerificationError, match=reason):
        verify_bundle(bundle, keys, now=NOW)


@dataclass(frozen=True)
class Candidate:
    """A bundle that a policy is asked about."""

    folder: Path
    key: SigningKey

    def ask(
        self, *words: str, outcome: Outcome | None = Outcome.PASSED, change: Change = lambda _: 0
    ) -> subprocess.CompletedProcess[str]:
        """Seal a run with that outcome, change the bundle, run the page's script on it."""
        made = sealed(self.folder / "reports", self.key, outcome=outcome)
        change(made)
        (self.folder / "policy.rego").write_text(block(POLICY, "rego"))
        given = words or ("d34bcae", "staging", "1")
        return run(POLICY, "python", self.folder, made, str(self.folder / "policy.rego"), *given)


@pytest.fixture
def candidate(tmp_path: Path) -> Candidate:
    """Signed by the key in ``tmp_path / "key.pub"``."""
    key = ephemeral()
    (tmp_path / "key.pub").write_bytes(key.ephemeral_pem or b"")
    return Candidate(tmp_path, key)


def test_a_policy_allows_what_passed(candidate: Candidate) -> None:
    """A policy engine reads the test result of a release that passed, and accepts it."""
    done = candidate.ask()

    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "the policy allows d34bcae\n",
        "",
    )


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.SKIPPED, None])
def test_a_policy_refuses_what_did_not_pass(candidate: Candidate, outcome: Outcome | None) -> None:
    """FAILED, INCOMPLETE and NOT_RUN are no PASSED."""
    done = candidate.ask(outcome=outcome)

    assert (done.returncode, done.stderr) == (1, "the policy does not allow this release\n")


@pytest.mark.parametrize(
    "expected",
    [
        ("d34bcaf", "staging", "1"),
        ("d34bcae", "production", "1"),
        ("d34bcae", "staging", "2"),
    ],
    ids=["another commit", "another environment", "too few tests"],
)
def test_a_policy_refuses_another_release(
    candidate: Candidate, expected: tuple[str, str, str]
) -> None:
    """What passed is not what was asked for."""
    done = candidate.ask(*expected)

    assert (done.returncode, done.stderr) == (1, "the policy does not allow this release\n")


def fake(bundle: Path) -> None:
    """Sign line 1 with a key of one's own, under the name of the trusted one."""
    attestation = bundle / ATTESTATION
    first, second = attestation.read_bytes().splitlines(keepends=True)
    envelope = json.loads(first)
    forged = sign(json.loads(b64decode(envelope["payload"])), ephemeral().signer)
    envelope["signatures"][0]["sig"] = json.loads(forged)["signatures"][0]["sig"]
    attestation.write_bytes(json.dumps(envelope).encode() + b"\n" + second)


def test_a_policy_is_not_asked_about_what_nobody_signed(candidate: Candidate) -> None:
    """The signature comes first: the policy never sees a forged statement."""
    done = candidate.ask(change=fake)

    assert done.returncode == 1
    assert done.stderr.endswith(
        "Accepted signatures do not match threshold, Found: 0, Expected 1\n"
    )


def test_a_repeated_member_is_refused_with_in_totos_types(candidate: Candidate) -> None:
    """A signed statement that says two things is not what the policy is asked about."""
    statement = b'{"_type":"https://in-toto.io/Statement/v1","predicate":{},"predicate":{}}'

    def twice(bundle: Path) -> None:
        envelope = Envelope(statement, PAYLOAD_TYPE, {})
        envelope.sign(candidate.key.signer)
        line = json.dumps(envelope.to_dict()).encode() + b"\n"
        (bundle / ATTESTATION).write_bytes(line * 2)

    done = candidate.ask(change=twice)

    assert done.returncode == 1
    assert "duplicate key" in done.stderr


def test_the_page_names_each_way() -> None:
    """The table at the top links every chapter that has a script."""
    chapters = re.findall(r"^## (With .*)$", PAGE, re.MULTILINE)
    anchors = [re.sub(r"[^a-z -]", "", chapter.lower()).replace(" ", "-") for chapter in chapters]

    assert [anchor for anchor in anchors if f"(#{anchor})" not in PAGE] == []
    assert len(anchors) == len(WHOLE) + 1
