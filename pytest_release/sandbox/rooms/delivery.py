"""What two teams hand over, and everything that can be wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytest_release.sandbox.build import VERSION
from pytest_release.sandbox.changes import HOSTILE
from pytest_release.sandbox.fault import faults_of
from pytest_release.sandbox.room import Part, Room
from pytest_release.sandbox.rooms import _workspace as good
from pytest_release.sandbox.rooms._workspace import Workspace

if TYPE_CHECKING:
    from pytest_release.sandbox.stores import Stores

Edit = Callable[[Workspace], None]
NOWHERE = "deadbeefdeadbeef"


def _says(name: str, old: str, new: str) -> Edit:
    return lambda workspace: workspace.replace(name, old, new)


def _renamed(old: str, new: str) -> Edit:
    def edit(workspace: Workspace) -> None:
        (workspace.documents / old).rename(workspace.documents / new)

    return edit


def _without(name: str) -> Edit:
    return lambda workspace: (workspace.documents / name).unlink()


def _bytes(name: str, data: bytes) -> Edit:
    def edit(workspace: Workspace) -> None:
        (workspace.documents / name).write_bytes(data)

    return edit


def _link(workspace: Workspace) -> None:
    (workspace.documents / "2026-01-18_link.md").symlink_to("/etc/passwd")


def _future(workspace: Workspace) -> None:
    _renamed(good.CHUNKS, "2999-01-15_chunk_order.md")(workspace)
    workspace.replace("2999-01-15_chunk_order.md", "2026-01-15", "2999-01-15")


def _unreleased(workspace: Workspace) -> None:
    workspace.replace(good.CHUNKS_RESPONSE, workspace.commits[3], workspace.commits[5])


def _uncommitted(workspace: Workspace) -> None:
    (workspace.repository / "src" / "face.rs").write_text("// edited on the server\n")


def _unpushed(workspace: Workspace) -> None:
    workspace.commit({"src/face.rs": "// later\n"}, push=False)


def _versions(workspace: Workspace) -> None:
    workspace.commit({"build.rs": good.BUILD.format(version=good.BEFORE)}, push=True)


def _tagged(workspace: Workspace) -> None:
    workspace.git("tag", f"v{VERSION}", workspace.commits[3])


_STATE = "| 已修正 |"
_FAULTS: tuple[tuple[str, str, str, Edit], ...] = (
    ("no-response", "no-response", "a report has no response", _without(good.CHUNKS_RESPONSE)),
    ("unanswered-item", "unanswered-item", "a response leaves an item out",
     _says(good.FACES_RESPONSE, "| 2 |", "| 1 |")),
    ("unknown-item", "unknown-item", "a response has an item that its report has not",
     _says(good.CHUNKS_RESPONSE, "| 1 |", "| 7 |")),
    ("other-ref", "other-ref", "a response refers to another report",
     _says(good.CHUNKS_RESPONSE, good.CHUNKS, good.FACES)),
    ("unknown-ref", "unknown-ref", "a response refers to a report that is not there",
     _says(good.CHUNKS_RESPONSE, good.CHUNKS, "2026-01-15_chunk_ordre.md")),
    ("early-response", "early-response", "a response is of the day before its report",
     _renamed(good.CHUNKS_RESPONSE, "2026-01-14_chunk_order_response.md")),
    ("missing-commit", "commit-missing", "a response names a commit that does not exist",
     lambda w: w.replace(good.CHUNKS_RESPONSE, w.commits[3], NOWHERE)),
    ("unreleased-commit", "commit-not-released", "a fix is on another branch", _unreleased),
    ("no-commit", "no-commit", "a fixed item names no commit",
     lambda w: w.replace(good.CHUNKS_RESPONSE, f"`{w.commits[3]}`", "-")),
    ("bad-commit", "bad-commit", "a response says HEAD instead of a commit's id",
     lambda w: w.replace(good.CHUNKS_RESPONSE, f"`{w.commits[3]}`", "HEAD")),
    ("unknown-state", "unknown-state", "an item has a state that nobody knows",
     _says(good.CHUNKS_RESPONSE, _STATE, "| 巳修正 |")),
    ("hostile-state", "unknown-state", "a state of HTML, script, ANSI and control characters",
     _says(good.CHUNKS_RESPONSE, _STATE, f"| {HOSTILE.replace(chr(10), ' ')} |")),
    ("open-item", "open-item", "an item is being worked on",
     _says(good.FACES_RESPONSE, "| 不修正 |", "| 處理中 |")),
    ("missing-heading", "missing-heading", "a report has no ## Fix 建議",
     _says(good.FACES, "## Fix 建議\n", "")),
    ("missing-field", "missing-field", "a report does not say to whom",
     _says(good.FACES, "**To**: M5\n", "")),
    ("unknown-team", "unknown-team", "a report is to a team that is none",
     _says(good.FACES, "**To**: M5", "**To**: M6")),
    ("missing-column", "missing-column", "a response's table has a column less",
     _says(good.FACES_RESPONSE, "| # | 項目 | 狀態 | Commit |\n| --- | --- | --- | --- |",
           "| # | 項目 | Commit |\n| --- | --- | --- |")),
    ("missing-table", "missing-table", "a response's table is none: the line of dashes is missing",
     _says(good.CHUNKS_RESPONSE, "| --- | --- |\n", "")),
    ("future-date", "future-date", "a report is of the year 2999", _future),
    ("other-date", "other-date", "a report says another day than its name",
     _says(good.FACES, "2026-01-12", "2026-01-21")),
    ("bad-name", "bad-name", "a report's name has no date",
     _renamed(good.FACES, "face_clusters.md")),
    ("not-text", "unreadable", "a report is not UTF-8",
     _bytes("2026-01-18_log.md", b"# log\n\xff\xfe\n")),
    ("huge", "unreadable", "a report has 4 MiB", _bytes("2026-01-18_log.md", b"# log\n" * 700_000)),
    ("link", "unreadable", "a report is a link to /etc/passwd", _link),
    ("red-report", "not-green", "the last test report says FAILED",
     _says(good.TEST_REPORT, "**Verdict**: PASSED", "**Verdict**: FAILED")),
    ("old-report", "release-differs", "the last test report is of the version before",
     _says(good.TEST_REPORT, f"**Release**: `v{VERSION}`", f"**Release**: `v{good.BEFORE}`")),
    ("no-test-report", "no-test-report", "there is no test report", _without(good.TEST_REPORT)),
    ("bad-record", "bad-field", "a record has a status that is none",
     _says(good.RECORD, "**Status**: success", "**Status**: fine")),
    ("no-release-info", "no-release-info", "the release has no info",
     _renamed(f"releases/v{VERSION}", f"releases/v{good.BEFORE}")),
    ("other-release", "release-differs", "the release info is of another version",
     _says(good.INFO, f"# Release v{VERSION}", f"# Release v{good.BEFORE}")),
    ("api-test", "api-test", "17 of 18 API tests passed",
     _says(good.INFO, "API test: 18/18", "API test: 17/18")),
    ("no-edges", "graph", "the graph has no edges", _says(good.INFO, "910/2102", "910/0")),
    ("not-verified", "not-verified", "the release info does not say how many faces there are",
     _says(good.INFO, "- Faces: 600\n", "")),
    ("deploy-test", "deploy-test", "the deploy test is incomplete",
     _says(good.INFO, "Deploy test: PASSED", "Deploy test: INCOMPLETE")),
    ("unlisted-package", "package-not-listed", "RELEASE_INFO.txt names another package",
     _says(good.INFO_TEXT, "0b9c1f6e", "ffffffff")),
    ("versions-differ", "versions-differ", "build.rs has the version before", _versions),
    ("not-bumped", "not-bumped", "the version was released before", _tagged),
    ("uncommitted", "uncommitted", "a file was edited on the server", _uncommitted),
    ("unpushed", "unpushed", "a commit is not pushed", _unpushed),
)  # fmt: skip
_EDITS = {f"delivery.{name}": edit for name, _, _, edit in _FAULTS}


def _start(faults: frozenset[str], _stores: Stores | None) -> Workspace:
    return Workspace(edit for name, edit in _EDITS.items() if name in faults)


ROOM = Room(
    faults=faults_of("delivery", (row[:3] for row in _FAULTS)),
    parts=(Part("workspace", frozenset({"delivery"}), _start),),
)
