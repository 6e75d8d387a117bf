"""Dynamic inventories: real programs."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sshexec.errors import InventoryError
from sshexec.inventory import script
from sshexec.inventory.model import Inventory
from tests.inventory.conftest import Write

Program = tuple[str, str]


def program(write: Write, body: str, name: str = "inventory.sh") -> Path:
    path = write(name, f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def refused(path: Path) -> str:
    with pytest.raises(InventoryError) as caught:
        Inventory.load(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_listing_with_meta_is_asked_for_once(write: Write) -> None:
    path = program(
        write,
        """echo "$@" >> asked
        echo '{"web": {"hosts": ["w1", "w2"], "vars": {"v": 1}, "children": ["sub"]}, "sub": ["s1"],
               "_meta": {"hostvars": {"w1": {"a": 1}, "unlisted": {"a": 2}}}}'""",
    )
    inventory = Inventory.load(path)
    assert inventory.to_ansible() == {
        "_meta": {"hostvars": {"w1": {"v": 1, "a": 1}, "w2": {"v": 1}, "s1": {"v": 1}}},
        "all": {"children": ["ungrouped", "web"]},
        "web": {"hosts": ["w1", "w2"], "children": ["sub"]},
        "sub": {"hosts": ["s1"]},
    }
    assert Path("asked").read_text() == "--list\n"
    assert inventory.origins("w1")["v"] == "inventory.sh group web"
    assert inventory.origins("w1")["a"] == "inventory.sh host w1"
    assert inventory.variables("w1")["inventory_file"] == str(path.absolute())


def test_without_meta_each_host_is_asked_for(write: Write) -> None:
    path = program(
        write,
        """case "$1" in
        --list) echo '{"web": ["w1", "w; touch pwned"], "solo": {"x": 1}}';;
        --host) test "$2" = w1 && echo '{"a": 1}'; exit 0;;
        esac""",
    )
    inventory = Inventory.load(path)
    assert inventory.variables("w1")["a"] == 1
    assert "a" not in inventory.variables("w; touch pwned")
    assert inventory.variables("solo")["x"] == 1
    assert not Path("pwned").exists()


def test_variable_files_lie_next_to_a_script(write: Write) -> None:
    write("inv/group_vars/web.yml", "v: file\n")
    path = program(write, """echo '{"web": {"hosts": ["w"], "vars": {"v": 1}}, "_meta": {}}'""", "inv/list")
    assert Inventory.load(path).variables("w")["v"] == "file"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo no cloud >&2; echo today >&2; exit 3", "ended with exit code 3 on --list: no cloud today"),
        ("kill -9 $$", "was killed by SIGKILL on --list"),
        ("echo hello", "its answer to --list is not JSON"),
        ("""head -c 10000 /dev/zero | tr '\\0' '['""", "its answer to --list is nested too deeply"),
        ("true", "its answer to --list is empty"),
        ("echo '[1]'", "must be an object of groups, not list"),
        ("echo '{\"web\": 5}'", "group 'web' must be an object or a list, not int"),
        ('echo \'{"web": {"hosts": {}, "vars": 5}}\'', "'vars' of group 'web' must be an object"),
        ('echo \'{"web": {"hosts": "a"}}\'', "'hosts' of group 'web' must be a list"),
        ('echo \'{"web": [5], "_meta": {}}\'', "the host name 5 is not text"),
        ('echo \'{"web": ["h"], "_meta": []}\'', "'_meta' must be an object"),
        ('echo \'{"web": ["h"], "_meta": {"hostvars": {"h": 1}}}\'', "the variables of host 'h' must be"),
        ('test $1 = --list && echo \'{"web": ["h"]}\' || exit 7', "ended with exit code 7 on --host h"),
        ("printf '\\033[31mred\\033[0m' >&2; exit 1", "?[31mred?[0m"),
    ],
)
def test_a_failing_script_tells_why(write: Write, body: str, message: str) -> None:
    said = refused(program(write, body))
    assert said.startswith("inventory.sh: ")
    assert message in said


def test_a_missing_interpreter_is_named(write: Write) -> None:
    path = write("inventory.sh", "#!/nonexistent/python\n")
    path.chmod(0o755)
    assert refused(path).startswith("inventory.sh: can't be run: ")


def test_what_a_script_says_is_bounded(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "MAX_BYTES", 100_000)
    assert "printed more than" in refused(program(write, "exec yes"))
    said = refused(program(write, "yes | head -c 300000 >&2; echo end >&2; exit 1"))
    assert len(said) < 700
    assert said.endswith("y y end")


@pytest.mark.parametrize(
    "body", ["echo busy >&2; sleep 60", "sleep 60 & echo $! > child; exit 0", "exec >&- 2>&-; sleep 60"]
)
def test_a_script_that_never_ends_is_killed_with_its_children(
    write: Write, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    monkeypatch.setattr(script, "TIMEOUT", 0.5)
    said = refused(program(write, body))
    assert "within 0 s" in said or "within 1 s" in said
    if Path("child").exists():
        child = int(Path("child").read_text())
        for _ in range(500):
            if not _alive(child):
                break
            time.sleep(0.01)
        assert not _alive(child)


def test_a_background_child_keeps_nobody_waiting(write: Write) -> None:
    body = """echo '{"web": ["w1"], "_meta": {}}'; sleep 600 & exit 0"""
    assert list(Inventory.load(str(program(write, body))).hosts) == ["w1"]


@pytest.mark.parametrize(
    "listing", ['{"web": [["w1"]]}', '{"web": {"hosts": [{"a": 1}]}}', '{"web": {"children": [[]]}}', '{"web": [null]}']
)
def test_names_that_are_no_text_are_refused(write: Write, listing: str) -> None:
    assert "is not text" in refused(program(write, f"echo '{listing}'"))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_binary_with_the_executable_bit_is_run(write: Write) -> None:
    write("x", "")
    Path("python").symlink_to(sys.executable)
    assert refused(Path("python")).startswith("python: ended with exit code 2 on --list: ")


def test_a_script_runs_as_well_under_gevent(write: Write) -> None:
    path = program(write, """sleep 0.1; echo '{"web": ["w1"], "_meta": {}}'""")
    code = (
        "from gevent import monkey; monkey.patch_all(); from sshexec.inventory.model import Inventory; "
        f"print(*Inventory.load({str(path)!r}).hosts)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["w1"]


def test_an_interrupt_that_comes_while_the_script_begins_leaves_it_not_behind(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = subprocess.Popen.__init__

    def interrupted(process: subprocess.Popen[bytes], *args: object, **more: object) -> None:
        begin(process, *args, **more)  # type: ignore[call-overload]
        limit = time.monotonic() + 20
        while not (tmp_path / "pid").exists() and time.monotonic() < limit:
            time.sleep(0.01)
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "__init__", interrupted)
    path = program(write, f"echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; exec sleep 600")
    with pytest.raises(KeyboardInterrupt):
        Inventory.load(path)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
