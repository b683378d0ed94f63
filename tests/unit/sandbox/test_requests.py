"""Tests of `pytest_release.sandbox.requests`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from pytest_release.sandbox.asgi import Message, read_request
from pytest_release.sandbox.requests import (
    MAX_BODY,
    Refused,
    Request,
    check_birth,
    check_image,
    check_topic,
)
from pytest_release.sandbox.rooms.payment import check_order

BIRTH = {"solar_date": "1990-01-15", "solar_time": "12:00", "gender": "male"}
ORDER = {"provider": "stripe", "amount": "4.10", "currency": "USD"}
PNG = b"\x89PNG\r\n\x1a\n\r\n--\r\r\n\x00"


def post(value: object) -> Request:
    """A request with a JSON body."""
    return Request("POST", "/", {}, "application/json", json.dumps(value).encode())


def form(**parts: bytes) -> Request:
    """A request with a multipart/form-data body."""
    body = b"".join(
        b'--frontier\r\nContent-Disposition: form-data; name="%s"; filename="x"\r\n\r\n%s\r\n'
        % (name.encode(), data)
        for name, data in parts.items()
    )
    return Request(
        "POST", "/", {}, "multipart/form-data; boundary=frontier", body + b"--frontier--"
    )


@pytest.mark.parametrize(
    ("check", "request_"),
    [
        (check_birth, post(BIRTH)),
        (check_birth, post({**BIRTH, "date": "2025-02-05"})),
        (check_topic, Request("GET", "/", {"category": "wealth"})),
        (check_topic, Request("GET", "/", {"question": "when?"})),
        (check_image, form(analysis_types=b"all", image=PNG)),
        (check_order, post(ORDER)),
        (check_order, post({**ORDER, "amount": "410", "currency": "JPY"})),
    ],
)
def test_a_good_request_is_accepted(check: Callable[[Request], None], request_: Request) -> None:
    """What the real systems take is taken."""
    check(request_)


@pytest.mark.parametrize(
    ("check", "request_", "message"),
    [
        (
            check_birth,
            post({**BIRTH, "solar_date": "1990-13-15"}),
            "solar_date: must match .*13-15",
        ),
        (check_birth, post({**BIRTH, "solar_date": 19900115}), "solar_date: .* got 19900115"),
        (check_birth, post({**BIRTH, "solar_time": "25:00"}), "solar_time: must match"),
        (check_birth, post({**BIRTH, "gender": "x"}), "gender: must match male.female, got 'x'"),
        (check_birth, post({**BIRTH, "date": "tomorrow"}), "date: must match"),
        (check_birth, post({}), "solar_date: .* got None"),
        (check_birth, post([BIRTH]), "the body must be a JSON object"),
        (check_birth, Request("POST", "/", {}, "", b"\xff"), "the body must be a JSON object"),
        (check_birth, Request("POST", "/", {}, "", b"[" * 100_000), "must be a JSON object"),
        (check_topic, Request("GET", "/", {}), "category or question: one of them"),
        (check_image, form(picture=PNG), "image: must be a PNG or JPEG"),
        (check_image, form(image=b"GIF89a"), "image: must be a PNG or JPEG"),
        (check_image, post(BIRTH), "image: must be a PNG or JPEG"),
        (check_order, post({**ORDER, "provider": "cash"}), "provider: .* got 'cash'"),
        (check_order, post({**ORDER, "amount": "4.1"}), "amount: must be .* got '4.1'"),
        (check_order, post({**ORDER, "amount": "0.00"}), "amount: must be positive"),
        (check_order, post({**ORDER, "amount": 4.1}), "amount: must be .* got 4.1"),
        (check_order, post({**ORDER, "currency": "usd"}), "stripe does not take 'usd'"),
    ],
)
def test_a_bad_request_is_refused(
    check: Callable[[Request], None], request_: Request, message: str
) -> None:
    """What is wrong is named, with what was expected and what was received."""
    with pytest.raises(Refused, match=message) as refused:
        check(request_)

    assert refused.value.status == 400


def test_parts_come_back_byte_for_byte() -> None:
    """Binary content with line ends and dashes survives the multipart body."""
    assert form(a=b"1", image=PNG).parts() == {"a": b"1", "image": PNG}


def test_a_body_that_does_not_end_is_refused() -> None:
    """No more than the limit is kept in memory, whatever a client sends."""

    async def receive() -> Message:
        return {"type": "http.request", "body": bytes(MAX_BODY // 4), "more_body": True}

    with pytest.raises(Refused, match="must not exceed 8388608 bytes") as refused:
        asyncio.run(read_request({"headers": []}, receive))

    assert refused.value.status == 413
