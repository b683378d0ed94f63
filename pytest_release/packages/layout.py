"""Which members a package has to have, may have, and must not have."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from enum import StrEnum
from fnmatch import fnmatchcase

from pytest_release.config.system import UUID, PackageLayout, Sidecar, System, Table
from pytest_release.packages.contents import Aspect, Flaw
from pytest_release.packages.flaws import shown

MANIFEST = "manifest.json"
_UUID = re.compile(UUID)


class Kind(StrEnum):
    """What a member is."""

    INFO = "the info"
    TABLE = "a table"
    SIDECAR = "a sidecar"
    SQLITE = "the SQLite file"
    SCRIPT = "a script"
    LIBRARY = "a library"
    VIDEO = "a video"
    MANIFEST = "the manifest"
    OTHER = "another member"


class Plan:
    """What each member of a package is to be, by its name.

    Args:
        system: With a package.
        uuid: Of the package; empty when its name has none.
    """

    def __init__(self, system: System, layout: PackageLayout, uuid: str) -> None:
        self._uuid, self.system, self.layout = uuid, system, layout
        self.tables: dict[str, Table] = {table.file: table for table in system.tables.values()}
        self.sidecars: dict[str, Sidecar] = {
            self.name(sidecar.file): sidecar for sidecar in layout.sidecars
        }
        self.required: dict[str, tuple[Kind, Aspect]] = {
            self.name(layout.info): (Kind.INFO, Aspect.VERSION),
            **dict.fromkeys(self.tables, (Kind.TABLE, Aspect.TABLES)),
            **dict.fromkeys(self.sidecars, (Kind.SIDECAR, Aspect.SIDECARS)),
            **{self.name(name): (Kind.SCRIPT, Aspect.SCRIPTS) for name in layout.executables},
        }
        if layout.sqlite is not None:
            self.required[self.name(layout.sqlite)] = (Kind.SQLITE, Aspect.SQLITE)
        self._patterns = [
            *((self.name(pattern), Kind.LIBRARY) for pattern in layout.extensions),
            *((self.name(pattern), Kind.VIDEO) for pattern in layout.videos),
        ]
        self._others = [self.name(pattern) for pattern in layout.others]

    def name(self, template: str) -> str:
        """A name or pattern with the package's own UUID in it."""
        return template.replace("{uuid}", self._uuid)

    def kind(self, member: str) -> Kind | None:
        """What a member is; None when a package has none of that name."""
        if member in self.required:
            return self.required[member][0]
        for pattern, kind in self._patterns:
            if fnmatchcase(member, pattern):
                return kind
        if any(fnmatchcase(member, pattern) for pattern in self._others):
            return Kind.MANIFEST if member == MANIFEST else Kind.OTHER
        return Kind.MANIFEST if member == MANIFEST else None

    def unexpected(self, member: str) -> Flaw | None:
        """The flaw of a name that no package has, or that is another package's."""
        others = {uuid for uuid in _UUID.findall(member) if uuid != self._uuid}
        if others:
            other = others.pop()
            message = f"{shown(member)!r} is named after another UUID, expected {self._uuid}"
            return Flaw(Aspect.LAYOUT, "foreign-name", message, shown(member), self._uuid, other)
        if self.kind(member) is None:
            message = f"{shown(member)!r} is no member of a package of {self.system.name}"
            return Flaw(Aspect.LAYOUT, "unexpected-member", message, shown(member))
        return None

    def missing(self, members: Collection[str]) -> Iterator[Flaw]:
        """The flaws of what is not there."""
        for name, (kind, aspect) in self.required.items():
            if name not in members:
                message = f"the package has no {name!r}, {kind}"
                yield Flaw(aspect, "missing-member", message, name, expected=name)
        for pattern in map(self.name, self.layout.extensions):
            if not any(fnmatchcase(member, pattern) for member in members):
                message = f"the package has no {pattern!r}, {Kind.LIBRARY}"
                yield Flaw(Aspect.SCRIPTS, "missing-member", message, pattern, expected=pattern)
        videos = [self.name(pattern) for pattern in self.layout.videos]
        if videos and not any(fnmatchcase(m, pattern) for m in members for pattern in videos):
            expected = ", ".join(videos)
            message = f"the package has no {Kind.VIDEO.value.removeprefix('a ')} ({expected})"
            yield Flaw(Aspect.MEDIA, "missing-member", message, expected=expected)
