"""What a container image's tag is at this moment: the digest of its manifest, from the registry.

OCI distribution specification 1.1, "Pulling manifests". The digest is computed from the bytes that
came, and what the registry's header says must be the same.
"""

from __future__ import annotations

import re
from hashlib import sha256
from time import monotonic

from pytest_release.errors import TargetError
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
    scheme = "http" if HERE.fullmatch(match["host"]) else "https"
    url = f"{scheme}://{match['host']}/v2/{match['name']}/manifests/{match['tag']}"
    try:
        return _digest(reference, url)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:  # the latter: of host names
        raise TargetError(f"the registry of {reference} cannot be asked: {error}") from None


def _digest(reference: str, url: str) -> str:
    with (
        httpx.Client(trust_env=False, timeout=TIMEOUT_S) as client,
        client.stream("GET", url, headers={"Accept": ACCEPT}) as answer,
    ):
        if answer.status_code == 401:
            advice = "name the image by its digest"
            raise TargetError(f"the registry of {reference} asks for a login: {advice}")
        if answer.status_code != 200:
            raise TargetError(f"{url} answers {answer.status_code}, a manifest was expected")
        body, ends = b"", monotonic() + TIMEOUT_S
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > LARGEST:
                raise TargetError(f"{url} answers more than {LARGEST} bytes")
            if monotonic() > ends:
                raise TargetError(f"{url} has not sent the whole manifest within {TIMEOUT_S:g} s")
        digest = sha256(body).hexdigest()
        named = answer.headers.get("docker-content-digest", f"sha256:{digest}")
        if named != f"sha256:{digest}":
            raise TargetError(f"{url} says it sends {named!r}, and sends sha256:{digest}")
        return digest
