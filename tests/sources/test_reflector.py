"""One resource's lists and watch events to packed events, with no server."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clusterdns.kube.objects import Kind
from clusterdns.kube.packed import Packed, key, unpack
from clusterdns.kube.stream import line, page
from clusterdns.sources.complaints import MAX_LINES
from clusterdns.sources.reflector import Broken, Expired, Reflector
from clusterdns.sources.refusals import AccessError
from clusterdns.sources.resources import RESOURCES, complaint
from clusterdns.sources.timing import Timing


def _service(name: str, version: int, address: str = "10.0.0.1") -> dict:
    meta = {"name": name, "namespace": "default", "resourceVersion": str(version), "managedFields": [{"x": 1}]}
    return {"metadata": meta, "spec": {"clusterIP": address, "clusterIPs": [address], "ports": []}}


def _page(*items: dict, version: int = 100, token: str = ""):
    listed = {"kind": "ServiceList", "metadata": {"resourceVersion": str(version)}, "items": list(items)}
    if token:
        listed["metadata"]["continue"] = token
    return page(json.dumps(listed).encode())


def _line(change: str, obj: dict):
    return line(json.dumps({"type": change, "object": obj}).encode())


def _bookmark(version: int, **annotations: str):
    return _line("BOOKMARK", {"metadata": {"resourceVersion": str(version), "annotations": annotations}})


def _names(changes: list[Packed]) -> list[str]:
    return [("+" if change.payload else "-") + change.key.decode().rpartition("/")[2] for change in changes]


def _listed(*items: dict, kind: Kind = Kind.SERVICE, version: str = "100") -> Reflector:
    reflector = Reflector(kind)
    reflector.begin_list()
    reflector.take_page(_page(*items))
    reflector.end_list(version)
    return reflector


@pytest.fixture
def listed() -> Reflector:
    reflector = Reflector(Kind.SERVICE)
    reflector.begin_list()
    reflector.take_page(_page(_service("a", 1), token="more"))
    reflector.take_page(_page(_service("b", 2)))
    assert _names(reflector.end_list("100")) == ["+a", "+b"]
    return reflector


def _again(reflector: Reflector, *items: dict) -> list[str]:
    reflector.expire()
    reflector.begin_list()
    reflector.take_page(_page(*items))
    return _names(reflector.end_list("200"))


def test_a_list_is_given_as_a_whole(listed):
    assert (listed.version, listed.listed, listed.listing) == ("100", True, False)


def test_a_second_list_tells_what_differs_and_what_is_gone(listed):
    assert _again(listed, _service("b", 2), _service("c", 3)) == ["+c", "-a"]
    assert _again(listed, _service("b", 4), _service("c", 3)) == ["+b"]
    # A server that was restored from a backup: its versions are older, and right
    assert _again(listed, _service("b", 2), _service("c", 3)) == ["+b"]


def test_a_list_that_is_cut_short_leaves_no_trace(listed):
    listed.expire()
    listed.begin_list()
    listed.take_page(_page(_service("a", 7, "10.0.0.7"), token="more"))
    assert listed.listing
    assert _again(listed, _service("a", 7, "10.0.0.7"), _service("b", 2)) == ["+a"]


@pytest.mark.parametrize(
    ("change", "obj", "expected"),
    [
        ("ADDED", _service("c", 101), ["+c"]),
        ("MODIFIED", _service("a", 102, "10.0.0.2"), ["+a"]),
        ("DELETED", _service("a", 103), ["-a"]),
        ("DELETED", _service("unknown", 103), []),
        ("BOOKMARK", {"metadata": {"resourceVersion": "150"}}, []),
    ],
)
def test_events(listed, change, obj, expected):
    assert _names(listed.take_line(_line(change, obj))) == expected
    assert listed.version == obj["metadata"]["resourceVersion"]


def test_what_is_repeated_or_comes_late_is_older_than_what_is_known(listed):
    assert _names(listed.take_line(_line("MODIFIED", _service("a", 110, "10.0.0.3")))) == ["+a"]
    for late in (110, 109, 1):
        assert listed.take_line(_line("MODIFIED", _service("a", late, "10.0.0.2"))) == []
    assert listed.take_line(_line("DELETED", _service("a", 105))) == []
    # The watch goes on behind the newest
    assert listed.version == "110"
    assert _names(listed.take_line(_line("DELETED", _service("a", 111)))) == ["-a"]
    assert listed.take_line(_line("MODIFIED", _service("a", 110, "10.0.0.3"))) == []
    listed.take_line(_bookmark(112))
    # Made anew
    assert _names(listed.take_line(_line("ADDED", _service("a", 113)))) == ["+a"]


def test_versions_that_are_no_numbers_are_not_compared():
    reflector = Reflector(Kind.SERVICE)
    opaque = _service("a", 1)
    opaque["metadata"]["resourceVersion"] = "abc"
    for _ in range(2):
        reflector.begin_list()
        reflector.take_page(_page(opaque))
        assert _names(reflector.end_list("xyz")) == ["+a"]
    assert _names(reflector.take_line(_line("MODIFIED", opaque))) == ["+a"]
    assert reflector.version == "abc"


def test_an_unusable_object_keeps_its_last_good_state(listed):
    broken = _service("a", 110)
    broken["spec"]["clusterIPs"] = ["10.0.0.300"]
    assert listed.take_line(_line("MODIFIED", broken)) == []
    (text,) = listed.complaints()
    assert text.startswith("Service default/a: spec.clusterIPs[0]")
    assert listed.complaints() == []
    # It is still known, and not complained about again, so that a list without it takes it away
    assert _again(listed, broken, _service("b", 2)) == []
    assert listed.complaints() == []
    assert _again(listed, _service("b", 2)) == ["-a"]


def test_an_object_that_was_never_usable_has_nothing_to_take_back(listed):
    broken = _service("c", 110)
    broken["spec"]["clusterIPs"] = ["10.0.0.300"]
    assert listed.take_line(_line("ADDED", broken)) == []
    assert listed.take_line(_line("DELETED", broken)) == []
    assert _again(listed, _service("a", 1), _service("b", 2), broken) == []
    assert _again(listed, _service("a", 1), _service("b", 2)) == []


def test_complaints_are_bounded(listed):
    wrong = [_service(f"w{number}", number + 200, "10.0.0.300") for number in range(MAX_LINES + 50)]
    assert _again(listed, *wrong) == ["-a", "-b"]
    said = listed.complaints()
    assert len(said) == MAX_LINES + 1
    assert said[-1] == "more complaints about Services are not shown; mend these first"


def _slice(version: int, **labels: str) -> dict:
    meta = {"name": "s", "namespace": "d", "resourceVersion": str(version), "labels": labels}
    endpoint = {"addresses": ["10.0.0.1"], "hostname": "db-0", "targetRef": {"name": "db-0-pod"}}
    return {"metadata": meta, "addressType": "IPv4", "endpoints": [endpoint]}


OWNED = {"kubernetes.io/service-name": "x"}


def test_a_slice_that_loses_its_service_is_gone():
    reflector = _listed(_slice(5, **OWNED), kind=Kind.SLICE)
    assert _names(reflector.take_line(_line("MODIFIED", _slice(110)))) == ["-s"]
    assert reflector.take_line(_line("MODIFIED", _slice(111))) == []
    assert _names(reflector.take_line(_line("MODIFIED", _slice(112, **OWNED)))) == ["+s"]


@pytest.mark.parametrize(("pod_names", "pod"), [(True, b"db-0-pod"), (False, b"")])
def test_names_of_pods_are_dropped_before_they_cost_memory(pod_names, pod):
    reflector = Reflector(Kind.SLICE, pod_names)
    reflector.begin_list()
    reflector.take_page(_page(_slice(5, **OWNED)))
    (packed,) = reflector.end_list("9")
    event = unpack(packed)
    assert [(each.hostname, each.pod) for each in event.object.every()] == [(b"db-0", pod)]
    assert (b"pod" in packed.payload) is pod_names
    assert event.labels == OWNED


def test_which_services_are_headless_is_known_as_long_as_they_are():
    reflector = _listed(_service("a", 1), _service("db", 2, "None"), _service("x", 3, "None"))
    where = key(Kind.SERVICE, "default", "db")
    assert reflector.headless == {where, key(Kind.SERVICE, "default", "x")}
    assert where in reflector
    reflector.take_line(_line("MODIFIED", _service("a", 109, "None")))
    reflector.take_line(_line("MODIFIED", _service("db", 110)))
    reflector.take_line(_line("DELETED", _service("x", 111)))
    assert reflector.headless == {key(Kind.SERVICE, "default", "a")}
    assert _again(reflector, _service("db", 110)) == ["-a"]
    assert reflector.headless == set()
    assert key(Kind.SERVICE, "default", "x") not in reflector


def test_a_streaming_list_ends_with_its_bookmark():
    reflector = Reflector(Kind.SERVICE)
    reflector.begin_list()
    assert reflector.take_line(_line("ADDED", _service("a", 1))) == []
    # One of the minute, and none of the end
    assert reflector.take_line(_bookmark(6)) == []
    assert reflector.version == ""
    assert _names(reflector.take_line(_bookmark(7, **{"k8s.io/initial-events-end": "true"}))) == ["+a"]
    assert reflector.version == "7"
    assert _names(reflector.take_line(_line("ADDED", _service("b", 8)))) == ["+b"]


def test_gone_means_list_again_and_other_errors_are_failures(listed):
    with pytest.raises(Expired):
        listed.take_line(_line("ERROR", {"kind": "Status", "code": 410, "message": "too old"}))
    with pytest.raises(Broken, match="500: boom"):
        listed.take_line(_line("ERROR", {"kind": "Status", "code": 500, "message": "boom"}))
    with pytest.raises(Broken, match="no object"):
        listed.take_page(page(b'{"metadata":{},"items":[3]}'))


@pytest.mark.parametrize(
    ("there", "lost"),
    [
        ([_service("a", 1), _service("b", 2)], 0),
        ([_service("a", 1)], 1),
        ([_service("a", 1), _service("b", 3)], 1),
        ([_service("a", 1), _service("b", 2), _service("c", 3)], 1),
        ([_service("c", 3)], 3),
        ([], 2),
    ],
)
def test_what_was_lost_is_what_differs_from_a_list_of_the_same_version(listed, there, lost):
    audit = listed.audit()
    for each in there:
        audit.take(_page(each))
    assert audit.lost == lost


# Whatever a server does, in any order: (name or list, version), repeated and late events among them
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["ADDED", "MODIFIED", "DELETED"]), st.sampled_from("abc")),
        st.sampled_from(["list", "cut list", "bookmark"]),
    ),
    max_size=30,
)


@given(_STEPS, st.lists(st.integers(0, 29), max_size=10))
def test_what_was_sent_on_is_always_what_the_server_has(steps, repeated):
    """A server, its truth, and the receiver's: equal after every list, whatever was told twice before."""
    reflector, truth, received, told = Reflector(Kind.SERVICE), {}, {}, []

    def take(changes: list[Packed]) -> None:
        for change in changes:
            if change.payload:
                received[change.key] = change.payload
            else:
                del received[change.key]

    def listed() -> None:
        reflector.begin_list()
        reflector.take_page(_page(*truth.values()))

    listed()
    take(reflector.end_list("1"))
    told.append(_line("ADDED", _service("a", 1)))
    for number, step in enumerate(steps):
        version = number + 2
        if step == "list":
            listed()
            take(reflector.end_list(str(version)))
        elif step == "cut list":
            listed()
            reflector.expire()
            listed()
            take(reflector.end_list(str(version)))
        elif step == "bookmark":
            take(reflector.take_line(_bookmark(version)))
            # By then everything before it was sent
            told.clear()
        else:
            change, name = step
            obj = _service(name, version, f"10.0.0.{version}")
            if change == "DELETED" and truth.pop(name, None) is None:
                continue
            if change != "DELETED":
                truth[name] = obj
            told.append(_line(change, obj))
            take(reflector.take_line(told[-1]))
            for late in repeated:
                if late < len(told):
                    take(reflector.take_line(told[late]))
        assert {unpack(Packed(*pair)).object.name for pair in received.items()} == set(truth)
        addresses = {unpack(Packed(*pair)).object.addresses[0][3] for pair in received.items()}
        assert addresses == {int(obj["metadata"]["resourceVersion"]) for obj in truth.values()}


def test_pauses_grow_to_a_bound_and_are_spread():
    timing = Timing(first_pause=0.5, longest_pause=30.0)
    assert [timing.pause(n, 1.0) for n in (1, 2, 3, 10, 1000)] == [0.5, 1.0, 2.0, 30.0, 30.0]
    assert timing.pause(10, 0.0) == 15.0


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AccessError("403 Forbidden: no", 403), ["watch services: 403 Forbidden: no;", "ClusterRole", 'group ""']),
        (AccessError("401 Unauthorized", 401), ["401", "service account"]),
        (AccessError("certificate has expired", secure=False), ["expired", "dates", "clock"]),
        (AccessError("Connection refused"), ["Connection refused", "for ever"]),
    ],
)
def test_complaints_name_resource_verb_answer_and_what_to_do(error, words):
    text = complaint(RESOURCES[Kind.SERVICE], "watch", error)
    assert all(word in text for word in words)
