"""Whatever octets an upstream sends: nothing but UpstreamError, a readable reply, work in proportion to the octets."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterdns.errors import UpstreamError
from clusterdns.wire.codes import Type
from clusterdns.wire.encode import MAX_MESSAGE, encode
from clusterdns.wire.query import parse
from clusterdns.wire.records import Relay
from clusterdns.wire.survey import survey
from tests.wire.packets import RD, opt, query, record, reply
from tests.wire.steps import counted
from tests.wire.test_survey import ASKED, HERE, NAME, upstream
from tests.wire.walk import Malformed, walked

SEEDS = [upstream(edns, count) for edns in (True, False) for count in (1, 30)] + [
    reply(
        ASKED,
        record(HERE, Type.SRV, bytes(6) + HERE),
        record(HERE, Type.MX, b"\0\1\1a" + HERE),
        record(HERE, 65400, b"x"),
    ),
    reply(ASKED, record(HERE, Type.SOA, HERE + b"\1h" + HERE + bytes(20)), opt(), counts=(0, 1, 1)),
]
REQUESTS = [parse(query(NAME, flags=RD, edns=edns)) for edns in (b"", opt(), opt(4096, True))]
# Of a step for each octet: a record has at least 11, and the names in it may be chains of pointers
PER_OCTET, AT_LEAST = 250, 2_000


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    wire = bytearray(draw(st.sampled_from(SEEDS)))
    behind = 12 + len(ASKED)
    for at, octet in draw(st.lists(st.tuples(st.integers(behind, len(wire) - 1), st.integers(0, 255)), max_size=4)):
        wire[at] = octet
    for at in draw(st.lists(st.integers(7, 11), max_size=2)):
        wire[at] = draw(st.integers(0, 40))
    return bytes(wire[: len(wire) - draw(st.just(0) | st.integers(0, len(wire) - behind))])


BEHIND_THE_QUESTION = st.builds(
    lambda counts, rest: reply(ASKED, rest, counts=counts), st.tuples(*[st.integers(0, 3)] * 3), st.binary(max_size=300)
)
REPLIES = st.binary(max_size=300) | mutated() | BEHIND_THE_QUESTION


def surveyed(wire: bytes) -> Relay | None:
    try:
        return survey(wire, ASKED)
    except UpstreamError:
        return None


def passed_on(relay: Relay, at: int, limit: int) -> bytes | None:
    request = REQUESTS[at]
    try:
        return encode(request, relay, limit, 1, True).wire(request)
    except UpstreamError:
        return None


@settings(max_examples=500, deadline=None)
@given(REPLIES, st.booleans(), st.integers(0, 2), st.sampled_from([512, 1232, MAX_MESSAGE]))
def test_nothing_but_upstream_errors(wire, rotate, at, limit):
    relay = surveyed(wire)
    if relay is None:
        return
    sent = passed_on(Relay(relay.wire, relay.rcode, relay.opt_at, relay.opt_end, rotate), at, limit)
    if sent is None:
        return
    assert len(sent) <= limit
    if readable(wire[: len(relay.wire)]):
        assert [record.rtype for record in walked(sent)].count(Type.OPT) == REQUESTS[at].query.edns


def readable(wire: bytes) -> bool:
    """Are the names sound too? A reply that is passed on untouched is as good as what came."""
    try:
        walked(wire)
    except Malformed:
        return False
    return True


@settings(max_examples=150, deadline=None)
@given(REPLIES, st.booleans())
def test_the_work_is_in_proportion_to_the_octets(wire, rotate):
    with counted() as steps:
        relay = surveyed(wire)
        if relay is not None:
            passed_on(Relay(relay.wire, relay.rcode, relay.opt_at, relay.opt_end, rotate), 1, MAX_MESSAGE)
    assert steps.lines <= AT_LEAST + PER_OCTET * len(wire)


# The data of the first record: pointers, each to the one before, to a root name
DATA = 12 + len(ASKED) + 12
CHAIN = b"".join((0xC000 | at).to_bytes(2, "big") for at in (12 + len(NAME) - 1, *range(DATA, DATA + 240, 2)))
LAST = (0xC000 | DATA + len(CHAIN) - 2).to_bytes(2, "big")
HOSTILE = {
    "pointers": [record(HERE, 65400, CHAIN), *[record(LAST, Type.CNAME, LAST)] * 3000],
    "long names": [record(b"\1a" * 126 + b"\0", Type.CNAME, b"\1b" * 126 + b"\0")] * 100,
    "empty records": [record(b"\0", 65400, b"")] * 5000,
    "one set": [record(HERE, Type.A, n.to_bytes(4, "big")) for n in range(4000)],
    "many sets": [record(b"\2" + n.to_bytes(2, "big") + HERE, Type.A, b"\0\0\0\1") for n in range(3000)],
    "soa": [record(HERE, Type.SOA, b"\1a" * 120 + b"\0" + b"\1b" * 120 + b"\0" + bytes(20))] * 90,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_replies_cost_no_more(what):
    wire = reply(ASKED, *HOSTILE[what])
    assert len(wire) <= MAX_MESSAGE
    with counted() as steps:
        relay = surveyed(wire)
        assert relay is not None
        passed_on(Relay(relay.wire, relay.rcode, rotate=True), 0, 1232)
    assert steps.lines <= AT_LEAST + PER_OCTET * len(wire)
