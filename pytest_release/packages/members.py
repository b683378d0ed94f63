"""Names of members: none that is unsafe, and none twice, on any file system."""

from __future__ import annotations

import unicodedata

from pytest_release.hostile import STEERING
from pytest_release.packages.contents import Aspect, Flaw
from pytest_release.packages.flaws import ArchiveError, shown

DEPTH = 8  # parts of a path
COMPONENT = 255  # bytes of one part of a path, on the usual file systems


class Names:
    """The names of an archive, as they come.

    Args:
        top: Name of the one folder that everything is in; None for the first that comes.
        longest: Bytes of a name.
    """

    def __init__(self, top: str | None, longest: int) -> None:
        self.top = top
        self._longest = longest
        self._seen: dict[str, str] = {}  # as a careless file system compares them
        self._files: set[str] = set()

    def add(self, name: str, *, is_file: bool) -> None:
        """Take the next name.

        Raises:
            ArchiveError: It is unsafe, in the wrong folder, or clashes with one before.
        """
        if problem := unsafe(name, self._longest):
            raise _flaw("unsafe-name", f"the name {shown(name)!r} {problem}", name)
        top, _, rest = name.partition("/")
        if self.top is None:
            self.top = top
        if top != self.top or (is_file and not rest):
            message = f"{shown(name)!r} is not in the folder {shown(self.top)!r}"
            raise _flaw("wrong-folder", message, name, expected=f"{self.top}/")
        self._check_clash(name, is_file=is_file)

    def _check_clash(self, name: str, *, is_file: bool) -> None:
        folded = _folded(name)
        if (before := self._seen.get(folded)) is not None:
            same = "is there twice" if before == name else f"is {shown(before)!r} on many systems"
            raise _flaw("duplicate-name", f"{shown(name)!r} {same}", name)
        parts = folded.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts))]
        if inside := next((folder for folder in above if folder in self._files), None):
            message = f"{shown(name)!r} is below {shown(self._seen[inside])!r}, which is a file"
            raise _flaw("duplicate-name", message, name)
        for count, folder in enumerate(above, 1):
            # A folder may come without a header of its own; then its name is known from here on.
            original = "/".join(name.split("/")[:count])
            if self._seen.setdefault(folder, original) != original:
                message = f"{shown(original)!r} is {shown(self._seen[folder])!r} on many systems"
                raise _flaw("duplicate-name", message, name)
        self._seen[folded] = name
        if is_file:
            self._files.add(folded)


def unsafe(name: str, longest: int) -> str:
    """What is unsafe in a name, as the end of a sentence; empty when nothing is."""
    parts = name.split("/")
    if name.startswith("/"):
        return "is absolute"
    if ".." in parts:
        return "leads out of its folder"
    if "" in parts or "." in parts:
        return "has an empty part"
    if len(parts) > DEPTH:
        return f"has more than {DEPTH} parts"
    if "\\" in name:
        return "holds a backslash"
    if any(unicodedata.category(character) in STEERING for character in name):
        return "holds a control character"
    if len(name.encode()) > longest or max(len(part.encode()) for part in parts) > COMPONENT:
        return f"is longer than {longest} bytes, or a part of it longer than {COMPONENT}"
    return ""


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _flaw(code: str, message: str, name: str, expected: str = "") -> ArchiveError:
    return ArchiveError(
        Flaw(Aspect.LAYOUT, code, message, shown(name), expected=expected, received=shown(name))
    )
