"""Permission bits as Ansible reads them; the table is what ansible-core 2.19.14 answered."""

from __future__ import annotations

import itertools
import shutil
import subprocess

import pytest

from sshexec.modules.mode import Mode

UMASK = 0o022


@pytest.mark.parametrize("value", ["644", "0644", "0o644", 0o644, " 644", "644\n", "6_44", "10644", "100644"])
def test_octal(value: object) -> None:
    assert Mode(value).bits(0) == 0o644


@pytest.mark.parametrize(("wish", "expected"), [
    ("", 0o644), ("u", 0o644), ("+", 0o644), ("=", 0o000), ("a=", 0o000), ("+x,", 0o755), ("u++x", 0o744),
    ("u=rw+x", 0o744), ("u=g", 0o444), ("g=u-w", 0o644), ("+t", 0o1644), ("u+t", 0o644), ("o+t", 0o1644),
    ("a=rwt", 0o1666), ("+rw", 0o644), ("a+X", 0o644), ("u+x,g+X", 0o754), ("u=rwx,g=ru,o=", 0o770),
    ("g=us", 0o2664), ("u-X", 0o644), ("-X", 0o644), ("ug=o", 0o444), ("u+x,g=u", 0o774),
])  # fmt: skip
def test_symbolic_does_as_ansible_to_a_file_of_0644(wish: str, expected: int) -> None:
    assert f"{Mode(wish).bits(0o644, UMASK):o}" == f"{expected:o}"


@pytest.mark.parametrize("value", ["q", "rw", "rwx", "u+q", "ua+x", "aa+x", "U+x", "888", "u+r,q", "9" * 20])
def test_wrong_clauses_are_named_in_the_words_of_ansible(value: str) -> None:
    clause = value.rpartition(",")[2]
    with pytest.raises(ValueError, match="octal or symbolic") as error:
        Mode(value)
    assert str(error.value) == f"mode must be in octal or symbolic form: bad symbolic permission for mode: {clause}"


@pytest.mark.parametrize("value", [True, None, 1.5, ["a"], -1, "-644", 0o1000000])
def test_what_is_no_mode(value: object) -> None:
    with pytest.raises(ValueError, match="octal or symbolic"):
        Mode(value)


@pytest.mark.parametrize("shell", [["sh"], ["bash"], ["busybox", "sh"]], ids=" ".join)
def test_a_shell_comes_to_the_same_bits(shell: list[str]) -> None:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"not installed: {shell[0]}")
    people, permissions = (
        ["", "a", "u", "g", "o", "ug", "uo"],
        ["", "r", "x", "rwX", "X", "s", "t", "u", "g", "ro", "wst"],
    )
    wishes = [who + operator + what for who, operator, what in itertools.product(people, "+-=", permissions)]
    wishes += ["644", "4755", "u=rw,g=u,o=g-w", "a=rX,u+wx", "g-w+X,+t"]
    script, expected = [], []
    for wish, current, umask, directory in itertools.product(wishes, [0o640, 0o4711, 0o3000], [0o027], [False, True]):
        mode = Mode(wish)
        script.append(f"m={current} u={umask} x={73 if directory else 0}\n{mode.script()}echo $m\n")
        expected.append(mode.bits(current, umask, directory=directory))
    done = subprocess.run(shell, input="".join(script), capture_output=True, text=True, check=True)
    assert [*map(int, done.stdout.split())] == expected
