"""Patterns, ``Host`` and ``Match``: whether a block of ssh_config applies to a host."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sshexec.connectors.ssh.keywords import Setting, delimited, keep_first
from sshexec.connectors.ssh.tokens import FILES, HOSTNAME, Names, fill, fill_command, local_user
from sshexec.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

_EXEC_SECONDS = 10.0
_EXEC_FOR = 60.0
"""Seconds for which the answer of a ``Match exec`` command is used again."""
_EXEC_MOST = 10_000


class Query:
    """A host whose settings are looked up.

    Args:
        host: its name as ``ssh`` would be given it.
        user: login name that was given with it; None where ssh_config may say.
        port: TCP port that was given with it.
        found: what the command line sets already; the first value of each option stays.
        files: the identity files it names.
        certificates: the certificate files it names.
    """

    __slots__ = ("certificates", "files", "final", "found", "host", "original", "port", "user")

    def __init__(
        self,
        host: str,
        user: str | None,
        port: int | None,
        found: dict[str, Setting],
        files: Sequence[Setting] = (),
        certificates: Sequence[Setting] = (),
    ) -> None:
        self.original = self.host = host
        self.user = user
        self.port = port
        self.found = found
        self.files = list(files)
        self.certificates = list(certificates)
        self.final = False

    def add(self, setting: Setting) -> None:
        """Add an identity or certificate file that is not there yet, or a way through a proxy."""
        if setting.key == "proxy":
            keep_first(self.found, setting)
            return
        files = self.files if setting.key == "identityfile" else self.certificates
        if all(setting.value != known.value for known in files):
            files.append(setting)

    def address(self) -> str:
        """Return the name or address to connect to, as far as it is known.

        Raises:
            OptionError: HostName has a token that it can't have.
        """
        setting = self.found.get("hostname")
        if setting is None or self.final:
            return self.host
        if "%" not in setting.value:
            return str(setting.value)
        try:
            return fill(setting.value, self.names(self.original), HOSTNAME)
        except ValueError as error:
            raise setting.wrong(str(error)) from None

    def remote_user(self) -> str:
        """Return the login name, as far as it is known.

        Raises:
            OptionError: it is not said, and this user has no name.
        """
        if self.user is not None:
            return self.user
        setting = self.found.get("user")
        return local_user() if setting is None else str(setting.value)

    def names(self, address: str) -> Names:
        """Return what tokens stand for, as far as it is known.

        Raises:
            OptionError: as `remote_user`.
        """
        port = self.found.get("port")
        alias = self.found.get("hostkeyalias")
        return Names(
            address,
            self.original,
            self.port if self.port is not None else 22 if port is None else port.value,
            self.remote_user(),
            None if alias is None else alias.value,
        )

    def begin_final(self) -> None:
        """Go on with the name that HostName gave, for the second look at the files."""
        self.host = self.address().lower()
        self.final = True


Condition = Callable[[Query], bool]


def pattern(text: str) -> str:
    """Return the regular expression of a pattern: ``*`` and ``?`` alone are special."""
    return re.sub(
        r"\*+", ".*", "".join(char if char == "*" else "." if char == "?" else re.escape(char) for char in text)
    )


@functools.lru_cache(maxsize=1000)
def pattern_list(text: str, *, lower: bool = False) -> Callable[[str], bool]:
    """Return what tells whether a text matches a comma-separated list of patterns (``match_pattern_list``).

    Args:
        text: the list; a pattern behind ``!`` excludes what it matches.
        lower: whether the patterns are in lower case, whatever they were written in.
    """
    parts = (text.lower() if lower else text).split(",")
    return _patterns([part for part in parts if not part.startswith("!")], [p[1:] for p in parts if p.startswith("!")])


def _patterns(wanted: list[str], unwanted: list[str]) -> Callable[[str], bool]:
    plain = frozenset(part for part in wanted if "*" not in part and "?" not in part)
    wild = _any([part for part in wanted if part not in plain])
    never = _any(unwanted)
    if wild is None and never is None:
        return plain.__contains__

    def matches(text: str) -> bool:
        if never is not None and never(text):
            return False
        return text in plain or (wild is not None and wild(text) is not None)

    return matches


def _any(patterns: list[str]) -> Callable[[str], re.Match[str] | None] | None:
    if not patterns:
        return None
    return re.compile("|".join(f"(?:{pattern(part)})" for part in patterns), re.DOTALL).fullmatch


def host_condition(patterns: list[str]) -> Condition | None:
    """Return the condition of a ``Host`` line; None for one that always applies.

    Raises:
        ValueError: a pattern is empty.
    """
    if not all(patterns):
        raise ValueError("a pattern is empty")
    if patterns == ["*"]:
        return None
    # Behind a negated pattern that matches, the rest of the line is not read: its order does not matter.
    matches = _patterns(
        [part for part in patterns if not part.startswith("!")], [p[1:] for p in patterns if p.startswith("!")]
    )
    return lambda query: matches(query.host)


def match_condition(text: str, where: tuple[str, int]) -> tuple[Condition, bool]:
    """Return the condition of a ``Match`` line, and whether it asks for a final look.

    Args:
        text: what stands behind ``Match``.
        where: file and line, for messages.

    Raises:
        ValueError: a criterion is not known or lacks its argument.
    """
    criteria: list[tuple[Condition, bool]] = []
    final = False
    rest = text
    while rest:
        word, rest = delimited(rest, equals=True)
        if not word or word.startswith("#"):
            break
        negated = word.startswith("!")
        name = word[negated:].lower()
        if name == "all":
            following = delimited(rest, equals=True)[0]
            if len(criteria) > 1 or (following and not following.startswith("#")):
                raise ValueError("'all' can't be combined with other criteria")
            criteria.append((lambda query: True, negated))
            break
        if name in ("canonical", "final"):
            final |= name == "final"
            criteria.append((lambda query: query.final, negated))
            continue
        argument, rest = delimited(rest, equals=True)
        if not argument or argument.startswith("#"):
            raise ValueError(f"criterion {name!r} needs an argument")
        criteria.append((_criterion(name, argument, where), negated))
    if not criteria:
        raise ValueError("a criterion is missing")
    return lambda query: all(holds(query) is not negated for holds, negated in criteria), final


def _criterion(name: str, argument: str, where: tuple[str, int]) -> Condition:
    if name == "exec":
        return functools.partial(_exec, argument, where)
    if name in ("host", "originalhost"):
        matches = pattern_list(argument, lower=True)
        if name == "host":
            return lambda query: matches(query.address().lower())
        return lambda query: matches(query.original.lower())
    matches = pattern_list(argument)
    if name == "user":
        return lambda query: matches(query.remote_user())
    if name == "localuser":
        return lambda query: matches(local_user())
    if name == "tagged":
        return lambda query: matches(str(query.found["tag"].value) if "tag" in query.found else "")
    raise ValueError(f"criterion {name!r} is not supported")


_answers: dict[str, tuple[float, bool]] = {}


def _exec(command: str, where: tuple[str, int], query: Query) -> bool:
    """Return whether a command of ``Match exec`` succeeds; one command is run once a minute.

    Raises:
        OptionError: it does not end in time, or can't be run.
    """
    try:
        filled = fill_command(command, query.names(query.address()), FILES)
    except ValueError as error:
        raise _failed(str(error), where) from None
    at, answer = _answers.get(filled, (0.0, False))
    if at and time.monotonic() - at < _EXEC_FOR:
        return answer
    if len(_answers) >= _EXEC_MOST:
        _answers.clear()
    try:
        answer = _succeeds(filled)
    except OSError as error:
        raise _failed(f"{filled!r} can't be run: {error.strerror or error}", where) from None
    except subprocess.TimeoutExpired:
        raise _failed(f"{filled!r} took more than {_EXEC_SECONDS:g} s", where) from None
    _answers[filled] = (time.monotonic(), answer)
    return answer


def _failed(problem: str, where: tuple[str, int]) -> OptionError:
    return OptionError(f"Match exec: {problem}", path=where[0], line=where[1])


def _succeeds(command: str) -> bool:
    """Run a command with the user's shell, as ``execute_in_shell`` of OpenSSH's readconf.c does.

    Raises:
        OSError: it can't be run.
        subprocess.TimeoutExpired: it did not end in time, and was killed.
    """
    process = subprocess.Popen(
        [os.environ.get("SHELL") or "/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(_EXEC_SECONDS) == 0
    finally:
        if process.returncode is None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
