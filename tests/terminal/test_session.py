"""A session from its opening to its end, on a host whose every move the test makes."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from sshexec.connectors.terminal import Size
from sshexec.errors import (
    ArgumentError,
    CancelledError,
    ConnectionLostError,
    NotAllowedError,
    RefusedError,
    SessionOverError,
    TerminalError,
)
from sshexec.terminal import pump, stage, transfers
from sshexec.terminal.events import Ended, Noticed, Opened, Paused, Phased
from sshexec.terminal.observer import Observer, SessionInfo
from sshexec.terminal.policy import TerminalPolicy
from sshexec.terminal.session import TerminalSession
from tests.terminal.puppet import PATIENCE, Puppet, PuppetTerminal, event, received, rest, settle

CANARY = b"c4nary-typed"


class Witness(Observer):
    """Writes down what it is told; fails where it is told to."""

    def __init__(self, failing: str = "", *, required: bool = False) -> None:
        self.required = required
        self.failing = failing
        self.seen: list[tuple[str, object]] = []
        self.refused = b""

    def _see(self, what: str, detail: object) -> None:
        if self.failing == what:
            raise OSError(28, f"no space for {CANARY!r}")
        self.seen.append((what, detail))

    def opened(self, info: SessionInfo) -> None:
        self._see("opened", info.state)

    def permits(self, data: bytes, user: str) -> str | None:
        return "not on this host\n" if self.refused and self.refused in data else None

    def typed(self, data: bytes, user: str) -> None:
        self._see("typed", (data, user))

    def shown(self, data: bytes) -> None:
        self._see("shown", data)

    def resized(self, size: Size) -> None:
        self._see("resized", size)

    def ended(self, info: SessionInfo) -> None:
        assert info.ended is not None
        self._see("ended", info.ended.reason)


def session(
    *observers: Observer, opening: Callable[[Puppet], None] = lambda puppet: None, **policy: object
) -> tuple[TerminalSession, Puppet]:
    puppet = Puppet(opening)
    limits = TerminalPolicy(**policy)  # type: ignore[arg-type]
    return TerminalSession("web1", puppet.connect, owner="ann", policy=limits, observers=observers), puppet


def opened(*observers: Observer, **policy: object) -> tuple[TerminalSession, PuppetTerminal]:
    made, puppet = session(*observers, **policy)
    made.start()
    made.wait_open(PATIENCE)
    assert puppet.screen is not None
    return made, puppet.screen


# ---------------------------------------------------------------------- beginning


def test_who_is_there_before_it_starts_sees_all_of_its_opening() -> None:
    def opening(puppet: Puppet) -> None:
        puppet.notices.append({"notice": "host_key_learned", "message": "learned\x1b[2J a key"})

    made, puppet = session(opening=opening)
    owner = made.attach(user="ann")
    assert made.state == "opening"
    with pytest.raises(SessionOverError):
        owner.write(b"early")
    with made:
        made.start()
        made.start()
        assert event(owner, Phased) == Phased("connecting")
        assert event(owner, Noticed) == Noticed("info", "host_key_learned", "learned [2J a key")
        event(owner, Opened)
        assert made.state == "open"
    assert event(owner, Ended).reason == "terminated"
    assert puppet.closed.is_set()


def test_a_host_that_can_not_be_reached() -> None:
    def opening(puppet: Puppet) -> None:
        raise RefusedError("web1 refused the connection")

    made, puppet = session(opening=opening)
    owner = made.attach()
    made.start()
    assert event(owner, Ended) == Ended("failed", "web1 refused the connection", cause="refused")
    with pytest.raises(RefusedError):
        made.wait_open()
    assert made.wait(PATIENCE)
    assert puppet.closed.is_set()
    with pytest.raises(SessionOverError, match="refused the connection"):
        made.attach()


def test_an_error_of_ours_is_an_end_too_and_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def opening(puppet: Puppet) -> None:
        raise KeyError("oops")

    made, puppet = session(opening=opening)
    owner = made.attach()
    with caplog.at_level(logging.CRITICAL):
        made.start()
        assert event(owner, Ended).reason == "failed"
    with pytest.raises(SessionOverError):
        made.wait_open()
    made.wait(PATIENCE)
    assert puppet.closed.is_set()


def test_a_session_can_be_ended_while_it_opens() -> None:
    entered = threading.Event()

    def opening(puppet: Puppet) -> None:
        entered.set()
        assert puppet.cancelled.wait(PATIENCE)

    made, puppet = session(opening=opening)
    made.start()
    assert entered.wait(PATIENCE)
    made.close()
    assert made.wait(0) == Ended("terminated", "ended")
    assert puppet.closed.is_set()
    with pytest.raises(SessionOverError):
        made.wait_open()


def test_a_session_that_never_started_ends_too() -> None:
    told: list[TerminalSession] = []
    puppet = Puppet()
    witness = Witness()
    made = TerminalSession("web1", puppet.connect, observers=[witness], on_end=told.append)
    owner = made.attach()
    made.close()
    made.start()
    assert rest(owner)[1][-1] == Ended("terminated", "ended")
    assert made.wait(0)
    assert told == [made]
    assert witness.seen == [("ended", "terminated")]


@pytest.mark.parametrize("ended", [False, True])
def test_a_session_for_which_there_is_no_thread_has_ended(monkeypatch: pytest.MonkeyPatch, ended: bool) -> None:
    def none(thread: threading.Thread) -> None:
        if ended:  # by somebody else, at the same moment
            made.terminate("root")
        raise RuntimeError("can't start new thread")

    told: list[TerminalSession] = []
    made = TerminalSession("web1", Puppet().connect, on_end=told.append)
    owner = made.attach()
    monkeypatch.setattr(threading.Thread, "start", none)
    with pytest.raises(TerminalError, match="no further thread"):
        made.start()
    assert isinstance(rest(owner)[1][-1], Ended)
    assert told == [made]
    assert made.wait(0)


def test_a_size_that_changes_while_it_opens_arrives() -> None:
    going = threading.Event()
    made, puppet = session(opening=lambda puppet: going.wait(PATIENCE) and None)
    made.start()
    made.resize(Size(100, 50))
    going.set()
    made.wait_open(PATIENCE)
    assert puppet.screen is not None
    assert puppet.screen.sizes[-1] == Size(100, 50)
    made.close()


# ---------------------------------------------------------------------- ends


def test_the_program_s_end_says_how() -> None:
    made, screen = opened()
    screen.exit(None, "KILL")
    ended = made.wait(PATIENCE)
    assert ended == Ended("exited", "the program was ended by signal KILL", exit_signal="KILL")
    assert made.info().to_dict()["ended"]["exit_signal"] == "KILL"


def test_a_connection_that_breaks() -> None:
    made, screen = opened()
    screen.show(b"last words")
    screen.fail(ConnectionLostError("the connection broke:\x1b[31m reset"))
    ended = made.wait(PATIENCE)
    assert ended is not None
    assert (ended.reason, ended.text) == ("lost", "the connection broke: [31m reset")


def test_terminating_says_who_and_why_and_happens_once() -> None:
    made, screen = opened()
    made.terminate("root", "lunch\nbreak")
    made.terminate("bob")
    assert made.wait(PATIENCE) == Ended("terminated", "ended by root: lunch break")
    assert screen.closed
    for attempt in (
        lambda: made.write(b"x"),
        lambda: made.resize(Size(3, 3)),
        lambda: made.signal("INT"),
        lambda: made.pause("x"),
        lambda: made.hand_over("v1"),
        lambda: made.attach(),
        lambda: made.put(b"", "/tmp/x"),
    ):
        with pytest.raises(SessionOverError):
            attempt()


class Clock:
    """Stands for `time` where it is asked how late it is."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize("limit", ["idle", "max_time", "detached"])
def test_a_session_ends_when_its_time_is_over(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "time", clock := Clock())
    made, screen = opened(**{limit: 900.0})
    viewer = made.attach(role="watcher" if limit == "detached" else "owner")
    if limit != "detached":
        clock.now += 850
        screen.wake()
        assert event(viewer, Noticed).code == f"{limit}_soon"
    clock.now += 900
    screen.wake()
    events = rest(viewer)[1]
    assert isinstance(events[-1], Ended)
    assert events[-1].reason == limit
    assert made.wait(PATIENCE)


def test_a_session_that_only_waits_ends_when_its_time_is_over() -> None:
    made, _ = opened(max_time=0.05)
    ended = made.wait(PATIENCE)
    assert ended is not None
    assert ended.reason == "max_time"


def test_what_is_called_at_the_end_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    def on_end(made: TerminalSession) -> None:
        raise KeyError("oops")

    made = TerminalSession("web1", Puppet().connect, on_end=on_end)
    made.start()
    made.wait_open(PATIENCE)
    with caplog.at_level(logging.CRITICAL):
        made.close()
    assert made.wait(0)


def test_a_hundred_sessions_leave_no_thread() -> None:
    before = threading.active_count()
    made = [session()[0] for _ in range(100)]
    for each in made:
        each.attach()
        each.start()
    for number, each in enumerate(made):
        if number % 2:
            each.wait_open(PATIENCE)
        each.close()
        assert each.wait(PATIENCE)
    settle(lambda: threading.active_count() <= before)


# ---------------------------------------------------------------------- typing


def test_more_than_the_host_takes_waits_and_is_never_cut() -> None:
    made, screen = opened()
    data = bytes(range(256)) * 1000
    screen.take(100_000)
    typing = threading.Thread(target=made.write, args=(data,))
    typing.start()
    screen.until(lambda: len(screen.typed) == 100_000)
    second = threading.Thread(target=made.write, args=(b"second",))
    second.start()
    screen.take(None)
    typing.join(PATIENCE)
    second.join(PATIENCE)
    assert screen.typed == data + b"second"
    made.close()


@pytest.mark.parametrize("end", ["terminate", "exit", "close"])
def test_whoever_types_to_a_host_that_takes_nothing_hears_of_the_end(end: str) -> None:
    made, screen = opened()
    screen.take(0)
    errors: list[BaseException] = []

    def type_something() -> None:
        try:
            made.write(b"x")
        except SessionOverError as error:
            errors.append(error)

    threads = [threading.Thread(target=type_something) for _ in range(3)]
    for thread in threads:
        thread.start()
    {"terminate": made.terminate, "exit": screen.exit, "close": made.close}[end]()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(errors) == 3
    assert made.wait(PATIENCE)


def test_the_turn_of_a_viewer_that_has_left_does_not_come() -> None:
    made, screen = opened()
    with made:
        owner = made.attach()
        screen.take(0)
        first = threading.Thread(target=owner.write, args=(b"begun",))
        first.start()
        screen.until(lambda: screen.writing)
        errors: list[type[BaseException]] = []

        def later() -> None:
            try:
                owner.write(b"never")
            except SessionOverError as error:
                errors.append(type(error))

        second = threading.Thread(target=later)
        second.start()
        settle(lambda: len(made._stage.turn._waiters) == 1)  # type: ignore[attr-defined]  # of `Condition`
        owner.close()
        second.join(PATIENCE)
        assert errors == [SessionOverError]
        screen.take(None)
        first.join(PATIENCE)
        assert screen.typed == b"begun"


def test_pausing_stops_both_ways_and_resuming_goes_on() -> None:
    made, screen = opened()
    with made:
        owner = made.attach()
        made.pause("root")
        assert event(owner, Paused) == Paused("root")
        made.pause("bob")
        assert made.info().paused == "root"
        with pytest.raises(NotAllowedError, match="paused"):
            owner.write(b"x")
        screen.show(b"later")
        assert owner.read(0.05) is None
        late = made.attach(role="watcher")
        assert event(late, Paused) == Paused("root")
        made.resume()
        assert event(owner, Paused) == Paused(None)
        received(owner, b"later")


def test_an_owner_s_own_pause_does_not_stand_in_the_way_of_another_s() -> None:
    made, _ = opened()
    with made:
        owner = made.attach()
        made.pause("ann")
        made.pause("root")
        assert made.info().paused == "root"
        assert event(owner, Paused).by in ("ann", "root")
        made.pause("ann")
        assert made.info().paused == "root"
        made.resume()
        assert made.info().paused is None


def test_a_paused_session_shows_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "_SIGN", 0.01)
    made, screen = opened()
    with made:
        made.pause("root")
        screen.until(lambda: len(screen.sizes) > 3)
        assert set(screen.sizes) == {Size()}
        screen.show(b"x")
        made.resume()
        received(made.attach(), b"x")


def test_nothing_is_typed_in_a_read_only_session() -> None:
    made, _ = opened(read_only=True)
    with made:
        owner = made.attach()
        for attempt in (lambda: owner.write(b"x"), lambda: owner.signal("INT"), lambda: made.put(b"", "/tmp/x")):
            with pytest.raises(NotAllowedError, match="read-only"):
                attempt()
        owner.resize(Size(90, 30))


def test_signals_are_checked() -> None:
    made, screen = opened()
    with made:
        made.signal("TERM")
        assert screen.signals == ["TERM"]


# ---------------------------------------------------------------------- observers


def test_observers_see_everything_in_order_before_anybody_else_does() -> None:
    witness = Witness()
    made, screen = opened(witness)
    owner = made.attach(user="ann")
    owner.write(b"ls\r")
    screen.show(b"file\r\n")
    received(owner, b"file\r\n")
    owner.resize(Size(90, 30))
    screen.exit(0)
    made.wait(PATIENCE)
    assert witness.seen == [
        ("opened", "open"),
        ("typed", (b"ls\r", "ann")),
        ("shown", b"file\r\n"),
        ("resized", Size(90, 30)),
        ("ended", "exited"),
    ]


def test_what_an_observer_refuses_is_not_sent_at_all() -> None:
    witness = Witness()
    witness.refused = b"rm"
    made, screen = opened(witness)
    with made:
        with pytest.raises(NotAllowedError, match=r"^not on this host$"):
            made.write(b"ls\rrm -rf /\rls\r")
        made.write(b"ls\r")
        assert screen.typed == b"ls\r"
        assert witness.seen[1:] == [("typed", (b"ls\r", "ann"))]


@pytest.mark.parametrize("failing", ["opened", "typed", "shown", "resized", "ended"])
def test_an_observer_that_fails_disturbs_nobody(failing: str, caplog: pytest.LogCaptureFixture) -> None:
    other = Witness()
    made, screen = opened(Witness(failing), other)
    owner = made.attach()
    made.write(CANARY)
    made.write(CANARY)
    screen.show(b"hello")
    received(owner, b"hello")
    made.resize(Size(3, 3))
    made.close()
    assert len(other.seen) == 6
    assert caplog.text.count("an observer of a terminal session failed: Witness: OSError") == 1
    assert CANARY.decode() not in caplog.text


@pytest.mark.parametrize("failing", ["opened", "typed", "shown", "resized"])
def test_without_a_required_observer_the_session_ends_and_shows_nothing_unseen(failing: str) -> None:
    made, puppet = session(Witness(failing, required=True))
    owner = made.attach()
    made.start()
    made._ready.wait(PATIENCE)
    assert puppet.screen is not None
    if failing == "typed":
        with pytest.raises(SessionOverError):
            owner.write(b"x")
    elif failing == "shown":
        puppet.screen.show(b"unseen")
    elif failing == "resized":
        owner.resize(Size(3, 3))
    shown, events = rest(owner)
    assert (shown, puppet.screen.typed) == (b"", b"")
    assert isinstance(events[-1], Ended)
    assert events[-1].reason == "recording"
    assert events[-1].text == "the session can't be recorded any more (Witness: No space left on device)"
    assert made.wait(PATIENCE)


def test_observers_come_before_the_start() -> None:
    made, _ = session()
    made.observe(witness := Witness())
    made.start()
    with pytest.raises(TerminalError):
        made.observe(Witness())
    made.close()
    assert witness.seen


def test_an_observer_may_end_its_session() -> None:
    class Strict(Observer):
        def shown(self, data: bytes) -> None:
            made.terminate("the observer")

    made, screen = opened(Strict())
    screen.show(b"x")
    assert made.wait(PATIENCE) == Ended("terminated", "ended by the observer")


class Slow(Witness):
    """Asks somebody who takes his time."""

    def __init__(self) -> None:
        super().__init__(required=True)
        self.asked, self.answered = threading.Event(), threading.Event()

    def permits(self, data: bytes, user: str) -> str | None:
        self.asked.set()
        assert self.answered.wait(PATIENCE)
        return None


def test_only_what_is_typed_waits_for_an_observer_s_permission() -> None:
    slow = Slow()
    made, screen = opened(slow)
    owner = made.attach()
    errors: list[BaseException] = []

    def type_something() -> None:
        try:
            made.write(b"rm\r")
        except SessionOverError as error:
            errors.append(error)

    typing = threading.Thread(target=type_something)
    typing.start()
    assert slow.asked.wait(PATIENCE)
    screen.show(b"shown meanwhile")
    received(owner, b"shown meanwhile")
    made.terminate("root")
    assert made.wait(PATIENCE)
    slow.answered.set()
    typing.join(PATIENCE)
    assert len(errors) == 1
    assert screen.typed == b""
    assert slow.seen[-1] == ("ended", "terminated"), "nothing is told after the end"


def test_nothing_is_told_after_the_end() -> None:
    witness = Witness()
    made, _ = opened(witness)
    made.close()
    made._observers.typed(b"late", "ann")
    assert [what for what, _ in witness.seen] == ["opened", "ended"]


# ---------------------------------------------------------------------- files


def test_files_go_over_the_same_connection() -> None:
    made, _ = opened()
    with made:
        made.put(b"content", "/tmp/x")
        target = io.BytesIO()
        made.get("/tmp/x", target)
        assert target.getvalue() == b"content"


def test_no_file_goes_while_the_session_is_paused() -> None:
    made, _ = opened()
    with made:
        made.put(b"before", "/tmp/x")
        made.pause("root")
        with pytest.raises(NotAllowedError, match="paused"):
            made.put(b"content", "/tmp/x")
        target = io.BytesIO()
        with pytest.raises(NotAllowedError, match="paused"):
            made.get("/tmp/x", target)
        made.resume()
        made.get("/tmp/x", target)
        assert target.getvalue() == b"before"


def test_a_transfer_ends_with_its_session() -> None:
    made, puppet = session()
    puppet.stalled = True
    made.start()
    made.wait_open(PATIENCE)
    errors: list[BaseException] = []

    def upload() -> None:
        try:
            made.put(b"x", "/tmp/x")
        except CancelledError as error:
            errors.append(error)

    transfer = threading.Thread(target=upload)
    transfer.start()
    assert puppet.started.wait(PATIENCE)
    made.close()
    transfer.join(PATIENCE)
    assert len(errors) == 1
    assert puppet.closed.is_set()


def test_a_transfer_whose_turn_comes_with_the_end_hears_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "_TURN", 0.2)
    made, _ = opened()
    turn = made._transfers._turn

    class Late:
        """The turn of one that was let through just before the session ended."""

        def acquire(self, **how: Any) -> bool:
            if how.get("timeout") == 0.2:
                made.close()
            return turn.acquire(**how)

        def release(self) -> None:
            turn.release()

    monkeypatch.setattr(made._transfers, "_turn", Late())
    with pytest.raises(SessionOverError):
        made.put(b"x", "/tmp/x")


# ---------------------------------------------------------------------- what may be known


def test_info_is_plain_and_says_who_is_there() -> None:
    made, screen = opened()
    with made:
        owner = made.attach(user="ann")
        made.attach(role="watcher", user="bob")
        screen.show(b"12345")
        received(owner, b"12345")
        plain = made.info().to_dict()
        assert plain["viewers"] == [
            {"id": "v1", "user": "ann", "role": "owner"},
            {"id": "v2", "user": "bob", "role": "watcher"},
        ]
        assert (plain["sent"], plain["state"], plain["size"]) == (5, "open", {"columns": 80, "rows": 24})
        assert len(made.id) >= 20


def test_a_policy_is_checked() -> None:
    for wrong in ({"idle": -1}, {"window": 0}, {"stall": None}, {"read_only": 1}, {"watchers": -1}):
        with pytest.raises(ArgumentError):
            TerminalPolicy(**wrong)  # type: ignore[arg-type]
