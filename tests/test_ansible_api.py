"""`AnsibleApi`: the class that platform code wraps around Ansible's Python API."""

from __future__ import annotations

import inspect
import json
import logging
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sshexec import Secret
from sshexec.ansible_api import AnsibleApi
from sshexec.connectors import registry
from sshexec.errors import ArgumentError, InputError, SshexecError
from sshexec.runtime.plan import connection
from tests.connectors.test_become import DOUBLE, PASSWORD, SUDO
from tests.runtime.conftest import wait_for
from tests.testbed import Sshd
from tests.winrm_server.powershell import Answer
from tests.winrm_server.server import WinrmServer

Make = Callable[..., AnsibleApi]


@pytest.fixture
def api(sshd: Sshd) -> Iterator[Make]:
    """Make the class for hosts behind the test server."""
    made = []

    def make(hosts: Any, **settings: Any) -> AnsibleApi:
        trust = {"ansible_ssh_common_args": f"-o UserKnownHostsFile={sshd.known_hosts}"}
        given = {"port": sshd.port, "private_key_file": str(sshd.key), **settings}
        made.append(AnsibleApi(hosts, **given, variables={**trust, **settings.pop("variables", {})}))
        return made[-1]

    yield make
    for each in made:
        each.close()


def fake(**variables: Any) -> dict[str, Any]:
    return {"ansible_connection": "fake", **variables}


def answers(host: str, **variables: Any) -> dict[str, Any]:
    """Return settings of a host that answers ``uptime``."""
    return {host: fake(fake_answers={"uptime": "up\n"}, **variables)}


# ---------------------------------------------------------------- the original's surface


def test_arguments_have_the_names_order_and_defaults_of_the_original() -> None:
    parameters = inspect.signature(AnsibleApi).parameters.values()
    assert [(each.name, each.default) for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD] == [
        ("host_lists", None),
        ("iswin", False),
        ("port", 22),
        ("connection", "smart"),
        ("remote_user", None),
        ("remote_password", None),
        ("private_key_file", None),
        ("sudo", None),
        ("sudo_user", None),
        ("ask_sudo_pass", None),
        ("module_path", None),
        ("become", None),
        ("become_method", None),
        ("become_user", None),
        ("check", False),
        ("diff", False),
        ("listhosts", None),
        ("listtasks", None),
        ("listtags", None),
        ("verbosity", 3),
        ("syntax", None),
        ("start_at_task", None),
    ]
    run = list(inspect.signature(AnsibleApi.run).parameters.values())[1:]
    assert [(each.name, each.default) for each in run] == [
        ("args", inspect.Parameter.empty),
        ("gether_facts", "no"),
        ("module", "shell"),
        ("task_time", 0),
    ]


def test_results_are_printed_and_returned_by_host(api: Make, capsys: pytest.CaptureFixture[str]) -> None:
    made = api(["127.0.0.1", "127.0.0.2", "127.0.0.3:1"])
    assert made.run("case $SSH_CONNECTION in *127.0.0.2*) exit 3 ;; esac; echo a=b") is None
    returned = made.get_result()
    printed = capsys.readouterr().out
    maps = {name: returned[name] for name in ("success", "failed", "unreachable")}
    assert printed == json.dumps(maps, indent=4) + "\n"
    assert {name: list(hosts) for name, hosts in returned.items()} == {
        "success": ["127.0.0.1"],
        "failed": ["127.0.0.2"],
        "unreachable": ["127.0.0.3"],
        "skipped": [],
    }
    good, bad, gone = (next(iter(maps[name].values())) for name in ("success", "failed", "unreachable"))
    assert (good["stdout"], good["changed"], good["_ansible_no_log"]) == ("a=b", True, False)
    assert (bad["rc"], bad["msg"], bad.get("failed")) == (3, "non-zero return code", None)
    assert (gone["unreachable"], gone["changed"], "rc" in gone) == (True, False, False)


def test_the_last_run_counts(api: Make, capsys: pytest.CaptureFixture[str]) -> None:
    made = api(["127.0.0.1"])
    assert made.get_result() == {"success": {}, "failed": {}, "unreachable": {}, "skipped": {}}
    made.run("exit 1")
    made.run("echo two")
    assert [len(hosts) for hosts in made.get_result().values()] == [1, 0, 0, 0]
    with pytest.raises(ArgumentError, match="Unsupported parameters"):
        made.run("bogus=1", module="ping")
    assert made.get_result()["success"] == {}  # not those of the run before
    capsys.readouterr()


def test_skipped_hosts_are_visible_and_not_printed(api: Make, capsys: pytest.CaptureFixture[str]) -> None:
    made = api(["127.0.0.1"], check=True)
    made.run("touch /nope/x")
    returned = made.get_result()
    assert returned["skipped"]["127.0.0.1"]["msg"] == "Command would have run if not in check mode"
    assert "skipped" not in returned["skipped"]["127.0.0.1"]
    assert json.loads(capsys.readouterr().out) == {"success": {}, "failed": {}, "unreachable": {}}


def test_check_and_diff_work(api: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = api(["127.0.0.1"], check=True, diff=True)
    made.run({"dest": str(tmp_path / "new"), "content": "text\n"}, module="copy")
    result = made.get_result()["success"]["127.0.0.1"]
    assert result["changed"]
    assert result["diff"][0]["after"] == "text\n"
    assert not (tmp_path / "new").exists()
    capsys.readouterr()


def test_forks_bound_how_many_hosts_work_at_once(api: Make, tmp_path: Path) -> None:
    hosts = [f"127.0.0.{n}" for n in range(1, 7)]
    script = f"cd {tmp_path}; touch $$; ls | wc -l; sleep 0.3; rm $$"
    seen = {}
    for forks in (2, 100):
        made = api(hosts, forks=forks)
        made.run(script)
        seen[forks] = max(int(each["stdout"]) for each in made.get_result()["success"].values())
    assert seen == {2: 2, 100: 6}
    with pytest.raises(ArgumentError, match="forks"):
        AnsibleApi(hosts, forks=0)


# ---------------------------------------------------------------- hosts


def test_hosts_are_texts_or_mappings_with_variables(capsys: pytest.CaptureFixture[str]) -> None:
    shapes: list[Any] = [
        answers("web1", role="db"),
        [{"hostname": "web1", "vars": answers("web1", role="db")["web1"]}],
        [{"name": "web1", **answers("web1", role="db")["web1"]}],
        ({"host": "web1", "port": "2222", **answers("web1", role="db")["web1"]},),
    ]
    for hosts in shapes:
        with AnsibleApi(hosts) as made:
            made.run("uptime  # {{ role }}")
            made.run("uptime")
            assert made.get_result()["success"]["web1"]["stdout"] == "up"
    with AnsibleApi("web1, web2:2222", connection="fake") as made:
        made.run("", module="ping")
        assert sorted(made.get_result()["success"]) == ["web1", "web2"]
    capsys.readouterr()


@pytest.mark.parametrize(
    ("host", "settings", "expected"),
    [
        ("h", {}, ("ssh", 22, None, None, None)),
        ("h", {"port": 2200, "remote_user": "u", "remote_password": "p"}, ("ssh", 2200, "u", "p", None)),
        ("h:2222", {"port": 2200}, ("ssh", 2222, None, None, None)),
        ("[2001:db8::1]:2222", {"connection": "paramiko"}, ("ssh", 2222, None, None, None)),
        ({"hostname": "h", "ansible_ssh_port": 7}, {"port": 9}, ("ssh", 7, None, None, None)),
        ({"hostname": "h", "ansible_ssh_user": "own"}, {"remote_user": "u"}, ("ssh", 22, "own", None, None)),
        ({"hostname": "h", "ansible_ssh_pass": "own"}, {"remote_password": "p"}, ("ssh", 22, None, "own", None)),
        ("h", {"private_key_file": "/k", "remote_password": Secret("p")}, ("ssh", 22, None, "p", "/k")),
        ("h", {"variables": {"ansible_ssh_user": "won"}, "remote_user": "u"}, ("ssh", 22, "won", None, None)),
        ("h", {"connection": "local"}, ("local", 22, None, None, None)),
    ],
)
def test_a_hosts_own_settings_win(host: Any, settings: dict[str, Any], expected: tuple[Any, ...]) -> None:
    with AnsibleApi([host], **settings) as made:
        inventory = made._engine.inventory
        (member,) = inventory.hosts.values()
        variables = {**inventory.variables(member), **settings.get("variables", {})}
    connector = registry.connector_class(variables["ansible_connection"])
    if connector.name == "local":
        assert expected[0] == "local"
        return
    options: Any = connector.Options.from_vars({**variables, "ansible_ssh_common_args": "-F none"}, member.name)
    password = options.password and options.password.reveal()
    user = options.user if expected[2] is not None else None
    assert (connector.name, options.port, user, password, options.key_file) == expected


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        (None, r"host_lists: expected a list of hosts, got None"),
        (5, r"host_lists: expected a list of hosts, got 5"),
        ([], r"host_lists: names no host"),
        ("", r"host_lists: names no host"),
        ([5], r"host_lists: expected names, or mappings of them, got int"),
        ([{"ip": "127.0.0.1"}], r"host_lists: a mapping needs the host's name as 'hostname', got \['ip'\]"),
        ([{"host": "a", "name": "b"}], r"a mapping needs the host's name"),
        (["h:99999"], r"host_lists: the port of 'h:99999'"),
        ([{"hostname": "h", "port": "x"}], r"host_lists: the port of 'h': is no whole number"),
        ({"h": "root"}, r"host_lists: the variables of 'h': expected a mapping of names to values, got str"),
        (["h:1", "h:2"], r"host_lists: 'h' is there twice, and not with the same settings"),
        ([""], r"a host has an empty name"),
    ],
)
def test_hosts_that_are_none_are_refused(hosts: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        AnsibleApi(hosts)


def test_the_same_host_twice_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    with AnsibleApi(["h", "h"], connection="fake") as made:
        made.run("", module="ping")
        assert list(made.get_result()["success"]) == ["h"]
    capsys.readouterr()


# ---------------------------------------------------------------- another user


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, None),
        ({"become_user": "deploy"}, None),
        ({"sudo": True}, ("sudo", "root", None)),
        ({"sudo": "yes", "sudo_user": "deploy"}, ("sudo", "deploy", None)),
        ({"sudo": True, "become": False}, None),
        ({"become": True, "become_method": "su", "become_user": "deploy"}, ("su", "deploy", None)),
        ({"become": "yes", "become_user": "a", "sudo_user": "b"}, ("sudo", "a", None)),
        ({"become": True, "become_password": "s3"}, ("sudo", "root", "s3")),
        ({"become": True, "become_password": Secret("s3"), "ask_sudo_pass": True}, ("sudo", "root", "s3")),
        ({"sudo": True, "ask_sudo_pass": "s3"}, ("sudo", "root", "s3")),
        ({"sudo": True, "ask_sudo_pass": True, "remote_password": "login"}, ("sudo", "root", "login")),
        ({"sudo": True, "ask_sudo_pass": "Yes", "remote_password": "login"}, ("sudo", "root", "login")),
        ({"sudo": True, "ask_sudo_pass": "no", "remote_password": "login"}, ("sudo", "root", None)),
        ({"become": True, "become_password": "s3", "own": {"ansible_sudo_pass": "own"}}, ("sudo", "root", "own")),
    ],
)
def test_who_a_task_runs_as(settings: dict[str, Any], expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from sshexec.connectors.become import Become, BecomeKeywords

    own = settings.pop("own", {})
    with AnsibleApi({"h": own}, **settings) as made:
        given: dict[str, Any] = {}
        monkeypatch.setattr(made._engine, "run", lambda *_, **options: given.update(options))
        made.run("true")
        keywords = BecomeKeywords(given["become"], given["become_user"], given["become_method"])
        become = Become.from_vars(made._engine.inventory.variables("h"), keywords)
    if become is None:
        assert expected is None
    else:
        assert (become.method, become.user, become.password and become.password.reveal()) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ask_sudo_pass": True}, "nobody can be asked here"),
        ({"ask_sudo_pass": True, "become_method": "su", "remote_password": "x"}, "nobody can be asked here"),
        ({"ask_sudo_pass": 5}, "ask_sudo_pass: expected a text, got int"),
        ({"remote_password": {"conn_pass": "hunter2"}}, "remote_password: expected a text, got dict"),
        ({"become": "perhaps"}, "become: expected yes or no, got 'perhaps'"),
        ({"sudo": 7}, "sudo: expected yes or no, got 7"),
        ({"check": "perhaps"}, "check: expected yes or no, got 'perhaps'"),
        ({"diff": 7}, "diff: expected yes or no, got 7"),
        ({"iswin": "linux"}, "iswin: expected yes or no, got 'linux'"),
        ({"variables": 7}, "variables: expected a mapping"),
    ],
)
def test_settings_that_are_none_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message) as caught:
        AnsibleApi(["h"], **settings)
    assert "hunter2" not in str(caught.value)


def test_become_works_on_a_real_host(api: Make, capsys: pytest.CaptureFixture[str]) -> None:
    if subprocess.run(["sudo", "-n", "-u", "nobody", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no sudo without a password here")
    made = api(["127.0.0.1"], become=True, become_user="nobody")
    made.run("id -un")
    assert made.get_result()["success"]["127.0.0.1"]["stdout"] == "nobody"
    capsys.readouterr()


def test_a_password_reaches_sudo_and_nothing_else(
    api: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program, heard = tmp_path / "sudo", tmp_path / "heard"
    program.write_text(DOUBLE)
    program.chmod(0o755)
    said = {"WANTED": PASSWORD, "HEARD": str(heard), **SUDO}
    exe = shlex.join(["env", *(f"{name}={value}" for name, value in said.items()), str(program)])
    for settings, status in [
        ({"become_password": PASSWORD}, "success"),
        ({"ask_sudo_pass": PASSWORD}, "success"),
        ({"ask_sudo_pass": True, "remote_password": PASSWORD}, "success"),
        ({"become_password": "wrong"}, "failed"),
        ({}, "failed"),
    ]:
        heard.unlink(missing_ok=True)
        made = api({"127.0.0.1": {"ansible_become_exe": exe}}, become=True, **settings)
        made.run("cat")
        result = made.get_result()[status]["127.0.0.1"]
        assert PASSWORD not in repr(result)
        if status == "success":
            assert heard.read_text() == f"{PASSWORD}\n"
    assert result["msg"] == "Missing sudo password"
    capsys.readouterr()


# ---------------------------------------------------------------- Windows


@pytest.fixture
def windows(tmp_path: Path) -> Iterator[WinrmServer]:
    """A Windows host."""
    with WinrmServer({"Administrator": PASSWORD}, ("ntlm",), drive=tmp_path / "C") as server:
        yield server


def windows_host(server: WinrmServer, **variables: Any) -> dict[str, Any]:
    return {
        "ansible_host": server.host,
        "ansible_port": server.port,
        "ansible_winrm_transport": "ntlm",
        "ansible_winrm_scheme": "http",
        **variables,
    }


def test_windows_hosts_are_asked_raw_over_winrm(windows: WinrmServer, capsys: pytest.CaptureFixture[str]) -> None:
    windows.powershell["ipconfig"] = Answer("Windows IP\r\n\r\nEthernet\r\n", "careful\r\n")
    windows.powershell["exit 3"] = Answer("", "", 3)
    hosts = {"win1": windows_host(windows), "win2": windows_host(windows, ansible_password="wrong")}
    with AnsibleApi(hosts, iswin=True, remote_user="Administrator", remote_password=PASSWORD) as made:
        made.run("ipconfig", module="win_shell")
        maps = made.get_result()
        printed = json.loads(capsys.readouterr().out)
        made.run("exit 3")
        failed = made.get_result()["failed"]["win1"]
    result = maps["success"]["win1"]
    assert result == {
        "changed": True,
        "rc": 0,
        "stdout": "Windows IP\r\n\r\nEthernet\r\n",
        "stdout_lines": ["Windows IP", "", "Ethernet"],
        "stderr": "careful\r\n",
        "stderr_lines": ["careful"],
        "_ansible_no_log": False,
    }
    assert printed["success"]["win1"] == result
    assert printed["unreachable"]["win2"]["unreachable"] is True
    assert (failed["rc"], failed["msg"], failed["changed"]) == (3, "non-zero return code", True)
    assert PASSWORD not in repr(maps)
    assert windows.shells == {}


def test_windows_hosts_have_port_5985_unless_they_have_their_own() -> None:
    hosts = ["win1", "win2:15985", {"hostname": "win3", "ansible_winrm_port": 5986}]
    with AnsibleApi(hosts, iswin=True, port=22, connection="ssh", remote_user="me", remote_password="x") as made:
        inventory = made._engine.inventory
        reached = {host: connection(host, inventory.variables(host)) for host in ("win1", "win2", "win3")}
    assert {kind.name for kind, _ in reached.values()} == {"winrm"}
    assert [options.port for _, options in reached.values()] == [5985, 15985, 5986]  # type: ignore[attr-defined]


# ---------------------------------------------------------------- what is refused, and what stays hidden


def test_what_is_not_there_yet_is_refused() -> None:
    with AnsibleApi(["h"], connection="fake") as made:
        with pytest.raises(InputError, match="playbooks are not supported yet"):
            made.playbook(["site.yml"])
        with pytest.raises(ArgumentError, match="task_time: got 60, and tasks in the background"):
            made.run("true", task_time=60)
        for nothing in (None, 5, ["shell"]):
            with pytest.raises(ArgumentError, match="module: expected its name, got "):
                made.run("true", module=nothing)  # type: ignore[arg-type]
        with pytest.raises(ArgumentError, match="gether_facts: expected yes or no, got 'maybe'"):
            made.run("true", gether_facts="maybe")


def test_what_the_original_takes_without_effect_has_none_here(capsys: pytest.CaptureFixture[str]) -> None:
    ignored: dict[str, Any] = {"module_path": "/x", "listhosts": True, "listtasks": True, "listtags": True}
    with AnsibleApi(["h"], connection="fake", verbosity=0, syntax=True, start_at_task="x", **ignored) as made:
        made.run("", gether_facts="yes", module="ping")
        assert made.get_result()["success"]["h"]["ping"] == "pong"
    capsys.readouterr()


def test_texts_of_forms_and_files_say_yes_and_no(capsys: pytest.CaptureFixture[str]) -> None:
    with AnsibleApi(["h"], iswin="no", connection="local", check="no", diff="False") as made:  # type: ignore[arg-type]
        made.run("true", module="command", task_time="0")  # type: ignore[arg-type]
        assert list(made.get_result()["success"]) == ["h"]
    with AnsibleApi(["h"], connection="fake", check="yes") as made:  # type: ignore[arg-type]
        made.run("echo", module="command")
        assert list(made.get_result()["skipped"]) == ["h"]
    capsys.readouterr()


def test_no_password_is_shown(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.DEBUG):
        made = AnsibleApi(["h"], connection="fake", remote_password="hunter2", become_password="hunter3")
        made.run("", module="ping")
        made.get_result()
        shown = [repr(made), *(repr(each) for each in vars(made).values()), caplog.text, *capsys.readouterr()]
        shown.append(repr(made._engine.inventory.variables("h")))
        made.close()
    assert repr(made) == "<AnsibleApi 1 host>"
    assert "hunter" not in "".join(shown)


def test_it_leaves_an_unpatched_process_as_it_is(api: Make, capsys: pytest.CaptureFixture[str]) -> None:
    made = api(["127.0.0.1"])
    found: list[Any] = []
    thread = threading.Thread(target=lambda: (made.run("echo $PPID"), found.append(made.get_result())))
    thread.start()
    thread.join(30)
    assert len(found[0]["success"]) == 1
    code = (
        "import sys, threading\nfrom sshexec.ansible_api import AnsibleApi\n"
        "api = AnsibleApi(['h'], connection='fake')\napi.run('', module='ping')\napi.get_result()\n"
        "assert 'gevent' not in sys.modules, 'gevent'\nassert type(threading.Lock()).__module__ == '_thread'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["success"]["h"]["ping"] == "pong"
    capsys.readouterr()


def test_an_object_that_is_dropped_leaves_no_process_behind(capsys: pytest.CaptureFixture[str]) -> None:
    def children() -> set[str]:
        return set(Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text().split())

    def worker() -> set[str]:
        made = AnsibleApi(["h"], connection="fake")
        made.run("", module="ping")
        return children() - before

    before = children()
    started = worker() | worker()
    assert len(started) == 2
    wait_for(lambda: not started & children())
    with AnsibleApi(["h"], connection="fake") as made:
        made.run("", module="ping")
        made.close()
    with pytest.raises(SshexecError, match="closed"):
        made.run("", module="ping")
    capsys.readouterr()
