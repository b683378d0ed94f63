"""`kill -9` of the driver at every boundary of every step: nothing is lost, nothing done twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_release.errors import RolloutError
from pytest_release.rollout import attempt
from pytest_release.rollout.desk import Wish, run
from pytest_release.rollout.stage import Order, Outcome, Stage
from pytest_release.rollout.state import SUCCESS
from pytest_release.rollout.status import standing
from tests.unit.rollout.conftest import Hook, Yard

TYPES = ("preflight", "backup", "deploy", "reload", "gate", "notify")


class Noting:
    """An adapter that adds a line to the log, and knows whether it did; no process is needed."""

    def repeatable(self, options: object) -> bool:
        """It is asked first."""
        return False

    def act(self, order: Order, stage: Stage) -> Outcome:
        """Add the line."""
        with Path("log").open("a") as log:
            log.write(f"{order.options['path']}\n")
        return Outcome(done=True, why="noted")

    def check(self, order: Order, stage: Stage) -> Outcome | None:
        """Look for the line."""
        return Outcome(done=order.options["path"] in Path("log").read_text().splitlines())


@pytest.fixture
def noting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapter http is `Noting`."""
    real = attempt.adapter
    monkeypatch.setattr(attempt, "adapter", lambda name: Noting() if name == "http" else real(name))


def noted(name: str, kind: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A step that adds a line by `Noting`."""
    return {
        "name": name,
        "type": kind,
        "with": {"http": {"path": f"/{name}/{{{{release}}}}"}},
        **more,
    }


def driving(yard: Yard, release: str = "2.0") -> Callable[[Hook], object]:
    """Carries the plan out with a hook."""
    return lambda at: run(yard.desk(at=at), Wish("shop", release))


def every_boundary(
    folder: Path, monkeypatch: pytest.MonkeyPatch, prepare: Callable[[Yard], None]
) -> Iterator[tuple[Yard, str]]:
    """A yard for each boundary, in which the driver was killed there."""
    for number in range(1, 1000):
        yard = Yard(folder / str(number))
        monkeypatch.chdir(yard.folder)
        prepare(yard)
        boundary = yard.killed_at(number, driving(yard))
        if boundary is None:
            assert number > 20
            return
        yield yard, boundary


@pytest.mark.usefixtures("noting")
def test_killed_at_every_boundary_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every step is done once, the history has each record once, and status told the truth."""
    record = {"name": "record", "type": "record"}
    steps = (*(noted(kind, kind) for kind in TYPES), record)

    def prepare(yard: Yard) -> None:
        yard.plan(*steps)

    for yard, boundary in every_boundary(tmp_path, monkeypatch, prepare):
        if boundary == "opened, before":
            assert yard.looks == []  # nothing was begun, and the next may
            assert yard.run().status == SUCCESS
        elif boundary == "closed, after":
            assert standing(yard.look) == SUCCESS
        else:
            assert standing(yard.look) == "interrupted"
            with pytest.raises(RolloutError, match=r"was not finished .*: pytest-release rollout"):
                yard.run()
            assert yard.resume().status == SUCCESS, boundary
        assert yard.log == [f"/{kind}/2.0" for kind in TYPES], boundary
        keys = Counter(record.details.get("key", "record") for record in yard.records)
        assert set(keys.values()) == {1}, boundary
        ended = {key.rpartition(":")[0] for key in keys if key.startswith("step:")}
        assert len(ended) == len(TYPES) + 1, boundary  # an attempt that was cut off is there too
