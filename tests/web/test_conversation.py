"""Sessions over a WebSocket, on real hosts: what the protocol promises, and what a hostile client gets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.testbed import Sshd
from tests.web.serving import Served, on_gevent, on_threads
from tests.web.talk import Talk


@pytest.fixture(scope="module", params=["gevent", "threads"])
def served(request: Any, sshd: Sshd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server; both kinds of it."""
    hosts = sshd.hosts(3)
    more = {"detached": 20.0, "idle": None}
    if request.param == "gevent":
        with on_gevent(hosts, tmp_path_factory.mktemp("gevent"), **more) as server:
            yield server
    else:
        with on_threads(hosts, **more) as server:
            yield server


HOST = "h001"


def test_a_session_from_hello_to_exit(served):
    with Talk(served.url, served.token(HOST), columns=101, rows=33) as talk:
        ready = talk.until("ready")
        assert (ready["host"], ready["user"], ready["role"], ready["seq"]) == (HOST, "ann", "owner", 0)
        talk.until("opened")
        talk.type("stty size; echo a-$((40+2))\r")
        talk.shows("33 101")
        talk.shows("a-42")
        talk.say("resize", columns=70, rows=20)
        talk.until("resized")
        talk.type("stty size\r")
        talk.shows("20 70")
        talk.say("ping", n=7)
        assert talk.until("pong") == {"t": "pong", "n": 7}
        talk.type("exit 3\r")
        ended = talk.until("ended")
        assert ended["reason"] == "exited"
        assert talk.end() == (1000, "exited")
