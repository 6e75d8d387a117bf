"""Fixtures that every room's tests share."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.testbed import SSHD, Sshd

pytest_plugins = ["tests.databases"]

# Else each of the tests' thousand processes compiles this project anew, and each of pytest-xdist's all tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Else what the tests run is recorded among the runs of whoever runs them.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="sshexec-tests-")
    atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

LONGEST = (
    "tests/history/test_crash.py",
    "tests/history/test_outage.py",
    "tests/test_bench.py",
    "tests/demo/test_demo.py",
    "tests/database/test_migration.py",
    "tests/connectors/test_become_hosts.py",
    "tests/test_package.py",
    "tests/web/test_page.py",
    "tests/test_docs.py",
    "tests/connectors/test_ssh_execute.py",
    "tests/oracle/test_callbacks.py",
    "tests/oracle/test_ansible_api.py",
    "tests/oracle/test_inventories.py",
    "tests/oracle/test_copy_tree.py",
    "tests/oracle/test_foreign.py",
    "tests/oracle/test_written_inventories.py",
    "tests/cli/test_run_history.py",
    "tests/cli/test_hosts_import.py",
    "tests/history/test_writers.py",
    "tests/inventory/test_cmdb_adding.py",
    "tests/database/test_sharing.py",
    "tests/runtime/test_everywhere.py",
    "tests/runtime/test_run.py",
    "tests/runtime/test_slots.py",
    "tests/runtime/test_workers.py",
    "tests/runtime/test_progress.py",
    "tests/connectors/test_ssh_vanishing.py",
    "tests/connectors/test_winrm_cancel.py",
    "tests/cli/test_run.py",
    "tests/cli/test_scan.py",
    "tests/test_resume.py",
    "tests/history/test_disk_full.py",
    "tests/test_architecture.py",
    "tests/winrm_server/test_wine.py",
    "tests/winrm_server/test_ansible.py",
)
"""Files that take long, though most hold few tests."""


def pytest_configure(config: pytest.Config) -> None:
    """Have pytest-xdist hand out the files in the order in which they stand."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: at the end, one file would keep one process busy and the others waiting."""

    def place(item: pytest.Item) -> tuple[int, int]:
        file = item.nodeid.partition("::")[0]
        return LONGEST.index(file) if file in LONGEST else len(LONGEST), -sizes[file]

    sizes = Counter(item.nodeid.partition("::")[0] for item in items)
    items.sort(key=place)


@contextlib.contextmanager
def _served(folder: Path, *, profile: bool) -> Iterator[Sshd]:
    if SSHD is None:
        if os.environ.get("SSHEXEC_REQUIRE_SERVICES"):
            pytest.fail("openssh-server is not installed")
        pytest.skip("openssh-server is not installed")
    server = Sshd(folder, profile=profile).start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One real OpenSSH server for the session."""
    with _served(tmp_path_factory.mktemp("sshd"), profile=True) as server:
        yield server


@pytest.fixture(scope="session")
def shells_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One whose login shells read no profile: what shells show takes its place as `sshd`."""
    with _served(tmp_path_factory.mktemp("shells"), profile=False) as server:
        yield server


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("no right to mount a small file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
