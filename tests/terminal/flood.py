"""Sessions on a real host, most of them flooded: run in a process of its own, ``python -m tests.terminal.flood MODE``.

MODE is ``gevent``, for a patched process, or ``threads``. Host variables come as JSON on standard input; what was
measured goes as JSON to standard output.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and sys.argv[1] == "gevent":
    from gevent import monkey

    monkey.patch_all()

import contextlib
import gc
import json
import os
import threading
import time
from typing import Any

from sshexec.inventory.members import Host
from sshexec.inventory.model import Inventory
from sshexec.terminal.session import TerminalSession
from sshexec.terminal.viewer import Viewer
from tests.terminal.puppet import received

SHELL = "PS1='READY> ' exec bash --norc --noprofile -i"
IDLE = 6
FLOODS = 20 if "gevent" in sys.argv else 6


def memory() -> int:
    """Return the resident memory of this process, in bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def waiting(viewer: Viewer) -> Viewer:
    """Wait for the shell."""
    received(viewer, b"READY> ")
    return viewer


def latencies(viewer: Viewer, count: int) -> list[float]:
    """Return how long each key takes to come back, in seconds."""
    found = []
    for number in range(count):
        key = b"%d" % (number % 10)
        began = time.perf_counter()
        viewer.write(key)
        received(viewer, key)
        found.append(time.perf_counter() - began)
        time.sleep(0.002)
    return sorted(found)


def main(hosts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    inventory = Inventory.from_hosts([Host(name, variables) for name, variables in hosts.items()])
    report: dict[str, Any] = {}

    def opened() -> TerminalSession:
        return TerminalSession.open(inventory, "h001", command=SHELL)

    opened().close()  # the first one leaves what all of them share (sshexec/connectors/severed.py)
    at_first = sockets()
    threads = threading.active_count()
    first = opened()
    quiet = waiting(first.attach())
    before = memory()
    idle = [opened() for _ in range(IDLE)]
    for each in idle:
        waiting(each.attach())
    report["idle"] = (memory() - before) // IDLE
    report["alone"] = latencies(quiet, 20)[19]
    before = memory()
    floods = [opened() for _ in range(FLOODS)]
    owners = [waiting(each.attach()) for each in floods]
    for number, owner in enumerate(owners):
        owner.write([b"yes\r", b"cat /dev/urandom\r", b"tr '\\0' x </dev/zero\r"][number % 3])
    while any(each.info().sent < 128 * 1024 for each in floods):
        time.sleep(0.01)
    report["flood"] = (memory() - before) // FLOODS
    report["beside"] = latencies(quiet, 60)[58]
    reader = owners[2]
    received(reader, b"x" * 1_000_000)
    began = time.perf_counter()
    reader.write(b"\x03")
    received(reader, b"READY> ")
    report["interrupted"] = time.perf_counter() - began
    for each in (*idle, *floods, first):
        each.close()
        assert each.wait(10) is not None
    gc.collect()
    deadline = time.monotonic() + 10
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.01)
    report["threads"] = threading.active_count() - threads
    report["sockets"] = sockets() - at_first
    return report


def sockets() -> int:
    """Return how many sockets are open."""
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the folder's own
            found += "socket" in os.readlink(f"/proc/self/fd/{descriptor}")
    return found


if __name__ == "__main__":
    print(json.dumps(main(json.load(sys.stdin))))
