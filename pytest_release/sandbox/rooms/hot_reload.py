"""Hot reload of the sandbox: its workers really import their code anew, each when it gets to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from pytest_release.sandbox.answers import Answer, json_answer
from pytest_release.sandbox.changes import (
    HOSTILE,
    body,
    late,
    members,
    raw,
    refusal,
)
from pytest_release.sandbox.endpoint import V1, Endpoint, Setting
from pytest_release.sandbox.fault import Fault
from pytest_release.sandbox.requests import Refused, Request, accept
from pytest_release.sandbox.room import Part, Room
from pytest_release.sandbox.rooms._reloading import LOOKS_S, Disk, Reloader

GROUP = "hot_reload"
PREFIX = f"{V1}/hot-reload"
LEAST_ENDPOINTS = 20
SLOW_S = 1.5  # of an answer while a slow worker reloads
SILENT_S = 30.0  # of one that nobody waits for

_workers: list[Reloader] = []  # of this process: none, or the one it is
_numbers = count(100_000)


def begin(setting: Setting) -> None:
    """Load this worker's code, and look for signals; not where the part does not run."""
    if GROUP in setting.parts:
        worker = Reloader(setting)
        worker.follow()
        _workers[:] = [worker]


def running() -> Reloader | None:
    """This worker, where its code is in a tree."""
    return next((worker for worker in _workers if worker.commit is not None), None)


def _upset(_number: int) -> bool:
    """This worker has just begun to reload."""
    return any(worker.upset for worker in _workers)


def _as_worker(
    say: Callable[[Reloader, Setting], Mapping[str, Any]],
) -> Callable[[Request, Setting], Answer]:
    def answer(request: Request, setting: Setting) -> Answer:
        if not _workers:
            raise Refused(404, f"there is no {request.path}")
        return json_answer(say(_workers[0], setting))

    return answer


def _reload_all(worker: Reloader, setting: Setting) -> Mapping[str, Any]:
    reloaded = list(worker.reload_all())
    if "hot_reload.module-missing" in setting.faults:
        reloaded.remove("cache")
    failed = worker.failed
    reloaded = [module for module in reloaded if module not in failed]
    return {
        "success": not failed,
        "message": f"重载完成: {len(reloaded)} 成功, {len(failed)} 失败",
        "reloaded_modules": reloaded,
        "failed_modules": failed or None,
    }


def _verify(worker: Reloader, setting: Setting) -> Mapping[str, Any]:
    registered = len(worker.endpoints)
    checks = {
        "payment_clients": _checked(worker.clients_fit, "clients of the code that runs"),
        "grpc_endpoints": _checked(registered >= LEAST_ENDPOINTS, f"{registered} registered"),
        "mysql": _checked(True, "stand-in: no database"),
        "redis": _checked(True, "stand-in: no cache"),
        "worker_sync": _checked(worker.running, f"signal {worker.version}"),
    }
    if "hot_reload.check-not-ok" in setting.faults:  # and success is true all the same
        checks["payment_clients"] = _checked(False, "stripe: client is closed")
        return {"success": True, "checks": checks}
    if "hot_reload.check-missing" in setting.faults:
        del checks["payment_clients"]
    return {"success": all(check["ok"] for check in checks.values()), "checks": checks}


def _checked(ok: bool, detail: str) -> dict[str, Any]:
    return {"ok": ok, "detail": detail}


def _worker_sync(worker: Reloader, setting: Setting) -> Mapping[str, Any]:
    name = worker.id
    if "hot_reload.hidden-worker" in setting.faults:
        name = "1"
    elif "hot_reload.endless-workers" in setting.faults:
        name = f"{name}-{next(_numbers)}"
    status = {
        "worker_id": name,
        "running": worker.running,
        "check_interval": LOOKS_S,
        "last_signal_version": worker.version,
        "last_reload_success": worker.success,
    }
    return {"success": True, "status": status}


def _reload_endpoints(worker: Reloader, _setting: Setting) -> Mapping[str, Any]:
    old = len(worker.endpoints)
    worker.register()
    return {
        "success": True,
        "old_count": old,
        "new_count": len(worker.endpoints),
        "endpoints": worker.endpoints,
    }


def _history(_worker: Reloader, setting: Setting) -> Mapping[str, Any]:
    with setting.state.edit() as state:
        history = state.get("reload_history", [])
    return {"success": True, "count": len(history), "history": history}


def _versions(worker: Reloader, _setting: Setting) -> Mapping[str, Any]:
    return {"success": True, "worker_id": worker.id, "versions": worker.versions}


def _status(worker: Reloader, _setting: Setting) -> Mapping[str, Any]:
    status = {"running": worker.running, "interval": LOOKS_S, "versions": worker.versions}
    return {"success": True, "status": status}


def _check(worker: Reloader, _setting: Setting) -> Mapping[str, Any]:
    changed = worker.look()
    return {
        "success": True,
        "message": "热更新检查完成",
        "reloaded_modules": ["source"] if changed else None,
        "failed_modules": None,
    }


def _endpoint(
    method: str, name: str, say: Callable[[Reloader, Setting], Mapping[str, Any]]
) -> Endpoint:
    return Endpoint(method, f"{PREFIX}/{name}", GROUP, accept, _as_worker(say), waits=True)


_HTML = b"<!doctype html><title>502 Bad Gateway</title>"
_ELSEWHERE = b'{"success": false, "data": {"success": true}, "message": "\\"success\\": true"}'
_UNSUPPORTED = b'{"success": false, "message": "Unsupported endpoint: /bazi/rizhu-liujiazi"}'
_CALLED = "/bazi/rizhu-liujiazi"
_STATUS = "/payment/providers"


def _fault(name: str, finding: str, description: str, **options: Any) -> Fault:  # noqa: ANN401
    return Fault(f"{GROUP}.{name}", f"{GROUP}.{finding}", description, **options)


_ANSWERS = (
    _fault(
        "merely-connects",
        "status",
        "reload-all is answered 502 by a proxy, which took the connection",
        change=refusal(502, "bad gateway"),
        path="/reload-all",
    ),
    _fault(
        "web-page",
        "not-json",
        "reload-all is answered 200 with a web page",
        change=body(_HTML),
        path="/reload-all",
    ),
    _fault(
        "empty-reload",
        "empty-answer",
        "reload-all is answered 200 with nothing",
        change=body(b""),
        path="/reload-all",
    ),
    _fault(
        "silent-reload",
        "no-answer",
        f"reload-all is answered after {SILENT_S:g} s",
        change=late(SILENT_S),
        path="/reload-all",
    ),
    _fault(
        "success-elsewhere",
        "refused",
        'success is false, and "success": true stands elsewhere in the answer',
        change=body(_ELSEWHERE),
        path="/reload-all",
    ),
    _fault(
        "hostile-reload",
        "failed-modules",
        "a module of HTML, script, ANSI and control characters failed",
        change=members(failed_modules=[HOSTILE]),
        path="/reload-all",
    ),
    _fault(
        "failed-module",
        "failed-modules",
        "success is true, and the module singleton failed",
        change=members(failed_modules=["singleton"]),
        path="/reload-all",
    ),
    _fault(
        "malformed-sync",
        "malformed",
        "worker-sync does not say which worker answers",
        change=members(status={"running": True}),
        path="/worker-sync",
    ),
    _fault(
        "version-missing",
        "version-missing",
        "versions knows nothing of the source",
        change=members(versions={"rules": {"current": 1, "cached": 1, "changed": False}}),
        path="/versions",
    ),
    _fault(
        "endpoints-unnamed",
        "endpoint-count",
        "22 endpoints are counted and none is named",
        change=members(old_count=22, new_count=22, endpoints=[]),
        path="/reload-endpoints",
    ),
    _fault(
        "not-recorded",
        "history",
        "the history knows of no reload",
        change=members(history=[]),
        path="/history",
    ),
    _fault(
        "unsupported-endpoint",
        "unsupported",
        "an endpoint answers that it is unsupported",
        change=body(_UNSUPPORTED),
        group="basic",
        path=_CALLED,
    ),
    _fault(
        "empty-endpoint",
        "empty-answer",
        "an endpoint answers 200 with nothing",
        change=body(b""),
        group="basic",
        path=_CALLED,
    ),
    _fault(
        "silent-endpoint",
        "no-answer",
        f"an endpoint answers after {SILENT_S:g} s",
        change=late(SILENT_S),
        group="basic",
        path=_CALLED,
    ),
)
_INTERRUPTIONS = (
    _fault(
        "payments-updating",
        "interrupted",
        "payments answer 503, updating, while a worker reloads",
        change=refusal(503, "updating"),
        when=_upset,
        group="payment",
        path=_STATUS,
    ),
    _fault(
        "drops-connections",
        "interrupted",
        "connections are closed without an answer while a worker reloads",
        change=raw(),
        when=_upset,
        group="basic",
    ),
    _fault(
        "slow-window",
        "slow",
        f"answers take {SLOW_S} s while a worker reloads",
        change=late(SLOW_S),
        when=_upset,
        group="basic",
    ),
    _fault(
        "broken-before",
        "failed-before",
        "payments answer 503, reload or not",
        change=refusal(503, "updating"),
        group="payment",
        path=_STATUS,
    ),
)
_WORKERS = (
    _fault("no-effect", "not-new", "reload-all says that all went well, and does nothing"),
    _fault("stale-worker", "stale-worker", "only the worker that answers reload-all reloads"),
    _fault("old-code", "old-code", "workers follow the signal, and keep their code"),
    _fault("reload-failed", "reload-failed", "the reload fails in workers that follow a signal"),
    _fault("not-running", "not-running", "workers stop to look for signals after the first"),
    _fault("restarts", "restarted", "a worker is another one after a reload"),
    _fault("hidden-worker", "workers", "all workers call themselves by one name"),
    _fault("endless-workers", "workers", "each answer of worker-sync names another worker"),
    _fault("wrong-order", "order", "the singletons are reloaded before the source"),
    _fault("module-missing", "module-missing", "the cache is not reloaded"),
    _fault("check-not-ok", "check", "verify says success, and a check in it is not ok"),
    _fault("check-missing", "check-missing", "verify leaves the payment clients out"),
    _fault("endpoint-lost", "endpoint-lost", "three endpoints are lost when they are registered"),
)

ROOM = Room(
    endpoints=(
        _endpoint("POST", "reload-all", _reload_all),
        _endpoint("POST", "verify", _verify),
        _endpoint("GET", "worker-sync", _worker_sync),
        _endpoint("POST", "reload-endpoints", _reload_endpoints),
        _endpoint("GET", "history", _history),
        _endpoint("GET", "versions", _versions),
        _endpoint("GET", "status", _status),
        _endpoint("POST", "check", _check),
    ),
    faults=(*_ANSWERS, *_INTERRUPTIONS, *_WORKERS),
    parts=(Part(GROUP, frozenset({GROUP}), lambda _faults, _stores: Disk()),),
    begin=begin,
)
