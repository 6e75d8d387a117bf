"""An upload that a lost connection broke off goes on where it ended, and takes nothing that is not its own."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sshexec.connectors.base import Command, Deadline, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.partial import SCATTERED, arrived, temporary_name
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.ssh.context import SshContext
from sshexec.errors import CancelledError, CommandTimeoutError, ConnectionLostError, TransferError
from tests.testbed import Sshd

SOON = 60.0
SIZE = 12_000_000
ENOUGH = 4_000_000


def opened(server: Sshd) -> SshConnector:
    options = SshConnector.Options.from_vars(server.variables(ansible_host="127.0.4.2"), "web1")
    connector = SshConnector("web1", options, SshContext(), Timeouts())
    connector.open(Deadline.after(SOON))
    return connector


@pytest.fixture(scope="module", params=["sftp", "cat"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sshd: Sshd) -> Iterator[Sshd]:
    if request.param == "sftp":
        yield sshd
        return
    other = Sshd(tmp_path_factory.mktemp("cat"), sftp=False).start()
    yield other
    other.stop()


@pytest.fixture(scope="module")
def only_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A server that runs no command."""
    server = Sshd(tmp_path_factory.mktemp("files"), "ForceCommand internal-sftp").start()
    yield server
    server.stop()


@pytest.fixture
def content(tmp_path: Path) -> Path:
    """A file that is worth resuming."""
    path = tmp_path / "content"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty directory."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def sha1_of(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


def send(server: Sshd, content: Path, path: Path, mode: int | None = None) -> list[int]:
    """Upload on a fresh connection and return how far it was each time it told."""
    told: list[int] = []
    ssh = opened(server)
    try:
        ssh.put(content, str(path), Deadline.after(SOON), mode=mode, progress=told.append, sha1=sha1_of(content))
    finally:
        ssh.close()
    return told


def broken_off(server: Sshd, content: Path, path: Path, mode: int | None = None) -> Path:
    """Upload until the connection breaks in the midst, and return what is left."""
    ssh = opened(server)
    output = Output()
    ssh.execute(Command("echo $PPID", verbatim=True), output, Deadline.after(SOON))

    def kill(done: int) -> None:
        if done > ENOUGH:
            os.kill(int(output.stdout), 9)

    with pytest.raises((ConnectionLostError, ProcessLookupError)):
        ssh.put(content, str(path), Deadline.after(SOON), mode=mode, progress=kill, sha1=sha1_of(content))
    ssh.close()
    limit = threading.Event()
    (left,) = (entry for entry in path.parent.iterdir() if entry.name.startswith(f".{path.name}."))
    size = -1
    while size != left.stat().st_size:  # what was on its way
        size = left.stat().st_size
        limit.wait(0.1)
    assert 0 < size < SIZE
    return left


@pytest.mark.parametrize("mode", [None, 0o640])
def test_it_goes_on_where_it_ended(server: Sshd, content: Path, place: Path, mode: int | None) -> None:
    (place / "file").write_text("old")
    usual = (place / "file").stat().st_mode & 0o777
    size = broken_off(server, content, place / "file", mode).stat().st_size
    assert (place / "file").read_text() == "old"
    told = send(server, content, place / "file", mode)
    assert told[0] >= size
    assert told[-1] == SIZE
    assert (place / "file").read_bytes() == content.read_bytes()
    assert os.listdir(place) == ["file"]
    assert (place / "file").stat().st_mode & 0o777 == (mode or usual)


def test_a_new_file_gets_the_mode_of_any_new_file(server: Sshd, content: Path, place: Path) -> None:
    left = broken_off(server, content, place / "file")
    (place / "other").write_text("")
    send(server, content, place / "file")
    assert (place / "file").stat().st_mode == (place / "other").stat().st_mode
    assert not left.exists()


def test_what_arrived_is_not_the_beginning_of_another_content(server: Sshd, content: Path, place: Path) -> None:
    left = broken_off(server, content, place / "file")
    other = content.with_name("other")
    other.write_bytes(content.read_bytes()[:-1] + b"!")
    assert send(server, other, place / "file")[0] < ENOUGH
    assert (place / "file").read_bytes() == other.read_bytes()
    assert left.exists()  # it is that of the first content, which may still come


def test_what_arrived_and_is_damaged_is_sent_anew(server: Sshd, content: Path, place: Path) -> None:
    left = broken_off(server, content, place / "file")
    with left.open("r+b") as file:
        file.seek(1000)
        file.write(b"damaged")
    assert send(server, content, place / "file")[0] < ENOUGH
    assert (place / "file").read_bytes() == content.read_bytes()
    assert os.listdir(place) == ["file"]


@pytest.mark.parametrize("kind", ["link", "owner", "directory"])
def test_what_somebody_else_has_put_there_is_left_alone(server: Sshd, content: Path, place: Path, kind: str) -> None:
    left = broken_off(server, content, place / "file")
    trap = place / "trap"
    if kind == "owner":
        if os.geteuid() != 0:
            pytest.skip("no right to give a file away")
        os.chown(left, 65534, 65534)
    elif kind == "link":
        left.rename(trap)
        left.symlink_to(trap)
    else:
        left.unlink()
        left.mkdir()
    before = trap.read_bytes() if trap.exists() else b""
    assert send(server, content, place / "file")[0] < ENOUGH
    assert (place / "file").read_bytes() == content.read_bytes()
    assert (place / "file").stat().st_uid == os.geteuid()
    assert trap.exists() == (kind == "link")
    assert not trap.exists() or trap.read_bytes() == before
    assert sorted(os.listdir(place)) == sorted([left.name, "file", *(["trap"] if kind == "link" else [])])


def test_several_at_once(server: Sshd, content: Path, place: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        for each in [pool.submit(send, server, content, place / "file", 0o600) for _ in range(4)]:
            each.result()
    assert (place / "file").read_bytes() == content.read_bytes()
    assert os.listdir(place) == ["file"]


def test_what_another_upload_is_writing_is_not_taken_for_damaged(server: Sshd, content: Path, place: Path) -> None:
    data = content.read_bytes()
    partial = Path(os.fsdecode(temporary_name(os.fsencode(place / "file"), sha1_of(content), private=True)))
    stop = threading.Event()

    def write() -> None:
        with partial.open("wb", buffering=0) as file:
            for at in range(0, len(data) - 100_000, 2000):
                file.write(data[at : at + 2000])
                if stop.wait(0.0001):
                    return

    ssh = opened(server)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            with content.open("rb") as file:
                assert arrived(ssh.execute, os.fsencode(partial), file, Deadline.after(SOON)) is not None
            assert partial.exists()
    finally:
        stop.set()
        writer.join()
        ssh.close()


def test_what_another_upload_has_begun_anew_does_not_take_the_place(sshd: Sshd, content: Path, place: Path) -> None:
    replaced: list[int] = []

    def another(done: int) -> None:
        if done > ENOUGH and not replaced:
            (partial,) = place.iterdir()
            partial.unlink()
            partial.write_bytes(content.read_bytes()[:1000])
            replaced.append(done)

    ssh = opened(sshd)
    ssh.put(content, str(place / "file"), Deadline.after(SOON), mode=0o644, progress=another, sha1=sha1_of(content))
    ssh.close()
    assert replaced
    assert sha1_of(place / "file") == sha1_of(content)


def test_a_deadline_or_cancel_leaves_nothing(server: Sshd, content: Path, place: Path) -> None:
    ssh = opened(server)
    sha1 = sha1_of(content)
    try:
        for error in (CancelledError, CommandTimeoutError):
            limit = Deadline.after(SOON)

            def end(done: int, error: type = error, limit: Deadline = limit) -> None:
                if done > ENOUGH and error is CancelledError:
                    ssh.cancel()
                elif done > ENOUGH:
                    limit.at = 0.0

            with pytest.raises(error):
                ssh.put(content, str(place / "file"), limit, progress=end, sha1=sha1)
            assert os.listdir(place) == []
    finally:
        ssh.close()


def test_a_full_disk_leaves_nothing(server: Sshd, content: Path, small_disk: Path) -> None:
    (small_disk / "file").write_text("old")
    for _ in range(2):
        with pytest.raises(TransferError, match="no space left"):
            send(server, content, small_disk / "file")
        assert os.listdir(small_disk) == ["file"]
    assert (small_disk / "file").read_text() == "old"


@pytest.mark.parametrize("what", ["good", "damaged", "link", "owner"])
def test_a_login_that_may_only_transfer_files_reads_back(
    sshd: Sshd, only_files: Sshd, content: Path, place: Path, what: str
) -> None:
    left = broken_off(sshd, content, place / "file")
    size = left.stat().st_size
    if what == "damaged":
        with left.open("r+b") as file:
            file.write(b"damaged")
    elif what == "link":
        left.rename(place / "trap")
        left.symlink_to(place / "trap")
    elif what == "owner":
        if os.geteuid() != 0:
            pytest.skip("no right to give a file away")
        os.chown(left, 65534, 65534)
    begun = send(only_files, content, place / "file")[0]
    assert begun >= size if what == "good" else begun < ENOUGH
    assert (place / "file").read_bytes() == content.read_bytes()
    kept = {"link": [left.name, "trap"], "owner": [left.name]}.get(what, [])
    assert sorted(os.listdir(place)) == sorted(["file", *kept])


@pytest.mark.parametrize("offset", [1, 261_120, 5_000_001, SIZE])
def test_a_download_from_the_middle(server: Sshd, content: Path, offset: int) -> None:
    ssh = opened(server)
    try:
        target, told = io.BytesIO(), [0]
        ssh.get(str(content), target, Deadline.after(SOON), offset=offset, progress=told.append)
        assert target.getvalue() == content.read_bytes()[offset:]
        assert told[-1] in (SIZE, 0 if offset == SIZE else SIZE)
    finally:
        ssh.close()


def test_what_came_over_several_sessions_may_have_holes_at_its_end(sshd: Sshd, content: Path, place: Path) -> None:
    data = os.urandom(SCATTERED + 2 * ENOUGH)
    content.write_bytes(data + os.urandom(1_000_000))
    left = broken_off(sshd, content, place / "file")
    holed = bytearray(data)
    holed[-2 * SCATTERED // 3 :: 1000] = bytes(len(holed[-2 * SCATTERED // 3 :: 1000]))
    left.write_bytes(holed)
    told = send(sshd, content, place / "file")
    assert min(told) >= 2 * ENOUGH
    assert (place / "file").read_bytes() == content.read_bytes()
    assert os.listdir(place) == ["file"]
