"""Fixtures of the endpoint's own tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.winrm_server.certificates import Certificates
from tests.winrm_server.kdc import Kdc, environment, realm

USERS = {"vagrant": "secret", "zoë": "pass wörd €"}
"""Accounts of the endpoint, and principals of the realm."""


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """One authority for the session."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def kdc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    """One Kerberos realm for the session."""
    with realm(tmp_path_factory.mktemp("kdc"), USERS) as started:
        yield started


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A new disk."""
    place = tmp_path / "c"
    place.mkdir()
    return place


@pytest.fixture
def no_realm(tmp_path: Path) -> Iterator[None]:
    """A machine that belongs to no Kerberos realm: Negotiate comes down to NTLM, and nobody asks the network."""
    config = tmp_path / "krb5.conf"
    config.write_text("[libdefaults]\n  dns_lookup_kdc = false\n  dns_lookup_realm = false\n")
    with environment(
        {
            "KRB5_CONFIG": str(config),
            "KRB5_KTNAME": f"FILE:{tmp_path / 'none.keytab'}",
            "KRB5CCNAME": f"FILE:{tmp_path / 'none'}",
        }
    ):
        yield
