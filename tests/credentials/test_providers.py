"""Who else keeps secrets."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from sshexec.credentials import places, providers
from sshexec.credentials.providers import Providers, ReferencedSecret
from sshexec.errors import CredentialError
from sshexec.secret import LockedSecret, Secret, opened


def test_the_built_in_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pw").write_text("hunter2\n")
    monkeypatch.setenv("PW", "hunter3")
    known = Providers()
    assert known.fetch(f"file:{tmp_path}/pw") == "hunter2"
    assert known.fetch("env:PW") == "hunter3"
    assert known.fetch(f"command:{sys.executable} -c 'print(\"a b\")'") == "a b"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("hunter2", "hunter2"),
        (Secret("hunter2"), "hunter2"),
        (b"hunter2", "hunter2"),
        ({"password": "hunter2", "user": "x"}, "hunter2"),
        ({"password": Secret("hunter2")}, "hunter2"),
    ],
)
def test_a_callable_answers_in_many_ways(answer: Any, text: str) -> None:
    asked: list[str] = []

    def vault(path: str) -> Any:
        asked.append(path)
        return answer

    assert Providers({"vault": vault}).fetch("vault:kv/db#password") == text
    assert asked == ["kv/db#password"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "has no such secret"),
        ({"user": "x"}, "has no such secret"),
        (7, "answered with a int"),
    ],
)
def test_no_answer_is_an_error(answer: Any, words: str) -> None:
    with pytest.raises(CredentialError, match=rf"the provider 'vault' {words}"):
        Providers({"vault": lambda path: answer}).fetch("vault:kv/db#password")
    with pytest.raises(CredentialError, match="say which"):
        Providers({"vault": lambda path: {"a": "b"}}).fetch("vault:kv/db")


def test_what_a_provider_raises_shows_nothing_of_it() -> None:
    def vault(path: str) -> str:
        raise ConnectionError("token hunter2 was refused")

    with pytest.raises(CredentialError) as caught:
        Providers({"vault": vault}).fetch("vault:x")
    assert str(caught.value) == "the provider 'vault' failed: ConnectionError"
    assert isinstance(caught.value.__cause__, ConnectionError)

    def speaking(path: str) -> str:
        raise CredentialError("the vault is locked")

    with pytest.raises(CredentialError, match="failed: the vault is locked"):
        Providers({"vault": speaking}).fetch("vault:x")


def test_a_provider_that_does_not_answer_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "TIMEOUT", 0.1)
    ended = threading.Event()
    with pytest.raises(CredentialError, match=r"the provider 'slow' gave no answer within 0.1 s"):
        Providers({"slow": lambda path: ended.wait(60)}).fetch("slow:x")
    ended.set()


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("hunter2", "is no reference: expected NAME"),
        ("nope:x", r"no provider 'nope' of secrets \(there are: command, env, file\)"),
        ("env:SSHEXEC_NOT_SET", "SSHEXEC_NOT_SET is not set"),
        ("file:/no/such/file", "/no/such/file: can't be read: there is no such file"),
        ("command:/no/such/program hunter2", "the command '/no/such/program' can't be run"),
        ("command:'", "not quoted right"),
        ("command:false hunter2", "the command 'false' ended with exit code 1"),
    ],
)
def test_a_wrong_reference_is_said_without_what_may_be_secret(reference: str, words: str) -> None:
    with pytest.raises(CredentialError, match=words) as caught:
        Providers().fetch(reference)
    assert "hunter2" not in str(caught.value)


def test_a_built_in_one_is_not_replaced() -> None:
    with pytest.raises(CredentialError, match="can't be named 'env'"):
        Providers({"env": lambda path: "x"})
    with pytest.raises(CredentialError, match="can't be named 'a b'"):
        Providers({"a b": lambda path: "x"})
    with pytest.raises(CredentialError, match="can't be called"):
        Providers({"vault": "x"})  # type: ignore[dict-item]


def good(path: str) -> str:
    return f"from {path}"


def test_other_distributions_bring_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        metadata.EntryPoint("acme", f"{__name__}:good", providers.GROUP),
        metadata.EntryPoint("broken", f"{__name__}:nope", providers.GROUP),
    ]
    monkeypatch.setattr(metadata, "entry_points", lambda group: entries if group == providers.GROUP else [])
    assert Providers().fetch("acme:kv") == "from kv"
    with pytest.raises(CredentialError, match=r"'broken' of .* can't be loaded: AttributeError"):
        Providers().check("broken:kv")


def test_a_provider_is_asked_once_a_run_and_again_for_the_next() -> None:
    asked: list[str] = []

    def vault(path: str) -> str:
        asked.append(path)
        return f"answer {len(asked)}"

    known = Providers({"vault": vault})
    secret = ReferencedSecret("vault:kv", known, what="password of credential 'deploy'")
    same = ReferencedSecret("vault:kv", known, what="password of credential 'other'")

    def run() -> Iterator[str]:
        seen: dict[Any, Any] = {}
        for host, variables in (("a", {"ansible_password": secret}), ("b", {"ansible_password": same, "x": [secret]})):
            yield opened(variables, host, seen)["ansible_password"].reveal()

    assert asked == []
    assert list(run()) == ["answer 1", "answer 1"]
    assert list(run()) == ["answer 2", "answer 2"]


def test_who_fails_says_whose_secret_it_is() -> None:
    secret = ReferencedSecret("env:SSHEXEC_NOT_SET", what="password of credential 'deploy'")
    with pytest.raises(CredentialError, match=r"^host web1: ansible_password: password of cred"):
        opened({"ansible_password": secret}, "web1")
    left = opened({"token": secret, "list": [{"a": secret}, 1]}, "web1")
    assert isinstance(left["token"], LockedSecret)
    with pytest.raises(CredentialError, match="password of credential 'deploy': the env"):
        left["list"][0]["a"].reveal()


def test_a_command_has_a_deadline_and_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CredentialError, match=r"^the command 'sleep' gave no answer within 0.2 s$"):
        places.read_command("sleep 60", timeout=0.2)
    monkeypatch.setattr(places, "MAX_BYTES", 1000)
    with pytest.raises(CredentialError, match="printed more than"):
        places.read_command(["yes"], timeout=30)
    # A child that keeps the pipes open keeps nobody waiting.
    child = f"sleep 60 & echo $! > {tmp_path}/pid; echo hunter2"
    assert places.read_command(["sh", "-c", child], timeout=30) == "hunter2"
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_no_shell_is_between() -> None:
    assert places.read_command("echo $HOME '*' ;") == "$HOME * ;"


def test_files_are_read_with_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pw"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CredentialError, match="holds no UTF-8 text"):
        places.read_file(str(path))
    path.write_text("a\r\n")
    assert places.read_file(str(path)) == "a"
    monkeypatch.setattr(places, "MAX_BYTES", 2)
    with pytest.raises(CredentialError, match="is larger than"):
        places.read_file(str(path))
    with pytest.raises(CredentialError, match="Is a directory"):
        places.read_file(str(tmp_path))
