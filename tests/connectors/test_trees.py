"""Trees there and back, and many files at once: whole, quick, and with nothing left where something is refused."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Command, Completed, Connector, Deadline, Timeouts, Upload
from sshexec.connectors.bundles import get_together
from sshexec.connectors.local import LocalConnector
from sshexec.connectors.output import Output
from sshexec.connectors.registry import connector_class
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.trees import get_tree, put_tree
from sshexec.errors import CancelledError, ConnectionLostError, TransferError
from tests.testbed import Sshd
from tests.vanishing import Way

SOON = 60.0
AGES_AGO = 1_000_000_000
NAMES = ["plain", "with space", "new\nline", "quo'te\"s", "-dash", "$(touch x)", "ünïcode", "\udcff\udcfe", "n" * 200]


def connection(kind: str, variables: dict[str, Any]) -> Connector[Any, Any]:
    cls = connector_class(kind)
    options = cls.Options.from_vars({"inventory_hostname": "web1", **variables}, "web1")
    connector = cls("web1", options, cls.Context(), Timeouts())
    connector.open(Deadline.after(SOON))
    return connector


@pytest.fixture(scope="module")
def without_sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    server = Sshd(tmp_path_factory.mktemp("cat"), sftp=False).start()
    yield server
    server.stop()


@pytest.fixture(params=["sftp", "cat", "local"])
def host(request: pytest.FixtureRequest, sshd: Sshd, without_sftp: Sshd) -> Iterator[Connector[Any, Any]]:
    if request.param == "local":
        connector = connection("local", {})
    else:
        server = sshd if request.param == "sftp" else without_sftp
        connector = connection("ssh", server.variables(ansible_host="127.0.4.4"))
    yield connector
    connector.close()


@pytest.fixture(params=["sftp", "cat"])
def ssh(request: pytest.FixtureRequest, sshd: Sshd, without_sftp: Sshd) -> Iterator[SshConnector]:
    server = sshd if request.param == "sftp" else without_sftp
    connector = connection("ssh", server.variables(ansible_host="127.0.4.5"))
    assert isinstance(connector, SshConnector)
    yield connector
    connector.close()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with some of everything."""
    top = tmp_path / "tree"
    (top / "deep/er").mkdir(parents=True)
    (top / "empty").mkdir()
    for name in NAMES:
        (top / "deep" / name).write_text(name, errors="surrogateescape")
    for n in range(150):
        (top / f"deep/er/{n}").write_bytes(b"%d" % n * n)
    (top / "large").write_bytes(os.urandom(5_000_000))
    with (top / "sparse").open("wb") as file:
        file.seek(3_000_000)
        file.write(b"end")
    (top / "to file").symlink_to("deep/plain")
    (top / "to folder").symlink_to("deep")
    (top / "to nothing").symlink_to("no such\nthing")
    (top / "deep/plain").chmod(0o4751)
    (top / "large").chmod(0o600)
    (top / "empty").chmod(0o710)
    os.mkfifo(top / "pipe")
    for path in sorted(top.rglob("*"), reverse=True):
        if not path.is_symlink():
            os.utime(path, (AGES_AGO, AGES_AGO))
    os.utime(top, (AGES_AGO, AGES_AGO))
    return top


def picture(top: Path, times: bool) -> dict[str, Any]:
    """Return what is in a tree, without pipes."""
    found: dict[str, Any] = {}
    for path in [top, *top.rglob("*")]:
        status = path.lstat()
        name = str(path.relative_to(top))
        if stat.S_ISLNK(status.st_mode):
            found[name] = os.readlink(path)
        elif not stat.S_ISFIFO(status.st_mode):
            content = path.read_bytes() if path.is_file() else None
            found[name] = (oct(status.st_mode), content, int(status.st_mtime) if times else None)
    return found


@pytest.mark.parametrize("times", [True, False])
def test_there_and_back(host: Connector[Any, Any], tree: Path, tmp_path: Path, times: bool) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    told: list[int] = []
    carried = put_tree(host, tree, str(there), Deadline.after(SOON), times=times, progress=told.append)
    assert (len(carried.sent), carried.same, carried.left_out) == (len(NAMES) + 152, 0, ["pipe"])
    assert picture(there, times) == picture(tree, times)
    assert told[-1] == sum(path.stat().st_size for path in there.rglob("*") if path.is_file() and not path.is_symlink())
    os.mkfifo(there / "pipe")
    told.clear()
    carried = get_tree(host, str(there), back, Deadline.after(SOON), times=times, progress=told.append)
    assert (len(carried.sent), carried.left_out) == (len(NAMES) + 152, ["pipe"])
    assert picture(back, times) == picture(there, times)
    assert told[-1] > 8_000_000
    if not times:
        assert (back / "large").stat().st_mtime > AGES_AGO


def test_only_what_differs_is_sent(host: Connector[Any, Any], tree: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / "of its own").write_text("stays")
    put_tree(host, tree, str(there), Deadline.after(SOON))
    (tree / "large").chmod(0o640)
    (tree / "deep/plain").write_text("changed")
    (tree / "to file").unlink()
    (tree / "to file").symlink_to("large")
    carried = put_tree(host, tree, str(there), Deadline.after(SOON))
    assert (carried.sent, carried.same) == (["deep/plain"], len(NAMES) + 151)
    assert picture(there, False) == {**picture(tree, False), "of its own": picture(there, False)["of its own"]}


def test_a_tree_that_can_t_be_written(host: Connector[Any, Any], tree: Path, tmp_path: Path) -> None:
    (tmp_path / "there/deep/plain").mkdir(parents=True)
    with pytest.raises(TransferError, match=r"(?i)is a directory") as error:
        put_tree(host, tree, str(tmp_path / "there"), Deadline.after(SOON))
    assert (error.value.reason, error.value.host) == ("is_directory", "web1")
    with pytest.raises(TransferError, match="No such file"):
        put_tree(host, tree, str(tmp_path / "no/such"), Deadline.after(SOON))
    with pytest.raises(TransferError, match=r"can't read .*nowhere"):
        put_tree(host, tmp_path / "nowhere", str(tmp_path / "x"), Deadline.after(SOON))
    with pytest.raises(TransferError, match="can't be listed"):
        get_tree(host, str(tmp_path / "nowhere"), tmp_path / "x", Deadline.after(SOON))
    assert not [path for path in tmp_path.rglob("*") if ".sshexec-" in path.name]


@pytest.mark.parametrize(
    "records",
    [
        [("d", "755:1:0", ".", ""), ("f", "644:1:1", "./../evil", "")],
        [("d", "755:1:0", ".", ""), ("f", "644:1:1", "TOP/evil", "")],
        [("d", "755:1:0", ".", ""), ("d", "755:1:0", "./..", "")],
        # The link is from an earlier time; what is behind it is none of this tree.
        [("d", "755:1:0", ".", ""), ("l", "", "./link", ".."), ("f", "644:1:1", "./link/evil", "")],
        [("d", "755:1:0", ".", ""), ("d", "755:1:0", "./link", ""), ("f", "644:1:1", "./link/evil", "")],
    ],
)
def test_a_host_that_lies_writes_nothing_elsewhere(tmp_path: Path, records: list[tuple[str, ...]]) -> None:
    class Liar(LocalConnector):
        def execute(self, command: Command, output: Output, deadline: Deadline) -> Completed:
            output.write(
                "stdout",
                "".join(f"{field}\0" for record in records for field in record).replace("TOP", str(tmp_path)).encode(),
            )
            return Completed(0)

        def get_all(self, paths: Any, take: Any, deadline: Deadline) -> None:
            for number in range(len(paths)):
                take(number, b"x")

    (tmp_path / "target").mkdir()
    (tmp_path / "target/link").symlink_to("..")
    connector = Liar("web1", LocalConnector.Options(), LocalConnector.Context(), Timeouts())
    with pytest.raises((TransferError, FileExistsError)):
        get_tree(connector, "/tree", tmp_path / "target", Deadline.after(SOON))
    assert os.listdir(tmp_path) == ["target"]


def uploads(folder: Path, count: int, size: int = 10) -> list[Upload]:
    return [Upload(b"%d" % (n % 10) * size, f"{folder}/{n}", 0o640 if n % 2 else None) for n in range(count)]


@pytest.mark.parametrize("has_sftp", [True, False])
def test_many_files_do_not_wait_for_each_other(sshd: Sshd, without_sftp: Sshd, tmp_path: Path, has_sftp: bool) -> None:
    server = sshd if has_sftp else without_sftp
    way = Way(server.port, delay=0.025)
    known = tmp_path / "known"
    kind, blob = (server.folder / "host_ed25519.pub").read_text().split()[:2]
    known.write_text(f"[127.0.0.1]:{way.port} {kind} {blob}\n")
    variables = server.variables(ansible_host="127.0.0.1", ansible_port=way.port)
    connector = connection("ssh", {**variables, "ansible_ssh_common_args": f"-o UserKnownHostsFile={known}"})
    try:
        (tmp_path / "there").mkdir()
        begun = time.monotonic()
        connector.put_all(uploads(tmp_path / "there", 400), Deadline.after(SOON))
        got: dict[int, bytes] = {}
        connector.get_all([f"{tmp_path}/there/{n}" for n in range(400)], got.__setitem__, Deadline.after(SOON))
        # One after the other they would take at least three round trips of 50 ms each, there, and as many back.
        assert time.monotonic() - begun < 40
        assert got == {n: b"%d" % (n % 10) * 10 for n in range(400)}
    finally:
        connector.close()
        way.close()


def test_one_that_is_refused_is_named_and_nothing_is_left(ssh: SshConnector, tmp_path: Path) -> None:
    (tmp_path / "50").mkdir()
    (tmp_path / "3").write_text("old")
    with pytest.raises(TransferError) as error:
        ssh.put_all(uploads(tmp_path, 200), Deadline.after(SOON))
    assert (error.value.path, error.value.reason) == (f"{tmp_path}/50", "is_directory")
    names = os.listdir(tmp_path)
    assert not [name for name in names if name.startswith(".")]
    assert all((tmp_path / name).stat().st_size == 10 for name in names if name not in ("50", "3"))
    ssh.put_all(uploads(tmp_path, 50), Deadline.after(SOON))
    assert (tmp_path / "3").read_bytes() == b"3" * 10
    assert [(tmp_path / str(n)).stat().st_mode & 0o777 for n in (4, 5)] == [0o666 & ~umask(), 0o640]
    with pytest.raises(TransferError) as error:
        ssh.get_all([f"{tmp_path}/1", f"{tmp_path}/none"], lambda number, content: None, Deadline.after(SOON))
    assert (error.value.path, error.value.reason) == (f"{tmp_path}/none", "missing")
    ssh.put(b"works", f"{tmp_path}/next", Deadline.after(SOON))


def umask() -> int:
    old = os.umask(0)
    os.umask(old)
    return old


def test_a_disk_that_is_full_keeps_what_was_there(ssh: SshConnector, small_disk: Path) -> None:
    old = [Upload(b"old", f"{small_disk}/{n}") for n in range(30)]
    ssh.put_all(old, Deadline.after(SOON))
    with pytest.raises(TransferError, match="no space left") as error:
        ssh.put_all(uploads(small_disk, 30, 100_000), Deadline.after(SOON))
    assert error.value.reason == "no_space"
    assert sorted(os.listdir(small_disk), key=int) == [str(n) for n in range(30)]
    assert {path.stat().st_size for path in small_disk.iterdir()} == {3, 100_000}


def test_what_is_broken_off_leaves_nothing(ssh: SshConnector, tmp_path: Path) -> None:
    told: list[int] = []

    def cancel(done: int) -> None:
        told.append(done)
        if len(told) == 1:
            ssh.cancel()

    with pytest.raises(CancelledError):
        ssh.put_all(uploads(tmp_path, 300), Deadline.after(SOON), progress=cancel)
    names = os.listdir(tmp_path)
    assert 0 < len(names) < 300
    assert not [name for name in names if name.startswith(".")]
    with pytest.raises(TransferError, match="can't read"):
        ssh.put_all([*uploads(tmp_path, 30), Upload(tmp_path / "none", f"{tmp_path}/x")], Deadline.after(SOON))
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]

    def lose(done: int) -> None:
        assert ssh._link is not None
        ssh._link.stop_thread()

    with pytest.raises(ConnectionLostError):
        ssh.put_all(uploads(tmp_path, 300), Deadline.after(SOON), progress=lose)


class Lying:
    """A host that prints what it wants, whatever it is asked."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    def execute(self, command: Command, output: Output, deadline: Deadline) -> Completed:
        for piece in self._pieces:
            output.write("stdout", piece)
        return Completed(0)


@pytest.mark.parametrize(
    "listing",
    [
        b"d\x00700:1:0\x00.\x00\x00f\x00what\x00./a\x00\x00",
        b"d\x00999:1:0\x00.\x00\x00",
        b"d\x007777777777777:1:0\x00.\x00\x00",
        b"d\x00700:99999999999999999999:0\x00.\x00\x00",
        b"l\x00\x00.\x00/etc\x00",
    ],
)
def test_a_listing_that_makes_no_sense_is_an_error_of_the_host(tmp_path: Path, listing: bytes) -> None:
    lying: Any = Lying(listing)
    with pytest.raises(TransferError):
        get_tree(lying, "tree", tmp_path / "tree", Deadline.after(SOON), times=True)


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([b"Welcome!\n.\n"], "a: what the host sends is not base64"),
        ([b"QUJ\n.\n"], "a: what the host sends is not base64"),
        ([b"QUJD\n.\n" * 3], "more files than it was asked for"),
        ([b"QUJD" * 19 + b"\n"] * 100_000, "a: it grows while it is read"),
        ([b"QUJD" * 10_000] * 200, "a: it grows while it is read"),
    ],
)
def test_of_small_files_without_sftp_no_more_is_taken_than_was_asked_for(pieces: list[bytes], message: str) -> None:
    taken: list[bytes] = []
    with pytest.raises(TransferError, match=message):
        get_together(Lying(*pieces).execute, ["a", "b"], lambda _, data: taken.append(data), Deadline.after(SOON))
    assert taken in ([], [b"ABC", b"ABC"])
