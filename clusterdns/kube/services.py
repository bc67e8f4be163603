"""Names below `svc`: namespace > Service > endpoint or _proto > _port (Kubernetes DNS specification 1.1.0)."""

import re
from collections.abc import Iterable, Mapping

from clusterdns.kube.endpoints import EndpointSet, Named
from clusterdns.kube.objects import Port, Service, ServiceType
from clusterdns.kube.question import Found, Miss, Question, Result
from clusterdns.kube.selectors import matches
from clusterdns.kube.store import endpoints_key
from clusterdns.wire.codes import Type
from clusterdns.wire.names import MAX_NAME
from clusterdns.wire.records import RRset, Section, srv

# A port of an SRV record: its number, the target's name and the target's addresses
Target = tuple[int, bytes, tuple[bytes, ...]]

_UNDERSCORE = b"_"
# What the API accepts as a name (RFC 1123)
_LABEL = re.compile(rb"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
# The form with the most labels is _port._proto.service.namespace.svc
_DEEPEST = 5


def find(question: Question) -> Result:
    """`question` is below `svc`; its labels left of the zone are counted with it."""
    depth = question.depth
    if depth == 1:
        return Miss.NO_DATA
    namespace = question.labels(depth - 2, depth - 1)
    if not exposed(question, namespace):
        return Miss.NO_NAME if depth > _DEEPEST or hidden(question, namespace) else question.missing()
    if depth == 2:
        return Miss.NO_DATA
    if depth > _DEEPEST:
        return Miss.NO_NAME
    key = question.labels(depth - 3, depth - 1)
    question.keys.append(key)
    service = question.store.services.get(key)
    if service is None:
        return question.missing() if _LABEL.fullmatch(key[1 : 1 + key[0]]) else Miss.NO_NAME
    if service.type is ServiceType.EXTERNAL_NAME:
        return _external(question, service)
    return _cluster_ip(question, service) if service.type is ServiceType.CLUSTER_IP else _headless(question, service)


def hidden(question: Question, namespace: bytes) -> bool:
    """Could no object bring names of this namespace: does the block leave it out, or is it no name for one?"""
    view = question.view
    return bool(view.namespaces and namespace not in view.namespaces) or not _LABEL.fullmatch(namespace[1:])


def exposed(question: Question, namespace: bytes) -> bool:
    """Does the namespace exist, and does this block show it?"""
    question.keys.append(namespace)
    view, known = question.view, question.store.namespaces.get(namespace)
    if known is None or (view.namespaces and namespace not in view.namespaces):
        return False
    return not view.namespace_labels or matches(view.namespace_labels, known.labels)


def _external(question: Question, service: Service) -> Result:
    # An IP literal is no name: such a Service has no records
    if question.depth > 3 or not service.external:
        return question.ruled_out()
    return question.alias(service.external)


def _cluster_ip(question: Question, service: Service) -> Result:
    if question.view.ignore_empty:
        question.keys.append(endpoints_key(service.key))
        if not question.store.has_endpoints(service.key):
            return question.missing()
    if question.depth > 3:
        return _below(question, service, service.ports)
    if question.qtype == Type.SRV:
        return _srv(question, _own_targets(question, service, service.ports))
    return question.of_type(service.addresses)


def _headless(question: Question, service: Service) -> Result:
    if question.view.noendpoints:
        return question.ruled_out()
    endpoints = _endpoints(question, service)
    if not endpoints:
        return question.missing()
    if question.depth > 3:
        return _below(question, service, _all_ports(endpoints))
    # Only names, no addresses: the Service stands for the first of them
    if not endpoints.names:
        return question.alias(next(iter(endpoints.fqdns)))
    if question.qtype == Type.SRV:
        return _srv(question, _endpoint_targets(question, service, endpoints, None))
    return question.of_type(endpoints.addresses)


def _endpoints(question: Question, service: Service) -> EndpointSet:
    question.keys.append(endpoints_key(service.key))
    return question.store.endpoints(service.key, question.view.endpoint_pod_names)


def _below(question: Question, service: Service, ports: tuple[Port, ...]) -> Result:
    """Names below a Service: `endpoint`, `_proto`, `_port._proto`."""
    proto = question.labels(question.depth - 4, question.depth - 3)
    if proto[1:2] == _UNDERSCORE:
        named = [port for port in ports if port.name and port.protocol == proto[2:]]
        if question.depth == 5:
            return _port(question, service, named)
        # An empty non-terminal: the names of its ports are below it
        return Miss.NO_DATA if named else question.missing()
    if question.depth == 5:
        return Miss.NO_NAME
    return Miss.NO_NAME if question.view.noendpoints else _endpoint(question, service, proto[1:])


def _port(question: Question, service: Service, ports: list[Port]) -> Result:
    label = question.labels(0, 1)
    wanted = tuple(port for port in ports if label[1:2] == _UNDERSCORE and port.name == label[2:])
    if not wanted:
        return question.missing()
    if question.qtype != Type.SRV:
        return Miss.NO_DATA
    if service.type is ServiceType.CLUSTER_IP:
        return _srv(question, _own_targets(question, service, wanted))
    return _srv(question, _endpoint_targets(question, service, _endpoints(question, service), frozenset(wanted)))


def _endpoint(question: Question, service: Service, label: bytes) -> Result:
    named = _endpoints(question, service).names.get(label)
    if named is None:
        return question.missing()
    if question.qtype == Type.SRV:
        return _srv(question, ((port.number, question.name, named.addresses) for port in named.ports))
    return question.of_type(named.addresses)


def _own_targets(question: Question, service: Service, ports: Iterable[Port]) -> Iterable[Target]:
    """A Service with ClusterIPs is its own target."""
    name = question.name[question.starts[question.depth - 3] :]
    return ((port.number, name, service.addresses) for port in ports)


def _endpoint_targets(
    question: Question, service: Service, endpoints: EndpointSet, wanted: frozenset[Port] | None
) -> Iterable[Target]:
    """Each endpoint name and port; `wanted` limits the ports."""
    base = question.name[question.starts[question.depth - 3] :]

    def targets(table: Mapping[bytes, Named], below: bytes | None) -> Iterable[Target]:
        for label, named in table.items():
            name = label if below is None else bytes((len(label),)) + label + below
            for port in named.ports:
                if wanted is None or port in wanted:
                    yield port.number, name, named.addresses

    yield from targets(endpoints.names, base)
    yield from targets(endpoints.fqdns, None)


def _all_ports(endpoints: EndpointSet) -> tuple[Port, ...]:
    tables = (endpoints.names, endpoints.fqdns)
    return tuple({port for table in tables for named in table.values() for port in named.ports})


def _srv(question: Question, targets: Iterable[Target]) -> Result:
    """One record per port number and target, of equal weight (RFC 2782), with the targets' addresses."""
    # A target that is too long for a name cannot be told to anybody
    chosen = {(number, name): packed for number, name, packed in targets if len(name) <= MAX_NAME}
    if not chosen:
        return Miss.NO_DATA
    weight = max(1, 100 // len(chosen))
    rdatas = tuple(srv(0, weight, number, name) for number, name in chosen)
    hosts = {name: packed for (_, name), packed in chosen.items()}
    additional: Section = tuple(rrset for name, packed in hosts.items() for rrset in question.addresses(name, packed))
    return Found((RRset(question.name, Type.SRV, question.view.ttl, rdatas),), additional)
