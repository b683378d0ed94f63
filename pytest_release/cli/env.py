"""``pytest-release env``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_release.cli._command import Commands

if TYPE_CHECKING:
    from pytest_release.config.environment import Environment


def add(commands: Commands) -> None:
    """Register the commands."""
    env = commands.add_parser("env", help="the environments of a fixtures folder")
    actions = env.add_subparsers(required=True, metavar="ACTION")
    names = actions.add_parser("list", help="the names that --env takes")
    check = actions.add_parser("check", help="read an environment and its cases")
    check.add_argument("name")
    check.add_argument("--connect", action="store_true", help="also try every service")
    for command, run in ((names, _env_list), (check, _env_check)):
        command.add_argument("--fixtures", type=Path, default=Path("fixtures"))
        command.set_defaults(run=run)


def _env_list(options: argparse.Namespace) -> int:
    from pytest_release.config.environments import environment_names

    for name in environment_names(options.fixtures):
        print(name)
    return 0


def _env_check(options: argparse.Namespace) -> int:
    from pytest_release.config.casebook import load_casebook
    from pytest_release.config.environments import load_environment

    environment = load_environment(options.fixtures, options.name, os.environ)
    casebook = load_casebook(options.fixtures, environment.system, os.environ)
    print(f"{environment.source}: {environment.role} of {environment.system}")
    for gate, policy in environment.gates.items():
        need = "required" if policy.required else "optional"
        print(f"  gate {gate}: {need}, {len(casebook.of(gate))} declared cases")
    return _connect(environment) if options.connect else 0


def _connect(environment: Environment) -> int:
    """Try the deployment and every service; say of each what was there."""
    from pytest_release.errors import TargetError
    from pytest_release.release import read_identity
    from pytest_release.targets.http import HttpTarget
    from pytest_release.targets.reach import reach

    services = dict(environment.services)
    if "url" not in services.get("edge", {}):
        services.pop("edge", None)  # it is where base_url is
    if environment.base_url is not None:
        services["base_url"] = {"url": environment.base_url}
    status = 0
    for name, place in services.items():
        try:
            words = reach(name, place)
            if name == "base_url" and environment.release is not None:
                words += f"; it is {read_identity(environment.release, HttpTarget(environment))}"
            print(f"  ok    {name}: {environment.redactor(words)}")
        except TargetError as error:
            print(f"  FAIL  {environment.redactor(str(error))}")
            status = 1
    return status
