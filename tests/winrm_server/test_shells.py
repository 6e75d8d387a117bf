"""The endpoint's shells, asked by plain pywinrm: time, signals, faults, and doubles of PowerShell."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest
from winrm.exceptions import (
    WinRMOperationTimeoutError,
    WSManFaultError,
)

from tests.winrm_server import Answer, Call, PowershellError, WinrmServer
from tests.winrm_server.process import running
from tests.winrm_server.session import USERS, Session, powershell, wait_until


@pytest.fixture
def server() -> Iterator[WinrmServer]:
    with WinrmServer(USERS, ("ntlm", "basic"), allow_unencrypted=True) as server:
        yield server


@pytest.fixture
def session(server: WinrmServer) -> Iterator[Session]:
    session = Session(server)
    yield session
    session.protocol.transport.close_session()


class TestTime:
    def test_silence_is_a_fault_and_output_is_kept(self, session):
        session.protocol.operation_timeout_sec = 1
        command = session.start("sleep 2; echo done")
        with pytest.raises(WinRMOperationTimeoutError):
            session.protocol.get_command_output_raw(session.shell, command)
        assert session.protocol.get_command_output(session.shell, command) == (b"done\r\n", b"", 0)

    def test_input_that_nobody_reads(self, session):
        session.protocol.operation_timeout_sec = 1
        command = session.start("sleep 2; wc -c")
        for _ in range(6):
            try:
                session.protocol.send_command_input(session.shell, command, b"x" * 100_000)
            except WinRMOperationTimeoutError:
                break
        else:
            pytest.fail("it was all taken")
        sent = sum(event.detail["size"] for event in session.server.log if event.op == "Send")
        while True:
            # What timed out is taken all the same.
            try:
                session.protocol.send_command_input(session.shell, command, b"", end=True)
                break
            except WinRMOperationTimeoutError:
                pass
        assert session.protocol.get_command_output(session.shell, command)[0].strip() == b"%d" % sent

    def test_ctrl_c(self, session):
        command = session.start("sleep 100 | sleep 100")
        pid = session.pid()
        session.signal(command, "ctrl_c")
        assert session.protocol.get_command_output(session.shell, command)[2] == 0xC000013A
        wait_until(lambda: not running(pid))

    @pytest.mark.parametrize("how", ["terminate", "delete", "forget", "stop"])
    def test_what_ends_a_command_ends_its_children(self, server, session, how):
        command = session.start("trap '' INT; echo ready; sh -c 'sleep 100 & sleep 100'; sleep 100")
        pid = session.pid()
        assert session.protocol.get_command_output_raw(session.shell, command)[0] == b"ready\r\n"
        session.signal(command, "ctrl_c")
        assert running(pid)
        if how == "terminate":
            session.protocol.cleanup_command(session.shell, command)
        elif how == "delete":
            session.protocol.close_shell(session.shell)
        elif how == "forget":
            server.service.forget()
        else:
            server.stop()
        wait_until(lambda: not running(pid))

    def test_a_receive_in_progress_ends_with_its_command(self, server, session):
        command = session.start("sleep 100")
        caught: list[BaseException] = []

        def receive() -> None:
            try:
                session.protocol.get_command_output_raw(session.shell, command)
            except Exception as error:
                caught.append(error)

        waiting = threading.Thread(target=receive)
        waiting.start()
        wait_until(lambda: "Receive" in server.operations)
        server.service.forget()
        waiting.join(5)
        assert [getattr(each, "wsman_fault_code", each) for each in caught] == [995]


class TestFaults:
    def test_no_such_shell_or_command(self, session):
        command = session.start("echo x")
        for shell, each in ((session.shell, "NOPE"), ("NOPE", command)):
            with pytest.raises(WSManFaultError) as caught:
                session.protocol.get_command_output(shell, each)
            assert caught.value.wsman_fault_code == 2150858843
            assert caught.value.fault_subcode == "w:InvalidSelectors"

    def test_quotas(self):
        with WinrmServer(USERS, ("ntlm",), max_shells=2, max_operations=3) as server:
            first = Session(server)
            Session(server)
            with pytest.raises(WSManFaultError) as caught:
                Session(server)
            assert (caught.value.wsman_fault_code, caught.value.wmierror_code) == (None, 2150859173)
            for _ in range(3):
                first.run("echo x")
            with pytest.raises(WSManFaultError) as caught:
                first.run("echo x")
            assert (caught.value.wsman_fault_code, caught.value.wmierror_code) == (None, 2150859174)

    def test_an_idle_time_out_that_is_no_duration(self, server):
        with pytest.raises(WSManFaultError) as caught:
            Session(server, idle_timeout=3600)
        assert caught.value.wsman_fault_code == 2150858817


class TestPowershell:
    def test_scripted_answers(self, server, session):
        server.powershell["Get-Date"] = Answer("heute\r\n", "bad\r\n", 5)
        server.powershell[re.compile("^Get-Service")] = Answer(b"\xff", b"plain", 0)
        out, err, rc = session.run(powershell("Get-Date"))
        assert (out, rc) == (b"heute\r\n", 5)
        assert err.startswith(b"#< CLIXML\r\n<Objs ")
        assert b'<S S="Error">bad_x000D__x000A_</S>' in err
        assert session.run(powershell("Get-Service -Name x")) == (b"\xff", b"plain", 0)
        out, err, rc = session.run(powershell("Get-Nothing"))
        assert rc == 1
        assert b"no answer" in err

    def test_a_double_reads_lines_and_fails_as_a_script_does(self, server, session):
        def run(call: Call) -> int:
            for line in call.stdin:
                call.out(f"<{line}>")
            call.answer({"where": call.directory})
            raise PowershellError("Boom ä")

        server.powershell["x"] = Answer(run=run)
        out, err, rc = session.run(powershell("x"), stdin="eins\r\nzwei\nä".encode())
        assert out.startswith("<eins><zwei><ä>sshexec:".encode())
        assert "Boom ä_x000D__x000A_" in err.decode()
        assert rc == 1

    def test_a_long_answer_is_held_back_and_a_stop_is_heard(self, server, session):
        stopped = threading.Event()

        def run(call: Call) -> int:
            try:
                while True:
                    call.out(b"x" * 100_000)
            finally:
                stopped.set()

        server.powershell["x"] = Answer(run=run)
        command = session.start(powershell("x"))
        session.protocol.get_command_output_raw(session.shell, command)
        assert not stopped.is_set()
        session.protocol.cleanup_command(session.shell, command)
        assert stopped.wait(5)

    def test_a_delay_ends_by_ctrl_c(self, server, session):
        server.powershell["x"] = Answer("never", delay=100)
        command = session.start(powershell("x"))
        session.signal(command, "ctrl_c")
        out, _, rc = session.protocol.get_command_output(session.shell, command)
        assert (out, rc) == (b"", 0xC000013A)

    def test_a_double_that_breaks_is_told(self):
        def run(call: Call) -> int:
            raise ZeroDivisionError

        server = WinrmServer(USERS, ("ntlm",))
        server.powershell["x"] = Answer(run=run)
        with pytest.raises(AssertionError, match="ZeroDivisionError"), server:
            Session(server).run(powershell("x"))
