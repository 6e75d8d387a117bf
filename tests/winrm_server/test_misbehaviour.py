"""What the endpoint does wrong on purpose, and what plain pywinrm makes of it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest
import requests
from winrm.exceptions import (
    WinRMTransportError,
    WSManFaultError,
)

from tests.winrm_server import WinrmServer
from tests.winrm_server.session import USERS, Session, client, wait_until

STRANGE = (WinRMTransportError, requests.RequestException, ET.ParseError, KeyError, AssertionError, StopIteration)
"""What pywinrm raises for answers that are none."""


@pytest.fixture
def server() -> Iterator[WinrmServer]:
    with WinrmServer(USERS, ("ntlm", "basic"), allow_unencrypted=True) as server:
        yield server


@pytest.fixture
def session(server: WinrmServer) -> Iterator[Session]:
    session = Session(server)
    yield session
    session.protocol.transport.close_session()


class TestMisbehaviour:
    def test_a_dropped_connection_and_the_same_shell(self, server):
        server.misbehave("drop", "Create", times=2)
        protocol = client(server, "basic")
        shell = protocol.open_shell()
        wait_until(lambda: server.connected == 0)
        assert protocol.run_command(shell, "echo x")
        assert server.connections == 2
        protocol.transport.close_session()
        # pywinrm seals what it sends on a new connection with the keys of the old one.
        protocol = client(server, "ntlm")
        shell = protocol.open_shell()
        wait_until(lambda: server.connected == 0)
        with pytest.raises(WinRMTransportError, match="Code 400"):
            protocol.run_command(shell, "echo x")
        assert len(server.shells) == 2

    @pytest.mark.parametrize("acted", [False, True])
    def test_a_cut(self, server, session, acted):
        server.misbehave("cut", "Command", acted=acted)
        with pytest.raises(requests.ConnectionError):
            session.start("echo x")
        assert len(server.shells[session.shell].commands) == acted

    @pytest.mark.parametrize("kind", ["html", "empty200", "empty500", "503", "truncated", "garbage", "relates_to"])
    def test_answers_that_are_none(self, server, session, kind):
        server.misbehave(kind, "Signal")
        command = session.start("echo x")
        with pytest.raises(STRANGE):
            session.protocol.cleanup_command(session.shell, command)
        protocol = client(server)
        shell = protocol.open_shell()
        protocol.close_shell(shell)

    @pytest.mark.parametrize("kind", ["chunked", "gzip", "unsealed", "close", "slow"])
    def test_answers_that_are_strange(self, server, session, kind):
        server.misbehave(kind, "Command", seconds=0.2)
        assert session.start("echo x")

    def test_an_answer_without_its_type(self, server, session):
        server.misbehave("no_content_type", "Command")
        with pytest.raises(KeyError):
            session.start("echo x")

    def test_faults_on_demand_and_a_restart(self, server, session):
        server.misbehave("fault", "Command", code=170)
        with pytest.raises(WSManFaultError) as caught:
            session.start("echo x")
        assert caught.value.wsman_fault_code == 170
        server.misbehave("forget", "Command")
        with pytest.raises(WSManFaultError) as caught:
            session.start("echo x")
        assert caught.value.wsman_fault_code == 2150858843

    def test_before_any_login(self, server):
        server.misbehave("html", "Login")
        with pytest.raises(STRANGE):
            client(server, "basic").open_shell()

    def test_a_kind_that_is_none(self, server):
        with pytest.raises(ValueError, match="no such"):
            server.misbehave("nope")
