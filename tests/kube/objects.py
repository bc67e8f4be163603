"""Objects as the API shows them, trimmed to events."""

from collections.abc import Mapping, Sequence
from typing import Any

from clusterdns.kube.manifest import SERVICE_LABEL, from_value
from clusterdns.kube.objects import Delete, Event, Kind, Upsert, identity

# name, number, protocol
Port = tuple[str | None, int, str]

HTTP: Port = ("http", 80, "TCP")
DNS: Port = ("dns", 53, "UDP")
UNNAMED: Port = (None, 443, "TCP")


def namespace(name: str, **labels: str) -> Upsert:
    return taken(Kind.NAMESPACE, {"metadata": {"name": name, "labels": labels}})


def service(
    namespace: str, name: str, *addresses: str, ports: Sequence[Port] = (HTTP,), external: str = "", **labels: str
) -> Upsert:
    """`addresses`: its ClusterIPs, or `None` for a headless one."""
    spec: dict[str, Any] = {"clusterIPs": list(addresses), "ports": _ports(ports)}
    if external:
        spec = {"type": "ExternalName", "externalName": external}
    return taken(Kind.SERVICE, {"metadata": _meta(namespace, name, labels), "spec": spec})


def endpoint(
    *addresses: str, hostname: str | None = None, pod: str | None = None, ready: bool = True
) -> dict[str, Any]:
    reference = {"targetRef": {"kind": "Pod", "name": pod}} if pod else {}
    return {"addresses": list(addresses), "hostname": hostname, "conditions": {"ready": ready}, **reference}


def slice_of(
    namespace: str,
    owner: str,
    name: str,
    *endpoints: Mapping[str, Any],
    ports: Sequence[Port] = (HTTP,),
    kind: str = "IPv4",
    **labels: str,
) -> Upsert:
    """An EndpointSlice of the Service `owner`."""
    meta = _meta(namespace, name, {SERVICE_LABEL: owner, **labels})
    return taken(Kind.SLICE, {"metadata": meta, "addressType": kind, "endpoints": endpoints, "ports": _ports(ports)})


def pod(namespace: str, name: str, *addresses: str, **labels: str) -> Upsert:
    status = {"phase": "Running", "podIPs": [{"ip": address} for address in addresses]}
    return taken(Kind.POD, {"metadata": _meta(namespace, name, labels), "status": status})


def gone(event: Upsert) -> Delete:
    """The end of an object."""
    kind, where, name = named(event)
    return Delete(kind, where, name)


def named(event: Event) -> tuple[Kind, str, str]:
    """Which object an event is about."""
    if isinstance(event, Delete):
        return event.kind, event.namespace, event.name
    assert isinstance(event, Upsert)
    return identity(event.object)


def taken(kind: Kind, value: Mapping[str, Any]) -> Upsert:
    event = from_value(kind, value)
    assert event is not None
    return event


def _meta(namespace: str, name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    return {"namespace": namespace, "name": name, "labels": dict(labels)}


def _ports(ports: Sequence[Port]) -> list[dict[str, Any]]:
    return [{"name": name, "port": number, "protocol": protocol} for name, number, protocol in ports]
