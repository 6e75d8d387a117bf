"""Who may do what: each call of the interface and each message of the WebSocket, by each kind of user (attack 3)."""

from __future__ import annotations

import contextlib
import json
import queue
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.terminal import Size
from sshexec.errors import InventoryError, TokenError
from sshexec.terminal.auditing import TerminalEvent
from sshexec.web.connection import ConnectionClosed
from sshexec.web.conversation import converse
from sshexec.web.messages import _KINDS
from tests.web.site import Site

MAY = {
    "ann": ("hosts", "open", "upload", "download", "replay", "run"),
    "bob": ("hosts", "watch"),
    "eve": (),
}
"""Ann has a session, a recording and a run on web1; bob watches; eve has a session of her own, and no permission."""

USERS = (None, "eve", "bob", "ann")

CALLS: dict[tuple[str, str], tuple[dict[str, Any], tuple[int, int, int, int]]] = {
    # Status for nobody, for a stranger, for a watcher, for the owner.
    ("POST", "/api/signin"): ({"json": {"token": "x"}}, (401, 401, 401, 401)),
    ("POST", "/api/signout"): ({}, (204, 204, 204, 204)),
    ("GET", "/api/openapi.json"): ({}, (200, 200, 200, 200)),
    ("GET", "/api/me"): ({}, (401, 200, 200, 200)),
    ("GET", "/api/hosts"): ({}, (401, 200, 200, 200)),
    ("GET", "/api/modules"): ({}, (401, 200, 200, 200)),
    ("GET", "/api/sessions"): ({}, (401, 200, 200, 200)),
    ("POST", "/api/sessions"): ({"json": {"host": "web1"}}, (401, 403, 403, 201)),
    ("POST", "/api/sessions/<id>/token"): ({"json": {"role": "owner"}}, (401, 404, 403, 201)),
    ("POST", "/api/sessions/<id>/pause"): ({"json": {"paused": False}}, (401, 404, 403, 204)),
    ("POST", "/api/sessions/<id>/signal"): ({"json": {"name": "INT"}}, (401, 404, 403, 204)),
    ("POST", "/api/sessions/<id>/owner"): ({"json": {"viewer": "<viewer>"}}, (401, 404, 403, 204)),
    ("PUT", "/api/sessions/<id>/files"): ({"data": b"x", "query": "?path=/tmp/x"}, (401, 404, 403, 201)),
    ("GET", "/api/sessions/<id>/files"): ({"query": "?path=/etc/motd"}, (401, 404, 403, 200)),
    ("DELETE", "/api/sessions/<id>"): ({}, (401, 404, 403, 204)),
    ("GET", "/api/recordings"): ({}, (401, 200, 200, 200)),
    ("GET", "/api/recordings/<name>"): ({}, (401, 404, 404, 200)),
    ("GET", "/api/recordings/<name>/commands"): ({}, (401, 404, 404, 200)),
    ("GET", "/api/runs"): ({}, (401, 200, 200, 200)),
    ("GET", "/api/runs/hosts"): ({"query": "?pattern=web1"}, (401, 200, 200, 200)),
    ("POST", "/api/runs"): ({"json": {"pattern": "web1", "module": "ping"}}, (401, 400, 403, 201)),
    ("GET", "/api/runs/<run>"): ({}, (401, 404, 404, 200)),
    ("GET", "/api/runs/<run>/events"): ({}, (401, 404, 404, 200)),
    ("GET", "/api/runs/<run>/output"): ({"query": "?host=web1"}, (401, 404, 404, 404)),
    ("DELETE", "/api/runs/<run>"): ({}, (401, 404, 404, 200)),
}
"""The owner's run has no history, so its output is not recorded. A stranger's pattern means nothing (400)."""

LISTS = {
    "/api/hosts": ("hosts", {"eve": 0, "bob": 2, "ann": 2}),
    "/api/sessions": ("sessions", {"eve": 1, "bob": 1, "ann": 1}),
    "/api/recordings": ("recordings", {"eve": 0, "bob": 0, "ann": 1}),
    "/api/runs": ("runs", {"eve": 0, "bob": 0, "ann": 1}),
    "/api/runs/hosts?pattern=web1": ("hosts", {"eve": 0, "bob": 0, "ann": 1}),
}


class Busy:
    """A site where something goes on."""

    def __init__(self, folder: Path) -> None:
        self.told: list[TerminalEvent] = []
        self.may = {user: set(actions) for user, actions in MAY.items()}
        self.may["eve"].add("open")
        self.site = Site(self.permit, recordings=folder, engine=True, authenticate=None)
        self.manager = self.site.manager
        # Both ways of signing in are there: the routes of one, the users of the other.
        self.site.application._authenticate = lambda environ: environ.get("HTTP_X_USER")
        self.manager._watch._sinks.append(self.told.append)
        self.viewer = self.site.open()
        self.others = self.site.open(host="db1", user="eve")
        self.may["eve"].clear()
        self.run = self.site.ask("POST", "/api/runs", json={"pattern": "web1", "module": "ping"})[1]["id"]
        self.site.call("GET", f"/api/runs/{self.run}/events").get_data()
        self.places = {
            "id": self.viewer.session.id,
            "run": self.run,
            "name": self.viewer.session.recording or "",
            "viewer": self.viewer.id,
        }

    def permit(self, user: str, action: str, host: str) -> bool:
        return action in self.may[user] and (host.startswith("web") or user == "eve")

    def ask(self, method: str, rule: str, user: str | None, query: str = "", **request: Any) -> int:
        path = re.sub(r"<(\w+)>", lambda part: self.places[part[1]], rule) + query
        if request.get("json", {}).get("viewer"):
            request["json"] = {"viewer": self.viewer.id}
        answer = self.site.call(method, path, user, **request)
        answer.get_data()
        answer.close()
        return int(answer.status_code)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Busy]:
    made = Busy(tmp_path_factory.mktemp("busy") / "kept")
    with made.site:
        yield made


def test_every_call_is_in_the_table(busy: Busy) -> None:
    assert set(CALLS) == busy.site.application.routes.known


@pytest.mark.parametrize(("method", "rule"), [call for call in CALLS if call != ("DELETE", "/api/sessions/<id>")])
def test_each_user_gets_what_the_table_says(busy: Busy, method: str, rule: str) -> None:
    request, wanted = CALLS[method, rule]
    assert tuple(busy.ask(method, rule, user, **request) for user in USERS) == wanted
    assert busy.viewer.session.state == "open"


@pytest.mark.parametrize("path", sorted(LISTS))
def test_lists_hold_what_their_reader_may_know_of(busy: Busy, path: str) -> None:
    name, counts = LISTS[path]
    for user, count in counts.items():
        found = busy.site.ask("GET", path, user)[1][name]
        # The calls above start runs, too: what counts is whether there is one.
        assert min(len(found), 2 if name == "hosts" else 1) == count, user
        if name == "sessions":
            assert {each["owner"] for each in found} == {"eve" if user == "eve" else "ann"}


def test_ending_a_session_comes_last(tmp_path: Path) -> None:
    busy = Busy(tmp_path / "kept")
    with busy.site:
        request, wanted = CALLS["DELETE", "/api/sessions/<id>"]
        assert tuple(busy.ask("DELETE", "/api/sessions/<id>", user, **request) for user in USERS) == wanted
        refused = [(each.user, each.action) for each in busy.told if each.event == "terminal_refused"]
        assert refused == [("eve", "terminate"), ("bob", "terminate")]


# ---------------------------------------------------------------------- the WebSocket


class Wire:
    """A WebSocket whose other end the test is."""

    def __init__(self) -> None:
        self.heard: queue.Queue[str | bytes] = queue.Queue()
        self.told: list[Any] = []
        self.closed: tuple[int, str] | None = None
        self._changed = threading.Condition()

    def receive(self, timeout: float | None = None) -> str | bytes | None:
        with contextlib.suppress(queue.Empty):
            return self.heard.get(timeout=0.05 if timeout is None else min(timeout, 0.05))
        if self.closed is not None:
            raise ConnectionClosed(*self.closed)
        return None

    def send(self, message: str | bytes) -> None:
        with self._changed:
            self.told.append(message if isinstance(message, bytes) else json.loads(message))
            self._changed.notify_all()

    def close(self, code: int = 1000, reason: str = "") -> None:
        with self._changed:
            self.closed = self.closed or (code, reason)
            self._changed.notify_all()

    def say(self, kind: str, **values: Any) -> None:
        self.heard.put(json.dumps({"t": kind, **values}))

    def until(self, holds: Callable[[], Any]) -> None:
        with self._changed:
            assert self._changed.wait_for(holds, 10), (self.told, self.closed)

    def says(self, kind: str, **values: Any) -> bool:
        wanted = {"t": kind, **values}.items()
        return any(isinstance(each, dict) and wanted <= each.items() for each in self.told)


@contextlib.contextmanager
def talking(site: Site, token: str, user: str | None, ready: bool = True) -> Iterator[Wire]:
    wire = Wire()
    thread = threading.Thread(target=converse, args=(wire, site.manager), kwargs={"user": user}, daemon=True)
    thread.start()
    wire.say("hello", token=token, columns=80, rows=24)
    if ready:
        wire.until(lambda: wire.says("ready"))
    try:
        yield wire
    finally:
        wire.close()
        thread.join(10)


@pytest.mark.parametrize("user", ["eve", "bob"])
def test_a_token_of_somebody_else_opens_nothing_over_a_websocket(busy: Busy, user: str) -> None:
    with talking(busy.site, busy.manager.issue("ann", "web1"), user, ready=False) as wire:
        wire.until(lambda: wire.closed)
        assert wire.closed is not None
        assert wire.closed[0] == 4001
        assert not wire.says("ready")


WATCHERS = {
    "type": b"id\r",
    "resize": {"columns": 10, "rows": 10},
    "signal": {"name": "INT"},
    "answers": {"id": "q1", "values": ["yes"]},
    "give": {"viewer": "<own>"},
    "close": {},
}
"""What a watcher is refused, each by its message; "type" is a binary one."""

HARMLESS = {"hello", "ack", "ping", "detach"}


def test_every_message_is_in_the_table() -> None:
    assert set(WATCHERS) - {"type"} | HARMLESS == set(_KINDS)


@pytest.mark.parametrize("kind", sorted(WATCHERS))
def test_a_watcher_is_refused_whatever_it_says_and_auditors_hear_of_it(busy: Busy, kind: str) -> None:
    session, values = busy.viewer.session, WATCHERS[kind]
    size = session.size
    token = busy.manager.issue_for("bob", session.id, "watcher")
    del busy.told[:]
    with talking(busy.site, token, "bob") as wire:
        own = next(each["viewer"] for each in wire.told if isinstance(each, dict) and each["t"] == "ready")
        if isinstance(values, bytes):
            wire.heard.put(values)
        else:
            wire.say(kind, **{name: own if value == "<own>" else value for name, value in values.items()})
        wire.until(lambda: wire.says("error", code="not_allowed"))
        assert (session.state, session.size) == ("open", size)
        assert (own, "bob", "watcher") in session.info().viewers
    (refused,) = [each for each in busy.told if each.event == "terminal_refused"]
    action = {"answers": "answer", "give": "control"}.get(kind, kind)
    assert (refused.user, refused.action, refused.session) == ("bob", action, session.id)


def test_an_owner_s_signals_are_audited_and_need_the_permission_anew(
    busy: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(busy.may, "bob", {"watch", "control"})
    del busy.told[:]
    with talking(busy.site, busy.manager.issue_for("bob", busy.viewer.session.id), "bob") as wire:
        wire.say("signal", name="INT")
        wire.say("ping", n=1)
        wire.until(lambda: wire.says("pong"))
        told = [each for each in busy.told if each.event == "terminal_signalled"]
        assert [(each.user, each.owner, each.signal) for each in told] == [("bob", "ann", "INT")]
        monkeypatch.setitem(busy.may, "bob", {"watch"})
        wire.say("signal", name="INT")
        wire.until(lambda: wire.says("error"))
    assert len([each for each in busy.told if each.event == "terminal_signalled"]) == 1


def test_where_an_inventory_is_wrong_is_not_told(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any, **more: Any) -> None:
        raise InventoryError("a variable is wrong", path="/srv/secret/hosts.yml", line=7)

    token = busy.manager.issue("ann", "web1")
    monkeypatch.setattr("sshexec.terminal.sessions.connecting", broken)
    with talking(busy.site, token, "ann", ready=False) as wire:
        wire.until(lambda: wire.closed)
        assert wire.says("error", text="a variable is wrong")
        assert wire.closed == (1008, "a variable is wrong")


# ---------------------------------------------------------------------- beside the sessions


def refusals(busy: Busy) -> list[tuple[str | None, str | None, str | None]]:
    return [(each.user, each.action, each.host) for each in busy.told if each.event == "terminal_refused"]


def test_runs_that_are_not_allowed_are_audited(busy: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    del busy.told[:]
    assert busy.ask("POST", "/api/runs", "bob", json={"pattern": "web", "module": "ping"}) == 403
    assert refusals(busy) == [("bob", "run", "web1"), ("bob", "run", "web2")]
    del busy.told[:]
    monkeypatch.setitem(busy.may, "bob", {"history"})
    assert busy.ask("DELETE", "/api/runs/<run>", "bob") == 403
    assert refusals(busy) == [("bob", "terminate", None)]
    assert busy.told[0].message == f"run {busy.run}"


def test_a_token_is_for_the_address_that_asked_for_it(busy: Busy) -> None:
    for path, body in (("", {"host": "web1"}), (f"/{busy.viewer.session.id}/token", {"role": "owner"})):
        here = {"json": body, "environ_base": {"REMOTE_ADDR": "192.0.2.7"}}
        token = busy.site.ask("POST", f"/api/sessions{path}", **here)[1]["token"]
        with pytest.raises(TokenError):
            busy.manager.redeem(token, size=Size(), user="ann", address="192.0.2.8")
        assert busy.told[-1].address == "192.0.2.8"
