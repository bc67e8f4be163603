"""One question against the store: pure, no handler, no bytes.

The names of a zone form a tree, and every step either finds the node or ends the search. A node that exists but lacks
the type is NODATA, also when it only has names below it (RFC 8020); a missing one is NXDOMAIN, or "not synced" while
an object could still create it.
"""

from clusterdns.kube import reverse, services
from clusterdns.kube.endpoints import undashed
from clusterdns.kube.question import Found, Miss, Pods, Question, Result
from clusterdns.kube.store import SERIAL, SYNC, pod_key
from clusterdns.wire.codes import Type
from clusterdns.wire.records import RRset, Section, addresses, name_rrset, soa, txt

# Kubernetes DNS specification 1.1.0, and the TTL of its example (seconds)
VERSION, VERSION_TTL = b"1.1.0", 28800
# The SOA record's own TTL is held below this, so that a large `ttl` does not make negative answers last (seconds).
MAX_SOA_TTL = 300
# Refresh, retry and expire in seconds: what CoreDNS shows
SOA_TIMERS = (7200, 1800, 86400)

_SVC, _POD, _DNS = b"\x03svc", b"\x03pod", b"\x03dns"
_NS_DNS, _HOSTMASTER, _DNS_VERSION = b"\x02ns\x03dns", b"\x0ahostmaster", b"\x0bdns-version"
_KUBE_DNS = b"\x08kube-dns\x0bkube-system"


def find(question: Question) -> Result:
    """Records, or the reason why there are none."""
    if not question.store.synced:
        question.keys.append(SYNC)
    if not question.depth:
        found = _apex(question)
        # A zone made of one address (a network of /25 and longer) is that address's name as well
        return reverse.find(question) if found is Miss.NO_DATA and reverse.is_address(question.name) else found
    top = question.labels(question.depth - 1, question.depth)
    if top in (_DNS, _DNS_VERSION):
        return _fixed(question)
    if question.zone in question.view.reverse:
        return reverse.find(question)
    if top == _SVC:
        return services.find(question)
    return _pod(question) if top == _POD else Miss.NO_NAME


class ZoneSoas:
    """The SOA record of each zone as an authority section, made anew when the serial has changed."""

    def __init__(self) -> None:
        self._made: dict[bytes, tuple[int, Section]] = {}

    def __call__(self, question: Question) -> Section:
        serial, section = self._made.get(question.zone, (-1, ()))
        if serial != question.store.serial:
            section = (zone_soa(question),)
            self._made[question.zone] = question.store.serial, section
        return section


def zone_soa(question: Question) -> RRset:
    """The zone's SOA record, for the authority section or as the answer."""
    ttl, zone = question.view.ttl, question.zone
    # RFC 1982: a serial has 32 bits, and starts over
    serial = question.store.serial % 2**32
    rdata = soa(_NS_DNS + zone, _HOSTMASTER + zone, serial, (*SOA_TIMERS, ttl))
    return RRset(zone, Type.SOA, min(ttl, MAX_SOA_TTL), (rdata,))


def _apex(question: Question) -> Result:
    if question.qtype == Type.SOA:
        question.keys.append(SERIAL)
        return Found((zone_soa(question),))
    if question.qtype == Type.NS:
        if (server := _name_server(question)) is None:
            return question.missing()
        target, glue = server
        return Found((name_rrset(question.name, Type.NS, question.view.ttl, (target,)),), glue)
    return Miss.NO_DATA


def _fixed(question: Question) -> Result:
    """The names that are there without any object."""
    left = question.labels(0, question.depth)
    if left == _NS_DNS:
        if (server := _name_server(question)) is None:
            return question.missing()
        _, glue = server
        return question.of_type(tuple(packed for rrset in glue for packed in rrset.rdatas if isinstance(packed, bytes)))
    if left == _DNS_VERSION:
        version = RRset(question.name, Type.TXT, VERSION_TTL, (txt(VERSION),))
        return Found((version,)) if question.qtype == Type.TXT else Miss.NO_DATA
    return Miss.NO_DATA if left == _DNS else Miss.NO_NAME


def _name_server(question: Question) -> tuple[bytes, Section] | None:
    """The zone's name server and its addresses: the kube-dns Service, whatever this process is bound to. None while
    that Service may still be heard of."""
    view = question.view
    question.keys.append(_KUBE_DNS)
    service = question.store.services.get(_KUBE_DNS)
    if service is None and not question.store.synced:
        return None
    if service is None or not service.addresses:
        target = _NS_DNS + question.zone
        return target, addresses(target, view.fallback, view.ttl)
    target = _KUBE_DNS + _SVC + view.primary
    return target, addresses(target, service.addresses, view.ttl)


def _pod(question: Question) -> Result:
    """`a-b-c-d.namespace.pod`."""
    depth, mode = question.depth, question.view.pods
    if depth == 1:
        return Miss.NO_DATA
    if depth > 3 or mode is Pods.DISABLED:
        return Miss.NO_NAME
    namespace = question.labels(depth - 2, depth - 1)
    address = None if depth == 2 else undashed(question.labels(0, 1)[1:])
    if depth == 3 and address is None:
        return Miss.NO_NAME
    if not services.exposed(question, namespace):
        return Miss.NO_NAME if services.hidden(question, namespace) else question.missing()
    if address is None:
        return Miss.NO_DATA
    if mode is Pods.VERIFIED:
        question.keys.append(pod_key(namespace, address))
        if not question.store.has_pod(namespace, address):
            return question.missing()
    return question.of_type((address,))
