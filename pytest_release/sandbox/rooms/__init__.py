"""One module a gate that adds something to the sandbox: its ``ROOM``.

They are found by listing this folder, so that whoever adds one touches nothing else. Modules whose
names begin with an underscore are parts of rooms.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the processes of rooms import this package, and do not need it
    from pytest_release.sandbox.room import Part, Room


@cache
def rooms() -> tuple[Room, ...]:
    """All there are, by name."""
    names = sorted(file.stem for file in Path(__file__).parent.glob("[a-z]*.py"))
    return tuple(import_module(f"{__name__}.{name}").ROOM for name in names)


def parts() -> tuple[Part, ...]:
    """The parts of all rooms."""
    return tuple(part for room in rooms() for part in room.parts)
