"""Work in threads, its results in order."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from jobs.core.in_order import in_order


def test_results_come_in_the_items_order_and_items_are_taken_a_few_ahead() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(1, 101):
            taken = number
            yield number

    def work(number: int) -> int:
        time.sleep(0.002 if number % 4 == 0 else 0)  # some take longer than those behind them
        return -number

    with ThreadPoolExecutor(4) as pool:
        results = in_order(pool, work, items(), ahead=10)
        assert (next(results), taken) == (-1, 10)
        assert list(results) == [-number for number in range(2, 101)]
