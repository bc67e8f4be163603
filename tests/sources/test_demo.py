"""The cluster in config/demo is what its comments and the README say."""

import ipaddress
from pathlib import Path

import pytest

from clusterdns.kube.objects import Kind, Service, ServiceType, Slice, Synced, Upsert, identity
from clusterdns.sources.manifests import Manifests

DEMO = Path(__file__).parents[2] / "config" / "demo"


@pytest.fixture(scope="module")
def demo():
    """The one scan of the demo."""
    return Manifests([str(DEMO)]).scan()


@pytest.fixture(scope="module")
def objects(demo):
    found = [event.object for event in demo.events if isinstance(event, Upsert)]
    return {identity(obj): obj for obj in found}


def _texts(packed):
    return [str(ipaddress.ip_address(address)) for address in packed]


def test_it_loads_without_a_complaint(demo):
    assert demo.complaints == []
    assert demo.events[-1] == Synced()


@pytest.mark.parametrize(
    ("namespace", "name", "type_", "addresses"),
    [
        ("default", "kubernetes", ServiceType.CLUSTER_IP, ["10.96.0.1"]),
        ("kube-system", "kube-dns", ServiceType.CLUSTER_IP, ["10.96.0.10"]),
        ("default", "web", ServiceType.CLUSTER_IP, ["10.96.0.20"]),
        ("default", "api", ServiceType.CLUSTER_IP, ["10.96.0.30", "fd00:10:96::30"]),
        ("default", "shop", ServiceType.CLUSTER_IP, ["10.96.0.40"]),
        ("default", "edge", ServiceType.CLUSTER_IP, ["10.96.0.50"]),
        ("default", "idle", ServiceType.CLUSTER_IP, ["10.96.0.60"]),
        ("default", "docs", ServiceType.EXTERNAL_NAME, []),
        ("data", "db", ServiceType.HEADLESS, []),
        ("data", "crowd", ServiceType.HEADLESS, []),
    ],
)
def test_its_services(objects, namespace, name, type_, addresses):
    found = objects[Kind.SERVICE, namespace, name]
    assert (found.type, _texts(found.addresses)) == (type_, addresses)


def test_docs_is_another_name_of_web(objects):
    docs = objects[Kind.SERVICE, "default", "docs"]
    assert docs.external.lower() == b"\x03web\x07default\x03svc\x07cluster\x05local\x00"


def test_db_has_the_names_of_a_stateful_set(objects):
    (found,) = [obj for obj in objects.values() if isinstance(obj, Slice) and obj.service == b"\x02db\x04data"]
    assert [endpoint.hostname for endpoint in found.every()] == [b"db-0", b"db-1", b"db-2"]
    assert _texts(endpoint.address for endpoint in found.every()) == ["10.244.1.10", "10.244.1.11", "10.244.1.12"]
    assert [(port.name, port.protocol, port.number) for port in found.ports] == [(b"sql", b"tcp", 5432)]


def test_ready_endpoints(objects):
    ready = {}
    for obj in objects.values():
        if isinstance(obj, Slice):
            ready[obj.service] = ready.get(obj.service, 0) + len(obj.every())
    services = {obj.key for obj in objects.values() if isinstance(obj, Service) and not obj.external}
    assert services == ready.keys()
    assert ready[b"\x05crowd\x04data"] == 60
    assert ready[b"\x04idle\x07default"] == 0
    assert ready[b"\x08kube-dns\x0bkube-system"] == ready[b"\x03web\x07default"] == ready[b"\x03api\x07default"] == 2
