"""Bad input is one clear line, and nothing is contacted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Host, Inventory, errors
from sshexec.secret import LockedSecret

MARK = "touch {mark}"


@pytest.mark.parametrize(
    ("variables", "module", "args", "kind", "words"),
    [
        ({}, "comand", "true", errors.UnknownModuleError, "comand"),
        ({}, "command", {"_raw_params": "x", "bogus": 1}, errors.ArgumentError, "bogus"),
        ({}, "copy", {"content": "x"}, errors.ArgumentError, "dest"),
        ({}, "raw", "{{ nope }}", errors.InputError, "bad: .*'nope' is undefined"),
        ({}, "raw", "{{ nope", errors.InputError, "unbalanced jinja2 block"),
        ({"secret": LockedSecret("no key for it")}, "raw", "{{ secret }}", errors.InputError, "bad: no key for it"),
        ({"ansible_user": LockedSecret("no key for it")}, "ping", None, errors.CredentialError, "no key for it"),
        ({"loop": "{{ loop }}"}, "raw", "{{ loop }}", errors.InputError, "refers to itself"),
        ({"ansible_connection": "telepathy"}, "ping", None, errors.OptionError, "bad.*telepathy"),
        (
            {"ansible_connection": "ssh", "ansible_port": 99999},
            "ping",
            None,
            errors.OptionError,
            "bad.*ansible_port.*99999",
        ),
        ({"ansible_connection": "ssh", "ansible_port": "ssh"}, "ping", None, errors.OptionError, "ansible_port"),
        (
            {"ansible_connection": "ssh", "ansible_private_key_file": "/no/key"},
            "ping",
            None,
            errors.OptionError,
            "/no/key",
        ),
        (
            {"ansible_become": "maybe"},
            "ping",
            None,
            errors.OptionError,
            "host bad: ansible_become: expected yes or no, got 'maybe'",
        ),
        (
            {"ansible_become": True, "ansible_become_method": "runas"},
            "ping",
            None,
            errors.OptionError,
            "host bad: ansible_become_method: expected one of sudo, su, doas, got 'runas'",
        ),
    ],
)
def test_nothing_is_contacted(
    variables: dict[str, Any], module: str, args: Any, kind: type[Exception], words: str, tmp_path: Path
) -> None:
    good = Host("good", {"ansible_connection": "local", "mark": str(tmp_path / "mark")})
    bad = Host("bad", {"ansible_connection": "local", **variables})
    with Engine(Inventory.from_hosts([good, bad])) as engine:
        with pytest.raises(kind, match=words) as caught:
            engine.run("bad,good", module, args)
        assert "\n" not in str(caught.value)
        # The engine is as good as new afterwards.
        assert engine.run("good", "ping").counts == {"ok": 1}


@pytest.mark.parametrize(
    ("variables", "module", "args"),
    [
        ({}, "command", 'echo "{{ db_password }}'),
        ({}, "command", {"cmd": 'echo "{{ db_password }}'}),
        ({}, "copy", {"content": "x", "dest": "/tmp/x", "mode": "{{ db_password }}"}),
        ({}, "ping", {"data": {"a": "{{ db_password }}"}}),
        ({"ansible_become": "{{ db_password }}"}, "ping", None),
        ({"ansible_connection": "{{ db_password }}"}, "ping", None),
        ({"ansible_connection": "ssh", "ansible_port": "{{ db_password }}"}, "ping", None),
    ],
)
def test_what_is_wrong_never_shows_a_secret(variables: dict[str, Any], module: str, args: Any) -> None:
    host = Host("h", {"ansible_connection": "local", "db_password": "hunter2'\\hunter", **variables})
    with Engine(Inventory.from_hosts([host])) as engine, pytest.raises(errors.InputError) as caught:
        engine.run("h", module, args)
    assert "hunter" not in f"{caught.value} {caught.value!r} {vars(caught.value)}"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"serial": 0}, "serial"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"run_timeout": float("nan")}, "run_timeout"),
        ({"max_fail_percentage": 200}, "max_fail_percentage"),
        ({"output_limit": 0}, "output_limit"),
        ({"spill": "/no/such/folder"}, "/no/such/folder"),
        ({"environment": {"A B": "x"}}, "A B"),
        ({"timeout": "5"}, "timeout"),
        ({"args": ["echo", "x"]}, "argv"),
        ({"args": 5}, "args"),
        ({"pattern": None}, "pattern"),
    ],
)
def test_wrong_options_of_a_run(local: Inventory, options: dict[str, Any], words: str) -> None:
    with Engine(local) as engine, pytest.raises(errors.ArgumentError, match=words):
        engine.run(**{"pattern": "all", "module": "shell", "args": "true", **options})


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"processes": 0}, {"keep": -1}])
def test_wrong_options_of_an_engine(local: Inventory, options: dict[str, Any]) -> None:
    with pytest.raises(errors.ArgumentError, match=next(iter(options))):
        Engine(local, **options)


def test_an_engine_wants_an_inventory() -> None:
    with pytest.raises(errors.ArgumentError, match=r"Inventory\.load"):
        Engine("hosts.yml")  # type: ignore[arg-type]


def test_a_pattern_that_matches_nothing(local: Inventory) -> None:
    with Engine(local) as engine, pytest.raises(errors.PatternError, match="nosuch"):
        engine.run("nosuch", "ping")


@pytest.mark.parametrize(("args", "words"), [("echo \ud800", "half a character|encode"), ({"a": object()}, "internal")])
def test_what_no_host_can_be_asked(args: Any, words: str) -> None:
    inventory = Inventory.from_hosts([Host("here", {"ansible_connection": "local"})])
    with Engine(inventory) as engine:
        try:
            message = engine.run("all", "raw", args)["here"].msg
        except errors.InputError as error:
            message = str(error)
        assert "\n" not in message
        assert engine.run("all", "ping").counts == {"ok": 1}
