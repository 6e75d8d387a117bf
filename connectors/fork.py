"""What a forked child inherits and must not touch: its parent's connections and pipes.

Under gevent a child inherits the greenlets too, and they go on reading. A byte that the child takes from a connection,
or a farewell that it sends, ends the connection for its parent. So the child's descriptors are exchanged for ones that
lead nowhere, before any of its code runs: reading gives the end, writing an error, closing disturbs nobody.
"""

from __future__ import annotations

import _socket
import contextlib
import os
import weakref
from typing import Protocol


class HasDescriptor(Protocol):
    """A socket or a file."""

    def fileno(self) -> int:
        """Return the descriptor; -1 or ValueError once it is closed."""
        ...


_kept: weakref.WeakSet[HasDescriptor] = weakref.WeakSet()


def keep_from_children(file: HasDescriptor) -> None:
    """See to it that children which this process forks can't use a socket or a pipe.

    Args:
        file: must outlive its descriptor.
    """
    _kept.add(file)


def _sever() -> None:
    # The bare socket type: gevent's would talk to an event loop that is still the parent's.
    gone, dead = _socket.socketpair()
    gone.close()
    for file in list(_kept):
        with contextlib.suppress(OSError, ValueError):
            descriptor = file.fileno()
            if descriptor >= 0:
                os.dup2(dead.fileno(), descriptor, inheritable=False)
    _kept.clear()
    dead.close()


os.register_at_fork(after_in_child=_sever)
