"""How exact our figures are, beside four other clients': ``python -m benchmarks.ttfb``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

if not __package__:  # started as a folder: its modules must not hide those of the library
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from benchmarks.ttfb.bars import bars
from benchmarks.ttfb.clients import CLIENTS
from benchmarks.ttfb.conditions import CONDITIONS
from benchmarks.ttfb.run import Outcome, Runner
from benchmarks.ttfb.server import Server
from benchmarks.ttfb.table import tables
from benchmarks.ttfb.worker import Worker


def main() -> None:
    """Run the conditions, print the tables, then the bars."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the children are ended
    seed = random.randrange(2**32) if options.seed is None else options.seed
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"load before: {os.getloadavg()[0]:.2f}; seed {seed}\n", flush=True)
    outcomes: dict[str, dict[str, Outcome]] = {}
    began = time.monotonic()
    with ExitStack() as stack:
        server = stack.enter_context(Server())
        workers = {name: stack.enter_context(Worker(name, server.base_url)) for name in CLIENTS}
        runner = Runner(server, workers, random.Random(seed))
        for condition in CONDITIONS:
            if options.condition in (None, condition.name):
                outcomes[condition.name] = runner.run(condition, options.quick)
                print("\n".join(tables(condition, outcomes[condition.name])), flush=True)
    print("== bars", *bars(outcomes), sep="\n")
    if options.quick:
        print("quick: too few requests for a p99, the bars are a rehearsal")
    print(f"\n{time.monotonic() - began:.0f} s")
    if options.raw:
        _write(options.raw, outcomes)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.ttfb", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round of each (< 30 s)")
    parser.add_argument("--condition", choices=[c.name for c in CONDITIONS], help="only this one")
    parser.add_argument("--seed", type=int, help="of the order of clients and delays")
    parser.add_argument("--raw", type=Path, metavar="FILE", help="every request, as JSON lines")
    return parser.parse_args()


def _write(path: Path, outcomes: Mapping[str, Mapping[str, Outcome]]) -> None:
    with path.open("w") as out:
        for condition, clients in outcomes.items():
            for client, outcome in clients.items():
                for row in outcome.rows:
                    record = {"condition": condition, "client": client, **asdict(row)}
                    print(json.dumps(record), file=out)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
