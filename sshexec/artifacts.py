"""What a run leaves in files, where and as ansible-runner does: for platforms that read those."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sshexec.errors import ArgumentError
from sshexec.events import Event, HostFinished, RunFinished
from sshexec.results import HostResult, RunResult, file_name
from sshexec.runner_events import RunnerEvents

log = logging.getLogger(__name__)

STOPPED = 254
"""Exit status of a run that was cancelled, or over its deadline, as ansible-runner has it."""

_LONGEST = 255


class Artifacts:
    """Writes ``FOLDER/artifacts/IDENT/`` while a run goes on.

    ``job_events/COUNTER-UUID.json`` is an event each, whole as soon as it is there; ``stdout`` what they print;
    ``fact_cache/HOST`` the facts that a module returned; ``status`` is ``starting``, ``running`` and in the end
    ``successful``, ``failed``, ``canceled`` or ``timeout``; then ``rc`` is there too. ``command`` has the words it is
    given and no environment. Only the owner may read any of it. What can't be written is logged once, and the run goes
    on.

    Args:
        folder: where (ansible-runner's private data directory); made where it is missing.
        events: makes the events; its ``ident`` names the directory.
        command: the words that started this, for people; nothing secret may be in them.

    Raises:
        ArgumentError: the ident is no file's name or there already, or the directory can't be made.
    """

    def __init__(self, folder: str, events: RunnerEvents, *, command: Sequence[str] = ()) -> None:
        _check_name(events.ident)
        self.path = os.path.join(os.path.abspath(folder), "artifacts", events.ident)
        self.problem: str | None = None
        """Why something is missing in the files, where it is."""
        self._events = events
        self._ended = False
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
            os.mkdir(self.path, 0o700)
        except FileExistsError as error:
            what = "is there already" if os.path.isdir(error.filename) else "is no directory"
            raise ArgumentError(f"artifacts: {os.path.abspath(error.filename)} {what}") from None
        except OSError as error:
            raise ArgumentError(f"artifacts: {self.path}: {error.strerror}") from None
        try:
            for name in ("job_events", "fact_cache"):
                os.mkdir(os.path.join(self.path, name), 0o700)
            for name in ("stdout", "stderr"):
                self._write(name, "")
            self._write("command", json.dumps({"command": list(command), "cwd": os.getcwd(), "env": {}}))
            self._write("status", "starting")
        except OSError as error:
            self.discard()
            raise ArgumentError(f"artifacts: {self.path}: {error.strerror}") from None

    def over(self, events: Iterable[Event]) -> Iterator[dict[str, Any]]:
        """Write a run's events as they come (`Engine.stream`'s, `Run.events`'), and return the runner's."""
        try:
            for event in events:
                yield from self.take(event)
        finally:
            self.close()

    def take(self, event: Event) -> list[dict[str, Any]]:
        """Write the next event of the run, and return the runner's events for it."""
        made = self._events.take(event)
        if self.problem is None and not self._ended:
            try:
                self._keep(made)
                if isinstance(event, HostFinished):
                    self._keep_facts(event.result)
                elif isinstance(event, RunFinished):
                    self._end(*_outcome(event.result))
            except OSError as error:
                self._broken(error)
        return made

    def close(self) -> None:
        """Call the run canceled where its end was not seen."""
        if self.problem is None and not self._ended:
            try:
                self._end("canceled", STOPPED)
            except OSError as error:
                self._broken(error)

    def discard(self) -> None:
        """Remove the directory: no run was started."""
        self._ended = True
        shutil.rmtree(self.path, ignore_errors=True)

    def _keep(self, made: Sequence[dict[str, Any]]) -> None:
        for event in made:
            if event["counter"] == 1:
                self._write("status", "running")
            name = os.path.join("job_events", f"{event['counter']}-{event['uuid']}.json")
            self._write(name, json.dumps(event, default=str))
        text = "".join(f"{event['stdout']}\n" for event in made if event["stdout"])
        if text:
            # ansible-runner reads it as UTF-8, and half a surrogate pair (of a module's JSON) is none.
            with open(
                os.path.join(self.path, "stdout"), "a", encoding="utf-8", errors="backslashreplace", newline=""
            ) as stdout:
                stdout.write(text)

    def _keep_facts(self, result: HostResult) -> None:
        facts = result.data.get("ansible_facts")
        if facts and result.good and not result.data.get("_ansible_no_log"):
            self._write(os.path.join("fact_cache", file_name(result.host)), json.dumps(facts, default=str))

    def _end(self, status: str, rc: int) -> None:
        self._ended = True
        self._write("rc", str(rc))
        self._write("status", status)

    def _write(self, name: str, text: str) -> None:
        """Write a file so that whoever finds it finds all of it."""
        path = os.path.join(self.path, name)
        folder, last = os.path.split(path)
        partial = os.path.join(folder, f".{last[:200]}.partial")
        try:
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(partial, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(partial)
            raise

    def _broken(self, error: OSError) -> None:
        self.problem = error.strerror or str(error)
        log.warning("artifacts: %s: %s; nothing more is written there", self.path, self.problem)


def _outcome(result: RunResult) -> tuple[str, int]:
    """Return a run's status and exit status in ansible-runner's words."""
    if result.state == "finished":
        return ("failed" if result.exit_code else "successful"), result.exit_code
    return ("timeout" if result.state == "timeout" else "canceled"), STOPPED


def _check_name(ident: str) -> None:
    bad = not ident or ident in (".", "..") or "/" in ident or not ident.isprintable()
    if bad or len(os.fsencode(ident)) > _LONGEST:
        raise ArgumentError(f"ident: {ident[:80]!r} can't name a directory")
