"""Inventories beside ``ansible-inventory --list``, and host patterns beside ``ansible PATTERN --list-hosts``."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sshexec import Inventory
from sshexec.errors import InventoryError, PatternError
from tests.oracle.inventories import inventories, patterns, written
from tests.oracle.judge import EVERY
from tests.oracle.oracle import Ansible

SEARCH = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
NOTHING_LEFT = "Specified inventory, host pattern and/or --limit leaves us with no hosts to target."
UNREADABLE = "Unable to parse "
STRICTER = {
    # A source that says nothing is a mistake more often than not, and runs on no host would look like success.
    "is empty: it names no host and no group",
}
"""What is an error here, on purpose, and none in Ansible."""


@pytest.fixture(scope="module")
def ansible(oracle_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ansible]:
    made = Ansible(oracle_python, tmp_path_factory.mktemp("ansible"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Directories that were not there before: Ansible remembers what it found next to a source."""
    top = tmp_path_factory.mktemp("inventories")
    return (top / str(number) for number in itertools.count())


def ours(sources: list[str]) -> Any:
    """Return our listing, or our error."""
    try:
        return json.loads(json.dumps(Inventory.load(sources).to_ansible()))
    except InventoryError as error:
        return error


def theirs(listing: dict[str, Any]) -> dict[str, Any]:
    listing["_meta"].pop("profile", None)
    return listing


@settings(SEARCH, max_examples=150 if EVERY else 50)
@given(files=inventories())
def test_an_inventory_is_what_ansible_reads(ansible: Ansible, folders: Iterator[Path], files: dict[str, str]) -> None:
    sources = written(next(folders), files)
    answer = ansible.ask(call="inventory", sources=sources)
    listing = ours(sources)
    if isinstance(listing, InventoryError):
        # Ansible goes on without a source that it can't read, and warns.
        unread = "error" in answer or any(told.startswith(UNREADABLE) for told in answer["warnings"])
        assert unread or listing.message in STRICTER, str(listing)
        return
    assert "error" not in answer, answer
    assert listing == theirs(answer["list"])


@settings(SEARCH, max_examples=60 if EVERY else 20)
@given(files=inventories(), drawn=st.lists(patterns(), min_size=5, max_size=10))
def test_a_pattern_means_what_it_means_to_ansible(
    ansible: Ansible, folders: Iterator[Path], files: dict[str, str], drawn: list[tuple[str, list[str]]]
) -> None:
    sources = written(next(folders), files)
    texts = [each for text, parts in drawn for each in (text, *parts)]
    answer = ansible.ask(call="inventory", sources=sources, patterns=texts)
    try:
        inventory = Inventory.load(sources)
    except InventoryError:
        return
    found = {text: names if isinstance(names, list) else [] for text, (names, _) in answer["hosts"].items()}
    for text, parts in drawn:
        try:
            selected = [host.name for host in inventory.select(text)]
        except PatternError:
            # Ansible goes on without a part that means nothing, where that is a mistake here.
            selected = []
            if all(found[part] for part in parts):
                assert found[text] == [], text
        else:
            assert selected == found[text], text


EXAMPLES = {
    "0-hosts": "[web]\nweb[1:3] v=1\n[db]\ndb1:2222 w='08'\n[prod:children]\nweb\ndb\n[all:vars]\nv=[1, 2]\n",
    "1-hosts.yml": "prod:\n  vars: {role: strong}\n  hosts: {h1: {v: null}}\nlone: {hosts: {2001:db8::1: }}\n",
    "group_vars/web/a.yml": "v: from a file\n",
    "host_vars/web2": "w: 2\n",
}


@pytest.mark.parametrize("pattern", [None, "all", "web,!web[0],db", "~.*1$", "nobody", "lone,h1"])
def test_the_commands_say_the_same(ansible: Ansible, oracle_python: str, tmp_path: Path, pattern: str | None) -> None:
    sources = written(tmp_path, EXAMPLES)
    answer = ansible.ask(call="inventory", sources=sources, patterns=[pattern] if pattern else [])
    options = [word for source in sources for word in ("-i", source)]
    program, words = ("ansible-inventory", ["--list"]) if pattern is None else ("ansible", [pattern, "--list-hosts"])
    done = subprocess.run(
        [str(Path(oracle_python).with_name(program)), *options, *words],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if pattern is None:
        assert json.loads(done.stdout) == answer["list"]
        assert theirs(answer["list"]) == ours(sources)
        return
    names = answer["hosts"][pattern][0]
    assert (done.returncode, [line.strip() for line in done.stdout.splitlines()[1:]]) == (
        (0, []) if names == NOTHING_LEFT else (0, names)
    )
