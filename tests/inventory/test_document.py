"""YAML and JSON texts: values, lines, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sshexec.errors import InventoryError
from sshexec.inventory import document
from sshexec.inventory.document import read_json, read_yaml

_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(_plain)
def test_yaml_comes_back_as_it_went(value: Any) -> None:
    assert read_yaml(yaml.safe_dump(value), "x.yml").data == value


@given(_plain)
def test_json_comes_back_as_it_went(value: Any) -> None:
    assert read_json(json.dumps(value), "x.json").data == value


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_each_key_has_its_line(monkeypatch: pytest.MonkeyPatch, loader: str) -> None:
    if not hasattr(yaml, loader):
        pytest.skip("PyYAML without libyaml")
    monkeypatch.setattr(document, "_LOADER", getattr(yaml, loader))
    read = read_yaml("# c\na:\n  b: 1\n\n  c: {d: 2}\ne: &x {f: 1}\ng: {<<: *x}\n", "x.yml")
    assert read.lines_of(read.data) == {"a": 2, "e": 6, "g": 7}
    assert read.lines_of(read.data["a"]) == {"b": 3, "c": 5}
    assert read.lines_of(read.data["g"]) == {"f": 6}


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("a:\n  b: 1\n  b: 2\n", 3, "the key 'b' stands twice, first on line 2"),
        ("a:\n\tb: 1\n", 2, "a tab indents this line"),
        ("a:\n  b: [1,\n\n\n", 2, "is not valid YAML"),
        ("{bad", 1, "is not valid YAML"),
        ("a: 1\rb: [1,\r", 2, "is not valid YAML"),
        ("a: 1\nb: x: y\n\n", 2, "is not valid YAML"),
        ("a: [1,\nb: 2\n", None, "is not valid YAML"),
        ("a: b: c\n", 1, "mapping values are not allowed"),
        ("a: 'x\n", None, "is not valid YAML"),
        ("a: 1\n---\nb: 1\n", None, "is not valid YAML"),
        ("a: *nope\n", 1, "a text that begins with '*'"),
        ("a: 1\nb: x\x07\n", 2, "is not valid YAML"),
        ("a: 1\np: !vault |\n  6133\n", 2, "'!vault' wants a text that ansible-vault has encrypted"),
        ("a: !vault [x]\n", 1, "'!vault' stands before a text only"),
        ("!vault x: 1\n", 1, "a key can't be encrypted"),
        ("a: !!python/object:os.system {}\n", 1, "is not supported"),
        ("a: !hunter2 1\n", 1, "a text that begins with '!' must stand in quotes"),
        ("a: !!set {x, y}\n", 1, "the tag !!set is not supported"),
        ("a: !!bool maybe\n", 1, "this is no boolean"),
        ("a: !!int x\n", 1, "this is no int"),
        ("a: 2024-13-45\n", 1, "this is no timestamp"),
        ("? [a]\n: 1\n", 1, "a key must be a plain value"),
        ("a: {<<: 5}\n", 1, "'<<' merges mappings only"),
        ("a: &a\n  b: *a\n", 1, "an alias refers to the value that it stands in"),
        ("a: " + "[" * 150 + "]" * 150, 1, "nested deeper than 100 levels"),
    ],
)
def test_a_wrong_yaml_is_refused(
    monkeypatch: pytest.MonkeyPatch, loader: str, text: str, line: int | None, reason: str
) -> None:
    if not hasattr(yaml, loader):
        pytest.skip("PyYAML without libyaml")
    monkeypatch.setattr(document, "_LOADER", getattr(yaml, loader))
    with pytest.raises(InventoryError) as caught:
        read_yaml(text, "x.yml")
    assert reason in caught.value.message
    assert "hunter2" not in str(caught.value)
    assert caught.value.path == "x.yml"
    assert line is None or caught.value.line == line
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
@pytest.mark.parametrize("text", ["[" * 200_000, "{a: " * 200_000], ids=["lists", "mappings"])
def test_endless_nesting_is_refused(monkeypatch: pytest.MonkeyPatch, loader: str, text: str) -> None:
    if not hasattr(yaml, loader):
        pytest.skip("PyYAML without libyaml")
    monkeypatch.setattr(document, "_LOADER", getattr(yaml, loader))
    with pytest.raises(InventoryError):
        read_yaml(text, "x.yml")


def test_a_billion_laughs_are_refused() -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(InventoryError, match="stands for more than 3000000 values"):
        read_yaml("\n".join(lines), "x.yml")


def test_an_alias_is_one_value_twice() -> None:
    assert read_yaml("a: &x {b: 1}\nc: *x\nd: [*x, *x]\n", "x.yml").data == {
        "a": {"b": 1},
        "c": {"b": 1},
        "d": [{"b": 1}, {"b": 1}],
    }


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('{"a": 1,\n}', None, "is not valid JSON"),
        ('{\n"a": x}', 2, "is not valid JSON"),
        ('{\n"a": 1\n\n', 2, "is not valid JSON"),
        ('{"a": 1, "a": 2}', None, "the key 'a' stands twice"),
        ("[" * 200_000, None, "is nested too deeply"),
        ("9" * 10_000, None, "is not valid JSON"),
    ],
)
def test_a_wrong_json_is_refused(text: str, line: int | None, reason: str) -> None:
    with pytest.raises(InventoryError) as caught:
        read_json(text, "x.json")
    assert reason in caught.value.message
    assert line is None or caught.value.line == line
