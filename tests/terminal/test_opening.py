"""Connections to hosts of an inventory: only those that it names, checked before anything is contacted."""

from __future__ import annotations

import pytest

from sshexec.connectors.base import Command, Timeouts
from sshexec.connectors.deadline import Deadline
from sshexec.connectors.output import Output
from sshexec.connectors.prompts import Prompts
from sshexec.errors import ArgumentError, CredentialError, OptionError, PatternError
from sshexec.inventory.members import Host
from sshexec.inventory.model import Inventory
from sshexec.runtime.plan import Contexts
from sshexec.secret import LockedSecret
from sshexec.terminal.line import Connect
from sshexec.terminal.opening import connecting
from sshexec.terminal.sharing import Shares
from tests.testbed import keygen


def to(host: object, variables: dict[str, object] | None = None, contexts: Contexts | None = None) -> Connect:
    inventory = Inventory.from_hosts([Host("web1", variables or {})])
    return connecting(inventory, host, timeouts=Timeouts(), contexts=contexts or Contexts())


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "localhost.", "::1", "[::1]", "169.254.169.254", "web*", "all", "web1,", "~web1"),
        *("", "-oProxyCommand=id", "web1\n", "web1\0", "web1;id", "@/etc/hosts", "10.0.0.1:25"),
    ],
)
def test_a_host_is_one_that_the_inventory_names(host):
    with pytest.raises(PatternError, match="no host") as caught:
        to(host)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", [None, 7, ["web1"], b"web1"])
def test_what_is_no_text_is_no_host(host):
    with pytest.raises(ArgumentError, match="host"):
        to(host)


def test_a_connection_without_a_terminal_is_refused_before_it_is_made():
    with pytest.raises(OptionError, match=r"web1.*winrm connection has no terminal"):
        to("web1", {"ansible_connection": "winrm", "ansible_user": "u", "ansible_password": "p"})


@pytest.mark.parametrize(
    ("variables", "error"),
    [
        ({"ansible_port": "x"}, OptionError),
        ({"ansible_ssh_private_key_file": "/none/web1"}, OptionError),
        ({"ansible_connection": "carrier-pigeon"}, OptionError),
        ({"ansible_password": LockedSecret("there is no key")}, CredentialError),
    ],
)
def test_what_is_wrong_with_a_host_is_said_before_it_is_contacted(variables, error):
    with pytest.raises(error, match="web1"):
        to("web1", variables)


def test_a_locked_key_is_no_mistake_where_somebody_can_be_asked(tmp_path):
    key = keygen(tmp_path / "id", "-t", "ed25519", "-N", "secret", "-a", "1")
    connect = to("web1", {"ansible_ssh_private_key_file": str(key)})
    with pytest.raises(OptionError, match="passphrase"):
        connect(Prompts())


def test_each_session_asks_its_own_owner_and_shares_the_rest():
    contexts = Contexts()
    connect = to("web1", contexts=contexts)
    one, two = Prompts(), Prompts()
    first, second = connect(one).context, connect(two).context
    assert (first.prompts, second.prompts) == (one, two)
    assert first.host_keys is second.host_keys
    assert first.keyring is second.keyring


def test_the_connection_works(sshd):
    contexts = Contexts()
    inventory = Inventory.from_hosts([Host("127.0.0.1", sshd.variables())])
    extra = {"ansible_user": sshd.user}
    connector = connecting(inventory, "127.0.0.1", variables=extra, timeouts=Timeouts(), contexts=contexts)(Prompts())
    output = Output()
    try:
        connector.open(Deadline.after(30))
        assert connector.execute(Command("echo here"), output, Deadline.after(30)).rc == 0
    finally:
        connector.close()
        contexts.close()


def test_users_share_nothing_and_what_is_shared_goes_with_the_last_session():
    shares = Shares()
    anns, bobs = shares.take("ann"), shares.take("bob")
    assert anns is not bobs
    assert shares.take("ann") is anns
    shares.leave("ann")
    assert shares.take("ann") is anns
    shares.leave("ann")
    shares.leave("ann")
    shares.leave("bob")
    assert len(shares) == 0
    assert shares.take("ann") is not anns
