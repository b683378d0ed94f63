"""Tells people: by webhook (JSON as Slack takes it) and by mail.

- Each way has its own time; a server that drips, talks without end or hangs costs no more.
- A step of the type ``notify`` continues when it fails: nobody's chat stops a rollout, and the
  history says that nobody was told.
- An address is as secret as a password: Slack's has the credentials in its path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from pytest_release.config.cases import Request
from pytest_release.errors import ReleaseError, RolloutError
from pytest_release.redaction import Redactor, reveal
from pytest_release.rollout.mail import Letter, Post, send
from pytest_release.rollout.stage import Order, Outcome, Stage
from pytest_release.targets.http import HttpTarget

TIMEOUT_S = 10.0
LARGEST = 64 * 1024  # bytes of an answer
TLS, STARTTLS = "tls", "starttls"
PORTS = {TLS: 465, STARTTLS: 587, "none": 25}


def describe(options: Mapping[str, Any]) -> str:
    """Which ways, without any address."""
    ways = [word for word in ("webhook", "mail") if word in options]
    return f"tell people by {' and '.join(ways)}"


def repeatable(options: Mapping[str, Any]) -> bool:
    """A word said twice does no harm."""
    return True


def act(order: Order, stage: Stage) -> Outcome:
    """Every way is tried, whatever became of the others."""
    told, problems = [], []
    for name, way in (("webhook", _webhook), ("mail", _mail)):
        if name not in order.options:
            continue
        try:
            way(order.options[name], order, stage)
        except ReleaseError as error:
            problems.append(f"{name}: {error}")
        else:
            told.append(name)
    why = f"told by {' and '.join(told)}" if told else "nobody was told"
    return Outcome(done=not problems, why="; ".join((why, *problems)))


def check(order: Order, stage: Stage) -> Outcome | None:
    """It is said again instead."""
    return None


def text_of(order: Order, stage: Stage) -> str:
    """What is said: the step's ``text``, or what is going on."""
    default = (
        f"{stage.system} {stage.release} in {order.environment}: rollout {stage.rollout}, "
        f"{order.step}"
    )
    return reveal(order.options.get("text", default))


def _seconds(order: Order) -> float:
    return max(0.001, min(float(order.options.get("timeout_s", TIMEOUT_S)), order.seconds))


def _webhook(options: Mapping[str, Any], order: Order, stage: Stage) -> None:
    parts = urlsplit(url := reveal(options["url"]))
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    base = f"{parts.scheme}://{parts.netloc}"
    here = stage.environment(order.environment)
    environment = replace(
        here, base_url=base, auth=None, verify_tls=options.get("verify_tls", True)
    )
    seconds = _seconds(order)
    request = Request(
        method="POST",
        path=path,
        json={"text": _slack(text_of(order, stage))},
        max_bytes=LARGEST,
        timeout_s=seconds,
        stall_s=seconds,
    )
    hide = Redactor(frozenset({url, path} - {"/"}))
    try:
        with HttpTarget(environment) as target:
            exchange = target.send(request)
    except ReleaseError as error:
        raise RolloutError(hide(str(error))) from None
    if exchange.broken:
        raise RolloutError(hide(f"the answer is no whole one: {exchange.broken}"))
    if not 200 <= exchange.status < 300:
        said = exchange.body[:200].decode(errors="replace").strip()
        raise RolloutError(hide(f"answers {exchange.status}: {said}"))


def _slack(text: str) -> str:
    """Its three control characters, as https://docs.slack.dev/messaging says."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _mail(options: Mapping[str, Any], order: Order, stage: Stage) -> None:
    security = options.get("security", STARTTLS)
    post = Post(
        host=reveal(options["host"]),
        port=options.get("port", PORTS[security]),
        security=security,
        username=reveal(options.get("username", "")),
        password=reveal(options.get("password", "")),
        ca_file=options.get("ca_file"),
    )
    text = text_of(order, stage)
    first = text.strip().splitlines()[0] if text.strip() else stage.rollout
    letter = Letter(
        sender=reveal(options["from"]),
        to=tuple(reveal(each) for each in options["to"]),
        subject=reveal(options.get("subject", first)),
        text=text,
        at=stage.now(),
    )
    send(letter, post, _seconds(order))
