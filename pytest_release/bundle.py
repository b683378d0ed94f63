"""The report folder: rendered aside, digested, signed, and given its name by one rename.

`Bundle.create` fails before the first case when nothing could be written there; `Bundle.seal` ends
with a whole folder or with none. `read_run` is the way back, from a folder that was verified.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from pytest_release.atomic import fsync_folder, write_bytes
from pytest_release.attestation.envelope import sign
from pytest_release.attestation.keys import SigningKey, fingerprint
from pytest_release.attestation.statement import release_gate, test_result
from pytest_release.attestation.verify import ATTESTATION, VerifiedBundle, digest_files
from pytest_release.errors import BundleError, EvidenceError, VerificationError
from pytest_release.reporting import ctrf, evidence_json, junit, markdown
from pytest_release.verdict import RunVerdict

PAGE = "report.html"
EVIDENCE = "evidence.json"
EPHEMERAL_KEY = "ephemeral.pub"
RENDERED: dict[str, Callable[[RunVerdict], str]] = {
    "junit.xml": junit.render,
    "ctrf.json": ctrf.render,
    EVIDENCE: evidence_json.render,
    "test_report.md": markdown.render,
}
Say = Callable[[Mapping[str, Mapping[str, Any]]], Iterable[Mapping[str, Any]]]


@dataclass(frozen=True)
class Sealed:
    """A finished bundle: its folder, and the fingerprint of the key that signed it."""

    folder: Path
    fingerprint: str
    ephemeral: bool


class Bundle:
    """A report folder in the making; `staging` is where other writers put their files.

    Attributes:
        run: Short id of the run.
        staging: The hidden folder that becomes the bundle.
    """

    def __init__(self, staging: Path, name: str, key: SigningKey, nonce: str) -> None:
        self.staging = staging
        self.run = nonce[:8]
        self._folder = staging.parent / name
        self._key = key
        self._nonce = nonce

    @classmethod
    def create(
        cls, reports: Path, environment: str, key: SigningKey, now: datetime, nonce: str
    ) -> Bundle:
        """Prepare ``<reports>/<UTC time>_<environment>_<short id>``.

        Raises:
            BundleError: The folder cannot be written.
        """
        name = f"{now:%Y%m%dT%H%M%SZ}_{environment}_{nonce[:8]}"
        try:
            reports.mkdir(parents=True, exist_ok=True)
            staging = Path(mkdtemp(prefix=".unfinished-", dir=reports))
            staging.chmod(0o755)
        except OSError as error:
            message = f"reports cannot be written to {reports}: {error.strerror}"
            raise BundleError(f"{message}; choose another folder with --report-dir") from None
        return cls(staging, name, key, nonce)

    def seal(self, run: RunVerdict) -> Sealed:
        """Write what is rendered from the verdict, sign all files, and name the folder.

        Raises:
            BundleError: A file cannot be written, or the key no longer signs; nothing is left but
                the page that was there.
        """
        ephemeral = self._key.ephemeral_pem is not None
        return self.close(
            {name: render(run).encode() for name, render in RENDERED.items()},
            lambda files: (
                test_result(run),
                release_gate(run, files, self._nonce, ephemeral=ephemeral),
            ),
        )

    def close(self, rendered: Mapping[str, bytes], say: Say, kind: str = "") -> Sealed:
        """Write files, sign what is said of all there are, and name the folder.

        Args:
            rendered: Files by name.
            say: The statements about all files that are there, given their digests.
            kind: Of what is no run's report: ``latest`` is a run's, ``latest-<kind>`` is not.

        Raises:
            BundleError: As for `seal`.
        """
        ephemeral = self._key.ephemeral_pem is not None
        try:
            for name, content in rendered.items():
                write_bytes(self.staging / name, content)
            if self._key.ephemeral_pem is not None:
                write_bytes(self.staging / EPHEMERAL_KEY, self._key.ephemeral_pem)
            statements = say(digest_files(self.staging))
            lines = b"".join(sign(statement, self._key.signer) for statement in statements)
            write_bytes(self.staging / ATTESTATION, lines)
            self.staging.rename(self._folder)
            self._point_latest(kind)
            fsync_folder(self._folder.parent)
        except (OSError, VerificationError) as error:
            raise BundleError(f"the report {self._folder} was not written: {error}") from None
        return Sealed(self._folder, fingerprint(self._key.signer.public_key), ephemeral)

    def _point_latest(self, kind: str) -> None:
        link = self._folder.parent / f".latest-{self.run}"
        link.symlink_to(self._folder.name)
        link.rename(self._folder.parent / (f"latest-{kind}" if kind else "latest"))

    def discard(self) -> None:
        """Remove what was never sealed."""
        shutil.rmtree(self.staging, ignore_errors=True)


def read_run(folder: Path, verified: VerifiedBundle) -> RunVerdict:
    """The run that a bundle's evidence tells, which is the run that was signed.

    Args:
        folder: The bundle that was verified.
        verified: What that proved. The evidence is digested again as it is read, so that nobody
            changes it in between, and must tell all that the attestation says.

    Raises:
        VerificationError: The evidence is missing, was changed, or tells something else.
    """
    predicate = verified.predicate
    try:
        content = (folder / EVIDENCE).read_bytes()
    except OSError as error:
        raise VerificationError(f"{EVIDENCE} cannot be read: {error.strerror}") from None
    if sha256(content).hexdigest() != predicate["files"].get(EVIDENCE, {}).get("sha256"):
        raise VerificationError(f"{EVIDENCE} is not the file that was signed")
    try:
        run = evidence_json.parse(content)
    except EvidenceError as error:
        raise VerificationError(f"{EVIDENCE}: {error}") from None
    told = release_gate(
        run, predicate["files"], predicate["nonce"], ephemeral=predicate["ephemeralKey"]
    )
    if (told["subject"], told["predicate"]) != (verified.subjects, predicate):
        raise VerificationError(f"{EVIDENCE} and {ATTESTATION} do not tell the same of the run")
    return run
