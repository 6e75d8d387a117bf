"""Standard error and output that are closed, full, or not for waiting on."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.command import PATIENCE, SSHEXEC, environment

ONE_HOST = ("-i", "h1,", "-c", "local")


def shell(redirection: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run the command with a shell's redirection behind it."""
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *SSHEXEC, *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment(),
    )


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
@pytest.mark.parametrize("options", [(), ("-v",)])
def test_a_run_needs_no_standard_error(redirection: str, options: tuple[str, ...]) -> None:
    done = shell(redirection, "run", "all", *ONE_HOST, "-a", "echo hi", "--json", *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["hosts"]["h1"]["result"]["stdout"] == "hi"


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_bad_input_keeps_its_exit_code_without_standard_error(redirection: str) -> None:
    done = shell(redirection, "run", "all", *ONE_HOST, "-m", "nosuch")
    assert (done.returncode, done.stdout, done.stderr) == (5, "", "")


def test_closed_standard_output_is_one_line() -> None:
    done = shell(">&-", "run", "all", *ONE_HOST, "-a", "echo hi", "-q")
    assert (done.returncode, done.stderr) == (1, "sshexec: error: standard output: Bad file descriptor\n")


def test_standard_output_may_be_non_blocking() -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETFL, fcntl.fcntl(writer, fcntl.F_GETFL) | os.O_NONBLOCK)
    code = f"{sys.executable} -c 'print(\"x\" * 1_000_000)'"
    with subprocess.Popen(
        [*SSHEXEC, "run", "all", *ONE_HOST, "-m", "shell", "-a", code, "-q"],
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        os.close(writer)
        time.sleep(0.5)  # the pipe is full by now
        with os.fdopen(reader, "rb") as pipe:
            text = pipe.read()
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == 0
    assert text.count(b"x") == 1_000_000


def test_closed_descriptors_are_not_taken_by_files_of_ours(tmp_path: Path) -> None:
    # The inventory is the first file that is opened: as descriptor 2 it would get the summary.
    inventory = tmp_path / "hosts.ini"
    inventory.write_text("h1 ansible_connection=local\n")
    done = shell("<&- >&- 2>&-", "run", "all", "-i", str(inventory), "-a", "true")
    assert done.returncode == 1
    assert inventory.read_text() == "h1 ansible_connection=local\n"


@pytest.mark.parametrize("library", ["sqlalchemy.pool.impl.QueuePool", "psycopg", "alembic.runtime"])
def test_what_a_databases_libraries_log_stays_away_from_it(library: str) -> None:
    program = (
        "import logging\nfrom sshexec.cli.main import run\nrun(['--version'])\n"
        f"logging.getLogger({library!r}).error('Exception during reset', exc_info=ValueError('traceback'))\n"
        "logging.getLogger('sshexec.history').warning('kept in a journal')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, check=True, env=environment()
    )
    assert done.stderr == "sshexec: warning: kept in a journal\n"
