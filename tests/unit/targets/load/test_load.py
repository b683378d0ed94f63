"""Load by the real Locust, in processes of its own, against a server of this process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import pytest

from pytest_release.config.cases import Request
from pytest_release.sampling import percentile
from pytest_release.targets import load as loading
from pytest_release.targets.load import LOCUSTFILE, Ask, Crew, Load, LoadError, Plan, Shot, Told
from tests.unit.targets.load.conftest import Deployment

WRONG = {
    "/ok": "",
    "/hangs-up": "the server hung up without an answer",
    "/cut": "the answer is no HTTP, or was cut off",
    "/chunks": "the answer is no HTTP, or was cut off",
    "/fails": "status 500",
    "/elsewhere": "status 302",
    "/slow": "no whole answer within 0.3 s",
    "/large": "more than 100000 bytes of answer",
}


def ask(path: str, timeout_s: float = 0.3) -> Ask:
    """One request that must be answered soon and shortly."""
    return Ask(path, Request("GET", path, timeout_s=timeout_s, max_bytes=100_000))


def shoot(plan: Plan, deployment: Deployment) -> tuple[list[Told], list[Shot]]:
    """All that a load tells, and its shots in the order they were due."""
    with Load(plan, deployment.environment) as load:
        told = list(load.told())
    shots = [shot for each in told for shot in each.shots]
    return told, sorted(shots, key=lambda shot: shot.due)


def test_each_way_of_answering_wrongly_is_told_apart(deployment: Deployment) -> None:
    """None of them is tried again, no redirect is followed, and every request is authorised."""
    asks = tuple(ask(path) for path in WRONG)
    poem = Ask("poem", Request("POST", "/ok", json={"a": "ä"}), text=("poem",))
    told, shots = shoot(Plan((*asks, poem), 100.0, 1.0), deployment)

    wrong = defaultdict(set)
    for shot in shots:
        wrong[(*WRONG, "poem")[shot.ask]].add(shot.wrong)
    expected = {path: {said} for path, said in WRONG.items()}
    assert wrong == {**expected, "poem": {"no 'poem' in the answer"}}
    assert sum(each.planned for each in told) == len(shots) == 100
    assert sum(deployment.asked.values()) == 100  # none of them twice
    assert {head["authorization"] for head in deployment.heads} == {"Bearer sesame-sesame"}
    assert set(deployment.bodies) == {b'{"a":"\xc3\xa4"}'}


def test_the_schedule_is_kept_whatever_the_answers_do(deployment: Deployment) -> None:
    """Requests are due evenly; what the server makes wait counts from when it was due."""
    deployment.freezes_at, deployment.freezes_s = 0.3, 0.5
    _, shots = shoot(Plan((ask("/ok", timeout_s=5.0),), 50.0, 1.0), deployment)

    assert [shot.due for shot in shots] == pytest.approx([number / 50 for number in range(50)])
    assert not any(shot.wrong for shot in shots)
    assert max(shot.took for shot in shots) == pytest.approx(0.5, abs=0.15)
    assert sum(shot.took > 0.1 for shot in shots) >= 15


def test_a_stall_hides_from_who_waits_and_not_from_the_schedule(deployment: Deployment) -> None:
    """Coordinated omission: the closed model's P95 is fine, the open model's is not."""
    deployment.freezes_at, deployment.freezes_s = 0.3, 0.6
    closed = []
    connection = HTTPConnection("127.0.0.1", deployment.server_port)
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        began = time.monotonic()
        connection.request("GET", "/ok")
        connection.getresponse().read()
        closed.append(time.monotonic() - began)
        time.sleep(0.01)
    connection.close()
    deployment.first = None
    _, shots = shoot(Plan((ask("/ok", timeout_s=5.0),), 60.0, 1.5), deployment)

    assert max(closed) > 0.5
    assert percentile(closed, 0.95) < 0.1
    assert percentile([shot.took for shot in shots], 0.95) > 0.4


def test_what_has_no_place_waits_in_line_or_is_never_started(deployment: Deployment) -> None:
    """That time counts, and is no lateness of the generator."""
    plan = Plan((ask("/slow", timeout_s=2.0),), 40.0, 0.7, under_way=2)
    _, shots = shoot(plan, deployment)

    said = Counter(shot.wrong for shot in shots)
    assert said == {"": 4, "was never started": 24}
    assert [shot.took > 0.5 for shot in shots[2:4]] == [True, True]
    assert max(shot.took for shot in shots if not shot.wrong) > 0.9
    assert percentile([shot.late for shot in shots], 0.9) < 0.1


def test_a_generator_that_cannot_keep_the_schedule_says_so(deployment: Deployment) -> None:
    """It gets no processor for a while: that is its own lateness, and the latency's, too."""
    with Load(Plan((ask("/ok", timeout_s=5.0),), 50.0, 1.0), deployment.environment) as load:
        messages = load.told()
        told = [next(messages), next(messages)]
        os.kill(load._process.pid, signal.SIGSTOP)
        time.sleep(0.4)
        os.kill(load._process.pid, signal.SIGCONT)
        shots = [shot for each in (*told, *messages) for shot in each.shots]

    late = [shot for shot in shots if shot.late > 0.1]
    assert len(shots) == 50
    assert 8 <= len(late) <= 25
    assert all(shot.took >= shot.late for shot in late)


def test_nobody_listens(deployment: Deployment) -> None:
    """A refused connection is an error of each request."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    nowhere = replace(deployment.environment, base_url=address)
    with Load(Plan((ask("/ok"),), 50.0, 0.2), nowhere) as load:
        shots = [shot for told in load.told() for shot in told.shots]

    assert {shot.wrong for shot in shots} == {"the connection was refused"}
    assert len(shots) == 10


def test_workers_here_and_elsewhere_share_one_load(deployment: Deployment) -> None:
    """One is started here; the other is a plain Locust, as on another machine."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    plan = Plan(
        (ask("/ok"),), 60.0, 0.5, arrivals="poisson", crew=Crew(processes=1, remote=1, port=port)
    )
    master = ["--worker", "--master-host", "127.0.0.1", "--master-port", str(port)]
    command = [sys.executable, "-m", "locust", "-f", str(LOCUSTFILE), *master]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as other:
        told, shots = shoot(plan, deployment)
        other.wait(10)

    assert {each.share for each in told} == {0, 1}
    assert sum(each.planned for each in told) == len(shots) == deployment.asked["/ok"]
    assert 10 < len(shots) < 80
    assert not any(shot.wrong for shot in shots)


def test_a_worker_that_is_lost_ends_the_load(deployment: Deployment) -> None:
    """Its share was not sent: nothing is shown by the rest."""
    plan = Plan((ask("/ok"),), 50.0, 20.0, crew=Crew(processes=1))
    with Load(plan, deployment.environment) as load:
        messages = load.told()
        next(messages)
        generator = load._process.pid
        (worker,) = Path(f"/proc/{generator}/task/{generator}/children").read_text().split()
        os.kill(int(worker), signal.SIGKILL)
        with pytest.raises(LoadError, match="1 of the load's workers was lost"):
            list(messages)


def test_workers_that_do_not_come(deployment: Deployment) -> None:
    """Are waited for, but not for ever."""
    plan = Plan((ask("/ok"),), 50.0, 0.5, crew=Crew(remote=2, wait_s=0.2))
    with (
        Load(plan, deployment.environment) as load,
        pytest.raises(LoadError, match=r"0 of 2 workers came in 0\.2 s"),
    ):
        list(load.told())


def test_a_load_that_is_left_leaves_nothing_behind(deployment: Deployment) -> None:
    """Neither requests nor processes."""
    with Load(Plan((ask("/ok"),), 100.0, 60.0), deployment.environment) as load:
        next(load.told())
        group = load._process.pid
    sent = deployment.asked["/ok"]
    time.sleep(0.1)

    with pytest.raises(ProcessLookupError, match="No such process"):
        os.killpg(group, 0)
    assert deployment.asked["/ok"] == sent


def test_without_locust_there_is_no_load(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what to install."""
    monkeypatch.setattr(loading, "find_spec", lambda _name: None)
    with (
        pytest.raises(LoadError, match=r"load needs Locust, .*: pip install 'pytest-release\[load"),
        Load(Plan((ask("/ok"),), 1.0, 1.0), deployment.environment),
    ):
        pass


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import sys; sys.exit('no sockets left')", "the load's process ended: no sockets left"),
        ("print('hello')", "a worker of the load speaks another language"),
        ('print(\'{"share": 0, "shots": [[0, 0, 0, 7, ""]]}\')', "speaks another language"),
        ("import time; time.sleep(60)", "the load has not ended in time"),
    ],
)
def test_a_process_that_fails_is_no_load(
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    script: str,
    said: str,
) -> None:
    """It ends, talks nonsense, or nothing."""
    file = tmp_path / "locustfile.py"
    file.write_text(script)
    monkeypatch.setattr(loading, "LOCUSTFILE", file)
    monkeypatch.setattr(loading, "START_S", 0.0)
    plan = Plan((ask("/ok"),), 1.0, 0.1, crew=Crew(wait_s=0.4 if "sleep" in script else 20.0))
    with (
        Load(plan, deployment.environment) as load,
        pytest.raises(LoadError, match=said),
    ):
        list(load.told())
