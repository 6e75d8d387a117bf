"""Hosts that have nothing but busybox: a real sshd in a mount namespace of its own, whose sessions see no other tools.

Nothing of this machine changes: users, devices and mounts are the namespace's, and go with its last process.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from sshexec.connectors.posix import quote
from tests.testbed import SSHD, Sshd, lacking

Kind = Literal["chroot", "usr"]
"""``chroot``: a root directory with busybox alone. ``usr``: this machine's own, where busybox comes first."""

USER = "bare"
PASSWORD = "canary-r00t"
_ID = 64_123
_PLACE = Path("/mnt")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx")
_DIRECTORIES = ("bin", "dev/pts", "etc", "proc", "sys", "tmp", "usr/bin", "var/tmp")


class BareHost:
    """One host whose login shell and tools are busybox.

    Root and an ordinary user (`USER`) log in with the server's key; root's password, for su, is `PASSWORD`.

    Args:
        folder: where its files and the server's live; removed by whoever made it.
        kind: what there is beside busybox.
        sftp: whether it offers SFTP, from within sshd itself.

    Attributes:
        kind: what there is beside busybox.
        sshd: the server.
        has_su: whether its su can work.
    """

    def __init__(self, folder: Path, kind: Kind = "chroot", *, sftp: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.kind = kind
        self._place = folder / "place"
        self._namespace = ""
        busybox = shutil.which("busybox")
        assert busybox is not None
        names = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
        self.has_su = kind == "usr" or "su" in names
        for path in (self._place, self._place / "root"):
            path.mkdir()
            path.chmod(0o755)
        self._write_users(self._place / "etc")
        self._link_others(self._place / "etc")
        (self._place / "etc.own").mkdir()
        if kind == "chroot":
            self._furnish(busybox, names)
            config = f"ChrootDirectory {_PLACE}/root"
        else:
            self._link(self._place / "applets", busybox, [name for name in names if name != "su"])
            self._make_homes(self._place)
            config = f"SetEnv PATH={_PLACE}/applets:/usr/bin:/bin"
        program = folder / "sshd-apart"
        program.write_text(self._program())
        program.chmod(0o755)
        config += f"\nAuthorizedKeysFile {_PLACE}/authorized_keys"
        self.sshd = Sshd(folder / "sshd", config, sftp=sftp, program=str(program))
        shutil.copy(self.sshd.authorized_keys, self._place)
        (self._place / "authorized_keys").chmod(0o644)

    def _write_users(self, etc: Path) -> None:
        etc.mkdir(parents=True, exist_ok=True)
        apart = Path("/etc/passwd").read_text().splitlines()
        # sshd gives up its rights to a user of its own.
        own = [line for line in apart if line.startswith(("sshd:", "nobody:"))]
        shell = "/bin/sh" if self.kind == "chroot" else f"{_PLACE}/applets/sh"
        users = [
            f"{name}:x:{number}:{number}::{self.home(name)}:{shell}" for name, number in ((USER, _ID), ("root", 0))
        ]
        (etc / "passwd").write_text("\n".join([*users, *own]) + "\n")
        (etc / "group").write_text(f"root:x:0:\n{USER}:x:{_ID}:\nstaff:x:50:{USER}\nnogroup:x:65534:\n")
        hashed = subprocess.run(
            ["busybox", "mkpasswd", "-m", "sha512", PASSWORD], check=True, capture_output=True, text=True
        ).stdout.strip()
        (etc / "shadow").touch(0o600)
        (etc / "shadow").write_text(f"root:{hashed}:19000:0:99999:7:::\n{USER}:*:19000:0:99999:7:::\n")
        (etc / "shells").write_text("/bin/sh\n")

    def _link_others(self, etc: Path) -> None:
        """Let the rest of /etc be this machine's, which is to be found at ``etc.own`` (see `_program`)."""
        for each in Path("/etc").iterdir():
            if not (etc / each.name).exists():
                (etc / each.name).symlink_to(each.readlink() if each.is_symlink() else _PLACE / "etc.own" / each.name)

    def _make_homes(self, root: Path) -> None:
        for name, number in ((USER, _ID), ("root", 0)):
            home = root / self.home(name).removeprefix(f"{_PLACE}/").lstrip("/")
            home.mkdir(parents=True)
            home.chmod(0o755)
            os.chown(home, number, number)

    def _link(self, folder: Path, busybox: str, names: list[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(busybox, folder / "busybox")
        for name in names:
            if name != "busybox":
                (folder / name).symlink_to("busybox")

    def _furnish(self, busybox: str, names: list[str]) -> None:
        root = self._place / "root"
        for name in _DIRECTORIES:
            (root / name).mkdir(parents=True)
        for name in ("tmp", "var/tmp"):
            (root / name).chmod(0o1777)
        self._link(root / "bin", busybox, names)
        if self.has_su:
            (root / "bin/su").unlink()
            shutil.copy(busybox, root / "bin/su")
            (root / "bin/su").chmod(0o4755)
        for library in _libraries(busybox):
            (root / library.relative_to("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, root / library.relative_to("/"))
        self._write_users(root / "etc")
        self._make_homes(root)
        for name in _DEVICES:
            (root / "dev" / name).touch()
        for number, name in enumerate(("stdin", "stdout", "stderr")):
            (root / "dev" / name).symlink_to(f"/proc/self/fd/{number}")

    def _program(self) -> str:
        """Return the script that starts sshd where the mounts are nobody else's."""
        place, root = quote(str(self._place)), f"{_PLACE}/root"
        # The whole of /etc: a mount on a file of it would be undone by whoever replaces that file, as useradd does.
        lines = [
            f"mount --bind {place} {_PLACE}",
            f"mount --bind /etc {_PLACE}/etc.own",
            f"mount --bind {_PLACE}/etc /etc",
        ]
        if self.kind == "chroot":
            lines += [f"mount --bind /dev/{name} {root}/dev/{name}" for name in (*_DEVICES, "pts")]
            lines += [f"mount --bind /proc {root}/proc", f"mount -o bind,ro /sys {root}/sys"]
        else:  # root is this machine's root there: it may write to its own places, and to no other
            lines += ["mount --bind /tmp /tmp"]
            lines += [f"mount -o remount,bind,ro {path}" for path in (f"{_PLACE}/etc.own", "/dev", "/")]
        lines += [f"echo {USER} >/proc/sys/kernel/hostname", f'exec {SSHD} "$@"']
        script = "\n".join(lines)
        return f'#!/bin/sh\nexec unshare --mount --uts /bin/sh -ec {quote(script)} sh "$@"\n'

    def start(self) -> BareHost:
        """Start the server and wait until it answers."""
        self.sshd.start()
        self._namespace = os.readlink(f"/proc/{self.sshd.pid}/ns/mnt")
        return self

    def stop(self) -> None:
        """End the server and whatever runs on the host still; the mounts are gone then."""
        self.sshd.stop()
        until = time.monotonic() + 10
        while pids := self.processes():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > until:
                raise RuntimeError(f"these processes of a bare host do not end: {pids}")
            time.sleep(0.02)

    def processes(self) -> list[int]:
        """Return the process ids of all that runs on the host."""
        found = []
        for entry in Path("/proc").iterdir():
            # A process that has ended meanwhile, or waits for its parent to take notice, has no namespace.
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and self._namespace == os.readlink(entry / "ns/mnt"):
                    found.append(int(entry.name))
        return found

    def commands(self, name: str) -> list[str]:
        """Return the command lines of what runs on the host under a name."""
        found = []
        for pid in self.processes():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
                if os.path.basename(words[0]) == name:
                    found.append(" ".join(words).strip())
        return found

    def home(self, user: str = USER) -> str:
        """Return a user's home directory on the host."""
        return f"/home/{user}" if self.kind == "chroot" else f"{_PLACE}/home/{user}"

    def outside(self, path: str) -> Path:
        """Return where this machine sees a path of the host: any in the chroot, else those in the homes."""
        return (
            self._place / "root" / path[1:] if self.kind == "chroot" else self._place / Path(path).relative_to(_PLACE)
        )

    def variables(self, user: str = USER, **more: Any) -> dict[str, Any]:
        """Return the host variables that log in as a user."""
        return self.sshd.variables(**{"ansible_host": "127.0.9.1", "ansible_user": user, **more})

    def su(self, user: str = "root") -> dict[str, Any]:
        """Return the host variables that become a user with su; only where `has_su`."""
        # A shell that prefers its own applets would run one without the set-id bit for a plain `su`.
        names = {"method": "su", "exe": "/bin/su", "user": user, "password": PASSWORD}
        return {"ansible_become": True, **{f"ansible_become_{name}": value for name, value in names.items()}}


def _libraries(program: str) -> list[Path]:
    """Return what a program loads when it starts; nothing for a static one."""
    said = subprocess.run(["ldd", program], check=False, capture_output=True, text=True).stdout
    return [Path(word) for word in said.split() if word.startswith("/")]


@contextlib.contextmanager
def bare_host(folder: Path, kind: Kind = "chroot", *, sftp: bool = True) -> Iterator[BareHost]:
    """Run a bare host; skip where this machine can't have one."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a root directory with devices")
    if SSHD is None:
        lacking("openssh-server")
    if shutil.which("busybox") is None:
        lacking("busybox (see .ci/packages)")
    apart = ["unshare", "--mount", "--uts", "mount", "--bind", "/tmp", str(_PLACE)]
    if not _PLACE.is_dir() or subprocess.run(apart, check=False, capture_output=True).returncode != 0:
        pytest.skip("no right to mount in a namespace of one's own")
    before = os.umask(0o022)  # those who log in have to read what is made
    try:
        host = BareHost(folder, kind, sftp=sftp)
    finally:
        os.umask(before)
    try:
        yield host.start()
    finally:
        host.stop()
