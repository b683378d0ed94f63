"""Tests of the adapters that need no pytest: command, ssh, http, release, record."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_release.config.validation import schema
from pytest_release.rollout import adapters
from pytest_release.rollout.adapters import command, http
from pytest_release.rollout.state import STOPPED, SUCCESS
from tests.unit.rollout.conftest import Yard


class Server(ThreadingHTTPServer):
    """Answers what it is told, one answer a request, the last for good; keeps what it was asked."""

    daemon_threads = True
    answers: list[tuple[int, Any]]
    asked: list[tuple[str, str, dict[str, str], str]]


class Handler(BaseHTTPRequestHandler):
    """Of `Server`."""

    server: Server

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.command, self.path, headers, body))
        answers = self.server.answers
        status, value = answers.pop(0) if len(answers) > 1 else answers[0]
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _answer  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Say nothing."""


@pytest.fixture
def server(yard: Yard) -> Iterator[Server]:
    """A deployment of the yard's environments."""
    made = Server(("127.0.0.1", 0), Handler)
    made.answers, made.asked = [(200, {})], []
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yard.base_url = f"http://127.0.0.1:{made.server_port}"
    for name in ("here", "there"):
        yard.environment(name)
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


Why = Callable[..., tuple[str, str]]


@pytest.fixture
def why(yard: Yard) -> Why:
    """Does one action in a rollout; how that ended, and why."""

    def why(adapter: str, kind: str = "preflight", release: str = "2.0", commit: str | None = None,
            timeout_s: float = 20, **options: object) -> tuple[str, str]:  # fmt: skip
        yard.plan({"name": "it", "type": kind, "timeout_s": timeout_s, "with": {adapter: options}})
        result = yard.run(release, commit=commit, pause=lambda _: None)
        task = yard.looks[-1].state.tasks["it"]
        assert (result.status == SUCCESS) == task.outcome.done
        return result.status, task.outcome.why

    return why


def test_every_adapter_has_its_form_and_its_schema() -> None:
    """Four functions, a schema, and its place in the schema of plans."""
    named = schema("plan")["$defs"]["action"]["properties"]
    for name in adapters.names():
        module = adapters.adapter(name)
        form = ("describe", "repeatable", "act", "check")
        assert all(callable(getattr(module, part)) for part in form)
        assert named[name] == {"$ref": f"adapter.{name}.schema.json"}
    assert sorted(named) == list(adapters.names())


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ({"argv": ["true"]}, SUCCESS, "exit status 0"),
        ({"argv": ["sh", "-c", "echo no such; exit 4"]}, STOPPED, "exit status 4: no such"),
        ({"argv": ["sh", "-c", "exit 4"], "statuses": [4]}, SUCCESS, "exit status 4"),
        ({"argv": ["sh", "-c", "kill -9 $$"]}, STOPPED, "signal 9"),
        ({"argv": ["no-such"]}, STOPPED, "no-such cannot be started: No such file or directory"),
        ({"argv": ["pwd"], "directory": "/", "expect": {"output": "/"}}, SUCCESS, "exit status 0"),
        ({"argv": ["echo", 12], "expect": {"contains": "13"}}, STOPPED,
         "expected '13' in the output, got '12'"),
        ({"argv": ["printenv", "A"], "env": {"A": 1}, "expect": {"output": "1"}}, SUCCESS,
         "exit status 0"),
        ({"argv": ["true"], "ssh": "host", "env": {"A": "b"}}, STOPPED,
         "A: variables do not travel over ssh; give them with 'input'"),
        ({"argv": ["echo", "\x1b[31m$HOME `id`"], "expect": {"output": "no"}}, STOPPED,
         "expected the output 'no', got '\\x1b[31m$HOME `id`'"),
    ],
)  # fmt: skip
def test_commands(why: Why, options: dict[str, Any], status: str, said: str) -> None:
    """No shell reads them; status and output decide."""
    assert why("command", **options) == (status, said)


def test_a_command_that_hangs(why: Why) -> None:
    """Is ended at the step's time-out."""
    status, said = why("command", timeout_s=0.3, argv=["sleep", "30"])

    assert status == STOPPED
    assert said.startswith("its time was over after 0.")


def test_a_command_that_prints_a_hundred_megabytes(yard: Yard, why: Why) -> None:
    """Its head and tail are kept, in the journal too; its digest and size are told."""
    assert why("command", argv=["head", "-c", "100000000", "/dev/zero"])[0] == SUCCESS

    output = yard.look.state.tasks["it"].outcome.output
    assert output.size == 100_000_000
    assert len(output.sha256) == 64
    journal = yard.look.folder / "journal.jsonl"
    assert journal.stat().st_size < 1_500_000


PRINTED = st.characters(exclude_characters="\0", codec="utf-8")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8), min_size=1)
)
def test_any_word_travels_over_ssh(words: list[str]) -> None:
    """What the other side's shell reads are the words, whatever stands in them."""
    made = command.command_of({"argv": ["printf", "%s\\0", *words], "ssh": "host"})

    line = made.argv[-1]
    assert made.argv[-3:-1] == ("--", "host")
    told = subprocess.run(["sh", "-c", line], capture_output=True, check=True).stdout
    assert told.decode().split("\0")[:-1] == words
    assert shlex.split(line)[2:] == words


def test_ssh_is_the_systems_own(yard: Yard, why: Why, monkeypatch: pytest.MonkeyPatch) -> None:
    """In batch mode, with keep-alive, the configuration that was named, and the input."""
    (yard.folder / "bin").mkdir()
    fake = yard.folder / "bin" / "ssh"
    fake.write_text(
        '#!/bin/sh\nprintf "%s " "$@" > told\nfor line; do :; done\nexec sh -c "$line"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{yard.folder / 'bin'}:{os.environ['PATH']}")

    status, _ = why("command", argv=["cat", "-"], ssh="li@node2", ssh_config="conf", directory="/",
                    input="secret", expect={"output": "secret"})  # fmt: skip

    told = (yard.folder / "told").read_text()
    assert status == SUCCESS
    assert "BatchMode=yes" in told
    assert "ServerAliveInterval=5" in told
    assert told.endswith("-F conf -- li@node2 cd -- / && exec cat - ")


def test_ssh_that_fails(yard: Yard, why: Why, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own status is no program's."""
    (yard.folder / "bin").mkdir()
    (yard.folder / "bin" / "ssh").write_text("#!/bin/sh\necho Connection refused; exit 255\n")
    (yard.folder / "bin" / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{yard.folder / 'bin'}:{os.environ['PATH']}")

    assert why("command", argv=["true"], ssh="node2") == (
        STOPPED, "the connection failed, or was lost: Connection refused",
    )  # fmt: skip


def test_where_a_value_says(yard: Yard) -> None:
    """An empty host is this machine; what ssh would take for an option is no host."""
    argv = {"argv": ["tee", "log"], "input": "here", "ssh": "{{host}}"}
    yard.plan({"name": "it", "type": "deploy", "with": {"command": argv}}, values={"host": ""})

    assert yard.run().status == SUCCESS
    assert yard.log == ["here"]
    result = yard.run(values={"host": "-oProxyCommand=x"})
    assert (result.status, result.why) == (STOPPED, "it: '-oProxyCommand=x' is no host for ssh")


HEALTH = {"path": "/health"}


@pytest.mark.parametrize(
    ("options", "answers", "status", "said"),
    [
        (HEALTH, [(200, {})], SUCCESS, "as expected"),
        (HEALTH, [(503, {})], STOPPED, "GET {}/health: expected 200, got 503"),
        ({**HEALTH, "expect": {"status": 503}}, [(503, {})], SUCCESS, "as expected"),
        ({**HEALTH, "expect": {"json": {"a.b": True}}}, [(200, {"a": {"b": 1}})], STOPPED,
         "GET {}/health: expected a.b to be True, got 1"),
        ({**HEALTH, "expect": {"json": {"version": "{{release}}"}}}, [(200, {"version": "2.0"})],
         SUCCESS, "as expected"),
        ({**HEALTH, "expect": {"json": {"a": 1}}}, [(200, b"<p>")], STOPPED,
         "GET {}/health: expected JSON, got '<p>'"),
        ({**HEALTH, "expect": {"contains": "ok"}}, [(200, b"ko")], STOPPED,
         "GET {}/health: expected 'ok' in the answer, got 'ko'"),
        ({**HEALTH, "consecutive": 3, "tries": 10},
         [(200, {}), (503, {}), (200, {}), (200, {}), (200, {})], SUCCESS,
         "3 good answers in a row, of 5 requests"),
        ({**HEALTH, "consecutive": 3, "tries": 4}, [(200, {}), (200, {}), (500, {}), (200, {})],
         STOPPED, "GET {}/health: expected 200, got 500 (0 good answers in a row, 3 are needed)"),
        ({**HEALTH, "tries": 3}, [(500, {}), (200, {})], SUCCESS,
         "as expected at the 2. request"),
    ],
)  # fmt: skip
def test_requests(
    server: Server, why: Why, options: dict[str, Any], answers: list[Any], status: str, said: str
) -> None:
    """Status, values and text of the answer; so many in a row."""
    server.answers = list(answers)

    base = f"http://127.0.0.1:{server.server_port}"
    assert why("http", **options) == (status, said.replace("{}", base))


def test_a_request_carries_what_the_plan_says(server: Server, yard: Yard, why: Why) -> None:
    """The environment's credentials to the environment, and to nobody else."""
    text = (yard.folder / "fixtures/environments/here.yaml").read_text()
    (yard.folder / "fixtures/environments/here.yaml").write_text(
        f"{text}auth: {{scheme: bearer, token: hunter2hunter2}}\n"
    )
    why(
        "http", method="POST", path="/do?x=1", json={"version": "{{release}}"}, headers={"x-a": "b"}
    )
    why("http", url=f"{yard.base_url}/hook?y=2")

    (method, path, headers, body), (_, other, others, _) = server.asked
    assert (method, path, json.loads(body)) == ("POST", "/do?x=1", {"version": "2.0"})
    assert (headers["authorization"], headers["x-a"]) == ("Bearer hunter2hunter2", "b")
    assert (other, "authorization" in others) == ("/hook?y=2", False)


def test_how_far_apart_a_value_says(server: Server, yard: Yard) -> None:
    """A number of seconds, from 0 to 600."""
    asked = {**HEALTH, "consecutive": 3, "every_s": "{{pause}}"}
    yard.plan({"name": "it", "type": "gate", "with": {"http": asked}}, values={"pause": 0.5})
    pauses: list[float] = []

    assert yard.run(pause=pauses.append).status == SUCCESS
    assert (pauses, len(server.asked)) == ([0.5, 0.5], 3)
    for wrong in ("long", "nan", "-1", "601"):
        result = yard.run(values={"pause": wrong})
        assert result.why == f"it: every_s is 0 to 600 seconds, got {wrong!r}"


def test_production_is_reloaded_with_leave_only(server: Server, yard: Yard, why: Why) -> None:
    """Of its policy; one worker alone never is."""
    file = yard.folder / "fixtures/environments/here.yaml"
    file.write_text(file.read_text().replace("role: staging", "role: production"))
    path = "/api/v1/hot-reload/reload%2Dall"

    status, said = why("http", method="POST", path=path)
    assert status == STOPPED
    assert said.startswith("a reload of the production environment here needs gates.hot_reload.al")
    file.write_text(f"{file.read_text()}  hot_reload: {{allow_reload: true}}\n")
    assert why("http", method="POST", path=path)[0] == SUCCESS
    _, said = why("http", path="/api/v1/hot-reload/check")
    assert said.startswith("/api/v1/hot-reload/check is forbidden in the production environment")
    assert len(server.asked) == 1


def workers(server: Server, **changes: Any) -> None:  # noqa: ANN401 - JSON values
    """One worker answers, all that it is asked in one object."""
    status = {"worker_id": 7, "running": True, "last_signal_version": 3}
    source = {"current": "a", "cached": changes.pop("cached", "a"), "changed": False}
    value = {"success": True, "status": {**status, "last_reload_success": True},
             "versions": {"source": source}, "old_count": 2, "new_count": 2,
             "endpoints": ["/a", "/b"], **changes}  # fmt: skip
    server.answers = [(200, value)]


def test_every_worker_runs_what_is_on_disk(server: Server, why: Why) -> None:
    """And enough endpoints are registered, where that is asked for."""
    workers(server)

    assert why("workers", modules=["source"], min_endpoints=2) == (
        SUCCESS, "all 1 workers run what is on disk",
    )  # fmt: skip
    assert {path for _, path, _, _ in server.asked} == {
        f"/api/v1/hot-reload/{name}" for name in ("worker-sync", "versions", "reload-endpoints")
    }
    for options, part in (
        ({"min_endpoints": 3}, "2 endpoints are registered, at least 3 were expected"),
        ({"modules": ["rules"]}, "there is no version of rules"),
        ({"workers": 2, "follow_s": 0.1}, "1 workers answered, 2 were expected"),
    ):
        status, said = why("workers", **options)
        assert status == STOPPED
        assert part in said


def test_a_worker_that_runs_something_else(server: Server, why: Why) -> None:
    """Is named; and what is no answer is none."""
    workers(server, cached="b")
    status, said = why("workers")
    assert status == STOPPED
    assert 'source runs "b", and "a" is on disk' in said

    server.answers = [(200, b"<!doctype html>")]
    status, said = why("workers", follow_s=0.1)
    assert status == STOPPED
    assert "the answer is not JSON" in said


def test_what_the_environment_forbids_is_not_sent(server: Server, yard: Yard, why: Why) -> None:
    """However it is written."""
    file = yard.folder / "fixtures/environments/here.yaml"
    file.write_text(f"{file.read_text()}  hot_reload: {{forbid: [/hot-reload/check]}}\n")

    assert why("http", path="/api/hot-reload/check/?a=b") == (
        STOPPED, "/api/hot-reload/check is forbidden in here: nothing was sent",
    )  # fmt: skip
    assert server.asked == []


def test_nobody_answers(why: Why) -> None:
    """The request is named."""
    status, said = why("http", path="/health")

    assert status == STOPPED
    assert "http://127.0.0.1:9/health" in said


def test_what_may_be_sent_again() -> None:
    """Methods that do the same twice as once."""
    assert [http.repeatable({"method": m}) for m in ("GET", "PUT", "POST", "PATCH")] == [
        True, True, False, False,
    ]  # fmt: skip


def test_an_environment_without_an_address(yard: Yard, why: Why) -> None:
    """The request needs one of its own."""
    sandbox = "name: here\nrole: development\nsystem: shop\nsandbox: {}\ngates: {basic: {}}\n"
    (yard.folder / "fixtures/environments/here.yaml").write_text(sandbox)

    assert why("http", path="/") == (STOPPED, "here has no base_url: give the request a 'url'")
    assert why("release") == (STOPPED, "here does not say where its release names itself")


COMMIT = "d34bcae5b1f0c4a2976e8d31c05b7fa9e6421d80"


@pytest.mark.parametrize(
    ("answer", "commit", "status", "said"),
    [
        ({"version": "2.0", "git": "d34bcae"}, None, SUCCESS, "here is 2.0, commit d34bcae"),
        ({"version": "1.0", "git": "d34bcae"}, None, STOPPED,
         "here should be 2.0 and says that it is 1.0"),
        ({"version": "2.0", "git": "d34bcae"}, COMMIT, SUCCESS, "here is 2.0, commit d34bcae"),
        ({"version": "2.0", "git": "unknown"}, COMMIT, STOPPED,
         f"here should be of commit {COMMIT} and says unknown"),
        ({"version": "2.0"}, None, STOPPED, "should name the build under 'git' as a short text"),
    ],
)  # fmt: skip
def test_the_deployment_says_what_it_is(
    server: Server, yard: Yard, why: Why, answer: object, commit: str | None, status: str, said: str
) -> None:  # fmt: skip
    """And is believed only if that is what was to be there."""
    file = yard.folder / "fixtures/environments/here.yaml"
    file.write_text(file.read_text().replace("version: version", "version: version, commit: git"))
    server.answers = [(200, answer)]

    found, why_not = why("release", commit=commit)

    assert found == status
    assert said in why_not


def test_a_deployment_without_a_name(server: Server, yard: Yard, why: Why) -> None:
    """Nothing can be compared."""
    file = yard.folder / "fixtures/environments/here.yaml"
    file.write_text(file.read_text().replace(", version: version", ""))

    assert why("release") == (STOPPED, "here names neither version nor commit")


def test_a_record_is_written_once(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed right after, the history knows."""
    yard.plan({"name": "good", "type": "record", "with": {"record": {"notes": "of {{release}}"}}})

    def at(boundary: str) -> None:
        if boundary == "ended good/1, before":
            raise KeyboardInterrupt("here")

    with pytest.raises(KeyboardInterrupt, match="here"):
        yard.run(at=at)
    assert yard.resume().status == SUCCESS
    assert yard.told.count(("here", "deploy", "2.0", "success")) == 1
    assert yard.look.state.tasks["good"].outcome.why == "it was interrupted; record 2 was written"
    assert Path("history.jsonl").exists()
