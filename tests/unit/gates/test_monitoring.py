"""The monitoring gate's parts that need no Prometheus."""

from __future__ import annotations

import gzip
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_release.config.cases import CheckCase
from pytest_release.config.environment import Environment, GatePolicy
from pytest_release.errors import ConfigError, TargetError
from pytest_release.evidence import Evidence, Severity
from pytest_release.gates import _monitoring_dumps, monitoring
from pytest_release.gates._monitoring_restore import _restricted
from pytest_release.gates._monitoring_watch import metrics_in, some
from pytest_release.gates._scene import Scene
from pytest_release.redaction import Redactor
from pytest_release.targets.http import HttpTarget

WHOLE = (
    "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE public.a (i int);\n"
    "COPY public.a FROM stdin;\n1\n\\.\n\n--\n-- PostgreSQL database dump complete\n--\n\n"
)


def scene(folder: Path, **settings: Any) -> Scene:  # noqa: ANN401 - fields of an environment
    """An environment whose backups lie there."""
    services = {"backups": {"directory": str(folder)}, **settings.pop("services", {})}
    fields = {"role": "development", "redactor": Redactor(), **settings}
    environment = Environment(
        name="here",
        system="none",
        base_url="http://127.0.0.1:9",
        digest="",
        gates={},
        source=Path("here.yaml"),
        services=services,
        **fields,
    )
    return Scene(environment, HttpTarget(environment))


def case(check: str, options: dict[str, Any], **expect: Any) -> CheckCase:  # noqa: ANN401 - YAML
    """A case of the gate."""
    return CheckCase(
        id="monitoring/x",
        gate="monitoring",
        name="x",
        file=Path("x.yaml"),
        line=3,
        expect=expect,
        check=check,
        options=options,
    )


def backup(folder: Path, name: str, content: bytes, age: timedelta = timedelta()) -> Path:
    """A backup with one file."""
    own = folder / (datetime.now(UTC) - age).strftime("%Y%m%d_%H%M%S")
    own.mkdir(parents=True)
    (own / name).write_bytes(content)
    return own


def codes(evidence: Evidence) -> list[str]:
    """Of its findings, without the gate."""
    return [finding.code.removeprefix("monitoring.") for finding in evidence.findings]


def dumped(folder: Path, content: bytes) -> Evidence:
    """What is found in a dump."""
    backup(folder, "x.sql.gz", content)
    return monitoring.measure(
        case("dump", {"dump": "*.sql.gz"}, tables=["a"]), GatePolicy(), scene(folder)
    )


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("up", {"up"}),
        (
            'sum by (job) (rate(a_total{code=~"5..", x="up"}[5m])) / on (b) c:d > 0.05',
            {"a_total", "c:d"},
        ),
        ("a and b or c unless d", {"a", "b", "c", "d"}),
        ("time() - last_seconds offset 1h > 3600", {"last_seconds"}),
        ("absent(gone{a='b'}) or absent_over_time(gone[5m])", set()),
        ("x * on (a, b) group_left (c) y", {"x", "y"}),
        ("x * on (a) group_left y", {"x", "y"}),
        ("vector(1) # no_metric", set()),
        ('label_replace(up, "dst", "$1", "src", "(.*)")', {"up"}),
        ("histogram_quantile(0.95, sum(rate(h_bucket[5m])) by (le)) > bool Inf", {"h_bucket"}),
    ],
)
def test_the_metrics_of_an_expression(expression: str, names: set[str]) -> None:
    """Are its names but for functions, words, labels, texts, and what may be absent."""
    assert metrics_in(expression) == names


def test_many_names() -> None:
    """Are cut."""
    assert some([]) == "none"
    assert some(map(str, range(13))).endswith("9 and 3 more")
    assert some(["x" * 300]) == "x" * 200 + "..."


def test_an_option_that_is_missing(tmp_path: Path) -> None:
    """Is said with file, line and key."""
    message = r"x.yaml:3: options.alert: the check provoked cannot do without it"
    with pytest.raises(ConfigError, match=message):
        monitoring.measure(case("provoked", {}), GatePolicy(), scene(tmp_path))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (gzip.compress(WHOLE.encode(), mtime=0), []),
        (WHOLE.encode(), []),
        (gzip.compress(WHOLE.encode() + b"\\unrestrict abc\n\n", mtime=0), []),
        (gzip.compress(WHOLE[:-40].encode(), mtime=0), ["dump-incomplete"]),
        (gzip.compress(WHOLE.encode() + b"DROP TABLE a;\n", mtime=0), ["dump-incomplete"]),
        (gzip.compress(WHOLE.encode(), mtime=0)[:-9], ["dump-unreadable"]),
        (gzip.compress(b"", mtime=0), ["dump-unreadable"]),
        (b"", ["dump-unreadable"]),
        (b"pg_dump: error", ["dump-unreadable"]),
        (
            gzip.compress(WHOLE.replace("TABLE public.a", "TABLE other.a").encode(), mtime=0),
            ["dump-lacks-table"],
        ),
    ],
)
def test_a_script(tmp_path: Path, content: bytes, found: list[str]) -> None:
    """Is whole only when it can be unpacked to where pg_dump says so."""
    assert codes(dumped(tmp_path, content)) == found


def test_a_script_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is given up."""
    monkeypatch.setattr(_monitoring_dumps, "READING_S", -1)
    evidence = dumped(tmp_path, gzip.compress(WHOLE.encode(), mtime=0))

    assert "was not read within -1 s" in evidence.findings[0].message


def test_a_script_for_psql(tmp_path: Path) -> None:
    r"""Begins with a \restrict of ours and loses its own pair, but no line of its data."""
    file = tmp_path / "x.sql"
    own = b"\\restrict abc\nCOPY a FROM stdin;\n\\restrict x\n\\unrestrict y\n\\.\n"
    file.write_bytes(own + b"\\unrestrict abc\n")

    lines = b"".join(_restricted(file)).splitlines()

    assert lines[0].startswith(b"\\restrict ")
    assert lines[0] != b"\\restrict abc"
    assert lines[1:] == [b"COPY a FROM stdin;", b"\\restrict x", b"\\unrestrict y", b"\\."]


def test_no_folder(tmp_path: Path) -> None:
    """Is said, whether none is named, or it is not there."""
    nowhere = scene(tmp_path, services={"backups": {}})
    with pytest.raises(
        TargetError, match=r"here.yaml names no folder of backups: add services.backups"
    ):
        monitoring.measure(case("backups", {"files": ["x"]}), GatePolicy(), nowhere)
    gone = scene(tmp_path / "nothing")
    with pytest.raises(TargetError, match="nothing cannot be read: No such file"):
        monitoring.measure(case("backups", {"files": ["x"]}), GatePolicy(), gone)


def test_too_many_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Are not looked at."""
    monkeypatch.setattr("pytest_release.gates._monitoring_backups.MOST_FOLDERS", 0)
    backup(tmp_path, "x", b"x")
    with pytest.raises(TargetError, match="holds more than 0 folders"):
        monitoring.measure(case("backups", {"files": ["x"]}), GatePolicy(), scene(tmp_path))


def test_no_dump(tmp_path: Path) -> None:
    """Is no dump of another backup."""
    with pytest.raises(TargetError, match=r"holds no backup: expected folders named %Y%m%d_%H%M%S"):
        monitoring.measure(case("dump", {"dump": "*.sql"}), GatePolicy(), scene(tmp_path))
    backup(tmp_path, "x.sql", b"x", timedelta(days=1))
    backup(tmp_path, "y.txt", b"x")
    with pytest.raises(TargetError, match=r"has no dump: expected a file \*.sql"):
        monitoring.measure(case("dump", {"dump": "*.sql"}), GatePolicy(), scene(tmp_path))


def test_backups_that_lack_a_file(tmp_path: Path) -> None:
    """Are not counted, though they are there."""
    for days in range(3):
        backup(tmp_path, "x" if days else "y", b"x", timedelta(days=days))
    evidence = monitoring.measure(
        case("backups", {"files": [["x", "y"]]}, keep=3), GatePolicy(), scene(tmp_path)
    )
    assert codes(evidence) == []
    evidence = monitoring.measure(
        case("backups", {"files": ["x"]}, keep=3), GatePolicy(), scene(tmp_path)
    )
    assert codes(evidence) == ["too-few-backups", "backup-incomplete"]
    assert "holds 3 backups, 1 of them not whole, 3 were expected" in evidence.findings[0].message


@pytest.mark.parametrize(
    ("line", "placeholder"),
    [
        ("PASSWORD=***", True),
        ('PASSWORD="***REDACTED***"', True),
        ("export PASSWORD=changeme", True),
        ("PASSWORD=<your password>", True),
        ("PASSWORD=a***b", False),
        ("# PASSWORD=***", False),
        ("PASSWORD=", False),
    ],
)
def test_placeholders(tmp_path: Path, line: str, placeholder: bool) -> None:
    """Are values that no settings have; the value itself is not told."""
    backup(tmp_path, ".env", f"A=b\n{line}\n".encode())
    evidence = monitoring.measure(
        case("backups", {"files": [".env"]}, keep=1), GatePolicy(), scene(tmp_path)
    )
    assert codes(evidence) == (["backup-placeholder"] if placeholder else [])


def test_production_is_not_provoked(tmp_path: Path) -> None:
    """Unless its policy says so; that it was not is a warning."""
    production = scene(tmp_path, role="production")
    provoked = case("provoked", {"alert": "Canary", "metric": "canary"})

    evidence = monitoring.measure(provoked, GatePolicy(), production)

    assert [f.severity for f in evidence.findings] == [Severity.WARNING]
    assert "gates.monitoring.provoke: true in here.yaml" in evidence.findings[0].message
    with pytest.raises(TargetError, match=r"services.prometheus.pushgateway: expected the address"):
        monitoring.measure(provoked, GatePolicy(options={"provoke": True}), production)


def test_patience_with_one_who_does_not_answer(tmp_path: Path) -> None:
    """Ends with what it said last."""
    patient = replace(case("prometheus", {}), expect={"patience_s": 0.3})
    with pytest.raises(TargetError, match=r"services.prometheus.url: expected http://host:9090"):
        monitoring.measure(patient, GatePolicy(), scene(tmp_path))
