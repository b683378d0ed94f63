"""The machine that a release goes to: its networks, its disks, its programs, its folders."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path
from typing import Any

from pytest_release.errors import TargetError
from pytest_release.evidence import Finding
from pytest_release.gates._preflight_images import room_for_images
from pytest_release.gates._preflight_stack import Stack, found, named
from pytest_release.targets.folders import walk
from pytest_release.targets.networks import read_networks
from pytest_release.targets.processes import Question, ask

SOCKET = "/var/run/docker.sock"
GB = 1_000_000_000
UNPACKED = 3.0  # bytes on disk for one byte of compressed layers, at the least
MOST_FILES = 20_000
IGNORED = (".env", ".git", "__pycache__", "*/__pycache__")
NUMBERS = re.compile(r"\d+(?:\.\d+)+|\d+")
TIMEOUT_S = 10.0  # for a program to tell its version


def networks(stack: Stack) -> Iterator[Finding]:
    """The networks that the stack expects and does not make are there."""
    wanted = dict.fromkeys(stack.expected("networks", []), "the case")
    for name, network in stack.rendered.networks.items():
        if network.get("external"):
            wanted[str(network.get("name") or name)] = stack.compose.file
    stack.count("external_networks", len(wanted))
    if not wanted:
        return
    there = read_networks(_socket(stack))
    for name, who in wanted.items():
        if name not in there:
            message = (
                f"there is no network {name}, which {who} expects; the engine has "
                f"{named(sorted(there)) or 'none'}"
            )
            yield found("no-network", message, name)


def _socket(stack: Stack) -> Path:
    """Of the engine that compose is said to have; else of the one that the environment names.

    Raises:
        TargetError: That one has no socket on this machine.
    """
    given = stack.service("compose").get("socket")
    host = str(stack.service("engine").get("docker_host", f"unix://{SOCKET}"))
    if given is None and not host.startswith("unix://"):
        advice = "its networks are asked for over a unix socket: add services.compose.socket"
        raise TargetError(f"the engine is at {host}; {advice}")
    return Path(given or host.removeprefix("unix://"))


def disk(stack: Stack) -> Iterator[Finding]:
    """There is room: a share, an amount, inodes, and enough for the release's images."""
    paths = stack.option("paths") or [str(stack.directory)]
    percent = float(stack.expected("min_free_percent", 20))
    shares = []
    for path in paths:
        disk = _statistics(path)
        free, whole = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        share = 100 * free / whole if whole else 0.0
        shares.append(share)
        told = f"{path} has {free / GB:.1f} of {whole / GB:.1f} GB free"
        if share < percent:
            message = f"{told}, {share:.1f} %, expected {percent:g} %"
            yield found("disk", message, f"at least {percent:g} %", f"{share:.1f} %")
        least = float(stack.expected("min_free_gb", 0))
        if free < least * GB:
            message = f"{told}, expected {least:g} GB"
            yield found("disk", message, f"at least {least:g} GB", f"{free / GB:.1f} GB")
        inodes = 100 * disk.f_favail / disk.f_files if disk.f_files else 100.0
        if inodes < (wanted := float(stack.expected("min_free_inodes_percent", 5))):
            message = f"{path} has {inodes:.1f} % of its inodes free, expected {wanted:g} %"
            yield found("inodes", message, f"at least {wanted:g} %", f"{inodes:.1f} %")
    stack.figures["free_percent"] = [*shares]
    if stack.option("images"):
        yield from _room(stack, str(paths[0]))


def _room(stack: Stack, path: str) -> Iterator[Finding]:
    disk, size = _statistics(path), room_for_images(stack)
    free, needed = disk.f_bavail * disk.f_frsize, size * UNPACKED
    stack.count("images_mb", size / 1e6)
    if free < needed:
        message = (
            f"{path} has {free / GB:.1f} GB free, and the release's images need "
            f"{needed / GB:.1f} GB: {size / GB:.1f} GB of layers, unpacked {UNPACKED:g} times that"
        )
        yield found("no-room", message, f"{needed / GB:.1f} GB", f"{free / GB:.1f} GB")


def _statistics(path: str) -> os.statvfs_result:
    try:
        return os.statvfs(path)
    except OSError as error:
        raise TargetError(f"the disk of {path} cannot be looked at: {error.strerror}") from None


def commands(stack: Stack) -> Iterator[Finding]:
    """What a release needs to be run can be run here, and is new enough."""
    wanted: list[str | Mapping[str, str]] = stack.expected("commands", [])
    stack.count("commands", len(wanted))
    for entry in wanted:
        name, least = (entry, "") if isinstance(entry, str) else (entry["name"], entry["version"])
        place = _place(stack, name)
        if place is None:
            where = "the stack's folder" if "/" in name else "PATH"
            message = f"the command {name} is missing: not in {where}"
            yield found("no-command", message, name)
        elif not os.access(place, os.X_OK):
            message = f"the command {name} cannot be executed: its mode is {_mode(place)}"
            yield found("not-executable", message, "an executable file", _mode(place))
        elif least:
            yield from _version(name, place, least)


def _place(stack: Stack, name: str) -> Path | None:
    """Of a program on PATH, or of one of the stack's own; never a folder."""
    if "/" not in name:
        which = shutil.which(name)
        return Path(which) if which else None
    path = stack.directory / name
    return path if path.is_file() else None


def _mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o7777:04o}"


def _version(name: str, place: Path, least: str) -> Iterator[Finding]:
    passed = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    question = Question((str(place), "--version"), f"{name} --version", passed, timeout_s=TIMEOUT_S)
    _, told, said = ask(question)
    text = (told.decode(errors="replace") or said).strip()
    match = NUMBERS.search(text)
    if match is None:
        message = f"the command {name} does not tell its version: it says {text[:80]!r}"
        yield found("old-command", message, least)
    elif _numbers(match[0]) < _numbers(least):
        message = f"the command {name} is of version {match[0]}, expected at least {least}"
        yield found("old-command", message, least, match[0])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:6])


def drift(stack: Stack) -> Iterator[Finding]:
    """The folder that runs is a copy of the one in the sources."""
    ignored = [*IGNORED, *stack.option("ignore", [])]
    ours, theirs = (_contents(folder, ignored) for folder in (stack.source, stack.directory))
    stack.count("files", len(ours))
    if not ours:
        yield found("no-source", f"{stack.source} holds no file", "the stack's files")
    changed = sorted(name for name in ours.keys() & theirs if ours[name] != theirs[name])
    kinds = {
        "drift-changed": (changed, "differ from"),
        "drift-missing": (sorted(ours.keys() - theirs), "are missing, and stand in"),
        "drift-added": (sorted(theirs.keys() - ours), "are not in"),
    }
    for code, (names, verb) in kinds.items():
        if names:
            message = f"{stack.directory}: {len(names)} files {verb} {stack.source}: {named(names)}"
            yield found(code, message, "0", str(len(names)))


def _contents(folder: Path, ignored: list[str]) -> dict[str, tuple[Any, ...]]:
    """What each file is: a digest, and whether it can be executed; of a link where it leads."""
    if not folder.is_dir():
        raise TargetError(f"{folder} is no folder")
    contents: dict[str, tuple[Any, ...]] = {}

    def passed_over(name: str) -> bool:
        return any(fnmatch(name, pattern) for pattern in ignored)

    for entry in walk(folder, MOST_FILES, passed_over):
        name = entry.path.relative_to(folder).as_posix()
        if entry.target is not None:
            contents[name] = ("link", str(entry.path.readlink()))
        elif entry.path.is_file():
            contents[name] = _digest(entry.path)
        elif not entry.path.is_dir():
            contents[name] = ("neither file nor folder",)
    return contents


def _digest(path: Path) -> tuple[str, bool]:
    digest = sha256()
    try:
        with path.open("rb") as stream:
            executable = bool(os.fstat(stream.fileno()).st_mode & 0o100)
            while piece := stream.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise TargetError(f"{path} cannot be read: {error.strerror}") from None
    return digest.hexdigest(), executable
