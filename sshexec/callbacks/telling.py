"""One run, told to its engine's callbacks."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence

from sshexec.callbacks.calls import Callbacks
from sshexec.callbacks.subjects import Host, Play, Playbook, Task, TaskResult
from sshexec.events import Event, HostFinished, HostStarted
from sshexec.results import HostResult, RunResult
from sshexec.task import Target
from sshexec.task import Task as Order


class Telling:
    """Calls the callbacks for one run, on a thread of its own and in the order of the events.

    What waits for a slow callback are two events a host at most, and the run has their results anyway; the run ends
    once all is told.

    Args:
        callbacks: whom to call.
        order: what is to be done.
        targets: where.
        pattern: how they were chosen.
    """

    def __init__(
        self, callbacks: Callbacks, order: Order, targets: Sequence[Target], pattern: str | Sequence[str]
    ) -> None:
        self._callbacks = callbacks
        self._targets = {target.host: target for target in targets}
        self._task = Task(order, no_log=order.no_log)
        self._play = Play(pattern, list(self._targets), order)
        self._started: dict[str, Host] = {}
        self._waiting: queue.Queue[Event | tuple[RunResult, Callable[[], None]]] = queue.Queue()

    def begin(self) -> None:
        """Start calling."""
        threading.Thread(target=self._tell, name="sshexec-callbacks", daemon=True).start()

    def put(self, event: Event) -> None:
        """Take an event; never waits."""
        if isinstance(event, (HostStarted, HostFinished)):
            self._waiting.put(event)

    def end(self, result: RunResult, told: Callable[[], None]) -> None:
        """Take the run's result.

        Args:
            result: of all hosts.
            told: called once every callback has returned.
        """
        self._waiting.put((result, told))

    def _tell(self) -> None:
        call = self._callbacks.call
        call("v2_playbook_on_start", Playbook(self._play))
        call("v2_playbook_on_play_start", self._play)
        call("v2_playbook_on_task_start", self._task, is_conditional=False)
        while not isinstance(event := self._waiting.get(), tuple):
            if isinstance(event, HostStarted):
                self._start(event.host)
            elif isinstance(event, HostFinished):
                self._finish(event.result)
        result, told = event
        call("v2_playbook_on_stats", result.stats)
        told()

    def _start(self, name: str) -> Host:
        host = self._started[name] = Host(self._targets[name])
        self._callbacks.call("v2_runner_on_start", host, self._task)
        return host

    def _finish(self, ended: HostResult) -> None:
        # A host whose turn never came, or whose start nobody asked for, starts here.
        host = self._started.pop(ended.host, None) or self._start(ended.host)
        self._started.pop(ended.host, None)
        result = TaskResult(host, self._task, ended)
        if ended.status in ("ok", "changed"):
            if self._task.diff and "diff" in ended.data:
                self._callbacks.call("v2_on_file_diff", result)
            self._callbacks.call("v2_runner_on_ok", result)
        elif ended.status == "skipped":
            self._callbacks.call("v2_runner_on_skipped", result)
        elif ended.status == "unreachable":
            self._callbacks.call("v2_runner_on_unreachable", result)
        else:
            self._callbacks.call("v2_runner_on_failed", result, ignore_errors=False)
