"""Who may run what where: through worker processes, on scripted hosts that tell who was contacted."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Host, HostFinished, Inventory, RunResult, Secret, errors
from sshexec import run as runs
from sshexec.ansible_api import AnsibleApi
from sshexec.task import Task

Fleet = Callable[..., Inventory]


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """The file in which the hosts note each call."""
    return tmp_path / "calls"


@pytest.fixture
def fleet(calls: Path) -> Fleet:
    """Return a function that makes hosts h0, h1 ... that answer to everything but to `false`."""

    def make(count: int = 6, **variables: Any) -> Inventory:
        answers = {"false": {"rc": 1}, "slow": {"delay": 0.05}, "*": "fine\n"}
        base = {"ansible_connection": "fake", "fake_answers": answers, "fake_record": str(calls), **variables}
        hosts = [Host(f"h{n}", {**base, "number": n}) for n in range(count)]
        return Inventory.from_hosts(hosts)

    return make


def contacted(calls: Path) -> list[str]:
    """Return the hosts that were contacted, in order."""
    if not calls.exists():
        return []
    lines = map(json.loads, calls.read_text().splitlines())
    return [line["host"] for line in lines if line["call"] == "open"]


def statuses(result: RunResult) -> dict[str, str]:
    return {name: host.status for name, host in result.items()}


def test_what_it_answers_decides(fleet: Fleet, calls: Path) -> None:
    answers = {"h0": None, "h1": True, "h2": False, "h3": "h3 is frozen until Monday", "h4": "", "h5": 1}
    with Engine(fleet(), authorize=lambda actor, host, task: answers[host]) as engine:  # type: ignore[return-value]
        result = engine.run("all", "command", "uptime")
    assert sorted(contacted(calls)) == ["h0", "h1"]
    assert statuses(result) == {"h0": "changed", "h1": "changed", **dict.fromkeys(["h2", "h3", "h4", "h5"], "skipped")}
    assert {result[host].cause for host in ("h2", "h3", "h4", "h5")} == {"unauthorized"}
    assert result["h3"].to_ansible() == {
        "skipped": True,
        "changed": False,
        "skip_reason": "h3 is frozen until Monday",
        "msg": "h3 is frozen until Monday",
    }
    assert result["h2"].msg == result["h4"].msg == "not authorized"
    assert result["h5"].msg == "not authorized: the check gave no answer"
    assert result["h3"].started is None
    assert result.exit_code == 0


def test_it_is_told_who_where_and_what(fleet: Fleet) -> None:
    seen: list[tuple[str | None, str, Task]] = []

    def authorize(actor: str | None, host: str, task: Task) -> bool:
        seen.append((actor, host, task))
        return threading.current_thread() is not threading.main_thread()

    with Engine(fleet(2), actor="alice", authorize=authorize) as engine:
        assert engine.run("all", "shell", "uptime", check=True).counts == {"skipped": 2}
        engine.run("h1", "ping", actor="bob")
    assert [(actor, host, task.module, task.args, task.check) for actor, host, task in seen] == [
        ("alice", "h0", "shell", "uptime", True),
        ("alice", "h1", "shell", "uptime", True),
        ("bob", "h1", "ping", None, False),
    ]


def test_a_check_that_fails_refuses_and_leaks_nothing(
    fleet: Fleet, calls: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def authorize(actor: str | None, host: str, task: Task) -> bool:
        raise LookupError("postgresql://auth:hunter2@db1 does not answer")

    with Engine(fleet(3), authorize=authorize) as engine:
        result = engine.run("all", "ping")
    assert result.counts == {"skipped": 3}
    assert result["h1"].msg == "not authorized: the check failed (LookupError)"
    assert "hunter2" not in json.dumps(result.to_dict())
    assert contacted(calls) == []
    # The log has what happened, once.
    assert [record.levelno for record in caplog.records if "authorize failed" in record.message] == [logging.ERROR]
    assert "does not answer" in caplog.text


def test_a_reason_shows_no_secret(fleet: Fleet) -> None:
    inventory = fleet(1, ansible_password=Secret("hunter2"))
    with Engine(inventory, authorize=lambda actor, host, task: "no: its password is hunter2") as engine:
        assert engine.run("all", "ping")["h0"].msg == "no: its password is ********"


def test_what_can_not_be_asked(fleet: Fleet) -> None:
    async def later(actor: str | None, host: str, task: Task) -> bool:
        return True

    with pytest.raises(errors.ArgumentError, match=r"authorize: expected a plain function, got an asynchronous one"):
        Engine(fleet(), authorize=later)  # type: ignore[arg-type]
    with pytest.raises(errors.ArgumentError, match=r"authorize: expected a function .*, got str"):
        Engine(fleet(), authorize="alice")  # type: ignore[arg-type]


def test_hosts_are_asked_about_soon_before_their_turn(fleet: Fleet, calls: Path) -> None:
    ahead: list[int] = []

    def authorize(actor: str | None, host: str, task: Task) -> None:
        ahead.append(len(ahead) - len(contacted(calls)))

    with Engine(fleet(40), concurrency=2, authorize=authorize) as engine:
        assert engine.run("all", "command", "slow").counts == {"changed": 40}
    assert len(ahead) == 40
    assert max(ahead) <= 4


def test_batches_are_asked_about_one_after_the_other(fleet: Fleet, calls: Path) -> None:
    before: dict[str, int] = {}

    def authorize(actor: str | None, host: str, task: Task) -> bool:
        before[host] = len(contacted(calls))
        return host != "h1"

    with Engine(fleet(6), authorize=authorize) as engine:
        result = engine.run("all", "command", "slow", serial=2)
    assert result.counts == {"changed": 5, "skipped": 1}
    assert before["h2"] == 1  # h0 alone
    assert before["h4"] == 3


def test_giving_up_asks_about_no_further_host(fleet: Fleet, calls: Path) -> None:
    asked: list[str] = []

    def authorize(actor: str | None, host: str, task: Task) -> bool:
        asked.append(host)
        return host != "h0"  # who is refused has not failed

    with Engine(fleet(30), concurrency=1, authorize=authorize) as engine:
        result = engine.run("all", "command", "false", max_fail_percentage=10)
    assert result["h0"].status == "skipped"
    failed = [name for name, host in result.items() if host.status == "failed"]
    assert 4 <= len(failed) <= 6  # those that were under way by then
    left = [name for name, host in result.items() if host.cause == "max_fail_percentage"]
    assert len(left) + len(failed) + 1 == 30
    assert len(asked) < 12
    assert sorted(contacted(calls)) == sorted(failed)


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_a_stop_does_not_wait_for_a_check(fleet: Fleet, calls: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "FORCE_AFTER", 0.3)
    asked, answer = threading.Event(), threading.Event()

    def authorize(actor: str | None, host: str, task: Task) -> None:
        asked.set()
        answer.wait(60)

    with Engine(fleet(4), authorize=authorize) as engine:
        run = engine.start("all", "ping", run_timeout=0.5 if how == "deadline" else None)
        assert asked.wait(30)
        if how == "cancel":
            run.cancel()
        result = run.wait(30)
        answer.set()
        # The answer comes when nobody wants it any more, and the next run is as any other.
        assert engine.run("h3", "ping").counts == {"ok": 1}
    assert set(statuses(result).values()) <= {"cancelled", "timeout"}
    assert {host.cause for host in result.values()} == {"cancelled" if how == "cancel" else "run_timeout"}
    assert contacted(calls) == ["h3"]


def test_a_host_allowed_in_the_moment_of_a_stop_is_stopped(fleet: Fleet, calls: Path) -> None:
    box: list[Any] = []
    ready = threading.Event()

    def authorize(actor: str | None, host: str, task: Task) -> None:
        ready.wait(30)
        box[0].cancel()

    with Engine(fleet(3), authorize=authorize) as engine:
        box.append(engine.start("all", "ping"))
        ready.set()
        assert box[0].wait(30).counts == {"cancelled": 3}
    assert contacted(calls) == []


def test_events_and_callbacks_tell_of_refused_hosts(fleet: Fleet) -> None:
    class Skipped:
        def __init__(self) -> None:
            self.reasons: dict[str, str] = {}

        def v2_runner_on_skipped(self, result: Any) -> None:
            self.reasons[result._host.get_name()] = result._result["skip_reason"]

    told = Skipped()
    with Engine(fleet(2), callback=told, authorize=lambda actor, host, task: f"not {host}") as engine:
        finished = [event.host for event in engine.stream("all", "ping") if isinstance(event, HostFinished)]
    assert sorted(finished) == ["h0", "h1"]
    assert told.reasons == {"h0": "not h0", "h1": "not h1"}


@pytest.fixture
def patched(tmp_path: Path, fleet: Fleet) -> Callable[[str], str]:
    """Return a function that runs a program in a process that gevent has patched."""

    def run(program: str) -> str:
        hosts = {name: host.vars for name, host in fleet(20).hosts.items()}
        (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
        first = "import gevent.monkey; gevent.monkey.patch_all()\n"
        done = subprocess.run(
            [sys.executable, "-c", first + textwrap.dedent(program), str(tmp_path / "hosts.json")],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_in_a_patched_process(patched: Callable[[str], str], calls: Path) -> None:
    printed = patched(
        """
        import sys, time
        from sshexec import Engine, Inventory

        def authorize(actor, host, task):
            time.sleep(0.001)
            return host != "h7"

        with Engine(Inventory.load(sys.argv[1]), concurrency=3, authorize=authorize) as engine:
            result = engine.run("all", "command", "slow")
        print(result.counts, result["h7"].status, "sshexec.runtime.workers" in sys.modules)
        """
    )
    assert printed == "{'changed': 19, 'skipped': 1} skipped False\n"
    assert len(contacted(calls)) == 19


def test_the_class_of_ansibles_python_api_asks_too(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []
    hosts = {"h0": {"ansible_connection": "local"}, "h1": {"ansible_connection": "local"}}
    keeping: dict[str, Any] = {"authorize": lambda actor, host, task: host == "h1", "actor": "alice"}
    with AnsibleApi(hosts, audit=lambda event: seen.append(f"{event.actor}: {event.event}"), **keeping) as api:
        api.run("true")
        maps = api.get_result()
    assert {name: list(found) for name, found in maps.items() if found} == {"success": ["h1"], "skipped": ["h0"]}
    assert "alice: host_refused" in seen


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"history": "sqlite:///x.db"}, r"history: expected a History\(\.\.\.\), got str"),
        ({"actor": 7}, "actor: expected a text"),
    ],
)
def test_what_an_engine_does_not_take(fleet: Fleet, options: dict[str, Any], message: str) -> None:
    with pytest.raises(errors.ArgumentError, match=message):
        Engine(fleet(), **options)
