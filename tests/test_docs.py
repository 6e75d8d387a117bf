"""Every example in README.md and docs/ is run, in order, against a real SSH server.

How an example is written:

* ``python`` blocks of one file share a namespace. What stands behind ``# ->`` on a line is printed by it: the marked
  texts must be among the printed lines, in their order.
* ``console`` blocks: each line ``$ command`` is run by bash and must succeed, unless it ends in ``# exit N``. Output
  that is shown is compared; ``...`` stands for anything. ``bash`` blocks are scripts that must succeed.
* A block whose first line is a comment with a file's name (``# hosts.yml``) is written to that file.
* Blocks in other languages are pictures.
* ``<!-- not run: why -->`` on the line above a block leaves it out.

The examples of one file run in a folder of their own. It holds the README's ``hosts.yml``, ``host_vars`` that give each
of its hosts an address and the login of the test server, and a script, ``check.sh``, to run. Those that are about
Windows have ``win1`` there too, in a group ``windows``: the endpoint of tests/winrm_server.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sshexec.connectors.registry import connector_class
from tests.testbed import Sshd
from tests.winrm_server.powershell import Answer
from tests.winrm_server.server import WinrmServer

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
NAMED = re.compile(r"# ([\w.-]+\.\w+)\n")
PROGRESS = re.compile(r"^sshexec: \d+ of \d+ hosts after .*\n", re.MULTILINE)
"""What a run says while it waits for a slow machine; no example shows it."""
HOSTS = ("web1", "web2", "web3", "db1")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    document: Path
    line: int
    language: str
    text: str
    reason: str | None

    @property
    def where(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks(document: Path) -> list[Block]:
    """Return the fenced blocks of a document."""
    source = document.read_text(encoding="utf-8")
    return [
        Block(document, source.count("\n", 0, m.start("text")) + 1, m["language"], m["text"], m["reason"])
        for m in BLOCK.finditer(source)
    ]


@pytest.fixture
def workplace(sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of the examples."""
    for block in blocks(ROOT / "README.md"):
        write(block, tmp_path)
    (tmp_path / "host_vars").mkdir()
    for host, variables in zip(HOSTS, sshd.hosts(len(HOSTS)).values(), strict=True):
        lines = [f'{name}: "{value}"\n' for name, value in variables.items()]
        (tmp_path / "host_vars" / f"{host}.yml").write_text("".join(lines))
    (tmp_path / "check.sh").write_text('#!/bin/sh\necho "checked $1"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / ".state"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


WINDOWS = """\
    windows:
      hosts:
        win1:
      vars:
        ansible_connection: winrm
        ansible_winrm_transport: ntlm
        ansible_user: Administrator
"""


@pytest.fixture
def windows(workplace: Path) -> Iterator[None]:
    """A Windows host for the examples: an endpoint, in a group of hosts.yml."""
    password = secrets.token_hex(8)
    with WinrmServer(users={"Administrator": password}, drive=workplace / "win1") as server:
        for folder in ("Temp/old", "inetpub/wwwroot", "ProgramData/app", "Program Files/My App"):
            (server.drive / folder).mkdir(parents=True)
        program = server.drive / "Program Files" / "My App" / "run.exe"
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        (server.drive / "Windows" / "win.ini").write_text("; for 16-bit app support\r\n".ljust(92))
        server.powershell.update(
            {
                re.compile("Get-Service"): Answer("Running\r\n"),
                re.compile(r"\$sum = 0; foreach"): Answer("55\r\n"),
            }
        )
        lines = ["ansible_host: 127.0.0.1", f"ansible_port: {server.port}", f"ansible_password: {password}"]
        (workplace / "host_vars" / "win1.yml").write_text("\n".join([*lines, "ansible_winrm_scheme: http", ""]))
        hosts = workplace / "hosts.yml"
        hosts.write_text(hosts.read_text().replace("    db:\n", f"{WINDOWS}    db:\n"))
        (workplace / "site").mkdir()
        (workplace / "site" / "index.html").write_text("hello\n")
        yield


def write(block: Block, folder: Path) -> bool:
    """Write a block that names its file; say whether it does."""
    name = NAMED.match(block.text)
    if name is None:
        return False
    (folder / name[1]).write_text(block.text)
    return True


def run_python(block: Block, namespace: dict[str, object]) -> None:
    """Run a block so that a traceback shows the document's own lines, and compare what it shows of its output."""
    padded = "\n" * (block.line - 1) + block.text
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(padded, str(block.document), "exec"), namespace)
    rest = iter(printed.getvalue().splitlines())
    missing = [shown for shown in re.findall(r"# -> (.+)$", block.text, re.MULTILINE) if shown not in rest]
    assert not missing, f"{block.where}: {missing} not printed in:\n{printed.getvalue()}"


def run_console(block: Block) -> int:
    """Run the commands of a session, compare what it shows of their output, and return how many there were."""
    steps = re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]
    for step in steps:
        command, _, shown = step.partition("\n")
        status = re.search(r"\s# exit (\d+)$", command)
        done = run_bash(command)
        assert done.returncode == int(status[1] if status else 0), (
            f"{block.where}: {command}\n{done.stdout}{done.stderr}"
        )
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        printed = PROGRESS.sub("", done.stdout + done.stderr)
        same = not shown.strip() or doctest.OutputChecker().check_output(shown, printed, flags)
        assert same, f"{block.where}: {command}\nshown:\n{shown}\nprinted:\n{printed}"
    return len(steps)


def run_bash(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script without a terminal and standard input."""
    return subprocess.run(
        ["bash", "-euc", script], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_examples_work(document, workplace, request):
    if document.name in ("windows.md", "modules.md", "migration.md"):
        request.getfixturevalue("windows")
    namespace: dict[str, object] = {"__name__": "example"}
    for block in blocks(document):
        if block.reason is not None or write(block, workplace):
            continue
        if block.language == "python":
            run_python(block, namespace)
        elif block.language == "console":
            assert run_console(block), f"{block.where}: no line starts with '$ '"
        elif block.language in {"bash", "sh"}:
            done = run_bash(block.text)
            assert done.returncode == 0, f"{block.where}\n{done.stdout}{done.stderr}"


def test_the_readme_has_an_example_of_each_kind():
    assert {"python", "console", "yaml"} <= {block.language for block in blocks(ROOT / "README.md")}


def test_every_fence_is_read():
    for document in DOCUMENTS:
        fences = re.findall(r"^\s*(?:```|~~~)", document.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(fences) == 2 * len(blocks(document)), f"{document}: a fence that the tests do not read"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text(encoding="utf-8"))
    assert not [link for link in links if not (document.parent / link).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_chapter_stands_there_twice(document):
    chapters = re.findall(r"^## .+", document.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(chapters) == sorted(set(chapters))


def test_the_readme_names_the_two_commands_in_its_first_screen():
    first = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()[:24]
    assert [line.split()[:2] for line in first if line.startswith("make ")] == [["make", "demo"], ["make", "test"]]


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (lambda block: run_python(block, {}), "print(1)  # -> 2\n"),
        (lambda block: run_python(block, {}), "for n in 2, 1:\n    print(n)  # -> 1\nprint(3)  # -> 2\n"),
        (run_console, "$ echo one\ntwo\n"),
        (run_console, "$ exit 3\n"),
        (run_console, "$ exit 3  # exit 2\n"),
    ],
)
def test_an_example_that_shows_something_else_is_noticed(run, text):
    with pytest.raises(AssertionError):
        run(Block(ROOT / "README.md", 1, "", text, None))


def test_an_example_may_leave_out_what_varies():
    text = "$ echo 1 changing 2\n1 ... 2\n$ exit 3  # exit 3\n"
    assert run_console(Block(ROOT / "README.md", 1, "console", text, None)) == 2


@pytest.mark.parametrize("name", ["ssh", "winrm", "fake"])
def test_the_table_of_variables_is_that_of_the_code(name: str) -> None:
    section = (ROOT / "docs" / "connections.md").read_text().split(f"\n## {name}\n")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE))
    assert rows == connector_class(name).Options.variables()
