"""The store: all objects of one source, indexed by name and address.

What it answers is a function of the set of objects, never of the order of events. `apply` returns the keys whose
DNS-visible content changed, and a lookup records the keys it read: their meeting is what drops a memo entry.

Keys are bytes: a namespace (`b"\\x06testns"`), a Service (`b"\\x04svc1\\x06testns"`), its endpoints (the Service's key
and `/`), a pod (the namespace's key, `.`, the address), a packed address, and the constants below. A packed address
may happen to spell a label; then an event drops an entry too many, never one too few.
"""

from collections.abc import Callable, Mapping
from typing import Any

from clusterdns.kube.addresses import AddressIndex
from clusterdns.kube.endpoints import EndpointSet, merge
from clusterdns.kube.objects import Delete, Event, Kind, Namespace, Pod, Restored, Service, Slice, Synced, identity
from clusterdns.kube.selectors import Selector, matches

# Read by whoever shows the SOA serial as an answer
SERIAL = b"serial"
# Read by whoever answered before the first list was complete
SYNC = b"sync"
# Read by whoever looked for addresses below a partial reverse name
ADDRESSES = b"addresses"

# Merged endpoint sets kept ready, so that many names of one large headless Service cost its size only once.
# Most have a handful of endpoints: 512 of them are about 1 MB.
MAX_SETS = 512


def endpoints_key(service: bytes) -> bytes:
    return service + b"/"


def pod_key(namespace: bytes, address: bytes) -> bytes:
    return namespace + b"." + address


class Store:
    """Objects in, keys out. `serial` is max(last + 1, unix seconds of the event).

    `synced`: the first list is complete. `restored`: it is not, but what a snapshot remembered is there.
    """

    def __init__(self, selector: Selector = (), serial: int = 0) -> None:
        self.serial = serial
        self.synced = self.restored = False
        self.namespaces: dict[bytes, Namespace] = {}
        self.services: dict[bytes, Service] = {}
        self.addresses = AddressIndex()
        self._selector = selector
        self._slices: dict[bytes, dict[str, Slice]] = {}
        self._services_of: dict[tuple[str, str], bytes] = {}
        self._pods: dict[tuple[str, str], Pod] = {}
        self._pod_keys: dict[bytes, int] = {}
        self._sets: dict[tuple[bytes, bool], EndpointSet] = {}

    def apply(self, event: Event, now: int) -> set[bytes]:
        """Take one event; returns the keys whose visible content changed, none for an event without effect."""
        if isinstance(event, Synced):
            first, self.synced, self.restored = not self.synced, True, False
            return {SYNC} if first else set()
        if isinstance(event, Restored):
            return self._restore(event.serial)
        if isinstance(event, Delete):
            keys = _CHANGE[event.kind](self, event.namespace, event.name, None)
        else:
            kind, namespace, name = identity(event.object)
            # Namespaces are not selected by `labels`, as in CoreDNS
            hidden = kind is not Kind.NAMESPACE and not matches(self._selector, event.labels)
            keys = _CHANGE[kind](self, namespace, name, None if hidden else event.object)
        if keys:
            self.serial = max(self.serial + 1, now)
            keys.add(SERIAL)
        return keys

    def _restore(self, serial: int) -> set[bytes]:
        """A snapshot is complete. It says nothing that a complete list has not said, but for the serial."""
        keys = set() if self.synced or self.restored else {SYNC}
        self.restored = not self.synced
        if serial > self.serial:
            self.serial = serial
            keys.add(SERIAL)
        return keys

    def _change_namespace(self, _: str, name: str, new: Namespace | None) -> set[bytes]:
        where = bytes((len(name),)) + name.encode()
        old = self.namespaces.pop(where, None)
        if new is not None:
            self.namespaces[where] = new
        return set() if old == new else {where}

    def _change_service(self, namespace: str, name: str, new: Service | None) -> set[bytes]:
        where = _service_key(namespace, name)
        old = self.services.pop(where, None)
        if new is not None:
            self.services[where] = new
        if old == new:
            return set()
        before = set(old.addresses) if old else set()
        after = set(new.addresses) if new else set()
        return {where} | self._own({(where, a) for a in before}, {(where, a) for a in after})

    def _change_slice(self, namespace: str, name: str, new: Slice | None) -> set[bytes]:
        where = (namespace, name)
        owner = self._services_of.pop(where, b"")
        old = self._slices[owner].pop(name) if owner else None
        if owner and not self._slices[owner]:
            del self._slices[owner]
        if new is not None:
            self._services_of[where] = new.service
            self._slices.setdefault(new.service, {})[name] = new
        if old == new:
            return set()
        keys = self._own(_owned(old), _owned(new))
        for part in (old, new):
            if part is not None:
                keys.add(endpoints_key(part.service))
                for pod_names in (False, True):
                    self._sets.pop((part.service, pod_names), None)
        return keys

    def _change_pod(self, namespace: str, name: str, new: Pod | None) -> set[bytes]:
        old = self._pods.pop((namespace, name), None)
        if new is not None:
            self._pods[namespace, name] = new
        if old == new:
            return set()
        keys = set()
        for pod, step in ((new, 1), (old, -1)):
            for address in pod.addresses if pod else ():
                where = pod_key(pod.namespace_key, address) if pod else b""
                self._pod_keys[where] = self._pod_keys.get(where, 0) + step
                keys.add(where)
        for where in keys:
            if not self._pod_keys[where]:
                del self._pod_keys[where]
        return keys

    def _own(self, before: set[tuple[bytes, bytes]], after: set[tuple[bytes, bytes]]) -> set[bytes]:
        """Move the address index from `before` to `after`, pairs of Service key and address."""
        if not self.synced:
            self.addresses.forget_order()
        keys, listed = set(), False
        for owner, address in after - before:
            listed |= self.addresses.add(address, owner)
            keys.add(address)
        for owner, address in before - after:
            listed |= self.addresses.remove(address, owner)
            keys.add(address)
        return keys | {ADDRESSES} if listed else keys

    def endpoints(self, service: bytes, pod_names: bool = False) -> EndpointSet:
        """The merged ready endpoints of a Service's slices."""
        known = self._sets.get((service, pod_names))
        if known is None:
            parts = self._slices.get(service, {})
            known = merge(parts.values(), pod_names)
            if len(self._sets) >= MAX_SETS:
                del self._sets[next(iter(self._sets))]
            self._sets[service, pod_names] = known
        return known

    def has_endpoints(self, service: bytes) -> bool:
        """Is any endpoint of the Service ready?"""
        return any(part.endpoints or part.addresses for part in self._slices.get(service, {}).values())

    def slices(self, service: bytes) -> list[Slice]:
        """The slices of a Service in order of their names."""
        parts = self._slices.get(service, {})
        return [parts[name] for name in sorted(parts)]

    def has_pod(self, namespace: bytes, address: bytes) -> bool:
        return pod_key(namespace, address) in self._pod_keys


# Each puts an object in the place of the one of that namespace and name (None removes it). Not in the store: methods
# bound to it would keep it alive when a reload has done away with it.
_CHANGE: Mapping[Kind, Callable[[Store, str, str, Any], set[bytes]]] = {
    Kind.NAMESPACE: Store._change_namespace,
    Kind.SERVICE: Store._change_service,
    Kind.SLICE: Store._change_slice,
    Kind.POD: Store._change_pod,
}


def _service_key(namespace: str, name: str) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in (name.encode(), namespace.encode()))


def _owned(part: Slice | None) -> set[tuple[bytes, bytes]]:
    """Pairs of Service key and address."""
    if part is None:
        return set()
    named = {(part.service, endpoint.address) for endpoint in part.endpoints if not endpoint.fqdn}
    return named | {(part.service, address) for address in part.addresses}
