"""What was decided about each host of a run and what came of it, told to whoever keeps watch."""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from sshexec.errors import ArgumentError, InputError
from sshexec.recorder import Opening, Recorder
from sshexec.results import HostResult, RunResult
from sshexec.secret import hide, secrets_of

log = logging.getLogger(__name__)

Kind = Literal["run_started", "host_allowed", "host_refused", "host_finished", "run_finished"]


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One thing that an auditor wants to know; it holds no argument, no output and no secret.

    Args:
        event: ``run_started``, ``host_allowed`` or ``host_refused`` (before the host is contacted), ``host_finished``,
            ``run_finished``.
        time: seconds since the epoch.
        run: the run's identifier.
        actor: who runs it.
        reason: why, as the caller gave it.
        labels: likewise.
        module: what is run.
        check: whether it is to change nothing.
        resumes: the run that this one goes on with.
        pattern: of ``run_started``: how the hosts were chosen; names have commas between them.
        hosts: of ``run_started`` and ``run_finished``: how many there are.
        host: of the other events: which.
        message: of ``host_refused``: why.
        status: of ``host_finished``: the result's.
        cause: likewise.
        rc: likewise.
        changed: likewise.
        state: of ``run_finished``: finished, cancelled or timeout.
        counts: of ``run_finished``: how many hosts have each status.
    """

    event: Kind
    time: float
    run: str
    actor: str | None
    reason: str | None
    labels: Mapping[str, str]
    module: str
    check: bool = False
    resumes: str | None = None
    pattern: str | None = None
    hosts: int | None = None
    host: str | None = None
    message: str | None = None
    status: str | None = None
    cause: str | None = None
    rc: int | None = None
    changed: bool | None = None
    state: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the event as plain data, each key at every event."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {**plain, "labels": dict(self.labels), "counts": dict(self.counts)}


AuditSink = Callable[[AuditEvent], None]


class Auditable(Protocol):
    """Whatever a sink here can write: events of runs, and those of terminals (`sshexec.terminal.auditing`)."""

    @property
    def event(self) -> str:
        """Its kind; one that ends with ``_refused`` says that somebody wanted what was not allowed."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""


class FileSink:
    """Appends each event to a file as a line of JSON.

    The file is opened for each line, so it may be moved away at any time, and several processes may write to one. A
    file that is made is for its owner alone (0600).

    Args:
        path: where it is.

    Raises:
        InputError: it can't be written.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.abspath(path)
        self._torn = False
        try:
            os.close(self._open())
        except OSError as error:
            raise InputError(f"audit log {self.path} can't be written: {error.strerror}") from None

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, 0o600)

    def __call__(self, event: Auditable) -> None:
        """Append an event.

        Raises:
            OSError: it is not in the file, or not as a whole.
        """
        line = json.dumps(event.to_dict()).encode() + b"\n"
        if self._torn:
            line = b"\n" + line
        descriptor = self._open()
        try:
            written = os.write(descriptor, line)
            self._torn = written < len(line) if written else self._torn
            if written < len(line):
                raise OSError(f"{self.path}: only {written} of {len(line)} bytes could be written")
        finally:
            os.close(descriptor)

    def __repr__(self) -> str:
        return f"FileSink({self.path!r})"


class LogSink:
    """Logs each event as a line of JSON; the record has the event as its attribute ``audit``.

    Args:
        logger: the logger, or its name.
        level: the level of what goes as it should; what was refused is logged as a warning.
    """

    def __init__(self, logger: logging.Logger | str = "sshexec.audit", level: int = logging.INFO) -> None:
        self._logger = logging.getLogger(logger) if isinstance(logger, str) else logger
        self._level = level

    def __call__(self, event: Auditable) -> None:
        """Log an event."""
        level = max(self._level, logging.WARNING) if event.event.endswith("_refused") else self._level
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", json.dumps(event.to_dict()), extra={"audit": event})

    def __repr__(self) -> str:
        return f"LogSink({self._logger.name!r})"


def sinks(audit: object) -> list[Callable[[Any], None]]:
    """Return the sinks of what an engine or a terminal manager was given: one, a list of them, or None.

    Raises:
        ArgumentError: one can't be called with an event.
    """
    given: list[Any] = list(audit) if isinstance(audit, (list, tuple)) else [] if audit is None else [audit]
    for each in given:
        wrong = "an asynchronous function" if inspect.iscoroutinefunction(each) else f"got {type(each).__name__}"
        if not callable(each) or isinstance(each, type) or inspect.iscoroutinefunction(each):
            raise ArgumentError(f"audit: expected a function that takes an AuditEvent, or a list of them, {wrong}")
    return given


class Trail:
    """One run, told to its engine's sinks: a recorder that stands before another one.

    What is decided is told at once, by whoever decides it; what hosts answer, by a thread of the run's own. Sinks are
    called one at a time; what they raise is logged once and disturbs nobody. The run ends when all is told.

    Args:
        audit: the sinks.
        opening: the run.
        recorder: keeps the run's record; None where nobody does.
    """

    def __init__(self, audit: Sequence[AuditSink], opening: Opening, recorder: Recorder | None) -> None:
        self.journal = None if recorder is None else recorder.journal
        self._sinks = list(audit)
        self._opening = opening
        self._reason, self._labels = _shown(opening)
        self._recorder = recorder
        self._lock = threading.Lock()
        self._failed: set[int] = set()
        self._waiting: queue.Queue[HostResult | tuple[RunResult, Callable[[RunResult], None]]] = queue.Queue()

    def begin(self) -> None:
        """Tell that the run starts."""
        pattern = self._opening.pattern
        shown = pattern if isinstance(pattern, str) else ",".join(pattern)
        self._tell("run_started", pattern=shown, hosts=len(self._opening.targets))
        threading.Thread(target=self._work, name="sshexec-audit", daemon=True).start()

    def allowed(self, host: str) -> None:
        """Tell that a host is about to be begun."""
        self._tell("host_allowed", host=host)

    def refused(self, host: str, message: str) -> None:
        """Tell that a host is left alone, and why."""
        self._tell("host_refused", host=host, message=message)

    def take(self, result: HostResult) -> None:
        """Take a result; see `sshexec.recorder.Recorder`."""
        if self._recorder is not None:
            self._recorder.take(result)
        self._waiting.put(result)

    def end(self, result: RunResult, recorded: Callable[[RunResult], None]) -> None:
        """Take the run's result; see `sshexec.recorder.Recorder`."""
        if self._recorder is None:
            self._waiting.put((result, recorded))
        else:
            self._recorder.end(result, lambda kept: self._waiting.put((kept, recorded)))

    def discard(self) -> None:
        """Forget a run that was not begun; nothing of it was told."""
        if self._recorder is not None:
            self._recorder.discard()

    def _work(self) -> None:
        while not isinstance(told := self._waiting.get(), tuple):
            self._tell(
                "host_finished",
                host=told.host,
                status=told.status,
                cause=told.cause,
                rc=told.rc,
                changed=told.changed,
            )
        result, recorded = told
        self._tell("run_finished", hosts=len(result), state=result.state, counts=result.counts)
        recorded(result)

    def _tell(self, kind: Kind, **more: Any) -> None:
        opening = self._opening
        with self._lock:
            event = AuditEvent(
                kind,
                time.time(),
                opening.run,
                opening.occasion.actor,
                self._reason,
                self._labels,
                opening.task.module,
                opening.task.check,
                opening.resumes,
                **more,
            )
            for number, sink in enumerate(self._sinks):
                self._call(number, sink, event)

    def _call(self, number: int, sink: AuditSink, event: AuditEvent) -> None:
        try:
            sink(event)
        except BaseException as error:
            # Whatever it is: it is the sink's own, and the run has to come to its end. So it has where a handler of
            # the platform's log fails.
            if number not in self._failed:
                self._failed.add(number)
                with contextlib.suppress(Exception):
                    log.exception("audit: %s failed, and events of run %s are lost: %s", sink, event.run[:8], error)


def _shown(opening: Opening) -> tuple[str | None, Mapping[str, str]]:
    """Return why a run is made, and its labels, without the secrets of its hosts."""
    reason, labels = opening.occasion.reason, opening.occasion.labels
    if reason is None and not labels:
        return reason, labels
    found = {text for target in opening.targets for text in secrets_of(target.variables)}
    secrets = sorted(found, key=len, reverse=True)
    return hide(reason, secrets), hide(labels, secrets)
