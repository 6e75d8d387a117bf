"""`sshexec recordings`: listed, found, played, let go of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sshexec.cli.recordings_play import Quiet
from sshexec.terminal.events import Ended
from sshexec.terminal.recordings import Recordings
from tests.cli.command import Terminal, sshexec
from tests.terminal.shells import session
from tests.terminal.test_recordings import record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "r"


def test_they_are_listed_found_and_let_go_of(folder):
    recordings = Recordings(folder)
    old = record(recordings, "web1", "systemctl restart nginx", started=1e9)
    new = record(recordings, "web\x1b]0;x\x07", "uptime")
    done = sshexec("recordings", "list", "--dir", folder)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", new, old]
    assert "\x1b" not in done.stdout
    found = json.loads(sshexec("recordings", "search", "RESTART", "--dir", folder, "--json").stdout)
    assert [each["name"] for each in found["recordings"]] == [old]
    done = sshexec("recordings", "prune", "--dir", folder, "--keep-days", 30)
    assert done.stdout.startswith("1 recording (")
    assert [each.name for each in recordings.list()] == [new]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "--dir", "nowhere"], "there is no folder"),
        (["play", "x", "--dir", "/tmp"], "chmod 700"),
        (["prune"], "say what to keep"),
        (["play"], "Missing argument"),
        (["play", "x", "--speed", "0"], "--speed"),
        (["play", "x", "--speed", "nan"], "expected a number from 0.01 to 1000, got 'nan'"),
        (["prune", "--keep-days", "nan"], "expected a number, 0 or more, got 'nan'"),
    ],
)
def test_bad_input_is_one_line(words, said, tmp_path):
    done = sshexec("recordings", *words, cwd=tmp_path, env={"XDG_STATE_HOME": str(tmp_path)})
    assert done.returncode == 5
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_into_a_file_every_byte_is_played(folder, tmp_path):
    recordings = Recordings(folder)
    recording = recordings.begin(session())
    recording.opened(session())
    recording.shown(b"caf\xe9\x1b]0;title\x07\r\n")
    recording.ended(session(ended=Ended("exited")))
    out = tmp_path / "out"
    with out.open("wb") as file:
        import subprocess
        import sys

        command = [sys.executable, "-m", "sshexec", "recordings", "play", "last", "--dir", str(folder)]
        subprocess.run(command, stdout=file, check=True, timeout=60)
    assert out.read_bytes() == b"caf\xe9\x1b]0;title\x07\r\n"


def test_on_a_terminal_it_can_be_ended_and_leaves_it_as_it_was(folder):
    recordings = Recordings(folder)
    recording = recordings.begin(session())
    recording.opened(session())
    recording.shown(b"first\x1b]0;title\x07\x1b[6n\x1b[?1049h")
    recording.ended(session(ended=Ended("exited")))
    with Path(folder, f"{recording.name}.cast").open("a") as file:
        file.write('[3000.0,"o","late"]\n')
    terminal = Terminal("recordings", "play", recording.name[:15], "--dir", folder)
    terminal.until("first")
    terminal.type("q")
    assert terminal.end() == 0
    assert "late" not in terminal.seen
    assert "title" not in terminal.seen
    assert "\x1b[6n" not in terminal.seen
    assert terminal.seen.index("\x1b[?1049l") < terminal.seen.index("end of ")
    quick = Terminal("recordings", "play", "last", "--dir", folder, "--idle-limit", "0")
    assert quick.end() == 0
    assert "late" in quick.seen


def test_what_has_no_pauses_can_be_ended_too(folder):
    recordings = Recordings(folder)
    recording = recordings.begin(session())
    recording.opened(session())
    recording.shown(b"first")
    recording.ended(session(ended=Ended("exited")))
    with Path(folder, f"{recording.name}.cast").open("a") as file:
        file.write('[1.0,"o","more"]\n' * 500_000)
        file.write('[1.0,"o","last"]\n')
    terminal = Terminal("recordings", "play", "last", "--dir", folder, "--idle-limit", "0")
    terminal.until("more")
    terminal.type("qq")
    assert terminal.end() == 0
    assert "last" not in terminal.seen


@pytest.mark.parametrize(
    ("pieces", "left"),
    [
        ([b"a\x1b]52;c;aGk=\x07b"], b"ab"),
        ([b"a\x1b]52;c;a", b"Gk=\x1b", b"\\b"], b"ab"),
        ([b"a\x1b[2", b"1tb\x1b[c\x1b[>c\x1b[5n\x1b[5i\x1b[?25h"], b"ab\x1b[?25h"),
        ([b"\x1bP$qm\x1b\\x\x1b[31mred"], b"x\x1b[31mred"),
        ([b"\x1b", b"[31mred"], b"\x1b[31mred"),
        ([b"a\xc2\x9d52;c;aGk=\xc2\x9cb\xc2", b"\x9b21tc\xc2\xa0"], b"abc\xc2\xa0"),
        ([b"a\x1b[>4;2mb\x1b[>1uc\x1b[?ud\x1b[u\x1b[38:5:1m"], b"abcd\x1b[u\x1b[38:5:1m"),
        ([b"\x1b]8;;file:///etc/passwd\x1b\\click\x1b]8;;\x1b\\"], b"click"),
    ],
)
def test_what_outlives_the_playing_is_left_out(pieces, left):
    quiet = Quiet()
    assert b"".join(quiet.feed(piece) for piece in pieces) == left


@pytest.mark.parametrize("end", [b"\x07", b"\x1b\\", b"\xc2\x9c", b"\x18"])
@pytest.mark.parametrize("size", [1, 2, 7, 5000])
def test_of_a_string_however_long_nothing_is_shown_and_it_costs_little(end, size):
    whole = b"a\x1b]0;" + b"x" * 3000 + end + b"b\x1b[" + b"0" * 3000 + b"21tc\x1bP" + b"y" * 900 + b"\x1b[31md"
    quiet = Quiet()
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert b"".join(map(quiet.feed, pieces)) == b"abc\x1b[31md"
    assert quiet.feed(b"\x1b]" + b"z" * 1000) == b""
    assert len(quiet._rest) < 2
