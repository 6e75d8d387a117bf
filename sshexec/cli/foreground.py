"""One run in the foreground: events to the report, progress to the operator, signals to the run."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from sshexec.cli.alike import Names
from sshexec.cli.display import Display, Lines, LiveDisplay
from sshexec.cli.interrupt import Interrupts
from sshexec.cli.report import Report, summary
from sshexec.cli.retry import RetryFile
from sshexec.cli.stderr import tell
from sshexec.cli.stdout import Stdout, StdoutLostError
from sshexec.cli.untrusted import harmless
from sshexec.events import HostFinished, HostPhase, HostStarted
from sshexec.results import RunResult

if TYPE_CHECKING:
    from sshexec.cli.questions import TerminalQuestions
    from sshexec.run import Run


def follow(
    run: Run,
    report: Report,
    stdout: Stdout,
    names: Names,
    *,
    quiet: bool = False,
    verbose: bool = False,
    retry: RetryFile | None = None,
    questions: TerminalQuestions | None = None,
) -> int:
    """See a run through to its end and return the exit code.

    Args:
        run: started just now; its events are read here.
        report: makes the text for standard output.
        stdout: where that goes.
        names: how the hosts are called, for the summary.
        quiet: show neither progress nor summary.
        verbose: print on standard error when a host enters another phase, and what its connection has to say.
        retry: gets the names of the hosts that did not end well.
        questions: what the hosts' logins ask at the terminal.

    Raises:
        StdoutLostError: standard output can't be written to; the run was cancelled.
    """
    display = _display(run, stdout, quiet)
    if questions is not None:
        questions.attach(display)

    def cancel() -> None:
        display.stopping()
        run.cancel()
        if questions is not None:
            questions.cancel()
        display.say("sshexec: stopping the hosts; once more stops at once")

    def restore() -> None:
        if questions is not None:
            questions.restore()
        display.restore()

    stdout.on_loss = run.cancel
    at_work: set[str] = set()
    with Interrupts(cancel, restore, at_work) as interrupts:
        try:
            with display:
                result = _relay(run, report, display, at_work, verbose=verbose)
            if retry is not None:
                retry.write(result)
            stdout.write(report.end(result))
            stdout.flush()
        except StdoutLostError:
            run.drop_events()
            run.wait()
            raise
        if not quiet:
            tell("\n".join(summary(result, names, verbose=verbose)))
        return interrupts.exit_code or result.exit_code


def _relay(run: Run, report: Report, display: Display, at_work: set[str], *, verbose: bool) -> RunResult:
    for event in run.events():
        if isinstance(event, HostStarted):
            at_work.add(event.host)
        elif isinstance(event, HostFinished):
            at_work.discard(event.host)
        if text := report.event(event):
            display.write(text)
        if isinstance(event, HostFinished):
            display.count(event.result)
            for notice in event.result.notices if verbose else ():
                display.say(f"{harmless(event.host)}: {harmless(notice['message'])}")
        elif verbose and isinstance(event, HostPhase):
            display.say(
                f"{time.strftime('%H:%M:%S', time.localtime(event.time))} {harmless(event.host)}: {event.phase}"
            )
    return run.wait()


def _display(run: Run, stdout: Stdout, quiet: bool) -> Display:
    if quiet:
        return Display(run, stdout)
    drawable = os.isatty(2) and os.environ.get("TERM", "dumb") != "dumb"
    return LiveDisplay(run, stdout) if drawable else Lines(run, stdout)
