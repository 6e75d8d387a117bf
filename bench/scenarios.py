"""What is measured: the scenarios, their cases, and the figures each yields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.measure import Measurement

SCENARIOS = (
    *("fresh", "open", "idle", "growth", "memory", "local"),
    *("get", "put", "stdout", "spread", "latency", "latency-get", "latency-put", "dead"),
    *("ansible-command", "ansible-copy", "ansible-lineinfile"),
    *("winrm-fleet", "winrm-second", "winrm-put", "winrm-output", "winrm-slow"),
    *("inventory-yaml", "inventory-sqlite", "cmdb", "history-record", "history-share", "history-show"),
    *("terminal", "terminal-cat", "terminal-unread"),
)

TASKS = {
    "ansible-command": ("command", "true", "changed"),
    "ansible-copy": ("copy", "src={file} dest={target}/hosts", "ok"),
    "ansible-lineinfile": ("lineinfile", "path={target}/hosts line='127.0.0.7 host7'", "ok"),
}
"""Module, arguments and the status that each host must have; the last two find on the host what they would make."""

WINDOWS = {
    "winrm-fleet": "a shell is made, runs a command and is deleted on {hosts} fresh hosts, concurrency {concurrency}",
    "winrm-second": "a second command on an open connection",
    "winrm-put": "{megabytes} MB to one host",
    "winrm-output": "{megabytes} MB that a command prints on one host",
    "winrm-slow": "{others} fresh hosts alone and beside one that takes seconds, concurrency {concurrency}",
}
"""What the hosts that speak WinRM are measured with, for people."""

ESTATES = {
    "inventory-yaml": "{hosts} hosts in {groups} groups read from YAML, each with its variables",
    "inventory-sqlite": "the same {hosts} hosts in {groups} groups read from SQLite",
    "cmdb": "{hosts} hosts in {groups} groups read from SQLite, two patterns, each with its variables",
}
"""What is measured of inventories, for people; no host is contacted."""

HISTORIES = {
    "history-record": "a command on {hosts} scripted hosts, {repeat} times with a record and {repeat} times without",
    "history-share": "`true` on {hosts} fresh hosts, {repeat} times with a record and {repeat} times without",
    "history-show": "`sshexec history show` of a run of {hosts} hosts",
}
"""What is measured of records, for people."""

TERMINALS = {
    "terminal": "{hosts} open sessions of a web terminal; one more prints {megabytes} MB that its browser never reads",
    "terminal-cat": "`cat` of {megabytes} MB in a web terminal, to a browser that reads",
    "terminal-unread": "`cat` of {megabytes} MB in a web terminal, to a browser that never reads",
}
"""What is measured of web terminals, for people; the figures are those of the server's process alone."""

WARM_HOSTS = 10
RTT = 0.02
"""Seconds of round-trip time that the delaying proxy adds."""

FRESH_COMMANDS = 15
"""Fresh commands that a client of `latency` runs each way; their median counts."""

UNITS = {
    "wall_s": "wall s",
    "cpu_ms_host": "CPU ms/host",
    "peak_rss_mib": "peak RSS MiB",
    "peak_pss_mib": "peak PSS MiB",
    "connects_s": "connects/s",
    "commands_s": "commands/s",
    "cpu_ms_command": "CPU ms/command",
    "connection_kib": "KiB/connection",
    "idle_us_s": "idle CPU µs/s",
    "mb_s": "MB/s",
    "cpu_ms_mb": "CPU ms/MB",
    "round_trips": "round trips",
    "near_ms": "ms without delay",
    "far_ms": "ms with delay",
    "near_mb_s": "MB/s without delay",
    "far_mb_s": "MB/s with delay",
    "kept": "share kept",
    "live_s": "s, live alone",
    "live_with_dead_s": "s, live beside dead",
    "live_with_slow_s": "s, live beside slow",
    "slowdown": "slowdown",
    "requests": "HTTP requests",
    "largest_kib": "KiB, longest message",
    "working_ms_host": "CPU ms/host, start-up left out",
    "cpu_s": "CPU s",
    "load_s": "s without start-up",
    "without_ms_host": "CPU ms/host without a record",
    "record_ms_host": "CPU ms/host for the record",
    "share": "record's share of the CPU",
    "key_p50_ms": "ms from key to echo, median",
    "key_p99_ms": "99th percentile",
    "session_kib": "KiB/session",
    "rest_percent": "% of a core at rest",
    "unread_mib": "MiB of one that never reads",
    "beside_p99_ms": "99th percentile beside it",
    "growth_mib": "MiB more",
}


@dataclass(frozen=True)
class Case:
    """One table: a scenario at one size.

    Args:
        scenario: its name.
        hosts: how many.
        concurrency: hosts worked on at once (Fabric has no such bound).
        known_hosts: lines of the known_hosts file.
        mode: fresh, session, local or the scenario's own, see `bench/clients/job.py`.
        repeat: commands for each host.
        idle: seconds for which the open connections do nothing.
        megabytes: what is transferred to or from each host (10**6 bytes).
        rtt: seconds of round-trip time that the second port of each host adds.
        dead: hosts that do not answer, beside the others.
        module: what is run.
        args: its arguments; ``{file}`` and ``{target}`` are those of the job.
        status: what each host must answer, ``changed`` or ``ok``.
    """

    scenario: str
    hosts: int
    concurrency: int = 50
    known_hosts: int = 0
    mode: str = "fresh"
    repeat: int = 1
    idle: float = 0.0
    megabytes: int = 0
    rtt: float = 0.0
    dead: int = 0
    module: str = "raw"
    args: str = "true"
    status: str = "changed"

    @property
    def groups(self) -> int:
        """In how many groups the hosts of an inventory are."""
        return max(1, self.hosts // 25)

    @property
    def estate(self) -> bool:
        """Whether an inventory is measured, and no host."""
        return self.scenario in ESTATES

    @property
    def expected(self) -> int:
        """How many commands or transfers have to end well."""
        if self.scenario == "latency" or self.scenario in ("history-record", "history-share"):
            return 2 * self.repeat * (1 if self.scenario == "latency" else self.hosts)
        if self.scenario == "dead":
            return 2 * self.hosts
        if self.scenario in TERMINALS:
            return self.hosts
        if self.scenario == "winrm-slow":
            return 3 * (self.hosts - 1) + 1
        return (2 if self.rtt else 1) * self.hosts * self.repeat

    @property
    def key(self) -> str:
        """Its stable name in the JSON."""
        more = f"-{self.known_hosts}" if self.scenario == "growth" else f"-{self.megabytes}" if self.megabytes else ""
        if self.scenario in TASKS:
            more = f"-{self._temperature}"
        return f"{self.scenario}-{self.hosts}{more}"

    @property
    def windows(self) -> bool:
        """Whether its hosts speak WinRM."""
        return self.scenario in WINDOWS

    @property
    def _temperature(self) -> str:
        return "warm" if self.mode == "warm" else "cold"

    @property
    def warm(self) -> int:
        """Hosts that a session reaches before anything is measured."""
        return min(WARM_HOSTS, self.hosts // 2)

    @property
    def title(self) -> str:
        """One line for people."""
        if self.mode == "local":
            return "local: `true` on this machine by the command line"
        if self.windows:
            return f"{self.scenario}: {WINDOWS[self.scenario].format(**vars(self), others=self.hosts - 1)}"
        if told := {**ESTATES, **HISTORIES, **TERMINALS}.get(self.scenario):
            return f"{self.scenario}: {told.format(**vars(self), groups=self.groups)}"
        if self.scenario in TASKS:
            task = f"`{self.module} {self.args}`" + (", nothing to do" if self.status == "ok" else "")
            return f"{self.scenario}: {task}, {self.hosts} hosts, concurrency {self.concurrency}, {self._temperature}"
        delay = f", {self.rtt * 1000:g} ms of round-trip time added and not" if self.rtt else ""
        if self.megabytes:
            many = f" to {self.hosts} fresh hosts, concurrency {self.concurrency}" if self.hosts > 1 else ""
            return f"{self.scenario}: {self.megabytes} MB{many}{delay}"
        if self.rtt:
            return f"{self.scenario}: `true` on a fresh connection{delay}"
        if self.dead:
            return (
                f"{self.scenario}: `true` on {self.hosts} fresh hosts, beside {self.dead} that do not answer and alone"
            )
        if self.mode == "session":
            what = f"then {self.idle:g} s idle" if self.idle else f"× {self.repeat} commands"
            return f"{self.scenario}: {self.hosts} open connections {what}, concurrency {self.concurrency}"
        lines = f", known_hosts of {self.known_hosts} lines"
        return f"{self.scenario}: `true` on {self.hosts} fresh hosts, concurrency {self.concurrency}{lines}"

    def figures(self, seen: Measurement) -> dict[str, float]:
        """Return what one run says, by the names in `UNITS`."""
        total = seen.total
        if self.scenario in TERMINALS:
            return seen.figures
        if self.mode == "local":
            ready, done = seen.marks["ready"], seen.marks["done"]
            return {"wall_s": done.wall - ready.wall, "peak_rss_mib": total.rss / 1024}
        peaks = {"peak_rss_mib": total.rss / 1024, "peak_pss_mib": total.pss / 1024}
        if self.estate or self.scenario == "history-show":
            ready, done = seen.marks["ready"], seen.marks["done"]
            return {"wall_s": done.wall - ready.wall, "cpu_s": done.cpu - ready.cpu, **seen.figures}
        if self.scenario == "winrm-fleet":
            working = (seen.marks["done"].cpu - seen.marks["ready"].cpu) * 1000 / self.hosts
            cpu = total.cpu * 1000 / self.hosts
            return {"wall_s": total.wall, "cpu_ms_host": cpu, "working_ms_host": working, **seen.figures, **peaks}
        if seen.figures and (self.rtt or not self.megabytes):
            return {**seen.figures, **peaks}
        if self.megabytes:
            begun, done = seen.marks["ready"], seen.marks["done"]
            seconds, sent = done.wall - begun.wall, self.megabytes * self.hosts
            timed = {"mb_s": sent / seconds} if self.hosts == 1 else {"wall_s": total.wall}
            cpu = done.cpu - begun.cpu if self.hosts == 1 else total.cpu
            return {**timed, "cpu_ms_mb": cpu * 1000 / sent, **seen.figures, **peaks}
        if self.mode == "fresh":
            return {"wall_s": total.wall, "cpu_ms_host": total.cpu * 1000 / self.hosts, **peaks}
        if self.mode == "warm":
            ready, done = seen.marks["ready"], seen.marks["done"]
            cpu = done.cpu - ready.cpu
            return {"wall_s": done.wall - ready.wall, "cpu_ms_host": cpu * 1000 / self.hosts, **peaks}
        ready, connected = seen.marks["ready"], seen.marks["connected"]
        opened = self.hosts - self.warm
        memory = {"connection_kib": (connected.rss - ready.rss) / opened, **peaks}
        if self.idle:
            idle, end = seen.marks["idle"], seen.marks["end"]
            rate = (end.cpu - idle.cpu) / (end.wall - idle.wall)
            return {"idle_us_s": rate * 1e6 / self.hosts, **memory}
        done, commands = seen.marks["commands"], self.hosts * self.repeat
        return {
            "connects_s": opened / (connected.wall - ready.wall),
            "commands_s": commands / (done.wall - connected.wall),
            "cpu_ms_command": (done.cpu - connected.cpu) * 1000 / commands,
            **memory,
        }


def cases(scenarios: Sequence[str], hosts: Sequence[int], quick: bool) -> list[Case]:
    """Return the cases of these scenarios.

    Args:
        scenarios: names out of `SCENARIOS`.
        hosts: sizes of ``fresh`` instead of its own; the other scenarios then take the largest of them, and
            ``growth`` the smallest and the largest.
        quick: a short look instead of figures that count.
    """
    sizes = sorted(hosts) or ([20] if quick else [100, 300, 1000])
    given = bool(hosts) or quick
    small, large = (sizes[0], sizes[-1]) if given else (300, 1000)
    many = large if given else 200
    big = 10 if quick else 200
    tasks = large if given else 100
    estate, recorded, shared = (large, large, large) if given else (10_000, 5000, 1000)

    def one(scenario: str, megabytes: int, rtt: float = 0.0) -> Case:
        return Case(scenario, 1, known_hosts=1, mode=scenario, megabytes=megabytes, rtt=rtt)

    def both(scenario: str) -> list[Case]:
        module, args, status = TASKS[scenario]
        return [
            Case(scenario, tasks, known_hosts=tasks, mode=mode, module=module, args=args, status=status)
            for mode in ("fresh", "warm")
        ]

    made = {
        **{name: both(name) for name in TASKS},
        "fresh": [Case("fresh", n, known_hosts=n) for n in sizes],
        "open": [Case("open", many, known_hosts=many, mode="session", repeat=5 if quick else 20)],
        "idle": [Case("idle", many, known_hosts=many, mode="session", idle=2.0 if quick else 10.0)],
        "growth": [
            Case("growth", n, known_hosts=lines) for n, lines in ((small, small), (large, large), (large, 10 * large))
        ],
        "memory": [Case("memory", large, known_hosts=large, concurrency=100)],
        "local": [Case("local", 1, known_hosts=1, mode="local")],
        "get": [one("get", big)],
        "put": [one("put", big)],
        "stdout": [one("stdout", 5 if quick else 100)],
        "spread": [Case("spread", many, known_hosts=many, mode="spread", megabytes=1)],
        "latency": [Case("latency", 1, known_hosts=1, mode="latency", repeat=3 if quick else FRESH_COMMANDS, rtt=RTT)],
        "latency-get": [one("latency-get", big, RTT)],
        "latency-put": [one("latency-put", big, RTT)],
        "winrm-fleet": [Case("winrm-fleet", many, args="exit 0")],
        "winrm-second": [Case("winrm-second", 1, mode="winrm-second")],
        "winrm-put": [one("winrm-put", 2 if quick else 10)],
        "winrm-output": [one("winrm-output", 2 if quick else 50)],
        "winrm-slow": [Case("winrm-slow", many, concurrency=20, mode="winrm-slow")],
        "inventory-yaml": [Case("inventory-yaml", estate, mode="inventory-yaml")],
        "inventory-sqlite": [Case("inventory-sqlite", estate, mode="inventory-sqlite")],
        "cmdb": [Case("cmdb", large if given else 50_000, mode="cmdb")],
        "history-record": [Case("history-record", recorded, mode="history-record", repeat=1 if quick else 3)],
        "history-share": [
            Case("history-share", shared, known_hosts=shared, mode="history-share", repeat=1 if quick else 3)
        ],
        "history-show": [Case("history-show", recorded, mode="history-show")],
        "terminal": [
            Case(
                *("terminal", many),
                known_hosts=many,
                mode="terminal",
                idle=1.0 if quick else 20.0,
                repeat=2 if quick else 10,
                megabytes=5 if quick else 50,
            )
        ],
        **{
            name: [Case(name, 1, known_hosts=1, mode=name, idle=1.0 if quick else 10.0, megabytes=5 if quick else 50)]
            for name in ("terminal-cat", "terminal-unread")
        },
        "dead": [Case("dead", large // 2, known_hosts=large // 2, mode="dead", concurrency=100, dead=large // 2)],
    }
    return list(dict.fromkeys(case for name in SCENARIOS if name in scenarios for case in made[name]))
