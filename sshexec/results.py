"""What a run answers: one frozen result a host, in Ansible's shape and in a typed one."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal

from sshexec.errors import HostsFailedError

Recorded = Literal["database", "journal", "incomplete"]
Status = Literal["ok", "changed", "failed", "unreachable", "timeout", "cancelled", "skipped"]

VERSION = 2
"""Version of the dictionaries that `to_dict` returns; raised when a key changes its meaning."""

CENSORED = "the output has been hidden due to the fact that 'no_log: true' was specified for this result"
"""What Ansible says in the place of a result that nobody is to see (``no_log``)."""

GOOD: frozenset[str] = frozenset({"ok", "changed", "skipped"})


@dataclass(frozen=True, slots=True)
class HostResult:
    """How the task ended on one host.

    Args:
        host: inventory name.
        status: ok, changed, failed, unreachable, timeout, cancelled or skipped.
        data: the very dictionary that Ansible returns for the task.
        cause: a stable word for why it did not end well (`sshexec.errors`); None where it did.
        phase: the phase in which it went wrong.
        started: when this host's turn came, seconds since the epoch on this machine; None where it never came.
        finished: when its result was there, likewise.
        truncated: whether output was left out of the middle, see ``spilled``.
        spilled: files with the whole streams, by stream.
        stdout_bytes: what the task printed, byte by byte, where that was asked for (``binary``); None where it was not,
            or where some of it was left out.
        stderr_bytes: likewise.
        killed: whether the death of the remote process group was confirmed after a time-out or cancel.
        notices: what the connection has to say beside the task's own result: ``notice`` is a stable word,
            ``message`` one line for people, the other keys depend on the word (docs/ssh.md).
        phases: seconds that the turn spent in each phase (`sshexec.connectors.base.Phase`), in their order.
    """

    host: str
    status: Status
    data: Mapping[str, Any] = field(default_factory=dict)
    cause: str | None = None
    phase: str | None = None
    started: float | None = None
    finished: float | None = None
    truncated: bool = False
    spilled: Mapping[str, str] = field(default_factory=dict)
    killed: bool | None = None
    notices: tuple[Mapping[str, Any], ...] = ()
    phases: Mapping[str, float] = field(default_factory=dict)
    stdout_bytes: bytes | None = field(default=None, repr=False)
    stderr_bytes: bytes | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        # One line, whatever the host printed.
        detail = f" rc={self.rc}" if self.rc is not None else f" {self.cause}" if self.cause else ""
        return f"<HostResult {self.host}: {self.status}{detail}>"

    @property
    def good(self) -> bool:
        """Whether the status is ok, changed or skipped."""
        return self.status in GOOD

    @property
    def changed(self) -> bool:
        """Whether the task changed the host, or may have."""
        return bool(self.data.get("changed", False))

    @property
    def rc(self) -> int | None:
        """Exit status of the command; None where there was none."""
        rc = self.data.get("rc")
        return rc if isinstance(rc, int) else None

    @property
    def stdout(self) -> str:
        """Standard output as text."""
        return str(self.data.get("stdout", ""))

    @property
    def stderr(self) -> str:
        """Standard error as text."""
        return str(self.data.get("stderr", ""))

    @property
    def msg(self) -> str:
        """What went wrong or is worth saying, for people."""
        return str(self.data.get("msg", ""))

    @property
    def why(self) -> str:
        """What `msg` says, with the reason where Ansible shows one beside it (``exception`` in the dictionary)."""
        said, reason = self.msg, str(self.data.get("exception") or "")
        return reason if said and reason.startswith(said.removesuffix(".")) else said

    @property
    def seconds(self) -> float | None:
        """How long this host's turn took."""
        return None if self.started is None or self.finished is None else self.finished - self.started

    def to_ansible(self) -> dict[str, Any]:
        """Return the dictionary that Ansible returns for the task."""
        return dict(self.data)

    def to_callback(self) -> dict[str, Any]:
        """Return the dictionary as Ansible's callbacks and ansible-runner's events get it.

        ``failed`` and ``skipped`` are not in it, since the callback's name says them; ``_ansible_no_log`` always is.
        """
        shown = {name: value for name, value in self.data.items() if name not in ("failed", "skipped")}
        shown.setdefault("_ansible_no_log", False)
        return shown

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data with stable keys."""
        return {
            "host": self.host,
            "status": self.status,
            "cause": self.cause,
            "phase": self.phase,
            "started": self.started,
            "finished": self.finished,
            "truncated": self.truncated,
            "spilled": dict(self.spilled),
            "killed": self.killed,
            "notices": [dict(notice) for notice in self.notices],
            "phases": dict(self.phases),
            "stdout_base64": base64_of(self.stdout_bytes),
            "stderr_base64": base64_of(self.stderr_bytes),
            "result": dict(self.data),
        }


def file_name(host: str) -> str:
    """Return the name of a host's file or directory; no host's name leads out of the directory above."""
    name = host.replace("%", "%25").replace("/", "%2F").replace("\0", "%00")
    return name.replace(".", "%2E") if name in ("", ".", "..") else name


def base64_of(data: bytes | None) -> str | None:
    """Return bytes as JSON can hold them."""
    return None if data is None else base64.b64encode(data).decode("ascii")


@dataclass(frozen=True, slots=True)
class Group:
    """Hosts that answered the same.

    Args:
        hosts: their names, in the order of the run.
        results: their results, in the same order.
    """

    hosts: tuple[str, ...]
    results: tuple[HostResult, ...]

    @property
    def result(self) -> HostResult:
        """The result of the first of them."""
        return self.results[0]

    @property
    def common(self) -> dict[str, Any]:
        """Those keys of Ansible's dictionary that have the same value on every host of the group."""
        first, *others = self.results
        missing = object()
        return {k: v for k, v in first.data.items() if all(other.data.get(k, missing) == v for other in others)}


@dataclass(frozen=True, slots=True)
class Stats:
    """How often each host ended how, in the shape of Ansible's AggregateStats; can't be changed.

    A host of a run has one task, so each count is 1. ``processed`` has every host, and of the others each host is in
    one of ``ok``, ``failures``, ``dark`` and ``skipped``; ``changed`` are those of ``ok`` that were.

    Args:
        ok: hosts on which the task ended well.
        failures: hosts on which it failed, timed out or was cancelled.
        dark: hosts that were unreachable.
        changed: hosts that the task changed.
        skipped: hosts on which there was nothing to do.
        rescued: empty, since there are no blocks here.
        ignored: empty, since no failure is ignored here.
        processed: all of them.
    """

    ok: Mapping[str, int]
    failures: Mapping[str, int]
    dark: Mapping[str, int]
    changed: Mapping[str, int]
    skipped: Mapping[str, int]
    rescued: Mapping[str, int]
    ignored: Mapping[str, int]
    processed: Mapping[str, int]

    @classmethod
    def of(cls, results: Iterable[HostResult]) -> Stats:
        """Count the results of a run."""
        counts: dict[str, dict[str, int]] = {each.name: {} for each in fields(cls)}
        for result in results:
            for name in ("processed", *_STATISTICS[result.status]):
                counts[name][result.host] = 1
        return cls(**{name: MappingProxyType(hosts) for name, hosts in counts.items()})

    @property
    def custom(self) -> Mapping[str, Any]:
        """What ``set_stats`` would have set: nothing. Ansible's own callbacks ask for it."""
        return MappingProxyType({})

    def summarize(self, host: str) -> dict[str, int]:
        """Return the counts of one host, under AggregateStats' names."""
        return {
            "ok": self.ok.get(host, 0),
            "failures": self.failures.get(host, 0),
            "unreachable": self.dark.get(host, 0),
            "changed": self.changed.get(host, 0),
            "skipped": self.skipped.get(host, 0),
            "rescued": self.rescued.get(host, 0),
            "ignored": self.ignored.get(host, 0),
        }

    def to_dict(self) -> dict[str, dict[str, int]]:
        """Return the counts as plain data, as ansible-runner's ``Runner.stats``."""
        return {each.name: dict(getattr(self, each.name)) for each in fields(self)}

    def __reduce__(self) -> tuple[Any, ...]:
        return _stats, (self.to_dict(),)


_STATISTICS: Mapping[Status, tuple[str, ...]] = {
    "ok": ("ok",),
    "changed": ("ok", "changed"),
    "skipped": ("skipped",),
    "unreachable": ("dark",),
    "failed": ("failures",),
    "timeout": ("failures",),
    "cancelled": ("failures",),
}
"""Under which names a host of each status is counted, besides ``processed``."""


def _stats(counts: Mapping[str, Mapping[str, int]]) -> Stats:
    """Make statistics again from what `Stats.to_dict` returned."""
    return Stats(**{name: MappingProxyType(dict(hosts)) for name, hosts in counts.items()})


@dataclass(frozen=True)
class RunResult(Mapping[str, HostResult]):
    """The results of a run, by host, in the order of the inventory.

    Args:
        id: the run's identifier.
        module: the module's name.
        hosts: results by host.
        started: seconds since the epoch.
        finished: likewise.
        state: finished, cancelled, or timeout where the run's deadline passed.
        recorded: where the record of it is: ``database``, ``journal`` (a file of this machine, until the database takes
            it), ``incomplete`` where not everything could be kept; None where no record was asked for.
    """

    id: str
    module: str
    hosts: Mapping[str, HostResult]
    started: float
    finished: float
    state: Literal["finished", "cancelled", "timeout"] = "finished"
    recorded: Recorded | None = None

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        return f"<RunResult of {self.module}: {counts or 'no hosts'}>"

    def __getitem__(self, host: str) -> HostResult:
        return self.hosts[host]

    def __iter__(self) -> Iterator[str]:
        return iter(self.hosts)

    def __len__(self) -> int:
        return len(self.hosts)

    def with_status(self, *statuses: Status) -> dict[str, HostResult]:
        """Return the results that have one of these statuses."""
        return {name: result for name, result in self.hosts.items() if result.status in statuses}

    @property
    def ok(self) -> dict[str, HostResult]:
        """Hosts on which the task ended well (ok or changed)."""
        return self.with_status("ok", "changed")

    @property
    def failed(self) -> dict[str, HostResult]:
        """Hosts on which the task failed, timed out or was cancelled."""
        return self.with_status("failed", "timeout", "cancelled")

    @property
    def unreachable(self) -> dict[str, HostResult]:
        """Hosts that the task could not be handed to."""
        return self.with_status("unreachable")

    @property
    def skipped(self) -> dict[str, HostResult]:
        """Hosts on which there was nothing to do."""
        return self.with_status("skipped")

    @property
    def exit_code(self) -> int:
        """0 all well, 2 some host failed, 4 some host unreachable (wins), as Ansible's command line."""
        if self.unreachable:
            return 4
        return 2 if self.failed else 0

    @property
    def stats(self) -> Stats:
        """Which hosts ended how, in the shape of Ansible's AggregateStats."""
        return Stats.of(self.hosts.values())

    @property
    def counts(self) -> dict[str, int]:
        """How many hosts have each status; statuses that no host has are left out."""
        counts: dict[str, int] = {}
        for result in self.hosts.values():
            counts[result.status] = counts.get(result.status, 0) + 1
        return counts

    @property
    def learned_host_keys(self) -> list[dict[str, Any]]:
        """Host keys that this run trusted on first sight, each once, in the order of the hosts.

        Each has the host that met it (``host``) and the keys of its notice, without ``notice`` and ``message``
        (docs/ssh.md).
        """
        learned: dict[tuple[Any, ...], dict[str, Any]] = {}
        for name, result in self.hosts.items():
            for notice in result.notices:
                if notice.get("notice") == "host_key_learned":
                    entry = {key: value for key, value in notice.items() if key not in ("notice", "message")}
                    # What could not be saved is learned by each worker process anew.
                    learned.setdefault((entry["name"], entry["fingerprint"], entry["path"]), {"host": name, **entry})
        return list(learned.values())

    def groups(self) -> list[Group]:
        """Fold the hosts by equal outcome (status, exit status, message, output, cause), the largest group first."""
        folded: dict[tuple[Any, ...], list[str]] = {}
        for name, result in self.hosts.items():
            key = (result.status, result.rc, result.msg, result.stdout, result.stderr, result.cause)
            folded.setdefault(key, []).append(name)
        ordered = sorted(folded.values(), key=len, reverse=True)
        return [Group(tuple(names), tuple(self.hosts[name] for name in names)) for names in ordered]

    def raise_for_status(self) -> None:
        """Raise where some host did not end well.

        Raises:
            HostsFailedError: names those hosts.
        """
        bad = [name for name, result in self.hosts.items() if not result.good]
        if bad:
            raise HostsFailedError(bad)

    def to_ansible(self) -> dict[str, dict[str, Any]]:
        """Return ``{"success": {...}, "failed": {...}, "unreachable": {...}}``, each by host, in Ansible's shape."""
        shape: dict[str, dict[str, Any]] = {"success": {}, "failed": {}, "unreachable": {}}
        for name, result in self.hosts.items():
            if result.status == "unreachable":
                shape["unreachable"][name] = result.to_ansible()
            elif result.good:
                shape["success"][name] = result.to_ansible()
            else:
                shape["failed"][name] = result.to_ansible()
        return shape

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data with stable keys."""
        return {
            "version": VERSION,
            "id": self.id,
            "module": self.module,
            "state": self.state,
            "recorded": self.recorded,
            "started": self.started,
            "finished": self.finished,
            "exit_code": self.exit_code,
            "counts": self.counts,
            "stats": self.stats.to_dict(),
            "learned_host_keys": self.learned_host_keys,
            "hosts": {name: result.to_dict() for name, result in self.hosts.items()},
        }
