"""ssh_config as OpenSSH reads it: what is looked up here is compared with what `ssh -G` says."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.ssh import config as ssh_config
from sshexec.connectors.ssh import matching, proxyjump, resolve
from sshexec.connectors.ssh.arguments import given
from sshexec.errors import OptionError

SSH = shutil.which("ssh")
needs_ssh = pytest.mark.skipif(SSH is None, reason="openssh-client is not installed")

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Return a function that writes a file; HOME is the user's own, as OpenSSH has it."""
    monkeypatch.setenv("HOME", pwd.getpwuid(os.getuid()).pw_dir)
    monkeypatch.setattr(ssh_config, "FRESH", 0.0)
    matching._answers.clear()

    def write(text: str, name: str = "config") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
        path.chmod(0o600)
        return path

    return write


def ssh_says(path: Path, host: str, args: str = "") -> dict[str, list[str]] | None:
    """Return what OpenSSH makes of a file: each option's values; None where it refuses."""
    assert SSH is not None
    script = f"exec {SSH} -G -F '{path}' {args} '{host}'"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        return None
    said: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(" ")
        said.setdefault(name, []).append(value)
    return said


def expected(said: dict[str, list[str]]) -> dict[str, Any]:
    """Return what `found` must be, from what OpenSSH says."""

    def first(name: str) -> str | None:
        return said.get(name, [None])[0]

    policies = {"true": "strict", "ask": "strict", "accept-new": "accept-new", "false": "off"}
    agent = first("identityagent")
    files = [file for file in said.get("identityfile", []) if not file.startswith("~/.ssh/id_")]
    timeout = first("connecttimeout")
    known = [*str(first("userknownhostsfile")).split(), *str(first("globalknownhostsfile")).split()]
    jump = first("proxyjump")
    return {
        "address": first("hostname"),
        "port": int(first("port") or 0),
        "user": first("user"),
        "files": files,
        "certificates": said.get("certificatefile", []),
        "identities_only": first("identitiesonly") == "yes",
        "agent": agent,
        "batch_mode": first("batchmode") == "yes",
        "family": first("addressfamily"),
        "alias": first("hostkeyalias"),
        "policy": policies[str(first("stricthostkeychecking"))],
        "known_hosts": [file for file in known if file != "none"],
        "connect_timeout": None if timeout in (None, "none", "0") else float(timeout),
        "interval": float(first("serveraliveinterval") or 0),
        "count": int(first("serveralivecountmax") or 0),
        "command": first("proxycommand"),
        "jump": None if jump is None else [str(hop) for hop in proxyjump.read(jump)],
    }


def found(path: Path, host: str, args: str = "") -> dict[str, Any]:
    """Return the same from this project's own reading."""
    arguments = given({"ansible_ssh_common_args": f"-F '{path}' {args}"})
    query = matching.Query(host, None, None, dict(arguments.found), arguments.files, arguments.certificates)
    ssh_config.load(arguments.config_file).look_up(query)
    values: dict[str, Any] = {}
    # Without the jump hosts, which `ssh -G` does not look up either.
    resolve._fill(values, query)
    settings = query.found
    proxy = settings.get("proxy")
    kind, text = proxy.value if proxy is not None and proxy.value else ("", "")
    agent = settings.get("identityagent")
    interval = settings.get("serveraliveinterval")
    # Debian's OpenSSH: five minutes where nobody is asked.
    quiet = 300.0 if values.get("batch_mode") else 0.0
    return {
        "address": values["address"],
        "port": values["port"],
        "user": values["user"],
        "files": [setting.value for setting in query.files if not setting.value.startswith("~/.ssh/id_")],
        "certificates": [setting.value for setting in query.certificates],
        "identities_only": values.get("identities_only", False),
        "agent": None if agent is None else os.path.expanduser(agent.value),
        "batch_mode": values.get("batch_mode", False),
        "family": values.get("address_family", "any"),
        "alias": values.get("host_key_alias"),
        "policy": values["policy"],
        "known_hosts": list(values["known_hosts"]),
        "connect_timeout": values["connect_timeout"],
        "interval": quiet if interval is None or interval.value is None else interval.value,
        "count": values.get("alive_count", 3),
        "command": text if kind == "command" else None,
        "jump": [str(hop) for hop in proxyjump.read(text)] if kind == "jump" else None,
    }


def compare(path: Path, host: str, args: str = "") -> None:
    said = ssh_says(path, host, args)
    if said is None:
        with pytest.raises(OptionError):
            found(path, host, args)
        return
    assert found(path, host, args) == expected(said), f"ssh -G {args} {host}\n{path.read_text()}"


CASES = """
HostName example.com
---
Host web1
  HostName 10.0.0.1
  Port 2222
  User deploy
Host *
  User nobody
  Port 22
---
Host db*
  User db
Host web?
  User web
Host *
  User any
---
Host * !web1
  User others
Host web*
  User webs
---
Host !web1 web*
  User others
---
Host !web1
  User others
---
Host "web1" 'db1'
  User quoted
---
Host=web1
  User=equals
  Port = 2200
  HostName= 10.0.0.2
---
HOST web1
  uSER mixed
  PORT 2201
---
User "two words"
---
User first
User second
---
  # a comment
Port 2222 # a comment
User u#x
---
User "with # hash"
---
User a\\ b
---
IdentityFile /k1
IdentityFile /k2
IdentityFile /k1
Host web1
  IdentityFile "/k 3"
---
IdentityFile none
---
IdentityFile /a/%h/%r
CertificateFile /c1
CertificateFile /c2
CertificateFile /c1
---
IdentitiesOnly yes
IdentityAgent none
BatchMode yes
---
IdentitiesOnly TRUE
---
IdentitiesOnly perhaps
---
IdentityAgent SSH_AUTH_SOCK
---
IdentityAgent ~/agent.sock
---
IdentityAgent $bad-name
---
ProxyJump bastion
---
ProxyJump ops@bastion:2222,second,root@third
---
ProxyJump ssh://ops@bastion:2222
---
ProxyJump ssh://ops@bastion:2222/
---
ProxyJump none
ProxyJump bastion
ProxyCommand nc
---
ProxyCommand none
ProxyCommand nc
---
ProxyJump [fe80::1]:22,b
---
ProxyJump ssh://bastion/path
---
ProxyJump none
ProxyCommand nc %h %p
---
ProxyCommand none
ProxyJump bastion
---
ProxyCommand nc -X connect %h %p # not a comment
ProxyJump bastion
---
ProxyJump bastion # a comment
ProxyCommand nc %h %p
---
ProxyCommand=ssh -W [%h]:%p "jump host"
---
ProxyCommand "unbalanced
---
ProxyJump bastion:0
---
ProxyJump @bastion
---
ProxyJump a,,b
---
UserKnownHostsFile /a ~/b "/c"
GlobalKnownHostsFile /e
---
UserKnownHostsFile none
GlobalKnownHostsFile none
---
UserKnownHostsFile /k/%h-%n-%p-%r-%u-%i-%L-%l-%C-%d-%k-%%
Port 77
User rem
HostName real.example.com
---
UserKnownHostsFile /k/%k
HostKeyAlias fleet
---
UserKnownHostsFile ${HOME}/known/%h
---
UserKnownHostsFile ${SSHEXEC_IS_NOT_SET}/known
---
UserKnownHostsFile /a/%Z
---
StrictHostKeyChecking accept-new
---
StrictHostKeyChecking NO
---
StrictHostKeyChecking off
---
StrictHostKeyChecking ask
---
StrictHostKeyChecking maybe
---
HostKeyAlias fleet
ConnectTimeout 7
---
ConnectTimeout 1m30s
ServerAliveInterval 2m
ServerAliveCountMax 0
---
ConnectTimeout none
---
ConnectTimeout soon
---
ServerAliveInterval 5
ServerAliveCountMax 9
---
ServerAliveCountMax -1
---
AddressFamily inet6
---
AddressFamily ipv4
---
Port 0
---
Port 70000
---
Port ssh
---
Port
---
Port 22 23
---
NoSuchOption yes
---
IgnoreUnknown NoSuch*,UseFoo
NoSuchOption yes
UseFoo bar
User ok
---
HostName %h.example.com
---
HostName %n.example.com
---
HostName Web.Example.COM
UserKnownHostsFile /k/%h
---
HostName fe80::1%%eth0
---
Match all
  User everybody
---
Match host web*
  User webs
---
Match host !web1,web*
  User others
---
Match !host web1
  User others
---
Match host web1 user root
  Port 1
Match user ops host web1
  Port 2
---
User ops
Match user o*
  Port 2
---
HostName real.example.com
Match host real.example.com
  Port 2
Match originalhost web1
  User orig
---
HostName real.example.com
Match host web1
  Port 2
---
Match localuser *
  Port 2
Match localuser nobody-there
  User no
---
Match exec true
  Port 2
Match exec "false"
  User no
Match !exec false
  User yes
---
Match exec "test %h-%n-%p-%r = real-web1-2200-ops"
  HostKeyAlias exec
HostName real
Port 2200
User ops
Match exec "test %h-%n-%p-%r = real-web1-2200-ops"
  BatchMode yes
---
Match host=web1 exec="exit 0"
  Port 3
---
Match final
  User fin
---
HostName real.example.com
Match final host real.example.com
  User fin
---
HostName real.example.com
Match !final host real.example.com
  User first
Host real.example.com
  Port 2222
Match final all
  HostKeyAlias last
---
HostName real.example.com
IdentityFile /k1
Host real.*
  IdentityFile /k2
---
HostName real.example.com
IdentityFile /k1
Match final
  IdentityFile /k3
Host real.*
  IdentityFile /k2
---
Match canonical
  User canon
---
Match final
  Port 5
Match canonical
  User canon
---
Match
  User x
---
Match all host web1
  User x
---
Match canonical all
  User x
---
Match host
  User x
---
Match colour blue
  User x
---
Match host web1 # a comment
  User x
---
Host
  User x
---
Host ""
  User x
---
Host web[12]
  User sets
---
Host web1.*
  User dot
Host we*1
  User star
---
HostName = web9
User=a
  \tPort\t=\t2222
---
KbdInteractiveAuthentication no
PasswordAuthentication no
SendEnv A B
SetEnv A=b
LocalForward 8080 localhost:80
RekeyLimit 1G 1h
User ok
---
ForwardAgent yes
Tunnel no
RequestTTY force
User ok
---
Protocol 2
RhostsRSAAuthentication no
User ok
---
ChallengeResponseAuthentication no
PubkeyAcceptedKeyTypes +ssh-rsa
IdentityFile2 /old
""".replace("\\t", "\t").split("---\n")


@needs_ssh
@pytest.mark.parametrize("text", CASES, ids=lambda text: " ".join(text.split())[:60])
def test_as_openssh_reads_it(write: Write, text: str) -> None:
    path = write(text)
    compare(path, "web1")
    compare(path, "Web1.example.com")


ARGUMENTS = """
-p 2222
-p 2222 -o Port=1
-o Port=1 -p 2222
-l ops -o User=eve
-o "User eve"
-i /etc/passwd -i /etc/group -o IdentityFile=/c
-o UserKnownHostsFile="/a /b" -o GlobalKnownHostsFile=none
-o "ProxyCommand=nc %h %p" -o ProxyJump=b
-J a,b
-J none
-J none -o ProxyCommand=nc
-o ProxyJump=none
-o ProxyCommand=none
-4
-6
-o HostName=other.example.com
-o CertificateFile=/c
-CTq -o BatchMode=yes -o ConnectTimeout=3 -p77
-o StrictHostKeyChecking=no -o stricthostkeychecking=yes
-o NoSuchOption=1
-o IgnoreUnknown=NoSuch* -o Port=7
-o Port=
-o Host=a
-J a,,b
""".strip().splitlines()


@needs_ssh
@pytest.mark.parametrize("args", ARGUMENTS)
def test_the_command_line_wins_as_with_openssh(write: Write, args: str) -> None:
    path = write(
        "Match user ops,eve\n HostKeyAlias matched\nHost web1\n Port 99\n User conf\n IdentityFile /conf\n"
        "HostName conf.example.com\nProxyJump conf-jump\nUserKnownHostsFile /conf-known\nConnectTimeout 9\n"
        "Match host other.*\n ServerAliveInterval 3\n"
    )
    compare(path, "web1", args)


@needs_ssh
def test_files_that_include_files(write: Write, tmp_path: Path) -> None:
    write("User included\nHost web1\n Port 1\nHost web2\n Port 2\n", "d/10.conf")
    write("Port 3\nUser late\n", "d/20.conf")
    write(f"Include {tmp_path}/d/10.conf\nHost *\n HostKeyAlias deep\n", "nested")
    for text in (
        f"Include {tmp_path}/d/*.conf\nUser outer\n",
        f"Host web2\n Include {tmp_path}/d/*.conf\nHost *\n User outer\n",
        f"Host web1\n Include {tmp_path}/d/10.conf\n IdentityFile /after\nHost *\n User outer\n",
        f"Include {tmp_path}/nothing/* {tmp_path}/d/20.conf\n",
        f"Include {tmp_path}/nested\nHostKeyAlias outer\n",
        f"Match host web1\n Include {tmp_path}/nested\n HostKeyAlias outer\n",
        f'Include "{tmp_path}/d/10.conf" {tmp_path}/d/20.conf\n',
        f"Match exec false\n Include {tmp_path}/nested\nUser outer\n",
        "Include\n",
        'Include ""\n',
    ):
        path = write(text)
        compare(path, "web1")
        compare(path, "web2")
    write("NoSuchOption yes\n", "d/30.conf")
    path = write(f"Host other\n Include {tmp_path}/d/*.conf\n")
    compare(path, "web1")
    (tmp_path / "d/30.conf").unlink()
    compare(path, "web1")
    write(f"Include {tmp_path}/loop\n", "loop")
    compare(tmp_path / "loop", "web1")
    (tmp_path / "d/20.conf").chmod(0o666)
    compare(write(f"Include {tmp_path}/d/20.conf\n"), "web1")


LINES = [
    "User u{n}",
    "Port {n}",
    "HostName h{n}.example.com",
    "HostName %h.example.com",
    "IdentityFile /k{n}",
    "CertificateFile /c{n}",
    "ProxyJump j{n}",
    "ProxyCommand nc {n}",
    "HostKeyAlias a{n}",
    "ConnectTimeout {n}",
    "UserKnownHostsFile /f{n} /g/%h",
    "StrictHostKeyChecking accept-new",
    "IdentitiesOnly yes",
]
HEADS = [
    "Host web*",
    "Host * !web2",
    "Host web1 db?",
    "Host *.example.com",
    "Match host h?.example.com,web1",
    "Match !host h1*",
    "Match originalhost web2",
    "Match user u1,u2",
    "Match user u* host *.com",
    "Match all",
    "Match final",
    "Match final host h*",
    "Match exec true host web*",
    'Match !originalhost web1 exec "test %r = u1"',
    "Include {inner}",
]


@needs_ssh
@pytest.mark.parametrize("seed", range(60))
def test_files_made_at_random(write: Write, seed: int) -> None:
    chance = random.Random(seed)

    def lines(most: int, heads: list[str]) -> str:
        made = []
        for _ in range(chance.randint(2, most)):
            made.append(
                chance.choice(heads if chance.random() < 0.35 else LINES).replace("{n}", str(chance.randint(1, 3)))
            )
        return "\n".join(made) + "\n"

    inner = write(lines(6, HEADS[:-1]), "inner")
    path = write(lines(16, HEADS).replace("{inner}", str(inner)))
    for host in ("web1", "web2", "db1.example.com"):
        compare(path, host)
