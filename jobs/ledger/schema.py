"""The ledger's tables, their version, and the way from older versions to this one.

Rows refer to each other by small integers, so that a batch of 100,000 joins quickly; answers have a table of
their own, so that the one that is counted and swept stays small. No foreign keys: nothing is ever deleted,
every reference is written in the transaction that wrote its target, and checking each row would cost a third
of a bulk submit.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    UniqueConstraint,
    inspect,
    literal_column,
    select,
    text,
)

from jobs.core.job import OPEN_STATES
from jobs.ledger.columns import CleanText, PathText
from jobs.ledger.errors import SchemaTooNewError

#: What this program writes and reads.
VERSION = 2

#: Steps from older versions: (the version a step leads to, what it does). In order; each runs once.
Step = tuple[int, Callable[[Connection], None]]

#: PostgreSQL advisory lock that only one process at a time creates or upgrades under ("chartq" in hex).
_SCHEMA_LOCK = 0x636861727471

#: A row of a statement; which columns it has, the statement says.
AnyRow = Row[*tuple[Any, ...]]

metadata = MetaData()
_id = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows itself only in a plain INTEGER

schema_info = Table("schema_info", metadata, Column("version", Integer, nullable=False))

questions = Table(
    "questions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("prompt", CleanText, nullable=False),
    Column("model", CleanText, nullable=False),
    Column("parameters", CleanText, nullable=False),  # JSON
    Column("api", Text, nullable=False),
    Column("task", Text),
    Column("lane", CleanText, nullable=False),
)

batches = Table(
    "batches",
    metadata,
    Column("id", _id, primary_key=True, autoincrement=True),
    Column("batch_id", Text, nullable=False, unique=True),
    Column("name", CleanText),
    Column("question_id", Text, nullable=False),
    Column("fingerprint", Text, nullable=False, index=True),
    Column("priority", Text, nullable=False, server_default="normal"),
    Column("total", Integer),  # members, counted when the batch is sealed
    Column("created_at", Double, nullable=False),
    Column("sealed_at", Double),
    Column("canceled_at", Double),
    Column("hold_reason", CleanText),
    Column("hold_message", CleanText),
    Column("hold_since", Double),
    Column("sources", PathText, nullable=False),  # JSON: the PATHs as given
    Column("sampled_of", Integer),  # charts that a sample was taken of; null: the batch has all of them
    Column("max_failures", Text),  # see failure_limit.py
    Column("failures_since", Double),  # what failed before doesn't count
    Column("failures_left", Integer),  # so many more, at least, until the limit is reached: see holds.py
)

#: Asked for with every start of jobs; hardly ever has it a row.
batches_held = Index("batches_held", batches.c.id)

# Short columns first: SQLite reads a row from its start and stops after the last column it needs.
jobs = Table(
    "jobs",
    metadata,
    Column("id", _id, primary_key=True, autoincrement=True),
    Column("status", Text, nullable=False),
    Column("finished_at", Double),  # of the last end: stays when the job is queued again
    Column("prompt_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("job_id", Text, nullable=False, unique=True),
    Column("question_id", Text, nullable=False),
    Column("execution_id", Text),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("throttled", Integer, nullable=False, server_default="0"),
    Column("losses", Integer, nullable=False, server_default="0"),
    Column("status_code", Integer),
    Column("latency_s", Double),
    Column("rehearsal", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", Double, nullable=False),
    Column("queued_at", Double, nullable=False),  # of the last submit or retry, not of each return
    Column("started_at", Double),
    Column("image_sha256", Text, nullable=False),
    Column("image", PathText, nullable=False),  # the newest path submitted
    Column("request_id", CleanText),
    Column("provider", CleanText),
    Column("error_type", CleanText),
    Column("error_message", CleanText),
)

#: SQLite uses a partial index only for the very words it was made with, hence no bound values here.
_quoted = [f"'{state}'" for state in OPEN_STATES]
job_is_open = jobs.c.status.in_([literal_column(word, Text) for word in _quoted])
jobs_open = Index("jobs_open", jobs.c.id)

#: The rows that an index has, where not all. Told to SQLAlchemy for the database in hand (`prepare`): an Index made
#: with the options of both loads both dialects, 3 MB that a worker would carry about.
_INDEXED_ROWS = {
    batches_held: batches.c.hold_reason.is_not(None),
    jobs_open: text(f"status IN ({', '.join(_quoted)})"),
}

answers = Table(
    "answers",
    metadata,
    Column("job", _id, primary_key=True, autoincrement=False),
    Column("text", CleanText, nullable=False),
    Column("raw", CleanText, nullable=False),  # JSON
)

members = Table(
    "members",
    metadata,
    Column("batch", _id, nullable=False),
    Column("position", Integer, nullable=False),
    Column("job", _id, nullable=False),
    Column("ended", Text),  # see standing.py
    Column("custom_id", CleanText, nullable=False),
    Column("image", PathText, nullable=False),
    UniqueConstraint("batch", "custom_id"),
    Index("members_in_order", "batch", "position", "job", "ended"),  # all that counting needs
    Index("members_of_job", "job", "batch"),
)

#: Pictures that came within a request and have no file of their own (see chart_files.py). Nothing is deleted.
pictures = Table(
    "pictures",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)


def _to_2(connection: Connection) -> None:
    """Samples, limits of failures, and pictures that are no files."""
    pictures.create(connection)
    for column in (batches.c.sampled_of, batches.c.max_failures, batches.c.failures_since, batches.c.failures_left):
        kind = column.type.compile(connection.dialect)
        connection.execute(text(f"ALTER TABLE {batches.name} ADD COLUMN {column.name} {kind}"))
    batches_held.create(connection)


STEPS: Sequence[Step] = ((2, _to_2),)


def current_version(connection: Connection) -> int | None:
    """The version of the tables that are there; None if there are none."""
    if not inspect(connection).has_table(schema_info.name):
        return None
    version: int = connection.execute(select(schema_info.c.version)).scalar_one()
    return version


def write_nothing_new(connection: Connection) -> int:
    """The version, after a write that changes nothing and yet needs the rights, the locks and the room of one."""
    connection.execute(schema_info.update().values(version=schema_info.c.version))
    version: int = connection.execute(select(schema_info.c.version)).scalar_one()
    return version


def prepare(connection: Connection, *, version: int = VERSION, steps: Sequence[Step] = STEPS) -> None:
    """Create or upgrade the tables, in the caller's write transaction; several processes may try at once.

    Raises SchemaTooNewError if the tables are newer than `version`.
    """
    for index, rows in _INDEXED_ROWS.items():
        index.dialect_options[connection.dialect.name]["where"] = rows
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _SCHEMA_LOCK})
    found = current_version(connection)
    if found is None:
        metadata.create_all(connection, checkfirst=False)
        connection.execute(schema_info.insert().values(version=version))
    else:
        _upgrade(connection, found, version, steps)


def check(found: int, *, version: int = VERSION) -> None:
    """Raise SchemaTooNewError if the tables are of a version that this program doesn't know."""
    if found > version:
        raise SchemaTooNewError(
            f"the results store has schema version {found}, this chartq knows {version}: "
            "install the newer chartq that wrote it, or point RESULTS_URL or CHARTQ_HOME elsewhere"
        )


def _upgrade(connection: Connection, found: int, version: int, steps: Sequence[Step]) -> None:
    check(found, version=version)
    for leads_to, step in steps:
        if found < leads_to <= version:
            step(connection)
    if found != version:
        connection.execute(schema_info.update().values(version=version))
