"""Image references against Debian's docker-registry, and a run that names images."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from pytest_release.config.validation import validator
from pytest_release.errors import TargetError
from pytest_release.targets._httpx import httpx
from pytest_release.targets.registry import resolve_image

pytestmark = pytest.mark.needs("docker-registry", "setpriv")

CONFIGURATION = """\
version: 0.1
log: {{accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {folder}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:0"}}
"""
OCI = "application/vnd.oci.image"
LISTENING = re.compile(r"listening on (127\.0\.0\.1:\d+)")
ENVIRONMENT = """\
name: here
role: development
system: none
base_url: {base_url}
release:
  health: /health
  version: version
  images: [{images}]
gates:
  quick: {{required: true}}
"""
CASE = """\
import urllib.request

import pytest


@pytest.mark.quick
def test_case():
    {body}
"""


@dataclass(frozen=True)
class Registry:
    """A registry that listens at `host`."""

    host: str

    def _put(self, path: str, content: bytes, kind: str) -> None:
        headers = {"Content-Type": kind}
        with httpx.Client(trust_env=False) as client:
            client.put(path, content=content, headers=headers).raise_for_status()

    def blob(self, name: str, content: bytes, kind: str) -> Mapping[str, Any]:
        """Upload a blob, monolithically; gives its descriptor."""
        digest = f"sha256:{sha256(content).hexdigest()}"
        with httpx.Client(trust_env=False) as client:
            begun = client.post(f"http://{self.host}/v2/{name}/blobs/uploads/").raise_for_status()
        location = httpx.URL(begun.headers["location"]).copy_merge_params({"digest": digest})
        self._put(str(location), content, "application/octet-stream")
        return {"mediaType": kind, "digest": digest, "size": len(content)}

    def manifest(self, name: str, tag: str, kind: str, document: Mapping[str, Any]) -> bytes:
        """Upload a manifest or an index under a tag; gives its bytes."""
        media_type = f"{OCI}.{kind}.v1+json"
        content = json.dumps({"schemaVersion": 2, "mediaType": media_type, **document}).encode()
        self._put(f"http://{self.host}/v2/{name}/manifests/{tag}", content, media_type)
        return content

    def image(self, name: str, tag: str, layer: bytes = b"layer") -> bytes:
        """Push an image of one layer; gives the bytes of its manifest."""
        config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers"}}
        parts = {
            "config": self.blob(name, json.dumps(config).encode(), f"{OCI}.config.v1+json"),
            "layers": [self.blob(name, layer, f"{OCI}.layer.v1.tar")],
        }
        return self.manifest(name, tag, "manifest", parts)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """An empty registry, until the module's tests are done or this process dies."""
    folder = tmp_path_factory.mktemp("registry")
    (folder / "config.yml").write_text(CONFIGURATION.format(folder=folder))
    serve = ["docker-registry", "serve", str(folder / "config.yml")]
    command = ["setpriv", "--pdeathsig", "TERM", *serve]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        listening = next(filter(None, map(LISTENING.search, process.stderr)))
        reader = threading.Thread(target=deque, args=(process.stderr, 0))  # so that it never blocks
        reader.start()
        yield Registry(listening[1])
        process.terminate()
        reader.join()


def digest(content: bytes) -> str:
    """As hex digits."""
    return sha256(content).hexdigest()


def test_a_tag_is_the_digest_of_its_manifest(registry: Registry) -> None:
    """Which is what was pushed, and changes when the tag is moved."""
    first = registry.image("shop/web", "1.4.2", b"one")
    reference = f"{registry.host}/shop/web:1.4.2"
    assert resolve_image(reference) == digest(first)

    second = registry.image("shop/web", "1.4.2", b"two")

    assert resolve_image(reference) == digest(second) != digest(first)


def test_a_tag_of_several_platforms_is_the_digest_of_the_index(registry: Registry) -> None:
    """Not of the manifest that one platform would be given."""
    manifest = registry.image("shop/api", "amd64")
    platform = {"architecture": "amd64", "os": "linux"}
    entry = {"mediaType": f"{OCI}.manifest.v1+json", "digest": f"sha256:{digest(manifest)}",
             "size": len(manifest), "platform": platform}  # fmt: skip
    index = registry.manifest("shop/api", "1.0", "index", {"manifests": [entry]})

    assert resolve_image(f"{registry.host}/shop/api:1.0") == digest(index)
    assert resolve_image(f"{registry.host}/shop/api:amd64") == digest(manifest)


@pytest.mark.parametrize("reference", ["shop/web:9.9", "shop/nothing:1"])
def test_an_unknown_tag_or_name_is_said(registry: Registry, reference: str) -> None:
    """With the address that was asked."""
    registry.image("shop/web", "1.4.2")
    name, _, tag = reference.partition(":")
    asked = f"http://{registry.host}/v2/{name}/manifests/{tag}"

    with pytest.raises(TargetError, match=f"^{re.escape(asked)} answers 404, a manifest was "):
        resolve_image(f"{registry.host}/{reference}")


def test_a_reference_by_digest_is_not_asked_for(registry: Registry) -> None:
    """The registry has nothing of that name, and nobody notices."""
    assert resolve_image(f"{registry.host}/shop/absent@sha256:{'a' * 64}") == "a" * 64


class Health(BaseHTTPRequestHandler):
    """Says which version is deployed."""

    def do_GET(self) -> None:
        """The same to every path."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"version": "1.4.2"}')

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as its base has it
        """Nothing."""


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """Where a deployment names its version."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


Run = Callable[..., tuple[pytest.RunResult, dict[str, Any]]]


@pytest.fixture
def run(pytester: pytest.Pytester, base_url: str) -> Run:
    """Judges a deployment of these images by one case; returns the result and evidence.json."""

    def run(*images: str, body: str = "pass") -> tuple[pytest.RunResult, dict[str, Any]]:
        folder = pytester.mkdir("fixtures") / "environments"
        folder.mkdir()
        quoted = ", ".join(f'"{image}"' for image in images)
        text = ENVIRONMENT.format(base_url=base_url, images=quoted)
        (folder / "here.yaml").write_text(text)
        pytester.makeini("[pytest]\nrelease_testpaths = .\n")
        pytester.makepyfile(CASE.format(body=body))
        result = pytester.runpytest_subprocess("--env", "here")
        evidence = json.loads((latest(pytester) / "evidence.json").read_text())
        validator("evidence").validate(evidence)
        return result, evidence

    return run


def latest(pytester: pytest.Pytester) -> Path:
    """The newest bundle."""
    return pytester.path / "reports" / "latest"


def statements(pytester: pytest.Pytester) -> list[dict[str, Any]]:
    """Both statements of the newest bundle."""
    lines = (latest(pytester) / "attestation.intoto.jsonl").read_bytes().splitlines()
    return [json.loads(base64.b64decode(json.loads(line)["payload"])) for line in lines]


def test_images_are_subjects_of_the_attestation(
    registry: Registry, pytester: pytest.Pytester, run: Run
) -> None:
    """By reference and digest, in both statements; the tag's from the registry."""
    tagged = f"{registry.host}/shop/run:1.4.2"
    pinned = f"{registry.host}/shop/base@sha256:{'b' * 64}"
    manifest = registry.image("shop/run", "1.4.2")

    result, evidence = run(tagged, pinned)

    images = {tagged: digest(manifest), pinned: "b" * 64}
    subjects = [{"name": n, "digest": {"sha256": d}} for n, d in sorted(images.items())]
    assert result.ret == 0
    assert evidence["verdict"] == "PASSED"
    for name in ("before", "after"):
        assert evidence["context"]["release"][name]["images"] == images
    first, second = statements(pytester)
    assert first["subject"][1:] == second["subject"][1:] == subjects
    assert second["predicate"]["release"]["images"] == images


DELETE = "urllib.request.Request('{url}', method='DELETE')"
MOVE = (
    "urllib.request.Request('{url}', method='PUT', data=bytes.fromhex('{other}'), "
    "headers={{'Content-Type': '" + OCI + ".manifest.v1+json'}})"
)
MOVED = "the build changed during the run: 1.4.2, {image}@sha256:{was}, then 1.4.2, {image}@sha256:"
GONE = "the build was 1.4.2, {image}@sha256:{was} before the run and could not be read after it"


@pytest.mark.parametrize(
    ("request_", "reason"), [(MOVE, MOVED), (DELETE, GONE)], ids=["moved", "deleted"]
)
def test_a_tag_that_moves_during_the_run_leaves_it_incomplete(
    registry: Registry, run: Run, request_: str, reason: str
) -> None:
    """Nobody knows which of the two was measured; the same where the tag is gone after it."""
    name, tag = "shop/moving", "moved" if request_ is MOVE else "deleted"
    other, now = registry.image(name, "next", b"next"), registry.image(name, tag, tag.encode())
    image, was = f"{registry.host}/{name}:{tag}", digest(now)
    end = tag if request_ is MOVE else f"sha256:{was}"
    url = f"http://{registry.host}/v2/{name}/manifests/{end}"
    send = f"urllib.request.urlopen({request_.format(url=url, other=other.hex())})"

    result, evidence = run(image, body=send)

    (gate,) = evidence["gates"]
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert (evidence["verdict"], gate["verdict"]) == ("INCOMPLETE", "INCOMPLETE")
    assert any(each.startswith(reason.format(image=image, was=was)) for each in gate["reasons"])


def test_an_image_that_cannot_be_resolved_ends_the_run_before_its_first_case(
    registry: Registry, run: Run
) -> None:
    """Nothing is measured of what cannot be named."""
    image = f"{registry.host}/shop/absent:1"

    result, evidence = run(image, body="raise AssertionError('was run')")

    (gate,) = evidence["gates"]
    assert result.ret != 0
    assert gate["verdict"] not in ("PASSED", "WARNED", "FAILED")
    reasons = [*gate["reasons"], *evidence["reasons"]]
    assert any("/v2/shop/absent/manifests/1 answers 404" in reason for reason in reasons)
