"""Runs over the web: started, followed, cancelled and listed by those who may, and by nobody else."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request, Response

from sshexec import Engine, History, Host, Inventory, Secret
from sshexec.web.routes import Call, Routes, refusal_of, refused
from sshexec.web.runs import Runs, authorization
from tests.testbed import Sshd
from tests.web.test_board import told

COUNT = 20
WAITS = "while [ ! -e {} ]; do sleep 0.05; done"


def everything(user: str, action: str, host: str) -> bool:
    return True


class Site:
    """The endpoints, called as the application calls them."""

    def __init__(self, engine: Engine, permit: Callable[..., bool] | None, history: History | None = None, **options):
        self.runs = Runs(engine, permit, history, **options)
        self.routes = Routes()
        self.routes.add(self.runs)

    def call(self, method: str, path: str, user: str = "ann", **request) -> Response:
        called = Request(EnvironBuilder(path=path, method=method, **request).get_environ())
        try:
            endpoint, arguments, anonymous = self.routes.find(called)
            assert not anonymous
            return endpoint(Call(called, user, arguments))
        except Exception as error:
            return refused(refusal_of(error))

    def ask(self, method: str, path: str, user: str = "ann", **request) -> tuple[int, dict]:
        response = self.call(method, path, user, **request)
        return response.status_code, response.get_json()

    def start(self, user: str = "ann", **order) -> str:
        status, run = self.ask("POST", "/api/runs", user, json={"pattern": "all", "module": "shell", **order})
        assert status == 201, run
        return run["id"]

    def follow(self, run: str, user: str = "ann", **request) -> list[tuple[int, str, dict]]:
        response = self.call("GET", f"/api/runs/{run}/events", user, **request)
        assert response.status_code == 200, response.get_data()
        assert response.mimetype == "text/event-stream"
        try:
            return told(b"".join(response.iter_encoded()).decode())
        finally:
            response.close()

    def end(self, run: str, user: str = "ann") -> dict:
        """Wait until a run is over, and return all of it."""
        self.follow(run, user)
        return self.ask("GET", f"/api/runs/{run}", user)[1]


LOCAL = {"ansible_connection": "local"}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """An engine on this machine, under three names."""
    hosts = [Host(name, {**LOCAL, "shown_password": Secret("canary-hunter2")}) for name in ("web1", "web2", "db1")]
    with Engine(Inventory.from_hosts(hosts, {"web": ["web1", "web2"]})) as engine:
        yield engine


def test_a_run_on_twenty_hosts_is_followed_to_its_end(sshd: Sshd, tmp_path: Path):
    hosts = [Host(name, variables) for name, variables in sshd.hosts(COUNT).items()]
    with History(f"sqlite:///{tmp_path}/history.db") as history:
        with Engine(Inventory.from_hosts(hosts), history=history, authorize=authorization(everything)) as engine:
            site = Site(engine, everything, history)
            run = site.start(
                args="echo hello; test ${SSH_CONNECTION##*127.0.1.7 } != $SSH_CONNECTION || exit 0; exit 3",
                reason="why",
            )
            messages = site.follow(run)
            kinds = [kind for _, kind, _ in messages]
            assert kinds[0] == "snapshot"
            assert kinds[-1] == "end"
            numbers = [number for number, _, _ in messages]
            assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
            whole = site.ask("GET", f"/api/runs/{run}")[1]
            assert (whole["state"], whole["live"], whole["count"]) == ("finished", True, COUNT)
            assert len(whole["hosts"]) == COUNT
            assert sum(whole["counts"].values()) == COUNT
            assert all(answer["stdout"] == "hello" for answer in whole["answers"])
        for action in ("hosts", "run"):
            assert Site(engine, lambda user, what, host, only=action: what == only, history).ask("GET", "/api/runs")[
                1
            ] == {"runs": []}
        later = Site(engine, everything, history)
        [listed] = later.ask("GET", "/api/runs")[1]["runs"]
        assert (listed["id"], listed["user"], listed["reason"], listed["live"]) == (run, "ann", "why", False)
        past = later.ask("GET", f"/api/runs/{run}")[1]
        assert [row[:2] for row in past["hosts"]] == [row[:2] for row in whole["hosts"]]
        strip = [{**answer, "number": 0} for answer in past["answers"]]
        assert all({**answer, "number": 0} in strip for answer in whole["answers"])
        assert later.ask("GET", f"/api/runs/{run}/events")[0] == 404
        assert later.ask("GET", f"/api/runs/{run[:8]}")[0] == 404
        assert later.ask("GET", "/api/runs/last")[0] == 404
        assert later.ask("GET", "/api/runs", query_string={"until": listed["started"]})[1]["runs"] == []


def listed(site: Site, user: str = "ann", **query: object) -> list[list[str]]:
    """Return the identifiers of all answers of a list, from the latest to the end."""
    answers = []
    while True:
        status, said = site.ask("GET", "/api/runs", user, query_string=query)
        assert status == 200, said
        answers.append([run["id"] for run in said["runs"]])
        if said["next"] is None:
            return answers
        query["until"] = said["next"]


def test_the_list_goes_on_until_each_run_was_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A run that goes on for long, and is older than many, is told in its turn; so is one beyond those of others."""
    hosts = Inventory.from_hosts([Host("web1", LOCAL), Host("db1", LOCAL)])
    with History(f"sqlite:///{tmp_path}/h.db", patient=True) as history, Engine(hosts, history=history) as engine:
        site = Site(engine, lambda user, action, host: user == "ann" or host == "web1", history)
        runs = [site.start(pattern="web1", args=WAITS.format(tmp_path / "go"))]
        for _ in range(3):
            runs.append(site.start(pattern="db1", args="true"))
            site.end(runs[-1])
        monkeypatch.setattr(
            "sshexec.history.reading.Records.run", None
        )  # each run's hosts are not asked for one by one
        latest = runs[::-1]
        assert [each for each in listed(site, limit=3) if each] == [latest[:3], latest[3:]]
        assert list(chain(*listed(site, limit=1))) == latest
        monkeypatch.setattr("sshexec.web.past.SCANNED", 2)
        assert list(chain(*listed(site))) == latest
        assert list(chain(*listed(site, "bob"))) == latest[3:]
        monkeypatch.undo()
        (tmp_path / "go").touch()
        site.end(runs[0])


@pytest.mark.parametrize("patient", [False, True])
def test_what_no_page_can_hold_is_a_file(tmp_path: Path, patient: bool):
    hosts = Inventory.from_hosts([Host("web1", LOCAL)])
    with History(f"sqlite:///{tmp_path}/h.db", patient=patient) as history, Engine(hosts, history=history) as engine:
        site = Site(engine, lambda user, action, host: user == "ann", history)
        run = site.start(args="seq 20000; echo '<script>' >&2")
        whole = site.end(run)
        assert whole["recorded"] is True
        assert whole["answers"][0]["truncated"] is True
        place = f"/api/runs/{run}/output"
        found = site.call("GET", f"{place}?host=web1")
        assert found.get_data(as_text=True).split() == [str(n) for n in range(1, 20001)]
        errors = site.call("GET", f"{place}?host=web1&stream=stderr")
        assert errors.get_data(as_text=True).strip() == "<script>"
        assert errors.headers["Content-Disposition"].startswith("attachment;")
        for path, user in (
            (f"{place}?host=web1", "bob"),
            (f"{place}?host=web2", "ann"),
            (f"{place}?host=../../etc/passwd", "ann"),
            ("/api/runs/last/output?host=web1", "ann"),
        ):
            assert site.ask("GET", path, user)[0] == 404, path
        assert site.ask("GET", place)[0] == 400


def test_what_comes_again_is_what_was_missed(engine: Engine):
    site = Site(engine, everything)
    run = site.start(args="echo one; echo two")
    whole = site.follow(run)
    half = len(whole) // 2
    rest = site.follow(run, headers={"Last-Event-ID": str(whole[half][0])})
    assert rest == whole[half + 1 :] or rest[0][1] == "snapshot"
    for header in ("-1", "x", "9" * 30, "\u0661"):
        assert site.follow(run, headers={"Last-Event-ID": header})[0][1] == "snapshot"


def test_a_run_is_cancelled(engine: Engine, tmp_path: Path):
    site = Site(engine, everything)
    run = site.start(args=WAITS.format(tmp_path / "never"))
    response = site.call("GET", f"/api/runs/{run}/events")
    stream = response.iter_encoded()
    seen = b""
    while b'"phase": "running"' not in seen:
        seen += next(stream)
    status, summary = site.ask("DELETE", f"/api/runs/{run}")
    assert (status, summary["cancelling"]) == (202, True)
    messages = told((seen + b"".join(stream)).decode())
    response.close()
    assert ("cancelling", {"by": "ann"}) in [(kind, data) for _, kind, data in messages]
    assert messages[-1][2]["state"] == "cancelled"
    assert messages[-1][2]["counts"] == {"cancelled": 3}
    assert site.ask("DELETE", f"/api/runs/{run}")[0] == 200  # it is over already


def test_output_is_seen_while_hosts_work(engine: Engine, tmp_path: Path):
    site = Site(engine, everything)
    run = site.start(pattern="web1", args=f"echo first; {WAITS.format(tmp_path / 'go')}; echo last")
    response = site.call("GET", f"/api/runs/{run}/events")
    stream = response.iter_encoded()
    seen = b""
    while b"first" not in seen:
        seen += next(stream)
    assert b'"result"' not in seen
    assert site.ask("GET", f"/api/runs/{run}")[1]["live"] is True
    (tmp_path / "go").touch()
    kinds = [kind for _, kind, _ in told(b"".join(stream).decode())]
    response.close()
    assert kinds[-2:] == ["result", "end"]


def test_secrets_of_the_hosts_reach_no_page(engine: Engine):
    site = Site(engine, everything, templates=True)
    run = site.start(
        args="echo {{ shown_password }} | tee /dev/stderr; echo --token=canary-own2 ; false", reason="canary-hunter2"
    )
    seen = json.dumps([site.follow(run), site.ask("GET", f"/api/runs/{run}"), site.ask("GET", "/api/runs")])
    assert "canary" not in seen
    assert "********" in seen


def test_preview_of_a_pattern(engine: Engine):
    site = Site(engine, lambda user, action, host: action == "hosts" or host == "web2")
    assert site.ask("GET", "/api/runs/hosts?pattern=all")[1] == {
        "count": 1,
        "hosts": ["web2"],
        "locked_count": 2,
        "locked": ["db1", "web1"],
        "problem": None,
    }
    status, said = site.ask("GET", "/api/runs/hosts?pattern=nope")
    assert (status, said["count"], said["problem"]) == (200, 0, "no host or group matches 'nope'")
    assert site.ask("GET", "/api/runs/hosts")[0] == 400


def test_hosts_that_one_may_not_run_on_are_left_out(engine: Engine):
    site = Site(engine, lambda user, action, host: action in ("hosts", "history") or host == "web2")
    run = site.start(args="true")
    whole = site.end(run)
    assert [row[0] for row in whole["hosts"]] == ["web2"]
    assert whole["left_out"] == ["db1", "web1"]
    status, said = site.ask("POST", "/api/runs", json={"pattern": "db1", "module": "ping"})
    assert (status, said["error"]["code"]) == (403, "not_allowed")


def test_a_permission_that_is_withdrawn_is_asked_again_before_each_host(tmp_path: Path):
    withdrawn = tmp_path / "withdrawn"

    def permit(user: str, action: str, host: str) -> bool:
        return action != "run" or not withdrawn.exists()

    hosts = Inventory.from_hosts([Host(f"h{n}", LOCAL) for n in range(3)])
    with Engine(hosts, authorize=authorization(permit), concurrency=1) as engine:
        site = Site(engine, permit)
        whole = site.end(site.start(args=f"touch {withdrawn}", serial=1))
    assert [row[1] for row in whole["hosts"]] == ["changed", "skipped", "skipped"]
    assert whole["answers"][1]["cause"] == "unauthorized"


@pytest.mark.parametrize(
    "permit", [None, lambda *asked: None, lambda *asked: 1, lambda *asked: "yes", lambda *asked: 1 / 0]
)
def test_what_nobody_allows_is_refused(engine: Engine, permit):
    owner = Site(engine, everything)
    run = owner.start(args="true")
    owner.end(run)
    site = Site(engine, permit)
    site.runs._boards.update(owner.runs._boards)
    body = {"pattern": "web*", "module": "ping"}
    for method, path, request in (
        ("GET", "/api/runs/hosts?pattern=all", {}),
        ("POST", "/api/runs", {"json": body}),
        ("GET", f"/api/runs/{run}", {}),
        ("DELETE", f"/api/runs/{run}", {}),
        ("GET", f"/api/runs/{run}/events", {}),
    ):
        status, said = site.ask(method, path, "bob", **request)
        assert status in (400, 403, 404) or said["count"] == said["locked_count"] == 0, path
        assert "web1" not in json.dumps(said)
    assert site.ask("GET", "/api/runs", "bob")[1]["runs"] == []


def test_runs_of_others_are_for_who_may_see_and_end_them(engine: Engine, tmp_path: Path):
    allowed: set[tuple[str, str]] = set()

    def permit(user: str, action: str, host: str) -> bool:
        return user == "ann" or (user, action) in allowed

    site = Site(engine, permit)
    run = site.start(args=WAITS.format(tmp_path / "never"))
    missing = site.ask("GET", f"/api/runs/{'0' * 32}", "bob")
    for method in ("GET", "DELETE"):
        assert site.ask(method, f"/api/runs/{run}", "bob") == missing
    allowed.add(("bob", "history"))
    assert site.ask("GET", f"/api/runs/{run}", "bob")[1]["user"] == "ann"
    assert site.ask("DELETE", f"/api/runs/{run}", "bob")[0] == 403
    allowed.add(("bob", "terminate"))
    assert site.ask("DELETE", f"/api/runs/{run}", "bob")[0] == 202
    assert site.follow(run, "bob")[-1][1] == "end"


def test_there_is_a_limit_for_each_user_and_in_all(engine: Engine, tmp_path: Path):
    site = Site(engine, everything, limit=2, limit_each=1)
    waits = WAITS.format(tmp_path / "go")
    order = {"json": {"pattern": "web1", "module": "shell", "args": waits}}
    first = site.start("ann", pattern="web1", args=waits)
    assert site.ask("POST", "/api/runs", "ann", **order)[0] == 429
    second = site.start("bob", pattern="web1", args=waits)
    assert site.ask("POST", "/api/runs", "cid", **order)[0] == 429
    (tmp_path / "go").touch()
    site.end(first, "ann"), site.end(second, "bob")
    site.end(site.start("ann", args="true"), "ann")


def test_runs_that_are_over_are_not_kept_for_ever(engine: Engine):
    site = Site(engine, everything, kept=2)
    runs = []
    for _ in range(4):
        runs.append(site.start(pattern="web1", args="true"))
        site.end(runs[-1])
    site.runs.close()
    assert [each["id"] for each in site.ask("GET", "/api/runs")[1]["runs"]] == runs[:1:-1]


def test_followers_are_counted(engine: Engine):
    site = Site(engine, everything)
    run = site.start(pattern="web1", args="true")
    site.end(run)
    path = f"/api/runs/{run}/events"
    open_ones = [site.call("GET", path) for _ in range(20)]
    assert site.ask("GET", path)[0] == 429
    assert site.call("GET", path, "bob").status_code == 200
    open_ones[0].close()
    assert site.call("GET", path).status_code == 200


@pytest.mark.parametrize(
    "request_of",
    [
        {"data": b"", "content_type": "application/json"},
        {"data": b"{" * 100_000, "content_type": "application/json"},
        {"data": b"[1]", "content_type": "application/json"},
        {"data": b'{"pattern": "web1", "module": "ping"}', "content_type": "text/plain"},
        {"data": b'{"pattern": "web1", "module": "ping", "args": "\xff"}', "content_type": "application/json"},
        {"json": {"pattern": "web1", "module": "ping", "args": {"unknown": 1}}},
        {"json": {"pattern": "web1", "module": "shell", "args": "x" * 2**21}},
        {"json": {"pattern": "web1", "module": "script", "args": "/etc/passwd"}},
    ],
)
def test_a_bad_order_runs_nothing(engine: Engine, request_of):
    site = Site(engine, everything)
    status, said = site.ask("POST", "/api/runs", **request_of)
    assert 400 <= status < 500, said
    assert site.ask("GET", "/api/runs")[1]["runs"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=9999", "until=x", "until=-1", "until=nan", "until=inf"])
def test_a_bad_question_is_refused(engine: Engine, query):
    assert Site(engine, everything).ask("GET", f"/api/runs?{query}")[0] == 400


def test_modules_are_listed(engine: Engine):
    modules = Site(engine, everything).ask("GET", "/api/modules")[1]["modules"]
    assert [module["name"] for module in modules][:2] == ["shell", "command"]


def test_it_works_on_greenlets_too():
    program = """
        from gevent import monkey
        monkey.patch_all()
        from sshexec import Engine, Host, Inventory
        from tests.web.test_runs import Site, everything, LOCAL
        with Engine(Inventory.from_hosts([Host(f"h{n}", LOCAL) for n in range(5)])) as engine:
            site = Site(engine, everything)
            whole = site.end(site.start(args="echo hello"))
            assert whole["counts"] == {"changed": 5}, whole
            site.runs.close()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=300)
