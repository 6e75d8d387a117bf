"""``shell`` beside real Ansible's."""

from __future__ import annotations

from tests.oracle.case import Case, Dir, File
from tests.oracle.judge import judged

USER = ("user",)
"""Where root adds nothing."""
TREE = {"d": Dir(), "f": File("f"), "plain": File("x", 0o644)}

CASES = [
    Case("free-form", "echo $HOME; echo e >&2; echo $0"),
    Case("full-name", "echo hi | tr a-z A-Z", module="ansible.legacy.shell", users=USER),
    Case("words-and-quotes", "echo  'a  b'   \"c\" it\\'s a=b chdir={t} #c", users=USER),
    Case("cmd", {"cmd": "cd / && pwd"}, users=USER),
    Case("signal", "echo out; kill -9 $$", users=USER),
    Case("signal-term", "echo out; kill -TERM $$", users=USER),
    Case("not-utf8", "printf 'a\\377b\\n'", users=USER),
    Case("lines", {"cmd": "cat <<X\nline\n\nX\necho end\n"}, users=USER),
    Case("argv", {"argv": ["echo", "a  b", "$HOME", "it's"]}, users=USER),
    Case("executable", "echo $0 $BASH executable=/bin/bash", users=USER),
    Case("executable-missing", "echo 'hi' executable=/nope/sh", users=USER),
    Case("executable-not-executable", "echo executable={t}/plain", target=TREE, users=USER),
    Case("chdir", "pwd chdir={t}/d", target=TREE),
    Case("chdir-missing", "pwd chdir={t}/nope", users=USER),
    Case("creates-hit", "echo >{t}/new creates={t}/f*", target=TREE),
    Case("creates-miss", "echo >{t}/new creates={t}/x*", target=TREE, users=USER),
    Case("removes-miss", "rm {t}/f removes={t}/x", target=TREE, users=USER),
    Case("removes-hit", "rm {t}/f removes={t}/f", target=TREE, users=USER),
    Case("check", "echo >{t}/new", check=True, users=USER),
    Case("check-creates-miss", "echo >{t}/new creates={t}/x", target=TREE, check=True, users=USER),
    Case("stdin", {"cmd": "cat; echo end", "stdin": "a b"}),
    Case("stdin-no-newline", {"cmd": "cat; echo end", "stdin": "ab", "stdin_add_newline": "no"}, users=USER),
    Case("no-strip", "printf '\\n a \\n\\n' strip_empty_ends=no", users=USER),
    Case("non-zero", "echo o; (exit 4)"),
    Case("syntax-error", "echo )", users=USER, ignore=("stderr", "stderr_lines")),  # which shell it is, and its line
    Case("signal-of-a-child", "sh -c 'kill -9 $$'; echo $?", users=USER),
    Case("status-137", "exit 137", users=USER),
    Case("environment", "echo \"$A|$B\"", keywords={"environment": {"A": "a 'b' $HOME\n", "B": "é"}}),
    Case("expand-argument-vars", {"cmd": "echo", "expand_argument_vars": True}, users=USER),
    Case("unknown", {"cmd": "echo", "bogus": 1}, users=USER),
    Case("exclusive", {"cmd": "echo", "argv": ["echo"]}, users=USER),
    Case("missing", {"chdir": "/"}, users=USER),
    Case("blank", {"cmd": " "}, users=USER),
]  # fmt: skip

test_shell = judged("shell", CASES)
