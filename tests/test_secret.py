"""A secret shows itself only to `reveal()`."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import subprocess
import sys
import traceback

import pytest

from sshexec.errors import CredentialError
from sshexec.secret import (
    HIDDEN,
    LazySecret,
    LockedSecret,
    Secret,
    SecretExpression,
    as_secrets,
    closed,
    is_secret_name,
    mask,
    opened,
    redact,
    secrets_of,
)

TEXT = "hunter2-ü-\udcff"


@pytest.mark.parametrize(
    "shown",
    [
        repr,
        str,
        "{}".format,
        "{!r:>20}".format,
        lambda secret: f"{secret}",
        lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - logging formats this way
        lambda secret: repr([{"password": secret}]),
    ],
)
def test_no_text_form_shows_it(shown):
    text = shown(Secret(TEXT))
    assert HIDDEN in text
    assert "hunter2" not in text


def test_reveal_returns_the_very_text():
    assert Secret(TEXT).reveal() == TEXT


def test_an_exception_and_its_traceback_do_not_show_it():
    secret = Secret(TEXT)
    try:
        raise ValueError("refused", secret)
    except ValueError as error:
        shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert HIDDEN in shown
    assert "hunter2" not in shown


def test_a_log_record_does_not_show_it(caplog):
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("password=%s", Secret(TEXT))
    assert caplog.messages == [f"password={HIDDEN}"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_is_not_pickled(protocol):
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps({"ansible_password": Secret(TEXT)}, protocol)


def test_it_is_neither_copied_by_reduction_nor_written_as_json():
    with pytest.raises(TypeError, match="not pickled"):
        copy.deepcopy(Secret(TEXT))
    with pytest.raises(TypeError, match="not JSON serializable"):
        json.dumps(Secret(TEXT))


def test_it_holds_nothing_but_its_value():
    secret = Secret(TEXT)
    with pytest.raises(AttributeError):
        secret.note = "x"
    with pytest.raises(TypeError):
        vars(secret)


def test_equality_hash_and_truth_follow_the_text():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert Secret("a")
    assert not Secret("")
    assert hash(Secret("a")) != hash("a")


@pytest.mark.parametrize(
    "name",
    [
        "ansible_password",
        "ansible_ssh_pass",
        "ANSIBLE_BECOME_PASSWORD",
        "ansible_ssh_private_key_passphrase",
        "api_token",
        "client_secret",
        "password",
        "pass",
        "passwd",
        "pwd",
        "token",
        "secret",
        "db_pw",
        "dbPassword",
        "mysql_password_root",
        "api_key",
        "apiKey",
        "api-key",
        "aws_secret_access_key",
        "credentials",
        "accessTokens",
    ],
)
def test_names_of_secrets_are_known(name):
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "ansible_user",
        "ansible_private_key_file",
        "ansible_ssh_pass_file",
        "compass",
        "bypass",
        "passenger_port",
        "token_url",
        "password_length",
        "sshexec_credential_group",
        "sshexec_ask_password",
        "public_key",
        "monkey",
        "",
    ],
)
def test_other_names_are_not_secrets(name):
    assert not is_secret_name(name)


def test_mask_hides_what_secrets_hold():
    variables = {
        "user": "root",
        "password": "hunter2-long",
        "db": {"password": "hunter2", "tokens": ["abc-def"]},
        "x": [Secret("grail")],
        "pw": "r",
    }
    text = "root: 'hunter2-long', 'hunter2', 'abc-def', 'grail'"
    assert mask(text, variables) == f"root: '{HIDDEN}', '{HIDDEN}', '{HIDDEN}', '{HIDDEN}'"


def test_redact_hides_at_every_depth_and_leaves_the_original_alone():
    variables = {
        "ansible_user": "deploy",
        "ansible_password": "hunter2",
        "db": {"password": "hunter2", "port": 5432},
        "accounts": [{"name": "a", "login_password": "hunter2"}, Secret("hunter2")],
        7: "seven",
    }
    assert redact(variables) == {
        "ansible_user": "deploy",
        "ansible_password": HIDDEN,
        "db": {"password": HIDDEN, "port": 5432},
        "accounts": [{"name": "a", "login_password": HIDDEN}, HIDDEN],
        7: "seven",
    }
    assert variables["db"]["password"] == "hunter2"


class Counted(LazySecret):
    """A secret that counts how often it was opened."""

    __slots__ = ("count", "key")

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key
        self.count = 0

    def _open(self) -> str:
        self.count += 1
        if self.key == "lost":
            raise CredentialError("its key is lost")
        return self.key * 3

    def sealed(self) -> str:
        return self.key


def test_a_lazy_secret_shows_nothing_and_is_opened_once():
    secret = Counted("abc")
    assert (repr(secret), str(secret), bool(secret), secret.known) == (f"Secret('{HIDDEN}')", HIDDEN, True, None)
    assert secrets_of({"x": secret}) == []
    assert redact({"x": [secret]}) == {"x": [HIDDEN]}
    assert closed({"x": [secret], "y": 1, "z": (2,)}) == {"x": [Secret(HIDDEN)], "y": 1, "z": [2]}
    assert secret.count == 0
    assert secret.reveal() == secret.reveal() == secret.known == "abcabcabc"
    assert secret.count == 1
    assert secrets_of({"x": secret}) == ["abcabcabc"]
    assert closed(secret) is secret
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)


def test_lazy_secrets_are_equal_by_what_they_are_or_by_what_they_hold():
    first, same, other = Counted("a"), Counted("a"), Counted("b")
    assert first == same
    assert first.count == same.count == 0
    assert first != other
    assert first == Secret("aaa")
    assert Secret("aaa") == Counted("a")
    assert len({Counted("a"), Secret("aaa")}) == 1


def test_variables_are_opened_once_for_all_hosts_that_share_them():
    shared = {"deep": [{"x": Counted("a")}], "n": 1}
    variables = {"ansible_password": Counted("a"), "shared": shared, "plain": {"a": [1]}}
    known = {}
    first, second = (opened(variables, host, known) for host in ("h1", "h2"))
    assert first == second
    assert type(first["ansible_password"]) is Secret
    assert type(first["shared"]["deep"][0]["x"]) is Secret
    assert first["shared"] is second["shared"]
    assert first["plain"] is variables["plain"]
    assert variables["ansible_password"].count + shared["deep"][0]["x"].count == 1
    assert isinstance(shared["deep"][0]["x"], Counted)


def test_only_a_connection_variable_has_to_open():
    lost = Counted("lost")
    found = opened({"token": lost, "nested": {"ansible_password": lost}}, "h")
    assert isinstance(found["token"], LockedSecret)
    assert lost.count == 1
    assert secrets_of(found) == []
    with pytest.raises(CredentialError, match=r"^its key is lost$"):
        found["nested"]["ansible_password"].reveal()
    for name in ("ansible_password", "sshexec_jump_password"):
        with pytest.raises(CredentialError, match=f"^host h: {name}: its key is lost$"):
            opened({"other": lost, name: lost}, "h")


def test_what_stands_in_an_encrypted_file_is_secret():
    found = as_secrets({"a": "x", "b": [1, 2.5, True, None], "c": {"d": "{{ a }}"}})
    assert found == {"a": Secret("x"), "b": [Secret("1"), Secret("2.5"), True, None], "c": {"d": Secret("{{ a }}")}}
    assert isinstance(found["c"]["d"], SecretExpression)
    assert not isinstance(found["a"], SecretExpression)


FORKED = """
import os, signal, threading
from sshexec.secret import LazySecret

class Slow(LazySecret):
    def _open(self):
        if os.getpid() == parent:
            begun.set()
            ended.wait(30)
        return "text"

parent, begun, ended = os.getpid(), threading.Event(), threading.Event()
secret = Slow()
thread = threading.Thread(target=secret.reveal)
thread.start()
begun.wait(10)
child = os.fork()
if child == 0:
    signal.alarm(10)
    os._exit(0 if secret.reveal() == "text" else 1)
print(os.waitpid(child, 0)[1])
ended.set()
thread.join()
"""


def test_a_child_that_is_forked_while_a_secret_is_opened_opens_it_too():
    done = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "0\n"
