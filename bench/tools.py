"""The clients that are compared, and the virtual environment of each."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
CLIENTS = HERE / "clients"
VENVS = HERE / ".venvs"

ONE_SHOT = frozenset({"fresh", "memory"})
OPEN = frozenset({"open", "idle"})
GROWTH = frozenset({"growth"})
LOCAL = frozenset({"local"})
STREAMS = frozenset({"get", "put", "latency", "latency-get", "latency-put"})
STDOUT = frozenset({"stdout"})
SPREAD = frozenset({"spread"})
DEAD = frozenset({"dead"})
TASKS = frozenset({"ansible-command", "ansible-copy"})
FOREIGN = frozenset({"ansible-lineinfile"})
FLEET = frozenset({"winrm-fleet", "winrm-slow"})
WINDOWS = FLEET | {"winrm-second", "winrm-put", "winrm-output"}
YAML = frozenset({"inventory-yaml"})
ESTATES = YAML | {"inventory-sqlite"}
RECORDS = frozenset({"history-record", "history-share"})
SHOW = frozenset({"history-show"})
CMDB = frozenset({"cmdb"})
TERMINALS = frozenset({"terminal", "terminal-cat", "terminal-unread"})
PIP_TIMEOUT = 600


class ToolUnavailable(Exception):
    """The tool can't be measured here; the message says why."""


@dataclass(frozen=True)
class Tool:
    """One row of the tables.

    Args:
        name: how it is called on the command line and in the tables.
        client: its script in ``bench/clients``.
        scenarios: where it takes part.
        packages: what its environment holds; empty means this project.
        extra: the optional part of this project that its environment has too.
        environment: the environment's name, where several tools share one; None means the tool's own.
        strict: whether it is told to check host keys; it is then proven to refuse an unknown one.
        most: hosts beyond which a run would take minutes (inventories are only read).
        processes: processes the client is told to use.
        flags: of its Python interpreter.
        transfers: its script for other scenarios (transfers, latency, inventories ...), where that is another one.
        bare: it needs nothing but a Python and what the system has.
    """

    name: str
    client: str
    scenarios: frozenset[str]
    packages: tuple[str, ...] = ()
    environment: str | None = None
    strict: bool = True
    most: int = 100_000
    processes: int = 1
    flags: tuple[str, ...] = field(default=())
    transfers: dict[str, str] = field(default_factory=dict)
    bare: bool = False
    extra: str = ""

    def prepare(self, here: bool = False) -> str:
        """Return the interpreter, after making its environment where that is missing.

        Args:
            here: take the interpreter that runs the bench for this project.

        Raises:
            ToolUnavailable: it can't be installed.
        """
        if self.bare:
            return sys.executable
        if not self.packages:
            return _here() if here else _ours(self.extra)
        python = _environment(VENVS / (self.environment or self.name))
        marker = python.parent.parent / "installed"
        if not marker.exists():
            _install(python, *self.packages)
            marker.touch()
        return str(python)

    def versions(self, python: str) -> dict[str, str]:
        """Return the versions of the packages that are measured."""
        if self.bare:
            return {}
        names = [*(name.partition("==")[0] for name in self.packages), "paramiko", "pyspnego"]
        if not self.packages:
            names = [
                "sshexec",
                "paramiko",
                "pywinrm",
                "pyspnego",
                "gevent",
                *(["ansible-core"] if self.extra == "ansible" else []),
            ]
        code = (
            "import importlib.metadata as m, json, sys\n"
            "have = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
            "print(json.dumps({n: have[n] for n in sys.argv[1:] if n in have}))"
        )
        versions: dict[str, str] = json.loads(_check([python, "-c", code, *names]))
        return versions

    def script(self, scenario: str) -> str:
        """Return the client's script for a scenario."""
        return self.transfers.get(scenario, self.client)

    def command(self, python: str, job: Path, scenario: str) -> list[str]:
        """Return the command line that runs the client on a job."""
        return [python, *self.flags, str(CLIENTS / self.script(scenario)), str(job)]


@functools.cache
def _ours(extra: str) -> str:
    """Return an interpreter with this project as it is now, and with nothing else, as the other tools have theirs."""
    python = _environment(VENVS / (f"sshexec-{extra}" if extra else "sshexec"))
    _install(python, f"{HERE.parent}[{extra}]" if extra else str(HERE.parent))
    return str(python)


def _environment(folder: Path) -> Path:
    python = folder / "bin" / "python"
    if not python.exists():
        _check([sys.executable, "-m", "venv", str(folder)])
    return python


def _install(python: Path, *packages: str) -> None:
    print(f"installing {' '.join(packages)} into {python.parent.parent}", file=sys.stderr)
    _check([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages])


def _here() -> str:
    try:
        _check([sys.executable, "-c", "from sshexec import Engine, Inventory"])
    except ToolUnavailable as error:
        raise ToolUnavailable(f"sshexec is not installed for {sys.executable}: {error}") from None
    return sys.executable


def _check(command: list[str]) -> str:
    try:
        # Not from the current directory: a folder named like a package would be imported instead of it.
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT, cwd=CLIENTS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolUnavailable(str(error)) from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit status {done.returncode}"]
        raise ToolUnavailable(lines[-1].strip())
    return done.stdout


def _by(client: str, scenarios: frozenset[str]) -> dict[str, str]:
    return dict.fromkeys(scenarios, client)


TOOLS = (
    Tool(
        "sshexec",
        "sshexec_engine.py",
        ONE_SHOT | OPEN | GROWTH | STREAMS | STDOUT | SPREAD | DEAD | TASKS | WINDOWS | ESTATES | CMDB | RECORDS,
        transfers=_by("sshexec_transfer.py", STREAMS | STDOUT | SPREAD)
        | _by("sshexec_copy.py", DEAD)
        | _by("sshexec_winrm.py", WINDOWS - {"winrm-fleet"})
        | _by("sshexec_inventory.py", ESTATES | CMDB)
        | _by("sshexec_record.py", RECORDS),
    ),
    Tool("sshexec-connector", "sshexec_winrm.py", FLEET, strict=False),
    Tool("sshexec-copy", "sshexec_engine.py", SPREAD, transfers=_by("sshexec_copy.py", SPREAD)),
    Tool("sshexec-worker", "sshexec_worker.py", ONE_SHOT | OPEN),
    Tool("sshexec-2", "sshexec_engine.py", ONE_SHOT | OPEN | GROWTH, processes=2),
    Tool(
        "sshexec-cli",
        "sshexec_cli.py",
        ONE_SHOT | LOCAL | TASKS | ESTATES | SHOW,
        flags=("-S",),
        transfers=_by("sshexec_list.py", ESTATES) | _by("sshexec_show.py", SHOW),
    ),
    Tool("sshexec-ansible", "sshexec_engine.py", FOREIGN, extra="ansible"),
    Tool("sshexec-ansible-cli", "sshexec_cli.py", FOREIGN, flags=("-S",), extra="ansible"),
    Tool("sshexec-web", "sshexec_web.py", TERMINALS, extra="web"),
    Tool("webssh", "webssh_web.py", TERMINALS, ("webssh",)),
    Tool("paramiko-tuned", "paramiko_tuned.py", ONE_SHOT | OPEN | GROWTH, ("paramiko", "gevent"), "paramiko"),
    Tool("paramiko-gevent", "paramiko_gevent.py", ONE_SHOT | OPEN, ("paramiko", "gevent"), "paramiko", most=300),
    Tool("paramiko-threads", "paramiko_threads.py", ONE_SHOT, ("paramiko", "gevent"), "paramiko", most=300),
    Tool(
        "parallel-ssh",
        "parallel_ssh.py",
        ONE_SHOT | OPEN | GROWTH | SPREAD,
        ("parallel-ssh",),
        strict=False,
        transfers=_by("parallel_ssh_copy.py", SPREAD),
    ),
    Tool(
        "asyncssh",
        "asyncssh_tasks.py",
        ONE_SHOT | OPEN | GROWTH | STREAMS | STDOUT | SPREAD,
        ("asyncssh",),
        transfers=_by("asyncssh_transfer.py", STREAMS | STDOUT | SPREAD),
    ),
    Tool("paramiko", "paramiko_transfer.py", STREAMS, ("paramiko", "gevent")),
    Tool("pywinrm", "pywinrm_gevent.py", WINDOWS, ("pywinrm", "gevent"), strict=False),
    Tool("pypsrp", "pypsrp_gevent.py", FLEET, ("pypsrp", "gevent"), strict=False),
    Tool("openssh", "openssh.py", STREAMS | STDOUT, bare=True),
    Tool("pyinfra", "pyinfra_api.py", ONE_SHOT, ("pyinfra",)),
    Tool("pyinfra-bare", "pyinfra_bare.py", ONE_SHOT | OPEN, ("pyinfra",), "pyinfra"),
    Tool("fabric", "fabric_group.py", ONE_SHOT | OPEN, ("fabric",), strict=False),
    Tool(
        "ansible",
        "ansible_adhoc.py",
        ONE_SHOT | LOCAL | TASKS | FOREIGN | YAML,
        ("ansible-core==2.19.14",),
        "ansible-2.19.14",
        most=300,
        flags=("-S",),
        transfers=_by("ansible_list.py", YAML),
    ),
)
