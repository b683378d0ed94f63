"""Names of archives: ``{uuid}_v{timestamp}.tar.gz``, as a release procedure gives them."""

from __future__ import annotations

import re
from dataclasses import dataclass

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.zst")
TIMESTAMP = r"[0-9]{8}[0-9A-Za-z_.-]{0,24}"


@dataclass(frozen=True)
class ArchiveName:
    """What an archive's name says.

    Attributes:
        uuid: Of the file that the package is of.
        timestamp: Sorts as text like the time it stands for.
    """

    uuid: str
    timestamp: str


def parse_name(name: str, pattern: re.Pattern[str]) -> ArchiveName | None:
    """What the name of an archive says; None when it is not the name of one.

    Args:
        name: Without folders.
        pattern: Of the system's UUIDs.
    """
    endings = "|".join(map(re.escape, SUFFIXES))
    match = re.fullmatch(rf"(?P<uuid>.+)_v(?P<timestamp>{TIMESTAMP}?)(?:{endings})", name)
    if match is None or not pattern.fullmatch(match["uuid"]):
        return None
    return ArchiveName(match["uuid"], match["timestamp"])
