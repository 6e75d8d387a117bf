from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from sshexec import History, HostResult
from sshexec.history.rows import result_of
from sshexec.secret import HIDDEN
from tests.history.records import ok, opening, record, rows


@pytest.fixture
def history(sqlite_url):
    with History(sqlite_url, output_budget=100) as history:
        yield history


def files_of(row):
    return json.loads(row["files"])


def test_what_is_within_the_budget_is_in_the_row(history):
    result = ok("a", "x" * 100, stderr="ü" * 50)
    record(history, opening(["a"]), [result])
    (row,) = rows(history, "results")
    assert files_of(row) == {}
    assert result_of(row) == result
    assert not os.path.exists(history.outputs.folder)


def test_what_is_over_the_budget_is_in_a_file(history):
    text = "begin\n" + "ü" * 100 + "\nend"
    record(history, opening(["we/b"]), [ok("we/b", text, stderr="x" * 101)])
    (row,) = rows(history, "results")
    out, err = (files_of(row)[stream] for stream in ("stdout", "stderr"))
    data = Path(out["path"]).read_bytes()
    assert data.decode() == text
    assert (out["bytes"], out["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert Path(out["path"]).relative_to(history.outputs.folder).parts == (row["run"], "we%2Fb", "stdout")
    assert Path(err["path"]).read_text() == "x" * 101
    assert stat.S_IMODE(os.stat(out["path"]).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(history.outputs.folder).st_mode) == 0o700
    shown = json.loads(row["stdout"])
    assert shown.startswith("begin\n")
    assert shown.endswith("ü\nend")
    assert "bytes left out" in shown
    assert row["size"] > len(data) + 101


def test_a_secret_is_not_in_a_file_either(history):
    record(history, opening(["a"], variables={"the_password": "hunter2"}), [ok("a", "x" * 47 + "hunter2" + "x" * 99)])
    (row,) = rows(history, "results")
    assert "hunter2" not in Path(files_of(row)["stdout"]["path"]).read_text()
    assert "hunt" not in row["stdout"]


def test_a_secret_that_the_run_cut_in_two_is_not_in_the_row(history):
    note = "\n[... 514 bytes left out ...]\n"
    given = ok("a", f"xxhunter2{note}hunter2-yy")
    variables = {"the_password": "hunter2-hunter2-"}
    record(history, opening(["a"], variables=variables), [replace(given, truncated=True)])
    (row,) = rows(history, "results")
    assert json.loads(row["stdout"]) == f"xx********{note}********yy"


@pytest.mark.parametrize("secret", ["result", "changed", "stdout", "lines", "esu", "msg"])
def test_a_secret_that_is_a_word_of_every_result_leaves_the_record_readable(history, secret):
    given = ok("a", f"the {secret} is out", msg=f"no {secret}", **{f"my {secret}": 1})
    record(history, opening(["a"], variables={"the_password": secret}), [given])
    (row,) = rows(history, "results")
    found = result_of(row)
    assert found.data["changed"] is True
    assert found.data["stdout_lines"] == [f"the {HIDDEN} is out"]
    assert secret not in found.data["msg"]
    assert f"my {HIDDEN}" in found.data


def test_a_secret_is_not_in_what_slurp_answers_with(history):
    variables = {"the_password": "hunter2"}
    contents = [b"user=me\npassword=hunter2\nport=1\n", b"user=me\n", b"\xffhunter2"]
    for content in contents:
        data = {"changed": False, "content": base64.b64encode(content).decode(), "encoding": "base64"}
        record(history, opening(["a"], variables=variables), [HostResult("a", "ok", data)])
    kept = [base64.b64decode(json.loads(row["data"])["result"]["content"]) for row in rows(history, "results")]
    assert sorted(kept) == sorted(content.replace(b"hunter2", b"********") for content in contents)


def test_files_that_the_caller_wanted_are_named(history, tmp_path):
    whole = tmp_path / "whole"
    whole.write_bytes(b"\xff" * 1000)
    result = replace(
        ok("a", "y" * 500), spilled={"stdout": str(whole), "stderr": str(tmp_path / "gone")}, truncated=True
    )
    record(history, opening(["a"]), [result])
    (row,) = rows(history, "results")
    assert files_of(row) == {
        "stdout": {
            "path": str(whole),
            "bytes": 1000,
            "sha256": hashlib.sha256(b"\xff" * 1000).hexdigest(),
            "kept": False,
        },
        "stderr": {"path": str(tmp_path / "gone"), "bytes": None, "sha256": None, "kept": False},
    }
    assert result_of(row).truncated
    assert result_of(row).spilled == result.spilled


def test_a_large_dictionary_is_in_a_file(history):
    facts = {"ansible_facts": {f"fact{n}": "x" * 1000 for n in range(300)}, "msg": "here", "changed": False}
    record(history, opening(["a"]), [replace(ok("a"), data=facts)])
    (row,) = rows(history, "results")
    assert json.loads(Path(files_of(row)["data"]["path"]).read_text()) == facts
    assert result_of(row).data == {"msg": "here", "changed": False}
    assert json.loads(row["data"])["left_out"] == ["ansible_facts"]


def test_a_file_that_can_not_be_written_is_told_once(history, caplog):
    Path(history.outputs.folder).touch()
    told = record(history, opening(["a", "b"]), [ok("a", "x" * 200), ok("b", "x" * 200)])
    assert told.recorded == "incomplete"
    assert [files_of(row)["stdout"]["path"] for row in rows(history, "results")] == [None, None]
    assert all("bytes left out" in row["stdout"] for row in rows(history, "results"))
    (warning,) = [each.getMessage() for each in caplog.records if each.name == "sshexec.history"]
    assert "whole output" in warning


@pytest.mark.parametrize(
    "data",
    [
        {"stdout": 5, "n": float("inf"), "deep": [{"a": None}], "text": "\0\ud800ü"},
        {"stdout": "", "stderr": "\0", "rc": 2**70},
        {"stdout": "a\rb\x1cc", "stdout_lines": ["a", "b", "c"], "changed": True},
    ],
)
def test_results_come_back_as_they_were(database_url, tmp_path, data):
    with History(database_url, state=str(tmp_path)) as history:
        result = replace(ok("a"), data=data, notices=({"notice": "x", "message": "y"},), killed=True)
        assert record(history, opening(["a"]), [result]).recorded == "database"
        assert result_of(rows(history, "results")[0]) == result


def test_what_json_has_no_form_for_is_kept_as_text(history):
    circle: list = []
    circle.append(circle)
    odd = [{("a", 1): "x"}, {"bytes": b"x\xff", "set": {"b"}}, {"circle": circle}]
    told = record(history, opening(["a", "b", "c"]), [replace(ok(h), data=d) for h, d in zip("abc", odd, strict=True)])
    assert told.recorded == "database"
    found = [json.loads(row["data"])["result"] for row in rows(history, "results")]
    assert found == [{"('a', 1)": "'x'"}, {"bytes": "x\ufffd", "set": ["b"]}, {"circle": "[[...]]"}]


def test_what_the_run_itself_left_out_takes_nothing_from_the_file(history):
    note = "\n[... 500 bytes left out ...]\n"
    cut = replace(ok("a", "x" * 100_000 + note + "y" * 100_000), truncated=True)
    told = record(history, opening(["a"]), [cut])
    output = history.records.output(told.id, "a")
    assert not output.whole
    assert "--output-limit" in (output.problem or "")
    assert output.text == cut.stdout
