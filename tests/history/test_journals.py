from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from sshexec.history.journals import Journals
from sshexec.journal import line

HOLDER = """
import sys
from sshexec.history.journals import Journals
from sshexec.journal import Marks, line
if sys.argv[3] == "worker":
    marks = Marks(f"{sys.argv[1]}/{sys.argv[2]}/records")
else:
    journal = Journals(sys.argv[1]).create(sys.argv[2], line("opening", "{}"))
print("ready", flush=True)
sys.stdin.read()
"""

OPENING = line("opening", "{}")


@pytest.fixture
def journals(tmp_path: Path) -> Journals:
    return Journals(str(tmp_path / "journals"))


@pytest.fixture
def run() -> str:
    return uuid.uuid4().hex


def holder(journals: Journals, run: str, what: str) -> subprocess.Popen[str]:
    """Another process that has a journal."""
    command = [sys.executable, "-c", HOLDER, journals.folder, run, what]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate(timeout=30)


def test_nobody_else_reads_a_journal(journals, run):
    journal = journals.create(run, OPENING)
    modes = {path: stat.S_IMODE(os.stat(path).st_mode) for path in (journals.folder, journal.folder, journal.path)}
    assert list(modes.values()) == [0o700, 0o700, 0o600]
    assert stat.S_IMODE(os.stat(os.path.join(journal.folder, "lock")).st_mode) == 0o600


def test_this_process_does_not_take_what_it_writes(journals, run):
    journal = journals.create(run, OPENING)
    assert journals.alive(run)
    assert journals.take(run) is None
    assert Journals(journals.folder).take(run) is None
    journal.append(line("end", "{}"))  # still locked, and still writable
    journal.release()
    assert not journals.alive(run)
    taken = journals.take(run)
    assert taken is not None
    assert [*taken.reader().read(1000)] == [{"opening": {}}, {"end": {}}]
    taken.remove()
    assert journals.all() == []
    assert journals.take(run) is None


def test_a_journal_is_free_when_its_process_is_gone(journals, run):
    process = holder(journals, run, "runner")
    assert journals.alive(run)
    assert journals.take(run) is None
    assert journals.waiting() == []
    end(process)
    assert not journals.alive(run)
    assert journals.waiting() == [run]
    assert journals.take(run) is not None
    assert journals.take(run) is None


def test_a_worker_that_outlives_its_parent_keeps_the_journal_for_a_while(journals, run):
    journals.create(run, OPENING).release()
    worker = holder(journals, run, "worker")
    assert journals.take(run) is None
    assert journals.alive(run)
    end(worker)
    assert journals.take(run) is not None


def test_a_forked_child_holds_no_lock_and_disturbs_none(journals, run):
    journal = journals.create(run, OPENING)
    child = os.fork()
    if child == 0:
        # What it inherits is closed, and the lock stays its parent's.
        taken = journals.take(run)
        journal.release()
        os._exit(0 if taken is None and journals.alive(run) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    other = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from sshexec.history.journals import Journals\n"
            "print(Journals(sys.argv[1]).alive(sys.argv[2]))",
            journals.folder,
            run,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert other.stdout == "True\n"


def test_what_is_being_made_is_no_journal_yet(journals, run):
    journals.create(run, OPENING)
    half = Path(journals.folder) / ".new-abc"
    half.mkdir()
    (half / "lock").touch()
    (Path(journals.folder) / "notes.txt").touch()
    assert journals.all() == [run]
    assert journals.waiting() == []
    assert half.exists()
    old = time.time() - 7200
    os.utime(half, (old, old))
    journals.waiting()
    assert not half.exists()


def test_nothing_is_left_of_a_journal_that_can_not_be_made(journals, run, tmp_path):
    with pytest.raises(FileNotFoundError):
        Journals(str(tmp_path / "missing" / "journals")).create(run, OPENING)
    journals.create(run, OPENING)
    with pytest.raises(OSError, match=r"not empty|exists"):
        journals.create(run, OPENING)
    assert os.listdir(journals.folder) == [run]
    assert journals.alive(run)
