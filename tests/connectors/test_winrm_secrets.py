"""Nothing that a Windows host is told in confidence shows itself anywhere on this side.

Every logger there is, those of the libraries among them, logs everything. Looked for are a password, standard input and
a script's text, in each shape in which they travel: plain, UTF-16, base64, and the password's hash.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.base import Command, Deadline, Form, Timeouts
from sshexec.connectors.output import Output
from sshexec.connectors.winrm.connector import WinrmConnector
from sshexec.errors import AuthenticationError, HostError, OptionError
from sshexec.secret import Secret
from tests.winrm_server import Answer, Tls, WinrmServer
from tests.winrm_server.certificates import Certificates

PASSWORD = "Pw-canary-7Qx!is-the-secret-ZZtop"
WRONG = "Wrong-canary-51Kd-tries-it"
STDIN = "Stdin-canary-93Lm-is-fed-to-it"
SCRIPT = "Script-canary-28Vb-is-its-text"
PRINTED = "Printed-canary-64Rt-comes-back"
LIMIT = 30.0


def shapes(secret: str) -> set[str]:
    """Return the texts that give a secret away, wherever in an encoded text it begins."""
    found = {secret, repr(secret)[1:-1], ascii(secret)[1:-1]}
    for encoding in ("utf-8", "utf-16-le"):
        data = secret.encode(encoding)
        found |= {repr(data)[2:-1], data.hex()}
        for shift in range(3):
            # The first and the last group depend on what stands beside.
            text = base64.b64encode(b"\0" * shift + data).decode()
            found.add(text[4 : len(text) - len(text) % 4 - 4])
    if secret == PASSWORD:
        from spnego._ntlm_raw.crypto import ntowfv1

        hashed = ntowfv1(secret)
        found |= {hashed.hex(), hashed.hex().upper(), repr(hashed)[2:-1]}
    return found


ALL = {name: shapes(globals()[name]) for name in ("PASSWORD", "WRONG", "STDIN", "SCRIPT", "PRINTED")}


def given_away(text: str, *names: str) -> list[tuple[str, str, str]]:
    """Return which of the secrets a text holds, in which shape, and what stands around it."""
    return [
        (name, shape, text[max(0, text.index(shape) - 150) : text.index(shape) + len(shape) + 50])
        for name in names or ALL
        for shape in ALL[name]
        if shape in text
    ]


class Everything(logging.Handler):
    """Keeps all that is logged, arguments and tracebacks too."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
        self.lines.append(f"{record.name}: {record.getMessage()} {record.args!r} {trace}")


@pytest.fixture
def logged() -> Iterator[Everything]:
    """All loggers at DEBUG, those of libraries among them."""
    handler = Everything()
    names = [None, "urllib3", "urllib3.connectionpool", "requests", "requests_ntlm", "spnego", "winrm", "sshexec"]
    names += ["spnego._ntlm", "spnego._credssp", "requests_credssp", "requests_credssp.credssp", "requests_kerberos"]
    before = {name: logging.getLogger(name).level for name in [*names, *logging.root.manager.loggerDict]}
    for name in before:
        logging.getLogger(name).setLevel(logging.DEBUG)
    logging.root.addHandler(handler)
    yield handler
    logging.root.removeHandler(handler)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WinrmServer]:
    drive = tmp_path_factory.mktemp("drive")
    transports = ("basic", "ntlm", "credssp")
    with WinrmServer({"vagrant": PASSWORD}, transports, allow_unencrypted=True, drive=drive) as made:
        made.powershell[f"# {SCRIPT}"] = Answer(PRINTED, "", 0)
        yield made


def shown(error: BaseException) -> str:
    """Return all that an exception says, and those behind it."""
    behind: list[str] = []
    each: BaseException | None = error
    while each is not None:
        behind += [repr(each), str(each), repr(each.args), repr(vars(each)), "".join(getattr(each, "__notes__", []))]
        each = each.__cause__ or each.__context__
    return "\n".join([*behind, *traceback.format_exception(error)])


def connector(server: WinrmServer, password: str, **more: Any) -> WinrmConnector:
    variables = {**server.variables(**more), "ansible_password": Secret(password)}
    options = WinrmConnector.Options.from_vars(variables, "win1")
    context = WinrmConnector.Context()
    context.check(options)
    return WinrmConnector("win1", options, context, Timeouts())


def used(connection: WinrmConnector) -> None:
    """Open a connection and run a command."""
    connection.open(Deadline.after(LIMIT))
    connection.execute(Command("exit 0", STDIN.encode(), form=Form.CMD), Output(), Deadline.after(LIMIT))


def own_process() -> str:
    """Return this process's command line and environment, as others see them."""
    return Path("/proc/self/cmdline").read_text("utf-8", "replace") + Path("/proc/self/environ").read_text(
        "utf-8", "replace"
    )


@pytest.mark.parametrize("transport", ["basic", "ntlm", "credssp"])
def test_what_a_host_is_told_shows_itself_nowhere(transport, server, logged, capfd):
    connection = connector(server, PASSWORD, ansible_winrm_transport=transport)
    output = Output()
    said = [repr(connection), repr(connection.options), repr(vars(connection)), str(connection.options)]
    try:
        connection.open(Deadline.after(LIMIT))
        done = connection.execute(Command(f"# {SCRIPT}"), output, Deadline.after(LIMIT))
        assert (done.rc, output.text("stdout").strip()) == (0, PRINTED)
        fed = Output()
        assert connection.execute(Command("cat", STDIN.encode(), form=Form.CMD), fed, Deadline.after(LIMIT)).rc == 0
        assert STDIN in fed.text("stdout")
        connection.put(STDIN.encode(), "C:\\secret.txt", Deadline.after(LIMIT))
        server.misbehave("fault", op="Command", code=87)
        with pytest.raises(HostError) as caught:
            connection.execute(Command(f"# {SCRIPT}", STDIN.encode()), Output(), Deadline.after(LIMIT))
        said.append(shown(caught.value))
    finally:
        connection.close()
        connection.context.close()
    said += [repr(vars(connection)), repr(connection.notices), own_process(), *capfd.readouterr(), *logged.lines]
    assert given_away("\n".join(said)) == []


def test_a_client_certificates_passphrase_and_what_is_told_there(tmp_path, logged, capfd):
    made = Certificates(tmp_path)
    locked = tmp_path / "locked.key"
    subprocess.run(
        ["openssl", "pkcs8", "-topk8", "-in", made.client.key, "-out", locked, "-passout", "stdin"],
        input=PASSWORD.encode(),
        check=True,
    )
    authority = made.authority.certificate
    tls = Tls(
        made.right.certificate, made.right.key, ca=authority, client_ca=authority, client_users={"vagrant": "vagrant"}
    )
    with WinrmServer({"vagrant": PASSWORD}, ("certificate",), tls) as server:
        server.powershell[f"# {SCRIPT}"] = Answer(PRINTED)
        variables = {
            name: value for name, value in server.variables().items() if not name.endswith(("user", "password"))
        }
        variables |= {
            "ansible_winrm_cert_pem": str(made.client.certificate),
            "ansible_winrm_cert_key_pem": str(locked),
            "sshexec_winrm_cert_key_passphrase": PASSWORD,
        }
        options = WinrmConnector.Options.from_vars(variables, "win1")
        context = WinrmConnector.Context()
        context.check(options)
        connection = WinrmConnector("win1", options, context, Timeouts())
        try:
            connection.open(Deadline.after(LIMIT))
            connection.execute(Command(f"# {SCRIPT}", STDIN.encode()), Output(), Deadline.after(LIMIT))
        finally:
            connection.close()
            context.close()
        wrong = WinrmConnector.Options.from_vars({**variables, "sshexec_winrm_cert_key_passphrase": WRONG}, "win2")
        with pytest.raises(OptionError) as caught:
            WinrmConnector.Context().check(wrong)
    said = [repr(options), repr(wrong), repr(vars(connection)), shown(caught.value), own_process()]
    key = "".join(made.client.key.read_text().splitlines()[1:-1])
    text = "\n".join([*said, *capfd.readouterr(), *logged.lines])
    assert given_away(text) == []
    assert key[:60] not in text


@pytest.mark.parametrize("transport", ["basic", "ntlm", "credssp"])
def test_a_wrong_password_is_not_told_in_its_refusal(transport, server, logged, capfd):
    connection = connector(server, WRONG, ansible_winrm_transport=transport)
    with pytest.raises(AuthenticationError) as caught:
        used(connection)
    connection.close()
    connection.context.close()
    assert given_away("\n".join([shown(caught.value), *capfd.readouterr(), *logged.lines])) == []


def test_the_probe_finds_what_is_given_away(logged):
    """Judge the judge: each shape is found in what a careless logger writes."""
    script = base64.b64encode(f"$x = 1; # {SCRIPT} !".encode("utf-16-le")).decode()
    logging.getLogger("urllib3.connectionpool").debug("sent %s", {"line": f"powershell -EncodedCommand {script}"})
    logging.getLogger("spnego").debug("auth %r", f"vagrant:{PASSWORD}".encode())
    logging.getLogger("requests").debug("Basic " + base64.b64encode(f"vagrant:{PASSWORD}".encode()).decode())
    error = ValueError("no")
    error.__cause__ = KeyError(STDIN)
    assert [name for name, _, _ in given_away(logged.lines[0])] == ["SCRIPT"]
    assert "PASSWORD" in {name for name, _, _ in given_away(logged.lines[1])}
    assert "PASSWORD" in {name for name, _, _ in given_away(logged.lines[2])}
    assert "STDIN" in {name for name, _, _ in given_away(shown(error))}


# A whole run, in a worker

DRIVER = """
import json, logging, os, sys
from pathlib import Path
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
from sshexec import Engine, Host, Inventory

def seen():
    # This process and all below it, while they run: command line, environment; a worker's standard error is a file.
    waiting, found = [os.getpid()], []
    while waiting:
        pid = waiting.pop()
        for name in ("cmdline", "environ") if pid == os.getpid() else ("cmdline", "environ", "fd/2"):
            try:
                found.append(Path(f"/proc/{pid}/{name}").read_bytes().decode("utf-8", "replace"))
            except OSError:
                continue
        for task in os.listdir(f"/proc/{pid}/task"):
            waiting += [int(each) for each in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    return found, len(found)

def main():
    job = json.loads(sys.stdin.read())
    told = []
    with Engine(Inventory.from_hosts([Host("win1", job["variables"]), Host("win2", job["wrong"])]), keep=30) as engine:
        for event in engine.stream("all", "raw", job["line"], no_log=True, environment={"SECRET": job["stdin"]}):
            told.append(repr(event))
            if hasattr(event, "to_dict"):
                told.append(json.dumps(event.to_dict(), default=repr))
        result = engine.run("all", "raw", job["line"], no_log=True)
        told.append(json.dumps(result.to_dict(), default=repr))
        told.append(repr(result))
        statuses = {name: each.status for name, each in result.items()}
        processes, count = seen()
    print(json.dumps({"told": told, "processes": processes, "count": count, "statuses": statuses}))

if __name__ == "__main__":
    main()
"""


def test_a_run_in_a_worker_gives_nothing_away(server, tmp_path):
    """The worker's own standard error, too, where all libraries log to it."""
    (tmp_path / "sitecustomize.py").write_text("import logging\nlogging.basicConfig(level=logging.DEBUG)\n")
    (tmp_path / "driver.py").write_text(DRIVER)
    variables = {name: _plain(value) for name, value in server.variables(ansible_winrm_transport="ntlm").items()}
    job = {
        "variables": {**variables, "ansible_password": PASSWORD},
        "wrong": {**variables, "ansible_password": WRONG},
        "line": f"# {SCRIPT}",
        "stdin": STDIN,
    }
    done = subprocess.run(
        [sys.executable, str(tmp_path / "driver.py")],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout)
    assert said["statuses"] == {"win1": "changed", "win2": "unreachable"}
    assert said["count"] >= 5, "the worker was not looked at"
    assert any("DEBUG:spnego" in each for each in said["processes"]), "the worker's libraries do not log"
    assert given_away("\n".join([*said["told"], *said["processes"], done.stderr])) == []


def _plain(value: Any) -> Any:
    return value.reveal() if isinstance(value, Secret) else value


def test_the_hash_that_is_looked_for_is_the_passwords():
    """MD4 of UTF-16: a known pair (MS-NLMP 4.2.2.1.1), since hashlib has no MD4 where OpenSSL has none."""
    from spnego._ntlm_raw.crypto import ntowfv1

    assert ntowfv1("Password").hex() == "a4f49c406510bdcab6824ee7c30fd852"
