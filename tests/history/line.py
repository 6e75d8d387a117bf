"""The line to a database server: it can be cut, it can swallow everything, and it can be mended."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading

_RESET = struct.pack("ii", 1, 0)


class Line:
    """Forwards connections to a server of this machine.

    Args:
        host: where to.
        port: likewise.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._flowing = threading.Event()
        self._flowing.set()
        self._closed = threading.Event()
        self.connections = 0
        """How many were forwarded so far."""
        self._listener: socket.socket | None = None
        self.port = 0
        self._listen()

    def cut(self) -> None:
        """Break every connection and refuse new ones."""
        with self._lock:
            listener, self._listener = self._listener, None
            sockets, self._sockets = self._sockets, set()
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for sock in sockets:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def hold(self) -> None:
        """Forward nothing more, on connections that are open and on new ones; nobody is told."""
        self._flowing.clear()

    def mend(self) -> None:
        """Forward again what was held, and take connections again."""
        self._flowing.set()
        with self._lock:
            listening = self._listener is not None
        if not listening:
            self._listen()

    def close(self) -> None:
        """End it for good."""
        self._closed.set()
        self.cut()
        self._flowing.set()

    def _listen(self) -> None:
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        with self._lock:
            self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self._target)
                with self._lock:
                    if self._listener is not listener:
                        client.close()
                        server.close()
                        return
                    self._sockets |= {client, server}
                    self.connections += 1
                for source, target in ((client, server), (server, client)):
                    threading.Thread(target=self._forward, args=(source, target), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flowing.wait()
                if self._closed.is_set():
                    return
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
