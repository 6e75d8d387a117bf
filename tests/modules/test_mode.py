"""Permission bits, compared with chmod itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sshexec.modules.mode import Mode


@pytest.mark.parametrize("value", ["644", "0644", "0o644", 0o644])
def test_octal(value: object) -> None:
    assert Mode(value).bits(0) == 0o644


@pytest.mark.parametrize("wish", [
    "u=rw,g=r,o=", "+x", "-w", "=r", "a+X", "go-rwx", "u+s", "g+s,o-r", "+t", "u=g", "g+u", "o=u-w",
    "o+t", "u+rwX,go-w", "ug+x-w",
])  # fmt: skip
@pytest.mark.parametrize("current", [0o644, 0o711, 0o4755, 0o000, 0o1777])
@pytest.mark.parametrize("directory", [False, True])
def test_symbolic_does_as_chmod(tmp_path: Path, wish: str, current: int, directory: bool) -> None:
    path = tmp_path / "x"
    if directory:
        path.mkdir()
    else:
        path.touch()
    path.chmod(current)
    subprocess.run(["chmod", "--", wish, str(path)], check=False, umask=0o027, capture_output=True)
    expected = path.stat().st_mode & 0o7777
    path.chmod(0o700)
    assert f"{Mode(wish).bits(current, 0o027, directory=directory):o}" == f"{expected:o}"


@pytest.mark.parametrize("value", ["", "rwx", "u", "u=q", "888", "u+r,", True, None, 1.5, -1, 0o10000, "77777"])
def test_wrong(value: object) -> None:
    with pytest.raises(ValueError, match="octal or symbolic"):
        Mode(value)
