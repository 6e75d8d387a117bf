"""SSH's terminals: real ones of OpenSSH, and what a server may do that OpenSSH does not."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import paramiko
import pytest
from paramiko.common import MSG_CHANNEL_OPEN, cMSG_CHANNEL_OPEN
from paramiko.message import Message

from sshexec.connectors.base import Capability, Command, Deadline, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.ssh import execution, packets
from sshexec.connectors.ssh import terminal as ssh_terminal
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.terminal import PIECE, Size
from sshexec.errors import (
    ArgumentError,
    CancelledError,
    CommandTimeoutError,
    ConnectionLostError,
    UnreachableError,
)
from tests.connectors.rogue_server import RogueServer, Shell
from tests.connectors.screen import connected, open_files, rest, settle, shell, until
from tests.testbed import Sshd, keygen

DEAF = "stty raw -echo; echo rea''dy; exec sleep 600"
"""A program that reads nothing: what is typed stays on its way."""


@pytest.fixture(scope="session")
def sshd(shells_sshd: Sshd) -> Sshd:
    """The server whose login shells read no profile."""
    return shells_sshd


@pytest.fixture
def connector(sshd: Sshd) -> Iterator[SshConnector]:
    with connected(sshd.variables(ansible_host="127.0.21.1")) as opened:
        yield opened


@pytest.fixture(scope="module")
def strange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server with one session a connection, fresh keys each megabyte, and a key that gets no terminal."""
    folder = tmp_path_factory.mktemp("strange")
    server = Sshd(folder, "MaxSessions 1\nRekeyLimit 1M none", profile=False)
    keygen(folder / "plain", "-t", "ed25519", "-N", "")
    with server.authorized_keys.open("a") as file:
        file.write(f"no-pty {(folder / 'plain.pub').read_text()}")
    yield server.start()
    server.stop()


@pytest.fixture
def rogue() -> Iterator[Callable[..., RogueServer]]:
    servers: list[RogueServer] = []

    def start(*args: Any, **more: Any) -> RogueServer:
        servers.append(RogueServer(lambda: Shell(*args, **more)))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def flooded(terminal: Any) -> int:
    """Type until the host takes no more; return how much it took. A busy one may pause before that."""
    sent = refusals = 0
    while refusals < 3:
        size = terminal.write(b"x" * 65536, 0.3)
        refusals = 0 if size else refusals + 1
        sent += size
    return sent


# ---------------------------------------------------------------------- what works


def test_a_login_shell_with_size_type_and_exit_status(connector: SshConnector) -> None:
    assert Capability.TERMINAL | Capability.SIGNALS in connector.capabilities
    terminal = shell(connector, size=Size(101, 33))
    terminal.write(b"stty size; stty -a; echo $TERM $0 $-; tty; echo 'EN''D'\n")
    seen = until(terminal, b"END")
    for part in (b"33 101", b"iutf8", b"xterm-256color -", b"/dev/pts/"):
        assert part in seen
    assert b"-iutf8" not in seen
    terminal.resize(Size(77, 22))
    terminal.write(b"stty size; echo 'AG''AIN'\n")
    assert b"22 77" in until(terminal, b"AGAIN")
    terminal.write(b"exit 7\n")
    rest(terminal)
    assert (terminal.exit_status, terminal.exit_signal) == (7, None)
    assert terminal.read(0) == b""
    with pytest.raises(ConnectionLostError, match="has ended"):
        terminal.write(b"x")
    terminal.close()


def test_a_command_bytes_and_a_signal_that_ended_it(connector: SshConnector) -> None:
    every = bytes(range(256))
    terminal = shell(connector, "stty raw -echo; echo re''ady; head -c 256; kill -KILL $$")
    until(terminal, b"ready\n")
    terminal.write(every)
    assert rest(terminal) == every
    assert (terminal.exit_status, terminal.exit_signal) == (None, "KILL")
    terminal.close()


def test_what_comes_with_the_end_is_read(connector: SshConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = shell(connector, "read x; printf last; exit 3")
    channel = terminal._channel
    kind, take, early = type(channel), type(channel).take, [True]

    def taken(self: object) -> object:
        if self is channel and early:
            early.clear()
            settle(lambda: channel.closed)
            return None  # as if it had looked just before
        return take(self)

    terminal.write(b"x\n")
    monkeypatch.setattr(kind, "take", taken)
    assert rest(terminal).endswith(b"last")
    assert terminal.exit_status == 3


def test_keys_that_signal_reach_what_runs(connector: SshConnector) -> None:
    terminal = shell(connector, "trap 'echo inter''rupted; exit 3' INT; echo re''ady; while :; do sleep 0.1; done")
    until(terminal, b"ready")
    terminal.signal("INT")
    assert b"interrupted" in rest(terminal)
    assert terminal.exit_status == 3
    for wrong in ("STOP", "int", "", "9"):
        with pytest.raises(ArgumentError):
            terminal.signal(wrong)
    terminal.close()


def test_files_and_commands_go_beside_an_open_terminal(
    connector: SshConnector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_GRACE", "_LAST_WORDS"):
        monkeypatch.setattr(execution, name, 0.1)
    terminal = shell(connector)
    data = os.urandom(3_000_000)
    for _ in range(2):
        connector.put(data, str(tmp_path / "up"), Deadline.after(20))
        back = io.BytesIO()
        connector.get(str(tmp_path / "up"), back, Deadline.after(20))
        assert back.getvalue() == data
        terminal.write(b"echo still he''re\n")
        until(terminal, b"still here")
    # A command that is ended before anybody knows its process must not take the terminal with it.
    with pytest.raises(CommandTimeoutError):
        connector.execute(Command("exec sleep 100", verbatim=True), Output(), Deadline.after(0.2))
    terminal.write(b"echo still the''re\n")
    until(terminal, b"still there")
    connector.cancel()
    with pytest.raises(CancelledError):
        connector.put(data, str(tmp_path / "up"), Deadline.after(20))
    terminal.write(b"exit 4\n")
    rest(terminal)
    assert terminal.exit_status == 4
    terminal.close()


def test_one_session_a_connection_is_enough(strange: Sshd, tmp_path: Path) -> None:
    with connected(strange.variables(ansible_host="127.0.21.2")) as connector:
        connector.put(b"x", str(tmp_path / "up"), Deadline.after(20))
        terminal = shell(connector)  # in place of the file session that is kept
        with pytest.raises(UnreachableError, match="MaxSessions"):
            connector.put(b"y", str(tmp_path / "up"), Deadline.after(20))
        terminal.write(b"exit 5\n")
        rest(terminal)
        assert terminal.exit_status == 5
        terminal.close()
        connector.put(b"z", str(tmp_path / "up"), Deadline.after(20))
    assert (tmp_path / "up").read_bytes() == b"z"


def test_keys_are_exchanged_anew_while_it_is_typed_on(strange: Sshd) -> None:
    with connected(strange.variables(ansible_host="127.0.21.3")) as connector:
        terminal = shell(connector, "stty raw -echo; echo re''ady; head -c 6000000 /dev/zero; head -c 300000 | wc -c")
        got = until(terminal, b"ready\n").partition(b"ready\n")[2]
        typing = threading.Thread(target=lambda: [self_write(terminal, b"k" * 3000) for _ in range(100)])
        typing.start()
        got += rest(terminal)
        typing.join(20)
        assert got.count(b"\0") == 6_000_000
        assert got.endswith(b"300000\n")
        link = connector.link
        assert link is not None
        assert link.exchanges > 4
        terminal.close()


def self_write(terminal: Any, data: bytes) -> None:
    while data:
        data = data[terminal.write(data) :]


def test_a_host_that_gives_no_terminal_says_why(strange: Sshd) -> None:
    key = {"ansible_private_key_file": str(strange.folder / "plain")}
    variables = strange.variables(ansible_host="127.0.21.4", **key)
    with connected(variables) as connector, pytest.raises(UnreachableError, match="refused a terminal"):
        shell(connector)


# ---------------------------------------------------------------------- waiting, waking, closing


def both(terminal: Any, end: Callable[[], object]) -> dict[str, Any]:
    """Have a reader and a writer wait, do something, and return what became of them."""
    answers: dict[str, Any] = {}

    def write() -> None:
        try:
            answers["write"] = terminal.write(b"y")
        except ConnectionLostError as error:
            answers["write"] = error.message

    waiting = [threading.Thread(target=lambda: answers.update(read=terminal.read())), threading.Thread(target=write)]
    for thread in waiting:
        thread.start()
    end()
    for thread in waiting:
        thread.join(10)
    return answers


def test_who_waits_is_woken_and_a_close_ends_all(connector: SshConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_terminal, "_KEY_LIMIT", 0.1)
    terminal = shell(connector, f"echo pid=$$=; {DEAF}")
    pid = int(until(terminal, b"ready").split(b"=")[1])
    assert flooded(terminal) > 1_000_000

    def busy() -> None:
        began = time.monotonic()
        settle(terminal._writing.locked)
        assert terminal.write(b"z", 0.05) == 0, "another one writes"
        terminal.signal("INT")  # whose key finds no room, so that it goes as a request
        assert time.monotonic() - began < 10
        terminal.wake()

    assert both(terminal, busy) == {"read": None, "write": 0}
    terminal.wake()
    assert terminal.read() is None, "a wake is kept for the next ones"
    assert terminal.write(b"y") == 0
    assert both(terminal, terminal.close) == {"read": b"", "write": "the program on the terminal has ended"}
    assert connector.execute(Command("true"), Output(), Deadline.after(20)).rc == 0
    # OpenSSH waits until the program has read what was typed, and this one never does.
    connector.close()
    settle(lambda: not Path(f"/proc/{pid}").exists())


def test_closing_hangs_up(connector: SshConnector) -> None:
    terminal = shell(connector, "echo pid=$$=; sleep 600")
    pid = int(until(terminal, b"=\r").split(b"=")[1])
    terminal.close()
    terminal.close()
    settle(lambda: not Path(f"/proc/{pid}").exists())
    link = connector.link
    assert link is not None
    settle(lambda: not link._channels)


def test_the_end_of_the_connection_is_told(sshd: Sshd) -> None:
    with connected(sshd.variables(ansible_host="127.0.21.5")) as connector:
        terminal = shell(connector, "echo p=$PPID=; sleep 600")
        os.kill(int(until(terminal, b"=\r").split(b"=")[1]), signal.SIGKILL)
        with pytest.raises(ConnectionLostError, match="connection broke") as lost:
            rest(terminal)
        assert lost.value.host == "web1"
        terminal.close()


def test_a_connection_that_is_about_to_be_gone_is_no_end_of_the_program(connector: SshConnector) -> None:
    terminal = shell(connector, "echo re''ady; sleep 600")
    until(terminal, b"ready")
    link = connector.link
    assert link is not None
    (channel,) = link._channels.values()
    channel._unlink()  # as Paramiko's reader does, while the connection still counts as active
    with pytest.raises(ConnectionLostError):
        rest(terminal)
    terminal.close()


def test_a_frozen_host_holds_up_no_close(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "_STALLED_GRACE", 0.2)
    with connected(sshd.variables(ansible_host="127.0.21.6"), alive_interval=0.0) as connector:
        terminal = shell(connector, f"echo p=$PPID=; {DEAF}")
        daemon = int(until(terminal, b"ready").split(b"=")[1])
        link = connector.link
        assert link is not None
        link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        os.kill(daemon, signal.SIGSTOP)
        try:
            stuck = threading.Thread(target=type_all, args=(terminal,))
            stuck.start()
            settle(lambda: link.packetizer.stalled)
            began = time.monotonic()
            terminal.close()
            assert time.monotonic() - began < 5, "the connection is given up"
            stuck.join(10)
            assert not stuck.is_alive()
            assert not link.active
        finally:
            os.kill(daemon, signal.SIGKILL)


def type_all(terminal: Any) -> None:
    with pytest.raises(ConnectionLostError):
        self_write(terminal, b"x" * 2**22)


def read_for_ever(terminal: Any) -> None:
    for _ in range(400):
        terminal.read(0.05)


def test_silence_counts_from_one_short_read_to_the_next(sshd: Sshd) -> None:
    with connected(sshd.variables(ansible_host="127.0.21.7"), alive_interval=0.3, alive_count=1) as connector:
        terminal = shell(connector, "echo p=$PPID=; sleep 600")
        daemon = int(until(terminal, b"=\r").split(b"=")[1])
        link = connector.link
        assert link is not None
        while link.pings < 1:
            assert terminal.read(0.05) is None
        settle(lambda: link.pongs)
        os.kill(daemon, signal.SIGSTOP)
        try:
            with pytest.raises(ConnectionLostError, match="no sign of life"):
                read_for_ever(terminal)
            settle(lambda: not link.active)
            assert "no sign of life" in link.why()  # whoever else waits, for a file say, is told the same
        finally:
            os.kill(daemon, signal.SIGKILL)


# ---------------------------------------------------------------------- floods


def test_a_flood_that_nobody_reads_stays_with_the_host_and_obeys_the_keyboard(connector: SshConnector) -> None:
    terminal = shell(connector)
    terminal.write(b"cat /dev/zero | tr '\\0' 'y'\n")
    link = connector.link
    assert link is not None
    (channel,) = link._channels.values()
    settle(lambda: sum(len(data) for _, data in list(channel.inbox)) >= 200 * 1024)
    assert channel._received - channel._used <= 256 * 1024
    pieces = [terminal.read(5.0) for _ in range(50)]
    assert max(map(len, pieces)) <= PIECE
    terminal.signal("INT")
    terminal.write(b"echo 'o''ver'\n")
    began = time.monotonic()
    until(terminal, b"over")
    assert time.monotonic() - began < 10
    terminal.close()


def test_500_opened_and_dropped_leave_nothing(sshd: Sshd) -> None:
    def children() -> list[str]:
        return subprocess.run(["pgrep", "-P", str(sshd.pid)], capture_output=True, text=True).stdout.split()

    settle(lambda: not children())
    threads, files = threading.active_count(), open_files()

    def several(number: int) -> None:
        with connected(sshd.variables(ansible_host=f"127.0.22.{number + 1}")) as connector:
            for turn in range(120):
                terminal = shell(connector, "cat")
                if turn % 2:
                    terminal.write(b"x")
                terminal.close()
            link = connector.link
            assert link is not None
            settle(lambda: not link._channels)
            assert len(link.channels_seen) < 20
            for _ in range(5):
                shell(connector, "sleep 600")  # which the connection's end ends

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(several, range(4)))
    settle(lambda: not children())
    settle(lambda: threading.active_count() <= threads and open_files() <= files)


# ---------------------------------------------------------------------- what OpenSSH does not do


@pytest.mark.parametrize("way", ["status late", "no status", "nothing closed", "signal"])
def test_the_end_comes_in_any_order(
    rogue: Callable[..., RogueServer], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(ssh_terminal, "_LAST_WORDS", 10.0 if way == "status late" else 0.3)

    def play(transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        channel.sendall(b"words")
        if way == "signal":
            message = Message()
            message.add_bytes(b"\x62")
            message.add_int(channel.remote_chanid)
            message.add_string("exit-signal")
            message.add_boolean(False)
            message.add_string("TERM")
            message.add_boolean(False)
            message.add_string("")
            message.add_string("")
            transport._send_user_message(message)
            return
        if way != "nothing closed":
            channel.shutdown_write()
            time.sleep(0.2)
        if way != "no status":
            channel.send_exit_status(9)
        threading.Event().wait(20)

    with connected(rogue(play).variables()) as connector:
        terminal = shell(connector)
        assert rest(terminal) == b"words"
        assert terminal.exit_status == (None if way in ("no status", "signal") else 9)
        assert terminal.exit_signal == ("TERM" if way == "signal" else None)
        terminal.close()


def test_standard_error_of_a_server_without_terminals_comes_in_its_place(rogue: Callable[..., RogueServer]) -> None:
    def play(transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        for number in range(5):
            channel.sendall(b"out%d " % number)
            channel.sendall_stderr(b"err%d " % number)
        channel.send_exit_status(0)
        channel.close()

    with connected(rogue(play).variables()) as connector:
        terminal = shell(connector)
        assert rest(terminal) == b"".join(b"out%d err%d " % (n, n) for n in range(5))
        terminal.close()


@pytest.mark.parametrize(
    ("gives", "message"),
    [
        ({"terminal": False}, "refused a terminal"),
        ({"shell": False}, "refused to run anything"),
        ({"terminal": False, "shell": False}, "refused a terminal"),
    ],
)
def test_what_is_refused_is_told(rogue: Callable[..., RogueServer], gives: dict[str, bool], message: str) -> None:
    server = rogue(lambda transport, channel: None, **gives)
    with connected(server.variables()) as connector, pytest.raises(UnreachableError, match=message):
        shell(connector)


def test_a_host_that_answers_no_request_has_its_deadline(rogue: Callable[..., RogueServer]) -> None:
    class Silent(Shell):
        def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
            threading.Event().wait(3)
            return False

    server = RogueServer(lambda: Silent(lambda transport, channel: None))
    with connected(server.variables()) as connector, pytest.raises(CommandTimeoutError):
        connector.terminal(Size(), "xterm", Deadline.after(0.3))
    server.close()


def test_channels_that_the_server_opens_are_refused_each(rogue: Callable[..., RogueServer]) -> None:
    answers: list[object] = []

    def play(transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        for kind in ("x11", "auth-agent@openssh.com", "forwarded-tcpip", "session", "direct-tcpip"):
            try:
                transport.open_channel(kind, ("127.0.0.1", 1), ("127.0.0.1", 2), timeout=10)
            except paramiko.ChannelException as error:
                answers.append(error.code)
        for number in range(2000):
            message = Message()
            message.add_byte(cMSG_CHANNEL_OPEN)
            message.add_string("x11")
            message.add_int(1000 + number)
            message.add_int(2**31)
            message.add_int(2**15)
            message.add_string("127.0.0.1")
            message.add_int(1)
            transport._send_user_message(message)
        channel.sendall(b"still here")
        channel.send_exit_status(0)
        channel.close()

    server = rogue(play)
    with connected(server.variables()) as connector:
        terminal = shell(connector)
        assert rest(terminal) == b"still here"
        link = connector.link
        assert link is not None
        assert len(link._channels) <= 1
        terminal.close()
    assert answers == [paramiko.common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED] * 5
    assert server.seen.count(MSG_CHANNEL_OPEN) == 1, "ours"


def test_another_host_key_in_mid_connection_ends_it(rogue: Callable[..., RogueServer]) -> None:
    there = threading.Event()

    def play(transport: paramiko.Transport, channel: paramiko.Channel) -> None:
        there.wait(20)
        channel.sendall(b"before")
        other = paramiko.ECDSAKey.generate()
        transport.server_key_dict = {other.get_name(): other}
        transport.renegotiate_keys()
        channel.sendall(b"after")

    with connected(rogue(play).variables()) as connector:
        terminal = shell(connector)
        there.set()
        until(terminal, b"before")
        with pytest.raises(ConnectionLostError, match="another host key"):
            rest(terminal)
        terminal.close()


class Endless(Shell):
    """Asks for ever, in prompts of 200 kB with everything that a terminal would obey."""

    def __init__(self) -> None:
        super().__init__(lambda transport, channel: None)
        self.rounds = 0

    def get_allowed_auths(self, username: str) -> str:
        return "keyboard-interactive"

    def check_auth_interactive(self, username: str, submethods: str) -> Any:
        return self._ask()

    def check_auth_interactive_response(self, responses: list[str]) -> Any:
        return self._ask()

    def _ask(self) -> paramiko.InteractiveQuery:
        self.rounds += 1
        return paramiko.InteractiveQuery("", "", (f"\x1b]52;c;eA==\x07{self.rounds}" + "w" * 200_000, False))


def test_a_login_that_never_stops_asking_ends() -> None:
    from sshexec.connectors.broker import Broker
    from sshexec.connectors.prompts import Question
    from sshexec.errors import AuthenticationError

    asked: list[Question] = []

    def person(question: Question) -> str:
        asked.append(question)
        return "x"

    servers: list[Endless] = []

    def make() -> Endless:
        servers.append(Endless())
        return servers[-1]

    server = RogueServer(make)
    variables = server.variables(ansible_password=None)
    del variables["ansible_password"]
    with pytest.raises(AuthenticationError, match="never stops asking"), connected(variables, Broker(person)):
        raise AssertionError("it let us in")
    server.close()
    assert sum(each.rounds for each in servers) <= 12
    assert all(len(question.text) <= 4200 and question.text.isprintable() for question in asked)


@pytest.mark.parametrize(
    ("greeting", "then"),
    [(b"A" * 20_000_000, "close"), (b"A\n" * 10_000_000, "close"), (b"", "wait"), (b"SSH-2.0-x\r\n", "wait")],
    ids=["a line without an end", "lines without an end", "no greeting", "stalls after it"],
)
def test_greetings_that_are_none(greeting: bytes, then: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    sent: list[int] = []
    done = threading.Event()

    def serve() -> None:
        while not done.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                try:
                    client.sendall(greeting)
                    sent.append(len(greeting))
                    client.settimeout(20)
                    while then == "wait" and client.recv(65536):
                        pass
                except OSError:
                    pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    variables = {"ansible_host": "127.0.0.1", "ansible_port": listener.getsockname()[1], "ansible_password": "x"}
    began = time.monotonic()
    variables["ansible_user"] = "x"
    with pytest.raises(UnreachableError), connected(variables, timeouts=Timeouts(connect=0.5)):
        raise AssertionError("it let us in")
    assert time.monotonic() - began < 15
    done.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)
    assert not any(size > 1_000_000 for size in sent), "it was read to the end"
