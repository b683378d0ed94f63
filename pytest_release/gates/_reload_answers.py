"""What the answers of a hot reload must say. Pure: a JSON value in, findings out.

- ``success: true`` at the top is needed and never enough: what stands beside it is read as well.
- What is missing, empty or of another kind is a finding; nothing is taken for granted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from pytest_release.evidence import Finding
from pytest_release.gates._answer import cut, kind

ORDER = ("config", "rules", "content", "source", "singleton", "microservice", "cache")
CHECKS = ("payment_clients", "grpc_endpoints", "mysql", "redis", "worker_sync")
NAMED = 10  # of many that a message names
_ABSENT = object()

Value = Mapping[str, Any]


def wrong(code: str, message: str, expected: str = "", received: str = "") -> Finding:
    """A failure."""
    return Finding(code, message, expected=expected, received=received)


def check_success(value: Value) -> Iterator[Finding]:
    """``success`` at the top is true, and nothing else will do."""
    received = value.get("success", _ABSENT)
    if received is not True:
        what = "there is no 'success'" if received is _ABSENT else f"'success' is {shown(received)}"
        message = f"{what} at the top, true was expected"
        yield wrong("hot_reload.refused", message, expected="true", received=shown(value))


def check_reloaded(value: Value, order: Sequence[str]) -> Iterator[Finding]:
    """An answer of reload-all: every module reloaded, in this order, none failed."""
    yield from check_success(value)
    failed = value.get("failed_modules")
    if failed:
        message = f"failed_modules names {shown(failed)}, none was expected"
        yield wrong("hot_reload.failed-modules", message, expected="none", received=shown(failed))
    reloaded = value.get("reloaded_modules")
    if not _texts(reloaded):
        message = f"reloaded_modules is {kind(reloaded)}, a list of names was expected"
        yield wrong("hot_reload.malformed", message, received=shown(reloaded))
        return
    yield from _check_order(reloaded, order)


def _check_order(reloaded: Sequence[str], order: Sequence[str]) -> Iterator[Finding]:
    wanted, got = ", ".join(order), cut(", ".join(reloaded))
    for module in order:
        if (times := reloaded.count(module)) != 1:
            word = "was not reloaded" if not times else f"was reloaded {times} times"
            yield wrong("hot_reload.module-missing", f"{module} {word}", wanted, got)
    known = [module for module in reloaded if module in order]
    for place, module in enumerate(known):
        early = [n for n in known[place:] if order.index(n) < order.index(module)]
        if early:
            message = f"{module} was reloaded before {', '.join(early)}, and must come after"
            yield wrong("hot_reload.order", message, wanted, got)


def check_verified(value: Value, names: Collection[str]) -> Iterator[Finding]:
    """An answer of verify: every check ok, whatever ``success`` says, and none left out."""
    yield from check_success(value)
    checks = value.get("checks")
    if not isinstance(checks, dict) or not checks:
        message = f"checks is {kind(checks)}, an object with the result of each was expected"
        yield wrong("hot_reload.malformed", message, received=shown(checks))
        return
    missing = [name for name in names if name not in checks]
    if missing:
        message = f"{', '.join(missing)} was not checked"
        got = cut(", ".join(map(str, checks)))
        yield wrong("hot_reload.check-missing", message, ", ".join(names), got)
    for name, result in list(checks.items())[:NAMED]:
        ok = result.get("ok") if isinstance(result, dict) else None
        if ok is not True:
            detail = shown(result.get("detail")) if isinstance(result, dict) else shown(result)
            message = f"the check {cut(name)} is not ok: {detail}"
            yield wrong("hot_reload.check", message, expected="ok: true", received=shown(result))


def check_registered(value: Value, least: int, required: Collection[str]) -> Iterator[Finding]:
    """An answer of reload-endpoints: enough, no fewer than before, each once, none missing."""
    if "success" in value:
        yield from check_success(value)
    endpoints, old, new = (value.get(key) for key in ("endpoints", "old_count", "new_count"))
    if not _texts(endpoints) or not _count(old) or not _count(new):
        message = "old_count, new_count and endpoints were expected: two numbers and a list"
        yield wrong("hot_reload.malformed", message, received=shown(value))
        return
    different = len(set(endpoints))
    if new != different:
        message = f"new_count is {new}, and {different} different endpoints are named"
        yield wrong("hot_reload.endpoint-count", message, str(new), str(different))
    if min(new, different) < least:
        message = f"{min(new, different)} endpoints are registered, at least {least} were expected"
        yield wrong("hot_reload.endpoints", message, str(least), str(min(new, different)))
    if new < old:
        message = f"{old - new} of {old} endpoints were lost by the reload"
        yield wrong("hot_reload.endpoint-lost", message, expected=str(old), received=str(new))
    if missing := [name for name in required if name not in endpoints]:
        message = f"not registered: {', '.join(missing[:NAMED])}"
        got = cut(", ".join(endpoints))
        yield wrong("hot_reload.endpoint-missing", message, expected=missing[0], received=got)


def check_called(value: Value, name: str) -> Iterator[Finding]:
    """An answer of an endpoint that was called: whatever it is, the gateway knows the endpoint."""
    if "unsupported endpoint" in json.dumps(value, ensure_ascii=False).lower():
        message = f"{name} is not supported: {shown(value)}"
        yield wrong("hot_reload.unsupported", message, received=shown(value))
    elif not value:
        yield wrong("hot_reload.empty-answer", f"{name} answers with an empty object")
    elif value.get("success", True) is not True:
        message = f"{name} answers with 'success' {shown(value['success'])}"
        yield wrong("hot_reload.call-failed", message, expected="true", received=shown(value))


def check_versions(value: Value, modules: Collection[str]) -> Iterator[Finding]:
    """An answer of versions: of every module, what runs is what is on disk."""
    yield from check_success(value)
    versions = value.get("versions")
    if not isinstance(versions, dict) or not versions:
        message = f"versions is {kind(versions)}, an object with those of each was expected"
        yield wrong("hot_reload.malformed", message, received=shown(versions))
        return
    for name in modules:
        if name not in versions:
            yield wrong("hot_reload.version-missing", f"there is no version of {name}", name)
    who = f" in worker {shown(value['worker_id'])}" if "worker_id" in value else ""
    for name, version in list(versions.items())[:NAMED]:
        if not isinstance(version, dict) or not {"current", "cached"} <= version.keys():
            message = f"the version of {cut(name)} is {kind(version)}, current and cached expected"
            yield wrong("hot_reload.malformed", message, received=shown(version))
        elif version["current"] != version["cached"] or version.get("changed", False) is not False:
            disk, runs = shown(version["current"]), shown(version["cached"])
            message = f"{cut(name)} runs {runs}{who}, and {disk} is on disk"
            yield wrong("hot_reload.old-code", message, expected=disk, received=runs)


def running_versions(value: Value) -> dict[str, str]:
    """What runs, by module, in an answer of versions; nothing where it is malformed."""
    versions = value.get("versions")
    if not isinstance(versions, dict):
        return {}
    return {
        cut(name): shown(version["cached"])
        for name, version in versions.items()
        if isinstance(version, dict) and "cached" in version
    }


def check_history(value: Value, least: int) -> Iterator[Finding]:
    """An answer of history: so many reloads at least, none of them with a failed module."""
    yield from check_success(value)
    entries = value.get("history")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        message = f"history is {kind(entries)}, a list of reloads was expected"
        yield wrong("hot_reload.malformed", message, received=shown(entries))
        return
    if len(entries) < least:
        message = f"the history has {len(entries)} reloads, at least {least} were expected"
        yield wrong("hot_reload.history", message, str(least), str(len(entries)))
    for entry in entries[-least:] if least else []:
        if entry.get("failed_count") != 0:
            message = f"a reload is recorded with failed_count {shown(entry.get('failed_count'))}"
            yield wrong("hot_reload.history", message, expected="0", received=shown(entry))


def shown(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """A JSON value as a bounded text."""
    return cut(json.dumps(value, ensure_ascii=False))


def _texts(value: Any) -> TypeGuard[list[str]]:  # noqa: ANN401 - any JSON value
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def _count(value: Any) -> TypeGuard[int]:  # noqa: ANN401 - any JSON value
    return isinstance(value, int) and not isinstance(value, bool)
