"""Opening and closing: each cause of failure has its own error, and nothing is left behind."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Command, Deadline, Phase, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.registry import connector_class
from sshexec.connectors.severed import keep_from_children
from sshexec.connectors.ssh import admission
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.ssh.context import SshContext
from sshexec.errors import (
    BannerError,
    CancelledError,
    CommandTimeoutError,
    ConnectionLostError,
    ConnectTimeoutError,
    HostError,
    NoRouteError,
    ProtocolError,
    RefusedError,
    ResolveError,
)
from tests.testbed import Sshd


def connector(variables: dict[str, Any], **limits: float) -> SshConnector:
    options = SshConnector.Options.from_vars({"ansible_user": "nobody", **variables}, "web1")
    return SshConnector("web1", options, SshContext(), Timeouts(**limits))


def failure(variables: dict[str, Any], kind: type[HostError], peers: int = 0, **limits: float) -> HostError:
    """Open, expect that error, and that everything is closed after it, but for the files of the test's own peer."""
    with socket.socket() as first:
        keep_from_children(first)  # the one descriptor that stays open is made with the first connection
    before = open_files() + peers
    one = connector(variables, **limits)
    with pytest.raises(kind) as error:
        one.open(Deadline.after(20))
    assert type(error.value) is kind
    assert error.value.host == "web1"
    assert not one.alive
    settle(lambda: open_files() <= before)
    return error.value


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def settle(condition: Callable[[], bool]) -> None:
    """Wait until something is so, or fail."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "it did not settle"
        time.sleep(0.02)


@contextlib.contextmanager
def peer(answer: bytes | None, *, close: bool = False) -> Iterator[int]:
    """A server that says something, or nothing, and closes or waits."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    held.append(client)
                    if answer is not None:
                        client.sendall(answer)
                    if close:
                        client.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for client in held:
                client.close()


def test_the_registry_finds_it() -> None:
    assert connector_class("ssh") is SshConnector
    assert connector_class("smart") is SshConnector


def test_the_phases_come_in_order(sshd: Sshd) -> None:
    phases: list[Phase] = []
    one = connector(sshd.variables(ansible_host="localhost"))
    one.on_phase = phases.append
    one.open(Deadline.after(20))
    assert one.alive
    one.close()
    one.close()
    assert not one.alive
    assert phases == [Phase.RESOLVING, Phase.CONNECTING, Phase.KEY_EXCHANGE, Phase.AUTHENTICATING]


def test_refused() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        error = failure({"ansible_host": "127.0.0.1", "ansible_port": port}, RefusedError)
    assert str(error) == f"127.0.0.1 port {port} refused the connection"
    assert error.phase == "connecting"


@pytest.mark.parametrize("number", [errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EINVAL])
def test_no_route(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(sock: socket.socket, address: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket.socket, "connect", connect)
    error = failure({"ansible_host": "192.0.2.1"}, NoRouteError)
    assert str(error) == f"no route to 192.0.2.1 port 22: {os.strerror(number)}"
    assert error.phase == "connecting"


def test_each_way_of_not_getting_through_is_a_cause_of_its_own_in_the_results() -> None:
    causes = {
        "127.0.0.1": "refused",
        "192.0.2.1": "no_route",  # a route that says unreachable
        "192.0.2.2": "no_route",  # one that says blackhole
        "192.0.2.3": "no_route",  # one that says prohibit
        "198.51.100.1": "no_route",  # there is no route at all
        "203.0.113.1": "connect_timeout",  # goes out and is lost
    }
    namespace = (
        "set -e; ip link set lo up; ip route add unreachable 192.0.2.1; ip route add blackhole 192.0.2.2; "
        "ip route add prohibit 192.0.2.3; ip route add 203.0.113.0/24 dev lo"
    )
    if (
        os.geteuid()
        or subprocess.run(["unshare", "-n", "sh", "-c", namespace], capture_output=True, check=False).returncode
    ):
        pytest.skip("no right to make a network namespace with routes of its own")
    run = [sys.executable, "-m", "sshexec", "run", "all", "-i", ",".join(causes), "-T", "1", "--json", "-a", "true"]
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", f'{namespace}; exec "$@"', "sh", *run],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 4, done.stderr
    hosts = json.loads(done.stdout)["hosts"]
    assert {name: host["cause"] for name, host in hosts.items()} == causes
    assert {host["status"] for host in hosts.values()} == {"unreachable"}


def test_a_name_that_does_not_resolve() -> None:
    error = failure({"ansible_host": "no-such-host.invalid"}, ResolveError)
    assert "no-such-host.invalid" in str(error)
    assert error.phase == "resolving"


@pytest.mark.parametrize("name", ["x" * 64, "web..example", ".", "web\udc80", "\u00e4" * 70])
def test_what_no_host_can_be_called_is_not_looked_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: asked.append(args) or [])
    error = failure({"ansible_host": name}, ResolveError)
    assert "it is not a host name" in str(error)
    assert str(error).isascii()
    assert asked == []


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: release.wait(20) and [])
    try:
        failure({"ansible_host": "slow.example"}, ResolveError, connect=0.1)
    finally:
        release.set()


def test_a_name_is_resolved_once_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.9", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: calls.append(args) or answer)
    resolver = SshContext().resolver
    for port in (22, 2222):
        found = resolver.resolve("web", port, Deadline.after(10), lambda: None)
        assert found[0].target == ("127.0.0.9", port)
    assert resolver.resolve("::1", 22, Deadline.after(10), lambda: None)[0].target == ("::1", 22, 0, 0)
    assert len(calls) == 1


def test_names_that_are_old_are_forgotten_and_not_looked_for_with_each_new_one(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.9", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: answer)
    monkeypatch.setattr("sshexec.connectors.resolver._MOST_NAMES", 10)
    resolver = SshContext().resolver
    resolver._most = 10
    for n in range(25):
        resolver.resolve(f"web{n}", 22, Deadline.after(10), lambda: None)
    assert len(resolver._lookups) == 25  # all of them fresh
    assert resolver._most == 40
    for lookup in resolver._lookups.values():
        lookup.at -= 1000
    for n in range(25, 45):
        resolver.resolve(f"web{n}", 22, Deadline.after(10), lambda: None)
    assert set(resolver._lookups) == {f"web{n}" for n in range(40, 45)} | {f"web{n}" for n in range(25, 40)}


def test_a_resolver_that_fails_in_its_own_way_lets_nobody_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **more: Any) -> Any:
        raise MemoryError("no room")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    for _ in range(2):
        with pytest.raises(ResolveError, match="web1 does not resolve: no room"):
            SshContext().resolver.resolve("web1", 22, Deadline(), lambda: None)


def test_a_full_backlog_is_a_time_out() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fill = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            fill.append(one)
        error = failure({"ansible_host": "127.0.0.1", "ansible_port": port}, ConnectTimeoutError, connect=0.3)
        for one in fill:
            one.close()
    assert error.phase == "connecting"


@pytest.mark.parametrize(
    ("answer", "close"),
    [
        (None, False),
        (None, True),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", True),
        (b"\xff\xfe garbage\n" * 200, False),
        (b"x" * 100_000, False),
        (b"SSH-1.5-old\r\n", False),
        (b"Exceeded MaxStartups\r\n", True),
    ],
)
def test_no_ssh_greeting(answer: bytes | None, close: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_ATTEMPTS", 1)  # each one leaves its peer's socket open
    with peer(answer, close=close) as port:
        error = failure({"ansible_host": "127.0.0.1", "ansible_port": port}, BannerError, 1, connect=0.5)
    assert error.phase == "connecting"


def test_a_greeting_and_then_nonsense_or_silence() -> None:
    with peer(b"SSH-2.0-x\r\n" + b"\0" * 64, close=True) as port:
        error = failure({"ansible_host": "127.0.0.1", "ansible_port": port}, ProtocolError, 1)
    assert error.phase == "key exchange"
    with peer(b"SSH-2.0-x\r\n") as port:
        failure({"ansible_host": "127.0.0.1", "ansible_port": port}, ConnectTimeoutError, 1, connect=0.3)


def test_a_packet_that_is_announced_too_long_is_not_waited_for() -> None:
    with peer(b"SSH-2.0-x\r\n\x7f\xff\xff\xf4" + b"x" * 100_000) as port:
        error = failure({"ansible_host": "127.0.0.1", "ansible_port": port}, ProtocolError, 1, connect=10)
    assert "a packet of 2147483" in str(error)


def test_no_common_algorithm(tmp_path: Path) -> None:
    server = Sshd(tmp_path / "sshd", "Ciphers chacha20-poly1305@openssh.com").start()
    try:
        error = failure(server.variables(ansible_host="127.0.0.1"), ProtocolError)
        assert "cipher" in str(error)
    finally:
        server.stop()


@pytest.mark.parametrize("answer", [None, b"SSH-2.0-x\r\n"])
def test_cancel_ends_open(answer: bytes | None) -> None:
    with peer(answer) as port:
        one = connector({"ansible_host": "127.0.0.1", "ansible_port": port}, connect=20)
        timer = threading.Timer(0.2, one.cancel)
        timer.start()
        with pytest.raises(CancelledError):
            one.open(Deadline.after(20))
        timer.join()


def test_cancel_ends_a_connect_that_hangs() -> None:
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            fill = stack.enter_context(socket.socket())
            fill.setblocking(False)
            fill.connect_ex(("127.0.0.1", port))
        one = connector({"ansible_host": "127.0.0.1", "ansible_port": port}, connect=20)
        timer = threading.Timer(0.2, one.cancel)
        timer.start()
        with pytest.raises(CancelledError):
            one.open(Deadline.after(20))
        timer.join()


class Endless(io.RawIOBase):
    """Reads zeros for ever; the first read stops the process that is to get them.

    Early, that is: what the host's system takes in its place is less than the channel's window then.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def read(self, size: int = -1) -> bytes:
        if self._pid:
            os.kill(self._pid, signal.SIGSTOP)
            settle(lambda: Path(f"/proc/{self._pid}/stat").read_text().rpartition(") ")[2].startswith("T"))
            self._pid = 0
        return bytes(size)


@contextlib.contextmanager
def stalled(one: SshConnector, call: Callable[[Any], object]) -> Iterator[tuple[int, list[BaseException]]]:
    """Make a call that sends without end, on a thread, to a host that takes nothing.

    Yields, once it is stuck, the host's process and the list that gets the call's error; waits for its end afterwards.

    Args:
        one: an open connection.
        call: gets what it has to send.
    """
    output = Output()
    one.execute(Command("echo $PPID", verbatim=True), output, Deadline.after(20))
    assert one._link is not None
    one._link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
    pid, packets = int(output.stdout), one._link.packetizer
    errors: list[BaseException] = []

    def work() -> None:
        try:
            call(Endless(pid))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        seen = [-1]

        def stuck() -> bool:
            # Nothing was sent for some looks.
            seen.append(packets.stalled or -len(seen))
            return bool(errors) or (len(seen) > 10 and len(set(seen[-10:])) == 1)

        settle(stuck)
        yield pid, errors
        thread.join(12)  # the system's own limit is 20 s
        assert not thread.is_alive()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        thread.join(30)
        one.close()


def test_cancel_ends_a_transfer_to_a_host_that_takes_nothing(sshd: Sshd, tmp_path: Path) -> None:
    one = connector(sshd.variables(ansible_host="127.0.7.3"))
    one.open(Deadline.after(20))
    with stalled(one, lambda data: one.put(data, str(tmp_path / "file"), Deadline(), mode=0o600)) as (_, errors):
        one.cancel()
    (error,) = errors
    assert isinstance(error, CancelledError)
    assert (error.host, error.phase, error.killed) == ("web1", "transferring", None)


def test_a_deadline_ends_a_command_on_a_host_that_takes_nothing(sshd: Sshd) -> None:
    one = connector(sshd.variables(ansible_host="127.0.7.4"))
    one.open(Deadline.after(20))
    limit = Deadline.after(3)
    with stalled(one, lambda data: one.execute(Command("cat >/dev/null", stdin=data), Output(), limit)) as (_, errors):
        settle(lambda: bool(errors))
        with pytest.raises(ConnectionLostError) as lost:
            one.execute(Command("true"), Output(), Deadline.after(20))
        assert not lost.value.started
    (error,) = errors
    assert isinstance(error, CommandTimeoutError)
    assert (error.host, error.phase, error.killed) == ("web1", "running", False)


def test_a_cancel_during_a_write_that_the_host_takes_late_costs_no_connection(sshd: Sshd, tmp_path: Path) -> None:
    one = connector(sshd.variables(ansible_host="127.0.7.5"))
    one.open(Deadline.after(20))
    with stalled(one, lambda data: one.put(data, str(tmp_path / "file"), Deadline(), mode=0o600)) as (pid, errors):
        one.cancel()
        os.kill(pid, signal.SIGCONT)
        settle(lambda: bool(errors))
        assert one.alive
        assert one.execute(Command("true"), Output(), Deadline.after(20)).rc == 0
    assert isinstance(errors[0], CancelledError)
    assert os.listdir(tmp_path) == []


def test_cancel_before_a_call_ends_that_call_and_no_other(sshd: Sshd) -> None:
    one = connector(sshd.variables(ansible_host="127.0.7.1"))
    one.cancel()
    with pytest.raises(CancelledError):
        one.open(Deadline.after(20))
    one.open(Deadline.after(20))
    one.cancel()
    with pytest.raises(CancelledError):
        one.execute(Command("true"), Output(), Deadline.after(20))
    assert one.execute(Command("true"), Output(), Deadline.after(20)).rc == 0
    one.close()


def test_a_connection_that_died_while_idle_runs_nothing(sshd: Sshd) -> None:
    one = connector(sshd.variables(ansible_host="127.0.7.2"))
    with pytest.raises(ConnectionLostError) as error:
        one.execute(Command("true"), Output(), Deadline.after(20))
    assert error.value.started is False
    one.open(Deadline.after(20))
    output = Output()
    one.execute(Command("echo $PPID", verbatim=True), output, Deadline.after(20))
    os.kill(int(output.stdout), 9)
    settle(lambda: not one.alive)
    with pytest.raises(ConnectionLostError) as error:
        one.execute(Command("true"), Output(), Deadline.after(20))
    assert error.value.started is False
    one.open(Deadline.after(20))
    assert one.execute(Command("true"), Output(), Deadline.after(20)).rc == 0
    one.close()


def test_ipv6(tmp_path: Path) -> None:
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    server = Sshd(tmp_path / "sshd", "ListenAddress ::1").start()
    try:
        server.trust("127.*", "::1")
        one = connector(server.variables(ansible_host="::1"))
        one.open(Deadline.after(20))
        assert one.execute(Command("true"), Output(), Deadline.after(20)).rc == 0
        one.close()
    finally:
        server.stop()


def test_nothing_is_left_behind(sshd: Sshd) -> None:
    before, files = set(sys._current_frames()), open_files()
    many = [connector(sshd.variables(ansible_host=f"127.0.7.{n}")) for n in range(10, 20)]
    for one in many:
        one.open(Deadline.after(20))
        one.execute(Command("true"), Output(), Deadline.after(20))
    for one in many:
        one.close()
        one.context.close()
    settle(lambda: set(sys._current_frames()) <= before and open_files() <= files)


_PATCHED = """
import json, sys
from gevent import monkey
monkey.patch_all()
from gevent.pool import Pool
from sshexec.connectors.base import Command, Deadline, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.ssh.connector import SshConnector
import io, time
variables = json.load(sys.stdin)
context = SshConnector.Context()
def one(n):
    options = SshConnector.Options.from_vars({**variables, "ansible_host": f"127.0.6.{n}"}, "h")
    c = SshConnector("h", options, context, Timeouts())
    c.open(Deadline.after(30))
    out = Output()
    begun = time.time()
    assert c.execute(Command("sleep 1; cat", stdin=b"x" * 300000), out, Deadline.after(30)).rc == 0
    assert len(out.stdout) == 300000
    ended = time.time()
    got = io.BytesIO()
    c.get("/etc/passwd", got, Deadline.after(30))
    assert got.getvalue()
    try:
        c.execute(Command("sleep 60"), Output(), Deadline.after(0.2))
    except TimeoutError as error:
        assert error.killed
    else:
        raise AssertionError("it did not time out")
    c.close()
    return begun, ended
times = Pool(20).map(one, range(1, 21))
assert max(b for b, e in times) < min(e for b, e in times), "they did not run at once"
print("fine")
"""


def test_twenty_hosts_at_once_in_a_patched_process(sshd: Sshd) -> None:
    import json

    done = subprocess.run(
        [sys.executable, "-c", _PATCHED],
        input=json.dumps(sshd.variables()),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("fine\n", "")


def test_a_host_that_only_ssh_config_knows(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ssh").mkdir()
    config = tmp_path / ".ssh" / "config"
    config.write_text(
        f"Host fleet-*\n Port {sshd.port}\n User {sshd.user}\n IdentityFile {sshd.key}\n IdentityFile ~/missing\n"
        f" UserKnownHostsFile ~/%k.known\n HostKeyAlias fleet\n StrictHostKeyChecking accept-new\n"
        " Ciphers aes256-ctr\n MACs hmac-sha2-512\n KexAlgorithms ecdh-sha2-nistp384\n HostKeyAlgorithms +ssh-rsa\n"
        "Host fleet-1\n HostName 127.0.6.31\n AddressFamily inet\nHost fleet-2\n HostName 127.0.6.32\n"
        " AddressFamily inet6\n"
    )
    config.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    options = SshConnector.Options.from_vars({}, "fleet-1")
    one = SshConnector("fleet-1", options, SshContext(), Timeouts())
    one.open(Deadline.after(20))
    link = one._link
    assert link is not None
    assert (link.remote_cipher, link.local_cipher) == ("aes256-ctr", "aes256-ctr")
    assert link.remote_mac == "hmac-sha2-512"
    output = Output()
    assert one.execute(Command("echo it is $SSH_CONNECTION"), output, Deadline.after(20)).rc == 0
    assert f"127.0.6.31 {sshd.port}" in output.stdout.decode()
    assert (tmp_path / "fleet.known").read_text().startswith("fleet ssh-ed25519 ")
    one.close()
    other = SshConnector.Options.from_vars({}, "fleet-2")
    with pytest.raises(ResolveError, match=r"127\.0\.6\.32 has no IPv6 address"):
        SshConnector("fleet-2", other, SshContext(), Timeouts()).open(Deadline.after(20))


@pytest.mark.parametrize(
    "option", ["KexAlgorithms=ecdh-sha2-nistp256", "HostKeyAlgorithms=rsa-sha2-512", "MACs=hmac-sha1"]
)
def test_nothing_but_the_algorithms_asked_for_is_proposed(tmp_path: Path, option: str) -> None:
    server = Sshd(
        tmp_path, "KexAlgorithms ecdh-sha2-nistp384\nMACs hmac-sha2-256\nCiphers aes128-ctr\n"
    ).start()  # fmt: skip
    try:
        with contextlib.closing(connector(server.variables(ansible_host="127.0.0.1"))) as one:
            one.open(Deadline.after(20))
        variables = server.variables(ansible_host="127.0.0.1", ansible_ssh_extra_args=f"-o {option}")
        assert option.partition("=")[2] in str(SshConnector.Options.from_vars(variables).algorithms())
        failure(variables, ProtocolError)
    finally:
        server.stop()
