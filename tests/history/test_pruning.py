"""What is let go of, and what never is."""

from __future__ import annotations

import os
import time

import pytest
from sqlalchemy import func, select

from sshexec.errors import HistoryError
from sshexec.history.pruning import DAY, Keep, Pruning, compact
from sshexec.history.tables import ends, results, runs, starts
from tests.history.rows import add_results, add_run, add_starts, result_row

NOW = time.time()
NAMES = [letter * 32 for letter in "abcdef"]


def fill(database, folder=None, names=NAMES, size=1000):
    """Add a run a day, the last of them now."""
    for days, run in enumerate(reversed(names)):
        add_run(database, run, ["h1", "h2"], started=NOW - days * DAY)
        add_results(database, [result_row(run, "h1", size=size)])
        add_starts(database, run, ["h1", "h2"])
        if folder is not None:
            (folder / run / "h1").mkdir(parents=True)
            (folder / run / "h1" / "stdout").write_text("x")


def left(database):
    """Return the runs of which there is something, table by table."""
    with database.reading() as connection:
        columns = (runs.c.id, ends.c.run, starts.c.run, results.c.run)
        found = {tuple(sorted(set(connection.execute(select(column)).scalars()))) for column in columns}
    assert len(found) == 1, found
    return list(found.pop())


def pruning(database, outputs=None, journals=None, going_on=lambda run: False):
    return Pruning(database, None if outputs is None else str(outputs), journals, going_on)


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (Keep(days=2.5), NAMES[3:]),
        (Keep(runs=2), NAMES[4:]),
        (Keep(bytes=3200), NAMES[3:]),
        (Keep(bytes=1), NAMES[5:]),
        (Keep(days=3.5, runs=5, bytes=10**6), NAMES[2:]),
        (Keep(), NAMES),
        (Keep(runs=0), []),
    ],
)
def test_the_oldest_go_with_their_files(light, tmp_path, keep, kept):
    fill(light, tmp_path / "outputs")
    pruned = pruning(light, tmp_path / "outputs").prune(keep)
    assert left(light) == sorted(kept)
    assert sorted(os.listdir(tmp_path / "outputs")) == sorted(kept)
    assert list(pruned.runs) == [name for name in NAMES if name not in kept]
    assert (pruned.kept, pruned.problems, pruned.dry, pruned.unfinished) == (len(kept), (), False, False)


def test_the_oldest_go_on_each_kind_of_database(database):
    fill(database)
    pruned = pruning(database).prune(Keep(bytes=2500))
    assert left(database) == NAMES[4:]
    assert pruned.bytes == pytest.approx(4 * 1000, abs=100)


def test_looking_first_changes_nothing(light, tmp_path):
    outputs = tmp_path / "outputs"
    fill(light, outputs)
    pruned = pruning(light, outputs).prune(Keep(runs=1), dry=True)
    assert (list(pruned.runs), pruned.kept, pruned.dry) == (NAMES[:-1], 1, True)
    assert left(light) == NAMES
    assert len(os.listdir(outputs)) == len(NAMES)


def test_a_run_in_progress_stays(light):
    fill(light)
    with light.writing() as connection:
        connection.execute(ends.delete().where(ends.c.run.in_(NAMES[:2])))
    pruned = pruning(light, going_on=lambda run: run == NAMES[0]).prune(Keep(runs=0))
    assert pruned.runs == tuple(NAMES[1:])
    with light.reading() as connection:
        assert connection.execute(select(runs.c.id)).scalars().all() == [NAMES[0]]
        assert connection.execute(select(func.count()).select_from(results)).scalar() == 1


def test_a_run_whose_journal_waits_stays_and_so_do_its_files(light, tmp_path):
    fill(light, tmp_path / "outputs", names=NAMES[:3])
    for name in (NAMES[0], NAMES[5]):
        (tmp_path / "journals" / name).mkdir(parents=True)
    (tmp_path / "outputs" / NAMES[5]).mkdir()
    os.utime(tmp_path / "outputs" / NAMES[5], (0, 0))
    pruning(light, tmp_path / "outputs", str(tmp_path / "journals")).prune(Keep(runs=0))
    assert left(light) == [NAMES[0]]
    assert sorted(os.listdir(tmp_path / "outputs")) == [NAMES[0], NAMES[5]]


def test_those_that_resume_one_another_go_together(light):
    add_run(light, NAMES[0], ["h1"], started=NOW - 9 * DAY)
    add_run(light, NAMES[1], ["h1"], started=NOW - 8 * DAY)
    add_run(light, NAMES[2], ["h1"], started=NOW, root=NAMES[0], resumes=NAMES[0])
    pruned = pruning(light).prune(Keep(days=5))
    assert pruned.runs == (NAMES[1],)
    assert pruning(light).prune(Keep(runs=1)).runs == ()
    assert pruning(light).prune(Keep(runs=0)).runs == (NAMES[0], NAMES[2])


def test_one_that_is_resumed_in_the_meantime_stays(light, monkeypatch):
    fill(light)
    prune = pruning(light)
    chains = prune._chains

    def resumed_now(**options):
        found = chains(**options)
        add_run(light, "0" * 32, ["h1"], root=NAMES[0], resumes=NAMES[0])
        return found

    monkeypatch.setattr(prune, "_chains", resumed_now)
    assert prune.prune(Keep(runs=0)).runs == tuple(NAMES[1:])


def test_folders_of_no_run_go_once_they_are_old(light, tmp_path):
    outputs = tmp_path / "outputs"
    fill(light, outputs, names=NAMES[:1])
    for name in (NAMES[1], NAMES[2], "notes", "a" * 31):
        (outputs / name).mkdir()
    for name in (NAMES[1], "notes", "a" * 31):
        os.utime(outputs / name, (0, 0))
    pruned = pruning(light, outputs).prune(Keep())
    assert pruned.folders == 1
    assert sorted(os.listdir(outputs)) == sorted([NAMES[0], NAMES[2], "notes", "a" * 31])


def test_a_link_in_the_place_of_a_folder_leads_nowhere(light, tmp_path):
    fill(light, names=NAMES[:1])
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    (outputs / NAMES[0]).symlink_to(precious)
    pruned = pruning(light, outputs).prune(Keep(runs=0))
    assert (precious / "file").exists()
    assert pruned.problems


def test_what_takes_too_long_is_left_for_another_time(light):
    fill(light)
    pruned = pruning(light).prune(Keep(runs=0), seconds=-1)
    assert (pruned.runs, pruned.unfinished) == ((), True)
    assert left(light) == NAMES


def test_room_is_given_back(light):
    add_run(light, NAMES[0], ["h1"])
    add_results(light, [result_row(NAMES[0], f"h{number}", stdout="x" * 50_000) for number in range(50)])
    pruning(light).prune(Keep(runs=0))
    assert compact(light) > 2_000_000
    assert os.path.getsize(light.path) < 200_000


@pytest.mark.parametrize(
    ("text", "keep"),
    [
        ("90d,2G", Keep(days=90, bytes=2 * 2**30)),
        (" 7 days , 500 runs", Keep(days=7, runs=500)),
        ("1.5MiB", Keep(bytes=3 * 2**19)),
        ("0d", Keep(days=0)),
        ("all", Keep()),
    ],
)
def test_what_is_to_be_kept_is_read(text, keep):
    assert Keep.read(text) == keep


@pytest.mark.parametrize("text", ["", "90", "2 weeks", "-1d", "1d;2G"])
def test_what_says_nothing_of_the_kind_is_refused(text):
    with pytest.raises(HistoryError, match="90d,2G"):
        Keep.read(text)
