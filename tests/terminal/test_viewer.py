"""Viewers: what each is shown, how much at a time, and who is sent away."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sshexec.connectors.terminal import PIECE, Size
from sshexec.errors import LimitError, NotAllowedError, SessionOverError, TerminalError
from sshexec.terminal import pump
from sshexec.terminal.events import Detached, Ended, Noticed, Opened, Paused, Reset, Resized, Watching
from sshexec.terminal.policy import TerminalPolicy
from sshexec.terminal.session import TerminalSession
from sshexec.terminal.viewer import Viewer
from tests.terminal.puppet import PATIENCE, Puppet, PuppetTerminal, event, received, rest

LARGE = 300_000


class Stage:
    """A session on a puppet, open, with its owner."""

    def __init__(self, **policy: object) -> None:
        self.puppet = Puppet()
        self.session = TerminalSession(
            "puppet",
            self.puppet.connect,
            owner="ann",
            policy=TerminalPolicy(**{"idle": None, **policy}),  # type: ignore[arg-type]
        )
        self.owner = self.session.attach(user="ann")
        self.session.start()
        event(self.owner, Opened)

    @property
    def screen(self) -> PuppetTerminal:
        assert self.puppet.screen is not None
        return self.puppet.screen

    def shown(self, *pieces: bytes) -> None:
        """Show something, and wait until the session has it."""
        wanted = self.screen.taken + sum(map(len, pieces))
        self.screen.show(*pieces)
        self.screen.until(lambda: self.screen.taken >= wanted)
        while self.session.info().sent < wanted:
            threading.Event().wait(0.001)


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.session.close()


def staged(**policy: object) -> Stage:
    return Stage(**policy)


def test_bytes_come_as_they_were_written(stage: Stage) -> None:
    data = bytes(range(256)) * 3
    stage.screen.show(data)
    assert received(stage.owner, data) == data
    assert stage.owner.seq == len(data)


def test_nothing_in_time_is_none(stage: Stage) -> None:
    while stage.owner.read(0) is not None:
        pass
    assert stage.owner.read(0.01) is None


def test_what_is_not_acknowledged_stops_at_the_window() -> None:
    stage = staged(window=100_000)
    with stage.session:
        stage.shown(b"x" * 60_000, b"y" * 60_000)
        got = 0
        while (piece := stage.owner.read(0.05)) is not None:
            got += len(piece) if isinstance(piece, bytes) else 0
        assert got == 100_000
        stage.owner.ack(7)
        assert stage.owner.read(PATIENCE) == b"y" * 7
        stage.owner.ack(10**12)
        assert stage.owner.read(PATIENCE) == b"y" * 19_993


def test_an_owner_who_reads_nothing_holds_up_the_host_and_not_our_memory(stage: Stage) -> None:
    stage.screen.show(*[b"x" * 60_000] * 100)
    stage.screen.until(lambda: stage.screen.taken >= 120_000)
    threading.Event().wait(0.1)
    assert stage.screen.taken <= 240_000
    received(stage.owner, b"x" * 1_000_000)


def test_watchers_hold_up_nobody_and_are_told_what_they_missed(stage: Stage) -> None:
    watcher = stage.session.attach(role="watcher", user="bob")
    stage.screen.show(*[b"line of text\r\n" * 4000] * 20)
    received(stage.owner, b"line of text\r\n" * 80_000)
    stage.screen.show(b"the end")
    received(stage.owner, b"the end")
    reset = event(watcher, Reset)
    data = received(watcher, b"the end")
    assert data.startswith(b"line of text")
    assert reset.seq + len(data) == watcher.seq == stage.session.info().sent


def test_a_watcher_that_is_always_left_behind_is_not_restarted_all_the_time(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sshexec.terminal.viewer.BETWEEN_RESTARTS", 3600.0)
    watcher = stage.session.attach(role="watcher", user="bob")

    def flood() -> None:
        stage.screen.show(*[b"line of text\r\n" * 4000] * 20)
        received(stage.owner, b"line of text\r\n" * 80_000)

    flood()
    event(watcher, Reset)
    flood()
    assert watcher.read(0) is None, "it waits: what it would get now would be gone at once"
    monkeypatch.setattr("sshexec.terminal.viewer.BETWEEN_RESTARTS", 0.01)
    assert isinstance(watcher.read(PATIENCE), Reset)
    flood()
    monkeypatch.setattr("sshexec.terminal.viewer.BETWEEN_RESTARTS", 3600.0)
    stage.session.terminate("ann")
    assert isinstance(event(watcher, Reset), Reset), "at the end nothing is waited for"
    assert isinstance(event(watcher, Ended), Ended)


def test_events_come_between_the_bytes_that_were_there_before_and_after(stage: Stage) -> None:
    stage.shown(b"before")
    stage.session.resize(Size(100, 30))
    stage.shown(b"after")
    found = [stage.owner.read(PATIENCE) for _ in range(3)]
    assert found == [b"before", Resized(Size(100, 30)), b"after"]


def test_a_viewer_who_acknowledges_nothing_is_still_told_what_happens() -> None:
    stage = staged(window=4096)
    with stage.session:
        stage.shown(b"x" * 9000)
        received(stage.owner, b"x" * 4096, acknowledge=False)
        stage.session.pause("root")
        assert event(stage.owner, Paused) == Paused("root")
        stage.session.resume()


def test_of_many_sizes_only_the_last_one_waits(stage: Stage) -> None:
    watcher = stage.session.attach(role="watcher")
    for columns in range(2, 1000):
        stage.owner.resize(Size(columns, 24))
    assert event(watcher, Resized) == Resized(Size(999, 24))
    assert stage.screen.sizes[-1] == Size(999, 24)
    for number in range(1000):
        with stage.session._stage.lock:
            stage.session._stage.audience.tell(Noticed("info", "n", str(number)))
    assert len(watcher._events) < 30
    assert event(watcher, Noticed).text == "980"


def test_who_comes_later_sees_what_was_there(stage: Stage) -> None:
    stage.shown(b"hello\r\n", b"prompt$ ")
    late = stage.session.attach(role="watcher")
    assert received(late, b"prompt$ ") == b"hello\r\nprompt$ "


def test_going_on_from_a_byte(stage: Stage) -> None:
    stage.shown(b"0123456789")
    again = stage.session.attach(user="ann", since=4)
    assert event(stage.owner, Detached) == Detached("stolen")
    assert again.seq == 4
    assert received(again, b"9") == b"456789"


@pytest.mark.parametrize("since", [-5, 3, 10**15])
def test_going_on_from_a_byte_that_is_not_there_begins_anew(stage: Stage, since: int) -> None:
    session = stage.session
    stage.owner.close()
    stage.shown(*[b"0123456789\r\n" * 5000] * 10)
    again = session.attach(since=since)
    assert event(again, Reset).seq == again.seq
    data = received(again, b"9\r\n")
    assert data.startswith(b"0123456789\r\n")


def test_a_full_screen_program_gets_its_screen_back_and_draws_it_anew(stage: Stage) -> None:
    session = stage.session
    stage.owner.close()
    stage.shown(b"\x1b[?1049h\x1b[?1h", *[b"some text on the screen\r\n" * 2000] * 10)
    late = session.attach()
    data = received(late, b"screen\r\n")
    assert data.startswith(b"\x1b[?1h\x1b[?1049hsome text")
    stage.screen.until(lambda: stage.screen.sizes[-2:] == [Size(80, 23), Size(80, 24)])


def test_a_shell_is_not_made_to_draw_anything(stage: Stage) -> None:
    stage.owner.close()
    stage.shown(*[b"some text on the screen\r\n" * 2000] * 10)
    late = stage.session.attach()
    late.write(b"x")
    stage.screen.until(lambda: stage.screen.typed == b"x")
    assert stage.screen.sizes == [Size()]


def test_only_the_owner_types(stage: Stage) -> None:
    watcher = stage.session.attach(role="watcher", user="bob")
    for attempt in (
        lambda: watcher.write(b"rm"),
        lambda: watcher.resize(Size(3, 3)),
        lambda: watcher.signal("INT"),
        lambda: watcher.answer("q1", ["x"]),
    ):
        with pytest.raises(NotAllowedError):
            attempt()
    stage.owner.write(b"ls\r")
    stage.owner.signal("INT")
    assert (stage.screen.typed, stage.screen.signals) == (b"ls\r", ["INT"])


@pytest.mark.parametrize("how", ["stolen", "kicked"])
def test_an_owner_who_was_sent_away_can_do_nothing_more(stage: Stage, how: str) -> None:
    """Its WebSocket is still heard until it is closed."""
    if how == "stolen":
        stage.session.attach(user="ann")
    else:
        stage.session.kick(stage.owner.id)
    for attempt in (
        lambda: stage.owner.write(b"rm"),
        lambda: stage.owner.resize(Size(3, 3)),
        lambda: stage.owner.signal("INT"),
        lambda: stage.owner.answer("q1", ["x"]),
    ):
        with pytest.raises(SessionOverError, match="out of the session"):
            attempt()
    assert (stage.screen.typed, stage.screen.signals, stage.session.size) == (b"", [], Size())


def test_handing_over_turns_the_roles_round(stage: Stage) -> None:
    watcher = stage.session.attach(role="watcher", user="bob")
    stage.session.hand_over(watcher.id, "ann")
    watcher.write(b"b")
    with pytest.raises(NotAllowedError):
        stage.owner.write(b"a")
    assert stage.screen.typed == b"b"
    told = event(stage.owner, Watching)
    assert (told.mine, told.role) == (stage.owner.id, "watcher")
    assert set(told.viewers) == {(stage.owner.id, "ann", "watcher"), (watcher.id, "bob", "owner")}
    with pytest.raises(TerminalError):
        stage.session.hand_over("v99", "ann")


def test_a_watcher_can_be_sent_away(stage: Stage) -> None:
    watcher = stage.session.attach(role="watcher")
    stage.session.kick(watcher.id)
    assert event(watcher, Detached) == Detached("kicked")
    assert watcher.closed
    with pytest.raises(SessionOverError):
        watcher.read(0)


def test_there_is_a_limit_of_watchers() -> None:
    stage = staged(watchers=1)
    with stage.session:
        first = stage.session.attach(role="watcher")
        with pytest.raises(LimitError):
            stage.session.attach(role="watcher")
        first.close()
        stage.session.attach(role="watcher")


def test_leaving_wakes_whoever_reads(stage: Stage) -> None:
    watcher = stage.session.attach(role="watcher")
    found: list[object] = []
    reader = threading.Thread(target=lambda: found.extend(rest(watcher)[1]))
    reader.start()
    watcher.close()
    reader.join(PATIENCE)
    assert found[-1] == Detached("closed")
    watcher.close()


def test_an_owner_who_takes_nothing_is_sent_away_and_the_program_goes_on() -> None:
    stage = staged(stall=0.1)
    with stage.session:
        stage.screen.show(*[b"x" * 60_000] * 6)
        stage.screen.until(lambda: stage.screen.taken == 360_000)
        assert event(stage.owner, Detached) == Detached("stalled")


def test_a_flood_that_nobody_sees_is_read_slowly_until_somebody_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pump, "_ALONE", 1)
    stage = staged()
    with stage.session:
        stage.owner.close()
        stage.screen.show(*[b"x" * PIECE] * 20)
        stage.screen.until(lambda: stage.screen.taken == PIECE)
        threading.Event().wait(0.05)
        assert stage.screen.taken == PIECE
        received(stage.session.attach(), b"x" * 20 * PIECE)


def test_the_last_bytes_come_before_the_end_even_without_acknowledgements() -> None:
    stage = staged(window=4096)
    stage.shown(b"x" * 10_000)
    stage.screen.exit(3)
    shown, events = rest(stage.owner)
    assert shown == b"x" * 10_000
    assert events[-1] == Ended("exited", "the program has ended with status 3", exit_status=3)
    assert stage.session.wait(PATIENCE)


def test_a_paste_that_the_program_echoes_does_not_wait_for_itself() -> None:
    """What a viewer acknowledges stands behind what it types, and the host takes that only if it is read."""
    stage = staged(window=4096)
    with stage.session:
        stage.screen.take(0)
        typing = threading.Thread(target=stage.owner.write, args=(b"p" * 1000,))
        typing.start()
        stage.screen.show(b"p" * LARGE)
        received(stage.owner, b"p" * LARGE, acknowledge=False)
        stage.screen.take(None)
        typing.join(PATIENCE)
        assert stage.screen.typed == b"p" * 1000


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(st.sampled_from(["show", "read", "ack", "new"]), st.integers(1, 5000)), max_size=25))
def test_whatever_happens_each_viewer_sees_one_stream(moves: list[tuple[str, int]]) -> None:
    stage = staged(scrollback=4096, window=8192)
    with stage.session:
        everything, viewers = b"", [stage.owner]
        for move, number in moves:
            viewer = viewers[number % len(viewers)]
            if move == "show":
                data = bytes((len(everything) + n) % 127 for n in range(number))
                stage.shown(data)
                everything += data
            elif move == "ack":
                viewer.ack(number)
            elif move == "new" and len(viewers) < 5:
                viewers.append(stage.session.attach(role="watcher", since=number))
            else:
                check(viewer, everything)
        for viewer in viewers:
            viewer.ack(10**9)
            while check(viewer, everything):
                viewer.ack(10**9)
            assert viewer.seq == len(everything)


def check(viewer: Viewer, everything: bytes) -> bool:
    before = viewer.seq
    found = viewer.read(0)
    if isinstance(found, bytes):
        assert found == everything[before : before + len(found)]
        assert viewer.seq == before + len(found)
    return found is not None
