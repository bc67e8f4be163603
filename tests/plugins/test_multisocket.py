"""`multisocket`: how many processes answer."""

import pytest

from tests.plugins.blocks import block, configured, mistakes


@pytest.mark.parametrize(
    ("lines", "workers"),
    [([], None), (["multisocket"], 0), (["multisocket 1"], 1), (["multisocket 1024"], 1024)],
)
def test_numbers(lines, workers):
    assert configured(block(*lines, "whoami")).shared.process.workers == workers


@pytest.mark.parametrize(
    ("first", "second", "workers"), [("", "2", 2), ("2", "", 2), ("2", "4", 4), ("4", "2", 4), ("", "", 0)]
)
def test_of_several_blocks_the_largest_number_counts(first, second, workers):
    text = block(f"multisocket {first}", "whoami", key="a.test") + block(
        f"multisocket {second}", "whoami", key="b.test"
    )
    assert configured(text).shared.process.workers == workers


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("multisocket 0", "2:13: multisocket: a whole number from 1 to 1024"),
        ("multisocket -1", "from 1 to 1024"),
        ("multisocket 1025", "from 1 to 1024"),
        ("multisocket auto", "from 1 to 1024"),
        ("multisocket 2 3", "takes 0 to 1 argument, got 2"),
        ("multisocket 2 {\nx\n}", "takes no block"),
        ("multisocket\nmultisocket", "twice"),
    ],
)
def test_mistakes(line, error):
    (found,) = mistakes(line, "whoami")
    assert error in found
