"""Many Windows hosts in one run: nobody waits for a slow one, cancelling frees every shell, Linux hosts go along."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sshexec import Engine, Host, Inventory, Timeouts
from sshexec.events import HostFinished
from tests.runtime.conftest import wait_for
from tests.testbed import Sshd
from tests.winrm_server import Answer, Call, Stopped, WinrmServer

HOSTS = [f"w{number:02d}" for number in range(60)]


class Gate:
    """What a script waits at until the test lets it go on, or somebody stops it."""

    def __init__(self) -> None:
        self.waiting = 0
        self._lock = threading.Lock()
        self._open = threading.Event()

    def open(self) -> None:
        self._open.set()

    def run(self, call: Call) -> int:
        with self._lock:
            self.waiting += 1
        while not self._open.is_set():
            if call.stopped.wait(0.05):
                raise Stopped
        return 0


@pytest.fixture
def server() -> Iterator[WinrmServer]:
    with WinrmServer({"vagrant": "secret"}, max_shells=100) as server:
        yield server


@pytest.fixture
def gate(server: WinrmServer) -> Gate:
    gate = Gate()
    server.powershell["wait"] = Answer(run=gate.run)
    server.powershell["quick"] = Answer("done\r\n")
    return gate


def inventory(server: WinrmServer, **more: Host) -> Inventory:
    hosts = [Host(name, server.variables(script="wait" if name == HOSTS[7] else "quick")) for name in HOSTS]
    return Inventory.from_hosts([*hosts, *more.values()])


def test_a_slow_host_holds_up_nobody(server: WinrmServer, gate: Gate) -> None:
    finished: list[str] = []
    with Engine(inventory(server)) as engine:
        for event in engine.stream("all", "raw", "{{ script }}", run_timeout=50):
            if isinstance(event, HostFinished):
                assert event.result.status == "changed", event.result.msg
                finished.append(event.host)
                if len(finished) == len(HOSTS) - 1:
                    assert gate.waiting == 1
                    gate.open()
    assert finished[-1] == HOSTS[7]
    assert sorted(finished) == HOSTS
    assert server.shells == {}
    assert server.failed_logins == 0
    assert server.unsealed == 0


def test_hosts_that_do_not_answer_hold_up_nobody(server: WinrmServer, gate: Gate) -> None:
    gate.open()
    finished: list[str] = []
    with WinrmServer({"vagrant": "secret"}) as frozen:
        frozen.misbehave("slow", op="Login", seconds=60)
        frozen.misbehave("slow", op="Create", seconds=60)
        deaf = {name: Host(name, frozen.variables(script="quick")) for name in ("deaf1", "deaf2")}
        with Engine(inventory(server, **deaf), timeouts=Timeouts(auth=55)) as engine:
            run = engine.start("all", "raw", "{{ script }}")
            for event in run.events():
                if isinstance(event, HostFinished):
                    finished.append(event.host)
                    if len(finished) == len(HOSTS):
                        run.cancel()
            result = run.wait(30)
        assert result.counts == {"changed": len(HOSTS), "cancelled": 2}
        assert sorted(finished[-2:]) == ["deaf1", "deaf2"]
        assert frozen.shells == {}
    assert server.shells == {}


def test_cancelling_a_run_frees_every_shell(server: WinrmServer, gate: Gate) -> None:
    with Engine(inventory(server)) as engine:
        run = engine.start("all", "raw", "wait")
        wait_for(lambda: gate.waiting == len(HOSTS))
        assert len(server.shells) == len(HOSTS)
        run.cancel()
        result = run.wait(50)
        assert result.counts == {"cancelled": len(HOSTS)}
        assert all(each.killed for each in result.values())
        assert server.shells == {}
        # The hosts are as good as before.
        assert engine.run("all", "raw", "quick").counts == {"changed": len(HOSTS)}
    assert server.shells == {}


def test_a_file_for_every_host(server: WinrmServer, tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(random.randbytes(300_000))
    with Engine(inventory(server)) as engine:
        arguments = {"src": str(source), "dest": "C:\\Windows\\Temp\\{{ inventory_hostname }}.bin"}
        result = engine.run("all", "win_copy", arguments, run_timeout=55)
        assert result.counts == {"changed": len(HOSTS)}, [each.msg for each in result.values() if not each.good][:3]
    written = {path.name: path.read_bytes() for path in (server.drive / "Windows/Temp").iterdir()}
    assert written == {f"{name}.bin": source.read_bytes() for name in HOSTS}
    assert server.shells == {}


def test_linux_and_windows_in_one_run(server: WinrmServer, gate: Gate, sshd: Sshd) -> None:
    server.powershell["echo hello"] = Answer("hello\r\n")
    linux = {name: Host(name, variables) for name, variables in sshd.hosts(10).items()}
    with Engine(inventory(server, **linux)) as engine:
        result = engine.run("all", "raw", "echo hello", run_timeout=50)
    assert result.counts == {"changed": len(HOSTS) + 10}
    assert {name: each.stdout.strip() for name, each in result.items()} == dict.fromkeys([*HOSTS, *linux], "hello")
    assert server.shells == {}
