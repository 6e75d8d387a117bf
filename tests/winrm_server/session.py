"""One shell by plain pywinrm, for the endpoint's own tests."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable

import xmltodict
from winrm.protocol import Protocol

from tests.winrm_server import WinrmServer

USERS = {"vagrant": "se:crét"}


def client(server: WinrmServer, transport: str = "ntlm", **more) -> Protocol:
    user, password = next(iter(server.users.items()))
    more = {"username": user, "password": password, "proxy": None, "ca_trust_path": None, **more}
    return Protocol(server.url, transport=transport, **more)


class Session:
    """One shell by plain pywinrm."""

    def __init__(self, server: WinrmServer, **more) -> None:
        self.server = server
        self.protocol = client(server, operation_timeout_sec=2, read_timeout_sec=9)
        self.shell = self.protocol.open_shell(codepage=65001, **more)

    def start(self, line: str, arguments=(), **more) -> str:
        return self.protocol.run_command(self.shell, line, arguments, **more)

    def run(self, line: str, arguments=(), stdin: bytes | None = None, **more) -> tuple[bytes, bytes, int]:
        command = self.start(line, arguments, **more)
        if stdin is not None:
            self.protocol.send_command_input(self.shell, command, stdin, end=True)
        done = self.protocol.get_command_output(self.shell, command)
        self.protocol.cleanup_command(self.shell, command)
        return done

    def pid(self) -> int:
        return next(iter(self.server.shells[self.shell].commands.values())).pid

    def signal(self, command: str, code: str) -> None:
        protocol = self.protocol
        header = protocol.build_wsman_header(
            "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/Signal",
            "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd",
            self.shell,
        )
        code = f"http://schemas.microsoft.com/wbem/wsman/1/windows/shell/signal/{code}"
        header["env:Body"] = {"rsp:Signal": {"@CommandId": command, "rsp:Code": code}}
        protocol.send_message(xmltodict.unparse({"env:Envelope": header}))


def powershell(script: str) -> str:
    return "powershell -NoProfile -EncodedCommand " + base64.b64encode(script.encode("utf-16-le")).decode()


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)
