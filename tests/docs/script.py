"""Follows the commands of a page, as a reader would."""

import os
import re
import subprocess
import sysconfig
from pathlib import Path

PATIENCE_S = 120


def followed(page: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The one shell block of a page, run in a folder with our commands on the path."""
    (script,) = re.findall(r"^```sh\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    path = f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"
    return subprocess.run(
        ["/bin/sh", "-euc", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
