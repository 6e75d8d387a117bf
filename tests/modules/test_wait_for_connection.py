"""wait_for_connection: hosts that come up late, never, or refuse; slots, limits and cancellation."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Host, Inventory
from sshexec.errors import ArgumentError
from sshexec.events import HostFinished, HostPhase
from sshexec.modules.registry import module_class
from tests.testbed import DeadHosts, Sshd

FAILED = "timed out waiting for ping module test: "


@pytest.fixture
def late(tmp_path: Path) -> Iterator[Sshd]:
    """A server that has not been started."""
    server = Sshd(tmp_path / "late")
    yield server
    server.stop()


@pytest.fixture
def dead() -> Iterator[DeadHosts]:
    hosts = DeadHosts("127.0.78.1", 2)
    yield hosts
    hosts.close()


def engine(hosts: dict[str, dict[str, Any]], **more: Any) -> Engine:
    return Engine(Inventory.from_hosts([Host(name, variables) for name, variables in hosts.items()]), **more)


def later(seconds: float, what: Any) -> threading.Thread:
    def act() -> None:
        time.sleep(seconds)
        what()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_a_host_that_is_there(sshd: Sshd) -> None:
    with engine({"h": sshd.variables(ansible_host="127.0.0.1")}) as given:
        found = given.run("h", "wait_for_connection")["h"].to_ansible()
        assert found == {"changed": False, "elapsed": found["elapsed"]}
        assert type(found["elapsed"]) is int
        assert given.run("h", "raw", "echo on")["h"].stdout == "on\n"


def test_a_host_whose_server_starts_late(late: Sshd) -> None:
    with engine({"h": late.variables(ansible_host="127.0.0.1")}) as given:
        run = given.start("h", "wait_for_connection", "timeout=30 sleep=0")
        starting = None
        for event in run.events():
            if isinstance(event, HostPhase) and event.phase == "waiting" and starting is None:
                starting = later(0, late.start)  # it has been refused at least once
        assert starting is not None
        starting.join()
        assert run.wait()["h"].status == "ok"


def test_a_host_that_lets_nobody_in_is_asked_again(late: Sshd) -> None:
    keys = late.authorized_keys.read_text()
    late.authorized_keys.write_text("")
    late.start()
    with engine({"h": late.variables(ansible_host="127.0.0.1")}) as given:
        failed = given.run("h", "wait_for_connection", "timeout=1")["h"]
        assert (failed.status, failed.to_ansible()["msg"].startswith(FAILED)) == ("failed", True)
        opening = later(1.0, lambda: late.authorized_keys.write_text(keys))
        assert given.run("h", "wait_for_connection", "timeout=30")["h"].status == "ok"
        opening.join()


def test_a_host_that_refuses(late: Sshd) -> None:
    with engine({"h": late.variables(ansible_host="127.0.0.1")}) as given:
        result = given.run("h", "wait_for_connection", {"timeout": 1, "sleep": 0})["h"]
    data = result.to_ansible()
    assert set(data) == {"failed", "changed", "elapsed", "msg"}
    assert (result.status, data["changed"], data["elapsed"] >= 1) == ("failed", False, True)
    assert data["msg"] == f"{FAILED}127.0.0.1 port {late.port} refused the connection"


def test_hosts_that_never_answer_lend_their_slot(sshd: Sshd, dead: DeadHosts) -> None:
    hosts = {
        f"dead{n}": {"ansible_host": address, "ansible_port": dead.port} for n, address in enumerate(dead.addresses)
    }
    hosts["live"] = sshd.variables(ansible_host="127.0.0.1")
    with engine(hosts, concurrency=1) as given:
        events = given.stream("all", "wait_for_connection", "timeout=2 connect_timeout=1")
        results = [event.result for event in events if isinstance(event, HostFinished)]
    assert results[0].host == "live"
    assert {result.status for result in results[1:]} == {"failed"}
    assert all("did not answer in time" in result.to_ansible()["msg"] for result in results[1:])


def test_hosts_that_answer_when_others_have_their_slot_are_asked_again(late: Sshd) -> None:
    with engine({f"h{n}": late.variables(ansible_host=f"127.0.0.{n + 1}") for n in range(5)}, concurrency=1) as given:
        starting, waiting, results = None, set(), []
        for event in given.stream("all", "wait_for_connection", "timeout=60 sleep=2"):
            if isinstance(event, HostPhase) and event.phase == "waiting":
                waiting.add(event.host)
                if len(waiting) == 5 and starting is None:
                    starting = later(0, late.start)  # one works at once, and yet all five have been refused
            elif isinstance(event, HostFinished):
                results.append(event.result)
    assert starting is not None
    starting.join()
    assert sorted((result.host, result.status) for result in results) == [(f"h{n}", "ok") for n in range(5)]


@pytest.mark.parametrize("args", ["delay=60", "sleep=60 timeout=120"])
def test_a_cancelled_wait_ends(late: Sshd, args: str) -> None:
    with engine({"h": late.variables(ansible_host="127.0.0.1")}) as given:
        run = given.start("h", "wait_for_connection", args)
        time.sleep(0.5)
        begun = time.monotonic()
        run.cancel()
        assert run.wait()["h"].status == "cancelled"
        assert time.monotonic() - begun < 10


def test_a_cancelled_attempt_ends(dead: DeadHosts) -> None:
    variables = {"ansible_host": dead.addresses[0], "ansible_port": dead.port}
    with engine({"h": variables}) as given:
        run = given.start("h", "wait_for_connection", "connect_timeout=1 sleep=0")
        time.sleep(1.6)  # within the second attempt, which has a connector of its own
        run.cancel()
        assert run.wait()["h"].status == "cancelled"


@pytest.mark.parametrize("args", ["delay=60", "sleep=60", "sleep=0"])
def test_the_limit_of_the_task_holds(late: Sshd, args: str) -> None:
    with engine({"h": late.variables(ansible_host="127.0.0.1")}) as given:
        result = given.run("h", "wait_for_connection", args, timeout=1)["h"]
    assert (result.status, result.to_ansible()["timedout"]) == ("timeout", {"period": 1})


def test_the_limit_of_the_run_holds(late: Sshd) -> None:
    with engine({"h": late.variables(ansible_host="127.0.0.1")}) as given:
        result = given.run("h", "wait_for_connection", run_timeout=1)["h"]
    assert (result.status, result.cause) == ("timeout", "run_timeout")


def test_a_connection_that_was_kept_is_not_trusted(late: Sshd) -> None:
    late.start()
    with engine({"h": late.variables(ansible_host="127.0.0.1")}) as given:
        assert given.run("h", "raw", "true")["h"].status == "changed"
        late.stop()  # sessions that are open go on
        assert given.run("h", "raw", "true")["h"].status == "changed"
        assert given.run("h", "wait_for_connection", "timeout=1")["h"].status == "failed"


def test_another_user_is_waited_for_too(sshd: Sshd) -> None:
    with engine({"h": sshd.variables(ansible_host="127.0.0.1")}) as given:
        assert given.run("h", "wait_for_connection", become=True)["h"].status == "ok"
        result = given.run("h", "wait_for_connection", "timeout=1", become=True, become_user="nosuchuser")["h"]
        assert (result.status, result.to_ansible()["msg"].startswith(FAILED)) == ("failed", True)


def test_check_mode_skips(late: Sshd) -> None:
    with engine({"h": late.variables(ansible_host="127.0.0.1")}) as given:
        assert given.run("h", "wait_for_connection", check=True)["h"].to_ansible() == {
            "changed": False,
            "skipped": True,
        }


def test_wrong_arguments() -> None:
    with pytest.raises(ArgumentError, match="Invalid options for wait_for_connection: bogus"):
        module_class("wait_for_connection").from_args("bogus=1")
