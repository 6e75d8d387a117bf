"""``fetch`` beside real Ansible's; what the controller has afterwards is compared too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.oracle.case import Case, Dir, File, Link
from tests.oracle.judge import judged

TARGET = {
    "f.txt": File("hello\n"),
    "empty": File(""),
    "binary": File(bytes(range(256)) * 300),
    "d/x": File("x"),
    "to file": Link("f.txt"),
    "to directory": Link("d"),
    "dangling": Link("nowhere"),
    "unreadable": File("no", mode=0),
    "private": Dir(mode=0o700, owner="root"),
    "private/x": File("1"),
    "-dash": File("dash"),
    "a b'c\"$HOME;ü": File("odd"),
    "two\nlines": File("odd"),
}
LOCAL = {
    "same": File("hello\n"),
    "other": File("other", mode=0o600),
    "d": Dir(),
    "link": Link("other"),
    "taken/f.txt": Dir(),
}
USER = ("user",)
BOTH = ("user", "root")


def fetch(
    name: str, src: str, dest: str = "{l}/out", users: Iterable[str] = BOTH, check: bool = False, diff: bool = False,
    **more: Any,
) -> Case:  # fmt: skip
    """Return a case of one file."""
    args = {"src": src, "dest": dest, **more}
    return Case(name, args, target=TARGET, local=LOCAL, check=check, diff=diff, users=users, fetched=True)


CASES = [
    fetch("new", "{t}/f.txt"),
    fetch("empty file", "{t}/empty"),
    fetch("binary file", "{t}/binary"),
    fetch("same", "{t}/f.txt", "{l}/same", flat=True),
    fetch("changed, the mode stays", "{t}/f.txt", "{l}/other", flat="yes"),
    fetch("changed behind a link", "{t}/f.txt", "{l}/link", flat="1", users=USER),
    fetch("flat into a directory", "{t}/f.txt", "{l}/d/", flat=True),
    fetch("flat into new directories", "{t}/f.txt", "{l}/new/deep/", flat=True, users=USER),
    fetch("flat to a new file", "{t}/f.txt", "{l}/new/deep", flat=True, users=USER),
    fetch("flat to a directory without a slash", "{t}/f.txt", "{l}/d", flat=True),
    fetch("flat where a directory has the name", "{t}/f.txt", "{l}/taken/", flat=True),
    fetch("flat and missing, into a directory", "{t}/no", "{l}/d", flat=True, users=USER),
    fetch("flat to a place with dots", "{t}/f.txt", "{l}/d/../x//y/", flat=True, users=USER),
    fetch("missing", "{t}/no"),
    fetch("missing, and that is well", "{t}/no", fail_on_missing=False),
    fetch("dangling link", "{t}/dangling"),
    fetch("dangling link, and that is well", "{t}/dangling", fail_on_missing="no", users=USER),
    fetch("link", "{t}/to file"),
    fetch("directory", "{t}/d"),
    # As another user Ansible has other words.
    fetch("directory, and that is well", "{t}/d", fail_on_missing=False, users=USER),
    fetch("link to a directory", "{t}/to directory", users=USER),
    fetch("unreadable", "{t}/unreadable"),
    fetch("unreadable, and that is well", "{t}/unreadable", fail_on_missing=False, users=USER),
    fetch("in an unreadable directory", "{t}/private/x"),
    fetch("in an unreadable directory, and that is well", "{t}/private/x", fail_on_missing=False, users=USER),
    # As another user Ansible says "Unable to slurp file: {source}", in just these words.
    fetch("below a file", "{t}/f.txt/x", users=USER),
    fetch("below a file, and that is well", "{t}/f.txt/x", fail_on_missing=False, users=USER),
    fetch("a file with a slash", "{t}/f.txt/", users=USER),
    fetch("no validation", "{t}/f.txt", validate_checksum=False, users=USER),
    fetch("check mode", "{t}/f.txt", check=True, users=USER),
    fetch("check mode of a missing file", "{t}/no", check=True, users=USER),
    fetch("diff mode", "{t}/f.txt", "{l}/other", flat=True, diff=True, users=USER),
    fetch("relative source", "t/f.txt"),
    fetch("home of the user", "~/t/f.txt"),
    fetch("relative destination", "{t}/f.txt", "out", users=USER),
    fetch("empty destination", "{t}/f.txt", "", users=USER),
    fetch("dots in the source", "{t}/../t/./f.txt", users=USER),
    fetch("leading dash", "{t}/-dash", users=USER),
    fetch("hostile name", "{t}/a b'c\"$HOME;ü", users=("root",)),
    fetch("line break in the name", "{t}/two\nlines", users=("root",)),
    fetch("unknown argument", "{t}/f.txt", users=USER, flt=True),
    Case("no arguments", {}),
    Case("no source", {"dest": "{l}"}, users=USER),
    Case("no destination", {"src": "{t}/f.txt"}, users=USER),
    Case("source is a list", {"src": ["{t}/f.txt"], "dest": "{l}"}, users=USER),
    Case("destination is a number", {"src": "{t}/f.txt", "dest": 5}, users=USER),
    Case(
        "text",
        "src={t}/f.txt dest={l}/out flat=yes fail_on_missing=no validate_checksum=no",
        target=TARGET,
        local=LOCAL,
        users=USER,
        fetched=True,
    ),
]

test_fetch = judged("fetch", CASES)
