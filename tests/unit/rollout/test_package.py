"""Tests of the adapter ``package``: what it refuses; what it installs is in tests/data."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pytest_release.rollout.state import STOPPED
from tests.unit.rollout.conftest import ENVIRONMENT, Yard

NAME = "384b0ff44aaaa1f14cb2cd63b3fea966_v20260520_143000.tar.gz"
PRODUCTION = ENVIRONMENT.replace("role: staging", "role: production")


class Health(BaseHTTPRequestHandler):
    """Runs 1.9."""

    def do_GET(self) -> None:
        """Version and commit."""
        body = json.dumps({"version": "1.9", "commit": "4b1ce21"}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Nothing."""


@pytest.fixture
def deployed() -> Iterator[str]:
    """A deployment; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Health)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def refused(yard: Yard, **options: object) -> str:
    """Why a rollout of these packages stopped."""
    yard.plan({"name": "install", "type": "deploy", "with": {"package": options}})
    result = yard.run()
    assert result.status == STOPPED
    return result.why


def test_a_package_that_is_missing(yard: Yard) -> None:
    """All are looked for before the first is installed."""
    Path(NAME).write_bytes(b"")

    assert refused(yard, files=[NAME, "gone.tar.gz"]) == (
        f"install: {yard.folder}/gone.tar.gz is missing: nothing was installed"
    )


def test_a_folder_without_a_package(yard: Yard) -> None:
    """Nothing to install is no success."""
    Path("packages").mkdir()
    Path("packages/readme.txt").write_text("")

    expected = "packages has no package: none that ends with .tar.gz"
    assert refused(yard, folder="packages").endswith(expected)
    assert refused(yard, folder="gone").endswith("gone has no package: none that ends with .tar.gz")


def test_what_is_no_package_is_not_installed(yard: Yard) -> None:
    """The installer's own words; which of how many it was."""
    Path(NAME).write_bytes(b"no archive")

    why = refused(yard, files=[NAME])

    assert why.startswith(f"install: package 1 of 1, {NAME}, is not installed: ")
    assert yard.look.state.tasks["install"].outcome.exit_status not in (0, None)


def test_production_must_say_what_it_runs(yard: Yard) -> None:
    """A commit that nobody can ask for is none that packages were made for."""
    yard.environment("here", PRODUCTION)
    Path(NAME).write_bytes(b"")

    assert refused(yard, files=[NAME]) == (
        "install: here does not say where its version and its commit stand: production takes no "
        "package that cannot be compared"
    )


def test_production_takes_packages_of_its_own_release(yard: Yard, deployed: str) -> None:
    """Compared strictly; nothing was installed."""
    yard.base_url = deployed
    health = "version: version"
    yard.environment("here", PRODUCTION.replace(health, f"{health}, commit: commit"))
    Path(NAME).write_bytes(b"")

    why = refused(yard, files=[NAME])

    assert why.startswith("install: here runs 1.9")
    assert why.endswith(", and the packages are for 2.0: deploy that first; nothing was installed")
