"""The places of momentry's two environments, by the names that they really have."""

from __future__ import annotations

from dataclasses import dataclass

# what a file leaves in the folders of a side, the inner first
FOLDERS = ("{0.output}/{uuid}/*", "{0.output}/{uuid}", "{0.backup}/{uuid}.*")


@dataclass(frozen=True)
class Place:
    """One side.

    Attributes:
        name: Of the environment.
        settings: Name of its settings file.
        worker: Whether it runs the worker.
    """

    name: str
    role: str
    schema: str
    prefix: str
    database: str
    collection: str
    output: str
    backup: str
    settings: str
    binary: str
    log_level: str
    worker: bool


DEVELOPMENT = Place(
    name="demo",
    role="development",
    schema="dev",
    prefix="momentry_dev:",
    database="momentry_dev",
    collection="momentry_dev_rule1",
    output="output_dev",
    backup="backup/momentry_dev",
    settings=".env.development",
    binary="momentry_playground",
    log_level="debug",
    worker=False,
)
PRODUCTION = Place(
    name="demo-production",
    role="production",
    schema="public",
    prefix="momentry:",
    database="momentry",
    collection="momentry_rule1",
    output="output",
    backup="backup/momentry",
    settings=".env",
    binary="momentry",
    log_level="info",
    worker=True,
)
