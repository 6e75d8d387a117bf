"""`AnsibleApi` beside the class that it stands in for: the same calls, the same maps."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sshexec.ansible_api import AnsibleApi
from tests.oracle.compare import differences, normalised
from tests.oracle.oracle import Oracle

ORIGINAL = Path(__file__).with_name("original.py")
GONE = "nosuch.invalid"
HOSTS = ["127.0.0.1", "127.0.0.2", GONE]
ONE_FAILS = "case $SSH_CONNECTION in *127.0.0.2*) echo out; echo err >&2; exit 3 ;; esac; echo hi"

CALLS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"args": "echo hi"}),
    ({}, {"args": ONE_FAILS}),
    ({}, {"args": "touch /nope/x creates=/etc/passwd"}),
    ({}, {"args": "echo $HOME", "module": "command"}),
    ({}, {"args": {"argv": ["echo", "a b"], "chdir": "/"}, "module": "command"}),
    ({}, {"args": ONE_FAILS, "module": "raw"}),
    ({}, {"args": "data=there", "module": "ping"}),
    ({"check": True}, {"args": "touch /nope/x"}),
    ({"check": True}, {"args": "touch /nope/x creates=/nope/x", "module": "command"}),
    # Without the host that is not there: Ansible knows without contacting a host that it skips, and we contact it.
    ({"check": True, "host_lists": HOSTS[:2]}, {"args": "echo hi", "module": "raw"}),
    ({"become": True, "become_method": "sudo"}, {"args": "id -un", "module": "command"}),
    ({"become": True, "become_method": "sudo", "become_user": "root"}, {"args": "echo $SUDO_USER >&2; exit 4"}),
    ({"check": True, "diff": True}, {"args": "dest=/tmp/sshexec-diff content=new", "module": "copy"}),
]
"""The constructor's arguments, and those of ``run``."""


def login(oracle: Oracle) -> dict[str, Any]:
    """Return the arguments that log in where the oracle does."""
    names = {"port": "ansible_port", "remote_user": "ansible_user", "private_key_file": "ansible_private_key_file"}
    return {name: oracle.variables[variable] for name, variable in names.items()}


@pytest.fixture(scope="module")
def theirs(oracle_python: str, oracle: Oracle, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The maps that the original has after each of the calls."""
    home = tmp_path_factory.mktemp("original")
    (home / "ansible.cfg").write_text(
        "[defaults]\ninterpreter_python=/usr/bin/python3\nhost_key_checking=False\ndeprecation_warnings=False\n"
        "[ssh_connection]\nusetty=False\npipelining=True\n"
        f"ssh_args={oracle.variables['ansible_ssh_common_args']}\n"
    )
    done = subprocess.run(
        [oracle_python, str(ORIGINAL)],
        input=json.dumps(
            {
                "settings": {"host_lists": HOSTS, **login(oracle)},
                "runs": [{**call, "settings": settings} for settings, call in CALLS],
            }
        ),
        env={
            "PATH": f"{Path(oracle_python).parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(home / "ansible.cfg"),
            "ANSIBLE_HOME": str(home / "a"),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


@pytest.mark.parametrize("number", range(len(CALLS)), ids=lambda number: str(CALLS[number]))
def test_the_same_call_has_the_same_maps(theirs: list[dict[str, Any]], oracle: Oracle, number: int) -> None:
    settings, call = CALLS[number]
    trust = {"ansible_ssh_common_args": oracle.variables["ansible_ssh_common_args"]}
    with (
        AnsibleApi(**{"host_lists": HOSTS, **login(oracle), **settings}, variables=trust) as api,
        contextlib.redirect_stdout(io.StringIO()) as printed,
    ):
        api.run(**call)
        returned = api.get_result()
    shown = json.loads(printed.getvalue())
    assert shown == {name: returned[name] for name in ("success", "failed", "unreachable")}
    wanted = theirs[number]
    assert {name: set(hosts) for name, hosts in returned.items()} == {name: set(each) for name, each in wanted.items()}
    module = call.get("module", "shell")
    for name, results in returned.items():
        for host, result in results.items():
            other = wanted[name][host]
            arguments = other.get("invocation", {}).get("module_args", {})
            assert result["_ansible_no_log"] is other["_ansible_no_log"] is False
            # Of a host that is not reached the texts are ssh's there, and ours here.
            ignored = ("msg",) if name == "unreachable" else ()
            pairs = [
                {key: value for key, value in normalised(module, each, shared).items() if key not in ignored}
                for each, shared in ((result, arguments), (other, result.get("invocation", {}).get("module_args", {})))
            ]
            assert differences(*pairs) == {}, f"{host} in {name}"
