"""A run's events as ansible-runner writes them, for code that reads those."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from sshexec.callbacks.subjects import ADHOC, resolved
from sshexec.difference import unified
from sshexec.events import Event, HostFinished, HostStarted, RunFinished
from sshexec.results import CENSORED, HostResult, Stats

_PRINTED = frozenset({"command", "shell", "raw", "win_command", "win_shell"})
"""Modules of which Ansible prints what they printed, and not their result."""

_UNPRINTED = frozenset({"invocation", "diff", "exception", "warnings", "deprecations"})
"""Keys that Ansible leaves out where it prints a result."""

_ENDS = {
    "ok": "runner_on_ok",
    "changed": "runner_on_ok",
    "skipped": "runner_on_skipped",
    "unreachable": "runner_on_unreachable",
}
"""The event for each status; for all others it is runner_on_failed."""


_WORDS = {"ok": "SUCCESS", "changed": "CHANGED"}


class RunnerEvents:
    """Turns a run's events into those of ansible-runner 2.4, as of a playbook with one play of one task.

    ``playbook_on_start``, ``playbook_on_play_start``, ``playbook_on_task_start``, for each host ``runner_on_start`` and
    ``runner_on_ok``, ``_failed``, ``_skipped`` or ``_unreachable`` (before it ``runner_on_file_diff``), and
    ``playbook_on_stats``. ``stdout`` is what the ``ansible`` command prints, without colours; ``counter`` begins at 1.
    Hosts that timed out or were cancelled failed. A host whose turn never came starts where it fails.

    Args:
        pattern: which hosts; a list of names is joined by commas.
        module: the module's name.
        ident: ``runner_ident`` of each event; None takes one that is unique.
        diff: whether the run is in diff mode.
    """

    def __init__(
        self, pattern: str | Sequence[str], module: str, *, ident: str | int | None = None, diff: bool = False
    ) -> None:
        self.ident = str(uuid.uuid4() if ident is None else ident)
        self._module = module
        self._diff = diff
        self._counter = self._lines = 0
        self._started: set[str] = set()
        name = pattern if isinstance(pattern, str) else ",".join(pattern)
        self._playbook = {"playbook": ADHOC, "playbook_uuid": str(uuid.uuid4())}
        self._play = {**self._playbook, "play": name, "play_uuid": str(uuid.uuid4()), "play_pattern": name}
        self._task = {
            **self._play,
            "task": module,
            "task_uuid": str(uuid.uuid4()),
            "task_action": module,
            "resolved_action": resolved(module),
            "task_args": "",
            "task_path": "",
        }

    def over(self, events: Iterable[Event]) -> Iterator[dict[str, Any]]:
        """Return the runner's events for those of a run as they come, `Engine.stream`'s or `Run.events`'."""
        for event in events:
            yield from self.take(event)

    def take(self, event: Event) -> list[dict[str, Any]]:
        """Return the runner's events for the next event of the run; none for many of them."""
        made = [] if self._counter else self._beginning()
        if isinstance(event, HostStarted):
            made.append(self._start(event.host))
        elif isinstance(event, HostFinished):
            made += self._end(event.result)
        elif isinstance(event, RunFinished):
            made.append(self._stats(event.result.stats))
        return made

    def _beginning(self) -> list[dict[str, Any]]:
        name = self._play["play"]
        return [
            self._made("playbook_on_start", self._playbook, own=self._playbook["playbook_uuid"]),
            self._made(
                "playbook_on_play_start",
                {**self._play, "name": name, "pattern": name},
                parent=self._play["playbook_uuid"],
                own=self._play["play_uuid"],
            ),
            self._made(
                "playbook_on_task_start",
                {**self._task, "name": self._module, "is_conditional": False},
                parent=self._play["play_uuid"],
                own=self._task["task_uuid"],
            ),
        ]

    def _start(self, host: str) -> dict[str, Any]:
        self._started.add(host)
        return self._of_task("runner_on_start", {"host": host})

    def _end(self, result: HostResult) -> list[dict[str, Any]]:
        host = result.host
        made = [] if host in self._started else [self._start(host)]
        self._started.discard(host)
        shown = result.to_callback()
        if self._diff and "diff" in shown and result.status in ("ok", "changed"):
            text = "\n".join(unified(shown["diff"]))
            made.append(self._of_task("runner_on_file_diff", {"host": host, "diff": shown["diff"]}, text))
        name = _ENDS.get(result.status, "runner_on_failed")
        data: dict[str, Any] = {"host": host, "remote_addr": host}
        if name != "runner_on_skipped":
            data["res"] = {"censored": CENSORED} if shown["_ansible_no_log"] else shown
        finished = result.finished if result.finished is not None else time.time()
        started = result.started if result.started is not None else finished
        data |= {"start": _iso(started), "end": _iso(finished), "duration": round(max(0.0, finished - started), 6)}
        if name == "runner_on_failed":
            data["ignore_errors"] = None
        if name != "runner_on_unreachable":
            data["event_loop"] = None
        return [*made, self._of_task(name, data, printed(result, self._module))]

    def _stats(self, stats: Stats) -> dict[str, Any]:
        data = {**self._playbook, **stats.to_dict(), "artifact_data": {}}
        return self._made("playbook_on_stats", data, parent=self._playbook["playbook_uuid"])

    def _of_task(self, name: str, data: Mapping[str, Any], stdout: str = "") -> dict[str, Any]:
        return self._made(name, {**self._task, **data}, stdout, parent=self._task["task_uuid"])

    def _made(
        self, name: str, data: Mapping[str, Any], stdout: str = "", *, parent: str | None = None, own: str | None = None
    ) -> dict[str, Any]:
        own = own or str(uuid.uuid4())
        self._counter += 1
        first = self._lines
        self._lines += stdout.count("\n") + 1 if stdout else 0
        made: dict[str, Any] = {
            "uuid": own,
            "counter": self._counter,
            "stdout": stdout,
            "start_line": first,
            "end_line": self._lines,
            "runner_ident": self.ident,
            "event": name,
            "pid": os.getpid(),
            "created": _iso(time.time()),
        }
        if parent is not None:
            made["parent_uuid"] = parent
        made["event_data"] = {**data, "uuid": own}
        return made


def printed(result: HostResult, module: str) -> str:
    """Return what the ``ansible`` command prints for a host's result (its callback ``minimal``), without colours."""
    data, host = result.data, result.host
    if result.status == "skipped":
        return f"{host} | SKIPPED"
    if result.status == "unreachable":
        return f"{host} | UNREACHABLE! => {_json(data)}"
    collection, _, short = resolved(module).rpartition(".")
    as_printed = short in _PRINTED and collection in ("ansible.builtin", "ansible.windows")
    if as_printed and ("ansible_job_id" if result.good else "module_stderr") not in data:
        texts = "".join(str(data.get(name, "")) for name in ("stdout", "stderr", "msg"))
        return f"{host} | {_WORDS.get(result.status, 'FAILED')} | rc={data.get('rc', -1)} >>\n{texts}"
    return f"{host} | {_WORDS.get(result.status, 'FAILED!')} => {_json(data)}"


def _json(data: Mapping[str, Any]) -> str:
    # Callbacks are not told of these two, so Ansible does not print them.
    hidden = _UNPRINTED | {"failed", "skipped"}
    kept = {name: value for name, value in data.items() if name not in hidden and not name.startswith("_ansible_")}
    return json.dumps(kept, indent=4, ensure_ascii=False, sort_keys=True, default=str)


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="microseconds")
