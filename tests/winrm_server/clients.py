"""Clients of WS-Man that nobody here wrote, behind one face: pypsrp and pywinrm hold the same conversations."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pypsrp.exceptions
import pypsrp.shell
import pypsrp.wsman
import winrm.exceptions
import winrm.protocol

from tests.winrm_server.certificates import Certificate

UTF_8 = 65001
SECONDS = 20
"""OperationTimeout of a request where a conversation is not about it."""
CHUNK = 100_000
"""Bytes of standard input in one Send: base64 makes 133 kB of it, and an envelope has room for 150 kB."""


@dataclass(frozen=True)
class Answer:
    """What a command did."""

    stdout: bytes
    stderr: bytes
    rc: int


class FaultError(Exception):
    """The service answered with a fault.

    Args:
        code: its number, or what else the client knows of it.
        reason: the client's words.
    """

    def __init__(self, code: int | str | None, reason: str = "") -> None:
        super().__init__(f"fault {code}: {reason}")
        self.code = code


class RejectedError(Exception):
    """The service answered 401."""


@dataclass(frozen=True)
class Login:
    """How to reach the service, in words that every client understands.

    Args:
        port: TCP port.
        transport: basic, ntlm, negotiate, kerberos, credssp or certificate.
        host: name or address.
        user: account; None for the default cache of tickets, or with a client's certificate.
        password: the account's.
        authority: trusted authorities, in PEM; HTTPS is used where there is one.
        client: the user's own certificate.
        sealed: whether messages are encrypted; None as the client sees fit.
        bindings: whether channel bindings are sent.
        delegate: whether the tickets may be passed on to the service.
        seconds: OperationTimeout.
    """

    port: int
    transport: str = "basic"
    host: str = "localhost"
    user: str | None = "vagrant"
    password: str | None = "secret"
    authority: Path | None = None
    client: Certificate | None = None
    sealed: bool | None = None
    bindings: bool = True
    delegate: bool = False
    seconds: int = SECONDS

    @property
    def encryption(self) -> str:
        """The option that both clients have."""
        if self.sealed is None:
            return "never" if self.transport in ("basic", "certificate") else "auto"
        return "always" if self.sealed else "never"


class Client(Protocol):
    """One connection with one shell."""

    def run(self, line: str, arguments: Iterable[str] = (), stdin: bytes | None = None) -> Answer:
        """Run a line of cmd.exe, and fetch all it says.

        Raises:
            FaultError: the service refused.
            RejectedError: the login failed.
        """

    def start(self, line: str) -> str:
        """Start a line of cmd.exe; return its id."""

    def receive(self, command: str) -> tuple[bytes, bytes, int | None]:
        """Ask once for output: standard output, standard error, and the exit code where it has ended.

        Raises:
            FaultError: also where OperationTimeout passed without any.
        """

    def signal(self, command: str, code: str) -> None:
        """Send ``ctrl_c`` or ``terminate``."""

    def close(self) -> None:
        """Delete the shell and close the connection; nothing where that was done."""


def encoded(script: str) -> str:
    """Return the command line that runs a PowerShell script."""
    data = base64.b64encode(script.encode("utf-16-le")).decode()
    return f"powershell.exe -NoProfile -NonInteractive -EncodedCommand {data}"


class Pypsrp:
    """pypsrp's WinRS shell.

    Args:
        login: how to reach the service.
        shell: of another client, that is to be used in place of a new one.
    """

    name = "pypsrp"

    def __init__(self, login: Login) -> None:
        options: dict[str, Any] = {}
        if login.client is not None:
            options |= {"certificate_pem": str(login.client.certificate), "certificate_key_pem": str(login.client.key)}
        if login.transport in ("ntlm", "negotiate", "kerberos"):
            options |= {"negotiate_send_cbt": login.bindings, "negotiate_delegate": login.delegate}
            options |= {"negotiate_service": "HTTP"}
        self._wsman = pypsrp.wsman.WSMan(
            login.host,
            port=login.port,
            username=login.user,
            password=login.password,
            ssl=login.authority is not None,
            auth=login.transport,
            cert_validation=str(login.authority),  # type: ignore[arg-type] # a path, as its requests session takes it
            encryption=login.encryption,
            no_proxy=True,
            operation_timeout=login.seconds,
            read_timeout=login.seconds + 10,
            **options,
        )
        self.shell = pypsrp.shell.WinRS(self._wsman, codepage=UTF_8)
        self._processes: dict[str, pypsrp.shell.Process] = {}
        try:
            with _pypsrp_errors():
                self.shell.open()
        except BaseException:
            self._wsman.close()
            raise

    def run(self, line: str, arguments: Iterable[str] = (), stdin: bytes | None = None) -> Answer:
        process = pypsrp.shell.Process(self.shell, line, list(arguments))
        with _pypsrp_errors():
            process.begin_invoke()
            for piece, end in pieces(stdin):
                process.send(piece, end)
            process.end_invoke()
            process.signal(pypsrp.shell.SignalCode.TERMINATE)
        assert process.rc is not None
        return Answer(process.stdout, process.stderr, process.rc)

    def start(self, line: str) -> str:
        process = pypsrp.shell.Process(self.shell, line)
        with _pypsrp_errors():
            process.begin_invoke()
        assert process.id is not None
        self._processes[process.id] = process
        return process.id

    def receive(self, command: str) -> tuple[bytes, bytes, int | None]:
        with _pypsrp_errors():
            # Process.poll_invoke keeps to itself that the time passed.
            _, rc, streams = self.shell.receive("stdout stderr", command)
        return streams["stdout"], streams["stderr"], rc

    def signal(self, command: str, code: str) -> None:
        known = {"ctrl_c": pypsrp.shell.SignalCode.CTRL_C, "terminate": pypsrp.shell.SignalCode.TERMINATE}
        with _pypsrp_errors():
            self._processes[command].signal(known[code])

    def close(self) -> None:
        try:
            with _pypsrp_errors():
                self.shell.close()
        finally:
            self._wsman.close()


class Pywinrm:
    """pywinrm's Protocol.

    Args:
        login: how to reach the service.
    """

    name = "pywinrm"

    def __init__(self, login: Login) -> None:
        options: dict[str, Any] = {}
        if login.client is not None:
            options |= {"cert_pem": str(login.client.certificate), "cert_key_pem": str(login.client.key)}
        transport = "ssl" if login.transport == "basic" and login.authority else login.transport
        self._protocol = winrm.protocol.Protocol(
            f"http{'s' if login.authority else ''}://{login.host}:{login.port}/wsman",
            transport=transport,  # type: ignore[arg-type]
            username=login.user,
            password=login.password,
            ca_trust_path=str(login.authority),
            message_encryption=login.encryption,  # type: ignore[arg-type]
            send_cbt=login.bindings,
            kerberos_delegation=login.delegate,
            proxy=None,
            operation_timeout_sec=login.seconds,
            read_timeout_sec=login.seconds + 10,
            **options,
        )
        try:
            with _pywinrm_errors():
                self.shell = self._protocol.open_shell(codepage=UTF_8)
        except BaseException:
            self._protocol.transport.close_session()
            raise

    def run(self, line: str, arguments: Iterable[str] = (), stdin: bytes | None = None) -> Answer:
        protocol = self._protocol
        with _pywinrm_errors():
            command = protocol.run_command(self.shell, line, tuple(arguments))
            for piece, end in pieces(stdin):
                protocol.send_command_input(self.shell, command, piece, end)
            stdout, stderr, rc = protocol.get_command_output(self.shell, command)
            protocol.cleanup_command(self.shell, command)
        return Answer(stdout, stderr, rc)

    def start(self, line: str) -> str:
        with _pywinrm_errors():
            return self._protocol.run_command(self.shell, line)

    def receive(self, command: str) -> tuple[bytes, bytes, int | None]:
        with _pywinrm_errors():
            stdout, stderr, rc, done = self._protocol.get_command_output_raw(self.shell, command)
        return stdout, stderr, rc if done else None

    def signal(self, command: str, code: str) -> None:
        if code == "terminate":
            with _pywinrm_errors():
                self._protocol.cleanup_command(self.shell, command)
            return
        raise NotImplementedError("pywinrm has no ctrl_c")

    def close(self) -> None:
        try:
            with _pywinrm_errors():
                shell, self.shell = self.shell, ""
                if shell:
                    self._protocol.close_shell(shell)
        finally:
            self._protocol.transport.close_session()


CLIENTS: dict[str, type[Pypsrp] | type[Pywinrm]] = {"pypsrp": Pypsrp, "pywinrm": Pywinrm}


def pieces(stdin: bytes | None) -> Iterable[tuple[bytes, bool]]:
    """Yield standard input in parts, and with each whether it is the last; nothing for None."""
    if stdin is not None:
        for start in range(0, len(stdin) or 1, CHUNK):
            yield stdin[start : start + CHUNK], start + CHUNK >= len(stdin)


@dataclass
class _Errors:
    """Turns a library's errors into those of this module."""

    fault: type[Exception] | tuple[type[Exception], ...]
    code: str
    rejected: type[Exception]
    timed_out: type[Exception] | tuple[()] = field(default=())

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, self.rejected):
            raise RejectedError(str(error)) from error
        if self.timed_out and isinstance(error, self.timed_out):
            raise FaultError(2150858793) from error
        if isinstance(error, self.fault):
            code = getattr(error, self.code)
            raise FaultError(code if code is not None else getattr(error, "wmierror_code", None), str(error)) from error


def _pypsrp_errors() -> _Errors:
    return _Errors(pypsrp.exceptions.WSManFaultError, "code", pypsrp.exceptions.AuthenticationError)


def _pywinrm_errors() -> _Errors:
    return _Errors(
        winrm.exceptions.WSManFaultError,
        "wsman_fault_code",
        winrm.exceptions.AuthenticationError,
        winrm.exceptions.WinRMOperationTimeoutError,
    )
