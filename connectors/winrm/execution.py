"""One command on one host: its input, its output, its end, and its death where it must not go on."""

from __future__ import annotations

import contextlib
import enum
import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from sshexec.connectors.base import Command, Completed, Deadline, Form
from sshexec.connectors.output import Take
from sshexec.connectors.winrm import faults
from sshexec.connectors.winrm.clixml import Decoder
from sshexec.connectors.winrm.commandline import line_of
from sshexec.connectors.winrm.exchange import Manner
from sshexec.connectors.winrm.faults import Fault
from sshexec.connectors.winrm.messages import Received
from sshexec.connectors.winrm.shell import LEAST, Shell, Shells
from sshexec.connectors.winrm.wire import NoAnswer
from sshexec.errors import (
    AuthenticationError,
    CancelledError,
    CommandTimeoutError,
    ConnectionLostError,
    HostError,
    UnreachableError,
)

_INPUT = re.compile(r"\$\{?input\b", re.IGNORECASE)
"""What has powershell.exe read its standard input to the end, before it ends itself (its ConsoleHost)."""

_PIECE = 64 * 1024
"""Bytes read at a time of what a command is to read."""

_LOOK = 1.0
"""Seconds for which output is waited for, while the command takes no input."""

_PART = 32 * 1024
"""Bytes of input in one message for a command that prints while it reads: so much is taken while its output waits."""

_FIRST_LOOK = 3.0
"""Seconds without output, at any time, after which a command that was given no input is told that there is none.

A command that reads its input would wait for ever; to tell each would cost each a round trip.
"""

_OVERTIME = 2.0
"""Seconds that an answer may be late, before the host is given up on because of the caller's deadline."""

_LONGEST = 300.0
"""Seconds within which an answer has to be whole, however slowly it comes in."""

_ANSWER = 4.0
"""Seconds that a host has to take the first signal; one that is frozen never does."""

_GRACE = 2.0
"""Seconds between ctrl_c and terminate."""

_STOP = 8.0
"""Seconds for all of that, and for deleting the shell."""

_SOON = 0.05
"""Seconds after which an answer without output is no surprise; one that comes sooner is slept over, lest a host that
gives nothing else keeps this side busy."""

_RELEASE = 5.0
"""Seconds for letting go of a command that has ended."""


class _Late(Exception):
    """The deadline has passed (never leaves this module)."""


class _Silence(Exception):
    """The command was silent for longer than allowed (never leaves this module)."""


class _Sent(enum.Enum):
    """What became of a piece of standard input."""

    TAKEN = enum.auto()
    HELD = enum.auto()
    """The service has it, and the command, which may have to get rid of output first, does not read it yet.

    Ansible goes on with the next piece likewise (its winrm connection plugin, `_winrm_send_input`).
    """
    BUSY = enum.auto()
    """It was not taken; it is to be sent again."""
    REFUSED = enum.auto()
    """Nothing is taken any more."""


class Execution:
    """A command that runs in the connection's shell.

    Args:
        shells: where it is started.
        command: what to run.
        take: gets its output; what it raises ends the command.
        deadline: by when it has to end.
        idle: how many seconds it may be silent, and take no input; None for no limit.
        guard: raises CancelledError where the caller has cancelled.
        stdin: what it reads, instead of the command's own.
        on_gap: called where output may be lost, since the connection broke while it was on its way.
    """

    def __init__(
        self,
        shells: Shells,
        command: Command,
        take: Take,
        deadline: Deadline,
        *,
        idle: float | None,
        guard: Callable[[], None],
        stdin: Iterable[bytes] | None = None,
        on_gap: Callable[[], None] | None = None,
    ) -> None:
        self.shells = shells
        self._command = command
        self._take = take
        self._deadline = deadline
        self._idle = idle
        self._guard = guard
        self._on_gap = on_gap
        self._line = line_of(command)
        self._decoder = None if command.form is Form.CMD else Decoder()
        self._own = _pieces(command.stdin) if stdin is None else iter(stdin)
        reads = command.form is Form.SHELL and _INPUT.search(command.script) is not None
        self.fed = reads or stdin is not None or command.stdin is not None or self._line.ahead is not None
        """Whether the command is given something to read."""
        self._stirred = time.monotonic()
        """When the command last printed or read something, on the monotonic clock."""

    def run(self) -> Completed:
        """Run the command to its end.

        Raises:
            ConnectionLostError: ``started`` tells whether the command may have run.
            CommandTimeoutError, CancelledError: ``killed`` tells whether the death of its processes was confirmed.
            HostError: the host did not start it.
        """
        shell, name = self._start()
        running = _Running(self, shell, name)
        try:
            rc = running.follow()
        except CancelledError as error:
            error.killed = running.stop()
            raise
        except _Silence:
            killed = running.stop()
            text = f"no output for {self._idle:g} s{_fate(killed)}"
            raise CommandTimeoutError(text, killed=killed, silence=self._idle) from None
        except _Late:
            raise self._late(running.stop()) from None
        except AuthenticationError:
            self.shells.forget()  # another attempt might lock the account
            raise
        except BaseException as error:
            # The connection broke, or what the command reads or its output goes to has failed here.
            running.stop(heard=False)
            if isinstance(error, UnreachableError) and not isinstance(error, ConnectionLostError):
                raise ConnectionLostError(f"{error.message}; the command was running") from None
            raise
        running.release()
        return Completed(rc)

    def _start(self) -> tuple[Shell, str]:
        """Start the command, once more in a new shell where the old one is used up or gone.

        An answer of the service that it did not start it is certain, so nothing runs twice.
        """
        command = self._command
        for again in (False, True):
            kept = self.shells.current
            try:
                shell = self.shells.ready(command.environment, command.directory, self._deadline)
            except NoAnswer:
                if self._deadline.expired:
                    raise self._late(None) from None
                raise ConnectionLostError("the host made no shell, and does not answer", started=False) from None
            self._guard()
            if self._deadline.expired:
                raise self._late(None)
            try:
                return shell, shell.command(self._line, self._deadline)
            except Fault as fault:
                gone = fault.code == faults.NO_SHELL and shell is kept
                if gone:
                    self.shells.forget()
                elif fault.code == faults.MAX_OPERATIONS:
                    self.shells.drop()
                if again or not (gone or fault.code == faults.MAX_OPERATIONS):
                    raise _not_started(fault) from None
            except AuthenticationError:
                self.shells.forget()
                raise
            except BaseException as error:
                # It may have been started, and its id did not come back: it ends with the shell.
                killed = self.shells.drop(Deadline.after(_ANSWER))
                if isinstance(error, CancelledError):
                    error.killed = killed
                elif isinstance(error, NoAnswer) and self._deadline.expired:
                    raise self._late(killed) from None
                elif isinstance(error, NoAnswer):
                    raise ConnectionLostError("the host did not answer whether it started the command") from None
                raise
        raise AssertionError  # the loop has returned or raised

    def _late(self, killed: bool | None) -> CommandTimeoutError:
        fate = "; nothing was run" if killed is None else _fate(killed)
        return CommandTimeoutError(f"the command did not end {self._deadline.within}{fate}", killed=killed)

    def hand_on(self, received: Received) -> None:
        """Hand on what came."""
        for stream, data in received.pieces:
            self._stirred = time.monotonic()
            if stream == "stderr" and self._decoder is not None:
                data = self._decoder.feed(data)
            if data:
                self._take(stream, data)
        if received.done:
            self.finish()

    def finish(self) -> None:
        """Hand on what a PowerShell that was cut off has left half said."""
        if self._decoder is not None and (rest := self._decoder.finish()):
            self._take("stderr", rest)

    def missed(self) -> None:
        """Note that output may be lost."""
        if self._on_gap is not None:
            self._on_gap()

    def stir(self) -> None:
        """Note that the command has read something."""
        self._stirred = time.monotonic()

    def check(self) -> None:
        """Check that the command may go on.

        Raises:
            CancelledError, _Late, _Silence: it may not.
        """
        self._guard()
        if self._deadline.expired:
            raise _Late
        if self._idle is not None and time.monotonic() >= self._stirred + self._idle:
            raise _Silence

    @property
    def limit(self) -> Deadline:
        """By when the command has to print or read something, or to end."""
        if self._idle is None:
            return self._deadline
        return self._deadline.earlier(Deadline(self._stirred + self._idle))

    @property
    def pace(self) -> float:
        """Seconds that the service may keep an answer back."""
        return self.shells.pace.wait(self.limit)

    def pieces(self, room: int) -> Iterator[tuple[bytes, bool]]:
        """Yield what the command is to read, and whether that is the end; no piece is larger than ``room`` bytes."""
        held: bytes | None = None
        for piece in self._input():
            for at in range(0, len(piece), room):
                if held is not None:
                    yield held, False
                held = piece[at : at + room]
        yield held or b"", True

    def _input(self) -> Iterator[bytes]:
        if self._line.ahead is not None:
            yield self._line.ahead
        yield from self._own


class _Running:
    """A command that was started, until it is over.

    Args:
        execution: what it is for.
        shell: where it runs.
        name: its id.
    """

    def __init__(self, execution: Execution, shell: Shell, name: str) -> None:
        self._execution = execution
        self._shell = shell
        self._name = name
        self._filters = False
        """Whether it takes input only as fast as its output is fetched."""

    def follow(self) -> int:
        """Feed it and take its output until it ends; return its exit code.

        Raises:
            CancelledError, _Late, _Silence: it must not go on.
            ConnectionLostError: it is not known how it went on.
        """
        execution = self._execution
        execution.stir()
        received = self._feed() if execution.fed else None
        ended = execution.fed
        while received is None or not received.done:
            execution.check()
            received = self._receive(execution.pace if ended else min(execution.pace, _FIRST_LOOK))
            if received is None and not ended:
                self._tell_end()
                ended = True
        if received.rc is None:
            raise ConnectionLostError("the host says that the command has ended, and not how")
        return received.rc

    def _feed(self) -> Received | None:
        """Send what it reads; return the last output that was looked at meanwhile."""
        for data, end in self._execution.pieces(self._shell.room(self._name)):
            at = 0
            while at < len(data) or not data:
                self._execution.check()
                part = data[at : at + _PART] if self._filters else data[at:]
                answer = self._send(part, end=end and at + len(part) == len(data))
                if answer is _Sent.REFUSED:
                    self._tell_end()  # PowerShell waits for the end of its input, although it has ended with it
                    return None
                if answer is not _Sent.TAKEN or self._filters:
                    received = self._receive(LEAST if self._filters else min(self._execution.pace, _LOOK))
                    if received is not None and received.done:
                        return received  # it has ended without reading everything
                    self._filters = received is not None
                if answer is not _Sent.BUSY:
                    at += len(part)
                    if not data:
                        break
        return None

    def _send(self, data: bytes, *, end: bool) -> _Sent:
        execution = self._execution
        wait = LEAST if self._filters else execution.pace
        try:
            self._shell.send(self._name, data, wait, self._patience(wait), end=end)
        except Fault as fault:
            if fault.code == faults.OPERATION_TIMEOUT:
                return _Sent.HELD
            # What else it is that ends the input, the output tells.
            return _Sent.BUSY if fault.code == faults.BUSY else _Sent.REFUSED
        except NoAnswer:
            execution.check()
            raise ConnectionLostError("the host did not answer, and may not have got all of the input") from None
        execution.stir()
        return _Sent.TAKEN

    def _tell_end(self) -> None:
        """Tell a command that was given nothing to read that there is nothing."""
        # Where that fails, it goes on without knowing; that the connection is lost, its output tells.
        with contextlib.suppress(Fault, NoAnswer, ConnectionLostError):
            self._shell.send(self._name, b"", _LOOK, self._patience(_LOOK), end=True)

    def _receive(self, wait: float) -> Received | None:
        """Take output; None where there was none within ``wait`` seconds."""
        repeated, begun = self._shell.repeated, time.monotonic()
        try:
            received = self._shell.receive(self._name, wait, self._patience(wait))
        except NoAnswer:
            self._execution.check()
            raise ConnectionLostError("the host does not answer any more") from None
        except Fault as fault:
            if fault.code == faults.OPERATION_TIMEOUT:
                _rest(begun)
                return None
            raise self._lost(fault) from None
        finally:
            if self._shell.repeated != repeated:
                self._execution.missed()
        self._execution.hand_on(received)
        if not received.pieces and not received.done:
            _rest(begun)
        return received

    def _lost(self, fault: Fault) -> HostError:
        """Return what it means that there is no more output."""
        if fault.code != faults.NO_SHELL:
            return ConnectionLostError(f"the host broke off the command's output: {fault.words}")
        self._execution.shells.forget()
        return ConnectionLostError(
            f"the command and its shell are gone ({fault.reason}): the service was restarted, or the host"
        )

    def _patience(self, wait: float) -> Deadline:
        """Return by when an answer has to be there that the service may keep back for so long."""
        return self._execution.limit.later(_OVERTIME).earlier(Deadline.after(wait + _LONGEST))

    def release(self) -> None:
        """Free the place of the command, which has ended; what goes wrong here costs the shell, and no result."""
        try:
            self._shell.signal(self._name, "terminate", Deadline.after(_RELEASE))
        except AuthenticationError:
            self._execution.shells.forget()
        except (Fault, NoAnswer, UnreachableError):
            self._execution.shells.drop()

    def stop(self, *, heard: bool = True) -> bool:
        """End the command: ctrl_c, terminate, its shell deleted.

        Args:
            heard: whether its last words are wanted.

        Returns:
            Whether its death was confirmed.
        """
        shells, limit = self._execution.shells, Deadline.after(_STOP)
        if shells.current is not self._shell:
            return False
        try:
            self._signal("ctrl_c", limit.sooner(_ANSWER))
            self._hear_out(limit, heard=heard)
            self._signal("terminate", limit)
        except (NoAnswer, AuthenticationError):
            # A host that does not answer this has nothing to say to the rest either.
            shells.forget()
            return False
        except HostError:
            # It answers, and not as it should: the shell is there, for all that is known.
            return shells.drop(limit.sooner(_ANSWER))
        except BaseException:
            shells.drop(Deadline.after(_ANSWER))
            raise
        return shells.drop(limit)

    def _signal(self, code: str, limit: Deadline) -> None:
        with contextlib.suppress(Fault):  # it has ended
            self._shell.signal(self._name, code, limit)

    def _hear_out(self, limit: Deadline, *, heard: bool) -> None:
        """Take what the command still says until it ends, for a moment."""
        grace = limit.sooner(_GRACE)
        # A Receive that was broken off may go on over there, and have this one wait for its turn.
        late = grace.later(LEAST)
        # Or the command does not say anything, or the service knows it no more.
        with contextlib.suppress(Fault, NoAnswer):
            while not grace.expired:
                wait = max(LEAST, grace.remaining() or 0.0)
                received = self._shell.receive(self._name, wait, late, Manner.SHIELDED)
                if heard:
                    self._execution.hand_on(received)
                if received.done:
                    return
        if heard:
            self._execution.finish()


def _rest(begun: float) -> None:
    """Wait a moment where an answer that says nothing came at once."""
    if time.monotonic() - begun < _SOON:
        time.sleep(_SOON)


def _pieces(stdin: bytes | BinaryIO | None) -> Iterator[bytes]:
    """Yield what a command reads."""
    if stdin is None:
        return
    if isinstance(stdin, bytes):
        yield stdin
        return
    while piece := stdin.read(_PIECE):
        yield piece


def _not_started(fault: Fault) -> HostError:
    """Return why a service did not start a command."""
    if fault.code == faults.MAX_OPERATIONS:
        return UnreachableError(
            f"the host is busy: this user has as many operations under way as it may ({fault.reason}); "
            "try later, or raise MaxConcurrentOperationsPerUser (winrm/config/service)"
        )
    if fault.code == faults.LINE_TOO_LONG:
        return HostError(f"the command line is too long for this host: {fault.reason}")
    return HostError(f"the host did not start the command: {fault.words}")


def _fate(killed: bool) -> str:
    return "; its processes were killed" if killed else "; it is not certain that its processes are gone"
