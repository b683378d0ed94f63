"""Grafana is well with its database, has its dashboards, and reaches its data sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_release.config.validation import suggestion
from pytest_release.evidence import Finding
from pytest_release.gates._monitoring_watch import Watch, cut, some
from pytest_release.targets.grafana import Item


def grafana(watch: Watch) -> Iterator[Finding]:
    """What the case names by title, name or uid is there and well."""
    server, expect = watch.grafana, watch.case.expect
    health = server.database()
    if not health.well:
        message = f"{server.place}/api/health answers {cut(health.said)}"
        yield watch.found("grafana-unhealthy", message, "200 database 'ok'", cut(health.said))
    if wanted := expect.get("dashboards", []):
        there = server.dashboards()
        watch.figures["dashboards"] = [float(len(there))]
        for name in wanted:
            if _named(name, there) is None:
                yield _lost(watch, "dashboard", name, there)
    if wanted := expect.get("sources", []):
        there = server.sources()
        for name in wanted:
            source = _named(name, there)
            if source is None:
                yield _lost(watch, "data source", name, there)
                continue
            health = server.source_health(source.uid)
            if not health.well:
                message = f"{server.place}: the data source {name} answers {cut(health.said)}"
                yield watch.found("datasource-unhealthy", message, "OK", cut(health.said))


def _named(name: str, there: Sequence[Item]) -> Item | None:
    return next((item for item in there if name in (item.name, item.uid)), None)


def _lost(watch: Watch, kind: str, name: str, there: Sequence[Item]) -> Finding:
    known = sorted(item.name for item in there)
    near = suggestion(name, known)
    message = f"{watch.grafana.place} has no {kind} {name!r}{near}; it has {some(known)}"
    return watch.found(f"missing-{kind.replace(' ', '')}", message, name)
