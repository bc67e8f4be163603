"""The memo by itself, and its turning of records as a client sees it."""

import tracemalloc
from collections import Counter

import dns.message
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterdns.kube.objects import Synced
from clusterdns.memo import Entry, Memo
from clusterdns.wire.codes import Type
from clusterdns.wire.encode import Run
from clusterdns.wire.names import from_text
from tests.kube.objects import endpoint, namespace, service, slice_of
from tests.kube.served import Served, filled
from tests.support.inprocess import InProcess
from tests.wire.packets import opt, query

STORE, OTHER = 1, 2


def entry(*reads: bytes, size: int = 100, store: int = STORE) -> Entry:
    return Entry(b"head", b"body", 0, False, b"\0\1\0\1", size, [(store, list(reads))], None)


def hit(memo: Memo, key: bytes) -> Entry | None:
    """As the responder looks it up."""
    return memo.young.get(key) or memo.promote(key)


def name(number: int) -> bytes:
    return b"%d.example" % number


def test_what_was_put_is_found():
    memo = Memo()
    assert hit(memo, b"k") is None
    made = entry()
    memo.put(b"k", made)
    assert hit(memo, b"k") is made
    assert len(memo) == 1
    memo.clear()
    assert hit(memo, b"k") is None


def test_drop_forgets_exactly_the_readers():
    memo = Memo()
    readers = {b"one": [b"a"], b"both": [b"a", b"b"], b"two": [b"b"], b"none": []}
    for key, reads in readers.items():
        memo.put(key, entry(*reads))
    memo.put(b"elsewhere", entry(b"a", store=OTHER))
    memo.drop(STORE, {b"a", b"unknown"})
    assert set(memo.young) == {b"two", b"none", b"elsewhere"}
    assert memo.dropped == 2
    memo.drop(OTHER, {b"b", b"a"})
    assert set(memo.young) == {b"two", b"none"}
    memo.drop(STORE, {b"b"})
    assert set(memo.young) == {b"none"}


def test_an_entry_of_several_stores_is_dropped_by_each():
    for store in (STORE, OTHER):
        memo = Memo()
        made = entry(b"a")
        made.reads.append((OTHER, [b"z"]))
        memo.put(b"k", made)
        memo.drop(store, {b"z" if store == OTHER else b"a"})
        assert len(memo) == 0


def test_drop_reaches_both_generations():
    memo = Memo(max_entries=2)
    for key in (b"old", b"oldest", b"young"):
        memo.put(key, entry(b"a"))
    assert (set(memo.old), set(memo.young)) == ({b"old", b"oldest"}, {b"young"})
    assert hit(memo, b"old") is not None
    memo.drop(STORE, {b"a"})
    assert len(memo) == 0
    assert hit(memo, b"old") is None


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.just("put"), st.integers(0, 9), st.sets(st.integers(0, 4), max_size=3))
        | st.tuples(st.just("hit"), st.integers(0, 9), st.none())
        | st.tuples(st.just("drop"), st.integers(0, 4), st.none()),
        max_size=60,
    )
)
def test_what_was_dropped_never_comes_back(steps):
    """What is found was entered under that key, and nothing that it read has changed since."""
    memo, valid = Memo(max_entries=4), []
    for what, number, reads in steps:
        if what == "put":
            made = entry(*map(name, reads))
            valid.append((number, made))
            memo.put(name(number), made)
        elif what == "drop":
            memo.drop(STORE, {name(number)})
            valid = [(key, made) for key, made in valid if name(number) not in made.reads[0][1]]
        found = hit(memo, name(number)) if what == "hit" else None
        assert found is None or any(found is made for key, made in valid if key == number)
        assert len(memo) <= 8


def test_entries_are_bounded():
    memo = Memo(max_entries=100)
    for number in range(5000):
        memo.put(name(number), entry(b"a"))
        assert len(memo) <= 200
    # And it does keep as many as it says
    assert len(memo) > 100


def test_octets_are_bounded():
    memo = Memo(max_bytes=10_000)
    for number in range(500):
        memo.put(name(number), entry(size=1000))
        assert sum(made.size for table in (memo.young, memo.old) for made in table.values()) <= 20_000
    assert len(memo) > 9


def used(memo: Memo, number: int) -> int:
    """Octets that `number` more entries cost, each read by its own keys and made anew after each drop."""
    before = tracemalloc.get_traced_memory()[0]
    for at in range(number):
        memo.put(name(at), entry(name(at), b"same"))
    return tracemalloc.get_traced_memory()[0] - before


@pytest.fixture
def traced():
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_a_flood_of_names_costs_no_memory(traced):
    memo = Memo(max_entries=500)
    used(memo, 2000)
    assert used(memo, 20_000) < 100_000


def test_making_one_entry_over_and_over_costs_no_memory(traced):
    """A hot name whose Service changes all the time: what is dropped leaves the index with its generation."""
    memo = Memo(max_entries=500)

    def remade(times: int) -> int:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(times):
            memo.put(b"hot", entry(b"service", b"namespace"))
            memo.drop(STORE, {b"service"})
        return tracemalloc.get_traced_memory()[0] - before

    remade(2000)
    assert remade(20_000) < 100_000
    assert len(memo) == 0


def test_what_entries_read_counts_too(traced):
    """The index may be larger than what it is for: an address that a thousand Services share is a thousand keys for
    one small reply, and a client can ask for it in 65,536 types."""
    memo = Memo(max_bytes=100_000)
    keys = [name(number) for number in range(1000)]
    before = tracemalloc.get_traced_memory()[0]
    for number in range(1000):
        memo.put(name(number), entry(*keys))
    # A reference in the entry and one in the index, 8 octets each
    assert tracemalloc.get_traced_memory()[0] - before < 4_000_000


def test_a_name_that_is_asked_for_survives_a_flood():
    memo = Memo(max_entries=100)
    hot = entry(b"a")
    memo.put(b"hot", hot)
    for number in range(5000):
        memo.put(name(number), entry())
        if number % 90 == 0:
            assert hit(memo, b"hot") is hot
    # And it still knows what it was made from
    memo.drop(STORE, {b"a"})
    assert hit(memo, b"hot") is None


def test_a_name_that_is_not_asked_for_goes():
    memo = Memo(max_entries=100)
    memo.put(b"cold", entry())
    for number in range(250):
        memo.put(name(number), entry())
    assert hit(memo, b"cold") is None


def test_the_store_of_a_server_is_bounded_under_a_flood_of_subdomains():
    """Random names below a Service, with two events in between each hundred."""
    served = Served()
    served.responder.memo = memo = Memo(max_entries=200)
    served.apply(namespace("a"), service("a", "s", "10.96.0.1"), Synced())
    hot = query(from_text("s.a.svc.cluster.local"))
    for number in range(3000):
        served.ask(query(from_text(f"x{number}.a.svc.cluster.local")))
        if number % 100 == 0:
            before, hits = served.ask(hot), served.hits
            assert served.ask(hot) == before
            assert served.hits == hits + 1
            served.apply(service("a", "s", f"10.96.{number // 100}.1"))
            assert served.ask(hot)[-4:] == bytes([10, 96, number // 100, 1])
    assert len(memo) <= 400


# What a client sees of `loadbalance`

V4 = [f"10.0.0.{n}" for n in range(1, 8)]
V6 = [f"fd00::{n}" for n in range(1, 6)]


def headless(v4: list[str], v6: list[str], head: str = "loadbalance") -> Served:
    return filled(
        [
            namespace("a"),
            service("a", "s", "None"),
            service("a", "alias", external="s.a.svc.cluster.local"),
            slice_of("a", "s", "4", *map(endpoint, v4)),
            slice_of("a", "s", "6", *map(endpoint, v6), kind="IPv6"),
            Synced(),
        ],
        head=head,
    )


def order(reply: bytes) -> list[str]:
    """The addresses of the answer as they come."""
    answer = dns.message.from_wire(reply, one_rr_per_rrset=True).answer
    return [rrset[0].address for rrset in answer if rrset.rdtype in (Type.A, Type.AAAA)]


@pytest.mark.parametrize("edns", [b"", opt()], ids=["plain", "edns"])
@pytest.mark.parametrize("left", ["s", "alias"])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("qtype", [Type.A, Type.AAAA])
def test_over_n_hits_each_of_n_records_comes_first_once(qtype, count, left, edns):
    served = headless(V4[:count], V6[:count])
    packet = query(from_text(f"{left}.a.svc.cluster.local"), qtype, edns=edns)
    expected = (V4 if qtype == Type.A else V6)[:count]
    assert order(served.ask(packet)) == expected
    for _ in range(3):
        hits = served.hits
        orders = [order(served.ask(packet)) for _ in range(count)]
        assert served.hits - hits == count
        assert sorted(first for first, *_ in orders) == expected
        # In a circle: who comes second takes turns as well
        assert all(
            turned == expected[expected.index(turned[0]) :] + expected[: expected.index(turned[0])] for turned in orders
        )


def test_each_question_takes_turns_by_itself():
    """A stub asks for A and AAAA in pairs; a turn that both counted would always show the same record first."""
    served = headless(V4[:2], V6[:2])
    packets = [query(from_text("s.a.svc.cluster.local"), qtype) for qtype in (Type.A, Type.AAAA)]
    firsts = Counter(order(served.ask(packet))[0] for _ in range(6) for packet in packets)
    assert firsts == dict.fromkeys((*V4[:2], *V6[:2]), 3)


def test_preferred_networks_come_first_and_each_part_takes_turns():
    served = headless(V4[:5], [], "loadbalance {\nprefer 10.0.0.4/31\n}")
    packet = query(from_text("s.a.svc.cluster.local"))
    preferred, rest = ["10.0.0.4", "10.0.0.5"], ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    orders = [order(served.ask(packet)) for _ in range(1 + 6)][1:]
    assert served.hits == 6
    assert all(set(each[:2]) == set(preferred) for each in orders)
    assert Counter(each[0] for each in orders) == dict.fromkeys(preferred, 3)
    assert Counter(each[2] for each in orders) == dict.fromkeys(rest, 2)


def test_without_loadbalance_the_order_is_fixed():
    served = headless(V4, V6, "")
    packet = query(from_text("s.a.svc.cluster.local"))
    assert {tuple(order(served.ask(packet))) for _ in range(5)} == {tuple(V4)}


def test_an_srv_reply_does_not_turn():
    served = headless(V4, V6)
    packet = query(from_text("s.a.svc.cluster.local"), Type.SRV, edns=opt(4096))
    assert len({served.ask(packet) for _ in range(5)}) == 1


@pytest.mark.parametrize("qtype", [Type.A, Type.AAAA])
def test_turning_goes_on_when_what_a_client_gets_is_cut(qtype):
    """Over UDP without EDNS not all of them fit; all come first in their turn."""
    many = [f"10.1.{n // 200}.{n % 200 + 1}" for n in range(40)]
    served = headless(many, [f"fd00::{n + 1:x}" for n in range(40)])
    packet = query(from_text("s.a.svc.cluster.local"), qtype)
    served.ask(packet)
    assert len({order(served.ask(packet))[0] for _ in range(40)}) == 40


@pytest.mark.parametrize("between", range(6))
def test_forwarded_addresses_take_turns_whatever_else_is_asked(between):
    """No entry counts for them: still it must not depend on what is asked in between who comes first."""
    server = InProcess(".:53 {\nloadbalance\nforward . 192.0.2.53\n}")
    packet, other = query(from_text("multi.example.net")), query(from_text("example.net"))
    firsts = set()
    for _ in range(25):
        firsts.add(order(server.ask(packet))[0])
        for _ in range(between):
            server.ask(other)
    assert firsts == {f"198.51.100.{n}" for n in range(11, 16)}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from([16, 28]), st.integers(0, 9)), min_size=1, max_size=3))
def test_turning_only_moves_octets_within_a_run(runs):
    """`runs`: records, octets of each, octets between this run and the next."""
    body, made, at = b"", [], 0
    for number, (count, size, gap) in enumerate(runs):
        made.append(Run(len(body), size, count))
        body += b"".join(bytes([number * 16 + n]) * size for n in range(count)) + b"\xff" * gap
    turning = Entry(b"", body, 0, True, b"", 0, [], None, tuple(made))
    for turn in range(1, 8):
        found = turning.rotated()
        for run in made:
            at = run.start + turn % run.count * run.size
            assert found[run.start : run.start + run.size] == body[at : at + run.size]
        assert sorted(found) == sorted(body)
        assert len(found) == len(body)
