"""Commands and transfers where there is nothing but busybox, with and without SFTP, as an ordinary user and by su."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Host, Inventory
from sshexec.connectors.base import Deadline
from sshexec.errors import CommandTimeoutError
from sshexec.modules.base import Result
from tests.chroot import bare_host
from tests.modules.bare import CONTENT, HOSTILE, Target


@dataclass(frozen=True)
class Case:
    """A task and what its result must hold; in every text ``{t}``, ``{who}`` and ``{home}`` are filled in.

    Args:
        module: its module.
        args: its arguments.
        result: part of its result.
        more: what the invocation says beside (check, diff).
        files: what is at these paths of the directory then: a content, or None for nothing.
        calls: what the connection was asked for; None is one ``execute``.
    """

    module: str
    args: Any
    result: Mapping[str, Any]
    more: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes | None] = field(default_factory=dict)
    calls: tuple[str, ...] = ("execute",)


CHECK = {"check": True}
GONE = "Unable to change directory before execution."
SENT = ("execute", "put", "execute")
ALL_SENT = ("execute", "put_all", "execute")
# Before each there is f (hello), d/g (CONTENT) and the link l to f; here f.txt (bye), tree/ with a, b/c and an empty e.
CASES = {
    "command": Case("command", "echo a  b", {"changed": True, "rc": 0, "stdout": "a b", "cmd": ["echo", "a", "b"]}),
    "command expands": Case("command", "echo $HOME ~ $NOPE '*'", {"rc": 0, "stdout": "{home} {home} $NOPE *"}),
    "command fails": Case(
        "command", "sh -c 'exit 3'", {"failed": True, "changed": True, "rc": 3, "msg": "non-zero return code"}
    ),
    "command missing": Case(
        "command", "no-such-program a", {"failed": True, "rc": 2, "cmd": "no-such-program a", "changed": False}
    ),
    "command chdir": Case("command", "pwd chdir={t}/d", {"stdout": "{t}/d"}),
    "command chdir missing": Case("command", "pwd chdir={t}/x", {"failed": True, "rc": None, "msg": GONE}),
    "command creates": Case(
        "command",
        "touch {t}/x creates={t}/[ef]*",
        {"changed": False, "rc": 0, "msg": "Did not run command since '{t}/[ef]*' exists"},
        files={"x": None},
    ),
    "command removes": Case("command", "rm f chdir={t} removes=f", {"changed": True, "rc": 0}, files={"f": None}),
    "command removes nothing": Case(
        "command", "touch {t}/x removes={t}/x*", {"msg": "Did not run command since '{t}/x*' does not exist"}
    ),
    "command check": Case("command", "touch {t}/x creates={t}/x", {"changed": True}, CHECK, {"x": None}),
    "command check alone": Case("command", "touch {t}/x", {"skipped": True}, CHECK, {"x": None}, ()),
    "command stdin": Case("command", {"cmd": "wc -c", "stdin": "abc"}, {"stdout": "4"}),
    "shell": Case("shell", "echo $((6 * 7)) | tr 4 x; ls {t}/[ef]*", {"rc": 0, "stdout": "x2\n{t}/f"}),
    "shell of its own": Case("shell", "echo $0 executable=/bin/sh chdir={t}", {"stdout": "/bin/sh"}),
    "shell variables": Case("shell", 'echo "$a"', {"stdout": "x 'y'"}, {"environment": {"a": "x 'y'"}}),
    "raw": Case("raw", "echo a; exit 4", {"stdout": "a\n", "rc": 4, "failed": True, "changed": True}),
    "raw check": Case("raw", "touch {t}/x", {"skipped": True}, CHECK, {"x": None}, ()),
    "ping": Case("ping", None, {"ping": "pong", "changed": False}),
    "copy": Case(
        "copy",
        "src=f.txt dest={t}/new mode=u=rw,g=r,o=",
        {
            "changed": True,
            "mode": "0640",
            "owner": "{who}",
            "group": "{who}",
            "size": 4,
            "state": "file",
            "dest": "{t}/new",
            "checksum": hashlib.sha1(b"bye\n").hexdigest(),
        },
        files={"new": b"bye\n"},
        calls=SENT,
    ),
    "copy into a directory": Case(
        "copy", "src=f.txt dest={t}/d", {"dest": "{t}/d/f.txt"}, {}, {"d/f.txt": b"bye\n"}, SENT
    ),
    "copy into a new one": Case(
        "copy",
        "src=f.txt dest={t}/n/m/ directory_mode=0700",
        {"dest": "{t}/n/m/f.txt"},
        {},
        {"n/m/f.txt": b"bye\n"},
        SENT,
    ),
    "copy unchanged": Case("copy", {"content": "hello\n", "dest": "{t}/f"}, {"changed": False, "path": "{t}/f"}),
    "copy mode alone": Case(
        "copy",
        {"content": "hello\n", "dest": "{t}/f", "mode": "g+w"},
        {"changed": True, "mode": "0664"},
        calls=("execute", "execute"),
    ),
    "copy not forced": Case("copy", "src=f.txt dest={t}/f force=no", {"changed": False}, {}, {"f": b"hello\n"}),
    "copy over a link": Case(
        "copy", "src=f.txt dest={t}/l", {"dest": "{t}/l"}, {}, {"f": b"hello\n", "l": b"bye\n"}, SENT
    ),
    "copy follows": Case(
        "copy", "src=f.txt dest={t}/l follow=yes", {"dest": "{t}/f"}, {}, {"f": b"bye\n", "l": b"bye\n"}, SENT
    ),
    "copy check": Case("copy", "src=f.txt dest={t}/f", {"changed": True}, CHECK, {"f": b"hello\n"}),
    "copy check unchanged": Case("copy", {"content": "hello\n", "dest": "{t}/f"}, {"changed": False}, CHECK),
    "copy diff": Case(
        "copy",
        "src=f.txt dest={t}/f",
        {
            "changed": True,
            "diff": [{"before": "hello\n", "after": "bye\n", "before_header": "{t}/f", "after_header": "{l}/f.txt"}],
        },
        {"check": True, "diff": True},
        {"f": b"hello\n"},
        ("execute", "get"),
    ),
    "copy valid": Case(
        "copy", "src=f.txt dest={t}/f validate='grep -q bye %s'", {"changed": True}, {}, {"f": b"bye\n"}, SENT
    ),
    "copy invalid": Case(
        "copy",
        "src=f.txt dest={t}/f validate='grep -q hello %s'",
        {"failed": True, "msg": "failed to validate", "exit_status": 1},
        {},
        {"f": b"hello\n"},
        SENT,
    ),
    "copy nowhere": Case(
        "copy", "src=f.txt dest={t}/n/m", {"failed": True, "msg": "Destination directory {t}/n does not exist"}
    ),
    "copy nobody's": Case(
        "copy",
        "src=f.txt dest={t}/x owner=nosuch",
        {"failed": True, "msg": "chown failed: failed to look up user nosuch"},
        {},
        {"x": b"bye\n"},
        SENT,
    ),
    "copy tree": Case(
        "copy",
        "src=tree dest={t}/d",
        {"changed": True},
        {},
        {"d/tree/a": b"A", "d/tree/b/c": CONTENT, "d/g": CONTENT},
        ALL_SENT,
    ),
    "copy what is in a tree": Case(
        "copy",
        "src=tree/ dest={t}/n",
        {"changed": True, "dest": "{t}/n/"},
        {},
        {"n/a": b"A", "n/b/c": CONTENT, "n/tree": None},
        ALL_SENT,
    ),
    "copy tree check": Case("copy", "src=tree dest={t}/d", {"changed": True}, CHECK, {"d/tree": None}),
    "copy preserve": Case("copy", "src=f.txt dest={t}/n mode=preserve", {"mode": "0751"}, calls=SENT),
    "copy another": Case(
        "copy",
        "src=f.txt dest={t}/f checksum=0123456789012345678901234567890123456789",
        {"failed": True, "msg": "Copied file does not match the expected checksum. Transfer failed."},
        files={"f": b"hello\n"},
    ),
    "copy tree not forced": Case(
        "copy",
        "src=tree/ dest={t} force=no",
        {"changed": True},
        {},
        {"a": b"A", "f": b"hello\n"},
        ALL_SENT,
    ),
    "copy there": Case(
        "copy",
        "src={t}/d/g dest={t}/n remote_src=yes mode=0640",
        {"changed": True, "dest": "{t}/n", "src": "{t}/d/g", "mode": "0640", "owner": "{who}", "size": len(CONTENT)},
        {},
        {"n": CONTENT, "d/g": CONTENT},
    ),
    "copy there unchanged": Case("copy", "src={t}/f dest={t}/l remote_src=yes follow=yes", {"changed": False}),
    "copy there backup": Case("copy", "src={t}/d/g dest={t}/f remote_src=yes backup=yes", {}, {}, {"f": CONTENT}),
    "copy there valid": Case(
        "copy", "src={t}/d/g dest={t}/f remote_src=yes validate='grep -q one %s'", {"changed": True}, {}, {"f": CONTENT}
    ),
    "copy there invalid": Case(
        "copy",
        "src={t}/d/g dest={t}/f remote_src=yes validate='grep -q hello %s'",
        {"failed": True, "msg": "failed to validate", "exit_status": 1},
        {},
        {"f": b"hello\n"},
    ),
    "copy there missing": Case(
        "copy", "src={t}/x dest={t}/n remote_src=yes", {"failed": True, "msg": "Source {t}/x not found"}
    ),
    "copy there check": Case(
        "copy", "src={t}/d/g dest={t}/f remote_src=yes", {"changed": True}, CHECK, {"f": b"hello\n"}
    ),
    "copy there tree": Case(
        "copy", "src={t}/d dest={t}/n remote_src=yes", {"changed": True}, {}, {"n/d/g": CONTENT, "d/g": CONTENT}
    ),
    "copy there what is in a tree": Case(
        "copy", "src={t}/d/ dest={t}/n remote_src=yes", {"changed": True}, {}, {"n/g": CONTENT, "n/d": None}
    ),
    "fetch": Case(
        "fetch",
        "src={t}/d/g dest=got/ flat=yes",
        {
            "changed": True,
            "checksum": hashlib.sha1(CONTENT).hexdigest(),
            "md5sum": hashlib.md5(CONTENT).hexdigest(),
            "dest": "{l}/got/g",
        },
        calls=("execute", "get"),
    ),
    "fetch again": Case("fetch", "src={t}/f dest=hello flat=yes", {"changed": False, "file": "{t}/f"}),
    "fetch missing": Case(
        "fetch",
        "src={t}/x dest=got",
        {"failed": True, "msg": "the remote file does not exist, not transferring, ignored"},
    ),
    "fetch directory": Case(
        "fetch",
        "src={t}/d dest=got",
        {"failed": True, "msg": "remote file is a directory, fetch cannot work on directories"},
    ),
}


def part_of(result: Result, expected: Mapping[str, Any]) -> dict[str, Any]:
    return {name: result.get(name) for name in expected}


@pytest.fixture
def here(target: Target, tmp_path: Path) -> None:
    """The files of the table, on both sides."""
    target.write("f", b"hello\n")
    target.write("d/g")
    (target.outside / "l").symlink_to("f")
    (tmp_path / "tree/b").mkdir(parents=True)
    (tmp_path / "tree/e").mkdir()
    for name, content in (("f.txt", b"bye\n"), ("hello", b"hello\n"), ("tree/a", b"A"), ("tree/b/c", CONTENT)):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "f.txt").chmod(0o751)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("name", CASES)
def test_results(target: Target, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    result = target.run(case.module, case.args, **case.more)
    expected = target.filled(case.result)
    if "diff" in expected:
        expected["diff"][0]["after_header"] = f"{tmp_path}/f.txt"
    if "{l}" in str(expected.get("dest")):
        expected["dest"] = expected["dest"].replace("{l}", str(tmp_path))
    assert part_of(result, expected) == expected, result
    assert bool(result.get("failed")) == bool(expected.get("failed")), result
    assert tuple(target.calls) == case.calls
    for path, content in case.files.items():
        place = target.outside / path
        assert (place.read_bytes() if place.exists() else None) == content, path


def test_both_streams_and_the_clock(target: Target) -> None:
    result = target.run("shell", "echo out; echo err >&2; exit 5")
    assert (result["stdout"], result["stderr"], result["rc"]) == ("out", "err", 5)
    assert result["start"] <= result["end"]
    assert result["delta"].startswith("0:00:0")


def test_hostile_words(target: Target) -> None:
    words = ["sh", "-c", 'for a; do printf "%s\\0" "$a"; done >out', "sh", *HOSTILE]
    result = target.run("command", {"argv": words, "chdir": "{t}", "expand_argument_vars": False})
    assert result["rc"] == 0, result
    assert (target.outside / "out").read_bytes() == b"".join(os.fsencode(word) + b"\0" for word in HOSTILE)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(target: Target, tmp_path: Path, name: str) -> None:
    """A file of each name goes there, is found to be the same, is replaced, and comes back."""
    folder, source = tmp_path / name, tmp_path / name / name
    folder.mkdir()
    source.write_bytes(CONTENT)
    there = target.outside / name / name
    args = {"src": str(source), "dest": f"{{t}}/{name}/"}
    first = target.run("copy", args)
    assert first["changed"] is True, first
    assert there.read_bytes() == CONTENT
    assert target.run("copy", args)["changed"] is False
    assert target.calls == ["execute"]
    source.write_bytes(b"other")
    result = target.run("copy", {**args, "backup": True, "mode": "u=rw,g=,o="}, diff=True)
    assert result["changed"] is True, result
    assert there.read_bytes() == b"other"
    assert stat.S_IMODE(there.stat().st_mode) == 0o600
    (kept,) = (path for path in there.parent.iterdir() if path != there)
    assert kept.read_bytes() == CONTENT
    assert kept.name.startswith(name)
    got = target.run("fetch", {"src": f"{{t}}/{name}/{name}", "dest": f"{tmp_path}/got/", "flat": True})
    assert got["changed"] is True, got
    assert (tmp_path / "got" / name).read_bytes() == b"other"
    assert [path.name for path in target.outside.iterdir()] == [name]


def test_hostile_names_of_a_tree(target: Target, tmp_path: Path) -> None:
    for name in HOSTILE:
        (tmp_path / "tree" / name).mkdir(parents=True)
        (tmp_path / "tree" / name / name).write_text(name, errors="surrogateescape")
    args = {"src": "tree/", "dest": "{t}/n"}
    assert target.run("copy", args)["changed"] is True
    for name in HOSTILE:
        assert (target.outside / "n" / name / name).read_text(errors="surrogateescape") == name
    assert target.run("copy", args)["changed"] is False
    assert target.calls == ["execute"]


def test_links_of_a_tree(target: Target, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/f").write_bytes(CONTENT)
    (tmp_path / "tree/l").symlink_to("f")
    assert target.run("copy", "src=tree dest={t}/")["changed"] is True
    assert not (target.outside / "tree/l").is_symlink()
    assert (target.outside / "tree/l").read_bytes() == CONTENT
    args = "src=tree/ dest={t}/n/ local_follow=no"
    assert target.run("copy", args)["changed"] is True
    assert (target.outside / "n/l").readlink() == Path("f")
    assert target.run("copy", args)["changed"] is False
    assert target.calls == ["execute"]


def test_hostile_scripts(target: Target, tmp_path: Path) -> None:
    """A script's name is this machine's; its words go to the host's shell as they are."""
    script = tmp_path / "it's $a \\script☃.sh"
    script.write_text('#!/bin/sh\nfor a; do printf "%s\\0" "$a"; done >out\npwd; exit 6\n')
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in HOSTILE)
    name = str(script).replace("\\", "\\\\").replace("'", "\\'").replace(" ", "\\ ")
    result = target.run("script", {"cmd": f"{name} {quoted}", "chdir": "{t}"})
    assert (result.get("rc"), result.get("stdout")) == (6, f"{target.t}\n"), result
    assert target.calls == ["execute"]
    assert (target.outside / "out").read_bytes() == b"".join(os.fsencode(word) + b"\0" for word in HOSTILE)


def test_a_script_whose_interpreter_is_missing(target: Target, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("#!/no/such/python3\nprint(1)\n")
    result = target.run("script", "s")
    assert (result["failed"], result["rc"]) == (True, 127), result


def test_a_script_guarded(target: Target, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("touch x\n")
    target.write("f")
    result = target.run("script", {"cmd": "s", "chdir": "{t}", "creates": "{t}/f"})
    assert result["skipped"] is True, result
    assert not (target.outside / "x").exists()
    assert target.run("script", {"cmd": "s", "chdir": "{t}", "executable": "/bin/sh -e"})["rc"] == 0
    assert (target.outside / "x").exists()


def test_a_large_tree(target: Target, tmp_path: Path) -> None:
    wanted: dict[str, bytes] = {}
    for number in range(150):
        name = f"d{number % 20}/e{number % 3}/f {number}"
        wanted[name] = f"{number}\n".encode() * (number % 40)
    wanted["large"] = bytes(range(256)) * 8192
    for name, content in wanted.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    args = {"src": "tree", "dest": "{t}/"}
    assert target.run("copy", args)["changed"] is True
    for name, content in wanted.items():
        assert (target.outside / "tree" / name).read_bytes() == content
    assert target.run("copy", args)["changed"] is False
    assert target.calls == ["execute"]
    (tmp_path / "tree/d3/new").write_bytes(b"new")
    assert target.run("copy", args)["changed"] is True
    assert (target.outside / "tree/d3/new").read_bytes() == b"new"


@pytest.mark.parametrize("content", [b"", b"\0", b"\n\n", CONTENT * 300_000], ids=["empty", "nul", "lines", "large"])
def test_contents_there_and_back(target: Target, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    result = target.run("copy", "src=f dest={t}/")
    assert (result["changed"], result["size"]) == (True, len(content)), result
    assert (target.outside / "f").read_bytes() == content
    result = target.run("fetch", {"src": "{t}/f", "dest": f"{tmp_path}/got", "flat": True})
    assert result["checksum"] == hashlib.sha1(content).hexdigest()
    assert (tmp_path / "got").read_bytes() == content
    # What is here already does not come again.
    assert target.run("fetch", {"src": "{t}/f", "dest": f"{tmp_path}/got", "flat": True})["changed"] is False
    assert target.calls == ["execute"]


def test_rights_that_are_lacking_are_told(target: Target, tmp_path: Path) -> None:
    if target.who == "root":
        pytest.skip("root lacks none")
    (tmp_path / "f").write_bytes(b"x")
    result = target.run("copy", "src=f dest=/etc/sshexec-was-here")
    assert (result["failed"], result["msg"]) == (True, "Destination /etc not writable")
    result = target.run("fetch", {"src": "/etc/shadow", "dest": f"{tmp_path}/got"})
    assert result["failed"] is True
    assert result["msg"] == "File is not readable: /etc/shadow"


def test_a_deadline_ends_what_runs(target: Target, tmp_path: Path) -> None:
    """Whoever runs it, in whichever group; what was written for it is removed."""
    (tmp_path / "s").write_text("#!/bin/sh\nsleep 61\n")
    with pytest.raises(CommandTimeoutError) as error:
        target.run("script", "s", deadline=Deadline.after(1.5))
    assert error.value.killed is True
    assert target.host.commands("sleep") == []
    target.reopen()


def test_a_connection_is_waited_for(tmp_path: Path) -> None:
    with bare_host(tmp_path / "bare") as host:
        inventory = Inventory.from_hosts([Host("bare", host.variables())])
        with Engine(inventory) as engine:
            result = engine.run("bare", "wait_for_connection", "timeout=10 sleep=1")["bare"]
            assert result.status == "ok", result.msg
            host.stop()
            result = engine.run("bare", "wait_for_connection", "timeout=1 sleep=1 connect_timeout=1")["bare"]
            assert result.status == "failed"
            assert result.msg.startswith("timed out waiting for ping module test: ")
