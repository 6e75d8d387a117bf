"""Browsers of a web terminal: WebSockets that type, read and measure (standard library only).

All of them are one thread with one selector, in a process of its own; what is measured is the server's process.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import selectors
import socket
import statistics
import struct
import subprocess
import time
import urllib.request

from job import Job, Tally

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Opener = Callable[["Site", str], "Terminal"]

PATIENCE = 60.0
"""Seconds for whatever has to come."""

SETTLE_SECONDS = 1.0

END = b"the-end-is-here"


class Socket:
    """The client's side of a WebSocket: no compression, no fragments, which neither server sends.

    Args:
        port: of the server.
        path: of the WebSocket.
        headers: more of them.
    """

    def __init__(self, port: int, path: str, headers: dict[str, str]) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        said = {
            "Host": f"127.0.0.1:{port}",
            "Origin": f"http://127.0.0.1:{port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": "13",
            **headers,
        }
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items()), "", ""]
        self.sock.sendall("\r\n".join(lines).encode())
        self.buffer = bytearray()
        while b"\r\n\r\n" not in self.buffer:
            self._read()
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise OSError(head.split(b"\r\n")[0].decode())
        self.buffer = bytearray(rest)

    def fileno(self) -> int:
        return self.sock.fileno()

    def _read(self) -> None:
        data = self.sock.recv(1 << 18)
        if not data:
            raise OSError("the server closed the WebSocket")
        self.buffer += data

    def send(self, message: bytes | str) -> None:
        """Send one message, masked with zeros: a mask is for proxies."""
        data = message.encode() if isinstance(message, str) else message
        first = 0x81 if isinstance(message, str) else 0x82
        size = len(data)
        head = struct.pack(">BB", first, 0x80 | size) if size < 126 else struct.pack(">BBH", first, 0xFE, size)
        self.sock.sendall(head + b"\0\0\0\0" + data)

    def receive(self) -> list[tuple[int, bytes]]:
        """Read once, and return opcode and data of the messages that are whole; a ping is answered."""
        self._read()
        messages = self.parsed()
        for kind, data in messages:
            if kind == 9:
                self.sock.sendall(struct.pack(">BB", 0x8A, 0x80 | len(data)) + b"\0\0\0\0" + data)
        return messages

    def parsed(self) -> list[tuple[int, bytes]]:
        """Return what is there already."""
        found, place, buffer = [], 0, self.buffer
        while len(buffer) - place >= 2:
            size, start = buffer[place + 1] & 0x7F, place + 2
            if size >= 126:
                wide = 2 if size == 126 else 8
                if len(buffer) < start + wide:
                    break
                size, start = int.from_bytes(buffer[start : start + wide], "big"), start + wide
            if len(buffer) < start + size:
                break
            found.append((buffer[place] & 0xF, bytes(buffer[start : start + size])))
            place = start + size
        del buffer[:place]
        return found


class Terminal:
    """One session; a subclass knows the server's words."""

    def __init__(self, sock: Socket) -> None:
        self.sock = sock

    def type(self, data: bytes) -> None:
        """Send keys."""
        raise NotImplementedError

    def take(self, messages: Sequence[tuple[int, bytes]]) -> bytes:
        """Return the terminal's bytes of some messages, having acknowledged them."""
        raise NotImplementedError

    def read(self) -> bytes:
        """Wait for something and return the terminal's bytes of it."""
        return self.take(self.sock.receive())

    def until(self, text: bytes) -> None:
        """Read until the terminal shows a text."""
        end = time.monotonic() + PATIENCE
        seen = b""
        while text not in seen:
            if time.monotonic() > end:
                raise TimeoutError(f"{text!r} did not come, but {seen[-200:]!r}")
            seen = seen[-len(text) :] + self.read()


class Site:
    """The server's process, and what it uses.

    Args:
        process: it runs already.
        port: where it listens.
    """

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port
        self.headers: dict[str, str] = {}

    def rss(self) -> int:
        """Return its resident memory in KiB."""
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024

    def cpu(self) -> float:
        """Return the CPU seconds that it has used (see ``clock_getcpuclockid(3)``)."""
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def post(self, path: str, body: bytes, kind: str = "application/json") -> tuple[dict[str, object], dict[str, str]]:
        """Send a request and return the JSON and the headers of the answer."""
        headers = {"Content-Type": kind, "Origin": f"http://127.0.0.1:{self.port}", **self.headers}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=PATIENCE) as response:
            return json.loads(response.read()), dict(response.headers)

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self.process.wait()


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def open_ready(site: Site, host: str, opener: Opener) -> Terminal:
    """Open a session and wait until its shell answers."""
    terminal = opener(site, host)
    # Split, so that the echo of the line is not taken for its answer.
    terminal.type(b"PS1='$ '; echo rea''dy\n")
    terminal.until(b"ready\r\n")
    return terminal


def type_keys(terminals: Sequence[Terminal], keys: int, pace: float = 1.0) -> list[float]:
    """Type a key each so many seconds in each session, evenly spread; return the seconds from each key to its echo."""
    waits: list[float] = []
    pending: dict[Terminal, float] = {}
    order = [terminal for _ in range(keys) for terminal in random.sample(terminals, len(terminals))]
    gap = pace / len(terminals)
    with selectors.DefaultSelector() as selector:
        for terminal in terminals:
            selector.register(terminal.sock, selectors.EVENT_READ, terminal)
        begun = time.monotonic()
        sent, last = 0, begun
        while (sent < len(order) or pending) and time.monotonic() - last < PATIENCE:
            due = begun + sent * gap
            now = time.monotonic()
            if sent < len(order) and now >= due:
                terminal = order[sent]
                sent += 1
                if terminal not in pending:
                    pending[terminal] = last = time.monotonic()
                    terminal.type(b"k")
                continue
            for key, _ in selector.select(min(1.0, due - now) if sent < len(order) else 1.0):
                if key.data.read() and key.data in pending:
                    waits.append(time.monotonic() - pending.pop(key.data))
    waits += [PATIENCE] * len(pending)
    return waits


def look_on(terminals: Sequence[Terminal], seconds: float) -> None:
    """Read what comes for some time, and answer what has to be answered."""
    until = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for terminal in terminals:
            selector.register(terminal.sock, selectors.EVENT_READ, terminal)
        while (left := until - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                key.data.read()


def settle(job: Job) -> None:
    """Let the server come to rest, where anything is measured."""
    time.sleep(SETTLE_SECONDS if job.idle else 0.1)


def many(job: Job, tally: Tally, site: Site, opener: Opener) -> None:
    """Open a session on every host; measure their memory, their rest, and how long a key takes to its echo."""
    terminals = [open_ready(site, host, opener) for host in job.hosts[: job.warm]]
    settle(job)
    before = site.rss()
    for host in job.hosts[job.warm :]:
        terminals.append(open_ready(site, host, opener))
        tally.add(True)
    tally.ok += job.warm
    settle(job)
    session = (site.rss() - before) / max(1, len(terminals) - job.warm)
    cpu, wall = site.cpu(), time.monotonic()
    look_on(terminals, job.idle)
    rest = (site.cpu() - cpu) / (time.monotonic() - wall)
    pace = 1.0 if job.idle else 0.1
    type_keys(terminals, 1, pace)
    waits = type_keys(terminals, job.repeat, pace)
    unread, beside = beside_unread(job, site, opener, terminals)
    tally.figures = {
        "key_p50_ms": statistics.median(waits) * 1000,
        "key_p99_ms": percentile(waits, 0.99) * 1000,
        "session_kib": session,
        "rest_percent": rest * 100,
        "unread_mib": unread / 1024,
        "beside_p99_ms": percentile(beside, 0.99) * 1000,
    }


def beside_unread(job: Job, site: Site, opener: Opener, terminals: Sequence[Terminal]) -> tuple[int, list[float]]:
    """Have one more session print a file that its browser never reads; return the KiB of it, and others' delays."""
    silent = open_ready(site, job.hosts[0], opener)
    settle(job)
    before = site.rss()
    silent.type(f"cat {printed(job)}\n".encode())
    waits = type_keys(terminals, job.repeat, 1.0 if job.idle else 0.1)
    grown = site.rss() - before
    silent.sock.sock.close()
    return grown, waits


def print_file(job: Job, tally: Tally, site: Site, opener: Opener) -> None:
    """Print a file into a session whose browser reads, and measure how fast, and how the server's memory grows."""
    terminal = open_ready(site, job.hosts[0], opener)
    path = printed(job)
    for _ in range(2):  # the first time warms up
        settle(job)
        cpu, before, begun = site.cpu(), site.rss(), time.monotonic()
        terminal.type(f"cat {path}; echo {END[:3].decode()}''{END[3:].decode()}\n".encode())
        size, tail, most, looked = 0, b"", before, begun
        while END not in tail:
            data = terminal.read()
            size += len(data)
            tail = tail[-len(END) :] + data
            now = time.monotonic()
            if now - looked > 0.02:
                most, looked = max(most, site.rss()), now
                if now - begun > PATIENCE:
                    raise TimeoutError(f"{size} bytes came in {PATIENCE} s")
        seconds = time.monotonic() - begun
        # What was typed, and the lines' ends that the terminal adds, come beside the file.
        tally.ok = int(size >= job.size)
        tally.figures = {
            "mb_s": job.size / seconds / 1e6,
            "cpu_ms_mb": (site.cpu() - cpu) * 1e9 / job.size,
            "growth_mib": (most - before) / 1024,
        }


def leave_unread(job: Job, tally: Tally, site: Site, opener: Opener) -> None:
    """Print a file into a session whose browser never reads, and measure how the server's memory grows."""
    terminal = open_ready(site, job.hosts[0], opener)
    settle(job)
    before = most = site.rss()
    terminal.type(f"cat {printed(job)}\n".encode())
    until = time.monotonic() + job.idle
    while time.monotonic() < until:
        time.sleep(0.05)
        most = max(most, site.rss())
    tally.ok = 1
    tally.figures = {"growth_mib": (most - before) / 1024}


def printed(job: Job) -> str:
    """Return a file of the job's size that a terminal can show, lines of base64."""
    path = os.path.join(job.target, "text")
    if not os.path.exists(path):
        with open(path, "wb") as file:
            line = base64.b64encode(os.urandom(57)) + b"\n"
            lines = job.size // len(line)
            file.write(b"".join(line for _ in range(lines)))
            file.write(b"x" * (job.size - lines * len(line) - 1) + b"\n")
    return path


MODES = {"terminal": many, "terminal-cat": print_file, "terminal-unread": leave_unread}


def play(job: Job, start: Callable[[Job], Site], opener: Opener) -> None:
    """Do what the job says, and answer; what fails, the launcher ends what is left of the server."""
    tally = Tally()
    try:
        site = start(job)
        MODES.get(job.mode, many)(job, tally, site, opener)
        site.stop()
    except Exception as error:
        tally.ok = 0
        tally.add(False, f"{type(error).__name__}: {error}")
    tally.answer()
