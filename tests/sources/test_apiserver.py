"""The API source in good times: lists, watches, and the look for what a watch has lost."""

import msgspec
import pytest

from clusterdns.kube.objects import Kind, Slice
from clusterdns.kube.packed import SYNCED, Packed, key, unpack
from clusterdns.plugins.site import SourceSpec
from clusterdns.sources.follower import PAGE
from clusterdns.sources.timing import Timing
from tests.sources.apiserver_followed import (
    KINDS,
    NAMESPACE,
    QUICK,
    Followed,
    endpoint_slice,
    running,
    service,
    watching,
)
from tests.support.apiserver import FakeAPIServer
from tests.support.apiserver_faults import Fault, Verb
from tests.support.rows import CONFORMANCE

OBJECTS = [NAMESPACE, service("web"), endpoint_slice("web-1")]


@pytest.fixture(params=[True, False], ids=["streaming list", "pages"])
def api(request):
    with FakeAPIServer(OBJECTS, streaming_list=request.param) as server:
        yield server


@pytest.fixture
def followed(api):
    with watching(api) as following:
        yield following


def asked(api, resource, verb=None):
    return [each for each in api.requests if each.resource == resource and verb in (None, each.verb)]


def test_what_exists_is_there_when_it_is_synced(followed):
    assert followed.address("web") == "10.0.0.1"
    assert followed.source.missing() == []
    assert followed.complaints == []


def test_each_list_is_emitted_as_a_whole_and_the_last_ends_with_synced(api):
    for number in range(40):
        api.put(service(f"s{number:02}"))
    with watching(api) as following:
        assert sorted(len(batch) for batch in following.batches) in ([1, 1, 42], [1, 2, 41])
        assert [batch[-1] == SYNCED for batch in following.batches] == [False, False, True]
        assert sum(SYNCED in batch for batch in following.batches) == 1


def test_changes_come_by_the_watch(api, followed):
    api.put(service("db", "10.0.0.2"))
    followed.until(lambda: followed.address("db") == "10.0.0.2")
    api.put(service("db", "10.0.0.3"))
    followed.until(lambda: followed.address("db") == "10.0.0.3")
    api.delete("Service", "default", "db")
    followed.until(lambda: followed.address("db") is None)
    # One resource, one connection after the list
    assert len(asked(api, "services", Verb.WATCH)) <= 2


def test_the_streaming_list_goes_on_as_the_watch_on_one_connection():
    with FakeAPIServer(OBJECTS) as api, watching(api) as following:
        api.put(service("db"))
        following.until(lambda: following.address("db"))
        assert {(each.verb, each.query["sendInitialEvents"]) for each in api.requests} == {(Verb.WATCH, "true")}
        assert len(api.requests) == len(KINDS)


def test_a_server_without_the_streaming_list_is_asked_for_it_no_more():
    with FakeAPIServer(OBJECTS, streaming_list=False) as api, watching(api) as following:
        refusals = sum("sendInitialEvents" in each.query for each in api.requests)
        assert 1 <= refusals <= len(KINDS)
        listed = len(asked(api, "services", Verb.LIST))
        api.expire()
        api.end_watches()
        # Versions, which nobody remembers; then everything
        api.wait(lambda: len(asked(api, "services", Verb.LIST)) == listed + 2)
        assert sum("sendInitialEvents" in each.query for each in api.requests) == refusals
        assert following.complaints == []


def test_a_large_list_comes_in_pages():
    with FakeAPIServer(OBJECTS, streaming_list=False) as api:
        for number in range(2 * PAGE):
            api.put(service(f"s{number}"))
        with watching(api) as following:
            assert len(following.store.services) == 2 * PAGE + 1
        lists = asked(api, "services", Verb.LIST)
        assert [("continue" in each.query, each.query["limit"]) for each in lists] == [
            (False, str(PAGE)),
            (True, str(PAGE)),
            (True, str(PAGE)),
        ]
        assert {each.headers["Accept-Encoding"] for each in lists} == {"gzip"}


def test_a_list_after_a_failure_tells_only_what_differs(api, followed):
    api.put(service("old"))
    followed.until(lambda: followed.address("old"))
    told = len(followed.batches)
    api.fault(Fault.DROPPED, "services", times=2)
    api.delete("Service", "default", "old")
    api.put(service("new"))
    api.expire()
    api.end_watches()
    followed.until(lambda: followed.address("old") is None)
    changes = [change.key for batch in followed.batches[told:] for change in batch]
    assert sorted(changes) == [key(Kind.SERVICE, "default", "new"), key(Kind.SERVICE, "default", "old")]


def test_a_watch_goes_on_from_where_it_was(api, followed):
    lists = len(asked(api, "services", Verb.LIST))
    api.bookmark()
    api.end_watches()
    api.put(service("later"))
    followed.until(lambda: followed.address("later"))
    # Only metadata, to see whether anything was lost
    again = asked(api, "services", Verb.LIST)[lists:]
    assert all("PartialObjectMetadataList" in each.headers["Accept"] for each in again)
    assert asked(api, "services", Verb.WATCH)[-1].query["resourceVersion"]


def test_what_a_watch_silently_lost_is_found_and_mended(api, followed):
    for number in range(50):
        api.put(service(f"s{number}", "10.0.1.1"))
    followed.until(lambda: followed.address("s49"))
    api.fault(Fault.DROPPED, "services", times=50)
    for number in range(50):
        api.put(service(f"s{number}", "10.0.2.2"))
    # The watch hears of a later version, so that it stands behind the loss
    api.put(service("after"))
    followed.until(lambda: followed.address("after"))
    assert followed.address("s0") == "10.0.1.1"
    api.end_watches("services")
    followed.until(lambda: all(followed.address(f"s{number}") == "10.0.2.2" for number in range(50)))
    assert followed.source.repaired == {"namespaces": 0, "services": 50, "endpointslices": 0}
    assert any("had lost the state of 50 objects" in text for text in followed.complaints)


def test_the_look_for_losses_is_paged_and_of_metadata_alone(api, followed):
    for number in range(PAGE):
        api.put(service(f"s{number}"))
    followed.until(lambda: followed.address(f"s{PAGE - 1}"))
    before = len(asked(api, "services", Verb.LIST))
    api.end_watches("services")
    api.wait(lambda: len(asked(api, "services", Verb.LIST)) == before + 2)
    first, second = asked(api, "services", Verb.LIST)[before:]
    assert (first.query["resourceVersionMatch"], first.query["limit"]) == ("Exact", str(PAGE))
    assert "continue" in second.query
    assert {each.headers["Accept"].split(";")[1] for each in (first, second)} == {"as=PartialObjectMetadataList"}


def test_the_look_for_losses_waits_its_time():
    # An hour between two of them: watches that end sooner are only resumed
    with FakeAPIServer(OBJECTS) as api, watching(api, timing=msgspec.structs.replace(QUICK, audit=3600.0)) as following:
        for number in range(3):
            api.end_watches("services")
            api.put(service(f"s{number}"))
            following.until(lambda number=number: following.address(f"s{number}"))
        assert asked(api, "services", Verb.LIST) == []


def test_a_watch_that_lost_nothing_is_not_listed_again(api, followed):
    api.put(service("one"))
    api.delete("Service", "default", "one")
    api.put(service("two"))
    followed.until(lambda: followed.address("two"))
    api.end_watches("services")
    api.put(service("three"))
    followed.until(lambda: followed.address("three"))
    assert set(followed.source.repaired.values()) == {0}
    assert followed.complaints == []


def test_pods_are_watched_only_when_wanted(api, followed):
    assert asked(api, "pods") == []
    api.load(CONFORMANCE / "manifests")
    with running(Followed(SourceSpec(endpoint=api.url), (*KINDS, Kind.POD))) as with_pods:
        with_pods.until(with_pods.synced)
        assert with_pods.store.has_pod(b"\x05podns", bytes((10, 240, 0, 1)))
        assert not with_pods.store.has_pod(b"\x05podns", bytes((10, 240, 0, 77)))


@pytest.mark.parametrize(("pod_names", "pod"), [(True, b"pod-of-web-1"), (False, b"")])
def test_names_of_pods_are_kept_only_when_wanted(api, pod_names, pod):
    with running(Followed(SourceSpec(endpoint=api.url, pod_names=pod_names))) as following:
        following.until(following.synced)
        (part,) = following.store.slices(b"\x03web\x07default")
        assert isinstance(part, Slice)
        assert [endpoint.pod for endpoint in part.every()] == [pod]


# What CoreDNS's own ClusterRole allows, in the Deployment of its project and of kubeadm
STOCK_ROLE = {
    (resource, verb)
    for resource in ("endpoints", "services", "pods", "namespaces", "endpointslices")
    for verb in (Verb.LIST, Verb.WATCH)
}


def test_the_stock_cluster_role_is_enough(api):
    with running(Followed(SourceSpec(endpoint=api.url), (*KINDS, Kind.POD))) as following:
        following.until(following.synced)
        api.expire()
        api.end_watches()
        api.wait(lambda: len(asked(api, "pods")) > 3)
    assert {(each.resource, each.verb) for each in api.requests} <= STOCK_ROLE
    assert {each.method for each in api.requests} == {"GET"}


def test_nothing_is_emitted_after_the_stop_and_the_watches_close_at_once(api, followed):
    followed.source.stop()
    told = len(followed.batches)
    api.wait(lambda: api.watchers() == [])
    api.put(service("late"))
    assert followed.batches[told:] == []


def test_what_is_emitted_can_be_read_back(api, followed):
    found = {unpack(Packed(where, payload)).object.name for where, payload in followed.packed.items()}
    assert found == {"default", "web", "web-1"}


def test_a_watch_of_a_real_cluster_outlives_its_bookmarks():
    """A minute apart on the server: silence that ends a watch must be longer, the least watch longer than the look."""
    usual = Timing()
    assert usual.silence > 60
    assert usual.audit < usual.watch[0] < usual.watch[1]
