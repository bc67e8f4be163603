"""Kubernetes' JSON (or YAML read into builtins) -> trimmed objects. The one place that sees the API's shape.

Field names and meanings: Kubernetes API reference, core/v1 and discovery.k8s.io/v1.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from clusterdns.errors import SourceError
from clusterdns.kube.objects import (
    Endpoint,
    Kind,
    Namespace,
    Pod,
    Port,
    Service,
    ServiceType,
    Slice,
    Upsert,
    key,
    slice_of,
)
from clusterdns.wire import names

SERVICE_LABEL = "kubernetes.io/service-name"

# RFC 1123: what the API accepts as the name of a Service, Namespace or port
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# Pods in these phases have given their addresses back.
_GONE = frozenset({"Succeeded", "Failed", "Unknown"})


class _Meta(msgspec.Struct, gc=False):
    name: str
    namespace: str | None = None
    labels: dict[str, str] | None = None
    deletionTimestamp: Any = None


class _Port(msgspec.Struct, gc=False):
    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class _ServiceSpec(msgspec.Struct, gc=False):
    type: str | None = None
    clusterIP: str | None = None
    clusterIPs: list[str] | None = None
    externalName: str | None = None
    ports: list[_Port] | None = None


class _Service(msgspec.Struct, gc=False):
    metadata: _Meta
    spec: _ServiceSpec = msgspec.field(default_factory=_ServiceSpec)


class _Conditions(msgspec.Struct, gc=False):
    ready: bool | None = None


class _TargetRef(msgspec.Struct, gc=False):
    name: str | None = None


class _Endpoint(msgspec.Struct, gc=False):
    addresses: list[str] | None = None
    conditions: _Conditions | None = None
    hostname: str | None = None
    targetRef: _TargetRef | None = None


class _Slice(msgspec.Struct, gc=False):
    metadata: _Meta
    addressType: str = "IPv4"
    endpoints: list[_Endpoint] | None = None
    ports: list[_Port] | None = None


class _Namespace(msgspec.Struct, gc=False):
    metadata: _Meta


class _PodIP(msgspec.Struct, gc=False):
    ip: str | None = None


class _PodStatus(msgspec.Struct, gc=False):
    phase: str | None = None
    podIP: str | None = None
    podIPs: list[_PodIP] | None = None


class _Pod(msgspec.Struct, gc=False):
    metadata: _Meta
    status: _PodStatus = msgspec.field(default_factory=_PodStatus)


_Shape = _Namespace | _Service | _Slice | _Pod


class _Fault(Exception):
    """A field that makes the whole object unusable."""


def from_json(kind: Kind, raw: bytes | msgspec.Raw) -> Upsert | None:
    """One object's JSON -> event; None when it can have no DNS meaning (a slice of no Service, a finished pod).

    Raises SourceError naming the object and the field.
    """
    try:
        decoded = _SHAPES[kind][1].decode(raw)
    except msgspec.MsgspecError as error:
        raise SourceError(f"{kind.value} {_name_in(kind, raw)}: {_explain(error)}") from error
    return _trim(kind, decoded)


def from_value(kind: Kind, value: Mapping[str, Any]) -> Upsert | None:
    """As `from_json`, from builtins."""
    try:
        decoded: _Shape = msgspec.convert(value, _SHAPES[kind][0])
    except msgspec.ValidationError as error:
        raise SourceError(f"{kind.value} {_name_of(kind, value)}: {_explain(error)}") from error
    return _trim(kind, decoded)


def _trim(kind: Kind, decoded: _Shape) -> Upsert | None:
    meta: _Meta = decoded.metadata
    title = f"{kind.value} {_full_name(kind, meta.namespace, meta.name)}"
    remarks: list[str] = []
    try:
        obj = _SHAPES[kind][2](decoded, remarks)
    except _Fault as fault:
        raise SourceError(f"{title}: {fault}") from fault
    if obj is None:
        return None
    return Upsert(obj, meta.labels or {}, tuple(f"{title}: {remark}" for remark in remarks))


def _service(decoded: _Service, remarks: list[str]) -> Service:
    meta, spec = decoded.metadata, decoded.spec
    namespace = _label(meta.namespace or "default", "metadata.namespace")
    own = (namespace, _label(meta.name, "metadata.name"), key(meta.name, namespace))
    ports = _ports(spec.ports, "spec.ports", remarks)
    if spec.type == ServiceType.EXTERNAL_NAME.value:
        return Service(*own, ServiceType.EXTERNAL_NAME, (), (), _external(spec.externalName))
    if spec.clusterIP == "None" or (spec.clusterIPs and spec.clusterIPs[0] == "None"):
        return Service(*own, ServiceType.HEADLESS, (), ports)
    fields = [(f"spec.clusterIPs[{at}]", text) for at, text in enumerate(spec.clusterIPs or ())]
    if not fields and spec.clusterIP:
        fields = [("spec.clusterIP", spec.clusterIP)]
    return Service(*own, ServiceType.CLUSTER_IP, tuple(_packed(text, field) for field, text in fields), ports)


def _external(text: str | None) -> bytes:
    """The target of an ExternalName; empty for an IP literal, which is no name (the Service has no records)."""
    if not text:
        raise _Fault("spec.externalName: is missing; give the DNS name that the Service stands for")
    try:
        ipaddress.ip_address(text.rstrip("."))
    except ValueError:
        return _name(text, "spec.externalName")
    return b""


def _slice(decoded: _Slice, remarks: list[str]) -> Slice | None:
    meta = decoded.metadata
    namespace = _label(meta.namespace or "default", "metadata.namespace")
    service = (meta.labels or {}).get(SERVICE_LABEL)
    if not service:
        return None
    owner = key(_label(service, f"metadata.labels[{SERVICE_LABEL}]"), namespace)
    endpoints: list[Endpoint] = []
    for at, endpoint in enumerate(decoded.endpoints or ()):
        try:
            endpoints += _endpoint(endpoint, f"endpoints[{at}]", decoded.addressType == "FQDN")
        except _Fault as fault:
            remarks.append(f"{fault}; this endpoint is left out")
    return slice_of(namespace, meta.name, owner, _ports(decoded.ports, "ports", remarks), endpoints)


def _endpoint(endpoint: _Endpoint, field: str, fqdn: bool) -> list[Endpoint]:
    """Its addresses if it is ready: `ready` true or not said (discovery.k8s.io/v1 EndpointConditions)."""
    if endpoint.conditions is not None and endpoint.conditions.ready is False:
        return []
    if not endpoint.addresses:
        raise _Fault(f"{field}.addresses: is empty; give at least one address")
    hostname = _label(endpoint.hostname, f"{field}.hostname").encode() if endpoint.hostname else b""
    pod = (endpoint.targetRef.name or "").encode() if endpoint.targetRef else b""
    read = _name if fqdn else _packed
    return [
        Endpoint(read(text, f"{field}.addresses[{at}]"), hostname, pod, fqdn)
        for at, text in enumerate(endpoint.addresses)
    ]


def _namespace(decoded: _Namespace, _: list[str]) -> Namespace:
    name = _label(decoded.metadata.name, "metadata.name")
    return Namespace(name, key(name), decoded.metadata.labels or {})


def _pod(decoded: _Pod, _: list[str]) -> Pod | None:
    meta, status = decoded.metadata, decoded.status
    texts = [entry.ip for entry in status.podIPs or () if entry.ip]
    if not texts and status.podIP:
        texts = [status.podIP]
    if status.phase in _GONE or meta.deletionTimestamp or not texts:
        return None
    namespace = _label(meta.namespace or "default", "metadata.namespace")
    packed = tuple(_packed(text, f"status.podIPs[{at}].ip") for at, text in enumerate(texts))
    return Pod(namespace, meta.name, key(namespace), packed)


_SHAPES: Mapping[Kind, tuple[type, msgspec.json.Decoder[Any], Callable[[Any, list[str]], Any]]] = {
    Kind.NAMESPACE: (_Namespace, msgspec.json.Decoder(_Namespace), _namespace),
    Kind.SERVICE: (_Service, msgspec.json.Decoder(_Service), _service),
    Kind.SLICE: (_Slice, msgspec.json.Decoder(_Slice), _slice),
    Kind.POD: (_Pod, msgspec.json.Decoder(_Pod), _pod),
}


def _ports(ports: list[_Port] | None, field: str, remarks: list[str]) -> tuple[Port, ...]:
    usable = []
    for at, port in enumerate(ports or ()):
        # In a slice, no number stands for all ports: there is nothing to say in an SRV record
        if port.port is None:
            continue
        if not 0 < port.port < 65536:
            remarks.append(f"{field}[{at}].port: 1 to 65535, not {port.port}; this port is left out")
            continue
        protocol = (port.protocol or "TCP").lower().encode()
        usable.append(Port((port.name or "").lower().encode(), protocol, port.port))
    return tuple(usable)


def _label(text: str, field: str) -> str:
    if not _LABEL.fullmatch(text):
        raise _Fault(f"{field}: {text!r} is no DNS label (a-z, 0-9 and -, at most 63)")
    return text


def _name(text: str, field: str) -> bytes:
    try:
        return names.from_text(text)
    except ValueError as error:
        raise _Fault(f"{field}: {text!r} is no DNS name: {error}") from error


def _packed(text: str, field: str) -> bytes:
    try:
        # Four times as fast as `ipaddress`, which has the last word on whatever is not in the usual form
        packed = bytes(map(int, text.split(".")))
        if len(packed) == 4 and ".".join(map(str, packed)) == text:
            return packed
    except ValueError:
        pass
    try:
        if "%" not in text:
            return ipaddress.ip_address(text).packed
    except ValueError:
        pass
    raise _Fault(f"{field}: {text!r} is no IP address")


def _explain(error: msgspec.MsgspecError) -> str:
    """msgspec's "Expected `str`, got `int` - at `$.spec.clusterIP`" -> "spec.clusterIP: expected `str`, got `int`"."""
    what, _, where = str(error).partition(" - at `")
    path = where.rstrip("`").removeprefix("$").removeprefix(".").replace("[...]", "[]")
    return f"{path}: {what[0].lower()}{what[1:]}" if path else what


def _full_name(kind: Kind, namespace: object, name: object) -> str:
    """`namespace/name`, or the name alone of a Namespace."""
    return str(name) if kind is Kind.NAMESPACE else f"{namespace or 'default'}/{name}"


def _name_of(kind: Kind, value: Mapping[str, Any]) -> str:
    """The full name as far as it can be read, for an error message."""
    meta = value.get("metadata")
    if not isinstance(meta, Mapping):
        return "without metadata"
    return _full_name(kind, meta.get("namespace"), meta.get("name", "?"))


def _name_in(kind: Kind, raw: bytes | msgspec.Raw) -> str:
    try:
        value = msgspec.json.decode(raw)
    except msgspec.MsgspecError:
        return "that is no JSON"
    return _name_of(kind, value) if isinstance(value, dict) else "that is no object"
