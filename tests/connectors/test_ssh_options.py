"""Host variables and OpenSSH's options become settings, or are refused by name."""

from __future__ import annotations

import getpass
import os
from typing import Any

import pytest

from sshexec.connectors.ssh.options import SshOptions
from sshexec.errors import OptionError


def read(**variables: Any) -> SshOptions:
    return SshOptions.from_vars(variables, "web1")


def args(text: str, **more: Any) -> SshOptions:
    return read(ansible_ssh_common_args=text, **more)


def test_the_defaults() -> None:
    options = read()
    assert (options.address, options.port, options.user) == ("web1", 22, getpass.getuser())
    assert options.policy == "strict"
    assert options.key_files == ()
    assert os.path.expanduser("~/.ssh/known_hosts") == options.known_hosts[0]
    assert "/etc/ssh/ssh_known_hosts" in options.known_hosts


def test_the_variables() -> None:
    options = read(
        ansible_ssh_host="10.0.0.1",
        ansible_ssh_port="2222",
        ansible_ssh_user="deploy",
        ansible_ssh_pass="geheim",
        ansible_ssh_private_key_file="~/key",
        ansible_private_key_passphrase="lang",
        ansible_ssh_timeout=3,
        ansible_ssh_host_key_checking=False,
    )
    assert (options.address, options.port, options.user) == ("10.0.0.1", 2222, "deploy")
    assert options.key_files == (os.path.expanduser("~/key"),)
    assert (options.connect_timeout, options.policy) == (3.0, "off")
    assert options.password is not None
    assert options.password.reveal() == "geheim"
    assert "geheim" not in repr(options)
    assert "lang" not in repr(options)


def test_the_options_of_openssh() -> None:
    options = args(
        "-o UserKnownHostsFile='/a ~/b' -oGlobalKnownHostsFile=none -o StrictHostKeyChecking=accept-new -i ~/k1 "
        "-o IdentityFile=/k2 -o IdentitiesOnly=yes -p 2200 -l bob -o 'ConnectTimeout 7' -o ServerAliveInterval=5 "
        "-o serveralivecountmax=2 -o HostKeyAlias=fleet -o ControlMaster=auto -o ControlPersist=60s -C -q "
        "-o ControlPath=/x -o BatchMode=yes -o LogLevel=ERROR -o Compression=no"
    )
    assert options.known_hosts == ("/a", os.path.expanduser("~/b"))
    assert options.policy == "accept-new"
    assert options.key_files == (os.path.expanduser("~/k1"), "/k2")
    assert (options.port, options.user, options.connect_timeout) == (2200, "bob", 7)
    assert (options.alive_interval, options.alive_count, options.host_key_alias) == (5, 2, "fleet")


def test_a_variable_wins_over_an_option_and_the_first_option_over_the_next() -> None:
    options = args("-p 1 -p 2 -l bob -i /a", ansible_port=22, ansible_user="eve", ansible_private_key_file="/b")
    assert (options.port, options.user, options.key_files) == (22, "eve", ("/b",))
    assert args("-p 1", ansible_ssh_extra_args="-p 2").port == 1
    assert args("-o StrictHostKeyChecking=yes", ansible_host_key_checking="no").policy == "off"


@pytest.mark.parametrize(
    ("word", "policy"), [("yes", "strict"), ("ask", "strict"), ("no", "off"), ("off", "off"), ("YES", "strict")]
)
def test_the_policies(word: str, policy: str) -> None:
    assert args(f"-o StrictHostKeyChecking={word}").policy == policy


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("-J bastion", "-J"),
        ("-o ProxyJump=bastion", "ProxyJump"),
        ("-o ProxyCommand='ssh -W %h:%p b'", "ProxyCommand"),
        ("-F /etc/my_config", "-F"),
        ("-o ForwardAgent=yes", "ForwardAgent"),
        ("-A", "-A"),
        ("-vvv", "-vvv"),
        ("bastion", "bastion"),
        ("-o StrictHostKeyChecking=perhaps", "perhaps"),
        ("-o UserKnownHostsFile=~/.ssh/%h", "%h"),
        ("-o Port=0", "Port"),
        ("-p 70000", "70000"),
        ("-o ConnectTimeout=soon", "ConnectTimeout"),
        ("-o HostKeyAlias=", "HostKeyAlias"),
        ("-o", "-o"),
        ("-o 'x", "quotation"),
    ],
)
def test_what_can_not_be_honoured_is_refused_by_name(text: str, named: str) -> None:
    for variable in ("ansible_ssh_common_args", "ansible_ssh_extra_args", "ansible_ssh_args"):
        with pytest.raises(OptionError) as error:
            read(**{variable: text})
        for part in (named, variable, "web1"):
            assert part in str(error.value)


@pytest.mark.parametrize(
    "variables", [{"ansible_port": 0}, {"ansible_port": "ssh"}, {"ansible_timeout": 0}, {"ansible_user": ["a"]}]
)
def test_wrong_values(variables: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(variables))):
        read(**variables)


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nameless)
    with pytest.raises(OptionError, match="host web1: ansible_user"):
        SshOptions.from_vars({}, "web1")
    assert SshOptions.from_vars({"ansible_user": "ops"}, "web1").user == "ops"
