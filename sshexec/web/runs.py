"""Runs over the web: who may start, watch and cancel them, what there was, and what modules there are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from werkzeug.wrappers import Response

from sshexec.errors import InputError, LimitError, NotAllowedError, PatternError
from sshexec.history.hiding import Hiding
from sshexec.recorder import Course, Opening
from sshexec.task import Occasion, Task
from sshexec.terminal.access import Access
from sshexec.web.answers import Answers
from sshexec.web.board import Board
from sshexec.web.catalogue import Catalogue
from sshexec.web.choice import Choice, choose
from sshexec.web.live import Live
from sshexec.web.order import Order
from sshexec.web.past import Past, shown
from sshexec.web.routes import Call, Endpoint, Refusal, answer

if TYPE_CHECKING:
    from sshexec.authorization import Authorize
    from sshexec.engine import Engine
    from sshexec.history.history import History
    from sshexec.run import Run
    from sshexec.terminal.permission import Action, Permit

OUTPUT_LIMIT = 2**18
"""Bytes of each stream of each host that a run started over the web keeps."""

SHOWN = 500
"""Hosts that the preview of a pattern names."""

MOST = 100
"""Runs that one answer lists."""

_ON_ITS_WAY = 3.0
"""Seconds in which a result that pages know is in the history, too."""

_MOST_STREAMS = 200
_MOST_STREAMS_EACH = 20


def authorization(permit: Permit | None) -> Authorize:
    """Return what an engine asks before each host, so that a permission that is withdrawn ends with the host at work.

    Args:
        permit: the platform's; ``run`` is asked of it. None refuses everything.
    """
    access = Access(permit)

    def authorize(actor: str | None, host: str, task: Task) -> bool:
        return access.allowed(actor or "", "run", host)

    return authorize


class Runs:
    """The part of the web interface that runs tasks.

    A user sees the hosts that ``hosts`` is permitted on, runs on those that ``run`` is permitted on, and sees and
    cancels the runs that are that user's own. Runs of others, and all that the history has, are for who is permitted
    ``history`` on every host of them; cancelling a run of others needs ``terminate`` there too.

    Args:
        engine: runs the tasks; its inventory is what users choose hosts from.
        permit: is asked at each step; None refuses everything.
        history: of the engine; None shows the runs of this process alone, the latest ones.
        modules: names of modules that are offered beside the built-in ones, of other distributions or of Ansible.
        local_files: whether modules may read and write files of this machine (`sshexec.web.catalogue`).
        templates: whether arguments may hold Jinja2 expressions, which can show passwords in variables.
        limit: runs at once.
        limit_each: of one user.
        kept: runs that are over, and are kept for their pages.
        tell: is told what was not allowed before a run could begin, as `TerminalManager.tell`; what an engine allows
            and refuses, its own audit is told.
    """

    def __init__(
        self,
        engine: Engine,
        permit: Permit | None,
        history: History | None = None,
        *,
        modules: Collection[str] = (),
        local_files: bool = False,
        templates: bool = False,
        limit: int = 20,
        limit_each: int = 5,
        kept: int = 16,
        tell: Callable[..., None] | None = None,
    ) -> None:
        self._engine = engine
        self._access = Access(permit)
        self._past = Past(history)
        self._catalogue = Catalogue(modules, local_files=local_files, templates=templates)
        self._limit = limit
        self._limit_each = limit_each
        self._kept = kept
        self._tell = tell
        self._lock = threading.Lock()
        self._boards: dict[str, Board] = {}
        self._running: dict[str, Run] = {}
        self._starting: list[str] = []
        self._streams: list[str] = []
        self._closed = False

    def endpoints(self) -> Mapping[tuple[str, str], Endpoint]:
        """Return who answers what, by method and werkzeug's rule."""
        return {
            ("GET", "/api/modules"): self._modules,
            ("GET", "/api/runs"): self._list,
            ("POST", "/api/runs"): self._start,
            ("GET", "/api/runs/hosts"): self._hosts,
            ("GET", "/api/runs/<run>"): self._show,
            ("DELETE", "/api/runs/<run>"): self._cancel,
            ("GET", "/api/runs/<run>/events"): self._events,
            ("GET", "/api/runs/<run>/output"): self._output,
        }

    def close(self) -> None:
        """Cancel the runs, and end what pages follow."""
        with self._lock:
            self._closed = True
            running, boards = list(self._running.values()), list(self._boards.values())
        for run in running:
            run.cancel()
        for board in boards:
            board.leave()

    # ------------------------------------------------------------------ endpoints

    def _modules(self, call: Call) -> Response:
        return answer({"modules": self._catalogue.described()})

    def _hosts(self, call: Call) -> Response:
        try:
            choice, problem = self._choose(call.user, call.text("pattern")), None
        except PatternError as error:
            # One who is still typing has asked nothing wrong; a browser would complain of a refusal in its console.
            choice, problem = Choice((), ()), error.message
        return answer(
            {
                "count": len(choice.hosts),
                "hosts": list(choice.hosts[:SHOWN]),
                "locked_count": len(choice.locked),
                "locked": list(choice.locked[:SHOWN]),
                "problem": problem,
            }
        )

    def _start(self, call: Call) -> Response:
        order = Order.read(call.body())
        self._catalogue.check(order.module, order.args, become_user=order.become_user)
        choice = self._choose(call.user, order.pattern)
        for host in choice.locked:
            self._refused(call, "run", host=host, message=order.module)
        if not choice.hosts:
            raise NotAllowedError(f"you may not run anything on {_some(choice.locked)}")
        with self._place(call.user):
            board = self._begin(call.user, order, choice)
        return answer(board.summary(), 201)

    def _list(self, call: Call) -> Response:
        limit = _whole(call.text("limit", longest=6, optional=True) or "20", MOST)
        until = _moment(call.text("until", longest=24, optional=True))
        sees = self._sight(call.user)
        past, looked = self._past.list(sees, limit, until)
        found = {each["id"]: each for each in past}
        with self._lock:
            boards = list(self._boards.values())
        for board in boards:
            if self._may_see(board, call.user, sees):
                found[board.run] = board.summary()
        # Those that are known here may be older than what was looked at: their turn comes with the next answer.
        first, last = float("inf") if until is None else until, looked or 0.0
        runs = [each for each in found.values() if last <= each["started"] < first]
        runs.sort(key=lambda each: -each["started"])
        more = runs[limit - 1]["started"] if len(runs) > limit else looked
        return answer({"runs": runs[:limit], "next": more})

    def _show(self, call: Call) -> Response:
        run = call.arguments["run"]
        board = self._board(run, call.user)
        if board is not None:
            return answer(board.snapshot())
        found = self._past.snapshot(run, self._sight(call.user))
        if found is None:
            raise _missing()
        return answer(found)

    def _cancel(self, call: Call) -> Response:
        board = self._board(call.arguments["run"], call.user)
        if board is None:
            raise _missing()
        if board.about["user"] != call.user and not self._allowed(call.user, "terminate", board.hosts):
            self._refused(call, "terminate", message=f"run {board.run}")
            raise NotAllowedError("you may not cancel runs of others there")
        with self._lock:
            run = self._running.get(board.run)
        if run is not None:
            board.cancel(call.user)
            run.cancel()
        return answer(board.summary(), 202 if run is not None else 200)

    def _events(self, call: Call) -> Response:
        board = self._board(call.arguments["run"], call.user)
        if board is None:
            raise _missing()
        since = call.request.headers.get("Last-Event-ID", "")
        with self._lock:
            if len(self._streams) >= _MOST_STREAMS or self._streams.count(call.user) >= _MOST_STREAMS_EACH:
                raise LimitError("too many pages follow runs: close some")
            self._streams.append(call.user)
        number = int(since) if since.isascii() and since.isdigit() and len(since) < 18 else None
        response = Response(board.follow(number), mimetype="text/event-stream")
        # Proxies are not to wait for more of it (nginx: https://nginx.org/en/docs/http/ngx_http_proxy_module.html).
        response.headers.update({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        response.call_on_close(lambda: self._leave(call.user))
        return response

    def _output(self, call: Call) -> Response:
        run = call.arguments["run"]
        board = self._board(run, call.user)
        sees: Callable[[Sequence[str]], bool] = self._sight(call.user) if board is None else lambda hosts: True
        host, stream = call.text("host"), call.text("stream", longest=10, optional=True) or "stdout"
        found = self._past.output(run, host, stream, sees)
        end = time.monotonic() + _ON_ITS_WAY
        while (
            found is None and self._past.there and board is not None and host in board.hosts and time.monotonic() < end
        ):
            time.sleep(0.1)  # what was recorded just now is in the database a moment later
            found = self._past.output(run, host, stream, sees)
        if found is None:
            raise Refusal(404, "no_such_output", "nothing of that is recorded")
        response = Response(found.pieces(), mimetype="text/plain; charset=utf-8")
        # As a file: what a host printed is no page, and its name is nobody's header.
        response.headers["Content-Disposition"] = f'attachment; filename="{stream}.txt"'
        return response

    # ------------------------------------------------------------------ runs

    def _begin(self, user: str, order: Order, choice: Choice) -> Board:
        inventory = self._engine.inventory
        whole = not choice.locked and [each.name for each in inventory.select(order.pattern)] == list(choice.hosts)
        run = self._engine.start(
            order.pattern if whole else list(choice.hosts),
            order.module,
            order.args,
            check=order.check,
            diff=order.diff,
            become=order.become,
            become_user=order.become_user,
            timeout=order.timeout,
            serial=order.serial,
            output_limit=OUTPUT_LIMIT,
            actor=user,
            reason=order.reason,
            # Of names alone nobody could tell what was meant.
            labels={"by": "web"} if whole else {"by": "web", "pattern": order.pattern},
        )
        try:
            board = self._board_of(run, user, order, choice)
            with self._lock:
                if self._closed:
                    raise LimitError("the server is about to end")
                self._boards[run.id] = board
                self._running[run.id] = run
        except BaseException:
            run.drop_events()
            run.cancel()
            raise
        threading.Thread(target=self._read, args=(run, board), name="sshexec-web-run", daemon=True).start()
        return board

    def _board_of(self, run: Run, user: str, order: Order, choice: Choice) -> Board:
        job = run.job
        hiding = Hiding(Opening(run.id, Occasion(user), job.task, job.targets, order.pattern, Course()))
        addresses = {target.host: target.variables.get("ansible_host") for target in job.targets}
        answers = Answers(hiding.of, lambda host: [name for name in (host, addresses[host]) if isinstance(name, str)])
        about = {
            **shown(order, hiding.everything),
            "user": user,
            "started": run.started,
            "left_out": list(choice.locked),
            "recorded": self._past.there,
        }
        return Board(run.id, about, run.hosts, answers, Live(hiding.of))

    def _read(self, run: Run, board: Board) -> None:
        """Hand the events of a run to its board; the only reader, so that no page slows a run down."""
        try:
            for event in run.events():
                board.take(event)
        finally:
            board.fail()
            with self._lock:
                self._running.pop(run.id, None)
                over = [name for name in self._boards if name not in self._running]
                for name in over[: max(0, len(over) - self._kept)]:
                    del self._boards[name]

    @contextmanager
    def _place(self, user: str) -> Iterator[None]:
        """Take a place among the runs for one that is being started."""
        with self._lock:
            owners = [self._boards[name].about["user"] for name in self._running] + self._starting
            if self._closed or len(owners) >= self._limit:
                raise LimitError("too many runs go on: try again once one of them is done")
            if owners.count(user) >= self._limit_each:
                raise LimitError(f"you have {self._limit_each} runs that go on: wait for one of them, or cancel it")
            self._starting.append(user)
        try:
            yield
        finally:
            with self._lock:
                self._starting.remove(user)

    def _leave(self, user: str) -> None:
        with self._lock:
            self._streams.remove(user)

    # ------------------------------------------------------------------ who may

    def _choose(self, user: str, pattern: str) -> Choice:
        return choose(
            self._engine.inventory,
            pattern,
            lambda host: self._access.allowed(user, "hosts", host),
            lambda host: self._access.allowed(user, "run", host),
        )

    def _refused(self, call: Call, action: Action, **more: str) -> None:
        if self._tell is not None:
            self._tell("terminal_refused", user=call.user, action=action, address=call.address or None, **more)

    def _allowed(self, user: str, action: Action, hosts: Sequence[str]) -> bool:
        return all(self._access.allowed(user, action, host) for host in hosts)

    def _sight(self, user: str) -> _Sight:
        return _Sight(self._access, user)

    def _may_see(self, board: Board, user: str, sees: _Sight) -> bool:
        return board.about["user"] == user or sees(board.hosts)

    def _board(self, run: str, user: str) -> Board | None:
        with self._lock:
            board = self._boards.get(run)
        return board if board is not None and self._may_see(board, user, self._sight(user)) else None


class _Sight:
    """Whether a user may see what ran on some hosts; each host is asked about once."""

    def __init__(self, access: Access, user: str) -> None:
        self._access = access
        self._user = user
        self._known: dict[str, bool] = {}

    def __call__(self, hosts: Sequence[str]) -> bool:
        return bool(hosts) and all(map(self._allowed, hosts))

    def _allowed(self, host: str) -> bool:
        if host not in self._known:
            self._known[host] = self._access.allowed(self._user, "history", host)
        return self._known[host]


def _missing() -> Refusal:
    """Return what is said of a run that is not there, and of one that the user may not know of."""
    return Refusal(404, "no_such_run", "there is no such run")


def _some(hosts: Sequence[str]) -> str:
    more = f" and {len(hosts) - 3} more" if len(hosts) > 3 else ""
    return f"{', '.join(hosts[:3])}{more}"


def _whole(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
        raise InputError(f"limit: expected a number from 1 to {most}")
    return int(text)


def _moment(text: str) -> float | None:
    if not text:
        return None
    try:
        moment = float(text)
    except ValueError:
        moment = -1.0
    if not 0 <= moment < 10**11:
        raise InputError("until: expected seconds since the epoch")
    return moment
