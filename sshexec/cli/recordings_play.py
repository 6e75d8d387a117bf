"""``sshexec recordings play``: a recording in the operator's own terminal."""

from __future__ import annotations

import os
import re
import select
import termios
import time
from collections.abc import Iterable
from typing import ClassVar

import click

from sshexec.cli.rawterminal import RawTerminal
from sshexec.cli.recordings_folder import folder_option, meant, none_yet, opened
from sshexec.cli.stderr import tell
from sshexec.cli.stdout import Stdout
from sshexec.cli.untrusted import harmless
from sshexec.cli.values import number_from
from sshexec.errors import InputError
from sshexec.terminal.asciicast import CastEvent, data_of

_AFTER = (
    b"\x1b[0m\x1b(B\x1b[?25h\x1b[?7h\x1b[?1l\x1b[?2004l"
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1049l\x1b[!p\x1b>\r\n"
)
"""What puts a terminal back that was left in any state: colours, cursor, keys, mouse, focus, the alternate screen; then
margins and whatever else a soft reset (DECSTR) has, which must not come before: it forgets where the cursor was."""

_LAST = 2.0
"""Seconds that the terminal has to take that."""

_FASTEST, _SLOWEST = 1000.0, 0.01


@click.command("play", short_help="play a recording in this terminal")
@click.argument("name")
@folder_option
@click.option(
    "--speed",
    type=number_from(_SLOWEST, _FASTEST),
    default="1",
    show_default=True,
    metavar="N",
    help="So many times as fast.",
)
@click.option("--idle-limit", type=number_from(0), metavar="SECONDS", help="Longest pause; by default as it was.")
def command(name: str, folder: str | None, speed: float, idle_limit: float | None) -> int:
    """Play a recording; the space bar holds it, q or Ctrl-C ends it.

    Where standard output is no terminal, what was shown is written at once, to the last byte. A terminal does not get
    to see what would change its title, its clipboard or whatever else outlives the playing.
    """
    recordings = opened(folder)
    if recordings is None:
        raise InputError(none_yet().removeprefix("sshexec: "))
    recorded = meant(recordings, name)
    events = recordings.events(recorded.name)
    stdout = Stdout()
    if not stdout.terminal:
        for event in events:
            if event.kind == "o":
                stdout.write_bytes(data_of(event.data))
        stdout.flush()
        return 0
    columns, rows = os.get_terminal_size(1)
    if columns < recorded.columns or rows < recorded.rows:
        shown = f"{recorded.columns}x{recorded.rows}, and this terminal {columns}x{rows}"
        tell(f"sshexec: the recording is {shown}: it will look torn")
    _play(stdout, events, speed, idle_limit)
    tell(f"sshexec: end of {harmless(recorded.name)}")
    return 0


def _play(stdout: Stdout, events: Iterable[CastEvent], speed: float, longest: float | None) -> None:
    remote = Controls()
    quiet = Quiet()
    terminal = RawTerminal()
    watched = os.isatty(0)
    if watched:
        terminal.enter()
    try:
        last = 0.0
        for event in events:
            pause = event.time - last if longest is None else min(event.time - last, longest)
            last = event.time
            if not remote.wait(pause / speed, watched):
                break
            if event.kind == "o":
                stdout.write_bytes(quiet.feed(data_of(event.data)))
                stdout.flush()
    finally:
        try:
            stdout.write_bytes(_AFTER)
            stdout.flush(_LAST)
        finally:
            if watched:
                # What the terminal answered to questions in the recording is not for the shell.
                termios.tcflush(0, termios.TCIFLUSH)
                terminal.restore()


class Controls:
    """What the operator's keys do to the playing."""

    def __init__(self) -> None:
        self._held = False
        self._since = 0.0

    def wait(self, seconds: float, watched: bool) -> bool:
        """Wait as long as the recording paused, and longer where it is held; return whether to go on.

        Args:
            seconds: of the pause.
            watched: whether there are keys.
        """
        if not watched:
            time.sleep(seconds)
            return True
        due = time.monotonic() + seconds
        while True:
            left = max(0.0, due - time.monotonic())
            # The keys are looked at even where there is no time to wait: a recording may have no pauses.
            if not select.select([0], [], [], None if self._held else left)[0]:
                return True
            keys = os.read(0, 1024)
            if not keys or b"\x03" in keys:
                return False
            if keys.startswith(b"\x1b"):
                continue  # an arrow, or an answer of the terminal's
            if b"q" in keys.lower():
                return False
            if keys.count(b" ") % 2:
                self._held = not self._held
                if self._held:
                    self._since = time.monotonic()
                else:
                    due += time.monotonic() - self._since


class Quiet:
    """Leaves out what has an effect beyond the screen: titles, the clipboard, links, questions to the terminal, what
    changes how its keys are told (xterm's modifyOtherKeys, kitty's keyboard protocol)."""

    _STRING = re.compile(rb"\x1b[\]PX^_][^\x07\x1b\x18\x1a]*(?:\x07|\x1b\\|[\x18\x1a])?")
    _ASKING = re.compile(
        rb"\x1b\[[?>=]?[0-9;]*[cnt]|\x1b\[[?>!]?[0-9;]*(?:\$p|x|q|i)|\x1b\[[<-?][0-9;:]*[um]|\x1bZ|\x05"
    )
    _C1 = re.compile(rb"\xc2([\x80-\x9f])")
    _BEGUN = re.compile(rb"\xc2\Z|\x1b(?:[\]PX^_][^\x07\x1b\x18\x1a]*\x1b?|\[[0-?]*[ -/]*)?\Z")
    _KEPT = 256
    """Bytes of one sequence that are held back until it ends; of a longer one everything goes, however long it is."""
    _ENDS: ClassVar = {
        True: re.compile(rb"[\x07\x18\x1a]|\x1b\\|(?=\x1b[^\\])"),
        False: re.compile(rb"[@-~\x18\x1a]|(?=\x1b)"),
    }
    """Of a string, and of a control sequence."""

    def __init__(self) -> None:
        self._rest = b""
        self._until: re.Pattern[bytes] | None = None

    def feed(self, data: bytes) -> bytes:
        """Take a piece of output, however it is cut; return what is harmless of it."""
        # The controls that stand for an escape and a letter, as xterm takes them in UTF-8, too.
        data = self._C1.sub(lambda found: bytes((0x1B, found[1][0] - 0x40)), self._rest + data)
        self._rest = b""
        if self._until is not None:
            end = self._until.search(data)
            if end is None:
                self._rest = data[-1:] if data[-1:] in (b"\x1b", b"\xc2") else b""
                return b""
            data, self._until = data[end.end() :], None
        begun = self._BEGUN.search(data)
        if begun is not None:
            data, self._rest = data[: begun.start()], begun[0]
            if len(self._rest) > self._KEPT:
                self._until = self._ENDS[self._rest[1:2] != b"["]
                self._rest = self._rest[-1:] if self._rest[-1:] in (b"\x1b", b"\xc2") else b""
        return self._ASKING.sub(b"", self._STRING.sub(b"", data))
