"""The endpoint, judged by real Ansible's winrm connection; and Ansible's results of `raw` beside ours on it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Host, Inventory
from sshexec.secret import Secret
from tests.oracle.compare import differences, normalised
from tests.oracle.conftest import PYTHON
from tests.oracle.process import AnsibleProcess
from tests.testbed import lacking
from tests.winrm_server.certificates import Certificates
from tests.winrm_server.conftest import USERS
from tests.winrm_server.kdc import REALM, Kdc
from tests.winrm_server.powershell import Answer, Call
from tests.winrm_server.scripts.script import started
from tests.winrm_server.server import WinrmServer
from tests.winrm_server.tls import Tls

PLUGIN = Path(__file__).with_name("plugin.py")
BOOTSTRAP = re.compile(r"ConvertFrom-Json -InputObject \$codeJson")
"""Found in what ansible-core 2.19 runs for every script of its own; the script's name and arguments come on stdin."""
REMOVAL = re.compile(r"\ARemove-Item|\nRemove-Item '[^']+' -Force -Recurse")
ENVELOPE = 500 << 10
"""MaxEnvelopeSizekb of Windows since 2012: a piece of Ansible's put has 250,000 bytes, twice in base64."""


class Ansible(AnsibleProcess):
    """Ansible's connection plugin in a process of its own.

    Args:
        home: its home directory.
        more: of its environment.
    """

    def __init__(self, home: Path, more: dict[str, str]) -> None:
        super().__init__(PYTHON, PLUGIN, home, more=more)

    def steps(self, server: WinrmServer, *steps: tuple[str, ...], **variables: Any) -> list[dict[str, Any]]:
        """Hold one conversation; return each step's answer."""
        answers: list[dict[str, Any]] = self.ask(variables=server.variables(**variables), steps=steps)["answers"]
        return answers

    def task(self, server: WinrmServer, module: str, args: Any, **variables: Any) -> tuple[str, dict[str, Any]]:
        """Run one task; return its status and result."""
        inventory = self.home / "inventory.json"
        hosts = {"w": server.variables(**variables)}
        inventory.write_text(json.dumps({"all": {"hosts": hosts}}, default=Secret.reveal))
        answer = self.ask(inventory=str(inventory), basedir=str(self.home), module=module, args=args)
        return answer["status"], answer["result"]


def has(*modules: str) -> bool:
    """Whether the oracle's Python has these."""
    asked = [PYTHON, "-c", "import " + ", ".join(modules)]
    return Path(PYTHON).exists() and subprocess.run(asked, check=False, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def ansible(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ansible]:
    """One process for all conversations; it belongs to no Kerberos realm."""
    if not has("ansible", "winrm"):
        lacking("ansible-core and pywinrm beside it (make oracle)")
    home = tmp_path_factory.mktemp("ansible")
    (home / "krb5.conf").write_text("[libdefaults]\n  dns_lookup_kdc = false\n")
    made = Ansible(home, {"KRB5_CONFIG": str(home / "krb5.conf")})
    yield made
    made.close()


def bootstrap(call: Call) -> int:
    """Stand for ansible-core's own PowerShell: do what the script that standard input names does."""
    lines = iter(call.stdin)
    _document(lines)
    manifest = _document(lines)
    action = manifest["actions"][0]
    if action["name"] == "powershell_mkdtemp.ps1":
        path = f"{call.environment['TEMP']}\\{action['params']['Name']}"
        call.drive.resolve(path).mkdir()
        call.out(f"{path}\r\n")
        return 0
    if action["name"] == "module_wrapper.ps1":
        text = base64.b64decode(manifest["scripts"][action["params"]["Script"]]["script"]).decode()
        path, arguments = re.fullmatch(r"&\s+('[^']+'|\S+)(.*); exit \$LASTEXITCODE", text).groups()  # type: ignore[union-attr]
        return started(call, call.drive.resolve(path.strip("'")), "", shlex.split(arguments))
    place = call.drive.resolve(action["params"]["Path"])
    if action["name"] == "winrm_put_file.ps1":
        data = b"".join(base64.b64decode(line) for line in lines)
        place.write_bytes(data)
        call.out(json.dumps({"sha1": hashlib.sha1(data).hexdigest()}) + "\r\n")
        return 0
    assert action["name"] == "winrm_fetch_file.ps1"
    if place.is_dir():
        call.out("[DIR]\r\n")
    elif not place.exists():
        call.err(f"{action['params']['Path']} does not exist")
        return 1
    else:
        offset = action["params"]["Offset"]
        call.out(base64.b64encode(place.read_bytes()[offset : offset + action["params"]["BufferSize"]]) + b"\r\n")
    return 0


def remove(call: Call) -> int:
    """Stand for the removal of a temporary directory."""
    path = re.search(r"Remove-Item '([^']+)\\\.'", call.script)
    assert path is not None
    shutil.rmtree(call.drive.resolve(path[1]))
    return 0


def _document(lines: Iterator[str]) -> Any:
    text = []
    for line in lines:
        if line == "\0\0\0\0":
            break
        text.append(line)
    return json.loads("\n".join(text))


@pytest.fixture
def server(drive: Path) -> Iterator[WinrmServer]:
    """A service that has answers to what the tests ask."""
    with WinrmServer(
        users=USERS,
        transports=("ntlm", "basic", "credssp"),
        allow_unencrypted=True,
        max_envelope=ENVELOPE,
        drive=drive,
    ) as serving:
        serving.powershell.update(ANSWERS)
        serving.powershell[BOOTSTRAP] = Answer(run=bootstrap)
        serving.powershell[REMOVAL] = Answer(run=remove)
        yield serving


ANSWERS = {
    "Get-Both": Answer("out\r\n", "err one\r\nerr two"),
    "Get-Nothing": Answer(),
    "Exit-With 3": Answer("before\r\n", rc=3),
    "Exit-With -1": Answer("", rc=-1),
    "Get-Unicode 'ß 日本 🙂'": Answer("grüße 日本 € 🙂\r\n", "schön\r\n", 1),
    "Get-Unstripped": Answer("\r\n  a \r\n\r\n"),
    "Get-Lines": Answer("one\ntwo\r\nthree"),
    "Get-Plain": Answer("o\r\n", b"plain text, no CLIXML\r\n"),
    "Get-Long": Answer("x" * 300_000 + "\r\n"),
    "Get-Xml": Answer("<&> \"'\r\n", "<Objs> &amp; _x000A_ \x1b[31mred\x1b[0m"),
    "Get-Name -Filter \"a = 'b'\" | Sort-Object { $_.Length }": Answer("sorted\r\n"),
}
"""Users' PowerShell, and what the double answers."""


@pytest.mark.parametrize("transport", ["ntlm", "basic", "credssp"])
def test_commands_share_one_shell_and_one_connection(ansible: Ansible, server: WinrmServer, transport: str) -> None:
    steps = [("exec", "Get-Both"), ("exec", "Exit-With 3"), ("exec", "Get-Nothing")]
    answers = ansible.steps(server, *steps, ansible_winrm_transport=transport)
    assert answers == [
        {"rc": 0, "stdout": "out\r\n", "stderr": "err one\r\nerr two"},
        {"rc": 3, "stdout": "before\r\n", "stderr": ""},
        {"rc": 0, "stdout": "", "stderr": ""},
    ]
    assert server.operations == ["Create", *["Command", "Receive", "Signal"] * 3, "Delete"]
    assert server.log[0].detail["options"]["WINRS_CODEPAGE"] == "65001"
    assert (server.connections, server.logins, server.failed_logins) == (1, 1, 0)
    assert server.unsealed == (11 if transport == "basic" else 0)
    assert not server.shells


@pytest.mark.parametrize("size", [0, 1, 250_000, 1_200_000])
def test_files_there_and_back(ansible: Ansible, server: WinrmServer, tmp_path: Path, size: int) -> None:
    """Ansible compares SHA-1 itself after a put."""
    data = os.urandom(size)
    (tmp_path / "source").write_bytes(data)
    there = r"C:\Users\it's a näme.bin"
    steps = [("put", str(tmp_path / "source"), there), ("fetch", there, str(tmp_path / "back"))]
    assert ansible.steps(server, *steps) == [{}, {}]
    assert server.disk("vagrant").resolve(there).read_bytes() == data
    assert (tmp_path / "back").read_bytes() == data
    assert (server.connections, server.unsealed) == (1, 0)


def test_file_that_is_not_there(ansible: Ansible, server: WinrmServer, tmp_path: Path) -> None:
    (answer,) = ansible.steps(server, ("fetch", r"C:\none", str(tmp_path / "back")))
    assert answer["kind"] == "AnsibleError"
    assert not server.shells


def test_wrong_password(ansible: Ansible, server: WinrmServer) -> None:
    """Unreachable, after one attempt."""
    status, result = ansible.task(server, "raw", "Get-Both", ansible_password="wrong")
    assert status == "unreachable"
    assert "credentials were rejected" in result["msg"]
    assert (server.logins, server.failed_logins) == (1, 1)


def test_quota_of_operations(ansible: Ansible, server: WinrmServer) -> None:
    """Ansible makes a new shell where the old one may start nothing more."""
    server.max_operations = 2
    answers = ansible.steps(server, *[("exec", "Get-Both")] * 3)
    assert [each["rc"] for each in answers] == [0, 0, 0]
    assert server.operations.count("Create") == 2
    assert not server.shells


def test_silence_longer_than_the_operation_timeout(ansible: Ansible, server: WinrmServer) -> None:
    """Ansible goes on asking."""
    server.powershell["Wait"] = Answer("late\r\n", delay=1.5)
    (answer,) = ansible.steps(server, ("exec", "Wait"), ansible_winrm_connection_timeout=1)
    assert (answer["rc"], answer["stdout"]) == (0, "late\r\n")
    assert server.operations.count("Receive") == 2


@pytest.mark.parametrize("transport", ["basic", "ntlm", "certificate"])
def test_https(ansible: Ansible, certificates: Certificates, transport: str) -> None:
    shown = certificates.right
    authority = certificates.authority.certificate
    tls = Tls(shown.certificate, shown.key, ca=authority, client_ca=authority, client_users={"vagrant": "vagrant"})
    with WinrmServer(users=USERS, transports=("basic", "ntlm", "certificate"), tls=tls) as server:
        server.powershell.update(ANSWERS)
        more = {
            "ansible_winrm_cert_pem": str(certificates.client.certificate),
            "ansible_winrm_cert_key_pem": str(certificates.client.key),
        }
        (answer,) = ansible.steps(
            server,
            ("exec", "Get-Both"),
            ansible_winrm_transport=transport,
            **(more if transport == "certificate" else {}),
        )
        assert answer["stdout"] == "out\r\n"
        assert (server.connections, server.logins, server.failed_logins) == (1, 1, 0)


def test_kerberos_by_password(kdc: Kdc, tmp_path: Path) -> None:
    """Ansible gets the ticket itself, by kinit; the service gets it too where delegation is asked for."""
    if not has("ansible", "winrm", "kerberos"):
        lacking("ansible-core, pywinrm and pykerberos beside it (make oracle kerberos)")
    ansible = Ansible(tmp_path, kdc.environment(tmp_path / "none"))
    acceptor = {name: value for name, value in kdc.environment().items() if name != "KRB5CCNAME"}
    try:
        with WinrmServer(users=USERS, transports=("kerberos",), surroundings=acceptor) as server:
            server.powershell.update(ANSWERS)
            for delegate in (False, True):
                (answer,) = ansible.steps(
                    server,
                    ("exec", "Get-Both"),
                    ansible_host="localhost",
                    ansible_user=f"vagrant@{REALM}",
                    ansible_winrm_kinit_env_vars=["KRB5_CONFIG"],
                    ansible_winrm_kerberos_delegation=delegate,
                )
                assert answer["stdout"] == "out\r\n"
            assert server.delegated == [f"vagrant@{REALM}"]
            assert [who for _, _, who in server.login_log] == ["vagrant"] * 2
            assert server.unsealed == 0
    finally:
        ansible.close()


def ours(server: WinrmServer, module: str, args: Any) -> tuple[str, dict[str, Any]]:
    """Run one task with this project's engine; return its status and result."""
    with Engine(Inventory.from_hosts([Host("w", server.variables())])) as engine:
        result = engine.run("w", module, args)["w"]
    return {"changed": "ok"}.get(result.status, result.status), result.to_ansible()


@pytest.mark.parametrize("script", sorted(ANSWERS))
def test_raw_as_ansible_has_it(ansible: Ansible, server: WinrmServer, script: str) -> None:
    """Exit code, both streams, their lines, status and message of `raw` are the same."""
    their_status, theirs = ansible.task(server, "raw", script)
    our_status, mine = ours(server, "raw", script)
    assert our_status == their_status
    compare(mine, theirs)
    assert not server.shells


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("it works.ps1", "Write-Output $args\n[Console]::Error.WriteLine('schön')\nexit 3\n"),
        ("silent.ps1", "# nothing\n"),
        ("lines.ps1", "Write-Output 'one'\nWrite-Output ''\nWrite-Output '日本'\n"),
        ("old.bat", "@echo off\necho %*\necho bad 1>&2\nexit /b 2\n"),
    ],
)
def test_script_as_ansible_has_it(ansible: Ansible, server: WinrmServer, name: str, text: str) -> None:
    """The script's own output and exit code make the same result; neither leaves anything on the host."""
    (ansible.home / name).write_text(text)
    path = shlex.quote(str(ansible.home / name))
    their_status, theirs = ansible.task(server, "script", f"{path} a 'b c'")
    our_status, mine = ours(server, "script", f"{path} a 'b c'")
    assert our_status == their_status
    compare(mine, theirs)
    assert list(server.disk("vagrant").resolve(r"C:\Users\vagrant\AppData\Local\Temp").iterdir()) == []


def compare(mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    """See that both results say the same."""
    # Ansible tells the DWORD as it came; here an exit code is what the program said, and what Ansible's own win_command
    # makes of it.
    assert mine["rc"] == (theirs["rc"] ^ 0x80000000) - 0x80000000
    pairs = [normalised("raw", {**each, "rc": None, "failed": None}) for each in (mine, theirs)]
    assert differences(*pairs) == {}
