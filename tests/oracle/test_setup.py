"""``setup`` beside real Ansible's: every fact that we give has its value there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.oracle.case import Case, File
from tests.oracle.judge import judged

USER = ("user",)
LOCAL_FACTS = {
    "facts.d/json.fact": File('{"x": [1, 2], "y": {"z": null}}'),
    "facts.d/ini.fact": File("[S one]\nKey=Value\nother: 1\n"),
    "facts.d/run.fact": File("#!/bin/sh\necho '{\"run\": true}'\n", mode=0o755),
    "facts.d/run-ini.fact": File("#!/bin/sh\nprintf '[a]\\nb=c\\n'\n", mode=0o755),
    "facts.d/text.fact": File('"just"'),
    "facts.d/empty.fact": File(""),
    "facts.d/two words.fact": File("{}"),
    "facts.d/not.txt": File("{}"),
}


def setup(name: str, users: Iterable[str] = USER, **args: Any) -> Case:
    """Return a case whose facts are compared."""
    return Case(name, args, facts=True, users=users)


def local_fact(name: str, file: File) -> Case:
    """Return a case of one local fact."""
    args = {"fact_path": "{t}/facts.d", "filter": "ansible_local"}
    return Case(name, args, target={f"facts.d/{name.replace(' ', '-')}.fact": file}, users=USER)


CASES = [
    setup("everything", users=("user", "root")),
    setup("minimum", gather_subset="min", users=("user", "root")),
    setup("not everything", gather_subset=["!all"]),
    setup("nothing", gather_subset=["!all", "!min"]),
    setup("not the minimum", gather_subset="!min"),
    setup("only the network", gather_subset=["!all", "!min", "network"]),
    setup("network, in a text", gather_subset="network,!min"),
    setup("network and the minimum", gather_subset=["network"]),
    setup("only the hardware", gather_subset=["!all", "!min", "hardware"]),
    setup("everything but the network", gather_subset=["all", "!network"]),
    setup("only what is virtual", gather_subset=["!all", "!min", "virtual"]),
    setup("not what is virtual", gather_subset=["!virtual"]),
    setup("one fact", gather_subset=["!all", "!min", "os_family"]),
    setup("one fact of another room", gather_subset=["!all", "!min", "processor_cores"]),
    setup("one that is excluded and named", gather_subset=["!all", "!min", "env", "!env"]),
    setup("all but one", gather_subset=["all", "!user"]),
    setup("the minimum but one", gather_subset=["!env"]),
    setup("package manager", gather_subset=["!all", "!min", "pkg_mgr"]),
    setup("service manager", gather_subset=["!all", "!min", "service_mgr"]),
    setup("platform", gather_subset=["!all", "!min", "platform"]),
    setup("python", gather_subset=["!all", "!min", "python"]),
    setup("user", gather_subset=["!all", "!min", "user"], users=("root",)),
    setup("clock", gather_subset=["!all", "!min", "date_time"]),
    setup("unknown exclusion", gather_subset=["!nosuch"]),
    setup("empty subset", gather_subset=[]),
    Case("unknown subset", {"gather_subset": ["nosuch"]}, users=USER),
    setup("filter", filter="ansible_dist*"),
    setup("filter of two", filter=["distribution", "kernel"]),
    setup("filter in a text", filter="ansible_kernel,ansible_dom*"),
    setup("filter without the prefix", filter="dist*"),
    setup("filter that nothing fits", filter="nomatch*"),
    setup("filter of what was asked", filter=["module_setup", "gather_subset"]),
    setup("empty filter", filter="", gather_subset="!all"),
    Case("check mode", {"filter": "ansible_kernel"}, check=True, diff=True, users=USER),
    Case("unknown argument", {"bogus": 1}, users=USER),
    Case("no number", {"gather_timeout": "x"}, users=USER),
    Case(
        "local facts",
        {"fact_path": "{t}/facts.d", "filter": "ansible_local"},
        target=LOCAL_FACTS,
        users=("user", "root"),
    ),
    Case("no local facts", {"fact_path": "/nonexistent", "filter": "ansible_local"}, users=USER),
    local_fact("neither json nor ini", File("nothing here")),
    local_fact("a script that prints neither", File("#!/bin/sh\necho plain\n", mode=0o755)),
    local_fact("a script that fails", File("#!/bin/sh\necho oops >&2; exit 3\n", mode=0o755)),
    local_fact("unreadable", File("{}", mode=0)),
    local_fact("no text", File(b"\xff\xfe")),
]

test_setup = judged("setup", CASES)
