"""``sshexec history output``: what a host printed."""

from __future__ import annotations

import json

import click

from sshexec.cli.history_source import history_option, json_option, opened
from sshexec.cli.stderr import tell
from sshexec.cli.stdout import Stdout
from sshexec.cli.untrusted import harmless

NOT_WHOLE = 2
"""Exit code where some of the output is not to be had."""


@click.command("output", short_help="print what a host printed")
@click.argument("run")
@click.argument("host")
@history_option
@click.option("--stderr", "stream", flag_value="stderr", help="Print its standard error.")
@click.option("--result", "stream", flag_value="data", help="Print its result without the streams, as JSON.")
@json_option
def command(run: str, host: str, url: str | None, stream: str | None, as_json: bool) -> int:
    """Print what HOST printed in a run: the whole of its standard output, from its file where it was long.

    RUN is its identifier or the beginning of one; last is the latest run, last~1 the one before it. Where something is
    missing, what is left is printed, a line on standard error says why, and the exit code is 2.
    """
    stdout = Stdout()
    with opened(url) as history:
        output = history.records.output(run, host, stream or "stdout")
    if as_json:
        stdout.write(json.dumps(output.to_dict()) + "\n")
    elif stream == "data":
        text = json.dumps(json.loads(output.text), indent=4, sort_keys=True, ensure_ascii=not stdout.terminal) + "\n"
        stdout.write(harmless(text) if stdout.terminal else text)
    elif stdout.terminal:
        text = output.text
        stdout.write(harmless(text if text.endswith("\n") or not text else f"{text}\n"))
    else:
        last = b"\n"
        for piece in output.pieces():
            stdout.write_bytes(piece)
            last = piece[-1:] or last
        # Ansible's results end before the last line's end.
        stdout.write_bytes(b"" if last == b"\n" else b"\n")
    stdout.flush()
    if output.problem is not None:
        tell(f"sshexec: warning: this is not the whole output of {harmless(host)}: {harmless(output.problem)}")
        return NOT_WHOLE
    return 0
