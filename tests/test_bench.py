"""The bench runs end to end on a few hosts and writes what it saw; how fast is none of a test's business."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.bars import BARS, Bar
from bench.measure import Measurement, Snapshot
from bench.report import Report
from bench.scenarios import SCENARIOS, UNITS, Case, cases
from bench.tools import CLIENTS, TOOLS
from tests.testbed import SSHD

ROOT = Path(__file__).parents[1]
PROXY = ROOT / "bench" / "proxy.py"
LAUNCHER = ROOT / "bench" / "launcher.py"


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=180
    )


def launch(code: str, timeout: float = 30.0) -> dict:
    command = [sys.executable, "-I", "-S", str(LAUNCHER), str(timeout), "0.01", sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(
    SSHD is None and not os.environ.get("SSHEXEC_REQUIRE_SERVICES"), reason="openssh-server is not installed"
)
def test_it_measures_sshexec_and_writes_json(tmp_path):
    case = ("--scenarios", "fresh", "--hosts", "5", "--rounds", "1")
    done = bench(*case, "--tools", "sshexec", "--here", "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.json")
    seen = json.loads(path.read_text())
    assert (seen["skipped"], seen["errors"]) == ({}, {})
    assert list(seen["samples"]) == ["fresh-5"]
    (figures,) = seen["samples"]["fresh-5"]["sshexec"]
    assert set(figures) == {"wall_s", "cpu_ms_host", "peak_rss_mib", "peak_pss_mib"}
    assert all(value > 0 for value in figures.values())
    assert seen["versions"]["sshexec"]["sshexec"]
    assert "sshexec" in done.stdout
    assert "not measured in this run" in done.stdout


def test_a_wrong_word_is_refused_with_the_words_that_exist():
    done = bench("--tools", "telnet")
    assert done.returncode == 2
    assert "telnet" in done.stderr
    assert "asyncssh" in done.stderr


def test_the_launcher_counts_what_the_client_leaves_behind():
    seen = launch(
        "import os, time\n"
        "done, burnt = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    end = time.process_time() + 0.3\n"
        "    while time.process_time() < end: pass\n"
        "    os.write(burnt, b'.')\n"
        "    time.sleep(600)\n"
        "os.read(done, 1)\n"
        "time.sleep(0.2)\n"
        "print('{\"ok\": 1}', flush=True)\n"
        "os._exit(0)\n"
    )
    assert seen["answer"] == {"ok": 1}
    assert not seen["overdue"]
    assert seen["cpu"] >= 0.3
    assert seen["rss"] > seen["pss"] > 0


def test_the_launcher_takes_snapshots_at_marks():
    seen = launch(
        "import time\n"
        'print(\'{"mark": "a"}\', flush=True)\n'
        "end = time.process_time() + 0.2\n"
        "while time.process_time() < end: pass\n"
        'print(\'{"mark": "b"}\', flush=True)\n'
        "time.sleep(0.3)\n"
    )
    first, second = seen["marks"]["a"], seen["marks"]["b"]
    assert second["cpu"] - first["cpu"] > 0.1
    assert 0 < first["wall"] < second["wall"] <= seen["wall"]
    assert first["rss"] > 0


def test_the_launcher_ends_a_client_that_hangs():
    seen = launch("import time; time.sleep(600)", timeout=0.5)
    assert seen["overdue"]
    assert seen["answer"] is None


def test_every_tool_has_a_client_and_every_scenario_a_tool():
    assert all((CLIENTS / tool.script(scenario)).is_file() for tool in TOOLS for scenario in tool.scenarios)
    assert {name for tool in TOOLS for name in tool.scenarios} == set(SCENARIOS)


def test_the_cases_of_the_issue():
    keys = [case.key for case in cases(SCENARIOS, [], quick=False)]
    assert keys == [
        *("fresh-100", "fresh-300", "fresh-1000", "open-200", "idle-200"),
        *("growth-300-300", "growth-1000-1000", "growth-1000-10000", "memory-1000", "local-1"),
        *("get-1-200", "put-1-200", "stdout-1-100", "spread-200-1"),
        *("latency-1", "latency-get-1-200", "latency-put-1-200", "dead-500"),
        *(f"ansible-{name}-100-{how}" for name in ("command", "copy", "lineinfile") for how in ("cold", "warm")),
        *("winrm-fleet-200", "winrm-second-1", "winrm-put-1-10", "winrm-output-1-50", "winrm-slow-200"),
        *("inventory-yaml-10000", "inventory-sqlite-10000", "cmdb-50000"),
        *("history-record-5000", "history-share-1000", "history-show-5000"),
        *("terminal-200-50", "terminal-cat-1-50", "terminal-unread-1-50"),
    ]
    known = {*keys, "growth-300-300"}
    assert all(bar.case in known and (bar.other is None or bar.other[0] in known) for bar in BARS)
    assert [case.key for case in cases(["fresh", "memory"], [7, 5], quick=False)] == ["fresh-5", "fresh-7", "memory-7"]


@pytest.mark.parametrize(("value", "met"), [(1.3, True), (1.31, False)])
def test_a_bar_against_another_tool(value, met):
    bar = Bar("CPU", "fresh-300", "sshexec", "cpu_ms_host", 1.3, ("fresh-300", "parallel-ssh"))
    verdict = bar.judge({"fresh-300": {"sshexec": {"cpu_ms_host": value}, "parallel-ssh": {"cpu_ms_host": 1.0}}})
    assert verdict.met is met
    assert ("MISSED" in str(verdict)) is not met


@pytest.mark.parametrize(("value", "met"), [(400.0, True), (399.0, False)])
def test_a_bar_from_below(value, met):
    bar = Bar("speed", "get-1-200", "sshexec", "mb_s", 1.0, ("get-1-200", "openssh"), least=True)
    assert bar.judge({"get-1-200": {"sshexec": {"mb_s": value}, "openssh": {"mb_s": 400.0}}}).met is met


@pytest.mark.skipif(
    SSHD is None and not os.environ.get("SSHEXEC_REQUIRE_SERVICES"), reason="openssh-server is not installed"
)
def test_transfers_latency_and_dead_hosts_are_measured_too(tmp_path):
    scenarios = "get,put,stdout,spread,latency,latency-get,dead"
    case = ("--scenarios", scenarios, "--hosts", "4", "--quick")
    done = bench(*case, "--tools", "sshexec,openssh", "--here", "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.json")
    seen = json.loads(path.read_text())
    assert (seen["skipped"], seen["errors"]) == ({}, {})
    assert set(seen["samples"]) == {
        *("get-1-10", "put-1-10", "stdout-1-5", "spread-4-1", "latency-1", "latency-get-1-10", "dead-2"),
    }
    assert set(seen["samples"]["stdout-1-5"]) == {"sshexec", "openssh"}
    # Each of these can't be done in less: greetings and proposals, keys, login with all that follows.
    assert seen["medians"]["latency-1"]["openssh"]["round_trips"] > 2.5
    assert seen["medians"]["dead-2"]["sshexec"]["slowdown"] > 0


@pytest.mark.skipif(
    SSHD is None and not os.environ.get("SSHEXEC_REQUIRE_SERVICES"), reason="openssh-server is not installed"
)
def test_tasks_are_measured_cold_and_warm(tmp_path):
    case = ("--scenarios", "ansible-command,ansible-copy", "--hosts", "4", "--rounds", "1")
    done = bench(*case, "--tools", "sshexec,sshexec-cli", "--here", "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.json")
    seen = json.loads(path.read_text())
    assert (seen["skipped"], seen["errors"]) == ({}, {})
    keys = {f"ansible-{name}-4-{how}" for name in ("command", "copy") for how in ("cold", "warm")}
    assert set(seen["samples"]) == keys
    for medians in seen["medians"].values():
        assert set(medians) == {"sshexec", "sshexec-cli"}
        assert all(figures["cpu_ms_host"] > 0 for figures in medians.values())


@pytest.mark.skipif(
    SSHD is None and not os.environ.get("SSHEXEC_REQUIRE_SERVICES"), reason="openssh-server is not installed"
)
def test_windows_hosts_are_measured_too(tmp_path):
    scenarios = "winrm-fleet,winrm-second,winrm-put,winrm-output,winrm-slow"
    case = ("--scenarios", scenarios, "--hosts", "4", "--quick")
    done = bench(*case, "--tools", "sshexec", "--here", "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.json")
    seen = json.loads(path.read_text())
    assert (seen["skipped"], seen["errors"]) == ({}, {})
    medians = {case: tools["sshexec"] for case, tools in seen["medians"].items()}
    assert set(medians) == {"winrm-fleet-4", "winrm-second-1", "winrm-put-1-2", "winrm-output-1-2", "winrm-slow-4"}
    assert 0 < medians["winrm-fleet-4"]["working_ms_host"] < medians["winrm-fleet-4"]["cpu_ms_host"]
    # The bars that don't depend on the machine hold here too.
    assert medians["winrm-second-1"]["requests"] == 3
    assert 100 < medians["winrm-put-1-2"]["largest_kib"] <= 150
    assert 0 < medians["winrm-slow-4"]["live_with_slow_s"] < 3


@pytest.mark.skipif(
    SSHD is None and not os.environ.get("SSHEXEC_REQUIRE_SERVICES"), reason="openssh-server is not installed"
)
def test_inventories_and_records_are_measured_too(tmp_path):
    scenarios = "inventory-yaml,inventory-sqlite,cmdb,history-record,history-share,history-show"
    case = ("--scenarios", scenarios, "--hosts", "6", "--quick")
    done = bench(*case, "--tools", "sshexec,sshexec-cli", "--here", "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.json")
    seen = json.loads(path.read_text())
    assert (seen["skipped"], seen["errors"]) == ({}, {})
    medians = seen["medians"]
    assert {case: set(tools) for case, tools in medians.items()} == {
        "inventory-yaml-6": {"sshexec", "sshexec-cli"},
        "inventory-sqlite-6": {"sshexec", "sshexec-cli"},
        "cmdb-6": {"sshexec"},
        "history-record-6": {"sshexec"},
        "history-share-6": {"sshexec"},
        "history-show-6": {"sshexec-cli"},
    }
    assert all(figures["cpu_s"] > 0 for figures in medians["inventory-sqlite-6"].values())
    assert medians["cmdb-6"]["sshexec"]["load_s"] > 0
    assert medians["history-record-6"]["sshexec"]["without_ms_host"] > 0


def test_a_windows_fleet_counts_its_start_and_tells_it_apart():
    (case,) = cases(["winrm-fleet"], [10], quick=False)
    marks = {"ready": Snapshot(0.5, 0.4, 1, 1), "done": Snapshot(1.5, 1.0, 1, 1)}
    figures = case.figures(Measurement(Snapshot(2.0, 1.1, 2048, 1024), marks, 10, "", {}))
    assert figures == {
        "wall_s": 2.0,
        "cpu_ms_host": pytest.approx(110),
        "working_ms_host": pytest.approx(60),
        "peak_rss_mib": 2.0,
        "peak_pss_mib": 1.0,
    }


def test_a_warm_run_counts_from_its_first_mark_to_its_second():
    case = next(case for case in cases(["ansible-copy"], [10], quick=False) if case.mode == "warm")
    marks = {"ready": Snapshot(5.0, 3.0, 1, 1), "done": Snapshot(7.0, 4.0, 1, 1)}
    figures = case.figures(Measurement(Snapshot(9.0, 9.0, 2048, 1024), marks, 10, "", {}))
    assert figures == {"wall_s": 2.0, "cpu_ms_host": 100.0, "peak_rss_mib": 2.0, "peak_pss_mib": 1.0}


def test_the_proxy_adds_the_round_trip_time():
    listener = socket.create_server(("127.0.0.1", 0))
    command = [sys.executable, "-I", "-S", str(PROXY), "127.0.0.1", str(listener.getsockname()[1]), "0", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as proxy:
        try:
            near, far = json.loads(proxy.stdout.readline())
            took = {}
            for port in (near, far):
                with socket.create_connection(("127.0.0.1", port)) as client:
                    server, _ = listener.accept()
                    with server:
                        begun = time.monotonic()
                        client.sendall(b"ping")
                        assert server.recv(10) == b"ping"
                        server.sendall(b"x" * 5_000_000)
                        server.shutdown(socket.SHUT_WR)
                        size = 0
                        while data := client.recv(1 << 20):
                            size += len(data)
                        took[port] = time.monotonic() - begun
                        assert size == 5_000_000
                        client.close()
                        assert server.recv(10) == b""
            assert took[far] >= 0.2
            assert took[near] < took[far]
        finally:
            proxy.kill()
            listener.close()


def test_a_bar_whose_reference_is_missing_is_not_met():
    bar = Bar("CPU", "fresh-300", "sshexec", "cpu_ms_host", 1.3, ("fresh-300", "parallel-ssh"))
    verdict = bar.judge({"fresh-300": {"sshexec": {"cpu_ms_host": 1.0}}})
    assert verdict.met is None
    assert "not measured" in str(verdict)


def test_the_table_shows_medians_and_leaves_out_who_failed():
    report = Report(rounds=3)
    case = Case("fresh", 10, known_hosts=10)
    for wall in (1.0, 9.0, 2.0):
        figures = {"wall_s": wall, "cpu_ms_host": 1.0, "peak_rss_mib": 50.0, "peak_pss_mib": 40.0}
        report.add(case, "asyncssh", figures)
        report.add(case, "fabric", figures)
    report.fail(case, "fabric", "time-out")
    table = report.table(case)
    assert "2.00 [1.00–9.00]" in table
    assert "fabric: time-out" in table
    assert list(report.medians()["fresh-10"]) == ["asyncssh"]
    assert UNITS["wall_s"] in table


@pytest.mark.skipif(
    SSHD is None and not os.environ.get("SSHEXEC_REQUIRE_SERVICES"), reason="openssh-server is not installed"
)
def test_terminals_are_measured(tmp_path):
    case = ("--scenarios", "terminal-cat", "--quick")
    done = bench(*case, "--tools", "sshexec-web", "--here", "--results", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("bench-*.json")
    seen = json.loads(path.read_text())
    assert seen["errors"] == {}
    assert seen["skipped"] == {}
    medians = {case: tools["sshexec-web"] for case, tools in seen["medians"].items()}
    assert list(medians) == ["terminal-cat-1-5"]
    assert medians["terminal-cat-1-5"]["mb_s"] > 0
