"""The fake API server: every wire form by the Kubernetes API documentation, every fault, and the official client.

The comments name the page of that documentation, "API concepts" being Kubernetes API Concepts.
"""

import http.client
import json
import socket
import ssl
import threading
import time

import pytest
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import load_kube_config
from kubernetes.config.incluster_config import InClusterConfigLoader

from tests.support.apiserver import FakeAPIServer
from tests.support.apiserver_client import METADATA_LIST, METADATA_WATCH, get, path, watching
from tests.support.apiserver_faults import SLOW, STAGES, Fault, Verb
from tests.support.apiserver_identity import Authority
from tests.support.apiserver_resources import RESOURCES
from tests.support.apiserver_status import RETRY_AFTER
from tests.support.rows import CONFORMANCE

# Seconds in which nothing must come.
SHORT = 0.3
SERVICES = "/api/v1/services"
ROLES = [(resource.plural, resource.kind) for resource in RESOURCES.values()]


def obj(name, kind="Service", **content):
    labels = content.pop("labels", {})
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": labels}, **content}


def pod(name, phase):
    return obj(name, "Pod", status={"phase": phase})


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def api():
    with FakeAPIServer([obj(name) for name in ("a", "b", "c")]) as running:
        yield running


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


def trusting(authority, client=None):
    context = ssl.create_default_context(cafile=authority.ca)
    if client:
        context.load_cert_chain(client.certificate, client.key)
    return context


# API concepts: Efficient detection of changes; API reference: ServiceList
@pytest.mark.parametrize(("plural", "kind"), ROLES)
def test_a_list_has_its_kind_and_version_and_its_items_have_what_a_server_adds(plural, kind):
    with FakeAPIServer([obj("x", kind)]) as api:
        answer = get(api, path(plural))
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert answer.json["kind"] == f"{kind}List"
        assert answer.json["apiVersion"] == RESOURCES[plural].api_version
        assert answer.json["metadata"] == {"resourceVersion": str(api.revision)}
        (item,) = answer.json["items"]
        # Items of built-in kinds leave out what the list says already; custom resources do not.
        assert ("kind" in item, "apiVersion" in item) == (plural == "serviceimports",) * 2
        assert {"uid", "resourceVersion", "creationTimestamp", "managedFields"} <= set(item["metadata"])
        assert item["metadata"].get("namespace") == (None if kind == "Namespace" else "default")


def test_the_conformance_manifests_are_served_in_the_order_of_their_keys(api):
    api.load(CONFORMANCE / "manifests")
    items = get(api, path("endpointslices")).json["items"]
    keys = [f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in items]
    assert len(keys) > 10
    assert keys == sorted(keys)
    assert "testns" in get(api, path("namespaces")).names


# API concepts: Resource versions in metadata
def test_one_counter_gives_the_versions_of_all_kinds(api):
    first = api.put(obj("x"))
    assert [api.put(obj("x", "Namespace")), api.put(obj("x"))] == [first + 1, first + 2]
    assert get(api, path("pods")).json["metadata"]["resourceVersion"] == str(first + 2)


# API concepts: Retrieving large results sets in chunks
def test_pages_show_one_version_whatever_changes_in_between(api):
    first = get(api, path("services", limit=2)).json["metadata"]
    assert (first["resourceVersion"], first["remainingItemCount"]) == (str(api.revision), 1)
    api.delete("Service", "default", "c")
    api.put(obj("bb"))
    rest = get(api, path("services", limit=2, continue_=first["continue"]))
    assert rest.names == ["c"]
    assert rest.json["metadata"] == {"resourceVersion": first["resourceVersion"]}
    assert get(api, SERVICES).names == ["a", "b", "bb"]


# API concepts: 410 Gone responses
def test_an_expired_continue_token_is_410_with_a_token_for_the_inconsistent_rest(api):
    token = get(api, path("services", limit=1)).json["metadata"]["continue"]
    api.put(obj("bb"))
    api.expire()
    gone = get(api, path("services", limit=1, continue_=token))
    status = gone.json
    assert (gone.status, status["code"], status["reason"], status["status"]) == (410, 410, "Expired", "Failure")
    assert (status["kind"], status["apiVersion"]) == ("Status", "v1")
    assert get(api, path("services", continue_=status["metadata"]["continue"])).names == ["b", "bb", "c"]


# API concepts: The resourceVersion parameter, semantics for get and list
def test_exact_shows_the_past_and_everything_else_the_newest(api):
    past = api.revision
    api.put(obj("d"))
    assert get(api, path("services", resourceVersion=past, resourceVersionMatch="Exact")).names == ["a", "b", "c"]
    assert get(api, path("services", resourceVersion=past, limit=9)).names == ["a", "b", "c"]
    assert get(api, path("services", resourceVersion=past, resourceVersionMatch="NotOlderThan")).names[-1] == "d"
    assert get(api, path("services", resourceVersion=past)).names[-1] == "d"
    # From the watch cache, which takes no notice of limits.
    assert len(get(api, path("services", resourceVersion=0, limit=1)).names) == 4


def test_an_exact_version_that_is_forgotten_is_410(api):
    past = api.revision
    api.expire()
    assert get(api, path("services", resourceVersion=past, resourceVersionMatch="Exact")).status == 410
    assert get(api, path("services", resourceVersion=past)).status == 200


# API concepts: Unavailable resource versions
def test_a_version_from_the_future_is_504_with_its_cause(api):
    late = get(api, path("services", resourceVersion=api.revision + 5))
    assert (late.status, late.headers["retry-after"]) == (504, str(RETRY_AFTER))
    assert late.json["message"] == f"Timeout: Too large resource version: {api.revision + 5}, current: {api.revision}"
    assert late.json["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


# API reference: Common parameters
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"resourceVersionMatch": "Exact"}, 422),
        ({"resourceVersionMatch": "Exact", "resourceVersion": 0}, 422),
        ({"resourceVersionMatch": "Newest", "resourceVersion": 1}, 422),
        ({"sendInitialEvents": "true"}, 422),
        ({"watch": "true", "resourceVersionMatch": "NotOlderThan"}, 422),
        ({"watch": "true", "sendInitialEvents": "true"}, 422),
        ({"resourceVersion": "new"}, 400),
        ({"continue_": "nonsense"}, 400),
        ({"fieldSelector": "spec.clusterIP=None"}, 400),
        ({"labelSelector": "a in b"}, 400),
    ],
)
def test_options_that_make_no_sense_are_refused(api, query, status):
    answer = get(api, path("services", **query))
    assert (answer.status, answer.json["code"]) == (status, status)
    assert answer.json["reason"] == {422: "Invalid", 400: "BadRequest"}[status]


# API concepts: Metadata-only fetches
def test_the_metadata_form_has_the_metadata_alone_and_names_the_kind_of_each_item(api):
    answer = get(api, path("services", limit=2), METADATA_LIST)
    assert (answer.json["kind"], answer.json["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
    assert {frozenset(item) for item in answer.json["items"]} == {frozenset({"kind", "apiVersion", "metadata"})}
    assert answer.json["items"][0]["kind"] == "PartialObjectMetadata"
    with watching(api, "services", METADATA_WATCH) as watch:
        api.put(obj("d", spec={"clusterIP": "None"}))
        assert set(watch.event()["object"]) == {"kind", "apiVersion", "metadata"}


# API concepts: Efficient detection of changes; API reference: WatchEvent
def test_a_watch_tells_each_change_with_kind_and_apiversion_in_a_chunked_line(api):
    with watching(api, "services") as watch:
        assert (watch.status, watch.headers["Transfer-Encoding"]) == (200, "chunked")
        api.put(obj("d"))
        api.put(obj("other", "Namespace"))
        api.put(obj("d", spec={"clusterIP": "None"}))
        gone = api.delete("Service", "default", "d")
        api.put(obj("d"))
        events = [watch.event() for _ in range(4)]
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED", "ADDED"]
    assert {(event["object"]["kind"], event["object"]["apiVersion"]) for event in events} == {("Service", "v1")}
    # The last state, under the version of the deletion.
    assert events[2]["object"]["spec"] == {"clusterIP": "None"}
    assert events[2]["object"]["metadata"]["resourceVersion"] == str(gone)
    uids = [event["object"]["metadata"]["uid"] for event in events]
    assert uids[0] == uids[1] == uids[2] != uids[3]


# API concepts: The resourceVersion parameter, semantics for watch
def test_a_watch_begins_where_its_version_says(api):
    past = api.revision
    api.put(obj("d"))
    with watching(api, "services", resourceVersion=past) as watch:
        assert watch.told(1) == [("ADDED", "d")]
    for nowhere in ("", "0"):
        with watching(api, "services", resourceVersion=nowhere) as watch:
            assert watch.told(4) == [("ADDED", name) for name in "abcd"]


# API concepts: 410 Gone responses
def test_a_watch_from_a_forgotten_version_is_an_error_event_and_ends(api):
    past = api.revision
    with watching(api, "services", allowWatchBookmarks="true") as running:
        api.expire()
        with watching(api, "services", resourceVersion=past) as watch:
            event = watch.event()
            assert event["type"] == "ERROR"
            assert (event["object"]["kind"], event["object"]["code"]) == ("Status", 410)
            assert event["object"]["message"] == f"too old resource version: {past} ({past + 1})"
            assert watch.rest() == b""
        api.put(obj("d"))
        assert running.told(1) == [("ADDED", "d")]


# API concepts: Watch bookmarks
def test_a_bookmark_has_the_kind_and_the_version_and_goes_to_those_who_asked(api):
    with (
        watching(api, "endpointslices", allowWatchBookmarks="true") as asked,
        watching(api, "endpointslices") as plain,
    ):
        api.bookmark()
        api.put(obj("x", "EndpointSlice"))
        bookmark = asked.event()
        assert plain.event()["type"] == "ADDED"
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"] == {"resourceVersion": str(api.revision - 1), "creationTimestamp": None}
    # As Go encodes an EndpointSlice with nothing set.
    assert (bookmark["object"]["kind"], bookmark["object"]["endpoints"]) == ("EndpointSlice", None)


def test_bookmarks_come_by_themselves_at_an_interval():
    with FakeAPIServer(bookmark_interval=0.01) as api, watching(api, "pods", allowWatchBookmarks="true") as watch:
        assert watch.told(2) == [("BOOKMARK", "")] * 2


# API concepts: Streaming lists
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


# API reference: Common parameters, timeoutSeconds
def test_a_watch_ends_in_good_order_after_its_timeout_or_when_told(api):
    begun = time.monotonic()
    with watching(api, "services", timeoutSeconds=1) as timed, watching(api, "services") as told:
        api.wait(lambda: len(api.watchers("services")) == 2)
        assert timed.rest() == b""
        assert time.monotonic() - begun >= 1
        api.end_watches("services")
        assert told.rest() == b""
    api.wait(lambda: not api.watchers())


# Field Selectors: List of supported fields; a watch with one tells what comes into and goes out of sight.
def test_a_field_selector_decides_what_a_list_and_a_watch_show(api):
    for phase in ("Running", "Pending", "Succeeded"):
        api.put(pod(phase.lower(), phase))
    selector = "status.phase!=Succeeded,status.phase!=Failed"
    page = get(api, path("pods", fieldSelector=selector, limit=1))
    assert page.names == ["pending"]
    assert "remainingItemCount" not in page.json["metadata"]
    with watching(api, "pods", fieldSelector=selector) as watch:
        gone = api.put(pod("running", "Failed"))
        api.put(pod("running", "Succeeded"))
        api.put(pod("succeeded", "Running"))
        event = watch.event()
        assert (event["type"], event["object"]["status"]) == ("DELETED", {"phase": "Running"})
        assert event["object"]["metadata"]["resourceVersion"] == str(gone)
        assert watch.told(1) == [("ADDED", "succeeded")]


# Labels and Selectors: API
@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=web", ["x"]),
        ("app==web,tier", ["x"]),
        ("app!=web", ["a", "b", "c", "y"]),
        ("app", ["x", "y"]),
        ("!app", ["a", "b", "c"]),
        ("app in (web, db),tier notin (front)", ["y"]),
    ],
)
def test_a_label_selector_decides_what_a_list_shows(api, selector, names):
    api.put(obj("x", labels={"app": "web", "tier": "front"}))
    api.put(obj("y", labels={"app": "db"}))
    assert get(api, path("services", labelSelector=selector)).names == names


# API concepts: Response compression
def test_large_lists_are_compressed_for_those_who_ask(api):
    accept = {"Accept-Encoding": "gzip"}
    assert "content-encoding" not in get(api, SERVICES, accept).headers
    api.put(obj("big", metadata_padding="x" * 200_000))
    packed = get(api, SERVICES, accept)
    assert (packed.headers["content-encoding"], packed.headers["vary"]) == ("gzip", "Accept-Encoding")
    assert len(packed.body) < 10_000
    assert packed.json == get(api, SERVICES).json
    with watching(api, "services", accept, resourceVersion="") as watch:
        assert watch.told(4)[-1] == ("ADDED", "c")


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("GET", "/version", 200), ("GET", "/api/v1/nodes", 404), ("POST", "/api/v1/services", 405)],
)
def test_what_is_no_list_and_no_watch(api, method, target, status):
    answer = get(api, target, method=method)
    assert answer.status == status
    assert answer.json.get("major", answer.json.get("code")) == ("1" if status == 200 else status)


# Authenticating: bearer tokens
def test_a_wrong_token_is_401_from_the_moment_it_is_wrong():
    with FakeAPIServer([obj("a")], tokens={"old"}) as api:
        assert get(api, SERVICES, bearer("old")).status == 200
        # The official client writes the scheme in lower case (RFC 9110 11.1).
        assert get(api, SERVICES, {"Authorization": "bearer old"}).status == 200
        with watching(api, "services", bearer("old")) as watch:
            api.set_tokens({"new"})
            refused = get(api, SERVICES, bearer("old"))
            assert (refused.status, refused.json["reason"]) == (401, "Unauthorized")
            assert refused.json["message"] == "Unauthorized"
            assert get(api, SERVICES, bearer("new")).status == 200
            assert get(api, SERVICES).status == 401
            assert (get(api, "/version").status, get(api, "/version", bearer("old")).status) == (200, 401)
            # A watch that was open goes on.
            api.put(obj("b"))
            assert watch.told(1) == [("ADDED", "b")]


# Using RBAC Authorization; Authorization overview
@pytest.mark.parametrize(
    ("plural", "title", "group"),
    [("services", "services", ""), ("endpointslices", "endpointslices.discovery.k8s.io", "discovery.k8s.io")],
)
@pytest.mark.parametrize("verb", [Verb.LIST, Verb.WATCH])
def test_no_permission_is_403_for_one_resource(api, plural, title, group, verb):
    api.fault(Fault.FORBIDDEN, plural)
    answer = get(api, path(plural, **({"watch": "true"} if verb is Verb.WATCH else {})), bearer("any"))
    assert (answer.status, answer.json["reason"]) == (403, "Forbidden")
    assert answer.json["message"] == (
        f'{title} is forbidden: User "system:serviceaccount:kube-system:clusterdns" cannot {verb.value} '
        f'resource "{plural}" in API group "{group}" at the cluster scope'
    )
    assert answer.json["details"] == ({"group": group} if group else {}) | {"kind": plural}
    assert get(api, path("namespaces")).status == 200


# Authenticating: X.509 client certificates
def test_https_knows_clients_by_certificate_and_takes_tokens_too(authority):
    with FakeAPIServer(tls=authority, tokens={"t"}) as api:
        assert api.url.startswith("https://")
        assert get(api, SERVICES, bearer("t"), context=trusting(authority)).status == 200
        assert get(api, SERVICES, context=trusting(authority)).status == 401
        api.fault(Fault.FORBIDDEN, "services")
        refused = get(api, SERVICES, context=trusting(authority, authority.issue("alice")))
        assert 'User "alice" cannot list' in refused.json["message"]
        with pytest.raises(ssl.SSLCertVerificationError, match=r"unable to get local issuer|self-signed"):
            get(api, SERVICES, context=ssl.create_default_context())


def test_the_server_certificate_can_be_replaced_by_an_expired_one_and_back(authority):
    with FakeAPIServer(tls=authority) as api:
        api.set_identity(authority.issue("kube-apiserver", days=-1))
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            get(api, "/version", context=trusting(authority))
        api.set_identity(authority.issue("kube-apiserver"))
        assert get(api, "/version", context=trusting(authority)).status == 200


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
    assert [get(api, path(plural)).status for plural, _ in ROLES] == [503] * len(ROLES)
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


# Accessing the Kubernetes API from a Pod: directly accessing the REST API
def test_the_official_client_finds_the_server_as_a_pod_does(authority, tmp_path):
    with FakeAPIServer([obj("a")], tls=authority, tokens={"t"}) as api:
        account = api.service_account(tmp_path / "serviceaccount", "t")
        assert (account / "namespace").read_text() == "kube-system"
        files = (str(account / "token"), str(account / "ca.crt"))
        configuration = Configuration()
        InClusterConfigLoader(*files, environ=api.environment).load_and_set(configuration)
        assert [item["metadata"]["name"] for item in official_list(configuration)["items"]] == ["a"]
        assert api.requests[-1].token == "t"


# Organizing Cluster Access Using kubeconfig Files
@pytest.mark.parametrize("by", ["token", "certificate"])
def test_the_official_client_lists_and_watches_with_a_kubeconfig(authority, tmp_path, by):
    credentials = {"token": "t"} if by == "token" else {"client": authority.issue("alice")}
    with FakeAPIServer([obj("a")], tls=authority, tokens={"t"}, gzip_from=1) as api:
        file = api.kubeconfig(tmp_path / "config", context="here", **credentials)
        configuration = Configuration()
        load_kube_config(str(file), context="here", client_configuration=configuration)
        listed = official_list(configuration)
        assert (listed["kind"], listed["items"][0]["metadata"]["name"]) == ("ServiceList", "a")
        query = [("watch", "true"), ("resourceVersion", listed["metadata"]["resourceVersion"])]
        with ApiClient(configuration) as client:
            stream = official_call(client, query)
            api.put(obj("b"))
            api.end_watches()
            body = b"".join(stream.read_chunked(decode_content=True))
        assert json.loads(body)["object"]["metadata"]["name"] == "b"


def official_list(configuration):
    with ApiClient(configuration) as client:
        response = official_call(client, [("limit", "500")], {"Accept-Encoding": "gzip"})
        return json.loads(response.read(decode_content=True))


def official_call(client, query, headers=None):
    """The raw urllib3 response, not read."""
    method, url, sent, *_ = client.param_serialize(
        "GET",
        SERVICES,
        query_params=query,
        header_params={"Accept": "application/json", **(headers or {})},
        auth_settings=["BearerToken"],
    )
    return client.call_api(method, url, header_params=sent, _request_timeout=(5, 10)).response
