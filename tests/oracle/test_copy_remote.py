"""``copy`` within the host (``remote_src``) beside real Ansible's."""

from __future__ import annotations

from tests.oracle.case import Case, Dir, File, Link
from tests.oracle.judge import judged

SRC = {"f": File("hello\n", 0o640)}
TREE = {
    "d/a": File("a\n", 0o640),
    "d/x": File("x\n", 0o755),
    "d/sub/b": File("b\n"),
    "d/sub/deep/c": File("c\n", 0o600),
    "d/empty": Dir(0o700),
}
THERE = {f"o/{name}": entry for name, entry in TREE.items()}
PART = {"o/d/a": File("old\n", 0o604), "o/d/own": File("own\n"), "o/d/sub": Dir(0o711)}
LINKED = {"d/a": File("a\n"), "d/l": Link("a"), "d/sub/b": File("b\n"), "d/ls": Link("sub"), "d/no": Link("nope")}
R = "remote_src=yes"

CASES = [
    Case("remote-new", f"src={{t}}/f dest={{t}}/o {R}", target=SRC),
    Case("remote-same", f"src={{t}}/f dest={{t}}/o {R}", target={**SRC, "o": File("hello\n", 0o604)}),
    Case("remote-changed", f"src={{t}}/f dest={{t}}/o {R}", target={**SRC, "o": File("old\n", 0o604)}),
    Case("remote-another's", f"src={{t}}/f dest={{t}}/o {R}", target={**SRC, "o": File("old\n", owner="nobody")}),
    Case("remote-mode", f"src={{t}}/f dest={{t}}/o {R} mode=0600", target=SRC),
    Case("remote-mode-alone", f"src={{t}}/f dest={{t}}/o {R} mode=0600", target={**SRC, "o": File("hello\n")}),
    Case("remote-preserve", f"src={{t}}/f dest={{t}}/o {R} mode=preserve", target={"f": File("x", 0o711)}),
    Case("remote-preserve-same", f"src={{t}}/f dest={{t}}/o {R} mode=preserve", target={**SRC, "o": File("hello\n")}),
    Case("remote-owner", f"src={{t}}/f dest={{t}}/o {R} owner=nobody group=nogroup", target=SRC),
    Case("remote-owner-unknown", f"src={{t}}/f dest={{t}}/o {R} owner=nosuch", target=SRC, users=("user",)),
    Case("remote-missing", f"src={{t}}/nope dest={{t}}/o {R}"),
    Case("remote-unreadable", f"src={{t}}/f dest={{t}}/o {R}", target={"f": File("x", 0)}),
    Case("remote-into", f"src={{t}}/f dest={{t}}/d {R}", target={**SRC, "d": Dir()}),
    Case("remote-into-slash", f"src={{t}}/f dest={{t}}/d/ {R}", target={**SRC, "d": Dir()}),
    Case("remote-into-new", f"src={{t}}/f dest={{t}}/d/e/ {R} directory_mode=0700", target=SRC),
    Case("remote-into-same", f"src={{t}}/f dest={{t}}/d {R}", target={**SRC, "d/f": File("hello\n")}),
    Case("remote-missing-parent", f"src={{t}}/f dest={{t}}/nope/o {R}", target=SRC),
    Case("remote-itself", f"src={{t}}/f dest={{t}}/f {R}", target=SRC),
    Case("remote-itself-mode", f"src={{t}}/f dest={{t}}/f {R} mode=0600", target=SRC),
    Case("remote-itself-in", f"src={{t}}/f dest={{t}} {R}", target=SRC),
    Case("remote-force-no", f"src={{t}}/f dest={{t}}/o {R} force=no", target={**SRC, "o": File("old\n")}),
    Case("remote-force-no-new", f"src={{t}}/f dest={{t}}/o {R} force=no", target=SRC, users=("user",)),
    Case("remote-backup", f"src={{t}}/f dest={{t}}/o {R} backup=yes", target={**SRC, "o": File("old\n", 0o604)}),
    Case("remote-checksum", f"src={{t}}/f dest={{t}}/o {R} checksum=abc", target=SRC),
    Case(
        "remote-checksum-right",
        f"src={{t}}/f dest={{t}}/o {R} checksum=f572d396fae9206628714fb2ce00f72e94f2258f",
        target=SRC,
        users=("user",),
    ),
    Case("remote-validate", f"src={{t}}/f dest={{t}}/o {R} validate='grep -q hello %s'", target=SRC),
    Case("remote-validate-fails", f"src={{t}}/f dest={{t}}/o {R} validate='grep old %s'", target=SRC, users=("user",)),
    Case("remote-link", f"src={{t}}/l dest={{t}}/o {R}", target={**SRC, "l": Link("f")}),
    Case("remote-link-no", f"src={{t}}/l dest={{t}}/o {R} local_follow=no", target={**SRC, "l": Link("f")}),
    Case("remote-over-link", f"src={{t}}/f dest={{t}}/l {R}", target={**SRC, "x": File("old"), "l": Link("x")}),
    Case(
        "remote-over-link-same", f"src={{t}}/f dest={{t}}/l {R}", target={**SRC, "x": File("hello\n"), "l": Link("x")}
    ),
    Case("remote-follow", f"src={{t}}/f dest={{t}}/l {R} follow=1", target={**SRC, "x": File("old"), "l": Link("x")}),
    Case("remote-dangling", f"src={{t}}/f dest={{t}}/l {R}", target={**SRC, "l": Link("x")}),
    Case("remote-dangling-follow", f"src={{t}}/f dest={{t}}/l {R} follow=1", target={**SRC, "l": Link("x")}),
    Case("remote-relative", f"src=t/f dest=t/o {R}", target=SRC, users=("user",)),
    Case("remote-home", f"src=~/t/f dest=$HOME/t/o {R}", target=SRC, users=("user",)),
    Case("remote-not-writable", f"src={{t}}/f dest={{t}}/d/o {R}", target={**SRC, "d": Dir(0o555)}),
    Case("remote-unsafe", f"src={{t}}/f dest={{t}}/o {R} unsafe_writes=1", target={**SRC, "o": File("old\n", 0o604)}),
    Case(
        "remote-name",
        {"src": "{t}/it's\n a", "dest": "{t}/-n $(id)", "remote_src": True},
        target={"it's\n a": File("x")},
    ),
    Case("remote-content", f"content=x dest={{t}}/o {R}", users=("user",)),
    Case("remote-check", f"src={{t}}/f dest={{t}}/o {R}", target=SRC, check=True),
    Case("remote-check-same", f"src={{t}}/f dest={{t}}/o {R}", target={**SRC, "o": File("hello\n")}, check=True),
    Case(
        "remote-check-changed", f"src={{t}}/f dest={{t}}/o {R} mode=0600", target={**SRC, "o": File("old")}, check=True
    ),
    Case("remote-check-into-new", f"src={{t}}/f dest={{t}}/d/e/ {R}", target=SRC, check=True),
    Case("remote-check-missing", f"src={{t}}/nope dest={{t}}/o {R}", check=True, users=("user",)),
    Case("remote-diff", f"src={{t}}/f dest={{t}}/o {R}", target={**SRC, "o": File("old\n")}, diff=True),
    Case("remote-diff-new", f"src={{t}}/f dest={{t}}/o {R} mode=0600", target=SRC, diff=True, users=("user",)),
    Case(
        "remote-diff-mode", f"src={{t}}/f dest={{t}}/o {R} mode=0600", target={**SRC, "o": File("hello\n")}, diff=True
    ),
    Case("remote-tree", f"src={{t}}/d dest={{t}}/o {R}", target=TREE),
    Case("remote-tree-slash", f"src={{t}}/d/ dest={{t}}/o {R}", target=TREE),
    Case("remote-tree-into", f"src={{t}}/d dest={{t}}/o/ {R}", target={**TREE, "o": Dir()}),
    Case("remote-tree-there", f"src={{t}}/d dest={{t}}/o {R}", target={**TREE, **THERE}),
    Case("remote-tree-slash-there", f"src={{t}}/d/ dest={{t}}/o/d {R}", target={**TREE, **THERE}),
    Case("remote-tree-part", f"src={{t}}/d dest={{t}}/o {R}", target={**TREE, **PART}),
    Case("remote-tree-part-slash", f"src={{t}}/d/ dest={{t}}/o/d {R}", target={**TREE, **PART}),
    Case("remote-tree-mode", f"src={{t}}/d dest={{t}}/o {R} mode=0600", target=TREE),
    Case("remote-tree-mode-into", f"src={{t}}/d dest={{t}}/o {R} mode=0600", target={**TREE, "o": Dir()}),
    Case("remote-tree-directory-mode", f"src={{t}}/d dest={{t}}/o {R} directory_mode=0750 mode=0600", target=TREE),
    Case("remote-tree-preserve", f"src={{t}}/d dest={{t}}/o {R} mode=preserve", target={**TREE, "o": Dir()}),
    Case("remote-tree-owner", f"src={{t}}/d dest={{t}}/o {R} owner=nobody group=nogroup", target={**TREE, "o": Dir()}),
    Case("remote-tree-links", f"src={{t}}/d dest={{t}}/o {R}", target=LINKED),
    Case("remote-tree-links-into", f"src={{t}}/d dest={{t}}/o {R}", target={**LINKED, "o": Dir()}),
    Case("remote-tree-links-no", f"src={{t}}/d dest={{t}}/o {R} local_follow=no", target={**LINKED, "o": Dir()}),
    Case("remote-tree-links-no-new", f"src={{t}}/d/ dest={{t}}/o {R} local_follow=no", target=LINKED),
    Case("remote-tree-force-no", f"src={{t}}/d dest={{t}}/o {R} force=no", target={**TREE, **PART}),
    Case("remote-tree-over-file", f"src={{t}}/d dest={{t}}/o {R}", target={**TREE, "o": File("file")}),
    Case("remote-tree-empty", f"src={{t}}/d dest={{t}}/o {R}", target={"d": Dir()}),
    Case("remote-tree-missing-parents", f"src={{t}}/d dest={{t}}/o/p/q {R}", target=TREE),
    Case("remote-tree-check", f"src={{t}}/d dest={{t}}/o {R}", target=TREE, check=True),
    Case("remote-tree-check-part", f"src={{t}}/d dest={{t}}/o {R}", target={**TREE, **PART}, check=True),
    Case("remote-tree-check-there", f"src={{t}}/d dest={{t}}/o {R}", target={**TREE, **THERE}, check=True),
    Case("remote-tree-backup", f"src={{t}}/d dest={{t}}/o {R} backup=yes", target={**TREE, **PART}),
    Case("remote-tree-diff", f"src={{t}}/d dest={{t}}/o {R}", target={**TREE, **PART}, diff=True),
    Case("remote-tree-not-writable", f"src={{t}}/d dest={{t}}/o {R}", target={**TREE, "o": Dir(0o555)}),
    Case("remote-tree-checksum", f"src={{t}}/d dest={{t}}/o {R} checksum=abc", target=TREE, users=("user",)),
    Case("remote-tree-names", {"src": "{t}/d", "dest": "{t}/o p", "remote_src": True}, target={"d/-n\n'": File("x")}),
]

test_copy_remote = judged("copy", CASES)
