"""Commands over WinRM that must not go on: deadlines, silence, cancellation; nothing is left behind."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Command, Deadline, Form, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.winrm import exchange, execution
from sshexec.connectors.winrm.connector import WinrmConnector
from sshexec.errors import CancelledError, CommandTimeoutError, ConnectionLostError, HostError
from tests.connectors.winrm_host import SOON, connector, opened, run, until
from tests.winrm_server import Answer, Call, WinrmServer


@pytest.fixture(scope="module")
def service() -> Iterator[WinrmServer]:
    with WinrmServer({"vagrant": "secret"}) as server:
        yield server


@pytest.fixture
def server(service: WinrmServer) -> WinrmServer:
    service.log.clear()
    service.powershell.clear()
    service.misbehaviours.clear()
    return service


@pytest.fixture
def win(server: WinrmServer) -> Iterator[WinrmConnector]:
    with opened(server) as connection:
        server.log.clear()
        yield connection


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, hasty: None) -> None:
    """Nor does a host answer that does not."""
    monkeypatch.setattr(execution, "_OVERTIME", 0.5)
    monkeypatch.setattr(execution, "_ANSWER", 1.0)
    monkeypatch.setattr(exchange, "_PATIENCE", 0.3)


def runs(pid: int) -> bool:
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def pid_of(server: WinrmServer) -> int:
    """Return the process of the command that was started last."""
    until(lambda: any("pid" in event.detail for event in server.log if event.op == "Command"))
    return [event.detail["pid"] for event in server.log if event.op == "Command"][-1]


def operations(server: WinrmServer) -> list[str]:
    """Return what was asked since the command began, signals by their code, Receives left out."""
    found = [event for event in server.log if event.op != "Receive"]
    return [event.detail["code"] if event.op == "Signal" else event.op for event in found]


# The shell ignores what ctrl_c stands for here.
STUBBORN = "trap '' INT; echo begun; sleep 60; sleep 60; sleep 60"


@pytest.mark.parametrize("how", ["deadline", "idle", "cancel"])
@pytest.mark.parametrize("stubborn", [False, True])
def test_the_end_of_a_command(server: WinrmServer, hasty: None, how: str, stubborn: bool) -> None:
    with opened(server, Timeouts(idle=1.0) if how == "idle" else None) as win:
        server.log.clear()
        script = STUBBORN if stubborn else "echo begun; sleep 60"
        output = Output(tee=lambda stream, data: win.cancel() if how == "cancel" else None)
        begin = time.monotonic()
        deadline = Deadline.after(1.0 if how == "deadline" else SOON)
        with pytest.raises((CommandTimeoutError, CancelledError)) as caught:
            win.execute(Command(script, form=Form.CMD), output, deadline)
        assert time.monotonic() - begin < 6
        error = caught.value
        assert error.killed is True
        assert (error.host, error.phase) == ("win1", "running")
        assert output.stdout == b"begun\r\n"
        if isinstance(error, CommandTimeoutError):
            assert error.silence == (1.0 if how == "idle" else None)
            words = "no output for 1 s" if how == "idle" else "did not end within 1 s"
            assert error.message == f"{'' if how == 'idle' else 'the command '}{words}; its processes were killed"
        pid = pid_of(server)
        assert not runs(pid)
        found = operations(server)
        assert found[0] == "Command"
        assert found[-3:] == ["ctrl_c", "terminate", "Delete"]
        assert server.shells == {}
        # The connection goes on, with another shell.
        connections = server.connections
        server.log.clear()
        assert run(win, "echo on")[1].stdout == b"on\r\n"
        assert server.operations[0] == "Create"
        assert server.connections == connections


def test_last_words_are_heard(win: WinrmConnector, server: WinrmServer) -> None:
    def double(call: Call) -> int:
        call.err(b'#< CLIXML\r\n<Objs Version="1.1.0.1"><S S="Error">whole</S><S S="Error">half')
        call.stopped.wait(SOON)
        return 1

    server.powershell["x"] = Answer(run=double)
    output = Output()
    with pytest.raises(CommandTimeoutError):
        win.execute(Command("x"), output, Deadline.after(0.6))
    assert output.stderr == b'whole<S S="Error">half'


def test_a_deadline_that_has_passed_starts_nothing(win: WinrmConnector, server: WinrmServer) -> None:
    with pytest.raises(CommandTimeoutError, match="nothing was run") as caught:
        run(win, "echo hi", seconds=0.0)
    assert caught.value.killed is None
    assert server.operations == []
    assert run(win, "echo hi")[0].rc == 0


def test_silence_is_not_that_of_a_command_that_prints_or_reads(server: WinrmServer) -> None:
    with opened(server, Timeouts(idle=1.0)) as win:
        done, _ = run(win, "for i in 1 2 3 4; do echo $i; sleep 0.4; done")
        assert done.rc == 0

        class Slow(io.RawIOBase):
            left = 4

            def read(self, size: int = -1, /) -> bytes:
                time.sleep(0.4)
                self.left -= 1
                return b"x" * self.left

        assert run(win, "cat >/dev/null", Slow())[0].rc == 0


def test_a_command_that_does_not_read_is_silent(server: WinrmServer) -> None:
    with opened(server, Timeouts(idle=0.5)) as win:
        with pytest.raises(CommandTimeoutError) as caught:
            run(win, "sleep 60", b"x" * 3_000_000)
        assert caught.value.silence == 0.5


def test_a_deadline_while_input_is_sent(win: WinrmConnector, server: WinrmServer) -> None:
    class Endless(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            return bytes(65536)

    with pytest.raises(CommandTimeoutError) as caught:
        run(win, "cat >/dev/null", Endless(), seconds=1.0)
    assert caught.value.killed is True
    assert server.shells == {}
    assert not runs(pid_of(server))


# Cancellation, wherever it comes


def cancelled(win: WinrmConnector, *args: Any, **kwargs: Any) -> CancelledError:
    with pytest.raises(CancelledError) as caught:
        run(win, *args, **kwargs)
    return caught.value


def test_cancelling_before_a_command(win: WinrmConnector, server: WinrmServer) -> None:
    win.cancel()
    assert cancelled(win, "echo hi").killed is None
    assert server.operations == []
    assert run(win, "echo hi")[0].rc == 0


@pytest.mark.parametrize("times", [1, 3])
def test_cancelling_a_silent_command(win: WinrmConnector, server: WinrmServer, hasty: None, times: int) -> None:
    def cancel() -> None:
        until(lambda: "Receive" in server.operations)
        for _ in range(times):
            win.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    begin = time.monotonic()
    error = cancelled(win, "sleep 60")
    thread.join(SOON)
    assert time.monotonic() - begin < 5
    assert error.killed is True
    assert not runs(pid_of(server))
    assert server.shells == {}


@pytest.mark.parametrize("op", ["Create", "Command"])
def test_cancelling_while_the_host_thinks(win: WinrmConnector, server: WinrmServer, hasty: None, op: str) -> None:
    """What is under way has no id yet: the answer is waited for, so that what it names can be ended."""
    server.misbehave("slow", op=op, seconds=1.0)
    thread = threading.Timer(0.3, win.cancel)
    thread.start()
    cancelled(win, "sleep 60", environment={"A": "1"} if op == "Create" else {})
    thread.join(SOON)
    win.close()
    assert server.shells == {}


def test_cancelling_a_host_that_does_not_answer(win: WinrmConnector, server: WinrmServer, impatient: None) -> None:
    server.misbehave("slow", op="Command", seconds=20.0)
    thread = threading.Timer(0.2, win.cancel)
    thread.start()
    begin = time.monotonic()
    cancelled(win, "echo hi")
    thread.join(SOON)
    assert time.monotonic() - begin < 8


def test_cancelling_an_upload(win: WinrmConnector, server: WinrmServer) -> None:
    class Endless(io.RawIOBase):
        size = 0

        def read(self, size: int = -1, /) -> bytes:
            self.size += 65536
            if self.size == 50 * 65536:
                win.cancel()
            return bytes(65536)

    assert cancelled(win, "cat >/dev/null", Endless()).killed is True
    assert server.shells == {}


def for_ever(win: WinrmConnector, script: str) -> None:
    while True:
        run(win, script)


@pytest.mark.parametrize("moment", [0.0, 0.001, 0.002, 0.004, 0.01])
def test_cancelling_at_any_moment(server: WinrmServer, moment: float) -> None:
    for _ in range(8):
        with opened(server) as win:
            thread = threading.Timer(moment, win.cancel)
            thread.start()
            begin = time.monotonic()
            with pytest.raises(CancelledError):
                for_ever(win, "sleep 60" if moment > 0.005 else "echo hi")
            assert time.monotonic() - begin < 5
            thread.join(SOON)


def test_cancelling_while_it_opens(server: WinrmServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        win = connector(server, ansible_port=silent.getsockname()[1])
        thread = threading.Timer(0.3, win.cancel)
        thread.start()
        begin = time.monotonic()
        with pytest.raises(CancelledError):
            win.open(Deadline.after(SOON))
        assert time.monotonic() - begin < 3
        thread.join(SOON)
        assert not win.alive


# Nothing is left behind


class Killed(BaseException):
    """What gevent throws into a greenlet."""


@pytest.mark.parametrize("error", [KeyboardInterrupt, Killed])
@pytest.mark.parametrize("op", ["Command", "Send", "Receive", "Signal", "output", "input"])
def test_no_way_out_leaves_a_shell(
    server: WinrmServer, monkeypatch: pytest.MonkeyPatch, hasty: None, op: str, error: type[BaseException]
) -> None:
    win = connector(server)
    win.open(Deadline.after(SOON))
    wire = win._wire
    assert wire is not None
    send = wire.send
    thrown = []

    def interrupted(message: bytes, *args: Any, **kwargs: Any) -> Any:
        answer = send(message, *args, **kwargs)
        if f"/{op}<".encode() in message and not thrown:
            thrown.append(op)
            wire._drop()  # as it does where it is interrupted itself
            raise error
        return answer

    monkeypatch.setattr(wire, "send", interrupted)

    class Input(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            if op == "input":
                raise error
            return b""

    def tee(stream: str, data: bytes) -> None:
        if op == "output":
            raise error

    output = Output(tee=tee)
    with pytest.raises(error):
        win.execute(
            Command("echo hi; cat; sleep 60" if op != "Signal" else "echo", Input(), form=Form.CMD),
            output,
            Deadline.after(SOON),
        )
    if op != "Signal":
        assert server.shells == {}
        assert not runs(pid_of(server))
    win.close()
    assert server.shells == {}


GREENLETS = """
import gevent.monkey
gevent.monkey.patch_all()
import sys
import gevent
from sshexec.connectors.base import Command, Deadline, Form, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.winrm.connector import WinrmConnector
from sshexec.errors import CancelledError
from sshexec.secret import Secret

variables = {
    "ansible_host": "127.0.0.1", "ansible_port": int(sys.argv[1]), "ansible_user": "vagrant",
    "ansible_password": Secret("secret"), "ansible_winrm_scheme": "http", "ansible_winrm_transport": "ntlm",
}
options = WinrmConnector.Options.from_vars(variables, "win1")
connectors = [WinrmConnector("win1", options, WinrmConnector.Context(), Timeouts()) for _ in range(20)]
begun = []

def run(connector):
    output = Output(tee=lambda stream, data: begun.append(data))
    try:
        connector.open(Deadline.after(30))
        connector.execute(Command("echo begun; sleep 60", form=Form.CMD), output, Deadline.after(30))
    except CancelledError:
        return "cancelled"
    finally:
        connector.close()

greenlets = [gevent.spawn(run, connector) for connector in connectors]
with gevent.Timeout(30):
    while len(begun) < len(connectors):
        gevent.sleep(0.01)
    if sys.argv[2] == "kill":
        gevent.killall(greenlets)
    else:
        for connector in connectors:
            connector.cancel()
        gevent.joinall(greenlets)
print([type(each.value).__name__ for each in greenlets].count("GreenletExit" if sys.argv[2] == "kill" else "str"))
"""


@pytest.mark.parametrize("how", ["kill", "cancel"])
def test_greenlets_that_end_leave_no_shell(server: WinrmServer, how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GREENLETS, str(server.port), how], capture_output=True, text=True, timeout=SOON * 2
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["20"]
    assert server.shells == {}
    assert server.operations.count("Create") == server.operations.count("Delete") == 20


def test_closing_in_mid_air_leaves_no_shell(server: WinrmServer) -> None:
    win = connector(server)
    win.open(Deadline.after(SOON))
    assert len(server.shells) == 1
    server.cut_connections()
    win.close()
    assert server.shells == {}
    win.close()


def test_a_host_that_freezes_holds_nobody(server: WinrmServer, impatient: None) -> None:
    """Its kernel still takes what is sent; nothing comes back."""
    with _Freezer(server.port) as freezer:
        win = connector(server, ansible_port=freezer.port)
        win.open(Deadline.after(SOON))
        freezer.frozen.set()
        begin = time.monotonic()
        with pytest.raises(CommandTimeoutError) as caught:
            run(win, "sleep 60", seconds=1.0)
        assert caught.value.killed is False
        assert time.monotonic() - begin < 9
        begin = time.monotonic()
        win.close()
        assert time.monotonic() - begin < 4
    server.forget()


def test_a_host_that_freezes_while_a_command_runs(server: WinrmServer, impatient: None) -> None:
    with _Freezer(server.port) as freezer:
        win = connector(server, ansible_port=freezer.port)
        win.open(Deadline.after(SOON))
        output = Output(tee=lambda stream, data: freezer.frozen.set())
        begin = time.monotonic()
        with pytest.raises(CommandTimeoutError) as caught:
            win.execute(Command("echo begun; sleep 60", form=Form.CMD), output, Deadline.after(1.5))
        assert caught.value.killed is False
        assert "not certain" in caught.value.message
        assert time.monotonic() - begin < 9
        win.close()
    server.forget()


class _Freezer:
    """A way to the endpoint on which nothing moves any more once it is frozen."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.frozen = threading.Event()
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> _Freezer:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in [self._listener, *self._sockets]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
            except OSError:
                return
            self._sockets += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._copy, args=(source, target), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        while True:
            try:
                data = source.recv(65536)
                if not data:
                    return
                if not self.frozen.is_set():
                    target.sendall(data)
            except OSError:
                return


def test_a_service_that_restarts(win: WinrmConnector, server: WinrmServer) -> None:
    output = Output(tee=lambda stream, data: server.forget())
    with pytest.raises(ConnectionLostError, match=r"restarted|broke off") as caught:
        win.execute(Command("echo begun; sleep 60", form=Form.CMD), output, Deadline.after(SOON))
    assert caught.value.started is True
    assert run(win, "echo again")[1].stdout == b"again\r\n"


def test_a_connection_that_breaks_for_good(server: WinrmServer) -> None:
    with WinrmServer({"vagrant": "secret"}) as other:
        win = connector(other)
        win.open(Deadline.after(SOON))
        output = Output(tee=lambda stream, data: threading.Thread(target=other.stop).start())
        begin = time.monotonic()
        with pytest.raises(HostError) as caught:
            win.execute(Command("echo begun; sleep 60", form=Form.CMD), output, Deadline.after(SOON))
        assert isinstance(caught.value, ConnectionLostError)
        assert caught.value.started is True
        assert time.monotonic() - begin < 10
        win.close()


def test_a_forked_child_leaves_the_shell_alone(win: WinrmConnector, server: WinrmServer) -> None:
    child = os.fork()
    if child == 0:
        try:
            win.close()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert len(server.shells) == 1
    assert run(win, "echo hi")[1].stdout == b"hi\r\n"
