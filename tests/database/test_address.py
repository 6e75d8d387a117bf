"""Addresses of databases."""

from __future__ import annotations

import pytest

from sshexec.database.address import is_address, redacted


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:///x.db",
        "sqlite+pysqlite:////srv/x.db",
        "postgresql://host/name",
        "postgresql+psycopg://u:p@host:5432/name?sslmode=require",
        "postgres://host/name",
        "mysql+pymysql://root@127.0.0.1/test",
        "mariadb+pymysql://root@127.0.0.1/test",
    ],
)
def test_addresses(text):
    assert is_address(text)


@pytest.mark.parametrize("text", ["hosts.yml", "web1,web2", "sqlite.db", "https://host/x", "my+sql://x", "sqlite:x.db"])
def test_other_texts(text):
    assert not is_address(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///x.db", "sqlite:///x.db"),
        ("postgresql://ann@host/name", "postgresql://ann@host/name"),
        ("postgresql://ann:geheim@host:5432/name", "postgresql://ann:********@host:5432/name"),
        ("postgresql://ann:ge@heim/x@host/name", "postgresql://ann:********@host/name"),
        ("postgresql://:geheim@host/name", "postgresql://:********@host/name"),
        ("mysql://u:p@h/n?ssl_ca=x&password=geheim", "mysql://u:********@h/n?ssl_ca=x&password=********"),
        ("postgresql:///n?host=/run/pg&sslpassword=geheim", "postgresql:///n?host=/run/pg&sslpassword=********"),
        ("postgresql://ann:ge?heim@host/name?a=b@c", "postgresql://ann:********@host/name?a=b@c"),
        ("postgresql://ann:ge@he?im@host/name", "postgresql://ann:********@host/name"),
        ("postgresql://ann/x:geheim@host/name", "postgresql://ann/x:********@host/name"),
        ("postgresql://host:5432/name?application_name=x", "postgresql://host:5432/name?application_name=x"),
        ("mysql://u:p@h/n?pass%77ord=geheim&x=1", "mysql://u:********@h/n?pass%77ord=********&x=1"),
        ("postgresql:ann:geheim@host/name", "postgresql:ann:********@host/name"),
        ("postgresql+psycopg:/ann:geheim@host/name", "postgresql+psycopg:/ann:********@host/name"),
        ("postgresql//ann:geheim@host/name", "postgresql//ann:********@host/name"),
        ("sqlite:////srv/a:b@c/x.db", "sqlite:////srv/a:b@c/x.db"),
        ("sqlite:////srv/a@b:c/x.db", "sqlite:////srv/a@b:c/x.db"),
    ],
)
def test_no_secret_is_shown(url, shown):
    assert redacted(url) == shown
