"""huashengdun's ``webssh``, told to check host keys, and browsers that speak its protocol."""

import json
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Sequence
from pathlib import Path

from job import Job
from terminal_load import PATIENCE, Site, Socket, Terminal, play


class Page(Terminal):
    """A session of its page: JSON one way, bytes the other."""

    def type(self, data: bytes) -> None:
        self.sock.send(json.dumps({"data": data.decode()}))

    def take(self, messages: Sequence[tuple[int, bytes]]) -> bytes:
        if any(kind == 8 for kind, _ in messages):
            raise OSError("the session ended")
        return b"".join(data for kind, data in messages if kind == 2)


def main() -> None:
    job = Job()
    key = Path(job.key).read_text()

    def opener(site: Site, host: str) -> Page:
        fields = {"hostname": host, "port": str(job.port), "username": job.user, "privatekey": key, "term": "xterm"}
        body = urllib.parse.urlencode(fields).encode()
        answer, _ = site.post("/", body, "application/x-www-form-urlencoded")
        if not answer.get("id"):
            raise OSError(str(answer.get("status")))
        return Page(Socket(site.port, f"/ws?id={answer['id']}", {}))

    play(job, started, opener)


def started(job: Job) -> Site:
    """Start the server, as quiet as ours: it logs each session at the level INFO."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    program = str(Path(sys.executable).with_name("wssh"))
    options = {
        "address": "127.0.0.1",
        "port": port,
        "policy": "reject",
        "hostfile": job.known_hosts,
        "syshostfile": job.known_hosts,
        "xsrf": "false",
        "maxconn": 1000,
        "timeout": 30,
        "delay": 30,
        "encoding": "utf-8",
        "logging": "error",
    }
    process = subprocess.Popen([program, *(f"--{name}={value}" for name, value in options.items())])
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                raise OSError("it did not start") from None
            time.sleep(0.05)
        else:
            return Site(process, port)


if __name__ == "__main__":
    main()
