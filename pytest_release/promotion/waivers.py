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
from datetime import datetime, timedelta
from pathlib import Path

from securesystemslib.signer import Signer

from pytest_release.atomic import write_bytes
from pytest_release.attestation.envelope import sign
from pytest_release.attestation.keyring import Keyring, load_keyring
from pytest_release.attestation.verify import SKEW
from pytest_release.attestation.waiver import Waiver, open_waiver, waiver_statement
from pytest_release.config.policies import load_policy
from pytest_release.config.policy import ALL_GATES, Policy, WaiverPolicy
from pytest_release.config.validation import suggestion
from pytest_release.errors import ReleaseError, UsageError, VerificationError
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
    allowed = _allowed(waiver, policy)  # 3
    signed = [name for name in read.signers if name in allowed.signers.keys]  # 4
    if len(signed) < allowed.signers.threshold:
        by = ", ".join(read.signers)
        raise VerificationError(f"it was signed by {by}, it needs {allowed.signers}")
    if waiver.issued > now + SKEW:  # 5
        raise VerificationError(f"it begins in the future ({waiver.issued:%Y-%m-%d %H:%M} UTC)")
    if waiver.until <= now:
        raise VerificationError(f"it ended on {waiver.until:%Y-%m-%d %H:%M} UTC")


def _allowed(waiver: Waiver, policy: Policy) -> WaiverPolicy:
    """What the policy says of such waivers, which it allows."""
    glass = waiver.gate == ALL_GATES
    allowed = policy.break_glass if glass else policy.waivers
    if allowed is None:
        what = "the glass cannot be broken" if glass else "no gate can be waived"
        raise VerificationError(f"{what} in {policy.name}")
    if waiver.gate in allowed.forbidden:
        raise VerificationError(f"{waiver.gate} cannot be waived in {policy.name}")
    if waiver.until - waiver.issued > allowed.longest:
        given, longest = _hours(waiver.until - waiver.issued), _hours(allowed.longest)
        raise VerificationError(f"it is for {given}, the policy allows {longest}")
    return allowed


def _hours(time: timedelta) -> str:
    return f"{time.total_seconds() / 3600:.4g} h"


def issue_waiver(fixtures: Path, waiver: Waiver, signer: Signer, now: datetime) -> tuple[Path, str]:
    """Sign a waiver that the policy allows, and put it where promotions look.

    Returns:
        Its file, and what it lacks until it counts; nothing, mostly.

    Raises:
        UsageError: It ends before it begins, or is of a gate that the policy does not ask for.
        VerificationError: The policy does not allow it, its texts are too long, or it cannot be
            written.
    """
    policy = load_policy(fixtures, waiver.environment)
    gates = [requirement.gate for requirement in policy.gates]
    if waiver.gate not in (ALL_GATES, *gates):
        near = suggestion(waiver.gate, gates)
        raise UsageError(
            f"{policy.source} asks for no gate {waiver.gate!r}{near}; gates: {', '.join(gates)}"
        )
    if waiver.until <= now:
        raise UsageError(f"--until {waiver.until:%Y-%m-%d %H:%M} UTC is not in the future")
    _allowed(waiver, policy)
    keyring = load_keyring(fixtures)
    line = sign(waiver_statement(waiver), signer)
    open_waiver(line, [signer.public_key])  # what no promotion could read is not written
    folder = fixtures / "waivers" / policy.name
    file = folder / f"{waiver.issued:%Y%m%dT%H%M%SZ}_{waiver.gate}_{waiver.nonce[:8]}{SUFFIX}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(file, line)
    except OSError as error:
        raise VerificationError(f"{file} cannot be written: {error.strerror}") from None
    try:
        check_waiver(read_waiver(file, policy.name, keyring), policy, now)
    except VerificationError as error:
        return file, str(error)
    return file, ""


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
