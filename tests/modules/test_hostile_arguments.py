"""Arguments nobody meant: each is one clear line before anything is contacted, or works as in Ansible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Host, Inventory
from sshexec.errors import ArgumentError, InputError
from sshexec.modules.registry import module_class
from tests.cli.command import sshexec


class Mean:
    """An object that does not even let itself be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


NESTED: list[Any] = []
NESTED.append(NESTED)
LONG = "x" * 200_000
BASE: dict[str, dict[str, Any]] = {
    "ping": {},
    "raw": {"_raw_params": "x"},
    "command": {"cmd": "x"},
    "shell": {"cmd": "x"},
    "script": {"cmd": "x"},
    "copy": {"src": "x", "dest": "x"},
    "fetch": {"src": "x", "dest": "x"},
    "file": {"path": "x"},
    "stat": {"path": "x"},
}
EXCLUDED = {"_raw_params": "cmd", "argv": "cmd", "content": "src"}
VALUES: list[Any] = [
    "", " ", "\t", 5, 1.5, True, None, b"bytes", [], ["a"], ["a", None], ["a", ["b"]], ["\ud800"], ["x\ny"], {},
    {"a": 1}, {("a",): 1}, {"a": b"x"}, LONG, [LONG], LONG.encode(), "a\nb", "a=b", "é☃", "\0", "\ud800", "\udcff",
    "a'b", 'a"b', "\\", "'%s", "-", "~", "$", "\x1b[31m", "\u202e", object(), {1, 2}, float("nan"), 10**5000, Mean(),
    [Mean()], NESTED,
]  # fmt: skip
TEXTS = [
    "'",
    '"',
    "{{",
    "{%",
    "\\",
    "cmd='",
    "=x",
    "=",
    "a=",
    "é=1",
    "a\nb=c",
    " \n ",
    "\0",
    "\ud800",
    LONG,
    "'\n'",
    "''",
]


def assert_clear(error: InputError) -> None:
    text = str(error)
    assert len(text) < 600
    assert text.isprintable(), "one line, and nothing that a terminal would take for its own"


@pytest.mark.parametrize("module", BASE)
def test_every_argument_is_refused_clearly_or_taken(module: str) -> None:
    kind = module_class(module)
    for parameter in kind.parameters:
        for value in VALUES:
            args = {**BASE[module], parameter.name: value}
            args.pop(EXCLUDED.get(parameter.name, ""), None)
            try:
                kind.from_args(args)
            except ArgumentError as error:
                assert_clear(error)
    for name in ("a\nb", LONG, "\ud800", "", 5, None, b"cmd", ("a", 1), "\x1b[31m"):
        with pytest.raises(ArgumentError, match=r"Unsupported parameters") as caught:
            kind.from_args({**BASE[module], name: 1})  # type: ignore[dict-item]
        assert "\n" not in str(caught.value)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("module", BASE)
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:10]))
def test_every_text_is_refused_clearly_or_taken(module: str, text: str) -> None:
    try:
        module_class(module).from_args(text)
    except ArgumentError as error:
        assert_clear(error)


@pytest.mark.parametrize(
    ("module", "args", "message"),
    [
        ("script", {"cmd": "\\"}, r"^script: No escaped character$"),
        ("script", {"cmd": " "}, "^script: no script given$"),
        ("script", "'' a", "^script: no script given$"),
        ("script", {"cmd": "x", "chdir": "a\nb"}, r"^script: chdir 'a\\nb' must be an absolute path"),
        ("script", {"cmd": "x", "creates": LONG}, r"^script: the command is too long \(\d+ bytes, at most 120000\)$"),
        ("copy", {"dest": "/x", "content": b"x"}, "^copy: content is neither a text nor .*bytes"),
        ("copy", {"dest": "/x", "content": {"a": {1}}}, "^copy: content is neither a text nor .*set"),
        ("copy", {"dest": "/x", "content": NESTED}, "^copy: content is neither a text nor .*Circular"),
        ("copy", {"dest": "/x", "src": "y", "validate": "'a %s"}, r"^copy: validate: No closing quotation: \"'a %s\"$"),
        ("copy", {"dest": "/x", "src": "y", "validate": "a\nb"}, r"^copy: validate must contain %s: 'a\\nb'$"),
        ("copy", {"dest": "/x", "src": "y", "backup": LONG}, r"The value 'xxx.*\.\.\.'? is not a valid boolean"),
        ("copy", "dest=/x sr=y", r"module: sr\. .*Did you mean src\?$"),
        ("command", {"argv": "a\0b"}, "^command: argument 'argv' .*NUL"),
        ("command", {"cmd": Mean()}, "argument 'cmd' is of type Mean .*<Mean> is not a string"),
    ],
)
def test_messages(module: str, args: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        module_class(module).from_args(args)


def test_through_the_library_templates_may_give_what_is_no_text(tmp_path: Path) -> None:
    variables = {"number": 5, "yes": True, "none": None, "words": ["a b", 7], "mapping": {"a": 1}, "date": b"x"}
    hosts = Inventory.from_hosts([Host("h1", {"ansible_connection": "local", **variables})])
    with Engine(hosts) as engine:
        assert engine.run("h1", "shell", "echo {{ words }} {{ none }}")["h1"].stdout == "[a b, 7] None"
        argv = engine.run("h1", "command", {"argv": "{{ ['printf', '%s|'] + words }}"})["h1"]
        assert argv.stdout == "a b|7|"
        assert engine.run("h1", "command", {"argv": ["echo", "{{ number }}", "{{ yes }}"]})["h1"].stdout == "5 True"
        assert engine.run("h1", "command", {"cmd": "pwd", "chdir": "{{ none }}"})["h1"].rc == 0
        dest = tmp_path / "x"
        engine.run("h1", "copy", {"content": "{{ mapping }}", "dest": str(dest)})
        assert dest.read_text() == '{"a": 1}'
        for module, args in (
            ("shell", "{{ words }}"), ("shell", {"cmd": "{{ mapping }}"}),
            ("shell", {"cmd": "pwd", "chdir": "{{ words }}"}),
            ("command", {"argv": "{{ mapping }}"}), ("copy", {"content": "{{ date }}", "dest": "/x"}),
            ("script", "{{ none }}"), ("ping", {"data": "{{ words }}"}), ("fetch", {"src": "{{ none }}", "dest": "x"}),
        ):  # fmt: skip
            with pytest.raises(ArgumentError) as caught:
                engine.run("h1", module, args)
            assert_clear(caught.value)


@pytest.mark.parametrize(
    ("module", "args", "part"),
    [
        ("command", "echo 'a", "unbalanced"),
        ("script", "x \\", None),
        ("script", '{"cmd": "\\\\"}', "script: No escaped character"),
        ("copy", "src= dest=/x", "src (or content) is required"),
        ("copy", "src=x dst=/x", "Did you mean dest?"),
        ("copy", "content=a dest=/x backup=", "backup"),
        ("copy", '{"content": "a", "dest": ["/x"]}', "'dest'"),
        ("fetch", "src=a\ndest", "expected key=value, got 'dest'"),
        ("shell", '{"cmd": ["ls"]}', "'cmd'"),
        ("ping", "data", "expected key=value"),
        ("raw", "executable=/bin/sh", "raw: no command given"),
        ("command", '{"cmd": null}', "one of the following is required"),
        ("command", '{"cmd": "x", "a\\nb": 1}', r"module: 'a\nb'."),
    ],
)
def test_on_the_command_line_it_is_one_line_and_exit_code_5(module: str, args: str, part: str | None) -> None:
    done = sshexec("run", "h1", "-i", "h1,", "-c", "fake", "-m", module, "-a", args)
    if part is None:
        assert done.returncode == 2, "the script is missing, which every host's result says"
        return
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr.startswith("sshexec: error: ")
    assert done.stderr.count("\n") == 1
    assert part in done.stderr


def test_on_the_command_line_values_arrive_as_they_were_meant(tmp_path: Path) -> None:
    dest = tmp_path / "x=1 é"
    args = f'content="a=b c\\n☃" dest="{dest}"'
    done = sshexec("run", "h1", "-i", "h1,", "-c", "local", "-m", "copy", "-a", args)
    assert done.returncode == 0, done.stderr
    assert dest.read_text(encoding="utf-8") == "a=b c\n☃"
