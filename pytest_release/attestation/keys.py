"""Key pairs: made, read, and named by what they are.

- A key's id is derived from the key, never read from a file: one key cannot pass for two.
- A private key is a file that only its owner can read (mode 0600), or a signer URI of
  securesystemslib (an HSM, GnuPG, a cloud's key service). Such a signer proves that it can sign
  before it is used; whatever its driver raises is one `VerificationError`, without the PIN.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from securesystemslib.exceptions import Error as LibraryError
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import (
    SIGNER_FOR_URI_SCHEME,
    CryptoSigner,
    GPGKey,
    Key,
    SecretsHandler,
    Signature,
    Signer,
    SSlibKey,
)

from pytest_release.atomic import write_bytes
from pytest_release.attestation import openpgp
from pytest_release.errors import VerificationError
from pytest_release.hostile import one_line
from pytest_release.redaction import Redactor

PASSWORD_VARIABLE = "PYTEST_RELEASE_KEY_PASSWORD"  # noqa: S105 - the variable's name
PUBLIC_KEY_VARIABLE = "PYTEST_RELEASE_PUBLIC_KEY"
PRIVATE_MODE = 0o600
LARGEST = 64 * 1024  # bytes of a key file


def generate(path: Path, password: str | None = None) -> Key:
    """Make an ed25519 key pair: `path` (PKCS #8 PEM, mode 0600) and ``<path>.pub`` (PEM).

    Args:
        path: File of the private key; must not exist.
        password: Encrypts the private key.

    Raises:
        VerificationError: A file is in the way, the folder cannot be written, or the password is
            empty.
    """
    if password == "":
        raise VerificationError("an empty password protects nothing: give one, or none at all")
    public_path = path.with_name(f"{path.name}.pub")
    for taken in (path, public_path):
        if taken.exists():
            raise VerificationError(f"{taken} exists; a key is never overwritten: choose a name")
    private = Ed25519PrivateKey.generate()
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password.encode())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )
    try:
        write_bytes(path, pem, mode=PRIVATE_MODE)
        write_bytes(public_path, public_pem(private))
    except OSError as error:
        raise VerificationError(f"{path} cannot be written: {error.strerror}") from None
    return SSlibKey.from_crypto(private.public_key())


def public_pem(private: Ed25519PrivateKey) -> bytes:
    """The public half, as SubjectPublicKeyInfo in PEM."""
    return private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@dataclass(frozen=True)
class SigningKey:
    """What signs a bundle.

    Attributes:
        ephemeral_pem: The public key of an ephemeral key, which goes into the bundle since nobody
            else has it; None for a key that lives on.
    """

    signer: Signer
    ephemeral_pem: bytes | None = None


def ephemeral() -> SigningKey:
    """A key that lives as long as this process."""
    private = Ed25519PrivateKey.generate()
    return SigningKey(CryptoSigner(private), public_pem(private))


def load_signing_key(uri: str, variables: Mapping[str, str]) -> SigningKey:
    """The key that ``--sign-with`` names.

    Args:
        uri: Path of a PEM file (``file2:`` may stand before it), or another signer URI of
            securesystemslib; for the latter `PUBLIC_KEY_VARIABLE` names the file of the public key.
        variables: The process's environment; `PASSWORD_VARIABLE` opens an encrypted key, and is
            the PIN of an HSM.

    Raises:
        VerificationError: There is no such key, it is readable by others, or it cannot be opened.
    """
    scheme, _, rest = uri.partition(":")
    password = variables.get(PASSWORD_VARIABLE)
    if scheme not in SIGNER_FOR_URI_SCHEME or scheme == CryptoSigner.SCHEME:
        path = Path(rest if scheme == CryptoSigner.SCHEME else uri).expanduser()
        return SigningKey(_load_file(path, password))
    public = variables.get(PUBLIC_KEY_VARIABLE)
    if not public:
        message = f"{uri} needs its public key: set {PUBLIC_KEY_VARIABLE} to the path of its file"
        raise VerificationError(message)
    signer = _Driven(uri, load_public_key(Path(public)), password)
    try:
        signer.public_key.verify_signature(signer.sign(_TRIAL), _TRIAL)
    except UnverifiedSignatureError:
        message = f"the signer {uri} cannot be used: it does not sign with the key in {public}"
        raise VerificationError(message) from None
    return SigningKey(signer)


_TRIAL = b"pytest-release asks whether this key can sign"  # what no envelope's signature covers


class _Driven(Signer):
    """A signer whose driver may fail in any way, and say anything when it does."""

    def __init__(self, uri: str, public_key: Key, password: str | None) -> None:
        self._uri = uri
        self._public_key = public_key
        self._password = password
        known = public_key
        if isinstance(public_key, GPGKey):
            known = openpgp.as_gnupg_knows_it(public_key)
        try:
            self._driver = Signer.from_priv_key_uri(uri, known, self._secret)
        except Exception as error:  # noqa: BLE001 - each driver has errors of its own
            raise self._failure(error) from None

    @property
    def public_key(self) -> Key:
        return self._public_key

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> Signer:
        raise NotImplementedError("load_signing_key makes these")

    def sign(self, payload: bytes) -> Signature:
        try:
            made = self._driver.sign(payload)
        except Exception as error:  # noqa: BLE001 - see above
            raise self._failure(error) from None
        return Signature(self._public_key.keyid, made.signature, made.unrecognized_fields)

    def _secret(self, what: str) -> str:
        if not self._password:
            raise VerificationError(f"it asks for a {what}; set {PASSWORD_VARIABLE}")
        return self._password

    def _failure(self, error: Exception) -> VerificationError:
        hide = Redactor(frozenset({self._password} if self._password else ()))
        reason = " ".join(hide(str(error)).split()) or type(error).__name__
        return VerificationError(f"the signer {self._uri} cannot be used: {one_line(reason)}")


def _load_file(path: Path, password: str | None) -> Signer:
    pem = _read(path, "private key")
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        message = f"the private key {path} has mode {mode:04o}: others can read it"
        raise VerificationError(f"{message}; run: chmod 600 {path}")
    try:
        key = serialization.load_pem_private_key(pem, password.encode() if password else None)
        return CryptoSigner(key)
    except TypeError:
        state = "is not encrypted" if password else "is encrypted"
        advice = "unset" if password else "set"
        message = f"the private key {path} {state}; {advice} {PASSWORD_VARIABLE}"
        raise VerificationError(message) from None
    except (ValueError, UnsupportedAlgorithm):
        reason = "is no private key in PEM" + (", or the password is wrong" if password else "")
        raise VerificationError(f"{path} {reason}") from None


def load_public_key(path: Path) -> Key:
    """The public key in a file: PEM, or an OpenPGP key as JSON (`openpgp`).

    Raises:
        VerificationError: There is none; a private key is refused, since it must not travel.
    """
    content = _read(path, "public key")
    if b"PRIVATE KEY" in content:
        raise VerificationError(f"{path} is a private key; give the public one ({path}.pub)")
    if content.startswith(b"{"):
        try:
            return openpgp.parse(content)
        except ValueError as error:
            raise VerificationError(f"{path} is no public key: {error}") from None
    try:
        return SSlibKey.from_crypto(serialization.load_pem_public_key(content))
    except (ValueError, UnsupportedAlgorithm, LibraryError):
        raise VerificationError(f"{path} is no public key in PEM") from None


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(LARGEST)
    except OSError as error:
        reason = error.strerror or os.strerror(error.errno or 0)
        raise VerificationError(f"the {what} {path} cannot be read: {reason}") from None


def fingerprint(key: Key) -> str:
    """A key as people compare it: the SHA-256 that securesystemslib derives from the key itself."""
    return f"SHA256:{key.keyid}"
