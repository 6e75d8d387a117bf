"""Files of a Windows host: whole or not at all, under any name, over an endpoint whose PowerShell is a double."""

from __future__ import annotations

import base64
import errno
import io
import json
import os
import random
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import pytest

from sshexec.connectors import powershell
from sshexec.connectors.base import Command, Completed, Deadline, Timeouts, Upload
from sshexec.connectors.output import Take
from sshexec.connectors.winrm import files
from sshexec.connectors.winrm.commandline import line_of
from sshexec.connectors.winrm.connector import WinrmConnector
from sshexec.errors import CancelledError, CommandTimeoutError, ConnectionLostError, TransferError
from tests.runtime.conftest import wait_for
from tests.winrm_server import Call, WinrmServer
from tests.winrm_server.scripts import dotnet
from tests.winrm_server.scripts import get as get_double
from tests.winrm_server.scripts import put as put_double

SOON = 30.0
LINE = files._LINE
BROKEN_PIPE = 2147942509


@pytest.fixture(scope="module")
def service() -> Iterator[WinrmServer]:
    with WinrmServer({"vagrant": "secret"}) as server:
        yield server


@pytest.fixture
def server(service: WinrmServer) -> WinrmServer:
    service.log.clear()
    return service


def opened(server: WinrmServer, timeouts: Timeouts | None = None) -> WinrmConnector:
    options = WinrmConnector.Options.from_vars(server.variables(), "win1")
    connector = WinrmConnector("win1", options, WinrmConnector.Context(), timeouts or Timeouts())
    connector.open(Deadline.after(SOON))
    return connector


@pytest.fixture
def win(server: WinrmServer) -> Iterator[WinrmConnector]:
    connector = opened(server)
    yield connector
    connector.close()
    assert not server.shells


@pytest.fixture
def folder(server: WinrmServer, request: pytest.FixtureRequest) -> Path:
    r"""A folder of its own for each test, below ``C:\``."""
    place = server.drive / f"t{abs(hash(request.node.nodeid)):x}"
    place.mkdir()
    return place


def path_of(place: Path, name: str = "") -> str:
    return f"C:\\{place.name}" + (f"\\{name}" if name else "")


def put(win: WinrmConnector, path: str, data: bytes | Path | BinaryIO) -> None:
    win.put(data, path, Deadline.after(SOON))


def get(win: WinrmConnector, path: str, offset: int = 0) -> bytes:
    target = io.BytesIO()
    win.get(path, target, Deadline.after(SOON), offset=offset)
    return target.getvalue()


def commands(server: WinrmServer) -> list[str]:
    return [event.detail["script"] for event in server.log if event.op == "Command"]


class Dribble(io.BytesIO):
    """A file that gives a little at a time, as a pipe does."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(random.randint(1, min(size or 1, 30000)) if size and size > 0 else size)


@pytest.mark.parametrize("size", [0, 1, 2, LINE - 1, LINE, LINE + 1, 2 * LINE, 10_000_003])
def test_any_size_goes_there_and_back(win: WinrmConnector, folder: Path, size: int) -> None:
    data = random.randbytes(size)
    put(win, path_of(folder, "file.bin"), data)
    assert (folder / "file.bin").read_bytes() == data
    assert os.listdir(folder) == ["file.bin"]
    assert get(win, path_of(folder, "file.bin")) == data


def test_sources_of_any_kind(win: WinrmConnector, folder: Path, tmp_path: Path) -> None:
    data = random.randbytes(500_000)
    local = tmp_path / "local"
    local.write_bytes(data)
    for number, source in enumerate((data, local, io.BytesIO(data), Dribble(data))):
        put(win, path_of(folder, f"{number}"), source)
        assert (folder / f"{number}").read_bytes() == data


def test_an_open_file_is_sent_from_where_it_stands(win: WinrmConnector, folder: Path) -> None:
    source = io.BytesIO(b"read already, still to come")
    source.seek(14)
    put(win, path_of(folder, "file"), source)
    assert (folder / "file").read_bytes() == b"still to come"


@pytest.mark.parametrize(
    "name",
    [
        "with space",
        "it's",
        "[1].txt",
        "%TEMP%",
        "a & b ^ (c)",
        "$x `n ${y}",
        "ünï-日本€-\U0001f600",
        "typo\u2018graphic\u201d",
        "n" * 200,
        "@{}#;",
    ],
)
def test_names(win: WinrmConnector, server: WinrmServer, folder: Path, name: str) -> None:
    put(win, path_of(folder, name), b"content")
    assert os.listdir(folder) == [name]
    assert get(win, path_of(folder, name)) == b"content"


def test_a_relative_path_begins_at_the_logins_home(win: WinrmConnector, server: WinrmServer) -> None:
    put(win, "relative.txt", b"here")
    assert (server.drive / "Users/vagrant/relative.txt").read_bytes() == b"here"
    assert get(win, "relative.txt") == b"here"
    assert get(win, "/Users/vagrant/relative.txt") == b"here"


def test_a_long_path_fits_into_the_command(win: WinrmConnector, folder: Path) -> None:
    # In JSON and twice in base64 it would be a line of more than 8191 characters.
    name = "日" * 70
    (folder / name).mkdir()
    put(win, path_of(folder, f"{name}\\{name}"), b"content")
    assert get(win, path_of(folder, f"{name}\\{name}")) == b"content"


def test_what_is_replaced_keeps_its_access_list(win: WinrmConnector, folder: Path) -> None:
    for name, mode in (("readonly", 0o444), ("own", 0o640)):
        (folder / name).write_bytes(b"before")
        (folder / name).chmod(mode)
        win.put(b"after", path_of(folder, name), Deadline.after(SOON), mode=0o777)
        assert (folder / name).read_bytes() == b"after"
        assert stat.S_IMODE((folder / name).stat().st_mode) == mode


def refusal(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(TransferError) as caught:
        call()
    assert caught.value.path
    return caught.value.reason, str(caught.value)


def test_refusals_of_an_upload_are_told_apart(win: WinrmConnector, folder: Path) -> None:
    (folder / "locked").mkdir(mode=0o555)
    names = {
        "none\\file": ("missing", "no such file or directory"),
        "": ("is_directory", "is a directory"),
        "locked\\file": ("permission", "permission denied"),
        "a:stream": ("failed", "The given path's format is not supported."),
        "a|b": ("failed", "Illegal characters in path."),
    }
    for name, (reason, words) in names.items():
        path = path_of(folder, name)
        assert refusal(lambda path=path: put(win, path, b"x")) == (reason, f"{path}: {words}")  # type: ignore[misc]
    assert "too long" in refusal(lambda: put(win, path_of(folder, "x" * 300), b"x"))[1]
    assert refusal(lambda: put(win, "Q:\\x", b"x"))[0] == "missing"
    assert os.listdir(folder) == ["locked"]
    assert os.listdir(folder / "locked") == []
    # None of that has cost the shell.
    put(win, path_of(folder, "file"), b"x")


def test_nothing_more_is_sent_once_powershell_has_ended(
    win: WinrmConnector, server: WinrmServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(put_double, "linger", lambda call: None)
    server.misbehave("fault", op="Send", code=BROKEN_PIPE, acted=True)
    assert refusal(lambda: put(win, path_of(folder, "none\\file"), bytes(5 * LINE)))[0] == "missing"
    first, *rest = [event.detail["size"] for event in server.log if event.op == "Send"]
    assert first > LINE
    assert sum(rest) == 0


def test_a_refusal_of_a_large_file(win: WinrmConnector, folder: Path) -> None:
    assert refusal(lambda: put(win, path_of(folder, "none\\file"), bytes(3_000_000)))[0] == "missing"
    put(win, path_of(folder, "file"), b"x")


def test_a_full_disk(win: WinrmConnector, folder: Path, small_disk: Path) -> None:
    (small_disk / "file").write_bytes(b"before")
    (folder / "small").symlink_to(small_disk)
    path = path_of(folder, "small\\file")
    assert refusal(lambda: put(win, path, bytes(3_000_000))) == ("no_space", f"{path}: no space left on device")
    assert os.listdir(small_disk) == ["file"]
    assert (small_disk / "file").read_bytes() == b"before"


def test_what_arrives_otherwise_takes_no_place(
    win: WinrmConnector, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").write_bytes(b"before")

    class Other:
        def update(self, data: bytes) -> None: ...

        def hexdigest(self) -> str:
            return "0" * 40

    monkeypatch.setattr(put_double, "hashlib", SimpleNamespace(sha1=Other))
    reason, words = refusal(lambda: put(win, path_of(folder, "file"), b"after"))
    assert (reason, words) == ("failed", f"{path_of(folder, 'file')}: what arrived is not what was sent")
    assert os.listdir(folder) == ["file"]
    assert (folder / "file").read_bytes() == b"before"


class Failing(io.BytesIO):
    """A file of which half can be read."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if self.tell() > 200_000:
            raise OSError(errno.EIO, "bad block")
        return data


def test_a_source_that_fails_half_way(win: WinrmConnector, server: WinrmServer, folder: Path) -> None:
    (folder / "file").write_bytes(b"before")
    with pytest.raises(OSError, match="bad block") as caught:
        put(win, path_of(folder, "file"), Failing(bytes(400_000)))
    assert not isinstance(caught.value, TransferError)
    assert os.listdir(folder) == ["file"]
    assert (folder / "file").read_bytes() == b"before"
    assert commands(server) == ["put"]


def test_a_local_file_that_is_not_there(win: WinrmConnector, server: WinrmServer, folder: Path, tmp_path: Path) -> None:
    assert "can't read" in refusal(lambda: put(win, path_of(folder, "file"), tmp_path / "none"))[1]
    assert commands(server) == []


def test_progress(win: WinrmConnector, folder: Path) -> None:
    seen: list[int] = []
    data = bytes(10 * LINE + 5)
    path = path_of(folder, "file")
    win.put(data, path, Deadline.after(SOON), progress=seen.append)
    assert seen == sorted(seen)
    assert len(seen) >= 8
    assert seen[-1] == len(data)
    seen.clear()
    win.get(path, io.BytesIO(), Deadline.after(SOON), progress=seen.append, offset=100)
    assert seen == sorted(seen)
    assert len(seen) >= 9
    assert seen[0] > 100
    assert seen[-1] == len(data)


def test_progress_may_end_an_upload(win: WinrmConnector, folder: Path) -> None:
    def enough(done: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        win.put(bytes(10 * LINE), path_of(folder, "file"), Deadline.after(SOON), progress=enough)
    assert os.listdir(folder) == []


def test_an_interrupt_ends_an_upload(win: WinrmConnector, server: WinrmServer, folder: Path) -> None:
    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        win.put(bytes(10 * LINE), path_of(folder, "file"), Deadline.after(SOON), progress=interrupt)
    assert os.listdir(folder) == []
    assert commands(server) == ["put", "remove"]
    assert not any(shell.commands for shell in server.shells.values())


@pytest.mark.parametrize(
    ("kind", "op", "detail"),
    [
        ("close", "Send", {}),
        ("undecryptable", "Seal", {}),
        ("fault", "Send", {"code": 170}),
        ("fault", "Send", {"code": 2150858793, "acted": True}),
        ("drop", "Receive", {}),
        ("cut", "Receive", {}),
        ("gzip", "Send", {}),
    ],
    ids=["closed", "undecryptable", "busy", "slow", "dropped at the end", "cut at the end", "gzip"],
)
def test_an_upload_goes_on(
    win: WinrmConnector, server: WinrmServer, folder: Path, kind: str, op: str, detail: dict[str, object]
) -> None:
    data = random.randbytes(10 * LINE + 1)
    seen: list[int] = []

    def half_way(done: int) -> None:
        if len(seen) == 4:
            server.misbehave(kind, op=op, **detail)
        seen.append(done)

    win.put(data, path_of(folder, "file"), Deadline.after(SOON), progress=half_way)
    assert (folder / "file").read_bytes() == data
    assert os.listdir(folder) == ["file"]


def test_an_upload_survives_a_connection_that_is_dropped_in_between(
    win: WinrmConnector, server: WinrmServer, folder: Path
) -> None:
    data = random.randbytes(10 * LINE)
    seen: list[int] = []

    def half_way(done: int) -> None:
        if len(seen) == 4:
            server.cut_connections()
            wait_for(lambda: not win.alive)
        seen.append(done)

    before = server.connections
    win.put(data, path_of(folder, "file"), Deadline.after(SOON), progress=half_way)
    assert (folder / "file").read_bytes() == data
    assert server.connections == before + 1
    assert commands(server) == ["put"]


@pytest.mark.parametrize("kind", ["drop", "cut", "undecryptable", "truncated"])
def test_a_download_is_whole_or_none(win: WinrmConnector, server: WinrmServer, folder: Path, kind: str) -> None:
    data = random.randbytes(20 * LINE)
    (folder / "file").write_bytes(data)
    target = io.BytesIO()
    seen: list[int] = []

    def half_way(done: int) -> None:
        if len(seen) == 10:
            server.misbehave(kind, op="Seal" if kind == "undecryptable" else "Receive")
        seen.append(done)

    try:
        win.get(path_of(folder, "file"), target, Deadline.after(SOON), progress=half_way)
    except (ConnectionLostError, TransferError):
        assert kind in ("cut", "truncated")
    else:
        assert target.getvalue() == data


class Stuck:
    """A disk that takes nothing more after the first write."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()
        monkeypatch.setattr(put_double, "write", self.write)

    def write(self, stream: BinaryIO, data: bytes) -> None:
        stream.write(data)
        stream.flush()
        self.reached.set()
        self.go_on.wait(SOON)

    def until_told(self, server: WinrmServer) -> None:
        """Take the rest once the script was told to end."""

        def wait() -> None:
            wait_for(lambda: "Signal" in server.operations)
            self.go_on.set()

        threading.Thread(target=wait, daemon=True).start()


def test_a_deadline_ends_an_upload(
    win: WinrmConnector, server: WinrmServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").write_bytes(b"before")
    stuck = Stuck(monkeypatch)
    stuck.until_told(server)
    with pytest.raises(CommandTimeoutError):
        win.put(bytes(40 * LINE), path_of(folder, "file"), Deadline.after(1.0))
    assert os.listdir(folder) == ["file"]
    assert (folder / "file").read_bytes() == b"before"


def test_an_upload_that_stands_still_ends(server: WinrmServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck(monkeypatch)
    win = opened(server, Timeouts(idle=1.0))
    stuck.until_told(server)
    with pytest.raises(CommandTimeoutError) as caught:
        win.put(bytes(40 * LINE), path_of(folder, "file"), Deadline.after(SOON))
    assert caught.value.silence == 1.0
    win.close()
    assert os.listdir(folder) == []
    assert not server.shells


def test_cancelling_ends_an_upload(
    win: WinrmConnector, server: WinrmServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = Stuck(monkeypatch)

    def cancel() -> None:
        assert stuck.reached.wait(SOON)
        win.cancel()
        stuck.go_on.set()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(CancelledError):
        win.put(bytes(40 * LINE), path_of(folder, "file"), Deadline.after(SOON))
    canceller.join()
    assert os.listdir(folder) == []


def test_a_cut_connection_changes_nothing(win: WinrmConnector, server: WinrmServer, folder: Path) -> None:
    (folder / "file").write_bytes(b"before")
    seen: list[int] = []

    def cut(done: int) -> None:
        if not seen:
            server.misbehave("cut", op="Send")
        seen.append(done)

    with pytest.raises(ConnectionLostError) as caught:
        win.put(bytes(10 * LINE), path_of(folder, "file"), Deadline.after(SOON), progress=cut)
    assert caught.value.started
    assert (folder / "file").read_bytes() == b"before"
    assert all(name == "file" or name.startswith(".sshexec-") for name in os.listdir(folder))


def test_many_files_take_one_powershell(win: WinrmConnector, server: WinrmServer, folder: Path) -> None:
    contents = {path_of(folder, f"{number}"): random.randbytes(number * 7) for number in range(300)}
    contents[path_of(folder, "large")] = random.randbytes(300_000)
    seen: list[int] = []
    win.put_all([Upload(data, path) for path, data in contents.items()], Deadline.after(SOON), progress=seen.append)
    total = sum(map(len, contents.values()))
    assert seen == sorted(seen)
    assert seen[-1] == total
    assert sorted(os.listdir(folder)) == sorted(path.rpartition("\\")[2] for path in contents)
    assert server.operations.count("Command") == 1
    assert server.operations.count("Send") <= total / LINE + 5
    found: dict[str, bytes] = {}
    paths = list(contents)
    win.get_all(paths, lambda number, data: found.__setitem__(paths[number], data), Deadline.after(SOON))
    assert found == contents
    assert commands(server) == ["put", "get"]


def test_very_many_files_are_asked_for_in_portions(
    win: WinrmConnector, server: WinrmServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_TOGETHER", 7)
    paths = [path_of(folder, f"{number}") for number in range(20)]
    win.put_all([Upload(path.encode(), path) for path in paths], Deadline.after(SOON))
    found: list[tuple[int, bytes]] = []
    win.get_all(paths, lambda number, data: found.append((number, data)), Deadline.after(SOON))
    assert found == [(number, path.encode()) for number, path in enumerate(paths)]
    assert commands(server) == ["put", "get", "get", "get"]


def test_no_files_take_nothing(win: WinrmConnector, server: WinrmServer) -> None:
    win.put_all([], Deadline.after(SOON))
    win.get_all([], lambda number, data: None, Deadline.after(SOON))
    assert commands(server) == []


def test_the_first_of_many_that_is_refused_ends_it(win: WinrmConnector, folder: Path) -> None:
    names = ["1", "none\\2", "3"]
    with pytest.raises(TransferError) as caught:
        win.put_all([Upload(b"x", path_of(folder, name)) for name in names], Deadline.after(SOON))
    assert (caught.value.path, caught.value.reason) == (path_of(folder, "none\\2"), "missing")
    assert os.listdir(folder) == ["1"]
    with pytest.raises(TransferError) as caught:
        win.get_all([path_of(folder, name) for name in ("1", "3")], lambda number, data: None, Deadline.after(SOON))
    assert (caught.value.path, caught.value.reason) == (path_of(folder, "3"), "missing")


def test_refusals_of_a_download_are_told_apart(win: WinrmConnector, folder: Path) -> None:
    (folder / "locked").write_bytes(b"x")
    (folder / "locked").chmod(0)
    names = {
        "none": ("missing", "no such file or directory"),
        "none\\file": ("missing", "no such file or directory"),
        "": ("is_directory", "is a directory"),
        "locked": ("permission", "permission denied"),
        "a|b": ("failed", "Illegal characters in path."),
    }
    for name, (reason, words) in names.items():
        path = path_of(folder, name)
        assert refusal(lambda path=path: get(win, path)) == (reason, f"{path}: {words}")  # type: ignore[misc]


@pytest.mark.parametrize("offset", [0, 1, 99_999, 100_000, 200_000])
def test_a_download_begins_where_it_is_told(win: WinrmConnector, folder: Path, offset: int) -> None:
    data = random.randbytes(100_000)
    (folder / "file").write_bytes(data)
    assert get(win, path_of(folder, "file"), offset) == data[offset:]


@pytest.mark.parametrize("change", ["grows", "shrinks"])
def test_a_file_that_changes_while_it_is_read(
    win: WinrmConnector, folder: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    file = folder / "log"
    file.write_bytes(b"a" * 100_000)
    reads = iter(range(100))

    def read(stream: BinaryIO, size: int) -> bytes:
        if next(reads) == 1:
            os.truncate(file, 60_000 if change == "shrinks" else 130_000)
        return stream.read(size)

    monkeypatch.setattr(get_double, "read", read)
    found = get(win, path_of(folder, "log"))
    assert len(found) == (60_000 if change == "shrinks" else 130_000)
    assert found.rstrip(b"\0") == b"a" * min(len(found), 100_000)


class Full(io.BytesIO):
    """A target on a full disk."""

    def write(self, data: object, /) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_targets_own_error_is_raised_as_it_is(win: WinrmConnector, server: WinrmServer, folder: Path) -> None:
    (folder / "file").write_bytes(bytes(5_000_000))
    with pytest.raises(OSError, match="No space left") as caught:
        win.get(path_of(folder, "file"), Full(), Deadline.after(SOON))
    assert not isinstance(caught.value, TransferError)
    assert caught.value.errno == errno.ENOSPC
    assert not any(shell.commands for shell in server.shells.values())
    assert get(win, path_of(folder, "file")) == bytes(5_000_000)


def test_what_the_host_read_otherwise_is_an_error(
    win: WinrmConnector, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "file").write_bytes(b"content")
    calls = iter((b"content", b""))
    monkeypatch.setattr(get_double, "read", lambda stream, size: next(calls))
    assert get(win, path_of(folder, "file")) == b"content"
    monkeypatch.setattr(get_double, "base64", SimpleNamespace(b64encode=lambda data: b"Q29udGVudA=="))
    calls = iter((b"content", b""))
    words = refusal(lambda: get(win, path_of(folder, "file")))[1]
    assert words.endswith("what arrived is not what the host read")


def test_lines_come_in_any_pieces(folder: Path, tmp_path: Path) -> None:
    with WinrmServer({"vagrant": "secret"}, chunk=7) as server:
        data = random.randbytes(3000)
        (server.drive / "file").write_bytes(data)
        connector = opened(server)
        assert get(connector, "C:\\file") == data
        connector.close()


def test_noise_before_a_script_is_no_content(
    win: WinrmConnector, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = get_double.run

    def noisy(call: Call) -> int:
        call.out("Active code page: 65001\r\nabcd\r\n")
        return run(call)

    (folder / "file").write_bytes(b"content")
    monkeypatch.setattr(get_double, "run", noisy)
    assert get(win, path_of(folder, "file")) == b"content"


@pytest.mark.parametrize("script", [put_double, get_double], ids=["put", "get"])
def test_powershells_own_words_where_it_fails(
    win: WinrmConnector, folder: Path, monkeypatch: pytest.MonkeyPatch, script: object
) -> None:
    def fail(call: Call) -> int:
        call.err("Cannot invoke method. Method invocation is supported only on core types in this language mode.\r\n")
        return 1

    monkeypatch.setattr(script, "run", fail)
    path = path_of(folder, "file")
    reason, words = refusal(lambda: put(win, path, b"x") if script is put_double else get(win, path) and None)
    assert reason == "failed"
    assert words.startswith(f"{path}: PowerShell ended with rc 1: Cannot invoke method. Method invocation is supported")


def test_no_message_is_larger_than_any_host_takes(
    win: WinrmConnector, server: WinrmServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The endpoint refuses an envelope of more than 153,600 bytes.
    put(win, path_of(folder, "file"), bytes(4 * LINE))
    sends = [event.detail["size"] for event in server.log if event.op == "Send"]
    assert max(sends) > 0.98 * files.PIECE
    assert len(sends) <= 5
    assert [event.detail["end"] for event in server.log if event.op == "Send"] == [False] * (len(sends) - 1) + [True]


def test_powershell_hands_standard_input_to_the_script() -> None:
    # Only where it names the variable, outside of blocks within it (AstSearcher.IsUsingDollarInput, ConsoleHost.cs).
    text = files._PUT.text
    assert re.search(r"^\$null = \$input$", text[text.index("\nend {") :], re.MULTILINE)
    assert "$input" not in files._GET.text + files._REMOVE.text


def test_scripts_fit_into_a_command_line() -> None:
    # Otherwise they would travel on the standard input that is the file's.
    assert line_of(files._PUT.command({})).ahead is None
    assert line_of(files._GET.command({"paths": ["C:\\" + "x" * 250], "offset": 2**40})).ahead is None


def test_a_share_that_is_denied_says_what_it_may_lack(win: WinrmConnector, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(call: Call, path: str) -> str:
        raise dotnet.denied(path)

    monkeypatch.setattr(dotnet, "full_path", refuse)
    path = "\\\\server\\share\\file"
    for call in (lambda: put(win, path, b"x"), lambda: get(win, path)):
        reason, words = refusal(call)
        assert reason == "permission"
        assert "CredSSP" in words


def saying(text: bytes) -> files.Run:
    """A host that says something, whatever it is asked."""

    def run(
        command: Command, take: Take, deadline: Deadline, stdin: Iterable[bytes] | None = None, **_: bool
    ) -> Completed:
        for _piece in stdin or ():
            pass
        take("stdout", text)
        return Completed(0)

    return run


ANSWERS: list[object] = [
    None,
    5,
    [],
    {},
    {"number": "1"},
    {"number": -3, "reason": None},
    {"number": 99, "reason": "failed", "code": "x", "message": {"a": 1}},
    {"number": 1, "sha1": 5},
    {"number": 1, "sha1": "0" * 40},
    {"number": 1, "reason": ["missing"], "code": 2**70},
    {"number": True, "reason": "failed", "message": "several\r\nlines\r\n"},
]


@pytest.mark.parametrize("answer", ANSWERS, ids=repr)
def test_an_answer_that_makes_no_sense_is_a_refusal(answer: object) -> None:
    line = powershell.MARK.encode() + base64.b64encode(json.dumps(answer).encode()) + b"\r\n"
    transfer = files.Files(saying(line))
    for call in (
        lambda: transfer.put(Upload(b"content", "C:\\x"), Deadline.after(SOON)),
        lambda: transfer.get("C:\\x", io.BytesIO(), Deadline.after(SOON)),
    ):
        with pytest.raises(TransferError) as caught:
            call()
        assert caught.value.reason == "failed"
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b":Q\n", "what the host sends is not base64"),
        (b":" + b"\xff" * 8 + b"\n", "what the host sends is not base64"),
        (b"=0\n", "what arrived is not what the host read"),
        (b"=\n", "what arrived is not what the host read"),
        (b"=0 DA39A3EE5E6B4B0D3255BFEF95601890AFD80709\n:QQ==\n", "the host sends more files than it was asked for"),
        (b":" * 2_000_000, "the host sends what is no line of a file"),
        (b"noise\n" * 100_000, "PowerShell ended with rc 0: it gave no answer"),
        (b":QQ==\n", "PowerShell ended with rc 0: it gave no answer"),
    ],
)
def test_lines_that_make_no_sense_are_a_refusal(text: bytes, words: str) -> None:
    with pytest.raises(TransferError) as caught:
        files.Files(saying(text)).get("C:\\x", io.BytesIO(), Deadline.after(SOON))
    assert str(caught.value) == f"C:\\x: {words}"


_READER = """
import re, sys
from sshexec.connectors.base import Deadline, Timeouts
from sshexec.connectors.winrm.connector import WinrmConnector
port = int(sys.argv[1])
variables = {"ansible_host": "127.0.0.1", "ansible_port": port, "ansible_user": "vagrant", "ansible_password": "secret",
    "ansible_winrm_transport": "ntlm", "ansible_winrm_scheme": "http"}
win = WinrmConnector("win1", WinrmConnector.Options.from_vars(variables, "win1"), WinrmConnector.Context(), Timeouts())
win.open(Deadline.after(30))
class Sink:
    size = 0
    def write(self, data):
        self.size += len(data)
sink = Sink()
win.get("C:\\\\small", sink, Deadline.after(30))
def most():
    # Not ru_maxrss, which begins at what the parent has.
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
before = most()
win.get("C:\\\\large", sink, Deadline.after(60))
win.close()
print(sink.size, most() - before)
"""


def test_a_large_file_takes_little_memory_here(server: WinrmServer) -> None:
    (server.drive / "small").write_bytes(bytes(2_000_000))
    with (server.drive / "large").open("wb") as file:
        file.truncate(20_000_000)
    argv = [sys.executable, "-c", _READER, str(server.port)]
    answer = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=True)
    size, kilobytes = map(int, answer.stdout.split())
    assert size == 22_000_000
    assert kilobytes < 2_000, kilobytes
