"""``pytest-release rollout``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_release.cli._command import Commands

if TYPE_CHECKING:
    from pytest_release.rollout.desk import Desk, Look
    from pytest_release.rollout.progress import Watcher
    from pytest_release.rollout.state import Result

UNHEALTHY = 3  # exit status of a rollback that did not restore health
INTERRUPTED = 130


def add(commands: Commands) -> None:
    """Register the command and its actions."""
    rollout = commands.add_parser("rollout", help="carry a plan out, step by step, and back again")
    actions = rollout.add_subparsers(required=True, metavar="ACTION")
    _add_plan(actions)
    _add_run(actions)
    for name, action, words in (
        ("resume", _resume, "go on with a rollout whose driver is gone"),
        ("abort", _abort, "take back what a rollout did whose driver is gone"),
    ):
        command = actions.add_parser(name, help=words)
        command.add_argument("rollout", nargs="?", metavar="ID", help="default: the unfinished one")
        _add_driving(command)
        command.set_defaults(run=action)
    _add_rollback(actions)
    status = actions.add_parser("status", help="what runs, what was not finished, how it ended")
    status.add_argument("rollout", nargs="?", metavar="ID", help="default: all")
    status.add_argument("--json", action="store_true", help="one rollout a line")
    _add_places(status)
    status.set_defaults(run=_status)


def _add_plan(actions: Commands) -> None:
    plan = actions.add_parser("plan", help="check a plan, and print its steps with a picture")
    plan.add_argument("plan", metavar="PLAN", help="its name in fixtures/plans, or a .yaml file")
    plan.add_argument("--fixtures", type=Path, default=Path("fixtures"))
    plan.set_defaults(run=_plan)


def _add_run(actions: Commands) -> None:
    run = actions.add_parser("run", help="carry a plan out")
    run.add_argument("plan", metavar="PLAN", help="its name in fixtures/plans, or a .yaml file")
    run.add_argument("--release", required=True, metavar="VERSION")
    run.add_argument("--commit", metavar="SHA", help="the git commit of the release")
    mode = run.add_mutually_exclusive_group()
    mode.add_argument("--mode", metavar="NAME", help="a part of the plan, as the plan names it")
    for name in ("skip-sentinel", "test-only"):
        mode.add_argument(f"--{name}", action="store_const", const=name, dest="mode",
                          help=f"the same as --mode {name}")  # fmt: skip
    _add_values(run)
    run.add_argument(
        "--dry-run", action="store_true", help="say what would be done, and do nothing"
    )
    _add_driving(run)
    run.set_defaults(run=_run)


def _add_rollback(actions: Commands) -> None:
    command = actions.add_parser("rollback", help="bring an earlier good release back")
    command.add_argument("plan", metavar="PLAN")
    command.add_argument("--env", required=True, metavar="ENV", dest="environment")
    which = command.add_mutually_exclusive_group(required=True)
    which.add_argument("--to", metavar="VERSION")
    which.add_argument("--last-good", action="store_true")
    which.add_argument("--list", action="store_true", help="the releases that were good there")
    _add_values(command)
    _add_driving(command)
    command.set_defaults(run=_rollback)


def _add_values(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        dest="values",
        help="a value of the plan (repeatable)",
    )


def _add_driving(command: argparse.ArgumentParser) -> None:
    command.add_argument("--sign-with", metavar="URI", help="private key of bundles and promotions")
    command.add_argument("--by", metavar="NAME", help="who does it (default: the user)")
    command.add_argument("--json", action="store_true", help="one JSON object a line")
    _add_places(command)


def _add_places(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--fixtures", type=Path, default=Path("fixtures"))
    add("--rollouts", type=Path, default=Path("rollouts"), metavar="DIR",
        help="journals and locks; one folder for all who drive (default: %(default)s)")  # fmt: skip
    add("--report-dir", type=Path, default=Path("reports"), metavar="DIR")
    add("--history", type=Path, default=Path("history.jsonl"), metavar="FILE")
    add("--record-dir", type=Path, default=Path("promotions"), metavar="DIR")


def _desk(options: argparse.Namespace) -> Desk:
    import getpass
    import socket

    from pytest_release.rollout.desk import Desk
    from pytest_release.rollout.report import seal

    return Desk(
        fixtures=options.fixtures,
        root=options.rollouts,
        reports=options.report_dir,
        history=options.history,
        records=options.record_dir,
        who=options.by or f"{getpass.getuser()}@{socket.gethostname()}",
        sign_with=options.sign_with,
        seal=seal,
        watcher=_watcher(json=options.json),
    )


def _watcher(*, json: bool) -> Watcher:
    from pytest_release.rollout.progress import Machine, Plain, Terminal

    if json:
        return Machine()
    return Terminal() if sys.stdout.isatty() and "CI" not in os.environ else Plain()


def _plan(options: argparse.Namespace) -> int:
    from pytest_release.config.plans import load_plan
    from pytest_release.hostile import one_line
    from pytest_release.rollout.picture import details, lines

    plan = load_plan(options.fixtures, options.plan, os.environ)
    print(f"plan {plan.name} of {plan.system}: {len(plan.steps)} steps, {len(plan.rollback)} back")
    if plan.description:
        print(one_line(plan.description))
    print("\n" + "\n".join(lines(plan)) + "\n")
    parts = {"steps": plan.steps, "rollback": plan.rollback, "afterwards": plan.afterwards}
    for title, steps in parts.items():
        if steps:
            print(f"{title}:")
        for number, step in enumerate(steps, 1):
            print(f"{number:3}. {step.name}  {step.type} in {step.environment}")
            for line in details(step):
                print(f"     {one_line(plan.redactor(line))}")
    if plan.modes:
        print(f"modes: {', '.join(plan.modes)}")
    return 0


def _values(options: argparse.Namespace) -> dict[str, str]:
    from pytest_release.errors import UsageError

    values = {}
    for given in options.values:
        name, equals, value = given.partition("=")
        if not equals:
            raise UsageError(f"--set takes NAME=VALUE, got {given!r}")
        values[name] = value
    return values


def _run(options: argparse.Namespace) -> int:
    from pytest_release.rollout.desk import Wish, dry_run, run

    values = _values(options)
    wish = Wish(options.plan, options.release, options.commit, values, options.mode)
    desk = _desk(options)
    if options.dry_run:
        for line in dry_run(desk, wish):
            print(line)
        return 0
    return _driven(lambda: run(desk, wish), wanted="success")


def _resume(options: argparse.Namespace) -> int:
    from pytest_release.rollout.desk import resume

    return _driven(lambda: resume(_desk(options), options.rollout), wanted="success")


def _abort(options: argparse.Namespace) -> int:
    from pytest_release.rollout.desk import resume

    desk = _desk(options)
    return _driven(lambda: resume(desk, options.rollout, abort=True), wanted="aborted")


def _rollback(options: argparse.Namespace) -> int:
    from pytest_release.config.plans import load_plan
    from pytest_release.hostile import one_line
    from pytest_release.rollout.desk import back, good

    desk, values = _desk(options), _values(options)
    if options.list:
        for target in good(desk, load_plan(desk.fixtures, options.plan, os.environ),
                           options.environment):  # fmt: skip
            print(one_line(f"{target.version}  {target.commit or ''}").rstrip())
        return 0
    return _driven(
        lambda: back(desk, options.plan, options.environment, options.to, values),
        wanted="rolled-back",
    )


def _driven(drive: Callable[[], Result], wanted: str) -> int:
    """The exit status of a rollout: 0 when it came to what was wanted."""
    from pytest_release.rollout.state import NOT_ROLLED_BACK

    ends = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, _interrupt) for number in ends}
    try:
        result = drive()
    except KeyboardInterrupt:
        print("pytest-release: interrupted; go on with: pytest-release rollout resume, or abort",
              file=sys.stderr)  # fmt: skip
        return INTERRUPTED
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if result.status == wanted:
        return 0
    return UNHEALTHY if result.status == NOT_ROLLED_BACK else 1


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _status(options: argparse.Namespace) -> int:
    import json

    from pytest_release.errors import UsageError
    from pytest_release.rollout.desk import looks
    from pytest_release.rollout.status import as_json, as_lines

    found = [look for look in looks(options.rollouts) if _named(look, options.rollout)]
    if options.rollout and not found:
        raise UsageError(f"there is no rollout {options.rollout!a} in {options.rollouts}")
    if not found and not options.json:
        print(f"no rollout in {options.rollouts}")
    for look in found:
        if options.json:
            print(json.dumps(as_json(look), sort_keys=True))
        else:
            print("\n".join(as_lines(look)))
    return 0


def _named(look: Look, name: str | None) -> bool:
    return name is None or look.folder.name.startswith(name)
