"""Tests of `pytest_release.targets.app_config`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_release.errors import TargetError
from pytest_release.targets import app_config
from pytest_release.targets.app_config import Configuration

FILES = {
    "odoo.conf": "[options]\ndb_host = db\nDb_Name = shop\nworkers = 4\nnothing\nempty =\n",
    "app.ini": "[options]\ndb_host: db\ndb_host: db\n[options]\nworkers=4\nempty=\n",
    "app.yaml": "options: {db_host: db, workers: 4, empty: ''}\n",
    "app.json": '{"options": {"db_host": "db", "workers": 4, "empty": ""}}',
    "app.toml": '[options]\ndb_host = "db"\nworkers = 4\nempty = ""\n',
    ".env": "options.db_host=db\noptions.workers=4\noptions.empty=\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_value_in_each_form(tmp_path: Path, name: str) -> None:
    """As text, whatever its type; one that is missing is None."""
    (tmp_path / name).write_text(FILES[name])
    found = Configuration(tmp_path / name)

    keys = ("options.db_host", "options.workers", "options.empty", "options.none", "other.x")
    assert [found.value(key) for key in keys] == ["db", "4", "", None, None]
    assert ("options.db_host", "db") in list(found.values())


def test_names_are_as_written(tmp_path: Path) -> None:
    """Of an INI file, too; a name without a value has none."""
    (tmp_path / "odoo.conf").write_text(FILES["odoo.conf"])
    found = Configuration(tmp_path / "odoo.conf")

    assert found.value("options.Db_Name") == "shop"
    assert found.value("options.db_name") is None
    assert found.value("options.nothing") is None
    assert dict(found.values())["options.nothing"] == ""


def test_types_and_names_with_dots(tmp_path: Path) -> None:
    """A truth value is written as files write it; a mapping is no value."""
    (tmp_path / "app.yaml").write_text("a.b: {c.d: true, e: null}\nlist: [1, {x: y}]\n")
    found = Configuration(tmp_path / "app.yaml")

    assert found.value("a.b.c.d") == "true"
    assert found.value("a.b.e") is None
    assert found.value("a.b") is None
    assert dict(found.values()) == {"a.b.c.d": "true", "a.b.e": "", "list.0": "1", "list.1.x": "y"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.conf", "password s3cr3t\n", "a.conf:1 is no INI file"),
        ("a.yaml", "a: [s3cr3t\nb: {\n", "a.yaml:2 is no YAML"),
        ("a.yaml", "!!python/object:os.system s3cr3t\n", "a.yaml:1 is no YAML"),
        ("a.json", '{"a": s3cr3t}', "a.json:1 is no JSON"),
        ("a.json", "[" * 100_000, "a.json is no JSON"),
        ("a.toml", "a = s3cr3t\n", "a.toml is no TOML"),
        (".env", "s3cr3t\n", ".env:1 is no setting: expected NAME=value"),
    ],
)
def test_a_file_in_no_form(tmp_path: Path, name: str, text: str, message: str) -> None:
    """Is named with its line, and nothing of it is repeated."""
    (tmp_path / name).write_text(text)

    with pytest.raises(TargetError, match=f"{re.escape(message)}$"):
        Configuration(tmp_path / name)


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or is too large."""
    with pytest.raises(TargetError, match=r"a\.json cannot be read: No such file"):
        Configuration(tmp_path / "a.json")
    monkeypatch.setattr(app_config, "LARGEST", 10)
    (tmp_path / "a.json").write_text(" " * 11)
    with pytest.raises(TargetError, match=r"a\.json is larger than 10 bytes"):
        Configuration(tmp_path / "a.json")


def test_what_grows_when_it_is_read_has_an_end(tmp_path: Path) -> None:
    """Aliases in YAML repeat a value a billion times."""
    lists = "\n".join(
        f"x{n}: &x{n} [{', '.join(f'*x{n - 1}' for _ in range(9))}]" for n in range(1, 12)
    )
    (tmp_path / "a.yaml").write_text(f"x0: &x0 [a, b]\n{lists}\n")

    assert len(list(Configuration(tmp_path / "a.yaml").values())) < app_config.MOST


def test_no_mapping_has_no_values(tmp_path: Path) -> None:
    """An empty file, and one that is a list."""
    (tmp_path / "a.yaml").write_text("")
    (tmp_path / "a.json").write_text("[1]")

    assert Configuration(tmp_path / "a.yaml").value("a") is None
    assert Configuration(tmp_path / "a.json").value("0") is None
