"""Processes as /proc tells of them: which is which, and which are left of a step."""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")


def boot_id() -> str:
    """Of this start of the machine."""
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int | None:
    """When a process began, in clock ticks since the machine did; None when it is gone.

    Together with the boot's id it tells a process from a later one of the same number.
    """
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19])


def marked(name: str, value: str) -> tuple[int, ...]:
    """Leaders of sessions that carry a variable: programs that were started, not their children."""
    wanted = f"{name}={value}".encode()
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            leads = os.getsid(int(entry.name)) == int(entry.name)
            if leads and wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return tuple(found)
