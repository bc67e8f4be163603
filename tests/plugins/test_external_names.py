"""ExternalName Services: followed through the whole server, with one budget, wherever they lead."""

import dns.message
import dns.rcode
import pytest

from clusterdns.plugins.base import MAX_LINKS
from clusterdns.sources.manifests import Manifests
from tests.plugins.blocks import block
from tests.sources.objects import documents, namespace, service
from tests.support.inprocess import InProcess

ZONE = "default.svc.cluster.local."


def alias(name, target):
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": "ExternalName", "externalName": target},
    }


LONG = [alias(f"c{i}", f"c{i + 1}.{ZONE}") for i in range(3 * MAX_LINKS)]
OBJECTS = documents(
    namespace(),
    service("web"),
    alias("inside", f"web.{ZONE}"),
    alias("spelled", "WEB.Default.svc.cluster.local"),
    alias("twice", f"inside.{ZONE}"),
    alias("dangling", f"nosuch.{ZONE}"),
    alias("itself", f"itself.{ZONE}"),
    alias("ping", f"pong.{ZONE}"),
    alias("pong", f"ping.{ZONE}"),
    alias("lasso", f"ping.{ZONE}"),
    alias("outside", "v4only.example.net"),
    alias("chain", "alias.example.net"),
    alias("gone", "no.such.example.net"),
    alias("broken", "servfail.example.net"),
    alias("refused", "refused.example.net"),
    alias("unserved", "www.elsewhere.test"),
    *LONG,
)


@pytest.fixture(scope="module")
def objects(tmp_path_factory):
    folder = tmp_path_factory.mktemp("objects")
    (folder / "objects.yaml").write_text(OBJECTS)
    return folder


@pytest.fixture
def make(objects):
    def made(*others, synced=True):
        cluster = block("kubernetes {", f"manifests {objects}", "}", key="cluster.local")
        return InProcess(cluster + "".join(others), synced=synced)

    return made


EXAMPLE = block("forward . 192.0.2.53", key="example.net")
EVERYTHING = block("forward . 192.0.2.53")


def ask(server, name, rdtype="A"):
    return dns.message.from_wire(server.ask(dns.message.make_query(name, rdtype).to_wire()))


def answer(reply):
    """`owner TYPE data` of each record, without the zone that all of them share."""
    return [
        f"{rrset.name} {dns.rdatatype.to_text(rrset.rdtype)} {rdata}".replace(f".{ZONE}", "")
        for rrset in reply.answer
        for rdata in rrset
    ]


def rcode(reply):
    return dns.rcode.to_text(reply.rcode())


@pytest.mark.parametrize(
    ("name", "code", "records"),
    [
        ("inside", "NOERROR", ["inside CNAME web", "web A 10.96.0.20"]),
        ("spelled", "NOERROR", ["spelled CNAME web", "web A 10.96.0.20"]),
        ("twice", "NOERROR", ["twice CNAME inside", "inside CNAME web", "web A 10.96.0.20"]),
        ("dangling", "NXDOMAIN", ["dangling CNAME nosuch"]),
        ("itself", "NOERROR", ["itself CNAME itself"]),
        ("ping", "NOERROR", ["ping CNAME pong", "pong CNAME ping"]),
        ("lasso", "NOERROR", ["lasso CNAME ping", "ping CNAME pong", "pong CNAME ping"]),
        ("outside", "NOERROR", ["outside CNAME v4only.example.net.", "v4only.example.net. A 198.51.100.4"]),
        (
            "chain",
            "NOERROR",
            [
                "chain CNAME alias.example.net.",
                "alias.example.net. CNAME v4only.example.net.",
                "v4only.example.net. A 198.51.100.4",
            ],
        ),
        ("gone", "NXDOMAIN", ["gone CNAME no.such.example.net."]),
        ("broken", "SERVFAIL", ["broken CNAME servfail.example.net."]),
        ("refused", "REFUSED", ["refused CNAME refused.example.net."]),
        ("unserved", "NOERROR", ["unserved CNAME www.elsewhere.test."]),
    ],
)
def test_where_a_name_leads(make, name, code, records):
    reply = ask(make(EXAMPLE), f"{name}.{ZONE}")
    assert rcode(reply) == code
    assert answer(reply) == records


def test_the_type_that_is_asked_for_is_followed(make):
    server = make(EXAMPLE)
    reply = ask(server, f"outside.{ZONE}", "AAAA")
    assert rcode(reply) == "NOERROR"
    assert answer(reply) == ["outside CNAME v4only.example.net."]
    assert [str(soa.name) for soa in reply.authority] == ["example.net."]
    assert [query.qtype for query in server.asker.asked] == [dns.rdatatype.AAAA]


def test_the_alias_itself_is_not_followed(make):
    server = make(EXAMPLE)
    assert answer(ask(server, f"outside.{ZONE}", "CNAME")) == ["outside CNAME v4only.example.net."]
    assert server.asker.asked == []


def test_the_budget_ends_a_long_chain_with_servfail(make):
    reply = ask(make(), f"c0.{ZONE}")
    assert rcode(reply) == "SERVFAIL"
    assert len(reply.answer) == MAX_LINKS + 1


def test_a_chain_of_all_links_is_answered(make):
    at = len(LONG) - MAX_LINKS
    reply = ask(make(), f"c{at}.{ZONE}")
    assert rcode(reply) == "NXDOMAIN"
    assert len(reply.answer) == MAX_LINKS


def test_an_upstream_that_fails_is_servfail_and_the_alias_stays(make):
    reply = ask(make(EVERYTHING), f"broken.{ZONE}")
    assert (rcode(reply), len(reply.answer)) == ("SERVFAIL", 1)


def test_a_target_that_no_plugin_answers_is_servfail_and_logged(objects):
    cluster = block("errors", "kubernetes {", f"manifests {objects}", "}", key="cluster.local")
    server = InProcess(cluster + block("errors", key="example.net"))
    assert rcode(ask(server, f"outside.{ZONE}")) == "SERVFAIL"
    (line,) = server.lines
    assert f" 2 outside.{ZONE} A: no plugin of the server block answers" in line


def test_a_chain_inside_the_cluster_is_kept_until_a_link_of_it_changes(tmp_path):
    file = tmp_path / "objects.yaml"
    file.write_text(OBJECTS)
    server = InProcess(block("kubernetes {", f"manifests {tmp_path}", "}", key="cluster.local"))
    replies = [answer(ask(server, f"twice.{ZONE}")) for _ in range(2)]
    assert replies[0] == replies[1]
    assert server.hits() == 1
    file.write_text(OBJECTS.replace("10.96.0.20", "10.96.0.21"))
    server.apply(Manifests([str(tmp_path)]).scan().events)
    assert answer(ask(server, f"twice.{ZONE}"))[-1] == "web A 10.96.0.21"


def test_what_an_upstream_added_is_never_kept(make):
    server = make(EXAMPLE)
    for _ in range(2):
        ask(server, f"outside.{ZONE}")
    assert server.hits() == 0
    assert len(server.asker.asked) == 2


def test_the_target_may_be_in_a_zone_of_the_same_block(objects):
    server = InProcess(
        block("kubernetes cluster.local {", f"manifests {objects}", "}", "forward . 192.0.2.53"),
    )
    assert answer(ask(server, f"outside.{ZONE}"))[1:] == ["v4only.example.net. A 198.51.100.4"]


def test_before_the_first_list_nothing_is_followed(make):
    reply = ask(make(EXAMPLE, synced=False), f"inside.{ZONE}")
    assert (rcode(reply), reply.answer) == ("SERVFAIL", [])
