"""Release folders: copies a release, switches to it, and back to an earlier one.

See `rollout.folders`. Facts: ``path`` and ``release`` of the folder; ``before`` and
``before_release`` of the one that was in use before a switch, if there was one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_release.errors import RolloutError
from pytest_release.redaction import reveal
from pytest_release.rollout.folders import Release, Shelf
from pytest_release.rollout.stage import Order, Outcome, Stage

COPY, SWITCH, BACK, SHOW = "copy", "switch", "back", "show"


def describe(options: Mapping[str, Any]) -> str:
    """What is done, and where."""
    root = options["root"]
    release = options.get("release", "{{release}}")
    match options["do"]:
        case "copy":
            return f"copy {options.get('source')} to {root}/{release}__<UTC time>"
        case "switch":
            return f"switch {root}/{_name(options)} to {release}"
        case "back":
            return f"switch {root}/{_name(options)} back by {options.get('steps', 1)}"
        case _:
            return f"{root}/{_name(options)} is {release}, unchanged"


def repeatable(options: Mapping[str, Any]) -> bool:
    """Going back twice goes back two steps; `check` finds a copy."""
    return str(options["do"]) != BACK


def act(order: Order, stage: Stage) -> Outcome:
    """Do it; whatever goes wrong leaves the old release in use."""
    options = order.options
    shelf, release = _shelf(options), _wanted(options, stage)
    match options["do"]:
        case "copy":
            made = shelf.copy(_source(options), release, stage.now(), stage.rollout)
            return _told(f"{made.path} was copied", made)
        case "switch":
            return _switched(shelf, shelf.of(release))
        case "back":
            return _switched(shelf, shelf.earlier(options.get("steps", 1)))
        case _:
            return _shown(shelf, release)


def check(order: Order, stage: Stage) -> Outcome | None:
    """The folders say whether it was done, but for steps back."""
    options = order.options
    shelf, release = _shelf(options), _wanted(options, stage)
    match options["do"]:
        case "copy":
            made = shelf.copied(stage.rollout)
            if made is not None and made.release == release:
                return _told(f"{made.path} had been copied", made)
            return Outcome(done=False, why="no folder of this rollout is there")
        case "back":
            return None
        case _:
            return _shown(shelf, release)


def _switched(shelf: Shelf, release: Release) -> Outcome:
    before = shelf.current()
    shelf.switch(release)
    was = f"was {before.release}" if before else "was missing: the first release here"
    return _told(f"{shelf.link} is {release.path.name}, {was}", release, before)


def _shown(shelf: Shelf, release: str) -> Outcome:
    from_here = shelf.current()
    if from_here is None:
        return Outcome(done=False, why=f"{shelf.link} is missing: no release is in use")
    if from_here.release != release:
        why = f"{shelf.link} should be {release} and is {from_here.release}"
        return Outcome(done=False, why=why)
    if from_here != shelf.of(release):
        why = f"{shelf.link} is {from_here.path.name}, and {shelf.of(release).path.name} is newer"
        return Outcome(done=False, why=why)
    return _told(f"{shelf.link} is {from_here.path.name}", from_here)


def _told(why: str, release: Release, before: Release | None = None) -> Outcome:
    facts = {"path": str(release.path), "release": release.release}
    if before is not None:
        facts |= {"before": str(before.path), "before_release": before.release}
    return Outcome(done=True, why=why, facts=facts)


def _wanted(options: Mapping[str, Any], stage: Stage) -> str:
    return reveal(options.get("release", stage.release))


def _shelf(options: Mapping[str, Any]) -> Shelf:
    return Shelf(Path(reveal(options["root"])).absolute(), _name(options))


def _name(options: Mapping[str, Any]) -> str:
    return reveal(options.get("link", Shelf.name))


def _source(options: Mapping[str, Any]) -> Path:
    if "source" not in options:
        raise RolloutError("a copy needs a 'source': the folder that is copied")
    return Path(reveal(options["source"]))
