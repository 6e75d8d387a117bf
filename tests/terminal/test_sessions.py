"""The manager: what nobody allows is refused, limits hold, and nothing stays behind."""

from __future__ import annotations

import io
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from sshexec.audit import FileSink, LogSink
from sshexec.connectors.terminal import Size
from sshexec.errors import (
    ArgumentError,
    LimitError,
    NoSuchSessionError,
    NotAllowedError,
    PatternError,
    SessionOverError,
    TerminalError,
    TokenError,
)
from sshexec.inventory.members import Host
from sshexec.inventory.model import Inventory
from sshexec.terminal import register
from sshexec.terminal.auditing import TerminalEvent
from sshexec.terminal.events import Detached, Ended, Opened
from sshexec.terminal.observer import SessionInfo
from sshexec.terminal.policy import TerminalPolicy
from sshexec.terminal.recordings import Recordings
from sshexec.terminal.session import TerminalSession
from sshexec.terminal.sessions import TerminalManager
from sshexec.terminal.viewer import Viewer
from tests.testbed import Sshd

SIZE = Size(90, 30)
HOST, OTHER = "127.1.0.1", "127.1.0.2"


class World:
    """A manager whose users may do what is written down."""

    def __init__(self, sshd: Sshd, **more: Any) -> None:
        self.may: set[tuple[str, str]] = {("ann", "open"), ("bob", "open")}
        self.told: list[TerminalEvent] = []
        variables = sshd.variables()
        self.inventory = Inventory.from_hosts([Host(name, variables) for name in (HOST, OTHER)])
        more = {"audit": self.told.append, "permit": lambda user, action, host: (user, action) in self.may, **more}
        self.manager = TerminalManager(self.inventory, **more)

    def events(self) -> list[str]:
        return [event.event for event in self.told]


Make = Callable[..., World]


@pytest.fixture
def make(sshd: Sshd) -> Iterator[Make]:
    made: list[World] = []

    def world(**more: Any) -> World:
        made.append(World(sshd, **more))
        return made[-1]

    yield world
    for each in made:
        each.manager.close()


@pytest.fixture
def world(make: Make) -> World:
    return make()


def opened(viewer: Viewer) -> Viewer:
    """Read until the program is there."""
    until(viewer, Opened)
    return viewer


def until(viewer: Viewer, kind: type) -> Any:
    """Read until an event of a kind."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        got = viewer.read(1)
        if isinstance(got, kind):
            return got
        if isinstance(got, bytes):
            viewer.ack(len(got))
        assert not isinstance(got, Ended), got
    raise AssertionError(f"no {kind.__name__} came")


def shows(viewer: Viewer, *texts: bytes) -> None:
    """Read until the terminal has shown some texts."""
    seen = b""
    end = time.monotonic() + 30
    while not all(text in seen for text in texts):
        assert time.monotonic() < end, seen
        got = viewer.read(1)
        if isinstance(got, bytes):
            viewer.ack(len(got))
            seen += got
        assert not isinstance(got, Ended), got


def test_a_token_opens_a_session_and_types_in_it(world):
    token = world.manager.issue("ann", HOST, address="10.0.0.1")
    viewer = opened(world.manager.redeem(token, size=SIZE, user="ann", address="10.0.0.1"))
    viewer.write(b"stty size; echo $((40+2))-$TERM\n")
    shows(viewer, b"30 90", b"42-xterm-256color")
    (info,) = world.manager.sessions("ann")
    assert (info.id, info.host, info.owner, info.state) == (viewer.session.id, HOST, "ann", "open")
    viewer.write(b"exit 3\n")
    ended = until(viewer, Ended)
    assert (ended.reason, ended.exit_status) == ("exited", 3)
    assert viewer.session.wait(10) is ended
    assert world.manager.sessions("ann") == []
    assert world.events() == ["terminal_token", "terminal_started", "terminal_ended"]
    started, end = world.told[1:]
    assert (started.user, started.host, started.address, started.session) == ("ann", HOST, "10.0.0.1", info.id)
    assert (end.reason, end.owner) == ("exited", "ann")
    assert end.seconds > 0
    assert json.loads(json.dumps(end.to_dict())) == end.to_dict()


def test_a_page_that_is_loaded_anew_goes_on_where_it_was(world):
    viewer = opened(world.manager.redeem(world.manager.issue("ann", HOST), size=SIZE))
    viewer.write(b"echo fir''st\n")
    shows(viewer, b"first")
    token = world.manager.issue_for("ann", viewer.session.id)
    again = world.manager.redeem(token, size=Size(70, 20), since=viewer.seq)
    again.write(b"echo sec''ond; stty size\n")
    shows(again, b"second", b"20 70")
    assert until(viewer, Detached).reason == "stolen"
    assert world.events().count("terminal_joined") == 1


def test_without_a_permit_everything_is_refused(make):
    world = make(permit=None)
    for call in (world.manager.issue, world.manager.open):
        with pytest.raises(NotAllowedError):
            call("ann", HOST)
    assert world.manager.hosts("ann") == []
    assert [(event.event, event.user, event.action) for event in world.told] == [
        ("terminal_refused", "ann", "open")
    ] * 2


def test_what_was_allowed_is_asked_again_when_the_token_comes(world):
    token = world.manager.issue("ann", HOST)
    world.may.clear()
    with pytest.raises(NotAllowedError):
        world.manager.redeem(token, size=SIZE)
    assert world.manager.sessions("ann") == []


def test_hosts_are_those_that_a_user_may_see(make):
    world = make(permit=lambda user, action, host: action == "hosts" and host == OTHER)
    assert world.manager.hosts("ann") == [OTHER]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "169.254.169.254", "127.1.*", "-oProxyCommand=id", "a\nb"])
def test_only_hosts_of_the_inventory_are_contacted(world, host):
    with pytest.raises(PatternError):
        world.manager.issue("ann", host)
    world.may.clear()
    with pytest.raises(NotAllowedError) as caught:
        world.manager.issue("ann", host)
    assert "\n" not in str(caught.value)


ON_OTHERS: dict[str, tuple[str, Callable[[TerminalManager, str, str], object]]] = {
    "watch": ("watch", lambda manager, user, session: manager.issue_for(user, session, "watcher")),
    "take": ("control", lambda manager, user, session: manager.issue_for(user, session, "owner")),
    "attach": ("control", lambda manager, user, session: manager.attach(user, session)),
    "terminate": ("terminate", lambda manager, user, session: manager.terminate(user, session)),
    "pause": ("control", lambda manager, user, session: manager.pause(user, session, True)),
    "signal": ("control", lambda manager, user, session: manager.signal(user, session, "INT")),
    "hand over": ("control", lambda manager, user, session: manager.hand_over(user, session, "x")),
    "upload": ("control", lambda manager, user, session: manager.upload(user, session, b"x", "/tmp/x")),
    "download": ("control", lambda manager, user, session: manager.download(user, session, "/tmp/x", io.BytesIO())),
}


def test_a_session_of_somebody_else_is_not_there_without_permission(world):
    session = world.manager.open("ann", HOST)
    texts = set()
    for _, call in ON_OTHERS.values():
        for user, identifier in (("bob", session.id), ("ann", session.id[:-1]), ("ann", "../../etc"), ("ann", None)):
            with pytest.raises(NoSuchSessionError) as caught:
                call(world.manager, user, identifier)
            texts.add(str(caught.value))
    assert len(texts) == 1
    assert world.manager.sessions("bob") == []
    with pytest.raises(NoSuchSessionError):
        world.manager.session("bob", session.id)
    assert world.events().count("terminal_refused") == 4 * len(ON_OTHERS)
    assert session.state != "ended"


@pytest.mark.parametrize("name", sorted(ON_OTHERS))
def test_a_session_of_somebody_else_needs_the_permission(world, name):
    action, call = ON_OTHERS[name]
    session = world.manager.open("ann", HOST)
    world.may.add(("bob", "terminate" if action == "watch" else "watch"))
    with pytest.raises(NotAllowedError):
        call(world.manager, "bob", session.id)
    assert [info.id for info in world.manager.sessions("bob")] == [session.id]


def test_a_watcher_sees_and_types_nothing(world):
    viewer = opened(world.manager.redeem(world.manager.issue("ann", HOST), size=SIZE))
    world.may.add(("bob", "watch"))
    token = world.manager.issue_for("bob", viewer.session.id, "watcher")
    watcher = world.manager.redeem(token, size=Size(10, 10), user="bob")
    viewer.write(b"echo wa''tched; stty size\n")
    shows(watcher, b"watched", b"30 90")
    with pytest.raises(NotAllowedError):
        watcher.write(b"x")


def test_a_watcher_becomes_owner_only_where_it_may_control(world):
    viewer = opened(world.manager.redeem(world.manager.issue("ann", HOST), size=SIZE))
    world.may.add(("bob", "watch"))
    watcher = world.manager.attach("bob", viewer.session.id, role="watcher")
    with pytest.raises(NotAllowedError, match="bob may watch"):
        world.manager.hand_over("ann", viewer.session.id, watcher.id)
    with pytest.raises(NotAllowedError, match="no such viewer"):
        world.manager.hand_over("ann", viewer.session.id, "nobody")
    world.may.add(("bob", "control"))
    world.manager.hand_over("ann", viewer.session.id, watcher.id)
    assert (watcher.role, viewer.role) == ("owner", "watcher")
    world.manager.hand_over("ann", viewer.session.id, viewer.id)
    assert (watcher.role, viewer.role) == ("watcher", "owner")


def test_an_owner_does_not_undo_what_an_administrator_paused(world):
    world.may.add(("root", "control"))
    session = opened(world.manager.redeem(world.manager.issue("ann", HOST), size=SIZE)).session
    world.manager.pause("root", session.id, True)
    for paused in (True, False):
        with pytest.raises(NotAllowedError, match="somebody else"):
            world.manager.pause("ann", session.id, paused)
    assert session.info().paused == "root"
    world.manager.pause("root", session.id, False)
    world.manager.pause("ann", session.id, True)
    world.manager.pause("ann", session.id, False)
    assert session.info().paused is None
    world.manager.pause("ann", session.id, True)
    world.manager.pause("root", session.id, True)
    with pytest.raises(NotAllowedError, match="somebody else"):
        world.manager.pause("ann", session.id, False)


def test_files_need_a_permission_of_their_own(world, tmp_path):
    session = opened(world.manager.redeem(world.manager.issue("ann", HOST), size=SIZE)).session
    with pytest.raises(NotAllowedError):
        world.manager.upload("ann", session.id, b"here", str(tmp_path / "file"))
    with pytest.raises(NotAllowedError):
        world.manager.download("ann", session.id, str(tmp_path / "file"), io.BytesIO())
    assert not (tmp_path / "file").exists()
    world.may |= {("ann", "upload"), ("ann", "download")}
    steps: list[int] = []
    name = str(tmp_path / "file '$(id)' \n x")
    world.manager.upload("ann", session.id, b"here", name, progress=steps.append)
    target = io.BytesIO()
    world.manager.download("ann", session.id, name, target)
    assert (target.getvalue(), steps[-1]) == (b"here", 4)
    with pytest.raises(Exception, match="none"):
        world.manager.download("ann", session.id, str(tmp_path / "none"), target)
    told = [(event.event, event.size, event.message is None) for event in world.told if event.path is not None]
    assert told == [
        ("terminal_uploaded", 4, True),
        ("terminal_downloaded", 4, True),
        ("terminal_downloaded", 0, False),
    ]


def test_limits_for_each_user_and_in_all(make):
    world = make(limit=3, limit_each=2)
    world.may.add(("cec", "open"))
    mine = [world.manager.open("ann", HOST) for _ in range(2)]
    token = world.manager.issue("ann", HOST)
    with pytest.raises(LimitError, match="you have 2"):
        world.manager.redeem(token, size=SIZE)
    world.manager.open("bob", OTHER)
    with pytest.raises(LimitError, match="3 terminals are open"):
        world.manager.open("cec", OTHER)
    world.manager.terminate("ann", mine[0].id, "enough")
    assert mine[0].wait(10).text == "ended by ann: enough"
    world.manager.open("cec", OTHER)


def test_many_at_once_do_not_pass_a_limit(make):
    world = make(limit=5, limit_each=5)
    ready, got = threading.Barrier(20), []

    def begin() -> None:
        ready.wait(30)
        try:
            got.append(world.manager.open("ann", HOST))
        except LimitError:
            got.append(None)

    threads = [threading.Thread(target=begin) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sum(each is not None for each in got) == 5


def test_users_share_no_connection_and_no_key(world):
    sessions = [
        opened(world.manager.attach(user, world.manager.open(user, HOST).id)).session for user in ("ann", "bob")
    ]
    shares = world.manager._register._shares
    assert len(shares) == 2
    contexts = [shares.take(user) for user in ("ann", "bob")]
    assert contexts[0] is not contexts[1]
    for user in ("ann", "bob"):
        shares.leave(user)
    for session in sessions:
        session.close()
    assert len(shares) == 0


def test_the_key_of_an_unknown_host_is_trusted_only_by_who_may(make):
    policy = TerminalPolicy(accept_host_keys=True)
    world = make(policy=policy)
    assert not world.manager.open("ann", HOST).policy.accept_host_keys
    world.may.add(("ann", "accept_host_key"))
    assert world.manager.open("ann", HOST).policy.accept_host_keys
    other = make()
    other.may.add(("ann", "accept_host_key"))
    assert not other.manager.open("ann", HOST).policy.accept_host_keys


def test_it_closes_everything(world):
    sessions = [opened(world.manager.attach("ann", world.manager.open("ann", HOST).id)).session for _ in range(3)]
    token = world.manager.issue("ann", HOST)
    world.manager.close()
    world.manager.close()
    assert {session.wait(0).reason for session in sessions} == {"terminated"}
    for call in (
        lambda: world.manager.open("ann", HOST),
        lambda: world.manager.issue("ann", HOST),
        lambda: world.manager.redeem(token, size=SIZE),
    ):
        with pytest.raises((SessionOverError, TokenError)):
            call()
    assert len(world.manager._register._shares) == 0
    assert "0 sessions" in repr(world.manager)


def test_a_session_that_can_not_be_observed_is_not_opened(make):
    def observers(info: Any) -> list[Any]:
        raise OSError("the disk is full")

    world = make(observers=observers, limit=1)
    for _ in range(2):
        with pytest.raises(OSError, match="disk"):
            world.manager.open("ann", HOST)
    assert world.manager.sessions("ann") == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"permit": "yes"},
        {"policy": 7},
        {"limit": 0},
        {"limit_each": True},
        {"audit": "file"},
        {"timeouts": 5},
        {"variables": ["a"]},
    ],
)
def test_a_wrong_argument_is_named(make, wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        make(**wrong)
    with pytest.raises(ArgumentError, match="inventory"):
        TerminalManager("hosts.yml")


def test_a_role_that_is_none_is_refused(world):
    session = world.manager.open("ann", HOST)
    for role in ("root", None, ["owner"]):
        with pytest.raises(ArgumentError, match="role"):
            world.manager.issue_for("ann", session.id, role)


@pytest.mark.parametrize("term", ["", "xterm;id", "-x", "../x", "x" * 65, "xterm\n", None, 7, "$(id)"])
def test_a_terminals_type_is_a_plain_word(world, term):
    with pytest.raises(ArgumentError, match="term"):
        world.manager.open("ann", HOST, term=term)


def test_who_loses_a_permission_loses_what_it_was_for(make):
    may = {("ann", "open"), ("bob", "watch"), ("cec", "control")}
    away: list[Exception] = []

    def permit(user: str, action: str, host: str) -> bool:
        if away:
            raise away[0]
        return (user, action) in may

    world = make(permit=permit)
    session = world.manager.open("ann", HOST)
    ann = opened(world.manager.attach("ann", session.id))
    bob = world.manager.attach("bob", session.id, role="watcher")
    world.manager.recheck()
    away.append(RuntimeError("database is away"))
    may.clear()
    world.manager.recheck()
    assert [user for _, user, _ in session.info().viewers] == ["ann", "bob"]
    away.clear()
    may.add(("ann", "open"))
    world.manager.recheck(session.id)
    assert until(bob, Detached).reason == "kicked"
    assert [user for _, user, _ in session.info().viewers] == ["ann"]
    may.clear()
    for attempt in (world.manager.attach, world.manager.issue_for):
        with pytest.raises(NotAllowedError, match=r"\(open\)"):
            attempt("ann", session.id)
    world.manager.recheck(session.id)
    ended = until(ann, Ended)
    assert (ended.reason, ended.text) == ("terminated", "ended: it is not permitted any more")
    world.manager.recheck("no such session")
    told = [(event.event, event.user, event.action) for event in world.told[3:]]
    assert told == [
        ("terminal_refused", "bob", "watch"),
        ("terminal_refused", "ann", "open"),
        ("terminal_refused", "ann", "open"),
        ("terminal_terminated", "ann", None),
        *([("terminal_ended", "ann", None)] if len(told) == 5 else []),
    ]


def test_an_inventory_that_changes_is_read_for_each_session(sshd):
    hosts = [HOST]
    manager = TerminalManager(
        lambda: Inventory.from_hosts([Host(name, sshd.variables()) for name in hosts]),
        permit=lambda user, action, host: True,
    )
    with pytest.raises(PatternError):
        manager.open("ann", OTHER)
    hosts.append(OTHER)
    with manager:
        opened(manager.attach("ann", manager.open("ann", OTHER).id))


def test_no_secret_in_anything_that_is_told(make, sshd, tmp_path, caplog):
    """Attack 15, at this level: a canary that is typed, configured and redeemed stands nowhere."""
    caplog.set_level(logging.DEBUG)
    canary = "canary-5f1d3"
    audit = tmp_path / "audit.jsonl"
    world = make(audit=FileSink(audit), variables={"ansible_password": canary, "db_password": canary})
    token = world.manager.issue("ann", HOST)
    viewer = opened(world.manager.redeem(token, size=SIZE))
    session = viewer.session
    viewer.write(f"read -s x\n{canary}\n".encode())
    for wrong in (token, canary):
        with pytest.raises(TokenError) as caught:
            world.manager.redeem(wrong, size=SIZE)
        assert wrong not in str(caught.value)
    reprs = [repr(each) for each in (world.manager, session, viewer, session.info(), world.manager._tokens)]
    session.close()
    kept = audit.read_text() + caplog.text + "".join(reprs)
    assert canary not in kept
    assert token not in kept
    assert [json.loads(line)["event"] for line in audit.read_text().splitlines()] == [
        *("terminal_token", "terminal_started", "terminal_refused", "terminal_refused", "terminal_ended")
    ]
    assert audit.stat().st_mode & 0o777 == 0o600


def test_a_sink_that_fails_disturbs_nobody(make, caplog):
    def sink(event: TerminalEvent) -> None:
        raise RuntimeError("full")

    told: list[TerminalEvent] = []
    world = make(audit=[sink, told.append])
    world.manager.open("ann", HOST).close()
    assert [event.event for event in told] == ["terminal_started", "terminal_ended"]
    assert len([record for record in caplog.records if "audit" in record.message]) == 1


def test_a_sink_may_act_on_what_it_is_told_of(make):
    def sink(event: TerminalEvent) -> None:
        told.append(event.event)
        if event.event == "terminal_refused":
            for info in world.manager.sessions("ann"):
                world.manager.terminate("ann", info.id)

    def refused() -> None:
        with pytest.raises(NotAllowedError):
            world.manager.issue("cec", HOST)

    told: list[str] = []
    world = make(audit=sink)
    session = world.manager.open("ann", HOST)
    acting = threading.Thread(target=refused)
    acting.daemon = True  # where it waits for itself, it does so for ever
    acting.start()
    assert session.wait(30).reason == "terminated"
    acting.join(30)
    assert told == ["terminal_started", "terminal_refused", "terminal_terminated", "terminal_ended"]


def test_a_session_that_comes_as_the_manager_closes_leaves_nothing(make, tmp_path):
    def observers(info: SessionInfo) -> list[Any]:
        world.manager._register._closed = True
        return []

    recordings = Recordings(tmp_path / "recordings")
    world = make(recordings=recordings, observers=observers)
    with pytest.raises(SessionOverError, match="no more terminals"):
        world.manager.open("ann", HOST)
    assert os.listdir(recordings.folder) == []
    assert len(world.manager._register) == 0


def test_a_forked_child_leaves_the_sessions_to_its_parent(world):
    session: TerminalSession = opened(world.manager.attach("ann", world.manager.open("ann", HOST).id)).session
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if world.manager.sessions("ann") == []:
                code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert session.state == "open"


def test_sessions_are_recorded_and_filtered(make, tmp_path):
    def careful(info: SessionInfo, text: str, user: str) -> str | None:
        return f"{user} halts nothing on {info.host}" if text.startswith("halt") else None

    recordings = Recordings(tmp_path / "recordings")
    world = make(recordings=recordings, filters=[careful])
    viewer = opened(world.manager.redeem(world.manager.issue("ann", HOST), size=SIZE))
    viewer.write(b"echo re''corded\n")
    shows(viewer, b"recorded\r\n")
    with pytest.raises(NotAllowedError, match=f"ann halts nothing on {HOST}"):
        viewer.write(b"halt\n")
    name = viewer.session.info().recording
    viewer.session.close()
    (kept,) = recordings.list()
    assert kept.name == name
    assert {event.recording for event in world.told if event.session is not None} == {name}
    assert "recorded" in "".join(event.data for event in recordings.events(name) if isinstance(event.data, str))


def test_a_session_that_can_not_be_recorded_is_not_opened(make, tmp_path):
    recordings = Recordings(tmp_path / "recordings")
    world = make(recordings=recordings)
    recordings.begin = lambda info: (_ for _ in ()).throw(TerminalError("the session can't be recorded: no space"))
    with pytest.raises(TerminalError, match="recorded"):
        world.manager.redeem(world.manager.issue("ann", HOST), size=SIZE)
    assert world.manager.sessions("ann") == []


def test_a_log_warns_of_what_was_refused(make, caplog):
    caplog.set_level(logging.INFO, "sshexec.audit")
    world = make(audit=LogSink())
    world.manager.issue("ann", HOST)
    with pytest.raises(NotAllowedError):
        world.manager.issue("cec", HOST)
    told = [(record.levelname, record.audit.event) for record in caplog.records if record.name == "sshexec.audit"]
    assert told == [("INFO", "terminal_token"), ("WARNING", "terminal_refused")]


def test_what_comes_while_the_manager_is_closed_leaves_nothing(make: Make, tmp_path: Any) -> None:
    recordings = Recordings(tmp_path / "r")
    world = make(recordings=recordings, observers=lambda info: world.manager.close() or ())
    with pytest.raises(SessionOverError):
        world.manager.open("ann", HOST)
    assert recordings.list() == []
    assert "terminal_started" not in world.events()


def test_closing_waits_for_all_sessions_together(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck:
        owner = "ann"

        def __init__(self, number: int) -> None:
            self.id = str(number)

        def terminate(self, by: str, reason: str) -> None:
            pass

        def wait(self, timeout: float) -> None:
            waited.append(timeout)
            time.sleep(timeout)

        def close(self) -> None:
            waited.append(15.0)

    monkeypatch.setattr(register, "_CLOSING", 0.05)
    waited: list[float] = []
    made = register.Register(9, 9, lambda session: None)
    for number in range(3):
        made.add("ann", lambda contexts, number=number: cast("Any", Stuck(number)))
    made.close()
    assert len(waited) == 3
    assert sum(waited) <= 0.06
