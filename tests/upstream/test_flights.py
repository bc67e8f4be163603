"""Questions in flight, with the time as an argument: tries, time-outs, coalescing, bounds, and what is kept."""

import gc
import weakref

import dns.message
import pytest

from clusterdns.errors import UpstreamError
from clusterdns.upstream.flights import (
    MAX_FLIGHTS,
    MAX_WAITERS,
    Flight,
    Flights,
    accept,
    failure,
    message,
    wants_next,
)
from clusterdns.upstream.group import QUERY_TIMEOUT, TRY_TIMEOUT, Group, Policy, Upstream
from clusterdns.wire.codes import RCode, Type
from clusterdns.wire.names import from_text
from clusterdns.wire.query import CD, RD, Query, parse, question
from clusterdns.wire.records import Relay

ONE, TWO, THREE = (Upstream(f"192.0.2.{i}", 53) for i in (1, 2, 3))


def group(*upstreams, **options):
    return Group(upstreams or (ONE,), Policy.SEQUENTIAL, **options)


def asked(name="a.test", qtype=Type.A):
    return question(from_text(name), qtype)


def first(limit):
    return 0


class Sky:
    """The flights, and who was told what."""

    def __init__(self):
        self.flights = Flights()
        self.told = []

    def join(self, to, query=None, now=0.0, who="client"):
        return self.flights.join(to, query or asked(), lambda result: self.told.append((who, result)), first, now)

    def land(self, flight, result="answer"):
        for waiter in self.flights.land(flight):
            waiter(result)

    def tries(self, flight, *nows):
        return [self.flights.next_try(flight, now) for now in nows]


@pytest.fixture
def sky():
    return Sky()


def test_the_first_starts_the_flight_and_the_others_wait_for_it(sky):
    to = group()
    flight = sky.join(to, who=1)
    assert flight is not None
    assert [sky.join(to, who=who) for who in (2, 3)] == [None, None]
    assert (len(sky.flights), to.waiting) == (1, 3)
    sky.land(flight)
    assert sky.told == [(1, "answer"), (2, "answer"), (3, "answer")]
    assert (len(sky.flights), to.waiting) == (0, 0)


@pytest.mark.parametrize(
    "other",
    [
        asked("b.test"),
        asked(qtype=Type.AAAA),
        Query(from_text("a.test"), (0, 2, 7), Type.A, 3),
        Query(from_text("a.test"), (0, 2, 7), Type.A, flags=0),
        Query(from_text("a.test"), (0, 2, 7), Type.A, flags=RD | CD),
        Query(from_text("a.test"), (0, 2, 7), Type.A, edns=True),
        Query(from_text("a.test"), (0, 2, 7), Type.A, edns=True, do=True),
    ],
    ids=["name", "type", "class", "RD", "CD", "EDNS", "DO"],
)
def test_what_makes_another_question(sky, other):
    to = group()
    assert sky.join(to) is not None
    assert sky.join(to, other) is not None


def test_another_group_is_another_flight(sky):
    assert sky.join(group()) is not None
    assert sky.join(group()) is not None


def test_after_landing_the_question_is_sent_anew(sky):
    to = group()
    sky.land(sky.join(to))
    assert sky.join(to) is not None


def test_each_upstream_is_tried_twice_in_turn(sky):
    flight = sky.join(group(ONE, TWO, THREE))
    assert sky.tries(flight, *range(7)) == [ONE, TWO, THREE, ONE, TWO, None, None]
    assert str(failure(flight)) == "forward: no answer from dns://192.0.2.2:53: none was tried"


def test_one_upstream_is_tried_twice(sky):
    assert sky.tries(sky.join(group()), 0, 1, 2) == [ONE, ONE, None]


def test_no_try_begins_after_the_deadline_of_the_query(sky):
    flight = sky.join(group(ONE, TWO), now=100.0)
    assert sky.tries(flight, 100.0 + QUERY_TIMEOUT - 0.1, 100.0 + QUERY_TIMEOUT) == [ONE, None]


def test_a_flight_that_landed_is_not_tried(sky):
    flight = sky.join(group(ONE, TWO))
    sky.land(flight)
    assert sky.tries(flight, 0) == [None]


def test_a_try_runs_out_after_its_time(sky):
    flight = sky.join(group(ONE, TWO), now=10.0)
    sky.tries(flight, 10.0)
    assert sky.flights.expired(10.0 + TRY_TIMEOUT - 0.01) == []
    assert sky.flights.expired(10.0 + TRY_TIMEOUT) == [flight]
    assert sky.flights.expired(10.0 + TRY_TIMEOUT) == []


def test_the_last_try_runs_out_with_the_query(sky):
    flight = sky.join(group(ONE, TWO, THREE))
    sky.tries(flight, 0, 2, 4)
    assert sky.flights.expired(QUERY_TIMEOUT - 0.01) == []
    assert sky.flights.expired(QUERY_TIMEOUT) == [flight]
    assert "timed out" in str(failure(flight))


def test_a_try_that_was_followed_by_another_does_not_run_out(sky):
    flight = sky.join(group(ONE, TWO))
    sky.tries(flight, 0.0, 1.5)
    assert sky.flights.expired(2.0) == []
    assert sky.flights.expired(3.5) == [flight]


def test_a_renewed_try_has_its_whole_time(sky):
    """As after a truncated reply, when the same server is asked over TCP."""
    flight = sky.join(group(ONE, TWO))
    sky.tries(flight, 0.0)
    sky.flights.renew(flight, 1.9)
    assert sky.flights.expired(2.0) == []
    assert sky.flights.expired(3.9) == [flight]


def test_what_landed_does_not_run_out(sky):
    flight = sky.join(group())
    sky.tries(flight, 0.0)
    sky.land(flight)
    assert sky.flights.expired(10.0) == []


def test_tries_of_different_lengths_run_out_in_their_own_time(sky):
    slow, quick = sky.join(group(timeout=2.0)), sky.join(group(timeout=0.1))
    sky.tries(slow, 0.0)
    sky.tries(quick, 0.0)
    assert sky.flights.expired(0.1) == [quick]
    assert sky.flights.expired(2.0) == [slow]


def test_landing_twice_tells_once(sky):
    to = group()
    flight = sky.join(to)
    sky.land(flight)
    sky.land(flight)
    assert len(sky.told) == 1
    assert to.waiting == 0


def test_questions_in_flight_are_bounded_over_all_groups(sky):
    groups = group(), group()
    for number in range(MAX_FLIGHTS):
        assert sky.join(groups[number % 2], asked(f"n{number}.test")) is not None
    with pytest.raises(UpstreamError, match=f"more than {MAX_FLIGHTS} questions are in flight"):
        sky.join(groups[0], asked("one-too-many.test"))
    # Who asks for what is on its way already costs nothing
    assert sky.join(groups[0], asked("n0.test")) is None
    assert groups[0].waiting == MAX_FLIGHTS // 2 + 1


def test_clients_that_wait_for_one_question_are_bounded(sky):
    to = group()
    flight = sky.join(to)
    for _ in range(MAX_WAITERS - 1):
        assert sky.join(to) is None
    with pytest.raises(UpstreamError, match=f"more than {MAX_WAITERS} clients wait"):
        sky.join(to)
    assert to.waiting == MAX_WAITERS
    sky.land(flight)
    assert (len(sky.told), to.waiting) == (MAX_WAITERS, 0)
    assert sky.join(to) is not None


def test_max_concurrent_counts_the_clients_of_its_group(sky):
    to, other = group(max_concurrent=2), group()
    flight = sky.join(to)
    sky.join(to)
    with pytest.raises(UpstreamError, match="more than max_concurrent 2"):
        sky.join(to)
    with pytest.raises(UpstreamError, match="max_concurrent"):
        sky.join(to, asked("b.test"))
    assert sky.join(other) is not None
    sky.land(flight)
    assert sky.join(to) is not None


def test_nobody_is_kept_after_landing(sky):
    to = group()

    def waiter(result):
        sky.told.append(result)

    seen = weakref.ref(waiter)
    flight = sky.flights.join(to, asked(), waiter, first, 0.0)
    sky.flights.next_try(flight, 0.0)
    for told in sky.flights.land(flight):
        told("answer")
    del waiter, told, flight
    assert seen() is None


def flights_alive():
    gc.collect()
    return sum(isinstance(each, Flight) for each in gc.get_objects())


def test_no_flight_is_kept_once_another_has_started(sky):
    before, to = flights_alive(), group()
    started = [sky.join(to, asked(f"n{number}.test"), now=number / 1000) for number in range(1000)]
    for number, flight in enumerate(started):
        sky.flights.next_try(flight, number / 1000)
    for flight in reversed(started):
        sky.land(flight)
    del flight, started
    last = sky.join(to, now=1.0)
    sky.flights.next_try(last, 1.0)
    assert flights_alive() - before == 1


def test_the_message_is_the_question_and_no_more():
    wire = b"\0\1" + message(Query(from_text("a.test"), (0, 2, 7), Type.MX, flags=RD | CD, edns=True, do=True))
    sent = dns.message.from_wire(wire)
    assert str(sent.question[0]) == "a.test. IN MX"
    assert dns.flags.to_text(sent.flags) == "RD CD"
    assert (sent.edns, sent.payload, bool(sent.ednsflags & dns.flags.DO)) == (0, 1232, True)
    assert parse(wire).options == ()


def test_a_query_without_edns_is_sent_without():
    assert dns.message.from_wire(b"\0\1" + message(asked())).edns == -1


def flight_for(name="a.test.", rdtype="A", **options):
    query = parse(dns.message.make_query(name, rdtype).to_wire()).query
    return Flight(group(ONE, TWO, **options), message(query), 14 + len(query.name), (ONE, TWO), 0.0)


def reply_to(name="a.test.", rdtype="A", rcode=0):
    reply = dns.message.make_response(dns.message.make_query(name, rdtype))
    reply.set_rcode(rcode)
    return reply.to_wire()


def test_a_reply_to_the_question_is_accepted_however_it_is_spelled():
    relay = accept(flight_for(), reply_to("A.tEST."))
    assert isinstance(relay, Relay)
    assert relay.rcode == RCode.NOERROR


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"\0\1",
        b"\xff" * 12,
        reply_to("b.test."),
        reply_to(rdtype="AAAA"),
        dns.message.make_query("a.test.", "A").to_wire(),
        reply_to()[:-1],
        reply_to()[:4] + b"\0\0" + reply_to()[6:],
        reply_to()[:4] + b"\0\2" + reply_to()[6:],
        reply_to()[:6] + b"\0\1" + reply_to()[8:],
    ],
    ids=["nothing", "an-id", "junk", "name", "type", "a-query", "cut", "no-question", "two-questions", "no-record"],
)
def test_what_is_no_answer_to_the_question_is_not_accepted(wire):
    assert accept(flight_for(), wire) is None


def test_only_the_name_is_folded_to_lower_case():
    """As a letter, type 65 is type 97."""
    assert accept(flight_for(rdtype="TYPE65"), reply_to(rdtype="TYPE97")) is None
    assert accept(flight_for(rdtype="TYPE65"), reply_to(rdtype="TYPE65")) is not None


def test_failover_takes_the_next_upstream_while_there_is_one():
    flight = flight_for(failover=frozenset({RCode.SERVFAIL}))
    servfail, refused = Relay(b"", RCode.SERVFAIL), Relay(b"", RCode.REFUSED)
    flight.tries = 1
    assert wants_next(flight, servfail)
    assert not wants_next(flight, refused)
    flight.tries = 2
    assert not wants_next(flight, servfail)
