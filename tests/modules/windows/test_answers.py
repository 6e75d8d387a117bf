"""Answers of a host that is broken or means ill: none is taken for what it is not, and none is a fault of ours."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from sshexec.connectors.base import Capability, Command, Completed, Deadline
from sshexec.connectors.output import Output
from sshexec.connectors.powershell import MARK
from sshexec.errors import HostError
from sshexec.modules.base import Invocation
from sshexec.modules.registry import module_on

GOOD: dict[str, list[Any]] = {
    "destination": [
        {"path": "C:\\f", "within": False, "parent": "directory", "folders": "", "files": "absent", "backup": ""},
        {"reason": "x", "said": "y", "at": "z"},
    ],
    "file": [{"changed": True, "path": "C:\\f"}, {"problem": "time", "said": "s", "at": "LastWriteTime"}],
    "guards": [
        {"creates": {"path": "x", "exists": False}, "chdir": {"path": "C:\\", "exists": True}},
        {"error": "e", "path": "p"},
    ],
    "look": [
        {"path": "C:\\f", "kind": "file", "reason": "", "said": "", "size": 1, "sha1": ""},
        {"path": "C:\\f", "kind": "absent", "reason": "", "said": "", "size": None, "sha1": ""},
        {"path": "C:\\f", "kind": "file", "reason": "denied", "said": "no", "size": None, "sha1": ""},
    ],
    "ping": ["pong"],
    "remote_copy": [
        {
            "changed": True,
            "operation": "file_copy",
            "dest": "d",
            "base": "b",
            "checksum": "c",
            "size": 1,
            "backup": "",
            "diff": "",
            "links": "",
        },
        {"problem": "no_source", "said": "", "from": "a", "to": "b"},
    ],
    "setup": [{"facts": {"a": 1}, "warnings": []}],
    "slurp": [{"path": "C:\\f", "kind": "file", "reason": "", "said": "", "size": 0}],
    "stat": [
        {"stat": {"exists": True, "hlnk_targets": "", "path": "x"}, "warnings": []},
        {"stat": {"exists": False}, "warnings": []},
        {"failed": "checksum", "reason": "x", "said": "x", "warnings": ["w"]},
    ],
}
"""What each script of ours may answer."""

TASKS: list[tuple[str, dict[str, Any], str]] = [
    ("win_copy", {"src": "f", "dest": "C:\\f", "backup": True}, "destination"),
    ("win_copy", {"content": "x", "dest": "C:\\f"}, "destination"),
    ("win_copy", {"src": "tree", "dest": "C:\\f"}, "destination"),
    ("win_copy", {"src": "a", "dest": "C:\\f", "remote_src": True}, "remote_copy"),
    ("fetch", {"src": "C:\\f", "dest": "got"}, "look"),
    ("fetch", {"src": "C:\\f", "dest": "got/", "flat": True}, "look"),
    ("fetch", {"src": "C:\\f", "dest": "got", "fail_on_missing": False}, "look"),
    ("slurp", {"src": "C:\\f"}, "slurp"),
    ("win_file", {"path": "C:\\f", "state": "touch", "modification_time": "x"}, "file"),
    ("win_file", {"path": "C:\\f", "state": "absent"}, "file"),
    ("win_stat", {"path": "C:\\f"}, "stat"),
    ("win_command", {"cmd": "x", "chdir": "%a%", "creates": "x"}, "guards"),
    ("script", {"cmd": "x.ps1", "creates": "y"}, "guards"),
    ("setup", {}, "setup"),
    ("win_ping", {}, "ping"),
]

MEANT_ILL: list[Any] = [
    None, True, 0, -1, 10**30, 1.5, float("nan"), "", "x", "a\0b", "\ud800", "..\\..\\..\\etc\\x", "/../../x", "a b",
    "same differs", "x" * 5000, "\n\x1b[31m", [], [1], ["x", None], {}, {"a": {"b": [1]}}, {"\ud800": "\ud800"},
]  # fmt: skip

GARBAGE = [
    b"",
    b"\xff\xfe",
    b"<html>",
    b"sshexec:%s" % base64.b64encode("{}".encode("utf-16")),
    b"sshexec:\n",
    b"sshexec:!!\n",
    b"sshexec:\xc3\xa4\n",
    *(b"sshexec:%s\n" % base64.b64encode(data) for data in (b"[" * 100_000, b"1" * 5000, b"\xff\xff", b"{}\x00", b"{")),
]


class Host:
    """Answers every question with the same bytes; files it takes and has.

    Args:
        says: what it prints.
    """

    def __init__(self, says: bytes) -> None:
        self._says = says

    def execute(self, command: Command, output: Output, deadline: Deadline) -> Completed:
        if command.about[:1] != ("run",):
            output.write("stdout", self._says)
        return Completed(0)

    def put(self, *args: Any, **more: Any) -> None: ...

    def put_all(self, *args: Any, **more: Any) -> None: ...

    def get(self, path: str, target: BinaryIO, deadline: Deadline, **more: Any) -> None:
        target.write(b"x")


def damaged(answer: Any) -> Iterator[Any]:
    yield from MEANT_ILL
    if isinstance(answer, dict):
        for name in answer:
            yield {each: answer[each] for each in answer if each != name}
            for value in damaged(answer[name]):
                yield {**answer, name: value}


def outcome(module: str, args: dict[str, Any], says: bytes, check: bool) -> str:
    """Run it; return what the result says, or the error."""
    made = module_on(module, Capability.WINDOWS | Capability.FILES).from_args(args)
    try:
        result = made.run(Host(says), Invocation("win1", Output(), Deadline.after(5), check=check, diff=True))  # type: ignore[arg-type]
    except HostError as error:
        return error.message
    assert isinstance(result, dict)
    json.dumps(result, ensure_ascii=False).encode("utf-8", "surrogateescape")
    return str(result.get("msg", ""))


@pytest.fixture(autouse=True)
def sources(folder: Path) -> None:
    (folder / "tree" / "sub").mkdir(parents=True)
    for name in ("f", "x.ps1", "tree/a", "tree/sub/b"):
        (folder / name).write_bytes(b"x")


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize(("module", "args", "script"), TASKS)
def test_no_answer_is_a_fault_of_ours(
    module: str, args: dict[str, Any], script: str, check: bool, folder: Path
) -> None:
    above = {each.name for each in folder.parent.iterdir()}
    for answer in (each for good in GOOD[script] for each in (good, *damaged(good))):
        data = base64.b64encode(json.dumps(answer).encode()).decode()
        outcome(module, args, f"{MARK}{data}\r\n".encode(), check)
    assert {each.name for each in folder.iterdir()} <= {"tree", "f", "x.ps1", "got"}
    assert {each.name for each in folder.parent.iterdir()} == above


@pytest.mark.parametrize(("module", "args", "script"), TASKS)
@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda data: repr(data[:20]))
def test_garbage_is_said_to_be_no_answer(module: str, args: dict[str, Any], script: str, garbage: bytes) -> None:
    assert "the host's PowerShell broke off: " in outcome(module, args, garbage, False)


@pytest.mark.parametrize("answer", [None, [], {}, {"path": 1, "stat": [], "problem": {}, "facts": None}])
@pytest.mark.parametrize(("module", "args", "script"), [task for task in TASKS if task[2] != "ping"])
def test_another_answer_is_said_not_to_be_understood(
    module: str, args: dict[str, Any], script: str, answer: Any
) -> None:
    data = base64.b64encode(json.dumps(answer).encode()).decode()
    assert outcome(module, args, f"{MARK}{data}\r\n".encode(), False).endswith("the host's answer is not understood")
