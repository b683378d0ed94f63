"""Another product with other tables uses the same gate: all that is its own is in YAML files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from pytest_release.config.casebook import load_casebook
from tests.data.row_count.conftest import NORTHWIND, Shop, lines_of


def run(shop: Shop, folder: Path) -> tuple[int, str, dict[str, str]]:
    """A real run over all customers: its exit status, what it printed, each gate's verdict."""
    if not (folder / "fixtures").exists():
        shutil.copytree(NORTHWIND, folder / "fixtures")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "row_count"]
    ended = subprocess.run(
        [*command, "--pyargs", "pytest_release.suites", "--env", "northwind", "--uuid", "all"],
        cwd=folder,
        env={
            **os.environ,
            "NORTHWIND_DSN": shop.dsn,
            "NORTHWIND_PACKAGES": str(shop.folder),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    evidence = folder / "reports" / "latest" / "evidence.json"
    gates = json.loads(evidence.read_text())["gates"] if evidence.exists() else []
    verdicts = {gate["gate"]: gate["verdict"] for gate in gates}
    return ended.returncode, ended.stdout + ended.stderr, verdicts


def test_three_files_describe_a_product() -> None:
    """Its tables, its cases, and where it runs."""
    book = load_casebook(NORTHWIND, "northwind", {})

    assert [case.table for case in book.looks] == ["customers", "orders", "order_details"]


def test_a_run_over_another_product(empty_shop: Shop, tmp_path: Path) -> None:
    """It passes; then one row goes, and the run fails with that row's key."""
    folder = tmp_path / "project"
    folder.mkdir()
    for number, customer in enumerate(("ALFKI", "BLONP")):
        lines = lines_of(customer, 12, 10_000 + 100 * number)
        empty_shop.pack(customer, lines)
        empty_shop.deploy(lines)

    status, printed, verdicts = run(empty_shop, folder)
    empty_shop.execute("DELETE FROM sales.order_details WHERE order_id = 10101 AND product_id = 2")
    failed, report, after = run(empty_shop, folder)

    assert (status, verdicts) == (0, {"row_count": "PASSED"}), printed
    assert "6 passed" in printed
    assert (failed, after) == (1, {"row_count": "FAILED"}), report
    assert "1 failed, 5 passed" in report
    assert "1 row differs: order_id 10101, product_id 2: missing" in report
