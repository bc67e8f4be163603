"""In which order the upstreams of a `forward` line are tried."""

from collections import Counter

import pytest

from clusterdns.upstream.group import Group, Policy, Transport, Upstream

A, B, C = (Upstream(f"192.0.2.{i}", 53) for i in (1, 2, 3))


def drawing(*numbers):
    """Numbers that are drawn, in order; each is checked against its limit."""
    left = list(numbers)

    def draw(limit):
        number = left.pop(0)
        assert 0 <= number < limit
        return number

    return draw


def never(limit):
    raise AssertionError(f"a number below {limit} was drawn")


def test_sequential_is_the_order_of_the_line():
    group = Group((A, B, C), Policy.SEQUENTIAL)
    assert [group.order(never) for _ in range(3)] == [(A, B, C)] * 3


def test_round_robin_starts_one_further_each_time():
    group = Group((A, B, C), Policy.ROUND_ROBIN)
    assert [group.order(never) for _ in range(4)] == [(A, B, C), (B, C, A), (C, A, B), (A, B, C)]


@pytest.mark.parametrize(
    ("drawn", "order"),
    [((0, 0, 0), (A, B, C)), ((2, 0, 0), (C, A, B)), ((1, 1, 0), (B, C, A)), ((2, 1, 0), (C, B, A))],
)
def test_random_draws_without_putting_back(drawn, order):
    assert Group((A, B, C), Policy.RANDOM).order(drawing(*drawn)) == order


def test_random_gives_every_order_as_often():
    group, numbers = Group((A, B, C), Policy.RANDOM), [(i, j) for i in range(3) for j in range(2)]
    orders = Counter(group.order(drawing(i, j, 0)) for i, j in numbers)
    assert sorted(orders.values()) == [1] * 6


@pytest.mark.parametrize("policy", Policy)
def test_one_upstream_needs_no_choice(policy):
    assert Group((A,), policy).order(never) == (A,)


@pytest.mark.parametrize(
    ("upstream", "text"),
    [
        (A, "dns://192.0.2.1:53"),
        (Upstream("fd00::1", 5353), "dns://[fd00::1]:5353"),
        (Upstream("192.0.2.1", 853, Transport.TLS, "dns.test"), "tls://192.0.2.1:853"),
    ],
)
def test_as_text(upstream, text):
    assert str(upstream) == text
