"""The settings file of a deployed application: ``NAME=value`` lines, as dotenv files have them.

Nothing is expanded: what is compared is what was written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from pytest_release.errors import TargetError

LARGEST = 256 * 1024  # bytes
LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.*?)\s*")
QUOTED = re.compile(r"""(["'])(.*?)\1\s*(?:#.*)?""")


@dataclass(frozen=True)
class Setting:
    """One line.

    Attributes:
        raw: The value as written, with its quotes; it may be a secret.
        value: Without them and without a comment.
        line: Counted from 1.
    """

    name: str
    raw: str = field(repr=False)
    value: str = field(repr=False)
    line: int


def read_settings(file: Path) -> dict[str, str]:
    """The settings by name; the last of two that have one name.

    Raises:
        TargetError: The file cannot be read, is too large, or a line of it is no setting.
    """
    return {setting.name: setting.value for setting in read_lines(file)}


def read_lines(file: Path) -> list[Setting]:
    """Every setting in the order of the file.

    Raises:
        TargetError: As `read_settings`.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise TargetError(f"{file} cannot be read: {error.strerror}") from None
    if len(data) > LARGEST:
        raise TargetError(f"{file} is larger than {LARGEST} bytes")
    found = []
    for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if match is None:
            raise TargetError(f"{file}:{number} is no setting: expected NAME=value")
        found.append(Setting(match[1], match[2], _value(match[2]), number))
    return found


def _value(text: str) -> str:
    quoted = QUOTED.fullmatch(text)
    return quoted[2] if quoted else re.split(r"\s#", text, maxsplit=1)[0].rstrip()
