"""One WebSocket of `sshexec.term.v1`, from its hello to its end, whichever server has it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sshexec.connectors.deadline import together
from sshexec.errors import (
    InputError,
    LimitError,
    NoSuchSessionError,
    NotAllowedError,
    SessionOverError,
    SshexecError,
    TerminalError,
    TokenError,
)
from sshexec.terminal.auditing import about
from sshexec.terminal.events import Detached, Ended, Opened, ViewerEvent
from sshexec.web import messages
from sshexec.web.attendance import SIGNED_OUT, Presence
from sshexec.web.connection import Connection, ConnectionClosed
from sshexec.web.messages import ControlMessage, Hello, MessageError, tell
from sshexec.web.typist import INPUT_WINDOW, Typist

if TYPE_CHECKING:
    from sshexec.connectors.terminal import Size
    from sshexec.terminal.sessions import TerminalManager
    from sshexec.terminal.viewer import Viewer

__all__ = ["converse"]

logger = logging.getLogger(__name__)

HELLO_TIME = 10.0
"""Seconds within which a client must say what it wants."""

BETWEEN_SIZES = 0.05
"""Seconds between two changes of the size; of those in between, the last one counts."""

BETWEEN_ERRORS = 1.0
"""Seconds between two errors of one kind that are told."""

MOST_UNKNOWN = 1000
"""Messages of a kind that nobody knows, before the client is taken for broken."""

READ_TIME = 60.0
"""Seconds for which a viewer is waited for at once; also those that its thread may take to end."""

_CODES: tuple[tuple[type[SshexecError], int], ...] = (
    (TokenError, 4001),
    (NotAllowedError, 4002),
    (LimitError, 4008),
    (NoSuchSessionError, 4009),
    (SessionOverError, 4009),
    (InputError, 1008),
)
_ENDS = {"idle": 4003, "max_time": 4003, "terminated": 4004}
_DETACHED = {"stolen": 4006, "stalled": 4005, "kicked": 4010}


def converse(
    connection: Connection, manager: TerminalManager, *, presence: Presence | None = None, address: str | None = None
) -> None:
    """Serve one WebSocket until it is closed; returns then, and raises nothing that a client can cause.

    Args:
        connection: open, its subprotocol agreed on; closed at the end.
        manager: whose tokens and sessions they are.
        presence: who signed in, if anybody was asked to: a token of somebody else opens nothing then.
        address: where the client is, for tokens that are bound to an address.
    """
    code, reason = 1000, ""
    presence = presence or Presence(connection, None, None)
    try:
        hello = _hello(connection)
        viewer = manager.redeem(
            hello.token, size=hello.size, term=hello.term, since=hello.since, user=presence.user, address=address
        )
        _Conversation(connection, manager, viewer, presence).run()
    except ConnectionClosed as closed:
        code, reason = closed.code, closed.reason
    except MessageError as error:
        code, reason = error.code, error.text
        _tell_last(connection, "invalid", error.text)
    except SshexecError as error:
        code = next((number for kind, number in _CODES if isinstance(error, kind)), 1011)
        text = _text(error) if code != 1011 else "it does not work"
        reason = text
        _tell_last(connection, getattr(error, "code", "invalid"), text)
        if code == 1011:
            logger.exception("a terminal's WebSocket failed")
    except Exception:
        code, reason = 1011, "it does not work"
        logger.exception("a terminal's WebSocket failed")
    finally:
        connection.close(code, reason)


def _text(error: SshexecError) -> str:
    """Return what is said of an error; where a source of the inventory is wrong is not for a browser."""
    return error.message if isinstance(error, InputError) else str(error)


def _tell_last(connection: Connection, code: str, text: str) -> None:
    with contextlib.suppress(ConnectionClosed):  # it is about to be closed anyway
        connection.send(tell("error", code=code, text=text))


def _hello(connection: Connection) -> Hello:
    """Return the first message.

    Raises:
        MessageError: it is another one, or none.
        ConnectionClosed: there is none.
    """
    first = connection.receive(HELLO_TIME)
    if first is None:
        raise MessageError(1008, f"no hello came within {HELLO_TIME:.0f} seconds")
    message = messages.parse(first) if isinstance(first, str) else None
    if not isinstance(message, Hello):
        raise MessageError(1002, "the first message has to be a hello")
    return message


class _Conversation:
    """The two directions: this thread hears, another one tells."""

    def __init__(self, connection: Connection, manager: TerminalManager, viewer: Viewer, presence: Presence) -> None:
        self._connection = connection
        self._manager = manager
        self._viewer = viewer
        self._presence = presence
        self._recheck = viewer.session.policy.recheck
        self._due = self._next_check()
        self._typist = Typist(viewer, self._taken, lambda error: self._refused(error, "type"))
        self._sent = 0
        self._acknowledged = 0
        self._unknown = 0
        self._size: Size | None = None
        self._sized = 0.0
        self._last_errors: dict[str, float] = {}

    def run(self) -> None:
        """Serve the viewer until one side has enough."""
        teller: threading.Thread | None = None
        try:
            self._connection.send(self._ready())
            teller = threading.Thread(target=self._tell, name="sshexec-viewer", daemon=True)
            teller.start()
            self._hear()
        except MessageError as error:
            _tell_last(self._connection, "invalid", error.text)
            self._connection.close(error.code, error.text)
        except ConnectionClosed as closed:
            self._connection.close(closed.code, closed.reason)  # before the teller says that all is well
        finally:
            self._typist.close()
            self._viewer.close()
            if teller is not None:
                teller.join(READ_TIME)

    def _ready(self) -> str:
        viewer, session = self._viewer, self._viewer.session
        info = session.info()
        window = session.policy.window
        if info.state == "open":
            self._typist.begin()
        return tell(
            "ready",
            id=info.id,
            host=info.host,
            user=viewer.user,
            role=viewer.role,
            viewer=viewer.id,
            seq=viewer.seq,
            sent=info.sent,
            columns=info.size.columns,
            rows=info.size.rows,
            state=info.state,
            window=window,
            ack=window // 4,
            input=INPUT_WINDOW,
            read_only=info.read_only,
            upload=self._manager.allowed(viewer.user, "upload", info.host),
            download=self._manager.allowed(viewer.user, "download", info.host),
            recording=info.recording,
        )

    # What the client is told.

    def _tell(self) -> None:
        """Send on what the viewer gets, until that is over."""
        code, reason = 1011, "it does not work"
        try:
            while True:
                item = self._viewer.read(READ_TIME)
                if isinstance(item, bytes):
                    self._sent += len(item)
                    self._connection.send(item)
                elif item is not None:
                    self._connection.send(messages.render(item))
                    if isinstance(item, Opened):
                        self._typist.begin()
                    if isinstance(item, (Ended, Detached)):
                        code, reason = _closing(item)
                        break
                elif self._viewer.closed:
                    code, reason = 1000, ""
                    break
        except (ConnectionClosed, SshexecError):
            code, reason = 1000, ""
        except Exception:
            logger.exception("a viewer of a terminal failed")
        finally:
            self._typist.close()
            self._connection.close(code, reason)

    def _taken(self, size: int) -> None:
        with contextlib.suppress(ConnectionClosed):  # whoever hears knows it already
            self._connection.send(tell("taken", bytes=size))

    def _refused(self, error: SshexecError, action: str | None = None) -> None:
        """Say that something is not done; not each time, where it comes again and again.

        Args:
            error: why.
            action: what; None where whoever keeps watch knows of it, or need not.
        """
        code = getattr(error, "code", "invalid")
        now = time.monotonic()
        if isinstance(error, SessionOverError) or now - self._last_errors.get(code, -BETWEEN_ERRORS) < BETWEEN_ERRORS:
            return
        self._last_errors[code] = now
        if action is not None and isinstance(error, NotAllowedError):
            viewer = self._viewer
            self._manager.tell("terminal_refused", user=viewer.user, action=action, **about(viewer.session))
        with contextlib.suppress(ConnectionClosed):  # whoever hears knows it already
            self._connection.send(tell("error", code=code, text=_text(error)))

    # What the client says.

    def _hear(self) -> None:
        while True:
            message = self._connection.receive(self._rest())
            self._check()
            if message is None:
                if self._until_resize() == 0:
                    self._resize_now()
            elif isinstance(message, bytes):
                self._typist.put(message)
            else:
                try:
                    self._obey(messages.parse(message))
                except (TerminalError, InputError) as error:
                    self._refused(error)
                except SshexecError:
                    logger.debug("a terminal's connection broke", exc_info=True)  # the session says so

    def _rest(self) -> float:
        """Return seconds until something is to be done without the client."""
        check = max(0.0, self._due - time.monotonic())
        until = self._until_resize()
        return check if until is None else min(check, until)

    def _check(self) -> None:
        """Ask, now and then, whether this user may still be here; what somebody sent who has signed out is nothing."""
        if time.monotonic() >= self._due:
            self._due = self._next_check()
            self._presence.recheck()
            self._manager.recheck(self._viewer.session.id)
        if self._presence.gone:
            raise ConnectionClosed(SIGNED_OUT, "signed out")

    def _next_check(self) -> float:
        return together(time.monotonic() + self._recheck, self._recheck / 4)

    def _obey(self, message: ControlMessage) -> None:
        viewer = self._viewer
        match message:
            case messages.Acknowledged(size):
                # A page that has just come back may still draw, and acknowledge, what an earlier WebSocket brought.
                size = min(size, self._sent - self._acknowledged)
                self._acknowledged += size
                viewer.ack(size)
            case messages.Resize(size):
                self._resize(size)
            case messages.Ping(number):
                self._connection.send(tell("pong", n=number))
            case messages.Answers(question, values):
                self._if_allowed("answer", lambda: viewer.answer(question, values))
            case messages.Signal(name):
                if self._if_allowed("signal", lambda: viewer.check_owner("send signals")):
                    self._manager.signal(viewer.user, viewer.session.id, name)
            case messages.Give(other):
                self._manager.hand_over(viewer.user, viewer.session.id, other)
            case messages.Bare("detach"):
                viewer.close()
            case messages.Bare():
                if self._if_allowed("close", lambda: viewer.check_owner("end it")):
                    self._manager.terminate(viewer.user, viewer.session.id, "closed")
            case Hello():
                raise MessageError(1002, "only the first message may be a hello")
            case _:
                self._unknown += 1
                if self._unknown > MOST_UNKNOWN:
                    raise MessageError(1008, "too many messages of unknown kinds")

    def _if_allowed(self, action: str, work: Callable[[], object]) -> bool:
        """Do what only the owner may; return whether that is so."""
        try:
            work()
        except NotAllowedError as error:
            self._refused(error, action)
            return False
        return True

    def _resize(self, size: Size) -> None:
        self._size = size
        if self._until_resize() == 0:
            self._resize_now()

    def _until_resize(self) -> float | None:
        """Return seconds until the size is to be changed; None where it is not."""
        return None if self._size is None else max(0.0, self._sized + BETWEEN_SIZES - time.monotonic())

    def _resize_now(self) -> None:
        size, self._size = self._size, None
        if size is None:
            return
        self._sized = time.monotonic()
        try:
            self._viewer.resize(size)
        except TerminalError as error:
            self._refused(error, "resize")
        except SshexecError:
            logger.debug("a terminal's connection broke", exc_info=True)  # the session says so


def _closing(event: ViewerEvent) -> tuple[int, str]:
    """Return how to close the WebSocket of a viewer for whom it is over."""
    if isinstance(event, Ended):
        return _ENDS.get(event.reason, 1000), event.reason
    if isinstance(event, Detached):
        return _DETACHED.get(event.reason, 1000), event.reason
    return 1000, ""
