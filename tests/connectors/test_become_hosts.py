"""sudo, su and doas themselves, over a real sshd and on this machine.

All that changes this machine's users, sudoers and doas.conf is in this file, so that no two processes do so at once.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Host, HostResult, Inventory, Question, Secret
from sshexec.connectors.base import Command, Connector, Deadline, Timeouts
from sshexec.connectors.become import Become
from sshexec.connectors.local import LocalConnector, LocalContext, LocalOptions
from sshexec.connectors.output import Output
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.errors import BecomeError, CommandTimeoutError
from tests.testbed import SSHD, Sshd, lacking

PASSWORD = "canary-5up3r 'x"
OTHER = "canary-0ther"
DOAS = Path("/etc/doas.conf")
TOOLS = ("sudo", "su", "doas", "visudo", "useradd", "userdel", "chpasswd")


class Town:
    """A server, and users of this machine with different rights.

    ``login`` may do all by sudo and doas with its password, ``free`` without one, ``tty`` from a terminal only, ``box``
    has busybox for a login shell, ``none`` may do nothing; ``target`` is whom they become.
    """

    def __init__(self, folder: Path) -> None:
        self.sshd = Sshd(folder, config="AuthorizedKeysFile .ssh/authorized_keys")
        self._prefix = f"sx{os.getpid() % 10**6}"
        self._rules = Path(f"/etc/sudoers.d/{self._prefix}")
        self._saved = DOAS.read_bytes() if DOAS.exists() else None
        self._made: list[str] = []

    def name(self, role: str) -> str:
        return f"{self._prefix}{role}"

    def home(self, role: str) -> Path:
        return Path("/home") / self.name(role)

    def build(self) -> None:
        for role in ("login", "free", "tty", "box", "none", "target"):
            name = self.name(role)
            subprocess.run(["useradd", "-m", "-d", self.home(role), "-s", "/bin/sh", name], check=True)
            self._made.append(name)
            keys = self.home(role) / ".ssh"
            keys.mkdir(mode=0o700)
            shutil.copy(self.sshd.folder / "id_ed25519.pub", keys / "authorized_keys")
            subprocess.run(["chown", "-R", f"{name}:", keys], check=True)
        if busybox := shutil.which("busybox"):
            (self.home("box") / "sh").symlink_to(busybox)
            subprocess.run(["usermod", "-s", self.home("box") / "sh", self.name("box")], check=True)
        texts = [f"{self.name(role)}:{OTHER if role == 'target' else PASSWORD}\n" for role in self.roles]
        subprocess.run(["chpasswd"], input="".join(texts).encode(), check=True)
        draft = self.sshd.folder / "sudoers"
        draft.write_text(
            "".join(f"{self.name(role)} ALL=(ALL) ALL\n" for role in ("login", "tty", "box"))
            + f"{self.name('free')} ALL=(ALL) NOPASSWD: ALL\nDefaults:{self.name('tty')} requiretty, use_pty\n"
        )
        draft.chmod(0o440)
        subprocess.run(["visudo", "-cqf", draft], check=True)
        shutil.copy(draft, self._rules)
        DOAS.write_text(f"permit {self.name('login')}\npermit nopass {self.name('free')}\n")
        DOAS.chmod(0o400)
        self.sshd.start()

    roles = ("login", "free", "tty", "box", "none", "target")

    def tear_down(self) -> None:
        self.sshd.stop()
        self._rules.unlink(missing_ok=True)
        if self._saved is None:
            DOAS.unlink(missing_ok=True)
        else:
            DOAS.write_bytes(self._saved)
        for name in self._made:
            subprocess.run(["userdel", "-rf", name], check=False, capture_output=True)

    def variables(self, number: int, role: str, **become: Any) -> dict[str, Any]:
        """Return the variables of a host that is logged in to as somebody; ``method="su"`` and the like say more."""
        become = {"pass": PASSWORD, **become}
        given = {f"ansible_become_{key}": value for key, value in become.items() if value is not None}
        given |= {"ansible_host": f"127.0.3.{number + 1}", "ansible_user": self.name(role), "ansible_become": True}
        return self.sshd.variables(number=number, **given)

    def hosts(self, cases: list[tuple[str, dict[str, Any]]]) -> list[Host]:
        """Return a host for each case."""
        return [Host(f"h{n}", self.variables(n, role, **become)) for n, (role, become) in enumerate(cases)]

    def run(self, cases: list[tuple[str, dict[str, Any]]], module: str, args: Any, **more: Any) -> list[HostResult]:
        """Run a module on one host for each case, all at once."""
        return next(self.runs(cases, (module, args), **more))

    def runs(
        self, cases: list[tuple[str, dict[str, Any]]], *tasks: tuple[str, Any], **more: Any
    ) -> Iterator[list[HostResult]]:
        """Run modules one after the other on one host for each case."""
        hosts = self.hosts(cases)
        with Engine(Inventory.from_hosts(hosts)) as engine:
            for module, args in tasks:
                result = engine.run("all", module, args, **more)
                yield [result[host.name] for host in hosts]

    def connector(self, role: str, timeouts: Timeouts | None = None, **become: Any) -> SshConnector:
        """Return an open connection."""
        variables = self.variables(0, role, **become)
        options = SshConnector.Options.from_vars(variables, "web1")
        made = SshConnector("web1", options, SshConnector.Context(), timeouts or Timeouts())
        made.become = Become.from_vars(variables)
        made.open(Deadline.after(20))
        return made


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if os.geteuid() != 0:
        pytest.skip("only root can make users and give them rights")
    if missing or SSHD is None:
        if os.environ.get("SSHEXEC_REQUIRE_SERVICES"):
            pytest.fail(f"not installed: {', '.join(missing) or 'openssh-server'} (see .ci/packages)")
        lacking(", ".join(missing) or "openssh-server")
    made = Town(tmp_path_factory.mktemp("town"))
    try:
        made.build()
        yield made
    finally:
        made.tear_down()


def execute(connector: Connector[Any, Any], script: str, stdin: Any = None, **more: Any) -> tuple[bytes, bytes]:
    output = Output()
    connector.execute(Command(script, stdin=stdin, **more), output, Deadline.after(30))
    return output.stdout, output.stderr


SU: dict[str, Any] = {"method": "su", "pass": OTHER, "user": "target"}
WAYS: list[tuple[str, dict[str, Any]]] = [
    ("login", {}),
    ("login", {"user": "target"}),
    ("login", {"method": "su", "user": "target", "pass": OTHER}),
    ("login", {"method": "su", "user": "target", "pass": OTHER, "flags": "-"}),
    ("login", {"method": "doas"}),
    ("login", {"method": "doas", "user": "target"}),
    ("login", {"flags": "-i"}),
    ("login", {"flags": "-i", "user": "target"}),
    ("login", {"method": "su", "user": "target", "exe": "sudo -S su"}),
    ("free", {"pass": None}),
    ("free", {"pass": None, "method": "doas"}),
    ("free", {}),
    ("tty", {}),
    ("tty", {"user": "target"}),
    ("box", {}),
    ("box", {"method": "su", "user": "target", "pass": OTHER}),
]
ON_TERMINAL = {4, 5, 12, 13}
"""Ways that need a terminal, where both streams are one."""


def named(town: Town, ways: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """Return the ways with the real name of whom they become."""
    real = town.name("target")
    return [(role, {**become, "user": real} if become.get("user") == "target" else become) for role, become in ways]


def test_a_long_line_of_input_arrives_whole(town: Town) -> None:
    """A module of Ansible is one line of 170 KB and more; a terminal in its usual state would cut it."""
    results = town.run(named(town, WAYS), "shell", {"cmd": "wc -c", "stdin": "x" * 300_000, "stdin_add_newline": False})
    assert [result.to_ansible()["stdout"].strip() for result in results] == ["300000"] * len(WAYS)


def test_every_way_becomes_who_was_asked_for(town: Town) -> None:
    text = """id -un; echo "$HOME"; cat; echo "error $X \\$x '" >&2; exit 3"""
    results = town.run(named(town, WAYS), "shell", {"cmd": text, "stdin": "in\n  put"}, environment={"X": "a b"})
    for number, ((_, become), result) in enumerate(zip(WAYS, results, strict=True)):
        user, home = ("root", "/root") if "user" not in become else (town.name("target"), str(town.home("target")))
        assert result.status == "failed", result.data
        assert result.data["rc"] == 3, result.data
        out, err = f"{user}\n{home}\nin\n  put\n", "error a b $x '"
        expected = (out + err, "") if number in ON_TERMINAL else (out[:-1], err)
        assert (result.data["stdout"], result.data["stderr"]) == expected, number
        assert result.data["delta"] is not None


def test_raw_and_ping(town: Town) -> None:
    raw, ping = town.runs(named(town, WAYS), ("raw", "id -un | tr a-z A-Z; printf x"), ("ping", None))
    for way, result in zip(WAYS, raw, strict=True):
        user = "root" if "user" not in way[1] else town.name("target")
        assert result.data["stdout"] == f"{user.upper()}\nx", way
    assert {result.status for result in ping} == {"ok"}


def test_wrong_and_missing_passwords_in_ansibles_words(town: Town) -> None:
    target = town.name("target")
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("login", {"pass": None}, "Missing sudo password"),
        ("login", {"pass": "wrong"}, "Incorrect sudo password"),
        ("tty", {"pass": None}, "Missing sudo password"),
        ("tty", {"pass": "wrong"}, "Incorrect sudo password"),
        ("login", {"method": "su", "user": target, "pass": None}, "Missing su password"),
        ("login", {"method": "su", "user": target, "pass": "wrong"}, "Incorrect su password"),
        ("login", {"method": "doas", "pass": None}, "Missing doas password"),
        ("login", {"method": "doas", "pass": "wrong"}, "Incorrect doas password"),
        ("none", {}, f"sudo failed (exit status 1): {town.name('none')} is not in the sudoers file"),
        ("login", {"user": "nosuchuser"}, "sudo failed (exit status 1): sudo: unknown user nosuchuser"),
        ("none", {"method": "doas"}, "doas failed (exit status 1): doas: Operation not permitted"),
        ("login", {"exe": "/no/sudo"}, "sudo failed (exit status 127): "),
    ]
    mark = town.home("login") / "mark"
    results = town.run([case[:2] for case in cases], "shell", {"cmd": f"touch {mark}", "stdin": "x"})
    for (_, _, message), result in zip(cases, results, strict=True):
        assert result.data["msg"].startswith(message)
        assert (result.status, result.cause) == ("failed", "become")
        assert (result.data["failed"], result.data["changed"]) == (True, False)
        assert "canary" not in json.dumps(result.to_dict())
    assert not mark.exists()


def test_a_password_is_asked_for_once_a_credential_group(town: Town) -> None:
    asked: list[Question] = []

    def ask(question: Question) -> Secret:
        asked.append(question)
        return Secret(PASSWORD)

    groups = ["", "", "old", "old"]
    hosts = [
        Host(
            f"h{n}",
            town.variables(n, "login", **{"pass": None}) | ({"sshexec_credential_group": group} if group else {}),
        )
        for n, group in enumerate(groups)
    ]
    with Engine(Inventory.from_hosts(hosts), ask=ask) as engine:
        assert engine.run("all", "command", "true").counts == {"changed": 4}
    login = town.name("login")
    assert {(question.group, question.text) for question in asked} == {
        (f"sudo:root:{login}", f"sudo password of {login}"),
        ("sudo:root:old", f"sudo password of {login} (old)"),
    }
    assert len(asked) == 2


def test_modules_say_so_too(town: Town, tmp_path: Path) -> None:
    for (result,) in town.runs(
        [("login", {"pass": None})],
        ("copy", {"content": "x", "dest": "/root/never"}),
        ("fetch", {"src": "/etc/shadow", "dest": str(tmp_path)}),
        ("script", str(_script(tmp_path))),
    ):
        assert (result.status, result.cause, result.data["msg"]) == ("failed", "become", "Missing sudo password")


def _script(folder: Path) -> Path:
    script = folder / "who.sh"
    script.write_text('#!/bin/sh\nid -un; stat -c %U "$0"; echo "$1"\n')
    return script


def test_files_and_scripts_are_the_other_users(town: Town, tmp_path: Path) -> None:
    ways = [way for way in named(town, WAYS) if way[1].get("user") == town.name("target")]
    content, home = "text\r\n\x04\x03\n", town.home("target")
    home.chmod(0o700)
    source = tmp_path / "source"
    source.write_bytes(content.encode() * 20_000)
    copied = {"src": str(source), "dest": f"{home}/f{{{{ number }}}}", "mode": "0600"}
    scripts, copies, again, fetches, refusals = town.runs(
        ways,
        ("script", f"{_script(tmp_path)} 'a  b'"),
        ("copy", copied),
        ("copy", copied),
        ("fetch", {"src": f"{home}/f{{{{ number }}}}", "dest": f"{tmp_path}/back{{{{ number }}}}", "flat": True}),
        ("copy", {"content": "x", "dest": "/root/never"}),
    )
    for number, result in enumerate(scripts):
        assert result.data["stdout"] == f"{town.name('target')}\n" * 2 + "a  b\n", ways[number]
    for result in copies:
        facts = (result.status, result.data["owner"], result.data["mode"])
        assert facts == ("changed", town.name("target"), "0600")
    assert {result.status for result in again} == {"ok"}
    assert {result.status for result in fetches} == {"changed"}
    for number in range(len(ways)):
        place = home / f"f{number}"
        assert (place.stat().st_mode & 0o7777, place.owner()) == (0o600, town.name("target"))
        assert place.read_bytes() == (tmp_path / f"back{number}").read_bytes() == source.read_bytes()
    for result in refusals:
        said = "Failed to get information on remote file (/root/never): Permission denied"
        assert (result.status, result.data["msg"]) == ("failed", said), result.data
    # Nothing is left behind, for nobody.
    for role in ("login", "target"):
        assert [path.name for path in town.home(role).iterdir() if "sshexec" in path.name] == []


def test_check_mode_changes_nothing(town: Town, tmp_path: Path) -> None:
    place = town.home("target") / "checked"
    ways: list[tuple[str, dict[str, Any]]] = [("login", {}), ("tty", {})]
    for result in town.run(ways, "copy", {"content": "x", "dest": str(place)}, check=True):
        assert result.status == "changed"
    for result in town.run(ways, "command", f"touch {place}", check=True):
        assert result.status == "skipped"
    assert not place.exists()


def test_the_keyword_and_one_connection_for_both(town: Town) -> None:
    host = Host("h", town.sshd.variables(ansible_host="127.0.3.1", ansible_user=town.name("free")))
    with Engine(Inventory.from_hosts([host]), keep=60) as engine:
        answers = []
        for become in (False, True, False):
            result = engine.run("all", "command", "id -un", become=become)["h"]
            answers.append(result.data["stdout"])
    assert answers == [town.name("free"), "root", town.name("free")]
    connector = town.connector("login")
    try:
        become = connector.become
        for each in (become, None, become):
            connector.become = each
            assert execute(connector, "id -u")[0] == (b"0\n" if each else b"%d\n" % _uid(town.name("login")))
    finally:
        connector.close()


def _uid(name: str) -> int:
    return int(subprocess.run(["id", "-u", name], capture_output=True, check=True).stdout)


@pytest.mark.parametrize(("role", "become"), [("login", {}), ("tty", {}), ("login", {"method": "doas"})])
def test_input_arrives_as_it_is(town: Town, role: str, become: dict[str, Any], tmp_path: Path) -> None:
    connector = town.connector(role, **become)
    data = bytes(range(256)) * 4096 * 3 + b"no line end"
    big = tmp_path / "big"
    big.write_bytes(data)
    try:
        assert execute(connector, "cat", data)[0] == data
        with big.open("rb") as opened:
            assert execute(connector, "wc -c; exec 0<&-; yes | head -c 300000", opened)[0].split(b"\n")[0] == (
                b"%d" % len(data)
            )
        # What is not read is not waited for, and no input is an empty one.
        assert execute(connector, "head -c 5; exit 3", data)[0] == data[:5]
        assert execute(connector, "cat; echo end")[0] == b"end\n"
    finally:
        connector.close()


KILLS: list[tuple[str, dict[str, Any]]] = [
    ("login", {}),
    ("login", {"user": "target"}),
    ("tty", {}),
    ("login", {"method": "su", "user": "target", "pass": OTHER}),
    ("login", {"method": "doas"}),
    ("free", {"pass": None}),
]


def test_a_timeout_ends_the_other_users_processes(town: Town) -> None:
    number = f"{os.getpid() % 10**5}.5"
    results = town.run(named(town, KILLS), "shell", f"sleep 1{number} & sleep 2{number}; echo never", timeout=1)
    for way, result in zip(KILLS, results, strict=True):
        assert (result.status, result.killed) == ("timeout", True), (way, result.data)
    assert _running(f"sleep 2{number}") == _running(f"sleep 1{number}") == []


def test_a_timeout_while_a_password_is_checked(town: Town) -> None:
    connector = town.connector("login", **{"pass": "wrong"})
    try:
        with pytest.raises((CommandTimeoutError, BecomeError)):
            connector.execute(Command("sleep 1000"), Output(), Deadline.after(0.5))
    finally:
        connector.close()


def _running(text: str) -> list[int]:
    return [pid for pid, line in _read_all("cmdline") if line.replace(b"\0", b" ").strip() == text.encode()]


def _read_all(name: str) -> Iterator[tuple[int, bytes]]:
    for path in Path("/proc").glob(f"[0-9]*/{name}"):
        try:
            yield int(path.parent.name), path.read_bytes()
        except OSError:
            continue


def test_no_password_is_seen_anywhere(town: Town, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ways = [*named(town, WAYS), ("login", {"pass": "canary-wrong"}), ("none", {})]
    hosts = town.hosts(ways)
    seen: set[int] = set()
    texts: list[str] = []
    with Engine(Inventory.from_hosts(hosts)) as engine:
        run = engine.start("all", "shell", "sleep 0.5; id -un; env", diff=True)
        until = time.monotonic() + 30
        while not run.done and time.monotonic() < until:
            for name in ("cmdline", "environ"):
                # The test's own process holds it in its memory, as the one that asks.
                seen |= {pid for pid, text in _read_all(name) if b"canary" in text}
            time.sleep(0.02)
        texts += [repr(event) for event in run.events()]
        result = run.wait()
    texts += [json.dumps(result.to_ansible(), default=str), repr(result), caplog.text, town.sshd.log.read_text()]
    assert result.counts.get("changed") == len(WAYS)
    assert seen == set()
    assert [text for text in texts if "canary" in text] == []


# ---------------------------------------------------------------- this machine, as an ordinary user


def as_user(name: str, work: Callable[[], Any]) -> Any:
    """Do something in a child process of another user, and return what it returns."""
    datetime.strptime("1", "%d")  # imports what the child may not be able to read
    uid, (reading, writing) = _uid(name), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.initgroups(name, uid)
            os.setgid(uid)
            os.setuid(uid)
            os.environ.update(HOME=f"/home/{name}", USER=name, LOGNAME=name)
            os.chdir("/")
            os.write(writing, json.dumps(work()).encode())
        except BaseException as error:
            os.write(writing, json.dumps(f"{type(error).__name__}: {error}").encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text)


def local(**become: Any) -> LocalConnector:
    connector = LocalConnector("here", LocalOptions(), LocalContext(), Timeouts())
    connector.become = Become(**become)
    connector.open(Deadline.after(5))
    return connector


@pytest.mark.parametrize(
    ("role", "method"), [("login", "sudo"), ("login", "su"), ("login", "doas"), ("tty", "sudo"), ("tty", "su")]
)
def test_this_machine_becomes_another_user_as_well(town: Town, role: str, method: Any) -> None:
    password = Secret(OTHER if method == "su" else PASSWORD)
    user = town.name("target")

    def work() -> Any:
        connector = (
            local(method=method, user=user, exe=method, flags="-H", password=password)
            if method == "sudo"
            else (local(method=method, user=user, exe=method, password=password))
        )
        who, _ = execute(connector, "id -un; cat", b"in")
        place = f"/home/{user}/local-{role}-{method}"
        connector.put(b"content", place, Deadline.after(10), mode=0o600)
        back = Output()
        connector.get(place, _Target(back), Deadline.after(10))  # type: ignore[arg-type]
        try:
            connector.execute(Command("sleep 1234.25"), Output(), Deadline.after(0.7))
        except CommandTimeoutError as error:
            killed = error.killed
        connector.become = None
        me, _ = execute(connector, "id -un")
        return [who.decode(), back.stdout.decode(), killed, me.decode()]

    answer = as_user(town.name(role), work)
    assert answer == [f"{user}\nin", "content", True, f"{town.name(role)}\n"]
    assert _running("sleep 1234.25") == []
    assert Path(f"/home/{user}/local-{role}-{method}").owner() == user


class _Target:
    """A file that keeps what is written to it in an `Output`."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def write(self, data: bytes) -> int:
        self._output.write("stdout", data)
        return len(data)
