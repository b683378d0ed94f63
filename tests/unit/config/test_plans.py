"""Tests of `pytest_release.config.plans`: what a plan means, and what each mistake is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_release.config.plan import Plan, Retries
from pytest_release.config.plans import load_plan, plan_names
from pytest_release.errors import ConfigError, UsageError
from pytest_release.redaction import Secret

ENVIRONMENT = "name: {}\nrole: staging\nsystem: shop\nbase_url: http://127.0.0.1:9\ngates: {{}}\n"
HEAD = "name: shop\nsystem: shop\nenvironment: here\n"
LOOK = "  - {name: look, type: preflight, with: {command: {argv: [ls]}}}\n"
DEPLOY = "  - {name: deploy, type: deploy, with: {command: {argv: [cp, a, b]}}}\n"


@pytest.fixture
def fixtures(tmp_path: Path) -> Path:
    """Two environments and no plan."""
    (tmp_path / "environments").mkdir()
    (tmp_path / "plans").mkdir()
    for name in ("here", "there"):
        (tmp_path / "environments" / f"{name}.yaml").write_text(ENVIRONMENT.format(name))
    return tmp_path


def load(fixtures: Path, text: str, **variables: str) -> Plan:
    """The plan that this text is."""
    (fixtures / "plans" / "shop.yaml").write_text(text)
    return load_plan(fixtures, "shop", variables)


def test_a_step_has_what_the_plan_says(fixtures: Path) -> None:
    """And defaults for the rest: it comes after the step before it."""
    plan = load(
        fixtures,
        HEAD + f"on_failure: rollback\nsteps:\n{LOOK}"
        "  - name: deploy\n    type: deploy\n    environment: there\n    timeout_s: 5\n"
        "    retries: {times: 2, wait_s: 3}\n    with: {command: {argv: [cp, '{{release}}', b]}}\n"
        "    verify: [{release: {}}]\n    undo: [{command: {argv: [rm, b]}}]\n"
        "  - {name: health, type: gate, environment: there}\n"
        "  - {name: tell, type: notify, with: {command: {argv: [ls]}}}\n",
    )
    look, deploy, health, tell = plan.steps

    assert (look.environment, look.needs, look.timeout_s, look.on_failure) == (
        "here", (), 600, "rollback",
    )  # fmt: skip
    assert (deploy.environment, deploy.needs, deploy.timeout_s) == ("there", ("look",), 5)
    assert deploy.retries == Retries(2, 3.0)
    assert [action.adapter for action in deploy.actions] == ["command", "release", "command"]
    assert (deploy.line, deploy.action.line) == (7, 12)
    assert health.action.adapter == "gate"
    assert tell.on_failure == "continue"
    assert plan.environments == ("here", "there")


def test_waits_grow_to_a_limit() -> None:
    """Each is so many times the one before."""
    retries = Retries(times=5, wait_s=1, factor=3, most_s=10)

    assert [retries.pause(attempt) for attempt in (1, 2, 3, 4)] == [1, 3, 9, 10]


def test_steps_come_after_what_they_need(fixtures: Path) -> None:
    """Otherwise as the file has them."""
    text = "".join(
        ONE.replace("a, type", f"{name}, needs: [{needs}], type") % "command: {argv: [ls]}"
        for name, needs in (("d", "b, c"), ("c", "a"), ("b", "a"), ("a", ""))
    )

    plan = load(fixtures, f"{HEAD}steps:\n{text}")

    assert [step.name for step in plan.steps] == ["a", "c", "b", "d"]


def test_secrets_are_sealed(fixtures: Path) -> None:
    """What came from a variable is seen in no repr, and removed from every text."""
    text = "  - {name: a, type: deploy, with: {command: {argv: [ls], input: '${TOKEN}'}}}\n"

    plan = load(fixtures, f"{HEAD}steps:\n{text}", TOKEN="hunter2hunter2")

    assert plan.steps[0].action.options["input"] == Secret("hunter2hunter2")
    assert "hunter2" not in repr(plan)
    assert plan.redactor("said hunter2hunter2") == "said ***"


def test_values_are_replaced(fixtures: Path) -> None:
    """By --set; of the plan's own names only."""
    load(fixtures, f"{HEAD}values: {{port: 80, fast: true}}\nsteps:\n{LOOK}")

    plan = load_plan(fixtures, "shop", {}, {"port": "81"})

    assert plan.values == {"port": "81", "fast": "true"}
    with pytest.raises(UsageError, match=r"^--set prot: the plan has no such value, did you mean "
                                         r"'port'\?; values: port, fast$"):  # fmt: skip
        load_plan(fixtures, "shop", {}, {"prot": "81"})


def test_an_unknown_plan_is_named(fixtures: Path) -> None:
    """With those that there are."""
    load(fixtures, f"{HEAD}steps:\n{LOOK}")
    (fixtures / "plans" / "_base.yaml").write_text("")

    assert plan_names(fixtures) == ["shop"]
    with pytest.raises(UsageError, match=r"^unknown plan 'shp', did you mean 'shop'\?; plans in"):
        load_plan(fixtures, "shp", {})


def test_a_plan_may_be_a_file(fixtures: Path, tmp_path: Path) -> None:
    """Anywhere."""
    file = tmp_path / "mine.yaml"
    file.write_text(f"{HEAD}steps:\n{LOOK}".replace("name: shop", "name: mine"))

    assert load_plan(fixtures, str(file), {}).name == "mine"


STEP = "  - {name: deploy, type: deploy, with: {command: {argv: [cp, a, b]}}"
ONE = "  - {name: a, type: deploy, with: {%s}}\n"


AFTER = (
    f"{HEAD}steps:\n{LOOK}afterwards:\n  - {{name: tell, ended: [%s], with: {{notify: {{%s}}}}}}\n"
)
HOOK = "webhook: {url: 'http://127.0.0.1:9'}"


MISTAKES = {
    r"afterwards\[0\]\.ended\[0\]: expected one of success, failed, .*, got \"well\"": (
        AFTER % ("well", f"{HOOK}, text: a")
    ),
    r"afterwards\[0\]\.with\.notify: the key 'text' is missing": AFTER % ("failed", HOOK),
    r"text: unknown name {{reslt}}, did you mean 'result'\?; known: .*, result, why, and STEP": (
        AFTER % ("failed", f"{HOOK}, text: '{{{{reslt}}}}'")
    ),
    r"shop\.yaml:4: stpes: unknown key 'stpes', did you mean 'steps'\?": f"{HEAD}stpes: []\n",
    r"shop\.yaml:5: steps\[0\]\.timout_s: unknown key 'timout_s', did you mean 'timeout_s'\?": (
        f"{HEAD}steps:\n{STEP}, timout_s: 1}}\n"
    ),
    r"shop\.yaml:5: steps\[0\]\.type: expected one of preflight, backup, .*, got \"depoly\"": (
        f"{HEAD}steps:\n{DEPLOY}".replace("type: deploy", "type: depoly")
    ),
    r"with\.comand: unknown key 'comand', did you mean 'command'\?": (
        f"{HEAD}steps:\n{ONE % 'comand: {argv: [ls]}'}"
    ),
    r"argv: expected a list.*, got \"ls -l\"": f"{HEAD}steps:\n{ONE % 'command: {argv: ls -l}'}",
    r"steps\[0\]: the key 'with' is missing: how is this deploy done\?": (
        f"{HEAD}steps:\n  - {{name: a, type: deploy}}\n"
    ),
    r"steps\[0\]: the key 'environment' is missing, here or for the whole plan": (
        f"name: shop\nsystem: shop\nsteps:\n{LOOK}"
    ),
    r"shop\.yaml:3: environment: there is no environment 'hree', did you mean 'here'\?; envi": (
        f"{HEAD}steps:\n{LOOK}".replace("environment: here", "environment: hree")
    ),
    r"shop\.yaml:1: name: expected 'shop', the file's own name, got 'sohp'": (
        f"{HEAD}steps:\n{LOOK}".replace("name: shop", "name: sohp")
    ),
    r"steps\[1\]\.name: the name 'look' stands twice, first in line 5": (
        f"{HEAD}steps:\n{LOOK}{LOOK}"
    ),
    r"steps\[1\]\.needs\[0\]: there is no step 'lok', did you mean 'look'\?; steps: look, d": (
        f"{HEAD}steps:\n{LOOK}{STEP}, needs: [lok]}}\n"
    ),
    r"steps: steps need each other: deploy -> deploy": (
        f"{HEAD}steps:\n{STEP}, needs: [deploy]}}\n"
    ),
    r"the key 'rollback' is missing: what brings the last good release back\?": (
        f"{HEAD}on_failure: rollback\nsteps:\n{DEPLOY}"
    ),
    r"steps\[0\]: no step is a gate of here: nothing would show that it is well again": (
        f"{HEAD}steps:\n{DEPLOY}rollback:\n{LOOK}"
    ),
    r"with: the adapter 'record' is for steps of type record, this is a deploy": (
        f"{HEAD}steps:\n{ONE % 'record: {}'}"
    ),
    r"argv\[0\]: unknown name \{\{relase\}\}, did you mean 'release'\?; known: release, com": (
        f"{HEAD}steps:\n" + ONE % "command: {argv: ['{{relase}}']}"
    ),
    r"values\.release: 'release' has its own meaning: choose another name": (
        f"{HEAD}values: {{release: x}}\nsteps:\n{LOOK}"
    ),
    r"modes\.part\.only\[0\]: there is no step 'lok', did you mean 'look'\?; steps: look": (
        f"{HEAD}modes: {{part: {{only: [lok]}}}}\nsteps:\n{LOOK}"
    ),
    r"with\.http: expected a mapping with either path or url, got a mapping of 2": (
        f"{HEAD}steps:\n" + ONE % "http: {path: /, url: 'http://x'}"
    ),
    r"ssh: expected a host as ssh's own configuration knows it, .* names one, got \"-oX": (
        f"{HEAD}steps:\n" + ONE % "command: {argv: [a], ssh: '-oX'}"
    ),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_a_mistake_is_told_with_its_line(fixtures: Path, message: str) -> None:
    """And with what was expected."""
    with pytest.raises(ConfigError, match=message):
        load(fixtures, MISTAKES[message])


def test_names_of_steps_and_their_facts_are_known(fixtures: Path) -> None:
    """A fact is known when its step has said it."""
    text = (
        f"{HEAD}steps:\n{LOOK}" + STEP.replace("a, b", "'{{look.path}}', '{{ release }}'") + "}\n"
    )

    assert re.search("look.path", repr(load(fixtures, text).steps[1].action.options))
