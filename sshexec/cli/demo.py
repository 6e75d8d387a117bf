"""``sshexec demo``: a fleet on this machine, and a command, a script and a copy on all of it."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

import click

from sshexec.cli.alike import Names
from sshexec.cli.foreground import follow
from sshexec.cli.interrupt import InterruptedBySignal
from sshexec.cli.program import calling
from sshexec.cli.report import Folded
from sshexec.cli.stderr import tell
from sshexec.cli.stdout import Stdout
from sshexec.cli.values import count_up_to

if TYPE_CHECKING:
    from sshexec.demo.fleet import Fleet

_SCRIPT = """#!/bin/sh
# A check as operators write them: the same on every host of a role.
role=$1 number=$2
sleep "1.$number"
echo "$role: the service answers"
[ "$role" = db ] && echo "db: replication is in step"
exit 0
"""
_MOTD = "This host belongs to the sshexec demo.\n"


@click.command(short_help="bring up 20 hosts on this machine and try it on them")
@click.option(
    "--server",
    type=click.Choice(["auto", "openssh", "embedded"]),
    default="auto",
    show_default=True,
    help="What answers: OpenSSH's sshd, or a server of our own; auto takes OpenSSH where it works.",
)
@click.option(
    "--hosts", "count", type=count_up_to(99), metavar="N", default="20", show_default=True, help="How many hosts."
)
@click.option("--keep", is_flag=True, help="Leave the hosts running until Ctrl-C, to try commands of your own.")
def command(server: str, count: int, keep: bool) -> int:
    """Bring up hosts on 127.0.1.1 and up, and run a command, a script and a copy on all of them.

    Every host is this machine, and you are its only user: a temporary key, loopback addresses only. Nothing is left
    running or lying around when the demo ends, however it ends.
    """
    fleet = _bring_up(server, count)
    with fleet:
        code = _tour(fleet)
        if code in (0, 2, 4):
            _suggest(fleet, keep)
            if keep:
                _wait(fleet)
    return code


def _bring_up(server: str, count: int) -> Fleet:
    from sshexec.demo.fleet import Fleet, FleetError
    from sshexec.demo.openssh import find_sshd

    if server == "openssh" or (server == "auto" and find_sshd()):
        tell(f"Bringing up {count} hosts with OpenSSH ...")
        try:
            return Fleet("openssh", count).start()
        except FleetError as error:
            if server == "openssh":
                raise
            tell(f"{error}. Going on with the embedded server ...")
    else:
        tell(f"Bringing up {count} hosts with the embedded server ...")
    return Fleet("embedded", count).start()


def _tour(fleet: Fleet) -> int:
    """Run the three tasks and return the worst exit code; stop where one was interrupted."""
    from sshexec.engine import Engine
    from sshexec.inventory.model import Inventory

    script, motd = fleet.folder / "check.sh", fleet.folder / "motd"
    script.write_text(_SCRIPT)
    motd.write_text(_MOTD)
    check = f"{shlex.quote(str(script))} {{{{ role }}}} {{{{ number }}}}"
    tasks = (
        ("A command", "command", "uname -sr"),
        ("A script, with each host's own variables as arguments", "script", check),
        ("A file", "copy", f'src={shlex.quote(str(motd))} dest="{{{{ home }}}}/motd" mode=0644'),
    )
    run_all = f"{calling()} run all -i {shlex.quote(str(fleet.inventory))}"
    stdout = Stdout()
    worst = 0
    inventory = Inventory.load([str(fleet.inventory)])
    names = Names(inventory)
    with Engine(inventory) as engine:
        for title, module, arguments in tasks:
            tell(f"\n{title}:\n  $ {run_all} -m {module} -a {shlex.quote(arguments)} --fold")
            run = engine.start("all", module, arguments, output=False)
            code = follow(run, Folded(names, terminal=stdout.terminal), stdout, names)
            if code not in (0, 2, 4):
                return code
            worst = max(worst, code)
    return worst


def _suggest(fleet: Fleet, keep: bool) -> None:
    program = calling(anywhere=keep)
    where = shlex.quote(str(fleet.inventory)) if keep else "HOSTS"
    first = (
        "From another terminal:"
        if keep
        else f"Try next: keep the hosts with `{program} demo --keep`, or take your own."
    )
    tell(
        f"\n{first}\n"
        f"  {program} run all -i {where} -a uptime\n"
        f"  {program} run 'demo0*:!db' -i {where} -m shell -a 'echo $(({{{{ number }}}} % 3))' --fold\n"
        f"  {program} run demo01 -i {where} -a 'sleep 30' --task-timeout 3\n"
        f"  {program} hosts -i {where} --graph"
    )


def _wait(fleet: Fleet) -> None:
    tell("\nThe hosts are up until Ctrl-C.")
    try:
        while fleet.alive:
            time.sleep(0.5)
    except InterruptedBySignal:
        tell("")
