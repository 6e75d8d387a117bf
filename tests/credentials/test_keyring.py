"""Keys, and what they seal: it opens with its key and as what it is, or says clearly why not."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sshexec.credentials import keyring as module
from sshexec.credentials.keyring import Keyring, SealedSecret, fingerprint, key_of, new_key, write_key
from sshexec.errors import CredentialError
from sshexec.secret import Secret

KEY, OTHER = new_key(), new_key()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without a key."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("SSHEXEC_KEY_FILE", raising=False)
    return tmp_path


@given(st.text(st.characters()))
def test_what_is_sealed_opens_to_the_very_text(text: str) -> None:
    keyring = Keyring([KEY])
    token = keyring.seal(text, context="variable x")
    assert token.isascii()
    assert key_of(token) == fingerprint(KEY)
    assert keyring.open(token, context="variable x") == text


def test_two_seals_of_one_text_have_nothing_in_common() -> None:
    keyring = Keyring([KEY])
    tokens = {keyring.seal("hunter2", context="x") for _ in range(100)}
    assert len({token[12:] for token in tokens}) == 100


def test_a_lost_key_is_named() -> None:
    token = Keyring([KEY]).seal("hunter2", context="x")
    with pytest.raises(CredentialError) as caught:
        Keyring([OTHER]).open(token, context="x", what="password of credential 'deploy'")
    message = str(caught.value)
    assert message.startswith("password of credential 'deploy': is sealed with the key " + fingerprint(KEY))
    assert fingerprint(OTHER) in message
    assert "--key-file" in message
    assert key_of(token) == fingerprint(KEY)


@pytest.mark.parametrize("place", range(13, 60))
def test_an_altered_token_does_not_open(place: int) -> None:
    keyring = Keyring([KEY])
    token = keyring.seal("hunter2 and more", context="x")
    other = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
    with pytest.raises(CredentialError, match=r"^x: the sealed text was altered"):
        keyring.open(other, context="x")


def test_a_token_is_what_it_was_sealed_as() -> None:
    keyring = Keyring([KEY])
    token = keyring.seal("hunter2", context="variable db_password")
    with pytest.raises(CredentialError, match="moved here from elsewhere"):
        keyring.open(token, context="variable motd")


@pytest.mark.parametrize("token", ["", "hunter2", "v2.12345678." + "A" * 40, "v1.1234567.A", "v1.12345678.A"])
def test_what_is_no_token_is_not_shown(token: str) -> None:
    with pytest.raises(CredentialError, match=r"^x: is no sealed secret, or one of a newer sshexec$"):
        Keyring([KEY]).open(token, context="x")


def test_of_several_keys_the_first_seals_and_all_open() -> None:
    old = Keyring([KEY]).seal("hunter2", context="x")
    both = Keyring([OTHER, KEY])
    assert both.names == (fingerprint(OTHER), fingerprint(KEY))
    assert both.open(old, context="x") == "hunter2"
    new = both.reseal(old, context="x")
    assert key_of(new) == fingerprint(OTHER)
    assert Keyring([OTHER]).open(new, context="x") == "hunter2"
    assert both.reseal(new, context="x") == new


def test_a_key_file_is_made_for_its_user_alone(home: Path) -> None:
    path = home / "new" / "key"
    name = write_key(str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]
    assert Keyring.load(str(path)).names == (name,)
    assert Keyring.load(f"file:{path}").names == (name,)


def test_a_key_file_is_not_overwritten_but_added_to(home: Path) -> None:
    path = home / "key"
    old = write_key(str(path))
    token = Keyring.load(str(path)).seal("hunter2", context="x")
    with pytest.raises(CredentialError, match="there is such a file already"):
        write_key(str(path))
    new = write_key(str(path), add=True)
    keyring = Keyring.load(str(path))
    assert keyring.names == (new, old)
    assert keyring.open(token, context="x") == "hunter2"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(home.iterdir()) == [path]


def test_keys_that_are_added_at_once_are_all_there(home: Path) -> None:
    path = home / "key"
    names = {write_key(str(path))}
    script = "import sys; from sshexec.credentials.keyring import write_key; print(write_key(sys.argv[1], add=True))"
    adding = [subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE) for _ in range(6)]
    names |= {process.communicate(timeout=60)[0].decode().strip() for process in adding}
    assert set(Keyring.load(str(path)).names) == names
    assert len(names) == 7
    assert list(home.iterdir()) == [path]


def test_a_key_is_added_to_the_file_that_a_link_points_to(home: Path) -> None:
    real, link = home / "real", home / "link"
    write_key(str(real))
    link.symlink_to(real)
    new = write_key(str(link), add=True)
    assert link.is_symlink()
    assert Keyring.load(str(real)).names[0] == new


@pytest.mark.parametrize("place", ["{}", "file:{}", "env:{}", "# sshexec key 01234567\n{}"])
def test_a_key_in_the_place_of_its_place_is_not_shown(place: str) -> None:
    key = new_key().reveal()
    with pytest.raises(CredentialError, match="x: a key itself stands where the place of the key should") as caught:
        Keyring.load(place.format(key)).seal("a", context="x")
    assert key not in str(caught.value)


def test_a_key_file_that_others_may_read_is_refused(home: Path) -> None:
    path = home / "key"
    write_key(str(path))
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(CredentialError, match=rf"x: the key for secrets: {path}: .*mode {mode:04o}.*chmod 600"):
            Keyring.load(str(path)).seal("a", context="x")
    path.chmod(0o400)
    Keyring.load(str(path)).seal("a", context="x")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_key_file_of_another_user_is_refused(home: Path) -> None:
    path = home / "key"
    write_key(str(path))
    os.chown(path, 12345, 12345)
    with pytest.raises(CredentialError, match="belongs to another user"):
        Keyring.load(str(path)).seal("a", context="x")


def test_keys_come_from_the_environment_or_a_command(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEYS", f"{OTHER.reveal()}\n{KEY.reveal()}\n")
    names = (fingerprint(OTHER), fingerprint(KEY))
    assert Keyring.load("env:MY_KEYS").names == names
    assert Keyring.load(f"command:{sys.executable} -c 'import os; print(os.environ[\"MY_KEYS\"])'").names == names
    monkeypatch.setenv("SSHEXEC_KEY_FILE", "env:MY_KEYS")
    assert Keyring.load().names == names


def test_the_usual_place_is_looked_at(home: Path) -> None:
    name = write_key(module.default_key_file())
    assert (home / "config/sshexec/key").is_file()
    assert Keyring.load().names == (name,)


def test_without_a_key_it_is_said_how_to_make_one() -> None:
    with pytest.raises(CredentialError) as caught:
        Keyring.load().seal("hunter2", context="x", what="db_password of host 'db1'")
    assert str(caught.value).startswith(
        "db_password of host 'db1': there is no key for secrets: make one with `sshexec"
    )
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "# a comment\n\n", "hunter2\n", "QUJD\n", "é" * 44 + "\n", "A" * 42 + "\n"])
def test_a_wrong_key_file_says_nothing_of_its_text(home: Path, text: str) -> None:
    path = home / "key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(CredentialError, match=r"holds no key|line 1 is no key: expected 32 bytes in base64") as caught:
        Keyring.load(str(path)).seal("a", context="x")
    assert not text.strip() or text.strip() not in str(caught.value)


def test_a_missing_key_file_is_named(home: Path) -> None:
    with pytest.raises(CredentialError, match=f"{home}/nope: can't be read: there is no such file"):
        Keyring.load(f"{home}/nope").seal("a", context="x")


def test_keys_are_read_when_they_are_needed_and_once(home: Path) -> None:
    path = home / "key"
    keyring = Keyring.load(str(path))
    secret = SealedSecret(Keyring([KEY]).seal("hunter2", context="x"), keyring, context="x")
    path.write_text(KEY.reveal())
    path.chmod(0o600)
    assert secret.reveal() == "hunter2"
    path.unlink()
    assert keyring.open(secret.token, context="x") == "hunter2"


def test_a_keyring_shows_no_key_and_is_not_pickled() -> None:
    keyring = Keyring([KEY])
    assert KEY.reveal() not in repr(keyring)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(keyring)


def test_a_sealed_secret_is_opened_once_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = Keyring([KEY])
    opened: list[str] = []
    real = keyring.open

    def counted(token: str, *, context: str, what: str | None = None) -> str:
        opened.append(token)
        return real(token, context=context, what=what)

    monkeypatch.setattr(keyring, "open", counted)
    secret = SealedSecret(keyring.seal("hunter2", context="x"), keyring, context="x")
    assert repr(secret) == "Secret('********')"
    threads = [threading.Thread(target=secret.reveal) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1


def test_sealed_secrets_are_compared_without_a_key_where_that_says_enough() -> None:
    keyring, none = Keyring([KEY]), Keyring.load()
    token = keyring.seal("hunter2", context="x")
    assert SealedSecret(token, none, context="x") == SealedSecret(token, none, context="x")
    assert SealedSecret(token, none, context="x")
    assert not SealedSecret(keyring.seal("", context="x"), none, context="x")
    assert SealedSecret(token, keyring, context="x") == Secret("hunter2")
    assert hash(SealedSecret(token, keyring, context="x")) == hash(Secret("hunter2"))
    assert SealedSecret(token, keyring, context="x") != Secret("hunter3")
