"""The stores of the reference deployment: two analysed videos in a PostgreSQL, and their files.

They come there as everywhere: the material is loaded into a workshop database, a package is built
from it, and the package is installed. The second video shares two actors with the first, which are
merged then.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pytest_release.config.environment import Environment
from pytest_release.config.system import System
from pytest_release.delivery.build import build_package
from pytest_release.delivery.install import Place, install_package
from pytest_release.errors import PackageError, SandboxError, TargetError
from pytest_release.sandbox.database import Postgres, open_postgres, sharing
from pytest_release.sandbox.material import COLUMNS, Material, make_material
from pytest_release.sandbox.media import write_files
from pytest_release.targets.postgres import Database

UUIDS = ("0b9c1f6e-58a3-4d6e-9a57-3f2d6c0f9a11", "5f7d8a4e-0c1b-4f7e-8a3d-2b6c9e1f0d22")
SCHEMA = "dev"
EPOCH = 1_767_323_045  # 2026-01-02, like the rows
WORKSHOP, DEPLOYED = "workshop", "deployed"


class Stores:
    """Running until `stop`.

    Args:
        system: Describes what a package holds; its tables must be those of momentry.

    Attributes:
        folder: Of all files.
        dsn: Of the database with what is deployed.
        packages: The package of each UUID.

    Raises:
        SandboxError: The database does not start, or the system's tables are others.
    """

    def __init__(self, system: System) -> None:
        self.system = system
        if unknown := [name for name in system.tables if name not in COLUMNS]:
            raise SandboxError(
                f"the sandbox keeps what momentry keeps, and {system.source} describes other "
                f"tables: {', '.join(unknown)}; use --base-url with a deployment of your own"
            )
        self._postgres: Postgres = open_postgres()
        self.folder = self._postgres.folder
        self._name = self._postgres.named(DEPLOYED)
        self.dsn = make_conninfo(self._postgres.dsn, dbname=self._name)
        try:
            self.packages = self._furnish()
        except (psycopg.Error, PackageError, TargetError, OSError) as error:
            self.stop()
            raise SandboxError(f"the sandbox's stores cannot be filled: {error}") from None
        except BaseException:
            self.stop()
            raise

    @property
    def output(self) -> Path:
        """Folder of the deployed files."""
        return self.folder / "output"

    @property
    def services(self) -> Mapping[str, Mapping[str, Any]]:
        """As an environment names them."""
        return {
            "postgres": {"dsn": self.dsn, "schema": SCHEMA},
            "files": {"output": str(self.output), "packages": str(self.folder / "packages")},
        }

    def stop(self) -> None:
        """Stop the database, and remove every file."""
        self._postgres.stop()

    def execute(self, statements: Sequence[str]) -> None:
        """Run statements on the deployed database, without its foreign keys; see `data_faults`."""
        first, second = UUIDS
        names = {"a": first, "b": second, "p": first[:8], "q": second[:8]}
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            for statement in statements:
                connection.execute(statement.format(**names))

    def _furnish(self) -> dict[str, Path]:
        folder = self.folder
        name = self._postgres.named(WORKSHOP)
        workshop = make_conninfo(self._postgres.dsn, dbname=name)
        for part in ("workshop", "output", "packages"):
            (folder / part).mkdir()
        self._create(name, "template1")
        with psycopg.connect(workshop, autocommit=True) as connection:
            connection.execute(tables())
        self._create(self._name, name)
        packages = {}
        for seed, uuid in enumerate(UUIDS, 1):
            packages[uuid] = self._package(uuid, seed, workshop)
            install_package(packages[uuid], self._place(), say=lambda _: None)
        shutil.rmtree(folder / "workshop")
        return packages

    def _create(self, name: str, template: str) -> None:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        with psycopg.connect(self._postgres.dsn, autocommit=True) as connection:
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))

    def _package(self, uuid: str, seed: int, workshop: str) -> Path:
        folder = self.folder
        material = make_material(uuid, seed)
        load(material, workshop)
        write_files(folder / "workshop" / uuid, material)
        with Database.connect({"dsn": workshop, "schema": SCHEMA}) as database:
            return build_package(
                uuid, database, self.system, folder / "workshop" / uuid, folder / "packages", EPOCH
            )

    def _place(self) -> Place:
        environment = Environment(
            name="sandbox",
            role="development",
            system=self.system.name,
            base_url=None,
            source=self.system.source,
            digest="",
            gates={},
            services=self.services,
        )
        return Place(environment, self.system)

    def copy(self) -> Stores:
        """The same once more, to be damaged: the database copied, the files too."""
        there = sharing()
        assert there is not None
        twin = Stores.__new__(Stores)
        twin.system = self.system
        twin._postgres = there.lease(self._name)  # noqa: SLF001 - one of us
        twin.dsn, twin.folder = twin._postgres.dsn, twin._postgres.folder  # noqa: SLF001
        for part in ("output", "packages"):  # what is not changed keeps its place
            shutil.copytree(self.folder / part, twin.folder / part, copy_function=shutil.copyfile)
        twin.packages = {
            uuid: twin.folder / "packages" / file.name for uuid, file in self.packages.items()
        }
        return twin


def open_stores(system: System) -> Stores:
    """The stores, with every file deployed; while a server is shared, a copy of those of the first.

    Raises:
        SandboxError: See `Stores`.
    """
    there = sharing()
    if there is None:
        return Stores(system)
    whole: Stores = there.once(("stores", system.source), lambda: Stores(system))
    return whole.copy()


@cache
def tables() -> sql.SQL:
    """The statements that create momentry's tables."""
    text = (resources.files("pytest_release") / "sandbox" / "momentry.sql").read_text()
    return sql.SQL(text.replace("{schema}", SCHEMA))


def load(material: Material, dsn: str) -> None:
    """Put the rows of a video into a database that has the tables."""
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        for table, columns in COLUMNS.items():
            statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
                sql.Identifier(SCHEMA, table), sql.SQL(", ").join(map(sql.Identifier, columns))
            )
            with cursor.copy(statement) as copy:
                copy.write(b"".join(material.lines(table)))


def counts_of(dsn: str, uuid: str) -> dict[str, int]:
    """Rows of a deployed file by table."""
    parts: Sequence[sql.Composable] = [
        sql.SQL("SELECT {}, count(*) FROM {} WHERE file_uuid = {}").format(
            sql.Literal(table), sql.Identifier(SCHEMA, table), sql.Literal(uuid)
        )
        for table in COLUMNS
    ]
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(sql.SQL(" UNION ALL ").join(parts)).fetchall()
    return {table: int(count) for table, count in rows}
