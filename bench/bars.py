"""The bars of issues 2 to 7, and how far a run is from each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

Results = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Medians by case, tool and figure."""


@dataclass(frozen=True)
class Bar:
    """At most ``limit``, or at most ``limit`` × another row's figure in the same run; or at least that.

    Args:
        what: for people.
        case: key of the case.
        tool: who is measured.
        figure: which figure.
        limit: the limit, or the factor.
        other: case and tool whose figure is multiplied; None makes the limit absolute.
        least: the figure has to be at least that much.
    """

    what: str
    case: str
    tool: str
    figure: str
    limit: float
    other: tuple[str, str] | None = None
    least: bool = False

    def judge(self, results: Results) -> Verdict:
        """Compare with a run's medians."""
        value = results.get(self.case, {}).get(self.tool, {}).get(self.figure)
        allowed: float | None = self.limit
        if self.other is not None:
            reference = results.get(self.other[0], {}).get(self.other[1], {}).get(self.figure)
            allowed = None if reference is None else self.limit * reference
        return Verdict(self.what, self.figure, value, allowed, self.least)


@dataclass(frozen=True)
class Verdict:
    """A bar after a run.

    Args:
        what: the bar.
        figure: the figure's name.
        value: what was measured; None where it was not.
        allowed: the most (or least) the bar allows; None where its reference was not measured.
        least: whether that is the least.
    """

    what: str
    figure: str
    value: float | None
    allowed: float | None
    least: bool = False

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None where the run can't say."""
        if self.value is None or self.allowed is None:
            return None
        return self.value >= self.allowed if self.least else self.value <= self.allowed

    def __str__(self) -> str:
        if self.value is None or self.allowed is None:
            return f"  –       {self.what}: not measured in this run"
        share = self.value / self.allowed - 1 if self.allowed else float("inf")
        word = "met   " if self.met else "MISSED"
        return f"  {word}  {self.what}: {self.value:.3g}, allowed {self.allowed:.3g} ({share:+.0%})"

    def to_dict(self) -> dict[str, object]:
        """Return plain data."""
        return {**asdict(self), "met": self.met}


def _fresh(what: str, figure: str, limit: float, other: str) -> Bar:
    return Bar(what, "fresh-300", "sshexec", figure, limit, ("fresh-300", other))


def _task(module: str, part: int, tool: str, temperature: str) -> Bar:
    case = f"ansible-{module}-100-{temperature}"
    what = f"CPU a host of {module} by {tool}, {temperature}, at most 1/{part} of Ansible's"
    return Bar(what, case, tool, "cpu_ms_host", 1 / part, (case, "ansible"))


_WINDOWS = ("winrm-fleet-200", "pywinrm")
_YAML, _SQLITE = "inventory-yaml-10000", "inventory-sqlite-10000"
_TERMINAL, _CAT = "terminal-200-50", ("terminal-cat-1-50", "webssh")
_ASYNCSSH = ("spread-200-1", "asyncssh")

BARS = (
    _fresh("CPU a host at 300, at most 1.3 × parallel-ssh", "cpu_ms_host", 1.3, "parallel-ssh"),
    _fresh("CPU a host at 300, at most asyncssh", "cpu_ms_host", 1, "asyncssh"),
    _fresh("CPU a host at 300, at most half of pyinfra", "cpu_ms_host", 0.5, "pyinfra"),
    _fresh("CPU a host at 300, at most 1/35 of Ansible raw", "cpu_ms_host", 1 / 35, "ansible"),
    _fresh("wall s at 300, at most 0.6 × parallel-ssh", "wall_s", 0.6, "parallel-ssh"),
    _fresh("wall s at 300, at most asyncssh", "wall_s", 1, "asyncssh"),
    *(
        Bar(
            f"CPU a host at 1000 with {lines} lines of known_hosts, at most that at 300",
            f"growth-1000-{lines}",
            "sshexec",
            "cpu_ms_host",
            1,
            ("growth-300-300", "sshexec"),
        )
        for lines in (1000, 10_000)
    ),
    Bar("CPU ms a command, 200 open connections × 20", "open-200", "sshexec", "cpu_ms_command", 0.45),
    Bar("CPU µs/s of an idle connection", "idle-200", "sshexec", "idle_us_s", 5),
    Bar("KiB of an idle connection", "idle-200", "sshexec", "connection_kib", 60),
    Bar("peak RSS MiB, 1000 fresh hosts at concurrency 100", "memory-1000", "sshexec", "peak_rss_mib", 120),
    *(
        Bar(f"{what}, at least OpenSSH", case, "sshexec", "mb_s", 1, (case, "openssh"), least=True)
        for what, case in (
            ("MB/s of an SFTP get of 200 MB", "get-1-200"),
            ("MB/s of an SFTP put of 200 MB", "put-1-200"),
            ("MB/s of 100 MB of standard output", "stdout-1-100"),
        )
    ),
    Bar("wall s of 1 MB to 200 hosts, at most 0.9 × asyncssh", "spread-200-1", "sshexec", "wall_s", 0.9, _ASYNCSSH),
    Bar("round trips of a fresh command beyond TCP's own", "latency-1", "sshexec", "round_trips", 4.5),
    Bar("speed of a get kept at 20 ms", "latency-get-1-200", "sshexec", "kept", 0.5, least=True),
    Bar("speed of a put kept at 20 ms", "latency-put-1-200", "sshexec", "kept", 0.5, least=True),
    Bar("500 live hosts beside 500 dead ones: times the time alone", "dead-500", "sshexec", "slowdown", 1.2),
    Bar("wall s of `sshexec run` on one local host", "local-1", "sshexec-cli", "wall_s", 0.6),
    *(
        _task(module, part, f"{tool}{by}", temperature)
        for module, part, tool in (
            ("command", 40, "sshexec"),
            ("copy", 40, "sshexec"),
            ("lineinfile", 15, "sshexec-ansible"),
        )
        for by in ("", "-cli")
        for temperature in ("cold", "warm")
    ),
    Bar("CPU ms a Windows host, 200 hosts, NTLM sealed", _WINDOWS[0], "sshexec", "cpu_ms_host", 7),
    Bar("wall s of 200 Windows hosts, at most pywinrm", _WINDOWS[0], "sshexec", "wall_s", 1, _WINDOWS),
    Bar("requests of a second command on Windows", "winrm-second-1", "sshexec", "requests", 3),
    Bar("MB/s of a put of 10 MB to Windows", "winrm-put-1-10", "sshexec", "mb_s", 14, least=True),
    Bar("KiB of the longest message of that put", "winrm-put-1-10", "sshexec", "largest_kib", 150),
    Bar("peak RSS MiB of 50 MB of output of Windows", "winrm-output-1-50", "sshexec", "peak_rss_mib", 120),
    *(
        Bar(
            f"wall s of 10,000 hosts from YAML by {tool}, at most 1/5 of ansible-inventory --list",
            _YAML,
            tool,
            "wall_s",
            1 / 5,
            (_YAML, "ansible"),
        )
        for tool in ("sshexec", "sshexec-cli")
    ),
    *(
        Bar(f"wall s of the same from SQLite by {tool}, at most YAML's", _SQLITE, tool, "wall_s", 1, (_YAML, tool))
        for tool in ("sshexec", "sshexec-cli")
    ),
    Bar("s of 50,000 hosts from SQLite: patterns to targets with variables", "cmdb-50000", "sshexec", "load_s", 2),
    Bar("CPU ms a host for the record of 5000 hosts", "history-record-5000", "sshexec", "record_ms_host", 0.2),
    Bar("share of the CPU that is the record's, fresh SSH", "history-share-1000", "sshexec", "share", 0.1),
    Bar("wall s of `sshexec history show`, 5000 hosts", "history-show-5000", "sshexec-cli", "wall_s", 1),
    Bar("ms from key to echo, 99th percentile, 200 web terminals", _TERMINAL, "sshexec-web", "key_p99_ms", 30),
    Bar("KiB of a web terminal's session", _TERMINAL, "sshexec-web", "session_kib", 150),
    Bar("% of a core for 200 web terminals at rest", _TERMINAL, "sshexec-web", "rest_percent", 1),
    Bar("MiB of a browser that never reads", _TERMINAL, "sshexec-web", "unread_mib", 3),
    Bar("ms from key to echo beside it, 99th percentile", _TERMINAL, "sshexec-web", "beside_p99_ms", 30),
    Bar("MB/s of `cat` in a web terminal, at least webssh", _CAT[0], "sshexec-web", "mb_s", 1, _CAT, least=True),
    Bar("MiB that it takes meanwhile", _CAT[0], "sshexec-web", "growth_mib", 3),
    Bar("MiB of the same where nobody reads", "terminal-unread-1-50", "sshexec-web", "growth_mib", 3),
    Bar("199 Windows hosts beside a slow one: times the time alone", "winrm-slow-200", "sshexec", "slowdown", 1.2),
)
