"""The endpoint, asked by plain pywinrm: logins, commands, and what it leaves behind."""

from __future__ import annotations

import gc
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from winrm.exceptions import (
    InvalidCredentialsError,
    WinRMTransportError,
    WSManFaultError,
)
from winrm.protocol import Protocol

from tests.winrm_server import Answer, WinrmServer
from tests.winrm_server.interpreter import split
from tests.winrm_server.process import running
from tests.winrm_server.session import USERS, Session, client, powershell


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


@pytest.mark.parametrize("how", ["end of input", "SIGTERM"])
def test_an_own_process(how):
    words = [sys.executable, "-m", "tests.winrm_server", "--users", "me:pass", "--transports", "ntlm"]
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(words, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = f"http://127.0.0.1:{int(process.stdout.readline())}/wsman"
            protocol = Protocol(url, "ntlm", "me", "pass", proxy=None, ca_trust_path=None)
            command = protocol.run_command(shell := protocol.open_shell(), "echo $$; exec sleep 100")
            group = int(protocol.get_command_output_raw(shell, command)[0])
            assert running(group)
            if how == "SIGTERM":
                process.terminate()
            else:
                process.stdin.close()
            assert process.wait(10) == 0
            assert not running(group)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
