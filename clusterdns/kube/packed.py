"""Events as bytes: what the processes tell each other, what is kept on disk, and what the controller keeps of objects.

A packed object needs a tenth of the memory of the object, and two of them are equal if the objects are. Bytes may come
from a file, so that `unpack` lets nothing through that could not have come from an object of the API.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from clusterdns.kube import objects
from clusterdns.kube.objects import (
    Delete,
    Endpoint,
    Event,
    Kind,
    Namespace,
    Object,
    Pod,
    Port,
    Restored,
    Service,
    ServiceType,
    Slice,
    Synced,
    Upsert,
    identity,
)
from clusterdns.wire.names import from_labels, to_labels


class Packed(NamedTuple):
    """`key`: kind, namespace and name. `payload`: the object and its labels; empty for a Delete. Both are empty for
    Synced."""

    key: bytes
    payload: bytes


SYNCED = Packed(b"", b"")
# The key of a Restored; its payload is the serial
RESTORED = b"r"

_LETTERS = {Kind.NAMESPACE: "n", Kind.SERVICE: "s", Kind.SLICE: "e", Kind.POD: "p"}
_KINDS = {f"{letter}/".encode(): kind for kind, letter in _LETTERS.items()}
# Serials are seconds since 1970, and more than one a second only while the API server sends so many changes
MAX_SERIAL = 1 << 62

_Labels = dict[str, str]
_Addresses = tuple[bytes, ...]
_Ports = tuple[Port, ...]

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_namespace = msgspec.msgpack.Decoder(tuple[_Labels, _Labels]).decode
_service = msgspec.msgpack.Decoder(tuple[_Labels, ServiceType, _Addresses, _Ports, bytes]).decode
_slice = msgspec.msgpack.Decoder(tuple[_Labels, bytes, _Ports, tuple[Endpoint, ...], _Addresses]).decode
_pod = msgspec.msgpack.Decoder(tuple[_Labels, _Addresses]).decode
_serial = msgspec.msgpack.Decoder(int).decode


def key(kind: Kind, namespace: str, name: str) -> bytes:
    """Sorts by kind, namespaces before what is in them."""
    return f"{_LETTERS[kind]}/{namespace}/{name}".encode()


def pack(event: Event) -> Packed:
    """The remarks of an Upsert are not packed: they are for whoever read the object."""
    if isinstance(event, Synced):
        return SYNCED
    if isinstance(event, Restored):
        return Packed(RESTORED, _encode(event.serial))
    if isinstance(event, Delete):
        return Packed(key(event.kind, event.namespace, event.name), b"")
    own = identity(event.object)
    return Packed(key(*own), _encode((event.labels, *_FIELDS[own[0]](event.object))))


def unpack(packed: Packed) -> Event:
    """Raises msgspec.MsgspecError, ValueError or LookupError for what `pack` did not make."""
    if packed == SYNCED:
        return Synced()
    if packed.key == RESTORED:
        return Restored(_checked_serial(_serial(packed.payload)))
    kind = _KINDS[packed.key[:2]]
    namespace, name = packed.key[2:].decode().split("/", 1)
    if not packed.payload:
        return Delete(kind, namespace, name)
    labels, obj = _UNPACK[kind](namespace, name, packed.payload)
    return Upsert(obj, labels)


def _unpack_namespace(_: str, name: str, payload: bytes) -> tuple[_Labels, Namespace]:
    labels, own = _namespace(payload)
    return labels, Namespace(name, objects.key(name), own)


def _unpack_service(namespace: str, name: str, payload: bytes) -> tuple[_Labels, Service]:
    labels, kind, addresses, ports, external = _service(payload)
    _check_addresses(addresses)
    if external:
        _check_name(external)
    return labels, Service(namespace, name, objects.key(name, namespace), kind, addresses, ports, external)


def _unpack_slice(namespace: str, name: str, payload: bytes) -> tuple[_Labels, Slice]:
    labels, service, ports, endpoints, addresses = _slice(payload)
    _check_addresses(addresses)
    _check_addresses([endpoint.address for endpoint in endpoints if not endpoint.fqdn])
    for endpoint in endpoints:
        if endpoint.fqdn:
            _check_name(endpoint.address)
    return labels, Slice(namespace, name, service, ports, endpoints, addresses)


def _unpack_pod(namespace: str, name: str, payload: bytes) -> tuple[_Labels, Pod]:
    labels, addresses = _pod(payload)
    _check_addresses(addresses)
    return labels, Pod(namespace, name, objects.key(namespace), addresses)


def _check_addresses(packed: Iterable[bytes]) -> None:
    if not {len(address) for address in packed} <= {4, 16}:
        raise ValueError("an address has 4 or 16 octets")


def _check_name(name: bytes) -> None:
    if from_labels(to_labels(name)) != name:
        raise ValueError("a name ends with the root label and is in lower case")


def _checked_serial(serial: int) -> int:
    if not 0 <= serial <= MAX_SERIAL:
        raise ValueError("a serial is some seconds since 1970")
    return serial


# The keys of Services and namespaces are made of their names again
_FIELDS: Mapping[Kind, Callable[[Any], tuple[Any, ...]]] = {
    Kind.NAMESPACE: lambda namespace: (namespace.labels,),
    Kind.SERVICE: lambda service: (service.type, service.addresses, service.ports, service.external),
    Kind.SLICE: lambda part: (part.service, part.ports, part.endpoints, part.addresses),
    Kind.POD: lambda pod: (pod.addresses,),
}
_UNPACK: Mapping[Kind, Callable[[str, str, bytes], tuple[_Labels, Object]]] = {
    Kind.NAMESPACE: _unpack_namespace,
    Kind.SERVICE: _unpack_service,
    Kind.SLICE: _unpack_slice,
    Kind.POD: _unpack_pod,
}
