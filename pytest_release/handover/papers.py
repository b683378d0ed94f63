"""The documents of a release: test report, release info, record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path

from pytest_release.errors import TargetError, UsageError
from pytest_release.handover.verified import Verified
from pytest_release.reporting import figures
from pytest_release.sampling import Decision
from pytest_release.targets.git import Repository
from pytest_release.verdict import ThresholdVerdict, Verdict
from pytest_release.workspace import writing
from pytest_release.workspace.forms import STATUSES, Flaw, read_record, read_test_report
from pytest_release.workspace.naming import Kind, Name, read_name, read_version
from pytest_release.workspace.releases import (
    INFO,
    INFO_TEXT,
    order,
    read_release_info,
    read_release_text,
)

CHANGES = 200  # commits that a release info names
AREAS = {
    "function": (
        *("basic", "stream", "contract", "payment", "hot_reload"),
        *("package", "row_count", "tkg", "identity", "delivery"),
    ),
    "performance": ("basic", "stream", "hot_reload"),  # by their thresholds
    "security": ("isolation", "security"),
    "monitoring": ("monitoring",),
}


def test_report(
    folder: Path, verified: Verified, topic: str, day: date, teams: tuple[str, str]
) -> Path:
    """Write a test report; of a run that failed, too.

    Raises:
        UsageError: The topic is none, or the deployment named no build.
        BundleError: It cannot be written, or is there already.
    """
    told = verified.told
    name = named(day, topic or f"v{told.version}", Kind.TEST_REPORT)
    text = writing.test_report(name.topic, day, teams, told, verified.verification)
    refuse_flawed(str(name), read_test_report(name, text, day).flaws)
    writing.publish(folder / str(name), text)
    return folder / str(name)


def release_info(
    releases: Path, verified: Verified, day: date, changes: Sequence[str]
) -> tuple[Path, Path]:
    """Write RELEASE_INFO.md and RELEASE_INFO.txt of an accepted run.

    Raises:
        UsageError: The run is not accepted, named no build, judged no package, or did not verify
            what a release info must say.
        BundleError: One cannot be written, or is there already.
    """
    verified.refuse_unless_accepted("release info")
    told, packages = verified.told, verified.packages
    folder = releases / f"v{told.version}"
    info = writing.release_info(told.version, day, changes, packages, verified.verification)
    text = writing.release_text(told.version, day, told.commit, list(packages))
    refuse_flawed(INFO, read_release_info(info, day).flaws)
    refuse_flawed(INFO_TEXT, read_release_text(text)[1])
    writing.publish(folder / INFO, info)
    writing.publish(folder / INFO_TEXT, text)
    return folder / INFO, folder / INFO_TEXT


def changes_since_last(repository: Repository, version: str) -> list[str]:
    """What was committed since the last release before this one, a sentence each."""
    earlier = {
        v: tag
        for tag in repository.tags()
        if (v := read_version(tag)) and v != version and order(v) is not None
    }
    last = max(earlier, key=lambda v: order(v) or (), default=None)
    since = earlier[last] if last else None
    return [f"{subject} ({commit})" for commit, subject in repository.subjects(since, CHANGES)]


def record(
    file: Path | None, folder: Path, verified: Verified, said: writing.GoLive, now: datetime
) -> Path:
    """Write the record of a release.

    Args:
        file: Where to; by its date and version in `folder` without.
        folder: The workspace.
        verified: The run that judged the release.
        said: By people; a status that is better than the run's is refused.
        now: When it went live.

    Raises:
        UsageError: The status is none, or better than what was verified.
        BundleError: It cannot be written, or is there already.
    """
    told = verified.told
    status = _status(verified, said.status)
    said = writing.GoLive(said.who, said.team, status, said.texts)
    name = named(now.date(), f"v{told.version}", Kind.RECORD)
    text = writing.record(now, told, said, checks(verified))
    refuse_flawed(str(name), read_record(name, text, now.date()).flaws)
    target = file or folder / str(name)
    writing.publish(target, text)
    return target


def refuse_flawed(name: str, flaws: Sequence[Flaw]) -> None:
    """What the gate would find is not written in the first place.

    Raises:
        UsageError: There are flaws.
    """
    if flaws:
        said = "; ".join(flaw.message for flaw in flaws)
        raise UsageError(f"{name} is not written, the gate would not accept it: it {said}")


def _status(verified: Verified, asked: str) -> str:
    """What people say, unless the run says worse; what it says where they say nothing."""
    verdict = verified.run.verdict
    best = "success" if verdict.accepted else "partial" if verified.run.accepted else "failed"
    if asked and asked not in STATUSES:
        raise UsageError(f"a status is one of {', '.join(STATUSES)}, got {asked!r}")
    if asked and STATUSES.index(asked) < STATUSES.index(best):
        raise UsageError(f"the status {asked} is better than the run, which is {verdict}: {best}")
    return asked or best


def checks(verified: Verified) -> list[tuple[str, str, str]]:
    """Function, performance, security, monitoring: the worst verdict of each area's gates."""
    return [(area, *_area(verified, area, gates)) for area, gates in AREAS.items()]


def _area(verified: Verified, area: str, names: Sequence[str]) -> tuple[str, str]:
    gates = [gate for gate in verified.run.gates if gate.gate in names]
    found = [(gate.verdict, f"{gate.gate} {gate.verdict}") for gate in gates]
    if area == "performance":
        found = [_kept(limit) for gate in gates for limit in gate.thresholds]
    if not found:
        return "NOT RUN", "no gate of the environment looks at it"
    worst, _ = max(found, key=lambda one: one[0].badness)
    return worst.replace("_", " "), ", ".join(why for _, why in found)


def _kept(threshold: ThresholdVerdict) -> tuple[Verdict, str]:
    """What a limit came to: what was never measured is not kept."""
    if threshold.decision is None:
        verdict = Verdict.NOT_RUN
    else:
        verdict = Verdict.PASSED if threshold.decision is Decision.KEPT else Verdict.FAILED
    return verdict, figures.threshold(threshold)


def named(day: date, topic: str, kind: Kind) -> Name:
    """A document's name.

    Raises:
        UsageError: The topic does not fit into one.
    """
    name = read_name(f"{day}_{topic}{kind}.md")
    if name is None or name.topic != topic:
        raise UsageError(f"a topic is of letters, digits and ._+-, got {topic!r}")
    return name


def repository_of(folder: str | None) -> Repository | None:
    """The repository, if one was named.

    Raises:
        UsageError: It is none.
    """
    try:
        return Repository(Path(folder)) if folder is not None else None
    except TargetError as error:
        raise UsageError(str(error)) from None
