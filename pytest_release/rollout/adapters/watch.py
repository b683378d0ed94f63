"""Watches a release that went live: the first trigger that fires ends the step as failed.

- Each trigger is a query of the environment's Prometheus with a limit, or a request that must be
  answered well. Each looks in a thread of its own: a server that hangs delays no other.
- What cannot be seen is not well: a Prometheus that does not answer, a series that is absent and a
  value that is no number fire, too, once the patience is over.
- It ends well only when every trigger looked once more after the time was over, and found all well.
- It changes nothing, so that a watch that was interrupted begins again.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pytest_release.config.environment import Environment
from pytest_release.errors import ReleaseError, TargetError
from pytest_release.redaction import reveal
from pytest_release.rollout.adapters import http
from pytest_release.rollout.output import Keeper
from pytest_release.rollout.stage import Order, Outcome, Stage
from pytest_release.rollout.triggers import Alarm, Band, Look, Trigger
from pytest_release.targets.prometheus import Prometheus

EVERY_S, PATIENCE_S = 15.0, 60.0
TICK_S = 0.5  # between two signs of life
SAID_S = 60.0  # between two lines of progress
LABELS = 200  # characters of a series' labels that are said

Seen = tuple[bool | None, str, str]  # bad, in words, the value
Queue = queue.SimpleQueue[tuple[str, "Look | ReleaseError"]]


@dataclass(frozen=True)
class Guard:
    """Looks at one thing, again and again.

    Attributes:
        look: Looks once.
    """

    name: str
    every_s: float
    look: Callable[[], Seen]


def describe(options: Mapping[str, Any]) -> str:
    """How long, and what for."""
    return f"watch for {options['for_s']:g} s: {', '.join(options['triggers'])}"


def repeatable(options: Mapping[str, Any]) -> bool:
    """It only looks; after a crash it begins again."""
    return True


def act(order: Order, stage: Stage) -> Outcome:
    """Watch until a trigger fires, or all was well for long enough."""
    lasts = order.options["for_s"]
    if order.seconds <= lasts:
        why = f"a watch of {lasts:g} s does not fit into its step: give that a longer timeout_s"
        return Outcome(done=False, why=why)
    guards = list(_guards(order, stage))
    start = Look(time.monotonic(), stage.now(), None, "")
    watch = Watch(order, stage, start)
    stop, looks = threading.Event(), Queue()
    for guard in guards:
        given = (guard, start.at + lasts, stop, looks, stage)
        threading.Thread(target=_look_on, args=given, daemon=True).start()
    try:
        return watch.until_the_end(looks)
    finally:
        stop.set()  # nobody waits for a request that hangs: going back is urgent


def check(order: Order, stage: Stage) -> Outcome | None:
    """It begins again instead."""
    return None


class Watch:
    """What is known so far, and what is said of it.

    Args:
        order: With the options.
        stage: Where.
        start: When it began.
    """

    def __init__(self, order: Order, stage: Stage, start: Look) -> None:
        self._order = order
        self._stage = stage
        self._start = start
        self._end = start.at + order.options["for_s"]
        self._said = start.at
        self._log = Keeper()
        self.triggers = {t.name: t for t in _triggers(order.options, start)}

    def until_the_end(self, looks: Queue) -> Outcome:
        """Take looks as they come."""
        while True:
            told = _next(looks)
            if told is not None and isinstance(told[1], ReleaseError):
                return self._ended(f"{told[0]} cannot be watched: {told[1]}")
            if told is not None and isinstance(told[1], Look):
                self._take(told[0], told[1])
            now = time.monotonic()
            alarms = (trigger.alarm(now) for trigger in self.triggers.values())
            if alarm := next(filter(None, alarms), None):
                return self._ended(alarm.why, alarm)
            if all(trigger.well_since(self._end) for trigger in self.triggers.values()):
                return self._ended(self._all(), done=True)
            if now >= self._order.deadline:
                return self._ended(f"its time was over before all was well: {self._all()}")
            self._progress(now)

    def _take(self, name: str, look: Look) -> None:
        if changed := self.triggers[name].take(look):
            self._say(f"{name}: {changed}", look)

    def _progress(self, now: float) -> None:
        passed = now - self._start.at
        self._stage.tick(passed)
        if now - self._said >= SAID_S:
            self._said = now
            self._stage.say(f"{self._order.step}: {passed:.0f} s; {self._all()}")

    def _say(self, text: str, look: Look) -> None:
        self._log.take(f"{look.at - self._start.at:8.1f} s  {text}\n".encode())
        self._stage.say(f"{self._order.step}: {text}")

    def _ended(self, why: str, alarm: Alarm | None = None, *, done: bool = False) -> Outcome:
        self._log.take(f"{time.monotonic() - self._start.at:8.1f} s  {self._all()}\n".encode())
        facts = dict(alarm.facts) if alarm is not None else {}
        return Outcome(done, why, output=self._log.output(), facts=facts)

    def _all(self) -> str:
        """A few words of each trigger."""
        return "; ".join(_summary(trigger) for trigger in self.triggers.values())


def _summary(trigger: Trigger) -> str:
    if trigger.last is None:
        return f"{trigger.name} not yet seen"
    bad = f", {trigger.bad_looks} of them bad" if trigger.bad_looks else ""
    return f"{trigger.name} {trigger.last.said} ({trigger.looks} looks{bad})"


def _next(looks: Queue) -> tuple[str, Look | ReleaseError] | None:
    try:
        return looks.get(timeout=TICK_S)
    except queue.Empty:
        return None


def _look_on(guard: Guard, end: float, stop: threading.Event, looks: Queue, stage: Stage) -> None:
    """Look in even steps, and once more when the time is over."""
    due = time.monotonic()
    while not stop.is_set():
        at, wall = time.monotonic(), stage.now()
        try:
            bad, said, value = guard.look()
        except TargetError as error:
            bad, said, value = None, " ".join(str(error).split()), ""
        except ReleaseError as error:
            looks.put((guard.name, error))
            return
        except Exception as error:  # noqa: BLE001 - a thread that dies unheard sees nothing any more
            bad, said, value = None, f"{type(error).__name__}: {error}", ""
        looks.put((guard.name, Look(at, wall, bad, said, value)))
        now = time.monotonic()
        due = max(due + guard.every_s, now)
        if now < end < due:
            due = end
        stop.wait(due - now)


def _triggers(options: Mapping[str, Any], start: Look) -> Iterator[Trigger]:
    patience = options.get("patience_s", PATIENCE_S)
    for name, told in options["triggers"].items():
        patient = told.get("patience_s", patience)
        if "http" in told:
            row = told["failures"]
            limit = f"{row} failed in a row"
            yield Trigger(name, limit, start, patient, row=row)
        else:
            yield Trigger(name, str(_band(told)), start, patient, told.get("for_s", 0.0))


def _band(told: Mapping[str, Any]) -> Band:
    unit = reveal(told.get("unit", ""))
    return Band(told.get("above"), told.get("below"), unit, told.get("series", 1))


def _guards(order: Order, stage: Stage) -> Iterator[Guard]:
    environment = stage.environment(order.environment)
    for name, told in order.options["triggers"].items():
        every = told.get("every_s", order.options.get("every_s", EVERY_S))
        look = (_request(told["http"], order, stage) if "http" in told
                else _query(reveal(told["query"]), _band(told), environment))  # fmt: skip
        yield Guard(name, every, look)


def _request(told: Mapping[str, Any], order: Order, stage: Stage) -> Callable[[], Seen]:
    def look() -> Seen:
        # ends with its own time, not with the step's: the last one is a whole one
        given = replace(order, options=told, deadline=time.monotonic() + 3600)
        outcome = http.act(given, stage)
        return not outcome.done, outcome.why, "ok" if outcome.done else "failed"

    return look


def _query(text: str, band: Band, environment: Environment) -> Callable[[], Seen]:
    server = Prometheus(environment.services.get("prometheus", {}), environment)

    def look() -> Seen:
        values = [(_labels(each.labels), each.value) for each in server.query(text)]
        bad, said, value = band.judge(values)
        return bad, said if bad is not None else f"{server.place}: {text!r}: {said}", value

    return look


def _labels(labels: Mapping[str, str]) -> str:
    """As people write them, cut: they came from elsewhere."""
    if not labels:
        return ""
    told = ",".join(f"{name}={json.dumps(value)}" for name, value in sorted(labels.items()))
    return f" {{{told[:LABELS]}}}"
