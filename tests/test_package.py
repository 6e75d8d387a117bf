"""The distributions: what is in them, and that they live next to anything else called inventory or connectors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import sshexec

ROOT = Path(__file__).parent.parent
FOLDERS = {"sshexec": "sshexec", "connectors": "sshexec/connectors", "inventory": "sshexec/inventory"}
HOSTILE = ("gevent", "paramiko", "yaml", "click", "logging", "socket", "json", "sshexec", "runpy")

pytest.importorskip("build", reason="the tests' extra is not installed")


def run(*command: object, cwd: Path) -> str:
    """Run a command that must succeed, without what would lead it to the tree under test; return its output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@dataclass(frozen=True)
class Built:
    """The source tree that was built, and what came out."""

    tree: Path
    sdist: Path
    wheel: Path
    wheel_of_sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build a copy of the tree, without the network."""
    base = tmp_path_factory.mktemp("package")
    tree = base / "tree"
    for folder in (*FOLDERS, "tests", "tools", "docs", "examples", "bench", ".ci"):
        if (ROOT / folder).is_dir():
            shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__", ".venvs"))
    files = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "NOTICE", "CHANGELOG.md", "Makefile")
    for file in files:
        shutil.copy(ROOT / file, tree / file)
    build = (sys.executable, "-m", "build", "--no-isolation")
    run(*build, "--outdir", base / "both", cwd=tree)
    run(*build, "--wheel", "--outdir", base / "direct", cwd=tree)
    (sdist,) = (base / "both").glob("*.tar.gz")
    (wheel_of_sdist,) = (base / "both").glob("*.whl")
    (wheel,) = (base / "direct").glob("*.whl")
    return Built(tree, sdist, wheel, wheel_of_sdist)


@pytest.fixture(scope="module")
def third_party(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the libraries of the environment that runs the tests, without its sshexec."""
    folder = tmp_path_factory.mktemp("third-party")
    for kind in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(kind).iterdir():
            if not entry.name.startswith(("sshexec", "__editable__", "__pycache__")) and entry.suffix != ".pth":
                (folder / entry.name).symlink_to(entry)
    return folder


@dataclass(frozen=True)
class Environment:
    """A virtual environment into which sshexec is installed, next to foreign packages; a folder to run in."""

    folder: Path
    project: Path

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def packages(self) -> Path:
        return Path(
            run(self.bin / "python", "-c", "import site; print(site.getsitepackages()[0])", cwd=self.folder).strip()
        )


@pytest.fixture(scope="module", params=["wheel", "sdist", "editable"])
def installed(
    request: pytest.FixtureRequest, built: Built, third_party: Path, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """sshexec in an otherwise empty environment, installed in one of the three ways."""
    base = tmp_path_factory.mktemp(request.param)
    environment = Environment(base / "venv", base / "project")
    venv.create(environment.folder, symlinks=True)
    packages = environment.packages
    (packages / "third-party.pth").write_text(f"{third_party}\n")
    foreign(packages, "site-packages")
    foreign(environment.project, "project")
    what = {"wheel": [built.wheel], "sdist": [built.sdist], "editable": ["--editable", built.tree]}[request.param]
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check")
    run(environment.bin / "python", "-m", "pip", "install", *options, *what, cwd=base)
    return environment


def foreign(folder: Path, owner: str) -> None:
    """Put an `inventory` module and a `connectors` package of somebody else into a folder."""
    (folder / "connectors").mkdir(parents=True)
    (folder / "inventory.py").write_text(f"OWNER = {owner!r}\n")
    (folder / "connectors" / "__init__.py").write_text(f"OWNER = {owner!r}\n")
    (folder / "connectors" / "base.py").write_text(f"OWNER = {owner!r}\n")


def expected_files() -> set[str]:
    """Return the files of the package as they stand in a wheel."""
    return {
        f"{place}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, place in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def contents(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_the_three_folders_under_one_name(built):
    names = contents(built.wheel)
    packaged = {name for name in names if ".dist-info/" not in name}
    assert packaged == expected_files()
    assert {f"{place}/py.typed" for place in FOLDERS.values()} <= packaged
    for file in ("LICENSE", "NOTICE"):
        (licence,) = (name for name in names if ".dist-info/" in name and name.endswith(f"/{file}"))
        assert names[licence] == (ROOT / file).read_bytes()


def test_the_wheel_made_from_the_sdist_is_the_same(built):
    assert built.wheel_of_sdist.name == built.wheel.name
    assert contents(built.wheel_of_sdist) == contents(built.wheel)


def test_the_sdist_brings_what_a_packager_needs(built):
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.py", "LICENSE", "CHANGELOG.md", "Makefile", "tests/conftest.py", "docs/architecture.md"} <= names
    assert not [name for name in names if name.endswith(".pyc") or "/.venvs/" in name]


WHERE = """
import connectors, inventory, sshexec, sshexec.connectors.base, sshexec.connectors.ssh, sshexec.inventory
import connectors.base as their_base
from importlib import metadata
assert metadata.version("sshexec") == sshexec.__version__
for module in (sshexec, sshexec.connectors.base, sshexec.connectors.ssh, sshexec.inventory):
    print(module.__file__)
print(inventory.OWNER, connectors.OWNER, their_base.OWNER)
"""


@pytest.mark.parametrize("owner", ["project", "site-packages"])
def test_ours_and_theirs_are_found_side_by_side(installed, built, owner, tmp_path):
    folder = installed.project if owner == "project" else tmp_path
    *files, owners = run(installed.bin / "python", "-c", WHERE, cwd=folder).splitlines()
    assert owners == " ".join([owner] * 3)
    homes = (str(installed.folder), str(built.tree))
    assert all(file.startswith(homes) for file in files), files


def test_the_command_works_from_a_folder_that_shadows_everything(installed, tmp_path):
    foreign(tmp_path, "project")
    for name in HOSTILE:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the current folder was imported')\n")
    shown = run(installed.bin / "sshexec", "--help", cwd=tmp_path)
    assert "Usage: sshexec" in shown
    assert sshexec.__version__ in run(installed.bin / "sshexec", "--version", cwd=tmp_path)


def test_the_source_tree_says_that_it_is_no_installation():
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import sshexec"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "is sshexec's source, not an installation" in done.stderr


@pytest.mark.parametrize("where", ["hostile", "source"])
def test_the_demo_works_from_any_folder(installed, built, where, tmp_path):
    folder = built.tree if where == "source" else tmp_path
    for name in HOSTILE if where == "hostile" else ():
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the current folder was imported')\n")
    shown = run(installed.bin / "sshexec", "demo", "--server", "embedded", "--hosts", "2", cwd=folder)
    assert "demo[01-02]" in shown


USE = """
from sshexec import Engine, Inventory
if __name__ == "__main__":
    with Engine(Inventory.load("here,"), variables={"ansible_connection": "local"}) as engine:
        print(engine.run("all", "command", "echo it works")["here"].stdout)
"""


def test_workers_import_nothing_from_the_current_folder(installed, tmp_path):
    script = tmp_path / "script" / "use.py"
    script.parent.mkdir()
    script.write_text(USE)
    current = tmp_path / "current"
    foreign(current, "project")
    for name in HOSTILE:
        (current / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the current folder was imported')\n")
    assert run(installed.bin / "python", script, cwd=current) == "it works\n"
