"""A folder of recordings: finding, reading and letting go; attack 4."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sshexec.errors import ArgumentError, InputError, NoSuchSessionError, TerminalError
from sshexec.terminal.events import Ended
from sshexec.terminal.recordings import Recordings
from tests.terminal.shells import session


def record(recordings: Recordings, host: str = "web1", *commands: str, started: float = 0.0) -> str:
    """Return the name of a recording in which some commands were typed."""
    info = session(host, started=started or time.time())
    recording = recordings.begin(info)
    recording.opened(info)
    for command in commands:
        recording.shown(b"$ ")
        recording.typed(f"{command}\r".encode(), "ann")
        recording.shown(f"{command}\r\n".encode())
    recording.ended(session(host, ended=Ended("exited", exit_status=0)))
    return recording.name


@pytest.fixture
def recordings(tmp_path: Path) -> Recordings:
    return Recordings(tmp_path / "r")


def test_they_are_listed_the_latest_first(recordings):
    names = [record(recordings, host, started=1e9 + n) for n, host in enumerate(("web1", "web2", "web1"))]
    assert [each.name for each in recordings.list()] == names[::-1]
    assert [each.name for each in recordings.list(host="web1", limit=1)] == [names[2]]
    assert recordings.list(owner="bob") == []
    found = recordings.get(names[0])
    assert (found.host, found.owner, found.session, found.started) == ("web1", "ann", "an-id", 1e9)
    assert (found.state, found.reason, found.exit_status, found.format) == ("ended", "exited", 0, 2)
    assert found.to_dict()["rows"] == 24


def test_they_are_found_by_what_was_typed(recordings):
    first = record(recordings, "web1", "systemctl restart nginx", "ls", started=1e9)
    record(recordings, "web2", "uptime")
    [(found, commands)] = recordings.search("RESTART")
    assert found.name == first
    assert [(each.text, each.user) for each in commands] == [("systemctl restart nginx", "ann")]
    assert [each.text for each in recordings.commands(first)] == ["systemctl restart nginx", "ls"]
    assert recordings.search("nothing of it") == []
    with pytest.raises(ArgumentError, match="part of a command"):
        recordings.search("")


def test_those_of_one_second_are_in_the_order_in_which_they_began(recordings):
    began = [recordings.begin(session(started=1_800_000_000 + moment / 100)) for moment in range(8)]
    for recording in began:
        recording.opened(session())
        recording.ended(session(ended=Ended("exited")))
    assert [each.name for each in recordings.list()] == [recording.name for recording in reversed(began)]


NAMES = [
    *("../../etc/passwd", "/etc/passwd", "..", ".", "", "x" * 5000, "a\0b", "link", "link.cast", "x.cast"),
    *("20261128T033000.000000Z-web1-0123456789abcdef", "20261128T033000.000000Z-../x-0123456789abcdef"),
    *("20261128T033000.000000Z-web1-0123456789abcdef\n", "20261128T033000.000000Z-web1-0123456789abcdef/../x"),
    *(None, 7, b"x"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_none_of_ours_opens_nothing(recordings, name):
    for call in (recordings.get, recordings.open, recordings.commands, recordings.remove):
        with pytest.raises(NoSuchSessionError, match="no such recording"):
            call(name)
    with pytest.raises(NoSuchSessionError):
        next(recordings.events(name))


def test_links_devices_and_strangers_files_are_no_recordings(recordings, tmp_path):
    good = record(recordings)
    folder = Path(recordings.folder)
    base = "20261128T033000.000000Z-web1-0123456789abcde"
    (folder / f"{base}0.cast").symlink_to(folder / f"{good}.cast")
    os.mkfifo(folder / f"{base}1.cast")
    (folder / f"{base}2.cast").mkdir()
    (folder / f"{base}3.cast").write_text("no header\n")
    (folder / f"{base}4.cast").write_text("[" * 100_000 + "\n")
    (folder / f"{base}5.cast").write_text('{"version": 2, "sshexec": 7}\n')
    (folder / f"{base}6.cast").write_text(
        '{"version": 2, "width": "x", "sshexec": {"host": [], "started": "x"}}\n[1]\n'
    )
    (folder / f"{base}6.jsonl").write_text('nonsense\n{"command": 7}\n{"command": {"text": 7}}\n{"ended": 7}\n')
    (folder / "other.cast").write_text("{}\n")
    (folder / f"{good}.cast~").write_text("{}\n")
    assert [each.name for each in recordings.list()] == sorted([good, f"{base}6"], reverse=True)
    for number in range(6):
        with pytest.raises(NoSuchSessionError):
            recordings.get(f"{base}{number}")
    assert recordings.commands(f"{base}6") == []
    assert [*recordings.events(f"{base}6")] == []


def test_a_link_does_not_get_what_is_written_of_commands(recordings, tmp_path):
    info = session()
    recording = recordings.begin(info)
    victim = tmp_path / "victim"
    victim.write_text("")
    Path(recordings.folder, f"{recording.name}.jsonl").symlink_to(victim)
    recording.opened(info)
    recording.ended(session(ended=Ended("exited")))
    assert victim.read_text() == ""


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o777])
def test_a_folder_that_others_may_look_into_is_refused(tmp_path, mode):
    (tmp_path / "r").mkdir()
    (tmp_path / "r").chmod(mode)
    with pytest.raises(InputError, match="chmod 700"):
        Recordings(tmp_path / "r")


def test_a_folder_has_to_be_one_of_our_own(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "real").mkdir(0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for path in ("file", "link", "file/below", "n\0ul"):
        with pytest.raises(InputError, match="can't be used"):
            Recordings(tmp_path / path)
    if os.geteuid() == 0:
        os.chown(tmp_path / "real", 12345, 12345)
        with pytest.raises(InputError, match="somebody else"):
            Recordings(tmp_path / "real")


def test_what_can_not_be_recorded_is_said_before_the_session_begins(recordings):
    Path(recordings.folder).rmdir()
    with pytest.raises(TerminalError, match="can't be recorded"):
        recordings.begin(session())


@pytest.mark.parametrize(
    "wrong", [{"format": 1}, {"format": True}, {"input": 1}, {"limit": 10}, {"limit": True}, {"full": "x"}]
)
def test_wrong_arguments_are_told(tmp_path, wrong):
    with pytest.raises(ArgumentError, match=next(iter(wrong))):
        Recordings(tmp_path / "r", **wrong)
    assert not (tmp_path / "r").exists()


def test_old_and_large_ones_go_and_what_is_written_stays(recordings):
    now = time.time()
    old = record(recordings, "old", started=now - 10 * 86400)
    middle = record(recordings, "middle", "ls", started=now - 5 * 86400)
    running = recordings.begin(session("run", started=now - 20 * 86400))
    new = record(recordings, "new", started=now)
    dry = recordings.prune(keep_days=7, dry=True)
    assert (dry.names, dry.kept) == ((old,), 3)
    assert recordings.prune(keep_days=7).names == (old,)
    assert [each.name for each in recordings.list()] == [new, middle, running.name]
    with pytest.raises(InputError, match="still written"):
        recordings.remove(running.name)
    pruned = recordings.prune(keep_bytes=recordings.get(new).bytes + 200)
    assert (pruned.names, pruned.kept, pruned.problems) == ((middle,), 2, ())
    assert pruned.bytes > 0
    running.ended(session())
    recordings.remove(new)
    assert os.listdir(recordings.folder) == []
    assert recordings.prune(keep_days=0).names == ()
    for wrong in ({"keep_days": -1}, {"keep_bytes": "x"}, {"keep_days": float("nan")}):
        with pytest.raises(ArgumentError, match="expected a number"):
            recordings.prune(**wrong)
