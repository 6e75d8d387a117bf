"""A person decides whether the key of a host that is not known is the right one; before anything secret is sent."""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paramiko
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from paramiko.common import MSG_DISCONNECT, MSG_KEXINIT, MSG_NEWKEYS, MSG_USERAUTH_REQUEST

from sshexec.connectors.base import Command, Deadline, Timeouts
from sshexec.connectors.broker import Broker
from sshexec.connectors.output import Output
from sshexec.connectors.prompts import Prompts, Question
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.ssh.context import SshContext
from sshexec.connectors.ssh.keytypes import fingerprint
from sshexec.errors import AuthenticationError, ChangedHostKeyError, HostError, UnknownHostKeyError
from tests.connectors.rogue_server import RogueServer, Shell
from tests.connectors.screen import connected, settle
from tests.testbed import Sshd

MSG_KEX_ECDH_INIT = 30


class Confirming(Broker):
    """Asks a person who says the same to everything, also about host keys."""

    confirms = True

    def __init__(self, answer: str | None = "yes", meanwhile: Callable[[], None] = lambda: None) -> None:
        self.asked: list[Question] = []

        def person(question: Question) -> str | None:
            self.asked.append(question)
            meanwhile()
            return answer

        super().__init__(person)


@pytest.fixture
def host(sshd: Sshd, tmp_path: Path) -> dict[str, Any]:
    """Variables of a host whose key is in no file."""
    return {**sshd.variables(ansible_host="127.0.23.1"), "ansible_ssh_common_args": known(tmp_path)}


def known(folder: Path, *more: str) -> str:
    files = f"-o UserKnownHostsFile={folder / 'known_hosts'} -o GlobalKnownHostsFile=none"
    return " ".join((files, *(f"-o {option}" for option in more)))


def log_in(variables: dict[str, Any], prompts: Prompts) -> list[Any]:
    """Log in, and return the connection's notices."""
    with connected(variables, prompts) as connector:
        assert connector.execute(Command("true"), Output(), Deadline.after(20)).rc == 0
        return [*connector.notices]


def test_yes_trusts_and_keeps_it(sshd: Sshd, host: dict[str, Any], tmp_path: Path) -> None:
    person = Confirming()
    (notice,) = log_in(host, person)
    (question,) = person.asked
    kind, blob = (sshd.folder / "host_ed25519.pub").read_text().split()[:2]
    key = paramiko.Ed25519Key.from_private_key_file(str(sshd.host_key))
    assert question.kind == "host_key"
    assert question.host == "web1"
    for part in (f"[127.0.23.1]:{sshd.port}", kind, fingerprint(key.asbytes())):
        assert part in question.text
    assert notice["notice"] == "host_key_learned"
    assert (tmp_path / "known_hosts").read_text() == f"[127.0.23.1]:{sshd.port} {kind} {blob}\n"
    assert log_in(host, person) == []
    assert len(person.asked) == 1, "now it is known"


@pytest.mark.parametrize("answer", ["no", "", "y", "YES", None])
def test_anything_else_refuses_before_a_credential_is_sent(tmp_path: Path, answer: str | None) -> None:
    server = RogueServer(lambda: Shell(lambda transport, channel: None))
    variables = server.variables(ansible_ssh_common_args=known(tmp_path))
    del variables["ansible_host_key_checking"]
    person = Confirming(answer)
    with pytest.raises(UnknownHostKeyError), connected(variables, person):
        raise AssertionError("it let us in")
    server.close()
    assert len(person.asked) == 1
    assert set(server.seen) <= {MSG_KEXINIT, MSG_NEWKEYS, MSG_KEX_ECDH_INIT, MSG_DISCONNECT}
    assert not (tmp_path / "known_hosts").exists()


def test_the_credential_waits_for_the_answer(tmp_path: Path) -> None:
    server = RogueServer(lambda: Shell(lambda transport, channel: None))
    variables = server.variables(ansible_ssh_common_args=known(tmp_path))
    del variables["ansible_host_key_checking"]
    before: list[int] = []
    with connected(variables, Confirming(meanwhile=lambda: before.extend(server.seen))):
        pass
    server.close()
    assert MSG_USERAUTH_REQUEST not in before
    assert MSG_USERAUTH_REQUEST in server.seen


@pytest.mark.parametrize(
    ("variables", "options", "error"),
    [
        ({}, ["StrictHostKeyChecking=yes"], UnknownHostKeyError),
        ({}, ["BatchMode=yes"], UnknownHostKeyError),
        ({"sshexec_host_key": "SHA256:" + "A" * 43}, [], ChangedHostKeyError),
        ({}, ["StrictHostKeyChecking=accept-new"], None),
        ({}, ["StrictHostKeyChecking=no"], None),
        ({"ansible_host_key_checking": False}, [], None),
    ],
    ids=["strict on purpose", "batch", "pinned", "accept-new", "off", "off by a variable"],
)
def test_nobody_is_asked_where_the_settings_decide(
    host: dict[str, Any], tmp_path: Path, variables: dict[str, Any], options: list[str], error: type[HostError] | None
) -> None:
    person = Confirming()
    with pytest.raises(error) if error else contextlib.nullcontext():
        log_in({**host, **variables, "ansible_ssh_common_args": known(tmp_path, *options)}, person)
    assert person.asked == []


@pytest.mark.parametrize("options", [["StrictHostKeyChecking=ask"], []])
def test_to_ask_is_the_default(host: dict[str, Any], tmp_path: Path, options: list[str]) -> None:
    person = Confirming()
    log_in({**host, "ansible_ssh_common_args": known(tmp_path, *options)}, person)
    assert len(person.asked) == 1


@pytest.mark.parametrize("mark", ["", "@revoked "])
def test_a_key_that_is_wrong_is_no_question(
    sshd: Sshd, host: dict[str, Any], tmp_path: Path, mark: str, second_key: str
) -> None:
    shown = " ".join((sshd.folder / "host_ed25519.pub").read_text().split()[:2])
    (tmp_path / "known_hosts").write_text(f"{mark}[127.0.23.1]:{sshd.port} {shown if mark else second_key}\n")
    person = Confirming()
    with pytest.raises(ChangedHostKeyError):
        log_in(host, person)
    assert person.asked == []


def test_another_key_that_is_learned_meanwhile_wins(
    sshd: Sshd, host: dict[str, Any], tmp_path: Path, second_key: str
) -> None:
    def learn() -> None:
        (tmp_path / "known_hosts").write_text(f"[127.0.23.1]:{sshd.port} {second_key}\n")

    with pytest.raises(ChangedHostKeyError):
        log_in(host, Confirming(meanwhile=learn))


def test_prompts_that_confirm_nothing_are_not_asked(host: dict[str, Any]) -> None:
    person = Confirming()
    person.confirms = False  # type: ignore[misc]
    with pytest.raises(UnknownHostKeyError):
        log_in(host, person)
    assert person.asked == []


def test_a_host_that_hung_up_meanwhile_is_called_again(tmp_path: Path) -> None:
    servers: list[Shell] = []

    def make() -> Shell:
        servers.append(Shell(lambda transport, channel: None))
        return servers[-1]

    def hang_up() -> None:
        transport = servers[0].transport
        assert transport is not None
        transport.close()
        transport.join(20)

    server = RogueServer(make)
    variables = server.variables(ansible_ssh_common_args=known(tmp_path))
    del variables["ansible_host_key_checking"]
    person = Confirming(meanwhile=hang_up)
    with connected(variables, person) as connector:
        assert [notice["notice"] for notice in connector.notices] == ["host_key_learned"]
    server.close()
    assert (len(servers), len(person.asked)) == (2, 1)


def test_a_jump_host_is_confirmed_by_its_own_name_and_before_its_host(
    sshd: Sshd, host: dict[str, Any], tmp_path: Path
) -> None:
    person = Confirming()
    jump = known(tmp_path, f"ProxyJump={sshd.user}@127.0.23.9:{sshd.port}")
    log_in({**host, "ansible_ssh_common_args": jump}, person)
    assert [question.text.split()[4] for question in person.asked] == [
        f"[127.0.23.9]:{sshd.port}",
        f"[127.0.23.1]:{sshd.port}",
    ]
    assert [question.host for question in person.asked] == [f"127.0.23.9:{sshd.port}", "web1"]
    strict = Confirming()
    (tmp_path / "known_hosts").unlink()
    with pytest.raises(UnknownHostKeyError, match="jump host"):
        log_in({**host, "ansible_ssh_common_args": f"{jump} -o StrictHostKeyChecking=yes"}, strict)
    assert strict.asked == []


def test_a_view_of_a_context_has_its_own_prompts_and_closes_nothing(host: dict[str, Any]) -> None:

    context = SshContext()
    first, second = Confirming("no"), Confirming()
    views = [context.asking(prompts) for prompts in (first, second)]
    assert context.prompts.confirms is False
    options = SshConnector.Options.from_vars(host, "web1")
    with pytest.raises(UnknownHostKeyError):
        SshConnector("web1", options, views[0], Timeouts()).open(Deadline.after(20))
    views[0].close()
    connector = SshConnector("web1", options, views[1], Timeouts())
    connector.open(Deadline.after(20))
    connector.close()
    assert views[0].hops is views[1].hops is context.hops
    assert (len(first.asked), len(second.asked)) == (1, 1)
    context.close()


def test_who_leaves_while_a_jump_host_asks_him_leaves_the_others_their_own_question(
    sshd: Sshd, host: dict[str, Any], tmp_path: Path
) -> None:

    asked, leave = threading.Event(), threading.Event()

    def left() -> None:
        asked.set()
        leave.wait(20)

    context = SshContext()
    jump = known(tmp_path, f"ProxyJump={sshd.user}@127.0.23.8:{sshd.port}")
    options = SshConnector.Options.from_vars({**host, "ansible_ssh_common_args": jump}, "web1")
    first = SshConnector("web1", options, context.asking(Confirming(None, meanwhile=left)), Timeouts())
    second = SshConnector("web1", options, context.asking(Confirming()), Timeouts())
    outcomes: dict[str, Any] = {}

    def run(name: str, connector: SshConnector) -> None:
        try:
            connector.open(Deadline.after(30))
            outcomes[name] = connector.alive
        except HostError as error:
            outcomes[name] = type(error).__name__

    threads = [
        threading.Thread(target=run, args=("first", first)),
        threading.Thread(target=run, args=("second", second)),
    ]
    threads[0].start()
    assert asked.wait(20)
    threads[1].start()
    hop = context.hops.last(options.jump)

    settle(lambda: hop._opening is not None and len(hop._opening.waiters) == 2)
    first.cancel()
    threads[0].join(20)
    leave.set()
    threads[1].join(30)
    assert outcomes == {"first": "CancelledError", "second": True}
    first.close()
    second.close()
    context.close()


@pytest.fixture(scope="module")
def second_key() -> str:
    """Another key of the same type, as known_hosts has it."""

    raw = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0 " + raw
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def test_a_wrong_password_behind_a_confirmation_is_a_refusal(tmp_path: Path) -> None:
    class Picky(Shell):
        def check_auth_password(self, username: str, password: str) -> int:
            return paramiko.AUTH_FAILED

    server = RogueServer(lambda: Picky(lambda transport, channel: None))
    variables = server.variables(ansible_ssh_common_args=known(tmp_path), sshexec_ask_password=False)
    del variables["ansible_host_key_checking"]
    with pytest.raises(AuthenticationError), connected(variables, Confirming()):
        raise AssertionError("it let us in")
    server.close()
