"""The fake API server: what each fault does, and what a test is told of its requests.

The comments name the page of the Kubernetes API documentation, "API concepts" being Kubernetes API Concepts.
"""

import http.client
import json
import socket
import threading
import time

import pytest

from tests.support.apiserver import FakeAPIServer
from tests.support.apiserver_client import SERVICES, get, obj, path, watching
from tests.support.apiserver_faults import SLOW, STAGES, Fault, Verb
from tests.support.apiserver_resources import RESOURCES
from tests.support.apiserver_status import RETRY_AFTER

# Seconds in which nothing must come.
SHORT = 0.3


@pytest.fixture
def api():
    with FakeAPIServer([obj(name) for name in ("a", "b", "c")]) as running:
        yield running


def test_every_fault_strikes_at_one_stage():
    assert set(STAGES) == set(Fault)


# API concepts: 410 Gone responses; API Priority and Fairness (whose 429 is no Status); API reference: Status
@pytest.mark.parametrize("verb", [Verb.LIST, Verb.WATCH])
@pytest.mark.parametrize(
    ("fault", "code", "reason"),
    [
        (Fault.GONE, 410, "Expired"),
        (Fault.TOO_MANY_REQUESTS, 429, None),
        (Fault.INTERNAL_ERROR, 500, "InternalError"),
        (Fault.UNAVAILABLE, 503, "ServiceUnavailable"),
    ],
)
def test_a_status_fault_answers_so_many_requests_of_one_resource_and_verb(api, fault, code, reason, verb):
    target = path("services", **({"watch": "true"} if verb is Verb.WATCH else {}))
    api.fault(fault, "services", verb=verb, times=2)
    other = Verb.WATCH if verb is Verb.LIST else Verb.LIST
    api.fault(Fault.EMPTY_BODY, "services", verb=other)
    assert get(api, path("pods")).status == 200
    answers = [get(api, target) for _ in range(2)]
    assert [answer.status for answer in answers] == [code] * 2
    assert answers[0].headers.get("retry-after") == (str(RETRY_AFTER) if code == 429 else None)
    if reason:
        assert (answers[0].json["reason"], answers[0].json["code"]) == (reason, code)
    api.clear()
    api.end_watches()
    assert get(api, SERVICES).status == 200


def test_a_fault_without_a_count_lasts_until_it_is_cleared(api):
    api.fault(Fault.UNAVAILABLE)
    assert [get(api, path(plural)).status for plural in RESOURCES] == [503] * len(RESOURCES)
    api.clear()
    assert get(api, SERVICES).status == 200


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_list_is_cut_in_the_middle(encoding):
    with FakeAPIServer([obj("a")], gzip_from=1) as api:
        api.fault(Fault.CUT, "services", times=1)
        with pytest.raises(http.client.IncompleteRead) as caught:
            get(api, SERVICES, {"Accept-Encoding": encoding})
        assert caught.value.partial
        assert get(api, SERVICES).names == ["a"]


def test_a_watch_is_cut_in_the_middle_of_a_line(api):
    with watching(api, "services") as watch:
        api.fault(Fault.CUT, "services", verb=Verb.WATCH, times=1)
        api.put(obj("d"))
        api.put(obj("e"))
        with pytest.raises(http.client.IncompleteRead) as caught:
            watch.rest()
        half = caught.value.partial
        assert half.startswith(b'{"type":"ADDED"')
        assert b"\n" not in half


def test_silence_takes_the_request_and_answers_nothing(api):
    api.fault(Fault.SILENT, "services", times=1)
    with pytest.raises(TimeoutError):
        get(api, SERVICES, timeout=SHORT)
    assert [asked.path for asked in api.requests] == [SERVICES]
    assert get(api, SERVICES).status == 200


def test_a_stalled_list_stays_open_and_incomplete(api):
    api.fault(Fault.STALLED, "services", times=1)
    with pytest.raises(TimeoutError):
        get(api, SERVICES, timeout=SHORT)


def test_a_stalled_watch_stays_open_past_its_timeout_and_tells_nothing(api):
    with watching(api, "services", timeoutSeconds=1, timeout=1 + SHORT) as watch:
        api.fault(Fault.STALLED, "services", times=1)
        api.put(obj("d"))
        api.clear()
        api.put(obj("e"))
        api.end_watches()
        with pytest.raises(TimeoutError):
            watch.line()
        assert len(api.watchers("services")) == 1


def test_a_slow_first_byte_is_late_and_right(api):
    api.fault(Fault.SLOW_FIRST_BYTE, times=1)
    begun = time.monotonic()
    assert get(api, SERVICES).names == ["a", "b", "c"]
    assert time.monotonic() - begun >= SLOW


def test_an_empty_body_is_200_for_a_list_and_a_watch(api):
    api.fault(Fault.EMPTY_BODY, times=2)
    for query in ({}, {"watch": "true"}):
        answer = get(api, path("services", **query))
        assert (answer.status, answer.body) == (200, b"")


def test_a_line_that_is_no_json_stands_for_one_event_or_one_list(api):
    with watching(api, "services") as watch:
        api.fault(Fault.INVALID_JSON, "services", times=2)
        api.put(obj("d"))
        api.put(obj("e"))
        answer = get(api, SERVICES)
        for broken in (watch.line(), watch.line()):
            with pytest.raises(json.JSONDecodeError):
                json.loads(broken)
        api.put(obj("f"))
        assert watch.told(1) == [("ADDED", "f")]
    assert answer.names[-1] == "e"
    api.fault(Fault.INVALID_JSON, "services", times=1)
    with pytest.raises(json.JSONDecodeError):
        assert get(api, SERVICES).json


def test_an_expired_event_ends_a_watch_and_touches_no_list(api):
    with watching(api, "services") as watch:
        api.fault(Fault.EXPIRED_EVENT, "services", times=1)
        assert get(api, SERVICES).status == 200
        api.put(obj("d"))
        event = watch.event()
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert watch.rest() == b""


@pytest.mark.parametrize(
    ("fault", "names"),
    [(Fault.DUPLICATED, "ddeef"), (Fault.OUT_OF_ORDER, "fed"), (Fault.DROPPED, "f")],
)
def test_changes_are_told_twice_in_the_wrong_order_or_not_at_all(api, fault, names):
    past = api.revision
    with watching(api, "services") as watch:
        api.fault(fault, "services", times=2)
        for name in "def":
            api.put(obj(name))
        assert watch.told(len(names)) == [("ADDED", name) for name in names]
        api.put(obj("g"))
        assert watch.told(1) == [("ADDED", "g")]
    assert get(api, SERVICES).names == list("abcdefg")
    # What a watch from before is told: all in order, but what was dropped is lost for good.
    with watching(api, "services", resourceVersion=past) as late:
        wanted = "fg" if fault is Fault.DROPPED else "defg"
        assert late.told(len(wanted)) == [("ADDED", name) for name in wanted]


def test_a_watch_that_begins_while_a_change_is_held_back_is_told_it_once(api):
    past = api.revision
    api.fault(Fault.OUT_OF_ORDER, "services", times=1)
    api.put(obj("d"))
    with watching(api, "services", resourceVersion=past) as watch:
        assert watch.told(1) == [("ADDED", "d")]
        api.put(obj("e"))
        api.put(obj("f"))
        assert watch.told(2) == [("ADDED", "e"), ("ADDED", "f")]


def test_refused_closes_the_port_cuts_connections_and_opens_the_same_port_again(api):
    port = api.port
    with watching(api, "services") as watch:
        api.fault(Fault.REFUSED)
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            watch.rest()
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=5):
            pass
    api.wait(lambda: not api.watchers())
    api.clear()
    assert api.port == port
    assert get(api, SERVICES).status == 200
    with pytest.raises(ValueError, match="REFUSED is of the whole server"):
        api.fault(Fault.REFUSED, "services")


def test_requests_and_watchers_say_what_was_asked(api):
    get(api, path("services", limit=5), {"X-Seen": "yes"})
    (asked,) = api.requests
    assert (asked.method, asked.path, asked.query) == ("GET", SERVICES, {"limit": "5"})
    assert (asked.headers["x-seen"], asked.resource, asked.verb) == ("yes", "services", Verb.LIST)
    assert 0 <= time.monotonic() - asked.time < 10
    with watching(api, "pods"):
        api.wait(lambda: [open_.verb for open_ in api.watchers("pods")] == [Verb.WATCH])
        assert api.watchers("services") == []
    api.wait(lambda: not api.watchers())
    with pytest.raises(TimeoutError, match=r"the last requests were .*watch /api/v1/pods"):
        api.wait(lambda: False, deadline=0.01)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda api: api.put(obj("x", "ConfigMap")),
        lambda api: api.watchers("configmaps"),
        lambda api: api.fault(Fault.CUT, "service"),
        lambda api: api.service_account("nowhere", "token"),
    ],
)
def test_a_mistake_in_a_test_is_a_valueerror(api, mistake):
    with pytest.raises(ValueError, match=r"is not served; one of|plain HTTP"):
        mistake(api)


def test_changes_from_many_threads_are_told_once_each_in_the_order_of_their_versions(api):
    with watching(api, "services") as watch:
        threads = [
            threading.Thread(target=lambda who=who: [api.put(obj(f"t{who}-{i}")) for i in range(50)])
            for who in range(4)
        ]
        for thread in threads:
            thread.start()
        events = [watch.event()["object"]["metadata"] for _ in range(200)]
        for thread in threads:
            thread.join()
    versions = [int(metadata["resourceVersion"]) for metadata in events]
    assert versions == list(range(versions[0], versions[0] + 200))
    assert len({metadata["name"] for metadata in events}) == 200
