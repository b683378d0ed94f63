"""Tests of ``pytest-release delivery``: documents from verified bundles, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from pytest_release.attestation.keys import ephemeral, load_signing_key
from pytest_release.bundle import Bundle
from pytest_release.cli import main
from pytest_release.config.environment import GatePolicy
from pytest_release.evidence import Evidence, Finding
from pytest_release.gates._tally import counted
from pytest_release.ledger import Entry, Outcome
from pytest_release.release import Identity, Release
from pytest_release.sandbox.rooms import _workspace as good
from pytest_release.sandbox.rooms._workspace import Workspace
from pytest_release.verdict import GateVerdict, RunVerdict, judge_gate, judge_run
from pytest_release.workspace.forms import (
    read_record,
    read_response,
    read_test_report,
)
from pytest_release.workspace.naming import Name, read_name
from pytest_release.workspace.reading import read_paper
from pytest_release.workspace.releases import read_release_info, read_release_text
from tests.unit.test_bundle import RUN

Ran = Callable[..., tuple[int, str, str]]
COUNTS = {
    "chunk_rows": 240,
    "face_detections_rows": 600,
    "identities_rows": 44,
    "tkg_nodes_rows": 910,
    "tkg_edges_rows": 2102,
}
PACKAGE = "a_v1.tar.gz"
BUILD = Identity("1.0.0", "d34bcae5b1")
DAY = "2026-11-23"


def gate(name: str, figures: dict[str, int] | None = None, failure: str = "") -> GateVerdict:
    """A gate of one case."""
    findings = (Finding(f"{name}.wrong", failure),) if failure else ()
    measured = tuple(counted(figure, value) for figure, value in (figures or {}).items())
    evidence = Evidence(f"{name}/one", name, "one", measurements=measured, findings=findings)
    outcome = Outcome.FAILED if failure else Outcome.PASSED
    entry = Entry(f"{name}/one", name, True, True, True, outcome=outcome)
    return judge_gate(name, GatePolicy(required=True), [entry], {f"{name}/one": evidence})


GATES = (gate("basic"), gate("row_count", COUNTS), gate("tkg"))


def verdict(
    *gates: GateVerdict, build: Identity | None = BUILD, packages: tuple[str, ...] = (PACKAGE,)
) -> RunVerdict:
    """A run of some gates."""
    release = Release(before=build, after=build, packages=dict.fromkeys(packages, "b" * 64))
    return judge_run(gates or GATES, replace(RUN.context, release=release))


def seal(run: RunVerdict, key: str | None = "ci.pem") -> str:
    """A bundle, signed by a key of this folder or by an ephemeral one."""
    signing = load_signing_key(key, {}) if key else ephemeral()
    nonce = uuid4().hex
    bundle = Bundle.create(Path("reports"), "staging", signing, datetime.now(UTC), nonce)
    return str(bundle.seal(run).folder)


def name(path: str) -> Name:
    """What a file's name says."""
    found = read_name(Path(path.strip()).name)
    assert found is not None
    return found


def text(path: str) -> str:
    """What a file holds, read as the gate reads it."""
    paper = read_paper(Path(path.strip()))
    assert paper.problem == ""
    return paper.text


@pytest.fixture
def command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Ran:
    """Runs one command in a folder with the key ``ci.pem``."""
    monkeypatch.chdir(tmp_path)
    main(["keygen", "ci.pem"])
    capsys.readouterr()

    def command(*arguments: str) -> tuple[int, str, str]:
        status = main(["delivery", *arguments])
        return status, *capsys.readouterr()

    return command


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """A repository, and reports."""
    made = Workspace()
    yield made
    made.stop()


def test_a_test_report_is_of_the_run(command: Ran) -> None:
    """Every gate, what was counted, by whom it was signed; the gate finds nothing wrong with it."""
    status, out, err = command("report", seal(verdict()), "--key", "ci.pem.pub", "--date", DAY)

    assert (status, out, err) == (0, f"workspace/{DAY}_v1.0.0_test_report.md\n", "")
    report = read_test_report(name(out), text(out), date(2026, 11, 23))
    assert report.flaws == ()
    assert (report.verdict, report.release) == ("PASSED", "v1.0.0")
    assert dict(report.results) == {"basic": "PASSED", "row_count": "PASSED", "tkg": "PASSED"}
    section = report.document.section("Verification")
    assert section is not None
    assert section.lines == (
        "Deploy test: PASSED",
        "API test: 1/1",
        "Chunks: 240",
        "Faces: 600",
        "Identities: 44",
        "TKG nodes/edges: 910/2102",
    )
    assert "proves nothing" not in text(out)


def test_a_test_report_tells_of_failures_too(command: Ran) -> None:
    """With their reasons, harmless; what nobody measured is said to be so."""
    bundle = seal(verdict(gate("basic", failure="| <script>\n## 測試結果")), key=None)
    _, out, _ = command("report", bundle, "--topic", "人臉", "--date", DAY, "--from", "QA")

    report = read_test_report(name(out), text(out), date(2026, 11, 23))
    assert out == f"workspace/{DAY}_人臉_test_report.md\n"
    assert (report.flaws, report.verdict) == ((), "FAILED")
    assert report.document.fields["From"][1] == "QA"
    assert "proves nothing about who ran it" in report.document.fields["Signed by"][1]
    for line in ("Deploy test: NOT RUN", "Chunks: not measured", "TKG nodes/edges: not measured"):
        assert f"- {line}\n" in text(out)


def test_a_bundle_that_was_changed_is_not_retold(command: Ran) -> None:
    """Verified first."""
    bundle = seal(verdict())
    (Path(bundle) / "junit.xml").write_text("")

    status, _, err = command("report", bundle, "--key", "ci.pem.pub")
    assert (status, err) == (1, err)
    assert "junit.xml was changed" in err
    assert not Path("workspace").exists()


def test_nothing_is_overwritten(command: Ran) -> None:
    """The same again is the same; a person's text stays."""
    bundle = seal(verdict())
    arguments = ("report", bundle, "--key", "ci.pem.pub", "--date", DAY)
    assert command(*arguments)[0] == command(*arguments)[0] == 0

    file = Path(f"workspace/{DAY}_v1.0.0_test_report.md")
    file.write_text("mine")
    status, _, err = command(*arguments)
    assert (status, file.read_text()) == (1, "mine")
    assert "is there already and may be a person's work" in err


def test_release_info_of_an_accepted_run(command: Ran, workspace: Workspace) -> None:
    """Changes are those since the last release; both files say the same."""
    status, out, err = command(
        *("release-info", seal(verdict()), "--key", "ci.pem.pub", "--date", DAY),
        *("--repository", str(workspace.repository), "--change", "by hand"),
    )

    assert (status, err) == (0, "")
    info, beside = (text(path) for path in out.splitlines())
    read = read_release_info(info, date(2026, 11, 23))
    assert (read.flaws, read.version, read.files) == ((), "1.0.0", (PACKAGE,))
    assert info.count("\n- ") == 4 + 6
    assert "- by hand\n- release 1.0.0 \\(" in info
    assert read_release_text(beside) == (
        {"Release": "v1.0.0", "Date": DAY, "Git": "d34bcae5b1", "Package": PACKAGE},
        (),
    )


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (verdict(gate("basic", failure="x")), "no release info of a run that is FAILED: basic is"),
        (verdict(build=None), "the deployment named no version like 1.2.3, but 'none'"),
        (verdict(build=Identity("dev", "d34bcae")), "no version like 1.2.3, but 'dev'"),
        (verdict(build=Identity("1.0.0", "unknown")), "named no git commit, but 'unknown'"),
        (verdict(packages=()), "the run judged no package: run the gates with --package FILE"),
        (verdict(packages=("a b.tar.gz",)), "the package's name 'a b.tar.gz' has other than"),
        (
            verdict(gate("row_count", COUNTS | {"tkg_edges_rows": 0}), gate("basic")),
            "is not written, the gate would not accept it: it says TKG nodes/edges: 910/0",
        ),
        (
            verdict(gate("row_count", COUNTS)),
            "the gate would not accept it: it says API test: 0/0",
        ),
        (verdict(gate("basic")), "it says Deploy test: NOT RUN; says Chunks: not measured; says"),
    ],
)
def test_release_info_is_refused(command: Ran, run: RunVerdict, why: str) -> None:
    """Of a run that is red, of nothing that is named, or that did not look at everything."""
    status, _, err = command("release-info", seal(run), "--key", "ci.pem.pub")

    assert status == 1
    assert why in err
    assert not Path("workspace").exists()


def test_a_record_has_what_people_say_and_what_was_verified(command: Ran) -> None:
    """Checks by area; a status where none is given."""
    status, out, err = command(
        *("record", seal(verdict()), "--key", "ci.pem.pub", "--at", f"{DAY}T10:00:00"),
        *("--who", "王小明", "--team", "M5", "--fixed", "a | b", "--follow-up", "watch"),
    )

    assert (status, out, err) == (0, f"workspace/{DAY}_v1.0.0_record.md\n", "")
    record = read_record(name(out), text(out), date(2026, 11, 23))
    assert (record.flaws, record.status) == ((), "success")
    section = record.document.section("Checks")
    assert section is not None
    assert [row.cells[:2] for row in section.tables[0].rows] == [
        ("function", "PASSED"),
        ("performance", "NOT RUN"),
        ("security", "NOT RUN"),
        ("monitoring", "NOT RUN"),
    ]
    assert "- a \\| b\n" in text(out)


def test_a_status_may_be_worse_than_the_run_and_not_better(command: Ran) -> None:
    """People know more of what went wrong, and cannot make a red run green."""
    who = ("--who", "x", "--team", "y", "--key", "ci.pem.pub")
    green, red = seal(verdict()), seal(verdict(gate("basic", failure="x")))

    assert command("record", green, *who, "--status", "partial", "-o", "a.md")[:2] == (0, "a.md\n")
    assert "**Status**: partial" in Path("a.md").read_text()
    status, _, err = command("record", red, *who, "--status", "success")
    assert status == 1
    assert "the status success is better than the run, which is FAILED: failed" in err
    assert "a status is one of success, partial, failed, got 'fine'" in command(
        "record", green, *who, "--status", "fine"
    )[2]  # fmt: skip


def test_a_response_has_a_row_for_every_item(command: Ran, workspace: Workspace) -> None:
    """What nothing is said of is open; files and why they changed come from git."""
    (workspace.documents / good.FACES_RESPONSE).unlink()
    status, out, err = command(
        *("response", str(workspace.documents / good.FACES)),
        *("--item", f"1=已修正:{workspace.commits[2][:9]}"),
        *("--repository", str(workspace.repository)),
    )

    assert (status, err) == (0, "")
    response = read_response(name(out), text(out), date(2026, 11, 23))
    assert Path(out.strip()) == workspace.documents / good.FACES_RESPONSE
    assert (response.flaws, response.ref) == ((), good.FACES)
    assert [(a.number, a.state, a.commits) for a in response.answers] == [
        ("1", "已修正", (workspace.commits[2][:9],)),
        ("2", "待處理", ()),
    ]
    assert "| src/face.rs | fix: one person, one cluster |" in text(out)


@pytest.mark.parametrize(
    ("items", "why"),
    [
        (["1"], "--item takes NUMBER=STATE or NUMBER=STATE:COMMIT,..., got '1'"),
        (["3=重複"], "2026-01-12_face_clusters.md has no item 3; it has 1, 2"),
        (["1=己修正:d34bcae"], "item 1: unknown state '己修正', did you mean '已修正'?"),
        (["1=已修正"], "item 1 is 已修正: say which commit did it"),
        (["1=已修正:HEAD"], "item 1: 'HEAD' is no commit's id in hex"),
        (["1=已修正:deadbeef"], "/momentry has no commit deadbeef: missing"),
    ],
)
def test_a_response_that_cannot_be_true(
    command: Ran, workspace: Workspace, items: list[str], why: str
) -> None:
    """Is not written."""
    (workspace.documents / good.FACES_RESPONSE).unlink()
    asked = [part for item in items for part in ("--item", item)]
    status, _, err = command(
        *("response", str(workspace.documents / good.FACES), *asked),
        *("--repository", str(workspace.repository)),
    )

    assert status == 1
    assert why in err
    assert not (workspace.documents / good.FACES_RESPONSE).exists()


def test_what_is_no_report_gets_no_response(command: Ran, tmp_path: Path) -> None:
    """By its name, by what it is, or because nobody could say which item is meant."""
    for file, content in {
        "a.md": "",
        "2026-01-12_b.md": "# b\n\n## Bug / 建議\n\n1. x\n\n### 1. y\n",
    }.items():
        (tmp_path / file).write_text(content)
    said = {
        "a.md": "a.md is no report's name: expected YYYY-MM-DD_<topic>.md",
        "2026-01-12_a_response.md": "2026-01-12_a_response.md is no report's name",
        "2026-01-12_c.md": "2026-01-12_c.md cannot be read: No such file or directory",
        "2026-01-12_b.md": "2026-01-12_b.md:7: item 1 stands twice, first in line 5; number them",
    }
    for file, why in said.items():
        assert why in command("response", file)[2]


def test_commits_need_a_repository(command: Ran, workspace: Workspace, tmp_path: Path) -> None:
    """A real one."""
    report = str(workspace.documents / good.FACES)
    item = ("--item", "1=已修正:d34bcae")

    assert "commits are looked up: say where with --repository DIR" in command(
        "response", report, *item
    )[2]  # fmt: skip
    assert "is no git repository with a commit" in command(
        "response", report, *item, "--repository", str(tmp_path)
    )[2]  # fmt: skip


def test_a_report_without_numbers_has_one_item(command: Ran, tmp_path: Path) -> None:
    """Its title."""
    file = tmp_path / "2026-01-12_x.md"
    file.write_text("# Slow\n\n## Bug / 建議\n\nslow\n\n## Fix 建議\n\nfaster\n")
    _, out, _ = command("response", str(file), "--item", "1=不修正")

    assert "| 1 | Slow | 不修正 | — |" in text(out)


def test_a_topic_fits_into_a_name(command: Ran) -> None:
    """It leads to no other folder."""
    bundle = seal(verdict())
    for topic in ("../x", "a b", "x\n"):
        _, _, err = command("report", bundle, "--key", "ci.pem.pub", "--topic", topic)
        assert f"a topic is of letters, digits and ._+-, got {topic!r}" in err


def test_a_day_is_a_day(command: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong one is a wrong command."""
    with pytest.raises(SystemExit, match="2"):
        command("report", "--date", "2026-13-01")
    assert re.search("argument --date: '2026-13-01' is no day like", capsys.readouterr().err)
    with pytest.raises(SystemExit, match="2"):
        command("report", "--date", "2999-01-01")
    assert re.search("argument --date: 2999-01-01 is to come", capsys.readouterr().err)


def test_a_record_is_of_what_was_done(command: Ran) -> None:
    """Not of tomorrow."""
    _, _, err = command("record", "--who", "x", "--team", "y", "--at", "2999-01-01")

    assert "--at 2999-01-01 00:00 UTC is to come: a record is of what was done" in err
