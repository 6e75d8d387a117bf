"""Connections that have not logged in yet: how many at once, and what follows when a server turns one away."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sshexec.connectors.base import Deadline
from sshexec.connectors.ssh import admission
from sshexec.connectors.ssh.admission import Admission, BackOff, Ticket, TurnedAway
from sshexec.connectors.ssh.context import SshContext
from sshexec.connectors.ssh.transport import Signal
from sshexec.errors import BannerError, CancelledError, ConnectTimeoutError, RefusedError
from tests.connectors.test_ssh_jump import STOCK, connector, door, run, settle
from tests.testbed import Sshd

AWAY = TurnedAway(BannerError("turned away"))


def never() -> None:
    """Let nothing interrupt."""


def enter(gates: Admission, key: str = "a", guard: Callable[[], None] = never, bell: Signal | None = None) -> Ticket:
    return gates.enter(key, "there", Deadline.after(30), guard, bell or Signal())


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as made:
        yield made


def waiting(gates: Admission, key: str = "a") -> int:
    return len(gates._gates[key].queue)


def test_ten_at_once_and_who_waits_comes_in_order(pool: ThreadPoolExecutor) -> None:
    gates = Admission()
    inside = [enter(gates) for _ in range(10)]
    order: list[int] = []

    def come(number: int) -> None:
        ticket = enter(gates)
        order.append(number)
        ticket.leave()

    for number in range(3):
        pool.submit(come, number)
        settle(lambda n=number: waiting(gates) == n + 1)  # type: ignore[misc]
    enter(gates, "another").leave()
    assert order == []
    inside[0].leave()
    settle(lambda: order == [0, 1, 2])
    for ticket in inside:
        ticket.leave()
        ticket.leave()
    assert gates._gates == {}


def test_the_gate_widens_with_each_login_and_narrows_once_for_those_turned_away_together() -> None:
    gates = Admission()
    held = enter(gates)  # a wide gate through which nobody goes is forgotten
    for _ in range(100):
        enter(gates).leave(logged_in=True)
    tickets = [enter(gates) for _ in range(10)]
    wide = gates._gates["a"].limit
    assert 15 < wide < 20
    for ticket in tickets:
        ticket.leave(AWAY)
    assert gates._gates["a"].limit == wide / 2
    held.leave()
    for _ in range(10):
        enter(gates).leave(AWAY)
    assert gates._gates["a"].limit == 1
    enter(gates).leave(logged_in=True)
    assert gates._gates["a"].limit == 2


def test_who_is_cancelled_leaves_the_queue(pool: ThreadPoolExecutor) -> None:
    gates = Admission()
    inside = [enter(gates) for _ in range(10)]
    stop = threading.Event()
    bell = Signal()

    def guard() -> None:
        if stop.is_set():
            raise CancelledError("cancelled")

    job = pool.submit(enter, gates, "a", guard, bell)
    settle(lambda: waiting(gates) == 1)
    stop.set()
    bell.set()
    assert isinstance(job.exception(20), CancelledError)
    assert waiting(gates) == 0
    for ticket in inside:
        ticket.leave()
    assert gates._gates == {}


def test_what_answers_nobody_is_not_waited_for(pool: ThreadPoolExecutor) -> None:
    gates = Admission()
    inside = [enter(gates) for _ in range(10)]
    jobs = [pool.submit(enter, gates) for _ in range(20)]
    settle(lambda: waiting(gates) == 20)
    inside[0].leave(RefusedError("refused: the next one is told as quickly"))
    assert isinstance(jobs[0].result(20), Ticket)
    inside[1].leave(ConnectTimeoutError("no answer"))
    assert {type(job.exception(20)) for job in jobs[1:]} == {ConnectTimeoutError}


def test_nobody_waits_for_ever_at_a_gate_that_does_not_move(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_PATIENCE", 0.1)
    gates = Admission()
    inside = [enter(gates) for _ in range(10)]
    with pytest.raises(ConnectTimeoutError, match="too many connections to there wait for their login"):
        enter(gates)
    assert len(inside) == 10


def test_gates_that_nobody_uses_are_not_kept_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_GATES", 5)
    gates = Admission()
    held = enter(gates, "held")
    for number in range(20):
        enter(gates, str(number)).leave(AWAY)
    assert len(gates._gates) <= 5
    assert "held" in gates._gates
    held.leave()


def test_pauses_grow_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_FIRST_PAUSE", 0.001)
    back_off = BackOff(None)
    for _ in range(admission._ATTEMPTS - 1):
        back_off.pause(AWAY, Deadline(), Deadline(), never, Signal())
    with pytest.raises(BannerError, match="turned away"):
        back_off.pause(AWAY, Deadline(), Deadline(), never, Signal())
    with pytest.raises(BannerError):
        BackOff(0.0001).pause(AWAY, Deadline(), Deadline(), never, Signal())
    slow = BackOff(1000.0)
    for _ in range(admission._SLOW_TRIES):
        slow.pause(AWAY, Deadline.after(0), Deadline(), never, Signal())
    with pytest.raises(BannerError):
        slow.pause(AWAY, Deadline.after(0), Deadline(), never, Signal())
    with pytest.raises(BannerError):
        BackOff(None).pause(AWAY, Deadline(), Deadline.after(0), never, Signal())


def test_many_names_of_one_stock_server_all_get_in(tmp_path: Path) -> None:
    """The gate alone keeps sshd below its limit."""
    server = Sshd(tmp_path / "s", STOCK).start()
    context = SshContext()
    try:
        with ThreadPoolExecutor(80) as pool:
            found = pool.map(run, [connector(context, server, "127.0.3.1", connect=60) for _ in range(80)])
            assert set(found) == {"hi"}
    finally:
        server.stop()
        context.close()


def test_a_closing_port_is_tried_for_as_long_as_a_connection_may_take(sshd: Sshd) -> None:
    with door(b"Exceeded MaxStartups\r\n") as (port, came):
        one = connector(SshContext(), sshd, "127.0.0.1", connect=1, port=port)
        begun = time.monotonic()
        with pytest.raises(BannerError) as away:
            one.open(Deadline.after(60))
        told = rf"127\.0\.0\.1 port {port} turned us away: Exceeded MaxStartups, {len(came)} times in \d+ s"
        assert re.fullmatch(told, away.value.message)
        assert str(away.value) == away.value.message
        assert len(came) > 1
        assert time.monotonic() - begun < 30


@contextlib.contextmanager
def resetting() -> Iterator[tuple[int, list[None]]]:
    """A server that resets each connection once something has come over it; yields its port and who came."""
    came: list[None] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    came.append(None)
                    client.recv(1)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1], came
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def test_a_port_that_resets_connections_is_told_in_plain_words(sshd: Sshd) -> None:
    with resetting() as (port, came):
        with pytest.raises(BannerError) as away:
            connector(SshContext(), sshd, "127.0.0.1", connect=2, port=port).open(Deadline.after(60))
        assert len(came) > 1
    assert re.fullmatch(
        rf"127\.0\.0\.1 port {port} closed the connection before its greeting \(Connection reset by peer\), "
        rf"{len(came)} times in \d+ s: MaxStartups of its sshd, or a firewall\?",
        away.value.message,
    )
    assert away.value.phase == "connecting"


def test_one_attempt_is_not_counted(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_ATTEMPTS", 1)
    with door(b"") as (port, _), pytest.raises(BannerError) as away:
        connector(SshContext(), sshd, "127.0.0.1", port=port).open(Deadline.after(60))
    assert away.value.message == (
        f"127.0.0.1 port {port} closed the connection before its greeting: MaxStartups of its sshd, or a firewall?"
    )


def test_what_speaks_another_protocol_is_asked_once(sshd: Sshd) -> None:
    with door(b"220 smtp.example ESMTP\r\n") as (port, came):
        with pytest.raises(
            BannerError, match=r"does not speak SSH, it says '220 smtp\.example ESMTP': the host closed it"
        ):
            connector(SshContext(), sshd, "127.0.0.1", port=port).open(Deadline.after(60))
        assert len(came) == 1


def test_cancelled_between_two_attempts(sshd: Sshd, monkeypatch: pytest.MonkeyPatch, pool: ThreadPoolExecutor) -> None:
    monkeypatch.setattr(admission, "_FIRST_PAUSE", 60.0)
    monkeypatch.setattr(admission, "_LONGEST_PAUSE", 60.0)
    with door(b"Exceeded MaxStartups\r\n") as (port, came):
        one = connector(SshContext(), sshd, "127.0.0.1", connect=600, port=port)
        job = pool.submit(one.open, Deadline())
        settle(lambda: came)
        time.sleep(0.1)
        one.cancel()
        assert isinstance(job.exception(20), CancelledError)
