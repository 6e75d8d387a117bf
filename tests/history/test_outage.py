"""The database is gone in mid-run: the run goes on, its results wait in a journal, and the user is told once."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from sshexec import Engine, Inventory
from sshexec.history.history import History
from tests.cli.command import PATIENCE, finish, start
from tests.history.held import results, table
from tests.history.line import Line

HOSTS = 30
CONCURRENCY = 3
SECONDS = 0.15
"""What a host takes: all of them take 1.5 s, several deliveries."""


class Server:
    """A database behind a line that can be cut.

    Args:
        url: its address.
    """

    def __init__(self, url: str) -> None:
        self.direct = url
        address = make_url(url)
        self.line = Line(address.host or "127.0.0.1", address.port or 5432)
        self.url = address.set(host="127.0.0.1", port=self.line.port).render_as_string(hide_password=False)

    def holds(self, run: str | None = None) -> dict[str, str]:
        """Return what hosts printed according to the database, of one run or of the only one."""
        runs = results(self.direct)
        return next(iter(runs.values()), {}) if run is None else runs.get(run, {})


@pytest.fixture(params=["postgresql", "mysql"])
def server(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A database of each server behind a line that can be cut; journals are in the test's folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = Server(request.getfixturevalue(f"{request.param}_url"))
    yield made
    made.line.close()


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Hosts that take a moment each."""
    path = tmp_path / "hosts.yml"
    hosts = {f"h{n:03d}": {"fake_answers": {"*": {"stdout": f"said by {n}", "delay": SECONDS}}} for n in range(HOSTS)}
    path.write_text(json.dumps({"all": {"vars": {"ansible_connection": "fake"}, "hosts": hosts}}))
    return path


@pytest.fixture
def engine(server: Server, inventory: Path) -> Iterator[Engine]:
    """An engine with workers that records behind the line."""
    history = History(server.url)
    with Engine(Inventory.load(str(inventory)), concurrency=CONCURRENCY, history=history) as made:
        made.history = history  # type: ignore[attr-defined]
        yield made
    history.close()


def until(condition: Callable[[], object], what: str) -> None:
    limit = time.monotonic() + PATIENCE / 2
    while not condition():
        assert time.monotonic() < limit, f"never: {what}"
        time.sleep(0.02)


def journals(tmp_path: Path) -> list[str]:
    """Return the runs that wait on this machine."""
    return sorted(path.parent.name for path in (tmp_path / "state").rglob("records"))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what a user is told."""
    return [r.getMessage() for r in caplog.records if r.name.startswith("sshexec") and r.levelno >= logging.WARNING]


def test_it_comes_back_during_the_run(
    server: Server, engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = engine.start("all", "command", "say")
    until(server.holds, "the first results in the database")
    server.line.cut()
    had = len(server.holds())
    until(lambda: told(caplog), "a warning")
    server.line.mend()
    result = run.wait()
    assert had < HOSTS
    assert result.counts == {"changed": HOSTS}
    assert result.recorded == "database"
    assert server.holds(run.id) == {host: each.stdout for host, each in result.items()}
    assert len(told(caplog)) == 1
    assert "\n" not in told(caplog)[0]
    assert journals(tmp_path) == []


def test_it_comes_back_after_the_run(
    server: Server, engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = engine.start("all", "command", "say")
    until(server.holds, "the first results in the database")
    server.line.cut()
    result = run.wait()
    assert result.counts == {"changed": HOSTS}
    assert result.recorded == "journal"
    assert len(server.holds()) < HOSTS
    assert journals(tmp_path) == [run.id]
    server.line.mend()
    until(lambda: not journals(tmp_path), "the delivery of what waited")
    assert server.holds(run.id) == {host: each.stdout for host, each in result.items()}
    assert [row["state"] for row in table(server.direct, "sshexec_run_ends")] == ["finished"]
    assert len(told(caplog)) == 1


def test_it_never_comes_back_while_the_process_lives(
    server: Server, inventory: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        History(server.url) as history,
        Engine(Inventory.load(str(inventory)), concurrency=CONCURRENCY, history=history) as engine,
    ):
        run = engine.start("all", "command", "say")
        until(server.holds, "the first results in the database")
        server.line.cut()
        result = run.wait()
        again = engine.run("h000", "command", "say")
    assert (result.recorded, again.recorded) == ("journal", "journal")
    assert len(told(caplog)) == 1
    assert journals(tmp_path) == sorted([run.id, again.id])
    server.line.mend()
    with History(server.url) as history:
        history.recover()
    assert journals(tmp_path) == []
    assert server.holds(run.id) == {host: each.stdout for host, each in result.items()}
    assert set(server.holds(again.id)) == {"h000"}
    assert [row["state"] for row in table(server.direct, "sshexec_run_ends")] == ["finished", "finished"]


def test_a_server_that_answers_nothing_any_more_holds_up_nobody(
    server: Server, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    run = engine.start("all", "command", "say")
    until(server.holds, "the first results in the database")
    server.line.hold()
    begun = time.monotonic()
    result = run.wait()
    assert time.monotonic() - begun < 30
    assert result.counts == {"changed": HOSTS}
    assert result.recorded == "journal"
    server.line.mend()
    until(lambda: len(server.holds(run.id)) == HOSTS, "the delivery of what waited")
    assert len(told(caplog)) <= 1


def test_the_command_line_says_so_once_and_goes_on(server: Server, inventory: Path, tmp_path: Path) -> None:
    arguments = ["-i", inventory, "-f", CONCURRENCY, "-m", "command", "-a", "say", "--history", server.url, "-q", "-o"]
    process = start("run", "all", *arguments, env={"XDG_STATE_HOME": str(tmp_path / "state")})
    until(server.holds, "the first results in the database")
    server.line.cut()
    stdout, stderr = finish(process)
    assert process.returncode == 0
    assert len(stdout.splitlines()) == HOSTS
    assert len([line for line in stderr.splitlines() if "journal" in line]) == 1, stderr
    assert "Traceback" not in stderr
    assert len(journals(tmp_path)) == 1
    server.line.mend()
    with History(server.url) as history:
        history.recover()
    assert len(server.holds()) == HOSTS
    assert os.listdir(tmp_path / "state")
