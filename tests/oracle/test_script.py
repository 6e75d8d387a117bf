"""``script`` beside real Ansible's, without a pseudo-terminal."""

from __future__ import annotations

from tests.oracle.case import Case, Dir, File
from tests.oracle.judge import judged

USER = ("user",)
"""Where root adds nothing."""
SHOW = File('#!/bin/sh\nprintf "<%s>" "$@"; echo; echo err >&2\n', 0o644)
GO = {"go.sh": SHOW}
TREE = {"d": Dir(), "f": File("f")}

CASES = [
    Case("plain", "go.sh", local=GO),
    Case("arguments", "go.sh a 'b  c' \"d e\" $HOME x=1 \\* ~", local=GO),
    Case("cmd", {"cmd": "go.sh a; echo more"}, local=GO, users=USER),
    Case("name-with-spaces", "'my go.sh' a", local={"my go.sh": SHOW}, users=USER),
    Case("below-files", "go.sh a", local={"files/go.sh": SHOW, "go.sh": File("exit 9\n")}, users=USER),
    Case("absolute", "{l}/go.sh a", local=GO, users=USER),
    Case("full-name", "go.sh", module="ansible.builtin.script", local=GO, users=USER),
    Case("no-interpreter-line", "go.sh a", local={"go.sh": File("echo $# $1\n")}, users=USER),
    Case("executable", {"cmd": "go.sh a", "executable": "/bin/sh -e"}, users=USER,
         local={"go.sh": File("echo $1; false; echo no\n")}),
    Case("executable-missing", {"cmd": "go.sh", "executable": "/nope/sh"}, local=GO, users=USER,
         ignore=("stderr", "stderr_lines")),  # how the host's shell says so
    Case("interpreter-missing", "go.sh", local={"go.sh": File("#!/nope/sh\n")}, users=USER,
         ignore=("stderr", "stderr_lines")),
    Case("chdir", "go.sh chdir={t}/d", local={"go.sh": File("#!/bin/sh\npwd\n")}, target=TREE),
    Case("chdir-missing", "go.sh chdir={t}/nope", local=GO, users=USER, ignore=("stderr", "stderr_lines")),
    Case("chdir-relative", "go.sh chdir=etc", local=GO, users=USER),
    Case("creates-hit", "go.sh creates={t}/f", local=GO, target=TREE),
    Case("creates-miss", "go.sh creates={t}/nope", local=GO, target=TREE, users=USER),
    Case("creates-is-no-glob", "go.sh creates={t}/*", local=GO, target=TREE, users=USER),
    Case("creates-of-home", "go.sh creates=~/t/f", local=GO, target=TREE, users=USER),
    Case("removes-hit", "go.sh removes={t}/f", local=GO, target=TREE, users=USER),
    Case("removes-miss", "go.sh removes={t}/nope", local=GO, target=TREE, users=USER),
    Case("check", "go.sh", local=GO, check=True, users=USER),
    Case("check-creates-hit", "go.sh creates={t}/f", local=GO, target=TREE, check=True, users=USER),
    Case("check-creates-miss", "go.sh creates={t}/nope", local=GO, target=TREE, check=True, users=USER),
    Case("check-missing", "{l}/nope.sh creates={t}/nope", check=True, users=USER),
    Case("creates-hit-missing", "nope.sh creates={t}/f", target=TREE, users=USER),
    Case("non-zero", "go.sh", local={"go.sh": File("#!/bin/sh\necho o; exit 7\n")}, users=USER),
    Case("environment", "go.sh", local={"go.sh": File("#!/bin/sh\necho \"$A\"\n")},
         keywords={"environment": {"A": "a 'b' $HOME"}}),
    Case("not-stripped", "go.sh", local={"go.sh": File("printf '\\n a \\n\\n'\n")}, users=USER),
    Case("binary", "go.sh", users=USER,
         local={"go.sh": File(b"#!/bin/sh\ntail -c 3 $0 | od -An -tx1; exit\n\0\xff\xfe")}),
    Case("missing-file", "nope.sh", users=USER),
    Case("missing-below-files", "sub/nope.sh", users=USER),
    Case("not-utf8", "bytes.sh", local={"bytes.sh": File("#!/bin/sh\nprintf 'a\\377b'\n", 0o755)}, users=USER),
    Case("missing-file-absolute", "{l}/nope.sh a", users=USER),
    Case("missing-file-at-home", "~/nope/nope.sh", users=USER),
    Case("directory", "d", local={"d": Dir()}, users=USER),
    Case("vault", "go.sh", local={"go.sh": File("$ANSIBLE_VAULT;1.1;AES256\n3132\n")}, users=USER),
    Case("unknown", {"cmd": "go.sh", "bogus": 1}, local=GO, users=USER),
    Case("unknown-lifted", "go.sh stdin=a", local=GO, users=USER),
    Case("decrypt", {"cmd": "go.sh", "decrypt": False}, local=GO, users=USER),
    Case("exclusive", {"_raw_params": "go.sh", "cmd": "go.sh"}, local=GO, users=USER),
    Case("missing", {"chdir": "/"}, users=USER),
    Case("unbalanced", {"cmd": "go.sh 'a"}, local=GO, users=USER),
]  # fmt: skip

test_script = judged("script", CASES)
