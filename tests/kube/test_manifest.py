"""The API's objects trimmed: what is taken, what is left out with a remark, what is refused with object and field."""

import json
from typing import Any

import pytest

from clusterdns.errors import SourceError
from clusterdns.kube.manifest import SERVICE_LABEL, from_json, from_value
from clusterdns.kube.objects import Kind, Port, ServiceType, Upsert
from tests.kube.objects import endpoint

META = {"name": "web", "namespace": "shop"}
SLICE_META = {**META, "labels": {SERVICE_LABEL: "web"}}
HTTP = Port(b"http", b"tcp", 80)


def service(**spec: Any) -> dict[str, Any]:
    return {"metadata": META, "spec": spec}


def endpoints(*entries: Any, **more: Any) -> dict[str, Any]:
    return {"metadata": SLICE_META, "endpoints": list(entries), **more}


def both(kind: Kind, value: Any) -> Upsert | None:
    """From builtins as from JSON."""
    found = from_value(kind, value)
    assert from_json(kind, json.dumps(value).encode()) == found
    return found


def taken(kind: Kind, value: Any) -> Any:
    event = both(kind, value)
    assert event is not None
    return event.object


def errors(kind: Kind, value: Any) -> str:
    """The message, the same whichever way the object came."""
    with pytest.raises(SourceError) as from_builtins:
        from_value(kind, value)
    with pytest.raises(SourceError) as from_text:
        from_json(kind, json.dumps(value).encode())
    assert str(from_builtins.value) == str(from_text.value)
    return str(from_builtins.value)


@pytest.mark.parametrize(
    ("spec", "kind", "addresses"),
    [
        ({"clusterIP": "10.96.0.1"}, ServiceType.CLUSTER_IP, ["0a600001"]),
        ({"type": "NodePort", "clusterIP": "10.96.0.1"}, ServiceType.CLUSTER_IP, ["0a600001"]),
        ({"type": "LoadBalancer", "clusterIPs": ["10.96.0.1"]}, ServiceType.CLUSTER_IP, ["0a600001"]),
        (
            {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "fd00::1"]},
            ServiceType.CLUSTER_IP,
            ["0a600001", "fd" + "0" * 29 + "1"],
        ),
        ({"clusterIP": "None"}, ServiceType.HEADLESS, []),
        ({"clusterIP": "None", "clusterIPs": ["None"]}, ServiceType.HEADLESS, []),
        ({"clusterIPs": ["None"]}, ServiceType.HEADLESS, []),
        ({"clusterIP": ""}, ServiceType.CLUSTER_IP, []),
        ({"clusterIP": None, "clusterIPs": None}, ServiceType.CLUSTER_IP, []),
        ({}, ServiceType.CLUSTER_IP, []),
        ({"type": "ExternalName", "externalName": "Example.NET."}, ServiceType.EXTERNAL_NAME, []),
    ],
)
def test_services(spec, kind, addresses):
    found = taken(Kind.SERVICE, service(**spec))
    assert (found.type, [address.hex() for address in found.addresses]) == (kind, addresses)
    assert (found.namespace, found.name, found.key, found.namespace_key) == ("shop", "web", b"\3web\4shop", b"\4shop")
    assert found.external == (b"\7example\3net\0" if kind is ServiceType.EXTERNAL_NAME else b"")


@pytest.mark.parametrize("text", ["10.0.0.1", "10.0.0.1.", "fd00::1"])
def test_an_external_name_that_is_an_address_has_no_records(text):
    found = taken(Kind.SERVICE, service(type="ExternalName", externalName=text))
    assert (found.type, found.external) == (ServiceType.EXTERNAL_NAME, b"")


def test_what_is_not_said_has_its_default():
    found = taken(Kind.SERVICE, {"metadata": {"name": "web"}})
    assert (found.namespace, found.key) == ("default", b"\3web\7default")
    assert taken(Kind.SERVICE, {"metadata": {"name": "web", "namespace": None, "labels": None}}).namespace == "default"
    assert taken(Kind.SLICE, {"metadata": SLICE_META, "endpoints": None, "ports": None}).every() == ()
    assert taken(Kind.SERVICE, service(ports=None)).ports == ()
    assert taken(Kind.SERVICE, service(ports=[{"port": 80}])).ports == (Port(b"", b"tcp", 80),)
    assert taken(Kind.NAMESPACE, {"metadata": {"name": "shop", "labels": None}}).labels == {}


def test_labels_come_along_for_the_selector():
    event = both(Kind.SERVICE, {"metadata": {**META, "labels": {"app": "x"}}})
    assert event is not None
    assert event.labels == {"app": "x"}
    assert taken(Kind.NAMESPACE, {"metadata": {"name": "shop", "labels": {"env": "prod"}}}).labels == {"env": "prod"}


@pytest.mark.parametrize(
    ("port", "found"),
    [
        ({"name": "http", "port": 80, "protocol": "TCP"}, HTTP),
        ({"name": "HTTP", "port": 80}, HTTP),
        ({"name": None, "port": 65535, "protocol": "SCTP"}, Port(b"", b"sctp", 65535)),
        ({"name": "", "port": 1, "protocol": "UDP"}, Port(b"", b"udp", 1)),
    ],
)
def test_ports(port, found):
    assert taken(Kind.SERVICE, service(ports=[port])).ports == (found,)
    assert taken(Kind.SLICE, endpoints(ports=[port])).ports == (found,)


@pytest.mark.parametrize("number", [0, -1, 65536, 10**12])
def test_ports_out_of_range_are_left_out_with_a_remark(number):
    ports = [{"name": "bad", "port": number}, {"name": "http", "port": 80}]
    for kind, value, field in (
        (Kind.SERVICE, service(ports=ports), "Service shop/web: spec.ports[0].port"),
        (Kind.SLICE, endpoints(ports=ports), "EndpointSlice shop/web: ports[0].port"),
    ):
        event = both(kind, value)
        assert event is not None
        (remark,) = event.remarks
        assert remark.startswith(field)
        assert str(number) in remark
        assert event.object.ports == (HTTP,)


def test_endpoints():
    found = taken(
        Kind.SLICE,
        endpoints(
            endpoint("10.0.0.1", hostname="one", pod="web-0"),
            endpoint("10.0.0.2", "10.0.0.3"),
            endpoint("10.0.0.4", ready=False),
            {"addresses": ["10.0.0.5"], "conditions": {"ready": None}},
            {"addresses": ["10.0.0.6"], "conditions": None, "targetRef": None},
            {"addresses": ["10.0.0.7"], "conditions": {}, "targetRef": {}},
        ),
    )
    assert found.service == b"\3web\4shop"
    assert [each.address[-1] for each in found.every()] == [1, 2, 3, 5, 6, 7]
    assert (found.every()[0].hostname, found.every()[0].pod) == (b"one", b"web-0")


def test_endpoints_that_are_names():
    (found,) = taken(Kind.SLICE, endpoints(endpoint("Db.example.net"), addressType="FQDN")).endpoints
    assert (found.address, found.fqdn) == (b"\2db\7example\3net\0", True)


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"addresses": []}, "endpoints[0].addresses: is empty"),
        ({"addresses": None}, "endpoints[0].addresses: is empty"),
        ({}, "endpoints[0].addresses: is empty"),
        (endpoint("10.0.0.300"), "endpoints[0].addresses[0]: '10.0.0.300' is no IP address"),
        (endpoint("10.0.0.1", ""), "endpoints[0].addresses[1]: '' is no IP address"),
        (endpoint("10.0.0.1", hostname="No_Label"), "endpoints[0].hostname: 'No_Label' is no DNS label"),
        (endpoint("fe80::1%eth0"), "endpoints[0].addresses[0]: 'fe80::1%eth0' is no IP address"),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_left_out_alone(bad, field):
    event = both(Kind.SLICE, endpoints(bad, endpoint("10.0.0.9")))
    assert event is not None
    (remark,) = event.remarks
    assert remark.startswith(f"EndpointSlice shop/web: {field}")
    assert [each.address[-1] for each in event.object.every()] == [9]


def test_an_endpoint_that_is_not_ready_needs_no_addresses():
    event = both(Kind.SLICE, endpoints({"addresses": [], "conditions": {"ready": False}}))
    assert event is not None
    assert event.remarks == ()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.SLICE, {"metadata": META}),
        (Kind.SLICE, {"metadata": {**META, "labels": {SERVICE_LABEL: ""}}}),
        (Kind.POD, {"metadata": META}),
        (Kind.POD, {"metadata": META, "status": {"phase": "Succeeded", "podIP": "10.0.0.1"}}),
        (Kind.POD, {"metadata": META, "status": {"phase": "Failed", "podIP": "10.0.0.1"}}),
        (
            Kind.POD,
            {"metadata": {**META, "deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"podIP": "10.0.0.1"}},
        ),
        (Kind.POD, {"metadata": META, "status": {"phase": "Running", "podIPs": [{}], "podIP": ""}}),
    ],
)
def test_objects_that_mean_nothing_to_dns(kind, value):
    assert both(kind, value) is None


@pytest.mark.parametrize(
    ("status", "addresses"),
    [
        ({"podIP": "10.0.0.1"}, ["0a000001"]),
        ({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}, ["0a000001", "fd" + "0" * 29 + "1"]),
        ({"podIP": "10.0.0.1", "podIPs": None}, ["0a000001"]),
        ({"phase": "Pending", "podIPs": [{"ip": "10.0.0.2"}]}, ["0a000002"]),
    ],
)
def test_pods(status, addresses):
    found = taken(Kind.POD, {"metadata": META, "status": status})
    assert [address.hex() for address in found.addresses] == addresses
    assert found.namespace_key == b"\4shop"


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ({"clusterIP": 5}, "spec.clusterIP: expected `str | null`, got `int`"),
        ({"clusterIPs": ["10.96.0.1", 5]}, "spec.clusterIPs[1]: expected `str`, got `int`"),
        ({"clusterIP": "10.96.0"}, "spec.clusterIP: '10.96.0' is no IP address"),
        ({"clusterIPs": ["10.96.0.1", "x"]}, "spec.clusterIPs[1]: 'x' is no IP address"),
        ({"ports": [{"port": "http"}]}, "spec.ports[0].port: expected `int | null`, got `str`"),
        ({"ports": {}}, "spec.ports: expected `array | null`, got `object`"),
        ({"type": "ExternalName"}, "spec.externalName: is missing; give the DNS name that the Service stands for"),
        ({"type": "ExternalName", "externalName": ""}, "spec.externalName: is missing"),
        ({"type": "ExternalName", "externalName": "a..b"}, "spec.externalName: 'a..b' is no DNS name: a label has"),
        (None, "spec: expected `object`, got `null`"),
    ],
)
def test_faults_of_a_service_name_it_and_the_field(spec, fault):
    assert errors(Kind.SERVICE, {"metadata": META, "spec": spec}).startswith(f"Service shop/web: {fault}")


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (endpoints(5), "endpoints[0]: expected `object`, got `int`"),
        (endpoints({"addresses": "10.0.0.1"}), "endpoints[0].addresses: expected `array | null`, got `str`"),
        (endpoints(ports=[{"port": 80}, 5]), "ports[1]: expected `object`, got `int`"),
        (endpoints(addressType=None), "addressType: expected `str`, got `null`"),
        (
            {"metadata": {**META, "labels": {SERVICE_LABEL: "W"}}},
            f"metadata.labels[{SERVICE_LABEL}]: 'W' is no DNS label",
        ),
    ],
)
def test_faults_of_a_slice_name_it_and_the_field(value, fault):
    assert errors(Kind.SLICE, value).startswith(f"EndpointSlice shop/web: {fault}")


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({"name": "Web", "namespace": "shop"}, "Service shop/Web: metadata.name: 'Web' is no DNS label"),
        ({"name": ""}, "Service default/: metadata.name: '' is no DNS label"),
        ({"name": "w" * 64}, f"Service default/{'w' * 64}: metadata.name: "),
        ({"name": "web", "namespace": "a.b"}, "Service a.b/web: metadata.namespace: 'a.b' is no DNS label"),
        ({**META, "labels": {"app": 5}}, "Service shop/web: metadata.labels[]: expected `str`, got `int`"),
        ({"namespace": "shop"}, "Service shop/?: metadata: "),
        (None, "Service without metadata: metadata: expected `object`, got `null`"),
    ],
)
def test_faults_of_metadata_name_the_object_as_far_as_it_can_be_read(meta, message):
    assert errors(Kind.SERVICE, {"metadata": meta}).startswith(message)


def test_faults_of_other_kinds():
    assert errors(Kind.SERVICE, {}).startswith("Service without metadata: ")
    assert errors(Kind.POD, {"metadata": META, "status": {"podIP": "x"}}).startswith("Pod shop/web: status.podIP")
    assert errors(Kind.NAMESPACE, {"metadata": {"name": "a.b"}}).startswith("Namespace a.b: metadata.name: 'a.b'")


@pytest.mark.parametrize(
    ("kind", "meta", "title"),
    [
        # A Namespace is in none
        (Kind.NAMESPACE, {"name": "prod", "labels": []}, "Namespace prod: "),
        # `namespace:` without a value is the default one
        (Kind.SERVICE, {"name": "web", "namespace": None, "labels": []}, "Service default/web: "),
        (Kind.SERVICE, {"name": "web", "namespace": "", "labels": []}, "Service default/web: "),
    ],
)
def test_an_object_of_a_wrong_shape_is_called_by_its_name(kind, meta, title):
    assert errors(kind, {"metadata": meta}).startswith(title)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"5", b"null", b'"x"', b"{}", b'{"metadata":', b"\xff"])
def test_json_that_is_no_object(raw):
    with pytest.raises(SourceError, match=r"^Service "):
        from_json(Kind.SERVICE, raw)
