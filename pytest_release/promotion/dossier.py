"""The attestations that a promotion is decided on: those that count, and why others do not.

A bundle counts if, in this order; each step is numbered where it is done:

1. It verifies (`attestation.verify`), by keys of the keyring.
2. None of its signatures is by a key that was revoked, or that nobody knows.
3. Its key was not made for one run, and the policy names at least one that signed it.
4. It speaks of the release that is to be promoted.
5. Its run has not served a promotion to this environment, and does not stand twice here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pytest_release.attestation.keyring import Keyring
from pytest_release.attestation.verify import verify_bundle
from pytest_release.errors import VerificationError


@dataclass(frozen=True)
class Attested:
    """What a verified attestation says.

    Attributes:
        folder: Of its bundle.
        sha256: Of the attestation's bytes.
        version: Of the release, as the deployment named it.
        commit: As the deployment named it, perhaps shortened.
        packages: SHA-256 of each package by its file's name.
        images: SHA-256 of each image's manifest by its reference.
        gates: Of the predicate, by name.
        nonce: Of the run.
        signers: Names of the keys that signed it.
    """

    folder: Path
    sha256: str
    environment: str
    role: str
    system: str
    version: str | None
    commit: str | None
    packages: Mapping[str, str]
    images: Mapping[str, str]
    gates: Mapping[str, Mapping[str, Any]]
    started: datetime
    finished: datetime
    nonce: str
    signers: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.folder.name} ({self.environment}, signed by {', '.join(self.signers)})"


@dataclass(frozen=True)
class Refused:
    """Evidence that does not count, and why.

    Attributes:
        given: The command named it, so that it must count.
    """

    folder: Path
    reason: str
    given: bool


@dataclass(frozen=True)
class Dossier:
    """Everything that was given as evidence."""

    counted: tuple[Attested, ...]
    refused: tuple[Refused, ...] = ()


def read_bundle(
    folder: Path, keyring: Keyring, trusted: Collection[str], now: datetime
) -> Attested:
    """Steps 1 to 3 of the module's docstring.

    Raises:
        VerificationError: The first that does not hold, and why.
    """
    verified = verify_bundle(folder, list(keyring.keys.values()), now=now)  # 1
    check_signers(keyring, verified.keys, verified.strangers)  # 2
    predicate = verified.predicate
    signers = keyring.names_of(verified.keys)
    if predicate["ephemeralKey"]:  # 3
        raise VerificationError("it was signed by a key made for its run, which proves nothing")
    if not set(signers) & set(trusted):
        by, named = ", ".join(signers), ", ".join(sorted(trusted))
        raise VerificationError(f"it was signed by {by}, the policy trusts {named}")
    release = predicate["release"]
    return Attested(
        folder=folder,
        sha256=verified.sha256,
        environment=predicate["environment"],
        role=predicate["role"],
        system=predicate["system"],
        version=release["version"],
        commit=release["commit"],
        packages=release["packages"],
        images=release["images"],
        gates=predicate["gates"],
        started=datetime.fromisoformat(predicate["started"]),
        finished=datetime.fromisoformat(predicate["finished"]),
        nonce=predicate["nonce"],
        signers=signers,
    )


def check_signers(keyring: Keyring, signed: Iterable[str], strangers: Iterable[str]) -> None:
    """Refuse what carries a signature that does not count, even beside one that does.

    Args:
        keyring: The keys that there are.
        signed: Ids of its keys that signed, revoked ones among them perhaps.
        strangers: Ids that other signatures name.

    Raises:
        VerificationError: One is by a key that was revoked, or that nobody knows.
    """
    valid = {key.keyid for key in keyring.valid.values()}
    for key_id in sorted({*signed, *strangers} - valid):
        raise VerificationError(f"it carries a signature by {keyring.describe(key_id)}")


def compile_dossier(
    given: Sequence[Path],
    found: Sequence[Path],
    keyring: Keyring,
    trusted: Collection[str],
    release: str,
    served: Mapping[str, str],
    now: datetime,
) -> Dossier:
    """Read bundles and say which count.

    Args:
        given: Named by the command.
        found: In the folder of reports; those of other releases are none of this promotion's.
        keyring: The keys that there are.
        trusted: Names of those that the policy names.
        release: The version to be promoted.
        served: By nonce, what promotion to this environment a run has served.
        now: Aware.
    """
    counted: list[Attested] = []
    refused: list[Refused] = []
    for folder in (*given, *found):
        named = folder in given
        try:
            attested = read_bundle(folder, keyring, trusted, now)
            if named or attested.version == release:
                _check(attested, release, served, counted)  # 4, 5
                counted.append(attested)
        except VerificationError as error:
            refused.append(Refused(folder, str(error), named))
    return Dossier(tuple(counted), tuple(refused))


def _check(
    attested: Attested, release: str, served: Mapping[str, str], counted: Sequence[Attested]
) -> None:
    if attested.version != release:
        named = attested.version or "a release without a version"
        raise VerificationError(f"it is of {named!a}, and not of {release!a}")
    if attested.nonce in served:
        raise VerificationError(f"its run has served {served[attested.nonce]}; run the gates again")
    for other in counted:
        if other.nonce == attested.nonce:
            raise VerificationError(f"it is of the same run as {other.folder}")
