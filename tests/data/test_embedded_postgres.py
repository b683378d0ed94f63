"""The sandbox's PostgreSQL is gone with its owner, however that ended."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from pytest_release.errors import SandboxError
from pytest_release.sandbox import database
from pytest_release.sandbox.database import EmbeddedPostgres

PATIENCE_S = 20.0
OWNER = """
import sys
from pytest_release.sandbox.database import EmbeddedPostgres
server = EmbeddedPostgres()
print(server.folder, flush=True)
sys.stdin.read()
"""


def processes_in(folder: Path) -> list[str]:
    """Command lines that name the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if str(folder).encode() in command:
            found.append(command.replace(b"\0", b" ").decode())
    return found


def test_it_has_vectors_and_leaves_nothing() -> None:
    """pgvector can be asked; after `stop` neither folder nor process is left."""
    server = EmbeddedPostgres()
    try:
        with psycopg.connect(server.dsn) as connection:
            connection.execute("CREATE EXTENSION vector")
            (near,) = connection.execute("SELECT '[1,0]'::vector <=> '[0,1]'").fetchone() or ()
    finally:
        server.stop()

    assert near == 1
    assert not server.folder.exists()
    assert processes_in(server.folder) == []


def test_it_does_not_outlive_a_killed_owner() -> None:
    """kill -9 leaves its owner no last word; the guardian tidies up."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        folder = Path(owner.stdout.readline().strip())
        assert processes_in(folder) != []
        owner.kill()

    deadline = time.monotonic() + PATIENCE_S
    while (folder.exists() or processes_in(folder)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not folder.exists()
    assert processes_in(folder) == []


def test_a_server_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the guardian's last words."""
    monkeypatch.setattr(database, "GUARDIAN", "pytest_release.no_such_module")

    with pytest.raises(
        SandboxError, match=r"(?s)^the sandbox's PostgreSQL did not start; .*no_such_module"
    ):
        EmbeddedPostgres()
