"""``stat`` beside real Ansible's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.oracle.case import Case, Dir, Entry, Fifo, File, Link
from tests.oracle.judge import judged

TREE: Mapping[str, Entry] = {
    "f": File("hello\n", mode=0o640, mtime=1700000000),
    "l": Link("f"),
    "ll": Link("l"),
    "ld": Link("d"),
    "dangling": Link("nope"),
    "loop": Link("loop"),
    "d/x": File(),
    "p": Fifo(),
    "secret": File("s", mode=0o600, owner="root"),
    "picture": File(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
    "empty": File(),
    "utf8": File("é\n"),
    "script": File("#!/bin/sh\n", mode=0o6755),
    "sticky": Dir(mode=0o1777),
    "closed": Dir(mode=0, owner="root"),
    "sp ace'\"\n$HOME": File("x"),
}
# Each side looks at a copy of its own, made at another time.
IGNORED = ("stat.inode", "stat.ctime", "stat.atime", "stat.mtime", "stat.version")


def case(name: str, args: str | Mapping[str, Any], **more: Any) -> Case:
    """Return a case of that tree, as the login user only unless it says otherwise."""
    return Case(name, args, target=TREE, **{"ignore": IGNORED, "users": ("user",), **more})


CASES = [
    case("file", "path={t}/f", ignore=("stat.inode", "stat.ctime", "stat.version"), users=("user", "root")),
    case("check", "path={t}/f", check=True),
    case("missing", "path={t}/nope"),
    case("directory", "path={t}/d"),
    case("slash", "path={t}/d/"),
    case("link", "path={t}/l"),
    case("link, follow", "path={t}/l follow=yes"),
    case("link to a link", "path={t}/ll"),
    case("link to a directory, follow", "path={t}/ld follow=yes"),
    case("dangling link", "path={t}/dangling"),
    case("dangling link, follow", "path={t}/dangling follow=yes"),
    case("loop", "path={t}/loop"),
    case("loop, follow", "path={t}/loop follow=yes"),
    case("fifo", "path={t}/p"),
    case("device", "path=/dev/null", users=("user", "root")),
    case("unreadable", "path={t}/secret", users=("user", "root")),
    case("closed directory", "path={t}/closed/x", users=("user", "root")),
    case("below a file", "path={t}/f/x"),
    case("binary", "path={t}/picture"),
    case("empty", "path={t}/empty"),
    case("charset", "path={t}/utf8"),
    case("set-id bits", "path={t}/script"),
    case("sticky bit", "path={t}/sticky"),
    case("everything off", "path={t}/f get_checksum=no get_mime=no get_attributes=no"),
    case("aliases", {"dest": "{t}/f", "mime-type": False, "attr": "no", "checksum_algo": "sha256"}),
    case("more aliases", "name={t}/f mime=yes attributes=yes checksum=md5"),
    *(case(name, f"path={{t}}/f checksum_algorithm={name}") for name in ("md5", "sha224", "sha384", "sha512")),
    case("wrong algorithm", "path={t}/f checksum_algorithm=sha3"),
    case("home", "path=~/t/f"),
    case("relative", "path=t/f"),
    case("hostile name", {"path": "{t}/sp ace'\"\n$HOME"}),
    case("empty path", {"path": ""}),
    case("no path", ""),
    case("unknown argument", "path={t}/f get_md5=yes"),
]

test_stat = judged("stat", CASES)
