"""A TCP proxy that delays: what netem would do, where the kernel has none. A process of its own.

``python -I -S proxy.py ADDRESS PORT DELAY...`` listens on ADDRESS at a free port for each delay, prints these ports as
one JSON list, and forwards to PORT of ADDRESS. Every byte is handed on DELAY seconds after it came, in each direction,
so that a delay of 0.01 adds 20 ms of round-trip time. TCP's own handshake is not delayed. What is on its way is bounded
by `IN_FLIGHT`, far above what a transfer at full speed has under way.
"""

from __future__ import annotations

import contextlib
import json
import select
import socket
import sys
import time
from collections import deque

CHUNK = 1 << 20
IN_FLIGHT = 64 << 20


class Pipe:
    """One direction of a connection."""

    def __init__(self, source: socket.socket, sink: socket.socket, delay: float) -> None:
        self.source = source
        self.sink = sink
        self.delay = delay
        self.waiting: deque[tuple[float, memoryview]] = deque()
        self.size = 0
        self.ended = False
        self.closed = False
        self.full = False

    @property
    def reads(self) -> bool:
        return not self.ended and self.size < IN_FLIGHT

    def take(self) -> None:
        """Read what has come."""
        try:
            data = self.source.recv(CHUNK)
            # A delayed acknowledgement (40 ms) holds up a peer that sends by Nagle's rule, and hide in the figures.
            self.source.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.ended = not data
        self.size += len(data)
        self.waiting.append((time.monotonic() + self.delay, memoryview(data)))

    def give(self, now: float) -> None:
        """Hand on what is due."""
        self.full = False
        while self.waiting and self.waiting[0][0] <= now and not self.closed:
            due, data = self.waiting[0]
            try:
                if not data:
                    self.closed = True
                    self.sink.shutdown(socket.SHUT_WR)
                    return
                sent = self.sink.send(data)
            except BlockingIOError:
                self.full = True
                return
            except OSError:
                self.ended = self.closed = True
                return
            self.size -= sent
            if sent < len(data):
                self.waiting[0] = (due, data[sent:])
            else:
                self.waiting.popleft()


def connect(listener: socket.socket, target: tuple[str, int], delay: float) -> tuple[Pipe, Pipe]:
    """Accept a connection and make the other half of it."""
    near, _ = listener.accept()
    far = socket.create_connection(target)
    for sock in (near, far):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
    return Pipe(near, far, delay), Pipe(far, near, delay)


def serve(listeners: dict[socket.socket, float], target: tuple[str, int]) -> None:
    """Forward for ever."""
    pipes: list[Pipe] = []
    while True:
        readers: list[socket.socket] = [*listeners, *(pipe.source for pipe in pipes if pipe.reads)]
        writers = [pipe.sink for pipe in pipes if pipe.full]
        dues = [pipe.waiting[0][0] for pipe in pipes if pipe.waiting and not pipe.full and not pipe.closed]
        timeout = max(0.0, min(dues) - time.monotonic()) if dues else None
        # Not epoll: its time-outs are whole milliseconds, a tenth of the delay.
        ready = set(select.select(readers, writers, [], timeout)[0])
        for pipe in pipes:
            if pipe.source in ready:
                pipe.take()
        now = time.monotonic()
        for pipe in pipes:
            pipe.give(now)
        for number in range(len(pipes) - 2, -1, -2):
            one, other = pipes[number : number + 2]
            if one.closed and other.closed:
                one.source.close()
                one.sink.close()
                del pipes[number : number + 2]
        for listener in ready & listeners.keys():
            with contextlib.suppress(OSError):
                pipes += connect(listener, target, listeners[listener])  # type: ignore[arg-type, index]


def main() -> None:
    """Listen, say where, and forward until killed."""
    address, port, *delays = sys.argv[1:]
    listeners = {socket.create_server((address, 0), backlog=128): float(delay) for delay in delays}
    print(json.dumps([listener.getsockname()[1] for listener in listeners]), flush=True)
    serve(listeners, (address, int(port)))


if __name__ == "__main__":
    main()
