"""``python -m bench``: measure sshexec and its peers side by side and print tables, bars and a JSON file."""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.estates import Estates
from bench.fleet import Fleet
from bench.measure import Bench, Measurement
from bench.report import Report
from bench.scenarios import SCENARIOS, Case, cases
from bench.tools import HERE, TERMINALS, TOOLS, WINDOWS, Tool, ToolUnavailable
from bench.windows import Windows
from tests.testbed import SSHD

FILES = 65_536
PROBE_HOSTS = 2


class Session:
    """One bench run: the hosts, the tools that work here, and the report.

    Args:
        folder: a scratch directory.
        rounds: turns of each tool in each case.
        here: measure the sshexec of the interpreter that runs the bench.
    """

    def __init__(self, folder: Path, rounds: int, here: bool = False) -> None:
        self._here = here
        self.fleet = Fleet(folder)
        self.bench = Bench(folder, self.fleet.sshd.user, self.fleet.sshd.port, self.fleet.sshd.key, self.fleet.store)
        self.windows = Windows(folder, self.fleet.store / "drive")
        self.estates = Estates(folder)
        self.report = Report(rounds)
        self.pythons: dict[str, str] = {}
        self.strangers = folder / "known_hosts.empty"
        self.strangers.touch()
        self.this_machine = folder / "local.ini"
        self.this_machine.write_text("localhost ansible_connection=local\n")

    def measure(self, tool: Tool, case: Case, known_hosts: Path | None = None) -> Measurement:
        """Run one tool once on hosts that have come to rest."""
        self.fleet.settle()
        if case.windows:
            return self._windows(tool, case)
        if case.estate or case.mode in ("history-record", "history-show"):
            return self._unreached(tool, case)
        known_hosts = known_hosts or self.fleet.known_hosts(case.hosts, case.known_hosts)
        inventory = self.this_machine if case.mode == "local" else self.fleet.inventory(case.hosts, known_hosts)
        more: dict[str, object] = self.fleet.delayed(case.rtt) if case.rtt else {}
        if case.dead:
            more["inventory_dead"] = str(self.fleet.beside_dead(inventory, case.dead))
        python = self.pythons[tool.name]
        return self.bench.run(tool, python, case, self.fleet.addresses(case.hosts), known_hosts, inventory, more)

    def _windows(self, tool: Tool, case: Case) -> Measurement:
        addresses = self.fleet.addresses(case.hosts)
        inventory = self.windows.inventory(addresses)
        python = self.pythons[tool.name]
        return self.bench.run(
            tool, python, case, addresses, self.strangers, inventory, self.windows.job(case.megabytes * 1_000_000)
        )

    def _unreached(self, tool: Tool, case: Case) -> Measurement:
        """Measure what contacts no host: inventories are read, and scripted hosts answer in the client itself."""
        if case.estate:
            inventory = self.estates.described(case.hosts, case.groups)
        else:
            inventory = self.estates.scripted(case.hosts)
        more = {"count": case.hosts}
        return self.bench.run(tool, self.pythons[tool.name], case, [], self.strangers, inventory, more)

    def stop(self) -> None:
        """Stop the servers."""
        self.windows.stop()
        self.fleet.stop()

    def prepare(self, tool: Tool) -> None:
        """Install a tool, try it on two hosts, and prove that it refuses an unknown host key where it checks keys.

        The trial also leaves byte code and warm disk caches, so that the first round is like the others.

        Raises:
            ToolUnavailable: it can't be installed, or does not do what is measured.
        """
        self.pythons[tool.name] = tool.prepare(self._here)
        name = "winrm-fleet" if tool.scenarios <= WINDOWS else "terminal" if tool.scenarios <= TERMINALS else "trial"
        trial = Case(name, PROBE_HOSTS, known_hosts=PROBE_HOSTS)
        seen = self.measure(tool, trial)
        if seen.error:
            raise ToolUnavailable(seen.error)
        if tool.strict and self.measure(tool, trial, self.strangers).ok:
            raise ToolUnavailable("it accepts unknown host keys although it was told to check them")
        self.report.versions[tool.name] = tool.versions(self.pythons[tool.name])

    def run(self, case: Case, tools: Sequence[Tool]) -> None:
        """Let the tools take turns in a case, each round beginning with another one."""
        self.report.cases.append(case)
        able = []
        for tool in tools:
            if case.scenario not in tool.scenarios:
                continue
            if case.hosts > tool.most and not case.estate:
                self.report.fail(case, tool.name, f"not run: {case.hosts} hosts would take it minutes")
            else:
                able.append(tool)
        for turn in range(self.report.rounds):
            for tool in able[turn % len(able) :] + able[: turn % len(able)] if able else []:
                if tool.name in self.report.errors.get(case.key, {}):
                    continue
                note(f"{case.key}, round {turn + 1} of {self.report.rounds}: {tool.name}")
                seen = self.measure(tool, case)
                if seen.error:
                    self.report.fail(case, tool.name, seen.error)
                else:
                    self.report.add(case, tool.name, case.figures(seen))


def note(text: str) -> None:
    """Say what is going on."""
    print(text, file=sys.stderr, flush=True)


def words(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    """Return an argparse type: a comma list of these words."""

    def parse(text: str) -> list[str]:
        chosen = [word for word in text.split(",") if word]
        wrong = [word for word in chosen if word not in allowed]
        if wrong or not chosen:
            raise argparse.ArgumentTypeError(f"{', '.join(wrong) or 'nothing'}: choose from {', '.join(allowed)}")
        return chosen

    return parse


def sizes(text: str) -> list[int]:
    """Parse a comma list of host counts."""
    counts = [int(word) for word in text.split(",")]
    if min(counts) < 1 or max(counts) > 10_000:
        raise argparse.ArgumentTypeError("from 1 to 10000 hosts")
    return counts


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    tools = [tool.name for tool in TOOLS]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--tools", type=words(tools), default=tools, metavar="A,B", help=f"of {', '.join(tools)}")
    parser.add_argument(
        "--scenarios", type=words(SCENARIOS), default=SCENARIOS, metavar="A,B", help=f"of {', '.join(SCENARIOS)}"
    )
    parser.add_argument(
        "--hosts", type=sizes, default=[], metavar="N,N", help="sizes of fresh; the other scenarios take the largest"
    )
    parser.add_argument("--rounds", type=int, default=None, metavar="N", help="turns of each tool (default 3)")
    parser.add_argument("--quick", action="store_true", help="20 hosts, one round: whether it works, not how fast")
    parser.add_argument(
        "--here",
        action="store_true",
        help="sshexec as it is installed for this interpreter, not in its own environment",
    )
    parser.add_argument("--results", type=Path, default=HERE / "results", metavar="DIR", help="where the JSON goes")
    options = parser.parse_args(argv)
    if options.rounds is None:
        options.rounds = 1 if options.quick else 3
    if options.rounds < 1:
        parser.error("--rounds: at least 1")
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bench; return 0, or 1 where no tool could be measured."""
    options = arguments(argv)
    if SSHD is None:
        note("openssh-server is not installed")
        return 1
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        session = Session(Path(folder), options.rounds, options.here)
        report = session.report
        try:
            ready = []
            for tool in TOOLS:
                if tool.name in options.tools and tool.scenarios & set(options.scenarios):
                    try:
                        session.prepare(tool)
                    except ToolUnavailable as error:
                        report.skipped[tool.name] = str(error)
                        note(f"skipped {tool.name}: {error}")
                    else:
                        ready.append(tool)
            if not ready:
                return 1
            for case in cases(options.scenarios, options.hosts, options.quick):
                session.run(case, ready)
                print(report.table(case), flush=True)
        finally:
            session.stop()
    print(report.summary())
    print(f"\nwritten: {report.write(options.results)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
