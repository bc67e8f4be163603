"""`reload`: interval and jitter."""

import pytest

from tests.plugins.blocks import block, configured, mistakes


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], None),
        (["reload"], (30.0, 15.0)),
        (["reload 10s"], (10.0, 5.0)),
        (["reload 2s"], (2.0, 1.0)),
        (["reload 1m"], (60.0, 15.0)),
        (["reload 30s 20s"], (30.0, 15.0)),
        (["reload 30s 1s"], (30.0, 1.0)),
        (["reload 2s 0s"], (2.0, 0.0)),
    ],
)
def test_seconds(lines, expected):
    assert configured(block(*lines, "whoami")).shared.process.reload == expected


@pytest.mark.parametrize("order", [("20s 2s", "40s 1s"), ("40s 1s", "20s 2s")])
def test_of_several_blocks_the_shortest_interval_counts(order):
    text = "".join(
        block(f"reload {each}", "whoami", key=key) for each, key in zip(order, ("a.test", "b.test"), strict=True)
    )
    assert configured(text).shared.process.reload == (20.0, 2.0)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("reload 1s", '2:8: reload: an interval of at least 2s, not "1s" (write for example 30s)'),
        ("reload 0s", "at least 2s"),
        ("reload 10s 500ms", '2:12: reload: a jitter of 0s or at least 1s, not "500ms"'),
        ("reload 30", "write for example 30s"),
        ("reload off", "a duration"),
        ("reload 10s 1s 1s", "takes 0 to 2 arguments, got 3"),
        ("reload 10s {\nx\n}", "takes no block"),
        ("reload\nreload", "twice"),
    ],
)
def test_mistakes(line, error):
    (found,) = mistakes(line, "whoami")
    assert error in found
