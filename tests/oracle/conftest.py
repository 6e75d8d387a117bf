"""Fixtures of the comparison with real Ansible, and its figure at the end of the session."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.oracle.oracle import Ansible, Oracle
from tests.testbed import SSHD, Sshd, lacking

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("SSHEXEC_ORACLE_PYTHON") or str(ROOT / ".venv-oracle" / "bin" / "python")
"""Interpreter with ansible-core 2.19.14; `make oracle` makes it."""


@pytest.fixture(scope="session")
def oracle_python() -> str:
    """The interpreter that has real Ansible."""
    if not Path(PYTHON).exists():
        if os.environ.get("SSHEXEC_REQUIRE_SERVICES"):
            pytest.fail(f"not there: {PYTHON} (make oracle)")
        pytest.skip(f"not there: {PYTHON} (make oracle)")
    return PYTHON


@pytest.fixture(scope="session")
def oracle(oracle_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    """Real Ansible and ours beside each other, with a login user of this machine that may become root."""
    if os.geteuid() != 0:
        pytest.skip("only root can make the user that both log in as")
    for program in ("sudo", "useradd"):
        if shutil.which(program) is None:
            lacking(program)
    if SSHD is None:
        lacking("openssh-server")
    sshd = Sshd(tmp_path_factory.mktemp("oracle"), config="AuthorizedKeysFile .ssh/authorized_keys").start()
    folder = Path(tempfile.mkdtemp(prefix="so", dir="/tmp"))
    folder.chmod(0o755)
    user = f"so{os.getpid() % 10**6}"
    rules = Path(f"/etc/sudoers.d/{user}")
    _locking("useradd", "-m", "-s", "/bin/sh", "-p", "*", user)
    try:
        keys = Path("/home", user, ".ssh")
        keys.mkdir(mode=0o700)
        shutil.copy(sshd.authorized_keys, keys / "authorized_keys")
        for path in (keys, keys / "authorized_keys"):
            shutil.chown(path, user, user)
        rules.touch(0o440)
        rules.write_text(f"{user} ALL=(ALL) NOPASSWD: ALL\n")
        made = Oracle(Ansible(oracle_python, folder), sshd, user, folder)
        yield made
        made.close()
    finally:
        rules.unlink(missing_ok=True)
        sshd.stop()
        _locking("userdel", "-rf", user)


def _locking(*command: str) -> None:
    """Run a command that needs the lock of the machine's users, which another process of the tests may hold."""
    for _ in range(50):
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if "lock" not in done.stderr:
            break
        time.sleep(0.2)
    assert done.returncode in (0, 12), done.stderr  # 12: no mail spool to remove


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how many answers agree."""
    counted: dict[str, int] = {}
    for report in terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", []):
        for name, value in report.user_properties:
            if name == "oracle" and report.when == "call":
                counted[value] = counted.get(value, 0) + 1
    total = sum(counted.values())
    if total:
        agreed = counted.get("agrees", 0)
        terminalreporter.write_line(
            f"oracle: {agreed} of {total} answers agree with ansible-core ({100 * agreed / total:.1f} %); {counted}"
        )
