"""An interpreter that has ansible-core is asked for a module: once, and what goes wrong is said."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from sshexec.errors import UnknownModuleError
from sshexec.modules.ansible import builder as builders
from sshexec.modules.ansible.builder import SETTING, Builder
from sshexec.modules.ansible.payload import Shelf, state
from tests.modules.ansible.beside import answer, asked, interpreter

ROOT = Path(__file__).parents[3]
REAL = {
    "2.19": os.environ.get("SSHEXEC_ORACLE_PYTHON") or str(ROOT / ".venv-oracle" / "bin" / "python"),
    "2.18": os.environ.get("SSHEXEC_ORACLE_2_18_PYTHON") or str(ROOT / ".venv-oracle-2.18" / "bin" / "python"),
}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "shelf")


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make the interpreter that is asked."""

    def make(says: object, **more: Any) -> Path:
        path = interpreter(tmp_path, says, **more)
        monkeypatch.setenv(SETTING, str(path))
        return path

    return make


@pytest.fixture(params=["2.18", "2.19"])
def real(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A real ansible-core."""
    python = REAL[request.param]
    if not Path(python).exists():
        pytest.skip(f"not there: {python} (make oracle)")
    monkeypatch.setenv(SETTING, python)
    return str(request.param)


def refused(builder: Builder, name: str = "x") -> str:
    with pytest.raises(UnknownModuleError) as caught:
        builder.payload(name)
    return str(caught.value)


def test_a_module_is_built_once(tmp_path: Path, fake: Any, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builders, "CHECKED_FOR", 0)
    fake(answer())
    builder = Builder(shelf)
    assert builder.payload("x") is builder.payload("x")
    assert Builder(shelf).payload("x") == builder.payload("x")
    assert asked(tmp_path) == 1
    builder.payload("y")
    assert asked(tmp_path) == 2


def test_it_is_built_again_where_something_has_changed(
    tmp_path: Path, fake: Any, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builders, "CHECKED_FOR", 0)
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "source.py"
    source.write_text("1")
    fake(answer(watched=[[str(source), *state(str(source))]]))
    builder = Builder(shelf)
    builder.payload("x")
    source.write_text("22")
    builder.payload("x")
    assert asked(tmp_path) == 2
    fake(answer())
    builder.payload("x")
    assert asked(tmp_path) == 3
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")
    builder.payload("x")
    assert asked(tmp_path) == 4
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(tmp_path))
    builder.payload("x")
    builder.payload("x")
    assert asked(tmp_path) == 5


def test_many_at_once_build_it_once(tmp_path: Path, fake: Any, shelf: Shelf) -> None:
    fake(answer(), before="sleep 0.2")
    several = [Builder(shelf) for _ in range(4)]
    threads = [threading.Thread(target=each.payload, args=("x",)) for each in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert asked(tmp_path) == 1


def test_what_goes_wrong_is_said(fake: Any, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builder = Builder(shelf)
    python = fake("", before="echo 'disk is full' >&2; exit 3")
    assert refused(builder) == f"module 'x': {python} ended before it was built (exit status 3): disk is full"
    fake("", before="kill -9 $$")
    assert "(signal 9): it said nothing" in refused(builder)
    fake("", before="echo 'Unknown option: -P' >&2; exit 2")
    assert refused(builder) == f"module 'x': {python} is older than Python 3.11, which ansible-core 2.18 needs"
    fake("no json")
    assert "ended before it was built (exit status 0)" in refused(builder)
    fake({"version": "2.19.14"})
    assert "ended before it was built" in refused(builder)
    fake({"error": "absent", "message": "there is none"})
    assert refused(builder) == (
        f"no module named 'x' here, and there is none: install ansible-core there, or unset {SETTING}"
    )
    monkeypatch.setattr(builders, "BUILD_WITHIN", 0.2)
    fake("", before="exec sleep 30")
    assert refused(builder) == "module 'x': ansible-core did not build it within 0.2 s"
    monkeypatch.setenv(SETTING, str(tmp_path / "nothing"))
    assert refused(builder) == f"module 'x': {SETTING}: {tmp_path}/nothing: No such file or directory"
    fake(answer())
    assert builder.payload("x").version == "2.19.14"


@pytest.mark.skipif(builders.interpreter() is not None, reason="ansible-core is installed here")
def test_without_ansible_core_the_message_says_how_to_get_it(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ansible").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert refused(Builder(shelf), "lineinfile") == (
        "no module named 'lineinfile' here: pip install 'sshexec[ansible]' brings Ansible's own modules"
    )


def test_the_program_itself_says_that_it_has_no_ansible_core() -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-S", builders._PROGRAM], input='{"module": "x"}', capture_output=True, text=True
    )
    assert done.stdout.startswith('{"error": "absent", "message": "')


def test_both_versions_build_modules(real: str, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    payload = Builder(shelf).payload("lineinfile")
    assert payload.version.startswith(real)
    assert payload.documented
    assert payload.action == ""
    path = next(each for each in payload.parameters if each.name == "path")
    assert path.required
    assert "dest" in path.aliases
    # What it was made of, module_utils among them, is up to date: the shelf hands it out again.
    assert len(payload.watched) > 20
    monkeypatch.setattr(builders, "_built", lambda *_: pytest.fail("built again"))
    assert Builder(shelf).payload("lineinfile") == payload


def test_both_versions_name_controller_parts(real: str, shelf: Shelf) -> None:
    assert Builder(shelf).payload("ansible.legacy.uri").action == "ansible.builtin.uri"


@pytest.mark.parametrize("name", ["nosuchmodule", "no.such.module", "../x", ""])
def test_both_versions_know_what_there_is_not(real: str, shelf: Shelf, name: str) -> None:
    message = refused(Builder(shelf), name)
    assert message.startswith(f"no module named {name!r}: ansible-core {real}.")
    assert ("is the collection no.such installed?" in message) == (name == "no.such.module")


USERS_OWN = """
DOCUMENTATION = '''
module: mine
options:
  one: {required: true, description: x, type: str}
'''
from ansible.module_utils.basic import AnsibleModule
AnsibleModule({'one': {}, 'two': {}}).exit_json()
"""


def test_modules_of_a_user_and_other_kinds(
    real: str, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_LIBRARY", str(tmp_path))
    (tmp_path / "mine.py").write_text(USERS_OWN)
    (tmp_path / "old.py").write_text("#!/usr/bin/python\nprint('{}')\n")
    (tmp_path / "win.py").write_text(USERS_OWN)
    (tmp_path / "win.ps1").write_text("#AnsibleRequires -CSharpUtil Ansible.Basic\n")
    # Its documentation may leave arguments out.
    assert not Builder(shelf).payload("mine").documented
    assert "is of another kind" in refused(Builder(shelf), "old")
    assert "PowerShell" in refused(Builder(shelf), "win")


def test_a_module_of_a_collection(real: str, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = tmp_path / "ansible_collections" / "my" / "own" / "plugins" / "modules"
    modules.mkdir(parents=True)
    (modules / "thing.py").write_text(USERS_OWN)
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", str(tmp_path))
    builder = Builder(shelf)
    monkeypatch.setattr(builders, "CHECKED_FOR", 0)
    payload = builder.payload("my.own.thing")
    assert [each.name for each in payload.parameters] == ["one"]
    (modules / "thing.py").write_text(USERS_OWN.replace("one:", "uno:"))
    assert [each.name for each in builder.payload("my.own.thing").parameters] == ["uno"]
