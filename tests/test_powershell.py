"""PowerShell of our own, as far as it can be judged without a Windows: by its grammar, and by lists of what there is.

No PowerShell is at hand. So every script is parsed (tree-sitter's grammar), and held to what Windows PowerShell 3.0
and .NET 4.0 have: their commands and parameters, their classes' static members, their reserved names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

from sshexec.connectors import powershell
from sshexec.connectors.winrm.commandline import bootstrap
from sshexec.modules.windows import shell

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "sshexec.connectors.winrm": ROOT / "connectors" / "winrm" / "scripts",
    "sshexec.modules.windows": ROOT / "sshexec" / "modules" / "windows" / "scripts",
}
FILES = [path for folder in FOLDERS.values() for path in sorted(folder.glob("*.ps1"))]
PARSER = Parser(Language(tree_sitter_powershell.language()))


def words(text: str) -> set[str]:
    return set(text.split())


COMMANDS = {
    "Add-Type": "AssemblyName TypeDefinition",
    "ConvertFrom-Json": "InputObject",
    "ConvertTo-Json": "InputObject Compress Depth",
    "ForEach-Object": "Process Begin End",
    "Get-ChildItem": "LiteralPath Force Filter Recurse ErrorAction",
    "Get-CimInstance": "ClassName Filter Namespace Property ErrorAction",
    "Get-Item": "LiteralPath Force ErrorAction",
    "Get-ItemProperty": "LiteralPath Name ErrorAction",
    "New-Object": "TypeName ArgumentList Property",
    "Select-Object": "First Property ExpandProperty",
    "Set-Location": "LiteralPath",
    "Sort-Object": "Property Descending",
    "Start-Sleep": "Seconds Milliseconds",
    "Test-Path": "LiteralPath PathType Path",
    "Where-Object": "FilterScript",
    "Write-Error": "Message",
    "Write-Output": "InputObject",
}
"""Commands of Windows PowerShell 3.0, and those of their parameters that are known here to be in it."""

STATIC = {
    "BitConverter": "ToString",
    "Console": "In Out Error OpenStandardOutput OpenStandardInput InputEncoding OutputEncoding",
    "Convert": "FromBase64String ToBase64String ToInt32",
    "DateTime": "Now UtcNow ParseExact",
    "DateTimeKind": "Utc",
    "Diagnostics.Process": "Start",
    "Environment": "ExpandEnvironmentVariables GetEnvironmentVariables GetEnvironmentVariable GetFolderPath "
    "Is64BitOperatingSystem MachineName OSVersion ProcessorCount TickCount NewLine UserName UserDomainName",
    "Globalization.CultureInfo": "InvariantCulture",
    "Guid": "NewGuid",
    "IO.Directory": "CreateDirectory Delete Exists GetFileSystemEntries GetFiles GetDirectories Move "
    "EnumerateFileSystemEntries",
    "IO.File": "Copy Delete Exists GetAttributes Move Open OpenRead ReadAllBytes ReadAllText Replace SetAttributes "
    "WriteAllBytes",
    "IO.FileAccess": "Read Write ReadWrite",
    "IO.FileAttributes": "Archive Directory Hidden Normal ReadOnly ReparsePoint System",
    "IO.FileMode": "Create CreateNew Open",
    "IO.FileShare": "None Read Write ReadWrite Delete",
    "IO.Path": "Combine GetDirectoryName GetExtension GetFileName GetFileNameWithoutExtension GetFullPath GetPathRoot "
    "GetTempPath IsPathRooted",
    "Math": "Ceiling Floor Min Max Round",
    "Microsoft.Win32.Registry": "GetValue",
    "Net.NetworkInformation.IPGlobalProperties": "GetIPGlobalProperties",
    "Net.NetworkInformation.NetworkInterface": "GetAllNetworkInterfaces",
    "NullString": "Value",
    "Runtime.InteropServices.Marshal": "GetHRForException",
    "ScriptBlock": "Create",
    "Security.AccessControl.AccessControlSections": "Owner",
    "Security.Cryptography.MD5": "Create",
    "Security.Cryptography.SHA1": "Create",
    "Security.Cryptography.SHA256": "Create",
    "Security.Principal.WindowsBuiltInRole": "Administrator",
    "Security.Principal.WindowsIdentity": "GetCurrent",
    "StringComparison": "Ordinal OrdinalIgnoreCase",
    "Text.Encoding": "ASCII UTF8 Unicode",
    "TimeZoneInfo": "Local Utc",
}
"""Static members of .NET Framework 4.0 (mscorlib, System, System.Core: what powershell.exe has loaded)."""

TYPES = {*STATIC} | words(
    "bool byte char double int long string void hashtable array regex pscustomobject ordered ref switch "
    "ArgumentException NotSupportedException UnauthorizedAccessException InvalidOperationException "
    "Collections.ArrayList "
    "IO.IOException IO.FileNotFoundException IO.DirectoryNotFoundException IO.DriveNotFoundException "
    "IO.PathTooLongException IO.FileInfo IO.DirectoryInfo Security.SecurityException "
    "Security.Principal.NTAccount Security.Principal.SecurityIdentifier Security.Principal.WindowsPrincipal"
)

AUTOMATIC = words(
    "_ ? args error false input lastexitcode matches null pid pshome psversiontable true erroractionpreference "
    "progresspreference"
)
"""Variables that are there, or mean something, without being set."""

READ_ONLY = words(
    "? error false true host pid pshome home shellid executioncontext psculture psuiculture psversiontable "
    "args input matches this foreach switch event sender profile pwd myinvocation psboundparameters pscmdlet "
    "psitem stacktrace nestedpromptlevel"
)
"""Variables of PowerShell's own, that no script may use for its own ends."""

ALIASES = words(
    "% ? ac asnp cat cd chdir clc clear clhy cli clp cls clv cnsn compare copy cp cpi cpp curl cvpa dbp del diff dir "
    "dnsn ebp echo epal epcsv epsn erase etsn exsn fc fl foreach ft fw gal gbp gc gci gcm gcs gdr ghy gi gjb gl gm gmo "
    "gp gps group gsn gsnp gsv gu gv gwmi h history icm iex ihy ii ipal ipcsv ipmo ipsn irm ise iwmi iwr kill lp ls "
    "man md measure mi mount move mp mv nal ndr ni nmo npssc nsn nv ogv oh popd ps pushd pwd r rbp rcjb rcsn rd rdr "
    "ren ri rjb rm rmdir rmo rni rnp rp rsn rsnp rujb rv rvpa rwmi sajb sal saps sasv sbp sc select set shcm si sl "
    "sleep sls sort sp spjb spps spsv start sujb sv swmi tee trcm type wget where wjb write gcb scb gin gtz stz"
)
"""Names that mean a command already; an alias goes before a function of the same name."""

NEWER = re.compile(
    r"::new\(|\.(?:ForEach|Where)\(|\b(?:class|enum|using)\s|\?\?|\?\.|-Parallel\b|::(?:Empty|HashData|ToHexString)\(",
    re.IGNORECASE,
)
"""What came after Windows PowerShell 3.0: constructors by ``new``, methods ForEach and Where, classes, operators."""

CAUGHT = {"catch_clauses", "finally_clause"}
BLOCKS = {"begin", "process", "end"}


def sent(path: Path) -> str:
    """Return a script as a host gets it."""
    if path.stem == "bootstrap":
        return bootstrap()
    package = next(name for name, folder in FOLDERS.items() if folder == path.parent)
    return powershell.Script(package, path.stem).command({"path": "C:\\x"}).script


def nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from nodes(child)


def parsed(text: str) -> Node:
    return PARSER.parse(text.encode()).root_node


def faults(text: str) -> list[str]:
    return [
        f"{node.start_point[0] + 1}: {text.splitlines()[node.start_point[0]]}"
        for node in nodes(parsed(text))
        if node.type == "ERROR"
        or node.is_missing
        or (node.type == "try_statement" and not {child.type for child in node.children} & CAUGHT)
    ]


def text_of(node: Node) -> str:
    return (node.text or b"").decode()


def commands(root: Node) -> Iterator[tuple[str, Node]]:
    """Yield each command's name and its node."""
    for node in nodes(root):
        if node.type == "command":
            name = next((child for child in node.children if child.type == "command_name"), None)
            if name is not None:
                yield text_of(name), node


def own_parameters(command: Node) -> Iterator[str]:
    """Yield the names of a command's parameters, those of commands inside it left out."""
    stack = list(command.children)
    while stack:
        node = stack.pop()
        if node.type == "command_parameter":
            yield text_of(node).strip("-:")
        elif node.type != "command":
            stack += node.children


def functions(root: Node) -> set[str]:
    return {
        text_of(child).lower()
        for node in nodes(root)
        if node.type == "function_statement"
        for child in node.children
        if child.type == "function_name"
    }


def unknown(root: Node) -> set[str]:
    """Return what stands where a command does and is none: half a statement too, whose keyword is taken for one."""
    known = functions(root) | {name.lower() for name in COMMANDS} | BLOCKS
    return {name for name, _ in commands(root) if name.lower() not in known}


def bare(variable: str) -> str:
    """Return a variable's name without its sign, its braces and its scope."""
    return variable.lstrip("$@").strip("{}").lower().removeprefix("script:")


def assigned(root: Node) -> set[str]:
    """Return the names of the variables that a script sets."""
    found = set()
    for node in nodes(root):
        if node.type == "left_assignment_expression":
            inside = list(node.children)
            while inside:
                each = inside.pop()
                if each.type == "variable":
                    found.add(bare(text_of(each)))
                elif each.type not in ("member_access", "element_access", "invokation_expression"):
                    inside += each.children
        elif node.type in ("script_parameter", "foreach_statement"):
            found.update(bare(text_of(child)) for child in node.children if child.type == "variable")
    return found


EVERY = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
WHOLE = pytest.mark.parametrize(
    "path", [path for path in FILES if not path.stem.startswith("_")], ids=lambda path: path.stem
)


@EVERY
def test_a_script_is_powershell(path):
    assert not faults(path.read_text("utf-8"))
    assert path.read_text("utf-8").isascii(), "Windows PowerShell reads a file without a BOM in the host's code page"


@WHOLE
def test_what_is_sent_is_powershell(path):
    assert not faults(sent(path))


@WHOLE
def test_its_commands_are_those_of_powershell_3(path):
    root = parsed(sent(path))
    assert unknown(root) == set()
    assert not functions(root) & ALIASES
    for name, node in commands(root):
        allowed = next((words for known, words in COMMANDS.items() if known.lower() == name.lower()), None)
        if allowed is not None:
            parameters = {each.lower() for each in own_parameters(node)}
            assert parameters <= set(allowed.lower().split()), text_of(node)
            assert "path" not in parameters or "variable" in text_of(node).lower() or "\\" not in text_of(node)


@WHOLE
def test_its_classes_are_those_of_net_4(path):
    root = parsed(sent(path))
    known = {each.lower() for each in TYPES}
    used = {text_of(node).strip("[]").lower() for node in nodes(root) if node.type == "type_literal"}
    assert {each for each in used if each.removesuffix("[]") not in known} == set()
    static = {name.lower(): set(members.lower().split()) for name, members in STATIC.items()}
    found = re.findall(r"\[([\w.]+)\]::(\w+)", sent(path))
    assert [(name, member) for name, member in found if member.lower() not in static.get(name.lower(), ())] == []
    assert not NEWER.findall(sent(path))


@WHOLE
def test_its_variables_are_set(path):
    root = parsed(sent(path))
    used = {bare(text_of(node)) for node in nodes(root) if node.type in ("variable", "braced_variable")}
    known = assigned(root) | AUTOMATIC
    assert {name for name in used if name not in known and ":" not in name} == set()
    assert not assigned(root) & READ_ONLY


@WHOLE
def test_a_script_of_blocks_holds_nothing_else(path):
    """Behind ``process {}`` and beside it a statement is a syntax error, which the grammar here lets pass."""
    root = parsed(sent(path))
    top = [child for each in root.children for child in (each.children if each.type == "statement_list" else [each])]
    names = [text_of(node).split("{")[0].strip().lower() for node in top if node.is_named and node.type != "comment"]
    if set(names) & BLOCKS:
        assert set(names) <= BLOCKS
        assert len(set(names)) == len(names)


@WHOLE
def test_a_script_that_reads_lines_says_so(path):
    """powershell.exe hands standard input only to a script that names ``$input``: not in a block within it
    (``AstSearcher.IsUsingDollarInput``, ConsoleHost.cs)."""
    text = sent(path)
    if re.search(r"^process\s*\{", text, re.MULTILINE):
        assert re.search(r"^\$null\s*=\s*\$input$", text, re.MULTILINE)


@pytest.mark.parametrize(
    "path", [each for each in FILES if "::Replace(" in each.read_text("utf-8")], ids=lambda p: p.stem
)
def test_no_file_is_lost_that_could_not_be_replaced(path):
    """ReplaceFile without a backup may end with the old file gone and the new one under its own name
    (ERROR_UNABLE_TO_MOVE_REPLACEMENT)."""
    (behind,) = re.findall(r"::Replace\(.*", sent(path), re.DOTALL)
    caught = re.search(r"catch \{\s*if \(\[IO\.File\]::Exists\((\$\w+)\)\) \{ throw \}\s*\[IO\.File\]::Move\(", behind)
    assert caught is not None


def test_the_bootstrap_calls_no_command():
    """The first command of a session may have PowerShell print that it prepares its modules."""
    assert {name for name, _ in commands(parsed(bootstrap()))} == BLOCKS


@pytest.mark.parametrize("name", ["program", "feed"])
def test_a_program_gets_a_pipe_that_ends(name):
    """What the service made of the command's own input may have no end, and a console's encoding a byte order mark."""
    text = sent(FOLDERS["sshexec.connectors.winrm"] / f"{name}.ps1")
    assert "$info.RedirectStandardInput = $true" in text
    assert "$process.StandardInput.Close()" in text
    assert text.index("[Console]::InputEncoding = New-Object Text.UTF8Encoding $false") < text.index("::Start($info)")


def test_the_prologue_is_powershell():
    text = powershell._PROLOGUE.format(arguments="e30=")
    assert not faults(text)
    assert functions(parsed(text)) == {"answer"}
    assert {name for name, _ in commands(parsed(text))} == {"ConvertTo-Json", "ConvertFrom-Json"}


def test_what_stands_before_a_users_script_is_powershell():
    root = parsed(f"{shell._INPUT}Write-Output 1")
    assert not root.has_error
    assert unknown(root) == set()


@pytest.mark.parametrize("text", ["'", "a\u2018b\u2019", '$x`n"', "", "a\nb"])
def test_a_quoted_text_is_one_literal(text):
    root = parsed(f"Write-Output {powershell.quote(text)}")
    assert not root.has_error
    assert [node.type for node in nodes(root) if node.type.startswith(("verbatim", "expandable", "variable"))] == [
        "verbatim_string_characters"
    ]


@pytest.mark.parametrize("text", ["if (1) {", "foreach ($x in) { }", "$x = ", "try { 1 }", "{ 1", "'", "1 +"])
def test_the_grammar_sees_what_is_wrong(text):
    assert faults(text) or unknown(parsed(text))


def test_the_scripts_are_found():
    assert {path.stem for path in FILES} >= {"bootstrap", "put", "get"}
