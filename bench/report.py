"""Tables for people and JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.bars import BARS, Verdict
from bench.scenarios import UNITS, Case
from bench.tools import TOOLS
from tests.testbed import SSHD

_ORDER = (
    "record_ms_host",
    "load_s",
    "cpu_s",
    "cpu_ms_host",
    "cpu_ms_command",
    "idle_us_s",
    "wall_s",
    "round_trips",
    "slowdown",
    "cpu_ms_mb",
)
STRICT = {tool.name: tool.strict for tool in TOOLS}


@dataclass
class Report:
    """Everything a bench run has seen.

    Args:
        rounds: how often every tool had its turn in each case.
    """

    rounds: int
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    cases: list[Case] = field(default_factory=list)
    samples: dict[str, dict[str, list[dict[str, float]]]] = field(default_factory=dict)
    errors: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, case: Case, tool: str, figures: Mapping[str, float]) -> None:
        """Keep the figures of one run."""
        self.samples.setdefault(case.key, {}).setdefault(tool, []).append(dict(figures))

    def fail(self, case: Case, tool: str, error: str) -> None:
        """Keep why a tool has no figures in this case."""
        self.errors.setdefault(case.key, {})[tool] = error

    def medians(self) -> dict[str, dict[str, dict[str, float]]]:
        """Return the median of each figure by case and tool; a tool that failed in a case has none there."""
        return {
            case: {
                tool: {name: statistics.median(run[name] for run in runs) for name in runs[0]}
                for tool, runs in tools.items()
                if tool not in self.errors.get(case, {})
            }
            for case, tools in self.samples.items()
        }

    def verdicts(self) -> list[Verdict]:
        """Judge the bars."""
        medians = self.medians()
        return [bar.judge(medians) for bar in BARS]

    def table(self, case: Case) -> str:
        """Return one case's table, the tool with the least CPU (or wall time) first."""
        medians = self.medians().get(case.key, {})
        names = [name for name in UNITS if any(name in row for row in medians.values())]
        order = next((n for n in _ORDER if n in names), "")
        rows = [["client", "keys", *(UNITS[name] for name in names)]]
        for tool in sorted(medians, key=lambda tool: medians[tool].get(order, 0.0)):
            runs = self.samples[case.key][tool]
            keys = "–" if case.windows or not case.known_hosts else "checked" if STRICT[tool] else "NO"
            rows.append([tool, keys, *(_cell([run[name] for run in runs if name in run]) for name in names)])
        lines = ["", case.title, *_columns(rows)]
        return "\n".join(lines + [f"  {tool}: {why}" for tool, why in self.errors.get(case.key, {}).items()])

    def summary(self) -> str:
        """Return the bars and what was left out."""
        lines = ["", "bars of issues 2 to 7 (medians of this run)", *map(str, self.verdicts())]
        if self.skipped:
            lines += ["", "skipped", *(f"  {tool}: {why}" for tool, why in self.skipped.items())]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "version": 1,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "machine": _machine(),
            "rounds": self.rounds,
            "versions": self.versions,
            "cases": {case.key: asdict(case) for case in self.cases},
            "samples": self.samples,
            "medians": self.medians(),
            "bars": [verdict.to_dict() for verdict in self.verdicts()],
            "errors": self.errors,
            "skipped": self.skipped,
        }

    def write(self, folder: Path) -> Path:
        """Write the JSON file and return its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / time.strftime("bench-%Y%m%d-%H%M%S.json")
        path.write_text(json.dumps(self.to_dict(), indent=1) + "\n")
        return path


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "–"
    median = statistics.median(values)
    digits = 0 if median >= 100 else 1 if median >= 10 else 2
    spread = f" [{min(values):.{digits}f}–{max(values):.{digits}f}]" if len(values) > 1 else ""
    return f"{median:.{digits}f}{spread}"


def _columns(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        ("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))).rstrip() for row in rows
    ]


def _machine() -> dict[str, Any]:
    sshd = ""
    if SSHD is not None:
        said = subprocess.run([SSHD, "-V"], capture_output=True, text=True)
        sshd = next((line for line in (said.stderr + said.stdout).splitlines() if "OpenSSH" in line), "")
    return {
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "sshd": sshd,
    }
