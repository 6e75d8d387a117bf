"""One interactive session on one host: from its opening to its end, whoever comes and goes meanwhile."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from sshexec.connectors.base import Deadline, Source, Timeouts
from sshexec.connectors.broker import Ask, Broker
from sshexec.connectors.prompts import NoAnswerError, Prompts, Question
from sshexec.connectors.terminal import Size, Terminal
from sshexec.errors import ConnectionLostError, HostError, InputError, SessionOverError, SshexecError, TerminalError
from sshexec.terminal.events import Ended, Role, State
from sshexec.terminal.keyboard import Keyboard
from sshexec.terminal.line import Connect, Line
from sshexec.terminal.observer import Observer, SessionInfo
from sshexec.terminal.observers import Observers, RequiredObserverError
from sshexec.terminal.policy import TerminalPolicy
from sshexec.terminal.pump import Pump
from sshexec.terminal.questions import SessionPrompts, one_line
from sshexec.terminal.stage import Stage
from sshexec.terminal.transfers import Transfers
from sshexec.terminal.viewer import Viewer

if TYPE_CHECKING:
    from sshexec.inventory.model import Inventory

log = logging.getLogger(__name__)

_OPENING = 120.0
"""Seconds that opening may take beside the owner's answers."""

_CLOSING = 15.0
"""Seconds that `TerminalSession.close` waits."""


class TerminalSession:
    """A program on a host's terminal, and everybody who sees it.

    `start` begins to open it on a thread of its own, which afterwards brings what the program writes to the viewers.
    All other methods may be called from any thread.

    Args:
        host: inventory name.
        connect: makes the connector.
        owner: the user whose session it is.
        size: of the terminal at first.
        term: its type.
        environment: variables to set, as far as the host allows.
        command: what runs instead of the login shell.
        policy: its limits.
        observers: who sees what goes through it.
        on_end: called once when all is over and closed.
        ask: answers the login's questions; None: the owner's viewer does.
    """

    def __init__(
        self,
        host: str,
        connect: Connect,
        *,
        owner: str = "",
        size: Size | None = None,
        term: str = "xterm-256color",
        environment: Mapping[str, str] | None = None,
        command: str | None = None,
        policy: TerminalPolicy | None = None,
        observers: Sequence[Observer] = (),
        on_end: Callable[[TerminalSession], None] | None = None,
        ask: Ask | None = None,
    ) -> None:
        self.id = secrets.token_urlsafe(16)
        self.host = host
        self.owner = owner
        self.command = command
        self.policy = policy or TerminalPolicy()
        self.recording: str | None = None
        """Name of its recording, for `info`; set by whoever records it."""
        self.started = time.time()
        self._observers = Observers(observers)
        self._on_end = on_end
        self._ask = ask
        self._stage = Stage(self.policy, size or Size(), lambda: self._questions.standing)
        self._questions = SessionPrompts(
            self._stage.tell_owner, self.policy.answer, confirms=self.policy.accept_host_keys
        )
        self._line = Line(self._stage, connect, term, environment or {}, command)
        self._keyboard = Keyboard(self._stage, self._line, self._observers)
        self._transfers = Transfers(self._stage, self._line)
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._ready = threading.Event()
        """Set once it is open, or will never be."""
        self._over = threading.Event()
        """Set once everything is closed."""

    def __repr__(self) -> str:
        return f"<TerminalSession {self.id[:4]}… on {self.host}: {self.state}>"

    @classmethod
    def open(
        cls,
        inventory: Inventory,
        host: str,
        *,
        owner: str = "",
        size: Size | None = None,
        term: str = "xterm-256color",
        environment: Mapping[str, str] | None = None,
        command: str | None = None,
        policy: TerminalPolicy | None = None,
        observers: Sequence[Observer] = (),
        ask: Ask | None = None,
        variables: Mapping[str, Any] | None = None,
        timeouts: Timeouts | None = None,
    ) -> TerminalSession:
        """Open a session on a host of an inventory, and wait until it is there.

        Args:
            inventory: where the host is.
            host: its name.
            owner: whose session it is, for observers and `info`.
            size: of the terminal.
            term: its type.
            environment: variables to set, as far as the host allows.
            command: what runs instead of the login shell.
            policy: the limits; by default those of `TerminalPolicy`.
            observers: who sees what goes through it.
            ask: answers the login's questions; None: they stay without an answer.
            variables: more of them for the host; they win.
            timeouts: limits of connecting.

        Raises:
            InputError: there is no such host, or a setting of it is wrong; nothing was contacted.
            HostError: the host could not be reached, or refused.
        """
        # Only here: it knows inventories and how hosts are planned, which a session itself has no need of.
        from sshexec.runtime.plan import Contexts
        from sshexec.terminal.opening import connecting

        contexts = Contexts()
        try:
            session = cls(
                host,
                connecting(inventory, host, variables=variables, timeouts=timeouts or Timeouts(), contexts=contexts),
                owner=owner,
                size=size,
                term=term,
                environment=environment,
                command=command,
                policy=policy,
                observers=observers,
                on_end=lambda _: contexts.close(),
                ask=ask or _nobody,
            )
        except BaseException:
            contexts.close()
            raise
        session.start()
        try:
            session.wait_open()
        except BaseException:
            session.close()
            raise
        return session

    # ------------------------------------------------------------------ what may be known

    @property
    def state(self) -> State:
        """``opening``, ``open`` or ``ended``."""
        return self._stage.state

    @property
    def size(self) -> Size:
        """The terminal's, now."""
        return self._stage.size

    def info(self) -> SessionInfo:
        """Return what may be known of it."""
        stage = self._stage
        with stage.lock:
            return SessionInfo(
                id=self.id,
                host=self.host,
                owner=self.owner,
                state=stage.state,
                started=self.started,
                size=stage.size,
                viewers=stage.audience.listed(),
                paused=stage.paused,
                idle=max(0.0, time.monotonic() - stage.lifetime.active),
                recording=self.recording,
                read_only=self.policy.read_only,
                sent=stage.ring.end,
                command=self.command,
                ended=stage.ended,
            )

    # ------------------------------------------------------------------ beginning

    def observe(self, observer: Observer) -> None:
        """Add an observer; only before `start`."""
        if self._thread is not None:
            raise TerminalError("the session has started: observers come before that")
        self._observers.add(observer)

    def start(self) -> None:
        """Begin to open it, on a thread of its own. Who is attached before that misses nothing.

        Raises:
            TerminalError: the system starts no thread; the session has ended.
        """
        with self._stage.lock:
            if self._thread is not None or self._stage.ended is not None:
                return
            thread = self._thread = threading.Thread(target=self._run, name=f"terminal-{self.host}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._finish(Ended("failed", "the system starts no further thread"))
            self._clean_up()  # in place of the thread, on which whoever has ended it relies
            raise TerminalError("the system starts no further thread for a terminal") from error

    def wait_open(self, timeout: float | None = None) -> None:
        """Wait until the program has its terminal.

        Args:
            timeout: seconds to wait; None: until it is open or has failed, which its limits see to.

        Raises:
            InputError, HostError: why it could not be opened.
            SessionOverError: it was ended before it was open.
            TerminalError: the time-out has passed.
        """
        if not self._ready.wait(timeout):
            raise TerminalError(f"the session on {self.host} is not open yet; wait longer, or close it")
        if isinstance(self._failure, (InputError, HostError)):
            raise self._failure
        if self._failure is not None:
            with self._stage.lock:
                self._stage.check()

    def _run(self) -> None:
        try:
            terminal = self._open()
            Pump(self._stage, self._line, self._observers).run(terminal)
            self._finish(self._line.exited())
        except SessionOverError:
            pass  # somebody has ended it
        except RequiredObserverError as error:
            self._unrecorded(error)
        except SshexecError as error:
            lost = self._line.terminal is not None and isinstance(error, ConnectionLostError)
            cause = error.cause if isinstance(error, HostError) else None
            # Where a file of this machine is wrong is not for whoever has the terminal.
            text = one_line(error.message if isinstance(error, InputError) else str(error))
            if self._finish(Ended("lost" if lost else "failed", text, cause=cause)):
                self._failure = error
        except Exception:
            log.exception("a terminal session on %s broke", self.host)
            self._finish(Ended("failed", "an error of sshexec itself: see its log"))
        finally:
            self._finish(Ended("failed", "interrupted"))
            self._clean_up()

    def _open(self) -> Terminal:
        terminal = self._line.open(self._prompts(), Deadline.after(_OPENING + self.policy.answer))
        self._questions.close()
        self._observers.opened(self.info())
        self._stage.opened(self._line.notices())
        self._ready.set()
        return terminal

    def _prompts(self) -> Prompts:
        if self._ask is None:
            return self._questions
        prompts = Broker(self._ask, patience=self.policy.answer)
        prompts.confirms = self.policy.accept_host_keys
        return prompts

    # ------------------------------------------------------------------ viewers

    def attach(self, *, role: Role = "owner", user: str = "", since: int | None = None) -> Viewer:
        """Add a viewer. A second owner takes the place of the first, which gets `Detached`.

        Args:
            role: ``owner`` or ``watcher``.
            user: whose viewer it is.
            since: number of the byte that it wants to go on with; what is not kept any more makes it begin with
                `Reset`. None: what is kept of the output, from a good place.

        Raises:
            LimitError: there are as many watchers as there may be.
            SessionOverError: the session has ended.
        """
        return self._stage.attach(self, role, user, since)

    def hand_over(self, viewer_id: str, by: str = "") -> None:
        """Make another viewer the owner; the one before watches on.

        Args:
            viewer_id: who types from now on.
            by: who wants it so, for the viewers.

        Raises:
            TerminalError: there is no such viewer.
            SessionOverError: the session has ended.
        """
        self._stage.hand_over(viewer_id, by)

    def kick(self, viewer_id: str) -> None:
        """Send a viewer away; the session goes on.

        Args:
            viewer_id: whose place ends.

        Raises:
            TerminalError: there is no such viewer.
        """
        self._stage.kick(viewer_id)

    def answer(self, question_id: str, values: Sequence[str], *, user: str | None = None) -> bool:
        """Answer a question of the login; return whether it stood.

        Args:
            question_id: as `Asked` had it.
            values: an answer for each field; none at all refuses to answer.
            user: who answers; None is the session's own caller.

        Raises:
            NotAllowedError: it is about the host's key, and another user's session.
            ArgumentError: they don't fit the question.
        """
        return self._questions.answer(question_id, values, trusts=user in (None, self.owner))

    # ------------------------------------------------------------------ from the viewers to the host

    def write(self, data: bytes, *, user: str = "") -> None:
        """Type something; waits until the host has taken all of it.

        Args:
            data: what is typed.
            user: who types it, for the observers.

        Raises:
            NotAllowedError: the session is read-only or paused, or an observer refuses it.
            SessionOverError: it has ended, or is not open yet.
        """
        self._type(data, user or self.owner, None)

    def _type(self, data: bytes, user: str, viewer: Viewer | None) -> None:
        try:
            self._keyboard.type(data, user, viewer)
        except RequiredObserverError as error:
            self._unrecorded(error)
            with self._stage.lock:
                self._stage.check()

    def resize(self, size: Size) -> None:
        """Give the terminal another size.

        Raises:
            SessionOverError: the session has ended.
        """
        if not self._stage.resize(size):
            return
        try:
            self._observers.resized(size)
        except RequiredObserverError as error:
            self._unrecorded(error)
        self._line.send_size()

    def signal(self, name: str) -> None:
        """Send a signal to what runs in the foreground (see `Terminal.signal`).

        Args:
            name: one of `sshexec.connectors.terminal.SIGNALS`.

        Raises:
            ArgumentError: there is no such signal.
            NotAllowedError: the session is read-only or paused.
            TerminalError: the host has no signals.
            SessionOverError: it has ended, or is not open yet.
        """
        with self._stage.lock:
            self._keyboard.check()
        self._line.signal(name)

    # ------------------------------------------------------------------ files

    def put(
        self,
        source: Source,
        path: str,
        *,
        mode: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Write a file on the host, on the session's own connection; one transfer at a time (see `Connector.put`).

        Raises:
            NotAllowedError: the session is read-only or paused.
            SessionOverError: it has ended, or is not open yet.
            TransferError, CommandTimeoutError, CancelledError, ConnectionLostError: as `Connector.put`.
        """
        self._transfers.put(source, path, mode, progress)

    def get(self, path: str, target: BinaryIO, *, progress: Callable[[int], None] | None = None) -> None:
        """Read a file of the host, likewise (see `Connector.get`).

        Raises:
            NotAllowedError: the session is paused.
            SessionOverError: it has ended, or is not open yet.
            TransferError, CommandTimeoutError, CancelledError, ConnectionLostError, OSError: as `Connector.get`.
        """
        self._transfers.get(path, target, progress)

    # ------------------------------------------------------------------ pause and end

    def pause(self, by: str) -> None:
        """Let nothing through until `resume`; what was typed and not sent waits."""
        self._stage.pause(by or "somebody", self.owner)

    def resume(self) -> None:
        """Go on after `pause`, whoever did that."""
        self._stage.pause(None)

    def terminate(self, by: str = "", reason: str = "") -> None:
        """End it, whatever the program does; returns at once.

        Args:
            by: who ends it, for the viewers.
            reason: why, one line.
        """
        text = f"ended by {by}" if by else "ended"
        self._finish(Ended("terminated", one_line(f"{text}: {reason}" if reason else text, 400)))

    def wait(self, timeout: float | None = None) -> Ended | None:
        """Wait until everything is closed; return how it ended, or None where that takes longer.

        Args:
            timeout: seconds to wait; None for as long as it takes.
        """
        return self._stage.ended if self._over.wait(timeout) else None

    def close(self) -> None:
        """End it and wait until its connection is closed; safe to call twice."""
        self.terminate()
        if self._thread is not threading.current_thread():
            self._over.wait(_CLOSING)

    def __enter__(self) -> TerminalSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _unrecorded(self, error: RequiredObserverError) -> None:
        self._finish(Ended("recording", f"the session can't be recorded any more ({error})"))

    def _finish(self, ended: Ended) -> bool:
        """End it, and return whether it had not ended; its thread, which is woken wherever it waits, cleans up."""
        if not self._stage.end(ended):
            return False
        self._questions.close()
        self._line.break_off()
        with self._stage.lock:
            begun = self._thread is not None
        if not begun:
            self._clean_up()
        return True

    def _clean_up(self) -> None:
        """Close everything, and tell those who wait for that."""
        self._line.close(self._transfers.end)
        if not self._ready.is_set():
            self._failure = self._failure or SessionOverError()
        self._observers.ended(self.info())
        self._ready.set()
        try:
            if self._on_end is not None:
                self._on_end(self)
        except Exception:
            log.exception("what is called at the end of a terminal session failed")
        self._over.set()


def _nobody(question: Question) -> None:
    raise NoAnswerError("there is nobody to ask")
