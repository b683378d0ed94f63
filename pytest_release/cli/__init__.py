"""The command ``pytest-release``: what people need beside running the gates.

A module a command, or a family of them: it registers its arguments and imports what it needs when
it runs.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from pytest_release.cli import (
    ci_summary,
    countersign,
    delivery,
    drill,
    env,
    history,
    key,
    keygen,
    package,
    promote,
    rollout,
    sandbox,
    verify,
    waive,
)
from pytest_release.errors import ReleaseError

COMMANDS = (
    keygen,
    key,
    verify,
    ci_summary,
    env,
    package,
    delivery,
    sandbox,
    drill,
    promote,
    rollout,
    waive,
    countersign,
    history,
)


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
        description="Keys, verification, environments, packages, documents, the sandbox, "
        "promotions, rollouts and the history. "
        "The gates themselves are run by pytest: pytest --env NAME.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add(commands)
    return parser
