"""`health`: addresses, and how long the end takes."""

import pytest

from clusterdns.errors import ConfigErrors
from tests.plugins.blocks import block, configured, mistakes


def health(*lines):
    return configured(block(*lines, "whoami")).shared.process.health


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("health", ("", 8080)),
        ("health :8082", ("", 8082)),
        ("health 127.0.0.1:8082", ("127.0.0.1", 8082)),
        ("health [0:0::1]:8082", ("::1", 8082)),
        ("health 0.0.0.0:8082", ("0.0.0.0", 8082)),
        ("health [::]:8082", ("", 8082)),
        # A name stands for its IPv4 address, if it has one
        ("health dns.test:8082", ("192.0.2.53", 8082)),
    ],
)
def test_addresses(line, where):
    assert health(line) == {where: 0.0}


def test_without_the_directive_there_is_none():
    assert health() == {}


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        (["lameduck 5s"], 5.0),
        (["lameduck 1m30s"], 90.0),
        (["lameduck 0"], 0.0),
        # The last one counts, as in CoreDNS
        (["lameduck 9s", "lameduck 5s"], 5.0),
        ([], 0.0),
    ],
)
def test_lameduck(options, seconds):
    assert health("health {", *options, "}") == {("", 8080): seconds}


@pytest.mark.parametrize("order", [("5s", "20s"), ("20s", "5s")])
def test_blocks_share_an_address_and_the_longest_lameduck(order):
    text = "".join(
        block("health {", f"lameduck {each}", "}", "whoami", key=key)
        for each, key in zip(order, ("a.test", "b.test"), strict=True)
    )
    assert configured(text).shared.process.health == {("", 8080): 20.0}


def test_a_block_without_lameduck_does_not_end_that_of_another():
    text = block("health {", "lameduck 5s", "}", "whoami", key="a.test") + block("health", "whoami", key="b.test")
    assert configured(text).shared.process.health == {("", 8080): 5.0}


def test_blocks_may_have_two_addresses():
    text = block("health", "whoami", key="a.test") + block("health :8082", "whoami", key="b.test")
    assert set(configured(text).shared.process.health) == {("", 8080), ("", 8082)}


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (["health :8080 :8081"], "2:14: health: takes 0 to 1 argument, got 2"),
        (["health localhost"], '2:8: health: "localhost" has no port (write for example :8080 or 127.0.0.1:8080)'),
        (["health 127.0.0.1"], "has no port"),
        (["health :99999"], "a port from 0 to 65535"),
        (["health gone.test:8080"], 'host name "gone.test:8080" does not resolve'),
        (["health {", "lamedudk 1s", "}"], "did you mean lameduck?"),
        (["health {", "lameduck", "}"], "3:1: health: lameduck: takes 1 argument, got none"),
        (["health {", "lameduck 5", "}"], "write for example 5s"),
        (["health {", "lameduck -5s", "}"], "is negative"),
        (["health {", "lameduck 1s {", "x", "}", "}"], "takes no block"),
        (["health", "health"], "twice"),
    ],
)
def test_mistakes(lines, error):
    (found,) = mistakes(*lines, "whoami")
    assert error in found


@pytest.mark.parametrize(
    ("ready", "health"),
    [
        (":8080", "127.0.0.1:8080"),
        ("127.0.0.1:8080", ":8080"),
        ("0.0.0.0:8080", ":8080"),
        ("0.0.0.0:8080", "127.0.0.1:8080"),
        (":8080", "[::1]:8080"),
    ],
)
def test_addresses_that_the_kernel_would_refuse_together(ready, health):
    (found,) = mistakes(f"health {health}", f"ready {ready}", "whoami")
    assert found.startswith("2:8: health: HTTP on port 8080 is served on ")
    assert "write the same address twice, or two ports" in found


def test_the_mistake_is_shown_where_the_default_competes():
    (found,) = mistakes("ready 127.0.0.1:8080", "health", "whoami")
    assert found.startswith("3:1: health: HTTP on port 8080 is served on 127.0.0.1 and on all addresses")


@pytest.mark.parametrize(
    ("ready", "health"),
    [("127.0.0.1:8080", "[::1]:8080"), ("0.0.0.0:8080", "[::1]:8080"), (":0", "127.0.0.1:0"), (":8080", ":8080")],
)
def test_addresses_that_go_together(ready, health):
    process = configured(block(f"health {health}", f"ready {ready}", "whoami")).shared.process
    assert (len(process.health), len(process.ready)) == (1, 1)


def test_a_conflict_of_two_blocks():
    text = block("health :8080", "whoami", key="a.test") + block("health 127.0.0.1:8080", "whoami", key="b.test")
    with pytest.raises(ConfigErrors, match=r"^Corefile:6:8: health: HTTP on port 8080"):
        configured(text)
