"""Hosts that speak TLS byte by byte, in a process that gevent has patched; run by test_winrm_hostile.

Prints by what each was ended, and after how many seconds.
"""

from gevent import monkey

monkey.patch_all()

import contextlib  # noqa: E402
import json  # noqa: E402
import socket  # noqa: E402
import ssl  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402

from sshexec.connectors.deadline import Deadline  # noqa: E402
from sshexec.connectors.winrm.http import Line  # noqa: E402

LIMIT = 0.6
certificate, key = sys.argv[1:]
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(certificate, key)
client = ssl.create_default_context()
client.check_hostname = False
client.verify_mode = ssl.CERT_NONE


def host(slow: threading.Event) -> socket.socket:
    """Return a connection to a TLS server behind a relay, which is slow in both directions from the event on."""
    ours, outer = socket.socketpair()
    inner, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    def relay(source: socket.socket, target: socket.socket, size: int) -> None:
        while data := source.recv(size if slow.is_set() else 65536):
            while data:
                if slow.wait(0):
                    time.sleep(0.1)
                target.sendall(data[:size] if slow.is_set() else data)
                data = data[size:] if slow.is_set() else b""

    def serve() -> None:
        with server.wrap_socket(theirs, server_side=True) as sock:
            while sock.recv(65536):
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + bytes(500))

    def quietly(target: object, *arguments: object) -> None:
        with contextlib.suppress(OSError):
            target(*arguments)  # type: ignore[operator]

    for job in ((relay, outer, inner, 8192), (relay, inner, outer, 1), (serve,)):
        threading.Thread(target=quietly, args=job, daemon=True).start()
    return ours


def ended(step: str) -> tuple[str, float]:
    """Return how a step came to its end."""
    slow = threading.Event()
    line = Line(host(slow))
    # Where the deadline does not hold, this ends it.
    watch = threading.Timer(10 * LIMIT, line.shut)
    watch.start()
    if step == "handshake":
        slow.set()
    begun = time.monotonic()
    try:
        line.wrap(client, "host", Deadline.after(LIMIT if step == "handshake" else 10))
        slow.set()
        begun = time.monotonic()
        line.ask(bytes(150_000 if step == "request" else 10), Deadline.after(LIMIT), 30)
        how = "answered"
    except Exception as error:
        how = type(error).__name__
    took = time.monotonic() - begun
    watch.cancel()
    line.close()
    return how, took


print(json.dumps({step: ended(step) for step in ("handshake", "request", "answer")}))
