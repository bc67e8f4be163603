"""The API source against a server that speaks the real protocol, faults included."""

import threading
from collections.abc import Callable, Iterator

import pytest

from clusterdns.kube.objects import Delete, Kind, Synced, Upsert
from clusterdns.kube.store import Store
from clusterdns.plugins.site import SourceSpec
from clusterdns.sources.access import Access
from clusterdns.sources.apiserver import ApiServer, Timing
from tests.support.apiserver import FakeAPIServer
from tests.support.apiserver_faults import Fault, Verb
from tests.support.apiserver_identity import Authority
from tests.support.rows import CONFORMANCE

KINDS = (Kind.NAMESPACE, Kind.SERVICE, Kind.SLICE)
# Seconds: retries at once, a silent watch is noticed soon
QUICK = Timing(silence=1.0, first_pause=0.01, longest_pause=0.05)
DEADLINE = 10.0


class Followed:
    """A source, its events in a store, and what it complained about; `until` waits for a condition."""

    def __init__(self, spec: SourceSpec, kinds: tuple[Kind, ...] = KINDS) -> None:
        self.store = Store()
        self.complaints: list[str] = []
        self.events = 0
        self._changed = threading.Condition()
        self.source = ApiServer(lambda: Access(spec), kinds, self._emit, self._report, QUICK)

    def _emit(self, events: list[Upsert | Delete | Synced]) -> None:
        with self._changed:
            for event in events:
                self.store.apply(event, 1)
                self.events += 1
            self._changed.notify_all()

    def _report(self, text: str) -> None:
        with self._changed:
            self.complaints.append(text)
            self._changed.notify_all()

    def until(self, condition: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, DEADLINE), self.complaints

    def address(self, name: str) -> str | None:
        """The ClusterIP of default/NAME as the store has it."""
        service = self.store.services.get(bytes((len(name),)) + name.encode() + b"\x07default")
        return ".".join(str(octet) for octet in service.addresses[0]) if service else None


def service(name: str, address: str = "10.0.0.1") -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80}]},
    }


NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}


@pytest.fixture
def api() -> Iterator[FakeAPIServer]:
    with FakeAPIServer([NAMESPACE, service("web")]) as server:
        yield server


@pytest.fixture
def followed(api: FakeAPIServer) -> Iterator[Followed]:
    following = Followed(SourceSpec(endpoint=api.url))
    following.source.start()
    following.until(lambda: following.store.synced)
    api.wait(lambda: len(api.watchers()) == len(KINDS))
    yield following
    following.source.stop()


def test_what_exists_is_there_when_it_is_synced(followed: Followed):
    assert followed.address("web") == "10.0.0.1"
    assert followed.source.missing() == []
    assert followed.complaints == []


def test_changes_come_by_the_watch(api: FakeAPIServer, followed: Followed):
    api.put(service("db", "10.0.0.2"))
    followed.until(lambda: followed.address("db") == "10.0.0.2")
    api.put(service("db", "10.0.0.3"))
    followed.until(lambda: followed.address("db") == "10.0.0.3")
    api.delete("Service", "default", "db")
    followed.until(lambda: followed.address("db") is None)


def test_a_large_list_comes_in_pages(api: FakeAPIServer):
    for number in range(1100):
        api.put(service(f"s{number}"))
    following = Followed(SourceSpec(endpoint=api.url))
    following.source.start()
    following.until(lambda: following.store.synced)
    following.source.stop()
    assert len(following.store.services) == 1101
    asked = [each for each in api.requests if each.resource == "services" and each.verb is Verb.LIST]
    assert [("continue" in each.query) for each in asked] == [False, True, True]


# What the server does to the watch of Services, and after it a change that must arrive
WATCH_FAULTS = (
    Fault.CUT,
    Fault.STALLED,
    Fault.INVALID_JSON,
    Fault.EXPIRED_EVENT,
    Fault.DUPLICATED,
)


@pytest.mark.parametrize("fault", WATCH_FAULTS)
def test_a_watch_that_goes_wrong_is_begun_again(fault: Fault, api: FakeAPIServer, followed: Followed):
    api.fault(fault, "services", times=1)
    api.put(service("one", "10.0.0.7"))
    api.put(service("two", "10.0.0.8"))
    followed.until(lambda: (followed.address("one"), followed.address("two")) == ("10.0.0.7", "10.0.0.8"))


LIST_FAULTS = (
    Fault.TOO_MANY_REQUESTS,
    Fault.INTERNAL_ERROR,
    Fault.UNAVAILABLE,
    Fault.FORBIDDEN,
    Fault.EMPTY_BODY,
    Fault.CUT,
    Fault.INVALID_JSON,
)


@pytest.mark.parametrize("fault", LIST_FAULTS)
def test_a_list_that_fails_is_tried_again_and_said(fault: Fault, api: FakeAPIServer):
    api.fault(fault, "services", verb=Verb.LIST, times=2)
    following = Followed(SourceSpec(endpoint=api.url))
    following.source.start()
    following.until(lambda: following.store.synced)
    following.source.stop()
    assert following.address("web") == "10.0.0.1"
    assert any(text.startswith("kubernetes API: list and watch services: ") for text in following.complaints)


def test_what_vanished_while_the_watch_was_down_is_gone_after_the_next_list(api: FakeAPIServer, followed: Followed):
    api.put(service("old"))
    followed.until(lambda: followed.address("old"))
    api.fault(Fault.DROPPED, "services", times=1)
    api.delete("Service", "default", "old")
    api.expire()
    api.end_watches("services")
    followed.until(lambda: followed.address("old") is None)


def test_an_outage_changes_nothing_and_is_caught_up_with(api: FakeAPIServer, followed: Followed):
    api.fault(Fault.REFUSED)
    followed.until(lambda: any("refused" in text.lower() for text in followed.complaints))
    assert followed.address("web") == "10.0.0.1"
    assert followed.store.synced
    api.put(service("web", "10.0.0.9"))
    api.clear()
    followed.until(lambda: followed.address("web") == "10.0.0.9")


def test_a_watch_goes_on_from_where_it_was(api: FakeAPIServer, followed: Followed):
    listed = len([each for each in api.requests if each.verb is Verb.LIST])
    api.bookmark()
    api.end_watches()
    api.put(service("later"))
    followed.until(lambda: followed.address("later"))
    # Only metadata, to see whether anything was lost
    lists = [each for each in api.requests if each.verb is Verb.LIST][listed:]
    assert all("PartialObjectMetadataList" in each.headers["Accept"] for each in lists)


def test_what_a_watch_silently_lost_is_found_and_mended(api: FakeAPIServer, followed: Followed):
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
    assert followed.source.repaired[Kind.SERVICE] == 50
    assert any("had lost the state of 50 objects" in text for text in followed.complaints)


def test_a_watch_that_lost_nothing_is_not_listed_again(api: FakeAPIServer, followed: Followed):
    api.put(service("one"))
    api.delete("Service", "default", "one")
    api.put(service("two"))
    followed.until(lambda: followed.address("two"))
    api.end_watches("services")
    api.put(service("three"))
    followed.until(lambda: followed.address("three"))
    assert followed.source.repaired == dict.fromkeys(KINDS, 0)
    assert followed.complaints == []


def test_pods_are_watched_only_when_wanted(api: FakeAPIServer, followed: Followed):
    assert "pods" not in {each.resource for each in api.requests}
    with_pods = Followed(SourceSpec(endpoint=api.url), (*KINDS, Kind.POD))
    api.load(CONFORMANCE / "manifests")
    with_pods.source.start()
    with_pods.until(lambda: with_pods.store.synced)
    with_pods.source.stop()
    assert with_pods.store.has_pod(b"\x05podns", bytes((10, 240, 0, 1)))
    assert not with_pods.store.has_pod(b"\x05podns", bytes((10, 240, 0, 77)))


def test_tls_and_a_kubeconfig(tmp_path):
    authority = Authority(tmp_path)
    with FakeAPIServer([NAMESPACE, service("web")], tls=authority, tokens={"secret"}) as api:
        path = tmp_path / "kubeconfig"
        api.kubeconfig(path, token="secret")
        following = Followed(SourceSpec(kubeconfig=str(path)))
        following.source.start()
        following.until(lambda: following.store.synced)
        api.wait(lambda: len(api.watchers()) == len(KINDS))
        following.source.stop()
        assert following.address("web") == "10.0.0.1"
        assert {each.token for each in api.requests} == {"secret"}


@pytest.mark.parametrize(
    ("token", "words"),
    [("wrong", ["401", "service account or the kubeconfig"])],
)
def test_credentials_that_are_not_accepted(tmp_path, token: str, words: list[str]):
    with FakeAPIServer([NAMESPACE], tls=Authority(tmp_path), tokens={"secret"}) as api:
        path = tmp_path / "kubeconfig"
        api.kubeconfig(path, token=token)
        following = Followed(SourceSpec(kubeconfig=str(path)))
        following.source.start()
        following.until(lambda: len(following.complaints) >= len(KINDS))
        following.source.stop()
        assert all(word in following.complaints[0] for word in words)
        assert sorted(following.source.missing()) == ["endpointslices", "namespaces", "services"]


def test_a_server_whose_certificate_nobody_vouches_for(tmp_path):
    with FakeAPIServer([NAMESPACE], tls=Authority(tmp_path)) as api:
        following = Followed(SourceSpec(endpoint=api.url))
        following.source.start()
        following.until(lambda: following.complaints)
        following.source.stop()
        assert "certificate" in following.complaints[0]


def test_without_any_way_to_the_server_it_says_what_to_give():
    following = Followed(SourceSpec())
    following.source.start()
    following.until(lambda: following.complaints)
    following.source.stop()
    assert "endpoint, kubeconfig or manifests" in following.complaints[0]
