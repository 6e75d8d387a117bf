"""ProxyCommand: a process as the connection, with its last words in the error, and gone when the connection is."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sshexec.connectors.base import Command, Deadline
from sshexec.connectors.output import Output
from sshexec.connectors.ssh.context import SshContext
from sshexec.connectors.ssh.proxy import Proxy
from sshexec.errors import BannerError, CancelledError, ConnectionLostError, UnreachableError
from tests.connectors.test_ssh_jump import STOCK, connector, context, failure, open_files, run, settle
from tests.testbed import Sshd

__all__ = ["context"]


def children() -> list[str]:
    """Return the names of this process's children, zombies too."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        # A thread that ends meanwhile hands its children on to another one.
        with contextlib.suppress(OSError):
            for pid in (task / "children").read_text().split():
                found.append(Path(f"/proc/{pid}/stat").read_text().split()[1])
    return found


@pytest.fixture
def bastion(tmp_path: Path) -> Iterator[Sshd]:
    server = Sshd(tmp_path / "b", STOCK).start()
    yield server
    server.stop()


def through(bastion: Sshd, host: str, port: int) -> str:
    """Return OpenSSH's own way through a jump host."""
    return (
        f"ssh -F none -o UserKnownHostsFile={bastion.known_hosts} -o BatchMode=yes -i {bastion.key} -p {bastion.port}"
        f" -W {host}:{port} {bastion.user}@127.0.9.1"
    )


def test_through_openssh(context: SshContext, sshd: Sshd, bastion: Sshd) -> None:
    before = children()
    one = connector(context, sshd, "127.0.3.1", proxy_command=through(bastion, "127.0.3.1", sshd.port))
    one.open(Deadline.after(60))
    assert len(children()) == len(before) + 1
    output = Output(10_000)
    one.execute(Command("head -c 3000000 /dev/zero | wc -c; wc -c", stdin=b"x" * 3_000_000), output, Deadline.after(60))
    assert output.text("stdout").split() == ["3000000", "3000000"]
    one.close()
    one.close()
    assert children() == before
    assert "Accepted publickey" in bastion.log.read_text()


def test_it_wins_over_jump_hosts_that_are_set_too(context: SshContext, sshd: Sshd, bastion: Sshd) -> None:
    nowhere = connector(context, sshd, "127.0.9.9").options
    command = through(bastion, "127.0.3.1", sshd.port)
    assert run(connector(context, sshd, "127.0.3.1", nowhere, proxy_command=command)) == "hi"


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            "sh -c 'echo first >&2; echo no way >&2; exit 3'",
            "the ProxyCommand to {named} ended before the host's greeting: no way",
        ),
        ("/nowhere/nc 1 2", "not found"),
        ("sh -c 'exit 3'", "ended before the host's greeting: exit status 3"),
        ("sh -c 'yes | head -c 5000000 >&2; echo last words >&2; exit 1'", "last words"),
    ],
)
def test_its_last_words_are_the_reason(command: str, words: str, context: SshContext, sshd: Sshd) -> None:
    before = children()
    error = failure(connector(context, sshd, "127.0.3.1", proxy_command=command), BannerError)
    assert words.format(named=f"127.0.3.1 port {sshd.port}") in error.message
    assert error.message.startswith("the ProxyCommand to ")
    assert error.phase == "connecting"
    assert children() == before


def test_one_that_was_turned_away_is_run_again(context: SshContext, sshd: Sshd, bastion: Sshd, tmp_path: Path) -> None:
    command = (
        f"sh -c 'if mkdir {tmp_path}/once 2>/dev/null; then"
        " echo kex_exchange_identification: Connection closed by remote host >&2; exit 255; fi;"
        f" exec {through(bastion, '127.0.3.1', sshd.port)}'"
    )
    assert run(connector(context, sshd, "127.0.3.1", proxy_command=command)) == "hi"
    assert (tmp_path / "once").is_dir()


def test_one_that_hangs_is_ended_by_cancel_with_what_it_started(
    context: SshContext, sshd: Sshd, tmp_path: Path
) -> None:
    before = children()
    started = tmp_path / "pid"
    command = f"sh -c 'sleep 1000 & echo $! > {started}.new; mv {started}.new {started}; trap \"\" TERM; wait; wait'"
    one = connector(context, sshd, "127.0.3.1", connect=60, proxy_command=command)
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(one.open, Deadline())
        settle(started.exists)
        one.cancel()
        assert isinstance(opening.exception(20), CancelledError)
    settle(lambda: children() == before)
    pid = int(started.read_text())
    settle(lambda: not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z")


def test_one_that_dies_takes_the_connection_along(context: SshContext, sshd: Sshd, bastion: Sshd) -> None:
    one = connector(context, sshd, "127.0.3.1", proxy_command=through(bastion, "127.0.3.1", sshd.port))
    one.open(Deadline.after(60))
    output = Output(1000)
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(one.execute, Command("echo begun; sleep 60"), output, Deadline.after(50))
        settle(lambda: output.text("stdout"))
        assert one._approach._proxy is not None
        one._approach._proxy._process.kill()
        assert isinstance(job.exception(20), ConnectionLostError)
    one.close()
    assert "(ssh)" not in children()


def test_nothing_is_left_where_no_process_can_be_started(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    def popen(*arguments: object, **more: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", popen)
    before = open_files()
    with pytest.raises(UnreachableError, match="can't run the ProxyCommand: "):
        Proxy("true")
    assert open_files() == before


def test_under_gevent(sshd: Sshd, bastion: Sshd) -> None:
    code = (
        "import gevent.monkey; gevent.monkey.patch_all()\n"
        "import sys, gevent, dataclasses\n"
        "from sshexec.connectors.base import Deadline, Timeouts\n"
        "from tests.connectors import test_ssh_jump as t, test_ssh_proxy as p\n"
        "options = t.SshOptions(address='127.0.3.1', port=int(sys.argv[1]), user=sys.argv[2],\n"
        "    key_files=(sys.argv[3],), known_hosts=(sys.argv[4],), proxy_command=sys.argv[5])\n"
        "context = t.SshContext()\n"
        "hosts = [t.SshConnector('h', options, context, Timeouts(connect=60)) for _ in range(8)]\n"
        "jobs = [gevent.spawn(t.run, one) for one in hosts]\n"
        "print(sorted({job.get(timeout=60) for job in jobs}))\n"
        "bad = dataclasses.replace(options, proxy_command='sh -c \"echo no way >&2; exit 3\"')\n"
        "try: t.SshConnector('h', bad, context, Timeouts()).open(Deadline())\n"
        "except Exception as error: print(error)\n"
        "context.close()\n"
        "print(p.children())\n"
    )
    arguments = [
        str(sshd.port),
        sshd.user,
        str(sshd.key),
        str(sshd.known_hosts),
        through(bastion, "127.0.3.1", sshd.port),
    ]
    found = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    lines = found.stdout.splitlines()
    assert lines[0] == "['hi']", found.stderr
    assert lines[1].endswith("ended before the host's greeting: no way")
    assert lines[2] == "[]"
