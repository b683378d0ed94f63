"""The certificate, and the versions of TLS that are taken."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID

from pytest_release.gates._security_site import Site, shown
from pytest_release.targets.hello import offer
from pytest_release.targets.tls import (
    Handshake,
    Place,
    TlsRefusedError,
    looking,
    offering,
    shake,
    trusting,
)

MIN_DAYS = 14
RSA_BITS = 2048
CURVE_BITS = 256
WEAK_HASHES = frozenset({"md2", "md4", "md5", "sha1"})
NEEDED = ("TLSv1.2", "TLSv1.3")
REFUSED = ("SSLv3", "TLSv1", "TLSv1.1")
CODES_OF_A_MISSING_PART = frozenset({2, 20, 21})  # no issuer was found


def certificate(site: Site) -> None:
    """Trusted, for this host, valid for a while yet, and of a key and signature that hold."""
    place = Place.of(site.url)
    handshake = shake(place, looking(), site.timeout_s)
    site.samples["handshake_ms"] = [handshake.ms]
    try:
        path = shake(place, trusting(site.ca_file), site.timeout_s).path
    except TlsRefusedError as error:
        _untrusted(site, handshake, error)
        path = ()
    chain = _read(site, path or handshake.shown)
    if not chain:
        site.stop("security.chain", f"{place} shows no certificate that can be read")
    links = chain[:-1] if len(path) > 1 else chain  # a root is trusted, whatever it is signed with
    try:
        _named(site, chain[0])
        _dated(site, links)
        for link in links:
            _strong(site, link)
    except ValueError as error:  # parts of a certificate are read when they are asked for
        message = f"the certificate of {place} cannot be read: {shown(str(error))}"
        site.find("security.chain", message)


def _read(site: Site, pems: Sequence[str]) -> list[x509.Certificate]:
    """The certificates; one that cannot be read is found, and what follows it left out."""
    chain = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd serial numbers and the like
            for pem in pems:
                chain.append(x509.load_pem_x509_certificate(pem.encode()))
                chain[-1].public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        message = f"certificate {len(chain)} of the chain cannot be read: {shown(str(error))}"
        site.find("security.chain", message)
    return chain


def _untrusted(site: Site, handshake: Handshake, error: TlsRefusedError) -> None:
    roots = site.ca_file or "this machine's roots"
    message = f"no path to {roots}: {shown(str(error))}"
    if error.verify_code in CODES_OF_A_MISSING_PART:
        count = len(handshake.shown)
        certificates = "1 certificate" if count == 1 else f"{count} certificates"
        message += (
            f"; the server sends {certificates}, its own included: is an intermediate missing?"
        )
    site.find("security.chain", message)


def _named(site: Site, own: x509.Certificate) -> None:
    names = _alternatives(own)
    for host in dict.fromkeys((site.host, *site.options.get("names", ()))):
        if not any(_covers(name, host) for name in names):
            listed = (
                ", ".join(names[:10]) or f"none; its common name {_common(own)!r} counts nothing"
            )
            message = f"the certificate is not for {host}, but for {shown(listed)}"
            site.find("security.host-name", message, expected=host, received=shown(listed))


def _alternatives(own: x509.Certificate) -> list[str]:
    try:
        extension = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    addresses = (str(each) for each in extension.get_values_for_type(x509.IPAddress))
    return [*extension.get_values_for_type(x509.DNSName), *addresses]


def _covers(name: str, host: str) -> bool:
    """RFC 9525, 6.3: a wildcard is the whole first label, for exactly one; none for addresses."""
    try:
        return ip_address(name) == ip_address(host)
    except ValueError:
        pass
    name, host = name.lower().rstrip("."), _ascii(host)
    if not name.startswith("*."):
        return name == host
    label, _, rest = host.partition(".")
    return bool(label) and rest == name[2:] and "." in rest and not _is_address(host)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _ascii(host: str) -> str:
    try:
        return host.encode("idna").decode().lower().rstrip(".")
    except UnicodeError:
        return host.lower()


def _common(own: x509.Certificate) -> str:
    found = own.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return shown(str(found[0].value)) if found else ""


def _dated(site: Site, links: Sequence[x509.Certificate]) -> None:
    now, least = datetime.now(UTC), int(site.expect.get("min_days", MIN_DAYS))
    left = [(link.not_valid_after_utc - now).total_seconds() / 86400 for link in links]
    site.samples["days_left"] = [min(left)]
    for link, days in zip(links, left, strict=True):
        who = f"the certificate of {_common(link) or 'no name'}"
        begins, ends = (
            f"{moment:%Y-%m-%d %H:%M} UTC"
            for moment in (link.not_valid_before_utc, link.not_valid_after_utc)
        )
        if link.not_valid_before_utc > now:
            site.find("security.not-yet-valid", f"{who} is valid only from {begins} on")
        if days <= 0:
            site.find("security.expired", f"{who} expired {-days:.1f} days ago, on {ends}")
        elif days < least:
            message = f"{who} expires in {days:.1f} days, on {ends}; at least {least} are needed"
            site.find("security.days-left", message, f">= {least}", f"{days:.1f}")


def _strong(site: Site, link: x509.Certificate) -> None:
    who = f"the certificate of {_common(link) or 'no name'}"
    for weakness in _weaknesses(site, link):
        site.find("security.key", f"{who} has {weakness}")
    try:
        hashed = link.signature_hash_algorithm
    except UnsupportedAlgorithm:
        site.find("security.signature", f"{who} has a signature of an unknown kind")
        return
    if hashed is not None and hashed.name in WEAK_HASHES:
        message = f"{who} is signed with {hashed.name.upper()}, which can be forged"
        site.find("security.signature", message, "SHA-256 or better", hashed.name)


def _weaknesses(site: Site, link: x509.Certificate) -> Iterator[str]:
    key = link.public_key()
    match key:
        case rsa.RSAPublicKey():
            kind, least = "an RSA key", int(site.expect.get("rsa_bits", RSA_BITS))
        case ec.EllipticCurvePublicKey():
            kind, least = "a key on a curve", int(site.expect.get("curve_bits", CURVE_BITS))
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return
        case _:
            yield f"a key of a kind that browsers do not take: {type(key).__name__}"
            return
    if key.key_size < least:
        yield f"{kind} of {key.key_size} bits, at least {least} are needed"


def protocols(site: Site) -> None:
    """New versions are taken, old ones refused: by a refusal that was seen, not by silence."""
    place = Place.of(site.url)
    site.samples["handshake_ms"] = [shake(place, looking(), site.timeout_s).ms]
    for version in site.expect.get("accept", NEEDED):
        try:
            shake(place, offering(version), site.timeout_s)
        except TlsRefusedError as error:
            site.find(
                "security.protocol-refused", f"{place} refuses {version}: {shown(str(error))}"
            )
    for version in site.expect.get("refuse", REFUSED):
        reply = offer(place, version, site.timeout_s)
        if reply.accepted:
            message = f"{place} takes {version} ({reply.how})"
            site.find("security.protocol-accepted", message, "a refusal", reply.how)
        elif reply.accepted is None:
            message = f"that {place} refuses {version} could not be shown: {shown(reply.how)}"
            site.find("security.not-shown", message)
