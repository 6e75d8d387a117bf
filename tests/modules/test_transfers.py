"""What copy and fetch do with connections: few round trips, resumed transfers, progress."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from sshexec.connectors.base import Command, Completed, Connector, Deadline, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.errors import ConnectionLostError, HostError
from sshexec.modules.base import Invocation, Result
from sshexec.modules.registry import module_class
from tests.testbed import Sshd

SIZE = 12_000_000


class Counting(SshConnector):
    """Counts what is asked of a host, and loses its connection where it is told to."""

    lose_after: int | None = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.asked: list[str] = []
        self.told: list[tuple[str, int, int | None]] = []

    def execute(self, command: Command, output: Output, deadline: Deadline) -> Completed:
        self.asked.append("execute")
        return super().execute(command, output, deadline)

    def put(self, *arguments: Any, **options: Any) -> None:
        self.asked.append("put")
        super().put(*arguments, **{**options, "progress": self._then(options.get("progress"))})

    def get(self, path: str, target: BinaryIO, *arguments: Any, **options: Any) -> None:
        self.asked.append(f"get from {'the middle' if options.get('offset') else 'the beginning'}")
        super().get(path, target, *arguments, **{**options, "progress": self._then(options.get("progress"))})

    def _then(self, progress: Callable[[int], None] | None) -> Callable[[int], None]:
        def both(done: int) -> None:
            if progress is not None:
                progress(done)
            if self.lose_after is not None and done > self.lose_after and self._link is not None:
                self._link.stop_thread()

        return both

    def run(self, module: str, args: Any, seconds: float = 60, **more: Any) -> Result:
        """Run a module on it."""
        self.asked.clear()
        invocation = Invocation(
            "web1", Output(), Deadline.after(seconds), on_progress=lambda *told: self.told.append(told), **more
        )
        return module_class(module).from_args(args).run(self, invocation)


@pytest.fixture(scope="module", params=["sftp", "cat"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sshd: Sshd) -> Iterator[Sshd]:
    if request.param == "sftp":
        yield sshd
        return
    other = Sshd(tmp_path_factory.mktemp("cat"), sftp=False).start()
    yield other
    other.stop()


@pytest.fixture
def host(server: Sshd) -> Iterator[Callable[[], Counting]]:
    made: list[Connector[Any, Any]] = []

    def opened() -> Counting:
        options = Counting.Options.from_vars(server.variables(ansible_host="127.0.4.3"), "web1")
        connector = Counting("web1", options, Counting.Context(), Timeouts())
        made.append(connector)
        connector.open(Deadline.after(30))
        return connector

    yield opened
    for connector in made:
        connector.close()


@pytest.fixture
def big(folder: Path) -> Path:
    (folder / "big").write_bytes(os.urandom(SIZE))
    return folder / "big"


def test_what_is_there_already_costs_one_question(host: Callable[[], Counting], folder: Path) -> None:
    web1 = host()
    (folder / "tree/deep").mkdir(parents=True)
    for n in range(20):
        (folder / f"tree/deep/{n}").write_text(str(n))
    for args in ({"src": "f.txt", "dest": f"{folder}/out"}, {"src": "tree", "dest": f"{folder}/copy"}):
        assert web1.run("copy", args)["changed"] is True
        assert web1.run("copy", args)["changed"] is False
        assert web1.asked == ["execute"]
    (folder / "f.txt").write_text("changed")
    assert web1.run("copy", {"src": "f.txt", "dest": f"{folder}/out"})["changed"] is True
    assert web1.asked == ["execute", "put", "execute"]
    within = {"src": f"{folder}/tree", "dest": f"{folder}/copy", "remote_src": True}
    assert [web1.run("copy", within)["changed"] for _ in range(2)] == [False, False]
    assert web1.asked == ["execute"]
    assert web1.run("fetch", {"src": f"{folder}/f.txt", "dest": "got"})["changed"] is True
    assert web1.run("fetch", {"src": f"{folder}/f.txt", "dest": "got"})["changed"] is False
    assert web1.asked == ["execute"]


def test_a_copy_goes_on_where_it_ended(host: Callable[[], Counting], folder: Path, big: Path) -> None:
    args = {"src": "big", "dest": f"{folder}/out/file"}
    (folder / "out").mkdir()
    web1 = host()
    web1.lose_after = 5_000_000
    with pytest.raises(ConnectionLostError):
        web1.run("copy", args)
    assert len(os.listdir(folder / "out")) == 1
    web1 = host()
    assert web1.run("copy", args)["changed"] is True
    assert web1.told[0][1] > 2_000_000
    assert web1.told[-1] == (f"{folder}/out/file", SIZE, SIZE)
    assert (folder / "out/file").read_bytes() == big.read_bytes()
    assert os.listdir(folder / "out") == ["file"]


def fetched_in_part(host: Callable[[], Counting], folder: Path) -> Path:
    web1 = host()
    web1.lose_after = 5_000_000
    with pytest.raises(ConnectionLostError):
        web1.run("fetch", {"src": f"{folder}/big", "dest": "got/file", "flat": True})
    (left,) = (folder / "got").iterdir()
    assert 0 < left.stat().st_size < SIZE
    return left


def test_a_fetch_goes_on_where_it_ended(host: Callable[[], Counting], folder: Path, big: Path) -> None:
    size = fetched_in_part(host, folder).stat().st_size
    web1 = host()
    result = web1.run("fetch", {"src": f"{folder}/big", "dest": "got/file", "flat": True})
    assert (result["changed"], result["checksum"]) == (True, result["remote_checksum"])
    assert web1.asked == ["execute", "get from the middle"]
    assert web1.told[0][1] >= size
    assert web1.told[-1] == (f"{folder}/big", SIZE, SIZE)
    assert (folder / "got/file").read_bytes() == big.read_bytes()
    assert os.listdir(folder / "got") == ["file"]


def test_a_fetch_in_part_that_was_spoiled_is_done_anew(host: Callable[[], Counting], folder: Path, big: Path) -> None:
    left = fetched_in_part(host, folder)
    with left.open("r+b") as file:
        file.write(b"spoiled")
    web1 = host()
    args = {"src": f"{folder}/big", "dest": "got/file", "flat": True, "validate_checksum": False}
    assert web1.run("fetch", args)["changed"] is True
    assert web1.asked == ["execute", "get from the middle", "get from the beginning"]
    assert (folder / "got/file").read_bytes() == big.read_bytes()
    assert os.listdir(folder / "got") == ["file"]


@pytest.mark.parametrize("trap", ["link", "another's", "in use"])
def test_a_fetch_takes_up_only_what_is_its_own(
    host: Callable[[], Counting], folder: Path, big: Path, trap: str
) -> None:
    left = fetched_in_part(host, folder)
    (folder / "elsewhere").write_bytes(left.read_bytes())
    held: io.IOBase | None = None
    if trap == "link":
        left.unlink()
        left.symlink_to(folder / "elsewhere")
    elif trap == "another's":
        if os.geteuid() != 0:
            pytest.skip("no right to give a file away")
        os.chown(left, 65534, 65534)
    else:
        import fcntl

        held = left.open("rb")
        fcntl.flock(held.fileno(), fcntl.LOCK_EX)
    before = (folder / "elsewhere").read_bytes()
    web1 = host()
    web1.run("fetch", {"src": f"{folder}/big", "dest": "got/file", "flat": True})
    assert web1.asked == ["execute", "get from the beginning"]
    assert (folder / "got/file").read_bytes() == big.read_bytes()
    assert (folder / "elsewhere").read_bytes() == before
    assert sorted(os.listdir(folder / "got")) == sorted([left.name, "file"])
    if held is not None:
        held.close()


def test_a_fetch_that_fails_otherwise_leaves_nothing(host: Callable[[], Counting], folder: Path, big: Path) -> None:
    web1 = host()
    (folder / "small").write_bytes(b"x" * 4_000_000)
    web1.lose_after = 100_000
    with pytest.raises(ConnectionLostError):
        web1.run("fetch", {"src": f"{folder}/small", "dest": "got/file", "flat": True})
    assert os.listdir(folder / "got") == []  # too little to be worth it
    web1 = host()
    invocation = Invocation("web1", Output(), Deadline.after(60), on_progress=lambda *told: web1.cancel())
    with pytest.raises(HostError):
        module_class("fetch").from_args({"src": f"{folder}/big", "dest": "got/file", "flat": True}).run(
            web1, invocation
        )
    assert os.listdir(folder / "got") == []
