"""Questions of hosts reach the caller's process, from its own pool and from workers, and are asked once."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Host, Inventory, Question, RunResult, Secret
from sshexec.errors import ArgumentError
from tests.pam import asking_sshd, failures
from tests.runtime.conftest import wait_for
from tests.testbed import Sshd

PASSWORD, CODE = "canary-password", "canary-135"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """Hosts that want a password and a code at prompts."""
    folder = tmp_path_factory.mktemp("pam")
    with asking_sshd(folder, {"Password: ": PASSWORD, "Code: ": CODE}) as server:
        yield server


def inventory(server: Sshd, count: int = 12) -> Inventory:
    hosts = server.hosts(count)
    for variables in hosts.values():
        del variables["ansible_private_key_file"]
    return Inventory.from_hosts([Host(name, variables) for name, variables in hosts.items()])


class Person:
    """Answers by kind, in this process."""

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers
        self.asked: list[Question] = []
        self.threads: set[threading.Thread] = set()

    def __call__(self, question: Question) -> Any:
        self.asked.append(question)
        self.threads.add(threading.current_thread())
        left = self.answers.get(question.kind, [None])
        return left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize("processes", [1, 2])
def test_workers_ask_their_parent_once_in_all(server: Sshd, processes: int) -> None:
    person = Person(password=["canary-typo", PASSWORD], code=[Secret(CODE)])
    before = failures(server)
    with Engine(inventory(server), ask=person, processes=processes) as engine:
        result = engine.run("all", "raw", "true")
        assert not result.unreachable, result.to_ansible()
        assert {host.status for host in result.values()} == {"changed"}
        assert [(q.kind, q.attempt) for q in person.asked if q.kind == "password"] == [("password", 1), ("password", 2)]
        # The code was tried with the wrong password, so that it may have been wrong itself.
        assert sum(question.kind == "code" for question in person.asked) == 2
        assert failures(server) - before == 1
        assert threading.current_thread() not in person.threads
        assert not engine.run("all", "raw", "true").unreachable
        assert len(person.asked) == 4


POOL = """
from sshexec.runtime.patched import patch
patch()
import json, sys, threading
from sshexec import Engine, Host, Inventory
asked = []
def person(question):
    asked.append(question.kind)
    return {"password": sys.argv[2], "code": sys.argv[3]}[question.kind]
hosts = [Host(name, variables) for name, variables in json.loads(sys.argv[1]).items()]
with Engine(Inventory.from_hosts(hosts), ask=person) as engine:
    result = engine.run("all", "raw", "true")
print(json.dumps([sorted(result.unreachable), asked]))
"""


def test_the_pool_of_a_patched_process_asks_too(server: Sshd) -> None:
    hosts = server.hosts(6)
    for variables in hosts.values():
        del variables["ansible_private_key_file"]
    done = subprocess.run(
        [sys.executable, "-c", POOL, json.dumps(hosts), PASSWORD, CODE], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], ["password", "code"]]


def test_an_answer_is_shown_nowhere(server: Sshd, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    def everything(ask: Callable[[Question], Any]) -> str:
        with Engine(inventory(server, 3), ask=ask) as engine:
            run = engine.start("all", "raw", "true")
            events = list(run.events())
            result: RunResult = run.wait()
            texts = [repr(events), repr(result), repr(engine), json.dumps(result.to_ansible()), str(result.to_dict())]
            texts += [json.dumps(event.to_dict()) for event in events if hasattr(event, "to_dict")]
            return "\n".join(texts)

    def failing(question: Question) -> str:
        raise RuntimeError("canary-in-an-exception")

    right = Person(password=[PASSWORD], code=[CODE])
    wrong = Person(password=["canary-wrong"], code=["canary-000"])
    seen = [everything(right), everything(wrong), everything(failing), caplog.text]
    assert "the answer was wrong 3 times" in seen[1]
    assert "nobody answered" in seen[2]
    assert "RuntimeError" in caplog.text, "the log is read"
    assert "canary" not in "".join(seen)
    log = server.log.read_text()
    assert "Failed keyboard-interactive" in log


def test_cancelling_a_run_ends_the_waiting(server: Sshd) -> None:
    asked, done = threading.Event(), threading.Event()

    def person(question: Question) -> None:
        asked.set()
        done.wait(60)

    with Engine(inventory(server), ask=person) as engine:
        run = engine.start("all", "raw", "true")
        assert asked.wait(30)
        run.cancel()
        result = run.wait(10)
        done.set()
    assert {host.status for host in result.values()} == {"cancelled"}


def test_a_worker_that_dies_leaves_the_question_to_the_others(server: Sshd) -> None:
    ready = threading.Event()
    person = Person(password=[PASSWORD], code=[CODE])

    first: list[str] = []

    def slowly(question: Question) -> Any:
        first.append(question.host)
        assert ready.wait(60)
        return person(question)

    with Engine(inventory(server, 6), ask=slowly, processes=2) as engine:
        run = engine.start("all", "raw", "true")
        wait_for(lambda: sum(state.phase == "authenticating" for state in run.snapshot()) == 6)
        wait_for(lambda: first)
        executor: Any = engine._executor
        # The worker of the host that would be the first to try the answer.
        worker = executor._slots[executor._homes[first[0]]]
        worker.process.kill()
        wait_for(lambda: worker.lost)
        ready.set()
        result = run.wait(60)
    assert {host.cause for host in result.unreachable.values()} == {"worker_lost"}
    assert len(result.unreachable) == 3
    assert [question.kind for question in person.asked] == ["password", "code"]


def test_a_key_of_a_file_is_unlocked_for_all_workers(sshd: Sshd, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.write_bytes(sshd.key.read_bytes())
    locked.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "phrase", "-f", str(locked)], check=True)
    hosts = {n: {**v, "ansible_private_key_file": str(locked)} for n, v in sshd.hosts(6).items()}
    person = Person(passphrase=["phrase"])
    with Engine(Inventory.from_hosts([Host(n, v) for n, v in hosts.items()]), ask=person, processes=2) as engine:
        assert not engine.run("all", "raw", "true").unreachable
    assert [question.kind for question in person.asked] == ["passphrase"]


def test_ask_is_a_function() -> None:
    with pytest.raises(ArgumentError, match="ask: expected a function"):
        Engine(Inventory.from_hosts([]), ask="hunter2")  # type: ignore[arg-type]


def test_a_key_that_nobody_can_unlock_is_an_error_before_anything_is_contacted(sshd: Sshd, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.write_bytes(sshd.key.read_bytes())
    locked.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "phrase", "-f", str(locked)], check=True)
    hosts = [Host("h1", {**sshd.variables(), "ansible_private_key_file": str(locked), "ansible_host": "127.0.0.1"})]
    began = time.monotonic()
    with Engine(Inventory.from_hosts(hosts)) as engine, pytest.raises(Exception, match="is encrypted: give"):
        engine.run("all", "raw", "true")
    assert time.monotonic() - began < 60
