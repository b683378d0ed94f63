"""What a container image's tag is at this moment: the digest of its manifest, from the registry.

OCI distribution specification 1.1, "Pulling manifests". The digest is computed from the bytes that
came, and what the registry's header says must be the same. `read_manifest` also logs in, as the
specification of distribution's token authentication says: with a name and a password where they are
given, else as nobody, which public registries want.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from ssl import SSLContext
from time import monotonic
from typing import Any

from pytest_release.errors import TargetError
from pytest_release.redaction import Secret, basic_credentials
from pytest_release.targets._httpx import httpx

REFERENCE = re.compile(
    r"(?P<host>[a-z0-9.-]+(?::\d+)?)/(?P<name>[a-z0-9._/-]+)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@sha256:(?P<digest>[0-9a-f]{64}))?",
    re.ASCII,
)
ACCEPT = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.list.v2",
        "docker.distribution.manifest.v2",
    )
)
HERE = re.compile(r"(?:localhost|127\.\d+\.\d+\.\d+)(?::\d+)?")  # where registries speak plain HTTP
LARGEST = 4 * 1024 * 1024  # bytes of a manifest, as the specification suggests
TIMEOUT_S = 10.0  # for each read, and again for the whole body
HUB = "registry-1.docker.io"  # where docker looks for images that name no registry
_HUB_NAMES = ("docker.io", "index.docker.io", HUB)
_BARE = re.compile(
    r"(?P<name>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@sha256:(?P<digest>[0-9a-f]{64}))?",
    re.ASCII,
)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Image:
    """A reference as docker reads it.

    Attributes:
        host: The registry; docker's own where the reference names none.
        name: Of the repository there.
        tag: Empty where it has none.
        digest: 64 hex digits; empty where it has none.
    """

    host: str
    name: str
    tag: str = ""
    digest: str = ""

    @property
    def moves(self) -> bool:
        """Whether nothing says which image is meant: no digest, and no tag but ``latest``."""
        return not self.digest and self.tag in ("", "latest")


@dataclass(frozen=True)
class Login:
    """Who asks one registry; nobody else is told.

    Attributes:
        host: Of the registry, with its port.
    """

    host: str
    username: str
    password: Secret


def read_image(reference: str) -> Image | None:
    """What a reference means; None when it is none. A first part that could be a host is one."""
    first, slash, _ = reference.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        match = REFERENCE.fullmatch(reference)
        host = match["host"] if match else ""
    else:
        match, host = _BARE.fullmatch(reference), HUB
    if match is None:
        return None
    name = match["name"]
    if host in _HUB_NAMES:
        host, name = HUB, name if "/" in name else f"library/{name}"
    return Image(host, name, match["tag"] or "", match["digest"] or "")


def read_manifest(image: Image, which: str, login: Login | None = None) -> tuple[str, bytes]:
    """SHA-256 of a manifest as 64 hex digits, and its bytes.

    Args:
        image: Whose registry and repository are asked.
        which: A tag, or ``sha256:...``; then the bytes are those.
        login: Used only if it is for this registry.

    Raises:
        TargetError: The registry does not give it, or gives other bytes.
    """
    shown = f"{image.host}/{image.name}"
    url = f"{_scheme(image.host)}://{image.host}/v2/{image.name}/manifests/{which}"
    own = login if login is not None and login.host == image.host else None
    try:
        with _client() as client:
            digest, body = _manifest(client, shown, url, {}, own)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        raise TargetError(f"the registry of {shown} cannot be asked: {error}") from None
    if which.startswith("sha256:") and which != f"sha256:{digest}":
        raise TargetError(f"{url} sends sha256:{digest}")
    return digest, body


def _client() -> httpx.Client:
    return httpx.Client(trust_env=False, timeout=TIMEOUT_S, verify=_trust())


@cache
def _trust() -> SSLContext:
    """Loaded once: it costs more than all the rest."""
    return httpx.create_ssl_context(trust_env=False)


def _scheme(host: str) -> str:
    return "http" if HERE.fullmatch(host) else "https"


def resolve_image(reference: str) -> str:
    """SHA-256 of the manifest that a reference names, as 64 hex digits.

    Args:
        reference: ``registry/name:tag``, or ``registry/name@sha256:...``, which is not asked for.

    Raises:
        TargetError: The reference is none, or the registry does not give the manifest.
    """
    match = REFERENCE.fullmatch(reference)
    if match is None or not (match["tag"] or match["digest"]):
        expected = "registry/name:tag or registry/name@sha256:DIGEST"
        raise TargetError(f"{reference!a} is no image's reference: expected {expected}")
    if match["digest"]:
        return match["digest"]
    url = f"{_scheme(match['host'])}://{match['host']}/v2/{match['name']}/manifests/{match['tag']}"
    try:
        return _digest(reference, url)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:  # the latter: of host names
        raise TargetError(f"the registry of {reference} cannot be asked: {error}") from None


def _digest(reference: str, url: str) -> str:
    with _client() as client:
        return _manifest(client, reference, url, {}, None, log_in=False)[0]


def _manifest(
    client: httpx.Client,
    reference: str,
    url: str,
    headers: dict[str, str],
    login: Login | None,
    *,
    log_in: bool = True,
) -> tuple[str, bytes]:
    with client.stream("GET", url, headers={"Accept": ACCEPT, **headers}) as answer:
        status, named = answer.status_code, answer.headers.get("docker-content-digest")
        challenge = answer.headers.get("www-authenticate", "") if status == 401 and log_in else ""
        body = _whole(answer, url) if status == 200 else b""
    if allowed := _authorisation(client, reference, url, challenge, login):
        given = {"Authorization": allowed}
        return _manifest(client, reference, url, given, login, log_in=False)
    if status == 401:
        advice = "name the image by its digest" if login is None else "its login is refused"
        raise TargetError(f"the registry of {reference} asks for a login: {advice}")
    if status != 200:
        raise TargetError(f"{url} answers {status}, a manifest was expected")
    digest = sha256(body).hexdigest()
    if named is not None and named != f"sha256:{digest}":
        raise TargetError(f"{url} says it sends {named!r}, and sends sha256:{digest}")
    return digest, body


def _whole(answer: httpx.Response, url: str) -> bytes:
    body, ends = b"", monotonic() + TIMEOUT_S
    for piece in answer.iter_bytes():
        body += piece
        if len(body) > LARGEST:
            raise TargetError(f"{url} answers more than {LARGEST} bytes")
        if monotonic() > ends:
            raise TargetError(f"{url} has not sent the whole manifest within {TIMEOUT_S:g} s")
    return body


def _authorisation(
    client: httpx.Client, reference: str, url: str, challenge: str, login: Login | None
) -> str:
    """What a challenge is answered with; empty where it cannot be.

    A password goes to the registry itself, or to where it sends for tokens over TLS.
    """
    kind, _, rest = challenge.partition(" ")
    pair = (login.username, login.password.reveal()) if login else None
    if kind.lower() == "basic" and pair:
        return _basic(pair)["Authorization"]
    said = dict(_CHALLENGE.findall(rest))
    realm = said.get("realm", "")
    safe = realm.startswith("https://") or HERE.fullmatch(httpx.URL(url).netloc.decode())
    if kind.lower() != "bearer" or not realm.startswith(("https://", "http://")) or not safe:
        return ""
    asked = {name: said[name] for name in ("service", "scope") if name in said}
    with client.stream("GET", realm, params=asked, headers=_basic(pair) if pair else {}) as answer:
        if answer.status_code != 200:
            raise TargetError(f"the registry of {reference} gives no token: {answer.status_code}")
        body = _whole(answer, realm)
    try:
        told: dict[str, Any] = json.loads(body)
        token = told.get("token") or told["access_token"]
    except (ValueError, RecursionError, KeyError, AttributeError, TypeError):
        token = None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable():
        raise TargetError(f"the registry of {reference} gives a token that is none")
    return f"Bearer {token}"


def _basic(pair: tuple[str, str]) -> dict[str, str]:
    return {"Authorization": f"Basic {basic_credentials(*pair)}"}
