"""Results as text."""

from __future__ import annotations

from sshexec.cli.alike import Names
from sshexec.cli.report import Folded, OneLine, Text, summary
from sshexec.cli.untrusted import harmless
from sshexec.inventory.model import Host, Inventory
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


def test_summary_tells_what_went_wrong_beside_the_task() -> None:
    typo = {"notice": "unknown_variables", "message": "...", "problem": "ansible_winrm_trnsport"}
    gap = {"notice": "output_gap", "message": "...", "problem": "the connection broke meanwhile, and was made again"}
    lines = summary(
        result(
            HostResult("w1", "ok", {}, notices=(typo,)),
            HostResult("w2", "unreachable", REFUSED, cause="refused", notices=(typo, gap)),
        )
    )
    assert lines[2:] == [
        "  variables that mean nothing: w[1-2] (2): ansible_winrm_trnsport",
        "  some output may be missing: w2: the connection broke meanwhile, and was made again",
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


def refused(host: str, address: str) -> HostResult:
    msg = f"{address} port 22 refused the connection"
    return HostResult(host, "unreachable", {**REFUSED, "msg": msg}, cause="refused")


def fleet(count: int) -> tuple[RunResult, Names]:
    """Return a run in which every host refuses, each under an address of its own, and one under its name."""
    addresses = {f"h{n}": f"10.0.0.{n}" for n in range(1, count)} | {f"h{count}": "{{ inventory_hostname }}.example"}
    inventory = Inventory.from_hosts([Host(name, {"ansible_host": address}) for name, address in addresses.items()])
    return (
        result(
            *(refused(name, address.replace("{{ inventory_hostname }}", name)) for name, address in addresses.items())
        ),
        Names(inventory),
    )


def test_failures_that_differ_in_the_hosts_own_address_fold() -> None:
    run, names = fleet(12)
    assert Folded(names).end(run) == (
        "h[1-12] (12) | UNREACHABLE | refused >>\nh1: 10.0.0.1 port 22 refused the connection\n"
    )
    assert summary(run, names)[1:] == [
        "  unreachable, refused: h[1-12] (12), such as h1: 10.0.0.1 port 22 refused the connection"
    ]
    assert [len(group.hosts) for group in run.groups()] == [1] * 12, "results stay as they are"


def test_failures_that_differ_in_how_often_they_were_tried_fold() -> None:
    texts = ["x closed it (reset), 7 times in 9 s: why?", "x closed it (reset), 9 times in 12 s: why?"]
    run = result(*(HostResult(f"h{n}", "unreachable", {**REFUSED, "msg": text}) for n, text in enumerate(texts)))
    assert summary(run)[1:] == [f"  unreachable: h[0-1] (2), such as h0: {texts[0]}"]
    assert Folded().end(run) == f"h[0-1] (2) | UNREACHABLE >>\nh0: {texts[0]}\n"
    other = HostResult("h2", "unreachable", {**REFUSED, "msg": "x refused, 7 times"})
    assert len(summary(result(*run.values(), other))) == 3


def test_an_address_from_extra_variables_is_a_hosts_own_too() -> None:
    inventory = Inventory.from_hosts([Host("h1", {}), Host("h2", {})])
    run = result(refused("h1", "h1.example"), refused("h2", "h2.example"))
    names = Names(inventory, {"ansible_host": "{{ inventory_hostname }}.example"})
    assert len(summary(run, names)) == 2
    assert len(summary(run, Names(inventory, {"ansible_host": "{{ undefined }}"}))) == 3


def test_only_whole_names_are_a_hosts_own() -> None:
    names = Names(Inventory.from_hosts([Host("h1", {"ansible_host": "fe80::1"})]))
    assert names.hide("h10 h1.example h1: [H1] fe80::1 x-h1 root@h1.", "h1") == (
        "h10 h1.example \0: [\0] \0 x-h1 root@\0."
    )


def test_what_ended_well_folds_only_where_it_is_equal() -> None:
    run = result(*(HostResult(name, "ok", {"msg": f"{name} is well"}) for name in ("h1", "h2")))
    assert Folded().end(run).count("SUCCESS") == 2


def test_many_reasons_of_one_kind_are_one_line_with_an_example() -> None:
    hosts = [
        HostResult(f"h{n}", "failed", {"rc": 1, "msg": "non-zero return code", "stderr": f"no such file: /{n}"})
        for n in range(1, 7)
    ]
    assert summary(result(*hosts))[1:] == ["  failed, rc=1: h[1-6] (6), such as h1: no such file: /1"]
    assert len(summary(result(*hosts[:3]))) == 4


def test_cancelled_hosts_fold_whether_or_not_their_shell_says_terminated() -> None:
    said = ["begun\n", "begun\nTerminated\n", "begun\nsh: line 1:  4711 Terminated              sleep 600\n"]
    hosts = [
        HostResult(f"h{n}", "cancelled", {"msg": "the run was cancelled", "stderr": text, "stdout": ""})
        for n, text in enumerate(said)
    ]
    assert Folded().end(result(*hosts)) == "h[0-2] (3) | CANCELLED >>\nbegun\nthe run was cancelled\n"
    other = HostResult("h9", "cancelled", {"msg": "the run was cancelled", "stderr": "other\n"})
    assert Folded().end(result(*hosts, other)).count("CANCELLED") == 2


CHANGE = {"before_header": "/etc/motd", "before": "one\ntwo\n", "after_header": "motd", "after": "one\n2\x1b[2J"}
LINES = "--- before: /etc/motd\n+++ after: motd\n@@ -1,2 +1,2 @@\n one\n-two\n"


def changed(host: str, diff: object) -> HostResult:
    return HostResult(host, "changed", {"changed": True, "diff": diff})


def test_a_difference_is_printed_as_lines() -> None:
    block = Text(terminal=True).block("h1", changed("h1", [CHANGE]))
    assert block == (
        'h1 | CHANGED => {\n    "changed": true\n}\n' + LINES + "+2\\x1b[2J\n\\ No newline at end of file\n"
    )
    coloured = Text(colour=True).block("h1", changed("h1", [CHANGE]))
    assert "\x1b[31m-two\x1b[0m\n\x1b[32m+2" in coloured
    assert "\x1b[36m@@" in coloured


def test_a_difference_in_mode_or_of_a_new_or_binary_file() -> None:
    mode = {"before": {"mode": "0600", "path": "/x"}, "after": {"mode": "0644", "path": "/x"}}
    assert '\n-    "mode": "0600",\n+    "mode": "0644",\n' in Text().block("h1", changed("h1", mode))
    new = {"before": "", "after": "one\n", "after_header": "motd"}
    assert "--- before\n+++ after: motd\n@@ -0,0 +1 @@\n+one\n" in Text().block("h1", changed("h1", [new]))
    binary = Text().block("h1", changed("h1", [{"dst_binary": 1, "src_larger": 104448}]))
    assert "}\nthe file on the host is binary: no difference is shown\nthe new file is larger than 104448 " in binary
    assert '"diff": "?"' in Text().block("h1", changed("h1", "?"))


def test_a_difference_that_is_none_is_left_out() -> None:
    same = {"before": {"path": "/a"}, "after": {"path": "/a"}}
    headers = [{"before": "", "after": ""}, {"before_header": "/a (file attributes)"}]
    for diff in ([], same, headers):
        assert Text().block("h1", changed("h1", diff)) == 'h1 | CHANGED => {\n    "changed": true\n}\n'
        assert '"diff"' in Text(verbose=True).block("h1", changed("h1", diff))


def test_what_a_module_with_an_rc_answers_is_shown() -> None:
    data = {"changed": True, "rc": 0, "msg": "1 replacements made"}
    assert '"msg": "1 replacements made"' in Text().block("h1", HostResult("h1", "changed", data))
    assert '"msg": "1 replacements made"' in OneLine().block("h1", HostResult("h1", "changed", data))
    installed = {**data, "stdout": "", "results": ["Installed: mc"]}
    assert "Installed: mc" in Text().block("h1", HostResult("h1", "changed", installed))
    replaced = {**data, "diff": [{"before": "a\n", "after": "b\n"}]}
    assert Text().block("h1", HostResult("h1", "changed", replaced)).endswith("-a\n+b\n")


def test_why_a_command_was_not_started_is_one_line() -> None:
    data = {"rc": None, "cmd": ["ls"], "stdout": "", "stderr": "", "start": None, "msg": "Unable to change directory."}
    assert Text().block("h1", HostResult("h1", "failed", data)) == "h1 | FAILED >>\nUnable to change directory.\n"


def test_keys_are_sorted_as_ansible_prints_them() -> None:
    data = {"failed": True, "msg": "absent", "changed": False}
    block = Text().block("h1", HostResult("h1", "failed", data))
    assert block == 'h1 | FAILED => {\n    "changed": false,\n    "msg": "absent"\n}\n'


def test_a_difference_that_would_take_long_is_not_made() -> None:
    many = {
        "before": "".join(f"{n}\n" for n in range(20_000)),
        "after": "".join(f"{n}\n" for n in range(20_000, 0, -1)),
    }
    assert Text().block("h1", changed("h1", [many])).endswith("@@ more than 10000 lines: no difference is shown @@\n")


def test_hosts_with_different_differences_do_not_fold() -> None:
    other = {**CHANGE, "before_header": "/home/h2/motd"}
    folded = Folded().end(result(changed("h1", [CHANGE]), changed("h2", [other])))
    assert folded.startswith("h[1-2] (2) | CHANGED => {")
    assert LINES in folded
    worse = {**CHANGE, "before": "other\n"}
    assert Folded().end(result(changed("h1", [CHANGE]), changed("h2", [worse]))).count("CHANGED") == 2
