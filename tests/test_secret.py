"""A secret shows itself only to `reveal()`."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback

import pytest

from sshexec.secret import HIDDEN, Secret, is_secret_name, mask, redact

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
