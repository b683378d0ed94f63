"""Verifies a report bundle against its attestation.

What must be proven, in this order; each step is numbered where it is done:

0. The folder holds an attestation of exactly two lines.
1. Both were signed by enough trusted keys (`envelope.open_envelope`).
2. They are in-toto statements, the test result first and the release gate second; the latter is
   as ``schemas/release-gate.schema.json`` says. A drill's is of another type, which is only taken
   where it is asked for: it says nothing about a release.
3. The second carries the digest of the first; they agree on subjects and result.
4. Every file that the second names is there with its size and digest, and no other.
5. The run ended after it began, and not in the future.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from securesystemslib.signer import Key

from pytest_release.atomic import canonical_json, sha256_of
from pytest_release.attestation.envelope import LARGEST, VerifiedStatement, open_envelope
from pytest_release.attestation.keys import fingerprint
from pytest_release.attestation.predicates import DRILL, check_statement
from pytest_release.attestation.statement import RELEASE_GATE, TEST_RESULT
from pytest_release.errors import VerificationError
from pytest_release.hostile import one_line

ATTESTATION = "attestation.intoto.jsonl"
SKEW = timedelta(minutes=5)  # by how much two machines' clocks may differ


@dataclass(frozen=True)
class VerifiedBundle:
    """What trusted keys said about a release, and about exactly these files.

    Attributes:
        subjects: What was judged.
        kind: Predicate type of the second statement.
        predicate: Of the second statement.
        keys: Those of the given ones that signed both statements, by id.
        strangers: Ids of other signatures on either.
        sha256: Of the attestation's bytes, which bind every other file.
    """

    subjects: Sequence[Mapping[str, Any]]
    kind: str
    predicate: Mapping[str, Any]
    keys: Mapping[str, Key]
    strangers: frozenset[str]
    sha256: str


def digest_files(folder: Path, attestation: str = ATTESTATION) -> dict[str, dict[str, Any]]:
    """Every file of a bundle but its attestation: name -> ``sha256``, ``size`` in bytes.

    Args:
        folder: The bundle.
        attestation: Name of the file that signs the others.

    Raises:
        VerificationError: Something in the folder is not a plain file.
    """
    sizes = _plain_files(folder, attestation)
    return {name: {"sha256": sha256_of(folder / name), "size": sizes[name]} for name in sizes}


def _plain_files(folder: Path, attestation: str) -> dict[str, int]:
    """Size in bytes by name."""
    sizes = {}
    for path in sorted(folder.iterdir()):
        if path.name == attestation:
            continue
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise VerificationError(f"{path.name} is not a plain file; a bundle holds nothing else")
        sizes[path.name] = status.st_size
    return sizes


def verify_bundle(
    folder: Path,
    keys: Sequence[Key],
    *,
    now: datetime,
    threshold: int = 1,
    kinds: Sequence[str] = (RELEASE_GATE,),
) -> VerifiedBundle:
    """Prove steps 0 to 5 of the module's docstring.

    Args:
        folder: The bundle, or a link to it.
        keys: Trusted public keys.
        now: Aware; read once by the caller.
        threshold: How many of the keys must have signed.
        kinds: Predicate types that the second statement may have.

    Raises:
        VerificationError: The first step that does not hold, and why.
    """
    lines = _lines(folder)  # 0
    opened = [_open(number, line, keys, threshold) for number, line in enumerate(lines, 1)]  # 1
    signers = {key_id: key for key_id, key in opened[0].keys.items() if key_id in opened[1].keys}
    if len(signers) < threshold:
        raise VerificationError(f"{ATTESTATION}: the two lines were signed by different keys")
    result = _statement(1, opened[0].statement, TEST_RESULT)  # 2
    gate = _statement(2, opened[1].statement, *kinds)
    if sha256(canonical_json(opened[0].statement)).hexdigest() != gate["testResult"]["sha256"]:  # 3
        raise VerificationError("the two statements are not of one run")
    subjects = opened[1].statement["subject"]
    if opened[0].statement.get("subject") != subjects:
        raise VerificationError("the two statements do not speak of the same subjects")
    if result.get("result") != _in_toto(gate["verdict"]):
        raise VerificationError("the two statements do not agree on the result")
    check_files(folder, gate["files"])  # 4
    _check_times(gate, now)  # 5
    strangers = opened[0].strangers | opened[1].strangers
    kind = opened[1].statement["predicateType"]
    return VerifiedBundle(subjects, kind, gate, signers, strangers, _digest(lines))


def _open(number: int, line: bytes, keys: Sequence[Key], threshold: int) -> VerifiedStatement:
    try:
        return open_envelope(line, keys, threshold)
    except VerificationError as error:
        raise VerificationError(f"{ATTESTATION}, line {number}: {error}") from None


def _digest(lines: Sequence[bytes]) -> str:
    return sha256(b"".join(line + b"\n" for line in lines)).hexdigest()


def _lines(folder: Path) -> list[bytes]:
    path = folder / ATTESTATION
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > 2 * LARGEST:
            raise VerificationError(f"{path} is no plain file, or too large to be an attestation")
        content = path.read_bytes()
    except OSError as error:
        raise VerificationError(f"{path} cannot be read: {error.strerror}") from None
    lines = content.split(b"\n")
    if len(lines) != 3 or lines[2]:
        message = f"{path} has {len(lines) - (not lines[-1])} lines, an attestation has two"
        raise VerificationError(message)
    return lines[:2]


def _statement(number: int, statement: Mapping[str, Any], *kinds: str) -> Mapping[str, Any]:
    try:
        return check_statement(statement, *kinds)
    except VerificationError as error:
        raise VerificationError(f"{ATTESTATION}, line {number}: {error}") from None


def _in_toto(verdict: str) -> str:
    return verdict if verdict in ("PASSED", "WARNED", "FAILED") else "FAILED"


def check_files(
    folder: Path, signed: Mapping[str, Mapping[str, Any]], attestation: str = ATTESTATION
) -> None:
    """Prove that a bundle holds the files that were signed, and no other.

    Names and sizes first: of a file that was not signed, however large, nothing is read.

    Args:
        folder: The bundle.
        signed: ``sha256`` and ``size`` of each file by its name.
        attestation: Name of the file that signs the others.

    Raises:
        VerificationError: They are others.
    """
    try:
        sizes = _plain_files(folder, attestation)
        for name in signed.keys() - sizes.keys():
            raise VerificationError(f"{name} was signed and is missing")
        for name in sizes.keys() - signed.keys():
            raise VerificationError(f"{name} is in the bundle and was not signed")
        for name, size in sizes.items():
            if size != signed[name]["size"]:
                message = f"{name} was changed: it has {size} bytes"
                raise VerificationError(f"{message}, signed were {signed[name]['size']}")
        found = digest_files(folder, attestation)
    except OSError as error:
        message = f"{error.filename} cannot be read: {error.strerror}"
        raise VerificationError(message) from None
    for name, entry in found.items():
        if entry != signed.get(name):
            message = f"{name} was changed: its sha256 is {entry['sha256']}"
            raise VerificationError(f"{message}, signed was {signed[name]['sha256']}")


def _check_times(predicate: Mapping[str, Any], now: datetime) -> None:
    try:
        started = datetime.fromisoformat(predicate["started"]).astimezone(UTC)
        finished = datetime.fromisoformat(predicate["finished"]).astimezone(UTC)
    except ValueError:
        raise VerificationError("the attestation does not say when the run was") from None
    if finished < started:
        raise VerificationError(f"the run ended ({finished}) before it began ({started})")
    if finished > now + SKEW:
        raise VerificationError(f"the run ended in the future ({finished}); check the clocks")


def describe(verified: VerifiedBundle) -> str:
    """What was judged, by whom, when, with which verdict: for the terminal."""
    predicate = verified.predicate
    lines = [
        f"verdict      {predicate.get('verdict')}",
        *(_drilled(predicate) if verified.kind == DRILL else _released(predicate)),
        *(f"subject      {subject_line(subject)}" for subject in verified.subjects),
        f"finished     {predicate.get('finished')}",
        *(f"gate         {name}: {gate['verdict']}" for name, gate in _gates(predicate)),
        f"files        {len(predicate.get('files', {}))}, all as signed",
        *(f"signed by    {fingerprint(key)}" for key in verified.keys.values()),
    ]
    if predicate.get("ephemeralKey"):
        lines.append(
            "WARNING      the key was made for this run and thrown away: "
            "the signature proves nothing about who ran it"
        )
    return "\n".join(map(one_line, lines))  # versions and names are the deployment's words


def _released(predicate: Mapping[str, Any]) -> Iterator[str]:
    release = predicate.get("release", {})
    yield f"environment  {predicate.get('environment')}, {predicate.get('role')}"
    yield f"system       {predicate.get('system')}"
    yield f"release      {release.get('version') or 'without a version'}"


def _drilled(predicate: Mapping[str, Any]) -> Iterator[str]:
    """A drill says nothing about a release, and that is said first."""
    counts = ", ".join(f"{count} {state}" for state, count in predicate["counts"].items())
    part = "all there is" if predicate["whole"] else "a part of what there is"
    yield f"drill        {predicate['kind']} of {predicate['environment']}: {part}"
    yield f"results      {counts or 'none'}"


def subject_line(subject: Mapping[str, Any]) -> str:
    """A subject with its digests, for people."""
    digests = ", ".join(f"{name}:{value}" for name, value in subject.get("digest", {}).items())
    return f"{subject.get('name')} ({digests})"


def _gates(predicate: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return list(predicate.get("gates", {}).items())
