"""A run and its hosts' results as rows of the history, and results made of rows again."""

from __future__ import annotations

import base64
import json
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from sshexec.history.hiding import Hiding, Needles, shown_args
from sshexec.history.outputs import Outputs, found
from sshexec.recorder import Opening
from sshexec.results import HostResult
from sshexec.secret import HIDDEN, Secret, is_secret_name

STREAMS = ("stdout", "stderr")

NAME_LENGTH = 255
"""Characters of the longest name that the tables hold (`sshexec.database.types`, which this does not load)."""

_WORD_LENGTH = 32
_TICK = 0.001
"""Seconds between two runs of a chain at least."""

_LARGE = 2**18
"""Bytes of Ansible's dictionary, without its streams, that are kept in a row at most."""

_SMALL = 4096
"""Bytes of each of its values that stay in the row where the whole is in a file."""

_WORDS = frozenset(
    [
        *("changed", "failed", "skipped", "skip_reason", "unreachable", "msg", "rc", "cmd", "start", "end", "delta"),
        *("invocation", "diff", "warnings", "deprecations", "exception", "ansible_facts", "censored"),
        "_ansible_no_log",
    ]
)
"""Names in Ansible's dictionary that every module may use: they tell nothing."""


def _shown(value: Any) -> Any:
    """Return what stands for a value that JSON has no form for."""
    if isinstance(value, Secret):
        return HIDDEN
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


text_of = json.JSONEncoder(separators=(",", ":"), default=_shown).encode
"""Returns a value as JSON of ASCII characters."""


def is_name(text: str) -> bool:
    """Return whether every database can hold a name."""
    return len(text) <= NAME_LENGTH and (text.isascii() or _is_unicode(text)) and "\0" not in text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def clean(text: str, length: int | None = None) -> str:
    """Return a text without what databases refuse: NUL, lone surrogates, and what is too long."""
    text = text.replace("\0", "\ufffd")
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text if length is None else text[:length]


def run_row(opening: Opening, hiding: Hiding, root: str, journal: str | None, after: float = 0.0) -> dict[str, Any]:
    """Return the row of a run that is about to begin.

    Args:
        opening: the run.
        hiding: its secrets.
        root: the first run of the chain that it goes on with; its own identifier elsewhere.
        journal: the directory of its journal.
        after: it began later than this, whatever the clock says.
    """
    needles, occasion = hiding.everything, opening.occasion
    hosts = [target.host for target in opening.targets]
    pattern = opening.pattern if isinstance(opening.pattern, str) else ",".join(opening.pattern)
    return {
        "id": opening.run,
        "root": root,
        "resumes": opening.resumes,
        "actor": None if occasion.actor is None else clean(needles.hide(occasion.actor), NAME_LENGTH),
        "reason": None if occasion.reason is None else clean(needles.hide(occasion.reason)),
        "labels": text_of(needles.hidden(dict(occasion.labels))),
        "module": clean(opening.task.module, NAME_LENGTH),
        "task": text_of(_task(opening, needles)),
        "pattern": clean(needles.hide(pattern)),
        "hosts": text_of(hosts),
        "count": len(hosts),
        "runner": text_of({"machine": socket.gethostname(), "pid": os.getpid(), "journal": journal}),
        "started": max(time.time(), after + _TICK),
    }


def _task(opening: Opening, needles: Needles) -> dict[str, Any]:
    """Return what is done and how, without what is secret.

    ``hidden`` names what is not shown and would have to be given again: ``args``, ``environment.NAME``.
    """
    task, course, become = opening.task, opening.course, opening.task.become
    hidden = []
    args, hides = (None, task.args is not None) if task.no_log else shown_args(task.args, needles)
    if hides:
        hidden.append("args")
    environment = {}
    for name, value in task.environment.items():
        if task.no_log or is_secret_name(name):
            environment[name] = HIDDEN
        else:
            environment[name] = needles.hidden(value)
        if environment[name] != value:
            hidden.append(f"environment.{name}")
    return {
        "module": task.module,
        "args": args,
        "check": task.check,
        "diff": task.diff,
        "environment": environment,
        "timeout": task.timeout,
        "output_limit": task.output_limit,
        "spill": task.spill,
        "become": become.become,
        "become_user": become.user,
        "become_method": become.method,
        "become_flags": None if become.flags is None else needles.hide(become.flags),
        "output_dir": task.output_dir,
        "binary": task.binary,
        "no_log": task.no_log,
        "serial": course.serial,
        "max_fail_percentage": course.max_fail_percentage,
        "run_timeout": course.run_timeout,
        "extra": list(opening.extra),
        "hidden": hidden,
    }


class Results:
    """Makes the rows of a run's results.

    Args:
        run: its identifier.
        hiding: its secrets.
        outputs: keeps what is over the budget.
        budget: bytes of each stream that stay in a row.
    """

    def __init__(self, run: str, hiding: Hiding, outputs: Outputs, budget: int) -> None:
        self._run = run
        self._hiding = hiding
        self._outputs = outputs
        self._budget = budget
        self.problem: OSError | None = None
        """Why the file of some output could not be written, the last time that it could not."""

    def row(self, result: HostResult) -> dict[str, Any]:
        """Return the row of a result, without its run; the file of its output is there by then."""
        needles = self._hiding.of(result.host)
        files: dict[str, dict[str, Any]] = {}
        kept = 0
        rest = dict(result.data)
        texts = {}
        lines = []
        for stream in STREAMS:
            text = rest.get(stream)
            if isinstance(text, str):
                del rest[stream]
                if isinstance(rest.get(f"{stream}_lines"), list):
                    del rest[f"{stream}_lines"]
                    lines.append(stream)
                texts[stream] = self._stream(result, stream, text, needles, files)
            else:
                texts[stream] = "null"
        data = self._data(result, rest, lines, needles, files)
        for file in files.values():
            kept += file["bytes"] if file["kept"] else 0
        rc = result.rc
        return {
            "host": result.host,
            "status": result.status,
            "cause": None if result.cause is None else clean(result.cause, _WORD_LENGTH),
            "phase": None if result.phase is None else clean(result.phase, _WORD_LENGTH),
            "rc": None if rc is None or not -(2**63) <= rc < 2**63 else int(rc),
            "changed": result.changed,
            "started": result.started,
            "finished": result.finished,
            "phases": text_of(result.phases) if result.phases else "{}",
            "data": data,
            **texts,
            "files": text_of(files) if files else "{}",
            "size": 200 + len(data) + len(texts["stdout"]) + len(texts["stderr"]) + kept,
        }

    def _stream(
        self, result: HostResult, stream: str, text: str, needles: Needles, files: dict[str, dict[str, Any]]
    ) -> str:
        if not text:
            shown = ""
        else:
            shown = needles.hide(text)
            if result.truncated:
                shown = needles.hide_halves(shown)
            if len(shown) > self._budget or (len(shown) * 4 > self._budget and not shown.isascii()):
                data = shown.encode("utf-8", "surrogatepass")
                if len(data) > self._budget:
                    shown = self._cut(data)
                    if stream not in result.spilled:
                        files[stream] = self._keep(result.host, stream, data)
        if stream in result.spilled:
            files[stream] = found(result.spilled[stream])
        return text_of(shown)

    def _cut(self, data: bytes) -> str:
        """Return head and tail, as `sshexec.connectors.output` joins them."""
        half = self._budget // 2
        head, tail = data[:half], data[len(data) - half :]
        note = f"\n[... {len(data) - 2 * half} bytes left out ...]\n"
        return head.decode("utf-8", "ignore") + note + tail.decode("utf-8", "ignore")

    def _keep(self, host: str, name: str, data: bytes) -> dict[str, Any]:
        try:
            return self._outputs.keep(self._run, host, name, data)
        except OSError as error:
            self.problem = error
            return {"path": None, "bytes": len(data), "sha256": None, "kept": False}

    def _data(
        self,
        result: HostResult,
        rest: dict[str, Any],
        lines: list[str],
        needles: Needles,
        files: dict[str, dict[str, Any]],
    ) -> str:
        record: dict[str, Any] = {"result": rest}
        if lines:
            record["lines"] = lines
        if result.notices:
            record["notices"] = result.notices
        if result.truncated:
            record["truncated"] = True
        if result.killed is not None:
            record["killed"] = result.killed
        if result.spilled:
            record["spilled"] = result.spilled
        text = _json(record)
        if rest.get("encoding") == "base64" and isinstance(rest.get("content"), str):
            record["result"] = {**rest, "content": _content(rest["content"], needles)}
            text = _json(record)
        if needles.in_json(text):
            record = _hidden(json.loads(text), needles)
            text = text_of(record)
        if len(text) <= max(_LARGE, self._budget):
            return text
        whole = record["result"]
        files["data"] = self._keep(result.host, "data", text_of(whole).encode("ascii"))
        record["result"] = {
            name: value for name, value in whole.items() if isinstance(value, (str, int, float)) and _is_small(value)
        }
        record["left_out"] = [name for name in whole if name not in record["result"]]
        return text_of(record)


def _hidden(record: dict[str, Any], needles: Needles) -> dict[str, Any]:
    """Return a record without secrets; one that is a word of ours, or of every module, stays where it means nothing."""
    result = {
        name if name in _WORDS else needles.hide(name): needles.hidden(value)
        for name, value in record["result"].items()
    }
    others: list[str] = [name for name in ("notices", "spilled") if name in record]
    hidden = {name: needles.hidden(record[name]) for name in others}
    return {**record, **hidden, "result": result}


def _content(text: str, needles: Needles) -> str:
    """Return a file's content in base64, as slurp answers with it, without the secrets in the file."""
    try:
        content = base64.b64decode(text).decode("utf-8", "surrogateescape")
    except ValueError:
        return text
    shown = needles.hide(content)
    return text if shown == content else base64.b64encode(shown.encode("utf-8", "surrogateescape")).decode()


def _is_small(value: str | float) -> bool:
    return not isinstance(value, str) or len(value) <= _SMALL


def _json(record: dict[str, Any]) -> str:
    try:
        return text_of(record)
    except (TypeError, ValueError, RecursionError):
        # A name that is no text, or a circle: what a module's author should not have returned.
        return text_of({**record, "result": {str(name): repr(value) for name, value in record["result"].items()}})


def result_of(row: Mapping[str, Any]) -> HostResult:
    """Return the result that a row of the table was made of; its streams as far as the row holds them.

    Args:
        row: with ``stdout`` and ``stderr``, or without them where nobody wants them.
    """
    record = json.loads(row["data"])
    data = dict(record["result"])
    for stream in STREAMS:
        text = json.loads(row[stream]) if row.get(stream) is not None else None
        if text is not None:
            data[stream] = text
            if stream in record.get("lines", ()):
                data[f"{stream}_lines"] = text.splitlines()
    return HostResult(
        row["host"],
        row["status"],
        data,
        cause=row["cause"],
        phase=row["phase"],
        started=row["started"],
        finished=row["finished"],
        truncated=record.get("truncated", False),
        spilled=record.get("spilled", {}),
        killed=record.get("killed"),
        notices=tuple(record.get("notices", ())),
        phases=json.loads(row["phases"]),
    )
