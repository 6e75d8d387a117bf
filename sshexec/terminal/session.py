"""One interactive session on one host: from its opening to its end, whoever comes and goes meanwhile."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from sshexec.connectors.base import Capability, Connector, Deadline, Phase, Source, Timeouts
from sshexec.connectors.broker import Ask, Broker
from sshexec.connectors.prompts import Prompts
from sshexec.connectors.terminal import PIECE, Size, Terminal
from sshexec.errors import (
    ConnectionLostError,
    HostError,
    InputError,
    NotAllowedError,
    SessionOverError,
    SshexecError,
    TerminalError,
)
from sshexec.terminal.audience import Audience
from sshexec.terminal.events import (
    Answered,
    Asked,
    Ended,
    Noticed,
    Opened,
    Paused,
    Phased,
    Resized,
    Role,
    State,
)
from sshexec.terminal.lifetime import Due, Lifetime
from sshexec.terminal.observer import Observer, SessionInfo
from sshexec.terminal.observers import Observers, RequiredObserverError
from sshexec.terminal.policy import TerminalPolicy
from sshexec.terminal.questions import SessionPrompts, one_line
from sshexec.terminal.ring import Ring
from sshexec.terminal.viewer import Viewer

if TYPE_CHECKING:
    from sshexec.inventory.model import Inventory

log = logging.getLogger(__name__)

Connect = Callable[[Prompts], Connector[Any, Any]]
"""Makes the connector of the session's host, and does not open it."""

_AHEAD = 128 * 1024
"""Bytes that the owner has not read at which the host is read no further: what is under way is what Ctrl-C cannot stop."""

_OPENING = 120.0
"""Seconds that opening may take beside the owner's answers."""

_SLICE = 32 * 1024
"""Bytes that are handed to the terminal at once."""

_WRITING = 0.25
"""Seconds after which something typed counts as waiting for the host."""

_RETRY = 0.05
"""Seconds before a write is tried again that came back before its time."""

_TRANSFER_END = 5.0
"""Seconds that a transfer has to end once the session has."""

_TEXTS: dict[Due, tuple[str, str]] = {
    "idle": ("idle", "nothing was typed for too long"),
    "max_time": ("max_time", "the session lasted as long as it may"),
    "detached": ("detached", "nobody came back to the session"),
}


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
        self.size = size or Size()
        self.command = command
        self.policy = policy or TerminalPolicy()
        self.recording: str | None = None
        """Name of its recording, for `info`; set by whoever records it."""
        self.started = time.time()
        self._connect = connect
        self._term = term
        self._environment = dict(environment or {})
        self._observers = Observers(observers)
        self._on_end = on_end
        self._ask = ask
        self._lock = threading.Lock()
        self._bell = threading.Condition(self._lock)
        """Wakes the thread that reads from the host."""
        self._turn = threading.Condition(self._lock)
        """Wakes those who type."""
        self._ring = Ring(max(self.policy.scrollback, _AHEAD + 2 * PIECE))
        self._audience = Audience(self.policy.watchers)
        self._lifetime = Lifetime(self.policy, time.monotonic())
        self._questions = SessionPrompts(self._asked, self.policy.answer, confirms=self.policy.accept_host_keys)
        self._state: State = "opening"
        self._phase = ""
        self._paused: str | None = None
        self._thread: threading.Thread | None = None
        self._connector: Connector[Any, Any] | None = None
        self._terminal: Terminal | None = None
        self._reading = self._typing = False
        self._sizing = threading.Lock()
        self._transferring = threading.Lock()
        self._ended: Ended | None = None
        self._failure: BaseException | None = None
        self._ready = threading.Event()
        """Set once it is open, or will never be."""
        self._over = threading.Event()
        """Set once everything is closed."""

    def __repr__(self) -> str:
        return f"<TerminalSession {self.id[:4]}… on {self.host}: {self._state}>"

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
            ask: answers the login's questions; None: whoever attaches as the owner, so nobody before it is open.
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
            connect = connecting(
                inventory, host, variables=variables, timeouts=timeouts or Timeouts(), contexts=contexts
            )
            session = cls(
                host,
                connect,
                owner=owner,
                size=size,
                term=term,
                environment=environment,
                command=command,
                policy=policy,
                observers=observers,
                on_end=lambda _: contexts.close(),
                ask=ask or (lambda question: None),
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
        return self._state

    def info(self) -> SessionInfo:
        """Return what may be known of it."""
        with self._lock:
            return self._info()

    def _info(self) -> SessionInfo:
        return SessionInfo(
            id=self.id,
            host=self.host,
            owner=self.owner,
            state=self._state,
            started=self.started,
            size=self.size,
            viewers=self._audience.listed(),
            paused=self._paused,
            idle=max(0.0, time.monotonic() - self._lifetime.active),
            recording=self.recording,
            read_only=self.policy.read_only,
            sent=self._ring.end,
            command=self.command,
            ended=self._ended,
        )

    # ------------------------------------------------------------------ beginning

    def observe(self, observer: Observer) -> None:
        """Add an observer; only before `start`."""
        if self._thread is not None:
            raise TerminalError("the session has started: observers come before that")
        self._observers.add(observer)

    def start(self) -> None:
        """Begin to open it, on a thread of its own. Who is attached before that misses nothing."""
        with self._lock:
            if self._thread is not None or self._ended is not None:
                return
            self._thread = threading.Thread(target=self._run, name=f"terminal-{self.host}", daemon=True)
        self._thread.start()

    def wait_open(self, timeout: float | None = None) -> None:
        """Wait until the program has its terminal.

        Args:
            timeout: seconds to wait; by default until it is open or has failed, which always happens.

        Raises:
            InputError, HostError: why it could not be opened.
            SessionOverError: it was ended before it was open.
            TerminalError: the time-out has passed.
        """
        if not self._ready.wait(timeout):
            raise TerminalError("the session is not open yet")
        failure = self._failure
        if isinstance(failure, (InputError, HostError)):
            raise failure
        if self._state == "ended" and failure is not None:
            raise SessionOverError(self._why())

    def _run(self) -> None:
        try:
            terminal = self._open()
            if terminal is not None:
                self._pump(terminal)
        except RequiredObserverError as error:
            self._finish(Ended("recording", f"the session can't be recorded any more ({error})"))
        except ConnectionLostError as error:
            self._finish(Ended("lost", one_line(str(error)), cause=error.cause))
        except SshexecError as error:
            self._failure = error
            cause = error.cause if isinstance(error, HostError) else None
            self._finish(Ended("failed", one_line(str(error)), cause=cause))
        except BaseException as error:
            self._failure = error
            log.exception("a terminal session on %s broke", self.host)
            self._finish(Ended("failed", "an error of sshexec itself, see its log"))
        finally:
            self._clean_up()

    def _open(self) -> Terminal | None:
        prompts: Prompts = self._questions
        if self._ask is not None:
            prompts = Broker(self._ask, patience=self.policy.answer)
            prompts.confirms = self.policy.accept_host_keys
        connector = self._connect(prompts)
        with self._lock:
            self._connector = connector
            if self._ended is not None:
                return None
        connector.on_phase = self._entered
        deadline = Deadline.after(_OPENING + self.policy.answer)
        connector.open(deadline)
        size = self.size
        terminal = connector.terminal(size, self._term, deadline, environment=self._environment, command=self.command)
        notices, connector.notices = connector.notices, []
        self._questions.close()
        now = time.monotonic()
        with self._lock:
            self._terminal = terminal
            if self._ended is not None:
                return None
            self._state = "open"
            self._lifetime.typed(now)
            info = self._info()
        self._observers.opened(info)
        with self._lock:
            for notice in notices:
                code, text = str(notice.get("notice", "notice")), one_line(str(notice.get("message", "")))
                self._audience.tell(Noticed("info", code, text))
            self._audience.tell(Opened())
        self._ready.set()
        if self.size != size:
            self._send_size()
        return terminal

    def _entered(self, phase: Phase) -> None:
        with self._lock:
            if self._state == "opening" and phase.value != self._phase:
                self._phase = phase.value
                self._audience.tell(Phased(phase.value))

    def _asked(self, event: Asked | Answered) -> None:
        with self._lock:
            if self._audience.owner is not None:
                self._audience.owner.tell(event)

    # ------------------------------------------------------------------ from the host to the viewers

    def _pump(self, terminal: Terminal) -> None:
        """Bring what the program writes to the viewers until it ends, and look after the session's limits."""
        while True:
            with self._lock:
                rest = self._keep_time()
                if self._ended is not None:
                    return
                owner = self._audience.owner
                if self._paused is not None or (owner is not None and owner.behind >= _AHEAD):
                    self._bell.wait(rest)
                    continue
                self._reading = True
            data = terminal.read(rest)
            self._reading = False
            if data is None:
                continue
            if not data:
                self._finish(self._exited(terminal))
                return
            self._observers.shown(data)
            with self._lock:
                if self._ended is not None:
                    return
                self._ring.append(data)
                self._lifetime.pending(self._audience.owner is not None, time.monotonic())
                for viewer in self._audience:
                    viewer.wake()

    def _exited(self, terminal: Terminal) -> Ended:
        status, signal = terminal.exit_status, terminal.exit_signal
        if signal is not None:
            signal = one_line(signal, 40)
            return Ended("exited", f"the program was ended by signal {signal}", exit_signal=signal)
        text = "the program has ended" if status is None else f"the program has ended with status {status}"
        return Ended("exited", text, exit_status=status)

    def _keep_time(self) -> float | None:
        """Do what is due; return in how many seconds something will be."""
        while self._ended is None:
            now = time.monotonic()
            due = self._lifetime.due(now)
            if due is None:
                return self._lifetime.rest(now)
            if due == "stalled":
                if self._audience.owner is not None:
                    self._dismiss(self._audience.owner, "stalled")
            elif due == "idle_soon" or due == "max_time_soon":
                left = self._lifetime.left("idle" if due == "idle_soon" else "max_time", now)
                why = "unless something is typed" if due == "idle_soon" else "since it lasts as long as it may"
                self._audience.tell(Noticed("warning", due, f"the session ends in {left:.0f} s, {why}"))
            else:
                reason, text = _TEXTS[due]
                self._end(Ended(reason, text))
        return None

    def _took(self, viewer: Viewer) -> None:
        """Note, with the lock held, that a viewer took or acknowledged something."""
        if viewer is not self._audience.owner:
            return
        now = time.monotonic()
        if viewer.pending:
            self._lifetime.taken(now)
        else:
            self._lifetime.pending(False, now)
        if viewer.behind <= _AHEAD // 2 and not self._reading:
            self._bell.notify()

    def _nudge(self) -> None:
        """Have the reading thread look again; with the lock held."""
        self._bell.notify()
        if self._reading and self._terminal is not None:
            self._terminal.wake()

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
        with self._lock:
            if self._ended is not None:
                raise SessionOverError(self._why())
            self._audience.check(role)
            identifier = self._audience.next_id()
            known = since is not None and self._ring.start <= since <= self._ring.end
            seq = since if known and since is not None else self._ring.fresh_start(self.policy.scrollback)
            viewer = Viewer(
                self, identifier, user, role, lock=self._lock, ring=self._ring, seq=seq, window=self.policy.window
            )
            if since is not None and not known:
                self._restart(viewer)
            if self._state == "opening" and self._phase:
                viewer.tell(Phased(self._phase))
            if self._paused is not None:
                viewer.tell(Paused(self._paused))
            self._audience.admit(viewer)
            standing = self._questions.standing
            if role == "owner":
                if standing is not None:
                    viewer.tell(standing)
                self._owned()
            return viewer

    def _owned(self) -> None:
        now = time.monotonic()
        owner = self._audience.owner
        self._lifetime.owned(owner is not None, now)
        if owner is not None:
            self._lifetime.pending(owner.pending, now)
        self._nudge()

    def _restart(self, viewer: Viewer) -> None:
        viewer.restart(self._ring.fresh_start(self.policy.scrollback), b"")

    def _detach(self, viewer: Viewer, reason: str) -> None:
        with self._lock:
            self._dismiss(viewer, reason)

    def _dismiss(self, viewer: Viewer, reason: str) -> None:
        was = self._audience.owner is viewer
        if self._audience.dismiss(viewer, reason):
            self._turn.notify_all()
            if was:
                self._owned()

    def hand_over(self, viewer_id: str, by: str = "") -> None:
        """Make another viewer the owner; the one before watches on.

        Args:
            viewer_id: who types from now on.
            by: who wants it so, for the viewers.

        Raises:
            TerminalError: there is no such viewer.
            SessionOverError: the session has ended.
        """
        with self._lock:
            self._check()
            viewer = self._audience.promote(viewer_id, self._questions.standing)
            self._owned()
            if by:
                self._audience.tell(Noticed("info", "handed_over", one_line(f"{by} handed it to {viewer.user}", 400)))

    def kick(self, viewer_id: str, by: str = "") -> None:
        """Send a viewer away.

        Raises:
            TerminalError: there is no such viewer.
        """
        with self._lock:
            self._dismiss(self._audience.find(viewer_id), "kicked")

    def answer(self, question_id: str, values: Sequence[str]) -> bool:
        """Answer a question of the login; return whether it stood.

        Args:
            question_id: as `Asked` had it.
            values: an answer for each field; none at all refuses to answer.

        Raises:
            ArgumentError: they don't fit the question.
        """
        return self._questions.answer(question_id, values)

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
        if not data:
            return
        with self._lock:
            self._check_typing(viewer)
            while self._typing:
                self._turn.wait()
                self._check_typing(viewer)
            self._typing = True
        try:
            reason = self._observers.permits(data, user)
            if reason is not None:
                raise NotAllowedError(one_line(reason, 400))
            self._observers.typed(data, user)
            self._send(data, viewer)
        except RequiredObserverError as error:
            self._finish(Ended("recording", f"the session can't be recorded any more ({error})"))
            raise SessionOverError(self._why()) from None
        finally:
            with self._lock:
                self._typing = False
                self._lifetime.typed(time.monotonic())
                if viewer is not None:
                    viewer.stuck(False)
                self._turn.notify_all()

    def _check_typing(self, viewer: Viewer | None) -> None:
        self._check_open()
        if self.policy.read_only:
            raise NotAllowedError("the session is read-only")
        if self._paused is not None:
            raise NotAllowedError("the session is paused")
        if viewer is None:
            return
        if viewer.detached:
            raise SessionOverError("the viewer is out of the session")
        if viewer.role != "owner":
            raise NotAllowedError("only the owner of the session may type")

    def _send(self, data: bytes, viewer: Viewer | None) -> None:
        """Send all of it, whatever happens to who typed it: half of a line may do what nobody wanted."""
        terminal = self._terminal
        assert terminal is not None
        left = memoryview(data)
        while left:
            with self._lock:
                self._check()
                if self._paused is not None:
                    self._turn.wait()
                    continue
            began = time.monotonic()
            try:
                sent = terminal.write(bytes(left[:_SLICE]), _WRITING)
            except ConnectionLostError:
                raise SessionOverError("the program on the terminal has ended") from None
            left = left[sent:]
            if not sent:
                with self._lock:
                    if viewer is not None:
                        viewer.stuck(True)
                    if time.monotonic() - began < _RETRY and self._ended is None:
                        self._turn.wait(_RETRY)

    def resize(self, size: Size) -> None:
        """Give the terminal another size.

        Raises:
            SessionOverError: the session has ended.
        """
        with self._lock:
            self._check()
            if size == self.size:
                return
            self.size = size
            self._audience.tell(Resized(size))
        try:
            self._observers.resized(size)
        except RequiredObserverError as error:
            self._finish(Ended("recording", f"the session can't be recorded any more ({error})"))
            return
        self._send_size()

    def _send_size(self) -> None:
        # One after the other, so that the last one wins on the host too.
        with self._sizing:
            if self._terminal is not None:
                with contextlib.suppress(ConnectionLostError):  # the reading thread tells
                    self._terminal.resize(self.size)

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
        with self._lock:
            self._check_typing(None)
            terminal, connector = self._terminal, self._connector
        assert terminal is not None and connector is not None
        if Capability.SIGNALS not in connector.capabilities:
            raise TerminalError(f"a {connector.name} connection has no signals")
        try:
            terminal.signal(name)
        except ConnectionLostError:
            raise SessionOverError("the program on the terminal has ended") from None

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
            NotAllowedError: the session is read-only.
            SessionOverError: it has ended, or is not open yet.
            TransferError, CommandTimeoutError, CancelledError, ConnectionLostError: as `Connector.put`.
        """
        if self.policy.read_only:
            raise NotAllowedError("the session is read-only")
        with self._transferring:
            self._transfer().put(source, path, Deadline.after(self.policy.max_time), mode=mode, progress=progress)

    def get(self, path: str, target: BinaryIO, *, progress: Callable[[int], None] | None = None) -> None:
        """Read a file of the host, likewise (see `Connector.get`).

        Raises:
            SessionOverError: the session has ended, or is not open yet.
            TransferError, CommandTimeoutError, CancelledError, ConnectionLostError, OSError: as `Connector.get`.
        """
        with self._transferring:
            self._transfer().get(path, target, Deadline.after(self.policy.max_time), progress=progress)

    def _transfer(self) -> Connector[Any, Any]:
        with self._lock:
            self._check_open()
            connector = self._connector
        assert connector is not None
        if Capability.FILES not in connector.capabilities:
            raise TerminalError(f"a {connector.name} connection has no files")
        return connector

    # ------------------------------------------------------------------ pause and end

    def pause(self, by: str) -> None:
        """Let nothing through until `resume`; what was typed and not sent waits."""
        self._set_paused(by or "somebody")

    def resume(self, by: str = "") -> None:
        """Go on after `pause`."""
        self._set_paused(None)

    def _set_paused(self, by: str | None) -> None:
        with self._lock:
            self._check()
            if (self._paused is None) == (by is None):
                return
            self._paused = by
            self._lifetime.paused(by is not None, time.monotonic())
            self._audience.tell(Paused(by))
            self._turn.notify_all()
            self._nudge()

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
        return self._ended if self._over.wait(timeout) else None

    def close(self) -> None:
        """End it and wait until its connection is closed; safe to call twice."""
        self.terminate()
        if self._thread is not threading.current_thread():
            self._over.wait(_TRANSFER_END + 10.0)

    def __enter__(self) -> TerminalSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _why(self) -> str:
        return f"the session has ended: {self._ended.text}" if self._ended is not None else "the session has ended"

    def _check(self) -> None:
        if self._ended is not None:
            raise SessionOverError(self._why())

    def _check_open(self) -> None:
        self._check()
        if self._state != "open":
            raise SessionOverError("the session is not open yet")

    def _finish(self, ended: Ended) -> None:
        """End it; the first reason stays. Whoever waits anywhere is woken, and the session's thread cleans up."""
        with self._lock:
            if self._ended is not None:
                return
            self._end(ended)
            begun, connector, terminal = self._thread is not None, self._connector, self._terminal
        self._questions.close()
        if terminal is None and connector is not None:
            connector.cancel()
        if not begun:
            self._clean_up()

    def _end(self, ended: Ended) -> None:
        self._ended, self._state = ended, "ended"
        self._audience.tell(ended)
        self._turn.notify_all()
        self._nudge()

    def _clean_up(self) -> None:
        """Close everything, in the session's own thread."""
        if self._failure is None and not self._ready.is_set():
            self._failure = SessionOverError(self._why())
        self._questions.close()
        connector = self._connector
        with contextlib.suppress(Exception):
            if self._terminal is not None:
                self._terminal.close()
        if connector is not None:
            with contextlib.suppress(Exception):
                if not self._transferring.acquire(blocking=False):
                    connector.cancel()
                    self._transferring.acquire(timeout=_TRANSFER_END)
            with contextlib.suppress(Exception):
                connector.close()
        self._observers.ended(self.info())
        self._ready.set()
        try:
            if self._on_end is not None:
                self._on_end(self)
        except Exception:
            log.exception("what is called at the end of a terminal session failed")
        self._over.set()
