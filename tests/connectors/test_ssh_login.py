"""Logins of several steps, prompts, and answers of a person, against real OpenSSH and PAM."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

from sshexec.connectors.base import Command, Deadline, Timeouts
from sshexec.connectors.broker import Broker
from sshexec.connectors.output import Output
from sshexec.connectors.prompts import Question
from sshexec.connectors.ssh.connector import SshConnector
from sshexec.connectors.ssh.context import SshContext
from sshexec.errors import AuthenticationError, CancelledError, OptionError
from tests.pam import asking_sshd, failures
from tests.testbed import Sshd, keygen

PASSWORD, CODE = "correct-horse", "246810"


class Person:
    """Answers by the kind of question, from lists; the last answer of each is given again and again."""

    def __init__(self, **answers: list[str | None]) -> None:
        self.answers = answers
        self.asked: list[Question] = []
        self.hook: Callable[[], None] = lambda: None

    def __call__(self, question: Question) -> str | None:
        self.asked.append(question)
        self.hook()
        left = self.answers.get(question.kind, [None])
        return left.pop(0) if len(left) > 1 else left[0]


def log_in(
    server: Sshd,
    person: Person | Broker | None = None,
    host: str = "web1",
    context: SshContext | None = None,
    timeouts: Timeouts | None = None,
    **variables: Any,
) -> str:
    """Log in and return what `id -un` prints."""
    merged = {k: v for k, v in server.variables(ansible_host="127.0.8.1", **variables).items() if v is not None}
    own = context or SshContext()
    if person is not None:
        own.prompts = person if isinstance(person, Broker) else Broker(person)
    connector = SshConnector(host, SshConnector.Options.from_vars(merged, host), own, timeouts or Timeouts())
    try:
        own.check(connector.options)
        connector.open(Deadline.after(60))
        output = Output()
        assert connector.execute(Command("id -un"), output, Deadline.after(20)).rc == 0
        return output.text("stdout").strip()
    finally:
        connector.close()
        if context is None:
            own.close()


@pytest.fixture(autouse=True)
def _no_credentials_of_the_developer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def second_factor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A key, then a password and a code at prompts."""
    questions = {"Password: ": PASSWORD, "Verification code: ": CODE}
    config = "AuthenticationMethods publickey,keyboard-interactive"
    with asking_sshd(tmp_path_factory.mktemp("pam"), questions, config) as server:
        yield server


# ---------------------------------------------------------------------- several steps


def test_a_key_and_a_password(tmp_path: Path) -> None:
    config = "AuthenticationMethods publickey,password\nPasswordAuthentication yes"
    with asking_sshd(tmp_path, {"Password: ": PASSWORD}, config) as server:
        assert log_in(server, ansible_password=PASSWORD) == server.user
        with pytest.raises(AuthenticationError, match=r"\(password\).*offered: key .*, password; .*one more") as error:
            log_in(server, ansible_password="canary-text")
        assert "canary-text" not in str(error.value)


def test_two_keys(tmp_path: Path) -> None:
    server = Sshd(tmp_path / "sshd", "AuthenticationMethods publickey,publickey")
    second = keygen(tmp_path / "second", "-t", "ecdsa", "-N", "")
    server.authorized_keys.write_text(server.authorized_keys.read_text() + second.with_suffix(".pub").read_text())
    server.start()
    more = f"-o UserKnownHostsFile={server.known_hosts} -i {server.key}"
    try:
        both = {"ansible_private_key_file": None, "ansible_ssh_common_args": f"{more} -i {second}"}
        assert log_in(server, **both) == server.user
        with pytest.raises(AuthenticationError, match="one more credential"):
            log_in(server, ansible_private_key_file=None, ansible_ssh_common_args=more)
    finally:
        server.stop()


def test_a_key_a_password_at_a_prompt_and_a_code_of_a_person(second_factor: Sshd) -> None:
    person = Person(code=[CODE])
    assert log_in(second_factor, person, ansible_password=PASSWORD) == second_factor.user
    (question,) = person.asked
    assert (question.kind, question.text, question.host, question.echo) == ("code", "Verification code:", "web1", False)
    assert question.group == f"{second_factor.user}: Verification code:"


def test_the_person_gives_the_password_too(second_factor: Sshd) -> None:
    person = Person(password=[PASSWORD], code=[CODE])
    assert log_in(second_factor, person, sshexec_credential_group="dc1") == second_factor.user
    assert [(question.kind, question.group) for question in person.asked] == [
        ("password", "dc1"),
        ("code", "dc1: Verification code:"),
    ]


def test_a_wrong_code_is_asked_for_again_and_a_proven_password_is_not_to_blame(second_factor: Sshd) -> None:
    person = Person(password=[PASSWORD], code=["000000", CODE])
    broker = Broker(person, code_window=0)
    log_in(second_factor, broker)
    # Either may have been wrong: both are asked for again.
    assert [question.kind for question in person.asked] == ["password", "code", "password", "code"]
    person.asked, person.answers["code"] = [], ["111111", CODE]
    log_in(second_factor, broker)
    assert [(question.kind, question.attempt) for question in person.asked] == [("code", 1), ("code", 2)]


def test_without_anybody_to_ask_the_failure_says_what_was_asked(second_factor: Sshd) -> None:
    with pytest.raises(AuthenticationError) as error:
        log_in(second_factor, ansible_password=PASSWORD)
    assert "one more credential; the host asks 'Verification code:'" in str(error.value)
    with pytest.raises(AuthenticationError, match="the host asks 'Password:'"):
        log_in(second_factor)


def test_a_batch_host_asks_nobody(second_factor: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    person = Person(password=[PASSWORD], code=[CODE])
    read = SshConnector.Options.from_vars
    monkeypatch.setattr(
        SshConnector.Options,
        "from_vars",
        lambda variables, host=None: dataclasses.replace(read(variables, host), batch_mode=True),
    )
    with pytest.raises(AuthenticationError, match="the host asks 'Password:'"):
        log_in(second_factor, person)
    assert person.asked == []


def test_passwords_are_not_asked_for_where_that_is_not_wanted(second_factor: Sshd) -> None:
    person = Person(password=[PASSWORD], code=[CODE])
    with pytest.raises(AuthenticationError, match="the host asks 'Password:'"):
        log_in(second_factor, person, sshexec_ask_password=False)
    assert person.asked == []


# ---------------------------------------------------------------------- the person's password


@pytest.fixture(scope="module")
def password_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """A password, by the method of that name."""
    config = "PasswordAuthentication yes\nKbdInteractiveAuthentication no\nMaxAuthTries 2"
    with asking_sshd(tmp_path_factory.mktemp("pam"), {"Password: ": PASSWORD}, config) as server:
        yield server


def shared(broker: Broker) -> contextlib.closing[SshContext]:
    context = SshContext()
    context.prompts = broker
    return contextlib.closing(context)


def test_a_typo_costs_one_try_on_one_host(password_only: Sshd) -> None:
    before = failures(password_only)
    person = Person(password=["typo", PASSWORD])
    broker = Broker(person)
    ended: list[str] = []

    def one(number: int) -> None:
        with shared(broker) as context:
            given = {"ansible_private_key_file": None, "sshexec_ask_password": True}
            ended.append(log_in(password_only, broker, f"h{number}", context, **given))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert ended == [password_only.user] * 8
    assert failures(password_only) - before == 1
    assert [question.attempt for question in person.asked] == [1, 2]
    assert person.asked[0].text == f"SSH password of {password_only.user}"


def test_the_last_try_is_on_a_fresh_connection_where_the_host_closed_the_first(password_only: Sshd) -> None:
    # MaxAuthTries 2: the second wrong password ends the connection, and the third answer is right.
    person = Person(password=["typo", "typo again", PASSWORD])
    given = {"ansible_private_key_file": None, "sshexec_ask_password": True}
    assert log_in(password_only, person, **given) == password_only.user
    assert [question.attempt for question in person.asked] == [1, 2, 3]


def test_three_wrong_passwords_are_enough(password_only: Sshd) -> None:
    before = failures(password_only)
    person = Person(password=["canary-a", "canary-b", "canary-c", PASSWORD])
    broker = Broker(person)
    given = {"ansible_private_key_file": None, "sshexec_ask_password": True}
    with pytest.raises(AuthenticationError, match="the answer was wrong 3 times") as error:
        log_in(password_only, broker, **given)
    assert "canary" not in str(error.value)
    with pytest.raises(AuthenticationError, match="was wrong on web1 and was not tried here"):
        log_in(password_only, broker, host="web2", **given)
    assert failures(password_only) - before == 3
    assert len(person.asked) == 3


def test_a_wrong_answer_costs_one_try_where_the_host_takes_it_in_two_ways(tmp_path: Path) -> None:
    given = {"ansible_private_key_file": None, "sshexec_ask_password": True}
    with asking_sshd(tmp_path, {"Password: ": PASSWORD}, "PasswordAuthentication yes") as server:
        assert log_in(server, Person(password=["typo", PASSWORD]), **given) == server.user
        assert failures(server) == 1
    # A host that offers prompts and has none.
    folder = tmp_path / "other"
    config = "PasswordAuthentication yes\nKbdInteractiveAuthentication yes\nUsePAM no"
    with asking_sshd(folder, {}, config) as server, pytest.raises(AuthenticationError) as error:
        log_in(server, Person(password=["nonsense"]), **given)
    assert "offered: password, password, password;" in str(error.value)


def test_time_that_a_person_takes_is_not_the_hosts(password_only: Sshd) -> None:
    person = Person(password=[PASSWORD])
    person.hook = lambda: time.sleep(1.5)
    given = {"ansible_private_key_file": None, "sshexec_ask_password": True}
    assert log_in(password_only, person, timeouts=Timeouts(auth=1.2), **given) == password_only.user


def test_a_connection_that_ends_meanwhile_is_made_anew(tmp_path: Path) -> None:
    config = "PasswordAuthentication yes\nKbdInteractiveAuthentication no\nLoginGraceTime 1"
    with asking_sshd(tmp_path, {"Password: ": PASSWORD}, config) as server:
        person = Person(password=[PASSWORD])
        person.hook = lambda: time.sleep(2.5)
        given = {"ansible_private_key_file": None, "sshexec_ask_password": True}
        assert log_in(server, person, **given) == server.user
        assert len(person.asked) == 1
        assert failures(server) == 0


def test_a_cancelled_host_waits_for_nobody(password_only: Sshd) -> None:
    asked, done = threading.Event(), threading.Event()

    def person(question: Question) -> str:
        asked.set()
        assert done.wait(30)
        return PASSWORD

    context = SshContext()
    context.prompts = Broker(person)
    given = password_only.variables(ansible_host="127.0.8.1", sshexec_ask_password=True)
    del given["ansible_private_key_file"]
    connector = SshConnector("web1", SshConnector.Options.from_vars(given, "web1"), context, Timeouts())
    ended: list[BaseException] = []

    def run() -> None:
        try:
            connector.open(Deadline.after(60))
        except CancelledError as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert asked.wait(20)
    connector.cancel()
    thread.join(10)
    assert len(ended) == 1
    done.set()
    context.close()


def test_a_host_that_takes_no_password_is_not_asked_for_one(sshd: Sshd, tmp_path: Path) -> None:
    person = Person(password=["right everywhere else"])
    wrong = keygen(tmp_path / "wrong", "-t", "ed25519", "-N", "")
    for key in (str(wrong), None):
        with pytest.raises(AuthenticationError, match=r"\(publickey\)"):
            log_in(sshd, person, ansible_private_key_file=key)
    assert person.asked == []


# ---------------------------------------------------------------------- what OpenSSH can't be told to ask


class Asker(paramiko.ServerInterface):
    """Asks rounds of prompts; lets in whoever gives the expected answers."""

    def __init__(self, rounds: list[list[tuple[str, bool]]], expected: list[list[str]] | None) -> None:
        self.rounds, self.expected = rounds, expected
        self.got: list[list[str]] = []
        self.tries = 0

    def get_allowed_auths(self, username: str) -> str:
        return "keyboard-interactive"

    def check_auth_none(self, username: str) -> int:
        return paramiko.AUTH_FAILED

    def check_auth_interactive(self, username: str, submethods: str) -> Any:
        self.tries += 1
        self.got = []
        return self._query()

    def check_auth_interactive_response(self, responses: list[str]) -> Any:
        self.got.append(list(responses))
        if len(self.got) < len(self.rounds):
            return self._query()
        return paramiko.AUTH_SUCCESSFUL if self.got == self.expected else paramiko.AUTH_FAILED

    def _query(self) -> paramiko.InteractiveQuery:
        prompts = self.rounds[len(self.got)]
        return paramiko.InteractiveQuery("Duo \x1b[2J login", "Choose\r\n  1. Push", *prompts)


@pytest.fixture
def asker(tmp_path: Path) -> Iterator[Callable[..., tuple[Asker, dict[str, Any]]]]:
    """Return a function that starts a server which asks, and returns it with the variables that reach it."""
    closers: list[Callable[[], None]] = []

    def start(rounds: Any, expected: Any = None) -> tuple[Asker, dict[str, Any]]:
        server = Asker(rounds, expected)
        listener = socket.create_server(("127.0.0.1", 0))
        key = paramiko.ECDSAKey.generate()

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                transport = paramiko.Transport(client)
                closers.append(transport.close)
                transport.add_server_key(key)
                transport.start_server(server=server)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()

        def close() -> None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            thread.join(10)

        closers.append(close)
        return server, {
            "ansible_host": "127.0.0.1",
            "ansible_port": listener.getsockname()[1],
            "ansible_user": "deploy",
            "ansible_host_key_checking": False,
        }

    yield start
    for close in closers:
        close()


def try_in(person: Person | None, variables: dict[str, Any]) -> None:
    context = SshContext()
    if person is not None:
        context.prompts = Broker(person)
    connector = SshConnector("web1", SshConnector.Options.from_vars(variables, "web1"), context, Timeouts())
    try:
        connector.open(Deadline.after(30))
    finally:
        connector.close()
        context.close()


def test_several_rounds_with_several_prompts(asker: Any) -> None:
    rounds = [[("Password: ", False), ("Team: ", True)], [], [("One-time password: ", False)]]
    server, variables = asker(rounds, [["pw", "blue"], [], ["42"]])
    answers = {"Team:": "blue", "One-time password:": "42"}
    asked: list[Question] = []

    class Reader(Person):
        def __call__(self, question: Question) -> str | None:
            asked.append(question)
            return next(answer for text, answer in answers.items() if question.text.endswith(text))

    try_in(Reader(), {**variables, "ansible_password": "pw"})
    assert server.got == server.expected
    assert [(question.kind, question.echo) for question in asked] == [("code", True), ("code", False)]
    # Name and instruction are shown too, in one line and without what a terminal would obey.
    assert asked[0].text == "Duo [2J login Choose 1. Push Team:"


def test_a_prompt_in_any_language_is_the_passwords_where_it_is_the_only_one(asker: Any) -> None:
    server, variables = asker([[("Wachtwoord: ", False)]], [["pw"]])
    try_in(None, {**variables, "ansible_password": "pw"})
    assert server.tries == 1


@pytest.mark.parametrize(
    ("rounds", "message"),
    [
        ([[("New password: ", False)]], "wants the password changed"),
        ([[("PIN: ", False)]], "the host asks 'PIN:'"),
        ([[(f"Question {n}: ", True) for n in range(17)]], "more than 16 questions"),
        ([[("Password: ", False)], [("Password again: ", False)]], "the host asks 'Password again:'"),
        ([[]] * 12, "never stops asking"),
        ([[("x" * 100_000, True)]], "the host asks 'xxx"),
    ],
    ids=["new password", "code", "many prompts", "twice", "many rounds", "long"],
)
def test_what_is_not_answered_is_told(asker: Any, rounds: Any, message: str) -> None:
    server, variables = asker(rounds)
    with pytest.raises(AuthenticationError, match=message) as error:
        try_in(None, {**variables, "ansible_password": "canary-text"})
    assert "canary-text" not in str(error.value)
    assert len(str(error.value)) < 5000
    # The password was given once at most, and only where it was asked for.
    assert sum(answers.count("canary-text") for answers in server.got) <= 1
    assert server.tries == 1


# ---------------------------------------------------------------------- passphrases


def test_a_passphrase_is_asked_for_once_over_all_hosts(sshd: Sshd, tmp_path: Path) -> None:
    key = keygen(tmp_path / "key", "-t", "ed25519", "-N", "phrase")
    before = sshd.authorized_keys.read_text()
    sshd.authorized_keys.write_text(before + key.with_suffix(".pub").read_text())
    person = Person(passphrase=["wrong", "phrase"])
    broker = Broker(person)
    ended: list[str] = []
    try:
        with shared(broker) as context:

            def one(number: int) -> None:
                ended.append(log_in(sshd, broker, f"h{number}", context, ansible_private_key_file=str(key)))

            threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
    finally:
        sshd.authorized_keys.write_text(before)
    assert ended == [sshd.user] * 6
    assert [(question.kind, question.group, question.attempt) for question in person.asked] == [
        ("passphrase", str(key), 1),
        ("passphrase", str(key), 2),
    ]


def test_three_wrong_passphrases_end_before_anything_is_contacted(sshd: Sshd, tmp_path: Path) -> None:
    key = keygen(tmp_path / "key", "-t", "ed25519", "-N", "phrase")
    person = Person(passphrase=["canary-text"])
    with pytest.raises(AuthenticationError, match=r"is encrypted.*wrong 3 times") as error:
        log_in(sshd, person, ansible_private_key_file=str(key), ansible_port=1)
    assert str(key) in str(error.value)
    assert "canary-text" not in str(error.value)
    assert error.value.phase == "authenticating"


def test_a_default_key_is_unlocked_where_there_is_no_other(sshd: Sshd, tmp_path: Path) -> None:
    folder = tmp_path / "home" / ".ssh"
    folder.mkdir(parents=True)
    (folder / "id_ed25519").write_bytes(sshd.key.read_bytes())
    (folder / "id_ed25519").chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "phrase", "-f", folder / "id_ed25519"], check=True)
    person = Person(passphrase=["phrase"])
    assert log_in(sshd, person, ansible_private_key_file=None) == sshd.user
    with pytest.raises(AuthenticationError, match="no credential to offer"):
        log_in(sshd, Person(), ansible_private_key_file=None)
    with pytest.raises(OptionError, match="encrypted"):
        log_in(sshd, ansible_private_key_file=str(folder / "id_ed25519"))


def test_an_inline_key(sshd: Sshd, tmp_path: Path) -> None:
    text = sshd.key.read_text()
    one_line = text.replace("\n", "\\n")
    for variable, value in [("ansible_private_key", text), ("ansible_ssh_private_key", one_line)]:
        assert log_in(sshd, ansible_private_key_file="/missing", **{variable: value}) == sshd.user
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "phrase", "-f", str(sshd.key)], check=True)
    locked = sshd.key.read_text()
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "phrase", "-N", "", "-f", str(sshd.key)], check=True)
    given = {"ansible_private_key_file": None, "ansible_private_key": locked}
    assert log_in(sshd, **given, ansible_ssh_private_key_passphrase="phrase") == sshd.user
    person = Person(passphrase=["phrase"])
    assert log_in(sshd, person, **given) == sshd.user
    assert "ansible_private_key (SHA256:" in person.asked[0].group
    with pytest.raises(OptionError, match="ansible_private_key is encrypted") as error:
        log_in(sshd, **given)
    assert locked.splitlines()[1] not in str(error.value)
    with pytest.raises(OptionError, match="ansible_private_key holds no private key"):
        log_in(sshd, ansible_private_key="canary-text")
