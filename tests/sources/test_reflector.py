"""One resource's lists and watch events to our events, with no server."""

import json

import pytest

from clusterdns.kube.objects import Delete, Kind, Upsert
from clusterdns.kube.stream import line, page
from clusterdns.sources.access import AccessError
from clusterdns.sources.apiserver import RESOURCES, Timing, complaint, pause
from clusterdns.sources.reflector import Broken, Expired, Reflector


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


def _names(events) -> list[str]:
    return [("-" + e.name) if isinstance(e, Delete) else ("+" + e.object.name) for e in events]


@pytest.fixture
def listed() -> Reflector:
    reflector = Reflector(Kind.SERVICE)
    reflector.begin_list()
    reflector.take_page(_page(_service("a", 1), token="more"))
    reflector.take_page(_page(_service("b", 2)))
    assert _names(reflector.end_list("100")) == ["+a", "+b"]
    return reflector


def test_a_list_is_given_as_a_whole(listed: Reflector):
    assert listed.version == "100"
    assert listed.listed


def test_a_second_list_tells_what_is_gone(listed: Reflector):
    listed.expire()
    listed.begin_list()
    listed.take_page(_page(_service("b", 2), _service("c", 3)))
    assert _names(listed.end_list("200")) == ["+b", "+c", "-a"]


@pytest.mark.parametrize(
    ("change", "obj", "expected"),
    [
        ("ADDED", _service("c", 101), ["+c"]),
        ("MODIFIED", _service("a", 102, "10.0.0.2"), ["+a"]),
        ("DELETED", _service("a", 103), ["-a"]),
        ("DELETED", _service("unknown", 103), []),
        # Older than what is known: repeated, or out of order
        ("MODIFIED", _service("b", 1), []),
        ("BOOKMARK", {"metadata": {"resourceVersion": "150"}}, []),
    ],
)
def test_events(listed: Reflector, change: str, obj: dict, expected: list[str]):
    assert _names(listed.take_line(_line(change, obj))) == expected
    assert listed.version == obj["metadata"]["resourceVersion"]


def test_an_unusable_object_keeps_its_last_good_state(listed: Reflector):
    broken = _service("a", 110)
    broken["spec"]["clusterIPs"] = ["10.0.0.300"]
    assert listed.take_line(_line("MODIFIED", broken)) == []
    assert "Service default/a: spec.clusterIPs[0]" in listed.complaints[0]
    # It is still known, so that a list without it takes it away
    listed.begin_list()
    listed.take_page(_page(_service("b", 2)))
    assert "-a" in _names(listed.end_list("300"))


def test_a_slice_that_loses_its_service_is_gone():
    reflector = Reflector(Kind.SLICE)
    meta = {"name": "s", "namespace": "d", "resourceVersion": "5", "labels": {"kubernetes.io/service-name": "x"}}
    reflector.begin_list()
    reflector.take_page(_page({"metadata": meta, "addressType": "IPv4", "endpoints": []}))
    (event,) = reflector.end_list("9")
    assert isinstance(event, Upsert)
    orphan = {"metadata": meta | {"labels": {}, "resourceVersion": "10"}, "addressType": "IPv4", "endpoints": []}
    assert reflector.take_line(_line("MODIFIED", orphan)) == [Delete(Kind.SLICE, "d", "s")]


def test_a_streaming_list_ends_with_its_bookmark():
    reflector = Reflector(Kind.SERVICE)
    reflector.begin_list()
    assert reflector.take_line(_line("ADDED", _service("a", 1))) == []
    end = {"metadata": {"resourceVersion": "7", "annotations": {"k8s.io/initial-events-end": "true"}}}
    assert _names(reflector.take_line(_line("BOOKMARK", end))) == ["+a"]
    assert _names(reflector.take_line(_line("ADDED", _service("b", 8)))) == ["+b"]


def test_gone_means_list_again_and_other_errors_are_failures(listed: Reflector):
    with pytest.raises(Expired):
        listed.take_line(_line("ERROR", {"kind": "Status", "code": 410, "message": "too old"}))
    with pytest.raises(Broken, match="500: boom"):
        listed.take_line(_line("ERROR", {"kind": "Status", "code": 500, "message": "boom"}))


def test_pauses_grow_to_a_bound_and_are_spread():
    timing = Timing(first_pause=0.5, longest_pause=30.0)
    assert [pause(n, timing, 1.0) for n in (1, 2, 3, 10, 1000)] == [0.5, 1.0, 2.0, 30.0, 30.0]
    assert pause(10, timing, 0.0) == 15.0


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AccessError("403 Forbidden: no", 403), ["list and watch services", "403 Forbidden: no", "ClusterRole"]),
        (AccessError("401 Unauthorized", 401), ["401", "service account"]),
        (AccessError("certificate verify failed: certificate has expired"), ["expired", "dates"]),
        (AccessError("Connection refused"), ["Connection refused", "for ever"]),
    ],
)
def test_complaints_name_resource_verb_answer_and_what_to_do(error: AccessError, words: list[str]):
    text = complaint(RESOURCES[Kind.SERVICE], error)
    assert all(word in text for word in words)
