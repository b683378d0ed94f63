"""Prometheus serves, scrapes what it must, has fresh series in their bands, and its rules work."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from pytest_release.config.validation import suggestion
from pytest_release.evidence import Finding
from pytest_release.gates._monitoring_watch import Watch, cut, labelled, metrics_in, some
from pytest_release.targets.prometheus import Rule, Series

EARLIER = "1d"  # how far back a series that is missing is looked for
OLD_SCRAPE_S = 300.0  # without a limit of the case
ROUNDS = 4  # of its group's that a rule may miss
SLACK_S = 5.0  # for what an evaluation takes


def prometheus(watch: Watch) -> Iterator[Finding]:
    """It is healthy and ready, and runs with the configuration that it was given."""
    server = watch.prometheus
    healthy, ready = server.healthy(), server.ready()
    if not healthy.well:
        message = f"{server.place}/-/healthy answers {healthy.said}"
        yield watch.found("unhealthy", message, "200 Prometheus Server is Healthy.", healthy.said)
    if not ready.well:
        message = f"{server.place}/-/ready answers {ready.said}"
        yield watch.found("not-ready", message, "200 Prometheus Server is Ready.", ready.said)
    if healthy.well and ready.well and not server.configured():
        message = f"{server.place} could not load its configuration and runs with an older one"
        yield watch.found("config-not-loaded", message, "reloadConfigSuccess", "false")


def targets(watch: Watch) -> Iterator[Finding]:
    """Every required job has its targets, and every target is up and was scraped lately."""
    server, expect = watch.prometheus, watch.case.expect
    every = server.targets()
    now = server.now()
    watch.figures["targets"] = [float(len(every))]
    jobs: Mapping[str, int] = expect.get("jobs", {})
    for job, least in jobs.items():
        count = sum(target.job == job for target in every)
        if count < least:
            known = sorted({target.job for target in every})
            near = suggestion(job, known) if not count else ""
            message = f"the job {job} has {count} targets of {least}{near}; jobs: {some(known)}"
            yield watch.found("missing-job", message, str(least), str(count))
    limit = expect.get("scraped_within_s", OLD_SCRAPE_S)
    for target in every:
        if expect.get("only_jobs", False) and target.job not in jobs:
            continue
        shown = f"{target.job} {target.instance} ({cut(target.url)})"
        age = now - target.last_scrape
        if target.health != "up":
            never = "" if target.last_scrape else ", it was never scraped"
            why = cut(target.last_error) or "no error is told"
            message = f"{shown} is {target.health}{never}: {why}"
            yield watch.found("target-down", message, "up", target.health)
        elif age > limit:
            message = f"{shown} was scraped {age:.0f} s ago, at most {limit:g} s were expected"
            yield watch.found("old-scrape", message, f"at most {limit:g} s", f"{age:.0f} s")


def series(watch: Watch) -> Iterator[Finding]:
    """Each selector has enough series, their last samples are fresh and lie in the band."""
    expect, server = watch.case.expect, watch.prometheus
    ages = []
    for selector in watch.option("series"):
        stamps = server.query(f"timestamp({selector})")
        least = expect.get("series", 1)
        if len(stamps) < least:
            yield _missing(watch, selector, len(stamps), least)
        now = server.now()
        for stamp in stamps:
            age = now - stamp.value
            ages.append(age)
            limit = expect.get("fresh_s")
            if limit is not None and age > limit:
                shown = f"{selector}: {labelled(stamp.labels)}"
                message = f"{shown} is {age:.0f} s old, at most {limit:g} s were expected"
                yield watch.found("stale-series", message, f"at most {limit:g} s", f"{age:.0f} s")
        yield from _bands(watch, selector, server.query(selector))
    if ages:
        watch.figures["series"] = [float(len(ages))]
        watch.figures["age_s"] = [max(ages)]


def _missing(watch: Watch, selector: str, count: int, least: int) -> Finding:
    earlier = watch.prometheus.query(f"count_over_time({selector}[{EARLIER}])")
    before = f"; {len(earlier)} had samples within {EARLIER}" if len(earlier) > count else ""
    message = f"{selector} has {count} series, at least {least} were expected{before}"
    return watch.found("missing-series", message, f"at least {least}", str(count))


def values(watch: Watch) -> Iterator[Finding]:
    """Each expression has a value, and all its values lie in the band."""
    for expression in watch.option("values"):
        found = watch.prometheus.query(expression)
        if not found:
            message = f"{expression} has no value"
            yield watch.found("missing-series", message, "a value", "none")
        yield from _bands(watch, expression, found)


def _bands(watch: Watch, expression: str, found: tuple[Series, ...]) -> Iterator[Finding]:
    low, high = (watch.case.expect.get(name) for name in ("at_least", "at_most"))
    if low is None and high is None:
        return
    floor, ceiling = (-math.inf if low is None else low), (math.inf if high is None else high)
    expected = " and ".join(
        f"{word} {limit:g}"
        for word, limit in (("at least", low), ("at most", high))
        if limit is not None
    )
    for one in found:
        if not floor <= one.value <= ceiling:  # also of a NaN
            message = f"{expression}: {labelled(one.labels)} is {one.value:g}, expected {expected}"
            yield watch.found("out-of-band", message, expected, f"{one.value:g}")


def rules(watch: Watch) -> Iterator[Finding]:
    """The required rules are loaded; each is evaluated, without error, and can see something."""
    server, expect = watch.prometheus, watch.case.expect
    every = server.rules()
    now = server.now()
    watch.figures["rules"] = [float(len(every))]
    named = expect.get("rules", [])
    known = {rule.name for rule in every}
    for name in named:
        if name not in known:
            near = suggestion(name, known)
            message = (
                f"the rule {name} is not loaded{near}; {len(every)} are: {some(sorted(known))}"
            )
            yield watch.found("missing-rule", message, name)
    if not every and not named:
        yield watch.found("missing-rule", f"{server.place} has no rules", "a rule", "0")
    for rule in every:
        yield from _evaluated(watch, rule, now)
    asked = [rule for rule in every if not named or rule.name in named]
    yield from _blind(watch, asked, expect.get("may_lack", []))


def _evaluated(watch: Watch, rule: Rule, now: float) -> Iterator[Finding]:
    shown = f"the rule {cut(rule.name)} of {cut(rule.group)}"
    if rule.health == "err":
        message = f"{shown} cannot be evaluated: {cut(rule.last_error)}"
        yield watch.found("rule-error", message, "ok", rule.health)
        return
    limit = watch.case.expect.get("evaluated_within_s", ROUNDS * rule.interval + SLACK_S)
    age = now - rule.last_evaluation
    if not rule.last_evaluation or rule.health != "ok":
        message = f"{shown} was never evaluated: its health is {rule.health}"
        yield watch.found("rule-not-evaluated", message, f"every {rule.interval:g} s", "never")
    elif age > limit:
        message = f"{shown} was evaluated {age:.0f} s ago, at most {limit:g} s were expected"
        yield watch.found("rule-not-evaluated", message, f"at most {limit:g} s", f"{age:.0f} s")


def _blind(watch: Watch, asked: Sequence[Rule], may_lack: Sequence[str]) -> Iterator[Finding]:
    """A rule whose metrics nobody has never fires, and nobody notices."""
    wanted = [(rule, metrics_in(rule.query) - set(may_lack)) for rule in asked]
    names = sorted(set().union(*(metrics for _, metrics in wanted)))
    if not names:
        return
    told = watch.prometheus.query(f'count by (__name__) ({{__name__=~"{"|".join(names)}"}})')
    there = {one.labels.get("__name__", "") for one in told}
    for rule, metrics in wanted:
        if lost := sorted(metrics - there):
            message = (
                f"the rule {cut(rule.name)} looks at {some(lost)}, which has no series: "
                f"it can never be true: {cut(rule.query)}"
            )
            yield watch.found("blind-rule", message, "a series", "none")
