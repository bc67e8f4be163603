"""Whatever octets come in: nothing but QueryError, and no more work than a constant."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterdns.errors import QueryError
from clusterdns.wire.codes import RCode
from clusterdns.wire.encode import refuse
from clusterdns.wire.query import Request, Triage, parse, question_end, triage
from tests.support.rows import packet_rows
from tests.wire.packets import COOKIE, PADDING, header, opt, query, question, record
from tests.wire.steps import counted
from tests.wire.walk import walked

SEEDS = [row.query for row in packet_rows()] + [
    query(b"\1a\0", edns=opt(options=[COOKIE, PADDING])),
    header(additionals=4) + question(b"\1a\0") + record(b"\1b\xc0\x0c", 250, bytes(9)) * 3 + opt(options=[COOKIE]),
]
EDITS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6)
# Lines of code for a packet of at most so many octets. The last is for any: 32 records whose owners are as long and as
# finely cut as names can be.
MOST_STEPS = {512: 2_000, 4096: 13_000, 65535: 27_000}
# The question alone: 127 labels
QUESTION_STEPS = 1_200


def mutated(seed: bytes, edits: list[tuple[int, int]], cut: int, tail: bytes) -> bytes:
    packet = bytearray(seed)
    for at, octet in edits:
        if packet:
            packet[at % len(packet)] = octet
    return bytes(packet[: len(packet) - cut % (len(packet) + 1)]) + tail


MUTATED = st.builds(mutated, st.sampled_from(SEEDS), EDITS, st.just(0) | st.integers(0, 400), st.binary(max_size=40))
RANDOM = st.binary(max_size=600)
# Behind a header that is let through, random octets get deeper
BEHIND_A_HEADER = st.builds(
    lambda counts, rest: header(0x0100, 1, *counts) + rest,
    st.tuples(*[st.integers(0, 3)] * 3),
    RANDOM | st.builds(lambda rest: question(b"\1a\0") + rest, RANDOM),
)


def taken_in(packet: bytes) -> Request | bytes | None:
    """What the server does with a packet before the chain has it: read it, refuse it, or drop it."""
    verdict = triage(packet)
    if verdict is Triage.DROP:
        return None
    if verdict is not Triage.ACCEPT:
        return refuse(packet, RCode.FORMERR, question_end(packet))
    try:
        return parse(packet)
    except QueryError as error:
        return refuse(packet, error.rcode, error.question_end)


@settings(max_examples=600, deadline=None)
@given(RANDOM | MUTATED | BEHIND_A_HEADER)
def test_nothing_but_query_errors(packet):
    found = taken_in(packet)
    if isinstance(found, Request):
        assert found.question == packet[12 : question_end(packet)]
        assert found.query.name == found.question[:-4].lower()
    elif found is not None:
        assert found[:2] == packet[:2]
        walked(found)


@settings(max_examples=150, deadline=None)
@given(RANDOM | MUTATED | BEHIND_A_HEADER)
def test_the_work_is_bounded(packet):
    with counted() as steps:
        taken_in(packet)
    assert steps.lines <= MOST_STEPS[4096]


FINE = b"\1a" * 127 + b"\0"
HOSTILE = {
    "many records": header(additionals=65535) + question(FINE) + record(b"\0", 250, b"") * 5000,
    "long owners": header(additionals=65535) + question(FINE) + record(FINE, 250, b"") * 200,
    "endless owner": header(additionals=1) + question(b"\0") + b"\1a" * 30000,
    "many options": query(FINE, edns=opt(options=[(65001, b"")] * 15000)),
    "pointers as owners": header(additionals=65535) + question(FINE) + record(b"\xc0\x0c", 250, b"") * 5000,
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("octets", [512, 4096, 65535])
def test_hostile_packets_of_any_size_cost_no_more(what, octets):
    with counted() as steps:
        taken_in(HOSTILE[what][:octets])
    assert steps.lines <= MOST_STEPS[octets]


@pytest.mark.parametrize("octets", [300, 4096, 65535])
@pytest.mark.parametrize("flags", [0x0100, 0x2800], ids=["query", "update"])
def test_a_name_that_does_not_end_is_not_read_to_the_end_of_the_packet(octets, flags):
    """RFC 1035 2.3.4: behind 255 octets it is known to be wrong."""
    with counted() as steps:
        taken_in((header(flags) + b"\1a" * 32767)[:octets])
    assert steps.lines <= QUESTION_STEPS
