"""Hosts for the runtime's tests: real sshd sessions, and processes of this machine where speed matters."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshexec import Host, Inventory, Run
from tests.testbed import Sshd


def wait_for(what: Callable[[], Any], seconds: float = 30) -> Any:
    """Wait until something is so, and return it."""
    limit = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < limit, "it never came"
        time.sleep(0.02)
    return found


def running(run: Run, count: int) -> None:
    """Wait until that many hosts of a run are at their command."""
    wait_for(lambda: sum(state.phase == "running" for state in run.snapshot()) == count)


def gone(pid: int) -> bool:
    """Whether a process has ended; one that waits for its parent to notice has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def fleet(sshd: Sshd) -> Inventory:
    """Twenty hosts of the real sshd."""
    return Inventory.from_hosts([Host(name, variables) for name, variables in sshd.hosts(20).items()])


@pytest.fixture
def local() -> Inventory:
    """Six hosts that are this machine."""
    hosts: list[Any] = [Host(f"l{n}", {"ansible_connection": "local", "number": n}) for n in range(6)]
    return Inventory.from_hosts(hosts)
