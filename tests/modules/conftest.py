"""Modules run against this machine and against a real sshd."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Connector, Deadline, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.registry import connector_class
from sshexec.modules.base import Invocation, Result
from sshexec.modules.registry import module_class
from tests.modules.bare import bare_hosts, bare_target, target  # noqa: F401

Run = Callable[..., Result]


@pytest.fixture(params=["local", "ssh"])
def connector(request: pytest.FixtureRequest) -> Iterator[Connector[Any, Any]]:
    """An open connection to this machine, once by child processes and once by SSH."""
    variables: Mapping[str, Any] = {}
    if request.param == "ssh":
        variables = request.getfixturevalue("sshd").variables(ansible_host="127.0.0.1")
    kind = connector_class(request.param)
    context = kind.Context()
    opened = kind(
        "web1", kind.Options.from_vars({"inventory_hostname": "web1", **variables}, "web1"), context, Timeouts()
    )
    try:
        opened.open(Deadline.after(30))
        yield opened
    finally:
        opened.close()
        context.close()


@pytest.fixture
def run(connector: Connector[Any, Any]) -> Run:
    """Run a module on that connection: ``run("shell", "uptime")``."""

    def call(module: str, args: str | Mapping[str, Any] | None = None, **more: Any) -> Result:
        invocation = Invocation("web1", Output(), Deadline.after(60), **more)
        return module_class(module).from_args(args).run(connector, invocation)

    return call


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for both sides, which is the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.txt").write_text("hello\n")
    return tmp_path


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    old = os.umask(0o022)
    yield
    os.umask(old)
