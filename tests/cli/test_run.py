"""`sshexec run`: what goes where, and with which exit code."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import PATIENCE, SSHEXEC, environment, finish, sshexec, start, wait_for
from tests.testbed import Sshd

Write = Callable[[dict[str, dict[str, Any]]], Path]
LOCAL = {"ansible_connection": "local"}


def test_a_block_for_each_host_on_stdout_and_the_summary_on_stderr() -> None:
    done = sshexec("run", "all", "-i", "h1,h2,", "-c", "local", "-m", "shell", "-a", "echo out; echo err >&2")
    assert done.returncode == 0
    blocks = sorted(done.stdout.split("| CHANGED | rc=0 >>\nout\nerr\n"))
    assert blocks == ["", "h1 ", "h2 "]
    assert done.stderr.startswith("2 hosts in ")
    assert "2 changed" in done.stderr


def test_data_is_shown_as_json() -> None:
    done = sshexec("run", "all", "-i", "h1,", "-c", "local", "-m", "ping")
    assert done.returncode == 0
    head, _, body = done.stdout.partition(" => ")
    assert head == "h1 | SUCCESS"
    assert json.loads(body)["ping"] == "pong"


def test_one_line_for_each_host() -> None:
    done = sshexec(
        "run", "all", "-i", "h1,", "-c", "local", "-m", "shell", "-a", "echo a; echo b; echo c >&2; exit 3", "-o"
    )
    assert done.stdout == r"h1 | FAILED | rc=3 | (stdout) a\nb (stderr) c (msg) non-zero return code" + "\n"
    assert done.returncode == 2


def test_fold_prints_equal_answers_once() -> None:
    code = "test {{ inventory_hostname }} = h2 && echo odd || echo even"
    done = sshexec("run", "all", "-i", "h1,h2,h3,", "-c", "local", "-m", "shell", "-a", code, "--fold")
    assert done.stdout == "h[1,3] (2) | CHANGED | rc=0 >>\neven\n\nh2 | CHANGED | rc=0 >>\nodd\n"


def test_json_is_one_object(sshd: Sshd, inventory: Write) -> None:
    hosts = {"good": sshd.variables(ansible_host="127.0.1.1"), "bad": LOCAL}
    path = inventory(hosts)
    done = sshexec(
        "run", "all", "-i", path, "-m", "shell", "-a", "exit {{ 0 if ansible_host is defined else 7 }}", "--json"
    )
    result = json.loads(done.stdout)
    assert done.returncode == result["exit_code"] == 2
    assert {name: host["result"]["rc"] for name, host in result["hosts"].items()} == {"good": 0, "bad": 7}
    assert result["counts"] == {"changed": 1, "failed": 1}
    assert "failed, rc=7: bad: non-zero return code" in done.stderr


def test_jsonl_is_an_event_a_line() -> None:
    done = sshexec("run", "all", "-i", "h1,", "-c", "local", "-a", "echo hi", "--jsonl")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    names = [event["event"] for event in events]
    assert names[0] == "host_started"
    assert names[-2:] == ["host_finished", "run_finished"]
    assert [event["text"] for event in events if event["event"] == "output"] == ["hi\n"]
    assert events[-1]["exit_code"] == done.returncode == 0


def test_unreachable_wins_over_failed(sshd: Sshd, inventory: Write) -> None:
    path = inventory({"dead": sshd.variables(ansible_host="127.0.1.1", ansible_port=1), "bad": LOCAL})
    done = sshexec("run", "all", "-i", path, "-a", "false")
    assert done.returncode == 4
    assert "dead | UNREACHABLE | refused >>\n" in done.stdout
    assert "bad | FAILED | rc=1 >>\n" in done.stdout
    assert "unreachable, refused: dead: " in done.stderr


def test_task_timeout_is_exit_code_2() -> None:
    done = sshexec("run", "all", "-i", "h1,", "-c", "local", "-a", "sleep 300", "--task-timeout", "0.5")
    assert done.returncode == 2
    assert "h1 | TIMEOUT >>\n" in done.stdout


def test_run_timeout_ends_the_run() -> None:
    done = sshexec("run", "all", "-i", "h1,", "-c", "local", "-a", "sleep 300", "--run-timeout", "0.5", "--json")
    assert json.loads(done.stdout)["state"] == "timeout"
    assert done.stderr.startswith("run deadline passed: 1 host in ")
    assert done.returncode == 2


def test_results_are_not_held_up_by_slow_hosts(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    code = f"test {{{{ inventory_hostname }}}} = fast || until test -e {gate}; do sleep 0.1; done"
    process = start("run", "all", "-i", "slow,fast,", "-c", "local", "-m", "shell", "-a", code, "-o")
    assert process.stdout is not None
    first = process.stdout.readline()
    gate.touch()
    rest, _ = finish(process)
    assert (first, rest) == ("fast | CHANGED | rc=0\n", "slow | CHANGED | rc=0\n")


def test_hosts_that_would_be_contacted(inventory: Write) -> None:
    path = inventory({"web1": {}, "web2": {}, "db1": {}})
    assert sshexec("run", "all", "-i", path, "--list-hosts").stdout == "web1\nweb2\ndb1\n"
    limited = sshexec("run", "web*", "-i", path, "-l", "db1:web2", "--list-hosts")
    assert limited.stdout == "web2\n"


def test_limit_holds_for_the_run() -> None:
    done = sshexec("run", "all", "-i", "h1,h2,h3,", "-l", "h1:h3", "-c", "local", "-a", "true", "--json")
    assert list(json.loads(done.stdout)["hosts"]) == ["h1", "h3"]


def test_inventory_from_the_environment() -> None:
    done = sshexec("run", "all", "--list-hosts", env={"SSHEXEC_INVENTORY": "h1,h2,"})
    assert done.stdout == "h1\nh2\n"


def test_localhost_needs_no_inventory() -> None:
    done = sshexec("run", "localhost", "-a", "echo here", "-o")
    assert (done.returncode, done.stdout) == (0, "localhost | CHANGED | rc=0 | (stdout) here\n")


def test_extra_variables_in_all_forms_win_over_the_inventory(tmp_path: Path, inventory: Write) -> None:
    path = inventory({"h1": {**LOCAL, "a": "inventory", "b": "inventory", "c": "inventory"}})
    (tmp_path / "vars.yml").write_text("c: yaml\n")
    args = ("-e", "a='k v'", "-e", '{"b": "json"}', "-e", f"@{tmp_path}/vars.yml")
    done = sshexec("run", "all", "-i", path, "-m", "shell", "-a", "echo '{{ a }}' {{ b }} {{ c }}", "-o", *args)
    assert done.stdout == "h1 | CHANGED | rc=0 | (stdout) k v json yaml\n"


def test_unknown_host_key_is_refused_or_learned(sshd: Sshd, tmp_path: Path, inventory: Write) -> None:
    known = tmp_path / "known_hosts"
    args = f"-o UserKnownHostsFile={known} -o GlobalKnownHostsFile=none"
    path = inventory({"h1": sshd.variables(ansible_host="127.0.1.1", ansible_ssh_common_args=args)})
    refused = sshexec("run", "all", "-i", path, "-a", "true")
    assert refused.returncode == 4
    assert "h1 | UNREACHABLE | host_key_unknown >>" in refused.stdout
    for shown in (refused.stdout, refused.stderr):
        assert (
            "(sshexec hosts scan --append adds those of many hosts), or allow "
            "StrictHostKeyChecking=accept-new (on the command line: --host-key-checking accept-new)" in shown
        )
    assert sshexec("run", "all", "-i", path, "-a", "true", "--host-key-checking", "accept-new").returncode == 0
    assert "127.0.1.1" in known.read_text()
    assert sshexec("run", "all", "-i", path, "-a", "true").returncode == 0


def _fingerprint(sshd: Sshd) -> str:
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(sshd.host_key)], check=True, capture_output=True, text=True, timeout=PATIENCE
    )
    return shown.stdout.split()[1]


def test_a_host_key_that_was_learned_is_reported(sshd: Sshd, tmp_path: Path, inventory: Write) -> None:
    known = tmp_path / "known_hosts"
    args = f"-o UserKnownHostsFile={known} -o GlobalKnownHostsFile=none -o StrictHostKeyChecking=accept-new"
    path = inventory({"h1": sshd.variables(ansible_host="127.0.1.1", ansible_ssh_common_args=args)})
    command = ("run", "all", "-i", path, "-a", "true")
    told = f"h1: new host key of [127.0.1.1]:{sshd.port} accepted: ssh-ed25519 {_fingerprint(sshd)} (saved in {known})"
    shown = sshexec(*command, "-v").stderr.splitlines()
    assert told in shown
    assert "  1 new host key trusted" in shown
    assert "new host key" not in sshexec(*command, "-v").stderr
    known.unlink()
    done = sshexec(*command)
    assert "  1 new host key trusted (-v shows it)" in done.stderr.splitlines()
    assert "new host key" not in done.stdout
    known.unlink()
    assert sshexec(*command, "-q").stderr == ""
    known.unlink()
    # A worker process learns it here, and the login fails after that.
    for extra in (("--processes", "1"), ("-u", "nobody")):
        known.unlink(missing_ok=True)
        whole = json.loads(sshexec(*command, "--json", *extra).stdout)
        notices = whole["hosts"]["h1"]["notices"]
        assert [(n["notice"], n["fingerprint"], n["path"]) for n in notices] == [
            ("host_key_learned", _fingerprint(sshd), str(known))
        ]
        assert whole["learned_host_keys"] == [
            {
                "host": "h1",
                "name": f"[127.0.1.1]:{sshd.port}",
                "kind": "ssh-ed25519",
                "fingerprint": _fingerprint(sshd),
                "path": str(known),
                "problem": "",
            }
        ]


def test_a_host_key_that_can_not_be_saved_is_told_in_the_summary(sshd: Sshd, tmp_path: Path, inventory: Write) -> None:
    known = tmp_path / "file" / "known_hosts"
    known.parent.touch()
    args = f"-o UserKnownHostsFile={known} -o GlobalKnownHostsFile=none -o StrictHostKeyChecking=accept-new"
    hosts = {f"h{n}": sshd.variables(ansible_host=f"127.0.1.{n}", ansible_ssh_common_args=args) for n in (1, 2)}
    path = inventory(hosts)
    done = sshexec("run", "all", "-i", path, "-a", "true")
    assert done.returncode == 0
    assert f"  new host key not saved: h[1-2] (2): {known}: Not a directory" in done.stderr.splitlines()
    assert sshexec("run", "all", "-i", path, "-a", "true", "-q").stderr == ""


def test_host_keys_can_be_ignored(sshd: Sshd, inventory: Write) -> None:
    args = "-o UserKnownHostsFile=none -o GlobalKnownHostsFile=none"
    path = inventory({"h1": sshd.variables(ansible_host="127.0.1.1", ansible_ssh_common_args=args)})
    assert sshexec("run", "all", "-i", path, "-a", "true", "--host-key-checking", "no").returncode == 0


def test_serial_and_max_fail_percentage_stop_a_bad_rollout() -> None:
    hosts = "h1,h2,h3,h4,"
    options = ("--serial", "1,50%", "--max-fail-percentage", "0")
    done = sshexec("run", "all", "-i", hosts, "-c", "local", "-a", "false", "--json", *options)
    statuses = [host["status"] for host in json.loads(done.stdout)["hosts"].values()]
    assert statuses == ["failed", "cancelled", "cancelled", "cancelled"]


def test_output_over_the_limit_is_spilled(tmp_path: Path) -> None:
    options = ("--output-limit", "10k", "--spill", tmp_path)
    done = sshexec("run", "all", "-i", "h1,", "-c", "local", "-m", "shell", "-a", "seq 1 20000", *options)
    assert "bytes left out" in done.stdout
    assert "is cut" not in done.stderr
    path = Path(done.stdout.rpartition("(whole stdout: ")[2].rstrip().rstrip(")"))
    assert path.parent == tmp_path
    assert path.read_text().split() == [str(n) for n in range(1, 20001)]


def test_output_over_the_limit_that_nothing_holds_is_told(tmp_path: Path) -> None:
    command = "seq 1 {{ 2000 if inventory_hostname == 'h3' else 20000 }}"
    run = ("run", "all", "-i", "h1,h2,h3", "-c", "local", "-m", "shell", "-a", command, "--output-limit", "10k")
    for more in ([], ["--json"], ["-o"]):
        done = sshexec(*run, *more)
        assert done.returncode == 0
        assert done.stderr.splitlines()[1:] == [
            "  output of h[1-2] (2) is cut (--spill DIR or --output-dir DIR keeps all of it)"
        ]
    assert "is cut" not in sshexec(*run, "--output-dir", tmp_path / "out").stderr
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "h1").touch()
    done = sshexec(*run, "--output-dir", tmp_path / "dir")
    assert "  output of h1 is cut\n  output not in its file: h1: " in done.stderr


def test_who_did_not_end_well_is_the_next_pattern(tmp_path: Path) -> None:
    failed = tmp_path / "failed.txt"
    hosts = "l1,l2,l3,"
    command = "exit {{ 0 if inventory_hostname == 'l2' else 3 }}"
    done = sshexec("run", "all", "-i", hosts, "-c", "local", "-m", "shell", "-a", command, "--retry-file", failed)
    assert (done.returncode, failed.read_text()) == (2, "l1\nl3\n")
    done = sshexec("run", f"@{failed}", "-i", hosts, "-c", "local", "-m", "ping", "--retry-file", failed, "-o")
    assert sorted(line.split()[0] for line in done.stdout.splitlines()) == ["l1", "l3"]
    assert failed.read_text() == ""


def test_a_skipped_host_says_why_and_has_no_exit_status() -> None:
    for module, arguments in (("shell", "id"), ("script", "/etc/hostname")):
        done = sshexec("run", "h1", "-i", "h1,", "-c", "local", "-m", module, "-a", arguments, "-C")
        heading, why = done.stdout.splitlines()
        assert heading == "h1 | SKIPPED >>"
        assert "heck mode" in why


def test_verbose_shows_phases_on_stderr(sshd: Sshd, inventory: Write) -> None:
    path = inventory({"h1": sshd.variables(ansible_host="127.0.1.1")})
    done = sshexec("run", "all", "-i", path, "-a", "true", "-v")
    for phase in ("connecting", "key exchange", "authenticating", "running"):
        assert f"h1: {phase}\n" in done.stderr
    assert '"invocation"' in done.stdout


def test_quiet_leaves_stderr_empty() -> None:
    done = sshexec("run", "all", "-i", "h1,", "-c", "local", "-a", "false", "-q")
    assert done.stderr == ""
    assert done.returncode == 2


def test_control_characters_pass_through_a_pipe_untouched() -> None:
    done = sshexec("run", "all", "-i", "h1,", "-c", "local", "-m", "shell", "-a", r"printf '\033[31mred'")
    assert done.stdout.endswith("\x1b[31mred\n")


def test_a_reader_that_leaves_ends_the_run_quietly(tmp_path: Path) -> None:
    marker = tmp_path / "pid"
    write_pid = f"echo $$ > {marker}.new && mv {marker}.new {marker}"  # killed in between, it leaves no empty marker
    code = f"echo {'x' * 200}; test {{{{ inventory_hostname }}}} = h1 && exit; {write_pid}; exec sleep 300"
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stdout:
        done = subprocess.run(
            [*SSHEXEC, "run", "all", "-i", "h1,h2,", "-c", "local", "-m", "shell", "-a", code],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            env=environment(),
        )
    assert (done.returncode, done.stderr) == (141, b"")
    if marker.exists():
        _assert_gone(int(wait_for(marker)))


def test_password_question_needs_a_terminal() -> None:
    for flag in ("-k", "-K"):
        done = sshexec("run", "all", "-i", "h1,", "-a", "true", flag, start_new_session=True)
        assert done.returncode == 5
        variable = {"-k": "ansible_password", "-K": "ansible_become_password"}[flag]
        assert done.stderr == (
            f"sshexec: error: {flag}: there is no terminal to ask for the password at; "
            f"-e @FILE, with {variable} in FILE, needs none\n"
        )


@pytest.mark.parametrize("processes", [1, 2])
def test_worker_processes(processes: int) -> None:
    done = sshexec("run", "all", "-i", "h1,h2,h3,", "-c", "local", "-a", "true", "--processes", processes, "--json")
    assert json.loads(done.stdout)["counts"] == {"changed": 3}
    assert done.returncode == 0


def _assert_gone(pid: int) -> None:
    """Wait until a process has ended, whether or not whoever inherited it has noticed."""
    limit = time.monotonic() + PATIENCE
    while True:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return
        except OSError:
            return
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_full_disk_under_standard_output_is_one_line() -> None:
    with open("/dev/full", "wb") as full:
        command = [*SSHEXEC, "run", "all", "-i", "h1,", "-c", "local", "-a", "echo hi"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE, env=environment())
    assert (done.returncode, done.stderr) == (1, b"sshexec: error: standard output: No space left on device\n")


def test_arguments_as_json(tmp_path: Path) -> None:
    arguments = json.dumps({"content": "a=b", "dest": str(tmp_path / "a file")})
    done = sshexec("run", "all", "-i", "h1,", "-c", "local", "-m", "copy", "-a", arguments)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a file").read_text() == "a=b"


def test_text_in_braces_is_no_json() -> None:
    done = sshexec("run", "all", "-i", "h1,", "-c", "local", "-m", "shell", "-a", "{ echo grouped; }", "-o")
    assert done.stdout == "h1 | CHANGED | rc=0 | (stdout) grouped\n"
