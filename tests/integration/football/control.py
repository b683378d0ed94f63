"""Starts what is current anew: ``control.py ROOT PORT DATA restart|stop``."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PATIENCE = 20.0
PAUSE = 0.01


def stop(pid: Path) -> None:
    """The old one, until its port is free."""
    if not pid.exists():
        return
    number = int(pid.read_text())
    pid.unlink()
    try:
        os.kill(number, signal.SIGKILL)
        ends = time.monotonic() + PATIENCE
        while Path(f"/proc/{number}/cmdline").read_bytes() and time.monotonic() < ends:
            time.sleep(PAUSE)
    except (ProcessLookupError, FileNotFoundError):
        return


def start(root: Path, port: str, data: Path, pid: Path) -> None:
    """What is current, until it listens."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        [sys.executable, "-S", "-E", str(root / "current" / "app.py"), port, str(data)],
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,
    )
    pid.write_text(str(process.pid))
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", int(port)), 1).close()
        except OSError:
            time.sleep(PAUSE)
        else:
            return
    sys.exit("it does not listen")


if __name__ == "__main__":
    folder, own = Path(sys.argv[1]), Path(sys.argv[3])
    stop(own / "pid")
    if sys.argv[4] == "restart":
        start(folder, sys.argv[2], own, own / "pid")
