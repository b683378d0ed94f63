"""Certificates of the sandbox's edge: a root, an intermediate, the edge's own; and bad ones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
NAMES = ("localhost", "edge.example")
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Authority:
    """Whoever signs.

    Args:
        name: Common name.
        parent: Whose signature it carries; its own without.
    """

    def __init__(self, name: str, parent: Authority | None = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = _name(name)
        now = datetime.now(UTC)
        signer = parent or self
        self.certificate = (
            _builder(self.name, signer.name, self.key, now - timedelta(days=400))
            .not_valid_after(now + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(signer.key, hashes.SHA256())
        )

    def issue(self, key: Key, host: str, begins: datetime, ends: datetime) -> x509.Certificate:
        """The certificate of a server."""
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in NAMES]
        names.append(x509.IPAddress(ip_address(host)) if host == HOST else x509.DNSName(host))
        if host != HOST:
            names = names[-1:]
        return (
            _builder(_name("the edge"), self.name, key, begins)
            .not_valid_after(ends)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self.key, hashes.SHA256())
        )


def write(folder: Path, faults: frozenset[str]) -> None:
    """``ca.pem``, the root, and ``edge.pem``: the edge's key, its certificate, the intermediate."""
    root = Authority("root of the sandbox")
    middle = Authority("intermediate of the sandbox", root)
    now, days = datetime.now(UTC), timedelta(days=90)
    begins, ends, host = now - timedelta(days=1), now + days, HOST
    if "security.certificate-expired" in faults:
        begins, ends = now - days, now - timedelta(days=3)
    if "security.certificate-early" in faults:
        begins = now + timedelta(days=2)
    if "security.certificate-soon" in faults:
        ends = now + timedelta(days=5)
    if "security.certificate-elsewhere" in faults:
        host = "elsewhere.example"
    weak = "security.certificate-weak" in faults
    key: Key = ec.generate_private_key(ec.SECP256R1())
    if weak:
        key = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the fault
    signer = Authority("nobody") if "security.certificate-own" in faults else middle
    shown = [signer.issue(key, host, begins, ends), middle.certificate]
    if faults & {"security.certificate-alone", "security.certificate-own"}:
        del shown[1:]
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain = b"".join(each.public_bytes(Encoding.PEM) for each in shown)
    (folder / "edge.pem").touch(0o600)
    (folder / "edge.pem").write_bytes(secret + chain)
    (folder / "ca.pem").write_bytes(root.certificate.public_bytes(Encoding.PEM))


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Key, begins: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
    )
