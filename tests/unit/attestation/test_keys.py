"""Tests of `pytest_release.attestation.keys`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from pytest_release.attestation.envelope import open_envelope, sign
from pytest_release.attestation.keys import (
    PASSWORD_VARIABLE,
    PUBLIC_KEY_VARIABLE,
    ephemeral,
    fingerprint,
    generate,
    load_public_key,
    load_signing_key,
)
from pytest_release.errors import VerificationError


@pytest.mark.parametrize("password", [None, "correct horse"])
def test_a_generated_key_signs(tmp_path: Path, password: str | None) -> None:
    """The private file signs, the public one verifies, and only the owner can read the former."""
    path = tmp_path / "ci.pem"
    made = generate(path, password)
    key = load_signing_key(str(path), {PASSWORD_VARIABLE: password} if password else {})
    public = load_public_key(tmp_path / "ci.pem.pub")

    assert open_envelope(sign({"a": 1}, key.signer), [public]).statement == {"a": 1}
    assert path.stat().st_mode & 0o777 == 0o600
    assert fingerprint(made) == fingerprint(public)
    assert fingerprint(made).startswith("SHA256:")
    assert key.ephemeral_pem is None


@pytest.mark.parametrize("taken", ["ci.pem", "ci.pem.pub"])
def test_a_key_is_never_overwritten(tmp_path: Path, taken: str) -> None:
    """A file in the way of either half stays as it is, and nothing is written."""
    (tmp_path / taken).write_text("mine")

    with pytest.raises(VerificationError, match=f"{taken} exists; a key is never overwritten"):
        generate(tmp_path / "ci.pem")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["mine"]


def test_an_empty_password_is_refused(tmp_path: Path) -> None:
    """Return at the prompt does not make a key that looks encrypted."""
    with pytest.raises(VerificationError, match="an empty password protects nothing"):
        generate(tmp_path / "ci.pem", "")


def test_a_key_needs_a_folder(tmp_path: Path) -> None:
    """A folder that is not there is said, not made."""
    with pytest.raises(VerificationError, match=r"ci.pem cannot be written: No such file"):
        generate(tmp_path / "nowhere" / "ci.pem")


def lax(path: Path) -> dict[str, str]:
    """Readable by the group."""
    path.chmod(0o640)
    return {}


def locked(path: Path) -> dict[str, str]:
    """Encrypted, and nobody says how."""
    encrypt(path)
    return {}


def badly_opened(path: Path) -> dict[str, str]:
    """Encrypted with another password."""
    encrypt(path)
    return {PASSWORD_VARIABLE: "wrong"}


def encrypt(path: Path) -> None:
    """Replace the key by an encrypted one."""
    path.unlink()
    path.with_name(f"{path.name}.pub").unlink()
    generate(path, "right")


def garbled(path: Path) -> dict[str, str]:
    """Not PEM at all."""
    path.write_text("hello")
    return {}


def absent(path: Path) -> dict[str, str]:
    """Not there."""
    path.unlink()
    return {}


REFUSED: dict[str, Callable[[Path], dict[str, str]]] = {
    r"ci.pem has mode 0640: others can read it; run: chmod 600 .*ci.pem": lax,
    f"ci.pem is encrypted; set {PASSWORD_VARIABLE}": locked,
    "ci.pem is no private key in PEM, or the password is wrong": badly_opened,
    f"ci.pem is not encrypted; unset {PASSWORD_VARIABLE}": lambda _: {PASSWORD_VARIABLE: "x"},
    "ci.pem is no private key in PEM$": garbled,
    "the private key .*ci.pem cannot be read: No such file": absent,
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_private_key_that_is_refused(tmp_path: Path, reason: str) -> None:
    """The message names the file and what to do."""
    path = tmp_path / "ci.pem"
    generate(path)
    variables = REFUSED[reason](path)

    with pytest.raises(VerificationError, match=reason):
        load_signing_key(str(path), variables)


def test_a_signer_uri_needs_its_public_key() -> None:
    """A signer that is not a PEM file is told apart by its scheme."""
    with pytest.raises(VerificationError, match=f"set {PUBLIC_KEY_VARIABLE} to the path"):
        load_signing_key("hsm:2", {})


@pytest.mark.parametrize("password", [None, "correct horse"])
def test_a_file_uri_is_the_file(tmp_path: Path, password: str | None) -> None:
    """``file2:`` opens what the path opens, encrypted or not."""
    made = generate(tmp_path / "ci.pem", password)
    variables = {PASSWORD_VARIABLE: password} if password else {}
    key = load_signing_key(f"file2:{tmp_path}/ci.pem", variables)

    assert open_envelope(sign({}, key.signer), [made]).keys == {made.keyid: made}


def test_a_file_uri_does_not_evade_the_mode(tmp_path: Path) -> None:
    """A private key that others can read is refused however it is named."""
    generate(tmp_path / "ci.pem")
    (tmp_path / "ci.pem").chmod(0o644)

    with pytest.raises(VerificationError, match="has mode 0644: others can read it"):
        load_signing_key(f"file2:{tmp_path}/ci.pem", {})


def test_a_private_key_is_no_public_key(tmp_path: Path) -> None:
    """Whoever gives the private key to verify is told of the other file."""
    generate(tmp_path / "ci.pem")

    with pytest.raises(VerificationError, match=r"is a private key; give the public one"):
        load_public_key(tmp_path / "ci.pem")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"hello", "is no public key in PEM"), (None, "cannot be read")],
)
def test_a_public_key_that_is_refused(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """What is no key, or is not there, is named."""
    if content is not None:
        (tmp_path / "key.pub").write_bytes(content)

    with pytest.raises(VerificationError, match=f"key.pub {reason}"):
        load_public_key(tmp_path / "key.pub")


@pytest.mark.parametrize(
    "private",
    [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())],
    ids=["rsa", "ecdsa"],
)
def test_other_kinds_of_keys_sign_too(
    tmp_path: Path, private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
) -> None:
    """We make ed25519; whoever has RSA or ECDSA keys may use them."""
    path = tmp_path / "key.pem"
    path.touch(0o600)
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = tmp_path / "key.pub"
    public.write_bytes(
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    line = sign({"a": 1}, load_signing_key(str(path), {}).signer)

    assert open_envelope(line, [load_public_key(public)]).statement == {"a": 1}


def test_an_ephemeral_key_carries_its_public_half(tmp_path: Path) -> None:
    """The PEM that goes into the bundle verifies what the key signs."""
    key = ephemeral()
    (tmp_path / "e.pub").write_bytes(key.ephemeral_pem or b"")

    line = sign({}, key.signer)
    assert open_envelope(line, [load_public_key(tmp_path / "e.pub")]).statement == {}
