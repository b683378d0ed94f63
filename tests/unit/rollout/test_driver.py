"""What a rollout comes to: in the order of its plan, forward, back, and not at all."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_release.cli import main
from pytest_release.errors import ReleaseError, RolloutError, UsageError
from pytest_release.history import Entry, History
from pytest_release.rollout.desk import Wish, back, dry_run
from pytest_release.rollout.state import (
    ABORTED,
    NOT_ROLLED_BACK,
    ROLLED_BACK,
    STOPPED,
    SUCCESS,
    Target,
)
from pytest_release.rollout.status import as_json, as_lines, standing
from tests.unit.rollout.conftest import Yard, refuse_records, step

FALSE: dict[str, Any] = {
    "with": {"command": {"argv": ["false"]}},
    "verify": [{"command": {"argv": ["true"]}}],
}
TRUE: dict[str, Any] = {"with": {"command": {"argv": ["true"]}}}
RECORD = {"name": "record", "type": "record"}


def copy(name: str = "deploy", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A step that puts the release's file live, and compares."""
    argv = ["cp", "releases/{{release}}", "live"]
    shown = {"command": {"argv": ["cat", "live"], "expect": {"output": "{{release}}"}}}
    done = {"with": {"command": {"argv": argv}}, "verify": [shown], "idempotent": True}
    return {"name": name, "type": "deploy", **done, **more}


def health(bad: str = "x", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A gate that fails on a release with that in its name."""
    argv = ["grep", "-v", bad, "live"]
    return {"name": "health", "type": "gate", "with": {"command": {"argv": argv}}, **more}


@pytest.fixture
def shop(yard: Yard) -> Yard:
    """Releases 1.0, 2.0, 2.x; a plan that goes back when the gate fails; 1.0 is live and good."""
    (yard.folder / "releases").mkdir()
    for release in ("1.0", "2.0", "2.x", "1.x"):
        (yard.folder / "releases" / release).write_text(release)
    yard.plan(copy(), health(), RECORD, on_failure="rollback", rollback=[copy()])
    assert yard.run("1.0").status == SUCCESS
    return yard


def live(yard: Yard) -> str:
    """What runs."""
    return (yard.folder / "live").read_text()


def test_every_step_is_in_the_history(yard: Yard) -> None:
    """Who began it, when it began and ended, its status, its output; secrets masked."""
    yard.variables["TOKEN"] = "hunter2hunter2"
    told = {"command": {"argv": ["cat"], "input": "said ${TOKEN} of {{release}}\n"}}
    yard.plan({"name": "tell", "type": "deploy", "with": told}, RECORD)

    result = yard.run("2.0", commit="d34bcae")

    begun, told_record, recorded, _, ended = yard.records
    details = told_record.details
    assert result.status == SUCCESS
    assert yard.told == [
        ("here", "rollout", "2.0", "begun"),
        ("here", "deploy", "2.0", "done"),
        ("here", "deploy", "2.0", "success"),
        ("here", "record", "2.0", "done"),
        ("here", "rollout", "2.0", "success"),
    ]
    assert begun.notes == "begun by li@desk"
    assert details["output"]["tail"] == "said *** of 2.0\n"
    assert (details["exit_status"], details["who"]) == (0, "li@desk")
    assert details["begun"] < details["ended"]
    assert recorded.details["commit"] == "d34bcae"
    assert ended.details["changed"] is True
    files = [p for p in yard.folder.rglob("*") if p.is_file() and p.suffix != ".yaml"]
    assert not any(b"hunter2" in file.read_bytes() for file in files)


def test_a_failure_stops(yard: Yard) -> None:
    """Nothing after it is done; status and history say so."""
    yard.plan(step("one"), step("two", **FALSE), step("three"))

    result = yard.run()

    assert (result.status, result.why) == (STOPPED, "two: exit status 1")
    assert yard.log == ["one 2.0"]
    assert yard.told[-1] == ("here", "rollout", "2.0", "failed")
    assert standing(yard.look) == "failed"


def test_a_failure_that_does_not_count(yard: Yard) -> None:
    """Goes on, and is said at the end."""
    yard.plan(step("one", **FALSE, on_failure="continue"), step("two", "notify", **FALSE),
              step("three"))  # fmt: skip

    result = yard.run()

    assert (result.status, result.why) == (SUCCESS, "1 steps done, 2 failed and did not count")


def test_attempts_and_pauses(yard: Yard) -> None:
    """Each attempt is told; the waits grow."""
    waits: list[float] = []
    code = "import sys; open('n', 'a').write('x'); sys.exit(len(open('n').read()) < 3)"
    count = {"command": {"argv": ["python3", "-S", "-c", code]}}
    yard.plan({"name": "try", "type": "preflight", "with": count,
               "retries": {"times": 4, "wait_s": 2, "factor": 3}})  # fmt: skip

    result = yard.run(pause=waits.append)

    assert result.status == SUCCESS
    assert waits == [2, 6]
    assert [(r.status, r.details["attempt"]) for r in yard.records[1:-1]] == [
        ("again", 1), ("again", 2), ("done", 3),
    ]  # fmt: skip


def test_done_is_what_shows(yard: Yard) -> None:
    """A deployment that exits 0 and changed nothing has failed."""
    yard.plan(copy(**TRUE))
    (yard.folder / "live").write_text("1.0")

    result = yard.run()

    assert result.status == STOPPED
    assert result.why == (
        "deploy: exit status 0, but it does not show: expected the output '2.0', got '1.0'"
    )


def test_what_shows_later_is_waited_for(yard: Yard) -> None:
    """For as long as the plan says, asked again and again."""
    asked = iter(range(9))

    def pause(_: float) -> None:
        if next(asked) == 2:
            (yard.folder / "live").write_text("2.0")

    (yard.folder / "live").write_text("")
    yard.plan(copy(**TRUE, verify_within_s=30))

    assert yard.run(pause=pause).status == SUCCESS


def test_back_to_the_last_good_release(shop: Yard) -> None:
    """And the gate runs on it; both are in the history."""
    result = shop.run("2.x")

    assert (result.status, live(shop)) == (ROLLED_BACK, "1.0")
    assert result.why == "health: exit status 1; here is back at 1.0, and well"
    assert shop.told[-4:] == [
        ("here", "deploy", "1.0", "done"),
        ("here", "gate", "1.0", "done"),
        ("here", "rollout", "2.x", "rolled-back"),
        ("here", "rollback", "1.0", "success"),
    ]
    assert [line.strip() for line in as_lines(shop.looks[-1])][-2:] == [
        "went back: health: exit status 1",
        "rolled-back: health: exit status 1; here is back at 1.0, and well",
    ]


def test_a_rollback_that_does_not_restore_health(shop: Yard) -> None:
    """Says so, and nothing is called good."""
    (shop.folder / "releases" / "1.0").write_text("1.x")  # the old release does not run any more

    result = shop.run("2.x")

    assert result.status == NOT_ROLLED_BACK
    assert "the rollback did not restore health: back/deploy: exit status 0, but it" in result.why
    assert shop.told[-1] == ("here", "rollback", "1.0", "rollback-failed")


def test_a_gate_that_fails_on_the_old_release(shop: Yard) -> None:
    """Is told, too."""
    text = (shop.folder / "fixtures/plans/shop.yaml").read_text()
    (shop.folder / "fixtures/plans/shop.yaml").write_text(text.replace("- x\n", "- '[0-9]'\n"))

    result = shop.run("2.x")

    assert (result.status, live(shop)) == (NOT_ROLLED_BACK, "1.0")
    assert result.why.endswith("did not restore health: back/health: exit status 1")


def test_the_first_deployment_has_nothing_to_go_back_to(yard: Yard) -> None:
    """That is said, and is no success."""
    yard.plan(copy(), health(), on_failure="rollback", rollback=[copy()])
    (yard.folder / "releases").mkdir()
    (yard.folder / "releases" / "2.x").write_text("2.x")

    result = yard.run("2.x")

    assert result.status == NOT_ROLLED_BACK
    assert "here has no earlier good release to go back to" in result.why
    assert yard.told[-1] == ("here", "rollback", "-", "rollback-failed")


def test_nothing_was_changed(shop: Yard) -> None:
    """A failure before the first change goes nowhere."""
    shop.plan(step("look", "preflight", **FALSE), copy(), health(),
              on_failure="rollback", rollback=[copy()])  # fmt: skip

    result = shop.run("2.0")

    assert (result.status, result.why) == (
        STOPPED, "look: exit status 1; no environment had been changed",
    )  # fmt: skip
    assert live(shop) == "1.0"


def test_what_was_taken_is_given_back(shop: Yard) -> None:
    """Steps are taken back in reverse order, whatever fails among it, before the old release."""
    one = step("one", undo=[{"command": {"argv": ["tee", "-a", "log"], "input": "undo one\n"}}])
    two = step("two", undo=[{"command": {"argv": ["false"]}},
                            {"command": {"argv": ["tee", "-a", "log"],
                                         "input": "undo two\n"}}])  # fmt: skip
    shop.plan(one, two, copy(), health(), on_failure="rollback", rollback=[copy()])

    result = shop.run("2.x")

    assert shop.log == ["one 2.x", "two 2.x", "undo two", "undo one"]
    assert (result.status, live(shop)) == (NOT_ROLLED_BACK, "1.0")
    assert "undo/two/1: exit status 1" in result.why


def test_an_environment_that_was_found_good_stays(shop: Yard) -> None:
    """The sentinel keeps what passed; production, whose gate failed, goes back."""
    there = {"environment": "there"}
    history = History(shop.folder / "history.jsonl")
    entry = Entry(stack="shop", env="there", action="deploy", version="1.0", status="success")
    history.append(entry, shop.desk().now())
    shop.plan(
        copy("deploy-here"), {"name": "good-here", "type": "record"},
        copy("deploy-there", **there), health("2", **there),
        {**health(), "name": "gate-here", "needs": []},
        on_failure="rollback", rollback=[copy("back-there", **there), copy("back-here")],
    )  # fmt: skip

    result = shop.run("2.0")

    assert result.status == ROLLED_BACK
    assert result.why.endswith("there is back at 1.0, and well")
    assert ("here", "rollback", "1.0", "success") not in shop.told
    assert list(shop.looks[-1].state.tasks) == [
        "deploy-here", "good-here", "deploy-there", "health", "back/back-there", "back/health",
    ]  # fmt: skip


def test_an_earlier_release_is_brought_back_on_demand(shop: Yard) -> None:
    """Of those that were good; the gate runs on it."""
    assert shop.run("2.0").status == SUCCESS

    result = back(shop.desk(), "shop", "here", "1.0")

    assert (result.status, live(shop)) == (ROLLED_BACK, "1.0")
    assert shop.told[-1] == ("here", "rollback", "1.0", "success")
    assert back(shop.desk(), "shop", "here", None).why.endswith("back at 1.0, and well")
    with pytest.raises(RolloutError, match=r"^9\.9 was never good in here; good were: 1\.0, 2\.0$"):
        back(shop.desk(), "shop", "here", "9.9")
    with pytest.raises(UsageError, match=r"^the plan shop has no rollback for 'there'$"):
        back(shop.desk(), "shop", "there", None)


def test_there_is_nothing_to_bring_back(yard: Yard) -> None:
    """The history knows no good release."""
    yard.plan(copy(), health(), rollback=[copy()])

    with pytest.raises(RolloutError, match=r"^the history knows no good release of here: nothing"):
        back(yard.desk(), "shop", "here", None)


def test_only_if_paths_changed(shop: Yard) -> None:
    """Between the last good commit and this one, as git says."""
    git = ["git", "-c", "user.name=x", "-c", "user.email=x", "-C", str(shop.folder / "code")]
    subprocess.run(["git", "init", "-q", str(shop.folder / "code")], check=True)
    commits = []
    for number, path in enumerate(("a.sql", "b.txt", "a.sql")):
        (shop.folder / "code" / path).write_text(str(number))
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-qm", path], check=True)
        told = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True)
        commits.append(told.stdout.decode().strip())
    when = {"changed": ["*.sql"], "repository": "../../code"}
    shop.plan(step("migrate", when=when), {**RECORD, "needs": []})

    for commit in commits:
        assert shop.run(f"r{commits.index(commit)}", commit=commit).status == SUCCESS

    assert shop.log == ["migrate r0", "migrate r2"]
    skipped = next(r for r in shop.records if r.status == "skipped")
    assert skipped.notes.startswith("migrate: nothing changed in *.sql from ")
    result = shop.run("r9", commit="d34bcae")
    assert result.status == STOPPED
    assert "migrate: git cannot tell what changed in" in result.why


def test_a_mode_is_a_part_of_the_plan(yard: Yard) -> None:
    """The rest is skipped, and said to be."""
    yard.plan(step("one"), step("two"), step("three"),
              modes={"part": {"only": ["one", "two"], "skip": ["two"]}})  # fmt: skip

    assert yard.run(mode="part").why == "1 steps done, 2 skipped"
    assert yard.log == ["one 2.0"]
    with pytest.raises(
        UsageError, match=r"^the plan shop has no mode 'prat', did you mean 'part'\?"
    ):
        yard.run(mode="prat")


def test_a_mode_that_needs_a_waiver(yard: Yard) -> None:
    """Is refused without one, and runs with one that counts, which is written down."""
    waiver = {"environment": "here", "gate": "basic"}
    yard.plan(step("one"), modes={"skip": {"skip": ["one"], "waiver": waiver}})
    keys = yard.folder / "fixtures" / "keys"
    keys.mkdir()
    from pytest_release.attestation.keys import generate

    generate(yard.folder / "ci.pem")
    (yard.folder / "ci.pem.pub").rename(keys / "ci.pub")
    policies = yard.folder / "fixtures" / "policies"
    policies.mkdir()
    (policies / "here.yaml").write_text(
        "name: here\nversion: 1\nsigners: {keys: [ci]}\nmax_age_h: 1\n"
        "gates: {basic: {environment: here}}\nwaivers: {signers: {keys: [ci]}, max_h: 2}\n"
    )

    with pytest.raises(RolloutError, match=r"^this mode needs a waiver of basic for 2\.0 in here, "
                                           r"and none counts$"):  # fmt: skip
        yard.run(mode="skip")
    assert yard.looks == []

    until = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    waive = ["waive", "--gate", "basic", "--env", "here", "--release", "2.0", "--until", until]
    waive += ["--reason", "ticket 812", "--by", "Li Wei", "--sign-with", "ci.pem"]
    assert main([*waive, "--fixtures", "fixtures"]) == 0
    assert yard.run(mode="skip").why == "0 steps done, 1 skipped"
    told = yard.look.state.opened["waiver"]
    assert told.startswith("basic of 2.0 is waived in here until ")
    assert told.endswith(" UTC by Li Wei: ticket 812 (signed by ci)")
    with pytest.raises(RolloutError, match=r"waiver of basic for 2\.1 in here, and none counts$"):
        yard.run("2.1", mode="skip")


def test_facts_of_a_step_are_for_later_ones(shop: Yard) -> None:
    """And a name without a value stops before anything is done."""
    argv = ["echo", "{{previous}} {{environment}} {{rollout}}"]
    asking = {"command": {"argv": ["echo", "{{tell.x}}"]}}
    shop.plan({"name": "tell", "type": "preflight", "with": {"command": {"argv": argv}}},
              {"name": "ask", "type": "preflight", "with": asking})  # fmt: skip

    result = shop.run("2.0")

    assert result.why == "ask: {{tell.x}} has no value: the step has not said it"
    assert shop.looks[-1].state.tasks["tell"].outcome.output.text.startswith("1.0 here 2026")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("commit", "name the commit with --commit"),
        ("previous", "the history knows no earlier good release there, or not its commit"),
        ("failed", "it has one only while a rollout goes back"),
    ],
)
def test_a_name_without_a_value(yard: Yard, name: str, why: str) -> None:
    """Says why it has none."""
    argv = ["echo", f"{{{{{name}}}}}"]
    yard.plan({"name": "a", "type": "preflight", "with": {"command": {"argv": argv}}})

    assert yard.run().why == f"a: {{{{{name}}}}} has no value: {why}"


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"release": "2\n0"}, r"^--release is a version of at most 200 printable characters$"),
        ({"release": ""}, r"^--release is a version"),
        ({"commit": "HEAD"}, r"^--commit is 7 to 64 hex digits, got 'HEAD'$"),
    ],
)
def test_what_cannot_be_wished_for(yard: Yard, wish: dict[str, str], message: str) -> None:
    """Is refused before anything is locked."""
    yard.plan(step("one"))

    with pytest.raises(UsageError, match=message):
        yard.run(**wish)
    assert not (yard.folder / "rollouts").exists()


def test_a_key_that_does_not_open_is_found_at_the_beginning(yard: Yard) -> None:
    """And not after the last step."""
    yard.plan(step("one"))

    with pytest.raises(ReleaseError, match=r"^the private key no\.pem cannot be read"):
        yard.run(sign_with="no.pem")
    assert yard.log == []


def test_a_dry_run_does_nothing(yard: Yard) -> None:
    """It says what would be done; secrets are masked."""
    yard.variables["TOKEN"] = "hunter2hunter2"
    yard.plan(step("one"), {"name": "two", "type": "deploy", "environment": "there",
                            "with": {"command": {"argv": ["cp", "${TOKEN}"]}},
                            "when": {"changed": ["a"]}},
              modes={"part": {"skip": ["one"]}})  # fmt: skip

    lines = list(dry_run(yard.desk(), Wish("shop", "2.0", mode="part")))

    assert lines == [
        "dry run of shop with 2.0: nothing is done",
        "  not in this mode one (deploy in here): tee -a log",
        "  would do two (deploy in there, if a changed): cp '***'",
    ]
    assert sorted(p.name for p in yard.folder.iterdir()) == ["fixtures", "log"]


def test_aborted_rollouts_go_back(shop: Yard) -> None:
    """Killed after the change, aborted: the old release is there, and well."""

    def at(boundary: str) -> None:
        if boundary == "begun health/1, after":
            raise KeyboardInterrupt("here")

    with pytest.raises(KeyboardInterrupt, match="here"):
        shop.run("2.0", at=at)
    assert standing(shop.looks[-1]) == "interrupted"

    result = shop.resume(abort=True)

    assert (result.status, live(shop)) == (ABORTED, "1.0")
    assert result.why == "aborted by li@desk; here is back at 1.0, and well"
    assert as_json(shop.looks[-1])["standing"] == "aborted"
    assert Target("1.0") in shop.looks[-1].state.turn.targets.values()  # type: ignore[union-attr]


def test_resume_needs_the_same_plan(shop: Yard) -> None:
    """Another one would lead elsewhere; so would none, or a finished one."""
    with pytest.raises(UsageError, match=r"^no rollout is unfinished$"):
        shop.resume()

    def at(boundary: str) -> None:
        if boundary == "begun health/1, before":
            raise KeyboardInterrupt("here")

    with pytest.raises(KeyboardInterrupt, match="here"):
        shop.run("2.0", at=at)
    file = shop.folder / "fixtures" / "plans" / "shop.yaml"
    file.write_text(file.read_text().replace("grep", "cat"))
    with pytest.raises(RolloutError, match=r"shop\.yaml was changed since .* began: put it back"):
        shop.resume()
    from pytest_release.rollout.desk import resume

    with pytest.raises(UsageError, match=r"^no unfinished rollout is 'nope'; unfinished: 2026"):
        resume(shop.desk(), "nope")
    with pytest.raises(RolloutError, match=r"^rollout .* is finished: there is nothing to go on w"):
        resume(shop.desk(), shop.looks[0].folder.name)


def test_a_history_that_becomes_read_only(shop: Yard) -> None:
    """What had been begun ends, and nothing else is begun; later it goes on and records all."""
    shop.plan(step("one"), step("two"))
    with pytest.MonkeyPatch.context() as patch:

        def at(boundary: str) -> None:
            if boundary == "begun one/1, after":
                refuse_records(patch)

        expected = r"Read-only file system: nothing goes on that cannot be .*, then .* resume$"
        with pytest.raises(RolloutError, match=expected):
            shop.run("2.0", at=at)
    assert shop.log == ["one 2.0"]

    assert shop.resume().status == SUCCESS
    assert shop.log == ["one 2.0", "two 2.0"]
    assert [r.details["key"] for r in shop.records[-4:]] == [
        "begin:here", "step:one:1", "step:two:1", "end:here",
    ]  # fmt: skip


def test_a_read_only_history_keeps_nobody_from_going_back(shop: Yard) -> None:
    """The old release runs first; what was done is recorded when it can be."""
    with pytest.MonkeyPatch.context() as patch:

        def at(boundary: str) -> None:
            if boundary == "turned, after":
                refuse_records(patch)

        with pytest.raises(RolloutError, match=r"Read-only file system: nothing goes on"):
            shop.run("2.x", at=at)
    assert live(shop) == "1.0"
    assert standing(shop.looks[-1]) == "interrupted"

    assert shop.resume().status == ROLLED_BACK
    assert shop.told[-1] == ("here", "rollback", "1.0", "success")


def test_a_history_that_cannot_be_written(yard: Yard) -> None:
    """Nothing is begun that cannot be recorded; once it can, the rollout goes on."""
    yard.plan(step("one"), step("two"))
    (yard.folder / "history.jsonl").mkdir()

    with pytest.raises(ReleaseError, match=r"history\.jsonl cannot be"):
        yard.run()
    assert yard.log == []
    (yard.folder / "history.jsonl").rmdir()
    assert yard.resume().status == SUCCESS
    assert yard.log == ["one 2.0", "two 2.0"]
    assert Path(yard.folder / "history.jsonl").is_file()
