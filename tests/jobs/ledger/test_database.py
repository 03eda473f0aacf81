"""The ledger's database: many users at once, versions, files, and errors that say what to do."""

import dataclasses
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import psycopg
import pytest
from support import ledger_v1
from support.ledger_users import SHARED, start_user
from support.stack import PATIENCE_S, eventually
from support.stores import STORES, finished, id_of, members_of, new_store, open_batch, start, submit

from jobs.core.errors import SettingsError, StoreError
from jobs.core.failure_limit import FailureLimit
from jobs.ledger import (
    Failed,
    Ledger,
    SchemaTooNewError,
    StoreUnavailableError,
    StoreUrl,
    attempts,
    postgres_database,
    schema,
)
from jobs.ledger.database import Store
from jobs.ledger.statements import statement, written
from jobs.ledger.transaction import Transaction

USERS = 8


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return new_store(request.param, tmp_path)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return new_store("sqlite", tmp_path)


def output(user: "subprocess.Popen[str]") -> str:
    said, _ = user.communicate(timeout=2 * PATIENCE_S)
    assert user.returncode == 0, said
    return said


# Many at once


def test_several_processes_create_the_tables_once(url: str) -> None:
    users = [start_user(url, "open") for _ in range(USERS)]
    assert [output(user) for user in users] == ["done\n"] * USERS
    store = Store(url)
    rows = store.read(lambda tx: tx.execute("SELECT version FROM schema_info").fetchall())
    assert [row[0] for row in rows] == [schema.VERSION]
    store.close()


def test_several_processes_write_at_once_and_none_finds_it_locked(url: str) -> None:
    users = [start_user(url, "write", f"user {n}") for n in range(USERS)]
    assert [output(user) for user in users] == ["done\n"] * USERS
    with Ledger.open(url) as ledger:
        for batch in ledger.batches():
            counts = ledger.counts(batch, recent_since=0)
            assert (counts.total, counts.finished) == (30, 18)
        assert len(ledger.open_jobs(0, 1000)) == len(SHARED) + USERS * 2


def test_threads_share_a_ledger(url: str) -> None:
    charts = [str(n) for n in range(64)]

    def work(chart: str) -> set[str]:
        start(ledger, chart, chart)
        return ledger.record([finished(chart, chart, chart)], 2)

    with Ledger.open(url) as ledger:
        batch = submit(ledger, charts, now=1)
        with ThreadPoolExecutor(16) as pool:
            assert set().union(*pool.map(work, charts)) == {id_of(chart) for chart in charts}
        assert [row.text for row in ledger.results(batch)] == charts


def test_counts_read_while_another_writes(sqlite_url: str, tmp_path: Path) -> None:
    with Ledger.open(sqlite_url) as ledger:
        batch = submit(ledger, "ab", now=1)
        with closing(sqlite3.connect(tmp_path / "home/ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("UPDATE batch_counts SET queued = 0, started = 2")
            assert ledger.counts(batch, recent_since=0).queued == 2
            other.execute("COMMIT")
        assert ledger.counts(batch, recent_since=0).started == 2


def test_a_store_is_opened_and_read_while_another_writes_for_long(sqlite_url: str, tmp_path: Path) -> None:
    with Ledger.open(sqlite_url) as ledger:
        batch = submit(ledger, "ab", now=1)
    with closing(sqlite3.connect(tmp_path / "home/ledger.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with Ledger.open(f"{sqlite_url}?timeout=0") as ledger:
            assert ledger.counts(ledger.batch(batch.batch_id), recent_since=0).queued == 2


# Versions


def _add_column(tx: Transaction) -> None:
    tx.execute("ALTER TABLE batches ADD COLUMN colour TEXT")


def _set_version(version: int) -> Callable[[Transaction], object]:
    return lambda tx: tx.execute(f"UPDATE schema_info SET version = {version}")


def columns_of(tx: Transaction, table: str) -> list[tuple[str, str, bool]]:
    """Name, type and whether it may be null."""
    if tx.dialect == "sqlite":
        return [(row[1], row[2], not row[3]) for row in tx.execute(f"PRAGMA table_info({table})").fetchall()]
    told = "SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = "
    return [(row[0], row[1], row[2] == "YES") for row in tx.execute(f"{told}'{table}'").fetchall()]


def names_of(tx: Transaction, kind: str) -> list[str]:
    """The tables, or the indexes."""
    if tx.dialect == "sqlite":
        found = f"SELECT name FROM sqlite_master WHERE type = '{kind}' AND name NOT LIKE 'sqlite_%'"
    else:
        found = f"SELECT {kind}name FROM pg_{kind}{'s' if kind == 'table' else 'es'} WHERE schemaname = 'public'"
    return sorted(row[0] for row in tx.execute(found).fetchall())


def test_an_older_store_is_brought_up_to_date_in_place(url: str) -> None:
    newer = partial(schema.prepare, version=schema.VERSION + 1, steps=[(schema.VERSION + 1, _add_column)])
    with Ledger.open(url) as ledger:
        batch = submit(ledger, "a", now=1)
    store = Store(url)
    for _ in range(2):  # the second time there is nothing to do
        store.write(newer)
    assert "colour" in store.read(lambda tx: [column[0] for column in columns_of(tx, "batches")])
    assert store.read(schema.current_version) == schema.VERSION + 1
    store.write(_set_version(schema.VERSION))
    store.close()
    with Ledger.open(url) as ledger:
        assert ledger.batch(batch.batch_id) == batch


def shape(store: Store) -> object:
    """Tables, columns and indexes of a store, as the database tells them."""

    def told(tx: Transaction) -> object:
        tables = {table: sorted(columns_of(tx, table)) for table in names_of(tx, "table")}
        return tables, [name for name in names_of(tx, "index") if not name.endswith(("_pkey", "_key"))]

    return store.read(told)


@pytest.mark.parametrize("kind", STORES)
def test_a_store_of_the_first_version_becomes_one_of_this_version_with_all_that_it_holds(
    kind: str, tmp_path: Path
) -> None:
    old, new = new_store(kind, tmp_path / "old"), new_store(kind, tmp_path / "new")
    (tmp_path / "old" / "home").mkdir(parents=True)
    stores = [Store(old), Store(new)]
    stores[0].write(ledger_v1.create)
    with Ledger.open(old) as ledger:
        Ledger.open(new).close()
        assert shape(stores[0]) == shape(stores[1])
        assert stores[0].read(schema.current_version) == schema.VERSION
        batch = ledger.batch("b-old")
        assert (batch.total, batch.sampled_of, batch.max_failures, batch.hold) == (2, None, None, None)
        assert [(row.status, row.text) for row in ledger.results(batch)] == [("finished", "up"), ("queued", None)]
        assert "j2" in ledger.start([("j2", "e")], 3)
        ledger.record([Failed(job_id="j2", execution_id="e", error_type="E", message="m")], 4)
        ledger.limit_failures(batch, FailureLimit(count=2))
        assert ledger.retry(batch, 5) == ["j2"]
        row = dataclasses.replace(members_of("c")[0], pictures={members_of("c")[0].image_sha256: b"chart c"})
        ledger.add_members(open_batch(ledger, now=6), [row], refresh=False, count_rehearsals=False, now=6)
        assert ledger.picture(row.image_sha256) == b"chart c"
    Ledger.open(old).close()  # the second time there is nothing to do
    for store in stores:
        store.close()


def test_a_step_that_fails_leaves_the_older_version(url: str) -> None:
    def fails(tx: Transaction) -> None:
        _add_column(tx)
        tx.execute("ALTER TABLE nowhere ADD COLUMN colour TEXT")

    Ledger.open(url).close()
    store = Store(url)
    with pytest.raises(StoreError):
        store.write(partial(schema.prepare, version=schema.VERSION + 1, steps=[(schema.VERSION + 1, fails)]))
    assert store.read(schema.current_version) == schema.VERSION
    assert "colour" not in store.read(lambda tx: [column[0] for column in columns_of(tx, "batches")])
    store.close()


def test_a_newer_store_is_refused(url: str) -> None:
    Ledger.open(url).close()
    store = Store(url)
    store.write(_set_version(schema.VERSION + 1))
    store.close()
    with pytest.raises(SchemaTooNewError, match=rf"version {schema.VERSION + 1}.*install the newer chartq"):
        Ledger.open(url)


def test_somebody_elses_tables_are_left_alone(url: str, tmp_path: Path) -> None:
    store = Store(url)
    if "sqlite" in url:
        (tmp_path / "home").mkdir()
    store.write(lambda tx: tx.execute("CREATE TABLE members (name TEXT)"))
    store.close()
    with pytest.raises(StoreError, match="members") as caught:
        Ledger.open(url)
    assert not isinstance(caught.value, StoreUnavailableError)


# Files


def test_the_file_is_its_owners_only(sqlite_url: str, tmp_path: Path) -> None:
    with Ledger.open(sqlite_url) as ledger:
        submit(ledger, "a", now=1)
        home = tmp_path / "home"
        assert home.stat().st_mode & 0o777 == 0o700
        modes = {path.name: path.stat().st_mode & 0o777 for path in home.iterdir()}
    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}


def test_a_full_disk_is_an_error_that_passes(sqlite_url: str) -> None:
    said = output(start_user(sqlite_url, "full")).splitlines()
    assert "ledger.db" in said[0]
    assert said[1:] == ["2000", "done"]


def test_a_lock_held_too_long_is_an_error_that_passes(sqlite_url: str, tmp_path: Path) -> None:
    with Ledger.open(f"{sqlite_url}?timeout=0.1") as ledger:
        submit(ledger, "a", now=1)
        with closing(sqlite3.connect(tmp_path / "home/ledger.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailableError, match="locked"):
                start(ledger, "a")
            other.execute("ROLLBACK")
        start(ledger, "a")


def test_a_file_that_is_no_database_is_an_error_for_good(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/ledger.db").write_text("not a database " * 100)
    with pytest.raises(StoreError, match="not a database") as caught:
        Ledger.open(sqlite_url)
    assert not isinstance(caught.value, StoreUnavailableError)


def test_a_place_that_cant_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/ledger\.db"):
        Ledger.open(f"sqlite:///{tmp_path}/file/ledger.db")


# PostgreSQL


def test_a_connection_that_was_cut_is_replaced(tmp_path: Path) -> None:
    url = new_store("postgresql", tmp_path)
    with Ledger.open(url) as ledger:
        batch = submit(ledger, "a", now=1)
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as other:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'chartq'"
            assert len(other.execute(others).fetchall()) > 0
        assert ledger.counts(batch, recent_since=0).total == 1


@pytest.mark.parametrize("isolation", ["serializable", "repeatable read"])
def test_whatever_isolation_the_server_has_by_default_many_write_at_once(isolation: str, tmp_path: Path) -> None:
    url = new_store("postgresql", tmp_path)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as other:
        other.execute(f"ALTER DATABASE {other.info.dbname} SET default_transaction_isolation = '{isolation}'".encode())
    users = [start_user(url, "write", f"user {n}") for n in range(USERS)]
    assert [output(user) for user in users] == ["done\n"] * USERS


def test_a_server_that_is_away_is_an_error_that_passes_and_keeps_the_password(tmp_path: Path) -> None:
    urls = [
        "postgresql://user:s3cret@127.0.0.1:1/db",
        f"postgres://user:s3cret@/db?host={tmp_path}",
        "postgresql+psycopg://user@127.0.0.1:1/db?password=s3cret",
    ]
    for url in urls:
        with pytest.raises(StoreUnavailableError, match=r"postgresql at .*/db: ") as caught:
            Ledger.open(url)
        assert "s3cret" not in f"{caught.value} {StoreUrl.parse(url)!r}"


# URLs


@pytest.mark.parametrize(
    "url", ["", "s3cret", "mysql://user:s3cret@host/db", "postgresql://user:s3cret@host:port/db", "sqlite://"]
)
def test_an_unusable_url_names_the_variable_and_no_password(url: str) -> None:
    with pytest.raises(SettingsError, match="RESULTS_URL") as caught:
        Ledger.open(url)
    assert "s3cret" not in str(caught.value)


def test_jobs_of_who_is_frozen_within_a_transaction_are_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL's own time-out stands still after psycopg's executemany: a worker that was frozen there (SIGSTOP, a
    host that is gone) kept its jobs until somebody woke it."""
    monkeypatch.setattr(postgres_database, "LOCK_WAIT_S", 5)
    monkeypatch.setattr(attempts, "_END_SILENT", attempts._END_SILENT.replace("10 s", "0 s"))
    url = new_store("postgresql", tmp_path)
    written, thawed = threading.Event(), threading.Event()

    def frozen(tx: Transaction) -> None:
        tx.run_many("start_job", [{"execution": "late", "now": 3.0, "job": row} for row in (1, 2)])
        written.set()
        assert thawed.wait(PATIENCE_S)

    with Ledger.open(url) as ledger, closing(Store(url)) as his, ThreadPoolExecutor(1) as pool:
        submit(ledger, ["a", "b"], now=1)
        ledger.start([(id_of("a"), "e"), (id_of("b"), "e")], now=2)
        his_work = pool.submit(his.write, frozen)
        assert written.wait(PATIENCE_S)
        try:
            # The server has answered him before it notices that he says nothing.
            silent = (
                "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL"
            )
            silent += " AND wait_event = 'ClientRead'"
            eventually(lambda: ledger.store.read(lambda tx: tx.execute(silent).fetchone()[0] == 1))
            lost = ledger.lose([(id_of("a"), "e"), (id_of("b"), "e")], max_losses=3, now=4)
            assert sorted(lost.again) == sorted([id_of("a"), id_of("b")])
        finally:
            thawed.set()
        with pytest.raises(StoreUnavailableError):
            his_work.result(PATIENCE_S)


# Cost


def test_the_sweep_reads_open_rows_only(sqlite_url: str) -> None:
    with Ledger.open(sqlite_url) as ledger:
        submit(ledger, "a", now=1)
    store = Store(sqlite_url)
    sql = f"EXPLAIN QUERY PLAN {statement('open_jobs', 'sqlite')}"
    plan = store.read(lambda tx: tx.execute(sql, after=5, page=10, batch=0).fetchall())
    assert ["jobs_open" in row[3] for row in plan if "jobs" in row[3]] == [True]
    store.close()


@pytest.mark.parametrize("name", ["start_job", "write_state"])
def test_writing_a_row_builds_no_table_of_states(name: str, sqlite_url: str) -> None:
    """As SQLite does of a list in an index's condition, twice for each row: it took longer than to write the row."""
    Ledger.open(sqlite_url).close()
    store = Store(sqlite_url)
    sql = statement(name, "sqlite")
    values = dict.fromkeys(re.findall(r":(\w+)", sql), 1)
    program = store.read(lambda tx: tx.execute(f"EXPLAIN {sql}", **values).fetchall())
    assert [step[1] for step in program if step[1] in ("IdxInsert", "OpenEphemeral")] == ["IdxInsert"]
    store.close()


def test_a_second_ledger_of_the_process_costs_the_first_nothing(tmp_path: Path) -> None:
    """Closing any descriptor of a file drops all locks that the process has on it; another one that leaves would then
    take the write-ahead log away under the first."""
    url = new_store("sqlite", tmp_path)
    leaves = f"from jobs.ledger import Ledger\nLedger.open({url!r}).close()"
    with Ledger.open(url) as first:
        submit(first, ["a"], now=1.0)
        with Ledger.open(url):
            pass
        subprocess.run([sys.executable, "-c", leaves], check=True)
        for number in range(3):
            submit(first, [f"b{number}"], now=2.0)
        counts = f"from jobs.ledger import Ledger\nprint(len(list(Ledger.open({url!r}).batches())))"
        seen = subprocess.run([sys.executable, "-c", counts], check=True, capture_output=True, text=True).stdout
        assert (seen.strip(), len(list(first.batches()))) == ("4", 4)


def test_no_statement_about_some_jobs_goes_through_a_whole_batch_for_each(tmp_path: Path) -> None:
    """A million rows are a million looks, not a million times a million."""
    store = tmp_path / "results.sqlite"
    Ledger.open(f"sqlite:///{store}").close()
    spelled = {name: statement(name, "sqlite") for name in written()}
    about_jobs = {
        name: sql for name, sql in spelled.items() if "members" in sql and (":jobs" in sql or name == "open_jobs")
    }
    assert {"give_up_claims", "open_jobs"} <= about_jobs.keys()
    with closing(sqlite3.connect(store)) as connection:
        for name, sql in about_jobs.items():
            values = dict.fromkeys(re.findall(r":(\w+)", sql), 1)
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
            assert not [step for step in plan if "members_in_order (batch=?)" in step], (name, plan)
