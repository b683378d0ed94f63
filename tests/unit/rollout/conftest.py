"""A yard in which rollouts really run: programs, files, journals, locks and a history."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_release.errors import HistoryError
from pytest_release.history import Entry, History, Record, verify
from pytest_release.rollout.desk import Desk, Look, Wish, looks, resume, run
from pytest_release.rollout.state import Result

ENVIRONMENT = """
name: {name}
role: staging
system: shop
base_url: "{base_url}"
release: {{health: /health, version: version}}
gates:
  basic: {{required: true}}
"""
Hook = Callable[[str], None]


def wrote(line: str) -> dict[str, Any]:
    """An action that adds a line to the log."""
    return {"command": {"argv": ["tee", "-a", "log"], "input": f"{line}\n"}}


def shows(line: str) -> dict[str, Any]:
    """An action that finds a line in the log."""
    return {"command": {"argv": ["grep", "-qxF", "--", line, "log"]}}


def step(name: str, kind: str = "deploy", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A step that adds a line to the log, and shows that it did."""
    line = f"{name} {{{{release}}}}"
    done = {"with": wrote(line), "verify": [shows(line)], "idempotent": True}
    return {"name": name, "type": kind, **done, **more}


@dataclass
class Yard:
    """A folder with environments ``here`` and ``there``, and what is needed to drive."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    base_url: str = "http://127.0.0.1:9"

    def __post_init__(self) -> None:
        for name in ("here", "there"):
            self.environment(name)
        (self.folder / "log").write_text("")

    def environment(self, name: str, text: str = ENVIRONMENT) -> None:
        """Write an environment."""
        file = self.folder / "fixtures" / "environments" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.format(name=name, base_url=self.base_url))

    def plan(self, *steps: Mapping[str, Any], name: str = "shop", **more: Any) -> Path:  # noqa: ANN401
        """Write a plan of these steps."""
        value = {"name": name, "system": "shop", "environment": "here", "steps": steps, **more}
        file = self.folder / "fixtures" / "plans" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        plain = yaml.safe_load(yaml.safe_dump(_plain(value)))
        file.write_text(yaml.safe_dump(plain, sort_keys=False))
        return file

    def desk(self, **changes: Any) -> Desk:  # noqa: ANN401 - members of the desk
        """Where rollouts are asked for."""
        members: dict[str, Any] = {
            "fixtures": self.folder / "fixtures",
            "root": self.folder / "rollouts",
            "reports": self.folder / "reports",
            "history": self.folder / "history.jsonl",
            "records": self.folder / "promotions",
            "who": "li@desk",
            "variables": self.variables,
            "pause": lambda _: None,
        }
        return Desk(**{**members, **changes})

    def run(self, release: str = "2.0", plan: str = "shop", **changes: Any) -> Result:  # noqa: ANN401
        """Carry a plan out."""
        wish = {k: changes.pop(k) for k in ("commit", "values", "mode") if k in changes}
        return run(self.desk(**changes), Wish(plan, release, **wish))

    def resume(self, *, abort: bool = False, **changes: Any) -> Result:  # noqa: ANN401
        """Go on with what was not finished."""
        return resume(self.desk(**changes), abort=abort)

    def killed_at(self, number: int, act: Callable[[Hook], object]) -> str | None:
        """Do it in a process that kills itself at the boundary of this number, from 1.

        Returns:
            The boundary's name; None when there are fewer.
        """
        told = self.folder / "boundary"
        told.write_text("")
        count = 0

        def at(boundary: str) -> None:
            nonlocal count
            count += 1
            if count == number:
                told.write_text(boundary)
                os.kill(os.getpid(), signal.SIGKILL)

        status = forked(lambda: act(at))
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0, "the driver failed before it was killed"
            return None
        assert os.WTERMSIG(status) == signal.SIGKILL
        return told.read_text()

    @property
    def log(self) -> list[str]:
        """What was done, in order."""
        return (self.folder / "log").read_text().splitlines()

    @property
    def looks(self) -> list[Look]:
        """Every rollout."""
        return looks(self.folder / "rollouts")

    @property
    def look(self) -> Look:
        """The only rollout."""
        (look,) = self.looks
        return look

    @property
    def records(self) -> list[Record]:
        """The history, proven."""
        return list(verify(self.folder / "history.jsonl").records)

    @property
    def told(self) -> list[tuple[str, str, str, str]]:
        """Of each record environment, action, version and status."""
        return [(r.env, r.action, r.version, r.status) for r in self.records]


def _plain(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, Mapping):
        return {key: _plain(child) for key, child in value.items()}
    return [_plain(child) for child in value] if isinstance(value, list | tuple) else value


def forked(act: Callable[[], object]) -> int:
    """Do it in a copy of this process, and say how that ended."""
    pid = os.fork()
    if pid:
        return os.waitpid(pid, 0)[1]
    status = 1
    try:
        act()
        status = 0
    finally:
        os._exit(status)


def refuse_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the history is read-only."""

    def append(self: History, entry: Entry, now: object) -> None:
        raise HistoryError(f"{self.path} cannot be written: Read-only file system")

    monkeypatch.setattr(History, "append", append)


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    """An empty one; commands run in its folder."""
    monkeypatch.chdir(tmp_path)
    return Yard(tmp_path)
