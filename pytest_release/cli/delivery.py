"""``pytest-release delivery``."""

from __future__ import annotations

import argparse
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_release.cli._command import Commands
from pytest_release.cli._verified import add_bundle, verified

if TYPE_CHECKING:
    from pytest_release.handover.verified import Verified

TEXTS = {  # option: section of the record
    "added": "Added",
    "improved": "Improved",
    "fixed": "Fixed",
    "configuration": "Configuration",
    "problem": "Problems",
    "measure": "Measures",
    "follow-up": "Follow-up",
}


def add(commands: Commands) -> None:
    """Register the commands."""
    delivery = commands.add_parser(
        "delivery", help="write what teams hand over, from verified bundles"
    )
    actions = delivery.add_subparsers(required=True, metavar="ACTION")
    report = actions.add_parser("report", help="a test report: what a run came to")
    report.add_argument("--topic", help="of its name (default: the version)")
    report.add_argument("--from", dest="sender", default="M5", metavar="TEAM")
    report.add_argument("--to", default="M4", metavar="TEAM")
    info = actions.add_parser("release-info", help="RELEASE_INFO.md and .txt of an accepted run")
    info.add_argument("--change", action="append", default=[], metavar="TEXT", help="repeatable")
    record = actions.add_parser("record", help="the record of a release that went live")
    _add_record(record)
    for command, run in ((report, _report), (info, _release_info), (record, _record)):
        add_bundle(command)
        command.add_argument("--workspace", type=Path, default=Path("workspace"), metavar="DIR")
        command.set_defaults(run=run)
    for command in (report, info):
        command.add_argument("--date", type=_day, metavar="YYYY-MM-DD", help="default: today")
    _add_response(actions, info)


def _add_record(record: argparse.ArgumentParser) -> None:
    record.add_argument("--who", required=True, metavar="PERSON")
    record.add_argument("--team", required=True)
    record.add_argument(
        "--status", default="", help="success, partial or failed; never better than the run"
    )
    record.add_argument("--at", metavar="WHEN", help="when it went live (default: now)")
    record.add_argument("-o", "--output", type=Path, metavar="FILE")
    for option in TEXTS:
        record.add_argument(
            f"--{option}", action="append", default=[], metavar="TEXT", help="repeatable"
        )


def _add_response(actions: Commands, info: argparse.ArgumentParser) -> None:
    response = actions.add_parser("response", help="the response to a report, beside it")
    response.add_argument("report", type=Path, metavar="REPORT")
    response.add_argument(
        "--item",
        action="append",
        default=[],
        metavar="NUMBER=STATE[:COMMIT,...]",
        help="what was done about an item (repeatable); others are open",
    )
    response.set_defaults(run=_response)
    for command in (response, info):
        command.add_argument("--repository", metavar="DIR", help="the git repository of commits")


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day like 2026-01-30") from None
    if day > _today():
        raise argparse.ArgumentTypeError(f"{text} is to come")
    return day


def _today() -> date:
    return datetime.now().astimezone().date()  # of who writes


def _proven(options: argparse.Namespace) -> Verified:
    from pytest_release.handover.verified import Verified

    proven = verified(options.bundle, options.key)
    return Verified(proven.run, proven.sha256, proven.signers, proven.trusted)


def _report(options: argparse.Namespace) -> int:
    from pytest_release.handover.papers import test_report

    teams = (options.sender, options.to)
    day = options.date or _today()
    print(test_report(options.workspace, _proven(options), options.topic or "", day, teams))
    return 0


def _response(options: argparse.Namespace) -> int:
    from pytest_release.handover.papers import repository_of
    from pytest_release.handover.responding import read_done, respond

    done = [read_done(text) for text in options.item]
    print(respond(options.report, done, repository_of(options.repository), _today()))
    return 0


def _release_info(options: argparse.Namespace) -> int:
    from pytest_release.handover.papers import changes_since_last, release_info, repository_of

    proven = _proven(options)
    changes = list(options.change)
    if repository := repository_of(options.repository):
        changes += changes_since_last(repository, proven.told.version)
    folder = options.workspace / "releases"
    for file in release_info(folder, proven, options.date or _today(), changes):
        print(file)
    return 0


def _record(options: argparse.Namespace) -> int:
    from datetime import UTC

    from pytest_release.errors import UsageError
    from pytest_release.handover.papers import record
    from pytest_release.moments import moment
    from pytest_release.workspace.writing import GoLive

    now = datetime.now(UTC)
    at = moment("--at", options.at, now) if options.at else now
    if at > now:
        raise UsageError(f"--at {at:%Y-%m-%d %H:%M} UTC is to come: a record is of what was done")
    texts = {title: getattr(options, option.replace("-", "_")) for option, title in TEXTS.items()}
    said = GoLive(options.who, options.team, options.status, texts)
    print(record(options.output, options.workspace, _proven(options), said, at))
    return 0
