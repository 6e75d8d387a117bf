"""One host's turn: connect, run the module, and make the result, whatever happens."""

from __future__ import annotations

import codecs
import json
import logging
import os
import threading
import time
from collections.abc import Mapping
from typing import Any

from sshexec.connectors.base import Connector, Phase
from sshexec.connectors.deadline import Deadline
from sshexec.connectors.output import Budget, Output, Stream
from sshexec.errors import CancelledError, CommandTimeoutError, ConnectionLostError, HostError, InputError
from sshexec.events import HostFinished, HostPhase, HostStarted, TransferProgress
from sshexec.events import Output as OutputEvent
from sshexec.journal import Marks
from sshexec.modules.base import Invocation
from sshexec.results import HostResult, Status, file_name
from sshexec.runtime.censored import censored
from sshexec.runtime.connections import Connections
from sshexec.runtime.job import Emit, Job, Stop
from sshexec.runtime.plan import Contexts, Plan
from sshexec.runtime.slots import NoSlotError, Slots
from sshexec.secret import hide

log = logging.getLogger(__name__)

_PROGRESS_INTERVAL = 0.25
"""Seconds between two tellings of how far a host's transfer is."""

_UNANSWERED = (Phase.RESOLVING, Phase.CONNECTING)
"""What a host that is switched off never gets beyond."""


class Turn:
    """One host's turn.

    Args:
        job: the job it belongs to.
        plan: what this host is asked.
        emit: where its events go.
        budget: the run's memory for output.
        flowing: cleared while nobody takes the job's output.
        slots: where this turn's slot is lent and claimed.
        marks: where the host is marked before it is contacted.
    """

    __slots__ = (
        "_begun",
        "_connector",
        "_deadline",
        "_decoders",
        "_marks",
        "_notices",
        "_owner",
        "_phase",
        "_phase_since",
        "_phases",
        "_progress_told",
        "_slots",
        "_started",
        "_stop",
        "_woken",
        "answered",
        "budget",
        "emit",
        "flowing",
        "job",
        "patient",
        "plan",
        "waiting_since",
    )

    def __init__(
        self,
        job: Job,
        plan: Plan,
        emit: Emit,
        budget: Budget,
        flowing: threading.Event,
        slots: Slots,
        marks: Marks | None = None,
    ) -> None:
        self.job = job
        self.plan = plan
        self.emit = emit
        self.budget = budget
        self.flowing = flowing
        self._deadline = Deadline()
        self._phase: Phase | None = None
        self._phase_since = 0.0
        self._phases: dict[str, float] = {}
        self._marks = marks
        self._connector: Connector[Any, Any] | None = None
        self._decoders: dict[str, codecs.IncrementalDecoder] = {}
        self._notices: list[Mapping[str, Any]] = []
        self._stop: Stop | None = None
        self._started: float | None = None
        self._owner = os.getpid()
        self._progress_told: float | None = None
        self._slots = slots
        self._begun: float | None = None
        self._woken: threading.Event | None = None
        self.waiting_since: float | None = None
        self.answered = False
        self.patient = False

    def stop(self, stop: Stop) -> None:
        """End the turn soon, from any thread or greenlet."""
        if self._stop is None:
            self._stop = stop
            if self._connector is not None:
                self._connector.cancel()
            if self._woken is not None:
                self._woken.set()

    def skip(self, stop: Stop) -> None:
        """Report a host whose turn never came."""
        self.emit((HostFinished(stop.result(self.plan.host)),))

    def run(self, connections: Connections, contexts: Contexts) -> bool:
        """Do it and emit exactly one HostFinished; False where the turn has to come again, and nothing was done yet."""
        job, host = self.job, self.plan.host
        if self._started is None:
            self._started = time.time()
            if self._marks is not None:
                self._marks.mark(host)
            if job.watch:
                self.emit((HostStarted(host, self._started),))
        task = job.task
        folder = None if task.output_dir is None else os.path.join(task.output_dir, file_name(host))
        output = Output(task.output_limit, self.budget, task.spill, self._tee if job.output else None, folder)
        try:
            result = self._attempt(connections, contexts, output)
        except NoSlotError:
            self._enter(Phase.WAITING)
            return False
        except HostError as error:
            result = self._broken(error, output)
        except InputError as error:
            result = self._result("failed", {"failed": True, "changed": False, "msg": str(error)}, cause="input")
        except (Exception, SystemExit) as error:
            # A fault of ours or of a plugin: this host's result says so, the other hosts go on.
            log.debug("host %s: internal error", host, exc_info=not task.no_log)
            text = f"internal error: {type(error).__name__}: {error}"
            result = self._result("failed", {"failed": True, "changed": False, "msg": text}, cause="internal")
        finally:
            output.close()
        self._flush()
        self.emit((HostFinished(result),))
        return True

    def _attempt(self, connections: Connections, contexts: Contexts, output: Output) -> HostResult:
        reused = connections.take(self.plan) if self.plan.module.contacts else None
        if reused is not None and not self.plan.module.opens:
            # Whether the host is there is what the module asks, and this one may be of before its restart.
            reused.close()
        elif reused is not None:
            try:
                return self._work(reused, connections, contexts, output)
            except ConnectionLostError as error:
                # The host closed the idle connection unseen, and nothing was started: a fresh one may be tried.
                if error.started:
                    raise
        return self._work(self._connection(contexts), connections, contexts, output, fresh=True)

    def _connection(self, contexts: Contexts) -> Connector[Any, Any]:
        if os.getpid() != self._owner:
            raise CancelledError("this process was forked off; the run is its parent's")
        return self.plan.connector(self.plan.host, self.plan.options, contexts[self.plan.connector], self.job.timeouts)

    def _watch(self, connector: Connector[Any, Any]) -> Connector[Any, Any]:
        """Let a connector tell what it does, and be the one that `stop` reaches."""
        connector.become = self.plan.become
        connector.on_phase = self._enter
        connector.on_answer = self._answer
        self._connector = connector
        self._check_stop()
        return connector

    def _check_stop(self) -> None:
        if self._stop is not None:
            raise CancelledError(self._stop.message)

    def _work(
        self,
        connector: Connector[Any, Any],
        connections: Connections,
        contexts: Contexts,
        output: Output,
        fresh: bool = False,
    ) -> HostResult:
        clean = False
        try:
            self._watch(connector)
            task, module = self.job.task, self.plan.module
            if module.opens:
                if fresh:
                    connector.open(Deadline())
                self._enter(Phase.RUNNING)
            if module.opens or self._begun is None:
                self._begun = time.monotonic()
            self._deadline = Deadline(None if self._limit is None else self._begun + self._limit, self._limit)
            invocation = Invocation(
                self.plan.host,
                output,
                self._deadline,
                task.check,
                task.diff,
                self.plan.environment,
                self._progress if self.job.watch and not task.no_log else None,
                settings=self.plan.settings,
                no_log=task.no_log,
                fresh=lambda: self._watch(self._connection(contexts)),
                sleep=self._sleep,
                begun=self._begun,
            )
            data = module.run(connector, invocation)
            if not type(module).__module__.startswith("sshexec."):
                # What JSON can't hold would stop whoever reads the results, and those of all other hosts with them.
                data = json.loads(json.dumps(data, default=str))
            if self.plan.secrets and data.get("diff"):
                data["diff"] = hide(data["diff"], self.plan.secrets)
            clean = True
        finally:
            self._connector = None
            self._notices += connector.notices
            connector.notices.clear()
            if clean and self._stop is None:
                connections.give(self.plan, connector)
            else:
                connector.close()
        return self._result(_status(data), data, output=output)

    def _sleep(self, seconds: float) -> None:
        """Wait between two attempts to reach the host, which has no use for its slot meanwhile."""
        if self._phase is not Phase.WAITING:
            self._change(Phase.WAITING)
            self._tell(Phase.WAITING)
        if self.waiting_since is None:
            self.waiting_since, self.answered = time.monotonic(), False
        self.patient = False
        woken = self._woken = threading.Event()
        self._check_stop()
        woken.wait(self._deadline.remaining(max(0.0, seconds)))
        self._check_stop()
        if self._deadline.expired:
            raise CommandTimeoutError(f"the host was not reached {self._deadline.within}")

    @property
    def _limit(self) -> float | None:
        limit = self.job.task.timeout
        return limit if limit is not None else self.job.timeouts.command

    def _enter(self, phase: Phase) -> None:
        if phase is self._phase:
            return
        self._change(phase)
        if phase in _UNANSWERED:
            if self.waiting_since is None:
                self.waiting_since, self.answered = time.monotonic(), False
        elif self.waiting_since is not None:
            self.waiting_since = None
            if phase is not Phase.WAITING:
                self._slots.claim(self)
        self._tell(phase)

    def _change(self, phase: Phase | None) -> None:
        """Take note that a phase is over and another begins; None is the end of the turn."""
        now, last = time.monotonic(), self._phase
        if last is not None:
            self._phases[last.value] = self._phases.get(last.value, 0.0) + now - self._phase_since
        self._phase, self._phase_since = phase, now

    def _tell(self, phase: Phase) -> None:
        if self.job.watch:
            self.emit((HostPhase(self.plan.host, phase.value, time.time()),))

    def _answer(self) -> None:
        self.waiting_since, self.answered = time.monotonic(), True
        self._slots.claim(self)

    def _progress(self, path: str, done: int, total: int | None) -> None:
        now = time.time()
        told = self._progress_told
        if told is None:
            self._progress_told = told = now
        if done != total and 0 <= now - told < _PROGRESS_INTERVAL:
            return
        self._progress_told = now
        shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        self.emit((TransferProgress(self.plan.host, shown, done, total, now),))

    def _tee(self, stream: Stream, data: bytes) -> None:
        self.flowing.wait(self._deadline.remaining())
        decoder = self._decoders.get(stream)
        if decoder is None:
            decoder = self._decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
        text = decoder.decode(data)
        exact = data if self.job.task.binary else None
        if text or exact:
            self.emit((OutputEvent(self.plan.host, stream, text, time.time(), exact),))

    def _flush(self) -> None:
        streams: tuple[Stream, ...] = ("stdout", "stderr")
        for stream in streams:
            decoder = self._decoders.get(stream)
            rest = decoder.decode(b"", True) if decoder else ""
            if rest:
                self.emit((OutputEvent(self.plan.host, stream, rest, time.time()),))

    def _broken(self, error: HostError, output: Output) -> HostResult:
        status, cause, message = error.status, error.cause, error.message
        killed = error.killed if isinstance(error, (CancelledError, CommandTimeoutError)) else None
        # What was under way on the host when the task broke off may have changed it.
        data: dict[str, Any] = {
            "changed": status != "unreachable" and error.phase in (Phase.RUNNING, Phase.TRANSFERRING)
        }
        if isinstance(error, CancelledError) and self._stop is not None:
            cause, message = self._stop.cause, self._stop.message
            if cause == "run_timeout":
                status = "timeout"
            if killed is not None:
                message += "; its processes were killed" if killed else "; its processes may still be there"
        if status == "unreachable":
            data["unreachable"] = True
        else:
            data["failed"] = True
        data["msg"] = message
        if isinstance(error, CommandTimeoutError):
            period = self._limit if error.silence is None else error.silence
            if period is not None:
                data["timedout"] = {"period": period}
        stdout, stderr = output.text("stdout"), output.text("stderr")
        if status in ("timeout", "cancelled") or stdout or stderr:
            data |= {"stdout": stdout, "stdout_lines": stdout.splitlines()}
            data |= {"stderr": stderr, "stderr_lines": stderr.splitlines()}
        final: Status = status  # type: ignore[assignment]  # the tree's own words, checked by a test
        return self._result(final, data, cause=cause, phase=error.phase, killed=killed, output=output)

    def _result(
        self,
        status: Status,
        data: Mapping[str, Any],
        *,
        cause: str | None = None,
        phase: str | None = None,
        killed: bool | None = None,
        output: Output | None = None,
    ) -> HostResult:
        if cause is None and status == "failed":
            cause = "nonzero" if data.get("rc") else "failed"
        exact = output is not None and self.job.task.binary
        self._change(None)
        if output is not None:
            output.close()  # what can't be written any more is known only then
            self._notices += [
                {"notice": "output_file", "message": f"output is not in its file: {problem}", "problem": problem}
                for problem in output.problems
            ]
        return HostResult(
            self.plan.host,
            status,
            censored(data) if self.job.task.no_log else data,
            cause=cause,
            phase=None if phase is None else str(phase),
            started=self._started,
            finished=time.time(),
            truncated=output.truncated if output else False,
            spilled=output.spilled if output else {},
            killed=killed,
            notices=tuple(self._notices),
            phases={name: round(seconds, 6) for name, seconds in self._phases.items()},
            stdout_bytes=output.exact("stdout") if exact and output else None,
            stderr_bytes=output.exact("stderr") if exact and output else None,
        )


def _status(data: Mapping[str, Any]) -> Status:
    """Return the status that Ansible's result dictionary stands for."""
    if data.get("unreachable"):
        return "unreachable"
    if data.get("failed"):
        return "failed"
    if data.get("skipped"):
        return "skipped"
    return "changed" if data.get("changed") else "ok"
