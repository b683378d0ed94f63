"""Installs a package in the nine steps of the delivery procedure, and verifies what came of it.

0. The deployment runs the version and the build that made the package.
1. The package is good, and there is room for it. Until here nothing was touched.
2. The UUID's old rows go,
3. the new ones come, each table counted,
4. the files are written aside,
5. the status is set, and steps 2, 3 and 5 are committed as one.
6. The files get their folder,
7. the vector extension with them.
8. The gates look at what is deployed now.

Whatever stops it before the commit leaves everything as it was. Installing again is harmless, and
finishes what was stopped after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_release.config.cases import DataCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.config.system import PackageLayout, System
from pytest_release.delivery.files import FileInstallation
from pytest_release.delivery.rows import RowInstallation
from pytest_release.deployments import Deployments
from pytest_release.errors import PackageError
from pytest_release.gates._look import look
from pytest_release.packages.contents import Package
from pytest_release.packages.reading import Progress, read_package
from pytest_release.redaction import reveal
from pytest_release.release import read_identity, same_build
from pytest_release.subjects import Archive, Subjects
from pytest_release.targets.http import HttpTarget
from pytest_release.targets.postgres import Database

STATEMENT_S = 3600.0  # that one statement of an installation may take
STEPS = 9
SHOWN = 5  # flaws that a refusal names


@dataclass(frozen=True)
class Place:
    """Where a package goes.

    Attributes:
        environment: With ``services.postgres`` and ``services.files.output``.
        system: What is kept there.
        looks: Cases that verify it in the end.
    """

    environment: Environment
    system: System
    looks: Sequence[DataCase] = ()

    @property
    def output(self) -> Path:
        """The folder of all deployments' files.

        Raises:
            PackageError: The environment names none.
        """
        given = self.environment.services.get("files", {}).get("output")
        if not given:
            source = self.environment.source
            raise PackageError(f"{source} names no output folder: add services.files.output")
        return Path(reveal(given))

    def connect(self) -> Database:
        """A session that may write.

        Raises:
            PackageError: The environment names no database.
            TargetError: It cannot be reached.
        """
        options = self.environment.services.get("postgres")
        if not options:
            source = self.environment.source
            raise PackageError(f"{source} names no database: add services.postgres.dsn")
        return Database.connect(options, read_only=False, statement_timeout_s=STATEMENT_S)


def install_package(
    path: Path,
    place: Place,
    say: Callable[[str], None],
    progress: Progress | None = None,
) -> Package:
    """Install a package.

    Args:
        path: Of the archive.
        place: Where it goes.
        say: Takes a line for each thing that was done.
        progress: Is told how much of the archive was verified.

    Raises:
        PackageError: It must not, or could not, be installed; says what is to be done.
        TargetError: The deployment or its database cannot be reached.
    """

    def step(number: int, text: str) -> None:
        say(f"[{number}/{STEPS}] {text}")

    package = read_package(path, place.system, progress=progress)
    _check_build(package, place, step)
    files = FileInstallation(package, place.system, place.output)
    _refuse_flawed(package)
    files.refuse_a_full_disk()
    step(1, f"Verifying {path.name} ... sha256 {package.sha256}, {_rows(package)} rows")
    with place.connect() as database:
        rows = RowInstallation(database, place.system, package, step)
        try:
            with rows.transaction():
                rows.clean()
                rows.fill()
                files.stage()
                step(4, f"Copying video ... {_files(files.of(_layout(place).videos))}")
                rows.finish()
        except BaseException:
            files.discard()
            raise
    files.publish()
    step(6, f"Copying output files ... {_files(files.members)} to {files.folder}")
    libraries = files.of(_layout(place).extensions)
    step(7, f"Installing the vector extension ... {_files(libraries)}")
    step(8, f"Verifying the deployment ... {_verify(package, place)}")
    return package


def _layout(place: Place) -> PackageLayout:
    assert place.system.package is not None  # or no package would have been read
    return place.system.package


def _check_build(package: Package, place: Place, step: Callable[[int, str], None]) -> None:
    """Step 0; a development environment may have an unknown build, or none that it names."""
    environment = place.environment
    named = f"{package.version} ({package.build})"
    if environment.release is None:
        if environment.role != "development":
            raise PackageError(
                f"{environment.source} does not say where the build names itself, so it is not "
                "known whether the package fits: add the key release"
            )
        step(0, f"Checking version ... {named}, the deployment does not name its own")
        return
    with HttpTarget(environment) as target:
        running = read_identity(environment.release, target)
    differs = environment.release.version and package.version != running.version
    if not differs and environment.release.commit:
        differs = not same_build(package.build, running.commit, environment.role)
    if differs:
        raise PackageError(
            f"{package.path.name} was made by {named}, {environment.name} runs {running}; nothing "
            "was changed: get the package that matches, or deploy the release that made this one"
        )
    step(0, f"Checking version ... {named}")


def _refuse_flawed(package: Package) -> None:
    if package.complete and not package.flaws:
        return
    reasons = [flaw.message for flaw in package.flaws[:SHOWN]] or ["it was not read to its end"]
    more = len(package.flaws) - SHOWN
    reasons += [f"and {more} more, see: pytest-release package verify"] if more > 0 else []
    raise PackageError(
        f"{package.path.name} is not good, nothing was changed:\n  " + "\n  ".join(reasons)
    )


def _rows(package: Package) -> str:
    return f"{sum(table.rows for table in package.tables.values()):,}"


def _files(members: Sequence[object]) -> str:
    names = [str(getattr(member, "name", member)) for member in members]
    return ", ".join(names) if len(names) < 3 else f"{len(names)} files"


def _verify(package: Package, place: Place) -> str:
    """Step 8: what the gates say, by the same code."""
    archive = Archive(package.path, package.sha256)
    subjects = Subjects((package.uuid,), {package.uuid: archive})
    environment = place.environment
    with HttpTarget(environment) as target:
        deployments = Deployments(environment, place.system, subjects, target)
        try:
            seen = [
                look(case.of(package.uuid), _policy(environment, case), deployments)
                for case in place.looks
            ]
        finally:
            deployments.close()
    if wrong := [finding.message for evidence in seen for finding in evidence.failures]:
        raise PackageError(
            f"step 8: {package.uuid} is installed and not as it should be; compare table by "
            "table:\n  " + "\n  ".join(wrong[:SHOWN])
        )
    return f"{len(seen)} cases passed"


def _policy(environment: Environment, case: DataCase) -> GatePolicy:
    return environment.gates.get(case.gate, GatePolicy())
