"""Inventories and host patterns, made up at random, for real Ansible and ours to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

GROUPS = ("web", "db", "prod", "eu-west", "x_1", "9g")
HOSTS = (
    *("h1", "h2", "web01", "db.example.com", "10.0.0.7", "UPPER", "w-1_x"),
    *("web[1:3]", "n[01:03]", "s[a:c].example.com", "r[1:9:4]", "m[0:1]x[a:b]", "h3:2222", "[2001:db8::1]:22", "q[:2]"),
)
NAMES = ("v", "w", "http_port", "ansible_port", "ansible_user", "ansible_host", "role", "a_list")
LITERALS = (
    *("80", "true", "True", "None", "1.5", "0x10", "007", "1_000", "-3", "[1, 2]", "{'a': [1]}", "(1, 2)", "yes", "~"),
    *("plain", "a/b.c", "x=y", "'08'", '"two words"', "''", "a:b", "1e3", "@x", "ä", "'it''s'", "{1, 2}"),
)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-5, 10**6),
        st.sampled_from([0.5, -1.25, 1e10]),
        st.sampled_from(
            ["", "text", "two words", "80", "yes", "null", "'q'", "{{ v }}", "ä", "a: b", "# no", "2020-01-01"]
        ),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("abc"), inner, max_size=2)),
    max_leaves=4,
)
PRIORITY = "ansible_group_priority"


def variables(priority: bool = False) -> st.SearchStrategy[dict[str, Any]]:
    """Return variables as YAML has them; those of a group may say how strong it is."""
    plain = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3)
    if not priority:
        return plain
    more = st.one_of(st.just({}), st.integers(0, 20).map(lambda number: {PRIORITY: number}))
    return st.builds(lambda one, two: {**one, **two}, plain, more)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a YAML inventory: groups with hosts, variables and children, nested and repeated."""

    def group(depth: int, below: int) -> dict[str, Any] | None:
        content: dict[str, Any] = {}
        if draw(st.booleans()):
            hosts = draw(st.lists(st.sampled_from(HOSTS), max_size=3, unique=True))
            content["hosts"] = {host: draw(st.one_of(st.none(), variables())) for host in hosts} or None
        if draw(st.integers(0, 2)) == 0:
            content["vars"] = draw(variables(priority=True)) or None
        if depth < 3 and below < len(GROUPS) and draw(st.booleans()):
            # A child comes later in the list than its parent: no circles.
            names = draw(st.lists(st.sampled_from(range(below, len(GROUPS))), min_size=1, max_size=2, unique=True))
            content["children"] = {GROUPS[n]: group(depth + 1, n + 1) for n in names}
        return content or None

    tops = draw(st.lists(st.sampled_from(range(-1, len(GROUPS))), min_size=1, max_size=4, unique=True))
    return {"all" if n < 0 else GROUPS[n]: group(0, n + 1) for n in tops}


@st.composite
def ini_texts(draw: st.DrawFn) -> str:
    """Draw an INI inventory: sections in any order, comments, blank lines."""
    words = [each for each in LITERALS if " " not in each or each[0] in "'\""]

    def settings() -> str:
        pairs = draw(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(words)), max_size=2))
        return "".join(f" {name}={value}" for name, value in pairs)

    def host_lines() -> list[str]:
        hosts = draw(st.lists(st.sampled_from(HOSTS), max_size=3))
        comments = st.sampled_from(["", "", " # why", "  "])
        return [f"{host}{settings()}{draw(comments)}" for host in hosts]

    lines = host_lines()
    known = draw(st.lists(st.sampled_from(range(len(GROUPS))), max_size=4, unique=True))
    sections = []
    for n in known:
        name = GROUPS[n]
        sections.append([f"[{name}]{draw(st.sampled_from(['', ' # group']))}", *host_lines()])
        if draw(st.booleans()):
            pairs = draw(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(LITERALS)), max_size=3))
            gaps = st.sampled_from(["=", " = ", "= "])
            held = [f"{key}{draw(gaps)}{value}" for key, value in pairs]
            if draw(st.integers(0, 3)) == 0:
                held.append(f"{PRIORITY}={draw(st.integers(0, 20))}")
            sections.append([f"[{name}:vars]", *held])
        children = [GROUPS[child] for child in known if child > n and draw(st.booleans())]
        if children:
            sections.append([f"[{name}:children]", *children])
    if draw(st.integers(0, 3)) == 0:
        sections.append(["[all:vars]", f"v={draw(st.sampled_from(LITERALS))}"])
    for section in draw(st.permutations(sections)):
        lines += [*section, *draw(st.sampled_from([[], [""], ["; comment", "# comment"]]))]
    return "\n".join([*lines, ""])


@st.composite
def variable_files(draw: st.DrawFn) -> dict[str, str]:
    """Draw what stands in ``group_vars`` and ``host_vars``, by path."""
    names = st.sampled_from(["all", "ungrouped", *GROUPS, "h1", "web1", "web01", "10.0.0.7", "n02"])
    shapes = st.sampled_from(["{}", "{}.yml", "{}.yaml", "{}.json", "{}/a.yml", "{}/b", "{}/sub/c.yml", "{}/x.txt"])
    files: dict[str, str] = {}
    for _ in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["group_vars", "host_vars"]))
        path = f"{kind}/{draw(shapes).format(draw(names))}"
        if not any(path.startswith(f"{other}/") or other.startswith(f"{path}/") for other in files):
            held = draw(variables())
            files[path] = json.dumps(held) if draw(st.booleans()) else yaml.safe_dump(held)
    return files


@st.composite
def inventories(draw: st.DrawFn) -> dict[str, str]:
    """Draw the files of an inventory directory; the sources are those that stand in it directly."""
    files: dict[str, str] = {}
    kinds = draw(st.sampled_from(["yaml", "ini", "json", "yaml ini", "ini yaml", "ini ini"]))
    for number, kind in enumerate(kinds.split()):
        if kind == "ini":
            files[f"{number}-hosts{draw(st.sampled_from(['', '.ini']))}"] = draw(ini_texts())
        else:
            tree = draw(trees())
            files[f"{number}-hosts.{kind}"] = json.dumps(tree) if kind == "json" else yaml.safe_dump(tree)
    return {**files, **draw(variable_files())}


def written(folder: Path, files: dict[str, str]) -> list[str]:
    """Write the files of an inventory and return its sources."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return [str(folder / name) for name in files if "/" not in name]


_MEMBERS = (
    *GROUPS,
    *("all", "ungrouped", "h1", "h2", "h3", "web01", "web1", "db.example.com", "10.0.0.7", "n01", "2001:db8::1"),
    *("localhost", "nobody", "same", "*", "w*", "?1", "*.example.com", "h[12]", "n0[!1]", "[hw]*", "e*-*"),
    *("~web", "~.*1$", "~(h|w)", "~^.b", "~10\\.0"),
)
_SUBSCRIPTS = ("", "", "", "[0]", "[-1]", "[1]", "[0:1]", "[1:]", "[1-2]", "[9]", "[-2]", "[2:1]")


@st.composite
def patterns(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Draw a host pattern of one to four parts, and those parts without what joins them."""
    bare = []
    for _ in range(draw(st.integers(1, 4))):
        member = draw(st.sampled_from(_MEMBERS))
        # Behind a glob Ansible counts a host as often as a group that matches has it, so that "*[1]" may be the host
        # that "*[0]" is. Ours counts each once: what --list-hosts shows can be counted.
        glob = member.startswith("~") or any(special in member for special in "*?[")
        bare.append(member if glob else member + draw(st.sampled_from(_SUBSCRIPTS)))
    parts = [draw(st.sampled_from(["", "", "&", "!"])) + part for part in bare]
    return draw(st.sampled_from([",", ":", ", "])).join(parts), bare
