"""``pytest-release sandbox``."""

from __future__ import annotations

import argparse
import sys

from pytest_release.cli._command import Commands


def add(commands: Commands) -> None:
    """Register the commands."""
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


def _sandbox_faults(_: argparse.Namespace) -> int:
    from pytest_release.sandbox.commands import list_faults

    list_faults(sys.stdout)
    return 0


def _sandbox_up(options: argparse.Namespace) -> int:
    from pytest_release.sandbox.commands import up

    up(options.workers, options.fault, options.stream_seconds, options.port)
    return 0
