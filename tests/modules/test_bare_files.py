"""What reads and changes a host's files and tells about the host, where there is nothing but busybox."""

from __future__ import annotations

import base64
import hashlib
import os
import stat
from pathlib import Path

import pytest

from tests.chroot import USER
from tests.modules.bare import CONTENT, HOSTILE, Target, named

# None of them cares for SFTP.
TARGETS = [("chroot", False, USER), ("chroot", False, "root"), ("usr", False, USER)]
pytestmark = pytest.mark.parametrize("bare_target", TARGETS, indirect=True, ids=named)


def bits(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("name", HOSTILE)
def test_files_of_hostile_names(target: Target, name: str) -> None:
    """A directory, a file in it, a link to it and a hard link are made, are there already, and are removed again."""
    place, there = f"{{t}}/{name}", target.outside / name
    tasks = [
        {"path": place, "state": "directory", "mode": "u=rwx,go="},
        {"path": f"{place}/{name}", "state": "touch", "modification_time": "preserve", "access_time": "preserve"},
        {"path": f"{place}/link", "state": "link", "src": f"./{name}"},
        {"path": f"{place}/hard", "state": "hard", "src": f"{place}/{name}"},
        {"path": place, "state": "directory", "recurse": True, "mode": "g+rX"},
        {"path": f"{place}/link", "state": "absent"},
    ]
    for task in tasks:
        result = target.run("file", task)
        assert (result.get("failed"), result["changed"]) == (None, True), result
        assert target.calls == ["execute"]
        assert target.run("file", task)["changed"] is False
    assert sorted(path.name for path in there.iterdir()) == sorted(["hard", name])
    assert (there / name).samefile(there / "hard")
    assert (bits(there), bits(there / name)) == (0o750, 0o644)
    assert target.run("file", {"path": place, "state": "absent"})["changed"] is True
    assert list(target.outside.iterdir()) == []
    assert target.run("file", {"path": place, "state": "absent"})["changed"] is False


@pytest.mark.parametrize(
    "args",
    [
        "path={t}/x state=directory mode=0700",
        "path={t}/x state=touch",
        "path={t}/x state=link src=f",
        "path={t}/x state=hard src={t}/f",
        "path={t}/f state=absent",
        "path={t}/f mode=0600",
        "path={t} state=directory recurse=yes mode=0755",
    ],
)
def test_check_changes_nothing(target: Target, args: str) -> None:
    path = target.write("f")
    before = path.stat()
    assert target.run("file", args, check=True)["changed"] is True
    assert list(target.outside.iterdir()) == [path]
    assert path.stat() == before
    assert target.run("file", args)["changed"] is True
    assert list(target.outside.iterdir()) != [path] or path.stat().st_mode != before.st_mode


def test_a_file_tells_what_it_is(target: Target) -> None:
    target.write("f", b"12345", 0o640)
    result = target.run("file", "path={t}/f mode=u+x,g-r owner={who} group={who}", diff=True)
    told = {"changed": True, "path": f"{target.t}/f", "state": "file", "mode": "0700", "size": 5, "uid": target.uid}
    told |= {"gid": target.uid, "owner": target.who, "group": target.who}
    assert {name: result.get(name) for name in told} == told
    changes = {when: result["diff"][when]["mode"] for when in ("before", "after")}
    assert changes == {"before": "0640", "after": "0700"}
    assert bits(target.outside / "f") == 0o700


def test_times_are_set(target: Target) -> None:
    path = target.write("f")
    args = "path={t}/f modification_time=202001020304.05 access_time=202101020304.05"
    assert target.run("file", args)["changed"] is True
    assert (path.stat().st_mtime, path.stat().st_atime) == (1577934245, 1609556645)
    assert target.run("file", args)["changed"] is False
    assert target.run("file", "path={t}/f state=touch")["changed"] is True
    assert path.stat().st_mtime > 1_700_000_000


def test_a_deep_tree_is_set_and_removed(target: Target) -> None:
    for number in range(200):
        target.write(f"d/{number % 7}/{number % 5}/f {number}", mode=0o600)
    assert target.run("file", "path={t}/d state=directory recurse=yes mode=a+rX")["changed"] is True
    assert target.calls == ["execute"]
    modes = {bits(path) for path in (target.outside / "d").rglob("*") if path.is_file()}
    assert modes == {0o644}
    assert target.run("file", "path={t}/d state=directory recurse=yes mode=a+rX")["changed"] is False
    assert target.run("file", "path={t}/d state=absent")["changed"] is True
    assert target.calls == ["execute"]
    assert not (target.outside / "d").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("path={t}/x state=file", "file ({t}/x) is absent, cannot continue"),
        ("path={t}/f owner=nosuch", "chown failed: failed to look up user nosuch"),
        ("path={t}/f group=nosuch", "chgrp failed: failed to look up group nosuch"),
        ("path={t}/x state=link", "src is required for creating new symlinks"),
    ],
)
def test_what_can_not_be(target: Target, args: str, message: str) -> None:
    target.write("f")
    result = target.run("file", args)
    assert (result.get("failed"), result["msg"]) == (True, target.filled(message)), result


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_within_a_host(target: Target, name: str) -> None:
    """A file and a directory of each name are copied there, in one round trip each, and again where nothing differs."""
    target.write(f"{name}/{name}")
    for src, dest, made in ((f"{name}/{name}", "to", name), (name, "to/tree", f"{name}/{name}")):
        args = {"src": f"{{t}}/{src}", "dest": f"{{t}}/{dest}/", "remote_src": True}
        result = target.run("copy", args)
        assert result["changed"] is True, result
        assert (target.outside / dest / made).read_bytes() == CONTENT
        assert target.calls == ["execute"]
        assert target.run("copy", args)["changed"] is False


@pytest.mark.parametrize("name", HOSTILE)
def test_slurp_of_hostile_names(target: Target, name: str) -> None:
    target.write(name)
    result = target.run("slurp", {"src": f"{{t}}/{name}"})
    assert base64.b64decode(result["content"]) == CONTENT, result
    shown = f"{target.t}/{name}".encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    assert (result["encoding"], result["source"], result["changed"]) == ("base64", shown, False)
    assert target.calls == ["execute"]


@pytest.mark.parametrize(
    ("src", "message"),
    [
        ("{t}/nope", "File not found: {t}/nope"),
        ("{t}", "Source is a directory and must be a file: {t}"),
    ],
)
def test_slurp_of_what_is_no_file(target: Target, src: str, message: str) -> None:
    result = target.run("slurp", {"src": src})
    assert (result["failed"], result["msg"]) == (True, target.filled(message))


def test_slurp_of_what_only_root_may_read(target: Target) -> None:
    result = target.run("slurp", "src=/etc/shadow")
    if target.who == USER:
        assert (result["failed"], result["msg"]) == (True, "File is not readable: /etc/shadow")
    else:
        assert base64.b64decode(result["content"]).startswith(b"root:$6$")


def test_slurp_of_an_empty_and_of_a_large_file(target: Target) -> None:
    for content in (b"", CONTENT * 100_000):
        target.write("f", content)
        assert base64.b64decode(target.run("slurp", "src={t}/f")["content"]) == content


ALPINE = 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.3\nPRETTY_NAME="Alpine Linux v3.20"\n'


def test_facts(target: Target) -> None:
    bare = target.host.kind == "chroot"
    if bare:
        target.host.outside("/etc/os-release").write_text(ALPINE)
    result = target.run("setup")
    assert target.calls == ["execute"]
    assert result["changed"] is False
    facts = {name.removeprefix("ansible_"): value for name, value in result["ansible_facts"].items()}
    told = {"hostname": USER, "nodename": USER, "system": "Linux", "user_id": target.who, "kernel": os.uname().release}
    told |= {"user_dir": target.host.home(target.who), "processor_nproc": len(os.sched_getaffinity(0))}
    if bare:
        told |= {"distribution": "Alpine", "distribution_version": "3.20.3", "os_family": "Alpine"}
    assert {name: facts[name] for name in told} == told
    assert ("python_version" in facts) is not bare
    assert facts["memtotal_mb"] > 0
    assert facts["date_time"]["epoch"].isdigit()
    assert "lo" in facts["interfaces"]


def test_a_part_of_the_facts(target: Target) -> None:
    result = target.run("setup", {"gather_subset": ["!all", "network"], "filter": ["ansible_hostname", "all_ipv4*"]})
    names = {name for name in result["ansible_facts"] if name.startswith("ansible_")}
    assert names == {"ansible_all_ipv4_addresses", "ansible_hostname"}


@pytest.mark.parametrize("name", HOSTILE)
def test_stat_of_hostile_names(target: Target, name: str) -> None:
    path = target.write(name, mode=0o4640)
    found = target.run("stat", {"path": f"{{t}}/{name}"})["stat"]
    assert target.calls == ["execute"]
    status = path.stat()
    told = {"exists": True, "isreg": True, "islnk": False, "mode": "4640", "isuid": True, "xusr": False}
    told |= {"size": len(CONTENT), "uid": target.uid, "pw_name": target.who, "gr_name": target.who}
    told |= {"checksum": hashlib.sha1(CONTENT).hexdigest(), "inode": status.st_ino, "nlink": 1, "readable": True}
    told |= {"path": f"{target.t}/{name}".encode("utf-8", "surrogateescape").decode("utf-8", "replace")}
    assert {each: found.get(each) for each in told} == told
    assert int(found["mtime"]) == int(status.st_mtime)
    (target.outside / "link").symlink_to(path.name)
    found = target.run("stat", "path={t}/link")["stat"]
    assert (found["islnk"], found["lnk_source"], "checksum" in found) == (True, told["path"], False)
    assert target.run("stat", "path={t}/link follow=yes")["stat"]["checksum"] == told["checksum"]


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_stat_sums_as_it_is_told(target: Target, algorithm: str) -> None:
    target.write("f")
    found = target.run("stat", f"path={{t}}/f checksum_algorithm={algorithm}")["stat"]
    assert found["checksum"] == hashlib.new(algorithm, CONTENT).hexdigest()


def test_stat_of_other_kinds(target: Target) -> None:
    os.mkfifo(target.outside / "pipe")
    kinds = {"{t}/pipe": "isfifo", "{t}": "isdir", "/dev/null": "ischr", "{t}/f": None}
    for path, kind in kinds.items():
        found = target.run("stat", {"path": path})["stat"]
        assert found["exists"] is (kind is not None)
        assert kind is None or found[kind] is True
