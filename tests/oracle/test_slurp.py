"""``slurp`` beside real Ansible's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.oracle.case import Case, Dir, File, Link
from tests.oracle.judge import judged

TARGET = {
    "f.txt": File("hello\n"),
    "empty": File(""),
    "binary": File(bytes(range(256)) * 300),
    "large": File(b"0123456789abcdef" * 2**17),
    "d/x": File("x"),
    "link": Link("f.txt"),
    "dangling": Link("nowhere"),
    "unreadable": File("no", mode=0),
    "private": Dir(mode=0o700, owner="root"),
    "private/x": File("1"),
    "two\nlines'\"$HOME ü": File("odd"),
}
USER = ("user",)
BOTH = ("user", "root")


def slurp(name: str, src: Any, users: Iterable[str] = BOTH, **more: Any) -> Case:
    """Return a case of one file."""
    return Case(name, {"src": src}, target=TARGET, users=users, **more)


CASES = [
    slurp("plain", "{t}/f.txt"),
    slurp("empty", "{t}/empty"),
    slurp("binary", "{t}/binary"),
    slurp("2 MiB", "{t}/large"),
    slurp("link", "{t}/link", users=USER),
    slurp("dangling link", "{t}/dangling", users=USER),
    slurp("missing", "{t}/no"),
    slurp("directory", "{t}/d"),
    slurp("unreadable", "{t}/unreadable"),
    slurp("in an unreadable directory", "{t}/private/x"),
    slurp("home of the user", "~/t/f.txt"),
    slurp("variable", "$HOME/t/f.txt", users=USER),
    slurp("relative", "t/f.txt", users=USER),
    slurp("empty name", "", users=USER),
    slurp("hostile name", "{t}/two\nlines'\"$HOME ü"),
    slurp("device", "/dev/null", users=USER),
    slurp("file of the kernel", "/proc/version", users=USER),
    slurp("check mode", "{t}/f.txt", check=True, users=USER),
    slurp("diff mode", "{t}/f.txt", diff=True, users=USER),
    Case("text", "src={t}/f.txt", target=TARGET, users=USER),
    Case("alias", "path={t}/f.txt", target=TARGET),
    Case("no arguments", {}, users=USER),
    Case("unknown argument", {"src": "x", "bogus": 1}, users=USER),
]

test_slurp = judged("slurp", CASES)
