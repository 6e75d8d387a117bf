"""Connection options: from host variables to typed, checked values."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass

import pytest

from sshexec.connectors.options import ConnectorOptions, option
from sshexec.errors import OptionError
from sshexec.secret import HIDDEN, Secret


@dataclass(frozen=True)
class Options(ConnectorOptions):
    """One field of each kind."""

    address: str | None = option(None, "ansible_host", help="address")
    port: int = option(22, "ansible_port", "ansible_ssh_port", help="TCP port", minimum=1, maximum=65535)
    timeout: float = option(10.0, "ansible_timeout", help="seconds")
    password: Secret | None = option(None, "ansible_password", help="password")
    checking: bool = option(True, "ansible_host_key_checking", help="host keys")
    family: str = option("any", "family", help="address family", choices=("any", "inet", "inet6"))
    derived: str = "not an option"


def test_without_variables_the_defaults_hold():
    assert Options.from_vars({}) == Options(None, 22, 10.0, None, True, "any", "not an option")


def test_variables_are_converted_to_the_types_of_the_fields():
    variables = {
        "ansible_host": "10.0.0.1",
        "ansible_port": "2222",
        "ansible_timeout": 3,
        "ansible_password": 1234,
        "ansible_host_key_checking": "no",
        "family": "inet6",
        "http_port": [80],
    }
    assert Options.from_vars(variables) == Options("10.0.0.1", 2222, 3.0, Secret("1234"), False, "inet6")


def test_the_first_variable_that_is_set_wins():
    assert Options.from_vars({"ansible_ssh_port": 3, "ansible_port": 2}).port == 2
    assert Options.from_vars({"ansible_ssh_port": 3, "ansible_port": None}).port == 3


@pytest.mark.parametrize(("value", "expected"), [("yes", True), ("On", True), (1, True), (" off ", False), (0, False)])
def test_booleans_are_ansibles_words(value, expected):
    assert Options.from_vars({"ansible_host_key_checking": value}).checking is expected


def test_a_secret_stays_the_object_it_was():
    secret = Secret("hunter2")
    assert Options.from_vars({"ansible_password": secret}).password is secret


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("ansible_port", "ssh", "a whole number from 1 to 65535, got 'ssh'"),
        ("ansible_port", 0, "a whole number from 1 to 65535, got 0"),
        ("ansible_port", 65536, "a whole number from 1 to 65535, got 65536"),
        ("ansible_port", 22.5, "a whole number from 1 to 65535, got 22.5"),
        ("ansible_port", True, "a whole number from 1 to 65535, got True"),
        ("ansible_port", [22], "a whole number from 1 to 65535, got [22]"),
        ("ansible_port", "٢٢", "a whole number from 1 to 65535, got '٢٢'"),
        ("ansible_timeout", 10**400, f"a number, got {10**400}"),
        ("ansible_timeout", "soon", "a number, got 'soon'"),
        ("ansible_host_key_checking", "maybe", "yes or no, got 'maybe'"),
        ("ansible_host", ["a"], "a text, got ['a']"),
        ("ansible_host", "a\nProxyCommand x", "a text without line breaks or NUL, got 'a\\nProxyCommand x'"),
        ("ansible_host", "a\0b", "a text without line breaks or NUL, got 'a\\x00b'"),
        ("family", "ipx", "one of any, inet, inet6, got 'ipx'"),
    ],
)
def test_a_wrong_value_is_named_with_its_host_and_variable(variable, value, expected):
    with pytest.raises(OptionError) as caught:
        Options.from_vars({variable: value}, "web1")
    assert str(caught.value) == f"host web1: {variable}: expected {expected}"


def test_a_wrong_secret_is_not_shown():
    with pytest.raises(OptionError) as caught:
        Options.from_vars({"ansible_password": ["hunter2"]})
    assert str(caught.value) == f"ansible_password: expected a text, got {HIDDEN}"


def test_not_a_number_is_no_number_within_bounds():
    @dataclass(frozen=True)
    class Bounded(ConnectorOptions):
        keepalive: float = option(0.0, "keepalive", help="seconds", minimum=0, maximum=600)

    with pytest.raises(OptionError, match="a number from 0 to 600"):
        Bounded.from_vars({"keepalive": "nan"})


def test_infinity_is_no_whole_number():
    with pytest.raises(OptionError, match="a whole number"):
        Options.from_vars({"ansible_port": float("inf")})


def test_options_are_frozen():
    with pytest.raises(FrozenInstanceError):
        Options().port = 1


def test_the_repr_does_not_show_a_password():
    shown = repr(Options.from_vars({"ansible_password": "hunter2"}))
    assert HIDDEN in shown
    assert "hunter2" not in shown


def test_variables_lists_every_variable_with_its_help():
    assert Options.variables() == {
        "ansible_host": "address",
        "ansible_port": "TCP port",
        "ansible_ssh_port": "TCP port",
        "ansible_timeout": "seconds",
        "ansible_password": "password",
        "ansible_host_key_checking": "host keys",
        "family": "address family",
    }
