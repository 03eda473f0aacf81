"""Failures by kind: what varies in a message makes no kind of its own."""

import time

from jobs.batches.failures import failure_kinds
from jobs.ledger import JobError


def error(message: str, *, type_: str = "HFServerError", status: int | None = 500) -> JobError:
    return JobError(type=type_, message=message, status_code=status)


def test_numbers_ids_paths_and_names_of_charts_make_no_kinds() -> None:
    kinds = failure_kinds(
        [
            ("a", error("chart kite.png (12 kB) refused, request 0af3c19e77")),
            ("b", error("chart orbit.jpeg (99 kB) refused, request ffe1c19e70")),
            ("c", error("chart /data/x/fx.png (1 kB) refused, request 11111111")),
            ("d", error("overloaded")),
            ("e", error("overloaded", status=502)),
            ("f", error("overloaded", type_="HFTimeoutError", status=None)),
        ]
    )
    assert [(kind.job_ids, kind.status_code) for kind in kinds] == [
        (["a", "b", "c"], 500),
        (["d"], 500),
        (["e"], 502),
        (["f"], None),
    ]
    assert kinds[0].message == "chart kite.png (12 kB) refused, request 0af3c19e77"


def test_a_job_that_is_twice_in_the_batch_counts_once() -> None:
    [kind] = failure_kinds([("a", error("no")), ("a", error("no"))])
    assert kind.document() == {
        "type": "HFServerError",
        "status_code": 500,
        "message": "no",
        "count": 1,
        "job_ids": ["a"],
    }


def test_ten_thousand_failures_of_three_kinds_are_three_groups_soon() -> None:
    messages = ("read timed out after {n} s", "image {n} is damaged: {n}.png", "server error {n}")
    failures = [(f"job-{n}", error(messages[n % 3].format(n=n))) for n in range(10_000)]
    began = time.process_time()
    kinds = failure_kinds(failures)
    assert time.process_time() - began < 20
    assert [len(kind.job_ids) for kind in kinds] == [3334, 3333, 3333]
