"""What an operator sees on standard error while a run is in progress."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

import gevent

from sshexec.cli.stderr import discard, tell
from sshexec.cli.stdout import Stdout, StdoutLostError
from sshexec.cli.untrusted import harmless
from sshexec.results import HostResult

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

    from sshexec.run import HostState, Run

_IDLE = 2.0
"""Seconds of silence after which a running host is called idle."""


class Display:
    """Passes results on to standard output and shows nothing else.

    Args:
        run: the run to show.
        stdout: where results go.
    """

    first = 3600.0
    """Seconds until the first `tick`."""
    interval = 3600.0
    """Seconds between two ticks."""

    def __init__(self, run: Run, stdout: Stdout) -> None:
        self.run = run
        self.stdout = stdout
        self.counts: dict[str, int] = {}
        self.started = time.time()
        self._stopping: float | None = None
        self._ticker: gevent.Greenlet[[], None] | None = None

    def write(self, text: str) -> None:
        """Print results on standard output.

        Raises:
            StdoutLostError: standard output can't be written to.
        """
        self.stdout.write(text)

    def say(self, line: str) -> None:
        """Print a line for people on standard error."""
        tell(line)

    def count(self, result: HostResult) -> None:
        """Take note that a host has finished."""
        self.counts[result.status] = self.counts.get(result.status, 0) + 1

    @property
    def finished(self) -> int:
        """How many hosts have their result."""
        return sum(self.counts.values())

    def stopping(self) -> None:
        """Show from now on that the hosts are being stopped."""
        self._stopping = time.time()

    def activity(self, state: HostState) -> str:
        """Return what a host is busy with at this moment."""
        now = time.time()
        return activity(state, now) if self._stopping is None else f"stopping for {now - self._stopping:.0f} s"

    def tick(self) -> None:
        """Show how far the run is."""

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Leave the terminal to a question meanwhile."""
        yield

    def restore(self) -> None:
        """Put the terminal back, from a signal handler, when the process is about to end."""

    def __enter__(self) -> Display:
        self._ticker = gevent.spawn(self._tick)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ticker is not None:
            self._ticker.kill()

    def _tick(self) -> None:
        gevent.sleep(self.first)
        while True:
            try:
                self.tick()
            except StdoutLostError:
                return  # `Stdout` tells whoever writes next
            except OSError:
                discard()  # the terminal has gone
            gevent.sleep(self.interval)


class Lines(Display):
    """A line now and then, for logs: short runs print none."""

    first = 10.0
    interval = 30.0

    def tick(self) -> None:
        """Print one line: how many are done, and the host that takes longest."""
        counts = ", ".join(f"{count} {status}" for status, count in self.counts.items())
        line = f"{self.finished} of {len(self.run.hosts)} hosts after {time.time() - self.started:.0f} s"
        slowest = self.run.snapshot()[:1]
        waits = "".join(f"; {harmless(state.host)}: {self.activity(state)}" for state in slowest)
        self.say(f"sshexec: {line}{f': {counts}' if counts else ''}{waits}")


class LiveDisplay(Display):
    """A bar, the counts, and the slowest hosts with what each is busy with, redrawn in place four times a second.

    Where standard output is a terminal too, results wait for the next redraw, so that both don't write into each other.
    """

    first = 0.3
    interval = 0.25
    rows = 5

    def __init__(self, run: Run, stdout: Stdout) -> None:
        super().__init__(run, stdout)
        self._console: Console | None = None
        self._live: Live | None = None
        self._watched = False  # from the first tick on
        self._held = 0
        self._results: list[str] = []
        self._lines: list[str] = []

    def write(self, text: str) -> None:
        """Print results, above the bar where both share a terminal."""
        if self.stdout.terminal and (self._watched or self._held):
            self._results.append(text)
        else:
            super().write(text)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._watched or self._held:
            self._lines.append(line)
        else:
            super().say(line)

    def tick(self) -> None:
        """Redraw, with what has come since the last time above it."""
        if self._held:
            return
        if not self._watched:
            self._watched = True
            self.stdout.flush()
        if self._results or self._lines:
            self._clear()
        self._show()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Take the bar away and print nothing until the question is answered."""
        self._held += 1
        self._clear()
        try:
            yield
        finally:
            self._held -= 1

    def restore(self) -> None:
        """Show the cursor again."""
        if self._live is not None:
            with contextlib.suppress(OSError):
                os.write(2, b"\x1b[?25h\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._watched = False
        self._clear()

    def _clear(self) -> None:
        """Take the display away and print what waits."""
        if self._live is not None:
            try:
                self._live.stop()
            except OSError:
                discard()  # the terminal has gone
            self._live = None
        lines, self._lines = self._lines, []
        for line in lines:
            super().say(line)
        results, self._results = self._results, []
        if results:
            self.stdout.write("".join(results))
            self.stdout.flush()

    def _show(self) -> None:
        if self._live is None:
            # rich is slow to import: only here, once a run takes long enough to be watched.
            from rich.console import Console
            from rich.live import Live

            self._console = self._console or Console(stderr=True, highlight=False)
            # A Live can't be started twice: it would move the cursor up over what was printed in between.
            self._live = Live(
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        self._live.update(self._picture(), refresh=True)

    def _picture(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        from sshexec.cli.report import COLOURS

        now = time.time()
        states = self.run.snapshot()
        total = len(self.run.hosts)
        text = Text(f"{self.finished}/{total} hosts  {now - self.started:.0f} s ")
        for status, count in self.counts.items():
            text.append(f"  {count} {status}", style=COLOURS[status])
        waiting = total - self.finished - len(states)
        text.append(f"  {len(states)} at work" + (f", {waiting} waiting" if waiting > 0 else ""), style="dim")
        head = Table.grid(padding=(0, 1))
        head.add_row(ProgressBar(total=total, completed=self.finished, width=28), text)
        table = Table.grid(padding=(0, 2))
        for host, doing in self._slowest(states):
            table.add_row(Text(f"  {host}", no_wrap=True), Text(doing, style="dim", no_wrap=True))
        return Group(head, table)

    def _slowest(self, states: list[HostState]) -> Iterator[tuple[str, str]]:
        height = self._console.height if self._console is not None else self.rows
        for state in states[: max(0, min(self.rows, height - 3))]:
            yield harmless(state.host)[:60], self.activity(state)


def activity(state: HostState, now: float) -> str:
    """Return what a host is busy with: ``connecting for 3 s``, ``running for 12 s, idle for 5 s``."""
    text = f"{state.phase} for {max(0.0, now - state.since):.0f} s"
    silent = now - max(state.since, state.last_output or 0.0)
    if state.done is not None:
        text += f", {_transferred(state.done, state.total)}"
    if state.phase == "running" and silent >= _IDLE:
        text += f", idle for {silent:.0f} s"
    return text


def _transferred(done: int, total: int | None) -> str:
    """Return how far a transfer is: ``41 % of 190.7 MiB``."""
    if not total:
        return _size(done)
    return f"{100 * done // total} % of {_size(total)}"


def _size(count: float) -> str:
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} TiB"
