"""A server of terminals in a process of its own, patched by gevent, as `sshexec web` is; or on threads in this one.

``python -m tests.web.serving HOSTS.json`` prints its port; ``GET /token?HOST`` returns a token, ``GET /token/ID`` and
``GET /watch/ID`` one for a session that is there, ``GET /sessions`` their identifiers, ``GET /measures`` what the
process holds.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
SITE = "http://site.example"


class Served:
    """A server that runs."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"ws://127.0.0.1:{port}/terminal"

    def ask(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            return answer.read().decode()

    def token(self, host: str = "h001") -> str:
        return self.ask(f"/token?{host}")

    def token_for(self, session: str) -> str:
        return self.ask(f"/token/{session}")

    def watching(self, session: str) -> str:
        return self.ask(f"/watch/{session}")

    def sessions(self) -> list[str]:
        return json.loads(self.ask("/sessions"))

    def measures(self) -> dict[str, int]:
        return json.loads(self.ask("/measures"))


def application(hosts: dict[str, dict[str, Any]], policy: dict[str, Any]) -> Any:
    """Return the WSGI application and its manager; everything is allowed."""
    from sshexec.inventory.members import Host
    from sshexec.inventory.model import Inventory
    from sshexec.terminal.policy import TerminalPolicy
    from sshexec.terminal.sessions import TerminalManager
    from sshexec.web.endpoint import TerminalSocket

    inventory = Inventory.from_hosts([Host(name, variables) for name, variables in hosts.items()])
    manager = TerminalManager(
        inventory, permit=lambda user, action, host: True, policy=TerminalPolicy(**policy), limit_each=100
    )
    endpoint = TerminalSocket(manager, [SITE])

    def serve(environ: Any, start_response: Any) -> Any:
        path = environ["PATH_INFO"]
        if path == "/terminal":
            return endpoint(environ, start_response)
        if path == "/token":
            body = manager.issue("ann", environ["QUERY_STRING"])
        elif path.startswith("/token/"):
            body = manager.issue_for("ann", path.removeprefix("/token/"))
        elif path.startswith("/watch/"):
            body = manager.issue_for("bob", path.removeprefix("/watch/"), "watcher")
        elif path == "/sessions":
            body = json.dumps([info.id for info in manager.sessions("ann")])
        else:
            body = json.dumps(measures())
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body.encode()]

    return serve, manager


def measures() -> dict[str, int]:
    status = Path("/proc/self/status").read_text()
    memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    names = [thread.name for thread in threading.enumerate()]
    mine = [name for name in names if name in ("sshexec-viewer", "sshexec-typist", "sshexec-websocket")]
    return {
        "kib": memory,
        "threads": len(names),
        "mine": len(mine),
        "files": len(list(Path("/proc/self/fd").iterdir())),
    }


@contextlib.contextmanager
def on_gevent(hosts: dict[str, dict[str, Any]], folder: Path, **policy: Any) -> Iterator[Served]:
    """Serve in a process that gevent has patched."""
    settings = folder / "serving.json"
    settings.write_text(json.dumps({"hosts": hosts, "policy": policy}))
    command = [sys.executable, "-m", "tests.web.serving", str(settings)]
    with (folder / "serving.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, (folder / "serving.log").read_text()
        yield Served(int(line))
    finally:
        process.communicate(timeout=60)  # its standard input ends, and so does it
        assert "Traceback" not in (folder / "serving.log").read_text()


@contextlib.contextmanager
def on_threads(hosts: dict[str, dict[str, Any]], **policy: Any) -> Iterator[Served]:
    """Serve in this process, on Werkzeug's threads."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: object) -> None:
            assert type != "error", message % args

    serve, manager = application(hosts, policy)
    server = make_server("127.0.0.1", 0, serve, threaded=True, request_handler=Quiet)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Served(server.server_port)
    finally:
        manager.close()
        server.shutdown()
        server.server_close()
        thread.join(10)


def main() -> None:
    from gevent.pywsgi import WSGIServer

    settings = json.loads(Path(sys.argv[1]).read_text())
    serve, manager = application(settings["hosts"], settings["policy"])
    server = WSGIServer(("127.0.0.1", 0), serve, log=None)
    server.start()
    print(server.server_port, flush=True)
    from gevent.fileobject import FileObject

    FileObject(sys.stdin.buffer).read()
    manager.close()
    server.stop(timeout=2)


if __name__ == "__main__":
    from gevent import monkey

    monkey.patch_all()
    main()
