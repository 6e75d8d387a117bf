"""Logins by Kerberos against MIT's KDC: the user's own tickets, those that sshexec gets, and each refusal's name."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.broker import Broker
from sshexec.connectors.deadline import Deadline
from sshexec.connectors.prompts import Question
from sshexec.connectors.winrm import tickets as tickets_module
from sshexec.connectors.winrm import tls
from sshexec.connectors.winrm.context import WinrmContext
from sshexec.connectors.winrm.options import WinrmOptions
from sshexec.connectors.winrm.wire import Aborted, Wire
from sshexec.errors import AuthenticationError, ConnectTimeoutError, ProtocolError
from sshexec.secret import Secret
from tests.connectors import winrm_envelopes as envelopes
from tests.winrm_server import Tls, WinrmServer
from tests.winrm_server.certificates import Certificates
from tests.winrm_server.kdc import REALM, Kdc, environment, realm

PASSWORD = "geheim-canary"
USER = f"alice@{REALM}"


@pytest.fixture(scope="module")
def kdc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    with realm(tmp_path_factory.mktemp("kdc"), {"alice": PASSWORD}) as started:
        yield started


@pytest.fixture
def cache(kdc: Kdc, tmp_path: Path) -> Iterator[Path]:
    """The user's own cache, empty at first."""
    with environment(kdc.environment(tmp_path / "cc")):
        yield tmp_path / "cc"


@pytest.fixture
def server(kdc: Kdc, cache: Path) -> Iterator[WinrmServer]:
    with WinrmServer({"alice": PASSWORD}, ("kerberos", "ntlm"), surroundings=kdc.environment(cache)) as running:
        yield running


@pytest.fixture
def context() -> Iterator[WinrmContext]:
    made = WinrmContext()
    yield made
    made.close()


def ours(server: WinrmServer, **more: Any) -> dict[str, Any]:
    """Variables with which sshexec gets the ticket."""
    return server.variables(
        ansible_host="localhost",
        **{"ansible_user": USER, "ansible_winrm_transport": "kerberos", "ansible_password": PASSWORD, **more},
    )


def own(server: WinrmServer, **more: Any) -> dict[str, Any]:
    """Variables with which the user's own ticket is used."""
    return ours(server, **{"ansible_password": None, **more})


@contextmanager
def wire_to(variables: dict[str, Any], context: WinrmContext) -> Iterator[Wire]:
    wire = Wire("win1", WinrmOptions.from_vars(variables, "win1"), context)
    try:
        yield wire
    finally:
        wire.close()


def ask(variables: dict[str, Any], context: WinrmContext) -> None:
    with wire_to(variables, context) as wire:
        wire.open(Deadline.after(20), 5, 10)
        wire.send(envelopes.create(), Deadline.after(20), once=True)


@pytest.mark.parametrize("user", [USER, "alice", ""])
def test_the_users_own_ticket(kdc: Kdc, server: WinrmServer, cache: Path, context: WinrmContext, user: str) -> None:
    kdc.kinit(cache, "alice", PASSWORD)
    ask(own(server, ansible_user=user or None), context)
    assert [(right, who.partition("@")[0]) for right, _, who in server.login_log] == [(True, "alice")]
    assert (server.requests, server.unsealed, server.connections) == (2, 0, 1)


def test_no_ticket(server: WinrmServer, context: WinrmContext) -> None:
    with pytest.raises(
        AuthenticationError, match=f"no Kerberos ticket of {USER}; run kinit, or set ansible_password"
    ) as caught:
        ask(own(server), context)
    assert (caught.value.host, caught.value.phase, server.requests) == ("win1", "authenticating", 0)


def test_another_users_ticket(kdc: Kdc, server: WinrmServer, cache: Path, context: WinrmContext) -> None:
    kdc.kinit(cache, "alice", PASSWORD)
    with pytest.raises(AuthenticationError, match="no Kerberos ticket of bob"):
        ask(own(server, ansible_user=f"bob@{REALM}"), context)


def test_an_expired_ticket(kdc: Kdc, server: WinrmServer, cache: Path, context: WinrmContext) -> None:
    kdc.kinit(cache, "alice", PASSWORD, life="1s")
    kdc.wait_until_expired(cache)
    with pytest.raises(AuthenticationError, match="has expired; run kinit"):
        ask(own(server), context)


def test_a_ticket_of_our_own(kdc: Kdc, server: WinrmServer, cache: Path, context: WinrmContext) -> None:
    before = dict(os.environ)
    for _ in range(2):
        ask(ours(server), context)
    assert [each[0] for each in server.login_log] == [True, True]
    assert server.unsealed == 0
    assert dict(os.environ) == before
    assert not cache.exists()
    folder = Path(context.tickets._folder or "")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert len(files) == 2  # one ticket for both, and its working copy
    context.close()
    assert not folder.exists()


def test_a_wrong_password_is_tried_once_for_all_hosts(
    server: WinrmServer, context: WinrmContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = counted(monkeypatch)
    failures: list[BaseException] = []

    def host() -> None:
        try:
            ask(ours(server, ansible_password="wrong-canary"), context)
        except AuthenticationError as error:
            failures.append(error)

    threads = [threading.Thread(target=host) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    host()
    assert {str(error) for error in failures} == {f"the KDC refused the password of {USER}"}
    assert (len(failures), len(runs), server.logins) == (9, 1, 0)
    ask(ours(server), context)
    assert len(runs) == 2


def test_an_expired_ticket_of_our_own_is_got_again(
    server: WinrmServer, context: WinrmContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = counted(monkeypatch)
    variables = ours(server, ansible_winrm_kinit_args="-l 1s")
    ask(variables, context)
    ticket = next(iter(context.tickets._known.values()))
    end = time.monotonic() + 10
    while subprocess.run(["klist", "-s", "-c", f"FILE:{ticket.path}"], check=False).returncode == 0:
        assert time.monotonic() < end
        time.sleep(0.05)
    ask(variables, context)
    assert len(runs) == 2


def test_a_ticket_that_was_tidied_away_is_got_again(server: WinrmServer, context: WinrmContext) -> None:
    ask(ours(server), context)
    shutil.rmtree(context.tickets._folder or "")
    ask(ours(server), context)
    assert server.failed_logins == 0


def test_no_secret_and_no_variables_reach_kinit(
    server: WinrmServer, context: WinrmContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"
    script = tmp_path / "my kinit"
    script.write_text(
        f"#!/bin/sh\n{{ echo \"$@\"; env; tr '\\0' ' ' < /proc/$$/cmdline; }} > '{seen}'\nexec /usr/bin/kinit \"$@\"\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("SOMETHING", "x")
    monkeypatch.setenv("WANTED", "y")
    ask(ours(server, ansible_winrm_kinit_cmd=str(script), ansible_winrm_kinit_env_vars="WANTED"), context)
    text = seen.read_text()
    assert PASSWORD not in text
    assert "SOMETHING" not in text
    assert "WANTED=y" in text
    assert text.splitlines()[0] == USER


def test_delegation(kdc: Kdc, server: WinrmServer, context: WinrmContext) -> None:
    ask(ours(server, ansible_winrm_kerberos_delegation="yes"), context)
    assert server.login_log[-1][0]
    assert len(server.delegated) == 1
    ask(ours(server), context)
    assert len(server.delegated) == 1
    ticket = next(iter(context.tickets._known.values()))
    flags = subprocess.run(["klist", "-f", "-c", f"FILE:{ticket.path}"], capture_output=True, text=True, check=True)
    assert "Flags: F" in flags.stdout


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"ansible_user": f"bob@{REALM}"}, "the KDC knows no user bob"),
        ({"ansible_user": "alice@NOWHERE.INVALID"}, "no KDC can be reached"),
        ({"ansible_winrm_kinit_cmd": "no-kinit"}, r"no-kinit: not found .*ansible_winrm_kinit_cmd"),
        ({"ansible_winrm_kinit_args": "--nonsense"}, "no Kerberos ticket"),
        (
            {"ansible_winrm_kerberos_hostname_override": "nobody"},
            "no service HTTP/nobody; use the host's full name .*ansible_winrm_kerberos_hostname_override",
        ),
        ({"ansible_winrm_service": "SMTP"}, "no service SMTP/localhost"),
    ],
)
def test_what_can_not_be_had(server: WinrmServer, context: WinrmContext, variables: dict[str, Any], words: str) -> None:
    with pytest.raises(AuthenticationError, match=words):
        ask(ours(server, **variables), context)
    assert server.logins == 0


def test_another_name_another_service_another_realm(server: WinrmServer, context: WinrmContext) -> None:
    ask(ours(server) | {"ansible_host": "127.0.0.1", "ansible_winrm_kerberos_hostname_override": "localhost"}, context)
    ask(ours(server, ansible_winrm_service="WSMAN"), context)
    ask(ours(server, ansible_user="alice", ansible_winrm_realm=REALM), context)
    assert len(server.login_log) == 3


def test_a_keytab(kdc: Kdc, server: WinrmServer, context: WinrmContext, tmp_path: Path) -> None:
    keytab = tmp_path / "alice.keytab"
    subprocess.run(
        ["kadmin.local", "-r", REALM, "-q", f"ktadd -norandkey -k {keytab} alice"],
        env=os.environ | kdc.environment(),
        check=True,
        capture_output=True,
    )
    ask(own(server, ansible_winrm_keytab=str(keytab)), context)
    assert [(right, who.partition("@")[0]) for right, _, who in server.login_log] == [(True, "alice")]


def test_the_kdc_is_down(tmp_path: Path, context: WinrmContext, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        realm(tmp_path / "realm", {"alice": PASSWORD}) as kdc,
        environment(kdc.environment(tmp_path / "cc")),
        WinrmServer({"alice": PASSWORD}, ("kerberos",), surroundings=kdc.environment()) as server,
    ):
        # Imported here, since it may not be installed: then the realm has skipped this test.
        from sshexec.connectors.winrm.kerberos import Kerberos

        kdc.kinit(tmp_path / "cc", "alice", PASSWORD)
        kdc.stop()
        with pytest.raises(AuthenticationError, match=f"no KDC can be reached for {USER}"):
            ask(ours(server), context)
        begun: list[str] = []
        begin = Kerberos._begin
        monkeypatch.setattr(Kerberos, "_begin", lambda *given: begun.append(given[1]) or begin(*given))
        for _ in range(3):
            with pytest.raises(AuthenticationError, match="no KDC can be reached for HTTP/localhost"):
                ask(own(server), context)
        assert begun == ["localhost"]  # libkrb5 holds up the process while it waits


def test_a_kinit_that_does_not_end(server: WinrmServer, context: WinrmContext, tmp_path: Path) -> None:
    script = tmp_path / "kinit"
    script.write_text(
        f"#!{sys.executable}\nimport os, time\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
    )
    script.chmod(0o755)
    variables = ours(server, ansible_winrm_kinit_cmd=str(script))
    with wire_to(variables, context) as wire:
        began = time.monotonic()
        with pytest.raises((ConnectTimeoutError, AuthenticationError), match="in time"):
            wire.open(Deadline.after(20), 5, 1.0)
        assert time.monotonic() - began < 5
        threading.Timer(0.7, wire.abort).start()
        with pytest.raises(Aborted):
            wire.open(Deadline.after(20), 5, 20)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_the_password_is_asked_for(server: WinrmServer, context: WinrmContext) -> None:
    questions: list[Question] = []

    def person(question: Question) -> Secret:
        questions.append(question)
        return Secret("wrong" if len(questions) == 1 else PASSWORD)

    context.prompts = Broker(person)
    for _ in range(2):
        ask(own(server, ansible_winrm_kinit_mode="managed"), context)
    assert [question.text for question in questions] == [f"WinRM password of {USER}"] * 2


@pytest.mark.parametrize("password", [PASSWORD, "wrong-canary"])
def test_no_secret_in_any_log(
    server: WinrmServer, context: WinrmContext, caplog: pytest.LogCaptureFixture, password: str
) -> None:
    caplog.set_level(1)
    said = ""
    try:
        ask(ours(server, ansible_password=password), context)
    except AuthenticationError as error:
        said = "".join(traceback.format_exception(error))
    assert "canary" not in said + "".join(f"{record.getMessage()} {record.args!r}" for record in caplog.records)


@pytest.mark.parametrize("cbt", ["right", "wrong"])  # MIT's acceptor lets none pass
def test_a_login_is_bound_to_the_channel(
    kdc: Kdc, cache: Path, context: WinrmContext, tmp_path: Path, cbt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if cbt == "wrong":
        monkeypatch.setattr(tls, "binding", lambda certificate: b"tls-server-end-point:" + bytes(32))
    made = Certificates(tmp_path)
    https = Tls(made.right.certificate, made.right.key, made.authority.certificate)
    with WinrmServer({"alice": PASSWORD}, ("kerberos",), https, surroundings=kdc.environment(cache)) as server:
        variables = ours(server)
        if cbt == "right":
            ask(variables, context)
        else:
            with pytest.raises(AuthenticationError, match="does not take the Kerberos ticket of alice"):
                ask(variables, context)
        assert server.logins == 1


def test_a_dropped_connection_is_made_anew(server: WinrmServer, context: WinrmContext) -> None:
    with wire_to(ours(server), context) as wire:
        wire.open(Deadline.after(20), 5, 10)
        server.misbehave("close", "Create")
        for _ in range(2):
            wire.send(envelopes.create(), Deadline.after(20), once=True)
        assert (server.connections, len(server.shells), server.unsealed) == (2, 2, 0)


def test_a_host_that_does_not_prove_who_it_is(server: WinrmServer, context: WinrmContext) -> None:
    server.misbehave("html", "Login")
    with pytest.raises(ProtocolError, match="did not prove by Kerberos who it is"):
        ask(ours(server), context)


def test_a_cache_does_not_grow_for_ever(
    server: WinrmServer, context: WinrmContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tickets_module, "_LARGEST", 0)
    sizes = set()
    for service in ("HTTP", "WSMAN", "HTTP"):
        ask(ours(server, ansible_winrm_service=service), context)
        ticket = next(iter(context.tickets._known.values()))
        sizes.add(os.path.getsize(f"{ticket.path}.working") // 1000)
    assert len(sizes) == 1


def counted(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Count the tickets that are asked for."""
    runs: list[object] = []
    kinit = tickets_module._kinit

    def count(*given: Any) -> str | None:
        runs.append(given[0])
        return kinit(*given)

    monkeypatch.setattr(tickets_module, "_kinit", count)
    return runs
