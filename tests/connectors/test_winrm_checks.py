"""What any WinRM connector has to get right, and which test proves it.

The list was drawn up from pywinrm's, Ansible's and pypsrp's issues before this connector was written. What other files
don't prove is proven here, against the endpoint of `tests/winrm_server`. R: recorded answers of real Windows hosts.

 1  OperationTimeout: it keeps asking, the output is whole
      test_winrm_execute.test_an_operation_timeout_is_no_end
      R test_winrm_replay.test_an_operation_that_timed_out_is_asked_again
      R test_winrm_recordings.test_a_conversation
 2  deadline: ctrl_c, terminate, Delete; the process is gone
      test_winrm_checks.test_02_deadline
 3  no shell is left behind, whatever goes wrong
      test_winrm_checks.test_03_nothing_is_left
      R test_winrm_replay.test_a_fault_ends_as_an_error_of_ours_with_its_words
 4  UTF-8 that is split between answers and streams
      test_winrm_execute.test_characters_are_not_broken_by_pieces
 5  code page 65001; bytes that are no text are kept
      test_winrm_execute.test_the_code_page_is_utf_8
      test_winrm_execute.test_bytes_stay_as_they_are
      R test_winrm_replay.test_a_command_of_cmd
 6  exit codes as signed numbers of 32 bits
      test_winrm_execute.test_exit_codes
      test_winrm_messages.test_exit_codes_are_signed
      R test_winrm_recordings.test_a_conversation
 7  both streams apart and in order
      test_winrm_checks.test_07_streams
      test_winrm_messages.test_output_keeps_its_order
      R test_winrm_recordings.test_a_conversation
 8  CLIXML turned into text
      test_winrm_clixml.test_errors_are_text
      test_winrm_clixml.test_escapes
      test_winrm_clixml.test_progress_alone_is_nothing
      test_winrm_clixml.test_text_and_several_documents
      R test_winrm_replay.test_recorded_errors_are_told_as_pywinrm_tells_them
 9  a wrong password: authentication error, one attempt
      test_winrm_login.test_a_wrong_password_is_tried_once
      test_winrm_secrets.test_a_wrong_password_is_not_told_in_its_refusal
10  refused, unresolved, silent: each told apart
      test_winrm_wire.test_a_closed_port
      test_winrm_wire.test_a_name_that_does_not_resolve
      test_winrm_wire.test_nobody_accepts
      test_winrm_wire.test_no_route
11  TLS: untrusted, expired, wrong name; only what is named is trusted
      test_winrm_tls.test_a_host_that_is_not_trusted
      test_winrm_tls.test_a_wrong_address_is_named
      test_winrm_tls.test_a_trusted_host
      test_winrm_tls.test_the_environment_names_no_authority
12  client certificate
      test_winrm_tls.test_a_client_certificate
      test_winrm_tls.test_a_client_certificate_that_nobody_is_known_by
13  NTLM bound to the channel of TLS
      test_winrm_tls.test_ntlm_is_bound_to_the_channel
14  NTLM: nothing plain on the wire, nothing in logs
      test_winrm_checks.test_14_sealed
      test_winrm_wire.test_an_unencrypted_answer_is_not_believed
      test_winrm_secrets.test_what_a_host_is_told_shows_itself_nowhere
      test_winrm_secrets.test_a_run_in_a_worker_gives_nothing_away
15  Kerberos with a real KDC: tickets, expired ones, other names
      test_winrm_kerberos.test_the_users_own_ticket
      test_winrm_kerberos.test_an_expired_ticket
      test_winrm_kerberos.test_another_name_another_service_another_realm
16  delegation
      test_winrm_kerberos.test_delegation
17  CredSSP, messages over 16 KB
      test_winrm_login.test_a_login
      test_winrm_login.test_a_large_message_over_credssp
18  a connection that was dropped: login anew, the same shell
      test_winrm_checks.test_18_a_dropped_connection
      test_winrm_wire.test_what_must_not_act_twice_is_not_sent_again
      test_winrm_wire.test_a_message_that_could_not_be_decrypted_is_sent_again
19  a service that was restarted: connection lost
      test_winrm_checks.test_19_a_restarted_service
      R test_winrm_replay.test_a_shell_that_is_gone_is_a_lost_connection
      R test_winrm_recordings.test_a_command_that_the_host_does_not_know
20  quotas: busy, said so; operations used up: one new shell
      test_winrm_checks.test_20_no_more_shells
      test_winrm_checks.test_20_operations_used_up
      R test_winrm_replay.test_operations_over_the_quota_get_a_new_shell_once
      R test_winrm_replay.test_operations_over_the_quota_are_not_tried_for_ever
21  one shell, three requests a command, nothing leaks
      test_winrm_checks.test_21_one_shell
      test_winrm_execute.test_a_command_is_not_more_than_three_requests
      test_winrm_execute.test_what_a_command_changes_is_gone_with_it
22  large input in small messages, its end told once, busy
      test_winrm_execute.test_input_arrives_whole
      test_winrm_execute.test_empty_input
      test_winrm_execute.test_a_busy_service_gets_the_piece_again
23  large output in bounded memory
      test_winrm_execute.test_large_output_takes_no_memory
24  files: checked, temporary name, empty, names
      test_winrm_files.test_any_size_goes_there_and_back
      test_winrm_files.test_what_arrives_otherwise_takes_no_place
      test_winrm_files.test_names
      test_winrm_files.test_a_cut_connection_changes_nothing
25  lines over the limit go another way or are refused
      test_winrm_execute.test_a_long_script
      test_winrm_checks.test_25_a_long_line
      test_winrm_commandline.test_what_cmd_would_cut_off_is_an_error
26  a slow host holds up nobody; cancelling frees shells
      test_winrm_load.test_a_slow_host_holds_up_nobody
      test_winrm_load.test_cancelling_a_run_frees_every_shell
27  no proxy unless told, IPv6, path, one connection
      test_winrm_wire.test_the_environment_is_not_listened_to
      test_winrm_wire.test_ipv6
      test_winrm_wire.test_another_path
      test_winrm_checks.test_21_one_shell
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from gevent import GreenletExit

from sshexec.connectors.base import Command, Completed, Deadline, Form, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.winrm.connector import WinrmConnector
from sshexec.errors import CommandTimeoutError, ConnectionLostError, HostError, UnreachableError
from tests.runtime.conftest import wait_for
from tests.winrm_server import WinrmServer

ROOT = Path(__file__).parents[1]
LIMIT = 30.0


@pytest.fixture
def server() -> Iterator[WinrmServer]:
    with WinrmServer({"vagrant": "secret"}) as made:
        yield made


def connector(variables: dict[str, Any]) -> WinrmConnector:
    options = WinrmConnector.Options.from_vars(variables, "win1")
    context = WinrmConnector.Context()
    context.check(options)
    return WinrmConnector("win1", options, context, Timeouts())


@contextmanager
def opened(server: WinrmServer, **more: Any) -> Iterator[WinrmConnector]:
    connection = connector(server.variables(**more))
    try:
        connection.open(Deadline.after(LIMIT))
        yield connection
    finally:
        connection.close()
        connection.context.close()


def run(connection: WinrmConnector, script: str, **more: Any) -> tuple[Completed, Output]:
    output = Output()
    done = connection.execute(Command(script, form=Form.CMD, **more), output, Deadline.after(LIMIT))
    return done, output


def test_the_tests_that_are_named_exist():
    named = re.findall(r"\b(test_\w+)\.(test_\w+)", __doc__ or "")
    assert len(named) > 40
    known: dict[str, set[str]] = {}
    for file in {file for file, _ in named}:
        (path,) = ROOT.rglob(f"{file}.py")
        known[file] = {each.name for each in ast.parse(path.read_text()).body if isinstance(each, ast.FunctionDef)}
    assert [f"{file}.{name}" for file, name in named if name not in known[file]] == []
    assert {int(number) for number in re.findall(r"^ ?(\d+)  ", __doc__ or "", re.MULTILINE)} == set(range(1, 28))


def test_02_deadline(server, hasty):
    with opened(server) as connection:
        with pytest.raises(CommandTimeoutError) as caught:
            connection.execute(Command("echo begun; sleep 77 & sleep 88", form=Form.CMD), Output(), Deadline.after(1.0))
        (started,) = [event for event in server.log if event.op == "Command"]
        assert caught.value.killed is True
        wait_for(lambda: not _alive(started.detail["pid"]))
        ends = [(event.op, event.detail.get("code")) for event in server.log if event.op in ("Signal", "Delete")]
        assert ends == [("Signal", "ctrl_c"), ("Signal", "terminate"), ("Delete", None)]
        assert server.shells == {}
        # The connection is good for more.
        assert run(connection, "exit 5")[0].rc == 5


def _alive(group: int) -> list[str]:
    """Return the processes of a group that are not dead; one that nobody has waited for yet is."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == group and state != "Z":
            found.append(stat.parent.name)
    return found


class Bad:
    """A file that can't be read to its end."""

    def read(self, size: int = -1) -> bytes:
        raise OSError("no such luck")


@pytest.mark.parametrize(
    ("kind", "raised"),
    [
        ("Command", HostError),
        ("Receive", HostError),
        ("Send", HostError),
        ("input", OSError),
        ("keyboard", KeyboardInterrupt),
        ("greenlet", GreenletExit),
        ("taker", ZeroDivisionError),
    ],
)
def test_03_nothing_is_left(kind, raised, server):
    def take(stream: str, data: bytes) -> None:
        if kind == "keyboard":
            raise KeyboardInterrupt
        if kind == "greenlet":
            raise GreenletExit
        if kind == "taker":
            raise ZeroDivisionError

    if kind in ("Command", "Receive", "Send"):
        server.misbehave("fault", op=kind, code=87)
        if kind == "Send":  # what is wrong with it, the output tells
            server.misbehave("fault", op="Receive", code=87)
    stdin: Any = Bad() if kind == "input" else b"x"
    with opened(server) as connection, pytest.raises(raised):
        connection.execute(
            Command("echo begun; sleep 99", stdin, form=Form.CMD), Output(tee=take), Deadline.after(LIMIT)
        )
    assert server.shells == {}
    started = [event.detail["pid"] for event in server.log if event.op == "Command" and event.detail.get("pid")]
    wait_for(lambda: not any(_alive(group) for group in started))


def test_07_streams(server):
    lines = "".join(f"echo o{number}; echo e{number} >&2; " for number in range(20))
    with opened(server) as connection:
        _, output = run(connection, lines)
    assert output.text("stdout").split() == [f"o{number}" for number in range(20)]
    assert output.text("stderr").split() == [f"e{number}" for number in range(20)]


def test_14_sealed(server):
    assert not server.allow_unencrypted
    with opened(server, ansible_winrm_transport="ntlm") as connection:
        run(connection, "more", stdin=b"x" * 200_000)
        connection.put(b"content", "C:\\file", Deadline.after(LIMIT))
    assert server.unsealed == 0
    assert server.requests > 8


def test_18_a_dropped_connection(server):
    with opened(server) as connection:
        run(connection, "exit 0")
        server.cut_connections()
        done, output = run(connection, "echo again")
    assert (done.rc, output.stdout) == (0, b"again\r\n")
    assert server.operations.count("Create") == 1
    assert len({event.shell for event in server.log if event.op == "Command"}) == 1
    assert [event.detail["line"] for event in server.log if event.op == "Command"] == ["exit 0", "echo again"]
    assert server.connections == server.logins == 2


def test_19_a_restarted_service(server):
    with opened(server) as connection:
        server.misbehave("forget", op="Receive")
        with pytest.raises(ConnectionLostError, match="restarted") as caught:
            run(connection, "sleep 5")
        assert caught.value.started
        assert run(connection, "exit 3")[0].rc == 3


def test_20_no_more_shells():
    with WinrmServer({"vagrant": "secret"}, max_shells=1) as server, opened(server):
        second = connector(server.variables())
        with pytest.raises(UnreachableError, match="MaxShellsPerUser"):
            second.open(Deadline.after(LIMIT))
        second.close()
        assert len(server.shells) == 1


def test_20_operations_used_up():
    with WinrmServer({"vagrant": "secret"}, max_operations=2) as server:
        with opened(server) as connection:
            for number in range(5):
                assert run(connection, f"exit {number}")[0].rc == number
        assert server.shells == {}
        # Nothing ran twice.
        assert [event.detail["line"] for event in server.log if event.op == "Command" and "line" in event.detail] == [
            f"exit {number}" for number in range(5)
        ]
        assert server.operations.count("Create") == 3


def test_21_one_shell(server):
    with opened(server) as connection:
        before = server.requests
        for number in range(10):
            assert run(connection, f"exit {number}")[0].rc == number
        assert server.requests - before == 30
    assert server.operations == ["Create", *["Command", "Receive", "Signal"] * 10, "Delete"]
    assert server.connections == server.logins == 1


@pytest.mark.parametrize(("form", "length"), [(Form.CMD, 8192), (Form.PROGRAM, 32768)])
def test_25_a_long_line(form, length, server):
    script = "echo " + "x" * (length - 5)
    with opened(server) as connection:
        with pytest.raises(HostError, match=str(length)):
            connection.execute(Command(script, form=form), Output(), Deadline.after(LIMIT))
        assert run(connection, "exit 2")[0].rc == 2
    assert [event.detail["line"] for event in server.log if event.op == "Command"] == ["exit 2"]
