"""A forked child has no part in its parent's connections."""

from __future__ import annotations

import subprocess
import sys

FULL = """
import os, resource, socket
from sshexec.connectors.severed import keep_from_children
ours, peer = socket.socketpair()
keep_from_children(ours)
limit = max(map(int, os.listdir("/proc/self/fd"))) + 1
resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
try:
    while True:
        os.dup(0)
except OSError:
    pass  # not one descriptor is left
child = os.fork()
if child == 0:
    try:
        print(ours.recv(1), flush=True)
        ours.send(b"from the child")
    except OSError as error:
        print(type(error).__name__, flush=True)
    os._exit(0)
os.waitpid(child, 0)
ours.send(b"from the parent")
print(peer.recv(100))
"""


def test_even_where_no_descriptor_is_left() -> None:
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, timeout=30)
    assert done.stdout == "b''\nBrokenPipeError\nb'from the parent'\n", done.stderr
