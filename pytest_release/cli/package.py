"""``pytest-release package``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from pytest_release.cli._command import Commands


def add(commands: Commands) -> None:
    """Register the commands."""
    package = commands.add_parser("package", help="release packages: check, make, install")
    actions = package.add_subparsers(required=True, metavar="ACTION")
    verify = actions.add_parser("verify", help="read packages in one pass, without unpacking them")
    verify.add_argument("files", type=Path, nargs="+", metavar="FILE")
    verify.add_argument("--system", help="whose packages they are (default: the only one there is)")
    build = actions.add_parser("build", help="make a package of a deployment")
    build.add_argument("uuid", metavar="UUID")
    build.add_argument("-o", "--output", type=Path, default=Path(), metavar="DIR")
    install = actions.add_parser("install", help="install a package, its rows in one transaction")
    install.add_argument("file", type=Path, metavar="FILE")
    for command in (build, install):
        command.add_argument("--env", required=True, metavar="NAME")
    runs = ((verify, _package_verify), (build, _package_build), (install, _package_install))
    for command, run in runs:
        command.add_argument("--fixtures", type=Path, default=Path("fixtures"))
        command.set_defaults(run=run)


def _package_verify(options: argparse.Namespace) -> int:
    from pytest_release.packages.verify import verify

    return verify(options.files, options.fixtures, options.system, os.environ)


def _package_build(options: argparse.Namespace) -> int:
    from pytest_release.delivery.commands import build

    return build(options.uuid, options.output, options.fixtures, options.env, os.environ)


def _package_install(options: argparse.Namespace) -> int:
    from pytest_release.delivery.commands import install

    return install(options.file, options.fixtures, options.env, os.environ)
