"""PostgreSQL's client programs, run bounded: ``pg_restore`` and ``psql``.

- They are started with a list of arguments, never through a shell.
- Where the server is and the password go by the environment: a command line can be read by all.
- What they say is bounded, and a program that takes too long is killed with its children.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from typing import Any, BinaryIO

from pytest_release.errors import TargetError
from pytest_release.redaction import MASK

LARGEST = 8 * 1024 * 1024  # bytes of what a program prints that are read
SHOWN = 600  # characters of what it complains about
# libpq's keywords that have a variable: https://www.postgresql.org/docs/16/libpq-envars.html
VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "passfile": "PGPASSFILE",
    "service": "PGSERVICE",
    "sslmode": "PGSSLMODE",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcrl": "PGSSLCRL",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "channel_binding": "PGCHANNELBINDING",
    "gssencmode": "PGGSSENCMODE",
    "options": "PGOPTIONS",
}
KEPT = ("PATH", "HOME", "LD_LIBRARY_PATH", "TZ")  # of our own environment


@dataclass(frozen=True)
class Said:
    """What a program printed.

    Attributes:
        status: 0 for success; below it by a signal.
        text: Of its standard output.
        complaint: The last of its standard error, without the password.
    """

    status: int
    text: str
    complaint: str


class Programs:
    """The programs of one installation.

    Args:
        folder: Where they are; None for the PATH.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def path(self, name: str) -> str:
        """Where a program is.

        Raises:
            TargetError: It is not installed.
        """
        where = None if self._folder is None else str(self._folder)
        found = shutil.which(name, path=where)
        if found is None:
            place = self._folder or "the PATH"
            raise TargetError(
                f"{name} is not in {place}: install PostgreSQL's client programs, or name their "
                "folder in services.scratch.programs"
            )
        return found

    def run(
        self,
        name: str,
        arguments: Iterable[str],
        *,
        address: Mapping[str, Any] | None = None,
        stdin: Iterable[bytes] = (),
        timeout_s: float,
    ) -> Said:
        """Run a program to its end.

        Args:
            name: ``psql``, ``pg_restore``.
            arguments: Without secrets.
            address: libpq's keywords: where the server is.
            stdin: What it is told; an error in there ends it.
            timeout_s: After which it is killed.

        Raises:
            TargetError: It is not installed, takes too long, or the address has an unknown keyword.
        """
        environment = _environment(address or {})
        with TemporaryFile() as out, TemporaryFile() as complaints:
            process = subprocess.Popen(  # noqa: S603 - our list of arguments, no shell
                [self.path(name), *arguments],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=complaints,
                env=environment,
                start_new_session=True,
            )
            watch = _Watch(process, timeout_s)
            try:
                _feed(process, stdin)
                status = process.wait()
            finally:
                watch.end()
            if watch.late:
                raise TargetError(f"{name} was killed: it took longer than {timeout_s:g} s")
            password = str((address or {}).get("password") or "")
            complaint = _last(complaints)
            if password:
                complaint = complaint.replace(password, MASK)
            return Said(status, _first(out), complaint)


class _Watch:
    """Kills a process that takes too long, and in any case when its time is over."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.late = False
        self._process = process
        self._timer = Timer(seconds, self._ring)
        self._timer.daemon = True
        self._timer.start()

    def _ring(self) -> None:
        self.late = self._process.poll() is None
        self._kill()

    def end(self) -> None:
        """Leave nothing running."""
        self._timer.cancel()
        self._kill()
        self._process.wait()

    def _kill(self) -> None:
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _feed(process: subprocess.Popen[bytes], stdin: Iterable[bytes]) -> None:
    """What is told, as long as the program listens: how it ended says more than the pipe."""
    assert process.stdin is not None
    with suppress(BrokenPipeError):
        try:
            for piece in stdin:
                process.stdin.write(piece)
        finally:
            process.stdin.close()


def _environment(address: Mapping[str, Any]) -> dict[str, str]:
    unknown = [name for name in address if name not in VARIABLES]
    if unknown:
        raise TargetError(
            f"services.scratch.dsn: {', '.join(unknown)} cannot be told to PostgreSQL's programs: "
            f"expected of {', '.join(VARIABLES)}"
        )
    own = {name: os.environ[name] for name in KEPT if name in os.environ}
    told = {VARIABLES[name]: str(value) for name, value in address.items()}
    return {**own, "LC_ALL": "C", "PGAPPNAME": "pytest-release", **told}


def _first(file: BinaryIO) -> str:
    file.seek(0)
    return file.read(LARGEST).decode(errors="replace")


def _last(file: BinaryIO) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - SHOWN, 0))
    return file.read().decode(errors="replace").strip()
