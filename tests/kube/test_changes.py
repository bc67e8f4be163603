"""Each thing that an answer is made from, changed alone: the reply in the memo goes, and the new one is a fresh
server's. What random histories meet now and then stands here for certain."""

import pytest

from clusterdns.kube.objects import Event, Synced
from clusterdns.wire.codes import Type
from clusterdns.wire.names import from_address, from_text
from tests.kube.objects import DNS, HTTP, endpoint, gone, namespace, pod, service, slice_of
from tests.kube.questions import without_serial
from tests.kube.served import filled
from tests.wire.packets import query

START = [
    namespace("a"),
    service("a", "s", "10.96.0.1"),
    service("a", "h", "None"),
    service("a", "alias", external="s.a.svc.cluster.local"),
    slice_of("a", "s", "s-1", endpoint("10.0.0.1", hostname="one")),
    slice_of("a", "h", "h-1", endpoint("10.0.0.2", pod="web-0")),
    pod("a", "p", "10.0.0.9"),
    Synced(),
]
ONE, TWO = (from_address(bytes([10, 0, 0, last])) for last in (1, 2))


def below(text: str) -> bytes:
    return from_text(f"{text}.cluster.local".lstrip("."))


CHANGES: list[tuple[str, bytes, Type, Event, str]] = [
    ("its address", below("s.a.svc"), Type.A, service("a", "s", "10.96.0.2"), ""),
    ("its ports", below("s.a.svc"), Type.SRV, service("a", "s", "10.96.0.1", ports=(HTTP, DNS)), ""),
    ("its end", below("s.a.svc"), Type.TXT, gone(service("a", "s")), ""),
    ("its type", below("s.a.svc"), Type.A, service("a", "s", "None"), ""),
    ("its namespace's end", below("s.a.svc"), Type.A, gone(namespace("a")), ""),
    ("its namespace's labels", below("s.a.svc"), Type.A, namespace("a", env="prod"), "namespace_labels env=prod"),
    ("its last endpoint's end", below("s.a.svc"), Type.A, gone(slice_of("a", "s", "s-1")), "ignore empty_service"),
    ("what an alias points at", below("alias.a.svc"), Type.A, service("a", "s", "10.96.0.2"), ""),
    ("a name that was not there", below("new.a.svc"), Type.A, service("a", "new", "10.96.0.3"), ""),
    ("a namespace that was not there", below("b.svc"), Type.A, namespace("b"), ""),
    (
        "a port that was not there",
        below("_dns._udp.s.a.svc"),
        Type.SRV,
        service("a", "s", "10.96.0.1", ports=(DNS,)),
        "",
    ),
    ("a headless Service's endpoints", below("h.a.svc"), Type.A, slice_of("a", "h", "h-2", endpoint("10.0.0.3")), ""),
    (
        "its endpoints' ports",
        below("h.a.svc"),
        Type.SRV,
        slice_of("a", "h", "h-1", endpoint("10.0.0.2"), ports=(DNS,)),
        "",
    ),
    ("an endpoint's end", below("one.s.a.svc"), Type.A, slice_of("a", "s", "s-1", endpoint("10.0.0.1")), ""),
    ("readiness", below("h.a.svc"), Type.A, slice_of("a", "h", "h-1", endpoint("10.0.0.2", ready=False)), ""),
    ("an address's hostname", ONE, Type.PTR, slice_of("a", "s", "s-1", endpoint("10.0.0.1", hostname="two")), ""),
    (
        "its pod's name",
        TWO,
        Type.PTR,
        slice_of("a", "h", "h-1", endpoint("10.0.0.2", pod="web-1")),
        "endpoint_pod_names",
    ),
    ("its Service's end", ONE, Type.PTR, gone(service("a", "s")), ""),
    ("a Service at it", ONE, Type.PTR, service("a", "new", "10.0.0.1"), ""),
    ("its namespace's end", ONE, Type.PTR, gone(namespace("a")), ""),
    ("the last address below it", from_text("96.10.in-addr.arpa"), Type.PTR, gone(service("a", "s")), ""),
    ("the first address below it", from_text("97.10.in-addr.arpa"), Type.PTR, service("a", "new", "10.97.0.1"), ""),
    ("a pod's end", below("10-0-0-9.a.pod"), Type.A, gone(pod("a", "p", "10.0.0.9")), "pods verified"),
    ("a pod's start", below("10-0-0-8.a.pod"), Type.A, pod("a", "q", "10.0.0.8"), "pods verified"),
    ("a pod's namespace's end", below("10-0-0-9.a.pod"), Type.A, gone(namespace("a")), "pods insecure"),
    ("kube-dns", below("ns.dns"), Type.A, service("kube-system", "kube-dns", "10.96.0.10"), ""),
    ("kube-dns", below(""), Type.NS, service("kube-system", "kube-dns", "10.96.0.10"), ""),
]


@pytest.mark.parametrize(
    ("name", "qtype", "event", "options"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES]
)
def test_what_an_answer_is_made_from(name, qtype, event, options):
    served, packet = filled(START, options), query(name, qtype)
    before, hits = served.ask(packet), served.hits
    assert served.ask(packet) == before
    assert served.hits == hits + 1
    served.apply(event)
    after = served.ask(packet)
    assert served.hits == hits + 1
    assert without_serial(after) != without_serial(before)
    assert without_serial(after) == without_serial(filled([*START, event], options).ask(packet))


@pytest.mark.parametrize("event", [service("a", "other", "10.96.7.7"), namespace("b"), pod("a", "q", "10.0.7.7")])
def test_what_an_answer_is_not_made_from_leaves_it_in_the_memo(event):
    served, packet = filled(START), query(below("s.a.svc"))
    before, hits = served.ask(packet), served.hits
    served.apply(event)
    assert (served.ask(packet), served.hits) == (before, hits + 1)
