"""Where rollouts are asked for: begun, looked at, gone on with, aborted, taken back.

A rollout is a folder ``rollouts/<id>``; the locks of environments are in ``rollouts/locks``.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pytest_release.attestation.keys import load_signing_key
from pytest_release.config.environments import load_environment
from pytest_release.config.plan import Mode, Plan, Step
from pytest_release.config.plans import load_plan
from pytest_release.config.validation import suggestion
from pytest_release.errors import RolloutError, UsageError
from pytest_release.history import verify
from pytest_release.hostile import one_line
from pytest_release.release import COMMIT
from pytest_release.rollout.adapters import adapter
from pytest_release.rollout.chronicle import good_releases, target_of
from pytest_release.rollout.driver import Driver, Seal, Setting
from pytest_release.rollout.journal import At, Event, Journal, read_events
from pytest_release.rollout.lease import leased
from pytest_release.rollout.lock import Locks, Owner, owner_of
from pytest_release.rollout.processes import boot_id
from pytest_release.rollout.progress import Quiet, Watcher
from pytest_release.rollout.stage import Paths
from pytest_release.rollout.state import Result, State, Target, fold
from pytest_release.rollout.waived import waiver_of

LOCKS = "locks"
LONGEST = 200  # characters of a version
EVERYTHING = Mode()


@dataclass(frozen=True)
class Desk:
    """What every command needs.

    Attributes:
        root: The folder of rollouts.
        who: The person, for locks and records.
        sign_with: URI of the key that signs; None for ephemeral ones.
        seal: Makes a rollout's bundle.
        watcher: Is told what happens.
        at: Is called at every boundary of the journal and of the history.
        now: The time on the wall.
    """

    fixtures: Path
    root: Path
    reports: Path
    history: Path
    records: Path
    who: str
    sign_with: str | None = None
    variables: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    seal: Seal = lambda _: None
    watcher: Watcher = field(default_factory=Quiet)
    at: At = lambda _: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    pause: Callable[[float], None] = time.sleep

    def paths(self, rollout: str) -> Paths:
        """Those of a rollout."""
        here = (self.fixtures, self.root / rollout, self.reports, self.history, self.records)
        return Paths(*(path.absolute() for path in here))

    def setting(self, plan: Plan, mode: Mode, rollout: str) -> Setting:
        """With what a rollout is driven.

        Raises:
            ConfigError: An environment of the plan is wrong.
        """
        return Setting(
            plan=plan,
            mode=mode,
            paths=self.paths(rollout),
            environments={
                name: load_environment(self.fixtures, name, self.variables)
                for name in plan.environments
            },
            sign_with=self.sign_with,
            variables=self.variables,
            who=self.who,
            seal=self.seal,
            watcher=self.watcher,
            at=self.at,
            now=self.now,
            pause=self.pause,
        )


@dataclass(frozen=True)
class Wish:
    """A rollout that is asked for.

    Attributes:
        plan: Its name, or the path of its file.
        values: Replace those of the plan.
        mode: A part of the plan by its name; None for all of it.
    """

    plan: str
    release: str
    commit: str | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    mode: str | None = None


def mode_of(plan: Plan, name: str | None) -> Mode:
    """A part of a plan by its name.

    Raises:
        UsageError: There is no such part.
    """
    if name is None:
        return EVERYTHING
    if name not in plan.modes:
        there_are = ", ".join(plan.modes) or "none"
        raise UsageError(
            f"the plan {plan.name} has no mode {name!r}{suggestion(name, plan.modes)}; "
            f"modes: {there_are}"
        )
    return plan.modes[name]


def run(desk: Desk, wish: Wish) -> Result:
    """Begin a rollout, and drive it to its end.

    Raises:
        ReleaseError: It cannot begin, or cannot go on.
    """
    _check(wish)
    plan = load_plan(desk.fixtures, wish.plan, desk.variables, wish.values)
    mode = mode_of(plan, wish.mode)
    waived = waiver_of(desk.fixtures, mode, wish.release, desk.now())
    return _begin(desk, plan, mode, wish, {"waiver": waived})


def _check(wish: Wish) -> None:
    if not 0 < len(wish.release) <= LONGEST or not wish.release.isprintable():
        raise UsageError(f"--release is a version of at most {LONGEST} printable characters")
    if wish.commit is not None and not COMMIT.fullmatch(wish.commit):
        raise UsageError(f"--commit is 7 to 64 hex digits, got {wish.commit!a}")


def back(
    desk: Desk,
    plan_name: str,
    environment: str,
    version: str | None,
    values: Mapping[str, str] | None = None,
) -> Result:
    """Bring an earlier release back, and run the gates on it.

    Args:
        desk: As for every command.
        plan_name: Whose ``rollback`` does it.
        environment: Where.
        version: Of a release that was good there; None for the last.
        values: Replace those of the plan.

    Raises:
        ReleaseError: There is none, or it cannot begin.
    """
    plan = load_plan(desk.fixtures, plan_name, desk.variables, values)
    if not any(step.environment == environment for step in plan.rollback):
        raise UsageError(f"the plan {plan.name} has no rollback for {environment!a}")
    target = _chosen(good(desk, plan, environment), environment, version)
    wish = Wish(plan_name, str(target.version), target.commit, values or {})
    told = {"environment": environment, "version": target.version, "commit": target.commit}
    return _begin(desk, plan, EVERYTHING, wish, {"back": told})


def good(desk: Desk, plan: Plan, environment: str) -> list[Target]:
    """The releases that were good in an environment, the newest first."""
    records = verify(desk.history).records if desk.history.exists() else ()
    return [target_of(r) for r in good_releases(records, plan.system, "").get(environment, ())]


def _chosen(known: list[Target], environment: str, version: str | None) -> Target:
    if not known:
        raise RolloutError(f"the history knows no good release of {environment}: nothing to go to")
    if version is None:
        return known[0]
    found = next((target for target in known if target.version == version), None)
    if found is None:
        versions = [str(target.version) for target in known]
        near = suggestion(version, versions)
        raise RolloutError(
            f"{version} was never good in {environment}{near}; good were: {', '.join(versions)}"
        )
    return found


def _begin(desk: Desk, plan: Plan, mode: Mode, wish: Wish, more: Mapping[str, Any]) -> Result:
    now = desk.now()
    rollout = f"{now:%Y%m%dT%H%M%SZ}_{plan.name}_{secrets.token_hex(2)}"
    setting = desk.setting(plan, mode, rollout)
    _check_key(desk)
    opened = {
        "rollout": rollout,
        "plan": plan.name,
        "plan_file": str(plan.source.absolute()),
        "plan_sha256": plan.digest,
        "system": plan.system,
        "environments": list(plan.environments),
        "release": wish.release,
        "commit": wish.commit,
        "values": dict(wish.values),
        "mode": wish.mode,
        "who": desk.who,
        **more,
    }
    with _locked(desk, plan.environments, rollout) as locks:
        _refuse_unfinished(desk, locks)
        return _drive(desk, setting, locks, opened)


def _check_key(desk: Desk) -> None:
    """Before anything is done: a key that does not open is found at the end otherwise."""
    if desk.sign_with is not None:
        load_signing_key(desk.sign_with, desk.variables)


@contextmanager
def _locked(desk: Desk, environments: tuple[str, ...], rollout: str) -> Iterator[Locks]:
    owner = Owner.here(rollout, desk.who, desk.now().isoformat())
    locks = Locks(desk.root / LOCKS, environments, owner)
    try:
        yield locks
    finally:
        locks.close()


def _refuse_unfinished(desk: Desk, locks: Locks) -> None:
    for owner in locks.left:
        state = _state(desk.root / owner.rollout)
        if state is not None and not state.closed:
            raise RolloutError(
                f"rollout {owner.rollout} of {state.opened['release']} was not finished (its "
                f"driver, pid {owner.pid} of {owner.who}, is gone): pytest-release rollout resume "
                f"{owner.rollout}, or abort it"
            )


def _state(folder: Path) -> State | None:
    """What a rollout's journal tells; None when nothing was begun."""
    try:
        state = fold(read_events(folder))
    except RolloutError:
        if (folder / "journal.jsonl").exists():
            raise
        return None
    return state if state.opened else None


def _drive(
    desk: Desk,
    setting: Setting,
    locks: Locks,
    opened: Event | None = None,
    abort: str | None = None,
) -> Result:
    with leased(setting.environments.values(), locks.owner, setting.redactor) as leases:
        locks.sign()
        leases.begun = True
        result = _journaled(desk, replace(setting, held=leases.check), leases.told, opened, abort)
        leases.finished = True
        locks.clear()
        return result


def _journaled(
    desk: Desk, setting: Setting, told: list[str], opened: Event | None, abort: str | None
) -> Result:
    journal = Journal(setting.paths.folder, desk.now, desk.at)
    try:
        if opened is not None:
            journal.append("opened", **opened)
        state = fold(journal.events)
        driver = Driver(setting, journal, state)
        driver.note("driver", who=desk.who, pid=os.getpid(), boot=boot_id(), took_over=told)
        for sentence in told:
            desk.watcher.say(sentence)
        if abort is not None and state.result is None and state.turn is None:
            driver.note("abort", why=abort)
        return driver.drive()
    finally:
        journal.close()


def resume(desk: Desk, rollout: str | None = None, *, abort: bool = False) -> Result:
    """Go on with a rollout whose driver is gone, or take back what it did.

    Args:
        desk: As for every command.
        rollout: Its id, or the beginning of it; None for the only one that is not finished.
        abort: Go back.

    Raises:
        ReleaseError: There is none, it is finished, it is being driven, or its plan was changed.
    """
    folder = _unfinished(desk, rollout)
    state = fold(read_events(folder))
    opened = state.opened
    plan = load_plan(desk.fixtures, opened["plan_file"], desk.variables, opened["values"])
    if plan.digest != opened["plan_sha256"]:
        raise RolloutError(
            f"{plan.source} was changed since {folder.name} began: put it back as it was, to go on "
            f"or to abort"
        )
    setting = desk.setting(plan, mode_of(plan, opened["mode"]), folder.name)
    why = f"aborted by {desk.who}" if abort else None
    with _locked(desk, plan.environments, folder.name) as locks:
        return _drive(desk, setting, locks, abort=why)


def _unfinished(desk: Desk, rollout: str | None) -> Path:
    left = [look.folder for look in looks(desk.root) if not look.state.closed]
    if rollout is None:
        if len(left) == 1:
            return left[0]
        names = ", ".join(folder.name for folder in left) or "all are finished"
        raise UsageError(f"name the rollout: {names}" if left else "no rollout is unfinished")
    found = [folder for folder in left if folder.name.startswith(rollout)]
    if len(found) == 1:
        return found[0]
    if (desk.root / rollout).is_dir() and not found:
        raise RolloutError(f"rollout {rollout} is finished: there is nothing to go on with")
    names = ", ".join(folder.name for folder in left) or "none"
    raise UsageError(f"no unfinished rollout is {rollout!a}; unfinished: {names}")


@dataclass(frozen=True)
class Look:
    """A rollout as it is now.

    Attributes:
        driver: Who drives it; None when nobody does.
    """

    folder: Path
    state: State
    driver: Owner | None


def looks(root: Path) -> list[Look]:
    """Every rollout in a folder, the oldest first."""
    if not root.is_dir():
        return []
    found = []
    for folder in (path for path in root.iterdir() if path.is_dir() and path.name != LOCKS):
        state = _state(folder)
        if state is not None:
            found.append(Look(folder, state, _driver(root, state)))
    return sorted(found, key=lambda look: str(look.state.opened["at"]))


def _driver(root: Path, state: State) -> Owner | None:
    for name in state.opened["environments"]:
        owner = owner_of(root / LOCKS, name)
        if owner is not None and owner.rollout == state.opened["rollout"] and owner.lives:
            return owner
    return None


def dry_run(desk: Desk, wish: Wish) -> Iterator[str]:
    """What `run` would do, a line each; nothing is locked, written or asked.

    Raises:
        ReleaseError: It could not begin.
    """
    _check(wish)
    plan = load_plan(desk.fixtures, wish.plan, desk.variables, wish.values)
    mode = mode_of(plan, wish.mode)
    waived = waiver_of(desk.fixtures, mode, wish.release, desk.now())
    desk.setting(plan, mode, "dry-run")  # its environments are read, too
    yield f"dry run of {plan.name} with {wish.release}: nothing is done"
    if waived:
        yield f"  waiver: {waived}"
    for step in plan.steps:
        yield _told(plan, step, "would do" if mode.has(step.name) else "not in this mode")
    for step in plan.afterwards:
        yield _told(plan, step, "would do at the end")


def _told(plan: Plan, step: Step, word: str) -> str:
    how = adapter(step.action.adapter).describe(step.action.options)
    changed = f", if {', '.join(step.when.changed)} changed" if step.when else ""
    ended = f", if it ended as {' or '.join(step.ended)}" if step.ended else ""
    where = f"{step.type} in {step.environment}{changed}{ended}"
    return one_line(plan.redactor(f"  {word} {step.name} ({where}): {how}"))
