"""The reference deployment as an ASGI application: hifate's endpoints, spoilt as switched."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_release.sandbox.answers import Answer, json_answer
from pytest_release.sandbox.asgi import CONNECTION, Message, Receive, Send, deliver, read_request
from pytest_release.sandbox.endpoint import Endpoint, Setting
from pytest_release.sandbox.endpoints import find
from pytest_release.sandbox.fault import Fault
from pytest_release.sandbox.requests import Refused, Request

WORKER = "x-worker"  # header that names the process which answered


@dataclass(frozen=True)
class App:
    """Answers requests; its server must offer the extension `CONNECTION`.

    Attributes:
        setting: What the answers depend on.
        faults: Applied in this order.
        worker: Names this process in every answer.
    """

    setting: Setting
    faults: Sequence[Fault] = ()
    worker: str = ""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            request = await read_request(scope, receive)
            if find(request.method, request.path).waits:
                answer = await asyncio.to_thread(self.answer, request)
            else:
                answer = self.answer(request)
        except Refused as refused:
            answer = json_answer({"success": False, "message": refused.message}, refused.status)
        signed = replace(answer, headers={**answer.headers, WORKER: self.worker})
        await deliver(signed, receive, send, scope["extensions"][CONNECTION]["transport"])

    def answer(self, request: Request) -> Answer:
        """The answer to a request, with the faults that are on.

        Raises:
            Refused: The request is not one that this deployment takes.
        """
        endpoint = find(request.method, request.path)
        endpoint.check(request)
        return self._spoilt(endpoint, endpoint.say(request, self.setting))

    def _spoilt(self, endpoint: Endpoint, answer: Answer) -> Answer:
        faults = [fault for fault in self.faults if fault.spoils(endpoint)]
        if faults:
            number = self.setting.state.count(endpoint.path)
            for fault in faults:
                answer = fault.change(answer) if fault.when(number) else answer
        return answer
