"""Drills many faults: several at once where that disturbs nothing, in processes of their own.

What measures time is met alone, behind the others. Each process has an engine and a PostgreSQL
server of its own, and leaves nothing behind, however it ends.
"""

from __future__ import annotations

import atexit
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

from pytest_release.drill.engine import DEMO, Engine, Result, State
from pytest_release.drill.recipe import Recipe
from pytest_release.drill.runs import whole_run
from pytest_release.errors import ReleaseError
from pytest_release.sandbox.database import shared
from pytest_release.verdict import Verdict

Say = Callable[[Result], None]
EVERY = "all"  # in place of a gate


def drill(fixtures: Path, recipes: Sequence[Recipe], jobs: int, say: Say) -> tuple[Result, ...]:
    """Meet every fault.

    Args:
        fixtures: Folder of the environments and cases.
        recipes: Of the faults.
        jobs: How many may be met at once.
        say: Told each result as soon as it is there.

    Returns:
        A result for each recipe, in their order.
    """
    engine = Engine(fixtures)  # what is wrong with the files is said before anything starts
    alone = [recipe for recipe in recipes if engine.alone(recipe) or recipe.run]
    together = [recipe for recipe in recipes if recipe not in alone]
    found: dict[str, Result] = {}
    for some, many in ((together, jobs), (alone, 1)):
        if not some:
            continue
        for result in _meet_all(fixtures, some, min(many, len(some))):
            found[result.fault] = result
            say(result)
    return tuple(found[recipe.fault] for recipe in recipes)


def _meet_all(fixtures: Path, recipes: Sequence[Recipe], jobs: int) -> Iterator[Result]:
    context = get_context("spawn")  # a fork would inherit sockets and threads
    with ProcessPoolExecutor(jobs, context, _prepare, (fixtures,)) as pool:
        try:
            waiting = {pool.submit(_meet, recipe): recipe for recipe in recipes}
            for future in as_completed(waiting):
                yield _result(waiting[future], future)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _result(recipe: Recipe, future: Future[Result]) -> Result:
    try:
        return future.result()
    except BrokenProcessPool as error:
        return Result(recipe.fault, recipe.gate, State.BROKEN, str(error), 0.0)


_ENGINES: list[Engine] = []  # of this process: one


def _prepare(fixtures: Path) -> None:
    leaving = ExitStack()
    atexit.register(leaving.close)
    leaving.enter_context(shared())
    _ENGINES.append(Engine(fixtures))


def _meet(recipe: Recipe) -> Result:
    return _ENGINES[0].meet(recipe)


def clean(fixtures: Path, times: int, say: Say) -> tuple[Result, ...]:
    """Run the whole demo so many times, without a fault; each run is a pytest of its own."""
    results = []
    for number in range(1, times + 1):
        began = time.monotonic()
        try:
            run = whole_run(fixtures, ["--env", DEMO])
            state = State.GREEN if run.verdict is Verdict.PASSED else State.RED
            message = "; ".join((str(run.verdict), *run.reasons))
        except ReleaseError as error:
            state, message = State.RED, str(error)
        seconds = time.monotonic() - began
        results.append(Result(f"run {number} of {times}", EVERY, state, message, seconds))
        say(results[-1])
    return tuple(results)
