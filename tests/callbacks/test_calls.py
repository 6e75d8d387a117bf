"""Callback objects in Ansible's shape: who is called, in which order, with what, and that nobody is disturbed."""

from __future__ import annotations

import asyncio
import collections
import json
import logging
import subprocess
import sys
import textwrap
import threading
import unittest.mock
from typing import Any

import pytest

from sshexec import Engine, Host, HostFinished, Inventory, RunFinished, errors
from sshexec.callbacks.calls import CALLED
from tests.cli.command import environment

RUNNERS = ("ok", "failed", "skipped", "unreachable")


class Recorder:
    """Keeps the calls in their order."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.threads: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        if name not in CALLED:
            raise AttributeError(name)

        def call(*arguments: Any, **keywords: Any) -> None:
            self.threads.add(threading.get_ident())
            self.calls.append((name, arguments[0]))

        return call

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def results(self, kind: str) -> dict[str, Any]:
        return {result._host.get_name(): result for name, result in self.calls if name == f"v2_runner_on_{kind}"}


@pytest.fixture
def local() -> Inventory:
    """Six hosts that are this machine."""
    hosts: list[Any] = [Host(f"l{n}", {"ansible_connection": "local", "number": n}) for n in range(6)]
    return Inventory.from_hosts(hosts)


@pytest.fixture
def fake() -> Inventory:
    """Hosts without a network, one for each way to end."""
    answers = {"hi": "hi\n", "bad": {"stdout": "", "stderr": "no\n", "rc": 3}, "slow": {"delay": 30}}
    good: dict[str, Any] = {"ansible_connection": "fake", "fake_answers": answers}
    hosts = [
        Host("good", {**good, "what": "hi"}),
        Host("bad", {**good, "what": "bad"}),
        Host("slow", {**good, "what": "slow"}),
        Host("down", {"ansible_connection": "fake", "fake_fault": "refused", "what": "hi"}),
    ]
    return Inventory.from_hosts(hosts)


def test_every_way_to_end_has_its_call(fake: Inventory) -> None:
    seen = Recorder()
    with Engine(fake, callback=seen) as engine:
        result = engine.run("all", "shell", "{{ what }}", timeout=0.5)
    assert result.counts == {"changed": 1, "failed": 1, "timeout": 1, "unreachable": 1}
    assert {kind: sorted(seen.results(kind)) for kind in RUNNERS} == {
        "ok": ["good"],
        "failed": ["bad", "slow"],
        "skipped": [],
        "unreachable": ["down"],
    }
    good, slow, down = (
        seen.results(*pair)[name] for pair, name in ((["ok"], "good"), (["failed"], "slow"), (["unreachable"], "down"))
    )
    assert (good.is_changed(), good.is_failed(), good.is_skipped(), good.is_unreachable()) == (
        True,
        False,
        False,
        False,
    )
    assert slow.is_failed()
    assert down.is_unreachable()
    assert not down.is_failed()
    assert down._result["unreachable"] is True
    assert good._result == {**result["good"].to_ansible(), "_ansible_no_log": False}
    assert "failed" not in slow._result
    assert slow._result["timedout"] == {"period": 0.5}


def test_the_calls_come_in_ansibles_order_on_one_thread(local: Inventory) -> None:
    seen = Recorder()
    with Engine(local, callback=seen) as engine:
        engine.run("all", "raw", "true")
    assert seen.names[:3] == ["v2_playbook_on_start", "v2_playbook_on_play_start", "v2_playbook_on_task_start"]
    assert seen.names[-1] == "v2_playbook_on_stats"
    assert len(seen.threads) == 1
    for host in local.select("all"):
        of_host = [name for name, about in seen.calls if str(getattr(about, "host", about)) == host.name]
        assert of_host == ["v2_runner_on_start", "v2_runner_on_ok"]


def test_objects_answer_as_ansibles_do(local: Inventory) -> None:
    seen = Recorder()
    with Engine(local, callback=seen) as engine:
        engine.run("l0,l1", "ansible.builtin.command", "chdir=/ echo 'a b' {{ number }}")
    about = dict(reversed(seen.calls))
    task, play, stats = (about[f"v2_playbook_on_{name}"] for name in ("task_start", "play_start", "stats"))
    assert (task.get_name(), task.action) == ("ansible.builtin.command", "ansible.builtin.command")
    assert task.resolved_action == "ansible.builtin.command"
    assert task.args == {"chdir": "/", "_raw_params": "echo 'a b' {{ number }}"}
    assert (play.get_name(), play.hosts) == ("l0,l1", ["l0", "l1"])
    assert about["v2_playbook_on_start"].get_plays() == [play]
    assert stats.processed == {"l0": 1, "l1": 1}
    assert stats.summarize("l0")["changed"] == 1
    result = seen.results("ok")["l1"]
    assert (result.host, result.task, result.task_name) == (result._host, task, task.get_name())
    assert (str(result._host), result._host.get_vars()["number"]) == ("l1", 1)
    assert result.result is result._result
    assert result._result["stdout"] == "a b 1"
    assert result._task_fields["action"] == task.action
    assert about["v2_runner_on_start"].get_name() in ("l0", "l1")


def test_a_skipped_host_and_a_difference(local: Inventory, tmp_path: Any) -> None:
    seen = Recorder()
    with Engine(local, callback=[seen]) as engine:
        engine.run("l0", "raw", "true", check=True)
        engine.run("l0", "copy", {"content": "x\n", "dest": str(tmp_path / "f")}, diff=True)
        engine.run("l0", "copy", {"content": "x\n", "dest": str(tmp_path / "g")})
    assert list(seen.results("skipped")) == ["l0"]
    assert "skipped" not in seen.results("skipped")["l0"]._result
    runners = [name for name in seen.names if "playbook" not in name]
    assert runners[1:] == [
        "v2_runner_on_skipped",
        "v2_runner_on_start",
        "v2_on_file_diff",
        "v2_runner_on_ok",
        "v2_runner_on_start",
        "v2_runner_on_ok",
    ]
    (shown,) = [about for name, about in seen.calls if name == "v2_on_file_diff"]
    assert shown._result["diff"][0]["after"] == "x\n"


def test_hosts_that_are_not_started_failed(local: Inventory) -> None:
    seen = Recorder()
    with Engine(local, callback=seen) as engine:
        result = engine.run("all", "raw", "false", serial=1, max_fail_percentage=0)
    assert result.counts == {"failed": 1, "cancelled": 5}
    assert sorted(seen.results("failed")) == sorted(result)
    assert collections.Counter(seen.names)["v2_runner_on_start"] == 6


class Broken:
    """Raises whatever it can."""

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        raise ValueError("no")

    def v2_runner_on_ok(self, result: Any) -> None:
        del result._result["stdout"]
        raise SystemExit(3)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        raise KeyboardInterrupt


def test_a_callback_that_raises_is_logged_and_disturbs_nobody(
    local: Inventory, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Recorder()
    with Engine(local, callback=[Broken(), seen]) as engine:
        result = engine.run("all", "raw", "echo hi")
    assert result.counts == {"changed": 6}
    assert {host.stdout for host in result.values()} == {"hi\n"}
    assert {each._result["stdout"] for each in seen.results("ok").values()} == {"hi\n"}
    logged = [record.getMessage() for record in caplog.records]
    assert "callback Broken.v2_runner_on_ok failed (host l0)" in logged
    assert len(logged) == 6 + 6 + 1


def test_a_slow_callback_holds_up_the_end_and_nobody_else(local: Inventory) -> None:
    go = threading.Event()
    seen = Recorder()

    class Slow:
        def v2_runner_on_ok(self, result: Any) -> None:
            assert go.wait(30)

    with Engine(local, callback=[Slow(), seen]) as engine:
        run = engine.start("all", "raw", "true")
        finished = 0
        for event in run.events():
            finished += isinstance(event, HostFinished)
            if finished == 6:
                break
        assert not run.done
        assert not seen.results("ok")
        go.set()
        assert run.wait(30).counts == {"changed": 6}
        assert len(seen.results("ok")) == 6
        assert seen.names[-1] == "v2_playbook_on_stats"


def test_runs_of_one_engine_are_told_one_call_at_a_time(local: Inventory) -> None:
    class Alone:
        inside = 0
        most = 0
        ended = 0

        def v2_runner_on_ok(self, result: Any) -> None:
            self.inside += 1
            self.most = max(self.most, self.inside)
            threading.Event().wait(0.005)
            self.inside -= 1
            self.ended += 1

    alone = Alone()
    with Engine(local, callback=alone) as engine:
        runs = [engine.start("all", "raw", "true") for _ in range(3)]
        for run in runs:
            run.wait(60)
    assert (alone.most, alone.ended) == (1, 18)


def test_a_callback_starts_no_run_on_its_own_engine_but_on_another(local: Inventory) -> None:
    problems: list[str] = []
    counts: list[Any] = []

    class Starter:
        def v2_runner_on_ok(self, result: Any) -> None:
            for start in (lambda: engine.run("l0", "ping"), lambda: asyncio.run(engine.arun("l0", "ping"))):
                try:
                    start()
                except errors.SshexecError as error:
                    problems.append(str(error))
            counts.append(other.run("l1", "ping").counts)

    with Engine(local) as other, Engine(local, callback=Starter()) as engine:
        engine.run("l0", "ping")
    assert problems == ["a callback can't start a run on the engine that calls it: use another engine"] * 2
    assert counts == [{"ok": 1}]


@pytest.mark.parametrize("way", ["run", "start", "stream", "arun", "astream"])
def test_however_a_run_is_started(local: Inventory, way: str) -> None:
    seen = Recorder()
    with Engine(local, callback=seen) as engine:
        if way == "run":
            engine.run("all", "ping")
        elif way == "start":
            engine.start("all", "ping").wait(60)
        elif way == "stream":
            assert isinstance(list(engine.stream("all", "ping"))[-1], RunFinished)
        elif way == "arun":
            asyncio.run(engine.arun("all", "ping"))
        else:

            async def read() -> list[Any]:
                return [event async for event in engine.astream("all", "ping")]

            assert isinstance(asyncio.run(read())[-1], RunFinished)
    assert collections.Counter(seen.names) == {
        "v2_playbook_on_start": 1,
        "v2_playbook_on_play_start": 1,
        "v2_playbook_on_task_start": 1,
        "v2_runner_on_start": 6,
        "v2_runner_on_ok": 6,
        "v2_playbook_on_stats": 1,
    }


def test_in_a_process_that_gevent_has_patched() -> None:
    script = """
        import gevent.monkey
        gevent.monkey.patch_all()
        import gevent, json
        from sshexec import Engine, Host, Inventory
        names, beats = [], []
        class Seen:
            def v2_runner_on_start(self, host, task):
                names.append(f"start {host.get_name()}")
            def v2_runner_on_ok(self, result):
                gevent.sleep(0.05)
                names.append(f"ok {result._host.get_name()}")
            def v2_playbook_on_stats(self, stats):
                names.append("stats")
        hosts = [Host(f"l{n}", {"ansible_connection": "local"}) for n in range(3)]
        gevent.spawn(lambda: [(gevent.sleep(0.01), beats.append(1)) for _ in range(1000)])
        with Engine(Inventory.from_hosts(hosts), callback=Seen()) as engine:
            engine.run("all", "raw", "true")
        print(json.dumps([names, len(beats)]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60, env=environment()
    )
    assert done.returncode == 0, done.stderr
    names, beats = json.loads(done.stdout)
    assert sorted(names) == sorted([f"{what} l{n}" for n in range(3) for what in ("start", "ok")] + ["stats"])
    assert names[-1] == "stats"
    assert beats > 5


def test_without_a_callback_no_thread_is_started(local: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda self: (started.append(self.name), start(self))[1])
    with Engine(local) as engine:
        engine.run("l0", "ping")
    assert started
    assert "sshexec-callbacks" not in started


def test_an_object_that_fails_before_it_is_called_holds_no_run_up(
    local: Inventory, caplog: pytest.LogCaptureFixture
) -> None:
    class Unsure(Recorder):
        @property
        def disabled(self) -> bool:
            raise RuntimeError("no idea")

    last = Recorder()
    with Engine(local, callback=[Unsure(), last]) as engine:
        run = engine.start("l0", "ping")
        assert run.wait(30).counts == {"ok": 1}
    assert "v2_playbook_on_stats" in last.names
    assert "callback Unsure.v2_runner_on_ok failed (host l0)" in caplog.messages


@pytest.mark.parametrize("stopped_by", ["cancel", "run_timeout"])
def test_a_callback_that_does_not_return_holds_no_stopped_run_up(
    local: Inventory, stopped_by: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sshexec.run.LEAVE_AFTER", 0.1)
    released, told = threading.Event(), threading.Event()

    class Stuck:
        def v2_runner_on_ok(self, result: Any) -> None:
            released.wait(60)

        def v2_playbook_on_stats(self, stats: Any) -> None:
            told.set()

    with Engine(local, callback=Stuck()) as engine:
        run = engine.start("l0", "ping", run_timeout=2 if stopped_by == "run_timeout" else None)
        while not any(isinstance(event, HostFinished) for event in iter(run.poll, None)):
            pass
        if stopped_by == "cancel":
            run.cancel()
        assert run.wait(30).counts == {"ok": 1}
        assert f"run {run.id} was stopped, and ends before its callbacks have returned" in caplog.messages
        assert not told.is_set()
        released.set()
        assert told.wait(30)  # the calls go on
        assert engine.start("l1", "ping").wait(30).counts == {"ok": 1}


def test_a_log_that_fails_holds_no_run_up(local: Inventory) -> None:
    class Raising:
        def v2_runner_on_ok(self, result: Any) -> None:
            raise RuntimeError("from the callback")

    class Full(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("no space left")

    handler, log = Full(), logging.getLogger("sshexec")
    log.addHandler(handler)
    try:
        with Engine(local, callback=Raising()) as engine:
            assert engine.start("l0", "ping").wait(30).counts == {"ok": 1}
    finally:
        log.removeHandler(handler)


def test_any_gets_every_call_and_disabled_none(local: Inventory) -> None:
    class Any_:
        def __init__(self) -> None:
            self.calls: list[Any] = []

        def v2_on_any(self, *args: Any, **kwargs: Any) -> None:
            self.calls.append((len(args), kwargs))

    class Disabled(Any_):
        disabled = True

    every, disabled = Any_(), Disabled()
    with Engine(local, callback=(every, disabled)) as engine:
        engine.run("l0", "raw", "false")
    one, start, failed = (1, {}), (2, {}), (1, {"ignore_errors": False})
    assert every.calls == [one, one, (1, {"is_conditional": False}), start, failed, one]
    assert disabled.calls == []


def test_a_mock_is_called(local: Inventory) -> None:
    seen = unittest.mock.Mock()
    with Engine(local, callback=seen) as engine:
        engine.run("l0", "ping")
    (result,) = seen.v2_runner_on_ok.call_args.args
    assert result._result["ping"] == "pong"
    seen.v2_runner_on_failed.assert_not_called()


def test_a_plain_class_may_leave_out_what_ansible_gives_by_name(local: Inventory) -> None:
    class Plain:
        hosts: list[str] = []  # noqa: RUF012

        def v2_runner_on_failed(self, result: Any) -> None:
            self.hosts.append(result._host.get_name())

        def v2_playbook_on_task_start(self, task: Any) -> None:
            self.hosts.append(task.get_name())

    with Engine(local, callback=Plain()) as engine:
        engine.run("l0", "raw", "false")
    assert Plain.hosts == ["raw", "l0"]


def _empty() -> object:
    class Empty:
        def on_ok(self, result: Any) -> None: ...

    return Empty()


def _asynchronous() -> object:
    class Asynchronous:
        async def v2_runner_on_ok(self, result: Any) -> None: ...

    return Asynchronous()


def _generator() -> object:
    class Generator:
        def v2_runner_on_ok(self, result: Any) -> Any:
            yield result

    return Generator()


def _asynchronous_generator() -> object:
    class Both:
        async def v2_on_any(self, *arguments: Any, **keywords: Any) -> Any:
            yield arguments

    return Both()


def _other_arguments() -> object:
    class Other:
        def v2_runner_on_start(self, host: Any) -> None: ...

    return Other()


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (_empty(), "callback: Empty has none of the methods that are called: v2_playbook_on_start, "),
        (Broken, "callback: expected an object, got the class Broken"),
        ([Broken(), "x"], "callback: str has none of the methods"),
        (_asynchronous(), "callback: Asynchronous.v2_runner_on_ok is a coroutine function"),
        (_generator(), "callback: Generator.v2_runner_on_ok is a generator function"),
        (_asynchronous_generator(), "callback: Both.v2_on_any is an asynchronous generator function"),
        (
            _other_arguments(),
            "callback: Other.v2_runner_on_start(host: 'Any') -> 'None' can't be called as Ansible does",
        ),
    ],
)
def test_what_can_not_be_called_is_refused_at_once(local: Inventory, callback: Any, message: str) -> None:
    with pytest.raises(errors.ArgumentError) as caught:
        Engine(local, callback=callback)
    assert str(caught.value).startswith(message)
