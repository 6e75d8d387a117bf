"""The endpoint, asked by plain pywinrm: what tests of the connector rely on."""

from __future__ import annotations

import base64
import gc
import re
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from winrm.exceptions import (
    InvalidCredentialsError,
    WinRMOperationTimeoutError,
    WinRMTransportError,
    WSManFaultError,
)
from winrm.protocol import Protocol

from tests.winrm_server import Answer, Call, PowershellError, WinrmServer
from tests.winrm_server.interpreter import split
from tests.winrm_server.process import running

STRANGE = (WinRMTransportError, requests.RequestException, ET.ParseError, KeyError, AssertionError, StopIteration)
"""What pywinrm raises for answers that are none."""
USERS = {"vagrant": "se:crét"}


def client(server: WinrmServer, transport: str = "ntlm", **more) -> Protocol:
    user, password = next(iter(server.users.items()))
    more = {"username": user, "password": password, "proxy": None, "ca_trust_path": None, **more}
    return Protocol(server.url, transport=transport, **more)


class Session:
    """One shell by plain pywinrm."""

    def __init__(self, server: WinrmServer, **more) -> None:
        self.server = server
        self.protocol = client(server, operation_timeout_sec=2, read_timeout_sec=9)
        self.shell = self.protocol.open_shell(codepage=65001, **more)

    def start(self, line: str, arguments=(), **more) -> str:
        return self.protocol.run_command(self.shell, line, arguments, **more)

    def run(self, line: str, arguments=(), stdin: bytes | None = None, **more) -> tuple[bytes, bytes, int]:
        command = self.start(line, arguments, **more)
        if stdin is not None:
            self.protocol.send_command_input(self.shell, command, stdin, end=True)
        done = self.protocol.get_command_output(self.shell, command)
        self.protocol.cleanup_command(self.shell, command)
        return done

    def pid(self) -> int:
        return next(iter(self.server.shells[self.shell].commands.values())).pid

    def signal(self, command: str, code: str) -> None:
        protocol = self.protocol
        header = protocol.build_wsman_header(
            "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/Signal",
            "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd",
            self.shell,
        )
        import xmltodict

        code = f"http://schemas.microsoft.com/wbem/wsman/1/windows/shell/signal/{code}"
        header["env:Body"] = {"rsp:Signal": {"@CommandId": command, "rsp:Code": code}}
        protocol.send_message(xmltodict.unparse({"env:Envelope": header}))


def powershell(script: str) -> str:
    return "powershell -NoProfile -EncodedCommand " + base64.b64encode(script.encode("utf-16-le")).decode()


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 5
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.fixture
def server() -> Iterator[WinrmServer]:
    with WinrmServer(USERS, ("ntlm", "basic"), allow_unencrypted=True) as server:
        yield server


@pytest.fixture
def session(server: WinrmServer) -> Iterator[Session]:
    session = Session(server)
    yield session
    session.protocol.transport.close_session()


class TestLogin:
    @pytest.mark.parametrize(
        ("transport", "encryption", "expected"), [("basic", "auto", 5), ("ntlm", "never", 7), ("ntlm", "auto", 8)]
    )
    def test_a_command_runs(self, server, transport, encryption, expected):
        protocol = client(server, transport, message_encryption=encryption)
        shell = protocol.open_shell()
        command = protocol.run_command(shell, "echo", ["hallo"])
        assert protocol.get_command_output(shell, command) == (b"hallo\r\n", b"", 0)
        protocol.cleanup_command(shell, command)
        protocol.close_shell(shell)
        assert (server.requests, server.connections, server.logins) == (expected, 1, 1)
        assert server.operations == ["Create", "Command", "Receive", "Signal", "Delete"]
        assert server.unsealed == (0 if expected == 8 else 5)
        assert not server.shells

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    @pytest.mark.parametrize("transport", ["basic", "ntlm", "credssp"])
    def test_a_wrong_password(self, transport):
        with WinrmServer(USERS, (transport,), allow_unencrypted=True) as server:
            protocol = client(server, transport, password="wrong")
            with pytest.raises(Exception, match=r"rejected|0x8009030c"):
                protocol.open_shell()
            assert (server.logins, server.failed_logins) == (1, 1)
            # requests-credssp leaves the socket of a login that failed to the garbage collector.
            del protocol
            gc.collect()

    def test_a_transport_that_is_not_offered(self):
        with WinrmServer(USERS, ("ntlm",), allow_unencrypted=True) as server:
            with pytest.raises(InvalidCredentialsError):
                client(server, "basic").open_shell()
            assert server.logins == 0

    def test_credssp_seals_and_hands_over_the_password(self):
        with WinrmServer(USERS, ("credssp",)) as server:
            protocol = client(server, "credssp")
            shell = protocol.open_shell()
            command = protocol.run_command(shell, "cat")
            protocol.send_command_input(shell, command, b"x" * 60_000, end=True)
            assert protocol.get_command_output(shell, command) == (b"x" * 60_000, b"", 0)
            protocol.close_shell(shell)
            assert server.unsealed == 0
            assert [(each.username, each.password) for each in server.delegated] == [("vagrant", "se:crét")]

    @pytest.mark.parametrize("transport", ["basic", "ntlm"])
    def test_plain_bodies_are_refused(self, transport):
        with WinrmServer(USERS, ("ntlm", "basic")) as server:
            with pytest.raises(WinRMTransportError, match="Code 500"):
                client(server, transport, message_encryption="never").open_shell()
            assert server.unsealed == 1
            assert not server.log

    def test_what_can_not_be_decrypted(self, server):
        session = Session(server)
        server.misbehave("undecryptable", "Seal")
        with pytest.raises(WinRMTransportError, match="Code 400"):
            session.start("echo x")
        assert server.operations == ["Create"]

    def test_two_servers_with_the_same_user(self, server):
        with WinrmServer({"vagrant": "another"}, ("ntlm",)) as other:
            for each in (server, other, server):
                session = Session(each)
                assert session.run("echo x") == (b"x\r\n", b"", 0)
                session.protocol.close_shell(session.shell)


class TestCommands:
    def test_a_program_reads_and_writes(self, session):
        line = "sh -c 'cat; echo oops >&2; exit 3'"
        assert session.run(line, stdin=b"\xc3\xa4\r\n\xff") == (b"\xc3\xa4\r\n\xff", b"oops\r\n", 3)

    @pytest.mark.parametrize(
        ("line", "out", "rc"),
        [
            ('echo "a"  b', b'"a"  b\r\n', 0),
            ("echo %COMPUTERNAME% %NOPE%", b"WINHOST %NOPE%\r\n", 0),
            ("exit 7", b"", 7),
            ("exit /b 9009", b"", 9009),
            ("exit -1", b"", 4294967295),
            ("echo a; exit 3221225786", b"a\r\n", 3221225786),
            ("echo a && exit -1073741510", b"a\r\n", 3221225786),
            ("printf 'a\\nb\\r\\n'", b"a\r\nb\r\n", 0),
            ("cd", b"C:\\Users\\vagrant\r\n", 0),
            ("ver", b"\r\nMicrosoft Windows [Version 10.0.20348.2402]\r\n", 0),
            ("whoami", b"winhost\\vagrant\r\n", 0),
            ("powershell -Command x", b"", 0xFFFD0000),
        ],
    )
    def test_lines(self, session, line, out, rc):
        assert (lambda done: (done[0], done[2]))(session.run(line)) == (out, rc)

    def test_environment_directory_and_disk(self, server):
        (server.drive / "Data").mkdir()
        (server.drive / "Data" / "Größe.txt").write_text("44\r\n")
        session = Session(server, working_directory="c:\\DATA", env_vars={"FOO": "bär"})
        assert session.run("set FOO")[0].decode() == "FOO=bär\r\n"
        assert session.run("printf %s $FOO")[0].decode() == "bär"
        assert session.run("ls")[0].decode() == "Größe.txt\r\n"
        assert session.run('type "..\\data\\größe.TXT"')[0] == b"44\r\n"
        assert session.run("type nope")[2] == 1
        create = server.log[0]
        assert create.detail["options"] == {"WINRS_NOPROFILE": "FALSE", "WINRS_CODEPAGE": "65001"}
        assert create.detail["environment"] == {"FOO": "bär"}
        assert create.detail["directory"] == "c:\\DATA"

    def test_a_directory_that_is_not_there(self, server):
        with pytest.raises(WSManFaultError) as caught:
            Session(server, working_directory="C:\\nope").run("cd")
        assert caught.value.wsman_fault_code == 2147942667

    def test_a_program_without_cmd(self, session):
        assert session.run("printf", ['"%s-"', '"a b"', "c"], skip_cmd_shell=True) == (b"a b-c-", b"", 0)
        assert session.run("cmd.exe /c exit 300", skip_cmd_shell=True)[2] == 300
        with pytest.raises(WSManFaultError) as caught:
            session.run("nope.exe a", skip_cmd_shell=True)
        assert caught.value.wsman_fault_code == 2147942402

    def test_lines_that_are_too_long(self, session):
        assert session.run("echo " + "x" * 8000)[2] == 0
        with pytest.raises(WSManFaultError) as caught:
            session.start("echo " + "x" * 8187)
        assert caught.value.wsman_fault_code == 206
        assert session.run("printf " + "x" * 9000, skip_cmd_shell=True)[2] == 0
        with pytest.raises(WSManFaultError):
            session.start("printf " + "x" * 32767, skip_cmd_shell=True)

    def test_output_in_pieces(self):
        with WinrmServer(USERS, ("ntlm",), chunk=2) as server:
            assert Session(server).run("printf 'äö€'")[0].decode() == "äö€"
            assert server.operations.count("Receive") >= 4

    def test_the_answer_fits_the_envelope(self, session):
        session.protocol.max_env_sz = 1
        command = session.start("head -c 1000000 /dev/zero")
        sizes = []
        while True:
            out, _, _, done = session.protocol.get_command_output_raw(session.shell, command)
            sizes.append(len(out))
            if done:
                break
        assert sum(sizes) == 1_000_000
        assert max(sizes) <= 98304

    def test_a_request_that_is_too_large(self, session):
        command = session.start("cat")
        session.protocol.send_command_input(session.shell, command, b"x" * 110_000)
        with pytest.raises(WinRMTransportError, match="Code 413"):
            session.protocol.send_command_input(session.shell, command, b"x" * 116_000)

    @pytest.mark.parametrize("line", ["echo x", "exec <&-; echo x; sleep 100", powershell("x")])
    def test_input_for_what_reads_no_more(self, server, session, line):
        server.powershell["x"] = Answer("x\r\n")
        command = session.start(line)
        assert session.protocol.get_command_output_raw(session.shell, command)[0] == b"x\r\n"
        with pytest.raises(WSManFaultError) as caught:
            session.protocol.send_command_input(session.shell, command, b"x")
        assert caught.value.wsman_fault_code == 2147942509

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            (r'"C:\Program Files\x" a', [r"C:\Program Files\x", "a"]),
            (r'x "a\"b" c\\d "e\\" f""g', ["x", 'a"b', r"c\\d", "e\\", "fg"]),
            ('x "a""b" ""', ["x", 'a"b', ""]),
        ],
    )
    def test_words(self, line, words):
        assert split(line) == words


class TestTime:
    def test_silence_is_a_fault_and_output_is_kept(self, session):
        command = session.start("sleep 3; echo done")
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


class TestMisbehaviour:
    def test_a_dropped_connection_and_the_same_shell(self, server):
        server.misbehave("drop", "Create", times=2)
        protocol = client(server, "basic")
        shell = protocol.open_shell()
        wait_until(lambda: server.connected == 0)
        assert protocol.run_command(shell, "echo x")
        assert server.connections == 2
        protocol.transport.close_session()
        # pywinrm seals what it sends on a new connection with the keys of the old one.
        protocol = client(server, "ntlm")
        shell = protocol.open_shell()
        wait_until(lambda: server.connected == 0)
        with pytest.raises(WinRMTransportError, match="Code 400"):
            protocol.run_command(shell, "echo x")
        assert len(server.shells) == 2

    @pytest.mark.parametrize("acted", [False, True])
    def test_a_cut(self, server, session, acted):
        server.misbehave("cut", "Command", acted=acted)
        with pytest.raises(requests.ConnectionError):
            session.start("echo x")
        assert len(server.shells[session.shell].commands) == acted

    @pytest.mark.parametrize("kind", ["html", "empty200", "empty500", "503", "truncated", "garbage", "relates_to"])
    def test_answers_that_are_none(self, server, session, kind):
        server.misbehave(kind, "Signal")
        command = session.start("echo x")
        with pytest.raises(STRANGE):
            session.protocol.cleanup_command(session.shell, command)
        protocol = client(server)
        shell = protocol.open_shell()
        protocol.close_shell(shell)

    @pytest.mark.parametrize("kind", ["chunked", "gzip", "unsealed", "close", "slow"])
    def test_answers_that_are_strange(self, server, session, kind):
        server.misbehave(kind, "Command", seconds=0.2)
        assert session.start("echo x")

    def test_an_answer_without_its_type(self, server, session):
        server.misbehave("no_content_type", "Command")
        with pytest.raises(KeyError):
            session.start("echo x")

    def test_faults_on_demand_and_a_restart(self, server, session):
        server.misbehave("fault", "Command", code=170)
        with pytest.raises(WSManFaultError) as caught:
            session.start("echo x")
        assert caught.value.wsman_fault_code == 170
        server.misbehave("forget", "Command")
        with pytest.raises(WSManFaultError) as caught:
            session.start("echo x")
        assert caught.value.wsman_fault_code == 2150858843

    def test_before_any_login(self, server):
        server.misbehave("html", "Login")
        with pytest.raises(STRANGE):
            client(server, "basic").open_shell()

    def test_a_kind_that_is_none(self, server):
        with pytest.raises(ValueError, match="no such"):
            server.misbehave("nope")


def test_nothing_is_left():
    """Threads, descriptors and processes of many clients at once, half of which go without a word."""

    def work(server: WinrmServer, number: int) -> None:
        session = Session(server)
        for _ in range(5):
            session.run("cat", stdin=b"x" * 1000)
        session.start(powershell("x"))
        session.start("sleep 100")
        if number % 2:
            session.protocol.close_shell(session.shell)
        session.protocol.transport.close_session()

    threads, descriptors = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    with WinrmServer(USERS, ("ntlm",), max_shells=50) as server:
        server.powershell["x"] = Answer(delay=100)
        clients = [threading.Thread(target=work, args=(server, number)) for number in range(20)]
        for each in clients:
            each.start()
        for each in clients:
            each.join(30)
        assert len(server.shells) == 10
        pids = [event.detail["pid"] for event in server.log if event.op == "Command"]
        assert len(pids) == 140
    assert not any(running(pid) for pid in pids if pid)
    assert threading.active_count() == threads
    assert len(list(Path("/proc/self/fd").iterdir())) <= descriptors


def test_somebody_who_speaks_tls(server):
    with pytest.raises(requests.exceptions.SSLError):
        requests.post(server.url.replace("http:", "https:"), timeout=5)


@pytest.mark.parametrize(("path", "status"), [("/wsman", 405), ("/other", 404)])
def test_other_requests(server, path, status):
    with requests.get(server.url.replace("/wsman", path), timeout=5) as answer:
        assert answer.status_code == status


ENVELOPE = (
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" xmlns:rsp="{0}" '
    'xmlns:a="http://schemas.xmlsoap.org/ws/2004/08/addressing" xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd">'
    "<s:Header><w:ResourceURI>{0}/cmd</w:ResourceURI><a:MessageID>uuid:1</a:MessageID>{1}</s:Header>"
    "<s:Body>{2}</s:Body></s:Envelope>"
)


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("", ""),
        ("<a:Action>x/Create</a:Action><w:OperationTimeout>20</w:OperationTimeout>", ""),
        ("<a:Action>x/Create</a:Action><w:MaxEnvelopeSize>x</w:MaxEnvelopeSize>", ""),
        ('<a:Action>x/Create</a:Action><w:OptionSet><w:Option Name="WINRS_CODEPAGE">x</w:Option></w:OptionSet>', ""),
        ("<a:Action>x/Send</a:Action>", '<rsp:Stream Name="stdin">\u00e4</rsp:Stream>'),
        ("<a:Action>x/Send</a:Action>", '<rsp:Stream Name="stdin">QQ</rsp:Stream>'),
        ("<a:Action>x/Nope</a:Action>", "<"),
    ],
)
def test_requests_that_are_none(server, header, body):
    envelope = ENVELOPE.format("http://schemas.microsoft.com/wbem/wsman/1/windows/shell", header, body).encode()
    with requests.Session() as session:
        session.trust_env = False
        session.auth = tuple(value.encode() for value in next(iter(USERS.items())))
        answer = session.post(server.url, data=envelope, timeout=5)
        assert answer.status_code == 500
        assert "Fault>" in answer.text
        assert session.post(server.url, data=b"", timeout=5).status_code == 200
    assert server.connections == 1


def test_ipv6():
    with WinrmServer(USERS, ("ntlm",), host="::1") as server:
        assert Session(server).run("echo x")[0] == b"x\r\n"


def test_an_own_process():
    words = [sys.executable, "-m", "tests.winrm_server", "--users", "me:pass", "--transports", "ntlm"]
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(words, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = f"http://127.0.0.1:{int(process.stdout.readline())}/wsman"
            protocol = Protocol(url, "ntlm", "me", "pass", proxy=None, ca_trust_path=None)
            shell = protocol.open_shell()
            protocol.close_shell(shell)
            process.stdin.close()
            assert process.wait(10) == 0
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
