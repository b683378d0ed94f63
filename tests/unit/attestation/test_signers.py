"""Signers that are no file: an HSM (SoftHSM through PKCS#11), GnuPG, and what fails in drivers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from securesystemslib.dsse import Envelope
from securesystemslib.signer import (
    KEY_FOR_TYPE_AND_SCHEME,
    SIGNER_FOR_URI_SCHEME,
    Key,
    Signature,
    Signer,
)

from pytest_release.atomic import canonical_json
from pytest_release.attestation import openpgp
from pytest_release.attestation.envelope import countersign, open_envelope, sign
from pytest_release.attestation.keys import (
    PASSWORD_VARIABLE,
    PUBLIC_KEY_VARIABLE,
    _Driven,
    ephemeral,
    fingerprint,
    generate,
    load_public_key,
    load_signing_key,
)
from pytest_release.errors import VerificationError

PIN = "471100"
PAGE = Path(__file__).parents[3] / "docs" / "signing.md"
MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so")


@dataclass(frozen=True)
class Place:
    """Where a private key is, and the file of its public half."""

    uri: str
    public: Path

    def variables(self, password: str | None = None) -> dict[str, str]:
        """The environment that a signer needs."""
        found = {PUBLIC_KEY_VARIABLE: str(self.public)}
        return found | ({PASSWORD_VARIABLE: password} if password else {})


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A SoftHSM token with a P-256 key that never leaves it."""
    folder = tmp_path_factory.mktemp("hsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        patch.setenv("PYKCS11LIB", next(filter(os.path.exists, MODULES), MODULES[0]))
        words = ["--init-token", "--free", "--label", "gate", "--pin", PIN, "--so-pin", "000000"]
        subprocess.run(["softhsm2-util", *words], check=True, capture_output=True)
        yield Place("hsm:2?label=gate", make_key(folder / "gate.pub"))


def make_key(public: Path) -> Path:
    """Make the pair inside the token; write the public half to a file, as the page says."""
    import pkcs11
    from pkcs11.util.ec import encode_named_curve_parameters

    device = pkcs11.lib(os.environ["PYKCS11LIB"]).get_token(token_label="gate")
    curve = {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
    with device.open(rw=True, user_pin=PIN) as session:
        parameters = session.create_domain_parameters(pkcs11.KeyType.EC, curve, local=True)
        parameters.generate_keypair(store=True, id=b"\x02")
    assert public_half("An HSM", public, "2", "gate") == "hsm:2?label=gate"
    return public


def public_half(chapter: str, public: Path, *words: str) -> str:
    """Run the script of a chapter of ``docs/signing.md``: the file it makes, and the URI."""
    _, text = PAGE.read_text().split(f"\n## {chapter}\n")
    source = text.split("```python\n")[1].split("```")[0]
    command = [sys.executable, "-c", source, *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    public.write_text(done.stdout)
    return done.stderr.strip()


@pytest.mark.needs("softhsm2-util")
def test_an_hsm_signs(token: Place) -> None:
    """The key stays in the token; its public half is a PEM file as any other."""
    key = load_signing_key(token.uri, token.variables(PIN))
    public = load_public_key(token.public)

    assert open_envelope(sign({"a": 1}, key.signer), [public]).statement == {"a": 1}
    assert key.ephemeral_pem is None


@pytest.mark.needs("softhsm2-util")
@pytest.mark.parametrize(
    ("uri", "pin", "reason"),
    [
        ("hsm:2?label=gate", "999999", r"PinIncorrect$"),
        ("hsm:2?label=gate", None, rf"it asks for a pin; set {PASSWORD_VARIABLE}$"),
        ("hsm:9?label=gate", PIN, r"could not find ECDSA private key on the PKCS#11 token$"),
        ("hsm:2?label=other", PIN, r"No PKCS#11 token found for label other$"),
        ("hsm:two", PIN, r"invalid literal for int\(\) with base 10: 'two'$"),
    ],
)
def test_an_hsm_that_does_not_sign(token: Place, uri: str, pin: str | None, reason: str) -> None:
    """What is wrong is said before the run begins, and the PIN is not."""
    with pytest.raises(
        VerificationError, match=rf"^the signer hsm:.*cannot be used: {reason}"
    ) as e:
        load_signing_key(uri, token.variables(pin))
    assert pin is None or pin not in str(e.value)


@pytest.mark.needs("softhsm2-util")
def test_a_module_that_is_not_there(token: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver's library is named."""
    monkeypatch.setenv("PYKCS11LIB", "/nowhere.so")

    with pytest.raises(VerificationError, match=r"OS exception while loading /nowhere\.so"):
        load_signing_key(token.uri, token.variables(PIN))


@pytest.mark.needs("softhsm2-util")
def test_an_hsm_and_the_key_of_another(token: Place, tmp_path: Path) -> None:
    """A public key that does not belong to the private one is found before anything is signed."""
    public = pem(tmp_path / "other.pub", ec.generate_private_key(ec.SECP256R1()).public_key())

    with pytest.raises(VerificationError, match=r"it does not sign with the key in .*other\.pub"):
        load_signing_key(token.uri, Place(token.uri, public).variables(PIN))


def pem(path: Path, key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> Path:
    """Write a public key."""
    path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


@pytest.fixture(scope="module", params=["ed25519", "rsa3072"])
def keyring(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """A GnuPG home with one key, and its public half as JSON."""
    home = tmp_path_factory.mktemp("g")  # short: the agent's socket is in it
    home.chmod(0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet"]
    make = ["--passphrase", "", "--quick-gen-key", "ci@example.org", request.param, "sign", "never"]
    subprocess.run([*gpg, *make], check=True, capture_output=True)
    listed = subprocess.run(
        [*gpg, "--list-keys", "--with-colons"], check=True, capture_output=True, text=True
    )
    (number,) = [line.split(":")[9] for line in listed.stdout.splitlines() if line[:3] == "fpr"]
    public = home / "ci.json"
    yield Place(public_half("GnuPG", public, number, str(home)), public)
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)


@pytest.mark.needs("gpg")
def test_gnupg_signs(keyring: Place) -> None:
    """The signature is by the OpenPGP key, and verified without gpg."""
    key = load_signing_key(keyring.uri, keyring.variables())
    public = load_public_key(keyring.public)
    line = sign({"a": 1}, key.signer)

    assert open_envelope(line, [public]).keys == {public.keyid: public}
    assert set(json.loads(line)["signatures"][0]) == {"keyid", "sig", "other_headers"}


@pytest.mark.needs("gpg")
def test_gnupg_and_a_file_sign_one_line(keyring: Place) -> None:
    """Either may countersign what the other signed, and both count."""
    gnupg, file = load_signing_key(keyring.uri, keyring.variables()).signer, ephemeral().signer
    keys = [gnupg.public_key, file.public_key]

    for first, second in ((gnupg, file), (file, gnupg)):
        line = countersign(sign({}, first), [first.public_key], second)
        assert set(open_envelope(line, keys, 2).keys) == {key.keyid for key in keys}


@pytest.mark.needs("gpg")
def test_others_verify_what_gnupg_signed(keyring: Place) -> None:
    """securesystemslib alone reads the key's file and verifies the envelope."""
    line = json.loads(sign({}, load_signing_key(keyring.uri, keyring.variables()).signer))
    key_id = line["signatures"][0]["keyid"]
    key = Key.from_dict(key_id, json.loads(keyring.public.read_text()))

    assert Envelope.from_dict(line).verify([key], 1) == {key_id: key}


@pytest.mark.needs("gpg")
def test_one_key_in_two_files_is_one_key(keyring: Place, tmp_path: Path) -> None:
    """An OpenPGP key and its PEM have one id: together they meet no threshold of two."""
    trusted = load_public_key(keyring.public)
    crypto = openpgp._crypto(trusted.scheme, trusted.keyval["public"])
    (tmp_path / "same.pub").write_bytes(
        crypto.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    plain = load_public_key(tmp_path / "same.pub")
    line = sign({}, load_signing_key(keyring.uri, keyring.variables()).signer)

    assert fingerprint(trusted) == fingerprint(plain)
    with pytest.raises(VerificationError, match="the same key was given twice"):
        open_envelope(line, [trusted, plain], 2)
    with pytest.raises(VerificationError, match="has not the form of its key's"):
        open_envelope(line, [plain])


@pytest.mark.needs("gpg")
def test_any_change_of_an_openpgp_signature_is_found(keyring: Place) -> None:
    """Each byte of a line, its headers' included, is one that was signed or is refused."""
    public = load_public_key(keyring.public)
    line = sign({}, load_signing_key(keyring.uri, keyring.variables()).signer).rstrip(b"\n")

    for place, byte in enumerate(line):
        for change in (0x01, 0x20):  # the latter is the case of a letter
            changed = line[:place] + bytes([byte ^ change]) + line[place + 1 :]
            with pytest.raises(VerificationError, match=r"."):
                open_envelope(changed, [public])


@pytest.mark.needs("gpg")
@pytest.mark.parametrize(
    "headers", [None, "", "0400", "040100080000", "040000080002", "0400000a0000"]
)
def test_headers_that_are_none(keyring: Place, headers: object) -> None:
    """What stands for the hashed headers has their form, or is refused before it is used."""
    public = load_public_key(keyring.public)
    data = json.loads(sign({}, load_signing_key(keyring.uri, keyring.variables()).signer))
    data["signatures"][0]["other_headers"] = headers
    if headers is None:
        del data["signatures"][0]["other_headers"]

    with pytest.raises(VerificationError, match="has not the form of its key's"):
        open_envelope(canonical_json(data), [public])


def test_an_rsa_signature_has_one_length(tmp_path: Path) -> None:
    """OpenPGP leaves leading zeros out: the same number with them is another line, and refused."""
    keyval = {"private": "", "public": {"e": "010001", "n": f"{(1 << 2047) + 1:x}"}}
    content = document(keytype="rsa", scheme="pgp+rsa-pkcsv1.5", keyval=keyval)
    (tmp_path / "key.json").write_bytes(content)
    key = load_public_key(tmp_path / "key.json")
    headers = {"other_headers": "040001080000"}

    assert openpgp.fits(Signature(key.keyid, "01", headers), key)
    assert not openpgp.fits(Signature(key.keyid, "0001", headers), key)


@pytest.mark.needs("gpg")
def test_gnupg_without_the_key(keyring: Place, tmp_path: Path) -> None:
    """What gpg says is one line of one sentence."""
    with pytest.raises(VerificationError, match=r"^the signer gnupg:.*cannot be used: .*") as e:
        load_signing_key(f"gnupg:{tmp_path}/nobody", keyring.variables())
    assert "\n" not in str(e.value)


def document(**changes: object) -> bytes:
    """An OpenPGP key as JSON, changed."""
    made = {
        "fingerprint": "1cfbe90c4baf784c3fea7b2f5e8d9fa0fe38f5b4",
        "keytype": "eddsa",
        "scheme": "pgp+eddsa-ed25519",
        "keyval": {"private": "", "public": {"q": "49d181930b4b92f2767f03f980ed67d8" * 2}},
    }
    return json.dumps(made | changes).encode()


WEAK = {"private": "", "public": {"e": "010001", "n": f"{(1 << 1023) + 1:x}"}}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (document(more=1), "its members are not those of an OpenPGP key"),
        (document(fingerprint="x --output /etc/passwd"), "its members are not those"),
        (document(fingerprint=7), "it is no OpenPGP key"),
        (document(keyval={}), "it is no OpenPGP key"),
        (document(keyval={"public": {"q": "00"}}), "An Ed25519 public key is 32 bytes long"),
        (document(keytype="rsa"), "Unsupported public key rsa/pgp[+]eddsa-ed25519"),
        (document(scheme="pgp+dsa-fips-180-2"), "it is neither Ed25519 nor RSA of at least 2048"),
        (document(scheme="pgp+rsa-pkcsv1.5", keyval=WEAK), "it is neither Ed25519 nor RSA"),
        (b"{", "Expecting property name"),
    ],
)
def test_a_document_that_is_no_key(tmp_path: Path, content: bytes, reason: str) -> None:
    """Nothing of it becomes an argument of gpg, and what is not taken is said."""
    (tmp_path / "key.json").write_bytes(content)

    with pytest.raises(VerificationError, match=rf"key\.json is no public key: {reason}"):
        load_public_key(tmp_path / "key.json")


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("awskms:alias/gate", "Signing with AWS KMS requires aws-kms and cryptography."),
        ("azurekms://vault/keys/gate/1", "Signing with Azure Key Vault requires azure-identity"),
        ("gcpkms:projects/p", "google-cloud-kms library required"),
        ("hv:gate/1", "Signing with HashiCorp Vault requires hvac and cryptography"),
        ("hv:gate", "not enough values to unpack"),
        ("tkey:?digest=00", "TKeySigner: No module named"),
        ("tkey:", "TKey URI must include 'digest'"),
        ("gnupg:", "expected GPGKey for gnupg:"),
    ],
)
def test_a_signer_that_cannot_be_reached(tmp_path: Path, uri: str, reason: str) -> None:
    """A missing library or a wrong URI is one sentence that names the signer."""
    generate(tmp_path / "ci.pem")
    variables = Place(uri, tmp_path / "ci.pem.pub").variables()

    with pytest.raises(VerificationError) as e:  # noqa: PT011 - matched below, as plain text
        load_signing_key(uri, variables)
    assert str(e.value).startswith(f"the signer {uri} cannot be used: {reason}")
    assert "\n" not in str(e.value)


class Talkative(Signer):
    """A driver that asks for the PIN, and says it when it fails."""

    def __init__(self, key: Key, pin: str) -> None:
        self._key, self._pin = key, pin

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: object = None
    ) -> Talkative:
        """As the library calls it."""
        assert callable(secrets_handler)
        return cls(public_key, secrets_handler("pin"))

    @property
    def public_key(self) -> Key:
        """As it was given."""
        return self._key

    def sign(self, payload: bytes) -> Signature:
        """Fail."""
        raise LookupError(f"login({self._pin})\n\x1b[31m failed:\n{self._pin}")


def test_what_a_driver_says_is_without_the_pin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any exception becomes one line that steers no terminal, with the PIN masked."""
    monkeypatch.setitem(SIGNER_FOR_URI_SCHEME, "talk", Talkative)
    generate(tmp_path / "ci.pem")
    variables = Place("talk:1", tmp_path / "ci.pem.pub").variables(PIN)

    expected = r"^the signer talk:1 cannot be used: login\(\*\*\*\) \\x1b\[31m failed: \*\*\*$"
    with pytest.raises(VerificationError, match=expected):
        load_signing_key("talk:1", variables)


def test_a_driven_signer_is_made_one_way(tmp_path: Path) -> None:
    """The library's own way to make signers would leave out the proof that it can sign."""
    with pytest.raises(NotImplementedError, match="load_signing_key makes these"):
        _Driven.from_priv_key_uri("hsm:2", generate(tmp_path / "ci.pem"))


def test_the_library_has_no_signer_that_is_not_tested_here() -> None:
    """A new scheme of securesystemslib is looked at before it is promised."""
    tested = {"file2", "gcpkms", "hsm", "gnupg", "azurekms", "awskms", "hv", "tkey"}

    assert set(SIGNER_FOR_URI_SCHEME) <= tested
    assert ("eddsa", "pgp+eddsa-ed25519") in KEY_FOR_TYPE_AND_SCHEME
