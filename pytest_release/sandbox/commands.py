"""What ``pytest-release sandbox`` does: keeps the sandbox running, lists its fault switches."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from pytest_release.sandbox.data_faults import DATA_FAULTS
from pytest_release.sandbox.faults import FAULTS
from pytest_release.sandbox.server import Sandbox

_BIRTH = '{"solar_date": "1990-01-15", "solar_time": "12:00", "gender": "male"}'


def list_faults(file: TextIO | None = None) -> None:
    """Print each fault: its name, the gate that must catch it, what it does."""
    rows = [("fault", "gate", "what the sandbox does")]
    rows += [(fault.name, fault.gate, fault.description) for fault in FAULTS.values()]
    rows += [(fault.name, fault.gate, fault.description) for fault in DATA_FAULTS.values()]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, gate, description in rows:
        print(f"{name:<{widths[0]}}  {gate:<{widths[1]}}  {description}", file=file)


def up(
    workers: int = 2,
    faults: Sequence[str] = (),
    stream_seconds: float = 0.3,
    port: int = 0,
    file: TextIO | None = None,
) -> None:
    """Run the sandbox until Ctrl-C; print its address and ways to try it.

    Raises:
        SandboxError: It did not start, or a worker died.
    """
    try:
        with Sandbox(workers, faults, stream_seconds, port, gates=None) as sandbox:
            print(_welcome(sandbox.base_url, faults), file=file, flush=True)
            sandbox.watch()
    except KeyboardInterrupt:
        print("sandbox stopped", file=file or sys.stdout)


def _welcome(base_url: str, faults: Sequence[str]) -> str:
    api = f"{base_url}/api/v1"
    return f"""\
{base_url}
faults: {", ".join(faults) or "none"}

  curl {api}/health
  curl --json '{_BIRTH}' {api}/bazi/interface
  curl -N --json '{_BIRTH}' {api}/career-wealth/stream

Ctrl-C stops it."""
