"""What a submit promises: every chart once, in order, found again, and never a batch that looks done too early."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.pictures import encoded, picture, png_of_size
from support.producer import Producer
from support.stack import Stack, draw_charts, eventually, finish, stack
from support.stores import STORES, finished, id_of, new_store, start
from support.stores import submit as submit_rows

from jobs.ledger import Batch, Ledger
from jobs.submit.folder import ChartFiles
from jobs.submit.question import make_question
from jobs.submit.submit import Order, Submitted
from worker.rehearsal import Behaviour, Rehearsal


@pytest.fixture
def charts(user: Producer) -> Path:
    return draw_charts(user.folder / "charts", 12)


def order_of(user: Producer, *paths: Path) -> Order:

    question = make_question(user.settings, prompt="Up?", model=None, parameters={})
    return Order(source=ChartFiles(paths=paths, question=question))


# What goes in


def test_results_come_in_the_order_of_submission(user: Producer, charts: Path) -> None:
    draw_charts(user.folder / "more", 3, start=50)
    batch_id = user.submit(user.folder / "more", charts)["batch_id"]
    ids = [row["custom_id"] for row in user.results(batch_id)]
    assert ids == [
        *(f"more/group-05/chart-{number:04d}.png" for number in range(50, 53)),
        *(f"charts/group-{number // 10:02d}/chart-{number:04d}.png" for number in range(12)),
    ]


def test_what_is_no_image_is_named_and_the_rest_goes_on(user: Producer, charts: Path) -> None:
    whole = encoded(picture())
    (charts / "empty.png").touch()
    (charts / "cut.png").write_bytes(whole[:60])
    (charts / "page.jpg").write_text("<html>not found</html>")
    (charts / "bomb.png").write_bytes(png_of_size(60_000, 60_000))
    (charts / "gone.png").symlink_to(charts / "nowhere.png")
    (charts / "notes.txt").write_text("skipped in a folder")
    os.mkfifo(charts / "pipe.png")
    done = user.submit(charts, charts / "notes.txt")
    assert (done["total"], done["queued"]) == (12, 12)
    rejects = {Path(reject["path"]).name: reject["error"] for reject in done["rejected"]}
    assert set(rejects) == {"empty.png", "cut.png", "page.jpg", "bomb.png", "gone.png", "notes.txt", "pipe.png"}
    assert "empty" in rejects["empty.png"]
    assert "web page" in rejects["page.jpg"]
    assert "pixels" in rejects["bomb.png"]


def test_a_path_too_long_for_a_store_is_named_and_the_rest_goes_on(user: Producer, charts: Path) -> None:
    """Longer than what PostgreSQL's index of names takes."""
    deep = charts
    for _ in range(14):
        deep /= "d" * 200
    deep.mkdir(parents=True)
    (deep / "chart.png").write_bytes(encoded(picture()))
    done = user.submit(charts)
    assert (done["total"], done["queued"]) == (12, 12)
    [reject] = done["rejected"]
    assert "longer than 2,600 bytes" in reject["error"]


def test_without_an_accepted_image_there_is_no_batch(user: Producer) -> None:
    (user.folder / "empty.png").touch()
    done = user.run("submit", "empty.png", "missing.png", "-p", "Up?", "--json", expect=1).json()
    assert (done["batch_id"], done["total"], len(done["rejected"])) == (None, 0, 2)
    assert user.run("list", "--json").stdout == ""
    quiet = user.run("submit", "empty.png", "-p", "Up?", "-q", expect=1)
    assert quiet.stdout == ""
    assert "empty.png" in quiet.stderr


@pytest.mark.parametrize(
    "name", [b"new\nline.png", "📈 é.png".encode(), b"a" * 251 + b".png", b"\xff\xfe.png"], ids=repr
)
def test_any_name_leads_back_to_its_file(user: Producer, name: bytes) -> None:
    folder = user.folder / "odd"
    folder.mkdir()
    (folder / os.fsdecode(name)).write_bytes(encoded(picture()))
    batch_id = user.submit(folder)["batch_id"]
    [row] = user.results(batch_id)
    assert os.fsencode(row["image"]) == os.fsencode(folder) + b"/" + name
    row["custom_id"].encode()  # is UTF-8
    job = user.status(row["job_id"])
    assert job["custom_id"] == row["custom_id"]
    assert user.submit(folder / os.fsdecode(name))["total"] == 1
    user.run("results", batch_id, "--format", "csv")


def test_paths_are_stored_relative_to_chart_root_and_nothing_outside_it_is_taken(
    user: Producer, charts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = user.folder / "outside.png"
    outside.write_bytes(encoded(picture()))
    (charts / "link.png").symlink_to(outside)
    (charts / "inner.png").symlink_to(charts / "group-00" / "chart-0000.png")
    monkeypatch.setenv("CHART_ROOT", str(user.folder / "elsewhere" / ".." / "charts"))
    done = user.submit(charts, outside)
    assert sorted(Path(reject["path"]).name for reject in done["rejected"]) == ["link.png", "outside.png"]
    assert all("outside CHART_ROOT" in reject["error"] for reject in done["rejected"])
    images = {row["custom_id"]: row["image"] for row in user.results(done["batch_id"])}
    assert images["charts/group-01/chart-0011.png"] == "group-01/chart-0011.png"
    assert images["charts/inner.png"] == "group-00/chart-0000.png"


# Which job it is


def test_ids_depend_on_image_and_question_alone(
    user: Producer, charts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ids(*options: str, folder: Path = charts) -> list[str]:
        return [row["job_id"] for row in user.results(user.submit(folder, *options)["batch_id"])]

    here = ids("--param", "max_tokens=5", "--param", 'extra_body={"a": 1, "b": 2}')
    draw_charts(tmp_path / "another" / "place", 12)
    monkeypatch.setenv("CHARTQ_HOME", str(tmp_path / "another" / "home"))
    there = ids(
        *("--param", 'extra_body={"b": 2, "a": 1}', "--param", "max_tokens=5", "--name", "n"),
        folder=tmp_path / "another" / "place",
    )
    assert here == there
    assert len(set(here)) == 12
    others = [ids(), ids("--param", "max_tokens=6"), ids("-m", "org/other"), ids("--priority", "low")]
    assert others[0] == others[3]
    monkeypatch.setenv("HF_API", "task")
    others.append(ids())
    assert len({tuple(one) for one in [here, *others]}) == 5
    # Pinned: who changes how ids are worked out pays for every chart a second time.
    pixel = user.folder / "pixel.bmp"
    pixel.write_bytes(
        bytes.fromhex("424d3a0000000000000036000000280000000100000001000000010018000000000004000000") + bytes(20)
    )
    monkeypatch.delenv("HF_API")
    [job] = ids("-m", "org/model", folder=pixel)
    assert job == "d35109b2beb510c977ac8a9dfbf3c956"
    assert ids("-m", "org/model", "--max-side", "2048", folder=pixel) == [job]
    assert ids("-m", "org/model", "--max-side", "512", folder=pixel) != [job]
    # As versions asked whose workers chose the limits, by default these.
    monkeypatch.setenv("IMAGE_MAX_SIDE", "1024")
    monkeypatch.setenv("IMAGE_MAX_BYTES", "1000000")
    assert ids("-m", "org/model", folder=pixel) == ["099f7626c24fa0c4402998b5fd2df1cf"]


def test_twins_are_one_job_with_a_row_each(user: Producer, charts: Path) -> None:
    (charts / "twin.png").write_bytes((charts / "group-00" / "chart-0003.png").read_bytes())
    done = user.submit(charts)
    assert (done["total"], done["queued"]) == (13, 13)
    rows = user.results(done["batch_id"])
    assert len(rows) == 13
    assert len({row["job_id"] for row in rows}) == 12
    with user.session() as session:
        [depth] = session.queues.depths([session.ledger.batch(done["batch_id"]).question.lane])
    assert depth.queued == 12


def test_what_is_answered_is_cached_and_refresh_asks_anew(user: Producer, charts: Path) -> None:
    first = user.submit(charts)
    assert first["cached"] == 0
    user.answer(first["batch_id"])
    again = user.submit(charts)
    assert again["batch_id"] != first["batch_id"]
    assert (again["total"], again["queued"], again["cached"]) == (12, 0, 12)
    assert user.status(again["batch_id"])["status"] == "completed"

    fresh = user.submit(charts, "--refresh")
    assert (fresh["queued"], fresh["cached"]) == (12, 0)
    assert user.status(fresh["batch_id"])["status"] == "in_progress"
    # The old answers stay where they were until the new ones are in.
    assert user.status(first["batch_id"])["request_counts"]["finished"] == 12
    user.answer(fresh["batch_id"], text="down")
    assert {row["text"] for row in user.results(first["batch_id"])} == {"down"}


def test_rehearsal_answers_are_cached_for_rehearsals_only(
    user: Producer, charts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user.answer(user.submit(charts)["batch_id"], rehearsal=True)
    monkeypatch.setenv("CHARTQ_REHEARSAL", "1")
    assert user.submit(charts)["cached"] == 12
    monkeypatch.delenv("CHARTQ_REHEARSAL")
    assert user.submit(charts)["cached"] == 0


@pytest.mark.parametrize("kind", STORES)
def test_a_plan_knows_what_would_be_cached(kind: str, tmp_path: Path) -> None:
    with Ledger.open(new_store(kind, tmp_path)) as ledger:
        submit_rows(ledger, "abc", now=1)
        for chart in "ab":
            start(ledger, chart, now=1)
        ledger.record([finished("a"), finished("b", rehearsal=True)], 1)
        asked = [id_of(chart) for chart in "abcd"] * 600  # more than one statement may hold
        assert ledger.answered(asked, count_rehearsals=False) == {id_of("a")}
        assert ledger.answered(asked, count_rehearsals=True) == {id_of("a"), id_of("b")}
        assert ledger.answered([], count_rehearsals=True) == set()


def test_a_dry_run_tells_the_plan_and_writes_nothing(user: Producer, charts: Path) -> None:
    first = user.submit(charts / "group-00")
    user.answer(first["batch_id"])
    (charts / "twin.png").write_bytes((charts / "group-01" / "chart-0011.png").read_bytes())
    (charts / "empty.png").touch()
    plan = user.run("submit", charts, "-p", "Up?", "--dry-run", "--json").json()
    figures = {name: plan[name] for name in ("total", "queued", "cached", "calls")}
    assert figures == {"total": 13, "queued": 3, "cached": 10, "calls": 2}
    assert (plan["batch_id"], plan["eta_s"]) == (None, None)
    assert [Path(reject["path"]).name for reject in plan["rejected"]] == ["empty.png"]
    said = user.run("submit", charts, "-p", "Up?", "--dry-run")
    assert "13 charts (1 rejected): 10 answered already, 2 calls to make" in said.stdout
    assert len(user.run("list", "--json").stdout.splitlines()) == 1
    with user.session() as session:
        assert len(session.ledger.open_jobs(0, 100)) == 0
        # Only what the first submit put there, which no worker has taken.
        assert [depth.queued for depth in session.queues.depths(session.queues.lanes())] == [10]
    assert user.run("submit", charts, "-p", "Up?", "--dry-run", "--json", "--refresh").json()["calls"] == 12
    user.run("submit", charts / "empty.png", "-p", "Up?", "--dry-run", expect=1)


# Retry, cancel


def test_retry_queues_again_what_failed_and_nothing_else(user: Producer, charts: Path) -> None:
    batch_id = user.submit(charts)["batch_id"]
    lost = user.results(batch_id)[0]["job_id"]
    user.fail(lost)
    user.answer(batch_id)
    assert user.status(batch_id)["status"] == "completed_with_errors"
    [failed] = user.results(batch_id, "--status", "failed")
    assert (failed["text"], failed["error"]["type"]) == (None, "ImageError")
    assert "1 job queued again" in user.run("retry", batch_id).stderr
    again = user.status(batch_id)
    assert (again["status"], again["request_counts"]["queued"]) == ("in_progress", 1)
    assert user.status(lost)["attempts"] == 0
    assert "0 jobs queued again" in user.run("retry", batch_id).stderr


def test_of_a_chart_that_is_there_twice_a_job_tells_one_name_and_that_ones_place(user: Producer, charts: Path) -> None:
    first = sorted(charts.rglob("*.png"))[0]
    twin = first.with_name("zz-twin.png")
    shutil.copy(first, twin)
    job_id = next(row["job_id"] for row in user.results(user.submit(charts)["batch_id"]) if row["image"] == str(twin))
    job = user.status(job_id)
    assert job["image"] == str(charts / job["custom_id"])


def test_cancel_takes_a_batchs_claim_and_what_another_wants_goes_on(user: Producer, charts: Path) -> None:
    whole = user.submit(charts)["batch_id"]
    part = user.submit(charts / "group-01")["batch_id"]
    running = user.results(whole)[0]["job_id"]
    user.start([running])
    assert "11 jobs canceled" in user.run("cancel", whole).stderr
    counts = user.status(whole)["request_counts"]
    assert {state: count for state, count in counts.items() if count} == {"total": 12, "started": 1, "canceled": 11}
    assert user.status(part)["request_counts"]["queued"] == 2
    with user.session() as session:
        [depth] = session.queues.depths(session.queues.lanes())
        assert depth.queued == 2  # on the other batch's queue now
    # Submitted again it is a new batch.
    again = user.submit(charts)
    assert again["batch_id"] != whole
    assert again["queued"] == 12


# Died, and run again


class _PowerCut(Exception):
    pass


def test_a_submit_that_died_is_never_complete_and_is_taken_up_by_the_next_one(user: Producer) -> None:
    charts = draw_charts(user.folder / "charts", 600)
    order = order_of(user, charts)

    def cut(so_far: Submitted) -> None:
        raise _PowerCut

    with user.session() as session, pytest.raises(_PowerCut):
        session.submit(order, progress=cut)
    [batch] = _batches(user)
    user.answer(batch.batch_id)
    halfway = user.status(batch.batch_id)
    assert halfway["request_counts"]["finished"] == halfway["request_counts"]["total"] == 500
    assert (halfway["status"], halfway["finished_at"]) == ("in_progress", None)
    user.run("wait", batch.batch_id, "--timeout", "0", expect=124)

    done = user.submit(charts)
    assert (done["batch_id"], done["total"], done["cached"]) == (batch.batch_id, 600, 0)
    user.answer(batch.batch_id)
    assert user.status(batch.batch_id)["status"] == "completed"
    assert [row["custom_id"][-8:-4] for row in user.results(batch.batch_id)] == [f"{n:04d}" for n in range(600)]


def test_a_batch_that_is_through_is_not_taken_up_but_another_submit_is_a_batch_of_its_own(
    user: Producer, charts: Path
) -> None:
    first = user.submit(charts)["batch_id"]
    assert user.submit(charts)["batch_id"] != first
    with user.session() as session:
        taken_up = session.submit(order_of(user, charts), resume_existing=True)
        assert taken_up.batch is not None
        assert taken_up.batch.batch_id != first  # the newest unfinished one


def test_sigkill_in_the_middle_of_a_submit_loses_nothing(tmp_path: Path) -> None:
    charts = tmp_path / "charts"
    charts.mkdir()
    chart = encoded(picture())
    for number in range(3000):  # data after a PNG's end is no part of the picture, but of its identity
        (charts / f"{number:04d}.png").write_bytes(chart + number.to_bytes(4))
    with stack(tmp_path) as user:
        process = user.start("submit", str(charts), "-p", "Up?", module="jobs")
        eventually(lambda: _members(user.home / "results.sqlite") > 0, every_s=0.002)
        process.kill()
        assert finish(process).code == -9
        assert 0 < _members(user.home / "results.sqlite") < 3000
        done = user.run("submit", str(charts), "-p", "Up?", "--json", module="jobs").json()
        assert (done["total"], done["queued"]) == (3000, 3000)
        with _ledger(user) as ledger:
            [batch] = ledger.batches()
            assert batch.batch_id == done["batch_id"]
            assert batch.total == ledger.counts(batch, recent_since=0).queued == 3000


def _members(file: Path) -> int:
    if not file.exists():
        return 0
    with closing(sqlite3.connect(file, timeout=10)) as store:
        try:
            return int(store.execute("SELECT count(*) FROM members").fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # not made yet


def _batches(user: Producer) -> list[Batch]:
    with user.session() as session:
        return list(session.ledger.batches())


# Beside a worker


def test_counts_add_up_while_a_worker_runs_and_others_submit(tmp_path: Path) -> None:
    draw_charts(tmp_path / "first", 60)
    draw_charts(tmp_path / "second", 60, start=40)  # 20 of them are the first's
    behaviour = Behaviour(latency_s=0.1, fail_every=[(7, 502)])
    with Rehearsal(behaviour) as server, stack(tmp_path, HF_BASE_URL=server.base_url, HF_TOKEN="hf_x") as user:
        user.environment |= {"RETRY_DELAY": "0.05", "MAX_RETRIES": "20"}
        user.worker("--concurrency", "8")
        first = user.submit("first", prompt="Up?")
        second = user.run("submit", "second", "-p", "Up?", "-q", module="jobs").stdout.strip()
        ended = 0
        with _ledger(user) as ledger:
            while ended < 120:
                counts = [ledger.counts(ledger.batch(batch_id), recent_since=0) for batch_id in (first, second)]
                for one in counts:
                    parts = (one.queued, one.started, one.scheduled, one.finished, one.failed, one.canceled)
                    assert sum(parts) == one.total == 60
                now_ended = sum(one.finished + one.failed for one in counts)
                assert now_ended >= ended
                ended = now_ended
        assert user.run("wait", first, "--json").json()["status"] == "completed"
        assert user.run("wait", second).stdout == ""
        answered = [call for call in server.record if call.status == 200]
        assert len(answered) == 100  # each chart once, in whichever batch


def _ledger(user: Stack) -> Any:
    return Ledger.open(f"sqlite:///{user.home / 'results.sqlite'}")
