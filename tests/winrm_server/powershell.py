"""A double of powershell.exe: it runs none of it, but knows some scripts and answers as they would.

Scripts of this project have each a function in `tests.winrm_server.scripts`, which does in Python what the script does
in PowerShell, and is found by the script's exact text. Users' scripts are answered as `Answers` was told.
"""

from __future__ import annotations

import base64
import functools
import importlib
import importlib.resources
import json
import re
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from sshexec.connectors import powershell
from sshexec.connectors.winrm.commandline import bootstrap
from tests.winrm_server.drive import Drive
from tests.winrm_server.process import CTRL_C, ROOM

PACKAGES = ("sshexec.connectors.winrm", "sshexec.modules.windows")
"""Where scripts of this project are."""

_PLACE = powershell._PLACE
_PROLOGUE = re.compile(
    re.escape(powershell._PROLOGUE.format(arguments="\x00").rstrip("\n")).replace("\x00", "(?P<data>[A-Za-z0-9+/=]*)")
)


_READS = re.compile(r"\$\{?input\b|\[Console\]::(?:In|OpenStandardInput)\b", re.IGNORECASE)
"""What a script has in it that gets standard input: powershell.exe hands it only to one that names ``$input``, whether
or not that has a ``process {}`` (``AstSearcher.IsUsingDollarInput`` in PowerShell's ConsoleHost.cs)."""


class Stopped(Exception):
    """The command was stopped while its double ran."""


class PowershellError(Exception):
    """A terminating error: the script ends with exit code 1 and this text, as an error record, on standard error."""


def clixml(text: str, stream: str = "Error") -> bytes:
    """Return text as powershell.exe writes it to a standard error that is no console (MS-PSRP 2.2.5.1.1)."""
    shown = re.sub(r"[\x00-\x1f]", lambda found: f"_x{ord(found[0]):04X}_", escape(text.replace("_x", "_x005F_x")))
    document = (
        '<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'
        f'<S S="{stream}">{shown}</S></Objs>'
    )
    return b"#< CLIXML\r\n" + document.encode()


@dataclass
class Answer:
    """What a user's script does.

    Args:
        stdout: text in the shell's code page, or bytes.
        stderr: text, which comes as CLIXML, or bytes as they are.
        rc: exit code.
        delay: seconds before that; ctrl_c ends them.
        run: does something else altogether, and returns the exit code.
    """

    stdout: str | bytes = ""
    stderr: str | bytes = ""
    rc: int = 0
    delay: float = 0.0
    run: Callable[[Call], int] | None = None


class Call:
    """One run of a script: what it was given, and where its output goes.

    Args:
        script: its text; without the prologue for one of ours.
        arguments: what ``$a`` holds.
        drive: the host's disk, as seen from where the script runs.
        environment: variables of the command.
        codepage: of the shell.
    """

    def __init__(
        self,
        script: str,
        arguments: dict[str, Any],
        drive: Drive,
        environment: Mapping[str, str],
        codepage: int = 65001,
    ) -> None:
        self.script = script
        self.arguments = arguments
        self.drive = drive
        self.environment = environment
        self.encoding = "utf-8" if codepage == 65001 else f"cp{codepage}"
        self.stopped = threading.Event()
        self.user = environment.get("USERNAME", "")
        self._changed = threading.Condition()
        self._output: deque[tuple[str, bytes]] = deque()
        self._held = 0
        self._input: deque[bytes] = deque()
        self._unread = 0
        self._end = False
        self.rc: int | None = None
        self.stdin: Iterator[str] = self._lines()
        """Lines of standard input, without their ends; waits for them."""

    @property
    def directory(self) -> str:
        """Where the script runs, as a Windows path."""
        return self.drive.directory

    def _lines(self) -> Iterator[str]:
        rest = b""
        while True:
            data = self._take()
            if data is None:
                if rest:
                    yield rest.removesuffix(b"\r").decode(self.encoding, "replace")
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield line.removesuffix(b"\r").decode(self.encoding, "replace")

    def _take(self) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: self._input or self._end or self.stopped.is_set())
            if self.stopped.is_set():
                raise Stopped
            if not self._input:
                return None
            data = self._input.popleft()
            self._unread -= len(data)
            self._changed.notify_all()
            return data

    def out(self, text: str | bytes) -> None:
        """Write to standard output, as it is; a line's end is ``\\r\\n``."""
        self.write_to("stdout", text)

    def err(self, text: str | bytes) -> None:
        """Write to standard error: text as an error record in CLIXML, bytes as they are."""
        self.write_to("stderr", clixml(text) if isinstance(text, str) else text)

    def answer(self, value: Any) -> None:
        """What ``answer`` of the prologue does."""
        data = base64.b64encode(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        self.out(powershell.MARK.encode() + data + b"\r\n")

    def write_to(self, stream: str, text: str | bytes) -> None:
        """Write to ``stdout`` or ``stderr``; waits while too much has not been fetched.

        Raises:
            Stopped: the command was stopped.
        """
        data = text.encode(self.encoding, "replace") if isinstance(text, str) else text
        with self._changed:
            self._changed.wait_for(lambda: self._held < ROOM or self.stopped.is_set())
            if self.stopped.is_set():
                raise Stopped
            if data:
                self._output.append((stream, data))
                self._held += len(data)
                self._changed.notify_all()


@dataclass
class Double:
    """A `Call` that runs in a thread, looking like a process.

    Args:
        call: what it was given.
        run: what it does; its result is the exit code.
        broken: told of what a double should not have raised.
    """

    call: Call
    run: Callable[[Call], int]
    broken: Callable[[str], None]
    pid: int | None = None
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._main, name="powershell double", daemon=True)
        self._thread.start()

    def _main(self) -> None:
        call = self.call
        try:
            rc = self.run(call)
        except Stopped:
            rc = CTRL_C
        except PowershellError as error:
            rc = _last_words(call, f"{error}\r\n")
        except BaseException:
            self.broken(traceback.format_exc())
            rc = _last_words(call, f"the double failed: {traceback.format_exc()}")
        with call._changed:
            call.rc = rc
            call._changed.notify_all()

    def read(self, timeout: float, size: int) -> tuple[list[tuple[str, bytes]], int | None]:
        call = self.call
        pieces: list[tuple[str, bytes]] = []
        until = time.monotonic() + timeout
        with call._changed:
            while not call._output and call.rc is None:
                if not call._changed.wait(until - time.monotonic()) and time.monotonic() >= until:
                    return [], None
            while call._output and size > 0:
                name, data = call._output.popleft()
                if len(data) > size:
                    call._output.appendleft((name, data[size:]))
                    data = data[:size]
                pieces.append((name, data))
                call._held -= len(data)
                size -= len(data)
            call._changed.notify_all()
            return pieces, None if call._output else call.rc

    def write(self, data: bytes, end: bool, timeout: float) -> bool:
        call = self.call
        with call._changed:
            if data and (call._end or call.rc is not None):
                raise BrokenPipeError
            if data:
                call._input.append(data)
                call._unread += len(data)
            call._end = call._end or end
            call._changed.notify_all()
            return call._changed.wait_for(
                lambda: call._unread < ROOM or call.rc is not None or call.stopped.is_set(), timeout
            )

    def interrupt(self) -> None:
        self.kill()

    def kill(self) -> None:
        with self.call._changed:
            self.call.stopped.set()
            self.call._changed.notify_all()

    def close(self) -> None:
        self.kill()
        if self._thread is not threading.current_thread():
            self._thread.join(5)


def _last_words(call: Call, text: str) -> int:
    try:
        call.err(text)
    except Stopped:
        return CTRL_C
    return 1


class Answers(dict[Any, Answer]):
    """Answers to users' scripts: keys are a script's text or a compiled pattern that is searched in it."""

    def find(self, script: str) -> Answer | None:
        """Return the answer to a script; None where there is none."""
        if script in self:
            return self[script]
        stripped = script.strip()
        for key, value in self.items():
            if (isinstance(key, re.Pattern) and key.search(script)) or (
                isinstance(key, str) and key.strip() == stripped
            ):
                return value
        return None


@functools.cache
def known_scripts() -> dict[str, str]:
    """Return the name of each script of this project by its text, the prologue's place in it."""
    found = {}
    for package in PACKAGES:
        try:
            folder = importlib.resources.files(package) / "scripts"
            names = sorted(each.name for each in folder.iterdir())
        except (ModuleNotFoundError, FileNotFoundError):
            continue
        for name in names:
            if name.endswith(".ps1") and not name.startswith("_"):
                found[powershell.Script(package, name[:-4]).text] = name[:-4]
    return found


def ours(script: str) -> tuple[str, dict[str, Any]] | None:
    """Return the name and the arguments of one of this project's scripts; None for a text that is none."""
    match = _PROLOGUE.search(script)
    if match is None:
        return None
    text = script[: match.start()] + _PLACE + script[match.end() :]
    name = known_scripts().get(text)
    return None if name is None else (name, json.loads(base64.b64decode(match["data"])))


def start(call: Call, answers: Answers, about: dict[str, object]) -> int:
    """Do what powershell.exe does with a script, and return the exit code.

    Args:
        call: with the text that came by ``-EncodedCommand``.
        answers: to users' scripts.
        about: filled in: ``script`` (a name, or "scripted", or "unknown"), ``arguments``, and ``powershell`` where the
            script came by standard input.
    """
    if call.script == bootstrap():
        about["bootstrap"] = True
        # As the bootstrap does: nothing runs before the end of its input.
        lines = list(call.stdin)
        if not lines:
            raise PowershellError("Cannot index into a null array.")
        call.script = base64.b64decode(lines.pop(0), validate=True).decode("utf-8")
        call.stdin = iter(lines)
        about["powershell"] = call.script
    own = ours(call.script)
    if own is not None:
        name, call.arguments = own
        about.update(script=name, arguments=call.arguments)
        if not _READS.search(call.script):
            call.stdin = iter(())
        double = importlib.import_module(f"tests.winrm_server.scripts.{name.replace('-', '_')}")
        run: Callable[[Call], int] = double.run
        return run(call)
    found = answers.find(call.script)
    about["script"] = "unknown" if found is None else "scripted"
    if found is None:
        raise PowershellError(f"this endpoint has no answer to the script {call.script[:200]!r}")
    return (found.run or _scripted(found))(call)


def _scripted(answer: Answer) -> Callable[[Call], int]:
    def run(call: Call) -> int:
        if answer.delay and call.stopped.wait(answer.delay):
            raise Stopped
        call.out(answer.stdout)
        if answer.stderr:
            call.err(answer.stderr)
        return answer.rc

    return run
