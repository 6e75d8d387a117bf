"""A way to a server that can swallow everything: no byte gets through any more, and nobody is told."""

from __future__ import annotations

import contextlib
import socket
import threading


class Way:
    """Forwards connections to a port of this machine.

    Args:
        port: where to.
        delay: seconds that everything is under way, in each direction.
    """

    def __init__(self, port: int, delay: float = 0.0) -> None:
        self._delay = delay
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._swallowing: set[socket.socket] = set()
        self._closed = threading.Event()
        self.connections = 0
        """How many were forwarded so far."""
        threading.Thread(target=self._accept, daemon=True).start()

    def vanish(self) -> None:
        """Forward nothing more on the connections that are open; new ones get through."""
        self._swallowing.update(self._sockets)

    def close(self) -> None:
        """Close everything."""
        self._closed.set()
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                self._sockets += [client, server]
                self.connections += 1
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._forward, args=(source, target), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if source in self._swallowing:
                    self._closed.wait()
                    return
                self._closed.wait(self._delay)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
