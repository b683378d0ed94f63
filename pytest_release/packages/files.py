"""Videos, libraries and scripts, told by their first bytes; none of them is ever opened or run.

Formats: ISO/IEC 14496-12 (boxes), QuickTime File Format, ELF gABI, Mach-O ``loader.h``.
"""

from __future__ import annotations

import struct
from fnmatch import fnmatchcase

from pytest_release.packages.contents import Aspect, Flaw
from pytest_release.packages.flaws import shown

HEAD = 4096  # bytes that tell what a file is
BOX = 8  # bytes of the smallest box
LARGE_BOX = 16
FIRST_BOXES = (b"ftyp", b"wide", b"mdat", b"moov", b"free", b"skip", b"pnot")
CONTAINERS = {".mkv": b"\x1a\x45\xdf\xa3", ".webm": b"\x1a\x45\xdf\xa3", ".avi": b"RIFF"}
MACHO = {
    b"\xfe\xed\xfa\xce": (">", 28),
    b"\xfe\xed\xfa\xcf": (">", 32),
    b"\xce\xfa\xed\xfe": ("<", 28),
    b"\xcf\xfa\xed\xfe": ("<", 32),
}
FAT, FAT64 = b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf"
LIBRARIES = (6, 8)  # MH_DYLIB, MH_BUNDLE
PROCESSORS = (7, 12, 0x01000007, 0x0100000C)  # x86, ARM, and each with 64 bits
MOST_SLICES = 20  # of a fat file; what has more is a Java class, which begins alike
MOST_COMMANDS = 10_000
ELF = b"\x7fELF"
ELF_HEADERS = {1: 52, 2: 64}
SHARED_OBJECT = 3


def check_video(member: str, head: bytes, size: int) -> Flaw | None:
    """What is wrong with a video container."""
    for ending, magic in CONTAINERS.items():
        if fnmatchcase(member.lower(), f"*{ending}"):
            problem = "" if head.startswith(magic) else f"starts with {head[:8].hex(' ')}"
            break
    else:
        problem = _first_box(head, size, quicktime=member.lower().endswith(".mov"))
    if not problem:
        return None
    message = f"{member} is no video container: it {problem}"
    return Flaw(Aspect.MEDIA, "not-a-video", message, member, received=head[:BOX].hex(" "))


def _first_box(head: bytes, size: int, *, quicktime: bool) -> str:
    if len(head) < BOX:
        return f"has {size} bytes"
    length, kind = struct.unpack(">I4s", head[:BOX])
    if kind not in (FIRST_BOXES if quicktime else FIRST_BOXES[:1]):
        expected = "a box of QuickTime" if quicktime else "the box 'ftyp'"
        return f"starts with {shown(kind)!r}, expected {expected}"
    if length == 1 and len(head) >= LARGE_BOX:
        (length,) = struct.unpack(">Q", head[BOX:LARGE_BOX])
    if kind == b"ftyp":
        return _brands(head, length, size)
    if length and not BOX <= length <= size:
        return f"starts with a box of {length} bytes, but has {size}"
    return ""


def _brands(head: bytes, length: int, size: int) -> str:
    if not LARGE_BOX <= length <= min(size, HEAD) or length % 4:
        return f"has an 'ftyp' of {length} bytes"
    brand = head[BOX : BOX + 4]
    return "" if brand.isascii() and brand.decode().isprintable() else "has no major brand"


def check_script(member: str, head: bytes, mode: int) -> Flaw | None:
    """What is wrong with a script that people are to run."""
    if not mode & 0o100:
        message = f"{member} is not executable: its mode is {mode:o}"
        return Flaw(Aspect.SCRIPTS, "not-executable", message, member, "755", f"{mode:o}")
    line = head.split(b"\n", 1)[0]
    if not line.startswith(b"#!") or not line[2:].strip().startswith(b"/"):
        message = f"{member} does not start with #! and an interpreter: {shown(line)!r}"
        return Flaw(Aspect.SCRIPTS, "no-interpreter", message, member, "#!/...", shown(line))
    return None


def check_library(member: str, head: bytes, size: int) -> Flaw | None:
    """What is wrong with a library that a database is to load."""
    if head.startswith(ELF):
        problem = _elf(head)
    elif head[:4] in MACHO:
        problem = _macho(head, size)
    elif head.startswith((FAT, FAT64)):
        problem = _fat(head, size)
    else:
        problem = f"starts with {head[:8].hex(' ')}, expected ELF or Mach-O"
    if not problem:
        return None
    message = f"{member} is no library: it {problem}"
    return Flaw(Aspect.SCRIPTS, "not-a-library", message, member, received=head[:16].hex(" "))


def _elf(head: bytes) -> str:
    if len(head) < 20 or head[4] not in ELF_HEADERS or head[5] not in (1, 2) or head[6] != 1:
        return "has a damaged ELF header"
    order = "<" if head[5] == 1 else ">"
    (kind,) = struct.unpack(f"{order}H", head[16:18])
    if len(head) < ELF_HEADERS[head[4]]:
        return "ends within its ELF header"
    return "" if kind == SHARED_OBJECT else f"is of the ELF type {kind}, expected {SHARED_OBJECT}"


def _macho(head: bytes, size: int) -> str:
    order, header = MACHO[head[:4]]
    if len(head) < header:
        return "ends within its Mach-O header"
    processor, _, kind, count, commands = struct.unpack(f"{order}5I", head[4:24])
    if processor not in PROCESSORS:
        return f"is for the unknown processor {processor:#x}"
    if kind not in LIBRARIES:
        return f"is of the Mach-O type {kind}, expected 6 or 8"
    if not 0 < count <= MOST_COMMANDS or header + commands > size:
        return "has a damaged Mach-O header"
    return ""


def _fat(head: bytes, size: int) -> str:
    (count,) = struct.unpack(">I", head[4:8].ljust(4, b"\0"))
    layout = struct.Struct(">2I2Q2I") if head.startswith(FAT64) else struct.Struct(">2I2II")
    if not 0 < count <= MOST_SLICES or len(head) < 8 + count * layout.size:
        return f"has a damaged header of {count} slices"
    for slice_ in layout.iter_unpack(head[8 : 8 + count * layout.size]):
        processor, _, offset, length = slice_[:4]
        if processor not in PROCESSORS or offset + length > size or not length:
            return "has a damaged slice"
    return ""
