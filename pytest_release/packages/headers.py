"""One header of a tar archive, strictly: what could mislead any reader is refused.

Python's own reader ends silently at a damaged header and reads extended headers of any size, so
only its parser of one header of 512 bytes is used. Formats: POSIX.1-2017 pax (ustar interchange
format) and GNU tar's long names.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from pytest_release.packages.contents import Aspect, Flaw
from pytest_release.packages.flaws import ArchiveError, shown

SIZE = 512
NAME_FIELD, LINK_FIELD = slice(0, 100), slice(157, 257)
MAGIC_FIELD, PREFIX_FIELD = slice(257, 265), slice(345, 500)
EXTENDED = 64 * 1024  # bytes of one extended header
ZEROS = bytes(SIZE)
REFUSED = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.CONTTYPE: "a contiguous file",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
    tarfile.GNUTYPE_LONGLINK: "a link with a long target",
}
FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
_RECORD = re.compile(rb"([1-9][0-9]{0,7}) ([^=\n]{1,256})=")


@dataclass(frozen=True)
class Header:
    """What comes next in the archive.

    Attributes:
        name: As written, a folder's without its slash.
        kind: Type flag: a file, a folder, or an extended header.
        size: Bytes of content.
        mode: Permission bits.
    """

    name: str
    kind: bytes
    size: int
    mode: int

    @property
    def is_file(self) -> bool:
        """It is a regular file."""
        return self.kind in FILES


def read_header(block: bytes, after: str) -> Header:
    """Parse a header.

    Args:
        block: 512 bytes that are not all zeros.
        after: Name of the member before, for messages.

    Raises:
        ArchiveError: It is damaged, or of a kind that no package has.
    """
    place = f"after {shown(after)!r}" if after else "at the start of the archive"
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except tarfile.HeaderError as error:
        message = f"the header {place} is damaged ({error}); copy the archive again"
        raise _flaw("bad-header", message, after) from None
    except UnicodeDecodeError:
        message = f"the name in the header {place} is not UTF-8: {shown(block[NAME_FIELD])}"
        raise _flaw("unsafe-name", message, shown(block[NAME_FIELD])) from None
    except (ValueError, OverflowError):
        raise _flaw("bad-header", f"the header {place} is damaged", after) from None
    if info.type in REFUSED:
        message = f"{shown(info.name)!r} is {REFUSED[info.type]}; a package has files and folders"
        raise _flaw("link-or-device", message, info.name)
    if info.type not in (*FILES, tarfile.DIRTYPE, *_EXTENSIONS):
        message = f"{shown(info.name)!r} is of the unknown type {info.type!r}"
        raise _flaw("link-or-device", message, info.name)
    _check_fields(block, info)
    return Header(info.name, info.type, info.size, info.mode & 0o7777)


_EXTENSIONS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME)


def _check_fields(block: bytes, info: tarfile.TarInfo) -> None:
    prefix = block[PREFIX_FIELD] if block[MAGIC_FIELD] == tarfile.POSIX_MAGIC else b""
    for field in (block[NAME_FIELD], prefix):
        name, _, rest = field.partition(b"\0")
        if hidden := rest.strip(b"\0"):
            message = f"the name {shown(name)!r} goes on behind a NUL: {shown(hidden)}"
            raise _flaw("unsafe-name", message, info.name)
    if block[LINK_FIELD].strip(b"\0"):
        message = f"{shown(info.name)!r} has the target of a link, but is none"
        raise _flaw("link-or-device", message, info.name)
    if info.size < 0 or (info.type == tarfile.DIRTYPE and info.size):
        message = f"{shown(info.name)!r} has the impossible size {info.size}"
        raise _flaw("bad-header", message, info.name)
    if info.type in _EXTENSIONS and info.size > EXTENDED:
        message = (
            f"the extended header {shown(info.name)!r} has {info.size} bytes, "
            f"expected at most {EXTENDED}"
        )
        raise _flaw("bad-header", message, info.name)


def long_name(data: bytes) -> str:
    """The name that a GNU extended header holds.

    Raises:
        ArchiveError: It is not UTF-8, or holds a NUL.
    """
    name = data.removesuffix(b"\0")
    return _text(name)


def extended(data: bytes, member: str) -> Mapping[str, str]:
    """The records of a pax header that matter: ``path`` and ``size``.

    Args:
        data: Of the header.
        member: Its name, for messages.

    Raises:
        ArchiveError: It is damaged, or says something that no package needs.
    """
    records: dict[str, str] = {}
    at = 0
    while at < len(data):
        match = _RECORD.match(data, at)
        end = at + int(match[1]) if match else 0
        if match is None or not match.end() < end <= len(data) or data[end - 1 : end] != b"\n":
            raise _flaw("bad-header", f"the extended header {shown(member)!r} is damaged", member)
        key, value = match[2].decode(errors="replace"), data[match.end() : end - 1]
        if key in ("path", "size") and key not in records:
            records[key] = _text(value)
        elif key in ("path", "size", "linkpath", "hdrcharset") or key.startswith("GNU.sparse"):
            message = f"the extended header {shown(member)!r} says {shown(key)!r}: not accepted"
            raise _flaw("link-or-device", message, member)
        at = end
    return records


def _text(name: bytes) -> str:
    if b"\0" in name:
        raise _flaw("unsafe-name", f"the name {shown(name)!r} holds a NUL", shown(name))
    try:
        return name.decode()
    except UnicodeDecodeError:
        message = f"the name {shown(name)!r} is not UTF-8"
        raise _flaw("unsafe-name", message, shown(name)) from None


def _flaw(code: str, message: str, member: str) -> ArchiveError:
    aspect = Aspect.LAYOUT if code == "unsafe-name" else Aspect.ARCHIVE
    return ArchiveError(Flaw(aspect, code, message, shown(member)))
