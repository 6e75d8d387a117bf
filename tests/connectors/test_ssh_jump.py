"""Jump hosts: one connection that many hosts share, each hop's key checked, each way of failing told apart."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Host, Inventory
from sshexec.connectors.base import Command, Deadline, Timeouts
from sshexec.connectors.output import Output, Stream
from sshexec.connectors.severed import keep_from_children
from sshexec.connectors.ssh import jump, packets, stream
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.ssh.context import SshContext
from sshexec.connectors.ssh.options import SshOptions
from sshexec.connectors.ssh.packets import BufferedPacketizer
from sshexec.errors import (
    AuthenticationError,
    BannerError,
    CancelledError,
    ChangedHostKeyError,
    ConnectionLostError,
    ConnectTimeoutError,
    HostError,
    RefusedError,
    ResolveError,
    UnknownHostKeyError,
)
from tests.testbed import Sshd

STOCK = "MaxStartups 10:30:100\nMaxSessions 10\nLogLevel VERBOSE"


@pytest.fixture(scope="module")
def bastion(tmp_path_factory: pytest.TempPathFactory, sshd: Sshd) -> Iterator[Sshd]:
    """A jump host with OpenSSH's own limits."""
    server = Sshd(tmp_path_factory.mktemp("bastion"), STOCK).start()
    yield server
    server.stop()


@pytest.fixture
def context() -> Iterator[SshContext]:
    """A context that leaves nothing behind."""
    with socket.socket() as first:
        keep_from_children(first)  # opens what stays for good
    threads, files = threading.active_count(), open_files()
    shared = SshContext()
    yield shared
    shared.close()
    settle(lambda: threading.active_count() <= threads and open_files() <= files)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def settle(condition: Callable[[], Any], seconds: float = 20) -> None:
    """Wait until something is so, or fail."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not settle"
        time.sleep(0.02)


def options(server: Sshd, address: str, **changes: Any) -> SshOptions:
    return dataclasses.replace(SshOptions.from_vars(server.variables(ansible_host=address), address), **changes)


def connector(
    context: SshContext, server: Sshd, address: str, *hops: SshOptions, connect: float = 20, **changes: Any
) -> SshConnector:
    return SshConnector(
        "web1", options(server, address, jump=hops, **changes), context, Timeouts(connect=connect, auth=20)
    )


def run(one: SshConnector, script: str = "echo hi") -> str:
    """Open, run, close; return what it printed."""
    output = Output(10_000)
    try:
        one.open(Deadline.after(60))
        one.execute(Command(script), output, Deadline.after(60))
    finally:
        one.close()
    return output.text("stdout").strip()


def failure(one: SshConnector, kind: type[HostError]) -> HostError:
    with pytest.raises(kind) as error:
        one.open(Deadline.after(60))
    assert type(error.value) is kind
    assert error.value.host == "web1"
    return error.value


def accepted(server: Sshd) -> int:
    """How many logins a server has seen."""
    return server.log.read_text().count("Accepted publickey")


def sessions(server: Sshd) -> list[int]:
    """Return the processes that serve a server's connections."""
    found = [server.pid]
    for pid in found:
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            found += [int(child) for child in children]
    return found[1:]


def at_once(jobs: list[Callable[[], Any]]) -> list[Any]:
    """Do things at once; return their results or exceptions."""

    def do(job: Callable[[], Any]) -> Any:
        try:
            return job()
        except HostError as error:
            return error

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(do, jobs))


# What works.


def test_300_hosts_behind_a_stock_bastion_share_one_login(context: SshContext, sshd: Sshd, tmp_path: Path) -> None:
    bastion = Sshd(tmp_path / "b", STOCK).start()
    hop = options(bastion, "127.0.9.1")
    try:
        hosts = [connector(context, sshd, f"127.0.{3 + n // 250}.{1 + n % 250}", hop) for n in range(300)]
        with ThreadPoolExecutor(100) as pool:
            assert set(pool.map(run, hosts)) == {"hi"}
        assert accepted(bastion) == 1
    finally:
        bastion.stop()


@pytest.mark.parametrize("behind", [True, False])
def test_hosts_that_turn_connections_away_are_tried_again(
    behind: bool, context: SshContext, bastion: Sshd, tmp_path: Path
) -> None:
    """All 127.* addresses are one sshd here, so its limit is met although each address has a gate of its own."""
    target = Sshd(tmp_path / "t", STOCK).start()
    hops = (options(bastion, "127.0.9.1"),) if behind else ()
    try:
        hosts = [connector(context, target, f"127.0.3.{1 + n}", *hops, connect=60) for n in range(100)]
        assert at_once([lambda one=one: run(one) for one in hosts]) == ["hi"] * 100  # type: ignore[misc]
        assert "MaxStartups throttling" in target.log.read_text()
    finally:
        target.stop()


def test_under_gevent_too(bastion: Sshd, tmp_path: Path) -> None:
    target = Sshd(tmp_path / "t", STOCK).start()
    code = (
        "import gevent.monkey; gevent.monkey.patch_all()\n"
        "import sys; from pathlib import Path\n"
        "from tests.connectors import test_ssh_jump as t\n"
        "import gevent, threading\n"
        "class Server:\n"
        "    def __init__(self, folder, port): self.folder, self.port = Path(folder), int(port)\n"
        "    user = t.Sshd.user if hasattr(t.Sshd, 'user') else __import__('getpass').getuser()\n"
        "    key = property(lambda self: self.folder / 'id_ed25519')\n"
        "    known_hosts = property(lambda self: self.folder / 'known_hosts')\n"
        "    variables = t.Sshd.variables\n"
        "bastion, target = Server(*sys.argv[1:3]), Server(*sys.argv[3:5])\n"
        "context = t.SshContext()\n"
        "hop = t.options(bastion, '127.0.9.1')\n"
        "hosts = [t.connector(context, target, f'127.0.3.{1 + n}', hop, connect=60) for n in range(60)]\n"
        "jobs = [gevent.spawn(t.run, one) for one in hosts]\n"
        "print(sorted({job.get(timeout=100) for job in jobs}))\n"
        "context.close()\n"
        "print([type(each).__name__ for each in threading.enumerate()])\n"
    )
    before = accepted(bastion)
    arguments = [str(bastion.folder), str(bastion.port), str(target.folder), str(target.port)]
    try:
        found = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, check=False
        )
    finally:
        target.stop()
    assert found.stdout.splitlines() == ["['hi']", "['_MainThread']"], found.stderr
    assert accepted(bastion) == before + 1


def test_a_chain_of_two_hops_has_one_login_on_each(
    context: SshContext, sshd: Sshd, bastion: Sshd, tmp_path: Path
) -> None:
    inner = Sshd(tmp_path / "inner", STOCK).start()
    hops = (options(bastion, "127.0.9.1"), options(inner, "127.0.9.2"))
    before = accepted(bastion)
    try:
        hosts = [connector(context, sshd, f"127.0.3.{1 + n}", *hops) for n in range(10)]
        assert at_once([lambda one=one: run(one) for one in hosts]) == ["hi"] * 10  # type: ignore[misc]
        assert accepted(bastion) == before + 1
        assert accepted(inner) == 1
    finally:
        inner.stop()


def test_files_go_through_both_ways_while_keys_are_exchanged_anew(
    context: SshContext, sshd: Sshd, bastion: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BufferedPacketizer, "REKEY_BYTES", 3_000_000)
    (tmp_path / "big").write_bytes(os.urandom(2**20) * 12)
    wanted = hashlib.sha256((tmp_path / "big").read_bytes()).digest()
    hop = options(bastion, "127.0.9.1")

    def there_and_back(number: int) -> bytes:
        one = connector(context, sshd, f"127.0.3.{number}", hop)
        got = io.BytesIO()
        try:
            one.open(Deadline.after(60))
            one.put((tmp_path / "big").read_bytes(), str(tmp_path / f"copy{number}"), Deadline.after(60))
            one.get(str(tmp_path / f"copy{number}"), got, Deadline.after(60))
        finally:
            one.close()
        return hashlib.sha256(got.getvalue()).digest()

    assert at_once([lambda n=n: there_and_back(n) for n in (1, 2)]) == [wanted] * 2  # type: ignore[misc]


def test_a_host_whose_output_nobody_takes_holds_up_no_other(context: SshContext, sshd: Sshd, bastion: Sshd) -> None:
    hop = options(bastion, "127.0.9.1")
    stuck, go = threading.Event(), threading.Event()

    def hold(which: Stream, data: bytes) -> None:
        stuck.set()
        go.wait(60)

    slow = connector(context, sshd, "127.0.3.1", hop)
    slow.open(Deadline.after(60))
    command = Command("head -c 20000000 /dev/zero")
    thread = threading.Thread(
        target=lambda: slow.execute(command, Output(1000, tee=hold), Deadline.after(60)), daemon=True
    )
    thread.start()
    assert stuck.wait(20)
    assert run(connector(context, sshd, "127.0.3.2", hop), "head -c 5000000 /dev/zero | wc -c") == "5000000"
    go.set()
    thread.join(60)
    slow.close()


def test_an_idle_connection_is_closed_and_another_one_opened(
    context: SshContext, sshd: Sshd, bastion: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jump, "_IDLE", 0.2)
    hop = options(bastion, "127.0.9.1")
    before = accepted(bastion)
    assert run(connector(context, sshd, "127.0.3.1", hop)) == "hi"
    settle(lambda: not any("sshexec-jump" in thread.name for thread in threading.enumerate()))
    assert run(connector(context, sshd, "127.0.3.1", hop)) == "hi"
    assert accepted(bastion) == before + 2


def test_an_engine_goes_the_way_that_ssh_config_and_j_say(sshd: Sshd, bastion: Sshd, tmp_path: Path) -> None:
    config, known = tmp_path / "config", tmp_path / "known_hosts"
    known.write_text(bastion.known_hosts.read_text() + sshd.known_hosts.read_text())
    config.write_text(
        f"Host bastion\nHostName 127.0.9.1\nPort {bastion.port}\nUser {bastion.user}\nIdentityFile {bastion.key}\n"
        f"Host *\nUserKnownHostsFile {known}\n"
    )
    command = f"ssh -F {config} -o BatchMode=yes -W %h:%p bastion"
    ways = [f"-F {config} -J bastion", f"-F {config} -o 'ProxyCommand={command}'"]
    before = accepted(bastion)
    hosts = [
        Host(f"h{n}", sshd.variables(ansible_host=f"127.0.3.{n}", ansible_ssh_common_args=ways[n == 1]))
        for n in range(1, 21)
    ]
    with Engine(Inventory.from_hosts(hosts)) as engine:
        result = engine.run("all", "shell", "echo hi")
        assert {each.stdout for each in result.values()} == {"hi"}, [each.msg for each in result.values()]
    assert accepted(bastion) == before + 2  # one for all, and one of the process


# Host keys and credentials.


@pytest.mark.parametrize("position", [0, 1])
def test_a_hop_with_another_key_gets_no_credential(
    position: int, context: SshContext, sshd: Sshd, bastion: Sshd, tmp_path: Path
) -> None:
    wrong = Sshd(tmp_path / "wrong", "LogLevel DEBUG1").start()
    kind, blob = (sshd.folder / "host_ed25519.pub").read_text().split()[:2]
    wrong.known_hosts.write_text(f"[127.0.9.7]:{wrong.port} {kind} {blob}\n")
    hops = [options(wrong, "127.0.9.7")]
    if position:
        hops.insert(0, options(bastion, "127.0.9.1"))
    try:
        error = failure(connector(context, sshd, "127.0.3.1", *hops), ChangedHostKeyError)
        assert error.message.startswith(f"jump host 127.0.9.7:{wrong.port}: ")
        said = wrong.log.read_text()
        assert "kex" in said
        assert "userauth-request" not in said
    finally:
        wrong.stop()


def test_an_unknown_hop_is_refused_or_learned(context: SshContext, sshd: Sshd, bastion: Sshd, tmp_path: Path) -> None:
    files = (str(tmp_path / "known_hosts"),)
    hop = options(bastion, "127.0.9.1", known_hosts=files)
    failure(connector(context, sshd, "127.0.3.1", hop), UnknownHostKeyError)
    one = connector(context, sshd, "127.0.3.1", dataclasses.replace(hop, policy="accept-new"))
    assert run(one) == "hi"
    assert ["127.0.9.1" in str(notice) for notice in one.notices] == [True]


def test_a_hop_that_refuses_us_says_so_to_all_and_is_asked_once(
    context: SshContext, sshd: Sshd, bastion: Sshd, tmp_path: Path
) -> None:
    before = bastion.log.read_text().count("Connection from")
    hop = options(bastion, "127.0.9.1", key_files=(str(sshd.key),))  # not the bastion's
    errors = at_once([lambda n=n: run(connector(context, sshd, f"127.0.3.{n}", hop)) for n in range(1, 21)])  # type: ignore[misc]
    assert {type(error) for error in errors} == {AuthenticationError}
    assert errors[0].message.startswith(f"jump host 127.0.9.1:{bastion.port}: {bastion.user}@127.0.9.1: Permission")
    assert errors[0].phase == "authenticating"
    settle(lambda: bastion.log.read_text().count("Connection from") == before + 1)


def test_messages_have_the_name_that_a_jump_host_was_called_by(context: SshContext, sshd: Sshd, bastion: Sshd) -> None:
    config = bastion.folder / "config"
    config.write_text(f"Host gate\n HostName 127.0.9.1\n Port {bastion.port}\n IdentityFile {sshd.key}\n")
    config.chmod(0o600)
    for name, shown in (
        ("gate", f"gate (127.0.9.1:{bastion.port})"),
        (f"127.0.9.1:{bastion.port}", f"127.0.9.1:{bastion.port}"),
    ):
        variables = sshd.variables(
            ansible_host="127.0.3.1",
            ansible_ssh_common_args=f"-F {config} -J {name} -o UserKnownHostsFile={bastion.known_hosts}",
        )
        one = SshConnector("web1", SshOptions.from_vars(variables, "web1"), SshContext(), Timeouts())
        error = failure(one, AuthenticationError)
        assert error.message.startswith(f"jump host {shown}: {bastion.user}@127.0.9.1: Permission denied")
    assert dataclasses.replace(one.options.jump[0], named="other") == one.options.jump[0], "they share a connection"


# What goes wrong on the way.


@contextlib.contextmanager
def no_answer() -> Iterator[int]:
    """A port that answers nobody, as a host that is switched off."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as opened:
        port = full.getsockname()[1]
        for _ in range(3):
            one = opened.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        yield port


def test_what_is_not_reached_behind_a_hop_names_both(
    context: SshContext, sshd: Sshd, bastion: Sshd, tmp_path: Path
) -> None:
    hop = options(bastion, "127.0.9.1")
    name = f"127.0.9.1:{bastion.port}"
    with no_answer() as port:
        error = failure(connector(context, sshd, "127.0.0.1", hop, connect=0.5, port=port), ConnectTimeoutError)
        assert error.message == f"127.0.0.1 port {port} did not answer jump host {name} in time"
    error = failure(connector(context, sshd, "127.0.0.1", hop, port=port), RefusedError)
    assert error.message == f"127.0.0.1 port {port} behind jump host {name} refused the connection"
    assert error.phase == "connecting"
    error = failure(connector(context, sshd, "nowhere.invalid", hop), ResolveError)
    assert error.message.startswith(f"nowhere.invalid port {sshd.port} behind jump host {name} does not resolve there")


def test_a_hop_that_forbids_a_target_forbids_it_alone(context: SshContext, sshd: Sshd, tmp_path: Path) -> None:
    allowed = [f"127.0.3.{number}" for number in (1, 2, 9)]
    targets = " ".join(f"{address}:{sshd.port}" for address in allowed)
    picky = Sshd(tmp_path / "picky", f"LogLevel VERBOSE\nPermitOpen {targets}").start()
    hop = options(picky, "127.0.9.1")
    try:
        held = [connector(context, sshd, address, hop) for address in allowed]
        held[0].open(Deadline.after(60))
        for number in range(3, 9):
            error = failure(connector(context, sshd, f"127.0.3.{number}", hop), RefusedError)
            assert f"jump host 127.0.9.1:{picky.port} lets nobody through to 127.0.3.{number}" in error.message
        for one in held[1:]:
            one.open(Deadline.after(60))
        for one in held:
            one.close()
        assert accepted(picky) <= 2  # a refusal might have been that of a limit, once
    finally:
        picky.stop()


def test_a_hop_that_is_short_of_descriptors_gets_further_connections(
    context: SshContext, sshd: Sshd, tmp_path: Path
) -> None:
    small = Sshd(tmp_path / "small", STOCK).start()
    hop = options(small, "127.0.9.1")
    try:
        resource.prlimit(small.pid, resource.RLIMIT_NOFILE, (20, 20))
        hosts = [connector(context, sshd, f"127.0.3.{n}", hop) for n in range(1, 31)]
        assert at_once([lambda one=one: one.open(Deadline.after(60)) for one in hosts]) == [None] * 30  # type: ignore[misc]
        assert 1 < accepted(small) < 30
        for one in hosts:
            one.close()
    finally:
        small.stop()


@contextlib.contextmanager
def door(answer: bytes | None) -> Iterator[tuple[int, list[socket.socket]]]:
    """A server that says something and closes, or nothing and waits; yields its port and who came."""
    came: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    came.append(client)
                    if answer is not None:
                        client.sendall(answer)
                        client.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1], came
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            for client in came:
                client.close()


def test_hosts_behind_a_hop_that_is_no_ssh_server_fail_together(context: SshContext, sshd: Sshd, bastion: Sshd) -> None:
    with door(b"HTTP/1.1 400 Bad Request\r\n\r\n") as (port, came):
        hop = options(bastion, "127.0.0.1", port=port)
        errors = at_once([lambda n=n: run(connector(context, sshd, f"127.0.3.{n}", hop)) for n in range(1, 31)])  # type: ignore[misc]
        assert {type(error) for error in errors} == {BannerError}
        assert {error.message.split(": ")[0] for error in errors} == {f"jump host 127.0.0.1:{port}"}
        assert len(came) == 1


def test_a_hop_that_failed_is_tried_again_later(
    context: SshContext, sshd: Sshd, bastion: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    with door(b"HTTP\r\n") as (port, came):
        hop = options(bastion, "127.0.0.1", port=port)
        failure(connector(context, sshd, "127.0.3.1", hop), BannerError)
        failure(connector(context, sshd, "127.0.3.2", hop), BannerError)  # the same answer, at once
        assert len(came) == 1
        monkeypatch.setattr(jump, "_FAILED_FOR", 0.0)
        failure(connector(context, sshd, "127.0.3.3", hop), BannerError)
        assert len(came) == 2


def test_cancelled_while_the_hop_hangs(context: SshContext, sshd: Sshd, bastion: Sshd) -> None:
    with door(None) as (port, came):
        hop = options(bastion, "127.0.0.1", port=port)
        first, second = (connector(context, sshd, f"127.0.3.{n}", hop, connect=60) for n in (1, 2))
        with ThreadPoolExecutor(2) as pool:
            one, two = (pool.submit(each.open, Deadline()) for each in (first, second))
            # The hop is there a moment before its opening is.
            settle(lambda: came and len(getattr(next(iter(context.hops._hops.values()))._opening, "waiters", ())) == 2)
            first.cancel()
            assert isinstance(one.exception(20), CancelledError)
            assert not two.done()
            second.cancel()
            assert isinstance(two.exception(20), CancelledError)
        assert len(came) == 1
        # Nobody wants the hop any more: its opening has ended too.
        settle(lambda: not any("sshexec-jump" in thread.name for thread in threading.enumerate()))


def test_cancelled_while_the_host_behind_hangs(context: SshContext, sshd: Sshd, bastion: Sshd) -> None:
    with door(None) as (port, came):
        one = connector(context, sshd, "127.0.0.1", options(bastion, "127.0.9.1"), connect=60, port=port)
        with ThreadPoolExecutor(1) as pool:
            opening = pool.submit(one.open, Deadline())
            settle(lambda: came)
            one.cancel()
            assert isinstance(opening.exception(20), CancelledError)


def test_cancelled_while_the_hop_waits_for_the_host_behind(context: SshContext, sshd: Sshd, bastion: Sshd) -> None:
    with no_answer() as port, ThreadPoolExecutor(1) as pool:
        one = connector(context, sshd, "127.0.0.1", options(bastion, "127.0.9.1"), connect=60, port=port)
        opening = pool.submit(one.open, Deadline())
        settle(lambda: any(line.used for hop in context.hops._hops.values() for line in hop._lines))
        one.cancel()
        assert isinstance(opening.exception(20), CancelledError)


def test_the_context_closes_while_a_hop_hangs(sshd: Sshd, bastion: Sshd) -> None:
    context = SshContext()
    with door(None) as (port, came), ThreadPoolExecutor(1) as pool:
        hop = options(bastion, "127.0.0.1", port=port)
        opening = pool.submit(connector(context, sshd, "127.0.3.1", hop, connect=60).open, Deadline())
        settle(lambda: came)
        context.close()
        error = opening.exception(20)
        assert isinstance(error, ConnectionLostError)
        assert not error.started


# A hop that dies.


def test_a_hop_that_dies_ends_its_hosts_and_is_opened_again(context: SshContext, sshd: Sshd, tmp_path: Path) -> None:
    bastion = Sshd(tmp_path / "b", STOCK).start()
    hop = options(bastion, "127.0.9.1")
    hosts = [connector(context, sshd, f"127.0.3.{n}", hop) for n in range(1, 6)]
    try:
        at_once([lambda one=one: one.open(Deadline.after(60)) for one in hosts])  # type: ignore[misc]
        with ThreadPoolExecutor(5) as pool:
            outputs = [Output(1000) for _ in hosts]
            runs = [
                pool.submit(one.execute, Command("echo begun; exec sleep 60"), output, Deadline.after(50))
                for one, output in zip(hosts, outputs, strict=True)
            ]
            settle(lambda: all(output.text("stdout") for output in outputs))
            for pid in sessions(bastion):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            errors = [each.exception(20) for each in runs]
        assert {type(error) for error in errors} == {ConnectionLostError}
        assert all(f"jump host 127.0.9.1:{bastion.port}: " in str(error) for error in errors), errors
        for one in hosts:
            assert not one.alive
            one.close()
        assert run(hosts[0]) == "hi"
        assert accepted(bastion) == 2
    finally:
        bastion.stop()


def test_a_hop_that_dies_during_a_login_is_no_refusal(context: SshContext, tmp_path: Path) -> None:
    bastion = Sshd(tmp_path / "b", STOCK).start()
    slow = Sshd(
        tmp_path / "s",
        f"AuthorizedKeysFile none\nAuthorizedKeysCommand /bin/sleep 60\nAuthorizedKeysCommandUser {bastion.user}",
    ).start()

    def checks_the_key() -> bool:
        return any(Path(f"/proc/{pid}/comm").read_text() == "sleep\n" for pid in sessions(slow))

    try:
        one = connector(context, slow, "127.0.3.1", options(bastion, "127.0.9.1"))
        with ThreadPoolExecutor(1) as pool:
            opened = pool.submit(one.open, Deadline.after(50))
            settle(checks_the_key)
            for pid in sessions(bastion):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            error = opened.exception(20)
        assert type(error) is ConnectionLostError
        assert f"jump host 127.0.9.1:{bastion.port}: " in str(error)
    finally:
        for pid in sessions(slow):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        bastion.stop()
        slow.stop()


@contextlib.contextmanager
def frozen(server: Sshd) -> Iterator[None]:
    """Freeze the connections of a server."""
    pids = sessions(server)
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_a_hop_that_freezes_is_noticed_by_its_silence(context: SshContext, sshd: Sshd, tmp_path: Path) -> None:
    bastion = Sshd(tmp_path / "b", STOCK).start()
    hop = options(bastion, "127.0.9.1", alive_interval=0.2, alive_count=2)
    # The host's own questions come too late to be the reason.
    running, idle = (connector(context, sshd, f"127.0.3.{n}", hop, alive_interval=30) for n in (1, 2))
    try:
        running.open(Deadline.after(60))
        idle.open(Deadline.after(60))
        with ThreadPoolExecutor(1) as pool:
            output = Output(1000)
            run = pool.submit(running.execute, Command("echo begun; sleep 60"), output, Deadline.after(50))
            settle(lambda: output.text("stdout"))
            with frozen(bastion):
                error = run.exception(20)
                assert isinstance(error, ConnectionLostError)
                assert f"jump host 127.0.9.1:{bastion.port}: " in error.message
                settle(lambda: not idle.alive)
        running.close()
        idle.close()
    finally:
        bastion.stop()


class Tap(io.BytesIO):
    """Endless input, once it may flow."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.go = threading.Event(), threading.Event()

    def read(self, size: int | None = -1) -> bytes:
        self.asked.set()
        self.go.wait(30)
        return b"\0" * (size or 1)


def test_a_frozen_hop_takes_no_data_and_holds_nobody(
    context: SshContext, sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fills its socket is kept back in bounds, and whoever sends can be cancelled."""
    monkeypatch.setattr(packets, "_STALLED_GRACE", 0.2)
    bastion = Sshd(tmp_path / "b", STOCK).start()
    hop = options(bastion, "127.0.9.1")
    hosts = [connector(context, sshd, f"127.0.3.{n}", hop) for n in range(1, 21)]
    try:
        for one in hosts:
            one.open(Deadline.after(60))
        shared = hosts[0].link
        assert shared is not None
        backlog = shared.sock._backlog
        with ThreadPoolExecutor(20) as pool:
            inputs = [Tap() for _ in hosts]
            runs = [
                pool.submit(one.execute, Command("cat > /dev/null", stdin=tap), Output(1000), Deadline.after(50))
                for one, tap in zip(hosts, inputs, strict=True)
            ]
            settle(lambda: all(tap.asked.is_set() for tap in inputs))
            with frozen(bastion):
                for tap in inputs:
                    tap.go.set()
                settle(lambda: backlog.size >= stream._FULL)
                for one in hosts:
                    one.cancel()
                assert all(isinstance(each.exception(30), CancelledError) for each in runs)
                assert backlog.size < stream._FULL + 20 * 64 * 1024  # a packet of each, at most
        for one in hosts:
            one.close()
    finally:
        bastion.stop()
