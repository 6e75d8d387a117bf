"""The WebSocket's endpoint, on servers that could not serve it well."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import EnvironBuilder, run_wsgi_app

from sshexec import Inventory, TerminalManager
from sshexec.web.endpoint import TerminalSocket
from tests.web.talk import REQUEST, knock


class Quiet(WSGIRequestHandler):
    """Prints nothing."""

    def log(self, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def endpoint() -> Iterator[TerminalSocket]:
    with TerminalManager(Inventory.from_hosts(["h1"])) as manager:
        yield TerminalSocket(manager)


@contextlib.contextmanager
def serving(endpoint: TerminalSocket, *, threaded: bool) -> Iterator[int]:
    """Serve it by Werkzeug's server, and yield the port."""
    server = make_server("127.0.0.1", 0, endpoint, threaded=threaded, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


@pytest.mark.parametrize(("threaded", "expected"), [(True, 101), (False, 501)])
def test_a_server_without_threads_serves_no_terminal(endpoint, threaded, expected):
    with serving(endpoint, threaded=threaded) as port:
        assert knock(port, "/", {}) == expected


def test_neither_does_one_of_gunicorns_sync_workers(endpoint):
    """It would keep all others out of the worker, which gunicorn kills after 30 seconds, with whatever runs there."""
    environ = EnvironBuilder(headers={name: value for name, value in REQUEST.items() if name != "Host"}).get_environ()
    environ |= {"gunicorn.socket": object(), "wsgi.multithread": False, "SERVER_PROTOCOL": "HTTP/1.1"}
    answer, status, _ = run_wsgi_app(endpoint, environ)
    assert status.startswith("501")
    assert b"threads" in b"".join(answer)
