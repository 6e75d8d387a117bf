"""Recordings of sessions: to the last byte, at once, and without what is not shown. Attacks 4 and 15."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sshexec.connectors.terminal import Size
from sshexec.terminal.asciicast import CastEvent, data_of
from sshexec.terminal.events import Ended
from sshexec.terminal.recording import RecordingFullError
from sshexec.terminal.recordings import Recordings
from tests.terminal.shells import Shell, session

ROOT = Path(__file__).parent.parent.parent


def recorded(folder: Path, pieces: list[bytes], format: int = 2) -> list[CastEvent]:
    """Return the events of a recording in which a program wrote some pieces."""
    recordings = Recordings(folder / "r", format=format)
    recording = recordings.begin(session())
    recording.opened(session())
    for piece in pieces:
        recording.shown(piece)
    recording.ended(session(ended=Ended("exited", exit_status=3)))
    return [*recordings.events(recording.name)]


def output(events: list[CastEvent]) -> bytes:
    return b"".join(data_of(event.data) for event in events if event.kind == "o")


@pytest.mark.parametrize("format", [2, 3])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.binary(max_size=40) | st.text(max_size=20).map(lambda t: t.encode("utf-8", "surrogatepass"))))
def test_every_byte_comes_back(tmp_path, format, pieces):
    assert output(recorded(tmp_path, pieces, format)) == b"".join(pieces)


def test_a_character_that_was_cut_is_one_and_what_is_none_is_kept(tmp_path):
    whole = "ä漢🙂".encode()
    events = recorded(tmp_path, [bytes([byte]) for byte in whole] + [b"caf\xe9", b"\xff\xed\xa0\x80", b"\xe6\xbc"])
    assert "".join(event.data for event in events[:3]) == "ä漢🙂"
    assert output(events) == whole + b"caf\xe9\xff\xed\xa0\x80\xe6\xbc"


def test_what_another_program_wrote_is_played_all_the_same():
    assert data_of("a\ud800\udcff\udc41\udfffb") == b"a?\xff??b"


def test_every_line_is_json_that_any_reader_takes(tmp_path):
    recorded(tmp_path, [bytes(range(256)), b"\xe2\x80\xa8\x1b]52;c;aGk=\x07"])
    [file] = (tmp_path / "r").glob("*.cast")
    head, *lines = [json.loads(line) for line in file.read_bytes().decode().split("\n") if line]
    assert (head["version"], head["width"], head["height"], head["timestamp"]) == (2, 80, 24, 1_800_000_000)
    assert head["sshexec"] == {"session": "an-id", "host": "web1", "owner": "ann", "started": 1_800_000_000.5}
    assert all(len(each) == 3 for each in lines)


def test_the_third_format_has_times_between_events_sizes_and_the_exit_status(tmp_path):
    recordings = Recordings(tmp_path / "r", format=3)
    recording = recordings.begin(session())
    recording.opened(session(size=Size(100, 30)))
    recording.shown(b"one")
    recording.resized(Size(120, 40))
    recording.ended(session(ended=Ended("exited", exit_status=3)))
    head, *lines = map(json.loads, Path(recordings.folder, f"{recording.name}.cast").read_text().splitlines())
    assert head["term"] == {"cols": 80, "rows": 24}
    assert [each[1:] for each in lines] == [["r", "100x30"], ["o", "one"], ["r", "120x40"], ["x", "3"]]
    assert all(0 <= each[0] < 30 for each in lines)
    times = [event.time for event in recordings.events(recording.name)]
    assert times == sorted(times)
    assert recordings.get(recording.name).columns == 80


def test_files_are_for_their_owner_alone_and_named_by_us(tmp_path):
    os.umask(before := os.umask(0))
    os.umask(0)
    try:
        recordings = Recordings(tmp_path / "deep" / "r")
        recording = recordings.begin(session(host="../../etc/passwd\0\n"))
        recording.opened(session())
        recording.ended(session(ended=Ended("exited")))
    finally:
        os.umask(before)
    assert (tmp_path / "deep" / "r").stat().st_mode & 0o777 == 0o700
    for file in (tmp_path / "deep" / "r").iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
        assert file.name.startswith("20270115T080000.500000Z-_.._etc_passwd__-")


def test_two_of_one_moment_have_two_names(tmp_path):
    recordings = Recordings(tmp_path / "r")
    assert len({recordings.begin(session()).name for _ in range(50)}) == 50


def test_a_session_that_never_opened_leaves_nothing(tmp_path):
    recordings = Recordings(tmp_path / "r")
    recordings.begin(session()).ended(session(ended=Ended("failed")))
    assert os.listdir(recordings.folder) == []


@pytest.mark.parametrize("format", [2, 3])
def test_typed_text_is_there_where_it_was_shown_and_a_password_never(tmp_path, format, caplog):
    recordings = Recordings(tmp_path / "r", input=True, format=format)
    recording = recordings.begin(session())
    shell = Shell(recording)
    shell.keys("echo one")
    shell.type("\r")
    shell.type("read -s -p Pass''word: x; echo\r", "Password:")
    shell.type("canary-one\r")
    shell.type("read -s -p Pass''word: x; echo\r", "Password:")
    for key in "canary-two":
        recording.typed(key.encode(), "ann")
        os.write(shell.descriptor, key.encode())
    shell.type("\x15canary-three\r")
    shell.type("read -s -n 10 -p Pass''word: x\r", "Password:")
    shell.type("canary-fou")
    shell.type("echo lost\r")  # of one line with what was not shown
    shell.type("echo two\r")
    shell.type("stty -echo; echo qu''iet; cat > /dev/null; stty echo\r", "quiet")
    recording.typed(b"canary-five\r", "ann")
    os.write(shell.descriptor, b"canary-five\r")
    shell.type("\x04")
    recording.typed(b"canary-six", "ann")
    shell.end()
    typed = "".join(event.data for event in recordings.events(recording.name) if event.kind == "i")
    assert "echo one\r" in typed
    assert "echo two\r" in typed
    texts = b"".join(file.read_bytes() for file in Path(recordings.folder).iterdir()).decode()
    assert "canary" not in texts
    assert "canary" not in caplog.text + repr(recording) + repr(recordings)


@pytest.mark.parametrize("key", ["\x03", "\x04", "\x15", "\x1a", "\x1c"])
@pytest.mark.parametrize("piece", [1, 100])
def test_a_password_that_is_given_up_is_not_recorded(tmp_path, key, piece):
    recordings = Recordings(tmp_path / "r", input=True)
    recording = recordings.begin(session())
    recording.opened(session())
    recording.shown(b"$ su\r\nPassword: ")
    for start in range(0, 10, piece):
        recording.typed(b"canary-one"[start : start + piece], "ann")
    recording.typed(key.encode(), "ann")
    recording.shown(b"\r\n$ ")
    recording.typed(b"ls", "ann")
    recording.shown(b"ls")
    recording.typed(b"\r", "ann")
    recording.shown(b"\r\n$ ")
    recording.ended(session(ended=Ended("exited", exit_status=0)))
    assert "".join(event.data for event in recordings.events(recording.name) if event.kind == "i") == "ls\r"


def test_without_being_asked_nothing_typed_is_recorded(tmp_path):
    recordings = Recordings(tmp_path / "r")
    recording = recordings.begin(session())
    shell = Shell(recording)
    shell.type("echo one\r")
    shell.end()
    assert {event.kind for event in recordings.events(recording.name)} == {"o"}
    assert [each.text for each in recordings.commands(recording.name)] == ["echo one"]


@pytest.mark.parametrize("full", ["end", "stop"])
def test_it_grows_no_larger_than_it_may(tmp_path, full):
    recordings = Recordings(tmp_path / "r", limit=65536, full=full)
    recording = recordings.begin(session())
    recording.opened(session())
    failed = False
    for _ in range(100):
        try:
            recording.shown(b"\x00" * 1000)
        except RecordingFullError:
            failed = True
            break
    recording.ended(session(ended=Ended("recording")))
    assert failed == (full == "end")
    found = recordings.get(recording.name)
    assert found.bytes <= 65536
    assert (found.state, found.reason) == ("ended", "full")
    assert [event.kind for event in recordings.events(recording.name)][-1] == "m"


def test_one_that_can_not_be_written_fails_and_stays_playable(tmp_path):
    """A full disk, as the limit for files has it."""
    program = f"""
import resource, signal
from sshexec.terminal.recordings import Recordings
from tests.terminal.shells import session
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
recording = Recordings({str(tmp_path / "r")!r}).begin(session())
recording.opened(session())
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    for _ in range(100):
        recording.shown(b"x" * 100)
except OSError as error:
    print("failed", error.strerror)
recording.ended(session())
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "failed File too large" in done.stdout, done.stderr
    recordings = Recordings(tmp_path / "r")
    [found] = recordings.list()
    assert found.bytes <= 5000
    assert output([*recordings.events(found.name)]).count(b"x") % 100 == 0


def test_a_command_that_finds_no_room_in_the_index_is_told_and_spoils_no_other(tmp_path):
    """A full disk, again; what was shown does not fill it as fast as what was typed."""
    program = f"""
import logging, resource, signal
from sshexec.terminal.recordings import Recordings
from tests.terminal.shells import session
logging.basicConfig(format="%(message)s")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
recording = Recordings({str(tmp_path / "r")!r}).begin(session())
recording.opened(session())
for limit in (100, 100, resource.RLIM_INFINITY):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    recording._command("echo " + "x" * 80, "ann")
recording.ended(session())
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stderr.count("commands are missing from its index: ") == 1, done.stderr
    recordings = Recordings(tmp_path / "r")
    [found] = recordings.list()
    assert found.state == "ended"
    assert [each.text for each in recordings.commands(found.name)] == ["echo " + "x" * 80]


def test_a_process_that_is_killed_loses_nothing_that_was_seen(tmp_path):
    program = f"""
import sys, time
from sshexec.terminal.recordings import Recordings
from tests.terminal.shells import session
recording = Recordings({str(tmp_path / "r")!r}).begin(session())
recording.opened(session())
recording.shown(b"all of it")
print("shown", flush=True)
sys.stdin.read()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == b"shown\n"
        recordings = Recordings(tmp_path / "r")
        [running] = recordings.list()
        assert running.state == "running"
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        [found] = recordings.list()
    assert found.state == "broken"
    assert output([*recordings.events(found.name)]) == b"all of it"
    with Path(recordings.folder, f"{found.name}.cast").open("ab") as file:
        file.write(b'[1.5,"o","half of a li')
    assert output([*recordings.events(found.name)]) == b"all of it"


def test_it_is_open_to_one_writer_only_and_closed_without_an_end(tmp_path):
    recordings = Recordings(tmp_path / "r")
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        recordings.begin(session())
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_resize_before_it_opens_is_part_of_it(tmp_path):
    recordings = Recordings(tmp_path / "r")
    recording = recordings.begin(session())
    recording.resized(Size(90, 20))
    recording.opened(session(size=Size(90, 20)))
    recording.shown(b"x")
    recording.ended(replace(session(), ended=Ended("exited")))
    assert next(event.data for event in recordings.events(recording.name)) == "90x20"
