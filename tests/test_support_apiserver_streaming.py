"""The streaming list of the fake API server.

API concepts: Streaming lists; API reference: Common parameters, sendInitialEvents.
"""

import pytest

from tests.support.apiserver import FakeAPIServer
from tests.support.apiserver_client import METADATA_WATCH, SERVICES, get, obj, path, watching

STREAMING = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
END = {"k8s.io/initial-events-end": "true"}


@pytest.fixture
def api():
    with FakeAPIServer([obj(name) for name in ("a", "b", "c")]) as running:
        yield running


def test_the_streaming_list_marks_its_end_and_goes_on_as_a_watch(api):
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    with watching(api, "services", **query, resourceVersion="") as watch:
        assert watch.told(3) == [("ADDED", name) for name in "abc"]
        end = watch.event()
        assert end["type"] == "BOOKMARK"
        assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        assert end["object"]["metadata"]["resourceVersion"] == str(api.revision)
        api.put(obj("d"))
        api.bookmark()
        assert watch.told(1) == [("ADDED", "d")]
        assert "annotations" not in watch.event()["object"]["metadata"]


def test_a_server_without_the_streaming_list_says_422_as_a_real_one():
    query = {"watch": "true", "sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    why = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
    cause = {"reason": "FieldValueForbidden", "message": f"Forbidden: {why}", "field": "sendInitialEvents"}
    with FakeAPIServer(streaming_list=False) as api:
        answer = get(api, path("services", **query))
    assert answer.status == 422
    assert answer.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f'ListOptions.meta.k8s.io "" is invalid: sendInitialEvents: Forbidden: {why}',
        "reason": "Invalid",
        "details": {"group": "meta.k8s.io", "kind": "ListOptions", "causes": [cause]},
        "code": 422,
    }


@pytest.mark.parametrize("version", ["", "0", "newest"])
def test_its_version_says_how_new_the_state_must_be_and_not_where_to_begin(api, version):
    past = api.revision if version == "newest" else version
    api.put(obj("d"))
    with watching(api, "services", **STREAMING, resourceVersion=past) as watch:
        assert watch.told(4) == [("ADDED", name) for name in "abcd"]
        assert watch.event()["object"]["metadata"]["annotations"] == END


def test_a_version_from_the_future_is_504(api):
    late = get(api, path("services", watch="true", **STREAMING, resourceVersion=api.revision + 5))
    assert (late.status, late.json["details"]["causes"][0]["reason"]) == (504, "ResourceVersionTooLarge")


def test_nothing_is_a_state_too(api):
    with watching(api, "pods", **STREAMING, resourceVersion="") as watch:
        end = watch.event()
        assert (end["type"], end["object"]["kind"]) == ("BOOKMARK", "Pod")
        assert end["object"]["metadata"]["annotations"] == END
        assert end["object"]["metadata"]["resourceVersion"] == str(api.revision)


def test_without_bookmarks_its_end_is_not_told(api):
    asked = STREAMING | {"allowWatchBookmarks": "false"}
    with watching(api, "services", **asked, resourceVersion="") as watch:
        assert watch.told(3) == [("ADDED", name) for name in "abc"]
        api.put(obj("d"))
        assert watch.told(1) == [("ADDED", "d")]


def test_initial_events_may_be_declined(api):
    asked = STREAMING | {"sendInitialEvents": "false"}
    past = api.revision
    api.put(obj("d"))
    with watching(api, "services", **asked, resourceVersion=past) as watch:
        assert watch.told(1) == [("ADDED", "d")]


def test_a_selector_chooses_the_initial_events(api):
    for phase in ("Running", "Succeeded"):
        api.put(obj(phase.lower(), "Pod", status={"phase": phase}))
    asked = STREAMING | {"fieldSelector": "status.phase!=Succeeded"}
    with watching(api, "pods", **asked, resourceVersion="") as watch:
        assert watch.told(2) == [("ADDED", "running"), ("BOOKMARK", "")]


def test_of_the_metadata_form_the_end_is_metadata_too(api):
    with watching(api, "services", METADATA_WATCH, **STREAMING, resourceVersion="") as watch:
        first, *_, end = [watch.event() for _ in range(4)]
    for event in (first, end):
        assert (event["object"]["kind"], event["object"]["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
        assert set(event["object"]) == {"kind", "apiVersion", "metadata"}
    assert end["object"]["metadata"]["annotations"] == END


def test_a_list_cannot_be_asked_for_it(api):
    refused = get(api, path("services", **STREAMING, resourceVersion="0"))
    assert (refused.status, refused.json["reason"]) == (422, "Invalid")
    assert get(api, SERVICES).status == 200


def test_a_bookmark_of_another_history_is_sent_as_told(api):
    with watching(api, "services", allowWatchBookmarks="true") as watch:
        api.bookmark("services", 10**9)
        assert watch.event()["object"]["metadata"]["resourceVersion"] == "1000000000"
