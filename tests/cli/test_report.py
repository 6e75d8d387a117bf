"""Results as text."""

from __future__ import annotations

from sshexec.cli.report import Text, summary
from sshexec.cli.untrusted import harmless
from sshexec.results import HostResult, RunResult

REFUSED = {"unreachable": True, "changed": False, "msg": "connection refused"}


def result(*hosts: HostResult, state: str = "finished") -> RunResult:
    return RunResult("id", "command", {host.host: host for host in hosts}, 0.0, 1.25, state)  # type: ignore[arg-type]


def test_summary_counts_by_status_and_gives_each_cause_once() -> None:
    lines = summary(
        result(
            *(HostResult(f"down{n}", "unreachable", REFUSED, cause="refused") for n in (1, 2, 3)),
            HostResult("h1", "changed", {"changed": True, "rc": 0}),
            HostResult("h2", "failed", {"rc": 2, "msg": "non-zero return code", "stderr": "one\nls: no such file\n"}),
        )
    )
    assert lines == [
        "5 hosts in 1.2 s: 1 changed, 1 failed, 3 unreachable",
        "  unreachable, refused: down[1-3] (3): connection refused",
        "  failed, rc=2: h2: ls: no such file",
    ]


def test_summary_says_how_the_run_ended() -> None:
    one = HostResult("h1", "cancelled", {"msg": "the run was cancelled"}, cause="cancelled")
    assert summary(result(one, state="cancelled"))[0] == "cancelled: 1 host in 1.2 s: 1 cancelled"
    assert summary(result(one, state="timeout"))[0] == "run deadline passed: 1 host in 1.2 s: 1 cancelled"


def test_summary_obeys_no_host() -> None:
    lines = summary(result(HostResult("h1", "failed", {"rc": 1, "stderr": "\x1b[2J\u202eevil"})))
    assert lines[1] == r"  failed, rc=1: h1: \x1b[2J\u202eevil"


def test_partial_output_of_a_host_that_was_stopped_is_shown() -> None:
    data = {"stdout": "so far", "msg": "timed out after 5 s"}
    block = Text().block("h1", HostResult("h1", "timeout", data, cause="timeout"))
    assert block == "h1 | TIMEOUT >>\nso far\ntimed out after 5 s\n"


def test_what_only_programs_read_is_left_out_unless_asked_for() -> None:
    data = {"changed": False, "ping": "pong", "invocation": {"module_args": {}}, "_ansible_no_log": False}
    host = HostResult("h1", "ok", data)
    assert Text().block("h1", host) == 'h1 | SUCCESS => {\n    "changed": false,\n    "ping": "pong"\n}\n'
    assert '"invocation"' in Text(verbose=True).block("h1", host)


def test_harmless_keeps_text_and_line_ends() -> None:
    assert harmless("tab\there\r\nnext\näöü 漢字") == "tab\there\nnext\näöü 漢字"
    assert harmless("over\rwrite \x1b[31m \x9b \udcff") == r"over\x0dwrite \x1b[31m \x9b \udcff"
