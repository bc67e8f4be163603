"""The fake API server: its wire forms by the Kubernetes API documentation.

The comments name the page of that documentation, "API concepts" being Kubernetes API Concepts.
"""

import ssl
import time

import pytest

from tests.support.apiserver import FakeAPIServer
from tests.support.apiserver_client import (
    METADATA_LIST,
    METADATA_WATCH,
    SERVICES,
    bearer,
    get,
    obj,
    path,
    trusting,
    watching,
)
from tests.support.apiserver_faults import Fault, Verb
from tests.support.apiserver_identity import Authority
from tests.support.apiserver_resources import RESOURCES
from tests.support.apiserver_status import RETRY_AFTER
from tests.support.rows import CONFORMANCE

ROLES = [(resource.plural, resource.kind) for resource in RESOURCES.values()]


def pod(name, phase):
    return obj(name, "Pod", status={"phase": phase})


@pytest.fixture
def api():
    with FakeAPIServer([obj(name) for name in ("a", "b", "c")]) as running:
        yield running


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


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
