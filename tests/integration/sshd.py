"""A real sshd on this machine, which ssh's configuration calls ``node``."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

CONFIG = """
Host node
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {folder}/id
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known
  StrictHostKeyChecking accept-new
"""
SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/id.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
Banner {folder}/banner
"""


@contextmanager
def sshd(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """While the block lasts; ``config`` in the folder is for ``ssh -F``."""
    for name in ("host", "id"):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(keygen, check=True)
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    values = {"port": port, "folder": folder, "user": getpass.getuser()}
    (folder / "config").write_text(CONFIG.format(**values))
    (folder / "banner").write_text("authorized people only\n")
    (folder / "sshd").write_text(SSHD.format(**values))
    Path("/run/sshd").mkdir(exist_ok=True)
    program = shutil.which("sshd") or "/usr/sbin/sshd"
    with subprocess.Popen([program, "-D", "-f", str(folder / "sshd")], start_new_session=True) as p:
        _wait_for(port)
        yield p
        p.terminate()


def _wait_for(port: int) -> None:
    """Until something listens there."""
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        else:
            return
