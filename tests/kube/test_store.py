"""Events in, keys out: exactly what changed."""

import pytest

from clusterdns.kube.objects import Delete, Kind, Synced
from clusterdns.kube.selectors import parse
from clusterdns.kube.store import ADDRESSES, MAX_SETS, SERIAL, SYNC, Store
from tests.kube.objects import DNS, endpoint, gone, namespace, pod, service, slice_of

ONE, TWO = b"\x0a\0\0\1", b"\x0a\0\0\2"
S, T = b"\1s\1a", b"\1t\1a"
BEFORE = [
    namespace("a"),
    service("a", "s", "10.0.0.1"),
    service("a", "h", "None"),
    slice_of("a", "h", "h-1", endpoint("10.0.0.2")),
    pod("a", "p", "10.0.0.1"),
    Synced(),
]


@pytest.fixture
def store() -> Store:
    made = Store()
    for event in BEFORE:
        made.apply(event, 100)
    return made


@pytest.mark.parametrize("event", BEFORE)
def test_what_is_known_changes_nothing(store, event):
    serial = store.serial
    assert store.apply(event, 10**9) == set()
    assert store.serial == serial


@pytest.mark.parametrize(
    ("event", "keys"),
    [
        (namespace("b"), {b"\1b"}),
        (namespace("a", env="prod"), {b"\1a"}),
        (gone(namespace("a")), {b"\1a"}),
        (gone(namespace("b")), set()),
        (service("a", "s", "10.0.0.1", ports=(DNS,)), {S}),
        (service("a", "s", "10.0.0.3"), {S, ONE, b"\x0a\0\0\3", ADDRESSES}),
        # The endpoint's address is in the index already, with another owner
        (service("a", "t", "10.0.0.2"), {T, TWO}),
        (service("a", "t", external="x"), {T}),
        (gone(service("a", "s")), {S, ONE, ADDRESSES}),
        (gone(service("a", "t")), set()),
        (slice_of("a", "h", "h-1", endpoint("10.0.0.2"), ports=(DNS,)), {b"\1h\1a/"}),
        (slice_of("a", "h", "h-2", endpoint("10.0.0.2")), {b"\1h\1a/"} | {TWO}),
        (slice_of("a", "h", "h-1", endpoint("10.0.0.2", ready=False)), {b"\1h\1a/", TWO, ADDRESSES}),
        # A slice changes its owner
        (slice_of("a", "s", "h-1", endpoint("10.0.0.2")), {b"\1h\1a/", S + b"/", TWO}),
        (slice_of("b", "h", "h-1", endpoint("10.0.0.2")), {b"\1h\1b/", TWO}),
        (gone(slice_of("a", "h", "h-1")), {b"\1h\1a/", TWO, ADDRESSES}),
        (pod("a", "p", "10.0.0.1", "fd00::1"), {b"\1a." + ONE, b"\1a.\xfd" + bytes(14) + b"\1"}),
        (pod("a", "q", "10.0.0.1"), {b"\1a." + ONE}),
        (gone(pod("a", "p", "10.0.0.1")), {b"\1a." + ONE}),
        (gone(pod("b", "p", "10.0.0.1")), set()),
    ],
)
def test_the_keys_of_what_changed(store, event, keys):
    """More would drop what is still right, fewer would leave what is wrong."""
    assert store.apply(event, 100) == (keys | {SERIAL} if keys else set())


def test_an_address_goes_with_its_last_pod(store):
    store.apply(pod("a", "q", "10.0.0.1"), 1)
    store.apply(gone(pod("a", "p", "10.0.0.1")), 1)
    assert store.has_pod(b"\1a", ONE)
    store.apply(gone(pod("a", "q", "10.0.0.1")), 1)
    assert not store.has_pod(b"\1a", ONE)


def test_the_serial_is_the_time_and_never_falls_back():
    store, serials = Store(), []
    for at, now in enumerate([1000, 1000, 500, 2000]):
        store.apply(namespace(f"n{at}"), now)
        serials.append(store.serial)
    assert serials == [1000, 1001, 1002, 2000]
    assert Store(serial=5000).serial == 5000


def test_the_first_sync_counts_once(store):
    fresh = Store()
    assert (fresh.synced, fresh.apply(Synced(), 7), fresh.synced) == (False, {SYNC}, True)
    assert fresh.apply(Synced(), 7) == set()
    assert fresh.serial == 0


def test_a_selector_hides_objects_as_if_they_were_gone():
    store = Store(parse("app=x"))
    assert store.apply(service("a", "s", "10.0.0.1", app="x"), 1) == {S, ONE, ADDRESSES, SERIAL}
    assert store.apply(service("a", "s", "10.0.0.1", app="y"), 1) == {S, ONE, ADDRESSES, SERIAL}
    assert store.apply(service("a", "s", "10.0.0.1", app="y"), 1) == set()
    assert (store.services, dict(store.addresses.snapshot())) == ({}, {})
    # Namespaces are not selected
    assert store.apply(namespace("a"), 1) == {b"\1a", SERIAL}
    assert store.apply(Delete(Kind.SERVICE, "a", "s"), 1) == set()


def test_ready_endpoint_sets_are_bounded_and_never_stale(store):
    for number in range(MAX_SETS + 50):
        store.apply(slice_of("b", f"s{number}", f"s{number}-1", endpoint("10.0.9.9")), 1)
        assert store.endpoints(b"%c" % len(f"s{number}") + f"s{number}".encode() + b"\1b").addresses
    assert len(store._sets) == MAX_SETS
    assert store.endpoints(b"\1h\1a").addresses == (TWO,)
    store.apply(slice_of("a", "h", "h-1", endpoint("10.0.0.1")), 1)
    assert store.endpoints(b"\1h\1a").addresses == (ONE,)
