"""A large cluster as its API server tells it: objects of real size, with all that nobody who answers queries needs.

Sizes follow what Helm, the endpoint slice controller and the record of who owns which field leave in an object: 1.6 KB
a Service, 5 KB a slice of twelve endpoints.
"""

import time
from typing import Any

ENDPOINTS = 12
NAMESPACES = 40
# One in so many; the last of a cluster is headless, so that its answer needs Services and slices
HEADLESS_EVERY = 8

_CREATED = "2026-01-31T08:15:04Z"

Manifest = dict[str, Any]


def place(index: int) -> tuple[str, str]:
    """Namespace and name of Service `index`."""
    return f"team-{index % NAMESPACES:02}", f"app-{index:05}"


def domain(namespace: str, name: str) -> str:
    """What a Service is asked for as."""
    return f"{name}.{namespace}.svc.cluster.local."


def headless(index: int) -> bool:
    return index % HEADLESS_EVERY == HEADLESS_EVERY - 1


def cluster_ip(index: int) -> str:
    """In 10.96.0.0/12, the range kubeadm takes: room for a million."""
    return f"10.{96 + (index >> 16)}.{index >> 8 & 255}.{index & 255}"


def pod_ips(index: int, turn: int = 0) -> list[str]:
    """The endpoints of Service `index` in 10.128.0.0/9. In each turn but 0 the first has another address, in
    172.16.0.0/12, the same one again after 65,536 turns."""
    first = index * ENDPOINTS
    addresses = [f"10.{128 + (n >> 16)}.{n >> 8 & 255}.{n & 255}" for n in range(first, first + ENDPOINTS)]
    return [f"172.{16 + index % 16}.{turn >> 8 & 255}.{turn & 255}", *addresses[1:]] if turn else addresses


def namespace(index: int) -> Manifest:
    name = f"team-{index:02}"
    labels = {"kubernetes.io/metadata.name": name}
    metadata = {"name": name, "uid": _uid(index, 1), "creationTimestamp": _CREATED, "labels": labels}
    fields = _managed(
        "kubectl-create", "v1", {"f:metadata": {"f:labels": {".": {}, "f:kubernetes.io/metadata.name": {}}}}
    )
    return {
        "metadata": metadata | {"managedFields": [fields]},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def service(where: tuple[str, str], index: int, address: str) -> Manifest:
    """A Service with two ports and a ClusterIP, or with `None` a headless one."""
    labels = _labels(where[1])
    metadata = _metadata(where, where[1], _uid(index, 2), labels)
    metadata["annotations"] = {"meta.helm.sh/release-name": where[1], "meta.helm.sh/release-namespace": where[0]}
    spec_fields = {f"f:{name}": {} for name in ("internalTrafficPolicy", "selector", "sessionAffinity", "type")}
    ports = {f'k:{{"port":{port},"protocol":"TCP"}}': _port_fields() for port in (80, 9090)}
    owned = {"f:metadata": _owned(labels), "f:spec": spec_fields | {"f:ports": {".": {}, **ports}}}
    metadata["managedFields"] = [_managed("helm", "v1", owned)]
    spec = {
        "ports": [_port("http", 80), _port("metrics", 9090)],
        "selector": {"app.kubernetes.io/instance": where[1], "app.kubernetes.io/name": where[1]},
        "clusterIP": address,
        "clusterIPs": [address],
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
    }
    return {"metadata": metadata, "spec": spec, "status": {"loadBalancer": {}}}


def slice_(where: tuple[str, str], index: int, addresses: list[str]) -> Manifest:
    """The EndpointSlice of a Service, changed now."""
    service = where[1]
    managed_by = "endpointslice-controller.k8s.io"
    labels = _labels(service) | {
        "endpointslice.kubernetes.io/managed-by": managed_by,
        "kubernetes.io/service-name": service,
    }
    metadata = _metadata(where, f"{service}-x7k2p", _uid(index, 3), labels)
    changed = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    metadata["generateName"] = f"{service}-"
    metadata["generation"] = 14
    metadata["annotations"] = {"endpoints.kubernetes.io/last-change-trigger-time": changed}
    owner = {"apiVersion": "v1", "kind": "Service", "name": service, "uid": _uid(index, 2)}
    metadata["ownerReferences"] = [owner | {"controller": True, "blockOwnerDeletion": True}]
    owned = {"f:addressType": {}, "f:endpoints": {}, "f:ports": {}, "f:metadata": _owned(labels)}
    metadata["managedFields"] = [_managed("kube-controller-manager", "discovery.k8s.io/v1", owned)]
    endpoints = [_endpoint(where, index * ENDPOINTS + n, address) for n, address in enumerate(addresses)]
    ports = [{"name": name, "port": port, "protocol": "TCP"} for name, port in (("http", 8080), ("metrics", 9090))]
    return {"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": ports}


def _endpoint(where: tuple[str, str], pod: int, address: str) -> Manifest:
    target = {"kind": "Pod", "namespace": where[0], "name": f"{where[1]}-6d5f8b7c9-{pod:05x}", "uid": _uid(pod, 4)}
    return {
        "addresses": [address],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "targetRef": target,
        "nodeName": f"ip-10-0-{pod % 200}-{pod % 7}.eu-central-1.compute.internal",
        "zone": f"eu-central-1{'abc'[pod % 3]}",
    }


def _metadata(where: tuple[str, str], name: str, uid: str, labels: dict[str, str]) -> Manifest:
    return {"name": name, "namespace": where[0], "uid": uid, "creationTimestamp": _CREATED, "labels": labels}


def _labels(app: str) -> dict[str, str]:
    recommended = {"name": app, "instance": app, "version": "2.14.3", "part-of": "shop", "managed-by": "Helm"}
    return {f"app.kubernetes.io/{name}": value for name, value in recommended.items()} | {
        "helm.sh/chart": f"{app}-2.14.3"
    }


def _owned(labels: dict[str, str]) -> Manifest:
    return {"f:annotations": {".": {}}, "f:labels": {".": {}, **{f"f:{label}": {} for label in labels}}}


def _managed(manager: str, version: str, fields: Manifest) -> Manifest:
    who = {"manager": manager, "operation": "Update", "apiVersion": version, "time": _CREATED}
    return who | {"fieldsType": "FieldsV1", "fieldsV1": fields}


def _port(name: str, number: int) -> Manifest:
    return {"name": name, "protocol": "TCP", "port": number, "targetPort": name}


def _port_fields() -> Manifest:
    return {".": {}, "f:name": {}, "f:port": {}, "f:protocol": {}, "f:targetPort": {}}


def _uid(number: int, kind: int) -> str:
    # As random to gzip as a real one is: the multiplier is the golden ratio's (Knuth)
    scattered = (number * 8 + kind) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128
    digits = f"{scattered:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
