"""The keys that are trusted: ``fixtures/keys/NAME.pub``, less those that were revoked.

- A key has one name: the same key in two files is refused, since it could pass for two.
- ``NAME.revoked.yaml`` revokes by fingerprint. That key counts for nothing any more, whatever its
  file is called now, and whenever it signed: whoever holds it can write any date.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml
from securesystemslib.signer import Key

from pytest_release.atomic import write_bytes
from pytest_release.attestation.keys import fingerprint, load_public_key
from pytest_release.config.document import Document, load_document
from pytest_release.config.policies import key_names
from pytest_release.config.validation import suggestion, validate
from pytest_release.config.variables import Resolved
from pytest_release.errors import UsageError, VerificationError

REVOKED = ".revoked.yaml"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True)
class Revocation:
    """Why a key counts for nothing.

    Attributes:
        at: When it was revoked, ISO 8601.
    """

    name: str
    fingerprint: str
    at: str
    reason: str


@dataclass(frozen=True)
class Keyring:
    """The trusted keys by name, and the revocations by fingerprint."""

    keys: Mapping[str, Key]
    revocations: Mapping[str, Revocation]

    @property
    def valid(self) -> Mapping[str, Key]:
        """The keys whose signatures count, by name."""
        return {n: key for n, key in self.keys.items() if fingerprint(key) not in self.revocations}

    def names_of(self, key_ids: Iterable[str]) -> tuple[str, ...]:
        """The names of valid keys with these ids, sorted."""
        wanted = frozenset(key_ids)
        return tuple(sorted(name for name, key in self.valid.items() if key.keyid in wanted))

    def describe(self, key_id: str) -> str:
        """A key that does not count, for people: revoked and why, or unknown."""
        print_ = f"SHA256:{key_id}"
        revoked = self.revocations.get(print_)
        if revoked is None:
            return f"{print_}, which is not in the keyring"
        return f"{revoked.name}, which was revoked on {revoked.at[:10]} ({revoked.reason})"


def load_keyring(fixtures: Path) -> Keyring:
    """Read ``keys/``.

    Raises:
        VerificationError: A file is no public key, or two hold the same.
        ConfigError: A revocation is not as its schema says.
    """
    folder = fixtures / "keys"
    keys: dict[str, Key] = {}
    owners: dict[str, str] = {}
    for name in key_names(fixtures):
        key = load_public_key(folder / f"{name}.pub")
        owner = owners.setdefault(key.keyid, name)
        if owner != name:
            raise VerificationError(
                f"{folder}: {owner}.pub and {name}.pub hold the same key; remove one of them"
            )
        keys[name] = key
    revoked = [_revocation(file) for file in sorted(folder.glob(f"*{REVOKED}"))]
    return Keyring(keys, {item.fingerprint: item for item in revoked})


def _revocation_of(fixtures: Path, name: str) -> Path:
    return fixtures / "keys" / f"{name}{REVOKED}"


def _revocation(file: Path) -> Revocation:
    document = load_document(file)
    _check(document)
    return Revocation(**document.value)


def _check(document: Document) -> None:
    validate(Resolved(document, frozenset(), frozenset()), "revocation")


def add_key(fixtures: Path, name: str, file: Path) -> Key:
    """Trust the key in `file` under a name.

    Raises:
        UsageError: The name or the key is taken, or the key was revoked.
        VerificationError: The file is no public key, or ``keys/`` cannot be written.
    """
    if not NAME.fullmatch(name):
        raise UsageError(
            f"a key's name is of lower-case letters, digits, '.', '_', '-'; got {name!r}"
        )
    keyring = load_keyring(fixtures)
    key = load_public_key(file)
    if name in keyring.keys or _revocation_of(fixtures, name).exists():
        state = "is" if name in keyring.keys else "was"
        raise UsageError(
            f"there {state} a key {name!r}; a key is never replaced: choose another name"
        )
    for other, known in keyring.keys.items():
        if known.keyid == key.keyid:
            raise UsageError(f"this key is trusted already, as {other!r}")
    if revoked := keyring.revocations.get(fingerprint(key)):
        raise UsageError(f"this key was revoked, as {revoked.name!r}: {revoked.reason}")
    _write(fixtures / "keys" / f"{name}.pub", file.read_bytes())
    return key


def revoke_key(fixtures: Path, name: str, reason: str, now: datetime) -> Revocation:
    """Stop trusting a key.

    Raises:
        UsageError: There is no such key, it is revoked, or the reason is not one line of text.
        ConfigError: The reason is empty or too long.
        VerificationError: ``keys/`` cannot be read or written.
    """
    keyring = load_keyring(fixtures)
    if name not in keyring.keys:
        there_are = ", ".join(keyring.keys) or "none"
        near = suggestion(name, keyring.keys)
        raise UsageError(f"there is no key {name!r}{near}; keys: {there_are}")
    if name not in keyring.valid:
        raise UsageError(f"the key {name!r} is revoked already")
    if not reason.isprintable():
        raise UsageError(f"a reason is one line of printable text, got {reason!a}")
    revocation = Revocation(
        name, fingerprint(keyring.keys[name]), f"{now:%Y-%m-%dT%H:%M:%SZ}", reason
    )
    path = _revocation_of(fixtures, name)
    if path.exists():
        raise UsageError(f"{path} revokes another key, which had this name; rename that file first")
    _check(Document(path, vars(revocation), {}))
    # in quotes, since what PyYAML writes without them YAML 1.2 may take for a number
    text = yaml.safe_dump(vars(revocation), sort_keys=False, allow_unicode=True, default_style='"')
    _write(path, text.encode())
    return revocation


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, data)
    except OSError as error:
        raise VerificationError(f"{path} cannot be written: {error.strerror}") from None
