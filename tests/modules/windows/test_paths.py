"""Paths that hold a line end since somebody wrote ``C:\\new``: bad input, before anything is contacted."""

from __future__ import annotations

import pytest

from sshexec.connectors.base import Capability
from sshexec.errors import ArgumentError
from sshexec.modules.registry import module_on


@pytest.mark.parametrize(
    ("module", "text", "name"),
    [
        ("win_file", r"path=C:\new state=absent", "path"),
        ("win_stat", r"path=C:\Temp\test", "path"),
        ("slurp", r"src=C:\bin", "src"),
        ("fetch", r"src=C:\Temp\notes dest=got", "src"),
        ("win_copy", r"src=a.txt dest=C:\nodir\a.txt", "dest"),
        ("win_copy", r"src=C:\new dest=C:/a remote_src=yes", "src"),
        ("win_command", r"whoami creates=C:\Temp\new.txt", "creates"),
        ("win_shell", r"whoami removes=C:\Temp\new.txt", "removes"),
        ("win_shell", r"whoami chdir=C:\Temp\new", "chdir"),
        ("script", r"a.ps1 creates=C:\Temp\new.txt", "creates"),
        ("setup", r"fact_path=C:\facts", "fact_path"),
    ],
)
def test_a_backslash_that_was_read_as_an_escape(module: str, text: str, name: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        module_on(module, Capability.WINDOWS).from_args(text)
    message = caught.value.message
    assert message.startswith(f"{module}: no path of Windows holds a control character, as {name} does: 'C:")
    assert "\n" not in message
    assert message.endswith(r"write / or \\ for \, or give a JSON object")


def test_a_local_path_may_hold_anything() -> None:
    module_on("win_copy", Capability.WINDOWS).from_args({"src": "a\nb", "dest": "C:\\a"})
