"""The workspace of two teams: reports, responses, a release, and the git repository they speak of.

The repository is a real one, with a bare one behind it that everything was pushed to. The reports
are written as people write them; what pytest-release writes, its own writers wrote. The run that
they speak of is made up.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from pytest_release.errors import SandboxError
from pytest_release.sandbox.build import VERSION
from pytest_release.sandbox.rooms._git import AUTHOR, EPOCH, Worktree
from pytest_release.workspace import forms, releases, writing
from pytest_release.workspace.forms import Answer
from pytest_release.workspace.naming import read_name

BEFORE = "0.9.0"
DAY = date(2026, 1, 20)
PACKAGE = "0b9c1f6e-58a3-4d6e-9a57-3f2d6c0f9a11_v1767323045.tar.gz"

FACES, CHUNKS = "2026-01-12_face_clusters.md", "2026-01-15_chunk_order.md"
FACES_RESPONSE = "2026-01-12_face_clusters_response.md"
CHUNKS_RESPONSE = "2026-01-16_chunk_order_response.md"
TEST_REPORT = f"{DAY}_v{VERSION}_test_report.md"
RECORD = f"{DAY}_v{VERSION}_record.md"
INFO = f"releases/v{VERSION}/{releases.INFO}"
INFO_TEXT = f"releases/v{VERSION}/{releases.INFO_TEXT}"

REPORTS = {
    FACES: """\
# 人臉分群

**Date**: 2026-01-12
**From**: M4
**To**: M5

## Bug / 建議

1. 同一人分成兩群: `face_clusters` 的 12 與 31
2. 重跑後 identity 的數目不同

## Fix 建議

合併前比較 TMDB id。
""",
    CHUNKS: """\
# chunk 的順序

**Date**: 2026-01-15
**From**: M4
**To**: M5

## Bug / 建議

### 1. chunk_index 從 1 開始

API 文件說從 0 開始。

## Fix 建議

- 匯入時減 1
""",
}
CARGO = '[package]\nname = "momentry"\nversion = "{version}"\nedition = "2021"\n'
BUILD = 'fn main() {{\n    println!("cargo:rustc-env=BUILD_VERSION={version}");\n}}\n'
_COMMITS: tuple[
    tuple[int, str, int, str, Mapping[str, str]], ...
] = (  # mark, branch, parent, subject, files
    (1, "main", 0, "release 0.9.0", {"src/face.rs": "// faces\n", "src/chunk.rs": "// chunks\n"}),
    (2, "main", 1, "fix: one person, one cluster", {"src/face.rs": "// faces, merged\n"}),
    (3, "main", 2, "fix: chunks count from 0", {"src/chunk.rs": "// chunks from 0\n"}),
    (4, "main", 3, f"release {VERSION}", {}),
    (5, "experiment", 3, "try: faces by another model", {"src/face.rs": "// another\n"}),
)


class Workspace(Worktree):
    """Made when it is constructed; gone when it is stopped.

    Args:
        edits: What is wrong with it, done when everything is as it should be.

    Attributes:
        commits: Ids by their number in `_COMMITS`.

    Raises:
        SandboxError: git is not installed, or refuses.
    """

    def __init__(self, edits: Iterable[Callable[[Workspace], None]] = ()) -> None:
        self.folder = Path(mkdtemp(prefix="pytest-release-workspace-"))
        self.documents, self.repository = self.folder / "workspace", self.folder / "momentry"
        try:
            self.commits = self._make_repository()
            self._write_documents()
            for edit in edits:
                edit(self)
        except BaseException:
            self.stop()
            raise

    @property
    def services(self) -> Mapping[str, Mapping[str, Any]]:
        """As an environment names it."""
        there = {"directory": str(self.documents), "repository": str(self.repository)}
        return {"workspace": there}

    @property
    def secrets(self) -> frozenset[str]:
        """There are none."""
        return frozenset()

    @property
    def told(self) -> Mapping[str, Any]:
        """No endpoint needs to know of it."""
        return {}

    def stop(self) -> None:
        """Remove every file."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def replace(self, name: str, old: str, new: str) -> None:
        """Change the first of some words in a document."""
        file = self.documents / name
        text = file.read_text(encoding="utf-8")
        if old not in text:
            raise SandboxError(f"the sandbox's {name} does not say {old!r}")
        file.write_text(text.replace(old, new, 1), encoding="utf-8")

    def _make_repository(self) -> dict[int, str]:
        """All commits in one go, in the bare repository; then a clone of it."""
        origin, marks = self.folder / "origin.git", self.folder / "marks"
        self.git(
            "init", "--quiet", "--bare", "--initial-branch=main", origin.name, folder=self.folder
        )
        stream = b"".join(_commit(*commit) for commit in _COMMITS)
        stream += f"reset refs/tags/v{BEFORE}\nfrom :1\n\n".encode()
        self.git("fast-import", "--quiet", f"--export-marks={marks}", folder=origin, stdin=stream)
        self.git("clone", "--quiet", str(origin), str(self.repository), folder=self.folder)
        lines = (line.split() for line in marks.read_text().splitlines())
        return {int(mark[1:]): commit for mark, commit in lines}

    def _write_documents(self) -> None:
        self.documents.mkdir()
        for name, text in {**REPORTS, **self._responses(), **self._papers()}.items():
            writing.publish(self.documents / name, text)

    def _responses(self) -> Mapping[str, str]:
        faces, chunks = (read_name(name) for name in REPORTS)
        assert faces
        assert chunks
        first, second = self.commits[2][:10], self.commits[3]
        merged = Answer("1", "同一人分成兩群", "已修正", (first,), 0)
        counted = Answer("2", "重跑後 identity 的數目不同", "不修正", (), 0)
        ordered = Answer("1", "chunk_index 從 1 開始", "已修正", (second,), 0)
        return {
            FACES_RESPONSE: writing.response(
                faces, [merged, counted], {"src/face.rs": "fix: one person, one cluster"}
            ),
            CHUNKS_RESPONSE: writing.response(
                chunks, [ordered], {"src/chunk.rs": "fix: chunks count from 0"}
            ),
        }

    def _papers(self) -> Mapping[str, str]:
        run = self._run()
        counts = {"Chunks": "240", "Faces": "600", "Identities": "44"}
        graph = {releases.GRAPH: "910/2102"}
        tests = {releases.DEPLOY_TEST: "PASSED", releases.API_TEST: "18/18"}
        verification = {**tests, **counts, **graph}
        digest = sha256(PACKAGE.encode()).hexdigest()
        changes = ["one person, one cluster", "chunks count from 0"]
        said = writing.GoLive("王小明", "M5", "success", {forms.CORRECTED: changes})
        at = datetime(DAY.year, DAY.month, DAY.day, 3, tzinfo=UTC)
        checks = [("function", "PASSED", ""), ("security", "NOT RUN", "no such gate")]
        return {
            TEST_REPORT: writing.test_report(f"v{VERSION}", DAY, ("M5", "M4"), run, verification),
            RECORD: writing.record(at, run, said, checks),
            INFO: writing.release_info(VERSION, DAY, changes, {PACKAGE: digest}, verification),
            INFO_TEXT: writing.release_text(VERSION, DAY, run.commit, [PACKAGE]),
        }

    def _run(self) -> writing.Run:
        return writing.Run(
            version=VERSION,
            commit=self.commits[4],
            environment="playground",
            verdict="PASSED",
            bundle=sha256(b"a run that never was").hexdigest(),
            signed="nobody: the run is made up",
            results=[("basic", "PASSED", "18 passed", ""), ("tkg", "PASSED", "7 passed", "")],
        )


def _commit(mark: int, branch: str, parent: int, subject: str, files: Mapping[str, str]) -> bytes:
    """One commit in the language of git fast-import."""
    version = VERSION if mark == 4 else BEFORE
    sources = {
        "Cargo.toml": CARGO.format(version=version),
        "build.rs": BUILD.format(version=version),
    }
    lines = [
        f"commit refs/heads/{branch}",
        f"mark :{mark}",
        f"author {AUTHOR} {EPOCH + mark} +0800",
        f"committer {AUTHOR} {EPOCH + mark} +0800",
        f"data {len(subject.encode())}\n{subject}",
        *([f"from :{parent}"] if parent else []),
    ]
    for name, text in {**files, **sources}.items():
        lines.append(f"M 100644 inline {name}\ndata {len(text.encode())}\n{text}")
    return "\n".join([*lines, "", ""]).encode()
