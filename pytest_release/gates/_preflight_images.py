"""What a stack is made of: it parses, its images are built and named, and the registry has them."""

from __future__ import annotations

import json
import platform
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pytest_release.errors import TargetError
from pytest_release.evidence import Finding, Severity
from pytest_release.gates._preflight_stack import Stack, found, named
from pytest_release.targets.compose import ComposeError
from pytest_release.targets.registry import Image, read_image, read_manifest

MOVING = ("latest", "stable", "edge", "main", "master", "nightly", "dev")
MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def compose(stack: Stack) -> Iterator[Finding]:
    """compose understands the stack, and nothing that it needs is left open."""
    try:
        rendered = stack.rendered
    except ComposeError as error:
        yield found("does-not-parse", str(error), "a stack that compose understands")
        return
    where = f"{stack.compose.file}"
    for name in rendered.unset:
        message = (
            f"{where} uses the variable {name}, which {stack.env_name} does not set: compose "
            "takes it for empty"
        )
        yield found("unset-variable", message, f"{name}=...", "nothing")
    if not rendered.services:
        yield found("no-services", f"{where} has no service", "at least one")
    for name in stack.option("services", []):
        if name not in rendered.services:
            message = f"{where} has no service {name}, only {named(list(rendered.services))}"
            yield found("no-such-service", message, name)


def images(stack: Stack) -> Iterator[Finding]:
    """Nothing is built where it runs, and every image says which one it is."""
    moving = stack.option("moving_tags", list(MOVING))
    for name, service in stack.rendered.services.items():
        severity = Severity.FAILURE if stack.counts(name) else Severity.NOTE
        reference = str(service.get("image") or "")
        if service.get("build") is not None:
            message = (
                f"{_at(stack, name)} has build: it is made where it runs, from what lies there"
            )
            yield found("build", message, "an image that was built and tested before", "", severity)
        elif reference:
            yield from _reference(_at(stack, name), reference, moving, severity)
        else:
            yield found("no-image", f"{_at(stack, name)} names no image", "an image")


def _reference(
    where: str, reference: str, moving: Collection[str], severity: Severity
) -> Iterator[Finding]:
    """Whether an image's reference says which image is meant."""
    image = read_image(reference)
    if image is None:
        message = f"{where} has the image {reference!r}, which is no reference"
        yield found("bad-image", message, "registry/name:tag@sha256:...", reference)
    elif image.moves:
        what = f"the tag {image.tag}" if image.tag else "no tag, which means latest"
        message = f"{where} has the image {reference} with {what}"
        yield found("latest", message, "a digest", reference, severity)
    elif not image.digest and image.tag in moving:
        message = f"{where} has the image {reference}: the tag {image.tag} moves"
        yield found("moving-tag", message, "a digest", reference, severity)


def digests(stack: Stack) -> Iterator[Finding]:
    """Images are pinned, the registry has what they are pinned to, and their tags still say so."""
    seen: dict[str, tuple[Finding, ...]] = {}
    for name, image, reference in _named(stack):
        if not image.digest and stack.counts(name):
            message = (
                f"{_at(stack, name)} has the image {reference} without a digest: whoever pushes "
                "the tag changes what runs"
            )
            yield found("not-pinned", message, "@sha256:...", reference)
        if reference not in seen:
            seen[reference] = tuple(_resolved(stack, _at(stack, name), image))
            yield from seen[reference]
    stack.count("images", len(seen))


def _resolved(stack: Stack, where: str, image: Image) -> Iterator[Finding]:
    which = f"sha256:{image.digest}" if image.digest else image.tag or "latest"
    try:
        read_manifest(image, which, stack.login)
    except TargetError as error:
        message = f"{where}: its image cannot be had: {error}"
        yield found("unresolvable", message, "a manifest")
        return
    if not (image.digest and image.tag):
        return
    try:
        now, _ = read_manifest(image, image.tag, stack.login)
    except TargetError as error:
        message = f"{where}: the tag {image.tag} beside the digest cannot be had: {error}"
        yield found("tag-gone", message, "", "", Severity.WARNING)
        return
    if now != image.digest:
        message = (
            f"{where} has {image.name}:{image.tag} pinned to sha256:{image.digest[:12]}, and the "
            f"registry's tag {image.tag} is sha256:{now[:12]} now: it was pushed again"
        )
        yield found("tag-moved", message, f"sha256:{image.digest}", f"sha256:{now}")


def _named(stack: Stack) -> Iterator[tuple[str, Image, str]]:
    for name, service in stack.rendered.services.items():
        reference = str(service.get("image") or "")
        image = read_image(reference)
        if image is not None and service.get("build") is None:
            yield name, image, reference


def room_for_images(stack: Stack) -> int:
    """Bytes of all layers, each once, as the registry has them: compressed.

    Raises:
        TargetError: The registry does not give a manifest, or it is none.
    """
    layers: dict[str, int] = {}
    for _, image, _ in _named(stack):
        which = f"sha256:{image.digest}" if image.digest else image.tag or "latest"
        _, body = read_manifest(image, which, stack.login)
        manifest = _document(image, body)
        if "manifests" in manifest:
            _, body = read_manifest(image, _own(image, manifest), stack.login)
            manifest = _document(image, body)
        try:
            layers |= {str(part["digest"]): int(part["size"]) for part in manifest["layers"]}
        except (KeyError, TypeError, ValueError):
            raise TargetError(f"the manifest of {image.name} lists no layers") from None
    return sum(size for size in layers.values() if size > 0)


def _document(image: Image, body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise TargetError(f"the manifest of {image.host}/{image.name} is no JSON object")
    return document


def _own(image: Image, index: Mapping[str, Any]) -> str:
    """The digest of this machine's manifest in an index."""
    machine = MACHINES.get(platform.machine(), platform.machine())
    entries = index["manifests"] if isinstance(index["manifests"], list) else []
    for entry in entries:
        of = entry.get("platform") if isinstance(entry, dict) else None
        if isinstance(of, dict) and (of.get("os"), of.get("architecture")) == ("linux", machine):
            return str(entry.get("digest"))
    raise TargetError(f"the image {image.name} is not made for linux/{machine}")


def _at(stack: Stack, service: str) -> str:
    return f"{stack.compose.file}: the service {service}"
