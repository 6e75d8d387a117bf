"""The engine: one task on many hosts, from any process."""

from __future__ import annotations

import os
import threading
import uuid
import weakref
from collections.abc import AsyncIterator, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sshexec import continuation, expect, request
from sshexec.audit import AuditSink, Trail, sinks
from sshexec.authorization import Authorize, Gate, check_authorize
from sshexec.batches import Batches, Serial
from sshexec.callbacks.calls import Callbacks
from sshexec.callbacks.telling import Telling
from sshexec.connectors.base import Timeouts
from sshexec.connectors.become import BecomeKeywords
from sshexec.connectors.broker import Ask, Broker
from sshexec.connectors.output import DEFAULT_LIMIT
from sshexec.errors import ArgumentError, SshexecError
from sshexec.events import Event
from sshexec.inventory.model import Inventory
from sshexec.recorder import Course, History, Opening, Recorder, Resumption
from sshexec.request import RunOptions
from sshexec.results import RunResult
from sshexec.run import Run
from sshexec.runtime.job import Executor, Job
from sshexec.runtime.patched import is_patched
from sshexec.secret import opened
from sshexec.selection import described, selected
from sshexec.streaming import Stream, cancel_started, wake
from sshexec.task import Target, Task

if TYPE_CHECKING:
    from typing_extensions import Unpack


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


class Engine:
    """Runs modules on the hosts of an inventory.

    In a process that gevent has patched the hosts run on greenlets of that process. In any other the engine starts
    worker processes at its first run and leaves the caller's process untouched. It may be used from several threads,
    and in forked children, which get workers and connections of their own.

    Args:
        inventory: the hosts.
        concurrency: hosts at once, over all runs of this engine.
        processes: worker processes; None takes none in a patched process and one in any other.
        timeouts: limits for each step.
        variables: variables that win over every host's own, as Ansible's extra vars; values may be `Secret`.
        keep: seconds that a connection is kept for the next run; 0 closes it with the host's turn.
        ask: answers what logins ask for (a password, a passphrase, a one-time code): gets a `Question` and returns a
            text or a `Secret`, or None for no answer. It is called in this process on a thread of its own, one question
            at a time, once for all hosts that share the answer. None asks nobody.
        callback: an object with some of the methods of Ansible's callbacks (``v2_runner_on_ok`` ...), a subclass of its
            CallbackBase for one, or a list of such objects. They are called in this process on a thread of each run's
            own, one call at a time; a run ends when all have returned, or soon after it was stopped. What they raise is
            logged.
        history: where runs are recorded (`sshexec.history`); None records nothing.
        actor: who runs the tasks, for the record, ``authorize`` and ``audit``; a run may name another one.
        authorize: is asked before each host is contacted, ``authorize(actor, host, task)``: None or True allows; False,
            or a text that says why, leaves the host alone: its result is ``skipped``, with the cause ``unauthorized``.
            So it is where this raises. It is called in this process on a thread of each run's own.
        audit: gets an `sshexec.audit.AuditEvent` for what was decided about each host, before it is contacted, and what
            came of it: a function, or a list of them. One call at a time for each run; what they raise is logged.

    Raises:
        ArgumentError: a value is of another type, or out of range.
    """

    def __init__(
        self,
        inventory: Inventory,
        *,
        concurrency: int = 100,
        processes: int | None = None,
        timeouts: Timeouts | None = None,
        variables: Mapping[str, Any] | None = None,
        keep: float = 60.0,
        ask: Ask | None = None,
        callback: object = None,
        history: History | None = None,
        actor: str | None = None,
        authorize: Authorize | None = None,
        audit: AuditSink | Sequence[AuditSink] | None = None,
    ) -> None:
        if not isinstance(inventory, Inventory):
            raise ArgumentError(
                f"inventory: expected an Inventory (Inventory.load(...)), got {type(inventory).__name__}"
            )
        expect.count("concurrency", concurrency, "hosts")
        if processes is not None:
            expect.count("processes", processes, "processes")
        expect.seconds("keep", keep, zero=True, optional=False)
        expect.mapping("variables", variables)
        if timeouts is not None and not isinstance(timeouts, Timeouts):
            raise ArgumentError(f"timeouts: expected Timeouts(connect=..., command=...), got {timeouts!r}")
        if ask is not None and not callable(ask):
            raise ArgumentError(f"ask: expected a function that answers questions, got {type(ask).__name__}")
        if history is not None and not callable(getattr(history, "begin", None)):
            raise ArgumentError(f"history: expected a History(...), got {type(history).__name__}")
        if actor is not None and not isinstance(actor, str):
            raise ArgumentError(f"actor: expected a text, got {type(actor).__name__}")
        check_authorize(authorize)
        self.inventory = inventory
        self.timeouts = timeouts or Timeouts()
        self._concurrency = concurrency
        self._processes = processes
        self._variables = dict(variables or {})
        self._keep = keep
        self._ask = ask
        self._callbacks = Callbacks.of(callback)
        self._history = history
        self._actor = actor
        self._authorize = authorize
        self._audit = sinks(audit)
        self._broker: Broker | None = None
        self._lock = threading.Lock()
        _engines.add(self)
        self._pid = os.getpid()
        self._executor: Executor | None = None
        self._runs: dict[str, Run] = {}
        self._closed = False

    # ------------------------------------------------------------------ running

    def start(
        self,
        pattern: str | Sequence[str],
        module: str,
        args: str | Mapping[str, Any] | None = None,
        *,
        check: bool = False,
        diff: bool = False,
        environment: Mapping[str, str] | None = None,
        timeout: float | None = None,
        serial: Serial = None,
        max_fail_percentage: float | None = None,
        limit: str | None = None,
        variables: Mapping[str, Any] | None = None,
        run_timeout: float | None = None,
        output_limit: int = DEFAULT_LIMIT,
        spill: str | None = None,
        become: bool = False,
        become_user: str | None = None,
        become_method: str | None = None,
        become_flags: str | None = None,
        output_dir: str | None = None,
        binary: bool = False,
        no_log: bool = False,
        actor: str | None = None,
        reason: str | None = None,
        labels: Mapping[str, str] | None = None,
        resume: str | Resumption | None = None,
        unknown: bool = False,
        output: bool = True,
        watch: bool = True,
    ) -> Run:
        """Start a module on every host that the pattern selects, and return at once.

        Args:
            pattern: which hosts, in Ansible's grammar; or a list of their names.
            module: its name (``command``, ``ansible.builtin.copy``).
            args: a free-form text, or a mapping (with a free-form text as ``_raw_params``); Jinja2 expressions in it
                are filled in with each host's variables.
            check: change nothing, say what would change.
            diff: report differences.
            environment: variables for the task's commands.
            timeout: seconds for the task on one host, from its open connection.
            serial: hosts that run together: a number, a percentage such as ``"20%"``, or a list of them.
            max_fail_percentage: start no further host once more than this share of a batch has failed.
            limit: of the hosts, only those that this pattern selects too.
            variables: variables that win over the host's and the engine's.
            run_timeout: seconds for the whole run; hosts that are not done by then are stopped.
            output_limit: bytes kept of each stream of each host; past it head and tail are kept.
            spill: directory for whole streams that are over the limit.
            become: run as another user. A host's variables (``ansible_become`` ...) win over this and what follows, as
                they win over Ansible's keywords.
            become_user: as whom; None is root.
            become_method: ``sudo``, ``su`` or ``doas``; None is sudo.
            become_flags: options of the method; None for its own default (``-H -S -n`` for sudo).
            output_dir: directory for the whole streams of every host, as exact bytes in ``HOST/stdout`` and
                ``HOST/stderr``; files of an earlier run are replaced.
            binary: whether results (``stdout_bytes``, ``stderr_bytes``) and Output events (``data``) hold exact bytes.
            no_log: show nothing of the arguments and of what came of them: results are Ansible's censored ones, there
                are no Output and TransferProgress events, and wrong arguments are not quoted.
            actor: who runs it, for the record and whoever allows it; None is the engine's.
            reason: why, for the record: a ticket, say.
            labels: names and values by which the record is found again.
            resume: of the hosts, only those that did not end well in this run, or in those that went on with it: its
                identifier, or ``last``, or what `resumption` returned. `resume` takes all the rest from its record.
            unknown: with ``resume``, those hosts too that were at work when their runner died.
            output: whether Output events are wanted.
            watch: whether any events and `Run.snapshot` are wanted.

        Raises:
            InputError: the pattern, the module, an argument, a variable or a key file is wrong; nothing was contacted.
            WorkerStartError: a worker process can't be started.
        """
        expect.seconds("run_timeout", run_timeout)
        expect.mapping("variables", variables)
        request.check_texts(pattern, module, args)
        who = BecomeKeywords(become, become_user, become_method, become_flags)
        how = {"check": check, "diff": diff, "environment": environment, "timeout": timeout}
        kept = {"output_limit": output_limit, "spill": spill, "output_dir": output_dir}
        task = request.task(module, args, who, **how, **kept, binary=binary, no_log=no_log)
        occasion = request.occasion(self._actor if actor is None else actor, reason, labels)
        on_top = {**self._variables, **(variables or {})}
        earlier = None if resume is None else continuation.of(task, on_top, self._history, resume)
        hosts = selected(self.inventory, pattern, limit=limit, earlier=earlier, unknown=unknown)
        opening = Opening(
            *(uuid.uuid4().hex, occasion, task, self._targets(hosts, on_top), described(pattern, limit, earlier)),
            Course(serial if hosts or earlier is None else None, max_fail_percentage, run_timeout),
            tuple(name for name, value in on_top.items() if value is not None),
            *((earlier.run, earlier.root, earlier.passes) if earlier is not None else ()),
        )
        return self._launch(opening, watch=watch, output=output)

    def _launch(self, opening: Opening, *, watch: bool, output: bool) -> Run:
        task, targets, course = opening.task, opening.targets, opening.course
        telling = self._telling(task, targets, opening.pattern)
        watched = watch or (self._callbacks is not None and self._callbacks.wants_starts)
        output = watch and output and not task.no_log
        job = Job(opening.run, task, tuple(targets), self.timeouts, watch=watched, output=output)
        batches = Batches([target.host for target in targets], course.serial, course.max_fail_percentage)
        limit = course.run_timeout if course.run_timeout is not None else self.timeouts.total
        executor = self._ready()
        # A resumption that finds nothing to do leaves no record: there is nothing to be known of it.
        history = self._history if targets or opening.resumes is None else None
        recorder: Recorder | None = None if history is None else history.begin(opening)
        if recorder is not None:
            job = replace(job, journal=recorder.journal)
        trail = Trail(self._audit, opening, recorder) if self._audit else None
        if self._authorize is not None or trail is not None:
            executor = Gate(executor, opening, self._authorize, trail, self._concurrency)
        told = trail or recorder
        run = Run(
            job,
            executor,
            batches,
            run_timeout=limit,
            events=watch,
            on_done=self._done,
            telling=telling,
            recorder=told,
        )
        try:
            self._submit(job, run, executor)
        except BaseException:
            if told is not None:
                told.discard()
            raise
        if trail is not None:
            trail.begin()
        run.begin()
        return run

    def _submit(self, job: Job, run: Run, executor: Executor) -> None:
        executor.prepare(job, run.receive)
        with self._lock:
            closed = self._closed
            if not closed:
                if self._broker is not None and not self._runs:
                    self._broker.forgive()
                self._runs[run.id] = run
        if closed:
            executor.forget(job.id)
            raise SshexecError("the engine is closed")

    def run(
        self,
        pattern: str | Sequence[str],
        module: str,
        args: str | Mapping[str, Any] | None = None,
        **options: Unpack[RunOptions],
    ) -> RunResult:
        """Run a module on every host that the pattern selects and return all results.

        Args:
            pattern: as in `start`.
            module: as in `start`.
            args: as in `start`.
            **options: the keywords of `start`, without ``output`` and ``watch``.

        Raises:
            InputError, WorkerStartError: as `start`. A host that fails is no exception, see `RunResult`.
        """
        run = self.start(pattern, module, args, **options, watch=False)
        try:
            return run.wait()
        except BaseException:
            run.cancel()
            raise

    def resumption(self, run: str) -> Resumption:
        """Return what is recorded of a run for whoever wants to go on with it: the hosts that are left, and the task.

        Args:
            run: its identifier, or as much of its beginning as no other run has; or ``last``.

        Raises:
            HistoryError: there is no such run, or it is still going on.
        """
        return continuation.resumption(self._history, run)

    def resume(self, run: str | Resumption, *, unknown: bool = False, **options: Any) -> RunResult:
        """Go on with a run on those of its hosts that did not end well or were never reached, and return their results.

        Whatever it was started with comes from its record. It may be called again until no host is left: what the runs
        in between have done counts.

        Args:
            run: its identifier, or as much of its beginning as no other run has; or ``last``; or what `resumption`
                returned.
            unknown: those hosts too that were at work when their runner died, and of which nobody knows how far they
                came.
            **options: keywords of `start` instead of those of the record; ``args`` and ``environment`` where they hold
                secrets, which no record does, and ``variables`` likewise.

        Raises:
            HistoryError: there is no such run, it is still going on, or its record lacks what has to be given again.
            InputError: a host is not in the inventory any more; or as `start`.
        """
        earlier = continuation.resumption(self._history, run)
        given = continuation.keywords(earlier, options)
        hosts = earlier.hosts(unknown=unknown)
        return self.run(hosts, earlier.module, given.pop("args"), **given, resume=earlier, unknown=unknown)

    def stream(
        self,
        pattern: str | Sequence[str],
        module: str,
        args: str | Mapping[str, Any] | None = None,
        **options: Unpack[RunOptions],
    ) -> Iterator[Event]:
        """Run a module and return events as they come: results as each host finishes, output as it is printed.

        Leaving the loop early cancels the run. Arguments and errors as `start`.
        """
        run = self.start(pattern, module, args, **options)
        return Stream(run)

    async def arun(
        self,
        pattern: str | Sequence[str],
        module: str,
        args: str | Mapping[str, Any] | None = None,
        **options: Unpack[RunOptions],
    ) -> RunResult:
        """Run a module without blocking the event loop; cancelling the coroutine cancels the run. See `run`."""
        run = await self._astart(pattern, module, args, **options, watch=False)
        woken = wake(run)
        try:
            while not run.done:
                woken.clear()
                await woken.wait()
        except BaseException:
            run.cancel()
            raise
        return run.wait()

    async def astream(
        self,
        pattern: str | Sequence[str],
        module: str,
        args: str | Mapping[str, Any] | None = None,
        **options: Unpack[RunOptions],
    ) -> AsyncIterator[Event]:
        """Run a module and return events without blocking the event loop. See `stream`."""
        run = await self._astart(pattern, module, args, **options)
        woken = wake(run)
        try:
            while True:
                woken.clear()
                done = run.done
                while (event := run.poll()) is not None:
                    yield event
                if done:
                    return
                await woken.wait()
        finally:
            run.drop_events()
            run.cancel()

    async def _astart(self, *args: Any, **options: Any) -> Run:
        import asyncio  # costs 12 ms, and most processes that run tasks never need it

        # Starting a worker and checking the job takes a moment: not on the loop's thread.
        starting = asyncio.ensure_future(asyncio.to_thread(self.start, *args, **options))
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(cancel_started)
            raise

    def _targets(self, hosts: Sequence[str], on_top: Mapping[str, Any]) -> tuple[Target, ...]:
        # A secret is opened now, before anything is contacted, once for all hosts that share it.
        known: dict[Hashable, Any] = {}
        return tuple(Target(host, opened({**self.inventory.variables(host), **on_top}, host, known)) for host in hosts)

    def _telling(self, task: Task, targets: Sequence[Target], pattern: str | Sequence[str]) -> Telling | None:
        if self._callbacks is None:
            return None
        self._callbacks.refuse_inside()
        return Telling(self._callbacks, task, targets, pattern)

    # ------------------------------------------------------------------ the executor

    def _ready(self) -> Executor:
        with self._lock:
            if self._closed:
                raise SshexecError("the engine is closed")
            if self._pid != os.getpid():
                # A forked child: the parent's workers and connections are not ours.
                self._pid, self._executor, self._runs = os.getpid(), None, {}
            if self._executor is None:
                self._executor = self._make_executor()
            return self._executor

    def _make_executor(self) -> Executor:
        self._broker = None if self._ask is None else Broker(self._ask)
        if self._processes is None and is_patched():
            from sshexec.runtime.pool import PoolExecutor

            return PoolExecutor(self._concurrency, self._keep, self._broker)
        from sshexec.runtime.workers import WorkersExecutor

        return WorkersExecutor(self._processes or 1, self._concurrency, self._keep, self._broker)

    def _done(self, run: Run) -> None:
        with self._lock:
            self._runs.pop(run.id, None)

    def close(self) -> None:
        """Cancel what still runs, close every connection and end the workers."""
        with self._lock:
            self._closed = True
            executor, self._executor = self._executor, None
            runs = list(self._runs.values())
            foreign = self._pid != os.getpid()
        if executor is None or foreign:
            return
        for run in runs:
            run.cancel()
        if self._broker is not None:
            self._broker.close()
        executor.close()

    async def aclose(self) -> None:
        """Close the engine without blocking the event loop. See `close`."""
        import asyncio

        await asyncio.to_thread(self.close)

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self._runs)} runs in progress"
        return f"<Engine of {self.inventory!r}: {state}>"

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Engine:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _after_fork() -> None:
    """Give a forked child's engines locks of its own: another thread may have held them, and is not there any more."""
    for engine in list(_engines):
        engine._lock = threading.Lock()
        if engine._callbacks is not None:
            engine._callbacks.after_fork()


os.register_at_fork(after_in_child=_after_fork)
