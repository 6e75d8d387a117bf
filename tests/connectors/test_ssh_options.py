"""Host variables and OpenSSH's options become settings, or are refused by name."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.ssh import config, matching
from sshexec.connectors.ssh.context import SshContext
from sshexec.connectors.ssh.options import SshOptions
from sshexec.connectors.ssh.transport import Link
from sshexec.errors import OptionError
from sshexec.secret import Secret
from tests.testbed import keygen


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
        ("-J a,,b", "ProxyJump"),
        ("-o ProxyJump=bastion:0", "ProxyJump"),
        ("-o ProxyCommand='ssh -W %h:%X b'", "%X"),
        ("-F /nowhere/my_config", "-F"),
        ("-o ForwardAgent=yes", "ForwardAgent"),
        ("-o RevokedHostKeys=/revoked", "RevokedHostKeys"),
        ("-o RefuseConnection=gone", "gone"),
        ("-o Include=/x", "Include"),
        ("-o Ciphers=rot13", "rot13"),
        ("-o 'UserKnownHostsFile=${SSHEXEC_IS_NOT_SET}/k'", "SSHEXEC_IS_NOT_SET"),
        ("-A", "-A"),
        ("-vvv", "-v"),
        ("-CL 80:web:80", "-L"),
        ("bastion", "bastion"),
        ("-o StrictHostKeyChecking=perhaps", "perhaps"),
        ("-o UserKnownHostsFile=~/.ssh/%X", "%X"),
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


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that writes a file below an own HOME; there is no system-wide ssh_config."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(config, "SYSTEM_FILE", str(tmp_path / "etc" / "ssh_config"))
    monkeypatch.setattr(config, "FRESH", 0.0)
    matching._answers.clear()

    def write(text: str, name: str = ".ssh/config", mode: int = 0o600) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    return write


Home = Callable[..., Path]


def test_the_user_s_file_comes_before_the_system_s(home: Home) -> None:
    home("Host web1\n HostName 10.0.0.9\n User deploy\n IdentityFile ~/k1\n")
    home("User nobody\nPort 2200\nHostKeyAlias fleet\nIdentityFile /k2\n", "etc/ssh_config", 0o644)
    options = read()
    assert (options.address, options.port, options.user, options.host_key_alias) == (
        "10.0.0.9",
        2200,
        "deploy",
        "fleet",
    )
    assert options.key_files == options.optional_key_files == (os.path.expanduser("~/k1"), "/k2")
    assert read(ansible_ssh_common_args="-F none").user == getpass.getuser()


def test_variables_win_over_ssh_config_which_is_asked_for_the_address(home: Home) -> None:
    home(
        "Host web1\n Port 1\nHost 10.0.0.1\n HostName real.example.com\n Port 2\n User conf\n IdentityFile /conf\n"
        " ConnectTimeout 9\n StrictHostKeyChecking no\nMatch user ops\n HostKeyAlias ops\n"
    )
    options = read(ansible_host="10.0.0.1")
    assert (options.address, options.port, options.user, options.policy) == ("real.example.com", 2, "conf", "off")
    options = read(
        ansible_host="10.0.0.1",
        ansible_port=3,
        ansible_user="ops",
        ansible_private_key_file="/mine",
        ansible_timeout=5,
        ansible_host_key_checking="yes",
    )
    assert (options.address, options.port, options.user) == ("real.example.com", 3, "ops")
    assert (options.key_files, options.optional_key_files) == (("/mine",), ())
    assert (options.connect_timeout, options.policy, options.host_key_alias) == (5, "strict", "ops")
    assert args("-i /a", ansible_host="10.0.0.1").key_files == ("/a", "/conf")
    assert args("-i /a", ansible_host="10.0.0.1").optional_key_files == ("/conf",)


def test_included_files_are_looked_for_beside_the_one_that_names_them(home: Home) -> None:
    home("Include conf.d/*.conf ~/other\n")
    home("User beside\n", ".ssh/conf.d/a.conf")
    home("Port 2201\n", "other")
    home("Include more\n", "etc/ssh_config", 0o644)
    home("HostKeyAlias system\n", "etc/more", 0o644)
    options = read()
    assert (options.user, options.port, options.host_key_alias) == ("beside", 2201, "system")
    home("Include ~/other\n", "etc/ssh_config", 0o644)
    with pytest.raises(OptionError, match="etc/ssh_config:1: Include: "):
        read()


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home("Include conf.d/*\nUser one\n")
    assert read().user == "one"
    kept = config.load(None)
    assert config.load(None) is kept
    home("User of-a-new-file\n", ".ssh/conf.d/new")
    assert read().user == "of-a-new-file"
    home("User changed\n", ".ssh/conf.d/new")
    assert read().user == "changed"
    (home("", "unused").parent / ".ssh" / "config").unlink()
    assert read().user == getpass.getuser()


@pytest.mark.parametrize(
    ("text", "line", "named"),
    [
        ("User ok\n\nPort many\n", 3, "Port: expected a whole number from 1 to 65535, got 'many'"),
        ("Host other\n Nonsense 1\n", 2, "Nonsense: no such option"),
        ("Match exec\n", 1, "Match: criterion 'exec' needs an argument"),
        ("Match localnetwork 10.0.0.0/8\n", 1, "Match: criterion 'localnetwork' is not supported"),
        ("Host 'a\n", 1, "Host: a quote is not closed"),
        ("IdentityFile /a/%X\n", 1, "IdentityFile: token %X is not known here"),
        ("Ciphers rot13\n", 1, "Ciphers: none of 'rot13' is supported"),
        ("RevokedHostKeys /x\n", 1, "RevokedHostKeys: can't be honoured"),
        ("ProxyJump a:b\n", 1, "ProxyJump: expected a whole number from 1 to 65535"),
        ("User\n", 1, "User: a value is missing"),
    ],
)
def test_mistakes_are_named_with_file_and_line(home: Home, text: str, line: int, named: str) -> None:
    home(text)
    with pytest.raises(OptionError) as error:
        read()
    assert str(error.value).startswith(f"~/.ssh/config:{line}: {named}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("mode", "refused"), [(0o666, True), (0o644, False), (0o602, True)])
def test_a_file_that_others_can_write_is_refused(home: Home, mode: int, refused: bool) -> None:
    path = home("User conf\n", mode=mode)
    if refused:
        with pytest.raises(OptionError, match=re.escape(str(path))):
            read()
    else:
        assert read().user == "conf"


def test_what_is_no_file_is_not_waited_for(home: Home, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in ("fifo", "folder"):
        (tmp_path / "folder").mkdir(exist_ok=True)
        with pytest.raises(OptionError, match=name):
            args(f"-F {tmp_path}/{name}")
    assert args("-F /dev/null").user == getpass.getuser()


def test_a_match_exec_command_runs_once_and_not_for_ever(home: Home, tmp_path: Path, monkeypatch: Any) -> None:
    home(f'Match exec "echo >> {tmp_path}/ran"\n User ran\n')
    assert {SshOptions.from_vars({}, f"web{n}").user for n in range(20)} == {"ran"}
    assert (tmp_path / "ran").read_text() == "\n"
    monkeypatch.setattr(matching, "_EXEC_SECONDS", 0.2)
    home('Match exec "sleep 60 & sleep 60"\n User never\n')
    with pytest.raises(OptionError, match=r"config:1: Match exec: 'sleep 60 & sleep 60' took more than 0.2 s"):
        read()


def hops(options: SshOptions) -> list[tuple[str, int, str]]:
    return [(hop.address, hop.port, hop.user) for hop in options.jump]


def test_jump_hosts_are_looked_up_and_their_own_ones_come_before_them(home: Home) -> None:
    home(
        "Host web*\n ProxyJump inner,ops@10.0.0.7:2207\n User web\n"
        "Host inner\n HostName inner.example.com\n Port 2222\n ProxyJump outer\n IdentityFile /inner\n"
        "Host outer\n HostName outer.example.com\n User out\n ProxyCommand nc %h %p %r\n"
        "Host 10.0.0.7\n ProxyJump not-taken\n User conf\n"
    )
    options = read()
    me = getpass.getuser()
    assert hops(options) == [
        ("outer.example.com", 22, "out"),
        ("inner.example.com", 2222, me),
        ("10.0.0.7", 2207, "ops"),
    ]
    assert [hop.proxy_command for hop in options.jump] == ["nc outer.example.com 22 out", None, None]
    assert [hop.key_files for hop in options.jump] == [(), ("/inner",), ()]
    assert [hop.jump for hop in options.jump] == [(), (), ()]
    assert hops(args("-J none")) == hops(args("-o ProxyCommand=none")) == []
    assert hops(args("-J ssh://a@b:7")) == [("b", 7, "a")]
    assert args("-o ProxyCommand='nc %h:%p %n'", ansible_host="web9", ansible_port=9).proxy_command == "nc web9:9 web9"


def test_a_jump_host_takes_over_what_the_variables_say_and_no_password(home: Home) -> None:
    home("Host own\n IdentityFile /own\n UserKnownHostsFile /own_known\n ConnectTimeout 4\n")
    variables = {
        "ansible_ssh_common_args": "-J own,other -o UserKnownHostsFile=/fleet -o StrictHostKeyChecking=accept-new",
        "ansible_password": "geheim",
        "ansible_private_key_file": "/fleet_key",
        "ansible_private_key_passphrase": "lang",
        "ansible_timeout": 9,
    }
    own, other = read(**variables).jump
    assert (own.key_files, own.known_hosts[0], own.connect_timeout) == (("/own",), "/own_known", 4)
    assert (other.key_files, other.known_hosts[0], other.connect_timeout) == (("/fleet_key",), "/fleet", 9)
    assert (other.default_keys, own.default_keys) == ("also", "alone")
    for hop in (own, other):
        assert (hop.policy, hop.password, hop.passphrase) == ("accept-new", None, Secret("lang"))
    assert [hop.credential_group for hop in (own, other)] == ["jump host own", "jump host other"]
    variables |= {"sshexec_jump_password": "pforte", "sshexec_jump_private_key_file": "/jump_key"}
    for hop in read(**variables).jump:
        assert (hop.password, hop.key_files) == (Secret("pforte"), ("/jump_key",))
    assert read(ansible_ssh_common_args="-J b", ansible_host_key_checking=False).jump[0].policy == "off"


def test_what_ssh_config_says_for_the_host_is_not_the_jump_host_s(home: Home) -> None:
    home("Host web1\n ProxyJump b\n IdentityFile /web\n UserKnownHostsFile /web_known\n StrictHostKeyChecking no\n")
    hop = read().jump[0]
    assert (hop.key_files, hop.policy) == ((), "strict")
    assert hop.known_hosts[0] == os.path.expanduser("~/.ssh/known_hosts")


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("ProxyJump bastion\n", "bastion -> bastion"),
        ("Host web1\n ProxyJump a\nHost a\n ProxyJump b\nHost b\n ProxyJump a\n", "loop: a -> b -> a"),
        ("Host web1\n ProxyJump web1\n", "web1 -> web1"),
        ("Host web1\n ProxyJump a,b,a\n", "a -> b -> a"),
        ("Host web1\n ProxyJump a\nHost a\n ProxyJump web1\n", "web1 -> a"),
    ],
)
def test_a_way_that_leads_in_a_circle_is_refused(home: Home, text: str, way: str) -> None:
    home(text)
    with pytest.raises(OptionError, match="jump host loop") as error:
        read()
    assert way in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "Host web1\n ProxyJump " + ",".join(f"j{n}" for n in range(33)) + "\n",
        "Host web1\n ProxyJump j0\n" + "".join(f"Host j{n}\n ProxyJump j{n + 1}\n" for n in range(1200)),
    ],
)
def test_a_way_over_very_many_jump_hosts_is_refused(home: Home, text: str) -> None:
    home(text)
    with pytest.raises(OptionError, match="ProxyJump: the way leads over more than 32 jump hosts"):
        read()


def test_lists_of_algorithms_are_relative_to_our_own_default() -> None:
    default = Link._preferred_ciphers
    assert args("-o Ciphers=aes256-ctr,chacha20-poly1305@openssh.com").ciphers == ("aes256-ctr",)
    assert args("-o Ciphers=-aes128*").ciphers == tuple(name for name in default if not name.startswith("aes128"))
    assert args("-o Ciphers=+3des-cbc").ciphers == (*default, "3des-cbc")
    assert args("-o Ciphers=^aes256-ctr").ciphers == ("aes256-ctr", *(n for n in default if n != "aes256-ctr"))
    assert args("-m hmac-sha2-512 -c aes192-ctr").algorithms() == {
        "macs": ("hmac-sha2-512",),
        "ciphers": ("aes192-ctr",),
    }
    assert args("-o KexAlgorithms=ecdh-*").kex_algorithms == tuple(f"ecdh-sha2-nistp{n}" for n in (256, 384, 521))
    names = args("-o HostKeyAlgorithms=rsa-*").host_key_algorithms
    assert [name for name in names if "cert" not in name] == ["rsa-sha2-512", "rsa-sha2-256"]
    assert read().algorithms() == {}
    with pytest.raises(OptionError, match="none of '-aes"):
        args("-o Ciphers=-aes*")


def test_keys_are_not_used_where_an_option_says_so(home: Home) -> None:
    assert not args("-o PubkeyAuthentication=no").public_keys
    assert not args("-o PreferredAuthentications=password").public_keys
    assert args("-o PreferredAuthentications=publickey,password").public_keys
    assert args("-o IdentityFile=none").default_keys == "never"
    assert args("-o IdentityAgent=none").identity_agent == ""
    assert args("-o IdentityAgent=SSH_AUTH_SOCK").identity_agent is None


def test_what_is_not_honoured_is_named_once(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    home("Compression yes\nForwardAgent yes\nTunnel no\nHost web*\n SendEnv LANG\nHost db\n LocalForward 1 b:2\n")
    home("SendEnv LC_*\nGSSAPIAuthentication yes\nForwardX11 yes\n", "etc/ssh_config", 0o644)
    options = read()
    assert [text.split(":")[0] for text in options.ignored] == [
        "ForwardAgent (~/.ssh/config",
        "SendEnv (~/.ssh/config",
        f"ForwardX11 ({os.path.expanduser('~')}/etc/ssh_config".replace(os.path.expanduser("~"), "~"),
    ]
    context = SshContext()
    for _ in range(3):
        context.check(options)
        context.check(SshOptions.from_vars({}, "web2"))
    context.close()
    assert len(caplog.records) == 3
    assert caplog.records[0].getMessage() == "ssh_config: ForwardAgent (~/.ssh/config:2): the agent is not forwarded"
    assert (caplog.records[0].name, caplog.records[0].levelname) == ("sshexec.connectors.ssh", "WARNING")


def test_a_key_file_of_ssh_config_may_be_missing(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = keygen(tmp_path / "there", "-t", "ed25519", "-N", "")
    home(f"IdentityFile ~/missing\nIdentityFile {key}\nIdentityAgent none\n")
    context = SshContext()
    context.check(read())
    assert [found.label for found in context.signing_keys(read())] == [str(key)]
    with pytest.raises(OptionError, match="/nowhere"):
        context.check(args("-i /nowhere"))
    keygen(tmp_path / "locked", "-t", "ed25519", "-N", "geheim")
    home(f"IdentityFile ~/locked\nIdentityFile {key}\nIdentityAgent none\n")
    assert [found.label for found in context.signing_keys(read())] == [str(key)]
    home("IdentityFile ~/locked\n")
    assert context.signing_keys(read(ansible_password="x")) == []
    monkeypatch.setattr(context.keyring.agent, "keys", list)
    with pytest.raises(OptionError, match="locked is encrypted"):
        context.check(read())
    context.close()


def test_hosts_that_go_the_same_way_share_its_options(home: Home) -> None:
    home("Host web*\n ProxyJump a,b\n")
    one, other = (SshOptions.from_vars({}, name).jump for name in ("web1", "web2"))
    assert one is other


@pytest.mark.parametrize("name", ["web;reboot", "$(reboot)", "a b", "-oProxyCommand=x", "`id`", "a|b", "a'b"])
def test_a_name_that_a_shell_would_obey_goes_into_no_command(home: Home, name: str) -> None:
    with pytest.raises(OptionError, match="can't stand in a command"):
        args("-o ProxyCommand='nc %h %p'", ansible_host=name)
    with pytest.raises(OptionError, match="can't stand in a command"):
        args("-o ProxyCommand='nc -l %r'", ansible_user=name)
    home('Match exec "test %n = x"\n User u\n')
    with pytest.raises(OptionError, match="config:1: Match exec: %n is"):
        read(ansible_host=name)
