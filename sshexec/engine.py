"""The engine: one task on many hosts, from any process."""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
import weakref
from collections.abc import AsyncIterator, Hashable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sshexec import expect, request
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
from sshexec.recorder import Course, History, Opening
from sshexec.request import RunOptions
from sshexec.results import RunResult
from sshexec.run import Run
from sshexec.runtime.job import Executor, Job
from sshexec.runtime.patched import is_patched
from sshexec.secret import opened
from sshexec.task import Target, Task

if TYPE_CHECKING:
    import asyncio

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
        actor: who runs the tasks, for the record; a run may name another one.

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
            actor: who runs it, for the record; None is the engine's.
            reason: why, for the record: a ticket, say.
            labels: names and values by which the record is found again.
            output: whether Output events are wanted.
            watch: whether any events and `Run.snapshot` are wanted.

        Raises:
            InputError: the pattern, the module, an argument, a variable or a key file is wrong; nothing was contacted.
            WorkerStartError: a worker process can't be started.
        """
        expect.seconds("run_timeout", run_timeout)
        expect.mapping("variables", variables)
        request.check_texts(pattern, module, args)
        request.check_directories(spill=spill, output_dir=output_dir)
        request.check_no_log(no_log, spill=spill, output_dir=output_dir, binary=binary)
        who = BecomeKeywords(become, become_user, become_method, become_flags)
        task = Task(
            *(module, args, check, diff, request.environment(environment), request.timeout(timeout)),
            output_limit=request.output_limit(output_limit),
            spill=spill,
            become=who,
            output_dir=output_dir,
            binary=binary,
            no_log=no_log,
        )
        opening = Opening(
            uuid.uuid4().hex,
            request.occasion(self._actor if actor is None else actor, reason, labels),
            task,
            self._targets(pattern, variables or {}),
            pattern,
            Course(serial, max_fail_percentage, run_timeout),
            extra=tuple({**self._variables, **(variables or {})}),
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
        recorder = None if self._history is None else self._history.begin(opening)
        if recorder is not None:
            job = replace(job, journal=recorder.journal)
        more: dict[str, Any] = {"telling": telling, "recorder": recorder}
        run = Run(job, executor, batches, run_timeout=limit, events=watch, on_done=self._done, **more)
        try:
            self._submit(job, run, executor)
        except BaseException:
            if recorder is not None:
                recorder.discard()
            raise
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
        return _Stream(run)

    async def arun(
        self,
        pattern: str | Sequence[str],
        module: str,
        args: str | Mapping[str, Any] | None = None,
        **options: Unpack[RunOptions],
    ) -> RunResult:
        """Run a module without blocking the event loop; cancelling the coroutine cancels the run. See `run`."""
        run = await self._astart(pattern, module, args, **options, watch=False)
        woken = _wake(run)
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
        woken = _wake(run)
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
            starting.add_done_callback(_cancel_started)
            raise

    def _targets(self, pattern: str | Sequence[str], variables: Mapping[str, Any]) -> tuple[Target, ...]:
        hosts = [host.name for host in self.inventory.select(pattern)] if isinstance(pattern, str) else list(pattern)
        on_top = {**self._variables, **variables}
        # A secret is opened now, before anything is contacted, once for all hosts that share it.
        known: dict[Hashable, Any] = {}
        return tuple(
            Target(host, opened({**self.inventory.variables(host), **on_top}, host, known))
            for host in dict.fromkeys(hosts)
        )

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


class _Stream(Iterator[Event]):
    """The events of a run that ends with its reader; unlike a generator also where nothing was read yet."""

    def __init__(self, run: Run) -> None:
        self._events = run.events()
        self._cancel = weakref.finalize(self, run.cancel)
        self._run = run

    def __next__(self) -> Event:
        return next(self._events)

    def close(self) -> None:
        """Cancel the run, if it still goes on."""
        self._run.drop_events()
        self._cancel()


def _cancel_started(starting: asyncio.Future[Run]) -> None:
    """Cancel a run that was still starting when its coroutine was cancelled."""
    if not starting.cancelled() and starting.exception() is None:
        starting.result().drop_events()
        starting.result().cancel()


def _wake(run: Run) -> asyncio.Event:
    """Return an asyncio event that is set, on its own loop, whenever the run has something new."""
    import asyncio

    loop = asyncio.get_running_loop()
    woken = asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(woken.set)

    run.listen(wake)
    return woken


def _after_fork() -> None:
    """Give a forked child's engines locks of its own: another thread may have held them, and is not there any more."""
    for engine in list(_engines):
        engine._lock = threading.Lock()
        if engine._callbacks is not None:
            engine._callbacks.after_fork()


os.register_at_fork(after_in_child=_after_fork)
