"""Like alembic, for SQLite: ``alembic.py DATABASE upgrade head|current``, in a release folder."""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path


def main(database: str, *words: str) -> None:
    """Upgrade, or say where it stands."""
    known = sorted(Path("migrations").glob("*.sql"))
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num TEXT)")
        done = {row[0] for row in connection.execute("SELECT version_num FROM alembic_version")}
        if words == ("upgrade", "head"):
            for file in known:
                if file.stem not in done:
                    print(f"Running upgrade -> {file.stem}")
                    note = f"INSERT INTO alembic_version VALUES ('{file.stem}');"
                    connection.executescript(f"BEGIN;{file.read_text()};{note}COMMIT;")
        else:
            newest = max(done, default="")
            print(f"{newest} (head)" if known and newest == known[-1].stem else newest)


if __name__ == "__main__":
    main(*sys.argv[1:])
