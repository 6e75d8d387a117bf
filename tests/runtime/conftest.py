"""Hosts for the runtime's tests: real sshd sessions, and processes of this machine where speed matters."""

from __future__ import annotations

from typing import Any

import pytest

from sshexec import Host, Inventory
from tests.testbed import Sshd


@pytest.fixture
def fleet(sshd: Sshd) -> Inventory:
    """Twenty hosts of the real sshd."""
    return Inventory.from_hosts([Host(name, variables) for name, variables in sshd.hosts(20).items()])


@pytest.fixture
def local() -> Inventory:
    """Six hosts that are this machine."""
    hosts: list[Any] = [Host(f"l{n}", {"ansible_connection": "local", "number": n}) for n in range(6)]
    return Inventory.from_hosts(hosts)
