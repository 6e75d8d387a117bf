"""What is sent to a host: a file that has become something else meanwhile keeps nobody waiting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sshexec.connectors.source import opened
from sshexec.errors import TransferError


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TransferError, match="pipe: not a regular file"), opened(tmp_path / "pipe"):
        pass


def test_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    with opened(tmp_path / "f") as file:
        assert file.read() == b"x"
