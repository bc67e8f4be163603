"""Whatever happened to the objects: after each event the memoised server answers as one started fresh from what is
there, for every kind of view."""

from hypothesis import given, settings
from hypothesis import strategies as st

from clusterdns.kube.objects import Delete, Event, Restored, Synced, Upsert
from clusterdns.wire.codes import RCode
from tests.kube.objects import DNS, HTTP, UNNAMED, endpoint, gone, named, namespace, pod, service, slice_of
from tests.kube.questions import CLUSTER, V4, V6, questions, without_serial
from tests.kube.served import Served, filled

VIEWS = {
    "default": "",
    "pods": "pods verified\nendpoint_pod_names",
    "insecure": "pods insecure\nttl 30",
    "noendpoints": "noendpoints",
    "ignore": "ignore empty_service",
    "namespaces": "namespaces a",
    "namespace_labels": "namespace_labels env=prod",
    "labels": "labels app=x",
}
QUESTIONS = questions()

# A small world, so that objects meet: two namespaces, a few names and addresses, endpoints at the ClusterIPs of others
NAMESPACES = st.sampled_from("ab")
LABELS = st.sampled_from([{}, {"app": "x"}, {"app": "y"}])
PORTS = st.sampled_from([(HTTP,), (HTTP, DNS), (UNNAMED,), (DNS,), ()])


@st.composite
def services(draw: st.DrawFn) -> Upsert:
    where, name = draw(st.sampled_from([("a", "s"), ("a", "s"), ("a", "t"), ("b", "s"), ("kube-system", "kube-dns")]))
    if draw(st.integers(0, 5)) == 0:
        target = draw(st.sampled_from(["s.a.svc.cluster.local", "t.a.svc.cluster.local", "example.net", "10.0.0.1"]))
        return service(where, name, external=target, **draw(LABELS))
    addresses = draw(st.sampled_from([("None",), ("None",), CLUSTER[:1], CLUSTER[1:2], CLUSTER[1:], V4[:1], ()]))
    return service(where, name, *addresses, ports=draw(PORTS), **draw(LABELS))


@st.composite
def slices(draw: st.DrawFn) -> Upsert:
    where, owner = draw(st.sampled_from([("a", "s"), ("a", "s"), ("a", "t"), ("b", "s"), ("a", "none")]))
    kind = draw(st.sampled_from(["IPv4", "IPv4", "IPv6", "FQDN"]))
    pool = {"IPv4": (*V4, CLUSTER[0]), "IPv6": V6, "FQDN": ("one.example.net", "two.example.net")}[kind]
    made = st.builds(
        endpoint,
        st.sampled_from(pool),
        hostname=st.sampled_from([None, None, "one"]) if kind != "FQDN" else st.none(),
        pod=st.sampled_from([None, "pod-1", "pod-2"]),
        ready=st.sampled_from([True, True, False]),
    )
    endpoints = draw(st.lists(made, max_size=3))
    name = draw(st.sampled_from(["1", "2"]))
    return slice_of(where, owner, name, *endpoints, ports=draw(PORTS), kind=kind, **draw(LABELS))


OBJECTS = (
    services()
    | slices()
    | slices()
    | st.builds(lambda name, labels: namespace(name, **labels), NAMESPACES, st.sampled_from([{}, {"env": "prod"}]))
    | st.builds(
        lambda where, name, at: pod(where, name, *at),
        NAMESPACES,
        st.sampled_from(["p", "q"]),
        st.sampled_from([V4[:1], V4[1:2], (V4[0], V6[0])]),
    )
)
# Once in a while one of two states is reached
COMPLETE = st.sampled_from([Synced(), Restored(7)])
EVENTS = st.lists(OBJECTS | OBJECTS | OBJECTS | OBJECTS.map(gone) | COMPLETE, min_size=4, max_size=12)
START = [namespace("a"), namespace("kube-system", env="prod"), service("a", "s", "None"), Synced()]


class World:
    """What there is after some events, whichever those were."""

    def __init__(self) -> None:
        self.objects: dict[object, Upsert] = {}
        self.synced = self.restored = False

    def take(self, event: Event) -> None:
        if isinstance(event, Synced):
            self.synced = True
        elif isinstance(event, Restored):
            self.restored = True
        elif isinstance(event, Delete):
            self.objects.pop(named(event), None)
        else:
            self.objects[named(event)] = event

    def events(self) -> list[Event]:
        """Any order will do: this one is none in which it happened."""
        order = sorted(self.objects, key=str, reverse=True)
        state: list[Event] = [Synced()] if self.synced else [Restored(7)] if self.restored else []
        return [*(self.objects[key] for key in order), *state]


def answers(served: Served) -> dict[str, bytes]:
    return {what: without_serial(served.ask(packet)) for what, packet in QUESTIONS.items()}


@settings(max_examples=35, deadline=None)
@given(st.booleans(), EVENTS)
def test_after_each_event_the_memo_answers_as_a_fresh_server_does(early, history):
    """`early`: from before the first list is complete."""
    world, servers = World(), {view: Served(options) for view, options in VIEWS.items()}
    for at, event in enumerate([*(START[:-1] if early else START), *history]):
        world.take(event)
        for view, served in servers.items():
            served.apply(event)
            if early or at >= len(START) - 1:
                assert answers(served) == answers(filled(world.events(), VIEWS[view])), (view, event)


@settings(max_examples=60, deadline=None)
@given(st.lists(OBJECTS, max_size=12), st.randoms(use_true_random=False), st.sampled_from(list(VIEWS)))
def test_the_order_of_the_objects_does_not_show(objects, random, view):
    world = World()
    for event in objects:
        world.take(event)
    events = world.events()
    expected = answers(filled(events, VIEWS[view]))
    random.shuffle(events)
    assert answers(filled(events, VIEWS[view])) == expected


@settings(max_examples=40, deadline=None)
@given(EVENTS)
def test_a_server_that_lost_everything_answers_as_an_empty_one(history):
    """Nothing is left behind: not in the indexes, not in the memo."""
    served, world = filled(START), World()
    for event in (*START, *history):
        world.take(event)
        served.apply(event)
        answers(served)
    served.apply(*map(gone, world.objects.values()))
    assert answers(served) == answers(filled([Synced()]))
    assert not served.store.addresses.snapshot()
    assert not served.store._slices


@settings(max_examples=40, deadline=None)
@given(EVENTS)
def test_hearing_of_the_same_objects_again_drops_nothing(history):
    """As after a watch that was interrupted: the source lists everything once more."""
    served, world = filled([*START, *history]), World()
    for event in (*START, *history):
        world.take(event)
    before, serial, hits = answers(served), served.store.serial, served.hits
    assert served.apply(*world.events()) == set()
    assert (answers(served), served.store.serial) == (before, serial)
    assert served.hits - hits == len(QUESTIONS)


@settings(max_examples=40, deadline=None)
@given(EVENTS)
def test_the_serial_only_grows_and_an_soa_answer_is_the_newest(history):
    served, last = filled(START), 0
    soa = QUESTIONS["cluster.local SOA"]
    for event in history:
        served.ask(soa)
        changed = served.apply(event)
        assert served.store.serial > last if changed - {b"sync"} else served.store.serial >= last
        last = served.store.serial
        assert int.from_bytes(served.ask(soa)[-20:-16], "big") == last


@settings(max_examples=40, deadline=None)
@given(
    st.lists(OBJECTS, max_size=12),
    st.lists(OBJECTS, max_size=12),
    st.randoms(use_true_random=False),
    st.sampled_from(list(VIEWS)),
)
def test_nothing_is_left_of_a_snapshot_when_the_list_is_complete(remembered, listed, random, view):
    """`listed`: what there really is, in any order, and what is gone somewhere between."""
    old, new = ({named(event): event for event in events} for events in (remembered, listed))
    served = filled([*old.values(), Restored(7)], VIEWS[view])
    answers(served)
    changes = [*new.values(), *(gone(event) for own, event in old.items() if own not in new)]
    random.shuffle(changes)
    for change in changes:
        served.apply(change)
        answers(served)
    served.apply(Synced())
    assert answers(served) == answers(filled([*new.values(), Synced()], VIEWS[view]))


@settings(max_examples=80, deadline=None)
@given(st.lists(OBJECTS, max_size=12), st.lists(OBJECTS, max_size=12), st.sampled_from(list(VIEWS)))
def test_a_snapshot_denies_no_name_that_there_may_be(remembered, real, view):
    """What it denies is so in any world, and it is silent about nothing that is certain without it."""
    restored, empty = filled([*remembered, Restored(7)], VIEWS[view]), Served(VIEWS[view])
    now = filled([*real, Synced()], VIEWS[view])
    for what, packet in QUESTIONS.items():
        rcode = restored.ask(packet)[3] & 0xF
        if rcode == RCode.NXDOMAIN:
            assert now.ask(packet)[3] & 0xF == RCode.NXDOMAIN, what
        if rcode == RCode.SERVFAIL:
            assert empty.ask(packet)[3] & 0xF == RCode.SERVFAIL, what
