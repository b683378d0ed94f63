"""Tests of `pytest_release.config.variables`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pytest_release.config.document import load_document
from pytest_release.config.variables import HARMLESS, Resolved, resolve
from pytest_release.errors import ConfigError
from pytest_release.redaction import Secret, reveal

VARIABLES = {
    "WORD": "hunter22",
    "EMPTY": "",
    "REFERENCE": "${WORD}",
    "BRACES": "a}b{c",
    "BYTES": "caf\udce9",
}

Load = Callable[..., Resolved]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Writes a YAML text to ``x.yaml`` and resolves it."""

    def load_text(text: str, variables: Mapping[str, str] = VARIABLES) -> Resolved:
        file = tmp_path / "x.yaml"
        file.write_text(text)
        return resolve(load_document(file), variables)

    return load_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${WORD}", "hunter22"),
        ("a-${WORD}-${WORD}", "a-hunter22-hunter22"),
        ("${WORD:-other}", "hunter22"),
        ("${ABSENT:-other}", "other"),
        ("${EMPTY:-other}", "other"),
        ("${ABSENT:-}", ""),
        ("${ABSENT:-a:-b $x/y}", "a:-b $x/y"),
        ("$${WORD}", "${WORD}"),
        ("$$${WORD}", "$${WORD}"),
        ("$${WORD} ${WORD}", "${WORD} hunter22"),
        ("$WORD", "$WORD"),
        ("{WORD}", "{WORD}"),
        ("$", "$"),
        ("{{ token }}", "{{ token }}"),
        ("${REFERENCE}", "${WORD}"),
        ("${BRACES}", "a}b{c"),
        ("${file:secret.txt}", "from a file"),
        ("<${file:folder/other.txt}>", "<two\nlines>"),
    ],
)
def test_references_are_replaced(tmp_path: Path, load: Load, text: str, expected: str) -> None:
    """Once, from the left, wherever they stand in a string; what they bring in stays as it is."""
    (tmp_path / "secret.txt").write_text("from a file\r\n\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "other.txt").write_text("two\nlines\n")

    assert load(f"key: '{text}'\n").document.value == {"key": expected}


def test_only_string_values_hold_references(load: Load) -> None:
    """Keys, numbers and the rest stay; lists and mappings are walked."""
    text = "'${WORD}': 1\nlist: [{a: ['${WORD}']}, 2, null, true, 1.5]\n"

    value = load(text).document.value

    assert value == {"${WORD}": 1, "list": [{"a": ["hunter22"]}, 2, None, True, 1.5]}


HOW = "set it (export {0}=...) or give it a default (${{{0}:-...}})"

PROBLEMS = {
    "${ABSENT}": "the variable ABSENT is not set; " + HOW.format("ABSENT"),
    "${EMPTY}": "the variable EMPTY is set to nothing; " + HOW.format("EMPTY"),
    "${BYTES}": "the variable BYTES is not UTF-8; " + HOW.format("BYTES"),
    "${file:absent.txt}": "the file {folder}/absent.txt cannot be read: No such file or directory",
    "${file:.}": "the file {folder} cannot be read: Is a directory",
    "${file:latin.txt}": "the file {folder}/latin.txt cannot be read: it is not UTF-8",
    "${file:empty.txt}": "the file {folder}/empty.txt is empty",
    "${}": "${} is no reference; expected ${VAR}, ${VAR:-default} or ${file:PATH}",
    "${WORD": "${WORD is no reference; expected ${VAR}, ${VAR:-default} or ${file:PATH}",
    "${9}": "${9} is no reference; expected ${VAR}, ${VAR:-default} or ${file:PATH}",
    "${WORD-x}": "${WORD-x} is no reference; expected ${VAR}, ${VAR:-default} or ${file:PATH}",
    "${file:}": "${file:} is no reference; expected ${VAR}, ${VAR:-default} or ${file:PATH}",
    "${A:-${WORD}}": "${A:-${WORD} is no reference; expected ${VAR}, ${VAR:-default} or ",
    "${A:-{1}}": "${A:-{1} is no reference; expected ${VAR}, ${VAR:-default} or ${file:PATH}",
}


@pytest.mark.parametrize("text", PROBLEMS)
def test_what_cannot_be_resolved_says_so(tmp_path: Path, load: Load, text: str) -> None:
    """The message names file, line, key, the reference, and what to do."""
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    (tmp_path / "empty.txt").write_text("\n")

    with pytest.raises(ConfigError, match=r"x\.yaml:2: a\.b: ") as caught:
        load(f"a:\n  b: '{text}'\n")

    expected = PROBLEMS[text].replace("{folder}", str(tmp_path))
    assert str(caught.value).startswith(f"{tmp_path}/x.yaml:2: a.b: {expected}")


def test_an_impossible_path_is_refused(load: Load) -> None:
    """A file name with NUL in it is not a traceback."""
    with pytest.raises(ConfigError, match=r"x\.yaml:1: a: the file .* cannot be read"):
        load('a: "${file:a\\0b}"')


def test_all_problems_are_reported_together(tmp_path: Path, load: Load) -> None:
    """Unset variables, unreadable files and malformed references, each at its line, in order."""
    text = "c: [x, '${TWO}']\na: ${ONE}\nb:\n  d: '${file:absent} ${THREE} ${'\n"

    with pytest.raises(ConfigError, match="not set") as caught:
        load(text)

    problems = [str(problem).partition("/x.yaml:")[2] for problem in caught.value.problems]
    assert [problem[:24] for problem in problems] == [
        "1: c[1]: the variable TW",
        "2: a: the variable ONE i",
        "4: b.d: the file " + str(tmp_path)[:7],
        "4: b.d: the variable THR",
        "4: b.d: ${ is no referen",
    ]


def test_problems_of_a_base_come_with_its_name(tmp_path: Path, load: Load) -> None:
    """In file order, then line order, each file's own lines."""
    (tmp_path / "base.yaml").write_text("a: 1\nb: ${ONE}\n")

    with pytest.raises(ConfigError, match="not set") as caught:
        load("extends: base.yaml\nc: ${TWO}\n")

    places = [(problem.file.name, problem.line, problem.key) for problem in caught.value.problems]
    assert places == [("base.yaml", 2, "b"), ("x.yaml", 2, "c")]


def test_a_file_is_relative_to_the_yaml_that_names_it(tmp_path: Path, load: Load) -> None:
    """A base in another folder reads from there."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "base.yaml").write_text("a: ${file:secret.txt}\n")
    (tmp_path / "shared" / "secret.txt").write_text("there")
    (tmp_path / "secret.txt").write_text("here")

    value = load("extends: shared/base.yaml\nb: ${file:secret.txt}\n").document.value

    assert value == {"a": "there", "b": "here"}


@pytest.mark.parametrize("value", ["${WORD}", "x ${WORD}", "${A:-hunter22}", "${file:word.txt}"])
def test_what_comes_from_elsewhere_is_sealed(tmp_path: Path, load: Load, value: str) -> None:
    """The whole string becomes a Secret; what came in is removed from every text."""
    (tmp_path / "word.txt").write_text("hunter22\n")

    resolved = load(f"a: {{b: ['{value}', plain]}}\nname: n\n")

    sealed = resolved.sealed(())
    assert sealed["a"]["b"] == [Secret(value.partition("$")[0] + "hunter22"), "plain"]
    assert resolved.sealed(("a", "b", 1)) == "plain"
    assert resolved.secrets == {"hunter22"}
    assert "hunter22" not in str(sealed)


@pytest.mark.parametrize("key", sorted(HARMLESS))
def test_harmless_keys_stay_plain(load: Load, key: str) -> None:
    """What is known to be no secret can be read in reports."""
    resolved = load(f"a: {{{key}: '${{WORD}}'}}\n")

    assert resolved.sealed(()) == {"a": {key: "hunter22"}}
    assert resolved.secrets == frozenset()


def test_the_path_of_a_file_to_upload_is_harmless(load: Load) -> None:
    """A path names a file; other keys that are called ``files`` are not meant."""
    text = "multipart: {files: {image: '${WORD}'}}\njson: {files: {image: '${WORD}'}}\n"

    sealed = load(text).sealed(())

    assert sealed["multipart"] == {"files": {"image": "hunter22"}}
    assert isinstance(sealed["json"]["files"]["image"], Secret)


def test_an_empty_default_is_no_secret(load: Load) -> None:
    """Nothing is not worth hiding, and must not mask every gap of a text."""
    resolved = load("token: ${ABSENT:-}\n")

    assert resolved.sealed(()) == {"token": ""}
    assert resolved.secrets == frozenset()


@pytest.mark.parametrize(
    ("address", "secrets"),
    [
        ("https://user:pass-word@host/path", {"pass-word", "dXNlcjpwYXNzLXdvcmQ="}),
        ("https://user:p%40ss@host", {"p%40ss", "p@ss", "dXNlcjpwQHNz"}),
        ("https://user:p@ss@host", {"p@ss", "dXNlcjpwQHNz"}),
        ("https://user:p/s?s#@host", {"p/s?s#", "dXNlcjpwL3M/cyM="}),
        ("redis://:word@host:1", {"word", "OndvcmQ="}),
        ("https://user@host:80/a:b@c", set()),
        ("https://host/?a:b@c", set()),
        ("mail to: x@y", set()),
    ],
)
def test_the_password_of_an_address_is_a_secret(
    load: Load, address: str, secrets: set[str]
) -> None:
    """Written out or not, under a harmless key or not; also as basic authorisation sends it."""
    assert load(f"base_url: '{address}'\n").secrets == secrets
    assert load("base_url: ${URL}\n", {"URL": address}).secrets == secrets
    assert load("url: ${URL}\n", {"URL": address}).secrets == secrets | {address}
    assert reveal(load(f"url: '{address}'\n").sealed(("url",))) == address
    assert isinstance(load(f"url: '{address}'\n").sealed(("url",)), Secret) == bool(secrets)
