"""`loadbalance`: who comes first, and what keeps its place."""

import dns.message
import pytest

from clusterdns.corefile.lexer import Token
from clusterdns.corefile.values import network
from clusterdns.plugins.loadbalance import turning
from clusterdns.wire.codes import Type
from clusterdns.wire.names import from_text
from clusterdns.wire.records import Relay, Response, RRset, name_rrset
from tests.plugins.blocks import Run, a_records, block, configured, mistakes, shown
from tests.support.inprocess import InProcess

NAME = "multi.example.net."
FIVE = [f"198.51.100.{i}" for i in range(11, 16)]
OBJECTS = """\
{apiVersion: v1, kind: Namespace, metadata: {name: default}}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: default}
spec: {clusterIP: None, ports: [{name: sql, port: 5432}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: default, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
endpoints: [{addresses: [10.1.0.1]}, {addresses: [10.2.0.2]}, {addresses: [10.1.0.3]}, {addresses: [10.2.0.4]}]
"""
DB = "db.default.svc.cluster.local."


def networks(*texts):
    return [network(Token(text, "Corefile", 1, 1)) for text in texts]


def answers(server, name, times, **options):
    """The addresses of each of that many replies, in order."""
    found = []
    for number in range(times):
        wire = server.ask(dns.message.make_query(name, "A", id=number + 1, **options).to_wire())
        (rrset,) = dns.message.from_wire(wire).answer
        found.append([rdata.address for rdata in rrset])
    return found


@pytest.fixture
def cluster(tmp_path):
    (tmp_path / "objects.yaml").write_text(OBJECTS)

    def make(*lines, protocol="udp"):
        return InProcess(block(*lines, "kubernetes cluster.local {", f"manifests {tmp_path}", "}"), protocol)

    return make


def test_without_it_the_order_is_fixed(cluster):
    replies = answers(cluster(), DB, 5)
    assert all(reply == replies[0] for reply in replies)


@pytest.mark.parametrize("line", ["loadbalance", "loadbalance round_robin"])
@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_each_record_comes_first_once(cluster, line, protocol):
    server = cluster(line, protocol=protocol)
    replies = answers(server, DB, 9)[1:]
    assert sorted(reply[0] for reply in replies[:4]) == sorted(replies[0])
    assert [reply[0] for reply in replies[:4]] == [reply[0] for reply in replies[4:]]
    assert all(sorted(reply) == sorted(replies[0]) for reply in replies)
    assert server.hits() == 8


def test_records_of_a_forwarded_reply_take_turns_too():
    server = InProcess(block("loadbalance", "forward . 192.0.2.53"))
    replies = answers(server, NAME, 5)
    assert sorted(reply[0] for reply in replies) == FIVE
    assert all(sorted(reply) == FIVE for reply in replies)


def test_preferred_networks_come_first_and_take_turns_among_themselves(cluster):
    server = cluster("loadbalance {", "prefer 10.2.0.0/16 192.0.2.1", "}")
    replies = answers(server, DB, 9)[1:]
    assert all(set(reply[:2]) == {"10.2.0.2", "10.2.0.4"} for reply in replies)
    assert {reply[0] for reply in replies} == {"10.2.0.2", "10.2.0.4"}
    assert {reply[2] for reply in replies} == {"10.1.0.1", "10.1.0.3"}


def test_preference_holds_for_a_forwarded_reply():
    server = InProcess(block("loadbalance {", "prefer 198.51.100.14/31", "}", "forward . 192.0.2.53"))
    replies = answers(server, NAME, 6)
    assert all(set(reply[:2]) == {"198.51.100.14", "198.51.100.15"} for reply in replies)
    assert {reply[0] for reply in replies} == {"198.51.100.14", "198.51.100.15"}
    assert {reply[2] for reply in replies} == set(FIVE[:3])


def test_a_cname_stays_in_front():
    cname = name_rrset(from_text("a.test"), Type.CNAME, 5, (from_text("b.test"),))
    reply = turning(Response(answer=(cname, a_records("b.test", "10.0.0.1", "10.0.0.2"))), networks("10.0.0.2"))
    assert reply.rotate
    assert shown(reply.answer) == ["a.test. CNAME b.test.", "b.test. A 10.0.0.2", "b.test. A 10.0.0.1"]


def test_ipv6_addresses_are_preferred_as_well():
    first, second = b"\xfd" + bytes(15), b"\xfc" + bytes(15)
    reply = turning(Response(answer=(RRset(b"\0", Type.AAAA, 5, (first, second)),)), networks("fc00::/8", "10.0.0.0/8"))
    assert [rrset.rdatas for rrset in reply.answer] == [(second,), (first,)]


@pytest.mark.parametrize(
    "answer",
    [
        (),
        (a_records("a.test", "10.0.0.1"),),
        (RRset(b"\0", Type.TXT, 5, (b"\1a", b"\1b")),),
        (RRset(b"\0", Type.SRV, 5, (b"a", b"b")),),
    ],
    ids=["none", "one", "TXT", "SRV"],
)
def test_nothing_to_turn_leaves_the_reply_alone(answer):
    reply = Response(answer=answer)
    assert turning(reply, []) is reply


def test_a_relayed_reply_with_one_answer_is_not_touched():
    relay = Relay(b"\0\0\x81\x80\0\1\0\1\0\0\0\0", 0)
    assert turning(relay, networks("10.0.0.0/8")) is relay


def test_what_is_not_an_answer_keeps_its_order():
    glue = a_records("ns.test", "10.0.0.1", "10.0.0.2")
    answer = (a_records("a.test", "10.0.0.1", "10.0.0.2"),)
    reply = turning(Response(answer=answer, additional=(glue,), aa=True, ra=True), networks("10.0.0.2"))
    assert shown(reply.additional) == ["ns.test. A 10.0.0.1", "ns.test. A 10.0.0.2"]
    assert (reply.aa, reply.ra) == (True, True)


def test_the_handler_marks_what_comes_from_below():
    run = Run(configured(block("loadbalance", "forward . 192.0.2.53")), "a.test.")
    run.reply(Response(answer=(a_records("a.test", "10.0.0.1", "10.0.0.2"),)))
    assert run.done().rotate


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (["loadbalance round_robin twice"], "takes 0 to 1 argument"),
        (["loadbalance weighted weights"], "weighted is not provided"),
        (["loadbalance weighted"], "weighted is not provided"),
        (["loadbalance random"], 'one of round_robin, not "random"'),
        (["loadbalance {", "prefer", "}"], "takes at least 1 argument"),
        (["loadbalance {", "prefer 10.0.0.0/33", "}"], "a network, not"),
        (["loadbalance {", "avoid 10.0.0.0/8", "}"], "one of prefer"),
    ],
)
def test_mistakes(lines, error):
    (found,) = mistakes(*lines, "whoami")
    assert error in found
