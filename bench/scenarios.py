"""What is measured: the scenarios, their cases, and the figures each yields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.measure import Measurement

SCENARIOS = ("fresh", "open", "idle", "growth", "memory", "local")

WARM_HOSTS = 10

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
}


@dataclass(frozen=True)
class Case:
    """One table: a scenario at one size.

    Args:
        scenario: its name.
        hosts: how many.
        concurrency: hosts worked on at once (Fabric has no such bound).
        known_hosts: lines of the known_hosts file.
        mode: fresh, session or local, see `bench/clients/job.py`.
        repeat: commands for each host.
        idle: seconds for which the open connections do nothing.
    """

    scenario: str
    hosts: int
    concurrency: int = 50
    known_hosts: int = 0
    mode: str = "fresh"
    repeat: int = 1
    idle: float = 0.0

    @property
    def key(self) -> str:
        """Its stable name in the JSON."""
        lines = f"-{self.known_hosts}" if self.scenario == "growth" else ""
        return f"{self.scenario}-{self.hosts}{lines}"

    @property
    def warm(self) -> int:
        """Hosts that a session reaches before anything is measured."""
        return min(WARM_HOSTS, self.hosts // 2)

    @property
    def title(self) -> str:
        """One line for people."""
        if self.mode == "local":
            return "local: `true` on this machine by the command line"
        if self.mode == "session":
            what = f"then {self.idle:g} s idle" if self.idle else f"× {self.repeat} commands"
            return f"{self.scenario}: {self.hosts} open connections {what}, concurrency {self.concurrency}"
        lines = f", known_hosts of {self.known_hosts} lines"
        return f"{self.scenario}: `true` on {self.hosts} fresh hosts, concurrency {self.concurrency}{lines}"

    def figures(self, seen: Measurement) -> dict[str, float]:
        """Return what one run says, by the names in `UNITS`."""
        total = seen.total
        if self.mode == "local":
            start, end = seen.marks["start"], seen.marks["end"]
            return {"wall_s": end.wall - start.wall, "peak_rss_mib": total.rss / 1024}
        peaks = {"peak_rss_mib": total.rss / 1024, "peak_pss_mib": total.pss / 1024}
        if self.mode == "fresh":
            return {"wall_s": total.wall, "cpu_ms_host": total.cpu * 1000 / self.hosts, **peaks}
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
    made = {
        "fresh": [Case("fresh", n, known_hosts=n) for n in sizes],
        "open": [Case("open", many, known_hosts=many, mode="session", repeat=5 if quick else 20)],
        "idle": [Case("idle", many, known_hosts=many, mode="session", idle=2.0 if quick else 10.0)],
        "growth": [
            Case("growth", n, known_hosts=lines) for n, lines in ((small, small), (large, large), (large, 10 * large))
        ],
        "memory": [Case("memory", large, known_hosts=large, concurrency=100)],
        "local": [Case("local", 1, known_hosts=1, mode="local")],
    }
    return list(dict.fromkeys(case for name in SCENARIOS if name in scenarios for case in made[name]))
