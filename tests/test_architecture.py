"""The house: who may import what, how large a module may be, and what `import sshexec` must not do.

docs/architecture.md draws the picture and says why; its table of rooms is read here.
"""

from __future__ import annotations

import ast
import functools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {"sshexec": "sshexec", "connectors": "sshexec.connectors", "inventory": "sshexec.inventory"}

PICTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MAY_IMPORT = {
    room: set(allowed.split()) for room, allowed in re.findall(r"^\| `(\w+)` \|.*\| ([\w ]*)\|$", PICTURE, re.MULTILINE)
}
"""Each room of the house, and the rooms it may import besides itself; "sshexec" is the package's own front door."""

THIRD_PARTY: dict[str, tuple[str, ...]] = {
    "paramiko": ("connectors/ssh/", "sshexec/demo/"),
    "gevent": ("sshexec/runtime/", "sshexec/cli/", "sshexec/demo/", "sshexec/web/server.py", "sshexec/__main__.py"),
    "winrm": ("connectors/winrm/",),
    "requests": ("connectors/winrm/",),
    "requests_ntlm": ("connectors/winrm/",),
    "requests_credssp": ("connectors/winrm/",),
    "spnego": ("connectors/winrm/",),
    "kerberos": ("connectors/winrm/",),
    "sqlalchemy": ("inventory/cmdb/", "sshexec/history/", "sshexec/database/"),
    "alembic": ("inventory/cmdb/", "sshexec/history/", "sshexec/database/"),
    "cryptography": ("connectors/ssh/", "connectors/winrm/", "sshexec/credentials/", "sshexec/demo/"),
    "click": ("sshexec/cli/", "sshexec/__main__.py"),
    "rich": ("sshexec/cli/", "sshexec/demo/"),
    "jinja2": ("sshexec/templating.py",),
    "yaml": ("inventory/",),
    "ansible": ("sshexec/modules/ansible/build.py",),
    "wsproto": ("sshexec/web/",),
    "werkzeug": ("sshexec/web/",),
}
"""A library, and the only places that import it."""

MAX_MODULE_LINES = 500
MAX_FUNCTION_LINES = 60
VAGUE = re.compile(r"_?(utils?|helpers?|common|misc|stuff|tools?|managers?|core|base_?classes)")


@dataclass(frozen=True)
class Module:
    """One file of the product."""

    path: Path

    @property
    def file(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def name(self) -> str:
        folder, *rest = self.path.relative_to(ROOT).with_suffix("").parts
        return ".".join([FOLDERS[folder], *(part for part in rest if part != "__init__")])

    @functools.cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.file)

    @functools.cached_property
    def nodes(self) -> list[ast.AST]:
        return list(ast.walk(self.tree))

    @functools.cached_property
    def imports(self) -> list[tuple[int, str]]:
        """(line, dotted name) of whatever is imported, anywhere in the file; of a `from` import each name."""
        found = []
        for node in self.nodes:
            if isinstance(node, ast.Import):
                found += [(node.lineno, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                found += [(node.lineno, f"{'.' * node.level}{node.module}.{alias.name}") for alias in node.names]
        return found


MODULES = [Module(path) for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def room_of(name: str) -> str:
    """Return the room of a dotted name below sshexec; its own name for what stands in `sshexec/__init__.py`."""
    first = name.split(".")[1] if "." in name else ""
    return first if first in MAY_IMPORT else "sshexec"


def test_every_room_has_its_place_in_the_picture():
    rooms = {module.name.split(".")[1] for module in MODULES if module.name != "sshexec"}
    assert rooms <= set(MAY_IMPORT)


def test_the_ground_floor_stands_on_nothing():
    ground = {"errors", "plugins", "scalars", "secret"}
    assert [room for room in ground if MAY_IMPORT[room]] == ["secret"]
    assert MAY_IMPORT["secret"] == {"errors"}
    assert MAY_IMPORT["expect"] == {"errors"}
    assert MAY_IMPORT["connectors"] == ground | {"expect"}
    assert MAY_IMPORT["database"] == {"errors", "secret"}
    assert MAY_IMPORT["credentials"] == {"errors", "plugins", "secret"}
    assert MAY_IMPORT["inventory"] == ground | {"credentials", "database"}
    assert MAY_IMPORT["modules"] == ground | {"connectors"}
    assert MAY_IMPORT["runtime"].isdisjoint({"inventory", "engine", "run", "cli", "demo", "sshexec"})


def test_the_picture_has_no_circles():
    for room, allowed in MAY_IMPORT.items():
        for other in allowed - {"sshexec"}:
            assert room not in MAY_IMPORT[other], f"{room} and {other} may import each other"


def allowed_to(own: str) -> set[str]:
    """Return the rooms that a room may import."""
    if own != "sshexec":
        return {own, *MAY_IMPORT[own]}
    # The front door loads its names on first use; the type checker sees where they come from.
    return {"engine", "run", "history", "inventory", "connectors", "events", "results", "secret", "errors", "terminal"}


def test_imports_go_one_way():
    wrong = [
        f"{module.file}:{line}: {own} imports {name}"
        for module in MODULES
        for own in [room_of(module.name)]
        for line, name in module.imports
        if name.split(".")[0] == "sshexec" and room_of(name) not in allowed_to(own)
    ]
    assert not wrong, "\n".join(wrong)


def test_libraries_stay_in_their_rooms():
    wrong = [
        f"{module.file}:{line}: {name}"
        for module in MODULES
        for line, name in module.imports
        if not module.file.startswith(THIRD_PARTY.get(name.split(".")[0], ("",)))
    ]
    assert not wrong, "\n".join(wrong)


def test_imports_are_absolute_and_by_the_installed_name():
    wrong = [
        f"{module.file}:{line}: {name}"
        for module in MODULES
        for line, name in module.imports
        if name.startswith(".") or name.split(".")[0] in {"connectors", "inventory", "tests", "bench"}
    ]
    assert not wrong, "\n".join(wrong)


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines without its docstring."""
    first = function.body[0]
    described = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return (function.end_lineno or 0) - function.lineno + 1 - (first.end_lineno - first.lineno + 1 if described else 0)


def test_a_module_holds_one_noun():
    vague = [module.file for module in MODULES if VAGUE.fullmatch(module.path.stem)]
    assert not vague
    large = [module.file for module in MODULES if module.text.count("\n") > MAX_MODULE_LINES]
    assert not large
    long = [
        f"{module.file}:{node.lineno}: {node.name}"
        for module in MODULES
        for node in module.nodes
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and lines_of(node) > MAX_FUNCTION_LINES
    ]
    assert not long


def definitions(node: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Yield what is defined directly in a module or class."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return (child for child in node.body if isinstance(child, kinds))


@functools.cache
def documented_methods() -> set[str]:
    """Return "Class.method" for each method of the product that has a docstring."""
    classes = [node for module in MODULES for node in definitions(module.tree) if isinstance(node, ast.ClassDef)]
    return {f"{cls.name}.{method.name}" for cls in classes for method in definitions(cls) if ast.get_docstring(method)}


def undocumented(module: Module, inherited: set[str]) -> Iterator[str]:
    """Yield the public names of a module that have no docstring, and inherit none from the product or a library."""
    libraries = {name.split(".")[-1] for _, name in module.imports if name.split(".")[0] in THIRD_PARTY}
    if not ast.get_docstring(module.tree):
        yield module.file
    for node in definitions(module.tree):
        if node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield node.name
        if isinstance(node, ast.ClassDef):
            bases = {name.id for base in node.bases for name in ast.walk(base) if isinstance(name, ast.Name)}
            for method in definitions(node) if bases.isdisjoint(libraries) else ():
                known = ast.get_docstring(method) or any(f"{base}.{method.name}" in inherited for base in bases)
                if not method.name.startswith("_") and not known and not is_accessory(method):
                    yield f"{node.name}.{method.name}"


def is_accessory(method: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Whether a definition is a property's setter or an overload, which the first definition speaks for."""
    shown = [ast.unparse(decorator) for decorator in method.decorator_list]
    return any(name == "overload" or name.endswith((".setter", ".overload")) for name in shown)


def test_public_names_have_docstrings():
    missing = [f"{module.file}: {name}" for module in MODULES for name in undocumented(module, documented_methods())]
    assert not missing, "\n".join(missing)


LOOK = """
import json, logging, signal, socket, sys, threading, time, warnings
before = {
    "modules": set(sys.modules),
    "socket": socket.socket, "sleep": time.sleep, "ident": threading.get_ident, "hook": sys.excepthook,
    "handlers": list(logging.root.handlers), "level": logging.root.level, "int": signal.getsignal(signal.SIGINT),
    "filters": list(warnings.filters),
}
%s
hub = getattr(sys.modules.get("gevent._hub_local"), "get_hub_if_exists", lambda: None)()
named = [n for n, l in logging.root.manager.loggerDict.items() if isinstance(l, logging.Logger)
         and any(not isinstance(h, logging.NullHandler) for h in l.handlers) and n.startswith("sshexec")]
print(json.dumps({
    "loaded": sorted({name.split(".")[0] for name in set(sys.modules) - before["modules"]}),
    "patched": [name for name, is_same in {
        "socket": socket.socket is before["socket"], "time": time.sleep is before["sleep"],
        "threading": threading.get_ident is before["ident"], "excepthook": sys.excepthook is before["hook"],
        "SIGINT": signal.getsignal(signal.SIGINT) is before["int"], "warnings": warnings.filters == before["filters"],
    }.items() if not is_same],
    "threads": [t.name for t in threading.enumerate() if t is not threading.main_thread()],
    "hub": repr(hub) if hub is not None else None,
    "logging": named + [repr(h) for h in logging.root.handlers if h not in before["handlers"]]
        + ([logging.root.level] if logging.root.level != before["level"] else []),
}))
"""


def look(statement: str) -> dict[str, object]:
    """Run a statement in a fresh interpreter and return what it did to the process."""
    done = subprocess.run([sys.executable, "-c", LOOK % statement], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


UNTOUCHED = {"patched": [], "threads": [], "hub": None, "logging": []}


def test_import_sshexec_has_no_side_effects():
    seen = look("import sshexec")
    loaded = set(seen.pop("loaded"))
    assert "sshexec" in loaded
    assert loaded <= {"sshexec", *sys.stdlib_module_names}
    assert seen == UNTOUCHED


def test_the_look_sees_what_it_looks_for():
    seen = look("import gevent.monkey; gevent.monkey.patch_all(); gevent.get_hub(); logging.basicConfig()")
    assert {"socket", "time", "threading"} <= set(seen["patched"])
    assert seen["hub"]
    assert seen["logging"]


def test_loading_every_public_name_leaves_the_process_alone():
    seen = look("from sshexec import *")
    loaded = set(seen.pop("loaded"))
    assert loaded.isdisjoint({"gevent", "paramiko", "requests", "click", "rich", "sqlalchemy"})
    assert seen == UNTOUCHED


@pytest.mark.parametrize(
    ("connection", "own", "others"),
    [
        ("ssh", "paramiko", {"winrm", "requests", "urllib3", "spnego"}),
        ("winrm", "winrm", {"paramiko"}),
        ("local", "sshexec", {"winrm", "requests", "urllib3", "spnego", "paramiko"}),
    ],
)
def test_a_connection_loads_its_own_library_only(connection, own, others):
    seen = look(
        "from sshexec.connectors.registry import connector_class\n"
        "from sshexec.modules.registry import module_on\n"
        f"connector = connector_class({connection!r})\n"
        "module_on('ping', connector.capabilities)\n"
        "connector.Context().close()"
    )
    loaded = set(seen["loaded"])
    assert own in loaded
    assert loaded.isdisjoint(others)
