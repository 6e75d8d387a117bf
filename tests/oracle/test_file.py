"""``file`` beside real Ansible's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.oracle.case import Case, Dir, Entry, Fifo, File, Link
from tests.oracle.judge import judged

HOSTILE = "a b'c\"d\n-é$HOME*"
TREE: Mapping[str, Entry] = {
    "f": File("x", mtime=1700000000),
    "g": File("y"),
    "e": Dir(),
    "d/x": File(),
    "l": Link("f"),
    "ld": Link("d"),
    "dangling": Link("nope"),
}
DEEP: Mapping[str, Entry] = {
    "d/a/b/f": File(mode=0o640),
    "d/a/run": File(mode=0o755),
    "d/l": Link("../other"),
    "d/lost": Link("nope"),
    "d/-o": File(mode=0o600),
    "other/f": File(),
}
OLD: Mapping[str, Entry] = {"f": File("x", mtime=1700000000)}
USER = ("user",)
# Each side touches at its own time, and makes its own tree before.
NOW = ("diff.after.mtime", "diff.after.atime", "diff.before.mtime", "diff.before.atime")


def case(name: str, args: str | Mapping[str, Any], target: Mapping[str, Entry] = TREE, **more: Any) -> Case:
    """Return a case in diff mode, as the login user only unless it says otherwise."""
    return Case(name, args, target=target, **{"diff": True, "users": USER, **more})


CASES = [
    # What is there, and nothing to do.
    Case("file", "path={t}/f", target=TREE),
    case("no diff mode", "path={t}/f mode=600", diff=False),
    case("directory", "path={t}/d"),
    case("link", "path={t}/l"),
    case("dangling link", "path={t}/dangling"),
    case("missing", "path={t}/nope"),
    case("alias dest", "dest={t}/f"),
    case("alias name", "name={t}/f"),
    case("home", "path=~/t/f"),
    case("variable", {"path": "$HOME/t/f"}),
    case("relative", "path=t/f"),
    case("slash", "path={t}/d/"),
    case("link with a slash removed", "path={t}/ld/ state=absent"),
    case("empty path", {"path": ""}),
    case("fifo", "path={t}/p mode=600", {"p": Fifo()}),
    # Attributes.
    Case("octal mode", "path={t}/f mode=0600", target=TREE, diff=True),
    case("number as mode", {"path": "{t}/f", "mode": 0o600}),
    case("symbolic mode", "path={t}/f mode=u+x,g=u,o-r"),
    case("sticky directory", "path={t}/d mode=1777"),
    case("setgid of a directory goes", "path={t}/s mode=0755", {"s": Dir(mode=0o2755)}),
    case("mode is so already", "path={t}/f mode=u=rw,go=r"),
    Case("mode, check", "path={t}/f mode=0600", target=TREE, diff=True, check=True, users=USER),
    case("wrong mode", "path={t}/f mode=u+q"),
    case("owner and group by number", "path={t}/f owner=12345 group=54321", users=("root",)),
    case("owner and group by name", "path={t}/f owner=daemon group=bin", users=("user", "root")),
    case("owner, check", "path={t}/f owner=daemon", check=True, users=("user", "root")),
    case("group not permitted", "path={t}/f group=root"),
    case("mode not permitted", "path={t}/f mode=600", {"f": File(owner="root")}),
    case("unknown owner", "path={t}/f owner=nosuch", users=("user", "root")),
    case("unknown group", "path={t}/f group=nosuch"),
    case("empty owner", {"path": "{t}/f", "owner": ""}),
    case("attributes", "path={t}/f attributes=+d"),
    case("attributes, alias, check", "path={t}/f attr=d", check=True),
    case("wrong attributes", "path={t}/f attributes=+Y"),
    case("SELinux where there is none", "path={t}/f setype=etc_t seuser=_default"),
    # Directories.
    case("make directories", "path={t}/m/n/o state=directory mode=0700", users=("user", "root")),
    case("make a directory, check", "path={t}/m state=directory mode=0700", check=True),
    case("make a relative directory", "path=t/m/n state=directory"),
    case("directory over a file", "path={t}/f state=directory"),
    case("directory below a file", "path={t}/f/a/b state=directory"),
    case("directory not permitted", "path=/etc/sshexec/a state=directory"),
    case("directory behind a link", "path={t}/ld state=directory mode=0700"),
    case("directory over a link", "path={t}/ld state=directory follow=no"),
    case("directory behind a dangling link", "path={t}/dangling state=directory"),
    case("recurse", "path={t}/d recurse=yes mode=u=rwX,g=rX,o=", DEEP),
    case("recurse, no follow", "path={t}/d recurse=yes mode=u=rwX,go= follow=no", DEEP),
    case("recurse, check", "path={t}/d state=directory recurse=yes mode=g+w", DEEP, check=True),
    case("recurse, owner", "path={t}/d recurse=yes owner=daemon group=bin", DEEP, users=("user", "root")),
    case("recurse, nothing to do", "path={t}/d recurse=yes mode=u+r", DEEP),
    case("recurse makes a directory", "path={t}/m recurse=yes"),
    case("recurse over a file", "path={t}/f recurse=yes"),
    # Files.
    case("file behind a link", "path={t}/l state=file mode=600"),
    case("file over a link", "path={t}/l state=file follow=no"),
    case("file behind a dangling link", "path={t}/dangling state=file"),
    case("file over a directory", "path={t}/d state=file"),
    case("time of a file", "path={t}/f modification_time=202001020304.05", OLD, times=True),
    # Links.
    Case("make a link", "path={t}/n src=f state=link", target=TREE, diff=True),
    case("make a link, check", "path={t}/n src=f state=link", check=True),
    case("link is so already", "path={t}/l src=f state=link"),
    case("link to something else", "path={t}/l src=g state=link mode=600"),
    case("link to something else, no follow", "path={t}/ld src={t}/e state=link follow=no mode=600 owner=daemon",
         users=("root",)),
    case("link to something else, check", "path={t}/l src=g state=link", check=True),
    case("link without src", "path={t}/l state=link mode=600"),
    case("link without src, no follow", "path={t}/l state=link mode=600 follow=no"),
    case("new link without src", "path={t}/n state=link"),
    case("link to nothing", "path={t}/n src=nope state=link"),
    case("link to nothing, force", "path={t}/n src=nope state=link force=yes"),
    case("link to nothing, force, no follow", "path={t}/n src=nope state=link force=yes follow=no"),
    case("link over a file", "path={t}/f src=g state=link"),
    case("link over a file, force", "path={t}/f src=g state=link force=yes"),
    case("link over a file, force, check", "path={t}/f src=g state=link force=yes", check=True),
    case("link over a directory", "path={t}/e src=../f state=link"),
    case("link over a directory, force", "path={t}/e src=f state=link force=yes"),
    case("link over a full directory, force", "path={t}/d src=x state=link force=yes"),
    case("link in no directory", "path={t}/n/o src={t}/f state=link"),
    case("link of nobody", "path={t}/n src=f state=link owner=nosuch"),
    case("link with an empty src", {"path": "{t}/n", "src": "", "state": "link", "force": True}),
    # Hard links.
    Case("make a hard link", "path={t}/n src={t}/f state=hard", target=TREE, diff=True),
    case("make a hard link, check", "path={t}/n src={t}/f state=hard", check=True),
    case("hard link to nothing", "path={t}/n src={t}/nope state=hard"),
    case("hard link without src", "path={t}/n state=hard"),
    case("hard link over a file", "path={t}/g src={t}/f state=hard"),
    case("hard link over a file, force", "path={t}/g src={t}/f state=hard force=yes mode=600"),
    case("hard link into a directory", "path={t}/d src={t}/f state=hard"),
    case("hard link over a link", "path={t}/l src={t}/f state=hard"),
    case("hard link to a directory", "path={t}/n src={t}/d state=hard"),
    case("hard link to a link", "path={t}/n src={t}/l state=hard follow=no"),
    case("hard link not permitted", "path=/etc/sshexec src={t}/f state=hard"),
    # Touch.
    case("touch a new file", "path={t}/n state=touch mode=600", ignore=NOW, users=("user", "root")),
    case("touch a new file, check", "path={t}/n state=touch", check=True),
    case("touch a file", "path={t}/f state=touch", ignore=NOW),
    case("touch a file, check", "path={t}/f state=touch", OLD, ignore=NOW, check=True, times=True),
    case("touch a directory", "path={t}/d state=touch", ignore=NOW),
    case("touch a link", "path={t}/l state=touch", ignore=NOW),
    case("touch a dangling link", "path={t}/dangling state=touch"),
    case("touch in no directory", "path={t}/n/o state=touch"),
    case("touch somebody else's file", "path={t}/f state=touch", {"f": File(owner="root")}),
    case("touch and fail", "path={t}/n state=touch owner=nosuch"),
    case("preserve times", "path={t}/f state=touch modification_time=preserve access_time=preserve", OLD, times=True),
    case("set times", "path={t}/f state=touch modification_time=202001020304.05 access_time=202101020304.05", OLD,
         times=True),
    case("set times in another format", {
        "path": "{t}/f", "modification_time": "2020-02-03 04:05", "modification_time_format": "%Y-%m-%d %H:%M",
        "access_time": "5.6.2021", "access_time_format": "%d.%m.%Y"}, OLD, times=True),
    case("times are so already", "path={t}/f state=touch modification_time=202311142213.20 access_time=preserve", OLD,
         times=True),
    case("time now", "path={t}/f modification_time=now", ignore=NOW),
    case("wrong time", "path={t}/f state=touch modification_time=yesterday"),
    # Absent.
    Case("remove a file", "path={t}/f state=absent", target=TREE, diff=True),
    case("remove a file, check", "path={t}/f state=absent", check=True),
    case("remove a directory", "path={t}/d state=absent", {"d/a/f": File()}),
    case("remove a link", "path={t}/ld state=absent"),
    case("remove nothing", "path={t}/nope state=absent"),
    case("remove below a file", "path={t}/f/x state=absent"),
    case("remove a file not permitted", "path=/etc/hostname state=absent"),
    case("remove a directory not permitted", "path={t}/d state=absent", {"d/e": Dir(owner="root"), "d/e/f": File()}),
    # Arguments.
    case("unknown argument", "path={t}/f bogus=1"),
    case("no path", "state=file"),
    case("wrong state", "path={t}/f state=bogus"),
    case("src without a link", "path={t}/f src=x"),
    case("src without a link, directory", "path={t}/d src=z"),
    case("touch with recurse", "path={t}/f state=touch recurse=yes"),
    # Names.
    case("hostile name", {"path": f"{{t}}/{HOSTILE}", "mode": "600"}, {HOSTILE: File()}),
    case("hostile link", {"path": f"{{t}}/n{HOSTILE}", "src": HOSTILE, "state": "link"}, {HOSTILE: File()}),
    case("hostile directory", {"path": f"{{t}}/{HOSTILE}/{HOSTILE}", "state": "directory", "mode": "g+w"}),
    case("hostile tree", {"path": "{t}/d", "recurse": True, "mode": "o="}, {f"d/{HOSTILE}/{HOSTILE}": File()}),
    case("remove a hostile directory", {"path": f"{{t}}/{HOSTILE}", "state": "absent"}, {f"{HOSTILE}/-r": File()}),
]  # fmt: skip

test_file = judged("file", CASES)
