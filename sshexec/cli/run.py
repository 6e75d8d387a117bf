"""``sshexec run``: one module on many hosts."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

import click

from sshexec.cli.alike import Names
from sshexec.cli.keeping import Keeping, actor, keeping_options
from sshexec.cli.recording import check_recording, recording
from sshexec.cli.report import Folded, Json, JsonLines, OneLine, Report, Text
from sshexec.cli.resuming import Order, check_resuming, resume_options
from sshexec.cli.retry import RetryFile
from sshexec.cli.sources import inventory_option, load_inventory, openers, secret_options
from sshexec.cli.stdout import Stdout
from sshexec.cli.untrusted import harmless
from sshexec.cli.values import count, percentage, seconds, serial, size
from sshexec.cli.variables import (
    become_options,
    connection_options,
    connection_variables,
    extra_variables,
    password_asked,
)
from sshexec.errors import ArgumentError, InputError
from sshexec.modules.arguments import FREE_FORM

if TYPE_CHECKING:
    from sshexec.engine import Engine
    from sshexec.inventory.model import Inventory
    from sshexec.run import Run

_FORMATS = {"one_line": "-o", "fold": "--fold", "json": "--json", "jsonl": "--jsonl"}

_MISSING = {
    "tree": (
        "-t/--tree",
        "not available; --json and --artifacts hold every result, and --output-dir keeps streams in files",
    ),
    "background": ("-B/--background", "not available; --task-timeout bounds the task on each host"),
    "poll": ("-P/--poll", "not available; --task-timeout bounds the task on each host"),
    "module_path": (
        "-M/--module-path",
        "not available; modules of your own are entry points (sshexec.modules); with ansible-core, set ANSIBLE_LIBRARY",
    ),
}
"""Options that are known, so that whoever comes from Ansible is told what there is instead."""

_EPILOG = """\b
Examples:
  sshexec run all -i web1,web2, -a uptime
  sshexec run 'web:&prod' -i hosts.yml -m shell -a 'df -h / | tail -1' -o
  sshexec run all -i hosts.yml -m script -a './check.sh --fast' --fold
  sshexec run all -i hosts.yml -m copy -a 'src=app.conf dest=/etc/app.conf' -C -D
  sshexec run all -i hosts.yml -a 'systemctl restart app' --serial 1,20% --max-fail-percentage 10
  sshexec run windows -i hosts.yml -m win_copy -a 'src=site/ dest=C:/inetpub/wwwroot' -C -D
  sshexec run all -i hosts.yml -m ping --retry-file failed.txt; sshexec run @failed.txt -i hosts.yml -m ping
  sshexec run --resume last -i hosts.yml
  sshexec run all -i hosts.yml -a 'cat /etc/os-release' --json | jq '.hosts[].result.rc'

\b
Results go to standard output, progress and summary to standard error. Options that set a connection variable (-u, -c,
--private-key ...) and -e win over the inventory. Exit codes: 0 all well, 2 some host failed, 4 some host unreachable,
5 bad usage or input (nothing was contacted), 130 interrupted: Ctrl-C stops the hosts and reports them, twice stops at
once."""


@click.command(epilog=_EPILOG, short_help="run a module on many hosts")
@click.argument("pattern", required=False)
@inventory_option
@click.option(
    "-m",
    "--module-name",
    "module",
    default="command",
    show_default=True,
    help="Module to run: command, shell, copy, file, setup ...; on Windows win_command, win_shell, win_copy ...; with"
    " ansible-core beside, any other of Ansible's, but for those of Windows.",
)
@click.option("-a", "--args", "arguments", metavar="ARGS", help="Its arguments: free text, key=value, or JSON.")
@click.option("-f", "--forks", type=count, metavar="N", default="100", show_default=True, help="Hosts at once.")
@click.option("-l", "--limit", metavar="PATTERN", help="Of the hosts, only those that this pattern selects too.")
@click.option("-C", "--check", is_flag=True, help="Change nothing, say what would change.")
@click.option("-D", "--diff", is_flag=True, help="Show differences in files.")
@connection_options
@secret_options
@click.option("-k", "--ask-pass", is_flag=True, help="Ask for the login password.")
@click.option("--task-timeout", type=seconds, help="Seconds for the task on one host, once it is connected.")
@click.option("--idle-timeout", type=seconds, help="Seconds that a command may be silent, or a transfer stand still.")
@click.option("--run-timeout", type=seconds, help="Seconds for the whole run.")
@click.option(
    "--serial", type=serial, metavar="SIZES", help="Batches of hosts, one after the other: 5, 20%, or 1,10,50%."
)
@click.option("--max-fail-percentage", type=percentage, metavar="N", help="Give up once more of a batch have failed.")
@click.option("--processes", type=count, metavar="N", help="Use this many processor cores.")
@become_options
@click.option("-K", "--ask-become-pass", is_flag=True, help="Ask for the password that this program asks for.")
@click.option("-t", "--tree", hidden=True)
@click.option("-B", "--background", hidden=True)
@click.option("-P", "--poll", hidden=True)
@click.option("-M", "--module-path", hidden=True)
@click.option("-o", "--one-line", is_flag=True, help="Print one line for each host.")
@click.option("-F", "--fold", is_flag=True, help="Print equal answers once, at the end.")
@click.option("--json", is_flag=True, help="Print one JSON object for the run, at the end.")
@click.option("--jsonl", is_flag=True, help="Print every event as a line of JSON.")
@click.option(
    "--events", type=click.Choice(["sshexec", "runner"]), help="With --jsonl: whose events; runner is ansible-runner."
)
@click.option(
    "--artifacts",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Write DIR/artifacts/ID as ansible-runner does.",
)
@click.option("--ident", metavar="ID", help="With --artifacts or --events runner: the run's name. Default: a new one.")
@click.option(
    "--output-limit", type=size, default="16M", metavar="SIZE", show_default=True, help="Bytes kept of each stream."
)
@click.option(
    "--spill", type=click.Path(file_okay=False), metavar="DIR", help="Write streams over the limit here, in full."
)
@click.option(
    "--output-dir", type=click.Path(file_okay=False), metavar="DIR", help="Write streams to DIR/HOST/stdout and stderr."
)
@click.option("--binary", is_flag=True, help="With --json and --jsonl, add output as exact bytes, in base64.")
@click.option("--retry-file", type=click.Path(dir_okay=False), metavar="FILE", help="Write who did not end well here.")
@resume_options
@keeping_options
@click.option("--list-hosts", is_flag=True, help="Print the hosts that would be contacted, and stop.")
@click.option("-q", "--quiet", is_flag=True, help="Show neither progress nor summary.")
@click.option(
    "-v",
    "--verbose",
    count=True,
    help="Show phases and new host keys on standard error, and results with all their keys.",
)
def command(pattern: str | None, sources: tuple[str, ...], **options: Any) -> int:
    """Run a module on the hosts that PATTERN selects.

    PATTERN is a host, a group, a glob or a combination, as in Ansible: 'web', 'web*', 'web:!web3', 'web:&prod', '~re',
    '@failed.txt'. With --resume it may be left out.
    """
    _check(pattern, options)
    with Keeping(options) as keeping:
        variables = _variables(options)
        order = Order(pattern, options, variables)
        if options["resume"] is not None:
            order.resume(keeping.resumption(options["resume"]))
        inventory = load_inventory(sources, order.pattern, options)
        hosts = order.select(inventory)
        if options["list_hosts"]:
            return _list_hosts(hosts)
        for flag in ("spill", "output_dir"):
            if options[flag]:
                _make_directory(f"--{flag.replace('_', '-')}", options[flag])
        if options["binary"] and not (options["json"] or options["jsonl"]):
            raise InputError("--binary goes with --json or --jsonl; --output-dir writes exact bytes to files")
        return _run(order, inventory, keeping, sources)


def _check(pattern: str | None, options: dict[str, Any]) -> None:
    chosen = [flag for name, flag in _FORMATS.items() if options[name]]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)} exclude each other", click.get_current_context())
    check_recording(options)
    check_resuming(pattern, options)
    for name, (flag, instead) in _MISSING.items():
        if options[name]:
            raise InputError(f"{flag}: {instead}")


def _run(order: Order, inventory: Inventory, keeping: Keeping, sources: tuple[str, ...]) -> int:
    from sshexec.cli.foreground import follow
    from sshexec.cli.questions import terminal_questions
    from sshexec.connectors.base import Timeouts
    from sshexec.engine import Engine

    options = order.options
    retry = None if options["retry_file"] is None else RetryFile(options["retry_file"])
    stdout = Stdout()
    names = Names(inventory, order.variables)
    questions = terminal_questions(
        user=options["user"], ask_pass=options["ask_pass"], ask_become_pass=options["ask_become_pass"]
    )
    with (
        contextlib.closing(questions) if questions else contextlib.nullcontext(),
        recording(order.pattern, sources, options) as records,
        Engine(
            inventory,
            concurrency=options["forks"],
            processes=options["processes"],
            variables=order.variables,
            timeouts=Timeouts(idle=options["idle_timeout"]),
            keep=0,
            ask=questions,
            history=keeping.history,
            actor=actor(),
            audit=keeping.audit,
        ) as engine,
    ):
        run = _start(engine, order)
        records.started()
        quiet = options["quiet"] or not run.hosts
        verbose = options["verbose"] > 0 and not options["jsonl"]
        report = records.over(_report(options, stdout, names))
        code = follow(run, report, stdout, names, quiet=quiet, verbose=verbose, retry=retry, questions=questions)
        return code or order.exit_code


def _start(engine: Engine, order: Order) -> Run:
    options = order.options
    try:
        return engine.start(
            order.hosts,
            options["module"],
            _arguments(options["arguments"]),
            check=options["check"],
            diff=options["diff"],
            timeout=options["task_timeout"],
            run_timeout=options["run_timeout"],
            serial=options["serial"],
            max_fail_percentage=options["max_fail_percentage"],
            limit=options["limit"],
            output_limit=options["output_limit"],
            spill=options["spill"],
            become=options["become"],
            become_user=options["become_user"],
            become_method=options["become_method"],
            output_dir=options["output_dir"],
            binary=options["binary"],
            reason=options["reason"],
            labels=dict(options["labels"]),
            resume=order.earlier,
            unknown=options["include_unknown"],
            output=options["jsonl"] and options["events"] != "runner",
            **order.more,
        )
    except ArgumentError as error:
        module = options["module"].rpartition(".")[2]
        if not error.message.startswith(f"{module}: "):
            raise
        # The name that a mapping has for it says nothing to whoever types a text.
        message = error.message.replace(FREE_FORM, "a free text")
        raise ArgumentError(message if options["arguments"] else f"{message} (give it with -a)") from None


def _make_directory(flag: str, path: str) -> None:
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
    except OSError as error:
        raise InputError(f"{flag}: {path}: {error.strerror}") from None


def _list_hosts(hosts: list[str]) -> int:
    stdout = Stdout()
    text = "".join(f"{host}\n" for host in hosts)
    stdout.write(harmless(text) if stdout.terminal else text)
    stdout.flush()
    return 0


def _arguments(text: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    """Return the arguments as a mapping where they are a JSON object, else as the text that the module reads."""
    if isinstance(text, str) and text.lstrip().startswith("{"):
        try:
            value = json.loads(text)
        except ValueError:
            return text
        except RecursionError:
            raise ArgumentError("-a: the JSON is nested too deeply") from None
        if isinstance(value, dict):
            return value
    return text


def _variables(options: dict[str, Any]) -> dict[str, Any]:
    """Return the variables that the command line sets; ``-e`` wins over the options."""
    given = connection_variables(options)
    # What is given here wins over what the inventory has under another name, too.
    if options["ask_pass"]:
        given |= password_asked()
    if options["ask_become_pass"]:
        ways = [f"ansible_{way}_{end}" for way in ("become", "sudo", "su", "doas") for end in ("pass", "password")]
        given |= dict.fromkeys(ways)
    return given | extra_variables(options["extra"], openers(options).vault)


def _report(options: dict[str, Any], stdout: Stdout, names: Names) -> Report:
    if options["json"]:
        return Json()
    if options["jsonl"]:
        return JsonLines()
    colour = stdout.terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
    looks = {"terminal": stdout.terminal, "colour": colour, "verbose": bool(options["verbose"])}
    if options["fold"]:
        return Folded(names, **looks)
    return OneLine(**looks) if options["one_line"] else Text(**looks)
