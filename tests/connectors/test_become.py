"""Whom a host's variables let a task become, and what is said to sudo, su and doas; a double stands in for them."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sshexec import Engine, Host, Inventory, Secret
from sshexec.connectors.base import Capability, Command, Completed, Connector, Deadline, Timeouts
from sshexec.connectors.become import Become, BecomeKeywords
from sshexec.connectors.broker import Broker
from sshexec.connectors.escalation import Dialogue, Escalation
from sshexec.connectors.fake import FakeConnector, FakeOptions
from sshexec.connectors.local import LocalConnector, LocalContext, LocalOptions
from sshexec.connectors.output import Output
from sshexec.connectors.partial import temporary_name
from sshexec.connectors.posix import Frame, quote
from sshexec.connectors.prompts import Answer, Prompts, Question
from sshexec.errors import ArgumentError, BecomeError, CommandTimeoutError, OptionError

PASSWORD = "ca-nary pass'word"

# What differs between sudo, sudo-rs and their languages is only what they say. This one says what it is told to, reads
# a byte at a time as they do, and becomes nobody.
DOUBLE = r"""#!/bin/sh
quiet=
while [ $# -gt 0 ]; do
case $1 in -p) prompt=$2; shift 2 ;; -u) shift 2 ;; -n) quiet=1; shift ;; -*) shift ;; *) break ;; esac
done
if [ "$TTY" ] && ! (: </dev/tty) 2>/dev/null; then echo "sudo: Entschuldigung, TTY fehlt" >&2; exit 1; fi
[ -z "$quiet" ] || [ "$NOPASSWD" ] || { printf '%b\n' "${NEEDED:-sudo: a password is required}" >&2; exit 1; }
tries=0
while [ -z "$NOPASSWD" ]; do
printf "$FORM" "$prompt" >&2
IFS= read -r answer || exit 1
printf '%s\n' "$answer" >>"$HEARD"
[ "$answer" != "$WANTED" ] || break
tries=$((tries + 1)); [ $tries -lt 3 ] || { echo "sudo: 3 incorrect password attempts" >&2; exit 1; }
printf '%b\n' "$SORRY" >&2
done
exec "$@"
"""

SUDO = {"FORM": "%s", "SORRY": "Sorry, try again."}
SUDO_RS = {"FORM": "[sudo: %s] Password: ", "SORRY": "sudo: Authentication failed, try again."}
GERMAN = {"FORM": "\\r\\nEin Hinweis der Verwaltung.\\r\\n%s", "SORRY": "Das hat nicht funktioniert, bitte nochmal."}


class People(Prompts):
    """Somebody who knows the answers, in their order."""

    available = True

    def __init__(self, *answers: str | None) -> None:
        self.answers = list(answers)
        self.questions: list[Question] = []
        self.verdicts: list[bool | None] = []

    def ask(
        self, question: Question, deadline: Deadline, guard: Callable[[], None], *, instead_of: Answer | None = None
    ) -> Answer:
        if instead_of is not None:
            instead_of.reject()
        self.questions.append(question)
        answer = self.answers.pop(0)
        return Answer(None if answer is None else Secret(answer), self.verdicts.append)


class Double:
    """A connection to this machine where a double is sudo."""

    def __init__(self, folder: Path) -> None:
        self.heard = folder / "heard"
        self.program = folder / "sudo"
        self.program.write_text(DOUBLE)
        self.program.chmod(0o755)
        self.context = LocalContext()
        self.connector: LocalConnector | None = None

    def open(
        self, password: str | None = PASSWORD, timeouts: Timeouts | None = None, host: str = "web1", **says: str
    ) -> LocalConnector:
        says = {"WANTED": PASSWORD, "HEARD": str(self.heard), **SUDO, **says}
        words = " ".join(["env", *(quote(f"{name}={value}") for name, value in says.items()), str(self.program)])
        options = LocalOptions.from_vars({})
        self.connector = LocalConnector(host, options, self.context, timeouts or Timeouts())
        variables = {"ansible_become": True, "ansible_become_exe": words, "ansible_become_pass": password}
        self.connector.become = Become.from_vars(variables)
        self.connector.open(Deadline.after(10))
        return self.connector

    @property
    def answers(self) -> list[str]:
        return self.heard.read_text().splitlines() if self.heard.exists() else []


@pytest.fixture
def double(tmp_path: Path) -> Iterator[Double]:
    made = Double(tmp_path)
    yield made
    if made.connector is not None:
        made.connector.close()


def execute(
    connector: Connector[Any, Any], script: str, stdin: Any = None, **more: Any
) -> tuple[Completed, bytes, bytes]:
    output = Output()
    done = connector.execute(Command(script, stdin=stdin, **more), output, Deadline.after(30))
    return done, output.stdout, output.stderr


# ---------------------------------------------------------------- variables


def test_a_variable_wins_over_the_keyword_and_the_method_over_all_methods() -> None:
    keywords = BecomeKeywords(True, "deploy", "su", "-")
    assert Become.from_vars({}, keywords) == Become("su", "deploy", "su", "-")
    assert Become.from_vars({"ansible_become": "no"}, keywords) is None
    assert Become.from_vars({"ansible_become_user": "x"}) is None
    assert Become.from_vars({"ansible_become": "yes"}) == Become("sudo", "root", "sudo", "-H -S -n")
    variables = {
        "ansible_become": 1,
        "ansible_become_method": "community.general.doas",
        "ansible_become_user": "all",
        "ansible_doas_user": "mine",
        "ansible_sudo_user": "other",
        "ansible_become_exe": "/bin/all",
        "ansible_doas_exe": "/opt/doas",
        "ansible_become_flags": "-x",
        "ansible_become_password": "weak",
        "ansible_become_pass": "strong",
        "ansible_doas_prompt_l10n": ["Kennwort"],
        "ansible_sudo_chdir": "/no",
    }
    expected = Become("doas", "mine", "/opt/doas", "-x", Secret("strong"), prompts=("Kennwort",))
    assert Become.from_vars(variables, keywords) == expected
    assert Become.from_vars({**variables, "ansible_doas_pass": Secret("own")}, None).password == Secret("own")  # type: ignore[union-attr]
    assert Become.from_vars({"ansible_become": True, "ansible_become_password": ""}).password is None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ansible_become", "maybe", "expected yes or no, got 'maybe'"),
        ("ansible_become_method", "runas", "expected one of sudo, su, doas, got 'runas'"),
        ("ansible_become_user", "-i", "expected a user's name"),
        ("ansible_become_exe", "sudo\nrm", "without line breaks"),
        ("ansible_become_flags", "-p 'x", "options as a shell takes them"),
        ("ansible_become_pass", f"{PASSWORD}\n", "without line breaks"),
        ("ansible_sudo_pass", [PASSWORD], "without line breaks"),
    ],
)
def test_what_is_wrong_is_named(name: str, value: Any, words: str) -> None:
    with pytest.raises(OptionError, match=re.escape(words)) as caught:
        Become.from_vars({"ansible_become": True, name: value}, None, "web1")
    assert str(caught.value).startswith(f"host web1: {name}: ")
    assert PASSWORD not in str(caught.value)


def test_keywords_are_checked() -> None:
    for keywords in ({"become": "yes"}, {"user": 1}, {"method": "runas"}, {"flags": "'"}, {"user": "a\nb"}):
        with pytest.raises(ArgumentError, match=r"^become"):
            BecomeKeywords(**keywords)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("flags", "sent"),
    [
        ("-H -S -n", "-H -S"),
        ("-Hn", "-H -S"),
        ("-n", "-S"),
        ("--non-interactive -E", "-E -S"),
        ("-HSn -g net", "-HS -g net"),
        ("-g nn --stdin", "-g nn --stdin"),
        ("-gn", "-gn -S"),
        ("", "-S"),
    ],
)
def test_sudo_is_always_asked_to_ask_on_standard_input(flags: str, sent: str) -> None:
    line = Become("sudo", "root", "sudo", flags).line("true", "[t] ", quiet=False)
    assert line == f"exec sudo {sent} -p '[t] ' -u root /bin/sh -c true"


@pytest.mark.parametrize(
    ("method", "said", "asks"),
    [
        ("su", "Password: ", True),
        ("su", "Letzte Anmeldung: gestern\nPasswort: ", True),
        ("su", "口令：", True),
        ("su", "Contraseña: ", True),
        ("su", "[sudo] password for deploy: ", True),
        ("su", "Password: \nsu: Authentication failure\n", False),
        ("su", "Reset your password: https://intern/\n", False),
        ("su", "Warning: ", False),
        ("doas", "\rdoas (deploy@web1) password: ", True),
        ("doas", "doas: Operation not permitted\n", False),
        ("sudo", "[sshexec become 1] ", True),
        ("sudo", "[sudo: [sshexec become 1]] Password: ", True),
        ("sudo", "Password: ", False),
    ],
)
def test_prompts_are_told_from_other_texts(method: Any, said: str, asks: bool) -> None:
    found = Become(method, "root", method).prompt("[sshexec become 1]").search(said.encode())
    assert (found is not None) == asks


def test_a_connection_that_can_not_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalConnector, "capabilities", Capability.FILES | Capability.POSIX)
    from sshexec.runtime.job import Job
    from sshexec.runtime.plan import Contexts, plan
    from sshexec.task import Target, Task

    targets = (Target("web1", {"ansible_connection": "local"}),)
    with pytest.raises(OptionError, match="host web1: ansible_become: a local connection can't become another user"):
        plan(Job("1", Task("ping", become=BecomeKeywords(True)), targets, Timeouts()), Contexts())
    assert plan(Job("1", Task("ping"), targets, Timeouts()), Contexts())["web1"].become is None


def test_the_fake_connector_records_whom_a_task_becomes() -> None:
    options = FakeOptions.from_vars({"fake_answers": {"id": "0"}})
    connector = FakeConnector("web1", options, FakeConnector.Context(), Timeouts())
    connector.open(Deadline())
    connector.become = Become("su", "postgres")
    execute(connector, "id")
    connector.become = None
    execute(connector, "id")
    calls = connector.context.hosts["web1"].calls
    assert [call.get("become") for call in calls] == [None, "su:postgres", None]


def test_keywords_reach_the_hosts_and_variables_win(tmp_path: Path) -> None:
    record = tmp_path / "calls"
    fake = {"ansible_connection": "fake", "fake_answers": {"id": "x"}, "fake_record": str(record)}
    hosts = [
        Host("plain", fake),
        Host("never", {**fake, "ansible_become": False}),
        Host("own", {**fake, "ansible_become_user": "db", "ansible_become_method": "{{ how }}", "how": "su"}),
    ]
    with Engine(Inventory.from_hosts(hosts)) as engine:
        result = engine.run("all", "command", "id", become=True, become_user="deploy", become_method="doas")
        assert result.counts == {"changed": 3}
    texts = record.read_text()
    assert re.search(r'"plain".*"become": "doas:deploy"', texts)
    assert re.search(r'"own".*"become": "su:db"', texts)
    assert not re.search(r'"never".*"become"', texts)


# ---------------------------------------------------------------- what is said


@pytest.mark.parametrize("says", [SUDO, SUDO_RS, GERMAN], ids=["sudo", "sudo-rs", "german"])
@pytest.mark.parametrize("tty", ["", "1"], ids=["pipes", "terminal"])
def test_the_password_is_given_when_it_is_asked_for_and_only_then(
    double: Double, says: dict[str, str], tty: str
) -> None:
    connector = double.open(**says, TTY=tty)
    data = os.urandom(100_000) + b"\r\n\x04\x03\x11\x13\0"
    done, out, err = execute(connector, "cat; echo error >&2; exit 3", data)
    assert done.rc == 3
    assert done.delta is not None
    assert (out, err) == ((data + b"error\n", b"") if tty else (data, b"error\n"))
    done, out, err = execute(connector, "printf raw; printf ' %s' err >&2", verbatim=True)
    assert (out, err) == ((b"raw err", b"") if tty else (b"raw", b" err"))
    assert double.answers == [PASSWORD] * 2


@pytest.mark.parametrize("tty", ["", "1"], ids=["pipes", "terminal"])
def test_nothing_of_a_prompt_is_needed(double: Double, tty: str) -> None:
    connector = double.open(None, NOPASSWD="1", TTY=tty)
    assert execute(connector, "cat", b"in")[1] == b"in"
    assert execute(connector, "cat; [ ! -t 0 ] && echo end")[1] == b"end\n"
    assert double.answers == []


@pytest.mark.parametrize("says", [SUDO, SUDO_RS, GERMAN], ids=["sudo", "sudo-rs", "german"])
@pytest.mark.parametrize("tty", ["", "1"], ids=["pipes", "terminal"])
def test_a_wrong_password_is_tried_once(double: Double, says: dict[str, str], tty: str) -> None:
    with pytest.raises(BecomeError, match=r"^Incorrect sudo password$") as caught:
        execute(double.open("wrong", **says, TTY=tty), "touch never", b"input")
    assert (caught.value.cause, caught.value.status, caught.value.host) == ("become", "failed", "web1")
    assert double.answers == ["wrong"]


def test_without_a_password_sudo_is_not_asked_twice_and_in_no_language_waited_for(double: Double) -> None:
    with pytest.raises(BecomeError, match=r"^Missing sudo password$"):
        execute(double.open(None), "true")
    assert double.answers == []
    # What sudo says is not understood: the prompt itself is the proof, on a terminal.
    with pytest.raises(BecomeError, match=r"^Missing sudo password$"):
        execute(double.open(None, NEEDED="sudo: Ein Passwort ist notwendig"), "true")
    assert double.answers == []


def test_a_person_is_asked_and_told_whether_it_was_right(double: Double) -> None:
    people = double.context.prompts = People("typo", PASSWORD)
    connector = double.open(None)
    assert execute(connector, "cat", b"in")[1] == b"in"
    assert people.verdicts == [False, True]
    login = people.questions[0].group.rpartition(":")[2]
    assert people.questions[0] == Question("become", f"sudo:root:{login}", f"sudo password of {login}", "web1")
    # The connection knows it now.
    assert execute(connector, "cat", b"again")[1] == b"again"
    assert double.answers == ["typo", PASSWORD, PASSWORD]
    assert len(people.questions) == 2


def test_a_person_who_never_knows_it_is_asked_three_times(double: Double) -> None:
    people = double.context.prompts = People("a", "b", "c", "d")
    with pytest.raises(BecomeError, match=r"^Incorrect sudo password$"):
        execute(double.open(None), "true")
    assert double.answers == ["a", "b", "c"]
    assert people.verdicts == [False] * 3


@pytest.mark.parametrize("answer", ["", "a", "su"])
def test_a_wrong_answer_is_known_as_such_however_short_it_is(double: Double, answer: str) -> None:
    people = double.context.prompts = People(answer, "b", "c")
    connector = double.open(None)
    double.program.write_text(
        "#!/bin/sh\nprintf 'Password: ' >&2; read x; echo 'su: Authentication failure' >&2; exit 1\n"
    )
    connector.become = Become("su", "root", str(double.program))
    with pytest.raises(BecomeError, match=r"^Incorrect su password$"):
        execute(connector, "true")
    assert people.verdicts == [False] * 3


@pytest.mark.parametrize("answers", [["typo", PASSWORD], ["a", "b", "c"]])
def test_a_host_that_tried_a_wrong_answer_tries_the_next_one_too(double: Double, answers: list[str]) -> None:
    asked: list[Question] = []
    left = answers.copy()
    hosts = {host: double.open(None, host=host) for host in ("web1", "web2", "web3")}

    def person(question: Question) -> str:
        asked.append(question)
        while sum(len(group.waiting) for group in broker._groups.values()) < len(hosts):
            time.sleep(0.01)
        return left.pop(0)

    broker = double.context.prompts = Broker(person)
    with ThreadPoolExecutor(len(hosts)) as pool:
        runs = {host: pool.submit(execute, connector, "true") for host, connector in hosts.items()}
        errors = {host: run.exception(20) for host, run in runs.items()}
    first = asked[0].host
    assert [(question.host, question.attempt) for question in asked] == [(first, n + 1) for n in range(len(answers))]
    if PASSWORD in answers:
        assert set(errors.values()) == {None}
        assert sorted(double.answers) == sorted(["typo", *[PASSWORD] * 3])
    else:
        assert double.answers == answers
        assert str(errors.pop(first)) == "Incorrect sudo password"
        why = f"the answer was wrong on {first} and was not tried here"
        assert {str(error) for error in errors.values()} == {f"Missing sudo password ({asked[0].text}: {why})"}
    for connector in hosts.values():
        connector.close()


def test_an_answer_of_several_lines_is_not_the_commands_input(double: Double) -> None:
    people = double.context.prompts = People(f"{PASSWORD}\n")
    with pytest.raises(BecomeError, match=r"^The sudo password that was answered holds a line break or NUL$"):
        execute(double.open(None), "cat", b"in")
    assert (double.answers, people.verdicts) == ([], [None])


def test_nobody_answers(double: Double) -> None:
    people = double.context.prompts = People(None)
    with pytest.raises(BecomeError, match=r"^Missing sudo password$"):
        execute(double.open(None), "true")
    assert double.answers == []
    assert people.verdicts == [None]


def test_an_answer_that_was_neither_right_nor_wrong_is_left_to_the_next_host(double: Double) -> None:
    people = double.context.prompts = People(PASSWORD)
    connector = double.open(None)
    double.program.write_text('#!/bin/sh\nprintf %s "$3" >&2; read x; echo account locked >&2; exit 1\n')
    connector.become = Become("sudo", "root", str(double.program))
    with pytest.raises(BecomeError, match=r"^sudo failed \(exit status 1\): account locked$"):
        execute(connector, "true")
    assert people.verdicts == [None]


def test_the_time_a_person_takes_is_not_the_hosts(double: Double) -> None:
    class Slow(People):
        def ask(
            self, question: Question, deadline: Deadline, guard: Callable[[], None], *, instead_of: Answer | None = None
        ) -> Answer:
            subprocess.run(["sleep", "1.2"], check=True)
            return super().ask(question, deadline, guard, instead_of=instead_of)

    double.context.prompts = Slow(PASSWORD)
    connector = double.open(None, Timeouts(idle=1))
    output = Output()
    connector.execute(Command("echo done"), output, Deadline.after(1))
    assert output.stdout == b"done\n"


def test_a_question_that_is_not_understood_does_not_hang(double: Double) -> None:
    connector = double.open(PASSWORD, Timeouts(auth=0.3), FORM="Code %.0s: ")
    with pytest.raises(BecomeError, match=r"^Timeout \(0\.3s\) waiting for privilege escalation prompt: Code$"):
        execute(connector, "true")
    assert double.answers == []


def test_what_the_method_says_is_shown_without_password_and_script(double: Double) -> None:
    connector = double.open()
    for text, words in (
        ("echo unknown user x >&2; exit 1", "exit status 1): unknown user x"),
        ("exit 127", "exit status 127)"),
        (
            """echo "Sorry, user a is not allowed to execute '$*' as root" >&2; exit 1""",
            "to execute the command as root",
        ),
        ('printf %s "$4" >&2; read x; echo "$x" unknown user >&2; exit 1', "******** unknown user"),
    ):
        double.program.write_text(f"#!/bin/sh\n{text}\n")
        connector.become = Become("sudo", "root", str(double.program), "-H", Secret(PASSWORD))
        with pytest.raises(BecomeError, match=re.escape(words)) as caught:
            execute(connector, "x=1; echo secret script")
        assert PASSWORD not in str(caught.value)
        assert "secret script" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_command_is_ended_with_its_deadline(double: Double, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    for tty in ("", "1"):
        connector = double.open(TTY=tty)
        with pytest.raises(CommandTimeoutError) as caught:
            connector.execute(Command(f"echo $$ >{pid}; sleep 1000"), Output(), Deadline.after(1))
        assert caught.value.killed
        assert not Path(f"/proc/{pid.read_text().strip()}").exists()
    # As long as it asks nothing runs that would have to be ended.
    connector = double.open(FORM="%.0s")
    with pytest.raises(CommandTimeoutError):
        connector.execute(Command("true"), Output(), Deadline.after(0.3))


@pytest.mark.parametrize("tty", ["", "1"], ids=["pipes", "terminal"])
def test_files_are_the_other_users_too(double: Double, tty: str, tmp_path: Path) -> None:
    connector = double.open(TTY=tty)
    content, file = os.urandom(200_000) + b"\r\n\n\x04", tmp_path / "file"
    connector.put(content, str(file), Deadline.after(20), mode=0o640)
    assert file.read_bytes() == content
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    with (tmp_path / "back").open("wb") as target:
        connector.get(str(file), target, Deadline.after(20))
    assert (tmp_path / "back").read_bytes() == content
    assert len(double.answers) == 3
    rest = io.BytesIO()
    connector.get(str(file), rest, Deadline.after(20), offset=150_000)
    assert rest.getvalue() == content[150_000:]


def test_a_command_that_lets_go_of_its_terminal_is_not_hung_up_on(double: Double) -> None:
    # As tail does, which closes its standard output just before it ends.
    script = "exec /bin/sh -c 'exec </dev/null >/dev/null 2>&1; sleep 0.3; exit 7'"
    done = double.open(TTY="1").execute(Command(script, verbatim=True), Output(), Deadline.after(20))
    assert done.rc == 7


def test_an_upload_as_another_user_goes_on_where_it_was_broken_off(double: Double, tmp_path: Path) -> None:
    connector = double.open()
    content, file = os.urandom(5 * 2**20), tmp_path / "file"
    sha1 = hashlib.sha1(content).hexdigest()
    begun = Path(os.fsdecode(temporary_name(os.fsencode(file), sha1, private=True)))
    begun.write_bytes(content[: 2**20])
    told: list[int] = []
    connector.put(content, str(file), Deadline.after(20), sha1=sha1, progress=told.append)
    assert min(told) > 2**20
    assert file.read_bytes() == content
    assert not begun.exists()
    # What stands there and is of no use is left alone.
    file.unlink()
    begun.symlink_to(tmp_path / "elsewhere")
    connector.put(content, str(file), Deadline.after(20), sha1=sha1)
    assert file.read_bytes() == content
    assert begun.is_symlink()
    assert not (tmp_path / "elsewhere").exists()


def test_without_become_a_frame_is_what_it_was() -> None:
    line = Frame(Command("true"), Output()).line()
    assert line.startswith(b"exec /bin/sh -c '")
    assert b"sudo" not in line
    assert Frame(Command("true", verbatim=True), Output()).line() == b"true"


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_line_ends_that_a_terminal_writes_are_undone(end: bytes) -> None:
    way = Escalation(Become("sudo", "root", "sudo"), "web1", "me", Prompts(), None)
    dialogue = Dialogue(way, lambda: None, tty=True, quiet=False)
    output = Output()
    frame = Frame(Command("true"), output, dialogue)
    frame.line()
    token = frame._mark
    data = b"a\r\nb\rc\n\r\n\r" + bytes(range(256))
    written = data.replace(b"\n", end)
    said = b"Password: " + end + token + b" start 77 1 0 2026-01-01 00:00:00" + end + written
    said += token + b" end 3 2 0 2026-01-01 00:00:01" + end
    for piece in range(0, len(said), 3):
        frame.feed_stdout(said[piece : piece + 3])
    done = frame.finish(3)
    assert (output.stdout, output.stderr) == (data, b"")
    assert (frame.pid, done.rc, str(done.delta)) == (77, 3, "0:00:01")
