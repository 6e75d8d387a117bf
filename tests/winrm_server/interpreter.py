"""What stands for cmd.exe and CreateProcess: ``sh``, a few words of cmd, and PowerShell's double.

Nothing else is translated: a line is a line of sh, in the directory that the shell was made with, its ``%NAME%``
replaced and the line feeds of its output made CR LF.
"""

from __future__ import annotations

import base64
import binascii
import itertools
import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.winrm_server import faults, powershell
from tests.winrm_server.drive import Drive
from tests.winrm_server.process import Child, Finished, Process

CMD_LIMIT = 8191
"""How long a line of cmd.exe may be, in characters."""
PROGRAM_LIMIT = 32767
"""How long a command line of CreateProcess may be, in characters."""

_VARIABLE = re.compile(r"%([A-Za-z_][A-Za-z0-9_()]*)%")
_EXIT = re.compile(r"(^|[;&|({])\s*exit\s+(?:/b\s+)?(-?\d+)(?=\s*(?:$|[;&|)}]))", re.IGNORECASE)
_OPERATORS = re.compile(r"[&|<>^;`$]")
_POWERSHELL = re.compile(r"(?:^|.*[\\/])(?:powershell|pwsh)(?:\.exe)?", re.IGNORECASE)
_ENCODED = re.compile(r"[-/](?:e|ec|en\w*)", re.IGNORECASE)
VERSION = "\r\nMicrosoft Windows [Version 10.0.20348.2402]\r\n"


@dataclass
class Line:
    """One command line.

    Args:
        text: all of it.
        shell: whether cmd.exe takes it; otherwise its first word is the program.
        drive: as seen from where it runs.
        environment: variables.
        codepage: of the shell.
        about: filled in for the log: what the line was taken for, and arguments of a script.
    """

    text: str
    shell: bool
    drive: Drive
    environment: Mapping[str, str]
    codepage: int = 65001
    about: dict[str, object] = field(default_factory=dict)


class Interpreter:
    """Starts what command lines say.

    Args:
        answers: to users' PowerShell.
        broken: told where a double failed.
    """

    def __init__(self, answers: powershell.Answers, broken: Callable[[str], None]) -> None:
        self.answers = answers
        self.broken = broken

    def start(self, line: Line) -> Process:
        """Start a command line.

        Raises:
            Fault: it can't be started: too long, no such program, no such directory.
        """
        if len(line.text) > (CMD_LIMIT if line.shell else PROGRAM_LIMIT):
            raise faults.known(faults.LINE_TOO_LONG)
        if not line.drive.resolve(".").is_dir():
            raise faults.known(faults.NO_DIRECTORY)
        words = split(line.text)
        if words and _POWERSHELL.fullmatch(words[0]):
            return self.powershell(line, words)
        if not line.shell:
            return self.program(line, words)
        return self.cmd(line)

    def powershell(self, line: Line, words: list[str]) -> Process:
        """Start PowerShell's double."""
        script = _encoded_command(words)
        if script is None:
            return Finished(stderr=b"this endpoint runs PowerShell by -EncodedCommand only\r\n", rc=0xFFFD0000)
        call = powershell.Call(script, {}, line.drive, line.environment, line.codepage)

        line.about["powershell"] = script
        return powershell.Double(call, lambda call: powershell.start(call, self.answers, line.about), self.broken)

    def program(self, line: Line, words: list[str]) -> Process:
        """Start a program, as CreateProcess does.

        Raises:
            Fault: there is none of this name.
        """
        if not words:
            raise faults.known(87)
        name = words[0].rsplit("\\", 1)[-1].lower().removesuffix(".exe")
        if name == "cmd":
            rest = re.sub(r"^\s*(?:\"[^\"]*\"|\S+)\s*", "", line.text)
            inner = re.sub(r"^(?:/[dsqva](?::\w+)?\s+)*/[ck]\s*", "", rest, flags=re.IGNORECASE)
            return self.cmd(Line(inner, True, line.drive, line.environment, line.codepage, line.about))
        known = _WORDS.get(name)
        if known is not None and name in _PROGRAMS:
            return known(line, " ".join(words[1:]))
        place = line.drive.resolve(words[0])
        program = str(place) if place.is_file() else shutil.which(name, path=line.environment.get("PATH"))
        if program is None:
            raise faults.known(faults.FILE_NOT_FOUND)
        return self._child(line, [program, *words[1:]])

    def cmd(self, line: Line) -> Process:
        """Start a line, as ``cmd.exe /c`` does."""
        text = expand(line.text, line.environment).strip("\r\n")
        bare = text.strip().removeprefix("@")
        if not _OPERATORS.search(bare):
            word, rest = re.match(r"([A-Za-z]*)(.*)", bare, re.DOTALL).groups()  # type: ignore[union-attr]
            known = _WORDS.get(word.lower())
            if known is not None and (not rest or rest[0] in " \t.:/\\"):
                return known(line, rest)
        rc_by_pipe = False

        def leave(found: re.Match[str]) -> str:
            nonlocal rc_by_pipe
            code = int(found[2])
            rc_by_pipe = rc_by_pipe or not 0 <= code <= 255
            return f'{found[1]} {{ printf %s {code} > "/proc/self/fd/$EXIT_CODE_FD"; exit {code & 255}; }}'

        changed = _EXIT.sub(leave, text)
        script = changed if rc_by_pipe else re.sub(r"\bexit\s+/b\s+", "exit ", text, flags=re.IGNORECASE)
        return self._child(line, ["/bin/sh", "-c", script], exit_code=rc_by_pipe)

    def _child(self, line: Line, argv: list[str], exit_code: bool = False) -> Process:
        try:
            return Child(argv, line.drive.resolve("."), line.environment, exit_code=exit_code)
        except OSError:
            raise faults.known(faults.FILE_NOT_FOUND) from None


def _encoded_command(words: list[str]) -> str | None:
    for word, value in itertools.pairwise(words[1:]):
        if _ENCODED.fullmatch(word):
            try:
                return base64.b64decode(value, validate=True).decode("utf-16-le", "surrogatepass")
            except (binascii.Error, UnicodeDecodeError):
                return None
    return None


def split(text: str) -> list[str]:
    """Return the words of a command line, by the rules of CommandLineToArgvW."""
    words: list[str] = []
    word: list[str] = []
    quoted = started = False
    position = 0
    while position < len(text):
        char = text[position]
        if char == "\\":
            end = position
            while end < len(text) and text[end] == "\\":
                end += 1
            count = end - position
            if end < len(text) and text[end] == '"' and words:
                word.append("\\" * (count // 2))
                if count % 2:
                    word.append('"')
                    end += 1
            else:
                word.append("\\" * count)
            position, started = end, True
            continue
        if char == '"':
            if quoted and text[position + 1 : position + 2] == '"' and words:
                word.append('"')
                position += 1
            else:
                quoted = not quoted
            started = True
        elif char in " \t" and not quoted:
            if started:
                words.append("".join(word))
            word, started = [], False
        else:
            word.append(char)
            started = True
        position += 1
    if started:
        words.append("".join(word))
    return words


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Replace ``%NAME%`` where there is such a variable, upper and lower case being the same."""
    if "%" not in text:
        return text
    upper = {name.upper(): value for name, value in environment.items()}
    return _VARIABLE.sub(lambda found: upper.get(found[1].upper(), found[0]), text)


def _bytes(line: Line, text: str) -> bytes:
    return text.encode("utf-8" if line.codepage == 65001 else f"cp{line.codepage}", "replace")


def _echo(line: Line, rest: str) -> Process:
    if not rest.strip():
        return Finished(b"ECHO is on.\r\n" if not rest.startswith((".", ":")) else b"\r\n")
    return Finished(_bytes(line, rest[1:] + "\r\n"))


def _exit(line: Line, rest: str) -> Process:
    found = re.fullmatch(r"\s*(?:/b)?\s*(-?\d+)?\s*", rest, re.IGNORECASE)
    return Finished(rc=int(found[1] or 0) if found else 0)


def _cd(line: Line, rest: str) -> Process:
    target = rest.replace("/d", "", 1).strip().strip('"')
    if not target:
        return Finished(_bytes(line, line.drive.directory + "\r\n"))
    if line.drive.resolve(target).is_dir():
        return Finished()
    return Finished(stderr=b"The system cannot find the path specified.\r\n", rc=1)


def _set(line: Line, rest: str) -> Process:
    prefix = rest.strip().upper()
    if "=" in prefix:
        return Finished()
    shown = sorted(each for each in line.environment.items() if each[0].upper().startswith(prefix))
    if not shown:
        return Finished(stderr=_bytes(line, f"Environment variable {rest.strip()} not defined\r\n"), rc=1)
    return Finished(_bytes(line, "".join(f"{name}={value}\r\n" for name, value in shown)))


def _type(line: Line, rest: str) -> Process:
    try:
        return Finished(line.drive.resolve(rest.strip().strip('"')).read_bytes())
    except OSError:
        return Finished(stderr=b"The system cannot find the file specified.\r\n", rc=1)


def _wait(seconds: Callable[[str], float]) -> Callable[[Line, str], Process]:
    def run(line: Line, rest: str) -> Process:
        return Child(
            ["/bin/sh", "-c", f"exec sleep {seconds(rest)}"], line.drive.resolve("."), {"PATH": "/usr/bin:/bin"}
        )

    return run


def _ping(rest: str) -> float:
    words = shlex.split(rest.replace("\\", "/"))
    count = next((int(after) for word, after in itertools.pairwise(words) if word in ("-n", "/n")), 4)
    return max(0, count - 1)


def _timeout(rest: str) -> float:
    return float((re.findall(r"\d+", rest) or ["0"])[0])


_WORDS: dict[str, Callable[[Line, str], Process]] = {
    "echo": _echo,
    "exit": _exit,
    "cd": _cd,
    "chdir": _cd,
    "set": _set,
    "type": _type,
    "rem": lambda line, rest: Finished(),
    "ver": lambda line, rest: Finished(VERSION.encode()),
    "hostname": lambda line, rest: Finished(f"{faults.MACHINE}\r\n".encode()),
    "whoami": lambda line, rest: Finished(
        _bytes(line, f"{faults.MACHINE.lower()}\\{line.environment.get('USERNAME', '')}\r\n")
    ),
    "ping": _wait(_ping),
    "timeout": _wait(_timeout),
}
_PROGRAMS = {"hostname", "whoami", "ping", "timeout"}
"""Those that are programs, not words of cmd.exe itself."""
