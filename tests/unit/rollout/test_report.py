"""A rollout's own bundle, what people see of it, and its status."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_release.attestation.keys import generate, load_public_key
from pytest_release.attestation.rollouts import describe_rollout, verify_rollout
from pytest_release.errors import BundleError, VerificationError
from pytest_release.rollout.progress import Machine, Plain, Terminal
from pytest_release.rollout.report import seal
from pytest_release.rollout.state import SUCCESS
from tests.unit.rollout.conftest import Yard, step

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"


NOWHERE = "the rollback did not restore health: here has no earlier good release to go back to"


@pytest.fixture
def sealed(yard: Yard) -> Path:
    """The bundle of a rollout whose step said something hostile, signed by ``ci.pem``."""
    generate(yard.folder / "ci.pem")
    said = {"command": {"argv": ["printf", "%s\n", HOSTILE]}}
    yard.plan({"name": "say", "type": "preflight", "with": said},
              {"name": "fail", "type": "deploy", "with": {"command": {"argv": ["false"]}},
               "retries": {"times": 1}, "on_failure": "continue"},
              step("last", needs=["say", "fail"]))  # fmt: skip
    assert yard.run(sign_with="ci.pem", seal=seal, commit="d34bcae").status == SUCCESS
    return Path(str(yard.look.state.bundle))


def key(sealed: Path) -> Any:  # noqa: ANN401 - securesystemslib's
    """That which signed."""
    return load_public_key(sealed.parents[1] / "ci.pem.pub")


def test_the_bundle_tells_all_of_it(yard: Yard, sealed: Path) -> None:
    """Page, JSON and journal, signed; every attempt stands there."""
    verified = verify_rollout(sealed, [key(sealed)])

    told = verified.statement["predicate"]
    assert sorted(p.name for p in sealed.iterdir()) == [
        "journal.jsonl", "rollout.html", "rollout.intoto.jsonl", "rollout.json",
    ]  # fmt: skip
    assert sealed.parent == yard.folder / "reports"
    assert [(s["task"], s["attempt"], s["status"]) for s in told["steps"]] == [
        ("say", 1, "done"), ("fail", 1, "again"), ("fail", 2, "failed"), ("last", 1, "done"),
    ]  # fmt: skip
    assert verified.statement["subject"] == [
        {"name": "release 2.0", "digest": {"gitCommit": "d34bcae"}}
    ]
    assert (told["status"], told["who"], told["ephemeralKey"]) == (SUCCESS, "li@desk", False)
    described = describe_rollout(verified).splitlines()
    assert described[0] == f"rollout      {told['rollout']}: success"
    assert "failed       fail: exit status 1" in described
    facts = json.loads((sealed / "rollout.json").read_text())
    assert facts["attempts"][0]["output"]["size"] == len(HOSTILE.encode()) + 1


def test_the_page_is_dead(sealed: Path) -> None:
    """No script, no request; what a step said is text."""
    page = (sealed / "rollout.html").read_text()

    assert "script-src 'none'" in page
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert re.search(r"<svg class=\"graph\".*say.*fail.*last.*</svg>", page)
    assert '<svg class="course"' in page
    assert "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "rollout.html").write_text("x"), r"^rollout\.html was changed: it has "),
        (lambda f: (f / "more").write_text("x"), r"^more is in the bundle and was not signed$"),
        (lambda f: (f / "rollout.json").unlink(), r"^rollout\.json was signed and is missing$"),
        (lambda f: (f / "rollout.intoto.jsonl").write_text("{}\n"), r"^rollout\.intoto\.jsonl: "),
        (lambda f: (f / "rollout.intoto.jsonl").unlink(), r"jsonl cannot be read: "),
        (lambda f: ((f / "rollout.intoto.jsonl").unlink(), (f / "rollout.intoto.jsonl").mkdir()),
         r"is no plain file, or too large to be an attestation$"),
    ],
)  # fmt: skip
def test_what_was_changed_is_found(sealed: Path, change: Any, message: str) -> None:  # noqa: ANN401
    """Whatever it is."""
    change(sealed)

    with pytest.raises(VerificationError, match=message):
        verify_rollout(sealed, [key(sealed)])


def test_another_key_proves_nothing(sealed: Path, tmp_path: Path) -> None:
    """It did not sign."""
    other = generate(tmp_path / "other.pem")

    with pytest.raises(VerificationError, match=r"^rollout\.intoto\.jsonl: "):
        verify_rollout(sealed, [other])


def test_an_ephemeral_key_is_said_to_be_one(yard: Yard) -> None:
    """Its public half is in the bundle."""
    yard.plan(step("one"))
    yard.run(seal=seal)

    folder = Path(str(yard.look.state.bundle))
    verified = verify_rollout(folder, [load_public_key(folder / "ephemeral.pub")])
    assert "WARNING      the key was made for this rollout" in describe_rollout(verified)


def test_reports_that_cannot_be_written(yard: Yard) -> None:
    """The rollout stays unfinished, and is finished later; its steps are not repeated."""
    yard.plan(step("one"))
    (yard.folder / "reports").write_text("")

    with pytest.raises(BundleError, match=r"^the report .*_rollout was not written: .*exists"):
        yard.run(seal=seal)
    (yard.folder / "reports").unlink()

    assert yard.resume(seal=seal).status == SUCCESS
    assert yard.log == ["one 2.0"]
    again = yard.look.state.bundle
    assert again is not None
    assert Path(again).is_dir()


def test_a_clock_that_jumps(yard: Yard) -> None:
    """Back by a day in the middle: nothing waits for it, and what was done is told."""
    moments = [datetime.now(UTC) + timedelta(days=1)] * 9

    def now() -> datetime:
        return moments.pop() if moments else datetime.now(UTC)

    yard.plan(step("one", timeout_s=20), step("two", timeout_s=20))

    assert yard.run(now=now, seal=seal).status == SUCCESS
    assert yard.log == ["one 2.0", "two 2.0"]
    seconds = [task.seconds for task in yard.look.state.tasks.values()]
    assert all(s is not None and 0 <= s < 20 for s in seconds)
    assert Path(str(yard.look.state.bundle), "rollout.html").is_file()


def watched(yard: Yard, watcher: Any) -> str:  # noqa: ANN401
    """What a watcher wrote of a rollout that goes back to nothing."""
    yard.plan(step("one"), {"name": "bad", "type": "gate", "retries": {"times": 1},
                            "with": {"command": {"argv": ["sh", "-c", "echo ill; false"]}}},
              {**step("x"), "name": "skipped"},
              on_failure="rollback", rollback=[step("one")],
              modes={"part": {"skip": ["skipped"]}})  # fmt: skip
    yard.run(watcher=watcher, mode="part")
    written: str = watcher._stream.getvalue()
    return written


def test_plain_lines(yard: Yard) -> None:
    """A line an event, and the last words of what failed."""
    lines = [line[10:] for line in watched(yard, Plain(io.StringIO())).splitlines()]

    assert [re.sub(r"\d+\.\d s", "N s", line) for line in lines] == [
        "one                      begun    deploy in here",
        "one                      ok       N s  exit status 0; verified",
        "bad                      begun    gate in here",
        "bad                      again    N s  exit status 1: ill",
        "bad                      begun    gate in here (attempt 2)",
        "bad                      FAILED   N s  exit status 1: ill",
        "GOING BACK  here to nothing that is known: bad: exit status 1: ill",
        f"ROLLBACK-FAILED  bad: exit status 1: ill; {NOWHERE}",
        "  bad | ill",
    ]


def test_a_terminal(yard: Yard) -> None:
    """Colours, and one line that moves."""
    written = watched(yard, Terminal(io.StringIO()))

    assert "\r\x1b[K          one                      ..." in written
    assert "\x1b[32mone                      ok" in written
    assert "\x1b[31mbad                      FAILED" in written


def test_json_lines(yard: Yard) -> None:
    """An object an event."""
    events = [json.loads(line) for line in watched(yard, Machine(io.StringIO())).splitlines()]

    assert [event["event"] for event in events] == [
        "begun", "ended", "begun", "ended", "begun", "ended", "turned", "closed",
    ]  # fmt: skip
    assert events[1]["task"] == "one"
    assert events[-1]["status"] == "rollback-failed"
    assert all(datetime.fromisoformat(event["at"]).tzinfo for event in events)
