"""Replies of an upstream that is broken or hostile: no bug shows, and what reaches the client is well formed."""

import dns.message
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clusterdns.wire.query import parse
from clusterdns.wire.survey import survey
from tests.plugins.blocks import block
from tests.sources.objects import documents, namespace
from tests.support.inprocess import InProcess

ALIASES = documents(
    namespace(),
    *(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"type": "ExternalName", "externalName": f"{name}.example.net"},
        }
        for name in ("multi", "alias")
    ),
)
PREFER = ("loadbalance {", "prefer 198.51.100.14/31 fd00::/8", "}")
NAMES = (
    *("multi.example.net.", "alias.example.net.", "example.net.", "no.such.example.net.", "big.example.net."),
    *("multi.default.svc.cluster.local.", "alias.default.svc.cluster.local."),
)
MUTATIONS = st.lists(st.tuples(st.integers(2, 400), st.integers(0, 255)), max_size=6)


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aliases")
    (folder / "objects.yaml").write_text(ALIASES)
    rest = ("kubernetes cluster.local {", f"manifests {folder}", "}", "forward . 192.0.2.53")
    return [InProcess(block(*first, *rest)) for first in ((), ("loadbalance",), PREFER)]


def checked(server, query):
    """The reply, whose counts and lengths must fit; `ask` raises what `server` reports as a bug."""
    server.bugs.clear()
    packet = query.to_wire()
    reply = server.ask(packet)
    assert reply[:2] == packet[:2]
    assert len(reply) <= max(query.payload, 512)
    request = parse(packet)
    assert reply[12 : 12 + len(request.question)] == request.question
    question = request.query.name + request.question[-4:]
    assert survey(reply, question).wire == reply
    return reply


def changed(wire, mutations, end):
    mutated = bytearray(wire)
    for at, octet in mutations:
        mutated[at % len(mutated)] = octet
    return bytes(mutated[: end or None])


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    rdtype=st.sampled_from(["A", "AAAA", "MX", "TXT"]),
    payload=st.sampled_from([None, 512, 1232, 4096]),
    mutations=MUTATIONS,
    end=st.sampled_from([0, 0, 0, 11, 12, 40, 60, 90, -1]),
)
def test_mutated_replies(servers, name, rdtype, payload, mutations, end):
    query = dns.message.make_query(name, rdtype, use_edns=payload is not None and 0, payload=payload or 0)
    for server in servers:
        server.asker.spoil = lambda wire: changed(wire, mutations, end)
        checked(server, query)


def addresses(*rdatas):
    """Puts A records with this RDATA in the place of the answer."""
    records = b"".join(b"\xc0\x0c\0\1\0\1\0\0\0\5" + len(data).to_bytes(2, "big") + data for data in rdatas)

    def spoil(wire):
        question = wire[12 : wire.index(b"\0", 12) + 5]
        return wire[:4] + b"\0\1" + len(rdatas).to_bytes(2, "big") + b"\0\0\0\0" + question + records

    return spoil


@pytest.mark.parametrize("server", [0, 1, 2], ids=["plain", "loadbalance", "prefer"])
@pytest.mark.parametrize(
    "rdatas",
    [
        (b"\1\2\3\4", b"\5\6\7\10\11"),
        (b"\1\2\3\4\5", b"\5\6\7\10"),
        (b"", b"\1\2\3\4"),
        (b"\1\2\3\4", b""),
        (b"", b"\1"),
        (b"\1\2\3", b"\4\5\6"),
        (bytes(range(16)), b"\1\2\3\4"),
    ],
    ids=lambda rdatas: "-".join(str(len(data)) for data in rdatas),
)
def test_addresses_of_odd_lengths(servers, server, rdatas):
    servers[server].asker.spoil = addresses(*rdatas)
    for _ in range(3):
        checked(servers[server], dns.message.make_query("multi.example.net.", "A"))


@pytest.mark.parametrize("server", [0, 1, 2], ids=["plain", "loadbalance", "prefer"])
def test_a_reply_of_many_records_is_cut(servers, server):
    servers[server].asker.spoil = addresses(*[number.to_bytes(4, "big") for number in range(4000)])
    reply = checked(servers[server], dns.message.make_query("multi.example.net.", "A"))
    assert reply[2] & 0x02, "TC"
