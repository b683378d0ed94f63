"""The files of a package, into the output folder: staged aside, then given their name at once.

A reader sees the old folder or the new one. Between the two renames of `publish` there is, for a
moment, neither; whoever is killed there installs again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from pytest_release.atomic import fsync_folder
from pytest_release.config.system import System
from pytest_release.errors import PackageError
from pytest_release.packages.archive import Entry
from pytest_release.packages.contents import Member, Package
from pytest_release.packages.rows import extract

SPARE = 0.05  # share of the disk that an installation leaves free


class FileInstallation:
    """One package's files on their way.

    Args:
        package: Verified.
        system: Whose package it is.
        output: Folder of all deployments' files; this one's get a folder of its UUID in it.
    """

    def __init__(self, package: Package, system: System, output: Path) -> None:
        self.package = package
        self.system = system
        self.folder = output / package.uuid
        self._staging = output / f".{package.uuid}.installing"
        self._replaced = output / f".{package.uuid}.replaced"

    @property
    def members(self) -> list[Member]:
        """What goes into the folder: everything but the dump and the manifest."""
        others = self.system.package.others if self.system.package else ()
        left_out = {table.file for table in self.system.tables.values()}
        return [
            member
            for name, member in self.package.members.items()
            if name not in left_out and not any(fnmatchcase(name, other) for other in others)
        ]

    def of(self, patterns: tuple[str, ...]) -> list[Member]:
        """Those whose names match."""
        names = [pattern.replace("{uuid}", self.package.uuid) for pattern in patterns]
        return [m for m in self.members if any(fnmatchcase(m.name, name) for name in names)]

    def refuse_a_full_disk(self) -> None:
        """Look whether there is room before anything is written.

        Raises:
            PackageError: There is not, or the folder is missing.
        """
        output = self.folder.parent
        if not output.is_dir():
            raise PackageError(
                f"there is no folder {output}: make it, or mend services.files.output"
            )
        needed = sum(member.size for member in self.members)
        disk = shutil.disk_usage(output)
        if needed > disk.free - SPARE * disk.total:
            raise PackageError(
                f"{output} has {disk.free:,} bytes free, the files of the package need "
                f"{needed:,} and {SPARE:.0%} of the disk must stay free; see df, clean up, "
                "install again"
            )

    def stage(self) -> None:
        """Write the files aside, durably.

        Raises:
            PackageError: They cannot be written, or the package has changed.
        """
        try:
            shutil.rmtree(self._staging, ignore_errors=True)
            self._staging.mkdir(mode=0o755)
            names = [member.name for member in self.members]
            extract(self.package.path, self.system, names, self._write, sha256=self.package.sha256)
            fsync_folder(self._staging)
        except OSError as error:
            raise PackageError(
                f"step 4: the files cannot be written to {self._staging}: {error.strerror}; "
                "nothing was changed: see df, clean up, install again"
            ) from None

    def _write(self, entry: Entry, blocks: Iterator[bytes]) -> None:
        file = self._staging / entry.member
        file.parent.mkdir(parents=True, exist_ok=True)
        mode = 0o755 if entry.mode & 0o100 else 0o644
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as stream:
            for block in blocks:
                stream.write(block)
            stream.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)

    def publish(self) -> None:
        """Give the staged folder its name; the old one is removed.

        Raises:
            PackageError: It cannot be renamed.
        """
        try:
            shutil.rmtree(self._replaced, ignore_errors=True)
            if self.folder.exists():
                self.folder.rename(self._replaced)
            self._staging.rename(self.folder)
            fsync_folder(self.folder.parent)
        except OSError as error:
            raise PackageError(
                f"step 6: {self._staging} cannot become {self.folder}: {error.strerror}; the rows "
                "are installed, the files are not: mend that and install again"
            ) from None
        shutil.rmtree(self._replaced, ignore_errors=True)

    def discard(self) -> None:
        """Remove what was staged."""
        shutil.rmtree(self._staging, ignore_errors=True)
