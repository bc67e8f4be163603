"""What a `kubernetes` block says, and every way to get it wrong."""

import ipaddress

import pytest

from clusterdns.corefile.parser import parse_text
from clusterdns.errors import ConfigErrors
from clusterdns.kube.question import Pods, View
from clusterdns.plugins.kubernetes_options import parse
from clusterdns.plugins.site import Shared, Site, SourceSpec
from clusterdns.wire.names import from_text, to_text
from tests.plugins.blocks import Host, block, configured, mistakes

MANIFESTS = "manifests objects"


def view(*options, zones="cluster.local", key=".:53", bound=()) -> View:
    text = block(f"kubernetes {zones} {{", MANIFESTS, *options, "}", key=key)
    (parsed,) = parse_text(text, "Corefile", Host()).blocks
    site = Site(Shared(Host(), print), parsed.keys[0].zones, list(bound))
    found = parse(parsed.directives[0], site)
    assert site.shared.errors == []
    return found.view(site)


def test_defaults():
    found = view()
    assert (found.ttl, found.pods, found.endpoint_pod_names) == (5, Pods.DISABLED, False)
    assert (found.noendpoints, found.ignore_empty, found.namespaces) == (False, False, frozenset())


@pytest.mark.parametrize(
    ("zones", "key", "expected", "primary"),
    [
        ("cluster.local", ".", ["cluster.local."], "cluster.local."),
        ("", "Cluster.Local", ["cluster.local."], "cluster.local."),
        ("", ".", ["."], "."),
        ("in-addr.arpa B.test a.test", ".", ["in-addr.arpa.", "b.test.", "a.test."], "b.test."),
        ("a.test a.test.", ".", ["a.test."], "a.test."),
        ("a.test 10.0.0.0/15", ".", ["a.test.", "0.10.in-addr.arpa.", "1.10.in-addr.arpa."], "a.test."),
    ],
)
def test_zones(zones, key, expected, primary):
    found = view(zones=zones, key=key)
    assert [to_text(zone) for zone in found.zones] == expected
    assert to_text(found.primary) == primary
    assert {to_text(zone) for zone in found.reverse} == {zone for zone in expected if zone.endswith(".arpa.")}


def test_options():
    found = view(
        *("ttl 30", "pods verified", "endpoint_pod_names", "noendpoints", "ignore empty_service", "namespaces a b"),
        "namespaces C",
    )
    assert (found.ttl, found.pods, found.endpoint_pod_names) == (30, Pods.VERIFIED, True)
    assert (found.noendpoints, found.ignore_empty) == (True, True)
    assert found.namespaces == {b"\1a", b"\1b", b"\1c"}


def test_the_name_server_is_where_the_block_listens():
    assert view(bound=["192.0.2.1", "0.0.0.0"]).fallback == (ipaddress.ip_address("192.0.2.1").packed,)


def test_blocks_share_a_store_when_source_and_labels_are_the_same():
    one = block("kubernetes a.test {", MANIFESTS, "ttl 1", "}")
    same = block("kubernetes b.test {", MANIFESTS, "ttl 2", "}", key="b.test")
    labelled = block("kubernetes c.test {", MANIFESTS, "labels app=web", "}", key="c.test")
    elsewhere = block("kubernetes d.test {", "manifests others", "}", key="d.test")
    assert len(configured(one + same).shared.stores) == 1
    assert len(configured(one + same + labelled + elsewhere).shared.stores) == 3


def test_the_api_server_and_how_it_is_asked():
    options = ("endpoint http://127.0.0.1:8001", "apiserver_qps 2.5", "apiserver_burst 7", "apiserver_max_inflight 3")
    rest = ("startup_timeout 1m30s", "pods verified", "endpoint_pod_names")
    config = configured(block("kubernetes a.test {", *options, *rest, "}"))
    ((source, _),) = config.shared.stores
    assert config.shared.warnings == []
    assert source == SourceSpec(
        endpoint="http://127.0.0.1:8001", pods=True, pod_names=True, qps=2.5, burst=7, inflight=3, patience=90.0
    )


def test_the_api_server_by_default():
    ((source, _),) = configured(block("kubernetes a.test {", "}")).shared.stores
    assert source == SourceSpec()
    assert (source.qps, source.burst, source.inflight, source.patience) == (0.0, 0, 0, 5.0)


def test_manifests_add_up():
    config = configured(block("kubernetes a.test {", "manifests one two", "manifests three", "}"))
    ((source, _),) = config.shared.stores
    assert source.manifests == ("one", "two", "three")


@pytest.mark.parametrize("source", ["", "endpoint https://10.96.0.1", MANIFESTS])
def test_a_snapshot_belongs_to_the_source(source):
    config = configured(block("kubernetes a.test {", source, "snapshot /var/lib/state", "}"))
    ((spec, _),) = config.shared.stores
    assert spec.snapshot == "/var/lib/state"


def test_two_sources_with_one_snapshot():
    first = block("kubernetes a.test {", MANIFESTS, "snapshot state", "}")
    same = block("kubernetes b.test {", MANIFESTS, "snapshot state", "labels app=web", "}", key="b.test")
    elsewhere = block("kubernetes b.test {", "manifests others", "snapshot other", "}", key="b.test")
    assert len(configured(first + same).shared.stores) == 2
    assert len(configured(first + elsewhere).shared.stores) == 2
    with pytest.raises(ConfigErrors) as raised:
        configured(first + elsewhere.replace("other\n", "state\n"))
    assert "its snapshot is that of a block with another source" in str(raised.value)
    assert str(raised.value).startswith("Corefile:8:1: kubernetes: ")


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ("snapshot", "takes 1 argument"),
        ("snapshot a b", "takes 1 argument"),
        ('snapshot ""', "is empty"),
        ("manifests", "takes at least 1 argument"),
        ("ttl 3601", "a whole number from 0 to 3600"),
        ("ttl 30s", "a whole number from 0 to 3600"),
        ("pods on", "one of disabled, insecure, verified"),
        ("pods", "takes 1 argument"),
        ("namespaces", "takes at least 1 argument"),
        (f"namespaces {'a' * 64}", "is no namespace"),
        ("labels app in (", "write for example app=nginx"),
        ("labels", "takes at least 1 argument"),
        ("namespace_labels =", "write for example app=nginx"),
        ("ignore all", "one of empty_service"),
        ("noendpoints now", "takes no arguments"),
        ("endpoint_pod_names now", "takes no arguments"),
        ("fallthrough a..b", "zone"),
        ("endpoint", "takes at least 1 argument"),
        ("tls a b", "takes 3 arguments"),
        ("kubeconfig nosuch", "does not exist"),
        ("apiserver_qps fast", "a number of at least 0"),
        ("apiserver_burst 1.5", "a whole number"),
        ("startup_timeout 0s", "longer than 0"),
        ("multicluster other.local", "is not a zone of this block"),
        ("zonal yes", "takes no arguments"),
        ("resyncperiod 5m", "it was removed from CoreDNS"),
        ("upstream", "it was removed from CoreDNS"),
        ("manifest objects", "known options: manifests"),
        ("ttl 5 {\nx\n}", "takes no block"),
    ],
)
def test_mistakes(option, error):
    found = mistakes("kubernetes cluster.local {", MANIFESTS, option, "}")[0]
    assert found.startswith("4:")
    assert "kubernetes" in found
    assert error in found


@pytest.mark.parametrize("first", ["namespaces a", "namespace_labels a=b"])
def test_namespaces_and_namespace_labels_exclude_each_other(first):
    second = {"namespaces a": "namespace_labels a=b"}.get(first, "namespaces a")
    (found,) = mistakes("kubernetes cluster.local {", MANIFESTS, first, second, "}")
    assert found.startswith("5:1: kubernetes: ")
    assert "namespaces and namespace_labels exclude each other" in found


@pytest.mark.parametrize("zones", ["10.0.0.0/8", "in-addr.arpa ip6.arpa"])
def test_only_reverse_zones(zones):
    (found,) = mistakes(f"kubernetes {zones} {{", MANIFESTS, "}")
    assert found.startswith("2:1: kubernetes: all zones are reverse zones")


def test_every_mistake_of_a_block_is_told():
    found = mistakes("kubernetes cluster.local {", "ttl x", MANIFESTS, "pods x", "y", "}")
    assert [error.partition(":")[0] for error in found] == ["3", "5", "6"]


def test_a_second_block_is_a_mistake():
    (found,) = mistakes("kubernetes a.test {", MANIFESTS, "}", "kubernetes b.test {", MANIFESTS, "}")
    assert found.startswith("5:1: ")
    assert "twice" in found


def test_the_root_as_fallthrough_zone():
    (parsed,) = parse_text(block("kubernetes a.test {", MANIFESTS, "fallthrough", "}"), "F", Host()).blocks
    site = Site(Shared(Host(), print), (from_text("."),))
    assert parse(parsed.directives[0], site).fallthrough == (from_text("."),)
