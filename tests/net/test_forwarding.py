"""Forwarding over real sockets: coalescing, forgeries, truncation, dead and silent servers, ports and ids."""

import contextlib
import itertools
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import dns.flags
import dns.message
import dns.rcode
import pytest

from clusterdns.upstream.group import TRY_TIMEOUT
from tests.net.live import HOST, Client, serving
from tests.support.faults import Fault
from tests.support.netns import Namespace
from tests.support.upstream import FakeUpstream

# Server blocks by port
PLAIN, DEAD, SILENT, FAULTY, FAULTY_FIRST, FAILOVER, NARROW = 53, 54, 55, 56, 57, 58, 59
COREFILE = """\
.:53 {
    forward . %(honest)s
}
.:54 {
    forward . 127.0.0.1:9 %(honest)s {
        policy sequential
    }
}
.:55 {
    forward . %(silent)s %(honest)s {
        policy sequential
        read_timeout 100ms
    }
}
.:56 {
    forward . %(faulty)s {
        read_timeout 100ms
    }
}
.:57 {
    forward . %(faulty)s %(honest)s {
        policy sequential
        read_timeout 100ms
    }
}
.:58 {
    forward . %(faulty)s %(honest)s {
        policy sequential
        failover SERVFAIL
    }
}
.:59 {
    errors
    forward . %(honest)s {
        max_concurrent 2
    }
}
"""
# What never leads to an answer by itself, by the name that gets it
FORGERIES = {
    "wrong-id.example.net.": Fault.WRONG_ID,
    "wrong-question.example.net.": Fault.WRONG_QUESTION,
    "another-port.example.net.": Fault.ANOTHER_PORT,
    "garbage.example.net.": Fault.GARBAGE,
    "silent.example.net.": Fault.SILENT,
    "mid-frame.example.net.": Fault.CLOSE_MID_FRAME,
}
FAULTS = {name: (fault,) for name, fault in FORGERIES.items()} | {
    f"then-{name}": (fault, Fault.HONEST)
    for name, fault in FORGERIES.items()
    if fault not in (Fault.SILENT, Fault.CLOSE_MID_FRAME)
}
FAULTS |= {"oversized.example.net.": (Fault.OVERSIZED,), "always-tc.example.net.": (Fault.ALWAYS_TRUNCATED,)}


@dataclass(frozen=True, slots=True)
class World:
    client: Client
    honest: FakeUpstream
    faulty: FakeUpstream
    output: Callable[[], str]

    def ask(self, port, name, rdtype="A", **options):
        return self.client.at(port=port).ask(name, rdtype, **options)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[World]:
    with contextlib.ExitStack() as stack:
        namespace = stack.enter_context(Namespace(()))
        with namespace.entered():
            honest, faulty = stack.enter_context(FakeUpstream()), stack.enter_context(FakeUpstream(FAULTS))
            silent = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        silent.bind((HOST, 0))
        text = COREFILE % {
            "honest": honest.address,
            "faulty": faulty.address,
            "silent": f"{HOST}:{silent.getsockname()[1]}",
        }
        folder = tmp_path_factory.mktemp("forwarding")
        server, client = stack.enter_context(serving(folder, text, namespace, "example.net."))
        yield World(client, honest, faulty, server.output)


def rcode(reply):
    return dns.rcode.to_text(reply.rcode())


def records(reply):
    return sum(len(rrset) for rrset in reply.answer)


def test_a_hundred_clients_are_one_upstream_query(world):
    name, sockets = "Slow.example.net.", [world.client.udp() for _ in range(100)]
    queries = [dns.message.make_query(name, "A", id=1000 + number) for number in range(100)]
    for sock, query in zip(sockets, queries, strict=True):
        sock.send(query.to_wire())
    replies = [dns.message.from_wire(sock.recv(512)) for sock in sockets]
    assert all(query.is_response(reply) for query, reply in zip(queries, replies, strict=True))
    assert {str(reply.answer[0][0]) for reply in replies} == {"198.51.100.50"}
    assert world.honest.count(name, "A") == 1


def test_spellings_of_one_question_are_one_upstream_query(world):
    names = ["coalesced.Example.net.", "COALESCED.example.NET.", "coalesced.example.net."]
    sock = world.client.at(port=SILENT).udp()
    for number, name in enumerate(names):
        sock.send(dns.message.make_query(name, "A", id=number).to_wire())
    replies = {
        reply.id: str(reply.question[0].name) for reply in (dns.message.from_wire(sock.recv(512)) for _ in names)
    }
    assert replies == dict(enumerate(names))
    assert world.honest.count("coalesced.example.net.", "A") == 1


@pytest.mark.parametrize("name", [name for name in FAULTS if name.startswith("then-")])
def test_a_forgery_is_ignored_and_the_truth_behind_it_accepted(world, name):
    assert rcode(world.ask(FAULTY, name)) == "NXDOMAIN"
    assert world.faulty.count(name, "A") == 1


@pytest.mark.parametrize("name", FORGERIES)
def test_a_server_that_gives_no_answer_is_followed_by_the_next(world, name):
    assert rcode(world.ask(FAULTY_FIRST, name)) == "NXDOMAIN"
    assert world.honest.count(name, "A") == 1


@pytest.mark.parametrize("name", FORGERIES)
def test_without_a_next_server_it_is_servfail(world, name):
    reply = world.ask(FAULTY, name)
    assert (rcode(reply), reply.answer) == ("SERVFAIL", [])


@pytest.mark.parametrize(("payload", "limit"), [(None, 512), (1232, 1232), (4096, 4096)])
def test_a_truncated_reply_is_fetched_over_tcp_and_cut_to_what_the_client_takes(world, payload, limit):
    before = world.honest.count("big.example.net.", "A", "tcp")
    reply = world.ask(PLAIN, "big.example.net.", use_edns=payload is not None and 0, payload=payload or 0)
    assert reply.flags & dns.flags.TC
    # As many 16-octet records as there is room for
    assert limit - 64 <= len(reply.to_wire()) <= limit
    assert world.honest.count("big.example.net.", "A", "tcp") == before + 1


def test_a_tcp_client_gets_all_of_it(world):
    reply = world.ask(PLAIN, "big.example.net.", tcp=True)
    assert not reply.flags & dns.flags.TC
    assert records(reply) == 300


def test_a_reply_that_is_truncated_over_tcp_too_is_passed_on(world):
    assert world.ask(FAULTY, "always-tc.example.net.").flags & dns.flags.TC
    assert world.faulty.count("always-tc.example.net.", "A", "tcp") == 1


@pytest.mark.parametrize("tcp", [False, True])
def test_an_upstream_that_sends_more_than_was_offered(world, tcp):
    """The datagram does not fit our buffer: no answer, or one that is cut, but never a broken one."""
    reply = world.ask(FAULTY_FIRST, "oversized.example.net.", tcp=tcp)
    assert rcode(reply) in ("NOERROR", "NXDOMAIN")


def test_a_dead_port_is_followed_by_the_next_server_at_once(world):
    sock = world.client.at(port=DEAD).udp()
    # Less than a try may take: nothing timed out
    sock.settimeout(TRY_TIMEOUT - 0.5)
    sock.send(dns.message.make_query("v4only.example.net.", "A").to_wire())
    assert records(dns.message.from_wire(sock.recv(512))) == 1


def test_a_silent_server_is_followed_by_the_next_after_the_time_out(world):
    assert records(world.ask(SILENT, "v4only.example.net.")) == 1


@pytest.mark.parametrize("tcp", [False, True])
def test_failover_asks_the_next_server(world, tcp):
    before = world.honest.count("servfail.example.net.", "A")
    reply = world.ask(FAILOVER, "servfail.example.net.", tcp=tcp)
    assert rcode(reply) == "SERVFAIL"
    assert world.honest.count("servfail.example.net.", "A") == before + 1


def test_max_concurrent_refuses_what_is_too_much_and_recovers(world):
    client = world.client.at(port=NARROW)
    sock = client.udp()
    for number in range(5):
        sock.send(dns.message.make_query("slow.example.net.", "AAAA", id=number).to_wire())
    rcodes = [rcode(dns.message.from_wire(sock.recv(512))) for _ in range(5)]
    assert rcodes == ["SERVFAIL"] * 3 + ["NOERROR"] * 2
    assert rcode(client.ask("example.net.")) == "NOERROR"
    assert "max_concurrent 2" in world.output()


def test_ports_and_ids_cannot_be_guessed(world):
    wanted, window = 4000, 100
    sock = world.client.udp()
    sent = 0
    for received in range(wanted):
        while sent < min(wanted, received + window):
            sock.send(dns.message.make_query(f"port-{sent}.example.net.", "A", id=sent).to_wire())
            sent += 1
        sock.recv(512)
    seen = [query for query in world.honest.seen if query.name.startswith("port-")]
    assert len(seen) == wanted
    ports, ids = {query.source[1] for query in seen}, {query.id for query in seen}
    assert len(ports) >= 256
    # 4,000 draws from 65,536 give 3,880 different ones on average
    assert len(ids) > 3700
    # Ids of one port are no sequence
    steps = [(later.id - earlier.id) % 65536 for earlier, later in itertools.pairwise(seen)]
    assert len(set(steps)) > 3700


def test_the_client_id_is_not_the_upstream_id(world):
    ids = set()
    for number in range(8):
        world.ask(PLAIN, f"own-id-{number}.example.net.", id=7)
        ids |= {query.id for query in world.honest.seen if query.name == f"own-id-{number}.example.net."}
    assert len(ids) > 1


def test_a_client_that_is_gone_costs_nothing(world):
    sock = world.client.udp()
    sock.send(dns.message.make_query("slow.example.net.", "MX").to_wire())
    sock.close()
    assert records(world.ask(PLAIN, "example.net.")) == 1
    assert "Traceback" not in world.output()
