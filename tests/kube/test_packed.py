"""Events through bytes: nothing is lost, equal objects are equal bytes, and no bytes are more than an event."""

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clusterdns.kube.objects import Delete, Event, Kind, Restored, Synced, identity
from clusterdns.kube.packed import MAX_SERIAL, RESTORED, SYNCED, Packed, key, pack, unpack
from tests.kube.objects import gone, namespace, service, slice_of
from tests.kube.served import filled
from tests.kube.test_any_history import OBJECTS, QUESTIONS, START, answers

ENCODED = msgspec.msgpack.encode
# What `unpack` may raise
ERRORS = (msgspec.MsgspecError, ValueError, LookupError)
EVENTS = OBJECTS | OBJECTS.map(gone) | st.just(Synced()) | st.builds(Restored, st.integers(0, MAX_SERIAL))


def is_sound(event: Event) -> bool:
    """Can a server take it and go on answering? A bug in an answer is raised."""
    if isinstance(event, Restored):
        return 0 <= event.serial <= MAX_SERIAL
    served = filled([*START, event])
    return answers(served).keys() == QUESTIONS.keys()


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_an_event_comes_back_as_it_was(event):
    assert unpack(pack(event)) == event


@settings(max_examples=200, deadline=None)
@given(OBJECTS, OBJECTS)
def test_bytes_are_equal_when_the_objects_are(one, other):
    assert (pack(one) == pack(other)) is (one == other)
    assert (pack(one).key == pack(other).key) is (identity(one.object) == identity(other.object))


def test_the_order_of_labels_does_not_show():
    one, other = (service("a", "s", "None", **labels) for labels in ({"x": "1", "y": "2"}, {"y": "2", "x": "1"}))
    assert pack(one) == pack(other)


def test_keys_sort_namespaces_before_what_is_in_them():
    assert pack(namespace("a")).key == key(Kind.NAMESPACE, "", "a") == b"n//a"
    assert pack(gone(service("a", "s", "None"))) == Packed(b"s/a/s", b"")
    assert (pack(Synced()), pack(Restored(0)).key) == (SYNCED, RESTORED)


def test_names_of_slices_are_not_looked_into():
    """Manifests may hold what the API would refuse."""
    event = slice_of("a", "s", "one/two")
    assert unpack(pack(event)) == event
    assert unpack(pack(gone(event))) == Delete(Kind.SLICE, "a", "one/two")


@settings(max_examples=60, deadline=None)
@given(st.lists(OBJECTS, max_size=12))
def test_a_server_of_unpacked_objects_answers_the_same(objects):
    events = [*objects, Synced()]
    assert answers(filled([unpack(pack(event)) for event in events])) == answers(filled(events))


PACKED = EVENTS.map(pack)


@settings(max_examples=500, deadline=None)
@given(PACKED, PACKED, st.sampled_from(["key", "payload"]), st.floats(0, 1), st.floats(0, 1), st.binary(max_size=3))
def test_spoiled_bytes_raise_what_they_may_or_are_sound(packed, other, where, begin, end, junk):
    """A piece replaced, from one part of the whole to another; or the payload of another event."""
    old = getattr(packed, where)
    spoiled = old[: round(begin * len(old))] + junk + old[round(end * len(old)) :]
    for each in (packed._replace(**{where: spoiled}), Packed(packed.key, other.payload)):
        try:
            event = unpack(each)
        except ERRORS:
            continue
        assert is_sound(event)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=12), st.binary(max_size=40))
@example(b"s/a/s", b"\xdd\xff\xff\xff\xff")
@example(b"n//a", b"\xdf\xff\xff\xff\xff")
@example(b"e/a/s", b"\x91" * 100_000)
def test_any_bytes_raise_what_they_may_or_are_sound(name, payload):
    try:
        event = unpack(Packed(name, payload))
    except ERRORS:
        return
    assert is_sound(event)


PORT, ONE = (b"http", b"tcp", 80), b"\x0a\0\0\1"
LONG_NAME = (b"\x3f" + b"x" * 63) * 4 + b"\0"


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        (b"x/a/s", ({}, "ClusterIP", [ONE], [], b"")),
        (b"", ({},)),
        (b"s", ({}, "ClusterIP", [ONE], [], b"")),
        (b"s/a", ({}, "ClusterIP", [ONE], [], b"")),
        (b"s/a/", ({}, "ClusterIP", [ONE], [], b"")),
        (b"s//s", ({}, "ClusterIP", [ONE], [], b"")),
        (b"s/a/" + b"s" * 64, ({}, "ClusterIP", [ONE], [], b"")),
        (b"s/a/\xff", ({}, "ClusterIP", [ONE], [], b"")),
        (b"n//" + b"n" * 64, ({}, {})),
        (b"n//a", ({}, {"x": 1})),
        (b"n//a", ({}, {}, {})),
        (b"s/a/s", {}),
        (b"s/a/s", ({1: 2}, "ClusterIP", [ONE], [], b"")),
        (b"s/a/s", ({}, "LoadBalancer", [ONE], [], b"")),
        (b"s/a/s", ({}, "ClusterIP", [b"\x0a\0\0"], [], b"")),
        (b"s/a/s", ({}, "ClusterIP", ["10.0"], [], b"")),
        (b"s/a/s", ({}, "ClusterIP", [7], [], b"")),
        (b"s/a/s", ({}, "ClusterIP", [ONE], [PORT[:2]], b"")),
        (b"s/a/s", ({}, "ClusterIP", [ONE], [(*PORT, 1)], b"")),
        (b"s/a/s", ({}, "ClusterIP", [ONE], [(b"http", b"tcp", 65536)], b"")),
        (b"s/a/s", ({}, "ClusterIP", [ONE], [(b"http", b"tcp", True)], b"")),
        (b"s/a/s", ({}, "ClusterIP", [ONE], [("http", b"tcp", 80)], b"")),
        (b"s/a/s", ({}, "ExternalName", [], [], b"\1x")),
        (b"s/a/s", ({}, "ExternalName", [], [], b"\1X\0")),
        (b"s/a/s", ({}, "ExternalName", [], [], b"\1x\0\1y\0")),
        (b"s/a/s", ({}, "ExternalName", [], [], b"\xc0\x0c")),
        (b"s/a/s", ({}, "ExternalName", [], [], LONG_NAME)),
        (b"e/a/s", ({}, b"\1s\1a", [], [(b"\x0a\0\0", b"", b"", False)])),
        (b"e/a/s", ({}, b"\1s\1a", [], [(ONE, b"x" * 64, b"", False)])),
        (b"e/a/s", ({}, b"\1s\1a", [], [(ONE, b"", b"", 1)])),
        (b"e/a/s", ({}, b"\1s\1a", [], [(ONE, b"", b"", True)])),
        (b"e/a/s", ({}, b"\1s\1a", [], [(ONE, b"", b"", False, b"")])),
        (b"e/a/s", ({}, "sa", [], [])),
        (b"p/a/p", ({}, [ONE[:3]])),
        (b"p//p", ({}, [ONE])),
        (RESTORED, -1),
        (RESTORED, MAX_SERIAL + 1),
        (RESTORED, 1.5),
    ],
)
def test_what_no_object_could_be_is_refused(name, fields):
    with pytest.raises(ERRORS):
        unpack(Packed(name, ENCODED(fields)))
