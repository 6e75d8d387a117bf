"""Modules of Ansible that this project does not have itself, beside the same ones run by real Ansible."""

from __future__ import annotations

from tests.oracle.case import Case, Dir, File, Link
from tests.oracle.judge import judged

CONF = "a = 1\nb = 2\n# end\n"
HOSTS = "127.0.0.1 localhost\n10.0.0.1 old\n"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2nG8kzc0v3y6yv5B1wYmQ8bq4kE5m9m1m0v8mDkq3h"
HOSTILE = 'it\'s "$HOME" `id` \\n {x} é\t* #'

LINEINFILE = [
    Case("add", "path={t}/f line='c = 3'", target={"f": File(CONF)}),
    Case("is there already", "path={t}/f line='b = 2'", target={"f": File(CONF)}),
    Case("alias", "dest={t}/f line='c = 3'", target={"f": File(CONF, 0o600)}),
    Case("regexp", r"path={t}/f regexp='^b\s*=' line='b = 9'", target={"f": File(CONF)}, diff=True),
    Case("insertafter", {"path": "{t}/f", "line": "x", "insertafter": "^a"}, target={"f": File(CONF)}),
    Case(
        "backrefs",
        {"path": "{t}/f", "regexp": "^(a) = 1", "line": r"\1 = 7", "backrefs": True},
        target={"f": File(CONF)},
    ),
    Case("absent", "path={t}/f regexp=^b state=absent", target={"f": File(CONF)}, diff=True),
    Case("backup", "path={t}/f line=x backup=yes", target={"f": File(CONF)}, users=("user",), ignore=("tree",)),
    Case("create", "path={t}/n line=x create=yes mode=0640"),
    Case("no such file", "path={t}/n line=x"),
    Case("no such directory", "path={t}/no/n line=x create=yes", check=True),
    Case("directory", "path={t} line=x"),
    Case("check", "path={t}/f line=x", target={"f": File(CONF)}, check=True),
    Case("check and diff", "path={t}/f line=x", target={"f": File(CONF)}, check=True, diff=True),
    Case("validate refuses", "path={t}/f line=x validate='/bin/false %s'", target={"f": File(CONF)}),
    Case("symbolic link", "path={t}/l line=x", target={"f": File(CONF), "l": Link("{t}/f")}),
    Case("hostile text", {"path": "{t}/a 'b' $c", "line": HOSTILE, "create": True}),
    Case("leading dash", {"path": "{t}/-f", "line": "-n", "create": True}, users=("user",)),
    Case("home", "path=~/t/f line=x", target={"f": File(CONF)}, users=("user",)),
    Case("owner", "path={t}/f line=x owner=nosuchuser", target={"f": File(CONF)}),
    Case("unknown parameter", "path={t}/f line=x bogus=1"),
    Case("missing parameter", "line=x"),
    Case("missing and unknown", "bogus=1", users=("user",)),
    Case("exclusive", "path={t}/f line=x insertafter=a insertbefore=b", target={"f": File(CONF)}),
    Case("bad choice", "path={t}/f line=x state=maybe", target={"f": File(CONF)}),
    Case("two files of a name", {"path": "{t}/f", "dest": "{t}/g", "line": "x"}, users=("user",)),
    Case("no line", "path={t}/f", target={"f": File(CONF)}, users=("user",)),
    Case("full name", "path={t}/f line=x", module="ansible.builtin.lineinfile", target={"f": File(CONF)}),
    Case("legacy name", "path={t}/f line=x", module="ansible.legacy.lineinfile", users=("user",)),
    Case("unreadable", "path={t}/f line=x", target={"f": File(CONF, 0o600, "root")}, users=("user",)),
    Case("null", {"path": "{t}/f", "line": "x", "mode": None}, target={"f": File(CONF)}, users=("user",)),
    Case(
        "expression",
        "path={t}/f line='{{ word }}'",
        target={"f": File(CONF)},
        variables={"word": "two words=1"},
        users=("user",),
    ),
]

OTHERS = [
    Case("block", {"path": "{t}/f", "block": "one\ntwo"}, "blockinfile", {"f": File(CONF)}, diff=True),
    Case(
        "block with marks",
        {"path": "{t}/f", "block": "x", "marker": "; {mark}", "insertbefore": "BOF"},
        "blockinfile",
        {"f": File(CONF)},
    ),
    Case("no block", {"path": "{t}/f", "block": ""}, "blockinfile", {"f": File(CONF)}, users=("user",)),
    Case("replace", {"path": "{t}/f", "regexp": r"(\w) = \d", "replace": r"\1 = 0"}, "replace", {"f": File(CONF)}),
    Case("nothing to replace", "path={t}/f regexp=zz replace=y", "replace", {"f": File(CONF)}, check=True),
    Case("find", "paths={t} recurse=yes", "find", {"d/x": File("x", mtime=10**9)}, ignore=("files",)),
    Case("find a glob", "paths={t} patterns=*.conf file_type=any", "find", {"a.txt": File(), "d": Dir()}),
    Case("find nowhere", "paths={t}/no,{t}", "find"),
    Case("tempfile", "state=directory path={t} suffix=x", "tempfile", ignore=("path", "tree")),
    Case("tempfile in check mode", "", "tempfile", check=True),
    Case("getent", "database=passwd key=root", "getent"),
    Case("getent of nothing", "database=passwd key=nosuch", "getent"),
    Case("getent lenient", "database=passwd key=nosuch fail_key=no", "getent", users=("user",)),
    Case("getent of no database", "database=nosuch", "getent", users=("user",)),
    Case("user in check mode", "name=sshexecnew comment='a b' create_home=no", "user", check=True, users=("root",)),
    Case("a password is no text", {"name": "root", "password": "s3cret"}, "user", check=True),
    Case("group in check mode", "name=sshexecnew system=yes", "group", check=True),
    Case("known host", {"name": "h", "key": f"h {KEY}", "path": "{t}/known"}, "known_hosts", {"known": File("")}),
    Case("no known host", "name=h state=absent path={t}/known", "known_hosts", {"known": File(f"h {KEY}\n")}),
    Case("cron in check mode", "name=x job=/bin/true minute=5 user=root", "cron", check=True, users=("root",)),
    Case("cron without a name", "job=/bin/true", "cron"),
    Case("download", {"url": "file://{t}/f", "dest": "{t}/g"}, "get_url", {"f": File(CONF)}, users=("user",)),
    Case("hostname in check mode", "name=another", "hostname", check=True, users=("root",)),
    Case("wait for a file", "path={t}/f timeout=3", "wait_for", {"f": File()}, ignore=("elapsed",)),
    Case("wait in vain", "path={t}/no timeout=1 msg=gone", "wait_for", ignore=("elapsed",), users=("user",)),
    Case("services", "", "service_facts", users=("root",)),
    Case("packages", "", "package_facts", ignore=("ansible_facts",), users=("user",)),
    Case("apt in check mode", "name=nosuchpackage", "apt", check=True, users=("root",), ignore=("warnings",)),
    Case("expect", "command=/bin/true responses={}", "expect", users=("user",)),
    Case("no repository", "repo=/nonexistent dest={t}/g", "git", users=("user",)),
    Case("fragments", "src={t}/d dest={t}/out", "assemble", {"d/1": File("one\n"), "d/2": File("two\n")}),
    Case("no fragments", "src={t}/no dest={t}/out", "assemble"),
    Case("nobody answers", "url=http://127.0.0.1:1/ timeout=2", "uri", ignore=("elapsed",)),
    Case("uri in check mode", "url=http://127.0.0.1:1/", "uri", check=True),
    Case("archive that exists", "src={t}/a.tar dest={t} remote_src=yes creates={t}/f", "unarchive", {"f": File()}),
    Case("archive to nowhere", "src={t}/a.tar dest={t}/no remote_src=yes", "unarchive"),
    Case("no archive", "src={t}/a.tar dest={t} copy=no", "unarchive"),
    Case("dnf", "name=x use_backend=dnf4", "dnf", users=("user",)),
    Case("environment", "paths=$PLACE", "find", keywords={"environment": {"PLACE": "/nonexistent"}}),
    Case(
        "no such python",
        "database=passwd",
        "getent",
        variables={"ansible_python_interpreter": "/usr/bin/nopython"},
        users=("user",),
        # The shell's own words begin with the number of the line.
        ignore=("module_stderr",),
    ),
]

test_lineinfile = judged("lineinfile", LINEINFILE)
test_others = judged("", OTHERS)
