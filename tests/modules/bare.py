"""A host that has nothing but busybox, as one user, for tests of modules; `conftest.py` has the fixtures."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Connector, Deadline, Timeouts
from sshexec.connectors.become import Become
from sshexec.connectors.output import Output
from sshexec.connectors.registry import connector_class
from sshexec.modules.base import Invocation, Result
from sshexec.modules.registry import module_class
from tests.chroot import USER, BareHost, Kind, bare_host
from tests.testbed import lacking

HOSTILE = [
    " led and trailed ", "it's \"quoted\"", "new\nline", "line end\n", "-rf", "--", "*", "?[a-z]*", "back\\slash\\n\\",
    "$x ${y} `id` $(id)", "~", "~root", "a=b %s {} ;&|<>()#!", "\t", "é☃\U0001f600", "\udcff\udcfe.bin", "x" * 200,
]  # fmt: skip
"""Names of files and words of commands; no variable of them is set on the hosts."""

CONTENT = b"one\n\0\xff\r\ntwo"
TARGETS = [
    *(("chroot", sftp, who) for sftp in (True, False) for who in (USER, "root")),
    ("usr", True, "root"),
    ("usr", False, USER),
]
"""What there is beside busybox, whether there is SFTP, and whose rights the tasks have."""


def named(target: tuple[str, bool, str]) -> str:
    """Return what a target is called in a test's name."""
    return f"{target[0]}-{'sftp' if target[1] else 'cat'}-{target[2]}"


class Watched:
    """A connection that keeps note of what it is asked for.

    Args:
        connector: the connection.
    """

    def __init__(self, connector: Connector[Any, Any]) -> None:
        self._connector = connector
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._connector, name)
        if name in ("execute", "put", "put_all", "get", "get_all"):
            self.calls.append(name)
        return value


@dataclass
class Target:
    """One host as one user: ``t`` is a fresh directory there, ``outside`` the same for this machine.

    Args:
        host: the host.
        connector: an open connection to it.
        who: whose rights the tasks have; root's through su.
    """

    host: BareHost
    connector: Connector[Any, Any]
    who: str
    calls: list[str] = field(default_factory=list)

    @property
    def t(self) -> str:
        return f"{self.host.home(self.who)}/t"

    @property
    def outside(self) -> Path:
        return self.host.outside(self.t)

    @property
    def uid(self) -> int:
        return self.host.outside(self.host.home(self.who)).stat().st_uid

    def fresh(self) -> None:
        """Empty the directory."""
        shutil.rmtree(self.outside, ignore_errors=True)
        self.outside.mkdir(mode=0o755)
        os.chown(self.outside, self.uid, self.uid)

    def write(self, name: str, content: bytes = CONTENT, mode: int = 0o644) -> Path:
        """Make a file there, of the user's."""
        path = self.outside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        for each in (path, *path.parents[: len(path.relative_to(self.outside).parents) - 1]):
            os.chown(each, self.uid, self.uid)
        path.chmod(mode)  # a new owner takes set-id bits away
        return path

    def run(self, module: str, args: str | Mapping[str, Any] | None = None, **more: Any) -> Result:
        """Run a module; `calls` is then what the connection was asked for."""
        watched = Watched(self.connector)
        invocation = Invocation("bare", Output(), more.pop("deadline", None) or Deadline.after(120), **more)
        result = module_class(module).from_args(self.filled(args)).run(watched, invocation)  # type: ignore[arg-type]
        self.calls = watched.calls
        return result

    def reopen(self) -> None:
        """Connect again: what broke off a command leaves no connection behind."""
        self.connector.close()
        self.connector.open(Deadline.after(20))

    def filled(self, value: Any) -> Any:
        """Fill in ``{t}``, ``{who}`` and ``{home}``."""
        if isinstance(value, str):
            for name, text in (("t", self.t), ("who", self.who), ("home", self.host.home(self.who))):
                value = value.replace(f"{{{name}}}", text)
            return value
        if isinstance(value, Mapping):
            return {name: self.filled(each) for name, each in value.items()}
        return [self.filled(each) for each in value] if isinstance(value, list) else value

    def left_behind(self) -> list[str]:
        """Return what of ours is left on the host."""
        places = [self.outside, self.host.outside(self.host.home(self.who)), self.host.outside(self.host.home())]
        return [str(path) for place in places for path in place.rglob("*sshexec*")]


@pytest.fixture(scope="module")
def bare_hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Kind, bool], BareHost]]:
    """Hosts, each started when it is asked for."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def started(kind: Kind, sftp: bool) -> BareHost:
            folder = tmp_path_factory.mktemp("bare") / "host"
            return stack.enter_context(bare_host(folder, kind, sftp=sftp))

        yield started


@pytest.fixture(scope="module", params=TARGETS, ids=named)
def bare_target(request: pytest.FixtureRequest, bare_hosts: Callable[[Kind, bool], BareHost]) -> Iterator[Target]:
    kind, sftp, who = request.param
    host = bare_hosts(kind, sftp)
    variables = {"inventory_hostname": "bare", **host.variables()}
    if who == "root":
        if not host.has_su:
            lacking("busybox with su (see .ci/packages)")
        variables |= host.su()
    ssh = connector_class("ssh")
    context = ssh.Context()
    connector = ssh("bare", ssh.Options.from_vars(variables, "bare"), context, Timeouts())
    connector.become = Become.from_vars(variables)
    try:
        connector.open(Deadline.after(20))
        yield Target(host, connector, who)
    finally:
        connector.close()
        context.close()


@pytest.fixture
def target(bare_target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    """One of the hosts as one of the users; nothing of ours may be left there. This machine's files are in ``.``."""
    monkeypatch.chdir(tmp_path)
    bare_target.fresh()
    yield bare_target
    assert bare_target.left_behind() == []
