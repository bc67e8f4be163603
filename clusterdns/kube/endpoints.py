"""The slices of one Service merged: which endpoint names exist, with which addresses and ports."""

import ipaddress
import re
from collections.abc import Iterable, Mapping

import msgspec

from clusterdns.kube.objects import Endpoint, Port, Slice

_LABEL = re.compile(rb"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


class Named(msgspec.Struct, frozen=True, gc=False):
    """What lives at one endpoint name."""

    addresses: tuple[bytes, ...]
    ports: tuple[Port, ...]


class EndpointSet(msgspec.Struct, frozen=True):
    """`names`: endpoint label -> what lives there, in order of the labels. `fqdns`: the same for slices of address
    type FQDN, by target name. `addresses`: all, IPv4 first, each once, in order."""

    names: Mapping[bytes, Named]
    fqdns: Mapping[bytes, Named]
    addresses: tuple[bytes, ...]

    def __bool__(self) -> bool:
        return bool(self.names or self.fqdns)


def merge(slices: Iterable[Slice], pod_names: bool) -> EndpointSet:
    """`pod_names`: endpoints without a hostname are called after their pod (`endpoint_pod_names`)."""
    names: dict[bytes, tuple[set[bytes], set[Port]]] = {}
    fqdns: dict[bytes, tuple[set[bytes], set[Port]]] = {}
    for part in slices:
        for endpoint in part.every():
            table = fqdns if endpoint.fqdn else names
            label = endpoint.address if endpoint.fqdn else endpoint_label(endpoint, pod_names)
            addresses, ports = table.setdefault(label, (set(), set()))
            ports.update(part.ports)
            if not endpoint.fqdn:
                addresses.add(endpoint.address)
    every = {address for addresses, _ in names.values() for address in addresses}
    return EndpointSet(_ordered(names), _ordered(fqdns), _by_family(every))


def _ordered(table: dict[bytes, tuple[set[bytes], set[Port]]]) -> dict[bytes, Named]:
    # One endpoint name per slice of the same ports is the rule: share what is equal
    shared: dict[frozenset[Port], tuple[Port, ...]] = {}
    ordered = {}
    for label in sorted(table):
        addresses, ports = table[label]
        frozen = frozenset(ports)
        if frozen not in shared:
            shared[frozen] = tuple(sorted(ports, key=lambda port: (port.name, port.protocol, port.number)))
        ordered[label] = Named(_by_family(addresses), shared[frozen])
    return ordered


def _by_family(addresses: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(sorted(addresses, key=lambda address: (len(address), address)))


def endpoint_label(endpoint: Endpoint, pod_names: bool) -> bytes:
    """Hostname; else, if asked for, the pod's name where that is a label; else the dashed address."""
    if endpoint.hostname:
        return endpoint.hostname
    if pod_names and len(endpoint.pod) <= 63 and _LABEL.fullmatch(endpoint.pod):
        return endpoint.pod
    return dashed(endpoint.address)


def dashed(address: bytes) -> bytes:
    """`10.1.0.4` -> `10-1-0-4`; an IPv6 address that would end in a dash gets a 0, as in CoreDNS."""
    if len(address) == 4:
        return b"%d-%d-%d-%d" % tuple(address)
    text = str(ipaddress.IPv6Address(address)).replace(":", "-").encode()
    return text + b"0" if text.endswith(b"-") else text


def undashed(label: bytes) -> bytes | None:
    """The address that a pod's name spells; None for a label that spells none."""
    try:
        text = label.decode("ascii")
        # A scope ("fe80::1%eth0") is no part of an address here
        if "%" in text:
            return None
        if text.count("-") == 3 and "--" not in text:
            return ipaddress.IPv4Address(text.replace("-", ".")).packed
        return ipaddress.IPv6Address(text.replace("-", ":")).packed
    except ValueError:
        return None
