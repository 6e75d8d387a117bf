"""Variables as JSON texts and back."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import pytest
from hypothesis import given

from sshexec.credentials.keyring import Keyring, SealedSecret, key_of, new_key
from sshexec.credentials.vault import VaultPasswords, VaultSecret
from sshexec.errors import CredentialError, InventoryError
from sshexec.inventory.cmdb.secrets import KeyringSecrets, KnownSecrets
from sshexec.inventory.cmdb.values import decode, decode_all, encode, retold
from sshexec.secret import Secret, SecretExpression
from tests.inventory.inventories import VARIABLES

SECRETS = KeyringSecrets(Keyring([new_key()]))
OWNER = "host 'h'"


def _no_constant(name: str) -> NoReturn:
    raise AssertionError(f"{name} is no JSON")


@given(VARIABLES)
def test_what_inventories_hold_comes_back_as_it_was(variables: dict[str, Any]) -> None:
    text = encode(variables, SECRETS, OWNER)
    assert text.isascii()
    json.loads(text, parse_constant=_no_constant)
    # By their repr: 1, True and 1.0 are equal, and nan is not.
    assert repr(decode(text, SECRETS, OWNER)) == repr(variables)


def test_numbers_that_python_refuses_to_print_or_read() -> None:
    text = encode({"n": 10**5000, "a_password": 10**5000}, SECRETS, OWNER)
    found = decode(text, SECRETS, OWNER)
    assert found["n"] == int(found["a_password"].reveal(), 16) == 10**5000


def test_many_are_read_in_their_order() -> None:
    many = [{"n": number, **({"f": float("inf")} if number == 700 else {})} for number in range(1300)]
    texts = [(f"host {number}", encode(variables, SECRETS, OWNER)) for number, variables in enumerate(many)]
    assert list(decode_all(texts, SECRETS)) == many


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "[]",
        "{",
        '{"a": 1}, {"b": 2}',
        '{"a": {"$what": 1}}',
        '{"$map": 5}',
        '{"a": {"$int": "q"}}',
        "[" * 9999,
    ],
)
def test_a_text_that_is_none_of_ours_is_named(text: str) -> None:
    texts = [("host 'fine'", "{}"), ("host 'broken'", text), ("host 'fine too'", "{}")]
    with pytest.raises(
        InventoryError, match="the variables of host 'broken' are not the JSON text that sshexec writes"
    ):
        list(decode_all(texts, SECRETS))


def test_secrets_are_sealed_at_every_depth() -> None:
    variables = {
        "ansible_password": "hunter2",
        "nested": {"list": [{"db_password": "hunter2", "user": "joe"}]},
        "tokens": ["hunter2", {"more": "hunter2"}],
        "pin_secret": 123456,
        "typed": Secret("hunter2"),
    }
    text = encode(variables, SECRETS, OWNER)
    assert "hunter2" not in text
    assert "123456" not in text
    found = decode(text, SECRETS, OWNER)
    assert found["ansible_password"] == found["typed"] == Secret("hunter2")
    assert found["nested"] == {"list": [{"db_password": Secret("hunter2"), "user": "joe"}]}
    assert found["tokens"] == [Secret("hunter2"), {"more": Secret("hunter2")}]
    assert found["pin_secret"].reveal() == "123456"
    assert "hunter2" not in repr(found)


def test_what_says_nothing_secret_stays_readable() -> None:
    variables = {"ansible_password": "{{ vault_password }}", "a_password": "", "b_password": None, "use_password": True}
    text = encode(variables, SECRETS, OWNER)
    assert "$sealed" not in text
    assert decode(text, SECRETS, OWNER) == variables


def test_an_expression_from_an_encrypted_file_stays_one_where_nothing_else_is_in_it() -> None:
    variables = {"a": SecretExpression("{{ b }}"), "c": SecretExpression("hunter2{{ b }}")}
    text = encode(variables, SECRETS, OWNER)
    assert "hunter2" not in text
    found = decode(text, SECRETS, OWNER)
    assert found["a"] == "{{ b }}"
    assert found["c"].reveal() == "hunter2{{ b }}"


def test_an_expression_from_an_encrypted_file_is_sealed_where_a_secret_may_stand_in_it() -> None:
    texts = [
        "{{ 'hunter2' }}",
        '{{ a ~ "hunter2" }}',
        "{{ a | default('hunter2') }}",
        "{{ 20277 }}",
        "{{ {'a': 'b'}.a }}",
    ]
    variables = {f"v{number}": SecretExpression(text) for number, text in enumerate(texts)}
    text = encode(variables, SECRETS, OWNER)
    assert text.count("$sealed") == len(texts)
    assert [each.reveal() for each in decode(text, SECRETS, OWNER).values()] == texts
    plain = {f"v{n}": SecretExpression(t) for n, t in enumerate(["{{a.b['c d'][0] | trim }}", '{{ a["b"][c].d }}'])}
    assert "$sealed" not in encode(plain, SECRETS, OWNER)


def test_what_ansible_vault_encrypted_is_kept_as_it_was_written() -> None:
    passwords = VaultPasswords("open sesame")
    ciphertext = passwords.encrypt("hunter2")
    no_key = KeyringSecrets(Keyring.load("file:/nonexistent"), passwords)
    text = encode({"ansible_password": VaultSecret(ciphertext)}, no_key, OWNER)
    found = decode(text, no_key, OWNER)["ansible_password"]
    assert isinstance(found, VaultSecret)
    assert found.ciphertext == ciphertext
    assert found.reveal() == "hunter2"


def test_without_a_key_the_variable_is_named() -> None:
    no_key = KeyringSecrets(Keyring.load("file:/nonexistent"))
    with pytest.raises(CredentialError, match=r"^nested of host 'h': the key for secrets: /nonexistent"):
        encode({"nested": {"db_password": "hunter2"}}, no_key, OWNER)


def test_sealed_secrets_go_back_as_they_came_without_a_key() -> None:
    text = encode({"p": Secret("hunter2")}, SECRETS, OWNER)
    no_key = KeyringSecrets(Keyring.load("file:/nonexistent"))
    assert encode(decode(text, no_key, OWNER), no_key, OWNER) == text
    # Of another reading, with another keyring.
    strangers = decode(text, KeyringSecrets(Keyring.load("file:/nowhere")), OWNER)
    assert encode(strangers, KnownSecrets(no_key, text, OWNER), OWNER) == text
    with pytest.raises(CredentialError):
        encode(strangers, no_key, OWNER)


def test_what_is_unchanged_keeps_its_token() -> None:
    text = encode({"a_password": "one", "b_password": "two"}, SECRETS, OWNER)
    again = encode({"a_password": "one", "b_password": "three"}, KnownSecrets(SECRETS, text, OWNER), OWNER)
    before, after = json.loads(text), json.loads(again)
    assert before["a_password"] == after["a_password"]
    assert before["b_password"] != after["b_password"]
    # A token is bound to its variable.
    moved = encode({"c_password": "one"}, KnownSecrets(SECRETS, text, OWNER), OWNER)
    assert decode(moved, SECRETS, OWNER)["c_password"].reveal() == "one"


def test_tokens_are_changed_for_another_key() -> None:
    old, new = Keyring([new_key()]), Keyring([new_key()])
    variables = {"$odd": {1: [Secret("one")]}, "b": Secret("two"), "c": float("nan")}
    text = encode(variables, KeyringSecrets(old), OWNER)
    seen = []

    def change(token: str, variable: str) -> str:
        seen.append(variable)
        assert key_of(token)
        context = f"variable {variable}"
        return new.seal(old.open(token, context=context), context=context)

    changed = retold(text, change, OWNER)
    assert seen == ["$odd", "b"]
    found = decode(changed, KeyringSecrets(new), OWNER)
    assert list(found) == ["$odd", "b", "c"]
    assert (found["$odd"], found["b"]) == ({1: [Secret("one")]}, Secret("two"))
    assert isinstance(found["b"], SealedSecret)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1, 2}, "the variable 'v' of host 'h' holds a value of the type set, which no inventory can hold"),
        ([b"bytes"], "a value of the type bytes"),
        ({"k": {(1, 2): 3}}, "a key of the type tuple"),
    ],
)
def test_what_no_inventory_holds_is_refused(value: object, message: str) -> None:
    with pytest.raises(InventoryError, match=message):
        encode({"v": value}, SECRETS, OWNER)


def test_nesting_is_bounded() -> None:
    deep: list[Any] = []
    deep.append(deep)
    with pytest.raises(InventoryError, match="'v' of host 'h' is nested deeper than 100 levels"):
        encode({"v": deep}, SECRETS, OWNER)
    value: Any = 1
    for _ in range(99):
        value = {2: value}
    assert decode(encode({"v": value}, SECRETS, OWNER), SECRETS, OWNER) == {"v": value}
