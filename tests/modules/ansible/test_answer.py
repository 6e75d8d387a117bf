"""What a module prints, made into a result; the cases are what ansible-core 2.19.14 answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sshexec.modules.ansible.answer import read


def event(message: str) -> dict[str, Any]:
    return {"msg": message, "__ansible_type": "Event"}


def read_json(**answer: Any) -> dict[str, Any]:
    return read(json.dumps(answer), "", 0, "python3")


def test_lines_around_the_json_are_let_pass() -> None:
    assert read('Welcome!\n  {"changed": true,\n "x": 1}\n', "noise", 0, "python3") == {"changed": True, "x": 1}
    assert read('{"x": 1}\nbye\n', "", 0, "python3") == {
        "changed": False,
        "x": 1,
        "warnings": ["Module invocation had junk after the JSON data: bye"],
    }


@pytest.mark.parametrize(
    ("stdout", "rc", "message"),
    [
        ("", 1, "Module result deserialization failed: No start of json char found"),
        ("[1]\n", 0, "Module result deserialization failed: No start of json char found"),
        ('{"a": 1\n', 0, "Module result deserialization failed: No end of json char found"),
        ("{a}\n", 3, "Module result deserialization failed: Expecting property name enclosed in double quotes: "
         "line 1 column 2 (char 1)"),
        ("", 127, "The module interpreter '/opt/python' was not found."),
    ],
)  # fmt: skip
def test_no_json(stdout: str, rc: int, message: str) -> None:
    assert read(stdout, "Traceback", rc, "/opt/python") == {
        "failed": True,
        "changed": False,
        "msg": message,
        "module_stdout": stdout,
        "module_stderr": "Traceback",
        "rc": rc,
    }


def test_failed_is_said_or_follows_from_the_exit_status() -> None:
    assert read_json(failed=True, msg="x", changed=True) == {"failed": True, "msg": "x", "changed": True}
    assert read_json(rc=3) == {"failed": True, "rc": 3, "changed": False, "msg": "Action failed: Unknown error."}
    assert read_json(rc=3, failed=False) == {"rc": 3, "changed": False}
    assert read_json(rc=0) == {"rc": 0, "changed": False}


def test_output_has_its_lines_too() -> None:
    result = read_json(stdout="a\nb", stderr="c", stdout_lines=["kept"])
    assert (result["stdout_lines"], result["stderr_lines"]) == (["kept"], ["c"])


def test_what_is_not_a_list_is_no_results() -> None:
    assert read_json(results=[1]) == {"results": [1], "changed": False}
    assert read_json(results="x")["ansible_module_results"] == "x"


def test_internal_keys_go() -> None:
    assert read_json(_ansible_x=1) == {
        "changed": False,
        "warnings": ["Removed unexpected internal key in module return: _ansible_x = 1"],
    }


def test_an_exception_that_was_not_caught_is_the_message() -> None:
    summary = {"event": event("boom"), "__ansible_type": "ErrorSummary"}
    assert read_json(failed=True, exception=summary) == {
        "failed": True,
        "changed": False,
        "msg": "Module failed: boom",
    }
    assert read_json(failed=True, exception=summary, msg="mine")["msg"] == "mine"


def test_what_led_to_an_exception_is_said_behind_it() -> None:
    def caused(message: str, cause: dict[str, Any], follow: bool = True) -> dict[str, Any]:
        return {**event(message), "chain": {"event": cause, "follow": follow}}

    def said(what: dict[str, Any]) -> Any:
        return read_json(failed=True, exception={"event": what, "__ansible_type": "ErrorSummary"})["msg"]

    assert said(caused("No access.", event("[Errno 13]"))) == "Module failed: No access: [Errno 13]"
    assert said(caused("No access: [Errno 13]", event("[Errno 13]"))) == "Module failed: No access: [Errno 13]"
    assert said(caused("a", caused("b", event("c")))) == "Module failed: a: b: c"
    assert said(caused("a", event("b"), follow=False)) == "Module failed: a"


def test_warnings_and_deprecations_are_plain() -> None:
    deprecator = {"resolved_name": "ansible.builtin", "type": None, "__ansible_type": "PluginInfo"}
    result = read_json(
        warnings=["old style", {"event": event("careful"), "__ansible_type": "WarningSummary"}],
        deprecations=[
            {"event": event("old"), "deprecator": deprecator, "version": "2.99", "__ansible_type": "DeprecationSummary"}
        ],
    )
    assert result["warnings"] == ["old style", "careful"]
    assert result["deprecations"] == [
        {
            "msg": "old",
            "collection_name": "ansible.builtin",
            "version": "2.99",
            "deprecator": {"resolved_name": "ansible.builtin", "type": None},
        }
    ]
