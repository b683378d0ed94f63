"""The waivers in ``fixtures/waivers/ENVIRONMENT``: which count for a release, which are in force.

A waiver counts if, in this order; each step is numbered where it is done:

1. It verifies (`attestation.waiver`), by keys of the keyring, and by none that was revoked.
2. It is of this environment, and of this release; those of others are none of this promotion's.
3. The policy lets the gate be waived, and for as long.
4. Those whom the policy names signed it, and enough of them.
5. It has begun and has not ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pytest_release.attestation.keyring import Keyring, load_keyring
from pytest_release.attestation.verify import SKEW
from pytest_release.attestation.waiver import Waiver, open_waiver
from pytest_release.config.policies import load_policy
from pytest_release.config.policy import ALL_GATES, Policy, WaiverPolicy
from pytest_release.errors import ReleaseError, VerificationError
from pytest_release.hostile import one_line
from pytest_release.promotion.dossier import check_signers

SUFFIX = ".intoto.jsonl"
LARGEST = 64 * 1024  # bytes of a waiver's file


@dataclass(frozen=True)
class Accepted:
    """A waiver that counts.

    Attributes:
        signers: Names of the keys that signed it.
    """

    waiver: Waiver
    signers: tuple[str, ...]


def waiver_files(fixtures: Path, environment: str) -> list[Path]:
    """The files of an environment's waivers, sorted by name."""
    return sorted((fixtures / "waivers" / environment).glob(f"*{SUFFIX}"))


def accepted_waivers(
    fixtures: Path, policy: Policy, keyring: Keyring, release: str, now: datetime
) -> tuple[tuple[Accepted, ...], tuple[str, ...]]:
    """The waivers that count for a release, and why others of it do not, a sentence each."""
    accepted: list[Accepted] = []
    refused: list[str] = []
    for file in waiver_files(fixtures, policy.name):
        try:
            read = read_waiver(file, policy.name, keyring)  # 1, 2
            if read.waiver.release == release:
                check_waiver(read, policy, now)
                accepted.append(read)
        except VerificationError as error:
            refused.append(f"the waiver {file.name} does not count: {error}")
    return tuple(accepted), tuple(refused)


def read_waiver(file: Path, environment: str, keyring: Keyring) -> Accepted:
    """Step 1 of the module's docstring, and the first half of step 2.

    Raises:
        VerificationError: It cannot be read, does not verify, or is of another environment.
    """
    if file.is_symlink() or not file.is_file() or file.stat().st_size > LARGEST:
        raise VerificationError("it is no plain file, or too large to be a waiver")
    try:
        line = file.read_bytes()
    except OSError as error:
        raise VerificationError(f"it cannot be read: {error.strerror}") from None
    waiver, opened = open_waiver(line, list(keyring.keys.values()))
    check_signers(keyring, opened.keys, opened.strangers)
    if waiver.environment != environment:
        raise VerificationError(f"it is of {waiver.environment}, and not of {environment}")
    return Accepted(waiver, keyring.names_of(opened.keys))


def check_waiver(read: Accepted, policy: Policy, now: datetime) -> None:
    """Steps 3 to 5.

    Raises:
        VerificationError: The first that does not hold, and why.
    """
    waiver = read.waiver
    allowed = _allowed(waiver.gate, policy)  # 3
    if waiver.until - waiver.issued > allowed.longest:
        given = _hours((waiver.until - waiver.issued).total_seconds())
        longest = _hours(allowed.longest.total_seconds())
        raise VerificationError(f"it is for {given}, the policy allows {longest}")
    signed = [name for name in read.signers if name in allowed.signers.keys]  # 4
    if len(signed) < allowed.signers.threshold:
        by = ", ".join(read.signers)
        raise VerificationError(f"it was signed by {by}, it needs {allowed.signers}")
    if waiver.issued > now + SKEW:  # 5
        raise VerificationError(f"it begins in the future ({waiver.issued:%Y-%m-%d %H:%M} UTC)")
    if waiver.until <= now:
        raise VerificationError(f"it ended on {waiver.until:%Y-%m-%d %H:%M} UTC")


def _allowed(gate: str, policy: Policy) -> WaiverPolicy:
    allowed = policy.break_glass if gate == ALL_GATES else policy.waivers
    if allowed is None:
        what = "the glass cannot be broken" if gate == ALL_GATES else "no gate can be waived"
        raise VerificationError(f"{what} in {policy.name}")
    if gate in allowed.forbidden:
        raise VerificationError(f"{gate} cannot be waived in {policy.name}")
    return allowed


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:g} h"


def in_force(fixtures: Path, environment: str, now: datetime) -> tuple[str, ...]:
    """The waivers of an environment that have not ended, for the reports of its runs.

    What cannot be believed is said too: a run decides nothing by it.
    """
    files = waiver_files(fixtures, environment)
    if not files:
        return ()
    try:
        keyring = load_keyring(fixtures)
        return tuple(_sentences(files, keyring, load_policy(fixtures, environment), now))
    except ReleaseError as error:
        return (f"the waivers of {environment} cannot be read: {one_line(str(error))}",)


def _sentences(
    files: Sequence[Path], keyring: Keyring, policy: Policy, now: datetime
) -> Iterator[str]:
    for file in files:
        try:
            read = read_waiver(file, policy.name, keyring)
            if read.waiver.until > now:
                check_waiver(read, policy, now)
                yield f"{read.waiver} (signed by {', '.join(read.signers)})"
        except VerificationError as error:
            yield f"the waiver {file.name} does not count: {one_line(str(error))}"
