"""`--sample N`: a few charts first, spread over the folder; the rest later, into the same batch."""

import math
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from support.pictures import encoded, picture
from support.producer import Producer
from support.stack import Stack, draw_charts, eventually, finish, stack

from jobs import submit_folder
from jobs.charts.sample import choose, spread
from jobs.core.errors import InputError
from jobs.ledger import Batch
from jobs.submit.folder import ChartFiles
from jobs.submit.question import make_question
from jobs.submit.submit import Order
from worker.rehearsal import Rehearsal


@pytest.fixture
def charts(user: Producer) -> Path:
    return draw_charts(user.folder / "charts", 60)


def custom_ids(user: Producer, batch_id: str) -> list[str]:
    return [row["custom_id"] for row in user.results(batch_id)]


def whole(count: int = 60) -> list[str]:
    return [f"group-{number // 10:02d}/chart-{number:04d}.png" for number in range(count)]


# Which


@pytest.mark.parametrize(("count", "found"), [(1, 1), (1, 7), (3, 7), (6, 7), (7, 7), (9, 7), (20, 4312), (999, 1000)])
def test_a_sample_takes_one_of_each_stretch(count: int, found: int) -> None:
    positions = sorted(spread(count, found))
    assert len(positions) == min(count, found)
    assert positions[0] == 0
    gaps = [after - before for before, after in zip(positions, [*positions[1:], found], strict=True)]
    assert max(gaps) <= math.ceil(found / count)
    assert min(gaps) >= found // max(count, found)


@pytest.mark.parametrize(
    ("first", "then", "found"), [(1, 2, 9), (20, 40, 4312), (20, 21, 4312), (7, 50, 60), (5, 3, 60)]
)
def test_a_larger_sample_keeps_the_smaller_one_and_has_as_many_as_asked_for(first: int, then: int, found: int) -> None:
    smaller = spread(first, found)
    larger = spread(then, found, smaller)
    assert smaller <= larger
    assert len(larger) == max(first, then)
    assert spread(then, found, larger) == larger
    halves = [sum(position * 2 // found == half for position in larger) for half in (0, 1)]
    assert abs(halves[0] - halves[1]) <= max(2, then // 4)


def test_what_is_in_the_batch_is_found_by_name_wherever_it_stands_now() -> None:
    sample = choose(iter("abcdefghij"), 3, already={"b", "c", "gone"})
    assert (sample.found, len(sample.positions)) == (10, 3)
    assert {1, 2} < sample.positions


# Into the same batch


def test_the_rest_goes_into_the_same_batch_and_results_stay_in_order(user: Producer, charts: Path) -> None:
    first = user.submit(charts, "--sample", "6")
    assert (first["total"], first["queued"], first["sample_of"]) == (6, 6, 60)
    assert custom_ids(user, first["batch_id"]) == whole()[::10]
    user.answer(first["batch_id"])
    done = user.status(first["batch_id"])
    assert (done["status"], done["sample_of"]) == ("completed", 60)
    before = user.results(first["batch_id"])

    rest = user.submit(charts)
    assert rest["batch_id"] == first["batch_id"]
    assert (rest["total"], rest["queued"], rest["cached"], rest.get("sample_of")) == (60, 54, 6, None)
    assert custom_ids(user, rest["batch_id"]) == whole()
    assert [row for row in user.results(rest["batch_id"]) if row["status"] == "finished"] == before
    with user.session() as session:
        assert len(session.ledger.open_jobs(0, 100)) == 54
    user.answer(rest["batch_id"])
    assert user.status(rest["batch_id"])["status"] == "completed"
    assert user.submit(charts)["batch_id"] != first["batch_id"], "it was through"


def test_a_complete_sample_is_no_complete_batch_while_the_rest_is_added(user: Producer, charts: Path) -> None:
    sample = user.submit(charts, "--sample", "6")["batch_id"]
    user.answer(sample)
    question = make_question(user.settings, prompt="Up?", model=None, parameters={})
    seen = []
    with user.session() as session:

        def look(batch: Batch) -> None:
            seen.append(session.status(batch)["status"])

        session.submit(Order(source=ChartFiles(paths=[charts], question=question)), opened=look)
    assert seen == ["in_progress"]


def test_samples_grow_and_the_same_one_changes_nothing(user: Producer, charts: Path) -> None:
    first = user.submit(charts, "--sample", "6")
    same = user.submit(charts, "--sample", "6")
    assert {**same, "batch_id": ""} == {**first, "batch_id": ""}
    assert same["batch_id"] == first["batch_id"]
    user.answer(first["batch_id"])
    larger = user.submit(charts, "--sample", "15")
    assert larger["batch_id"] == first["batch_id"]
    assert (larger["total"], larger["queued"], larger["cached"]) == (15, 9, 6)
    assert user.submit(charts, "--sample", "2")["total"] == 15
    all_of_them = user.submit(charts, "--sample", "100")
    assert (all_of_them["total"], all_of_them.get("sample_of")) == (60, None)
    assert custom_ids(user, first["batch_id"]) == whole()


def test_another_question_or_folder_or_a_canceled_sample_is_another_batch(user: Producer, charts: Path) -> None:
    sample = user.submit(charts, "--sample", "6")["batch_id"]
    assert user.submit(charts, prompt="Down?")["batch_id"] != sample
    assert user.submit(charts / "group-00")["batch_id"] != sample
    user.run("cancel", sample)
    assert user.submit(charts)["batch_id"] != sample


def test_a_sample_leaves_an_unfinished_batch_alone(user: Producer, charts: Path) -> None:
    everything = user.submit(charts)["batch_id"]
    with user.session() as session:  # as if its submit had died
        session.ledger.unseal(session.ledger.batch(everything))
    sample = user.submit(charts, "--sample", "6")
    assert sample["batch_id"] != everything
    assert sample["total"] == 6


def test_a_refreshed_sample_is_asked_once_more_and_the_rest_too_but_the_sample_not_twice(
    user: Producer, charts: Path
) -> None:
    user.answer(user.submit(charts)["batch_id"], text="old")
    sample = user.submit(charts, "--refresh", "--sample", "6")
    assert sample["queued"] == 6
    user.answer(sample["batch_id"], text="new")
    rest = user.submit(charts, "--refresh")
    assert (rest["batch_id"], rest["queued"], rest["cached"]) == (sample["batch_id"], 54, 6)
    assert [row["text"] for row in user.results(rest["batch_id"], "--status", "finished")] == ["new"] * 6


def test_files_that_came_in_between_take_their_place(user: Producer, charts: Path) -> None:
    batch_id = user.submit(charts, "--sample", "6")["batch_id"]
    (charts / "a-first.png").write_bytes(encoded(picture()))
    assert user.submit(charts, "--sample", "7")["total"] == 7
    assert user.submit(charts)["batch_id"] == batch_id
    assert custom_ids(user, batch_id) == ["a-first.png", *whole()]


def test_what_a_sample_refuses_it_does_without(user: Producer, charts: Path) -> None:
    (charts / "group-02" / "chart-0020.png").write_bytes(b"no image")
    done = user.run("submit", charts, "-p", "Up?", "--sample", "6")
    assert "rejected" in done.stderr
    assert "sample of 5 of 60 charts (1 more rejected); the rest: the same command without --sample" in done.stderr
    again = user.submit(charts, "--sample", "6")
    assert (again["total"], len(again["rejected"])) == (5, 1)


def test_a_sample_that_died_is_finished_by_the_same_command_or_by_the_whole(user: Producer, charts: Path) -> None:
    batch_id = user.submit(charts, "--sample", "6")["batch_id"]
    with user.session() as session:
        session.ledger.unseal(session.ledger.batch(batch_id))
    user.answer(batch_id)
    assert user.status(batch_id)["status"] == "in_progress"
    assert user.submit(charts, "--sample", "6")["batch_id"] == batch_id
    assert user.status(batch_id)["status"] == "completed"


# What is said


def test_a_sample_says_so_with_the_next_command(user: Producer, charts: Path) -> None:
    done = user.run("submit", charts, "-p", "Up?", "--sample", "6")
    assert "sample of 6 of 60 charts; the rest: the same command without --sample" in done.stderr
    assert "a sample of 60 charts" in user.run("status", done.stdout.strip()).stdout
    assert user.run("submit", charts, "-p", "Up?", "--sample", "6", "-q").stdout.strip() == done.stdout.strip()


def test_a_plan_of_a_sample_counts_the_sample(user: Producer, charts: Path) -> None:
    arguments = ("submit", charts, "-p", "Up?", "--dry-run", "--sample")
    assert user.run(*arguments, "6").stdout.startswith("sample of 6 of 60 charts: 0 answered already")
    user.answer(user.submit(charts, "--sample", "6")["batch_id"])
    planned = user.run(*arguments, "15", "--json").json()
    assert (planned["total"], planned["cached"], planned["calls"], planned["sample_of"]) == (15, 6, 9, 60)


@pytest.mark.parametrize("count", ["0", "-1", "half"])
def test_an_impossible_sample_is_wrong_usage(user: Producer, charts: Path, count: str) -> None:
    assert "--sample" in user.run("submit", charts, "-p", "Up?", "--sample", count, expect=2).stderr


def test_from_python(user: Producer, charts: Path) -> None:
    sample = submit_folder(charts, "Up?", sample=6, max_failures="5%", settings=user.settings)
    assert (sample["total"], sample["sample_of"]) == (6, 60)
    rest = submit_folder(charts, "Up?", settings=user.settings)
    assert (rest["batch_id"], rest["total"]) == (sample["batch_id"], 60)
    with user.session() as session:
        assert str(session.ledger.batch(sample["batch_id"]).max_failures) == "5%"
    for wrong in ({"sample": 0}, {"max_failures": "many"}):
        with pytest.raises(InputError, match=next(iter(wrong)).replace("_", ".")):
            submit_folder(charts, "Up?", settings=user.settings, **wrong)


# Memory


def test_a_sample_of_many_files_takes_little_memory() -> None:
    """Twenty thousand files more may not cost what they would if they were kept (some 10 MB)."""
    program = textwrap.dedent(
        """
        import resource, sys
        from jobs.charts.sample import choose
        names = lambda count: (f"folder/with/a/long/name/chart-{n:08d}.png" for n in range(count))
        choose(names(1000), 20)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert len(choose(names(200_000), 20, already={"x"}).positions) == 20
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        """
    )
    grown_kb = int(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)
    assert grown_kb < 5000


# With workers


def test_run_a_sample_then_the_rest_and_every_chart_is_asked_once(tmp_path: Path, server: Rehearsal) -> None:
    folder = draw_charts(tmp_path / "charts", 40)
    with stack(tmp_path, HF_BASE_URL=server.base_url, HF_TOKEN="hf_secret_token") as user:
        command = ("run", str(folder), "-p", "Up?")
        first = user.run(*command, "--sample", "4")
        assert "sample of 4 of 40 charts; the rest: the same command without --sample" in first.stderr
        assert len(server.record) == 4
        rest = user.start(*command, "--json")
        eventually(lambda: len(server.record) >= 8)
        _interrupt(user, rest)
        done = user.run(*command, "--json").json()
        assert done["request_counts"]["finished"] == 40
        assert len(server.record) == 40
        assert [row["custom_id"] for row in user.results(done["batch_id"])] == whole(40)


def _interrupt(user: Stack, process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGINT)
    assert finish(process).code in (0, 130)
