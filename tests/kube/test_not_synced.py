"""Before the first list is complete: a name that an object could still create is SERVFAIL; any other is answered."""

import pytest

from clusterdns.kube.objects import Synced
from clusterdns.wire.codes import RCode, Type
from clusterdns.wire.names import from_text
from tests.kube.objects import endpoint, namespace, service, slice_of
from tests.kube.served import Served, filled
from tests.wire.packets import query

OPTIONS = "pods verified"
# What has been heard of so far
SOME = [
    namespace("a"),
    service("a", "s", "10.96.0.1"),
    service("a", "h", "None"),
    slice_of("a", "h", "h-1", endpoint("10.0.0.1")),
]

MAY_EXIST = [
    *("b.svc", "x.a.svc", "x.b.svc", "y.h.a.svc", "_tcp.x.a.svc", "_x._tcp.s.a.svc", "_x._tcp.h.a.svc"),
    *("_udp.s.a.svc", "y.x.b.svc", "_http._tcp.x.b.svc", "b.pod", "10-0-0-9.a.pod", "10-0-0-9.b.pod", "fd00--9.a.pod"),
]
CANNOT_EXIST = [
    *("x", "x.y", "svcs", "a.b.c.d.x.svc", "a.b.c.d.s.a.svc", "x.dns", "x.ns.dns", "x.dns-version"),
    *("not-an-address.a.pod", "x.10-0-0-1.a.pod", "1.2.3.4.a.pod"),
]
EXISTS = [
    "",
    "svc",
    "pod",
    "dns",
    "dns-version",
    "a.svc",
    "s.a.svc",
    "_http._tcp.s.a.svc",
    "h.a.svc",
    "10-0-0-1.h.a.svc",
    "a.pod",
]

REVERSE_MAY = [
    "9.0.0.10.in-addr.arpa",
    "9.9.10.in-addr.arpa",
    "192.in-addr.arpa",
    "d.f.ip6.arpa",
    "1." + "0." * 31 + "ip6.arpa",
]
REVERSE_CANNOT = [
    "256.0.0.10.in-addr.arpa",
    "x.in-addr.arpa",
    "1.2.3.4.5.in-addr.arpa",
    "01.0.0.10.in-addr.arpa",
    "g.ip6.arpa",
    "0." * 33 + "ip6.arpa",
]
REVERSE_EXISTS = [
    "1.0.0.10.in-addr.arpa",
    "1.0.96.10.in-addr.arpa",
    "10.in-addr.arpa",
    "0.96.10.in-addr.arpa",
    "in-addr.arpa",
]


def rcode(served: Served, name: str, qtype: Type = Type.A) -> int:
    """The same from the chain and from the memo."""
    packet = query(from_text(name), qtype)
    first = served.ask(packet)
    assert served.ask(packet) == first
    return first[3] & 0xF


@pytest.fixture(scope="module")
def early() -> Served:
    return filled(SOME, OPTIONS)


@pytest.mark.parametrize("name", [*(f"{left}.cluster.local" for left in MAY_EXIST), *REVERSE_MAY])
@pytest.mark.parametrize("qtype", [Type.A, Type.AAAA, Type.SRV, Type.PTR, Type.TXT])
def test_what_could_exist_is_servfail_until_it_is_known(early, name, qtype):
    assert rcode(early, name, qtype) == RCode.SERVFAIL
    late = filled(SOME, OPTIONS)
    assert rcode(late, name, qtype) == RCode.SERVFAIL
    late.apply(Synced())
    assert rcode(late, name, qtype) == RCode.NXDOMAIN


@pytest.mark.parametrize("name", [*(f"{left}.cluster.local" for left in CANNOT_EXIST), *REVERSE_CANNOT])
def test_what_no_object_could_create_is_nxdomain_at_any_time(early, name):
    assert rcode(early, name) == rcode(filled([Synced()], OPTIONS), name) == RCode.NXDOMAIN
    assert rcode(Served(OPTIONS), name) == RCode.NXDOMAIN


@pytest.mark.parametrize("name", [*(f"{left}.cluster.local".lstrip(".") for left in EXISTS), *REVERSE_EXISTS])
@pytest.mark.parametrize("qtype", [Type.A, Type.SOA, Type.TXT])
def test_what_is_known_already_is_answered(early, name, qtype):
    assert rcode(early, name, qtype) == RCode.NOERROR


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ("", "10-0-0-1.a.pod.cluster.local"),
        ("namespaces a", "s.b.svc.cluster.local"),
        ("namespaces a", "b.svc.cluster.local"),
        ("noendpoints", "10-0-0-1.s.a.svc.cluster.local"),
    ],
    ids=["pods disabled", "namespace not shown", "namespace not shown, itself", "noendpoints"],
)
def test_what_the_options_rule_out_is_nxdomain_at_any_time(options, name):
    assert rcode(filled(SOME, options), name) == RCode.NXDOMAIN


def test_nothing_is_forwarded_before_the_first_list():
    """`fallthrough` passes on what does not exist, and that is not known yet; `Served` has nobody to pass it on to."""
    served = filled(SOME, "fallthrough")
    for name in (*(f"{left}.cluster.local" for left in MAY_EXIST if "pod" not in left), *REVERSE_MAY):
        assert rcode(served, name) == RCode.SERVFAIL
    assert rcode(served, "9.0.0.10.in-addr.arpa", Type.PTR) == RCode.SERVFAIL


def test_a_namespace_whose_labels_may_still_show_it():
    served = filled(SOME, "namespace_labels env=prod")
    assert rcode(served, "s.a.svc.cluster.local") == RCode.SERVFAIL
    served.apply(namespace("a", env="prod"))
    assert rcode(served, "s.a.svc.cluster.local") == RCode.NOERROR
