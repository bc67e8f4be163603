"""The cluster that is asked: JSON manifests of 1,000 Services in eight namespaces and two headless ones."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

NAMESPACES = 8
SERVICES = 1000
# the sizes of the headless Services: a usual one, and one whose UDP reply is truncated
HEADLESS = (10, 100)

Manifest = dict[str, Any]


def service_name(index: int) -> str:
    """`service-0017.ns-1`: name and namespace of Service `index`."""
    return f"service-{index:04}.ns-{index % NAMESPACES}"


def service(index: int, cluster_ip: str) -> Manifest:
    """Service `index` with one named port."""
    name, namespace = service_name(index).split(".")
    return _service(name, namespace, cluster_ip)


def cluster_ip(index: int) -> str:
    """The address of Service `index` to begin with, in 10.96.0.0/12, the range kubeadm takes."""
    return f"10.96.{1 + index // 250}.{1 + index % 250}"


def changes() -> Iterator[Manifest]:
    """Every Service with another address, then every Service as it began: in a circle, each one is a change."""
    for index in range(SERVICES):
        yield service(index, cluster_ip(index + SERVICES))
    for index in range(SERVICES):
        yield service(index, cluster_ip(index))


def write_manifests(directory: Path) -> None:
    """Writes one `kind: List` file per kind into the directory."""
    names = [f"ns-{index}" for index in range(NAMESPACES)]
    _write(directory / "namespaces.json", (_object("v1", "Namespace", name) for name in names))
    _write(directory / "services.json", _services())
    _write(directory / "endpointslices.json", _slices())


def _services() -> Iterator[Manifest]:
    for index in range(SERVICES):
        yield service(index, cluster_ip(index))
    for size in HEADLESS:
        yield _service(f"headless-{size}", "ns-0", "None")


def _slices() -> Iterator[Manifest]:
    for index in range(SERVICES):
        name, namespace = service_name(index).split(".")
        yield _slice(name, namespace, [f"10.{128 + n}.{index // 250}.{1 + index % 250}" for n in (0, 1)])
    for size in HEADLESS:
        yield _slice(f"headless-{size}", "ns-0", [f"10.{size}.0.{1 + n}" for n in range(size)])


def _service(name: str, namespace: str, address: str) -> Manifest:
    ports = [{"name": "http", "port": 80, "protocol": "TCP"}]
    spec = {"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ports": ports}
    return _object("v1", "Service", name, namespace) | {"spec": spec}


def _slice(service: str, namespace: str, addresses: list[str]) -> Manifest:
    slice_ = _object("discovery.k8s.io/v1", "EndpointSlice", f"{service}-x1", namespace)
    slice_["metadata"]["labels"] = {"kubernetes.io/service-name": service}
    endpoints = [{"addresses": [address], "conditions": {"ready": True}} for address in addresses]
    ports = [{"name": "http", "port": 8080, "protocol": "TCP"}]
    return slice_ | {"addressType": "IPv4", "endpoints": endpoints, "ports": ports}


def _object(version: str, kind: str, name: str, namespace: str | None = None) -> Manifest:
    place = {"namespace": namespace} if namespace else {}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name} | place}


def _write(path: Path, items: Iterable[Manifest]) -> None:
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)}))
