"""What sshexec writes as YAML and INI, read by real Ansible: the same ``--list`` as of the original."""

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

from sshexec import Inventory
from sshexec.credentials.vault import VaultPasswords
from sshexec.errors import InventoryError
from sshexec.inventory.writing.content import content
from sshexec.inventory.writing.ini import to_ini
from sshexec.inventory.writing.yaml import to_yaml
from tests.inventory.test_writing import VARIABLES
from tests.oracle.inventories import inventories, written
from tests.oracle.judge import EVERY
from tests.oracle.oracle import Ansible

SEARCH = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
WRITERS = {"yml": to_yaml, "ini": to_ini}


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


def listed(ansible: Ansible, sources: list[str]) -> Any:
    """Return what Ansible lists; it must have read all."""
    answer = ansible.ask(call="inventory", sources=sources, patterns=[])
    assert "error" not in answer, answer
    assert not [told for told in answer["warnings"] if told.startswith("Unable to parse ")], answer["warnings"]
    answer["list"]["_meta"].pop("profile", None)
    return answer["list"]


def write(folder: Path, inventory: Inventory, form: str, **how: Any) -> tuple[str, list[str]]:
    """Write a file, and return its path and the warnings."""
    text, warnings = WRITERS[form](inventory, content(inventory, **how))
    folder.mkdir(parents=True)
    (folder / f"hosts.{form}").write_text(text, encoding="utf-8")
    return str(folder / f"hosts.{form}"), warnings


@settings(SEARCH, max_examples=120 if EVERY else 40)
@given(files=inventories())
def test_ansible_lists_what_was_written_as_it_lists_the_original(
    ansible: Ansible, folders: Iterator[Path], files: dict[str, str]
) -> None:
    sources = written(next(folders), files)
    try:
        inventory = Inventory.load(sources)
        ours = json.loads(json.dumps(inventory.to_ansible()))
    except InventoryError:
        return
    theirs = listed(ansible, sources)
    assert ours == theirs
    for form in WRITERS:
        path, warnings = write(next(folders), inventory, form)
        again = listed(ansible, [path])
        assert again["_meta"] == theirs["_meta"]
        if not warnings:
            assert again == theirs


@settings(SEARCH, max_examples=120 if EVERY else 40)
@given(own=VARIABLES, group=VARIABLES)
@pytest.mark.parametrize("form", WRITERS)
def test_ansible_reads_the_values_that_were_written(
    ansible: Ansible, folders: Iterator[Path], form: str, own: dict[str, Any], group: dict[str, Any]
) -> None:
    inventory = Inventory.from_hosts(["h1"], {"g": {"hosts": ["h1"], "vars": group}})
    inventory.hosts["h1"].vars.update(own)
    path, _ = write(next(folders), inventory, form)
    assert listed(ansible, [path])["_meta"]["hostvars"].get("h1", {}) == json.loads(json.dumps({**group, **own}))


def test_ansible_opens_the_secrets_that_were_written(oracle_python: str, tmp_path: Path) -> None:
    inventory = Inventory.from_hosts(["h1"], {"all": {"vars": {"ansible_password": "canary ä"}}})
    (tmp_path / "password").write_text("open sesame\n")
    path, _ = write(tmp_path / "f", inventory, "yml", encrypt=VaultPasswords("open sesame").encrypt)
    done = subprocess.run(
        [
            *(str(Path(oracle_python).with_name("ansible")), "h1", "-i", path, "-c", "local", "-m", "debug"),
            *("-a", "var=ansible_password", "--vault-password-file", str(tmp_path / "password")),
        ],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert '"ansible_password": "canary ä"' in done.stdout, done.stdout + done.stderr
