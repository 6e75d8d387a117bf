"""What a forked child inherits and must not touch: its parent's connections.

Under gevent a child inherits the greenlets too, and they go on reading. A byte that the child takes from a connection,
or a farewell that it sends, ends the connection for its parent. So the child's descriptors are exchanged for ones that
lead nowhere, before any of its code runs: reading gives the end, writing an error, closing disturbs nobody.
"""

from __future__ import annotations

import _socket
import contextlib
import os
import socket
import weakref

_kept: weakref.WeakSet[socket.socket] = weakref.WeakSet()
_dead: list[int] = []
"""The descriptor of a socket without a peer; made with the first connection: a child may find none left for one."""


def keep_from_children(sock: socket.socket) -> None:
    """See to it that children which this process forks can't use a connection."""
    if not _dead:
        # The bare type: gevent's would talk to an event loop, which in a child is still the parent's.
        gone, dead = _socket.socketpair()
        gone.close()
        _dead.append(dead.detach())
    _kept.add(sock)


def _sever() -> None:
    for sock in list(_kept):
        descriptor = sock.fileno()  # -1 once it is closed
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.dup2(_dead[0], descriptor, inheritable=False)
    _kept.clear()


os.register_at_fork(after_in_child=_sever)
