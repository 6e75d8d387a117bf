"""``python -m sshexec.demo.server BACKEND FOLDER COUNT``: the process that is the demo fleet.

It listens on 127.0.1.1 and up, tells its port on standard output, and lives until its standard input ends. So it goes
with whoever started it, however that one ended, and takes the folder with it.
"""

from __future__ import annotations

import os
import selectors
import shutil
import signal
import socket
import sys
from pathlib import Path

from sshexec.demo.backend import Backend

ATTEMPTS = 20
"""Ports to try until one is free on every address."""


def addresses(count: int) -> list[str]:
    """Return that many loopback addresses, one for each host."""
    return [f"127.0.{1 + n // 250}.{1 + n % 250}" for n in range(count)]


def listen(count: int) -> list[socket.socket]:
    """Return listening sockets on that many addresses, all on one port.

    Raises:
        OSError: an address can't be used, or no port was free on all of them.
    """
    for attempt in range(ATTEMPTS):
        listeners: list[socket.socket] = []
        port = 0
        try:
            for address in addresses(count):
                listener = socket.create_server((address, port), backlog=128)
                listeners.append(listener)
                port = listener.getsockname()[1]
        except OSError:
            for listener in listeners:
                listener.close()
            if not listeners or attempt == ATTEMPTS - 1:
                raise
        else:
            return listeners
    raise OSError("no free port")


def serve(backend: Backend, listeners: list[socket.socket], parent: int) -> None:
    """Accept connections until the parent's descriptor ends."""
    with selectors.DefaultSelector() as selector:
        for listener in listeners:
            listener.setblocking(False)
            selector.register(listener, selectors.EVENT_READ)
        selector.register(parent, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select(1.0):
                if isinstance(key.fileobj, socket.socket):
                    _accept(key.fileobj, backend)
                elif not os.read(parent, 4096):
                    return
            backend.reap()


def _accept(listener: socket.socket, backend: Backend) -> None:
    try:
        connection, _ = listener.accept()
    except OSError:
        return  # the client has gone again, or descriptors are short for now
    connection.setblocking(True)
    backend.serve(connection)


def make_backend(name: str, folder: Path) -> Backend:
    """Return the backend of that name."""
    if name == "openssh":
        from sshexec.demo.openssh import OpensshBackend

        return OpensshBackend(folder)
    from sshexec.demo.embedded import EmbeddedBackend

    return EmbeddedBackend(folder)


def main(name: str, folder: Path, count: int) -> None:
    """Be the fleet."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        backend = make_backend(name, folder)
        listeners = listen(count)
        print(listeners[0].getsockname()[1], flush=True)
        try:
            serve(backend, listeners, sys.stdin.fileno())
        finally:
            backend.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
