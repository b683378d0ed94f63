"""The files that README and quickstart show are read as their readers would write them."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from pytest_release.config.casebook import load_casebook
from pytest_release.config.environments import load_environment

ROOT = Path(__file__).parents[2]
FILE = re.compile(r"    # (fixtures/\S+\.yaml)\n((?:(?!    # fixtures/)(?:    .*)?\n)+)")


@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_the_files_of_a_page_are_valid(page: str, tmp_path: Path) -> None:
    """Its environment loads, and so does every case of the environment's system."""
    for name, text in FILE.findall((ROOT / page).read_text()):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
    variables = {"SHOP_URL": "https://shop.example", "SHOP_TOKEN": "sesame-0451"}

    environment = load_environment(tmp_path / "fixtures", "staging", variables)
    casebook = load_casebook(tmp_path / "fixtures", environment.system, variables)

    assert environment.base_url == "https://shop.example"
    assert [case.gate for case in casebook.cases][:1] == ["basic"]
