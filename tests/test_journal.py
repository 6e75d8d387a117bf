from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from sshexec.journal import Marks, Reader, append, line


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "records"
    path.touch(mode=0o600)
    return path


def test_what_is_appended_is_read_once(path):
    reader = Reader(str(path))
    assert reader.read(1000) == []
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    append(descriptor, line("end", '{"state":"finished"}'))
    assert reader.read(1000) == [{"end": {"state": "finished"}}]
    assert reader.read(1000) == []
    append(descriptor, line("result", '{"host":"a"}'))
    assert reader.read(1000) == [{"result": {"host": "a"}}]


def test_marks_are_lines_of_any_name(path):
    marks = Marks(str(path))
    for host in ("web1", 'a"b\n\\', "ü\ud800"):
        assert marks.mark(host)
    marks.close()
    assert not marks.mark("late")
    assert [found["start"] for found in Reader(str(path)).read(10_000)] == ["web1", 'a"b\n\\', "ü\ud800"]


def test_a_journal_that_is_gone_marks_nothing_and_stops_nobody(path):
    path.unlink()
    assert not Marks(str(path)).mark("web1")
    assert not path.exists()
    assert not Marks(None).mark("web1")


def test_a_torn_line_spoils_only_itself(path):
    whole = line("result", '{"host":"a"}')
    with open(path, "ab") as file:
        file.write(whole + whole[:-9] + whole + b"\0\0\0" + whole + b"\n[]\n")
    assert Reader(str(path)).read(10_000) == [{"result": {"host": "a"}}] * 3


def test_a_line_in_the_making_is_read_when_it_is_whole(path):
    reader = Reader(str(path))
    data = line("result", '{"host":"a"}')
    with open(path, "ab", buffering=0) as file:
        for at in range(len(data) - 1):
            file.write(data[at : at + 1])
            assert reader.read(1000) == []
        file.write(data[-1:])
        assert reader.read(1000) == [{"result": {"host": "a"}}]


def test_a_line_that_is_longer_than_what_is_read_at_once(path):
    big = json.dumps({"host": "a", "stdout": "x" * 10_000})
    with open(path, "ab") as file:
        file.write(line("result", big) + line("end", "{}"))
    reader = Reader(str(path))
    found = []
    while lines := reader.read(100):
        found += lines
    assert found == [{"result": json.loads(big)}, {"end": {}}]


def test_a_write_that_does_not_fit_is_an_error_and_can_be_repeated(path):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    data = line("result", '{"host":"a"}')
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(data) + 9, limit[1]))
    try:
        append(descriptor, data)
        with pytest.raises(OSError, match="No space"):
            append(descriptor, data)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    append(descriptor, data)
    assert Reader(str(path)).read(1000) == [{"result": {"host": "a"}}] * 2


WRITER = """
import os, sys
from sshexec.journal import append, line
descriptor = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
for n in range(500):
    append(descriptor, line("result", '{"host":"%s-%d","stdout":"%s"}' % (sys.argv[2], n, "x" * n)))
"""


def test_lines_of_several_processes_do_not_mix(path):
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(n)]) for n in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    found = [each["result"]["host"] for each in Reader(str(path)).read(10**8)]
    assert sorted(found) == sorted(f"{n}-{each}" for n in range(3) for each in range(500))
