"""What always holds (docs: how it works inside), seen from outside: one section for each of the sixteen.

Where a whole section lies elsewhere, it says where.
"""

import hashlib
import pickle
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from redis import Redis
from support.faults import by_image, by_prompt
from support.hf_server import Scripted, ScriptedServer, chat_reply
from support.pictures import png_of_size
from support.stack import Stack, draw_charts, eventually, finish, stack

from jobs.lanes import LaneQueues
from jobs.lanes.scripts import text
from jobs.ledger import Counts, Ledger
from worker.rehearsal import Rehearsal

TOKEN = "hf_secret_token"
MODEL = "org/model"
ENVIRONMENT = {"HF_TOKEN": TOKEN, "VISION_MODEL": MODEL, "RETRY_DELAY": "0.1"}
LANE = f"chat:{MODEL}"


def statuses(user: Stack) -> dict[str, str]:
    """Job id -> status, as the ledger has it now."""
    with closing(sqlite3.connect(user.home / "results.sqlite")) as connection:
        return dict(connection.execute("SELECT job_id, status FROM jobs"))


def ended(counts: Counts) -> int:
    return counts.finished + counts.failed + counts.canceled


# 1. The ledger knows first. 8. The counts add up at every moment -------------------------------------------


def test_at_every_moment_the_counts_add_up_and_redis_knows_nothing_before_the_ledger(
    user: Stack, server: Rehearsal
) -> None:
    bad_ones = by_prompt({"bad": 422})
    server.behave(latency_s=0.3, fail_every=[(4, 500)], first_faults=(429, None, 503), fault_for=bad_ones)
    charts = draw_charts(user.folder / "charts", 60)
    good, bad = user.submit(charts), user.submit(charts / "group-00", prompt="bad")
    user.worker("--concurrency", "4", MAX_RETRIES="1")
    totals, highest, samples = {good: 60, bad: 10}, {good: 0, bad: 0}, 0
    with closing(user.redis()) as redis, closing(Ledger.open(f"sqlite:///{user.home / 'results.sqlite'}")) as ledger:
        batches = [ledger.batch(batch_id) for batch_id in totals]
        while sum(highest.values()) < 70:
            said = {batch.batch_id: _known_to_rq(redis, f"{LANE}@{batch.batch_id}") for batch in batches}
            in_ledger = statuses(user)
            for waiting, done in said.values():
                assert waiting <= in_ledger.keys()
                assert {in_ledger[job_id] for job_id in done} <= {"finished", "failed"}
            for batch in batches:
                counts = ledger.counts(batch, recent_since=0)
                assert counts.queued + counts.started + counts.scheduled + ended(counts) == counts.total
                assert counts.total == totals[batch.batch_id]
                assert ended(counts) >= highest[batch.batch_id]
                highest[batch.batch_id] = ended(counts)
            samples += 1
            time.sleep(0.02)
    assert samples >= 10
    assert user.counts(bad).failed == 10


def _known_to_rq(redis: Redis, queue: str) -> tuple[set[str], set[str]]:
    """What stands in an RQ queue, and what RQ takes for finished or failed."""
    waiting = redis.lrange(f"rq:queue:{queue}", 0, -1)
    done = [*redis.zrange(f"rq:finished:{queue}", 0, -1), *redis.zrange(f"rq:failed:{queue}", 0, -1)]
    return set(map(text, waiting)), set(map(text, done))


# 2. One answer, and no call for what has one ----------------------------------------------------------------


def test_a_job_that_has_its_answer_calls_nobody_when_it_is_queued_once_more(user: Stack, server: Rehearsal) -> None:
    batch_id = user.submit(draw_charts(user.folder / "charts", 6))
    user.worker("--concurrency", "2")
    user.wait(batch_id)
    before = user.results(batch_id)
    with closing(user.redis()) as redis:
        redis.flushall()
        assert LaneQueues(redis).enqueue([row["job_id"] for row in before], lane=LANE, batch_id=batch_id) == 6
        eventually(lambda: not redis.exists(f"rq:queue:{LANE}@{batch_id}") and not redis.exists("chartq:leases"))
        assert redis.keys("rq:job:*") == []
    assert len(server.record) == 6
    assert user.results(batch_id) == before


# 3. Redis may lose everything (while workers run: test_worker_process) ---------------------------------------


@pytest.mark.parametrize("resumed", [True, False], ids=["resume", "the worker's own sweep"])
def test_what_redis_lost_is_put_back_once(user: Stack, server: Rehearsal, resumed: bool) -> None:
    batch_id = user.submit(draw_charts(user.folder / "charts", 10))
    shutil.rmtree(user.home / "redis")
    if resumed:
        user.run("resume")
    user.worker()
    user.wait(batch_id)
    assert len(server.record) == 10
    assert user.counts(batch_id).finished == 10


# 4. SIGKILL anywhere: test_worker_process --------------------------------------------------------------------
# 5. No thread sleeps out a hint: test_limits -----------------------------------------------------------------


# 6. A refusal spends no attempt (more in test_limits) --------------------------------------------------------


def test_refusals_spend_no_attempt_and_are_counted_apart(user: Stack, server: Rehearsal) -> None:
    server.behave(first_faults=(429, "loading", "overloaded"), hints="retry-after-ms", hint_s=0.2)
    charts = draw_charts(user.folder / "charts", 5)
    batch_id = user.run("run", str(charts), "-p", "Up?", "--json", MAX_RETRIES="0").json()["batch_id"]
    rows = user.results(batch_id)
    assert [row["attempts"] for row in rows] == [1] * 5
    assert sum(row["throttled"] for row in rows) == 3


# 7. What would fail for all holds the gate: test_limits ------------------------------------------------------


# 9. The token is in the worker's memory only -----------------------------------------------------------------


def test_the_token_is_nowhere_even_if_the_server_repeats_it(tmp_path: Path) -> None:
    said = {"error": f"Bearer {TOKEN} is a nice token, {TOKEN}"}
    odd = {"X-Request-Id": TOKEN, "X-Inference-Provider": TOKEN}
    spelled = "".join(f"\\u{ord(char):04x}" for char in TOKEN)
    slashed = TOKEN.replace("_", "\\u005f")
    replies = [
        Scripted(said, 422, odd),
        Scripted(said, 500, odd),
        Scripted(chat_reply(), headers=odd),
        Scripted(b"{not JSON " + TOKEN.encode()),
        Scripted(said, 429, odd),
        Scripted({"choices": [], **said}),
        Scripted(
            b'{"error": "you sent %b, %b"}' % (spelled.encode(), slashed.encode()), 422, {"X-Request-Id": spelled}
        ),
        Scripted(b'{"choices": [{"message": {"content": "%b"}}], "id": "%b"}' % ((spelled.encode(),) * 2)),
        Scripted(said, 401, odd),
    ]
    with (
        ScriptedServer(*replies) as server,
        stack(tmp_path, HF_BASE_URL=server.url, HF_TOKEN=TOKEN, LOG_LEVEL="DEBUG", RETRY_DELAY="0.1") as user,
    ):
        charts = draw_charts(user.folder / "charts", 10)
        batch_id = user.submit(charts)
        worker = user.worker("--concurrency", "2")
        user.wait(batch_id, expect=3)
        assert all(request.headers["Authorization"] == f"Bearer {TOKEN}" for request in server.seen)

        seen = "".join(Path(f"/proc/{program}/cmdline").read_text() for program in (worker.pid, _redis_pid(user)))
        seen += Path(f"/proc/{_redis_pid(user)}/environ").read_text()
        with closing(user.redis()) as redis:
            seen += "".join(_content(redis, key) for key in redis.scan_iter())
        for command in (["status", batch_id], ["results", batch_id], ["lanes"], ["lanes", "--json"], ["list"]):
            shown = user.run(*command)
            seen += shown.stdout + shown.stderr
        worker.send_signal(signal.SIGTERM)
        last_words = finish(worker)
        seen += last_words.stdout + last_words.stderr
        for path in user.folder.rglob("*"):
            seen += path.read_bytes().decode(errors="replace") if path.is_file() else ""
    assert "HFRequestError" in seen  # that is: we did look where errors stand
    assert TOKEN not in seen
    assert spelled not in seen
    assert slashed not in seen


def _redis_pid(user: Stack) -> int:
    return int((user.home / "redis" / "redis.pid").read_text())


def _content(redis: Redis, key: bytes) -> str:
    read: dict[str, Callable[[bytes], object]] = {
        "string": redis.get,
        "hash": redis.hgetall,
        "list": lambda name: redis.lrange(name, 0, -1),
        "set": redis.smembers,
        "zset": lambda name: redis.zrange(name, 0, -1, withscores=True),
    }
    return f"{key!r} {read[text(redis.type(key))](key)!r}"


# 10. What comes out of Redis and off the disk is data --------------------------------------------------------


def test_forged_and_pickled_jobs_do_nothing_are_logged_and_set_aside(user: Stack, server: Rehearsal) -> None:
    server.behave(latency_s=0.3)
    batch_id = user.submit(draw_charts(user.folder / "charts", 6))
    worker = user.worker("--concurrency", "2")
    trap = user.folder / "trap"
    forged = {
        b"system": b'["os.system",null,["touch %s"],{}]' % bytes(trap),
        b"pickled": pickle.dumps(("os.system", None, (f"touch {trap}",), {})),
        b"other-id": b'["worker.task.ask",null,["another"],{}]',
        b"extra": b'["worker.task.ask",null,["extra"],{"shell":true}]',
        b"huge": b"[" * 2_000_000,
        b"\xff\xfe\n id": b'["worker.task.ask",null,["x"],{}]',
        b"nobody": b'["worker.task.ask",null,["nobody"],{}]',
        b"\x80": b'["worker.task.ask",null,["\\udc80"],{}]',  # what no ledger can even be asked for
        b"0" * 32: b'["worker.task.ask",null,["%s"],{}]' % (b"0" * 32),  # well-formed, but unknown to the ledger
    }
    queue = f"{LANE}@{batch_id}"
    with closing(user.redis()) as redis:
        for job_id, data in forged.items():
            redis.hset(b"rq:job:" + job_id, mapping={"status": "queued", "origin": queue, "data": data})
        redis.set("rq:job:no-hash", "x")
        redis.lpush(f"rq:queue:{queue}", *forged, "no-hash", "no-such-job")
        redis.publish("chartq:wake", b"\xff")
        user.wait(batch_id)
        eventually(lambda: not redis.exists(f"rq:queue:{queue}") and not redis.exists("chartq:leases"))
        set_aside = set(redis.lrange("chartq:refused", 0, -1))
    assert {b"system", b"pickled", b"other-id", b"extra", b"huge", b"nobody", b"\x80"} <= set_aside
    assert b"no-such-job" in set_aside
    assert worker.said.count("set aside") >= 6
    assert not trap.exists()
    assert len(server.record) == 6
    assert worker.poll() is None


def test_no_image_path_leads_out_of_chart_root(user: Stack, server: Rehearsal) -> None:
    root, outside = (
        user.folder / "root",
        draw_charts(user.folder / "outside", 1, start=50) / "group-05" / "chart-0050.png",
    )
    draw_charts(root, 4)
    replaced, forged = root / "group-00" / "chart-0002.png", root / "group-00" / "chart-0003.png"
    shutil.copy(outside, replaced)
    (root / "link.png").symlink_to(outside)
    (root / "loop.png").symlink_to("loop.png")

    submitted = user.run("submit", str(root), "-p", "Up?", "--json", CHART_ROOT=str(root)).json()
    assert sorted(Path(reject["path"]).name for reject in submitted["rejected"]) == ["link.png", "loop.png"]
    # What leads inside at submit may lead outside later; and the ledger, too, is only data.
    replaced.unlink()
    replaced.symlink_to(outside)
    digest = hashlib.sha256(forged.read_bytes()).hexdigest()
    shutil.move(forged, user.folder / "forged.png")
    with closing(sqlite3.connect(user.home / "results.sqlite", isolation_level=None)) as connection:
        for table in ("jobs", "members"):
            connection.execute(f"UPDATE {table} SET image = '../forged.png' WHERE image LIKE '%chart-0003.png'")
    finish(user.worker("--burst", CHART_ROOT=str(root)))
    rows = {row["custom_id"].rpartition("/")[2]: row for row in user.results(submitted["batch_id"])}
    for name in ("chart-0002.png", "chart-0003.png"):
        assert rows[name]["status"] == "failed"
        assert "outside CHART_ROOT" in rows[name]["error"]["message"]
        assert rows[name]["attempts"] == 0
    assert digest not in {call.image_sha256 for call in server.record}


def test_bombs_are_refused_and_damage_fails_its_own_job_uncalled(user: Stack, server: Rehearsal) -> None:
    charts = draw_charts(user.folder / "charts", 3)
    (charts / "bomb.png").write_bytes(png_of_size(60_000, 60_000))
    (charts / "damaged.png").write_bytes(png_of_size(2_000, 2_000))
    (charts / "page.png").write_text("<html><svg/></html>")
    document = user.run("run", str(charts), "-p", "Up?", "--json", expect=None).json()
    rows = {row["custom_id"]: row for row in user.results(document["batch_id"])}
    assert not {"bomb.png", "page.png"} & rows.keys()
    assert document["request_counts"]["finished"] == 3
    assert len(server.record) == 3
    if damaged := rows.get("damaged.png"):  # Pillow's releases differ in whether `verify` sees it
        assert (damaged["status"], damaged["attempts"]) == ("failed", 0)


# 11. Every wait ends ----------------------------------------------------------------------------------------


def test_a_server_that_never_answers_or_drips_costs_no_more_than_the_timeout(user: Stack, server: Rehearsal) -> None:
    charts = draw_charts(user.folder / "charts", 6)
    names = sorted(charts.rglob("*.png"))
    server.behave(fault_for=by_image({names[1]: "hang", names[4]: "drip"}))
    arguments = ("run", str(charts), "-p", "Up?", "--json")
    document = user.run(*arguments, expect=1, VISION_TIMEOUT="6", MAX_RETRIES="0").json()
    rows = user.results(document["batch_id"])
    failed = [(row["error"]["type"], row["attempts"]) for row in rows if row["status"] == "failed"]
    assert failed == [("HFTimeoutError", 1)] * 2
    assert document["request_counts"]["finished"] == 4


# 12. What the model is shown is what the question says: test_picture_limits -----------------------------------
# 13. One store, one Redis: test_two_redis, test_strangers ----------------------------------------------------
# 14. Times that are compared were told by one clock: test_clocks ---------------------------------------------
# 15. What would come out the same is not paid for again: test_limits, tests/worker/engine/test_structured ----
# 16. What comes in by HTTP: tests/jobs/server/test_attacks, test_rows; tests/jobs/cli/test_output -------------
