"""Ansible's variables of its winrm connection become settings, or are refused by name before anything is contacted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sshexec.connectors.winrm import options as module
from sshexec.connectors.winrm.context import WinrmContext
from sshexec.connectors.winrm.options import WinrmOptions
from sshexec.errors import OptionError
from sshexec.secret import Secret

NTLM = {"ansible_user": "u", "ansible_password": "p", "ansible_winrm_transport": "ntlm"}


def read(**variables: Any) -> WinrmOptions:
    return WinrmOptions.from_vars(variables, "win1")


def refused(**variables: Any) -> str:
    with pytest.raises(OptionError) as caught:
        read(**variables)
    assert str(caught.value).startswith("host win1: ")
    return str(caught.value)


def test_the_defaults() -> None:
    options = read(ansible_user="u", ansible_password="p")
    assert (options.address, options.port, options.scheme, options.path) == ("win1", 5986, "https", "/wsman")
    assert (options.transport, options.encrypted, options.url) == ("ssl", False, "https://win1:5986/wsman")
    assert (options.operation_timeout, options.read_timeout) == (20, 30)
    assert (options.validation, options.ca_trust_path, options.proxy, options.unknown) == ("validate", "", None, ())
    assert (options.service, options.send_cbt, options.delegation, options.credssp_minimum_version) == (
        "HTTP",
        True,
        False,
        2,
    )


@pytest.mark.parametrize(
    ("variables", "transport", "scheme"),
    [
        ({"ansible_user": "u"}, "ssl", "https"),
        ({"ansible_user": "u", "ansible_port": 5985}, "plaintext", "http"),
        ({"ansible_user": "u", "ansible_port": 80}, "ssl", "https"),
        ({"ansible_user": "u", "ansible_port": 80, "ansible_winrm_scheme": "http"}, "plaintext", "http"),
        ({"ansible_user": "u", "ansible_port": 5985, "ansible_winrm_scheme": "https"}, "ssl", "https"),
        ({"ansible_user": "u", "ansible_winrm_transport": "ntlm"}, "ntlm", "https"),
        ({"ansible_user": "u", "ansible_winrm_transport": ["ntlm", "basic"]}, "ntlm", "https"),
        ({"ansible_user": "u", "ansible_winrm_transport": " NTLM , basic"}, "ntlm", "https"),
        ({"ansible_user": "u@d", "ansible_winrm_transport": ""}, "kerberos", "https"),
        ({"ansible_user": "u@d"}, "kerberos", "https"),
    ],
)
def test_the_way_to_log_in(monkeypatch: pytest.MonkeyPatch, variables: Any, transport: str, scheme: str) -> None:
    monkeypatch.setattr(module, "_present", lambda name: True)
    options = read(ansible_password="p", **variables)
    assert (options.transport, options.scheme) == (transport, scheme)


def test_what_is_not_installed_is_passed_over_or_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_present", lambda name: name not in ("kerberos", "credssp"))
    login = {"ansible_user": "u@d", "ansible_password": "p"}
    assert read(**login, ansible_winrm_transport="kerberos,credssp,ntlm").transport == "ntlm"
    assert "pip install 'sshexec[credssp]'" in refused(**login, ansible_winrm_transport="credssp")
    said = refused(**login)
    assert "pip install 'sshexec[kerberos]'" in said
    assert "user@DOMAIN" in said


@pytest.mark.parametrize(
    ("setting", "variables"),
    [
        ("user", ("ansible_winrm_user", "ansible_user")),
        ("path", ("ansible_winrm_path",)),
    ],
)
def test_the_strongest_name_wins(setting: str, variables: tuple[str, ...]) -> None:
    for number, variable in enumerate(variables):
        weaker = dict.fromkeys(variables[number:], "weak")
        assert getattr(read(**{**NTLM, **weaker, variable: "/strong"[setting != "path" :]}), setting) in (
            "strong",
            "/strong",
        )


def test_the_strongest_address_wins() -> None:
    assert read(**NTLM, ansible_winrm_host="a", ansible_host="b").address == "a"
    assert read(**NTLM, ansible_host="b").address == "b"


def test_the_strongest_password_and_port_win() -> None:
    options = read(
        ansible_winrm_password="one", ansible_winrm_pass="two", ansible_password="three", ansible_user="u",
        ansible_winrm_port="1", ansible_port=2,
    )  # fmt: skip
    assert (options.password, options.port) == (Secret("one"), 1)
    assert read(ansible_winrm_pass="two", ansible_password="three", ansible_user="u").password == Secret("two")


def test_the_variables_that_pywinrm_is_handed() -> None:
    options = read(
        **NTLM,
        ansible_winrm_server_cert_validation="ignore",
        ansible_winrm_message_encryption="always",
        ansible_winrm_send_cbt="no",
        ansible_winrm_service="WSMAN",
        ansible_winrm_realm="R",
        ansible_winrm_kerberos_hostname_override="h",
        ansible_winrm_kerberos_delegation="yes",
        ansible_winrm_credssp_disable_tlsv1_2=True,
        ansible_winrm_credssp_auth_mechanism="ntlm",
        ansible_winrm_credssp_minimum_version="5",
        ansible_winrm_kinit_cmd="/opt/kinit",
        ansible_winrm_kinit_args="-l '1 h'",
        ansible_winrm_kinit_env_vars="A, B",
        ansible_winrm_kinit_mode="manual",
        ansible_winrm_read_timeout_sec=50,
        ansible_winrm_operation_timeout_sec="40",
    )
    assert (options.validation, options.message_encryption, options.encrypted) == ("ignore", "always", True)
    assert (options.send_cbt, options.service, options.realm, options.kerberos_host) == (False, "WSMAN", "R", "h")
    assert (options.delegation, options.credssp_disable_tlsv1_2) == (True, True)
    assert (options.credssp_auth_mechanism, options.credssp_minimum_version) == ("ntlm", 5)
    assert (options.kinit_cmd, options.kinit_args, options.kinit_env_vars) == ("/opt/kinit", "-l '1 h'", ("A", "B"))
    assert (options.managed, options.operation_timeout, options.read_timeout) == (False, 40, 50)


def test_the_connection_timeout_sets_both_as_ansible_does() -> None:
    options = read(**NTLM, ansible_winrm_connection_timeout="60", ansible_winrm_read_timeout_sec=99)
    assert (options.operation_timeout, options.read_timeout) == (60, 70)


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("::1", "https://[::1]:5986/wsman"),
        ("[fe80::1%eth0]", "https://[fe80::1]:5986/wsman"),
        ("bücher.example", "https://xn--bcher-kva.example:5986/wsman"),
        ("10.0.0.1", "https://10.0.0.1:5986/wsman"),
    ],
)
def test_addresses(address: str, url: str) -> None:
    assert read(**NTLM, ansible_host=address).url == url


def test_unknown_variables_are_kept_by_name() -> None:
    options = read(**NTLM, ansible_winrm_zeal="x", ansible_winrm_cert_key="y", ansible_psrp_auth="z")
    assert options.unknown == ("ansible_winrm_cert_key", "ansible_winrm_zeal")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"ansible_password": "p"}, "ansible_user is not set"),
        ({**NTLM, "ansible_port": 0}, "ansible_port: expected a whole number from 1 to 65535"),
        ({**NTLM, "ansible_winrm_scheme": "ftp"}, "one of http, https"),
        ({**NTLM, "ansible_winrm_transport": "ntlm2"}, "one or more of basic, plaintext"),
        ({**NTLM, "ansible_winrm_transport": "auto"}, "ntlm, kerberos, credssp"),
        ({**NTLM, "ansible_host": "http://w"}, "ansible_host: expected a name or an address"),
        (
            {**NTLM, "ansible_host": "w\x01x", "ansible_winrm_proxy": "http://p:3128"},
            "ansible_host: expected a name or an address",
        ),
        ({**NTLM, "ansible_host": "10.0.0.1:5985"}, "'10.0.0.1:5985'; a port stands in ansible_port"),
        ({**NTLM, "ansible_winrm_host": "w:1"}, "ansible_winrm_host: expected a name or an address, got 'w:1'"),
        ({**NTLM, "ansible_winrm_credssp_minimum_version": 1}, "expected a whole number from 2 on, got 1"),
        ({**NTLM, "ansible_winrm_path": "/a b"}, "ansible_winrm_path"),
        ({**NTLM, "ansible_winrm_path": "/a\r\nX: y"}, "ansible_winrm_path"),
        ({**NTLM, "ansible_winrm_read_timeout_sec": 20}, "must be more than"),
        ({**NTLM, "ansible_winrm_operation_timeout_sec": 30}, "must be more than"),
        ({**NTLM, "ansible_winrm_operation_timeout_sec": 0}, "ansible_winrm_operation_timeout_sec"),
        ({**NTLM, "ansible_winrm_proxy": "socks5://x:1"}, "ansible_winrm_proxy: expected http://"),
        ({**NTLM, "ansible_winrm_proxy": "http://x:port"}, "ansible_winrm_proxy: expected http://"),
        ({**NTLM, "ansible_winrm_proxy": "http://x:1", "ansible_host": "a" * 64 + "ü"}, "is not a host name"),
        ({**NTLM, "ansible_winrm_ca_trust_path": "/nope.pem"}, "ansible_winrm_ca_trust_path: /nope.pem does not exist"),
        ({**NTLM, "ansible_winrm_message_encryption": "sometimes"}, "one of auto, always, never"),
        (
            {"ansible_user": "u", "ansible_port": 5985, "ansible_winrm_message_encryption": "always"},
            "plaintext can't encrypt messages; set ansible_winrm_transport to one of ntlm",
        ),
        ({"ansible_winrm_transport": "certificate"}, "ansible_winrm_cert_pem is not set"),
        (
            {"ansible_winrm_transport": "certificate", "ansible_winrm_cert_pem": __file__},
            "ansible_winrm_cert_key_pem is not set",
        ),
        (
            {"ansible_winrm_cert_pem": "/nope", "ansible_winrm_cert_key_pem": "/nope"},
            "ansible_winrm_cert_pem: /nope does not exist",
        ),
        ({"ansible_winrm_transport": "certificate", "ansible_port": 5985}, "needs https"),
    ],
)
def test_what_can_not_work_is_said_up_front(variables: dict[str, Any], words: str) -> None:
    assert words in refused(**variables)


def test_what_kerberos_can_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_present", lambda name: True)
    kerberos = {"ansible_user": "u@D", "ansible_winrm_transport": "kerberos"}
    assert "ansible_winrm_kinit_args" in refused(**kerberos, ansible_winrm_kinit_args="-l 'x")
    assert "KRB5CCNAME" in refused(**kerberos, ansible_winrm_kinit_env_vars=["KRB5CCNAME"])
    assert "ansible_winrm_keytab: /nope does not exist" in refused(**kerberos, ansible_winrm_keytab="/nope")
    assert "a Kerberos principal" in refused(**{**kerberos, "ansible_user": "-k"})
    assert "ansible_user is not set" in refused(ansible_winrm_transport="kerberos", ansible_winrm_kinit_mode="managed")
    assert not read(ansible_winrm_transport="kerberos").needs_password
    assert not read(**kerberos).needs_password
    assert read(**kerberos, ansible_winrm_kinit_mode="managed").needs_password


def test_secrets_are_not_shown() -> None:
    options = read(
        **{**NTLM, "ansible_password": "canary"},
        ansible_winrm_proxy="http://u:canary@proxy:3128",
        sshexec_winrm_cert_key_passphrase="canary",
    )
    assert "canary" not in repr(options)
    assert "canary" not in refused(**NTLM, ansible_winrm_proxy="ftp://u:canary@proxy:3128")


def test_a_missing_password_is_named_by_the_check() -> None:
    context = WinrmContext()
    with pytest.raises(OptionError, match="ansible_password is not set, and ntlm needs one"):
        context.check(read(ansible_user="u", ansible_winrm_transport="ntlm", ansible_winrm_scheme="http"))
    context.check(read(**NTLM, ansible_winrm_scheme="http"))


def test_explain_says_where_each_setting_is_from(tmp_path: Path) -> None:
    rows = {
        row.name: row
        for row in WinrmOptions.explain(
            {
                **NTLM,
                "ansible_port": 5985,
                "ansible_winrm_connection_timeout": 60,
                "ansible_winrm_proxy": "http://u:canary@proxy:3128",
                "ansible_winrm_zeal": "canary",
            },
            "win1",
        )
    }
    assert (rows["address"].value, rows["address"].place) == ("win1", "inventory name")
    assert (rows["port"].value, rows["port"].variable) == (5985, "ansible_port")
    assert (rows["scheme"].value, rows["scheme"].note) == ("http", "since the port is 5985")
    assert (rows["transport"].value, rows["transport"].variable) == ("ntlm", "ansible_winrm_transport")
    assert rows["message_encryption"].note == "messages are encrypted"
    assert (rows["read_timeout"].value, rows["read_timeout"].variable) == (70, "ansible_winrm_connection_timeout")
    assert rows["proxy"].value == "http://********@proxy:3128"
    assert rows["ansible_winrm_zeal"].note == "not used: unknown"
    assert "canary" not in repr(list(rows.values()))
    assert {"service", "kinit_cmd", "validation", "credssp_minimum_version"}.isdisjoint(rows)


def test_explain_has_what_concerns_the_connection() -> None:
    rows = {row.name: row.value for row in WinrmOptions.explain(NTLM | {"ansible_winrm_service": "WSMAN"}, "win1")}
    assert (rows["validation"], rows["ca_trust_path"], rows["send_cbt"]) == ("validate", "the system's", True)
    assert (rows["service"], rows["connect_timeout"]) == ("WSMAN", 10.0)
    assert {"kinit_cmd", "realm", "delegation"}.isdisjoint(rows)


def test_every_variable_has_help() -> None:
    known = WinrmOptions.variables()
    assert all(known.values())
    names = (
        "host user pass password port scheme path transport connection_timeout kinit_cmd kinit_args kinit_env_vars"
        " kinit_mode kerberos_delegation server_cert_validation ca_trust_path cert_pem cert_key_pem"
        " message_encryption read_timeout_sec operation_timeout_sec realm service keytab"
        " kerberos_hostname_override credssp_disable_tlsv1_2 credssp_auth_mechanism credssp_minimum_version"
        " send_cbt proxy"
    )
    assert {f"ansible_winrm_{name}" for name in names.split(" ")} <= set(known)
