"""The raw and ping modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sshexec.errors import ArgumentError
from sshexec.modules.registry import module_class

Run = Callable[..., dict[str, Any]]


def test_raw(run: Run) -> None:
    assert run("raw", "echo o; echo e >&2") == {
        "changed": True, "rc": 0, "stdout": "o\n", "stdout_lines": ["o"], "stderr": "e\n", "stderr_lines": ["e"],
    }  # fmt: skip
    failed = run("raw", "exit 4")
    assert (failed["rc"], failed["failed"], failed["msg"]) == (4, True, "non-zero return code")


def test_raw_with_another_shell(run: Run) -> None:
    assert run("raw", "echo $0 'it''s' executable=/bin/bash")["stdout"] == "/bin/bash its\n"


def test_raw_has_no_check_mode_and_no_environment(run: Run) -> None:
    assert run("raw", "echo x", check=True) == {"changed": False, "skipped": True}
    result = run("raw", "echo [$A]", environment={"A": "b"})
    assert result["stdout"] == "[]\n"
    assert result["warnings"] == ["raw module does not support the environment keyword"]


@pytest.mark.parametrize("args", [None, "", {"_raw_params": ""}, "executable=/bin/sh"])
def test_raw_needs_a_command(args: Any) -> None:
    with pytest.raises(ArgumentError, match="no command given"):
        module_class("raw").from_args(args)


def test_ping(run: Run) -> None:
    result = run("ping")
    assert (result["ping"], result["changed"]) == ("pong", False)
    assert run("ping", "data=x", check=True)["ping"] == "x"
    assert (run("ping", "data=crash")["failed"], run("ping", "data=crash")["msg"]) == (True, "Module failed: boom")
