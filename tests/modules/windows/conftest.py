"""Modules run against a Windows host that is played by tests/winrm_server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Connector, Deadline, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.registry import connector_class
from sshexec.modules.base import Invocation, Result
from sshexec.modules.registry import module_on
from tests.winrm_server.server import WinrmServer

Run = Callable[..., Result]


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[WinrmServer]:
    """The host; `endpoint.drive` is its disk."""
    with WinrmServer({"vagrant": "secret"}, ("basic",), allow_unencrypted=True, drive=tmp_path / "C") as server:
        yield server


@pytest.fixture
def connector(endpoint: WinrmServer) -> Iterator[Connector[Any, Any]]:
    """An open connection to it."""
    kind = connector_class("winrm")
    context = kind.Context()
    variables = {"inventory_hostname": "win1", **endpoint.variables()}
    opened = kind("win1", kind.Options.from_vars(variables, "win1"), context, Timeouts())
    try:
        opened.open(Deadline.after(30))
        yield opened
    finally:
        opened.close()
        context.close()


@pytest.fixture
def run(connector: Connector[Any, Any]) -> Run:
    """Run a module on that connection: ``run("win_shell", "Get-Date")``."""

    def call(module: str, args: str | Mapping[str, Any] | None = None, **more: Any) -> Result:
        more.setdefault("output", Output())
        invocation = Invocation("win1", deadline=Deadline.after(60), **more)
        return module_on(module, connector.capabilities).from_args(args).run(connector, invocation)

    return call


@pytest.fixture
def home(endpoint: WinrmServer) -> Path:
    """The login's directory on the host."""
    return endpoint.drive / "Users" / "vagrant"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of this machine, which is the current one."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place
