"""Hosts that do not answer, and the slots of those that do."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from sshexec import Engine, Host, Inventory, Timeouts
from sshexec.connectors import registry
from sshexec.connectors.base import Capability, Command, Completed, Connector, Context, Deadline, Phase
from sshexec.connectors.options import ConnectorOptions
from sshexec.connectors.output import Output
from sshexec.connectors.source import Source
from sshexec.errors import ConnectTimeoutError
from sshexec.events import HostFinished, HostPhase, HostStarted
from sshexec.runtime.slots import NoSlotError, Slots
from tests.testbed import DeadHosts, Sshd


@pytest.fixture
def dead() -> Iterator[DeadHosts]:
    hosts = DeadHosts("127.0.77.1", 12)
    yield hosts
    hosts.close()


def test_dead_hosts_keep_no_living_one_from_its_turn(sshd: Sshd, dead: DeadHosts) -> None:
    hosts: list[Any] = []
    for n, variables in enumerate(sshd.hosts(12).values()):
        hosts.append(
            Host(f"dead{n:02d}", {"ansible_host": dead.addresses[n], "ansible_port": dead.port, "ansible_timeout": 4})
        )
        hosts.append(Host(f"live{n:02d}", variables))
    with Engine(Inventory.from_hosts(hosts), concurrency=2) as engine:
        order = [e.host for e in engine.stream("all", "raw", "true") if isinstance(e, HostFinished)]
        assert sorted(order[:12]) == [f"live{n:02d}" for n in range(12)]
        assert sorted(order[12:]) == [f"dead{n:02d}" for n in range(12)]


class SlowToAnswer(Connector[ConnectorOptions, Context]):
    """Answers after a while; counts who works at once."""

    name: ClassVar[str] = "slow"
    capabilities: ClassVar[Capability] = Capability.POSIX
    Options = ConnectorOptions
    Context = Context
    lock = threading.Lock()
    opened = working = most = 0
    silent: ClassVar[bool] = False

    def open(self, deadline: Deadline) -> None:
        SlowToAnswer.opened += 1
        self.enter(Phase.CONNECTING)
        time.sleep(0.6)
        if self.silent:
            raise ConnectTimeoutError("nothing")
        self.answered()
        self.enter(Phase.KEY_EXCHANGE)

    @property
    def alive(self) -> bool:
        return True

    def execute(self, command: Command, output: Output, deadline: Deadline) -> Completed:
        with self.lock:
            SlowToAnswer.working += 1
            SlowToAnswer.most = max(self.working, self.most)
        time.sleep(0.1)
        with self.lock:
            SlowToAnswer.working -= 1
        return Completed(0)

    def put(self, source: Source, path: str, deadline: Deadline, **more: Any) -> None: ...

    def get(self, path: str, target: Any, deadline: Deadline, **more: Any) -> None: ...

    def cancel(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("concurrency", [1, 3])
def test_hosts_that_answer_late_never_work_beside_more_than_asked_for(concurrency: int) -> None:
    # In a process of its own that gevent has patched: the connector is this test's, and workers can't load it.
    code = f"""
from sshexec.runtime.patched import patch
patch()
from tests.runtime import test_slots
test_slots.run_slowly({concurrency})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def run_slowly(concurrency: int) -> None:
    """Run five hosts that answer late, and check what was seen."""
    registry._BUILT_IN["slow"] = "tests.runtime.test_slots:SlowToAnswer"
    hosts: list[Any] = [Host(f"s{n}", {"ansible_connection": "slow"}) for n in range(5)]
    with Engine(Inventory.from_hosts(hosts), concurrency=concurrency) as engine:
        events = list(engine.stream("all", "raw", "true"))
    assert len([e for e in events if isinstance(e, HostStarted)]) == 5
    finished = [e.result for e in events if isinstance(e, HostFinished)]
    assert [r.status for r in finished] == ["changed"] * 5, finished
    assert 0 < SlowToAnswer.most <= concurrency, SlowToAnswer.most
    again = [e for e in events if isinstance(e, HostPhase) and e.phase == "waiting"]
    assert again, "no host has lost its slot"
    assert SlowToAnswer.opened == 5 + len(again)


def test_a_slot_that_was_lent_is_claimed_once_there_is_room() -> None:
    slots = Slots(limit=1, most=3)
    slow: Any = type("Turn", (), {"waiting_since": time.monotonic() - 1, "answered": False, "patient": False})()
    slots.begin()
    assert slots.free == 0
    slots.lend([slow])
    assert slots.free == 1
    slots.begin()
    with pytest.raises(NoSlotError):
        slots.claim(slow)
    assert slow.patient
    assert slots.overdrawn
    slots.end()
    slots.lend([slow])
    assert slots.free == 0
    slots.claim(slow)


def test_no_more_wait_than_there_are_descriptors_for() -> None:
    slots = Slots(limit=2, most=3)
    turns: list[Any] = [
        type("Turn", (), {"waiting_since": time.monotonic() - 1, "answered": False, "patient": False})()
        for _ in range(2)
    ]
    for _ in range(2):
        slots.begin()
    slots.lend(turns)
    assert slots.free == 1


def test_a_run_that_ends_while_slots_are_lent_ends(sshd: Sshd, dead: DeadHosts) -> None:
    hosts: list[Any] = [
        Host(f"dead{n}", {"ansible_host": address, "ansible_port": dead.port})
        for n, address in enumerate(dead.addresses)
    ]
    with Engine(Inventory.from_hosts(hosts), concurrency=2, timeouts=Timeouts(connect=300)) as engine:
        result = engine.run("all", "raw", "true", run_timeout=2)
        assert {r.cause for r in result.values()} == {"run_timeout"}
