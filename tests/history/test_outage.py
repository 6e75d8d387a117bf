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
from sshexec.history import courier
from sshexec.history.history import History
from sshexec.run import Run
from tests.cli.command import PATIENCE, finish, start
from tests.history.held import results, table
from tests.history.line import Line

HOSTS = 30
CONCURRENCY = 5
GATES = 3
"""A third of the hosts each waits for a file; the first of these is there from the start."""


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
    monkeypatch.setattr(courier, "GRACE", 1.0)  # the end of a run waits so long for a database
    made = Server(request.getfixturevalue(f"{request.param}_url"))
    yield made
    made.line.close()


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    """Hosts that wait at their gates."""
    path = tmp_path / "hosts.yml"
    hosts = {f"h{n:03d}": {"gate": str(tmp_path / f"gate{n * GATES // HOSTS}")} for n in range(HOSTS)}
    path.write_text(json.dumps({"all": {"vars": {"ansible_connection": "local"}, "hosts": hosts}}))
    (tmp_path / "gate0").touch()
    return path


TASK = "until test -e {{ gate }}; do sleep 0.05; done; echo said by {{ inventory_hostname }}"


def begun(engine: Engine, server: Server) -> Run:
    """Start a run and wait until the first third of its hosts is in the database; the others wait."""
    run = engine.start("all", "shell", TASK)
    until(lambda: len(server.holds()) == HOSTS // GATES, "the first results in the database")
    return run


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


def opened(tmp_path: Path) -> None:
    """Let all hosts go on."""
    for number in range(GATES):
        (tmp_path / f"gate{number}").touch()


def journals(tmp_path: Path) -> list[str]:
    """Return the runs that wait on this machine."""
    return sorted(path.parent.name for path in (tmp_path / "state").rglob("records"))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what a user is told."""
    return [r.getMessage() for r in caplog.records if r.name.startswith("sshexec") and r.levelno >= logging.WARNING]


def test_it_comes_back_during_the_run(
    server: Server, engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = begun(engine, server)
    server.line.cut()
    (tmp_path / "gate1").touch()
    until(lambda: told(caplog), "a warning")
    server.line.mend()
    (tmp_path / "gate2").touch()
    result = run.wait()
    assert result.counts == {"changed": HOSTS}
    assert result.recorded == "database"
    assert server.holds(run.id) == {host: each.stdout for host, each in result.items()}
    assert len(told(caplog)) == 1
    assert "\n" not in told(caplog)[0]
    assert journals(tmp_path) == []


def test_it_comes_back_after_the_run(
    server: Server, engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = begun(engine, server)
    server.line.cut()
    opened(tmp_path)
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
        run = begun(engine, server)
        server.line.cut()
        opened(tmp_path)
        result = run.wait()
        again = engine.run("h000", "shell", TASK)
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
    server: Server, engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = begun(engine, server)
    server.line.hold()
    opened(tmp_path)
    result = run.wait()  # the test's own deadline is the line's: it never gives up
    assert result.counts == {"changed": HOSTS}
    assert result.recorded == "journal"
    server.line.mend()
    until(lambda: len(server.holds(run.id)) == HOSTS, "the delivery of what waited")
    assert len(told(caplog)) <= 1


@pytest.mark.parametrize("server", ["postgresql"], indirect=True)
def test_the_command_line_says_so_once_and_goes_on(server: Server, inventory: Path, tmp_path: Path) -> None:
    arguments = ["-i", inventory, "-f", CONCURRENCY, "-m", "shell", "-a", TASK, "--history", server.url, "-q", "-o"]
    process = start("run", "all", *arguments, env={"XDG_STATE_HOME": str(tmp_path / "state")})
    until(lambda: len(server.holds()) == HOSTS // GATES, "the first results in the database")
    server.line.cut()
    opened(tmp_path)
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
