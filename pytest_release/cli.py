"""The command ``pytest-release``: what people need beside running the gates."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pytest_release.errors import ReleaseError

if TYPE_CHECKING:
    from pytest_release.config.environment import Environment

PASSWORD = "PYTEST_RELEASE_KEY_PASSWORD"  # noqa: S105 - the variable's name


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0 when it did what was asked, 1 when it refuses, 2 for a wrong command.
    """
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()  # here, where a reader that is gone is no error
    except ReleaseError as error:
        print(f"pytest-release: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pytest-release",
        description="Keys, verification, environments, packages and the sandbox of pytest-release. "
        "The gates themselves are run by pytest: pytest --env NAME.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_keygen(commands)
    _add_verify(commands)
    _add_env(commands)
    _add_package(commands)
    _add_sandbox(commands)
    return parser


_Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001


def _add_keygen(commands: _Commands) -> None:
    command = commands.add_parser("keygen", help="make a key pair that signs attestations")
    command.add_argument("path", type=Path, help="file of the private key; PATH.pub is the public")
    command.add_argument(
        "--encrypt",
        action="store_true",
        help=f"encrypt the private key (password: ${PASSWORD}, or asked for)",
    )
    command.set_defaults(run=_keygen)


def _add_verify(commands: _Commands) -> None:
    command = commands.add_parser("verify", help="check a report bundle against its attestation")
    command.add_argument("bundle", type=Path, help="the folder, for example reports/latest")
    command.add_argument(
        "--key",
        type=Path,
        action="append",
        required=True,
        help="public key that must have signed (repeatable)",
    )
    command.add_argument(
        "--threshold", type=int, default=1, help="how many of the keys must have (default: 1)"
    )
    command.set_defaults(run=_verify)


def _add_env(commands: _Commands) -> None:
    env = commands.add_parser("env", help="the environments of a fixtures folder")
    actions = env.add_subparsers(required=True, metavar="ACTION")
    names = actions.add_parser("list", help="the names that --env takes")
    check = actions.add_parser("check", help="read an environment and its cases")
    check.add_argument("name")
    check.add_argument("--connect", action="store_true", help="also try every service")
    for command, run in ((names, _env_list), (check, _env_check)):
        command.add_argument("--fixtures", type=Path, default=Path("fixtures"))
        command.set_defaults(run=run)


def _add_package(commands: _Commands) -> None:
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


def _add_sandbox(commands: _Commands) -> None:
    sandbox = commands.add_parser("sandbox", help="the embedded reference deployment")
    actions = sandbox.add_subparsers(required=True, metavar="ACTION")
    faults = actions.add_parser("faults", help="list the fault switches and who must catch them")
    faults.set_defaults(run=_sandbox_faults)
    up = actions.add_parser("up", help="start it and keep it running until Ctrl-C")
    up.add_argument("--workers", type=int, default=2)
    up.add_argument("--port", type=int, default=0, help="default: a free one")
    up.add_argument("--fault", action="append", default=[], metavar="NAME", help="repeatable")
    up.add_argument("--stream-seconds", type=float, default=0.3, help="how long a stream takes")
    up.set_defaults(run=_sandbox_up)


def _keygen(options: argparse.Namespace) -> int:
    from pytest_release.attestation.keys import fingerprint, generate

    key = generate(options.path, password=_password() if options.encrypt else None)
    print(f"private key  {options.path} (keep it secret)")
    print(f"public key   {options.path}.pub")
    print(f"fingerprint  {fingerprint(key)}")
    return 0


def _password() -> str:
    from getpass import getpass

    return os.environ.get(PASSWORD) or getpass("password of the new key: ")


def _verify(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from pytest_release.attestation.keys import load_public_key
    from pytest_release.attestation.verify import describe, verify_bundle

    keys = [load_public_key(path) for path in options.key]
    verified = verify_bundle(
        options.bundle, keys, now=datetime.now(UTC), threshold=options.threshold
    )
    print(describe(verified))
    return 0


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


def _package_verify(options: argparse.Namespace) -> int:
    from pytest_release.packages.verify import verify

    return verify(options.files, options.fixtures, options.system, os.environ)


def _package_build(options: argparse.Namespace) -> int:
    from pytest_release.delivery.commands import build

    return build(options.uuid, options.output, options.fixtures, options.env, os.environ)


def _package_install(options: argparse.Namespace) -> int:
    from pytest_release.delivery.commands import install

    return install(options.file, options.fixtures, options.env, os.environ)


def _sandbox_faults(_: argparse.Namespace) -> int:
    from pytest_release.sandbox.commands import list_faults

    list_faults(sys.stdout)
    return 0


def _sandbox_up(options: argparse.Namespace) -> int:
    from pytest_release.sandbox.commands import up

    up(options.workers, options.fault, options.stream_seconds, options.port)
    return 0
