"""Who has signed out, or lost a permission, has no terminal any more, however long its WebSocket has been open."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.test import Client

from sshexec import Host, Inventory
from sshexec.terminal.policy import TerminalPolicy
from sshexec.terminal.sessions import TerminalManager
from sshexec.web.application import WebTerminal
from sshexec.web.asgi import TerminalASGI
from sshexec.web.attendance import SIGNED_OUT
from tests.web.talk import SUBPROTOCOL, Talk

ORIGIN = "http://localhost"
PATIENT = 600.0


class Place:
    """A web terminal on Werkzeug's threads, whose users come and go as a test has it."""

    def __init__(self, recheck: float, **options: Any) -> None:
        self.withdrawn: set[tuple[str, str]] = set()
        self.manager = TerminalManager(
            Inventory.from_hosts([Host("web1", {"ansible_connection": "fake"})]),
            permit=lambda user, action, host: (user, action) not in self.withdrawn,
            policy=TerminalPolicy(recheck=recheck),
        )
        self.application = WebTerminal(self.manager, origins=[ORIGIN], **options)

    def talk(self, user: str, cookie: str = "") -> Talk:
        """Return a WebSocket on which a terminal is open."""
        connecting = {"origin": ORIGIN, "suppress_origin": False, "host": "localhost", "cookie": cookie}
        url = f"ws://127.0.0.1:{self.port}/terminal"
        talk = Talk(url, self.manager.issue(user, "web1"), connecting=connecting)
        talk.until("opened")
        return talk

    @contextlib.contextmanager
    def serving(self) -> Iterator[Place]:
        class Quiet(WSGIRequestHandler):
            def log(self, type: str, message: str, *args: object) -> None:
                assert type != "error", message % args

        server = make_server("127.0.0.1", 0, self.application, threaded=True, request_handler=Quiet)
        server.daemon_threads = True
        self.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.manager.close()
            server.shutdown()
            server.server_close()
            thread.join(10)


def still_there(talk: Talk) -> bool:
    talk.say("ping", n=7)
    return talk.until("pong")["n"] == 7


def test_signing_out_closes_what_that_browser_has_open():
    with Place(PATIENT).serving() as place:
        sign_in = place.application.sign_in
        cookies = [f"{sign_in.cookie}={sign_in.sign_in(sign_in.issue('ann'))[1]}" for _ in range(2)]
        with place.talk("ann", cookies[0]) as gone, place.talk("ann", cookies[1]) as other:
            asked = {"method": "POST", "base_url": ORIGIN, "headers": {"Origin": ORIGIN, "Cookie": cookies[0]}}
            assert Client(place.application, use_cookies=False).open("/api/signout", **asked).status_code == 204
            gone.socket.send_binary(b"typed after the sign-out")
            assert gone.end() == (SIGNED_OUT, "signed out")
            assert still_there(other)
            # The session waits for whoever signs in again.
            assert [info.state for info in place.manager.sessions("ann")] == ["open", "open"]


def test_a_platforms_users_are_asked_for_again():
    answers: list[Any] = ["ann"]

    def authenticate(environ: Any) -> Any:
        answer = answers[0]
        if isinstance(answer, Exception):
            asked.set()
            raise answer
        return answer

    asked = threading.Event()
    with Place(0.05, authenticate=authenticate).serving() as place, place.talk("ann") as talk:
        answers[0] = RuntimeError("database is away")
        assert asked.wait(10)
        assert still_there(talk)
        answers[0] = "bob"
        assert talk.end() == (SIGNED_OUT, "signed out")


def test_a_permission_that_is_withdrawn_ends_the_session():
    with Place(0.05, authenticate=lambda environ: "ann").serving() as place, place.talk("ann") as talk:
        assert still_there(talk)
        place.withdrawn.add(("ann", "open"))
        ended = talk.until("ended")
        assert (ended["reason"], ended["text"]) == ("terminated", "ended: it is not permitted any more")
        assert talk.end() == (4004, "terminated")


def test_an_application_says_when_to_ask():
    users = ["ann"]
    with Place(PATIENT, authenticate=lambda environ: users[0]).serving() as place:
        with place.talk("ann") as talk:
            place.application.recheck()
            assert still_there(talk)
            users[0] = ""
            place.application.recheck()
            assert talk.end() == (SIGNED_OUT, "signed out")
        users[0] = "ann"
        with place.talk("ann") as talk:
            place.withdrawn.add(("ann", "open"))
            place.application.recheck()
            assert talk.end() == (4004, "terminated")


@pytest.mark.parametrize("asynchronous", [False, True])
def test_under_asgi_too(asynchronous):
    users = ["ann"]

    async def later(scope: Any) -> str:
        return users[0]

    async def conversation(manager: TerminalManager) -> list[Any]:
        socket = TerminalASGI(manager, [ORIGIN], authenticate=later if asynchronous else lambda scope: users[0])
        hello = {"t": "hello", "token": manager.issue("ann", "web1"), "columns": 80, "rows": 24}
        come: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        await come.put({"type": "websocket.connect"})
        await come.put({"type": "websocket.receive", "text": json.dumps(hello)})
        scope = {"type": "websocket", "headers": [(b"origin", ORIGIN.encode())], "subprotocols": [SUBPROTOCOL]}
        serving = asyncio.create_task(socket(scope, come.get, told.put))
        while '"opened"' not in (await told.get()).get("text", ""):
            pass
        await socket.recheck()
        assert not serving.done()
        users[0] = ""
        await socket.recheck()
        while (last := await told.get())["type"] != "websocket.close":
            pass
        await come.put({"type": "websocket.disconnect", "code": SIGNED_OUT})
        await asyncio.wait_for(serving, 10)
        return [last["code"], last["reason"]]

    inventory = Inventory.from_hosts([Host("web1", {"ansible_connection": "fake"})])
    with TerminalManager(inventory, permit=lambda user, action, host: True) as manager:
        assert asyncio.run(asyncio.wait_for(conversation(manager), 30)) == [SIGNED_OUT, "signed out"]
