"""The trimmed objects: what DNS needs of a Service, an EndpointSlice, a Namespace and a Pod, and no more.

Names are kept as wire labels (`b"\\x04svc1\\x06testns"`), so that a lookup compares slices of the question's
name with them; addresses are packed. A new field here is a reviewed decision: 100,000 endpoints must be cheap.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Annotated

import msgspec
from msgspec import Meta


class Kind(Enum):
    """The kinds that are watched; the value is what `kind:` says."""

    NAMESPACE = "Namespace"
    SERVICE = "Service"
    SLICE = "EndpointSlice"
    POD = "Pod"


class ServiceType(Enum):
    """How the names of a Service are answered."""

    CLUSTER_IP = "ClusterIP"
    HEADLESS = "headless"
    EXTERNAL_NAME = "ExternalName"


class Port(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """`name` and `protocol` as lower-case labels without underscore; an unnamed port has an empty name."""

    name: bytes
    protocol: bytes
    number: Annotated[int, Meta(ge=1, le=65535)]


class Namespace(msgspec.Struct, frozen=True, gc=False):
    """`key`: its label."""

    name: str
    key: bytes
    labels: Mapping[str, str]


class Service(msgspec.Struct, frozen=True, gc=False):
    """`key`: labels of service and namespace. `addresses`: the packed ClusterIPs. `external`: a name, or empty."""

    namespace: str
    name: str
    key: bytes
    type: ServiceType
    addresses: tuple[bytes, ...] = ()
    ports: tuple[Port, ...] = ()
    external: bytes = b""

    @property
    def namespace_key(self) -> bytes:
        return self.key[1 + self.key[0] :]


class Endpoint(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """One ready address: packed, or a name (wire form, `fqdn`) in a slice of address type FQDN.

    `hostname` and `pod` are empty where the object does not say.
    """

    address: bytes
    hostname: Annotated[bytes, Meta(max_length=63)] = b""
    pod: bytes = b""
    fqdn: bool = False


class Slice(msgspec.Struct, frozen=True, gc=False):
    """The ready endpoints of one EndpointSlice. `service`: key of the Service that owns it.

    `addresses`: of the endpoints that have an address and nothing else, as nearly all do: objects for those would be a
    fifth of a store. `endpoints`: the others. `every` gives all alike, and `slice_of` sorts them into the two.
    """

    namespace: str
    name: str
    service: bytes
    ports: tuple[Port, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    addresses: tuple[bytes, ...] = ()

    def every(self) -> tuple[Endpoint, ...]:
        return self.endpoints + tuple(Endpoint(address) for address in self.addresses)


def slice_of(
    namespace: str, name: str, service: bytes, ports: tuple[Port, ...], endpoints: Iterable[Endpoint]
) -> Slice:
    """A slice of endpoints in any order."""
    named, plain = [], []
    for each in endpoints:
        if each.hostname or each.pod or each.fqdn:
            named.append(each)
        else:
            plain.append(each.address)
    return Slice(namespace, name, service, ports, tuple(named), tuple(plain))


class Pod(msgspec.Struct, frozen=True, gc=False):
    """A pod whose addresses are its own. `namespace_key`: the namespace's label."""

    namespace: str
    name: str
    namespace_key: bytes
    addresses: tuple[bytes, ...] = ()


Object = Namespace | Service | Slice | Pod

KIND_OF: Mapping[type, Kind] = {
    Namespace: Kind.NAMESPACE,
    Service: Kind.SERVICE,
    Slice: Kind.SLICE,
    Pod: Kind.POD,
}


class Upsert(msgspec.Struct, frozen=True):
    """An object as it is now, and its labels for a `labels` selector.

    `remarks`: what of it cannot be used, each naming object and field; the rest is served.
    """

    object: Object
    labels: Mapping[str, str] = {}
    remarks: tuple[str, ...] = ()


class Delete(msgspec.Struct, frozen=True):
    """An object that is gone; `namespace` is empty for a Namespace."""

    kind: Kind
    namespace: str
    name: str


class Synced(msgspec.Struct, frozen=True):
    """Every object that existed when the source began has been sent."""


class Restored(msgspec.Struct, frozen=True):
    """Every object of a snapshot has been sent. `serial`: the SOA serial that it was written with."""

    serial: int


Event = Upsert | Delete | Synced | Restored


def identity(obj: Object) -> tuple[Kind, str, str]:
    """Kind, namespace (empty for a Namespace) and name."""
    return KIND_OF[type(obj)], "" if isinstance(obj, Namespace) else obj.namespace, obj.name


def key(*labels: str) -> bytes:
    """Labels -> wire labels without a root.  Raises ValueError for one that is no label of 1 to 63 octets."""
    raw = [label.encode() for label in labels]
    if not all(0 < len(label) <= 63 for label in raw):
        raise ValueError("a label has 1 to 63 octets")
    return b"".join(bytes((len(label),)) + label for label in raw).lower()
