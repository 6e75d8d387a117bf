"""The endpoint: a listener, its settings, its counters and its log."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from sshexec.secret import Secret
from tests.winrm_server import authentication, faults
from tests.winrm_server.connection import Connection
from tests.winrm_server.drive import Drive
from tests.winrm_server.interpreter import Interpreter, Line
from tests.winrm_server.messages import Request
from tests.winrm_server.misbehaviour import Misbehaviours
from tests.winrm_server.powershell import Answers
from tests.winrm_server.shells import Command, Shell, Shells
from tests.winrm_server.tls import Tls

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Event:
    """One request that was understood, in the log.

    Args:
        op: Create, Command, Send, Receive, Signal or Delete.
        shell: id, "" before there is one.
        command: id, "" before there is one.
        connection: the TCP connection's number.
        detail: what belongs to it: ``options``, ``timeout``; of a Create ``environment`` and ``directory``; of a
            Command ``line``, ``pid``, and ``powershell``, ``script`` and ``arguments`` as they become known; of a
            Send ``size`` and ``end``; of a Signal ``code``.
    """

    op: str
    shell: str
    command: str
    connection: int
    detail: dict[str, Any] = field(default_factory=dict)


class WinrmServer:
    """A WinRM service that pretends to be a Windows host.

    Args:
        users: passwords by name.
        transports: what is offered: basic, ntlm, negotiate, kerberos, credssp, certificate; the first one is that of
            `variables`.
        tls: how it speaks TLS; None for HTTP.
        allow_unencrypted: whether bodies may be plain over HTTP, as the service's setting AllowUnencrypted.
        max_shells: MaxShellsPerUser.
        max_operations: MaxConcurrentOperationsPerUser: commands that one shell has ever run.
        max_processes: MaxProcessesPerShell.
        max_envelope: MaxEnvelopeSizekb, in bytes.
        chunk: how many bytes of output one Receive returns at most.
        drive: the host's ``C:\\``; a temporary one where None.
        host: where to listen.
        port: likewise; 0 for any.
        path: of the URL.
        surroundings: more environment for the acceptors, such as KRB5_KTNAME.
        interpreter: what runs command lines.
    """

    def __init__(
        self,
        users: Mapping[str, str],
        transports: Sequence[str] = ("ntlm", "basic"),
        tls: Tls | None = None,
        allow_unencrypted: bool = False,
        max_shells: int = 30,
        max_operations: int = 1500,
        max_processes: int = 25,
        max_envelope: int = 153600,
        chunk: int = 98304,
        drive: Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        path: str = "/wsman",
        surroundings: Mapping[str, str] | None = None,
        interpreter: Interpreter | None = None,
    ) -> None:
        self.users = dict(users)
        self.transports = tuple(transports)
        self.tls = tls
        self.allow_unencrypted = allow_unencrypted
        self.max_shells, self.max_operations, self.max_processes = max_shells, max_operations, max_processes
        self.max_envelope = max_envelope
        self.chunk = chunk
        self.host, self.port, self.path = host, port, path
        self.powershell = Answers()
        self.errors: list[str] = []
        """Where doubles failed; `__exit__` raises on them."""
        self.interpreter = interpreter or Interpreter(self.powershell, self.errors.append)
        self.misbehaviours = Misbehaviours()
        self.log: list[Event] = []
        self.requests = self.connections = self.logins = self.failed_logins = self.unsealed = 0
        self.login_log: list[tuple[bool, str, str]] = []
        """Each login: whether it was right, its scheme, whose it was or why not."""
        self.delegated: list[Any] = []
        """What clients handed over: pyspnego's TSPasswordCreds by CredSSP, a ticket's owner by Kerberos."""
        self.service = Shells(self)
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: dict[Connection, threading.Thread] = {}
        self._given = dict(surroundings or {})
        self._drive = drive
        self._accepting: threading.Thread | None = None

    @property
    def shells(self) -> dict[str, Shell]:
        """The open shells by id."""
        return self.service.open

    @property
    def connected(self) -> int:
        """How many connections are open now."""
        with self._lock:
            return len(self._open)

    @property
    def operations(self) -> list[str]:
        """The log's operations, in order."""
        return [event.op for event in self.log]

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{self.path}"

    def __enter__(self) -> WinrmServer:
        self._folder = Path(tempfile.mkdtemp(prefix="winrm-server-"))
        self.drive = self._drive or self._folder / "C"
        self.drive.mkdir(parents=True, exist_ok=True)
        for name in ("Windows/System32", "Windows/Temp", *(f"Users/{user}/AppData/Local/Temp" for user in self._names)):
            (self.drive / name).mkdir(parents=True, exist_ok=True)
        users = self._folder / "users"
        authentication.write_users(users, self.users)
        self.surroundings = {"NTLM_USER_FILE": str(users), **self._given}
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, self.port), family=family, backlog=512)
        self.port = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, name="winrm server", daemon=True)
        self._accepting.start()
        return self

    @property
    def _names(self) -> list[str]:
        return [user.rpartition("\\")[2] for user in self.users]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self.errors and kind is None:
            raise AssertionError("a double failed:\n" + "\n".join(self.errors))

    def stop(self) -> None:
        """End everything: the listener, connections, shells and their processes."""
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.service.forget()
        self.cut_connections()
        with self._lock:
            threads = list(self._open.values())
        for thread in [self._accepting, *threads]:
            if thread is not None:
                thread.join(5)
        self.service.forget()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.count("connections")
            connection = Connection(self, sock, self.connections)
            thread = threading.Thread(target=connection.run, name=f"winrm {connection.number}", daemon=True)
            with self._lock:
                self._open[connection] = thread
            thread.start()
            if self.stopping.is_set():
                connection.cut()

    # What tests ask and tell.

    def variables(self, **more: Any) -> dict[str, Any]:
        """Return a host's variables that lead here as the first user, by the first transport."""
        user, password = next(iter(self.users.items()))
        found: dict[str, Any] = {
            "ansible_connection": "winrm",
            "ansible_host": self.host,
            "ansible_port": self.port,
            "ansible_user": user,
            "ansible_password": Secret(password),
            "ansible_winrm_scheme": "https" if self.tls else "http",
            "ansible_winrm_transport": self.transports[0] if self.transports[0] != "negotiate" else "ntlm",
        }
        if self.path != "/wsman":
            found["ansible_winrm_path"] = self.path
        if self.tls is not None and self.tls.ca is not None:
            found["ansible_winrm_ca_trust_path"] = str(self.tls.ca)
        return {**found, **more}

    def misbehave(self, kind: str, op: str | None = None, times: int = 1, **detail: Any) -> None:
        """Let something go wrong with the next requests (`tests.winrm_server.misbehaviour`).

        Args:
            kind: ``cut`` (no answer), ``drop`` (answered, then closed without a word), ``close`` (said so), ``html``,
                ``empty200``, ``empty500``, ``503``, ``status`` (code, body), ``denied``, ``slow`` (seconds),
                ``relates_to``, ``truncated`` (chunked), ``chunked``, ``no_content_type``, ``gzip``, ``unsealed``,
                ``garbage`` (data), ``undecryptable`` (op "Seal"), ``forget`` (all shells, before the request),
                ``fault`` (code, subcode, reason, value, wmi).
            op: with which operation; None for any; "Login" for requests without a message, "any" for all.
            times: how often.
            detail: of the kind; ``acted`` says that the request is acted on all the same.
        """
        self.misbehaviours.add(kind, op, times, detail)

    def forget(self) -> None:
        """End all shells and commands, as a restart of the service does."""
        self.service.forget()

    def cut_connections(self) -> None:
        """Close all connections, as an idle time-out or a firewall does."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            connection.cut()

    # What connections and shells tell.

    def disk(self, user: str) -> Drive:
        """Return the host's disk as seen from a user's own directory."""
        name = user.rpartition("\\")[2]
        (self.drive / "Users" / name).mkdir(parents=True, exist_ok=True)
        return Drive(self.drive, f"C:\\Users\\{name}")

    def environment(self, user: str) -> dict[str, str]:
        """Return what a user's commands find in their environment."""
        name = user.rpartition("\\")[2]
        home = f"C:\\Users\\{name}"
        return {
            "PATH": _PATH,
            "COMPUTERNAME": faults.MACHINE,
            "USERNAME": name,
            "USERDOMAIN": faults.MACHINE,
            "USERPROFILE": home,
            "SystemRoot": "C:\\Windows",
            "SystemDrive": "C:",
            "windir": "C:\\Windows",
            "ComSpec": "C:\\Windows\\system32\\cmd.exe",
            "OS": "Windows_NT",
            "PROCESSOR_ARCHITECTURE": "AMD64",
            "TEMP": f"{home}\\AppData\\Local\\Temp",
            "TMP": f"{home}\\AppData\\Local\\Temp",
        }

    def count(self, name: str) -> None:
        """Add one to a counter."""
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)

    def count_login(self, right: bool, scheme: str, who: str = "") -> None:
        """Count a login, whether it was right or wrong."""
        with self._lock:
            self.logins += 1
            self.failed_logins += not right
            self.login_log.append((right, scheme, who))

    def note(self, request: Request, connection: int) -> None:
        """Write a request into the log."""
        detail: dict[str, Any] = {"timeout": request.timeout}
        if request.options:
            detail["options"] = request.options
        if request.op == "Create":
            detail.update(environment=request.variables, directory=request.text("WorkingDirectory"))
        elif request.op == "Send":
            streams = request.streams
            detail.update(size=sum(len(data) for data, _ in streams), end=any(end for _, end in streams))
        elif request.op == "Signal":
            detail["code"] = (request.text("Code") or "").rsplit("/", 1)[-1]
        event = Event(request.op, request.shell, request.command, connection, detail)
        request.event = event
        with self._lock:
            self.log.append(event)

    def note_command(self, request: Request, command: Command, line: Line) -> None:
        """Add to the log what a Command became."""
        event = request.event
        if isinstance(event, Event):
            event.command = command.id
            event.detail.update(line=line.text, pid=command.pid)
            line.about.update(event.detail)
            event.detail = line.about

    def forget_connection(self, connection: Connection) -> None:
        """Take a connection off the list."""
        with self._lock:
            self._open.pop(connection, None)


def serve(server: WinrmServer) -> None:
    """Print the port, and serve until standard input ends."""
    with server:
        print(server.port, flush=True)
        sys.stdin.read()
