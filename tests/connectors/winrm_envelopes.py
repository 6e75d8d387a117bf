"""Messages as pywinrm's `Protocol` makes them, for tests of what carries them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

from winrm.protocol import Protocol

SHELL = "{http://schemas.microsoft.com/wbem/wsman/1/windows/shell}"


class _Caught(Exception):
    pass


def _caught(make: Callable[[Protocol], Any]) -> bytes:
    caught: list[bytes] = []

    def keep(message: str | bytes) -> bytes:
        caught.append(message.encode() if isinstance(message, str) else message)
        raise _Caught

    protocol = Protocol("http://host/wsman", username="u", password="p", proxy=None, ca_trust_path=None)
    protocol.transport.send_message = keep  # type: ignore[method-assign]
    try:
        make(protocol)
    except _Caught:
        return caught[0]
    raise AssertionError("pywinrm sent nothing")


def create() -> bytes:
    """Ask for a shell."""
    return _caught(lambda protocol: protocol.open_shell(codepage=65001))


def command(shell: str, line: str) -> bytes:
    """Start a command."""
    return _caught(lambda protocol: protocol.run_command(shell, line))


def receive(shell: str, command: str) -> bytes:
    """Ask for output."""
    return _caught(lambda protocol: protocol.get_command_output_raw(shell, command))


def send(shell: str, command: str, data: bytes) -> bytes:
    """Hand over standard input."""
    return _caught(lambda protocol: protocol.send_command_input(shell, command, data))


def delete(shell: str) -> bytes:
    """Delete a shell."""
    return _caught(lambda protocol: protocol.close_shell(shell))


def shell_of(root: ET.Element) -> str:
    """Return the id of the shell that an answer is about."""
    found = root.find(f".//{SHELL}ShellId")
    assert found is not None
    assert found.text is not None
    return found.text


def command_of(root: ET.Element) -> str:
    """Return the id of the command that an answer is about."""
    found = root.find(f".//{SHELL}CommandId")
    assert found is not None
    assert found.text is not None
    return found.text


def output_of(root: ET.Element) -> str:
    """Return what an answer has of standard output, in base64."""
    return "".join(each.text or "" for each in root.iter(f"{SHELL}Stream") if each.get("Name") == "stdout")
