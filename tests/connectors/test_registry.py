"""Which connectors there are, and what a broken plugin does to the others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sshexec.connectors import registry
from sshexec.connectors.base import Connector
from sshexec.connectors.registry import connector_class, connector_names
from sshexec.errors import OptionError


@pytest.fixture(autouse=True)
def fresh_cache():
    """What a test has found is forgotten again."""
    connector_class.cache_clear()
    yield
    connector_class.cache_clear()


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two other distributions: one brings a good connector, one a broken one and one that hides a built-in."""

    def distribution(name: str, entry_points: str) -> None:
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{entry_points}")

    (tmp_path / "good_plugin.py").write_text(
        "from sshexec.connectors.base import Capability, Connector\n"
        "class Telnet(Connector):\n    name = 'telnet'\n    capabilities = Capability.NONE\n"
    )
    distribution("good-plugin", "telnet = good_plugin:Telnet\n")
    distribution("bad-plugin", "carrier-pigeon = no_such_module:Pigeon\nlocal = no_such_module:Local\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("good_plugin", None)


@pytest.mark.parametrize("name", sorted(registry._BUILT_IN))
def test_a_built_in_connector_is_found_by_its_own_name(name):
    kind = connector_class(name)
    assert issubclass(kind, Connector)
    assert kind.name == name


@pytest.mark.parametrize("name", ["smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh"])
def test_ansibles_names_for_ssh_are_answered_by_our_own(name):
    assert connector_class(name) is connector_class("ssh")


def test_an_unknown_name_says_which_there_are():
    with pytest.raises(OptionError) as caught:
        connector_class("telnet")
    assert str(caught.value) == (
        f"ansible_connection: no connector named 'telnet' (there are: {', '.join(connector_names())})"
    )


@pytest.mark.usefixtures("plugins")
def test_another_distribution_brings_a_connector():
    assert connector_class("telnet").name == "telnet"
    assert {"telnet", "ssh", "local", "fake"} <= set(connector_names())


@pytest.mark.usefixtures("plugins")
def test_a_broken_plugin_names_its_distribution_and_breaks_nobody_else():
    with pytest.raises(OptionError, match=r"connector 'carrier-pigeon' of bad-plugin does not load: .*no_such_module"):
        connector_class("carrier-pigeon")
    assert connector_class("telnet").name == "telnet"


@pytest.mark.usefixtures("plugins")
def test_no_plugin_replaces_a_built_in_connector():
    assert connector_class("local").__module__ == "sshexec.connectors.local"
