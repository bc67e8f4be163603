"""When the end comes. Times in seconds since it began."""

from collections.abc import Mapping

import pytest

from clusterdns.roles.drain import QUIET, Drain

# Seconds between two looks
STEP = 0.25
BEGUN = 1000.0


def ended(lameduck: float, queries: Mapping[float, int]) -> float:
    """When it is over; `queries`: the count from that time on."""
    drain, at, count = Drain(BEGUN, lameduck, queries[0]), 0.0, queries[0]
    while not drain.over(BEGUN + at, count):
        at += STEP
        count = queries.get(at, count)
    return at


@pytest.mark.parametrize(
    ("lameduck", "queries", "end"),
    [
        (0.0, {0: 5}, 0.0),
        (3.0, {0: 5}, 3.0),
        (30.0, {0: 5}, QUIET),
        (30.0, {0: 5, 1: 7, 2: 8}, 2.0 + QUIET),
        (30.0, {0: 5, 1: 7, 2: 7, 4: 7}, 1.0 + QUIET),
        (30.0, {0: 5, QUIET - STEP: 6}, 2 * QUIET - STEP),
        (30.0, {step * STEP: step for step in range(200)}, 30.0),
        (3.0, {step * STEP: step for step in range(200)}, 3.0),
        # Another slot is counted: that is as good as a query
        (30.0, {0: 5, 3: 2}, 3.0 + QUIET),
    ],
    ids=[
        "no lameduck",
        "short",
        "nobody asks",
        "queries",
        "the last query",
        "just",
        "always",
        "always, short",
        "fewer",
    ],
)
def test_the_end(lameduck, queries, end):
    assert ended(lameduck, queries) == end
