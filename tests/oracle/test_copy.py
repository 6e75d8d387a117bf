"""``copy`` of one file, or of a content, beside real Ansible's."""

from __future__ import annotations

from tests.oracle.case import Case, Dir, Fifo, File, Link
from tests.oracle.judge import judged

SRC = {"f.txt": File("hello\n", mode=0o640)}
OLD = {"out": File("old\n", mode=0o604)}
SAME = {"out": File("hello\n", mode=0o604)}
LARGE = "x" * 104449
VAULT = (
    "$ANSIBLE_VAULT;1.1;AES256\n"
    "33353962653535343961386131353864393331633861373263386531363236663731663238663139\n"
    "3666636339363636346130383635636631343265656435370a373937653437616531393063653964\n"
)

WRITES = [
    Case("new", "src=f.txt dest={t}/out", local=SRC),
    Case("same", "src=f.txt dest={t}/out", local=SRC, target=SAME),
    Case("changed", "src=f.txt dest={t}/out", local=SRC, target=OLD),
    Case(
        "changed-of-another", "src=f.txt dest={t}/out", local=SRC, target={"out": File("old\n", 0o604, owner="nobody")}
    ),
    Case("extension", "src=a.conf dest={t}/out.conf", local={"a.conf": File("x=1\n")}),
    Case("empty", "src=empty dest={t}/out", local={"empty": File("")}),
    Case("binary", "src=b dest={t}/out", local={"b": File(bytes(range(256)) * 9)}),
    Case("absolute", "src={l}/f.txt dest={t}/out", local=SRC, users=("user",)),
    Case("files-directory", "src=f.txt dest={t}/out", local={**SRC, "files/f.txt": File("files\n")}, users=("user",)),
    Case("files-named", "src=files/f.txt dest={t}/out", local={"files/f.txt": File("files\n")}, users=("user",)),
    Case("below-files", "src=a/b.txt dest={t}/out", local={"files/a/b.txt": File("files\n")}, users=("user",)),
]
CONTENTS = [
    Case("content", {"content": "hello\n", "dest": "{t}/out"}),
    Case("content-same", {"content": "hello\n", "dest": "{t}/out"}, target=SAME),
    Case("content-changed", {"content": "hello\n", "dest": "{t}/out"}, target=OLD),
    Case("content-text", "content='a b' dest={t}/out", users=("user",)),
    Case("content-empty", {"content": "", "dest": "{t}/out"}, users=("user",)),
    Case("content-mapping", {"content": {"a": 1, "b": [True, None], "é": "ü"}, "dest": "{t}/out"}, users=("user",)),
    Case("content-list", {"content": [1, "a", {"b": 2.5}], "dest": "{t}/out"}, users=("user",)),
    Case("content-number", {"content": 42, "dest": "{t}/out"}, users=("user",)),
    Case("content-float", {"content": 1.50, "dest": "{t}/out"}, users=("user",)),
    Case("content-true", {"content": True, "dest": "{t}/out"}, users=("user",)),
    Case("content-json-text", {"content": '{"a":1}', "dest": "{t}/out"}, users=("user",)),
    Case("content-utf8", {"content": "grüße\r\n", "dest": "{t}/out", "mode": "0600"}, users=("user",)),
    Case("content-directory", {"content": "x", "dest": "{t}/d"}, target={"d": Dir()}),
    Case("content-directory-to-be", {"content": "x", "dest": "{t}/d/"}, users=("user",)),
    Case("content-backup", {"content": "x", "dest": "{t}/out", "backup": True, "mode": "0600"}, target=OLD),
]
PLACES = [
    Case("into-directory", "src=f.txt dest={t}/d", local=SRC, target={"d": Dir()}),
    Case("into-directory-slash", "src=f.txt dest={t}/d/", local=SRC, target={"d": Dir()}),
    Case("into-directory-same", "src=f.txt dest={t}/d", local=SRC, target={"d/f.txt": File("hello\n")}),
    Case("into-new-directory", "src=f.txt dest={t}/d/", local=SRC),
    Case("into-new-directories", "src=f.txt dest={t}/d/e/f/ directory_mode=0700", local=SRC),
    Case("into-new-directories-2", "src=f.txt dest={t}/d/e/ directory_mode=u=rwx,go= mode=0600", local=SRC),
    Case("into-new-directory-owned", "src=f.txt dest={t}/d/e/ owner=nobody group=nogroup", local=SRC, users=("root",)),
    Case("missing-parent", "src=f.txt dest={t}/nope/out", local=SRC),
    Case("missing-parents", "src=f.txt dest={t}/nope/deep/out", local=SRC, users=("user",)),
    Case("relative", "src=f.txt dest=t/out", local=SRC),
    Case("home", "src=f.txt dest=~/t/out", local=SRC, users=("user",)),
    Case("variable", "src=f.txt dest=$HOME/t/out", local=SRC, users=("user",)),
    Case("variables of nobody", {"src": "f.txt", "dest": "{t}/a$b$o$p"}, local=SRC, users=("user",)),
    Case("doubled-slash", "src=f.txt dest={t}//d/../out", local=SRC, target={"d": Dir()}, users=("user",)),
    Case("directory-in-the-way", "src=f.txt dest={t}/d", local=SRC, target={"d/f.txt": Dir()}),
    Case("file-with-slash", "src=f.txt dest={t}/out/", local=SRC, target=OLD),
    Case("below-a-file", "src=f.txt dest={t}/out/x", local=SRC, target=OLD),
    Case("fifo", "src=f.txt dest={t}/out", local=SRC, target={"out": Fifo()}, users=("user",)),
    Case("not-writable", "src=f.txt dest={t}/d/out", local=SRC, target={"d": Dir(0o555)}),
    Case("not-writable-file", "src=f.txt dest={t}/d/out", local=SRC, target={"d": Dir(0o555), "d/out": File("old")}),
    Case("not-enterable", "src=f.txt dest={t}/d/out", local=SRC, target={"d/out": File("old"), "d": Dir(0o600)}),
    Case("unwritable-file", "src=f.txt dest={t}/out", local=SRC, target={"out": File("old", 0o444)}),
    Case("unreadable-file", "src=f.txt dest={t}/out", local=SRC, target={"out": File("old", 0o000)}),
]
LINKS = [
    Case("link", "src=f.txt dest={t}/l", local=SRC, target={**OLD, "l": Link("out")}),
    Case("link-same", "src=f.txt dest={t}/l", local=SRC, target={**SAME, "l": Link("out")}),
    Case("link-follow", "src=f.txt dest={t}/l follow=yes", local=SRC, target={**OLD, "l": Link("out")}),
    Case("link-follow-same", "src=f.txt dest={t}/l follow=yes", local=SRC, target={**SAME, "l": Link("out")}),
    Case("link-same-mode", "src=f.txt dest={t}/l mode=0600", local=SRC, target={**SAME, "l": Link("out")}),
    Case("link-follow-mode", "src=f.txt dest={t}/l follow=1 mode=0600", local=SRC, target={**SAME, "l": Link("out")}),
    Case("link-directory", "src=f.txt dest={t}/l", local=SRC, target={"d": Dir(), "l": Link("d")}),
    Case("link-directory-follow", "src=f.txt dest={t}/l follow=yes", local=SRC, target={"d": Dir(), "l": Link("d")}),
    Case("link-dangling", "src=f.txt dest={t}/l", local=SRC, target={"l": Link("out")}),
    Case("link-dangling-follow", "src=f.txt dest={t}/l follow=yes", local=SRC, target={"l": Link("out")}),
    Case("link-dangling-far", "src=f.txt dest={t}/l follow=yes", local=SRC, target={"l": Link("no/out")}),
    Case("link-force-no", "src=f.txt dest={t}/l force=no", local=SRC, target={"l": Link("out")}),
    Case("local-link", "src=l dest={t}/out", local={**SRC, "l": Link("f.txt")}),
    Case("local-link-no", "src=l dest={t}/out local_follow=no", local={**SRC, "l": Link("f.txt")}),
    Case("local-link-into", "src=l dest={t}/ local_follow=no", local={**SRC, "l": Link("f.txt")}, users=("user",)),
    Case("local-no-link", "src=f.txt dest={t}/out local_follow=no", local=SRC, users=("user",)),
]
RIGHTS = [
    Case("mode", "src=f.txt dest={t}/out mode=0640", local=SRC),
    Case("mode-same", "src=f.txt dest={t}/out mode=0604", local=SRC, target=SAME),
    Case("mode-alone", "src=f.txt dest={t}/out mode=0600", local=SRC, target=SAME),
    Case("mode-number", {"src": "f.txt", "dest": "{t}/out", "mode": 0o751}, local=SRC, users=("user",)),
    Case("mode-number-decimal", {"src": "f.txt", "dest": "{t}/out", "mode": 644}, local=SRC, users=("user",)),
    Case("mode-special", "src=f.txt dest={t}/out mode=6755", local=SRC, users=("user",)),
    Case("mode-short", "src=f.txt dest={t}/out mode=640", local=SRC, users=("user",)),
    Case("mode-symbolic", "src=f.txt dest={t}/out mode=u=rw,g=,o=", local=SRC, target=SAME),
    Case("mode-symbolic-new", "src=f.txt dest={t}/out mode=u+x,g-r", local=SRC),
    Case("mode-symbolic-changed", "src=f.txt dest={t}/out mode=a+X,o-r", local=SRC, target=OLD),
    Case("mode-nobody-named", "src=f.txt dest={t}/out mode=+w", local=SRC, target=OLD, users=("user",)),
    Case("mode-preserve", "src=f.txt dest={t}/out mode=preserve", local={"f.txt": File("hello\n", 0o711)}),
    Case("mode-preserve-same", "src=f.txt dest={t}/out mode=preserve", local=SRC, target=SAME, users=("user",)),
    Case("mode-preserve-content", "content=x dest={t}/out mode=preserve", users=("user",)),
    Case("mode-unreadable", "src=f.txt dest={t}/out mode=0", local=SRC, users=("user",)),
    Case("mode-empty", {"src": "f.txt", "dest": "{t}/out", "mode": ""}, local=SRC, users=("user",)),
    Case("owner", "src=f.txt dest={t}/out owner=nobody group=nogroup", local=SRC),
    Case("owner-number", "src=f.txt dest={t}/out owner=65534 group=1", local=SRC, users=("root",)),
    Case("owner-number-unknown", "src=f.txt dest={t}/out owner=54321 group=54321", local=SRC, users=("root",)),
    Case("owner-same", "src=f.txt dest={t}/out owner=root", local=SRC, target={"out": File("hello\n", owner="root")}),
    Case("owner-alone", "src=f.txt dest={t}/out owner=nobody", local=SRC, target=SAME),
    Case("owner-changed", "src=f.txt dest={t}/out owner=nobody", local=SRC, target=OLD),
    Case("owner-unknown", "src=f.txt dest={t}/out owner=nosuch", local=SRC),
    Case("owner-unknown-changed", "src=f.txt dest={t}/out owner=nosuch", local=SRC, target=OLD, users=("user",)),
    Case("owner-unknown-same", "src=f.txt dest={t}/out owner=nosuch", local=SRC, target=SAME, users=("user",)),
    Case("group-alone", "src=f.txt dest={t}/out group=nogroup", local=SRC, target=SAME),
    Case("group-unknown", "src=f.txt dest={t}/out group=nosuch", local=SRC, target=OLD),
    Case("attributes", "src=f.txt dest={t}/out attributes=+A", local=SRC),
    Case("attributes-alias", "src=f.txt dest={t}/out attr=A mode=0600", local=SRC, target=SAME, users=("root",)),
    Case("selinux", "src=f.txt dest={t}/out setype=etc_t seuser=_default selevel=s0", local=SRC, users=("user",)),
    Case("selinux-same", "src=f.txt dest={t}/out setype=etc_t serole=_default", local=SRC, target=SAME),
    Case("unsafe-writes", "src=f.txt dest={t}/out unsafe_writes=yes", local=SRC, target=OLD, users=("user",)),
    Case("unsafe-writes-new", "src=f.txt dest={t}/out unsafe_writes=yes mode=0600", local=SRC, users=("user",)),
]
KEPT = [
    Case("backup", "src=f.txt dest={t}/out backup=yes", local=SRC, target=OLD),
    Case("backup-same", "src=f.txt dest={t}/out backup=yes", local=SRC, target=SAME, users=("user",)),
    Case("backup-new", "src=f.txt dest={t}/out backup=yes", local=SRC, users=("user",)),
    Case("backup-mode", "src=f.txt dest={t}/out backup=yes mode=0600", local=SRC, target=OLD, users=("user",)),
    Case(
        "backup-of-another",
        "src=f.txt dest={t}/o backup=1",
        local=SRC,
        target={"o": File("o", owner="nobody")},
        users=("root",),
    ),
    Case("backup-link", "src=f.txt dest={t}/l backup=yes", local=SRC, target={**OLD, "l": Link("out")}),
    Case("force-no", "src=f.txt dest={t}/out force=no", local=SRC, target=OLD),
    Case("force-no-same", "src=f.txt dest={t}/out force=no mode=0600", local=SRC, target=SAME, users=("user",)),
    Case("force-no-new", "src=f.txt dest={t}/out force=no", local=SRC, users=("user",)),
    Case(
        "force-no-content", "content=x dest={t}/out force=no", target=OLD, users=("user",), ignore=("src",)
    ),  # the controller's own temporary file
    Case("force-no-directory", "src=f.txt dest={t}/d force=no", local=SRC, target={"d": Dir()}, users=("user",)),
    Case(
        "checksum",
        "src=f.txt dest={t}/out checksum=f572d396fae9206628714fb2ce00f72e94f2258f",
        local=SRC,
        users=("user",),
    ),
    Case("checksum-wrong", "src=f.txt dest={t}/out checksum=abc", local=SRC, target=OLD),
    Case("checksum-wrong-same", "src=f.txt dest={t}/out checksum=abc", local=SRC, target=SAME, users=("user",)),
    Case("validate", {"src": "f.txt", "dest": "{t}/out", "validate": "grep -q hello %s"}, local=SRC, target=OLD),
    Case("validate-mode", "src=f.txt dest={t}/out validate='test -f %s' mode=0600", local=SRC, users=("user",)),
    Case(
        "validate-fails",
        {"src": "f.txt", "dest": "{t}/out", "validate": "sh -c 'echo no; echo why >&2; exit 7' %s"},
        local=SRC,
        target=OLD,
    ),
    Case("validate-missing", "src=f.txt dest={t}/out validate='/nope %s'", local=SRC, users=("user",)),
    Case("validate-no-place", "src=f.txt dest={t}/out validate=/bin/true", local=SRC, target=OLD, users=("user",)),
    Case("validate-same", "src=f.txt dest={t}/out validate='/bin/false %s'", local=SRC, target=SAME, users=("user",)),
]
CHECKS = [
    Case("check-new", "src=f.txt dest={t}/out", local=SRC, check=True),
    Case("check-same", "src=f.txt dest={t}/out", local=SRC, target=SAME, check=True),
    Case("check-changed", "src=f.txt dest={t}/out mode=0600 backup=yes", local=SRC, target=OLD, check=True),
    Case("check-content", "content=x dest={t}/out", target=OLD, check=True, users=("user",)),
    Case("check-mode", "src=f.txt dest={t}/out mode=0600", local=SRC, target=SAME, check=True),
    Case("check-owner", "src=f.txt dest={t}/out owner=nobody", local=SRC, target=SAME, check=True),
    Case("check-owner-unknown", "src=f.txt dest={t}/o owner=nosuch", local=SRC, check=True, users=("user",)),
    Case("check-owner-unknown-same", "src=f.txt dest={t}/out owner=nosuch", local=SRC, target=SAME, check=True),
    Case("check-directory", "src=f.txt dest={t}/d/", local=SRC, check=True, users=("user",)),
    Case("check-into", "src=f.txt dest={t}/d", local=SRC, target={"d": Dir()}, check=True, users=("user",)),
    Case("check-missing-parent", "src=f.txt dest={t}/nope/out", local=SRC, check=True, users=("user",)),
    Case("check-force-no", "src=f.txt dest={t}/out force=no", local=SRC, target=OLD, check=True, users=("user",)),
    Case("check-validate", "src=f.txt dest={t}/out validate='false %s'", local=SRC, check=True, users=("user",)),
    Case("check-fifo", "src=f.txt dest={t}/out", local=SRC, target={"out": Fifo()}, check=True, users=("user",)),
    Case("check-not-writable", "src=f.txt dest={t}/d/o", local=SRC, target={"d": Dir(0o555)}, check=True),
    Case("check-checksum", "src=f.txt dest={t}/out checksum=abc", local=SRC, check=True, users=("user",)),
    Case("check-follow", "src=f.txt dest={t}/l follow=1", local=SRC, target={**OLD, "l": Link("out")}, check=True),
]
DIFFS = [
    Case("diff-new", "src=f.txt dest={t}/out", local=SRC, diff=True),
    Case("diff-same", "src=f.txt dest={t}/out", local=SRC, target=SAME, diff=True),
    Case("diff-changed", "src=f.txt dest={t}/out mode=0600", local=SRC, target=OLD, diff=True),
    Case("diff-check", "src=f.txt dest={t}/out", local=SRC, target=OLD, check=True, diff=True),
    Case("diff-check-new", "src=f.txt dest={t}/out", local=SRC, check=True, diff=True, users=("user",)),
    Case("diff-mode", "src=f.txt dest={t}/out mode=0600", local=SRC, target=SAME, diff=True),
    Case("diff-mode-check", "src=f.txt dest={t}/out mode=0600", local=SRC, target=SAME, diff=True, check=True),
    Case("diff-owner", "src=f.txt dest={t}/out owner=nobody group=nogroup", local=SRC, target=SAME, diff=True),
    Case("diff-content", "content=x dest={t}/out", target=OLD, diff=True, users=("user",)),
    Case("diff-content-new", "content=x dest={t}/out", diff=True, users=("user",)),
    Case("diff-binary", "src=f.txt dest={t}/o", local={"f.txt": File(b"a\0b")}, target={"o": File(b"\0")}, diff=True),
    Case("diff-binary-old", "src=f.txt dest={t}/o", local=SRC, target={"o": File(b"\0")}, diff=True, users=("user",)),
    Case("diff-large", "src=f dest={t}/o", local={"f": File(LARGE)}, target={"o": File(LARGE + "x")}, diff=True),
    Case("diff-largest", "src=f dest={t}/o", local={"f": File(LARGE[1:])}, target=OLD, diff=True, users=("user",)),
    Case("diff-into", "src=f.txt dest={t}/d/", local=SRC, target={"d/f.txt": File("old\n")}, diff=True),
    Case("diff-link", "src=f.txt dest={t}/l", local=SRC, target={**OLD, "l": Link("out")}, diff=True),
    Case("diff-follow", "src=f.txt dest={t}/l follow=1", local=SRC, target={**OLD, "l": Link("out")}, diff=True),
    Case("diff-force-no", "src=f.txt dest={t}/out force=no", local=SRC, target=OLD, diff=True, users=("user",)),
    Case("diff-unreadable", "src=f.txt dest={t}/out", local=SRC, target={"out": File("old", 0)}, diff=True),
    Case("diff-fails", "src=f.txt dest={t}/out owner=nosuch", local=SRC, target=OLD, diff=True, users=("user",)),
    Case("diff-backup", "src=f.txt dest={t}/out backup=yes", local=SRC, target=OLD, diff=True, users=("user",)),
]
REFUSED = [
    Case("no-arguments", users=("user",)),
    Case("no-source", "dest={t}/out", users=("user",)),
    Case("no-destination", "src=f.txt", local=SRC, users=("user",)),
    Case("empty-source", {"src": "", "dest": "{t}/out"}, users=("user",)),
    Case("empty-destination", {"src": "f.txt", "dest": ""}, local=SRC, users=("user",)),
    Case("both", "src=f.txt content=x dest={t}/out", local=SRC, users=("user",)),
    Case("unknown", "src=f.txt dest={t}/out bogus=1", local=SRC, users=("user",)),
    Case("mode-wrong", "src=f.txt dest={t}/out mode=rwx", local=SRC, target=SAME, users=("user",)),
    Case("mode-wrong-octal", "src=f.txt dest={t}/out mode=0899", local=SRC, target=SAME, users=("user",)),
    Case("missing", "src=nope.txt dest={t}/out", users=("user",)),
    Case("missing-absolute", "src=/nope/nope.txt dest={t}/out", users=("user",)),
    Case("vault", "src=v dest={t}/out", local={"v": File(VAULT)}, users=("user",)),
    Case("vault-as-it-is", "src=v dest={t}/out decrypt=no", local={"v": File(VAULT)}, users=("user",)),
]
NAMES = [
    Case(
        f"name-{word}",
        {"src": name, "dest": "{t}/d"},
        local={name: File("x")},
        target={"d": Dir()},
        users=("user",),
        ignore=(
            "src",
            "warnings",
        ),  # temporary names with the file's extension; what Ansible's sftp has with such names
    )
    for word, name in {
        "space": "a b",
        "quotes": 'it\'s "q"',
        "newline": "a\nb",
        "newline-end": "a\n",
        "dash": "-n",
        "utf8": "grüße",
        "shell": "$(id);`x`*",
        "backslash": "a\\b",
        "percent": "%s",
        "hidden": ".hidden",
        "extension": "a.b'c d",
    }.items()
] + [
    Case(f"place-{word}", {"content": "x", "dest": f"{{t}}/{name}"}, users=("user",))
    for word, name in {
        "space": "a b",
        "quotes": 'it\'s "q"',
        "newline": "a\nb\n",
        "utf8": "grüße",
        "shell": "$(id);`x`*",
        "unset": "$UNSET_/${UNSET_}",
        "backslash": "a\\b",
        "trailing-space": "a ",
    }.items()
]
CASES = [*WRITES, *CONTENTS, *PLACES, *LINKS, *RIGHTS, *KEPT, *CHECKS, *DIFFS, *REFUSED, *NAMES]

test_copy = judged("copy", CASES)
