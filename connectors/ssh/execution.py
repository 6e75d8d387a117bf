"""One command on one channel: its input, its output, its end, and its death where it must not go on."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import BinaryIO

from sshexec.connectors.base import Command, Completed, Deadline
from sshexec.connectors.deadline import unguarded
from sshexec.connectors.escalation import Dialogue
from sshexec.connectors.output import Output
from sshexec.connectors.posix import Frame, Pumped, quote
from sshexec.connectors.ssh.channel import LARGEST_WINDOW, WINDOW, Channel
from sshexec.connectors.ssh.optimistic import Start
from sshexec.connectors.ssh.transport import Link, LinkDownError
from sshexec.errors import (
    BecomeError,
    CancelledError,
    CommandTimeoutError,
    ConnectionLostError,
    HostError,
    UnreachableError,
)

_PIECE = 32 * 1024
_DRAIN = 0.2
"""Seconds of silence after the exit status before open pipes count as those of a background child."""

_TRICKLE = 1.0
"""Seconds after the exit status from which on a little output now and then counts as a background child's."""

_TRICKLE_BYTES = 32 * 1024
"""Less than that in one round trip is a trickle; what the command itself left behind comes as fast as it can."""

_QUIET_ANSWERS = 2
"""So many questions in a row have to be answered with no more than a trickle before the answer."""

_DRAIN_LIMIT = 30.0
_DRAIN_BYTES = 1024 * 1024
"""What a command may have written before its end and is still on its way, beside a window full: pipes, buffers."""

_ASK_AGAIN = (0.0, 0.02, 0.1, 0.3)
"""Seconds between the requests for a session that is refused."""

_GRACE = 2.0
"""Seconds between TERM and KILL (in the killer below: 20 times 0.1)."""

_KILL_LIMIT = 10.0
_KILLER_START = 5.0
"""Seconds that a host has to open the killer's session: one that has frozen never does."""
_LAST_WORDS = 0.5
_STILL_ALIVE = 1
_FROZEN = -1
"""The killer's status where the host did not even answer."""

# Kills the process group $1; without it, those of the other commands of this connection (the children of its sshd),
# but not its SFTP server. With them go the groups of their descendants and of the rest of their session, where ps and
# awk can tell them: `timeout` and `setsid` start groups of their own. Each group gets TERM once: a second one would
# kill what cleans up after the first. Ends with 0 when all are gone, 1 when some are not, 2 when there was none.
# `su` may lead the group of $1; busybox's ps calls a session `sid`, which others don't know.
_KILLER = """LC_ALL=C; export LC_ALL; g=$1 one=$1
[ -n "$g" ] || g=$(ps -A -o pid= -o ppid= -o args= 2>/dev/null | while read -r p q a; do
[ "$q" = "$PPID" ] && [ "$p" != $$ ] && case $a in *sftp-server|*sftp-server" -"*|sshd*@internal-sftp*) ;;
*) echo "$p" ;; esac; done)
[ -n "$g" ] || exit 2
list() { ps -A -o pid= -o ppid= -o pgid= -o "$1=" 2>/dev/null; }
m=$({ list sess || list sid; } | awk -v roots="$(echo $g)" '
{ parent[$1] = $2; group[$1] = $3; session[$1] = $4 }
END { count = split(roots, root); for (i = 1; i <= count; i++) { first[root[i]] = 1; member[root[i]] = 1 }
do { more = 0; for (p in parent) if (!(p in member) && ((parent[p] in member) || (session[p] in first))) {
member[p] = 1; more = 1 } } while (more)
for (p in member) if (group[p] > 1) print group[p] }' 2>/dev/null | sort -u)
for i in $g; do case " $(echo $m) " in *" $i "*) ;; *) m="$m $i" ;; esac; done; g=$m
send() { for i in $g; do kill -s "$1" -- "-$i" 2>/dev/null; done; }
there() { r=$(kill -s 0 -- "$1" 2>&1) || case $r in *[Nn]"o such process"*) return 1 ;; esac; }
alive() { for i in $g; do there "-$i" && return 0; done; [ -n "$one" ] && there "$one"; }
n=0; send TERM
while alive; do n=$((n + 1)); [ $n -le 20 ] || send KILL; [ $n -le 60 ] || exit 1
sleep 0.1 2>/dev/null || { sleep 1; n=$((n + 9)); }; done
"""


class SessionRefusedError(UnreachableError):
    """The host opens no further session on this connection."""


class Silence(Exception):
    """The command was silent for longer than allowed (never leaves this room)."""


def open_channel(
    link: Link,
    deadline: Deadline,
    guard: Callable[[], None],
    windows: tuple[int, int] = (WINDOW, LARGEST_WINDOW),
) -> Channel:
    """Open a session channel.

    Args:
        link: the connection.
        deadline: by when.
        guard: raises where the caller shall wait no longer.
        windows: see `Channel`.

    Raises:
        LinkDownError: the connection is gone.
        CommandTimeoutError: the deadline passed.
        SessionRefusedError: the host refused one more session.
    """
    channel = _ask_for_channel(link, deadline, guard, windows)
    for pause in _ASK_AGAIN:
        if channel.refused is None:
            return channel
        # sshd counts a session that has been closed until its process has ended (MaxSessions 1).
        time.sleep(pause)
        channel = _ask_for_channel(link, deadline, guard, windows)
    if channel.refused is None:
        return channel
    raise SessionRefusedError(f"the host refused to open a session: {channel.refused} (see MaxSessions of sshd)")


def _ask_for_channel(link: Link, deadline: Deadline, guard: Callable[[], None], windows: tuple[int, int]) -> Channel:
    channel = link.add_channel(windows=windows)
    asked = time.monotonic()
    try:
        if not link.wait_until(lambda: channel.accepted or channel.refused, deadline, guard):
            raise CommandTimeoutError("the host opened no session in time", killed=None)
        link.timed(time.monotonic() - asked)
    except BaseException:
        close_channel(channel)
        raise
    return channel


def close_channel(channel: Channel) -> None:
    """Close a channel, whatever state its connection is in."""
    try:
        channel.close()
    except LinkDownError:
        return


class Execution:
    """A command that runs on a channel.

    Args:
        link: the connection.
        command: what to run.
        output: where its output goes.
        deadline: by when it has to end.
        idle: how many seconds it may be silent; None for no limit.
        guard: raises CancelledError where the caller has cancelled.
        dialogue: how it is run as another user; None runs it as the login user.
        start: a login that goes out together with the command.
    """

    def __init__(
        self,
        link: Link,
        command: Command,
        output: Output,
        deadline: Deadline,
        *,
        idle: float | None,
        guard: Callable[[], None],
        dialogue: Dialogue | None = None,
        start: Start | None = None,
    ) -> None:
        self._link = link
        self._output = output
        self._deadline = deadline
        self._idle = idle
        self._guard = guard
        self._start = start
        self._dialogue = dialogue
        self._frame = Frame(command, output, dialogue)
        self._line = self._frame.line()
        self._stdin: bytes | BinaryIO | Pumped | None = command.stdin
        if dialogue is not None and dialogue.tty and command.stdin is not None:
            self._stdin = Pumped(command.stdin)
        self._unsent = memoryview(b"")
        self._channel: Channel | None = None
        self._fed = 0.0
        """When the host last took something of standard input, on the monotonic clock."""

    def run(self) -> Completed:
        """Run the command to its end.

        Raises:
            ConnectionLostError: ``started`` tells whether the command may have run.
            CommandTimeoutError, CancelledError: ``killed`` tells whether the death of its processes was confirmed.
            UnreachableError: the host opened no session.
            BecomeError: the host did not let it run as another user.
        """
        try:
            channel = self._channel = self._open_channel()
        except LinkDownError as error:
            raise ConnectionLostError(f"the connection is gone ({error}); nothing was run", started=False) from None
        try:
            return self._frame.finish(self._follow(channel))
        except CancelledError as error:
            error.killed = self._stop(channel)
            raise
        except Silence:
            killed = self._stop(channel)
            text = f"no output for {self._idle:g} s{_fate(killed)}"
            raise CommandTimeoutError(text, killed=killed, silence=self._idle) from None
        except UnreachableError:
            raise  # the login that went out with the command came to nothing, or its session did
        except TimeoutError:
            killed = self._stop(channel)
            raise CommandTimeoutError(
                f"the command did not end {self._deadline.within}{_fate(killed)}", killed=killed
            ) from None
        except LinkDownError as error:
            raise ConnectionLostError(f"the connection broke while the command ran: {error}") from None
        except HostError:
            raise
        except BaseException:
            # What the command reads or its output goes to has failed, here: it must not take that for the end.
            self._stop(channel)
            raise
        finally:
            close_channel(channel)

    def _open_channel(self) -> Channel:
        if self._start is not None:
            return self._start.open_channel(self._guard)
        return open_channel(self._link, self._deadline, self._guard)

    def _follow(self, channel: Channel) -> int:
        link = self._link
        dialogue = self._dialogue
        link.packetizer.hold()
        if dialogue is not None and dialogue.tty:
            channel.request_terminal()
        channel.request(b"exec", self._line, reply=True)
        if self._stdin is None and dialogue is None:
            channel.send_eof()
        link.flush()
        if self._start is not None:
            self._start.settle(self._deadline, self._guard)
        self._output.last = time.monotonic()
        while not channel.closed and channel.exit_status is None and channel.exit_signal is None:
            self._guard()
            moved = self._receive(channel)
            if channel.reply is False:
                raise UnreachableError("the host refused to run a command")
            if dialogue is not None and not dialogue.begun:
                moved = self._converse(channel, dialogue) or moved
            elif self._stdin is not None:
                moved = self._feed(channel) or moved
            if self._deadline.expired:
                raise TimeoutError
            if not moved:
                self._wait(channel)
        self._drain(channel)
        status = self._status(channel)
        if dialogue is not None and not dialogue.begun:
            # The command may have been over before this side looked.
            if self._frame.pid is None:
                raise dialogue.refusal(status, *self._frame.said)
            dialogue.succeed()
        return status

    def _converse(self, channel: Channel, dialogue: Dialogue) -> bool:
        """Answer what sudo, su or doas asks; return whether there is something to do at once."""
        if self._unsent:
            self._unsent = self._unsent[channel.send(self._unsent) :]
            return False
        if self._frame.pid is not None:
            # Not before: a password is read from standard input too, and a terminal is emptied when echo goes off.
            dialogue.succeed()
            if self._stdin is None and not dialogue.tty:
                channel.send_eof()
            return True
        reply = dialogue.reply(*self._frame.said)
        if reply is None:
            return False
        if dialogue.waited:
            self._deadline = dialogue.excused(self._deadline)
            self._output.last = time.monotonic()
        self._unsent = memoryview(reply)
        return True

    def _receive(self, channel: Channel) -> int:
        """Hand on what has come in; return how many bytes that were."""
        size = 0
        while (piece := channel.take()) is not None:
            stream, data = piece
            size += len(data)
            if stream == "stdout":
                self._frame.feed_stdout(data)
            else:
                self._frame.feed(data)
            if size >= WINDOW:
                break  # the deadline has to be looked at now and then
        return size

    def _feed(self, channel: Channel) -> bool:
        """Send one piece of standard input if the host takes it; return whether one was sent."""
        if channel.room <= 0 or channel.eof:
            return False
        if not self._unsent:
            if isinstance(self._stdin, bytes):
                self._unsent, self._stdin = memoryview(self._stdin), b""
            elif self._stdin is not None:
                self._unsent = memoryview(self._stdin.read(_PIECE))
            if not self._unsent:
                self._stdin = None
                channel.send_eof()
                return True
        sent = channel.send(self._unsent)
        self._unsent = self._unsent[sent:]
        if self._idle is not None:
            self._fed = time.monotonic()  # a command that reads is not idle, such as the `cat` of an upload
        return sent > 0

    def _wait(self, channel: Channel) -> None:
        """Wait for the next thing to happen, and keep an eye on silence.

        Raises:
            Silence: the idle limit has passed.
            LinkDownError: the host gives no sign of life.
        """
        link = self._link
        if not link.active:
            if channel.inbox or channel.closed or channel.exit_status is not None or channel.exit_signal is not None:
                return  # the last words came together with the end of the connection
            raise LinkDownError(link.why())
        limit = self._deadline
        if self._dialogue is not None and not self._dialogue.begun:
            limit = limit.earlier(self._dialogue.limit)
            self._output.last = time.monotonic()  # nothing runs yet that could be silent
        silence = None
        if self._idle is not None:
            silence = Deadline(max(self._output.last, self._fed) + self._idle)
            limit = limit.earlier(silence)
        if not link.pause(limit) and silence is not None and silence.expired:
            raise Silence

    def _drain(self, channel: Channel) -> None:
        """Take what is still on its way after the exit status, without waiting for background children.

        OpenSSH's client waits until all of them have closed the pipes, for ever where one is a daemon. Here the end is
        a moment of silence, or else a second with no more than a trickle, and then the answers to two questions with no
        more before them: an answer comes behind everything that was on its way before, so that a slow network cuts
        nothing off. But while keys are exchanged anew, sshd holds back what channels have to say, and not its answers:
        one that an exchange has begun before proves nothing.
        """
        link = self._link
        limit = self._deadline.sooner(_DRAIN_LIMIT)
        trickle = Deadline.after(_TRICKLE)
        asked: int | None = None
        seen = since = quiet = exchanges = 0
        while True:
            done = channel.eof or not link.active
            size = self._receive(channel)
            seen += size
            since += size
            if done and not size and not channel.eof:
                raise LinkDownError(link.why())  # some of the output may be lost
            if (done and not size) or seen > channel.window + _DRAIN_BYTES or limit.expired:
                return
            silent = not size and not link.signal.wait(limit.remaining(_DRAIN))
            if not silent and not trickle.expired:
                continue
            if asked is not None and link.pongs >= asked:
                quiet = quiet + 1 if since < _TRICKLE_BYTES and link.exchanges == exchanges else 0
                if quiet == _QUIET_ANSWERS:
                    return
                asked = None
            if asked is None:
                link.ping()
                asked, since, exchanges = link.pings, 0, link.exchanges

    def _status(self, channel: Channel) -> int:
        if channel.exit_status is not None:
            return channel.exit_status
        if channel.exit_signal is not None:
            number = getattr(signal, f"SIG{channel.exit_signal}", None)
            return -int(number) if number is not None else -1
        if self._link.active:
            raise ConnectionLostError("the host closed the session without an exit status")
        raise LinkDownError(self._link.why())

    def _stop(self, channel: Channel) -> bool:
        """End the command's process group: TERM, then KILL; return whether its death was confirmed.

        A channel of its own does that. OpenSSH takes signals on the command's channel too, but not for root (there is
        no privilege separation after such a login, and sshd refuses), so that is the way out where no second channel
        can be had.
        """
        if self._dialogue is not None and self._frame.pid is None:
            return self._abandon(channel)
        if self._start is not None and (nothing := self._start.came_to_nothing()) is not None:
            return nothing
        try:
            status = self._kill()
            if status != 0 and not channel.closed:
                channel.request(b"signal", b"TERM", reply=False)
                # A host that has not answered for so long gets no grace on top: the caller waits.
                self._await_end(channel, _LAST_WORDS if status == _FROZEN else _GRACE)
                channel.request(b"signal", b"KILL", reply=False)
            self._await_end(channel, _LAST_WORDS)
        except LinkDownError:
            return False
        ended = channel.exit_status is not None or channel.exit_signal is not None
        return status == 0 or (status != _STILL_ALIVE and ended)

    def _abandon(self, channel: Channel) -> bool:
        """End sudo, su or doas before the command has begun: they end with their input, and nobody may kill them."""
        try:
            channel.send_eof()
            if self._dialogue is not None and self._dialogue.tty:
                channel.close()
                return False
            self._await_end(channel, _GRACE)
        except LinkDownError:
            return False
        return channel.exit_status is not None and self._frame.pid is None

    def _kill(self) -> int | None:
        """Run the killer; return its exit status, or None where it could not be run."""
        if self._frame.pid is None and self._link.shells:
            return None  # it would take the terminals beside this command for what it is to kill
        script = f"exec /bin/sh -c {quote(_KILLER)} sh {self._frame.pid or ''}"
        killer = Execution(
            self._link,
            Command(script, verbatim=True),
            Output(4096),
            Deadline.after(_KILL_LIMIT),
            idle=None,
            guard=unguarded,
            dialogue=None if self._dialogue is None else self._dialogue.way.killer(),
        )
        channel: Channel | None = None
        try:
            channel = open_channel(self._link, Deadline.after(_KILLER_START), unguarded)
            return killer._follow(channel)
        except (UnreachableError, BecomeError):
            return None
        except TimeoutError:
            return _FROZEN if channel is None else None
        finally:
            if channel is not None:
                close_channel(channel)

    def _await_end(self, channel: Channel, seconds: float) -> None:
        """Take what the command still says, until its channel closes or some seconds have passed."""
        limit = Deadline.after(seconds)
        while not channel.closed and not limit.expired and self._link.active:
            if not self._receive(channel):
                self._link.signal.wait(limit.remaining())
        self._receive(channel)


def _fate(killed: bool) -> str:
    return "; its processes were killed" if killed else "; it is not certain that its processes are gone"
