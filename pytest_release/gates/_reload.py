"""One hot reload from before to after, with a steady stream of requests all the while.

1. Take a census of the workers of every node, as they are; where there is none, end here.
2. Start the steady requests, and let them run for ``lead_s``.
3. Call reload-all of every node, ``calls`` times, ``pause_s`` apart. The window begins here.
4. Ask worker-sync until every worker of every node has followed: reload-all answers before that.
   The window ends here.
5. Go on for ``trail_s``, then stop.
6. Judge: the reloads' answers, the workers, the requests.

Whatever fails, the steady requests are stopped and what they saw is reported.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from pytest_release.config.cases import CheckCase, HttpCase, Request
from pytest_release.config.environment import GatePolicy
from pytest_release.evidence import SHOWN_POINTS, Attachment, Course, Evidence, Finding, Point, Span
from pytest_release.gates._answer import cut
from pytest_release.gates._check import concluded
from pytest_release.gates._reload_answers import ORDER, check_reloaded, wrong
from pytest_release.gates._reload_api import Api, Node, Reply, apart
from pytest_release.gates._reload_workers import (
    Asking,
    Census,
    Followed,
    Worker,
    check_census,
    check_same_workers,
    check_workers,
    read_worker,
    take_census,
)
from pytest_release.gates._scene import Scene
from pytest_release.gates._steady import Shot, Steady
from pytest_release.sampling import Sample

RATE_PER_S = 10.0
GAP_MS = 2000.0  # without a request of one kind; a longer interruption must not be missed
EXAMPLES = 5  # of failed requests that a finding shows
TIMEOUT_S = 5.0  # of a steady request that names none


@dataclass
class Story:
    """What happened, on the monotonic clock.

    Attributes:
        began: The first call of reload-all.
        called: The answer to the last one.
        ended: Every worker had followed, or nobody waited any longer.
    """

    began: float = 0.0
    called: float = 0.0
    ended: float = 0.0
    spans: list[tuple[str, float, float]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


class Reloading:
    """One case of the check ``reload``.

    Args:
        case: Its options and expectations.
        policy: Of the gate.
        scene: Where it takes place.
        nodes: To be reloaded, in this order.
        asking: How workers are asked for.
    """

    def __init__(
        self,
        case: CheckCase,
        policy: GatePolicy,
        scene: Scene,
        nodes: Sequence[Node],
        asking: Asking,
    ) -> None:
        self._case, self._policy, self._scene = case, policy, scene
        self._nodes, self._asking = nodes, asking
        self._options = case.options
        self._api = Api(
            **{name: case.options[name] for name in ("prefix", "timeout_s") if name in case.options}
        )

    def run(self) -> Evidence:
        """Everything, in order."""
        before = [self._census(node) for node in self._nodes]  # 1
        if not all(census.latest for census in before):
            return self._not_begun(before)
        story = Story()
        steady = Steady(
            apart(self._nodes, self._scene.environment, self._policy),
            steady_cases(self._case),
            steady_rate(self._case),
        )
        self._scene.afterwards("the steady requests", steady.stop)
        started = time.monotonic()
        steady.start()  # 2
        self._pause("lead_s", 1.0)
        story.began = time.monotonic()
        reloaded = self._reload(story)  # 3
        after = self._follow(before, story) if reloaded else []  # 4
        story.ended = time.monotonic()
        self._pause("trail_s", 1.0)  # 5
        shots = steady.stop()
        story.findings += self._judge_workers(before, after)  # 6
        limit = self._case.expect.get("each_ms")
        story.findings += judge_steady(shots, story.began, limit)
        return self._evidence(story, shots, started, after)

    def _not_begun(self, before: Sequence[Census]) -> Evidence:
        """Where nobody says what runs, nothing is reloaded: nobody could tell what came of it."""
        findings = [
            finding
            for node, census in zip(self._nodes, before, strict=True)
            for finding in everyone(node, census, self._asking)
        ]
        message = "nothing was reloaded: without an answer of worker-sync nobody could see the end"
        return concluded(
            self._case, self._policy, [*findings, wrong("hot_reload.not-begun", message)]
        )

    def _pause(self, name: str, default: float) -> None:
        time.sleep(self._options.get(name, default))

    def _census(self, node: Node, newer_than: int | None = None) -> Census:
        if newer_than is None:
            return take_census(lambda: self._worker(node), self._asking)
        return take_census(lambda: self._worker(node), self._asking, Followed(newer_than))

    def _worker(self, node: Node) -> Worker | Finding:
        return ask_worker(self._api, node)

    def _reload(self, story: Story) -> bool:
        """Whether every call was answered as it should be; the first that was not is the last."""
        order = self._case.expect.get("order", ORDER)
        for number in range(self._options.get("calls", 2)):
            if number:
                self._pause("pause_s", 5.0)
            for node in self._nodes:
                called = time.monotonic()
                reply = self._api.ask(
                    node, "POST", "reload-all", lambda value: check_reloaded(value, order)
                )
                story.called = time.monotonic()
                name = f"reload-all {number + 1} of {node.name}"
                story.spans.append((name, called, story.called))
                story.findings += reply.findings
                if reply.value is None:
                    return False
        return True

    def _follow(self, before: Sequence[Census], story: Story) -> list[Census]:
        called = time.monotonic()
        after = [
            self._census(node, newest(census))
            for node, census in zip(self._nodes, before, strict=True)
        ]
        story.spans.append(("workers follow", called, time.monotonic()))
        return after

    def _judge_workers(
        self, before: Sequence[Census], after: Sequence[Census]
    ) -> Iterator[Finding]:
        for node, old, new in zip(self._nodes, before, after, strict=False):
            workers = tuple(new.latest.values())
            yield from everyone(node, new, self._asking)
            yield from at(node, check_workers(workers, newest(old)))
            yield from at(node, check_same_workers(tuple(old.latest.values()), workers))

    def _evidence(
        self, story: Story, shots: Sequence[Shot], started: float, after: Sequence[Census]
    ) -> Evidence:
        latencies = [shot.latency for shot in shots if shot.latency is not None]
        gap, kind = longest_gap(shots, story.began, story.ended)
        if after:
            story.findings += _judge_gap(gap, kind, self._case.options.get("gap_ms", GAP_MS))
        figures: dict[str, Sequence[Sample | float]] = {
            "latency_ms": latencies,
            "slowest_ms": sorted(latencies, key=lambda sample: sample.value)[-1:],
            "followed_ms": _followed(after, story),
            "window_ms": [(story.ended - story.began) * 1000],
            "gap_ms": [gap],
            "failed": [float(sum(bool(shot.wrong) for shot in shots))],
        }
        evidence = concluded(self._case, self._policy, story.findings, figures)
        course = draw(shots, started, story, self._case.expect.get("each_ms"))
        unseen = f"an interruption of {kind} shorter than {gap:.0f} ms may have been missed"
        seen = "\n".join((*told(self._nodes, after), unseen))
        return replace(evidence, course=course, attachments=(Attachment("what was seen", seen),))


def _followed(after: Sequence[Census], story: Story) -> list[float]:
    """How long after the last call the last worker was seen behind, in ms; 0 when none was."""
    if not after or not all(census.settled for census in after):
        return []
    moments = [census.behind_until or story.called for census in after]
    return [max((max(moments) - story.called) * 1000, 0.0)]


def told(nodes: Sequence[Node], censuses: Sequence[Census]) -> list[str]:
    """What a census of each node came to, and how sure it is."""
    pairs = zip(nodes, censuses, strict=False)
    return [f"{node.name}: {census.statement()}" for node, census in pairs]


def ask_worker(api: Api, node: Node) -> Worker | Finding:
    """The worker that happens to answer, or what is wrong."""
    reply: Reply = api.ask(node, "GET", "worker-sync")
    if reply.value is None:
        return reply.findings[0]
    worker = read_worker(reply.value)
    if isinstance(worker, Finding):
        message = f"GET {api.prefix}/worker-sync of {node.name}: {worker.message}"
        return replace(worker, message=message)
    return worker


def newest(census: Census) -> int:
    """The newest version that any worker is on; -1 when none was seen."""
    return max((worker.version for worker in census.latest.values()), default=-1)


def at(node: Node, findings: Iterator[Finding]) -> Iterator[Finding]:
    """The findings, each naming the node."""
    return (replace(f, message=f"{node.name}: {f.message}") for f in findings)


def everyone(node: Node, census: Census, asking: Asking) -> Iterator[Finding]:
    """What could not be read, and whether everyone was seen."""
    yield from census.problems.values()  # these name their node
    yield from at(node, check_census(census, asking))


def steady_rate(case: CheckCase) -> float:
    """Requests a second."""
    return float(case.options.get("rate_per_s", RATE_PER_S))


def steady_cases(case: CheckCase) -> list[HttpCase]:
    """The steady requests of a case, each with what is expected of its answer."""
    return [_steady_case(case, options) for options in case.options["requests"]]


def _steady_case(case: CheckCase, options: Mapping[str, Any]) -> HttpCase:
    given = {name: value for name, value in options.items() if name not in ("name", "expect")}
    timeout = given.setdefault("timeout_s", TIMEOUT_S)
    given.setdefault("stall_s", timeout)
    given.setdefault("method", "POST" if "json" in given else "GET")
    request = Request(**given)
    name = options.get("name", f"{request.method} {request.path}")
    return HttpCase(
        id=case.id,
        gate=case.gate,
        name=name,
        file=case.file,
        line=case.line,
        expect=options.get("expect", {}),
        request=request,
    )


def judge_steady(shots: Sequence[Shot], began: float, limit_ms: float | None) -> Iterator[Finding]:
    """Not one request failed or took too long, before the reload, during it or after it.

    Args:
        shots: What became of each request.
        began: When the reload did, on the monotonic clock.
        limit_ms: Of each answer; None for none.
    """
    failed = [shot for shot in shots if shot.wrong]
    if early := [shot for shot in failed if shot.due_s + shot.took_s < began]:
        message = f"{len(early)} requests failed before the reload began: {_told(early[0], began)}"
        yield wrong("hot_reload.failed-before", message, received=_examples(early, began))
    if during := [shot for shot in failed if shot.due_s + shot.took_s >= began]:
        first = next((shot for shot in during if shot.due_s >= began), during[0])
        message = f"{len(during)} of {len(shots)} requests failed: {_told(first, began)}"
        yield wrong("hot_reload.interrupted", message, "none", _examples(during, began))
    if limit_ms is not None:
        yield from _judge_slow(shots, began, limit_ms)


def longest_gap(shots: Sequence[Shot], began: float, ended: float) -> tuple[float, str]:
    """The longest time within the window without a request of one kind, and which kind.

    An interruption of one kind that is shorter may have been missed. What was sent late by this
    client counts from when it was sent.

    Returns:
        Milliseconds, all of the window when nothing was sent, and the kind.
    """
    sent: dict[str, list[float]] = {}
    for shot in shots:
        sent.setdefault(shot.kind, []).append(shot.due_s + shot.late_s)
    gaps = [
        (min(later, ended) - max(earlier, began), kind)
        for kind, moments in sent.items()
        for earlier, later in pairwise([began, *sorted(moments), ended])
    ]
    seconds, kind = max(gaps, default=(ended - began, "any request"))
    return max(seconds, 0.0) * 1000, kind


def _judge_gap(gap_ms: float, kind: str, limit_ms: float) -> Iterator[Finding]:
    if gap_ms > limit_ms:
        message = (
            f"for {gap_ms:.0f} ms of the reload {kind} was not requested: that it was not "
            "interrupted meanwhile could not be shown"
        )
        yield wrong("hot_reload.unsteady", message, f"at most {limit_ms:g} ms", f"{gap_ms:.0f} ms")


def _judge_slow(shots: Sequence[Shot], began: float, limit_ms: float) -> Iterator[Finding]:
    answered = [shot for shot in shots if shot.latency is not None and not shot.wrong]
    slow = [shot for shot in answered if shot.latency and shot.latency.low > limit_ms]
    open_ = [s for s in answered if s.latency and s.latency.low <= limit_ms < s.latency.high]
    limit = f"at most {limit_ms:g} ms"
    if slow:
        message = f"{len(slow)} of {len(shots)} answers took too long: {_told(slow[0], began)}"
        yield wrong("hot_reload.slow", message, limit, _examples(slow, began))
    if open_:
        message = (
            f"of {len(open_)} answers it could not be shown that they kept the limit: "
            f"{_told(open_[0], began)}, this client was busy"
        )
        yield wrong("hot_reload.slow", message, limit, _examples(open_, began))


def _told(shot: Shot, began: float) -> str:
    after = shot.due_s - began
    when = f"{after:.2f} s after the reload began" if after >= 0 else f"{-after:.2f} s before it"
    what = shot.wrong or f"took {shot.ms:.0f} ms"
    return f"{shot.kind}, {when}: {cut(what)}"


def _examples(shots: Sequence[Shot], began: float) -> str:
    return "\n".join(_told(shot, began) for shot in shots[:EXAMPLES])


def draw(
    shots: Sequence[Shot], started: float, story: Story, limit_ms: float | None
) -> Course | None:
    """What the report shows: everything in ms since the first request; all that failed is in it."""
    if not shots:
        return None
    kept = shots
    if len(shots) > SHOWN_POINTS:
        step = -(-len(shots) // (SHOWN_POINTS // 2))
        kept = [s for n, s in enumerate(shots) if s.wrong or n % step == 0][:SHOWN_POINTS]
    points = tuple(Point((s.due_s - started) * 1000, s.ms, s.kind, cut(s.wrong)) for s in kept)

    def span(name: str, start: float, end: float) -> Span:
        return Span((start - started) * 1000, (end - started) * 1000, name)

    window = span("reload", story.began, story.ended)
    return Course(points, window, tuple(span(*given) for given in story.spans), limit_ms)
