"""Tests of `pytest_release.config.document`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_release.config import document
from pytest_release.config.document import Key, Place, dotted, load_document
from pytest_release.errors import ConfigError


def write(folder: Path, **files: str | bytes) -> Path:
    """Write ``<name>.yaml`` for each file; returns the path of the first."""
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / f"{name}.yaml").write_bytes(data)
    return folder / f"{next(iter(files))}.yaml"


@pytest.mark.parametrize(
    ("scalar", "expected"),
    [
        ("12:00", "12:00"),
        ("2025-02-05", "2025-02-05"),
        ("2025-02-05T10:00:00Z", "2025-02-05T10:00:00Z"),
        ("on", "on"),
        ("yes", "yes"),
        ("NO", "NO"),
        ("y", "y"),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("tRUE", "tRUE"),
        ("0", 0),
        ("-17", -17),
        ("012", 12),
        ("0x10", 16),
        ("0xfF", 255),
        ("0o17", 15),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("1e3", 1000.0),
        ("-1.5E-3", -0.0015),
        (".5", 0.5),
        ("5.", 5.0),
        ("1.0", 1.0),
        (".", "."),
        ("1.2.3", "1.2.3"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("null", None),
        ("~", None),
        ("", None),
        ("nULL", "nULL"),
        ("'null'", "null"),
        ('"12"', "12"),
        ("!!str 12", "12"),
        ("!!int 12", 12),
        ("!!float 12", 12.0),
        ("=", "="),
        ("<<", "<<"),
        ("|\n  two\n  lines\n", "two\nlines\n"),
        ('"\\u4e2d\\x00"', "中\x00"),
    ],
)
def test_scalars_follow_the_core_schema(tmp_path: Path, scalar: str, expected: object) -> None:
    """Only what YAML 1.2 calls a number, a boolean or null is one; everything else is text."""
    value = load_document(write(tmp_path, x=f"key: {scalar}\n")).value["key"]

    assert value == expected
    assert type(value) is type(expected)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    """Editors of another system write one."""
    assert load_document(write(tmp_path, x="\ufeffa: 1\n")).value == {"a": 1}


def test_keys_are_texts(tmp_path: Path) -> None:
    """A key that looks like a number or null is the text that stands there."""
    value = load_document(write(tmp_path, x="{1: a, ~: b, on: c, 0x10: d}\n")).value

    assert value == {"1": "a", "~": "b", "on": "c", "0x10": "d"}


MALFORMED: dict[str, tuple[str | bytes, str]] = {
    "not UTF-8": (b"a: \xff\n", "{file}: is not UTF-8: byte 0xff at offset 3"),
    "UTF-16": ("a: 1".encode("utf-16"), "{file}: is not UTF-8: byte 0xff at offset 0"),
    "not YAML": ("a: 1\nb: c: d\n", "{file}:2: is not YAML: mapping values are not allowed here"),
    "an open bracket": (
        "a: 1\nb: [1\n",
        "{file}:3: is not YAML: while parsing a flow sequence, expected ',' or ']', but got ",
    ),
    "an open quote": (
        "a: 'x\n",
        "{file}:2: is not YAML: while scanning a quoted scalar, found unexpected end of stream",
    ),
    "a tab": (
        "a:\n\tb: 1\n",
        r"{file}:2: is not YAML: while scanning for the next token, found character '\t' that",
    ),
    "two documents": (
        "a: 1\n---\nb: 2\n",
        "{file}:2: is not YAML: expected a single document in the stream, but found another",
    ),
    "an unknown alias": ("a: *b\n", "{file}:1: is not YAML: found undefined alias 'b'"),
    "a control character": (
        "a: 1\nb: \x07\n",
        "{file}:2: is not YAML: the character U+0007 must be written as an escape",
    ),
    "an impossible escape": (
        'a: "\\UFFFFFFFF"\n',
        "{file}: is not YAML: an escape names a character that does not exist",
    ),
    "empty": ("", "{file}:1: expected a mapping of keys to values"),
    "a list": ("- 1\n", "{file}:1: expected a mapping of keys to values"),
    "a text": ("hello\n", "{file}:1: expected a mapping of keys to values"),
    "a key twice": (
        "a: 1\nb: {c: 1,\n  c: 2}\n",
        "{file}:3: b.c: the key stands twice, first in line 2",
    ),
    "a mapping as key": ("a:\n  ? {b: 1}\n  : 2\n", "{file}:2: a: a key must be a plain word"),
    "Python's tag": (
        "a: !!python/object/apply:os.system [ls]\n",
        "{file}:1: a: the tag tag:yaml.org,2002:python/object/apply:os.system is not allowed here",
    ),
    "Python's tag on a text": (
        "a: [1, !!python/name:os.system x]\n",
        "{file}:1: a[1]: the tag tag:yaml.org,2002:python/name:os.system is not allowed here",
    ),
    "a set": ("a: !!set {b}\n", "{file}:1: a: the tag tag:yaml.org,2002:set is not allowed here"),
    "a tag of one's own": ("!mine {a: 1}\n", "{file}:1: the tag !mine is not allowed here"),
    "binary": (
        "a: !!binary aGk=\n",
        "{file}:1: a: the tag tag:yaml.org,2002:binary is not allowed",
    ),
    "a tag that does not fit": (
        "a: !!int abc\n",
        "{file}:1: a: the tag tag:yaml.org,2002:int does not fit 'abc'",
    ),
    "infinity": ("a: 1e999\n", "{file}:1: a: the value is out of range"),
    "a number of 5000 digits": (f"a: {'9' * 5000}\n", "{file}:1: a: the value is out of range"),
    "half a surrogate pair": ('a: "\\ud800"\n', "{file}:1: a: the value is out of range"),
    "half a surrogate pair as key": ('"\\ud800": 1\n', "{file}:1: the value is out of range"),
    "nested": (f"a: {'[' * 90}{']' * 90}\n", "{file}:1: a: the document is nested deeper than 64"),
    "nested without end": (f"a: {'[' * 600}\n", "{file}: is nested too deeply"),
    "an alias of itself": ("a: &a [*a]\n", "{file}:1: a: the document is nested deeper than 64"),
    "a merge of itself": ("a: &a {<<: *a}\n", "{file}: is nested too deeply"),
    "a merge of a list": ("a: {<<: [1]}\n", "{file}:1: a: '<<' expects one mapping"),
    "two merges": (
        "a: &a {b: 1}\nc:\n  <<: *a\n  <<: *a\n",
        "{file}:4: c.<<: the key stands twice, first in line 3",
    ),
    "extends nothing": (
        "a: 1\nextends:\n",
        "{file}:2: extends: expected the path of a file, relative to this",
    ),
    "extends a list": (
        "extends: [a.yaml]\n",
        "{file}:1: extends: expected the path of a file, relative to this",
    ),
    "extends what is not there": (
        "a: 1\nextends: absent.yaml\n",
        "{file}:2: extends: there is no file {folder}/absent.yaml",
    ),
    "extends a folder": ("extends: .\n", "{file}:1: extends: there is no file {folder}"),
    "extends an impossible path": (
        f"extends: {'x' * 5000}\n",
        "{file}:1: extends: there is no file {folder}/xxx",
    ),
    "extends itself": (
        "a: 1\nextends: x.yaml\n",
        "{file}:2: extends: files extend each other: x.yaml -> x.yaml",
    ),
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_file_is_refused_with_its_place(tmp_path: Path, fault: str) -> None:
    """File, line and key are named, and what is wrong there."""
    content, message = MALFORMED[fault]
    file = write(tmp_path, x=content)

    with pytest.raises(
        ConfigError, match="^" + re.escape(message.format(file=file, folder=tmp_path))
    ):
        load_document(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """The message says what the operating system said."""
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read: No such file"):
        load_document(tmp_path / "absent.yaml")


def test_a_large_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is named in bytes."""
    monkeypatch.setattr(document, "MAX_BYTES", 10)
    file = write(tmp_path, x="a: 1234567\n")

    with pytest.raises(ConfigError, match=r"x\.yaml: the file is larger than 10 bytes"):
        load_document(file)


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param("[{0}, {0}, {0}, {0}]", id="sequences"),
        pytest.param("{{a: {0}, b: {0}, c: {0}, d: {0}}}", id="mappings"),
        pytest.param("{{<<: {0}, b{1}: {0}, c{1}: {0}}}", id="merges"),
    ],
)
def test_aliases_cannot_multiply_a_document(
    tmp_path: Path, bomb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few lines that stand for millions of values are refused before they are built."""
    monkeypatch.setattr(document, "MAX_NODES", 1000)
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} " + bomb.format(f"*a{n - 1}", n) for n in range(1, 30)]

    with pytest.raises(ConfigError, match=r":\d+: a\d+.*: the document has more than 1000 values"):
        load_document(write(tmp_path, x="\n".join(lines)))


def test_merge_keys_give_way_to_nearer_ones(tmp_path: Path) -> None:
    """A mapping's own keys win over merged ones, and those over what they merged themselves."""
    text = """\
far: &far {a: far, b: far, c: far}
near: &near {<<: *far, b: near, c: near}
here:
  c: here
  <<: *near
"""

    loaded = load_document(write(tmp_path, x=text))

    assert loaded.value["here"] == {"a": "far", "b": "near", "c": "here"}
    lines = {name: loaded.places["here", name].line for name in "abc"}
    assert lines == {"a": 1, "b": 2, "c": 4}


def test_every_key_knows_its_line(tmp_path: Path) -> None:
    """Keys, list items and the document itself; an unknown key has the line of its parent."""
    text = "# first\na: 1\nb:\n  c: 2\n  d:\n    - 3\n    - e: 4\n      f: 5\n"
    file = write(tmp_path, x=text)

    loaded = load_document(file)

    lines = {dotted(key): place.line for key, place in loaded.places.items()}
    assert lines == {
        "": 2, "a": 2, "b": 3, "b.c": 4, "b.d": 5, "b.d[0]": 6, "b.d[1]": 7, "b.d[1].e": 7,
        "b.d[1].f": 8,
    }  # fmt: skip
    assert str(loaded.problem(("b", "d", 1, "g", 0), "why")) == f"{file}:7: b.d[1].g[0]: why"


@pytest.mark.parametrize(
    ("key", "text"),
    [((), ""), (("a",), "a"), (("cases", 2, "expect"), "cases[2].expect"), ((0, 1), "[0][1]")],
)
def test_a_key_is_written_as_people_write_it(key: Key, text: str) -> None:
    """Dots between names, brackets around numbers."""
    assert dotted(key) == text


def test_extends_merges_deeply(tmp_path: Path) -> None:
    """Mappings merge key by key over several files; lists and scalars are replaced."""
    file = write(
        tmp_path,
        top="extends: middle.yaml\ngates:\n  basic: {required: true}\nlist: [9]\n",
        middle="extends: bottom.yaml\ngates:\n  basic: {min_cases: 2, samples: 5}\nname: middle\n",
        bottom="gates:\n  basic: {min_cases: 1, samples: {min: 3}}\n  slow: {}\nlist: [1, 2]\n",
    )

    loaded = load_document(file)

    assert loaded.value == {
        "gates": {"basic": {"min_cases": 2, "samples": 5, "required": True}, "slow": {}},
        "list": [9],
        "name": "middle",
    }
    assert loaded.file == file


def test_places_point_into_the_file_that_said_it(tmp_path: Path) -> None:
    """After merging, a key's place is that of the file it came from; replaced ones are gone."""
    file = write(
        tmp_path,
        top="extends: base.yaml\n\na:\n  own: 1\nreplaced: text\nlist: [7]\n",
        base="a:\n  kept: 1\nreplaced:\n  gone: 1\nlist: [1, 2]\n",
    )

    places = load_document(file).places

    base = tmp_path / "base.yaml"
    assert {dotted(key): place for key, place in places.items()} == {
        "": Place(file, 1),
        "extends": Place(file, 1),
        "a": Place(file, 3),
        "a.own": Place(file, 4),
        "a.kept": Place(base, 2),
        "replaced": Place(file, 5),
        "list": Place(file, 6),
        "list[0]": Place(file, 6),
    }


def test_extends_is_relative_to_the_file_it_stands_in(tmp_path: Path) -> None:
    """A base in another folder names its own base from there."""
    (tmp_path / "shared").mkdir()
    write(tmp_path / "shared", base="extends: root.yaml\n", root="a: 1\n")

    assert load_document(write(tmp_path, x="extends: shared/base.yaml\n")).value == {"a": 1}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param(
            {"a": "extends: b.yaml\n", "b": "x: 1\nextends: a.yaml\n"},
            r"/b\.yaml:2: extends: files extend each other: a\.yaml -> b\.yaml -> a\.yaml$",
            id="two",
        ),
        pytest.param(
            {"a": "extends: b.yaml", "b": "extends: c.yaml", "c": "\n\nextends: ../{}/b.yaml"},
            r"/c\.yaml:3: extends: files extend each other: "
            r"a\.yaml -> b\.yaml -> c\.yaml -> b\.yaml$",
            id="three, by another name",
        ),
    ],
)
def test_files_that_extend_each_other_are_refused(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    """The circle is named in full, at the line that closes it."""
    file = write(tmp_path, **{name: text.format(tmp_path.name) for name, text in files.items()})

    with pytest.raises(ConfigError, match=message):
        load_document(file)


def test_a_fault_in_a_base_names_the_base(tmp_path: Path) -> None:
    """The line is that of the file that is wrong, not of the one that extends it."""
    file = write(tmp_path, top="extends: base.yaml\n", base="a: 1\na: 2\n")

    with pytest.raises(ConfigError, match=r"/base\.yaml:2: a: the key stands twice"):
        load_document(file)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda f: f == 0 or abs(f) > 1e-300)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abcé.:", min_size=1, max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(value=st.dictionaries(st.sampled_from(["a", "b", "c d"]), JSON, max_size=3))
def test_what_a_dumper_writes_is_read_back(tmp_path: Path, value: dict[str, Any]) -> None:
    """Any JSON value survives YAML, whichever way PyYAML chooses to quote it."""
    text = yaml.safe_dump(value, allow_unicode=True)

    assert load_document(write(tmp_path, x=text)).value == value


@given(text=st.text("ab:{}[]&*<>!|-#'\" \n\t%@,?~\\0$", max_size=40) | st.binary(max_size=20))
def test_any_bytes_are_read_or_refused(tmp_path: Path, text: str | bytes) -> None:
    """Whatever stands in a file, nothing but a ConfigError comes of it."""
    file = write(tmp_path, x=text)

    def outcome() -> object:
        try:
            return load_document(file).value
        except ConfigError as error:
            return str(error)

    read = outcome()
    assert isinstance(read, dict) or str(read).startswith(str(tmp_path))
