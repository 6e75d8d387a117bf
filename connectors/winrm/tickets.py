"""Kerberos tickets that sshexec gets itself, by ``kinit``: one for all hosts with the same user."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sshexec.connectors.deadline import Deadline
from sshexec.connectors.winrm.options import WinrmOptions
from sshexec.errors import AuthenticationError, ConnectTimeoutError
from sshexec.secret import Secret

_LOOK = 0.5
"""Seconds between looks at whether who waits shall go on waiting."""
_LONGEST = 60.0
"""Seconds that ``kinit`` gets."""
_REFUSED_FOR = 300.0
"""Seconds for which a password that the KDC refused is not offered again: accounts are locked after a few."""
_DOWN_FOR = 20.0
"""Seconds for which a KDC that was not reached is not asked again."""
_LARGEST = 256 * 1024
"""Bytes of a cache, which every host's service ticket is added to, before it is begun anew: it is searched from its
beginning."""
_CACHE = "KRB5CCNAME"

_environment = threading.Lock()
"""Held while the process's KRB5CCNAME is another one, which is what libkrb5 has its cache by: around GSS calls only."""


class WrongPassword(Exception):
    """The KDC refused the password (never leaves this room)."""


@dataclass(frozen=True)
class _Wanted:
    """What a ticket is got with."""

    principal: str
    password: Secret | None
    command: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(eq=False)
class Ticket:
    """A ticket-granting ticket in a file of its own.

    Args:
        path: the cache's file.
    """

    path: str
    done: threading.Event = field(default_factory=threading.Event)
    error: AuthenticationError | WrongPassword | None = None
    until: float = float("inf")
    """When the ticket, or the error, is forgotten, on the monotonic clock."""

    def expire(self) -> None:
        """Have the next who asks get another one."""
        self.until = 0.0

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Have libkrb5 find this ticket, meanwhile."""
        with using(f"FILE:{self._working()}"):
            yield

    def _working(self) -> str:
        """Return the cache that service tickets go into, a fresh copy where that has become large."""
        working = f"{self.path}.working"
        try:
            if os.path.getsize(working) <= _LARGEST:
                return working
        except FileNotFoundError:
            pass
        copy = f"{working}.{threading.get_ident()}"
        shutil.copyfile(self.path, copy)
        os.chmod(copy, 0o600)
        os.replace(copy, working)
        return working


@contextlib.contextmanager
def using(cache: str | None) -> Iterator[None]:
    """Make a Kerberos cache the process's own, or none but that of its environment, while nobody else does."""
    with _environment:
        before = os.environ.get(_CACHE)
        if cache is not None:
            os.environ[_CACHE] = cache
        try:
            yield
        finally:
            if cache is not None:
                if before is None:
                    del os.environ[_CACHE]
                else:
                    os.environ[_CACHE] = before


class Tickets:
    """The tickets of one engine."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[_Wanted, Ticket] = {}
        self._folder: str | None = None
        self._remove: Callable[[], object] | None = None
        self._serial = 0
        self._down = (0.0, "")

    def get(
        self,
        options: WinrmOptions,
        password: Secret | None,
        deadline: Deadline,
        guard: Callable[[], None],
    ) -> Ticket:
        """Return a user's ticket; the first who asks gets it from the KDC, the others wait.

        Args:
            options: whose, and how to get it.
            password: the user's, where there is no keytab.
            deadline: by when.
            guard: raises where the caller shall wait no longer.

        Raises:
            WrongPassword: the KDC refused the password, now or lately.
            AuthenticationError: it refused for another reason, or can't be reached, or there is no ``kinit``.
            ConnectTimeoutError: the deadline passed.
        """
        wanted = _wanted(options, password)
        with self._lock:
            ticket = self._known.get(wanted)
            mine = ticket is None or (ticket.done.is_set() and time.monotonic() >= ticket.until)
            if ticket is None or mine:
                ticket = self._known[wanted] = Ticket(self._path())
        if mine:
            self._fetch(wanted, ticket, deadline, guard)
        while not ticket.done.wait(deadline.remaining(_LOOK)):
            guard()
            if deadline.expired:
                raise ConnectTimeoutError(f"no Kerberos ticket of {wanted.principal} came in time")
        if ticket.error is not None:
            raise type(ticket.error)(str(ticket.error))
        return ticket

    def note_down(self, words: str) -> None:
        """Take note that no KDC was reached for a host's ticket.

        libkrb5 waits for it in C, during which no greenlet of the process runs: once is enough for a while.
        """
        self._down = (time.monotonic() + _DOWN_FOR, words)

    def check_down(self) -> None:
        """Raise where no KDC was reached a moment ago.

        Raises:
            AuthenticationError: with the words of then.
        """
        until, words = self._down
        if time.monotonic() < until:
            raise AuthenticationError(words)

    def close(self) -> None:
        """Remove the tickets."""
        with self._lock:
            self._known.clear()
            self._folder = None
            remove, self._remove = self._remove, None
        if remove is not None:
            remove()

    def _path(self) -> str:
        if self._folder is None or not os.path.isdir(self._folder):
            self._folder = tempfile.mkdtemp(prefix="sshexec-krb5-")  # 0700
            self._remove = weakref.finalize(self, _remove, self._folder, os.getpid())
        self._serial += 1
        return os.path.join(self._folder, f"cc{self._serial}")

    def _fetch(self, wanted: _Wanted, ticket: Ticket, deadline: Deadline, guard: Callable[[], None]) -> None:
        # For whoever waits, should this one be stopped: the next one tries.
        ticket.error, ticket.until = AuthenticationError("the wait for a Kerberos ticket was broken off"), 0.0
        try:
            said = _kinit(wanted, ticket.path, deadline.sooner(_LONGEST), guard)
            if said is None:
                ticket.error, ticket.until = None, float("inf")
            else:
                wrong = _is_wrong(said)
                ticket.error = (WrongPassword if wrong else AuthenticationError)(_explained(wanted.principal, said))
                ticket.until = time.monotonic() + (_REFUSED_FOR if wrong else 0)
        finally:
            ticket.done.set()


def _remove(folder: str, owner: int) -> None:
    """Remove the tickets; not those of the process that this one was forked from."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _wanted(options: WinrmOptions, password: Secret | None) -> _Wanted:
    principal = options.user
    if options.realm and "@" not in principal:
        principal = f"{principal}@{options.realm}"
    given = shlex.split(options.kinit_args) if options.kinit_args else ["-f"] if options.delegation else []
    if options.keytab:
        given += ["-k", "-t", os.path.abspath(os.path.expanduser(options.keytab))]
        password = None
    return _Wanted(principal, password, (os.path.expanduser(options.kinit_cmd), *given), options.kinit_env_vars)


def _kinit(wanted: _Wanted, path: str, deadline: Deadline, guard: Callable[[], None]) -> str | None:
    """Get a ticket into a file; return what kinit has to say against it, None for nothing.

    The environment is that of Ansible: none but the variables that are named, and what libkrb5 here goes by, too.
    """
    names = (*wanted.names, "KRB5_CONFIG")
    environment = {name: os.environ[name] for name in names if name in os.environ} | {_CACHE: f"FILE:{path}"}
    program = shutil.which(wanted.command[0])
    if program is None:
        return f"{wanted.command[0]}: not found (package krb5-user or krb5-workstation; ansible_winrm_kinit_cmd)"
    arguments = [program, *wanted.command[1:], wanted.principal]
    secret = "" if wanted.password is None else wanted.password.reveal()
    try:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # no terminal to ask on
            umask=0o077,
        )
    except OSError as error:
        return f"{wanted.command[0]}: {error.strerror}"
    given: bytes | None = f"{secret}\n".encode()
    with process:
        try:
            while True:
                try:
                    said = process.communicate(given, timeout=deadline.remaining(_LOOK))[1]
                    break
                except subprocess.TimeoutExpired:
                    given = None
                    guard()
                    if deadline.expired:
                        return "it did not end in time"
        finally:
            if process.poll() is None:
                process.kill()
    if process.returncode == 0 and os.path.exists(path):
        return None
    text = said.decode("utf-8", "replace").strip()
    if secret:
        text = text.replace(secret, "********")
    return text.splitlines()[-1] if text else f"exit status {process.returncode}"


def _is_wrong(said: str) -> bool:
    """Return whether the KDC refused the password."""
    return "Password incorrect" in said or "Preauthentication failed" in said


def _explained(principal: str, said: str) -> str:
    """Return what kinit said as a sentence."""
    words = said.removeprefix("kinit: ")
    if _is_wrong(said):
        return f"the KDC refused the password of {principal}"
    if "not found in Kerberos database" in said:
        return f"the KDC knows no user {principal}"
    if "Cannot contact any KDC" in said or "Cannot find KDC" in said:
        return f"no KDC can be reached for {principal}: {words} (krb5.conf, DNS)"
    if "did not match expectations" in said:
        return f"the KDC calls {principal} by another name; write its realm in capitals, as in user@EXAMPLE.COM"
    if "revoked" in said:
        return f"the account {principal} is locked or disabled ({words})"
    if "expired" in said:
        return f"the password of {principal} has expired"
    return f"no Kerberos ticket of {principal}: {words}"
