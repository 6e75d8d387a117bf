"""Sessions that are dropped in every way, on real hosts: nothing of them stays in this process or on the host."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sshexec.connectors.terminal import Size
from sshexec.inventory.members import Host
from sshexec.inventory.model import Inventory
from sshexec.terminal.events import Ended, Opened
from sshexec.terminal.policy import TerminalPolicy
from sshexec.terminal.sessions import TerminalManager
from sshexec.terminal.viewer import Viewer
from tests.connectors.screen import settle
from tests.testbed import Sshd

COUNT = 72
HOSTS = ("127.1.0.1", "127.1.0.2", "127.1.0.3")
WAYS: dict[str, Callable[[TerminalManager, Viewer], object]] = {
    "before it is open": lambda manager, viewer: viewer.close(),
    "by exit": lambda manager, viewer: viewer.write(b"exit\n"),
    "by who may": lambda manager, viewer: manager.terminate("ann", viewer.session.id),
    "by going away": lambda manager, viewer: viewer.close(),
    "by the host": lambda manager, viewer: viewer.write(b"kill -9 $PPID\n"),
    "by its program": lambda manager, viewer: viewer.session.close(),
}


def opened(viewer: Viewer) -> None:
    while not isinstance(got := viewer.read(30), Opened):
        assert got is not None
        assert not isinstance(got, Ended), got


def held(sshd: Sshd) -> tuple[int, int, int]:
    """Return how many descriptors and threads this process has, and the host processes for connections."""
    assert sshd._process is not None
    pid = sshd._process.pid
    daemons = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return len(os.listdir("/proc/self/fd")), threading.active_count(), len(daemons)


def no_more_than(before: tuple[int, ...], now: tuple[int, ...]) -> bool:
    """Return whether nothing has grown; what other tests have left may go meanwhile."""
    return all(one <= other for one, other in zip(now, before, strict=True))


def test_nothing_is_left_of_them(sshd: Sshd) -> None:
    inventory = Inventory.from_hosts([Host(name, sshd.variables()) for name in HOSTS])
    policy = TerminalPolicy(detached=0.1)

    def drop(number: int) -> None:
        way = [*WAYS][number % len(WAYS)]
        host = HOSTS[number % len(HOSTS)]
        viewer = manager.redeem(manager.issue("ann", host), size=Size())
        if way != "before it is open":
            opened(viewer)
        WAYS[way](manager, viewer)
        assert viewer.session.wait(30) is not None, way

    start = held(sshd)
    with TerminalManager(inventory, permit=lambda user, action, host: True, policy=policy, limit_each=COUNT) as manager:
        for number in range(len(WAYS)):
            drop(number)
        settle(lambda: no_more_than(start[1:], held(sshd)[1:]))
        before = held(sshd)
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(drop, range(COUNT)))
        settle(lambda: no_more_than(before, held(sshd)))
        assert manager.sessions("ann") == []
