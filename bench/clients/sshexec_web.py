"""``sshexec web``, started as an operator starts it, and browsers that speak its protocol."""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from job import Job
from terminal_load import Site, Socket, Terminal, play


class Page(Terminal):
    """A session of ``sshexec.term.v1``."""

    def __init__(self, sock: Socket, token: str) -> None:
        super().__init__(sock)
        self._due = 1 << 16
        self._unsaid = 0
        sock.send(json.dumps({"t": "hello", "token": token, "columns": 80, "rows": 24}))
        opened = False
        while not opened:
            for kind, data in sock.receive():
                if kind == 1 and (told := json.loads(data))["t"] in ("ready", "opened", "ended", "error"):
                    if told["t"] in ("ended", "error"):
                        raise OSError(told["text"])
                    self._due = told.get("ack", self._due)
                    opened = opened or told["t"] == "opened"

    def type(self, data: bytes) -> None:
        self.sock.send(data)

    def take(self, messages: Sequence[tuple[int, bytes]]) -> bytes:
        shown = b"".join(data for kind, data in messages if kind == 2)
        self._unsaid += len(shown)
        if self._unsaid >= self._due:
            self.sock.send(json.dumps({"t": "ack", "bytes": self._unsaid}))
            self._unsaid = 0
        if ended := [data for kind, data in messages if kind == 8 or (kind == 1 and b'"ended"' in data)]:
            raise OSError(f"the session ended: {ended[0]!r}")
        return shown


def opener(site: Site, host: str) -> Page:
    """Open a session on a host."""
    token, _ = site.post("/api/sessions", json.dumps({"host": host}).encode())
    return Page(Socket(site.port, "/terminal", {**site.headers, **_PROTOCOL}), str(token["token"]))


_PROTOCOL = {"Sec-WebSocket-Protocol": "sshexec.term.v1"}


def started(job: Job) -> Site:
    """Start the server and sign in."""
    program = str(Path(sys.executable).with_name("sshexec"))
    command = [program, "web", "-i", job.inventory, "--bind", "127.0.0.1:0", "--limit", "1000", "--no-runs", "-q"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = b""
    while not (link := re.search(rb"http://[^:]+:(\d+)/#token=(\S+)", said)):
        line = process.stderr.readline()
        if not line:
            raise OSError(f"it did not start: {said.decode()}")
        said += line
    site = Site(process, int(link[1]))
    _, headers = site.post("/api/signin", json.dumps({"token": link[2].decode()}).encode())
    site.headers = {"Cookie": headers["Set-Cookie"].partition(";")[0]}
    return site


def main() -> None:
    job = Job()
    play(job, started, opener)


if __name__ == "__main__":
    main()
