"""``pytest-release history``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_release.cli._command import Commands

if TYPE_CHECKING:
    from pytest_release.history import Chain, Record

FILE = Path("history.jsonl")


def add(commands: Commands) -> None:
    """Register the command, which lists, and its actions."""
    history = commands.add_parser("history", help="every action that was recorded, in a chain")
    history.add_argument("--file", type=Path, default=FILE, help=f"default: {FILE}")
    history.add_argument("--stack", metavar="NAME")
    history.add_argument("--env", metavar="NAME")
    history.add_argument("--status", metavar="WORD")
    history.add_argument("--since", metavar="WHEN", help="a date, a time, or for example 7d")
    history.add_argument(
        "--last-good",
        action="store_true",
        help="the release that was last good in each environment",
    )
    history.add_argument("--json", action="store_true", help="one record a line")
    history.set_defaults(run=_list)
    actions = history.add_subparsers(metavar="[ACTION]")
    verify = actions.add_parser("verify", help="prove the chain, and its anchors")
    verify.add_argument(
        "--key",
        type=Path,
        action="append",
        default=[],
        help="public key that may have signed anchors (repeatable)",
    )
    sign = actions.add_parser("sign", help="sign the history as it is: add an anchor")
    sign.add_argument("--sign-with", metavar="URI", required=True, help="the private key")
    repair = actions.add_parser("repair", help="end what a killed writer left, and record it")
    for action, run in ((verify, _verify), (sign, _sign), (repair, _repair)):
        # Without a default of its own, which would replace what stands before the action.
        action.add_argument("--file", type=Path, default=argparse.SUPPRESS)
        action.set_defaults(run=run)


def _list(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from pytest_release.history import last_good, select, since, verify

    start = None if options.since is None else since(options.since, datetime.now(UTC))
    records: Iterable[Record] = select(
        verify(options.file).records,
        stack=options.stack,
        env=options.env,
        status=options.status,
        since=start,
    )
    if options.last_good:
        records = last_good(records)
    for record in records:
        print(_as_json(record) if options.json else _as_row(record))
    return 0


def _as_row(record: Record) -> str:
    from pytest_release.hostile import one_line

    words = (record.stack, record.env, record.action, record.version, record.status, record.notes)
    cells = [one_line(word).replace("|", "\\x7c") for word in words]
    return " | ".join([f"{record.when:%Y-%m-%d %H:%M:%S}", *cells]).rstrip()


def _as_json(record: Record) -> str:
    """The record; in ASCII, since it may be a terminal that reads it."""
    import json

    return json.dumps({**record.unhashed(), "hash": record.hash}, sort_keys=True)


def _verify(options: argparse.Namespace) -> int:
    from pytest_release.errors import HistoryError
    from pytest_release.history import History

    with History(options.file).reading() as chain:
        if not chain.records:
            raise HistoryError(f"{options.file} holds no record: there is nothing to verify")
        anchors = _anchors(options.file, options.key, chain)
    print(f"records  {chain.count}, one chain, {chain.records[0].time} to {chain.records[-1].time}")
    print(f"head     {chain.head}")
    print(f"repairs  {len(chain.repairs)}")
    for record in chain.repairs:
        lines = ", ".join(f"{line.length} bytes (sha256 {line.sha256})" for line in record.torn)
        print(f"         record {record.sequence}, {record.time}: torn: {lines}")
    print("\n".join(anchors))
    return 0


def _anchors(file: Path, keys: list[Path], chain: Chain) -> list[str]:
    """What is known of the anchors, a line each."""
    from pytest_release.history import anchors_of

    if not keys:
        state = "not checked: give --key" if anchors_of(file).exists() else "none"
        return [f"anchors  {state}; without them a tail that was cut off is not found"]
    from pytest_release.attestation.anchor import check_anchors
    from pytest_release.attestation.keys import fingerprint, load_public_key

    anchors = check_anchors(file, [load_public_key(key) for key in keys], chain)
    lines = [f"anchors  {len(anchors)}, all as signed"]
    for anchor in anchors:
        signers = ", ".join(map(fingerprint, anchor.keys.values()))
        lines.append(f"         record {anchor.records}, {anchor.time}, signed by {signers}")
    since = chain.count - anchors[-1].records
    lines.append(f"         {since} records since the last; cutting those off is not found")
    return lines


def _sign(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from pytest_release.attestation.anchor import add_anchor
    from pytest_release.attestation.keys import fingerprint, load_signing_key
    from pytest_release.history import anchors_of

    key = load_signing_key(options.sign_with, os.environ)
    anchor = add_anchor(options.file, key.signer, datetime.now(UTC))
    for line in anchor.torn:
        print(f"a write was cut off; this anchor names what is left: {line.length} bytes "
              f"(sha256 {line.sha256})", file=sys.stderr)  # fmt: skip
    print(f"anchor     {anchors_of(options.file)}")
    print(f"records    {anchor.records}")
    print(f"head       {anchor.head}")
    print(f"signed by  {', '.join(map(fingerprint, anchor.keys.values()))}")
    return 0


def _repair(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from pytest_release.errors import HistoryError
    from pytest_release.history import History

    if not options.file.exists():  # a history begins with a record, not with a repair
        raise HistoryError(f"there is no {options.file}: nothing can be repaired")
    repair = History(options.file).repair(datetime.now(UTC))
    print(repair or "nothing to repair: the last record is whole")
    return 0
